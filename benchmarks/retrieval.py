"""How well passages are found, and how fast: BM25, vectors and both, on two public sets and the sample documents.

    python -m benchmarks.retrieval --data ../shared/data --json

- aws_docs_qa (CC-BY-4.0, CC-BY-SA-4.0, MIT-0): 50 questions, 1331 pages; the right page is `gold_path`.
- bank_kb (MIT): 65 tasks, 698 documents; a task's text is the question, any of its `required_documents` is right.

A document's rank is that of its best passage. The floor on aws_docs_qa is LanceDB's full-text search over whole
pages, which is measured again beside ours.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmarks.machine import Cell, show
from luthier.knowledge import table
from luthier.knowledge.index import build
from luthier.knowledge.search import How, Searcher
from luthier.knowledge.vectors import Embed
from luthier.lm.embed import Embedder
from luthier.lm.pull import local
from luthier.records.knowledge import IndexVersion
from luthier.records.project import KnowledgePart
from luthier.store.workspace import Workspace

SAMPLE = Path(__file__).parents[1] / "luthier" / "sample"
DEPTH = 200  # passages that are rolled up to documents
REPEATS = 200  # searches that are timed


class Scores(NamedTuple):
    """Share of the questions with a right document first, and among ten; mean of 1 / rank, 0 behind the tenth."""

    hit_1: float
    hit_10: float
    mrr: float


AWS_FLOOR = Scores(0.76, 0.96, 0.828)


class Asked(NamedTuple):
    """A question and the documents of which any is right."""

    question: str
    right: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds aws_docs_qa and bank_kb")
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="a name of the catalogue, or a folder")
    parser.add_argument("--workspace", type=Path, help="kept, so that a second run need not embed again")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    embed = Embedder(local(chosen.embedder))
    with TemporaryDirectory() as scratch:
        folder = chosen.workspace or Path(scratch)
        with Workspace.open(folder, create=True) as workspace:
            cells = aws(chosen.data / "aws_docs_qa", workspace, embed)
            cells += bank(chosen.data / "bank_kb", workspace, embed, Path(scratch))
        with Workspace.open(Path(scratch) / "sample", create=True) as workspace:
            cells += speed(workspace, embed)
    show(cells, chosen.json)


def aws(data: Path, workspace: Workspace, embed: Embed) -> list[Cell]:
    """Questions on 1331 pages of documentation."""
    index = build(KnowledgePart(name="aws", documents="documents"), data, workspace, embed, told)
    with (data / "questions.csv").open(encoding="utf-8", newline="") as file:
        asked = [
            Asked(row["question"], frozenset([row["gold_path"].removeprefix("documents/").removesuffix(".md")]))
            for row in csv.DictReader(file)
        ]
    whole = {"bm25 over whole pages": scores(asked, whole_pages(index, workspace))}
    return quality("aws_docs_qa", asked, Searcher(workspace, index, embed), whole, AWS_FLOOR)


def bank(data: Path, workspace: Workspace, embed: Embed, scratch: Path) -> list[Cell]:
    """Tasks of a service desk; asked with the rights of staff, for many of the documents are internal."""
    folder = scratch / "bank_kb"
    folder.mkdir()
    for path in sorted((data / "documents").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        audience = "staff" if document["title"].startswith("Internal") else "public"
        title = json.dumps(document["title"], ensure_ascii=False)
        text = f"---\ntitle: {title}\naudience: {audience}\n---\n\n{document['content']}\n"
        (folder / f"{document['id']}.md").write_text(text, encoding="utf-8")
    index = build(KnowledgePart(name="bank", documents="bank_kb"), scratch, workspace, embed, told)
    tasks = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((data / "tasks").glob("*.json"))]
    asked = [
        Asked(task["user_scenario"]["instructions"], frozenset(task["required_documents"]))
        for task in tasks
        if task["required_documents"]
    ]
    whole = {"bm25 over whole pages": scores(asked, whole_pages(index, workspace))}
    return quality("bank_kb", asked, Searcher(workspace, index, embed), whole, None)


def quality(
    name: str, asked: Sequence[Asked], searcher: Searcher, rivals: dict[str, Scores], floor: Scores | None
) -> list[Cell]:
    """hit@1, hit@10 and MRR of the hybrid search beside its two halves and `rivals`."""

    def by(how: How) -> Scores:
        return scores(asked, lambda question: documents(searcher, question, how))

    ours = by("hybrid")
    beside = {"bm25": by("bm25"), "vectors": by("vectors")} | rivals
    return [
        Cell(
            name=f"{name} {measure}",
            unit="share",
            ours=ours[place],
            rivals={rival: figures[place] for rival, figures in beside.items()},
            floor=floor[place] if floor else None,
        )
        for place, measure in enumerate(("hit@1", "hit@10", "MRR"))
    ]


def documents(searcher: Searcher, question: str, how: How) -> list[str]:
    """Documents in the order of their best passages."""
    return list(dict.fromkeys(passage.document for passage in searcher.search(question, DEPTH, "staff", how=how)))


def whole_pages(index: IndexVersion, workspace: Workspace) -> Callable[[str], list[str]]:
    """LanceDB's full-text search with each document as one row."""
    rows = [
        table.Row(
            version.name, 0, 0, "", version.audience, version.locale, workspace.blobs.get(version.digest).decode()
        )
        for version in index.documents
    ]
    folder = workspace.folder / "whole" / Path(index.folder).name
    table.create(folder, rows, np.ones((len(rows), 1), dtype=np.float32))
    pages = table.Table(folder)
    return lambda question: [hit.document for hit in pages.match(question, "en", 10, ["public", "staff"])[0]]


def scores(asked: Sequence[Asked], search: Callable[[str], list[str]]) -> Scores:
    """Each question is searched for once."""
    ranks = [
        next((place for place, name in enumerate(search(question)[:10], start=1) if name in right), None)
        for question, right in asked
    ]
    first, found = sum(rank == 1 for rank in ranks), [rank for rank in ranks if rank]
    figures = (first, len(found), sum(1 / rank for rank in found))
    return Scores(*(round(figure / len(asked), 3) for figure in figures))


def speed(workspace: Workspace, embed: Embed) -> list[Cell]:
    """Seconds to index the sample documents; milliseconds of a search in them, the question's vector being at hand."""
    started = time.perf_counter()
    index = build(KnowledgePart(documents="documents"), SAMPLE, workspace, embed)
    seconds = time.perf_counter() - started
    known: dict[str, np.ndarray] = {}

    def at_hand(texts: list[str]) -> np.ndarray:
        for text in texts:
            if text not in known:
                known[text] = embed([text])[0]
        return np.stack([known[text] for text in texts])

    searcher = Searcher(workspace, index, at_hand)
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    for question in questions:
        searcher.search(question, 3, locale="en")
    took = []
    for turn in range(REPEATS):
        started = time.perf_counter()
        searcher.search(questions[turn % len(questions)], 3, locale="en")
        took.append(1000 * (time.perf_counter() - started))
    hundredths = statistics.quantiles(took, n=100)
    return [
        Cell(f"index {len(index.documents)} documents, {index.chunks} chunks", "s", round(seconds, 2), {}, 10.0),
        Cell(f"search {index.chunks} chunks, p50", "ms", round(hundredths[49], 1), {}, 30.0),
        Cell(f"search {index.chunks} chunks, p95", "ms", round(hundredths[94], 1)),
    ]


def told(task: str, done: int, total: int, /, **figures: float) -> None:
    """Progress on standard error, so that standard output is the result alone."""
    print(f"{task} {done}/{total}", file=sys.stderr)


if __name__ == "__main__":
    main()
