"""A project → synthetic rows in a file: its documents, rows and policy, and whoever writes, brought together.

Staff documents are left out: what is made of them would teach the model what customers must not read. Rows are made
of training rows alone, and never of synthetic ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from luthier.data.provenance import END
from luthier.data.synthetic import generator, written
from luthier.data.synthetic.diversity import Known
from luthier.data.synthetic.drafts import Example, Material
from luthier.data.synthetic.generator import Checks, Order, Output, Report
from luthier.data.synthetic.guarded import Guard
from luthier.data.synthetic.lines import key_in
from luthier.data.synthetic.makers import MAKERS
from luthier.data.synthetic.parsing import one
from luthier.data.synthetic.share import synthetic
from luthier.data.synthetic.templates import TEMPLATES, Kind
from luthier.errors import BadConfig, BadData, Missing
from luthier.gateway.policy_file import read_policy
from luthier.knowledge.chunks import chunks
from luthier.knowledge.index import is_document
from luthier.knowledge.markdown import Document, read
from luthier.records.base import sha256
from luthier.records.data import Row
from luthier.records.knowledge import Passage
from luthier.store import erasure
from luthier.workflows import data
from luthier.workflows.session import Session
from luthier.workflows.writers import Wanted, alike, deciding, writing


def synthesize(session: Session, wanted: Wanted, to: Path, rejected: Path | None = None) -> Report:
    """Append rows to `to`, and what may not join to `rejected`, until there are `wanted.rows`.

    Raises BadConfig, BadData, Missing, Busy, and Unavailable where the endpoint does not answer.
    """
    if rejected is not None and rejected.resolve() == to.resolve():
        raise BadConfig("rows and rejected candidates cannot go into one file", "name two files")
    passages = [] if wanted.kind == "paraphrases" else public_passages(session)
    rows = existing(session)
    asked_before = examples(rows)
    require_material(wanted.kind, asked_before)
    policy = (
        read_policy(session.root / session.project.serving.policy) if wanted.kind in ("negatives", "edges") else None
    )
    guard = Guard(data.protected(session))
    with ExitStack() as stack:
        pairs = wanted.kind == "preferences"
        file = stack.enter_context(written.opened(to, lambda line: bool(key_in(line)) and ("chosen" in line) is pairs))
        refused = stack.enter_context(written.opened(rejected, lambda line: bool(key_in(line)))) if rejected else None
        writer = stack.enter_context(writing(session, wanted))
        material = Material(passages, asked_before)
        if wanted.kind == "edges" and policy is not None:
            material = material._replace(decides=deciding(session, policy, passages, writer.embed))
        material = material._replace(policy=policy, alike=alike(writer.embed) if writer.embed else None)
        known = Known()
        known.add(said_before(rows, wanted.kind))
        languages = {each.locale for each in passages} | {row.language for row, _, _ in rows} | {"en"}
        checks = Checks(known, guard, tuple(sorted({each.partition("-")[0] for each in languages if each})))
        output = Output(file.append, refused.append if refused else lambda _: None, file.held)
        output = output._replace(refused=refused.held if refused else ())
        order = Order(wanted.kind, wanted.rows, writer.generator, wanted.most_asked or 10 * wanted.rows)
        works = MAKERS[wanted.kind](material)
        report = generator.generate(order, works, writer.ask, checks, output, session.progress)
        return report._replace(meaning=writer.embedder)


def public_passages(session: Session) -> list[Passage]:
    """The passages of the documents that customers may read, in order. Raises BadData, BadConfig."""
    part = session.project.knowledge
    folder = session.root / part.documents
    if not folder.is_dir():
        raise BadConfig(f"{folder} is not a folder", "set knowledge.documents to the folder of your Markdown files")
    defaults = {"audience": part.audience, "locale": part.locale}
    made: list[Passage] = []
    for path in sorted(path for path in folder.rglob("*") if is_document(path, folder)):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadData(f"{name} cannot be read: {error.strerror}", "check the path and its rights") from error
        made += passages_of(read(content, name, sha256(content), defaults), part.chunk_words)
    return made


def passages_of(document: Document, words: int) -> Iterator[Passage]:
    """The passages of one document, none where it is for staff."""
    version = document.version
    for chunk in chunks(document, words) if version.audience == "public" else ():
        yield Passage(
            document=version.name,
            title=version.title,
            digest=version.digest,
            start=chunk.start,
            end=chunk.end,
            text=document.text[chunk.start : chunk.end],
            heading=chunk.heading,
            locale=version.locale,
        )


def existing(session: Session) -> list[tuple[Row, str, str]]:
    """The rows of the newest version, each with its licence and basis; none where there is no version yet."""
    version = data.latest(session)
    if version is None:
        return []
    left = erasure.left_of(session.workspace.ledger, version)
    sources = {source.name: source for source in left.sources}
    rows = (Row.model_validate(line) for line in session.workspace.blobs.lines(left.rows))
    return [
        (row, row.licence or sources[row.source].licence, row.consent or sources[row.source].consent) for row in rows
    ]


def examples(rows: Sequence[tuple[Row, str, str]]) -> list[Example]:
    """The opening question of each training row that a person wrote, and its answer."""
    made: list[Example] = []
    for row, licence, consent in rows:
        turns = [message for message in row.messages if message.role != "system"][:2]
        plain = [turn.role for turn in turns] == ["user", "assistant"] and not any(turn.tool_calls for turn in turns)
        wanted = row.good is not False and not row.rejected and turns[-1].weight != 0
        if row.split == "train" and plain and wanted and not synthetic(row.metadata) and not row.tools:
            end = END.search(consent)
            made.append(
                Example(
                    row=row.id,
                    question=turns[0].content,
                    answer=turns[1].content,
                    language=row.language,
                    dialogue=row.metadata.get("dialogue") or row.id,
                    documents=row.metadata.get("documents"),
                    licence=licence,
                    until=end[1] if end else "",
                )
            )
    return made


def said_before(rows: Sequence[tuple[Row, str, str]], kind: Kind) -> Iterator[tuple[str, str]]:
    """What no new question may nearly repeat. A pair of answers is for a question that was asked before."""
    for text in TEMPLATES[kind].examples():
        yield "an example of the prompt", one(text)
    for row, _, _ in rows if kind != "preferences" else ():
        for message in row.messages:
            if message.role == "user":
                yield row.id, message.content


def body(report: Report) -> dict[str, Any]:
    """The report as JSON data."""
    return report._asdict() | {"share": report.share}


def require_material(kind: Kind, rows: Sequence[object]) -> None:
    """Raise Missing where a kind needs rows and there are none."""
    if kind in ("paraphrases", "preferences") and not rows:
        raise Missing("there is no dataset yet whose rows could be used", "build one first: luthier data build")
