"""The one renderer: messages → token ids, the same for training, evaluation and serving.

Labels come from spans of the rendered text, never from pad ids: what is supervised is each assistant turn, from
its first letter through the token that ends it. What people write stays text: a special token spelled out in a
message is taken apart, so that no message can close its turn and speak as somebody else. Knows nothing of weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from luthier.errors import BadConfig, BadData
from luthier.records.base import canonical, sha256
from luthier.records.data import Message

Tool = Mapping[str, Any]
"""A function that the assistant may call: {"type": "function", "function": {"name", "description", "parameters"}}."""
PROBE: Tool = {"type": "function", "function": {"name": "probe", "description": "", "parameters": {}}}


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

    def text(self, messages: Sequence[Message], *, prompt: bool = False, tools: Sequence[Tool] = ()) -> str:
        """The dialogue as the template writes it; with `prompt`, up to where the assistant begins to speak.

        `tools` are what the assistant may call, in OpenAI's form; `takes_tools` says whether the template shows them.

        Raises jinja2's TemplateError where the template refuses these messages, e.g. a role that it does not know.
        """
        turns = [as_template_input(message, self.special) for message in messages]
        shown = [dict(tool) for tool in tools] or None
        rendered = self.tokenizer.apply_chat_template(turns, tools=shown, tokenize=False, add_generation_prompt=prompt)
        return str(rendered)

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text. Special tokens are in the text already, so none are added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """What a server feeds the model so that it speaks next."""
        return self.encode(self.text(messages, prompt=True, tools=tools))

    def training_ids(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Ids:
        """The dialogue as ids, with every assistant turn learnt unless its weight is 0.

        What a server would feed before each turn is a prefix of the ids, so what is trained is what is served, token
        for token. Raises BadData where the template or the tokenizer breaks that, or has no place for `tools`.
        """
        if tools and not self.takes_tools:
            raise BadData(
                "the dialogue has tools, and the base's chat template shows none",
                "take a base whose template does, or take the tools out of the rows",
            )
        ids: list[int] = []
        learnt: list[bool] = []
        done = ""
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before, after = self.around(messages, turn, tools)
            if not before.startswith(done) or not after.startswith(before):
                raise BadData(
                    f"the chat template renders turn {turn + 1} differently once the dialogue goes on",
                    "split the dialogue so that each row ends with the assistant turn to learn",
                )
            done = before + until_turn_ends(after[len(before) :], self.end_of_turn)
            # The answer is encoded behind its prompt: alone, some tokenizers would open it with a space.
            prompt, whole = self.encode(before), self.encode(done)
            if prompt[: len(ids)] != ids or whole[: len(prompt)] != prompt:
                raise BadData(
                    f"turn {turn + 1} is tokenised differently in training and in serving",
                    "remove white space at the start of the answers, or mend the chat template",
                )
            ids = whole
            learnt += [False] * (len(prompt) - len(learnt))
            learnt += [message.weight != 0] * (len(whole) - len(prompt))
        return Ids(ids, learnt)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the template writes down the tools that it is given."""
        hello = [Message(role="user", content="Hello")]
        return self.text(hello, tools=[PROBE]) != self.text(hello)

    def around(self, messages: Sequence[Message], turn: int, tools: Sequence[Tool] = ()) -> tuple[str, str]:
        """The dialogue as rendered just before and just after the assistant's `turn`."""
        try:
            before = self.text(messages[:turn], prompt=True, tools=tools)
            return before, self.text(messages[: turn + 1], tools=tools)
        except TemplateError as error:
            raise BadData(
                f"the chat template refuses the dialogue up to turn {turn + 1} ({error})",
                "write the dialogue as the base model's template wants it, or take another base",
            ) from error

    @cached_property
    def end_of_turn(self) -> tuple[str, ...]:
        """The texts of the tokens that end a turn, e.g. `<|im_end|>`."""
        return tuple(text for i in sorted(self.stop_ids) if (text := str(self.tokenizer.decode([i]))))

    @cached_property
    def special(self) -> re.Pattern[str]:
        """Every text that the tokenizer would read as a special token, or that ends a turn."""
        added = self.tokenizer.added_tokens_decoder.values()
        texts = {token.content for token in added if token.special} | set(self.end_of_turn)
        longest_first = sorted((text for text in texts if len(text) > 1), key=lambda text: (-len(text), text))
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @cached_property
    def template_digest(self) -> str:
        """sha256 of the chat template: an adapter may only be served with the one it was trained with."""
        return sha256(str(self.tokenizer.chat_template).encode())

    @cached_property
    def tokenizer_digest(self) -> str:
        """sha256 of vocabulary, merges and special tokens; not of padding and truncation, which use leaves behind."""
        whole = json.loads(self.tokenizer.backend_tokenizer.to_str())
        return sha256(canonical(whole | {"padding": None, "truncation": None}))


def as_template_input(message: Message, special: re.Pattern[str]) -> dict[str, Any]:
    """The message as templates expect it: without our weight and empty fields, special tokens in it taken apart."""
    fields = message.model_dump(exclude_defaults=True, exclude={"weight"})
    return fields | {"content": special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", message.content)}


def until_turn_ends(rendered: str, ends: Sequence[str]) -> str:
    """`rendered` cut behind its first end-of-turn token; line feeds that the template adds after it stay out."""
    cuts = [rendered.find(end) + len(end) for end in ends if end in rendered]
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
