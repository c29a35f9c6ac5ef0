"""What the sources say, row by row: what may be used, scrubbed, said once, judged. Counts what it leaves out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from luthier.data.dedupe import Said, row_id, same_key
from luthier.data.provenance import Rules, barred
from luthier.data.quality import Judge
from luthier.data.quarantine import Quarantined
from luthier.data.raw import Raw, Refused
from luthier.data.sources import Source
from luthier.data.spans import subject_key
from luthier.data.split import split_of
from luthier.data.texts import texts_of, with_texts
from luthier.data.waiting import Waiting
from luthier.data.workers import CHUNK, scrubbed
from luthier.errors import BadData
from luthier.lm.language import language_of
from luthier.progress import Progress
from luthier.records.data import Row, Scrubbed
from luthier.records.project import DataPart

Thing = TypeVar("Thing")
FORGOTTEN = "a person in it was forgotten"


class Gathered:
    """Reads the sources once."""

    def __init__(self, part: DataPart, key: bytes, rules: Rules) -> None:
        self.part = part
        self.key = key
        self.rules = rules
        self.judge = Judge(part.detectors, part.limits)
        self.ids: dict[str, str] = {}
        """The id of the row that said each thing first."""
        self.duplicates = 0
        self.also: dict[str, set[str]] = {}
        """People of a row's duplicates: theirs is that row, too."""
        self.out: list[Quarantined] = []
        """Rows that a rule left out."""

    def rows(self, sources: Sequence[Source], total: int, progress: Progress) -> Iterator[Waiting]:
        """Every row that is not left out, in the order of the sources. Raises BadData where one changes meanwhile."""
        read: deque[list[tuple[str, Raw]]] = deque()

        def texts() -> Iterator[list[tuple[list[str], str]]]:
            for chunk in chunked(self.admitted(sources), CHUNK):
                read.append(chunk)
                yield [(texts_of(raw), spoken_in(raw)) for _, raw in chunk]

        done = 0
        for results in scrubbed(texts(), self.part.scrubber, self.part.allow, total):
            for (source, raw), found in zip(read.popleft(), results, strict=True):
                waiting = self.row(source, raw, found)
                if waiting is not None:
                    yield waiting
            done += len(results)
            progress("scrub", done, total)
        for changed in (source for source in sources if source.digest() != source.was):
            raise BadData(f"source {changed.name} changed while it was read", "wait until it is written, then repeat")

    def admitted(self, sources: Iterable[Source]) -> Iterator[tuple[str, Raw]]:
        """What may be used, each dialogue with its source's name."""
        for source in sources:
            for raw in (row for row in source.rows() if isinstance(row, Raw)):
                why = barred(raw.licence or source.licence, raw.consent or source.consent, self.rules)
                if not why and raw.subject and subject_key(self.key, raw.subject) in self.rules.forgotten:
                    why = FORGOTTEN
                if why:
                    self.leave_out(source.name, raw.line, why)
                else:
                    yield source.name, raw

    def leave_out(self, source: str, line: int, rule: str, detail: str = "") -> None:
        """Count a row that a rule keeps out. What it says is not kept: it may be the very thing to be forgotten."""
        self.out.append(Quarantined(source, Refused(line, rule), detail))

    def row(self, source: str, raw: Raw, found: Sequence[Scrubbed]) -> Waiting | None:
        """A dialogue as a row, or None where an earlier one says the same, or a rule leaves it out."""
        people = {subject_key(self.key, item.text) for text in found for item in text.found}
        if people & self.rules.forgotten:
            self.leave_out(source, raw.line, FORGOTTEN)
            return None
        subject = subject_key(self.key, raw.subject) if raw.subject else ""
        people |= {subject} - {""}
        messages, metadata, rejected, tools = with_texts(raw, [text.text for text in found])
        said = Said(messages, rejected, raw.good, tools)
        same = same_key(said)
        if same in self.ids:
            self.duplicates += 1
            self.also.setdefault(self.ids[same], set()).update(people)
            return None
        name = self.ids[same] = row_id(said)
        types = tuple(item.type for text in found for item in text.found)
        row = Row(
            id=name,
            split=split_of(raw.metadata.get("dialogue") or name, self.part.validation, self.part.test, self.part.seed),
            source=source,
            line=raw.line,
            messages=messages,
            language=spoken_in(raw),
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
        judged = self.judge(row)
        if judged.reason:
            self.leave_out(source, raw.line, judged.reason)
            return None
        return Waiting(judged.row, types, tuple(sorted(people)))


def spoken_in(raw: Raw) -> str:
    """The language that the source names, else the one that the words look like."""
    return raw.language or language_of("\n".join(message.content for message in raw.messages))


def chunked(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Lists of `size` things, the last one shorter."""
    left = iter(things)
    while chunk := list(islice(left, size)):
        yield chunk
