"""Which split a row is in. Pure: by a hash of its name alone, so a row never moves, whatever else comes or goes."""

from __future__ import annotations

import hashlib

from luthier.records.data import Split


def split_of(row_or_dialogue: str, validation: float, test: float, seed: int = 0) -> Split:
    """The split of a row, or of every row of a dialogue, by its id.

    Test takes the low end of the hashes and validation the high end, so changing one share never moves rows between
    the two.
    """
    digest = hashlib.sha256(f"{seed}:{row_or_dialogue}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return "test"
    return "validation" if place >= 1 - validation else "train"
