"""Typed placeholders, dialogue by dialogue. Pure.

Within one dialogue a value has one placeholder: `Anna Schmidt`, `Anna` and `Frau Schmidt` are all <PERSON_1>. A value
that was recognised once is replaced wherever it stands, also where nothing around it would have given it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luthier.data.recognisers.hit import Hit, words
from luthier.data.spans import PLACEHOLDER, Span, normal, settle
from luthier.records.data import Found, Scrubbed

WORD = re.compile(r"[^\W\d_]+")
NUMBER = re.compile(r"[+(]?\d[\d ()./\-]{4,30}\d")
BETWEEN = re.compile(r"[ \-'’]|\. | (?:von|van|de|del|de la|der|di|da) ")
"""What may stand between two words of one name."""


def name_words(value: str) -> frozenset[str]:
    """The words of a name that can stand for it alone: not initials, not `von`, not words of everyday life."""
    found = (word.casefold() for word in WORD.findall(value) if len(word) > 2 and not word.islower())
    return frozenset(word for word in found if word not in words("not_names")) or frozenset({normal(value)})


class People:
    """The numbers given out within one dialogue, type by type. Those that stand in its texts already are taken."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.last: dict[str, int] = {}
        for text in texts:
            for kind, number in PLACEHOLDER.findall(text):
                self.last[kind] = max(self.last.get(kind, 0), int(number))
        self.numbers: dict[tuple[str, str], int] = {}
        self.persons: list[tuple[frozenset[str], int]] = []

    def placeholder(self, kind: str, value: str) -> str:
        """The placeholder of `value`: the one it has, or the next number of its type."""
        called = kind, normal(value)
        if called not in self.numbers:
            self.numbers[called] = self.person(name_words(value)) if kind == "PERSON" else self.next(kind)
        return f"<{kind}_{self.numbers[called]}>"

    def person(self, named: frozenset[str]) -> int:
        """The number of the first person whose name holds all these words, or is held by them."""
        for place, (other, number) in enumerate(self.persons):
            if named <= other or other <= named:
                self.persons[place] = (named | other, number)
                return number
        self.persons.append((named, self.next("PERSON")))
        return self.persons[-1][1]

    def next(self, kind: str) -> int:
        """The next free number of a type."""
        self.last[kind] = self.last.get(kind, 0) + 1
        return self.last[kind]


class Draft:
    """One dialogue while it is scrubbed: its texts as they came and what was found in them, by those offsets."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.spans: list[list[Span]] = [[] for _ in texts]
        self.written: list[list[str]] = [[] for _ in texts]
        """The placeholder of each span."""
        self.views = list(texts)
        """The texts as they stand now."""
        self.checked: list[str | None] = [None] * len(texts)

    def waiting(self) -> list[int]:
        """The texts whose present form has not been looked through yet."""
        return [place for place, view in enumerate(self.views) if self.checked[place] != view and view.strip()]

    def add(self, place: int, hits: Sequence[Hit]) -> None:
        """Take in what was found in the present form of text `place`."""
        view = self.checked[place] = self.views[place]
        found = [self.original(place, span) for span in settle(view, hits)]
        self.spans[place] = sorted(self.spans[place] + found)

    def original(self, place: int, span: Span) -> Span:
        """A span of the present form, by the offsets of the text as it came. It touches no placeholder."""
        shift = 0
        for (start, end, _), placeholder in zip(self.spans[place], self.written[place], strict=True):
            if start + shift >= span.end:
                break
            shift += len(placeholder) - (end - start)
        return Span(span.start - shift, span.end - shift, span.type)

    def render(self) -> None:
        """Spread what was found over all texts, number it in the order in which it stands, and write the texts anew."""
        self.spread()
        people = People(self.texts)
        for place, text in enumerate(self.texts):
            self.written[place] = [people.placeholder(kind, text[start:end]) for start, end, kind in self.spans[place]]
            pieces, done = [], 0
            for (start, end, _), placeholder in zip(self.spans[place], self.written[place], strict=True):
                pieces += [text[done:start], placeholder]
                done = end
            self.views[place] = "".join([*pieces, text[done:]])

    def spread(self) -> None:
        """Find again, in every text, the names and numbers that were found in any."""
        names: dict[str, set[str]] = {}
        numbers: dict[str, str] = {}
        for text, spans in zip(self.texts, self.spans, strict=True):
            for start, end, kind in spans:
                value = text[start:end]
                if kind == "PERSON":
                    for word in name_words(value):
                        names.setdefault(word, set()).update(WORD.findall(value))
                elif NUMBER.fullmatch(value):
                    numbers[normal(value)] = kind
        if not names and not numbers:
            return
        for place, text in enumerate(self.texts):
            again = [*again_named(text, names), *again_numbered(text, numbers)]
            self.spans[place] = sorted(self.spans[place] + settle(text, again, self.spans[place]))

    def scrubbed(self) -> list[Scrubbed]:
        """The texts with their placeholders, and what was found."""
        return [
            Scrubbed(view, tuple(Found(start, end, kind, text[start:end]) for start, end, kind in spans))
            for text, view, spans in zip(self.texts, self.views, self.spans, strict=True)
        ]


def again_named(text: str, names: dict[str, set[str]]) -> Iterator[Hit]:
    """Words of `text` that belong to a known name, neighbours as one; with a capital, or as the name was written."""
    run: tuple[int, int] | None = None
    for match in WORD.finditer(text):
        word = match.group()
        forms = names.get(word.casefold()) or names.get(word.casefold().removesuffix("s"))
        if forms is None or not (word[0].isupper() or word in forms):
            continue
        if run and BETWEEN.fullmatch(text, run[1], match.start()):
            run = (run[0], match.end())
            continue
        if run:
            yield Hit(*run, "PERSON", 0.7)
        run = match.span()
    if run:
        yield Hit(*run, "PERSON", 0.7)


def again_numbered(text: str, numbers: dict[str, str]) -> Iterator[Hit]:
    """Numbers of `text` that were recognised elsewhere, in whatever grouping."""
    for match in NUMBER.finditer(text) if numbers else ():
        kind = numbers.get(normal(match.group()))
        if kind:
            yield Hit(*match.span(), kind, 0.7)
