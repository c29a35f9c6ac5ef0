"""Which of 77 intents is it? A small model learns to sort real messages to a bank's support desk.

    python -m examples.triage --data ../shared/data/banking77

The set is banking77 (Casanueva et al. 2020, arXiv:2003.04807): `train.csv` with columns text and category. Its rows go
through the data room (scrubbed, without duplicates, split by hash); what falls into the test split is asked, and never
trained on. What makes 1,500 rows teach much in few minutes:

- The label is learnt as words: `card arrival` is 2 tokens that the model knows, `card_arrival` is 4 pieces that it
  hardly does. Over the 77 labels that is 3.6 instead of 6.2 tokens, and the words tie the label to the message.
- The prompt that is trained is three words: after a few steps it only marks the task, and each of its tokens is paid
  for in every row. The untouched base gets the whole list of intents instead, else it could not know them, and three
  worked examples, without which it chats and names none.
- The draw is balanced: 19 or 20 rows of each intent, where the file has between 35 and 187.
- Steps are small and cut by length, so that little of what goes through the model is padding.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from examples import common
from examples.contest import BASE, TUNED, Compared, Contest, Mark, compare
from luthier.data import build as building
from luthier.data.dedupe import Said, row_id
from luthier.errors import Missing
from luthier.evaluation.suite import make_suite
from luthier.evaluation.wording import words
from luthier.progress import Progress
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Message, Row
from luthier.records.evaluation import Limit, Question
from luthier.records.project import DataPart, SourceSpec
from luthier.store.workspace import Workspace

FILE = "train.csv"
INSTRUCTION = "Name the intent."
FOR_BASE = """\
You sort messages that customers send to their bank. Answer with the one intent of this list that fits best, word for \
word, and with nothing else:
{intents}"""
EXAMPLES = {
    "My new card has still not come, where is it?": "card arrival",
    "How do I close my account?": "terminate account",
    "I typed a wrong code three times": "pin blocked",
}
"""Written for this prompt: none is a row of the set."""
ALLOWED = ("Apple Pay", "Google Pay", "American Express", "Amex", "Visa", "Mastercard", "Maestro", "SEPA", "SWIFT")
"""Products that customers of any bank speak of: nobody's names."""
TEST, VALIDATION = 0.05, 0.01
LONGEST = 16
"""Tokens of an answer, at most; the longest intent has 9."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The example from the command line; returns its exit code."""
    defaults = {"rows": 1500, "held_out": 400, "learning_rate": 5e-4, "epochs": 2, "batch_rows": 8}
    flags = common.parser((__doc__ or "").partition("\n")[0], micro_tokens=320, **defaults)
    return common.main(triage, flags.parse_args(arguments))


def triage(asked: argparse.Namespace, workspace: Workspace, progress: Progress) -> tuple[Compared, dict[str, Any]]:
    """Data → training → base against tuned."""
    whole = read(asked.data / FILE, workspace, progress)
    rows = [worded(row) for row in building.rows(whole, workspace.blobs)]
    intents = sorted({intent(row) for row in rows})
    lessons = balanced([row for row in rows if row.split == "train"], asked.rows, asked.seed)
    lessons += [row for row in rows if row.split == "validation"]
    sources, parents = whole.sources, (Parent("scrubbed rows", whole.id),)
    dataset = common.dataset(workspace, lessons, name="triage-balanced", sources=sources, made_from=parents)
    model, run = common.train(workspace, common.recipe(asked, name="triage"), dataset.id, progress)
    questions = held_out([row for row in rows if row.split == "test"], asked.held_out, asked.seed)
    contest = Contest(
        suite=make_suite("triage", questions, ("exact",), LONGEST, workspace.blobs),
        tuned=model,
        before={BASE: list(shown(intents)), TUNED: [Message(role="system", content=INSTRUCTION)]},
        marks={"invalid": invalid(intents)},
        limits=(Limit(measure="exact", better_by=0.0, why="tuning has to pay"),),
    )
    counts = {"rows": dataset.counts["train"], "intents": len(intents), "personal": whole.personal}
    return compare(workspace, contest, progress), {"data": counts, "training": run}


def read(file: Path, workspace: Workspace, progress: Progress) -> DatasetVersion:
    """The file as a dataset version: scrubbed, without duplicates, split, kept in the ledger."""
    if not file.is_file():
        raise Missing(f"there is no {file}", "give --data the folder of banking77, which holds train.csv")
    source = SourceSpec(
        name="banking77",
        path=file.name,
        format="csv",
        mapping={"user": "text", "assistant": "category"},
        licence="CC-BY-4.0",
        consent="published",
    )
    part = DataPart(name="triage", sources=(source,), allow=ALLOWED, test=TEST, validation=VALIDATION)
    key = workspace.pseudonym_key
    version = building.build(part, file.parent, workspace.blobs, key=key, progress=progress)
    workspace.ledger.put(version)
    return version


def worded(row: Row) -> Row:
    """The row as it is learnt: a short instruction, the message, and the intent as words."""
    system = Message(role="system", content=INSTRUCTION)
    answer = Message(role="assistant", content=" ".join(words(row.messages[-1].content.replace("_", " "))))
    messages = (system, *row.messages[:-1], answer)
    return row.model_copy(update={"id": row_id(Said(messages)), "messages": messages})


def intent(row: Row) -> str:
    """The label of a row."""
    return row.messages[-1].content


def balanced(rows: Iterable[Row], most: int, seed: int) -> list[Row]:
    """At most `most` rows, as many of each intent as there are: drawn in turns, by a hash."""
    by_intent: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_intent[intent(row)][row.id] = row
    piles = [[pile[name] for name in common.drawn(pile, len(pile), seed)] for _, pile in sorted(by_intent.items())]
    return [row for row in chain(*zip_longest(*piles)) if row is not None][:most]


def held_out(rows: Iterable[Row], most: int, seed: int) -> list[Question]:
    """At most `most` questions with their intents, drawn by a hash: the mix that customers send."""
    by_id = {row.id: row for row in rows}
    chosen = (by_id[name] for name in common.drawn(by_id, most, seed))
    return [Question(id=row.id, question=row.messages[1].content, reference=intent(row)) for row in chosen]


def shown(intents: Iterable[str]) -> Iterator[Message]:
    """What the untouched base is told before it is asked."""
    yield Message(role="system", content=FOR_BASE.format(intents="\n".join(intents)))
    for text, label in EXAMPLES.items():
        yield Message(role="user", content=text)
        yield Message(role="assistant", content=label)


def invalid(intents: Iterable[str]) -> Mark:
    """1 for an answer that is no intent at all, however spelled: nobody could route by it."""
    known = {tuple(words(one)) for one in intents}
    return lambda question, answer: float(tuple(words(answer)) not in known)


if __name__ == "__main__":
    sys.exit(main())
