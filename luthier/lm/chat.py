"""The one renderer: messages → token ids, the same for training, evaluation and serving.

Labels come from spans of the rendered text, never from pad ids: what is supervised is each assistant turn, from
its first letter through the token that ends it. Knows nothing of weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from luthier.errors import BadConfig, BadData
from luthier.records.base import sha256
from luthier.records.data import Message


class Ids(NamedTuple):
    """A rendered dialogue: token ids (T,), and for each whether it is learnt (T,)."""

    ids: list[int]
    learnt: list[bool]


@dataclass(frozen=True)
class Chat:
    """A tokenizer with its chat template, and the tokens that end a turn."""

    tokenizer: PreTrainedTokenizerFast
    stop_ids: frozenset[int]

    @classmethod
    def load(cls, folder: Path) -> Chat:
        """The renderer of the model in `folder`. Raises BadConfig where it has no chat template."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not tokenizer.chat_template:
            raise BadConfig(
                f"{folder.name} has no chat template, so nothing says how its dialogues look",
                "take an instruction-tuned model, or put a chat_template.jinja into its folder",
            )
        return cls(tokenizer, stop_ids(folder, tokenizer))

    def text(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """The dialogue as the template writes it; with `prompt`, up to where the assistant begins to speak."""
        turns = [as_template_input(message) for message in messages]
        rendered = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt)
        return str(rendered)

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text. Special tokens are in the text already, so none are added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """What a server feeds the model so that it speaks next."""
        return self.encode(self.text(messages, prompt=True))

    def training_ids(self, messages: Sequence[Message]) -> Ids:
        """The dialogue as ids, with every assistant turn learnt unless its weight is 0.

        Each turn is encoded behind the prompt that a server would feed at that point, so what is trained is what
        is served, token for token. Raises BadData where the template breaks that: its prompt is not a prefix of
        the finished turn.
        """
        ids: list[int] = []
        learnt: list[bool] = []
        done = ""
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.text(messages[:turn], prompt=True)
            after = self.text(messages[: turn + 1])
            if not before.startswith(done) or not after.startswith(before):
                raise BadData(
                    f"the chat template renders turn {turn + 1} differently once the dialogue goes on",
                    "split the dialogue so that each row ends with the assistant turn to learn",
                )
            answer = until_turn_ends(after[len(before) :], message.content, self.end_of_turn)
            context, spoken = self.encode(before[len(done) :]), self.encode(answer)
            ids += context + spoken
            learnt += [False] * len(context) + [message.weight != 0] * len(spoken)
            done = before + answer
        return Ids(ids, learnt)

    @cached_property
    def end_of_turn(self) -> tuple[str, ...]:
        """The texts of the tokens that end a turn, e.g. `<|im_end|>`."""
        return tuple(str(self.tokenizer.convert_ids_to_tokens(i)) for i in sorted(self.stop_ids))

    @cached_property
    def template_digest(self) -> str:
        """sha256 of the chat template: an adapter may only be served with the one it was trained with."""
        return sha256(str(self.tokenizer.chat_template).encode())

    @cached_property
    def tokenizer_digest(self) -> str:
        """sha256 of vocabulary, merges and special tokens."""
        return sha256(self.tokenizer.backend_tokenizer.to_str().encode())


def as_template_input(message: Message) -> dict[str, Any]:
    """The message as templates expect it: without our weight, and without empty fields."""
    fields = message.model_dump(exclude_defaults=True, exclude={"weight"})
    return {"content": message.content} | fields


def until_turn_ends(rendered: str, content: str, ends: Sequence[str]) -> str:
    """`rendered` cut behind the first end-of-turn token after the content; line feeds of the template stay out."""
    start = rendered.find(content) + len(content) if content in rendered else 0
    cuts = [rendered.find(end, start) + len(end) for end in ends if end in rendered[start:]]
    return rendered[: min(cuts)] if cuts else rendered


def stop_ids(folder: Path, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """The ids at which generation ends: the model's own list, and the tokenizer's end-of-sequence token."""
    named: list[int] = []
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            eos = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            named += eos if isinstance(eos, list) else [eos]
    stops = {i for i in [*named, tokenizer.eos_token_id] if isinstance(i, int)}
    if not stops:
        raise BadConfig(
            f"{folder.name} names no end-of-sequence token", "add eos_token_id to its generation_config.json"
        )
    return frozenset(stops)
