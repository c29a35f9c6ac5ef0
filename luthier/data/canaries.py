"""How much a scrubber finds in somebody's own texts: canaries are put in, and counted when it has gone over them.

Canaries are made-up values of every type (half of the names are put together from syllables, so that no list knows
them), in sentences or bare, set at sentence borders of the texts. Between them stand decoys: sentences with dates,
sums and order numbers and nobody's data. Recall is the share of canaries of which no letter is left. Precision is
counted in what was put in, for only there is it known what is whose: of what was found there, the share that touches
a canary. What is found in the texts themselves is counted and not judged.

Intervals are Clopper and Pearson's (1934), 95 %. Seeds give the same canaries for ever. Canaries are not people: they
are as hard as their carriers, and a text's own spellings may be harder.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from luthier.data import surrogates
from luthier.data.carriers import CARRIERS, DECOYS
from luthier.data.recognisers.hit import words
from luthier.data.recognisers.national import NIF
from luthier.data.scrub import Scrubber, scrub_all
from luthier.errors import BadConfig, GateFailed
from luthier.records.data import Found

TYPES = ("PERSON", "ADDRESS", "IBAN", "CARD", "PHONE", "EMAIL", "ID", "ACCOUNT", "IP", "SECRET")
BARE = frozenset({"IBAN", "CARD", "EMAIL", "IP"})
"""Types whose form alone gives them away: every fourth canary of these stands without a sentence."""
BORDER = re.compile(r"(?<=[.!?])\s+|\n+")
LENGTH = 2000
"""Characters of a text that are kept around its canaries."""
TOGETHER = 256
"""Texts that are scrubbed at once."""


class Planted(NamedTuple):
    """A text with one canary or decoy: the value at [start, end) is a `type`, or none where that is empty."""

    text: str
    language: str
    type: str
    start: int
    end: int
    carrier: tuple[int, int]
    """Where what was put in stands, the sentence around the value included."""


class Rate(NamedTuple):
    """`hits` of `of`, and the interval in which the true share lies, 95 %."""

    hits: int
    of: int

    @property
    def share(self) -> float:
        """The share; 1 where there was nothing to count."""
        return self.hits / self.of if self.of else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval (Biometrika 26, 1934); all there is where nothing was counted."""
        from scipy.stats import beta

        low = float(beta.ppf(0.025, self.hits, self.of - self.hits + 1)) if self.hits else 0.0
        high = float(beta.ppf(0.975, self.hits + 1, self.of - self.hits)) if self.hits < self.of else 1.0
        return low, high


class Report(NamedTuple):
    """What `measure` found, by type."""

    recall: dict[str, Rate]
    precision: dict[str, Rate]
    texts: int
    """Texts of the user that carried canaries."""
    own: dict[str, int]
    """What was found in those texts beside the canaries, by type: counted, not judged."""
    missed: dict[str, tuple[str, ...]]
    """Up to five canaries of each type that were missed, in their sentences."""
    seed: int

    def body(self) -> dict[str, object]:
        """The report as JSON data."""
        rates = {"recall": self.recall, "precision": self.precision}
        return {
            "seed": self.seed,
            "texts": self.texts,
            "types": {
                kind: {
                    name: {"share": round(rate.share, 4), "of": rate.of, "low": low, "high": high}
                    for name, rate in ((name, rates[name].get(kind, Rate(0, 0))) for name in rates)
                    for low, high in [tuple(round(end, 4) for end in rate.interval)]
                }
                for kind in self.recall
            },
            "found_in_own_texts": self.own,
            "missed": {kind: list(missed) for kind, missed in self.missed.items()},
        }


def measure(
    scrubber: Scrubber,
    texts: Iterable[tuple[str, str]],
    seed: int = 0,
    per_type: int = 100,
    types: Sequence[str] = TYPES,
) -> Report:
    """Put `per_type` canaries of each type, and as many decoys as of two types, into `texts` ((text, language) pairs).

    Each text carries one, in turn; without texts the carriers stand alone, in every language that has them. Raises
    BadConfig for a type that no canary can be made of.
    """
    unknown = next((kind for kind in types if kind not in TYPES), None)
    if unknown or per_type < 1:
        raise BadConfig(f"there are no canaries of type {unknown or types!r}", f"choose among {', '.join(TYPES)}")
    planted = list(plant(list(texts), seed, per_type, types))
    recall, right, found_of = Counter[str](), Counter[str](), Counter[str]()
    own: Counter[str] = Counter()
    missed: dict[str, list[str]] = {}
    for begin in range(0, len(planted), TOGETHER):
        chunk = planted[begin : begin + TOGETHER]
        results = scrub_all(scrubber, [([each.text], each.language) for each in chunk])
        for each, (scrubbed,) in zip(chunk, results, strict=True):
            inside = [hit for hit in scrubbed.found if hit.start < each.carrier[1] and hit.end > each.carrier[0]]
            own.update(hit.type for hit in scrubbed.found if hit not in inside)
            for hit in inside:
                found_of[hit.type] += 1
                right[hit.type] += bool(each.type) and hit.start < each.end and hit.end > each.start
            if each.type and covered(each, inside):
                recall[each.type] += 1
            elif each.type:
                missed.setdefault(each.type, []).append(each.text[slice(*each.carrier)])
    return Report(
        recall={kind: Rate(recall[kind], per_type) for kind in types},
        precision={kind: Rate(right[kind], found_of[kind]) for kind in sorted({*types, *found_of})},
        texts=len({each.text[: each.carrier[0]] for each in planted if each.carrier != (0, len(each.text))}),
        own=dict(sorted(own.items())),
        missed={kind: tuple(some[:5]) for kind, some in sorted(missed.items())},
        seed=seed,
    )


def require(report: Report, limits: Mapping[str, float], *, surely: bool = False) -> None:
    """Raise GateFailed where the recall of a type is below its limit; with `surely`, where its interval's lower end is.

    Raises BadConfig for a type that was not measured, or a limit that is no share.
    """
    for kind, least in limits.items():
        if kind not in report.recall or not 0 <= least <= 1:
            raise BadConfig(
                f"there is no recall of {kind} to hold against {least}", f"one of {', '.join(report.recall)}, 0 to 1"
            )
    values = {kind: report.recall[kind].interval[0] if surely else report.recall[kind].share for kind in limits}
    below = [f"{kind} {values[kind]:.3f} < {least:g}" for kind, least in limits.items() if values[kind] < least]
    if below:
        raise GateFailed(
            f"the scrubber finds too little: {', '.join(below)}",
            "look at the missed canaries in the report, then lower the limit or extend the scrubber",
        )


def covered(each: Planted, found: Sequence[Found]) -> bool:
    """Whether nothing of the canary is left."""
    gone = {place for hit in found for place in range(hit.start, hit.end)}
    return all(place in gone for place in range(each.start, each.end) if each.text[place].isalnum())


def plant(texts: Sequence[tuple[str, str]], seed: int, per_type: int, types: Sequence[str]) -> Iterator[Planted]:
    """Every canary and every decoy in its text."""
    rng = random.Random(f"canaries {seed}")
    wanted = [kind for kind in types for _ in range(per_type)] + [""] * (2 * per_type)
    order = list(texts)
    rng.shuffle(wanted)
    rng.shuffle(order)
    for number, kind in enumerate(wanted):
        text, spoken = order[number % len(order)] if order else ("", sorted(CARRIERS)[number % len(CARRIERS)])
        language = spoken[:2] if spoken[:2] in CARRIERS else "en"
        sentence, start, end = carried(kind, language, rng)
        yield inserted(text, spoken, kind, (sentence, start, end), rng)


def carried(kind: str, language: str, rng: random.Random) -> tuple[str, int, int]:
    """A sentence with a value of `kind`, and where the value stands in it; a decoy where `kind` is empty."""
    if not kind:
        return rng.choice(DECOYS[language]).replace("{n}", str(rng.randint(100_000, 999_999))), 0, 0
    value = canary(kind, language, rng)
    if kind in BARE and rng.random() < 0.25:
        return value, 0, len(value)
    before, _, behind = rng.choice(CARRIERS[language][kind]).replace("{!r}", '"{}"').partition("{}")
    return f"{before}{value}{behind}", len(before), len(before) + len(value)


def inserted(text: str, language: str, kind: str, carrier: tuple[str, int, int], rng: random.Random) -> Planted:
    """`carrier` set at a sentence border of `text`, of which LENGTH characters around stay."""
    sentence, start, end = carrier
    borders = [0, *(match.end() for match in BORDER.finditer(text)), len(text)]
    place = rng.choice(borders)
    ahead, behind = text[max(0, place - LENGTH // 2) : place], text[place : place + LENGTH // 2]
    ahead += "" if not ahead or ahead[-1].isspace() else " " if ahead[-1] in ".!?" else ". "
    behind = behind if not behind or behind[0].isspace() else f" {behind}"
    at = len(ahead)
    return Planted(ahead + sentence + behind, language, kind, at + start, at + end, (at, at + len(sentence)))


def canary(kind: str, language: str, rng: random.Random) -> str:
    """A made-up value of a type. Names of persons: every second is no name that any list holds."""
    if kind == "PERSON" and rng.random() < 0.5:
        given = rng.choice(sorted(words("given_names"))).title() if rng.random() < 0.5 else syllables(rng)
        return f"{given} {syllables(rng)}"
    if kind == "ID":
        return identity(language, rng)
    if kind == "SECRET":
        return secret(rng)
    return surrogates.made(kind, language, rng)


def syllables(rng: random.Random) -> str:
    """A word that could be a name somewhere: two or three syllables."""
    some = (
        rng.choice("bdfghjklmnprstvz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l", "s"))
        for _ in range(rng.choice((2, 3)))
    )
    return "".join(some).capitalize()


def identity(language: str, rng: random.Random) -> str:
    """A number with the check digits of its country; in English one that is set apart for advertisements."""
    if language == "es":
        number = rng.randint(10_000_000, 99_999_999)
        return f"{number}{NIF[number % 23]}"
    if language == "de":
        first = rng.sample("123456789", 9)
        first.insert(rng.randint(1, 9), first[0])
        rest = 10
        for digit in first:
            rest = ((int(digit) + rest) % 10 or 10) * 2 % 11
        return "".join([*first, str((11 - rest) % 10)])
    return surrogates.made("ID", language, rng)


def secret(rng: random.Random) -> str:
    """A password, a random token, or a key in the form of a known service; none was ever given out."""
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

    def some(count: int) -> str:
        return "".join(rng.choice(letters) for _ in range(count))

    return rng.choice(
        (
            f"{syllables(rng)}{rng.randint(10, 99)}{rng.choice('!#?$%')}",
            some(24),
            f"ghp_{some(36)}",
            f"sk_test_{some(24)}",
            "AKIA" + "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
        )
    )
