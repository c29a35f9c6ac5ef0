"""One look through a source: how many rows are good, which are refused and why, what the first ones are. Streams."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from luthier.data.raw import Raw, Refused

SHOWN = 3
"""Rows that are kept to be shown."""
KEPT = 10_000
"""Refusals that are kept; the rest is counted."""
FORMULA = re.compile(r"[=+\-@\t\r](?![\d.,\s%]*$)")
"""How a cell begins that a spreadsheet would calculate; a plain number is none."""


class Looked(NamedTuple):
    """What was found."""

    rows: int
    """Good ones."""
    refused: list[Refused]
    more: int
    """Refusals beyond those kept."""
    first: list[Raw]
    formulas: int
    """Rows of a table with a text that a spreadsheet would calculate."""
    formula_line: int
    """The first of them."""


def look(rows: Iterable[Raw | Refused], *, table: bool = False) -> Looked:
    """Go through `rows` once. Formulas are looked for in a `table`: in chat, a list begins with `-` too."""
    good = more = formulas = formula_line = 0
    refused: list[Refused] = []
    first: list[Raw] = []
    for row in rows:
        if isinstance(row, Refused):
            more += len(refused) >= KEPT
            refused += [row] if len(refused) < KEPT else []
            continue
        good += 1
        if len(first) < SHOWN:
            first.append(row)
        if table and has_formula(row):
            formulas += 1
            formula_line = formula_line or row.line
    return Looked(good, refused, more, first, formulas, formula_line)


def has_formula(row: Raw) -> bool:
    """Whether one of the texts would be calculated if it stood in a spreadsheet's cell."""
    return any(FORMULA.match(text) for text in (*(each.content for each in row.messages), *row.metadata.values()))
