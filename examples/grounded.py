"""Answers that stand in the passage: a small model learns to read, on real questions about real articles.

    python -m examples.grounded --data ../shared/data/xquad

The set is XQuAD (Artetxe et al. 2020, arXiv:1910.11856), in English: 1,190 questions on 240 paragraphs of 48 articles.
It is split by article: no passage, and nothing that is near to one, is both learnt and asked.

- The prompt is the gateway's own (`lm.grounding.compose`), with the paragraph as the one passage. Base and
  tuned model get the same one; other wordings and worked examples left the base's F1 where it is.
- The answer is the gold span alone, without a marker: with one passage `[1]` says nothing, and a span that stands
  word for word in the passage is its own citation.
- A passage is paid for once: the questions on it follow each other in one row, as in a conversation. The first turn
  is what is served; the others bring a row of 200 tokens five answers instead of one. `--turns 1` leaves them out.
- The texts are not scrubbed. Like a company's documents they are published, and an answer is often a person's name.

Exact match and F1 are SQuAD's (Rajpurkar et al. 2016, arXiv:1606.05250): without case, punctuation and articles.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from examples import common
from examples.contest import BASE, TUNED, Compared, Contest, compare
from luthier.data.dedupe import Said, row_id
from luthier.data.split import split_of
from luthier.errors import BadData, Missing
from luthier.evaluation.suite import make_suite
from luthier.lm import grounding
from luthier.progress import Progress
from luthier.records.base import sha256
from luthier.records.data import Message, Row, SourceUse
from luthier.records.evaluation import Limit, Question
from luthier.records.knowledge import Passage
from luthier.store.workspace import Workspace

FILE = "xquad.en.json"
INSTRUCTION = "Answer with words of the passage, as few as possible and exactly as they stand there, and nothing else."
TEST, VALIDATION = 0.2, 0.02
LONGEST = 48
"""Tokens of an answer, at most; the longest gold span has 41."""
ARTICLES = re.compile(r"\b(?:a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


class Asked(NamedTuple):
    """A question and the span that answers it."""

    id: str
    question: str
    answer: str


class Paragraph(NamedTuple):
    """A passage with the questions on it; `line` counts from 1."""

    line: int
    passage: Passage
    asked: tuple[Asked, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """The example from the command line; returns its exit code."""
    defaults = {"rows": 1000, "held_out": 200, "learning_rate": 5e-4, "epochs": 2, "batch_rows": 4}
    flags = common.parser((__doc__ or "").partition("\n")[0], micro_tokens=768, **defaults)
    flags.add_argument("--turns", type=int, default=5, help="questions in a row, at most")
    flags.add_argument("--max-length", type=int, default=1024, help="tokens of a row; longer ones are left out")
    return common.main(grounded, flags.parse_args(arguments))


def grounded(asked: argparse.Namespace, workspace: Workspace, progress: Progress) -> tuple[Compared, dict[str, Any]]:
    """Data → training → base against tuned."""
    paragraphs = read(asked.data / FILE)
    rows = lessons(paragraphs, asked.rows, asked.turns, asked.seed)
    source = SourceUse(
        name="xquad",
        digest=sha256((asked.data / FILE).read_bytes()),
        licence="CC-BY-SA-4.0",
        consent="published",
        rows=len(rows),
    )
    dataset = common.dataset(workspace, rows, name="grounded", sources=(source,), seed=asked.seed)
    recipe = common.recipe(asked, name="grounded", max_length=asked.max_length, too_long="drop")
    model, run = common.train(workspace, recipe, dataset.id, progress)
    told = [Message(role="system", content=INSTRUCTION)]
    contest = Contest(
        suite=make_suite("grounded", held_out(paragraphs, asked), ("answers",), LONGEST, workspace.blobs),
        tuned=model,
        before={BASE: told, TUNED: told},
        marks={"exact": exact, "f1": f1},
        limits=(Limit(measure="f1", better_by=0.0, why="tuning has to pay"),),
    )
    taught = sum(message.role == "assistant" for row in rows if row.split == "train" for message in row.messages)
    counts = {"rows": dataset.counts["train"], "questions": taught}
    return compare(workspace, contest, progress), {"data": counts, "training": run}


def read(file: Path) -> list[Paragraph]:
    """The paragraphs of a file in SQuAD's form. Raises Missing, or BadData where it is in another."""
    try:
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        found = [
            (article["title"], paragraph["context"], tuple(map(entry, paragraph["qas"])))
            for article in articles
            for paragraph in article["paragraphs"]
        ]
    except OSError as error:
        raise Missing(f"there is no {file}", f"give --data the folder of xquad, which holds {FILE}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadData(f"{file} is not in SQuAD's form ({error!r})", "look at data / paragraphs / qas") from error
    return [Paragraph(line, passage(*texts), asked) for line, (*texts, asked) in enumerate(found, start=1)]


def entry(fields: dict[str, Any]) -> Asked:
    """One entry of `qas`."""
    return Asked(fields["id"], fields["question"].strip(), fields["answers"][0]["text"])


def passage(title: str, text: str) -> Passage:
    """A paragraph as the one passage of a prompt."""
    digest = sha256(text.encode())
    return Passage(document=title, title=title.replace("_", " "), digest=digest, start=0, end=len(text), text=text)


def lessons(paragraphs: Sequence[Paragraph], most: int, turns: int, seed: int) -> list[Row]:
    """Rows of the articles that are not held out, from at most `most` training questions."""
    found, left = [], most
    drawn = random.Random(seed)
    for paragraph in drawn.sample(paragraphs, len(paragraphs)):
        split = split_of(paragraph.passage.document, VALIDATION, TEST, seed)
        asked = drawn.sample(paragraph.asked, len(paragraph.asked))
        if split == "train":
            asked = asked[: max(left, 0)]
            left -= len(asked)
        for start in range(0, len(asked) if split != "test" else 0, turns):
            messages = tuple(conversation(paragraph.passage, asked[start : start + turns]))
            row = Row(
                id=row_id(Said(messages)),
                split=split,
                source="xquad",
                line=paragraph.line,
                messages=messages,
                language="en",
            )
            found.append(row)
    return found


def conversation(about: Passage, asked: Sequence[Asked]) -> Iterator[Message]:
    """The first question as the gateway asks it, the others behind it, each with its answer."""
    yield from prompt(about, asked[0].question)
    yield Message(role="assistant", content=asked[0].answer)
    for further in asked[1:]:
        yield Message(role="user", content=f"Question: {further.question}")
        yield Message(role="assistant", content=further.answer)


def prompt(about: Passage, text: str) -> list[Message]:
    """What the model sees before it answers."""
    return grounding.compose([Message(role="user", content=text)], [about], INSTRUCTION)


def held_out(paragraphs: Sequence[Paragraph], asked: argparse.Namespace) -> list[Question]:
    """At most `asked.held_out` questions on articles that nothing was learnt from, passages included."""
    known = {
        one.id: Question(id=one.id, question=prompt(paragraph.passage, one.question)[-1].content, reference=one.answer)
        for paragraph in paragraphs
        if split_of(paragraph.passage.document, VALIDATION, TEST, asked.seed) == "test"
        for one in paragraph.asked
    }
    return [known[name] for name in common.drawn(known, asked.held_out, asked.seed)]


def normal(text: str) -> list[str]:
    """The words that SQuAD compares; citation markers are no part of an answer."""
    plain = grounding.without_markers(text).lower().translate(PUNCTUATION)
    return ARTICLES.sub(" ", plain).split()


def exact(question: Question, answer: str) -> float:
    """1 if the answer is the gold span."""
    return float(normal(answer) == normal(question.reference))


def f1(question: Question, answer: str) -> float:
    """Harmonic mean of precision and recall over the words of answer and gold span."""
    said, wanted = Counter(normal(answer)), Counter(normal(question.reference))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


if __name__ == "__main__":
    sys.exit(main())
