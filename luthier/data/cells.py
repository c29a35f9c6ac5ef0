"""The table that we write, and cells that no spreadsheet computes. Pure.

A cell that begins like a formula is written behind an apostrophe (CWE-1236). It is taken off again in tables that have
our own columns, and in no other: there an apostrophe is what somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Collection

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that a spreadsheet would compute, or that we have guarded already."""
COLUMNS = ("system", "user", "assistant", "language", "dialogue", "licence", "consent", "collected", "metadata")
"""`metadata` holds the rest as a JSON object of texts."""


def ours(header: Collection[str]) -> bool:
    """Whether a table has the columns that we write; others may stand beside them."""
    return set(COLUMNS) <= set(header)


def guarded(cell: str) -> str:
    """A cell that no spreadsheet computes: an apostrophe before `=`, `+`, `-`, `@`, tab. `unguarded` takes it off."""
    return f"'{cell}" if FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """A cell as it was before it was guarded."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
