"""The way through the lineage, up to what a record was made from or down to what was made from it."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, literal, select

from luthier.store.schema import EDGE


class Link(NamedTuple):
    """`parent` took part in making `child`, as its `role`; `depth` links lie between it and where the walk began."""

    child: str
    role: str
    parent: str
    depth: int
    """1 for a link of the record itself."""


def walk(connection: Connection, start: str, *, upwards: bool) -> list[Link]:
    """Every link on the ways up (or down) from `start`, the nearest first; each once, at its least depth.

    One recursive query finds the links. It gathers nodes, not ways, so that neither a diamond nor a circle (which
    only tampering could make) lets it grow; the depths are counted here, breadth first.
    """
    near, far = (EDGE.c.child, EDGE.c.parent) if upwards else (EDGE.c.parent, EDGE.c.child)
    reached = select(literal(start, type_=near.type).label("id")).cte("reached", recursive=True)
    reached = reached.union(select(far).join(reached, near == reached.c.id))
    leaving: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for child, role, parent in connection.execute(
        select(EDGE).where(near.in_(select(reached.c.id))).order_by(EDGE.c.role, far)
    ):
        leaving[child if upwards else parent].append((child, role, parent))
    links: list[Link] = []
    seen, row, depth = {start}, [start], 0
    while row:
        depth += 1
        now = [link for node in row for link in leaving[node]]
        links += [Link(*link, depth) for link in now]
        row = list(dict.fromkeys(link[2] if upwards else link[0] for link in now))
        row = [node for node in row if node not in seen]
        seen.update(row)
    return links
