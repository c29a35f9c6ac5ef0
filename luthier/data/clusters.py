"""Rows that say much the same, and which of them stays. Pure; does not know how they were found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from luthier.errors import BadConfig
from luthier.records.data import Row

Keep = Literal["first", "longest", "newest"]


class Text(NamedTuple):
    """What is compared of a row."""

    name: str
    text: str
    collected: str = ""
    """ISO date, for the rule `newest`."""
    apart: str = ""
    """Texts with different values here are never the same: a source, a language, a label."""


class Same(NamedTuple):
    """A row that leaves, and how similar it is to the one that stays (0 to 1)."""

    name: str
    similarity: float


class Cluster(NamedTuple):
    """A row that stays, and every row that leaves for its sake."""

    kept: str
    dropped: tuple[Same, ...]


def text_of(row: Row, apart: str = "") -> Text:
    """What is compared of a row: all that was said and called, without instructions, which rows share anyway.

    A preference is compared with what was not preferred; rows that are rated differently are kept apart.
    """
    said = [message for message in (*row.messages, *row.rejected) if message.role != "system"]
    parts = [
        part
        for each in said
        for part in (each.content, *(json.dumps(call, ensure_ascii=False) for call in each.tool_calls))
        if part
    ]
    return Text(row.id, "\n".join(parts), row.collected, "".join((apart, "" if row.good is None else f"\0{row.good}")))


def ranked(keep: Keep, lengths: Sequence[int], collected: Sequence[str]) -> NDArray[np.int64]:
    """The places of rows in the order in which they may stay; of equals the earlier comes first. Raises BadConfig.

    first: as they came. longest: by `lengths`. newest: by `collected`, rows without a date last.
    """
    if keep == "first":
        return np.arange(len(lengths))
    if keep == "longest":
        return np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    if keep == "newest":
        return np.asarray(sorted(range(len(lengths)), key=collected.__getitem__, reverse=True), np.int64)
    raise BadConfig(f"which row of a cluster stays cannot be {keep!r}", f"one of {', '.join(get_args(Keep))}")


def gathered(
    name: Callable[[int], str], order: NDArray[np.int64], stays: NDArray[np.int64], how: NDArray[np.float64]
) -> list[Cluster]:
    """Clusters from, for each place of `order`, the place of the row that stays for it (its own: it stays itself).

    `name` tells the name of the row at a place of the whole.
    """
    members: dict[int, list[Same]] = {}
    for place in np.flatnonzero(stays != np.arange(len(stays))).tolist():
        members.setdefault(int(stays[place]), []).append(Same(name(int(order[place])), float(how[place])))
    return [Cluster(name(int(order[kept])), tuple(members[kept])) for kept in sorted(members)]


def replaced(clusters: Iterable[Cluster]) -> dict[str, str]:
    """For every row that leaves, the one that stays."""
    return {same.name: cluster.kept for cluster in clusters for same in cluster.dropped}


def shown(clusters: Sequence[Cluster], text_of: Callable[[str], str], most: int = 20, width: int = 100) -> str:
    """The largest clusters for people: the row that stays, below it where those that leave differ from it."""
    rows = sum(len(cluster.dropped) for cluster in clusters)
    lines = [f"{len(clusters)} clusters, {rows} rows leave"]
    for cluster in sorted(clusters, key=lambda each: -len(each.dropped))[:most]:
        kept = text_of(cluster.kept)
        lines.append(f"\nstays  {cluster.kept}  {cut(kept, width)}")
        for same in cluster.dropped[:most]:
            lines.append(f"{same.similarity:5.3f}  {same.name}  {departing(text_of(same.name), kept, width)}")
        if len(cluster.dropped) > most:
            lines.append(f"       and {len(cluster.dropped) - most} more")
    if len(clusters) > most:
        lines.append(f"\nand {len(clusters) - most} more clusters")
    return "\n".join(lines)


def departing(text: str, kept: str, width: int) -> str:
    """`text` on one line, from a little before the place where it departs from `kept`."""
    text, kept = " ".join(text.split()), " ".join(kept.split())
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, kept, strict=False)))
    start = max(0, same - width // 3)
    return cut(f"…{text[start + 1 :]}" if start else text, width)


def cut(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
