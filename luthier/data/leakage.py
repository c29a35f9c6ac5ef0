"""Training rows that give away what the evaluation asks. Does not know where rows and questions come from.

    exact    a turn says the same as a protected text; case, blanks and punctuation aside
    near     the shingles of a turn and of a protected text are similar by 0.8; numbers may differ
    ngram    half of a protected text's runs of 13 words stand in one row (Brown et al. 2020, arXiv:2005.14165)
    subject  the row comes from a person whom the evaluation is about

A protected text of 8 to 12 words is looked for as one run of words, a shorter one as a whole turn alone. One of one or
two short words ("yes please") is not looked for at all. A run of words that stands in more than ten rows is
boilerplate: it counts only where a row holds the whole protected text. Runs of words need blanks between the words, so
Chinese, Japanese and Thai texts are compared by turns alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.data.clusters import Text, cut
from luthier.data.minhash import Rule, Sketcher
from luthier.data.shingles import Hashes, distinct, jaccard, letters, ngrams, normal, words
from luthier.errors import BadData
from luthier.records.data import Message

Kind = Literal["exact", "near", "ngram", "subject"]
STRENGTH: tuple[Kind, ...] = ("exact", "near", "ngram", "subject")
BATCH = 1 << 16
"""Characters of training rows that are compared together."""
EXCERPT = 120

Places = NDArray[np.int64]


class Protected(NamedTuple):
    """A text that no training row may give away."""

    name: str
    text: str
    subject: str = ""
    """Keyed hash of the person whom it is about, as in `Row.subject`."""


class Trained(NamedTuple):
    """What is compared of a training row."""

    row: str
    turns: tuple[str, ...]
    """What users and assistants said; instructions are the same in every row and give nothing away."""
    subject: str = ""


class Leak(NamedTuple):
    """A training row and the protected text that it gives away."""

    row: str
    protected: str
    kind: Kind
    share: float
    """near: the Jaccard similarity; ngram: the share of the protected text's runs that stand in the row; else 1."""
    excerpt: str
    """The words of the row."""


class Limits(NamedTuple):
    """From where on a training row gives something away."""

    words: int = 13
    """Length of a run."""
    fewest: int = 8
    """A protected text of so many words is one run if it is shorter than `words`."""
    share: float = 0.5
    """Share of a protected text's runs in one row; 0 takes any run, as Brown et al. do."""
    common: int = 10
    """Rows from which on a run of words is boilerplate."""
    similarity: float = 0.8
    """Jaccard similarity of the shingles of two turns."""


USUAL = Limits()


def check(train: Iterable[Trained], protected: Iterable[Protected], limits: Limits = USUAL) -> list[Leak]:
    """Every training row that gives away a protected text, in the order of the rows; each pair once.

    Reads `train` once and keeps none of it: memory grows with the protected texts and the leaks. Of protected texts
    that say the same the first is named.
    """
    kept = [each for each in protected if each.text.strip() or each.subject]
    people = {each.subject: each.name for each in reversed(kept) if each.subject}
    asked = list({key_of(each.text): each for each in reversed(kept) if worth(each.text)}.values())[::-1]
    turns, runs = Turns(asked, limits), Runs(asked, limits)
    found: dict[tuple[int, str], Leak] = {}
    number = 0
    for batch in batched(train):
        flat = [turn for row in batch for turn in row.turns]
        owner = np.repeat(np.arange(len(batch)), [len(row.turns) for row in batch])
        spelt = [normal(turn) for turn in flat]
        for at, name, kind, share in turns.found(spelt):
            one = int(owner[at])
            note(found, number + one, Leak(batch[one].row, name, kind, share, cut(flat[at], EXCERPT)))
        runs.look(spelt, owner + number, [row.row for row in batch], number)
        for place, row in enumerate(batch, number):
            if row.subject and row.subject in people:
                note(found, place, Leak(row.row, people[row.subject], "subject", 1.0, ""))
        number += len(batch)
    for place, leak in runs.leaks():
        note(found, place, leak)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def note(found: dict[tuple[int, str], Leak], place: int, leak: Leak) -> None:
    """Keep the stronger of two leaks between one row and one protected text."""
    known = found.get((place, leak.protected))
    if known is None or (STRENGTH.index(leak.kind), -leak.share) < (STRENGTH.index(known.kind), -known.share):
        found[place, leak.protected] = leak


def require_none(leaks: Sequence[Leak], most: int = 5) -> None:
    """Raises BadData that shows the first pairs, if there are any."""
    if not leaks:
        return
    rows = len({leak.row for leak in leaks})
    pairs = "; ".join(f"{leak.row} gives away {leak.protected} ({described(leak)})" for leak in leaks[:most])
    more = f"; and {len(leaks) - most} more" if len(leaks) > most else ""
    raise BadData(
        f"{rows} training row{'s' * (rows > 1)} would give away what the evaluation asks: {pairs}{more}",
        "leave these rows out of the sources, or take what they repeat out of the protected questions",
    )


def described(leak: Leak) -> str:
    """A leak in a few words."""
    if leak.kind == "subject":
        return "the same person"
    share = "" if leak.share == 1 else f" {leak.share:.2f}"
    return f"{leak.kind}{share}: “{cut(leak.excerpt, 60)}”"


def trained(row: str, messages: Sequence[Message], subject: str = "") -> Trained:
    """What is compared of a row with these messages."""
    return Trained(row, tuple(m.content for m in messages if m.role in ("user", "assistant") and m.content), subject)


def key_of(text: str) -> bytes:
    """Equal for texts that say the same."""
    return letters([normal(text)]).values.tobytes()


def worth(text: str) -> bool:
    """Whether a text is long enough to be given away: three words, or twelve letters."""
    spelt = letters([normal(text)])
    return len(spelt.values) > 12 or len(words([normal(text)]).values) > 2


def batched(train: Iterable[Trained]) -> Iterator[list[Trained]]:
    """Rows in lists of about BATCH characters."""
    batch: list[Trained] = []
    length = 0
    for row in train:
        batch.append(row)
        length += sum(map(len, row.turns)) + 1
        if length >= BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


class Turns:
    """Protected texts, found again as whole turns."""

    def __init__(self, asked: Sequence[Protected], limits: Limits) -> None:
        self.names = [each.name for each in asked]
        self.sketcher = Sketcher(Rule(limits.similarity, figures=False))
        spelt = [normal(each.text) for each in asked]
        self.sets = self.sketcher.shingles(spelt).sets()
        self.sketch = self.sketcher.sketch([Text("", text) for text in spelt])
        self.order = [np.argsort(keys, kind="stable") for keys in self.sketch.bands]
        self.sorted = [keys[by] for keys, by in zip(self.sketch.bands, self.order, strict=True)]

    def found(self, spelt: Sequence[str]) -> Iterator[tuple[int, str, Kind, float]]:
        """The turns (by their place) that say a protected text: its name, how, and how similar."""
        if not spelt or not self.names:
            return
        shingles = self.sketcher.shingles(spelt)
        sketch = self.sketcher.of_shingles(shingles, np.zeros(len(spelt), np.uint64))
        pairs = [np.empty(0, np.int64)]
        for keys, known, by in zip(sketch.bands, self.sorted, self.order, strict=True):
            low, high = np.searchsorted(known, keys, "left"), np.searchsorted(known, keys, "right")
            counts = high - low
            turn = np.repeat(np.arange(len(keys)), counts)
            place = np.arange(len(turn)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            pairs.append(turn * len(self.names) + by[place])
        turn, asked = np.divmod(np.unique(np.concatenate(pairs)), len(self.names))
        equal = np.count_nonzero(sketch.smallest[turn] == self.sketch.smallest[asked], axis=1)
        good = (equal >= self.sketcher.promising) & (sketch.whole[turn] != 0)
        for one, other in zip(turn[good].tolist(), asked[good].tolist(), strict=True):
            if sketch.whole[one] == self.sketch.whole[other]:
                yield one, self.names[other], "exact", 1.0
                continue
            turn_set = distinct(shingles.values[shingles.starts[one] : shingles.starts[one + 1]])
            similarity = float(jaccard(turn_set, [self.sets[other]])[0])
            if similarity >= self.sketcher.rule.threshold:
                yield one, self.names[other], "near", similarity


class Hit(NamedTuple):
    """Runs of a protected text that stand in a row."""

    place: int
    row: str
    asked: int
    runs: Places
    excerpt: str


class Runs:
    """The runs of words of protected texts, found again wherever they stand."""

    def __init__(self, asked: Sequence[Protected], limits: Limits) -> None:
        self.limits = limits
        self.names = [each.name for each in asked]
        spelt = words([normal(each.text) for each in asked])
        size = np.where(spelt.lengths >= limits.fewest, np.minimum(spelt.lengths, limits.words), 0)
        self.sizes = sorted({int(each) for each in size if each})
        runs: list[tuple[int, int, int]] = []
        for length in self.sizes:
            grams = ngrams(spelt, length, short=False)
            for one in np.flatnonzero(size == length).tolist():
                values = distinct(grams.values[grams.starts[one] : grams.starts[one + 1]])
                runs += [(int(value), one, length) for value in values]
        runs.sort()
        self.values = np.array([run[0] for run in runs], np.uint64)
        self.of = np.array([run[1] for run in runs], np.int64)
        """The protected text of each run."""
        self.all = np.bincount(self.of, minlength=len(asked))
        """Runs of each protected text."""
        self.rows = np.zeros(len(runs), np.int64)
        """Rows in which each run stands."""
        self.hits: list[Hit] = []

    def look(self, spelt: Sequence[str], owner: Places, rows: Sequence[str], first: int) -> None:
        """Note the runs in turns that are `normal`. Turn i is of row `owner[i]`; `rows` are those from `first` on."""
        if not len(self.values) or not spelt:
            return
        seen = words(spelt)
        places, runs, where = [], [], []
        for size in self.sizes:
            grams = ngrams(seen, size, short=False)
            low = np.searchsorted(self.values, grams.values, "left")
            counts = np.searchsorted(self.values, grams.values, "right") - low
            at = np.flatnonzero(counts)
            if at.size:
                each = np.repeat(at, counts[at])
                shift = np.arange(len(each)) - np.repeat(np.cumsum(counts[at]) - counts[at], counts[at])
                turn = np.searchsorted(grams.starts, each, "right") - 1
                runs.append(low[each] + shift)
                places.append(owner[turn])
                where += [(int(t), int(e - grams.starts[t]), size) for t, e in zip(turn, each, strict=True)]
        if runs:
            self.gather(np.concatenate(places), np.concatenate(runs), where, (spelt, rows, first))

    def gather(
        self,
        places: Places,
        runs: Places,
        where: Sequence[tuple[int, int, int]],
        batch: tuple[Sequence[str], Sequence[str], int],
    ) -> None:
        """Note for each row and protected text which runs they share, if they are enough."""
        spelt, rows, first = batch
        width = len(self.values)
        pairs, index = np.unique(places * width + runs, return_index=True)
        place, run = np.divmod(pairs, width)
        self.rows += np.bincount(run, minlength=width)
        both = place * len(self.names) + self.of[run]
        by = np.argsort(both, kind="stable")
        for group in np.split(by, np.flatnonzero(np.diff(both[by])) + 1):
            one, asked = int(place[group[0]]), int(self.of[run[group[0]]])
            if len(group) >= self.limits.share * self.all[asked]:
                turn, begin, size = where[int(index[group].min())]
                said = spoken(spelt[turn])[begin : begin + size]
                self.hits.append(Hit(one, rows[one - first], asked, run[group], cut(" ".join(said), EXCERPT)))

    def leaks(self) -> Iterator[tuple[int, Leak]]:
        """The rows that hold enough of a protected text, boilerplate left out, each with its number."""
        for hit in self.hits:
            total = int(self.all[hit.asked])
            counted = len(hit.runs)
            if counted < total:
                counted = int(np.count_nonzero(self.rows[hit.runs] <= self.limits.common))
            if counted and counted >= self.limits.share * total:
                yield hit.place, Leak(hit.row, self.names[hit.asked], "ngram", counted / total, hit.excerpt)


def spoken(text: str) -> list[str]:
    """The words of a text that is `normal`, as they are hashed."""
    points: Hashes = letters([text]).values - np.uint64(1)
    return "".join(map(chr, points.tolist())).split(" ")
