"""What the sources say, row by row: what may be used, scrubbed, said once, judged. Counts what it leaves out."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from luthier.data import workers
from luthier.data.prepared import Ready, job_of, judge, prepare, relabelled
from luthier.data.provenance import Rules, barred
from luthier.data.quarantine import Quarantined
from luthier.data.raw import Raw, Refused
from luthier.data.settled import SettledLabels
from luthier.data.sources import Source
from luthier.data.spans import subject_key
from luthier.data.subjects import Subjects
from luthier.errors import BadData
from luthier.progress import Progress
from luthier.records.data import Row
from luthier.records.project import DataPart

Thing = TypeVar("Thing")
FORGOTTEN = "a person in it was forgotten"


class Gathered:
    """Reads the sources once."""

    def __init__(self, part: DataPart, key: bytes, rules: Rules, labels: SettledLabels) -> None:
        self.job, self.labels = job_of(part, key), labels
        judge(self.job.detectors, self.job.limits)  # a wrong name or limit is said before anything is read
        self.rules = rules
        self.first: dict[bytes, int] = {}
        """The place in `names` of the row that said each thing first."""
        self.names = array("Q")
        """Ids of those rows as numbers."""
        self.duplicates = 0
        self.subjects = Subjects()
        """Who stands in which row. Who stands in a duplicate stands in the row that it is one of."""
        self.out: list[Quarantined] = []
        """Rows that a rule left out."""

    def rows(self, sources: Sequence[Source], total: int, progress: Progress) -> Iterator[tuple[str, int, Ready]]:
        """Every row that is not left out, with source and line. Raises BadData where a source changes meanwhile."""
        read: deque[list[tuple[str, int]]] = deque()

        def chunks() -> Iterator[list[tuple[str, Raw]]]:
            for chunk in chunked(self.admitted(sources), workers.CHUNK):
                read.append([(source, raw.line) for source, raw in chunk])
                yield chunk

        done = 0
        for results in workers.worked(partial(prepare, self.job), chunks(), total):
            for (source, line), ready in zip(read.popleft(), results, strict=True):
                if kept := self.kept(source, line, ready):
                    yield source, line, kept
            done += len(results)
            progress("scrub", done, total)
        for changed in (source for source in sources if source.digest() != source.was):
            raise BadData(f"source {changed.name} changed while it was read", "wait until it is written, then repeat")

    def admitted(self, sources: Iterable[Source]) -> Iterator[tuple[str, Raw]]:
        """What may be used, each dialogue with its source's name."""
        gone = self.rules.forgotten
        for source in sources:
            for raw in (row for row in source.rows() if isinstance(row, Raw)):
                why = barred(raw.licence or source.licence, raw.consent or source.consent, self.rules)
                if not why and gone and raw.subject and subject_key(self.job.key, raw.subject) in gone:
                    why = FORGOTTEN
                if why:
                    self.leave_out(source.name, raw.line, why)
                else:
                    yield source.name, raw

    def leave_out(self, source: str, line: int, rule: str, detail: str = "") -> None:
        """Count a row that a rule keeps out. What it says is not kept: it may be the very thing to be forgotten."""
        self.out.append(Quarantined(source, Refused(line, rule), detail))

    def kept(self, source: str, line: int, ready: Ready) -> Ready | None:
        """The row as its labels make it; None where somebody in it was forgotten, an earlier row says the same, or a
        rule leaves it out.
        """
        if not self.rules.forgotten.isdisjoint(ready.people):
            self.leave_out(source, line, FORGOTTEN)
            return None
        if self.said_before(ready):
            return None
        made, why = ready, ready.reason
        if ready.id in self.labels.answers:
            row = self.labels(Row.model_validate_json(ready.row))
            made, why = (ready, row) if isinstance(row, str) else (relabelled(self.job, ready, row), "")
            if made.same != ready.same and self.said_before(made):
                self.first[ready.same] = self.first[made.same]  # whoever says what it said is a duplicate of that one
                return None
        self.names.append(int(made.id, 16))
        self.subjects.add(made.people, made.id)
        if why := why or made.reason:
            self.leave_out(source, line, why)
        return None if why else made

    def said_before(self, ready: Ready) -> bool:
        """Whether an earlier row says the same; who stands in this one then stands in that."""
        place = self.first.setdefault(ready.same, len(self.names))
        if place < len(self.names):
            self.duplicates += 1
            self.subjects.add(ready.people, f"{self.names[place]:016x}")
        return place < len(self.names)


def chunked(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Lists of `size` things, the last one shorter."""
    left = iter(things)
    while chunk := list(islice(left, size)):
        yield chunk
