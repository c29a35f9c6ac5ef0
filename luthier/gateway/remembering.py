"""An embedder that remembers: screening and retrieval embed one question once. Keeps hashes of texts, never texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from luthier.records.base import sha256

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]


class Remembering:
    """`embed` with the newest `most` vectors kept. Hand the same one to the desk and to the search. Thread-safe."""

    def __init__(self, embed: Embed, most: int = 4096) -> None:
        self.embed = embed
        self.most = most
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()

    def __call__(self, texts: list[str]) -> Vectors:
        """One row for each of N texts: (N, D). Only texts that are new go to the encoder, in one call."""
        keys = [sha256(text.encode("utf-8", "replace")) for text in texts]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            fresh = dict(zip(new, self.embed(list(new.values())), strict=True))
            known |= fresh
            self._keep(fresh)
        return np.stack([known[key] for key in keys]) if keys else self.embed([])

    def _keep(self, fresh: dict[str, Vectors]) -> None:
        with self._lock:
            self._kept |= fresh
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
