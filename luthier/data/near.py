"""Rows that are nearly the same: MinHash finds the pairs, the exact Jaccard similarity of their shingles decides.

One row leaves for another when their shingles (five characters each by default) are similar by `threshold`, and when
they hold the same numbers: in this house a fee of 8 EUR and one of 9 EUR are no duplicates. Numbers in words are not
seen. Of two such rows the better ranked one stays, and a row leaves only for one that stays and is similar to itself:
no chain of small steps takes a row out for one that it does not resemble. The same rows give the same clusters on every
machine.

Memory grows with the rows (1 KB each at most) and not with their lengths: the texts wait in a temporary file. So does
time, unless a large share of all pairs is similar by nearly `threshold`: thousands of rows made from one template are
compared row by row with those of them that stay.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from luthier.data.clusters import Cluster, Text, gathered, ranked
from luthier.data.minhash import Rule, Sketch, Sketcher, joined
from luthier.data.shingles import Hashes, jaccard, mixed, normal

BATCH = 1 << 16
"""Characters that are hashed together: what comes of them stays in the cache of a core."""
BLOCK = 1024
"""Most rows that are compared with one another at once."""
AT_HAND = 8_000_000
"""Shingles (8 bytes each) that are kept from one comparison to the next."""
USUAL = Rule()

Places = NDArray[np.int64]
Promising = Callable[[Places, Places], NDArray[np.bool_]]


def clusters(texts: Iterable[Text], rule: Rule = USUAL) -> list[Cluster]:
    """The clusters of rows that are nearly the same, in the order of the rows that stay. Names have to differ.

    Reads `texts` once. Texts without a letter, figure or symbol are like no other. Raises BadConfig for a rule that
    cannot be.
    """
    sketcher = Sketcher(rule)
    with TemporaryFile() as said, TemporaryFile() as called:
        spool, names = Spool(said), Spool(called)
        collected: list[str] = []
        sketches: list[Sketch] = []
        for batch in batched(texts):
            collected += [text.collected for text in batch] if rule.keep == "newest" else []
            sketches.append(sketcher.sketch(batch))
            for text in batch:
                spool.add(normal(text.text))
                names.add(text.name)
        order = ranked(rule.keep, spool.lengths, collected)
        stays, how = Resolved(sketcher, spool, joined(sketches), order).resolve()
        return gathered(names.read, order, stays, how)


class Spool:
    """Texts in a file, read again by their place."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.ends = array("q", [0])
        self.lengths = array("q")
        """Characters of each text."""

    def add(self, text: str) -> None:
        """Put a text behind the others."""
        self.ends.append(self.ends[-1] + self.file.write(text.encode(errors="surrogatepass")))
        self.lengths.append(len(text))

    def read(self, place: int) -> str:
        """The text at a place."""
        self.file.seek(self.ends[place])
        return self.file.read(self.ends[place + 1] - self.ends[place]).decode(errors="surrogatepass")


def batched(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Texts in lists of about BATCH characters."""
    batch: list[Text] = []
    length = 0
    for text in texts:
        batch.append(text)
        length += len(text.text) + 1
        if length >= BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


class Resolved:
    """Who stays for whom. Rows are named by their rank here: 0 may stay before all others."""

    def __init__(self, sketcher: Sketcher, spool: Spool, sketch: Sketch, order: Places) -> None:
        self.sketcher = sketcher
        self.spool = spool
        self.order = order
        self.guard = sketch.guard[order]
        self.smallest = sketch.smallest
        self.stays = np.arange(len(order))
        self.how = np.ones(len(order))
        keys = mixed(sketch.whole[order]) ^ self.guard
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        self.stays[:] = first[inverse]
        empty = sketch.whole[order] == 0
        self.stays[empty] = np.flatnonzero(empty)
        self.alone = np.flatnonzero((self.stays == np.arange(len(order))) & ~empty)
        """Ranks of the texts that have no equal before them."""
        self.known: dict[int, Hashes] = {}
        """Shingles at hand, by the place of their row in `alone`."""
        self.buckets = Buckets(sketch.bands, order[self.alone])

    def resolve(self) -> tuple[Places, NDArray[np.float64]]:
        """For each rank the rank that stays for it, and their similarity."""
        twins = np.flatnonzero(self.stays != np.arange(len(self.order)))
        of = self.stays[twins]
        begin, size = 0, 64
        active = self.buckets.active
        while begin < len(active):
            block = active[begin : begin + size]
            self.settle(*self.buckets.earlier(block, self.promising))
            left = block[self.stands(block)]
            self.settle(*self.buckets.within(left, self.promising))
            self.buckets.add(left[self.stands(left)])
            begin, size = begin + size, min(2 * size, BLOCK)
        self.stays[twins], self.how[twins] = self.stays[of], self.how[of]
        return self.stays, self.how

    def stands(self, alone: Places) -> NDArray[np.bool_]:
        """Whether each of some rows (places in `alone`) stays so far."""
        ranks = self.alone[alone]
        stands: NDArray[np.bool_] = self.stays[ranks] == ranks
        return stands

    def promising(self, a: Places, b: Places) -> NDArray[np.bool_]:
        """Whether pairs (places in `alone`) may be similar enough, by what is in memory."""
        good: NDArray[np.bool_] = self.guard[self.alone[a]] == self.guard[self.alone[b]]
        at = np.flatnonzero(good)
        for some in np.array_split(at, len(at) // 50_000 + 1):
            ours, theirs = (self.smallest[self.order[self.alone[side[some]]]] for side in (a, b))
            good[some] = np.count_nonzero(ours == theirs, axis=1) >= self.sketcher.promising
        return good

    def settle(self, later: Places, earlier: Places) -> None:
        """Compare pairs exactly. They are sorted, so a row leaves for the best ranked of those that it resembles."""
        for batch in np.array_split(np.arange(len(later)), len(later) // (8 * BLOCK) + 1):
            sets = self.sets(np.unique(np.concatenate([later[batch], earlier[batch]])).tolist())
            cuts = np.flatnonzero(np.diff(later[batch])) + 1
            for group in np.split(batch, cuts) if len(batch) else ():
                row = int(later[group[0]])
                others = earlier[group][self.stands(earlier[group])]
                if len(others) and self.stays[self.alone[row]] == self.alone[row]:
                    similar = jaccard(sets[row], [sets[other] for other in others.tolist()])
                    first = int(np.argmax(similar >= self.sketcher.rule.threshold))
                    if similar[first] >= self.sketcher.rule.threshold:
                        self.stays[self.alone[row]] = self.alone[others[first]]
                        self.how[self.alone[row]] = similar[first]

    def sets(self, places: Sequence[int]) -> dict[int, Hashes]:
        """The shingles of rows (places in `alone`), sorted; what is not at hand is read from the spool again."""
        if sum(map(len, self.known.values())) > AT_HAND:
            self.known = {place: self.known[place] for place in places if place in self.known}
        needed = [place for place in places if place not in self.known]
        made: list[Hashes] = []
        for batch in batched(Text("", self.spool.read(int(self.order[self.alone[place]]))) for place in needed):
            made += self.sketcher.shingles([text.text for text in batch]).sets()
        self.known |= zip(needed, made, strict=True)
        return self.known


class Buckets:
    """Rows that share a band, among those that stay so far. Chains in arrays: an entry is a row in a band."""

    def __init__(self, bands: NDArray[np.uint32], rows: Places) -> None:
        self.rows = len(rows)
        self.of = np.full((len(bands), len(rows)), -1, np.int32)
        """(bands, rows): the bucket of each entry, -1 where no other row is in it."""
        count = 0
        for band, keys in enumerate(bands):
            _, inverse, sizes = np.unique(keys[rows], return_inverse=True, return_counts=True)
            shared = sizes > 1
            numbers = np.where(shared, np.cumsum(shared) - 1 + count, -1).astype(np.int32)
            self.of[band] = numbers[inverse]
            count += int(np.count_nonzero(shared))
        self.last = np.full(count, -1, np.int32)
        """The newest entry of each bucket."""
        self.before = np.full(self.of.size, -1, np.int32)
        """The entry that was there before each entry."""
        self.active = np.flatnonzero((self.of >= 0).any(axis=0))
        """Rows that share a bucket at all."""

    def earlier(self, block: Places, promising: Promising) -> tuple[Places, Places]:
        """Pairs of a row of `block` and one that was added, sorted."""
        buckets = self.of[:, block].ravel()
        row = np.tile(block, len(self.of))
        entry = np.where(buckets >= 0, self.last[buckets], -1) if len(self.last) else buckets
        found = [np.empty(0, np.int64)]
        while (at := np.flatnonzero(entry >= 0)).size:
            row, entry = row[at], entry[at]
            pairs = np.unique(row * self.rows + entry % self.rows)
            found.append(pairs[promising(*np.divmod(pairs, self.rows))])
            entry = self.before[entry]
        return self.split(found)

    def within(self, block: Places, promising: Promising) -> tuple[Places, Places]:
        """Pairs within `block`, sorted; the later row comes first."""
        found = [np.empty(0, np.int64)]
        for buckets in self.of[:, block]:
            by = np.argsort(buckets, kind="stable")
            by = by[buckets[by] >= 0]
            cuts = np.flatnonzero(np.diff(buckets[by])) + 1
            for members in (group for group in np.split(block[by], cuts) if len(group) > 1):
                high, low = np.tril_indices(len(members), -1)
                found.append(members[high] * self.rows + members[low])
        pairs = np.unique(np.concatenate(found))
        return self.split([pairs[promising(*np.divmod(pairs, self.rows))]])

    def split(self, found: Sequence[Places]) -> tuple[Places, Places]:
        """Pairs from their numbers, each once."""
        later, earlier = np.divmod(np.unique(np.concatenate(found)), max(self.rows, 1))
        return later, earlier

    def add(self, rows: Places) -> None:
        """Put rows that stay into their buckets."""
        bands, columns = np.nonzero(self.of[:, rows] >= 0)
        buckets, entries = self.of[bands, rows[columns]], (bands * self.rows + rows[columns]).astype(np.int32)
        by = np.argsort(buckets, kind="stable")
        buckets, entries = buckets[by], entries[by]
        first = np.ones(len(by), bool)
        first[1:] = buckets[1:] != buckets[:-1]
        self.before[entries[first]] = self.last[buckets[first]]
        self.before[entries[1:][~first[1:]]] = entries[:-1][~first[1:]]
        self.last[buckets] = entries  # of equal places the last one stays
