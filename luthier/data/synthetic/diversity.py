"""Has nearly the same been said before? And how varied is what was kept? Knows no kind of row.

Near means what it means in a build: MinHash finds the pairs, the Jaccard similarity of their shingles decides. Here
texts come one by one and each has to be decided at once. Varied: distinct-n (Li et al. 2016, arXiv:1510.03055).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from luthier.data.clusters import Text
from luthier.data.minhash import Rule, Sketcher
from luthier.data.shingles import Hashes, distinct, jaccard, ngrams, normal, words

NEAR = 0.65
"""Similarity from which on a question is asked twice. Lower than in a build: these have one author."""
BATCH = 512


class Known:
    """Texts that were said, each with a name. Memory: 1 KB for a text of a sentence or two."""

    def __init__(self, threshold: float = NEAR) -> None:
        self.sketcher = Sketcher(Rule(threshold, figures=False))
        self.names: list[str] = []
        self.sets: list[Hashes] = []
        self.bands: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, texts: Iterable[tuple[str, str]]) -> None:
        """Take in texts with their names."""
        every = list(texts)
        for at in range(0, len(every), BATCH):
            some = every[at : at + BATCH]
            bands = self.sketcher.sketch([Text("", text) for _, text in some]).bands.T.tolist()
            sets = self.sketcher.shingles([normal(text) for _, text in some]).sets()
            for (name, _), keys, shingles in zip(some, bands, sets, strict=True):
                for band, key in enumerate(keys):
                    self.bands[band, key].append(len(self.names))
                self.names.append(name)
                self.sets.append(shingles)

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The name of the text that is most similar, if it is by the threshold, and how similar it is."""
        keys = self.sketcher.sketch([Text("", text)]).bands[:, 0].tolist()
        places = sorted({place for at in enumerate(keys) for place in self.bands.get(at, ())})
        (shingles,) = self.sketcher.shingles([normal(text)]).sets()
        if not places or not len(shingles):
            return None
        similar = jaccard(shingles, [self.sets[place] for place in places])
        best = int(similar.argmax())
        enough = similar[best] >= self.sketcher.rule.threshold
        return (self.names[places[best]], float(similar[best])) if enough else None


def distinct_n(texts: Sequence[str], size: int) -> float:
    """Share of the runs of `size` words in all texts that are there for the first time: 1 where none comes twice."""
    if not texts:
        return 0.0
    runs = ngrams(words([normal(text) for text in texts]), size, short=False).values
    return len(distinct(runs)) / len(runs) if len(runs) else 0.0
