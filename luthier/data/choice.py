"""Which of the gathered rows stay: no near-duplicates, nothing that gives the evaluation away, and the asked mixture.

These need to see every row before they can decide on one. Each step looks at what the ones before it left. Knows
nothing of files and blobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from luthier.data import leakage, mixture, near
from luthier.data.clusters import Text
from luthier.data.leakage import Protected
from luthier.data.minhash import Rule
from luthier.records.data import Row
from luthier.records.project import DataPart

Rows = Callable[[], Iterable[Row]]
"""Every row, as often as it is asked for."""


class Why(NamedTuple):
    """Why a row is left out: the rule, which is counted, and what is special about this row."""

    rule: str
    detail: str = ""


def choose(rows: Rows, part: DataPart, protected: Sequence[Protected]) -> dict[str, Why]:
    """The rows to leave out, by id. Raises BadData where rows give the evaluation away and that refuses the build."""
    out: dict[str, Why] = {}

    def left() -> Iterator[Row]:
        return (row for row in rows() if row.id not in out)

    if protected:
        leaks = leakage.check((leakage.trained(row.id, row.messages, row.subject) for row in left()), protected)
        if part.leaks == "refuse":
            leakage.require_none(leaks)
        out |= {leak.row: Why("gives the evaluation away", f"{leak.protected}, {leak.kind}") for leak in leaks}
    if part.near is not None:
        rule = Rule(part.near, part.keep, seed=part.seed)
        out |= {
            same.name: Why("nearly the same as another row", f"{cluster.kept}, similarity {same.similarity:.3f}")
            for cluster in near.clusters(map(compared, left()), rule)
            for same in cluster.dropped
        }
    if part.mixture:
        out |= undrawn(left, part)
    return out


def compared(row: Row) -> Text:
    """What is compared of a row. Splits, kinds of rows and instructions are kept apart."""
    said = "\n".join(message.content for message in (*row.messages, *row.rejected))
    return Text(row.id, said, row.collected, apart=f"{row.split}/{row.good}/{len(row.rejected)}")


def undrawn(rows: Rows, part: DataPart) -> dict[str, Why]:
    """Training rows that the mixture does not draw. Sources that it does not name stay whole."""
    drawn_from = [(row.source, row.id) for row in rows() if row.source in part.mixture and row.split == "train"]
    there = {source.name: 0 for source in part.sources}
    shares = mixture.plan(there | Counter(source for source, _ in drawn_from), part.mixture)
    mixed = mixture.draw(shares, drawn_from, part.seed)
    return {name: Why("not drawn for the mixture") for source, name in drawn_from if not mixed.weight(source, name)}
