"""Texts → vectors through a callable from outside, each text once. Knows nothing of the model behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from luthier.errors import BadConfig, Missing, RunFailed
from luthier.knowledge.table import Table, Vectors, key_of
from luthier.progress import Progress

Embed = Callable[[list[str]], Vectors]
"""N texts → float32 (N, D), each row of length 1."""

BATCH = 256  # texts between two reports of progress
ALIKE = 0.99  # least cosine between two vectors of one text from one model, whatever precision it runs in


def embedded(texts: Sequence[str], known: Mapping[str, Vectors], embed: Embed, progress: Progress) -> Vectors:
    """Vectors (N, D) of `texts`: taken from `known` where it has their key, the rest embedded."""
    held = dict(known)
    wanted = list({key_of(text): text for text in texts if key_of(text) not in held}.values())
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        held |= zip(map(key_of, batch), called(embed, batch), strict=True)
        progress("embed", start + len(batch), len(wanted))
    return np.stack([held[key_of(text)] for text in texts])


def called(embed: Embed, texts: list[str]) -> Vectors:
    """`embed(texts)`, or BadConfig where it is not one finite row for each text."""
    vectors = np.asarray(embed(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        what = f"the embedding model gave an array of shape {vectors.shape} for {len(texts)} texts, or not finite"
        raise BadConfig(what, "take another embedding model")
    return vectors


def known_vectors(folder: Path, embed: Embed) -> Mapping[str, Vectors]:
    """The vectors of the index in `folder` by key; none where it is gone or another model made them."""
    held = opened(folder)
    return held.vectors() if held and same_model(held, embed) else {}


def opened(folder: Path) -> Table | None:
    """The table of `folder`, or None where it has no whole one."""
    try:
        held = Table(folder)
        held.read_through()
    except (Missing, RunFailed):
        return None
    return held


def same_model(held: Table, embed: Embed) -> bool:
    """Whether `embed` is what made the vectors of `held`: a text of it is embedded again and compared.

    The name of a model would say less: two folders of one name can hold different weights.
    """
    if not held.rows:
        return True
    words, vector = held.probe()
    again = called(embed, [words])[0]
    return again.shape == vector.shape and float(again @ vector) >= ALIKE
