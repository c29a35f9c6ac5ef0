"""Answers that a model gives while it learns: drawn in this process, or by an engine that serves the step's adapter.

Every draw follows from (seed, step, row, number of the answer): in this process the answers of a step are a pure
function of the weights. Knows nothing of rewards and losses.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from transformers import PreTrainedModel

from luthier.errors import BadConfig, UnknownName
from luthier.lm.chat import Chat
from luthier.lm.client import Client, Reply
from luthier.records.base import sha256
from luthier.records.data import Message, Row
from luthier.training.answering import until_stop
from luthier.training.method import Item

TOGETHER = 32
"""Answers that are drawn in one batch."""
AT_ONCE = 16
"""Requests to an engine at a time."""
MOST_CHOICES = 16
"""Answers in one request."""
TOKEN = "token_id:"
NEUTRAL = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0}
"""What a model's generation_config.json may change about its own chances: not while it is judged by them."""


class Asked(NamedTuple):
    """A row as a question: the prompt, and what a grader may want to know of it."""

    row: str
    messages: tuple[Message, ...]
    ids: list[int]
    """The prompt as a server feeds it."""
    reference: str
    metadata: dict[str, str]


class Answer(NamedTuple):
    """An answer that was drawn."""

    ids: list[int]
    """Through the token that stops generation, if one does."""
    text: str
    stopped: bool
    said: tuple[float, ...] = ()
    """What the engine said of each token, before temperature; not a number where that is not known, empty where none
    was asked."""


class Draw(NamedTuple):
    """How answers are drawn."""

    samples: int
    max_tokens: int
    temperature: float
    seed: int


class Sampler(Protocol):
    """Draws `samples` answers to each question, with the weights as they are."""

    def __call__(self, asked: Sequence[Asked], step: int, /) -> list[list[Answer]]: ...


def asked(row: Row, chat: Chat) -> Asked:
    """The row's prompt; a last turn of the assistant is the reference, unless somebody rated it as not wanted."""
    known = row.messages[-1].role == "assistant"
    before = row.messages[:-1] if known else row.messages
    reference = row.messages[-1].content if known and row.good is not False else ""
    return Asked(row.id, before, chat.prompt_ids(before, row.tools), reference, dict(row.metadata))


def stand_in(row: Row, one: Asked, chat: Chat) -> Item:
    """The row as the pre-flight tries it before there are answers: with its reference, or with an empty answer."""
    whole = chat.training_ids(row.messages, row.tools).ids if one.reference else [*one.ids, min(chat.stop_ids)]
    begin = len(one.ids)
    return Item(row.id, whole, [False] * begin + [True] * (len(whole) - begin))


def seed_of(seed: int, step: int, row: str, number: int) -> int:
    """The seed of one answer, below 2^48 so that any JSON carries it."""
    return int(sha256(f"{seed}/{step}/{row}/{number}".encode())[:12], 16)


class Drawn:
    """A logits processor that leaves one token a row: drawn from softmax(logits / T) by a number of that row's own.

    So an answer does not depend on what else is in the batch, as draws from one shared generator would.
    """

    def __init__(self, seeds: Sequence[int], width: int, draw: Draw) -> None:
        self.width, self.temperature = width, draw.temperature
        numbers = [torch.rand(draw.max_tokens, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self.numbers_BT = torch.stack(numbers)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        number_B1 = self.numbers_BT[:, input_ids.shape[1] - self.width, None].to(scores.device, torch.float64)
        upto_BV = (scores.float() / self.temperature).softmax(-1).double().cumsum(-1)
        token_B1 = torch.searchsorted(upto_BV, number_B1 * upto_BV[:, -1:], right=True)
        token_B1 = token_B1.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token_B1, 0.0)


def local(model: PreTrainedModel, chat: Chat, draw: Draw) -> Sampler:
    """Answers drawn by `model` itself."""

    @torch.no_grad()
    def sample(asked: Sequence[Asked], step: int) -> list[list[Answer]]:
        model.eval()
        wanted = [(q, number) for q in range(len(asked)) for number in range(draw.samples)]
        wanted.sort(key=lambda pair: len(asked[pair[0]].ids))
        answers: list[list[Answer]] = [[] for _ in asked]
        for start in range(0, len(wanted), TOGETHER):
            some = wanted[start : start + TOGETHER]
            seeds = [seed_of(draw.seed, step, asked[q].row, number) for q, number in some]
            drawn = batch(model, [asked[q].ids for q, _ in some], chat, seeds, draw)
            for (q, _), ids in zip(some, drawn, strict=True):
                answers[q].append(answer(ids, chat))
        return answers

    return sample


def batch(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], chat: Chat, seeds: Sequence[int], draw: Draw
) -> list[list[int]]:
    """An answer to each prompt, all drawn together, prompts padded on the left."""
    width, pad = max(map(len, prompts)), min(chat.stop_ids)
    ids_BT = torch.tensor([[pad] * (width - len(ids)) + [*ids] for ids in prompts], device=model.device)
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    settings = copy.deepcopy(model.generation_config)
    settings.update(max_new_tokens=draw.max_tokens, do_sample=False, use_cache=True, **NEUTRAL)
    settings.update(eos_token_id=sorted(chat.stop_ids), pad_token_id=pad)
    drawn_BT = model.generate(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        generation_config=settings,
        logits_processor=[Drawn(seeds, width, draw)],
    )[:, width:]
    return [until_stop(ids, chat.stop_ids) for ids in drawn_BT.tolist()]


def answer(ids: list[int], chat: Chat, said: tuple[float, ...] = ()) -> Answer:
    """The answer that these ids spell."""
    text = str(chat.tokenizer.decode(ids, skip_special_tokens=True))
    return Answer(ids, text, ids[-1] in chat.stop_ids, said)


class Engine(NamedTuple):
    """An engine that serves the base, and how the step's adapter gets to it."""

    client: Client
    name: str
    """What the adapter is called there while a step lasts."""
    folder: Path
    """Where the engine reads it: a folder that both see."""
    write: Callable[[Path], None]
    """Writes the adapter as it is now into a folder."""


def served(engine: Engine, chat: Chat, draw: Draw) -> Sampler:
    """Answers drawn by the engine with the adapter as it is now. Raises what `Client` does."""

    def sample(asked: Sequence[Asked], step: int) -> list[list[Answer]]:
        counts = [min(MOST_CHOICES, draw.samples - first) for first in range(0, draw.samples, MOST_CHOICES)]
        parts = [
            (one, n, first)
            for one in asked
            for first, n in zip(range(0, draw.samples, MOST_CHOICES), counts, strict=True)
        ]

        def ask(part: tuple[Asked, int, int]) -> list[Answer]:
            one, n, first = part
            seed = seed_of(draw.seed, step, one.row, first)
            extra = {"n": n, "logprobs": True, "return_tokens_as_token_ids": True}
            messages = [message.model_dump(exclude_defaults=True, exclude={"weight"}) for message in one.messages]
            reply = engine.client.chat(
                messages, engine.name, max_tokens=draw.max_tokens, temperature=draw.temperature, seed=seed, extra=extra
            )
            return answers_in(reply, one, chat)

        with loaded(engine), ThreadPoolExecutor(AT_ONCE) as pool:
            drawn = list(pool.map(ask, parts))
        each = len(counts)
        return [[one for part in drawn[q * each : (q + 1) * each] for one in part] for q in range(len(asked))]

    return sample


@contextlib.contextmanager
def loaded(engine: Engine) -> Iterator[None]:
    """The adapter as it is now is served inside the block. One that a killed run left behind is replaced."""
    engine.write(engine.folder)
    with contextlib.suppress(UnknownName):
        engine.client.unload_adapter(engine.name)
    engine.client.load_adapter(engine.name, str(engine.folder.resolve()))
    try:
        yield
    finally:
        engine.client.unload_adapter(engine.name)


def answers_in(reply: Reply, one: Asked, chat: Chat) -> list[Answer]:
    """The choices of a reply. Raises BadConfig where the engine fed the model another prompt than ours."""
    if reply.prompt_tokens not in (0, len(one.ids)):
        raise BadConfig(
            f"the engine renders row {one.row} as {reply.prompt_tokens} tokens, and we as {len(one.ids)}",
            "let it serve the same base folder, or leave `engine` out",
        )
    choices = sorted(reply.raw["choices"], key=lambda choice: int(choice.get("index", 0)))
    return [as_answer(choice, one, chat) for choice in choices]


def as_answer(choice: dict[str, Any], one: Asked, chat: Chat) -> Answer:
    """One choice. Where the engine names tokens by their ids, those; else its text is tokenised again, which may give
    other tokens than were drawn: such an answer says nothing of what was thought of each."""
    told = (choice.get("logprobs") or {}).get("content") or []
    text, stopped = choice["message"].get("content") or "", choice.get("finish_reason") == "stop"
    said = [float(each["logprob"]) for each in told]
    if told and all(str(each["token"]).startswith(TOKEN) for each in told):
        ids = [int(each["token"].removeprefix(TOKEN)) for each in told]
    else:
        before = chat.text(one.messages, prompt=True)
        whole = chat.encode(before + text)
        ids = whole[len(one.ids) :] if whole[: len(one.ids)] == one.ids else chat.encode(text)
        said = said if len(said) == len(ids) else [math.nan] * len(ids)
    if not ids or (stopped and ids[-1] not in chat.stop_ids):  # the token that stops is not always told
        ids, said = [*ids, stop_id(chat)], [*said, math.nan]
    return Answer(ids, text, stopped, tuple(said))


def stop_id(chat: Chat) -> int:
    """The token that ends a turn, where a server does not say which did."""
    end = chat.tokenizer.eos_token_id
    return int(end) if end in chat.stop_ids else min(chat.stop_ids)
