"""What a teacher says: its likeliest tokens at each place of our rows, or its answers to our prompts.

From a model on this machine: the `top` likeliest tokens at every learnt token, computed once for the run and kept in
its folder: 8 * top bytes a learnt token (256 MB for a million tokens at top 32), on disk and never whole in memory.
From an OpenAI-shaped server: an answer to each prompt, kept line by line as they come, and with each of its tokens the
likeliest ones where the server names tokens by their ids. Knows nothing of the student and of losses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.lm.chat import Chat
from luthier.lm.client import Client, Reply
from luthier.store.files import replacing, sync
from luthier.training import sft
from luthier.training.batches import micro_batches
from luthier.training.checkpoint import writing
from luthier.training.method import Item
from luthier.training.rollouts import TOKEN, Asked, stop_id

IDS, SAID, ANSWERS = "teacher-ids.npy", "teacher-logps.npy", "teacher-answers.jsonl"
AT_ONCE = 8
"""Requests at a time."""
NEVER = -1e9
"""Log-probability of a place that the teacher left empty: its probability is 0 in any precision."""


class Likeliest(NamedTuple):
    """The teacher's likeliest tokens at N learnt tokens, row by row in the order of the rows."""

    ids_NK: NDArray[np.int32]
    said_NK: NDArray[np.float32]
    """Log-probabilities at the temperature of the run."""


class Asking(NamedTuple):
    """What a teacher model is asked."""

    top: int
    temperature: float
    vocabulary: int
    """Tokens that the student knows: matrices may be padded beyond the tokenizer's."""
    most: int
    """Tokens that go through the teacher at once."""


@torch.no_grad()
def likeliest(teacher: PreTrainedModel, items: Sequence[Item], asking: Asking, folder: Path) -> Likeliest:
    """The likeliest tokens at every learnt token of `items`, written into `folder`, whole or not at all."""
    teacher.eval()
    starts = offsets(items)
    width = min(asking.top, asking.vocabulary, int(teacher.get_input_embeddings().weight.shape[0]))
    with writing("what the teacher says", folder):
        folder.mkdir(parents=True, exist_ok=True)
        shape = (starts[-1], width)
        ids_NK = np.lib.format.open_memmap(folder / f".{IDS}", mode="w+", dtype=np.int32, shape=shape)
        said_NK = np.lib.format.open_memmap(folder / f".{SAID}", mode="w+", dtype=np.float32, shape=shape)
        for micro in micro_batches(range(len(items)), [len(item.ids) for item in items], asking.most):
            batch = sft.collate([items[i] for i in micro], 0)
            logits_NV = logits(teacher, batch.ids_BT, batch.predicting_N)[:, : asking.vocabulary]
            best = (logits_NV / asking.temperature).log_softmax(-1).topk(width)
            places = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in micro])
            ids_NK[places], said_NK[places] = best.indices.int().cpu().numpy(), best.values.cpu().numpy()
        for name, array in ((IDS, ids_NK), (SAID, said_NK)):  # where the second stands, the first is whole
            array.flush()
            sync(folder / f".{name}")
            (folder / f".{name}").replace(folder / name)
    return Likeliest(ids_NK, said_NK)


def offsets(items: Sequence[Item]) -> list[int]:
    """Where the learnt tokens of each item begin among those of all, and how many there are."""
    counts = [sum(item.learnt[1:]) for item in items]  # the first token of a row is predicted by nothing
    return [0, *np.cumsum(counts).tolist()]


def pointed(items: Sequence[Item]) -> list[Item]:
    """The items, each knowing where its learnt tokens begin."""
    return [item._replace(known=(float(start),)) for item, start in zip(items, offsets(items), strict=False)]


def logits(model: PreTrainedModel, ids_BT: torch.Tensor, predicting_N: torch.Tensor) -> torch.Tensor:
    """Logits at the flat positions `predicting_N` and nowhere else, (N, V) in float32."""

    def pick(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].flatten(0, 1)[predicting_N.to(inputs[0].device)],)

    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        picked: torch.Tensor = model(input_ids=ids_BT.to(model.device), attention_mask=None, use_cache=False).logits
    finally:
        hook.remove()
    return picked.float()


def read(folder: Path) -> Likeliest | None:
    """What an earlier process of the run has kept."""
    if not (folder / SAID).is_file():
        return None
    arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (IDS, SAID)]
    return Likeliest(arrays[0], arrays[1])


class Answered(NamedTuple):
    """A teacher's answer. `ids` and `top` are empty where the server does not name tokens by their ids."""

    row: str
    text: str
    finish: str
    ids: list[int]
    top: list[list[tuple[int, float]]]
    """At each token the likeliest ones with their log-probabilities."""


class Server(NamedTuple):
    """A teacher behind an address."""

    client: Client
    model: str
    max_tokens: int
    top: int
    """How many of the likeliest tokens to ask for; 0 asks for the text alone."""


def answers(server: Server, asked: Sequence[Asked], chat: Chat, folder: Path) -> dict[str, Answered]:
    """The teacher's greedy answer to each prompt, by row. Those that `folder` has already are not asked for again.

    Raises BadConfig where `top` is asked for and the server renders or names tokens otherwise than we do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ANSWERS
    found = {each.row: each for each in kept_answers(path)}
    left = [one for one in asked if one.row not in found]
    with writing("the teacher's answers", folder), path.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), AT_ONCE):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                some = list(pool.map(lambda one: answer(server, one, chat), left[start : start + AT_ONCE]))
            for each in some:
                found[each.row] = each
                file.write(json.dumps(each._asdict()) + "\n")
            file.flush()
    return found


def kept_answers(path: Path) -> Iterator[Answered]:
    """The whole lines of the file; half a line, of a process that died, is cut off."""
    if not path.is_file():
        return
    whole, end, _ = path.read_text(encoding="utf-8").rpartition("\n")
    with replacing(path) as file:
        file.write((whole + end).encode())
    for line in whole.splitlines():
        yield Answered(**json.loads(line))


def answer(server: Server, one: Asked, chat: Chat) -> Answered:
    """One answer."""
    wanted = {"logprobs": True, "top_logprobs": server.top, "return_tokens_as_token_ids": True} if server.top else {}
    messages = [message.model_dump(exclude_defaults=True, exclude={"weight"}) for message in one.messages]
    reply = server.client.chat(
        messages, server.model, max_tokens=server.max_tokens, temperature=0.0, seed=0, extra=wanted
    )
    ids, top = tokens(reply, one, chat) if server.top else ([], [])
    return Answered(one.row, reply.text, reply.finish, ids, top)


def tokens(reply: Reply, one: Asked, chat: Chat) -> tuple[list[int], list[list[tuple[int, float]]]]:
    """The answer's tokens and the likeliest ones at each. Raises BadConfig where they cannot be told from the reply."""
    if reply.prompt_tokens not in (0, len(one.ids)):
        raise BadConfig(
            f"the teacher reads row {one.row} as {reply.prompt_tokens} tokens, and the student as {len(one.ids)}",
            "take a teacher with the student's tokenizer and template, or set top: 0 to learn from its text alone",
        )
    told: list[dict[str, Any]] = (reply.raw["choices"][0].get("logprobs") or {}).get("content") or []
    if not told and not reply.text:  # it stopped at once: nothing to learn, and nothing wrong with the server
        return [], []
    if not told or not all(str(each["token"]).startswith(TOKEN) for each in told):
        raise BadConfig(
            "the teacher's server does not name tokens by their ids",
            "set top: 0 to learn from its text alone, or serve it with our engine or vLLM",
        )
    top = [[(number(each), float(each["logprob"])) for each in place["top_logprobs"]] for place in told]
    ids = [number(each) for each in told]
    if reply.finish == "stop" and ids[-1] not in chat.stop_ids:  # it did stop there, and the server does not tell how
        ids, top = [*ids, stop_id(chat)], [*top, [(stop_id(chat), 0.0)]]
    return ids, top


def number(each: dict[str, Any]) -> int:
    """The id in `token_id:123`."""
    return int(str(each["token"]).removeprefix(TOKEN))


def as_arrays(rows: Sequence[Answered], width: int) -> Likeliest:
    """What a server said of its answers, row by row."""
    places = [place[:width] for each in rows for place in each.top]
    ids_NK = np.zeros((len(places), width), dtype=np.int32)
    said_NK = np.full((len(places), width), NEVER, dtype=np.float32)
    for n, place in enumerate(places):
        ids_NK[n, : len(place)] = [token for token, _ in place]
        said_NK[n, : len(place)] = [logprob for _, logprob in place]
    return Likeliest(ids_NK, said_NK)
