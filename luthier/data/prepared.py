"""A chunk of dialogues on their way into a dataset: scrubbed, spelt as rows, named, judged. Pure, for any process.

What it takes and leaves is small and plain, for it travels between processes: a row leaves as the line of JSON that
the dataset will hold. Knows no other row: which of them are said twice, and which stay, is for who gathers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from luthier import plugins
from luthier.data.dedupe import Said, row_id, same_key
from luthier.data.quality import Judge
from luthier.data.raw import Raw
from luthier.data.scrub import Scrubber, scrub_all
from luthier.data.spans import subject_key
from luthier.data.split import split_of
from luthier.data.surrogates import Surrogates
from luthier.data.texts import texts_of, with_texts
from luthier.data.vault import mapping
from luthier.lm.language import language_of
from luthier.records.data import Row, Scrubbed, Split
from luthier.records.project import DataPart
from luthier.store.json_lines import encoded

SAME = 16
"""Bytes of a hash that tell two texts apart among any number of rows."""


class Job(NamedTuple):
    """What is done to every dialogue of a build."""

    scrubber: str
    allow: tuple[str, ...]
    detectors: tuple[str, ...]
    limits: tuple[tuple[str, float], ...]
    shares: tuple[float, float, int]
    """Validation, test, seed."""
    key: bytes
    """Makes the names under which people's rows can be found again."""
    surrogates: bool = False
    vault: bool = False


class Ready(NamedTuple):
    """A dialogue as a row, and what has to be known of it beside."""

    id: str
    same: bytes
    """Equal for rows that say the same."""
    split: Split
    language: str
    row: bytes
    """The row as a line of JSON, with placeholders: what is compared."""
    written: bytes
    """The line that the dataset holds, where that is another one: with surrogates."""
    types: tuple[str, ...]
    """Of the personal data that was replaced."""
    people: tuple[str, ...]
    """Keyed hashes."""
    reason: str
    """Why its quality leaves it out."""
    values: dict[str, str]
    """For the vault: what stands in the row → what stood there."""


def job_of(part: DataPart, key: bytes) -> Job:
    """What `part` wants done."""
    return Job(
        part.scrubber,
        part.allow,
        part.detectors,
        tuple(sorted(part.limits.items())),
        (part.validation, part.test, part.seed),
        key,
        part.surrogates,
        part.vault,
    )


@cache
def scrubber(name: str, allow: tuple[str, ...]) -> Scrubber:
    """The scrubber called `name`, made once in a process."""
    made: Scrubber = plugins.find("scrubber", name)(allow=allow)
    return made


@cache
def judge(names: tuple[str, ...], limits: tuple[tuple[str, float], ...]) -> Judge:
    """The detectors, found once in a process."""
    return Judge(names, dict(limits))


def prepare(job: Job, chunk: Sequence[tuple[str, Raw]]) -> list[Ready]:
    """Dialogues, each with its source's name, as rows. Raises what the scrubber raises, and BadData (no JSON)."""
    languages = [spoken_in(raw) for _, raw in chunk]
    texts = [(texts_of(raw), language) for (_, raw), language in zip(chunk, languages, strict=True)]
    found = scrub_all(scrubber(job.scrubber, job.allow), texts)
    return [
        ready(job, source, raw, language, scrubbed)
        for (source, raw), language, scrubbed in zip(chunk, languages, found, strict=True)
    ]


def ready(job: Job, source: str, raw: Raw, language: str, found: Sequence[Scrubbed]) -> Ready:
    """One scrubbed dialogue as a row."""
    people = {subject_key(job.key, item.text) for text in found for item in text.found}
    subject = subject_key(job.key, raw.subject) if raw.subject else ""
    messages, metadata, rejected, tools = with_texts(raw, [text.text for text in found])
    said = Said(messages, rejected, raw.good, tools)
    name = row_id(said)
    types = tuple(item.type for text in found for item in text.found)
    judged = judge(job.detectors, job.limits)(
        Row(
            id=name,
            split=split_of(raw.metadata.get("dialogue") or name, *job.shares),
            source=source,
            line=raw.line,
            messages=messages,
            language=language,
            metadata=metadata,
            tools=tools,
            rejected=rejected,
            good=raw.good,
            licence=raw.licence,
            consent=raw.consent,
            subject=subject,
            collected=raw.collected,
            changes=("scrubbed",) if types else (),
        )
    )
    row, values = judged.row, mapping(found) if job.vault and types else {}
    written = b""
    if job.surrogates and types:
        filled, instead = with_surrogates(row, job.key, frozenset(types))
        written, values = line_of(filled), {instead.get(name, name): value for name, value in values.items()}
    return Ready(
        id=name,
        same=bytes.fromhex(same_key(said))[:SAME],
        split=row.split,
        language=language,
        row=line_of(row),
        written=written,
        types=types,
        people=tuple(sorted(people | ({subject} - {""}))),
        reason=judged.reason,
        values=values,
    )


def relabelled(job: Job, ready: Ready, row: Row) -> Ready:
    """The same dialogue as its labels make it: named, compared and judged anew, with the people whom it came with."""
    judged = judge(job.detectors, job.limits)(row.model_copy(update={"scores": {}}))
    row, written = judged.row, b""
    if ready.written:  # the made-up values are those of the row that was labelled, and the vault's are filed by them
        filled, _ = with_surrogates(row.model_copy(update={"id": ready.id}), job.key, frozenset(ready.types))
        written = line_of(filled.model_copy(update={"id": row.id}))
    said = Said(row.messages, row.rejected, row.good, row.tools)
    same = bytes.fromhex(same_key(said))[:SAME]
    return ready._replace(id=row.id, same=same, row=line_of(row), written=written, reason=judged.reason)


def line_of(row: Row) -> bytes:
    """A row as the dataset holds it."""
    return encoded(row.model_dump(mode="json", exclude_defaults=True))


def with_surrogates(row: Row, key: bytes, kinds: frozenset[str]) -> tuple[Row, dict[str, str]]:
    """The row with a made-up value for each placeholder of these types, and which value stands for which."""
    raw = Raw(row.line, row.messages, metadata=row.metadata, rejected=row.rejected, tools=row.tools)
    texts = texts_of(raw)
    values = Surrogates(key).values(row.id, texts, row.language, kinds)
    filled = with_texts(raw, [values.within(text) for text in texts])
    return row.model_copy(update=filled._asdict() | {"changes": (*row.changes, "surrogates")}), values.by_placeholder


def spoken_in(raw: Raw) -> str:
    """The language that the source names, else the one that the words look like."""
    return raw.language or language_of("\n".join(message.content for message in raw.messages))
