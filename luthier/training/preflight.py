"""What is refused before step 0 because it would fail silently later. Takes seconds; every check says what it saw.

Rows: who speaks when, the template, the end of a turn is learnt, something is learnt, lengths, ids inside the
vocabulary, one beginning-of-sequence token, what is trained is what is served, overlap with what is held out. Model:
tokenizer and template are the base's, something is trainable, only linear layers before the output layer get
adapters, rows in one batch do not see each other, the disk holds the checkpoints, and a real probe: a few steps on
one small batch must lower the loss and move every trainable tensor, and the heaviest batch must fit in memory.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from luthier.errors import BadConfig, BadData, NoRoom, RunFailed
from luthier.lm.chat import Chat
from luthier.records.data import Row
from luthier.records.training import Recipe
from luthier.training import isolation, rows
from luthier.training.batches import heaviest
from luthier.training.method import Item, Method
from luthier.training.optimiser import Optimiser

PROBE_STEPS = 4


class Ledger(NamedTuple):
    """Where the tokens went: read = trained + cut + dropped."""

    rows: int
    dropped_rows: int
    tokens: int
    """Of the rows that are trained on, in one epoch."""
    dropped_tokens: int
    """Of rows that are too long."""
    learnt: int
    """Tokens that the loss is taken at."""
    longest: int
    cut_tokens: int = 0
    """Of turns behind a row's last assistant turn: nothing is learnt from them. No answer is ever cut."""

    def spelled(self) -> str:
        """The ledger as one sentence."""
        read = self.tokens + self.cut_tokens + self.dropped_tokens
        return (
            f"{read:,} tokens read = {self.tokens:,} trained on ({self.learnt:,} learnt, {self.rows:,} rows) "
            f"+ {self.cut_tokens:,} cut behind the last answer + {self.dropped_tokens:,} dropped "
            f"({self.dropped_rows:,} rows too long)"
        )


class Prepared(NamedTuple):
    """The rows as the method made them, and the ledger of their tokens."""

    items: tuple[Item, ...]
    ledger: Ledger


def prepare(given: Sequence[Row], method: Method, chat: Chat, recipe: Recipe, vocabulary: int) -> Prepared:
    """Every row made ready and checked. Raises BadData that names the first row at fault and how many there are."""
    items: list[Item] = []
    faults: list[tuple[Row, BadData]] = []
    cut = 0
    for row in given:
        try:
            rows.check_roles(row)
            item = method.prepare(row, chat)
            check_item(item, chat, vocabulary)
            items.append(item)
            cut += behind_last_answer(row, item, chat)
        except BadData as fault:
            faults.append((row, fault))
    if faults:
        row, first = faults[0]
        count = f"{len(faults)} of {len(given)} rows cannot be trained on"
        raise BadData(f"{count}; the first is row {row.id} ({row.source}:{row.line}): {first.what}", first.mend)
    if not items:
        raise BadData("there is no row to train on", "look at the quarantine of the dataset: luthier data show")
    fitting = [item for item in items if len(item.ids) <= recipe.max_length]
    dropped = len(items) - len(fitting)
    if dropped and (recipe.too_long == "refuse" or not fitting):
        longer = next(item for item in items if len(item.ids) > recipe.max_length)
        raise BadData(
            f"{dropped} of {len(items)} rows are longer than max_length {recipe.max_length}; "
            f"the first is row {longer.row} with {len(longer.ids)} tokens",
            "raise max_length, or say too_long: drop",
        )
    tokens, kept = (sum(len(item.ids) for item in group) for group in (items, fitting))
    return Prepared(
        tuple(fitting),
        Ledger(
            rows=len(fitting),
            dropped_rows=dropped,
            tokens=kept,
            dropped_tokens=tokens - kept,
            learnt=sum(item.targets for item in fitting),
            longest=max(len(item.ids) for item in fitting),
            cut_tokens=cut,
        ),
    )


def behind_last_answer(row: Row, item: Item, chat: Chat) -> int:
    """Tokens of the turns that follow the last one to learn: they are not fed to the model."""
    if not row.messages or row.messages[-1].role == "assistant":
        return 0
    return max(0, len(chat.encode(chat.text(row.messages, tools=row.tools))) - len(item.ids))


def check_item(item: Item, chat: Chat, vocabulary: int) -> None:
    """Refuse a row that would teach something else than it says."""
    if not item.targets:
        raise BadData("it has no assistant turn to learn", "give it one, or remove its weight: 0")
    if max(item.ids) >= vocabulary:
        raise BadData(
            f"it has token {max(item.ids)}, and the model knows {vocabulary} tokens", "use the base's own tokenizer"
        )
    if item.ids[:2].count(chat.tokenizer.bos_token_id) > 1:
        raise BadData("it begins with two beginning-of-sequence tokens", "mend the chat template")
    starts = {*item.branches, len(item.ids)}
    ends = [t for t, learnt in enumerate(item.learnt) if learnt and (t + 1 in starts or not item.learnt[t + 1])]
    if any(item.ids[t] not in chat.stop_ids for t in ends):
        raise BadData(
            "an assistant turn does not end with a token that stops generation",
            "the chat template has to close the turn with one of: " + ", ".join(chat.end_of_turn),
        )


def check_overlap(train: Sequence[Row], held_out: Sequence[Row]) -> tuple[str, ...]:
    """Refuse the same dialogue on both sides, however it is spelled: what is measured there would flatter.

    Rows that are nearly the same are named in the sentence that is returned.
    """
    if pairs := rows.same(train, held_out):
        pair, more = pairs[0], len(pairs) - 1
        raise BadData(
            f"row {pair.held_out} of the validation rows is row {pair.trained} of the training rows"
            + (f", and so are {more} more" if more else ""),
            "rebuild the dataset: luthier data build",
        )
    if not (near := rows.nearly(train, held_out)):
        return ()
    first = f"the first is {near[0].held_out}, which is nearly {near[0].trained}"
    return (
        f"{len(near)} of {len(held_out)} held-out rows are nearly training rows: {first}; data.near takes them out",
    )


def check_tokenizer(model: PreTrainedModel, chat: Chat) -> None:
    """Refuse a tokenizer that ends turns with a token that the model has no row for."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if beyond := [token for token in sorted(chat.stop_ids) if token >= min(vocabulary, len(chat.tokenizer))]:
        known = len(chat.tokenizer)
        raise BadConfig(
            f"generation ends at token {beyond[0]}; the tokenizer has {known} tokens, the model {vocabulary}",
            "fetch the base model's folder again: its tokenizer is not its own",
        )


def check_company(model: PreTrainedModel, items: Sequence[Item], recipe: Recipe, pad: int) -> tuple[str, ...]:
    """Refuse a model in which rows of one batch see each other; one sentence where the base merely guesses."""
    some = sorted(items, key=lambda item: len(item.ids))[:2]
    isolation.check(model, some, pad, packed=recipe.packing, exact=recipe.quantised == "none")
    guess = isolation.guesses(model, some)
    return (guess,) if guess else ()


def check_model(model: PreTrainedModel, recipe: Recipe) -> int:
    """How many numbers will be trained. Raises BadConfig where none are, or an adapter sits on tokens or logits."""
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise BadConfig("nothing would be trained", "use lora with targets: all-linear, or lora: null")
    unserved = [name for name in trainable if "lm_head" in name or "lora_embedding" in name]
    if recipe.lora and unserved:
        raise BadConfig(f"no serving engine takes an adapter at {unserved[0]}", "use targets: all-linear")
    return sum(trainable.values())


def check_disk(folder: Path, trainable: int) -> None:
    """Refuse a run whose checkpoints (three float32 tensors a trained number, up to three at once) do not fit."""
    needed = trainable * 4 * 3 * 3
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"checkpoints need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free", f"make room at {folder}"
        )


def probe(model: PreTrainedModel, method: Method, items: Sequence[Item], recipe: Recipe, pad: int) -> None:
    """A few steps on the shortest rows: the loss must fall and every trainable tensor move. Leaves the model as it was.

    Also runs the heaviest micro-batch once: what does not fit in memory fails now and not in an hour.
    """
    optimiser = Optimiser(model, recipe)
    before = {name: tensor.clone() for name, tensor in optimiser.state().items()}
    model.train()
    try_heaviest(model, method, items, recipe, pad)
    batch = method.collate(sorted(items, key=lambda item: len(item.ids))[:2], pad)
    losses: list[float] = []
    for _ in range(PROBE_STEPS):
        loss = method.loss(model, batch)
        torch.autograd.backward(loss.total)
        optimiser.gather()
        optimiser.step(loss.terms, float(recipe.learning_rate))
        losses.append(float(loss.total.detach()) / loss.terms)
    still = [name for name, master in optimiser.masters.items() if torch.equal(master, before[f"master/{name}"])]
    optimiser.load(before)
    if not math.isfinite(losses[0]):
        raise RunFailed(
            f"before any training the loss is {losses[0]}; its rows are {', '.join(batch.rows)}",
            "fetch the base model again, or use dtype: float32",
        )
    if not losses[-1] <= losses[0]:
        raise BadConfig(
            f"on one small batch the loss went from {losses[0]:.3f} to {losses[-1]:.3f} in {PROBE_STEPS} steps",
            f"lower learning_rate (it is {recipe.learning_rate})",
        )
    if still:
        raise BadConfig(
            f"{len(still)} trainable tensors do not move, the first is {still[0]}",
            f"choose other lora targets, or raise learning_rate (it is {recipe.learning_rate})",
        )


def try_heaviest(model: PreTrainedModel, method: Method, items: Sequence[Item], recipe: Recipe, pad: int) -> None:
    """Run the heaviest micro-batch forward and backward. Raises RunFailed where the device has no memory for it."""
    micro = [items[row] for row in heaviest([len(item.ids) for item in items], recipe)]
    try:
        torch.autograd.backward(method.loss(model, method.collate(micro, pad)).total)
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            f"the device has no memory for {len(micro)} rows of up to {max(len(item.ids) for item in micro)} tokens",
            "lower micro_tokens and max_length, or use dtype: bfloat16",
        ) from error
    model.zero_grad(set_to_none=True)
