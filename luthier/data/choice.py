"""Which of the gathered rows stay: none said twice, nothing that gives the evaluation away, and the asked mixture.

These need to see every row before they can decide on one. Each step looks at what the ones before it left. Knows
nothing of files and blobs, and no model: who calls brings what embeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from luthier.data import leakage, mixture, near, semantic, whole
from luthier.data.clusters import Cluster, Text
from luthier.data.leakage import Protected, Trained
from luthier.data.minhash import Rule
from luthier.data.semantic import Embed
from luthier.data.synthetic.share import MARK, Marked, surplus, synthetic
from luthier.data.waiting import Waiting
from luthier.errors import BadConfig
from luthier.records.data import Row
from luthier.records.project import DataPart

Rows = Callable[[], Iterable[Waiting]]
"""Every row, as often as it is asked for."""
NEAR = "nearly the same as another row"
SEMANTIC = "says the same as another row in other words"
DISPUTED = "other rows contradict it"
OVERWEIGHT = "its label has too many rows"


class Why(NamedTuple):
    """Why a row is left out: the rule, which is counted, and what is special about this row."""

    rule: str
    detail: str = ""
    instead: str = ""
    """The row that stays for it."""


def choose(rows: Rows, part: DataPart, protected: Sequence[Protected], embed: Embed | None = None) -> dict[str, Why]:
    """The rows to leave out, by id. Raises BadData where rows give the evaluation away and that refuses the build."""
    out: dict[str, Why] = {}

    def left() -> Iterator[Waiting]:
        return (row for row in rows() if row.id not in out)

    steps = (
        partial(giving_away, protected=protected),
        nearly_same,
        partial(same_in_other_words, embed=embed),
        contradicted,
        overweight,
        undrawn,
        too_synthetic,  # last: what the steps before took out is not there to be counted
    )
    for step in steps:
        out |= step(left, part)
    return out


def giving_away(rows: Rows, part: DataPart, protected: Sequence[Protected]) -> dict[str, Why]:
    """Rows that say what the evaluation asks. Raises BadData where that refuses the build."""
    leaks = leakage.check(map(trained, rows()), protected) if protected else []
    if part.leaks == "refuse":
        leakage.require_none(leaks)
    return {leak.row: Why("gives the evaluation away", f"{leak.protected}, {leak.kind}") for leak in leaks}


def nearly_same(rows: Rows, part: DataPart) -> dict[str, Why]:
    """All but one of the rows that share most of their words."""
    if part.near is None:
        return {}
    rule = Rule(part.near, part.keep, seed=part.seed)
    return dropped(near.clusters(map(compared, rows()), rule), NEAR, "similarity")


def same_in_other_words(rows: Rows, part: DataPart, embed: Embed | None) -> dict[str, Why]:
    """All but one of the rows that mean the same. Raises BadConfig where nothing embeds them."""
    if part.semantic is None:
        return {}
    if embed is None:
        raise BadConfig("data.semantic is set and nothing embeds the rows", "take it out, or build by the command")
    rule = semantic.Rule(part.semantic, part.keep, seed=part.seed)
    return dropped(semantic.clusters([compared(row) for row in rows()], embed, rule), SEMANTIC, "cosine")


def contradicted(rows: Rows, part: DataPart) -> dict[str, Why]:
    """Rows that too many others contradict."""
    if (most := part.limits.get("contradictions")) is None:
        return {}
    found = whole.disputed(lambda: map(as_row, rows()), most)
    return {
        name: Why(DISPUTED, f"{each.other} states {each.says}; score {each.score:.3f}") for name, each in found.items()
    }


def overweight(rows: Rows, part: DataPart) -> dict[str, Why]:
    """Rows of labels that have more than their share."""
    if (most := part.limits.get("balance")) is None:
        return {}
    over = whole.overweight(lambda: map(as_row, rows()), most, part.seed)
    return {name: Why(OVERWEIGHT, label) for name, label in over.items()}


def too_synthetic(rows: Rows, part: DataPart) -> dict[str, Why]:
    """Rows that a model wrote, beyond their share."""
    if part.synthetic is None:
        return {}
    too_many = surplus(map(marked, rows()), part.synthetic, part.seed)
    return {name: Why(gone.rule, gone.detail) for name, gone in too_many.items()}


def marked(row: Waiting) -> Marked:
    """What the cap on synthetic rows counts of a row."""
    says = MARK.encode() in row.row and synthetic(row.body().get("metadata", {}))
    return Marked(row.id, row.split, says)


def dropped(clusters: Iterable[Cluster], rule: str, measure: str) -> dict[str, Why]:
    """The rows that leave for others."""
    return {
        same.name: Why(rule, f"{cluster.kept}, {measure} {same.similarity:.3f}", cluster.kept)
        for cluster in clusters
        for same in cluster.dropped
    }


def as_row(row: Waiting) -> Row:
    """The whole row, for what looks at more than its words."""
    return Row.model_validate_json(row.row)


def compared(row: Waiting) -> Text:
    """What is compared of a row. Splits, kinds of rows and instructions are kept apart."""
    body = row.body()
    rejected = body.get("rejected", [])
    said = "\n".join(turn.get("content", "") for turn in (*body["messages"], *rejected))
    return Text(row.id, said, body.get("collected", ""), apart=f"{row.split}/{body.get('good')}/{len(rejected)}")


def trained(row: Waiting) -> Trained:
    """What of a row may give something away: instructions are the same in every row."""
    body = row.body()
    said = (turn.get("content", "") for turn in body["messages"] if turn["role"] in ("user", "assistant"))
    return Trained(row.id, tuple(filter(None, said)), body.get("subject", ""))


def undrawn(rows: Rows, part: DataPart) -> dict[str, Why]:
    """Training rows that the mixture does not draw. Sources that it does not name stay whole."""
    if not part.mixture:
        return {}

    def drawn_from() -> Iterator[tuple[str, str]]:
        return ((row.source, row.id) for row in rows() if row.source in part.mixture and row.split == "train")

    there = {source.name: 0 for source in part.sources}
    shares = mixture.plan(there | Counter(source for source, _ in drawn_from()), part.mixture)
    mixed = mixture.draw(shares, drawn_from(), part.seed)
    return {name: Why("not drawn for the mixture") for source, name in drawn_from() if not mixed.weight(source, name)}
