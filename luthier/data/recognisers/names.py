"""Names of persons where a dialogue gives them away: introductions, titles, greetings, sign-offs, common given names.

Works in every language of its tables alike; the language model, which knows English only, is asked elsewhere.
Knows nothing of places or companies but the words in `not_names.txt`, which cut a name short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import combining, normalize

from luthier.data.recognisers.hit import UP, Hit, words
from luthier.data.recognisers.introductions import (
    BEHIND,
    FULL,
    GREETING,
    IDENTIFIED,
    NAME,
    PARTICLES,
    SIGNOFF,
    STRONG,
    TITLE,
    TOKEN,
    WEAK,
)

THING = re.compile(r"(?<!\w)(?:the|an?|in|at|my|your|our|their|another|this|that|near)\s$", re.I)
"""Words that stand before things and places, not before persons."""


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    """The ways in which a dialogue gives a name away, by how sure each is."""
    title = rf"(?:{TITLE} )*"
    return {
        "strong": re.compile(rf"(?<!\w)(?i:{STRONG})\s+{title}(?P<name>{NAME})"),
        "lower": re.compile(rf"(?<!\w)(?i:{STRONG})\s+(?P<name>[^\W\d_]+(?:[ -][^\W\d_]+){{0,2}})"),
        "weak": re.compile(rf"(?<!\w)(?i:{WEAK})\s+(?P<name>{NAME})"),
        "title": re.compile(rf"(?<!\w)(?:{TITLE} )+(?P<name>{NAME})"),
        "greeting": re.compile(rf"(?<!\w)(?i:{GREETING}) (?P<name>{TOKEN}(?: {TOKEN})?)(?=[ ]?(?:[,!.:;–—-]|$|\n))"),
        "opening": re.compile(rf"(?<!\w)(?i:{GREETING})[,.!]? (?P<name>{FULL})(?=[,.!(])"),
        "last": re.compile(rf"(?:^|[.!?] |\n)(?P<name>{FULL})[.!]?\s*$"),
        "identified": re.compile(rf"(?<![\w-])(?P<name>{FULL})(?:, | \(|: ?|,? (?=[A-Z]{{2}}\d\d)){IDENTIFIED}"),
        "signoff": re.compile(rf"(?<!\w)(?i:{SIGNOFF})[\s,.!:–—-]{{1,6}}(?P<name>{NAME})(?=[.!]?\s*(?:$|\n))"),
        "behind": re.compile(rf"(?:^|[\n.!?,:] ?)(?P<name>{NAME}),? (?i:{BEHIND})(?!\w)"),
        "dash": re.compile(rf"(?:\n|[.!?)] ?)(?:[-–—] ?|/)(?P<name>{NAME})\s*$"),
    }


def names(text: str, language: str) -> Iterator[Hit]:
    """Names of persons, without their titles."""
    for kind, pattern in patterns().items():
        for match in pattern.finditer(text):
            start, end = match.span("name")
            if kind == "lower":
                yield from lower_case(text, start, end)
                continue
            start, end = trimmed(text, start, end)
            if start < end and (kind in {"strong", "title"} or believable(text[start:end], kind)):
                yield Hit(start, end, "PERSON", 0.9 if kind in {"strong", "title"} else 0.75)
    yield from known(text, language)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) up to the first word that is no part of a name; empty where it begins with one."""
    last = start
    for match in re.finditer(r"[\w'’´-]+", text[start:end]):
        word = match.group()
        inner = match.start() > 0 and (PARTICLES.fullmatch(word) or (len(word) == 1 and word.isupper()))
        if everyday(word) and not inner:
            break
        if not inner:
            last = start + match.end()
    last -= len(text[start:last]) - len(re.sub(r"['’]s?$", "", text[start:last]))
    return start, last


def everyday(word: str) -> bool:
    """Whether `word` is one that stands with a capital letter without naming anybody."""
    return word.casefold().replace("’", "'") in words("not_names")


def believable(name: str, kind: str) -> bool:
    """Whether a name behind weak words is one: a known given name, or two words and more that are not shouted."""
    enough = len(name) > 2 if kind in {"greeting", "signoff", "dash"} else " " in name
    return given(re.split(r"[\s.]", name)[0]) or (enough and not name.isupper())


def given(word: str) -> bool:
    """Whether `word`, or the first half of a double name, is a well-known given name; accents are optional."""
    return plain(word.casefold().partition("-")[0]) in plain_given_names()


def plain(word: str) -> str:
    """`word` without its accents."""
    return "".join(letter for letter in normalize("NFKD", word) if not combining(letter))


@cache
def plain_given_names() -> frozenset[str]:
    return frozenset(plain(word) for word in words("given_names"))


def known(text: str, language: str) -> Iterator[Hit]:
    """Well-known given names with the surnames that follow them."""
    surnames = 1 if language.startswith("de") else 2
    for match in re.finditer(rf"(?<![\w@.-]){NAME}", text):
        start, end = match.span()
        while start < end:
            head = re.match(r"[\w'’´-]+", text[start:end])
            if head is None:
                start += 1
            elif given(head.group()) and not everyday(head.group()):
                stop = extent(text, start, end, surnames)
                yield Hit(start, stop, "PERSON", 0.8)
                start = stop
            else:
                start += head.end()


def extent(text: str, start: int, end: int, surnames: int) -> int:
    """Where the name that begins at `start` ends: further given names, initials, then at most that many surnames."""
    start, end = trimmed(text, start, end)
    last, left = start, surnames
    for match in re.finditer(r"[\w'’´-]+", text[start:end]):
        word = match.group()
        if PARTICLES.fullmatch(word):
            continue
        if match.start() and not given(word) and len(word) > 1:
            if left == 0:
                break
            left -= 1
        last = start + match.end()
    return last


def lower_case(text: str, start: int, end: int) -> Iterator[Hit]:
    """A name typed without capitals behind an introduction: its first word, and the next while they may be one."""
    last = start
    for place, match in enumerate(re.finditer(r"[^\W\d_]+", text[start:end])):
        word = match.group()
        if everyday(word) or (place == 0 and not given(word)) or len(word) < 2:
            break
        last = start + match.end()
    if last > start:
        yield Hit(start, last, "PERSON", 0.7)


def named(text: str, start: int, end: int, kind: str) -> tuple[int, int]:
    """What the language model labelled, cut to what can be a name; empty where nothing is left.

    It labels whole lines, titles and product names: a name of a person has no figures, stands on one line, begins
    with a capital and is not made of everyday words.
    """
    line = text.find("\n", start, end)
    end = line if line > start else end
    if kind != "PERSON":
        ordinary = all(everyday(word) for word in re.findall(r"[\w'’-]+", text[start:end]))
        return (start, start) if ordinary else (start, end)
    while head := re.match(rf"(?:{TITLE}(?=\s)|[\W_]+|\w+['’](?:m|s|ve|d|ll|re)(?=\s))\s*", text[start:end]):
        start += head.end()
    start, stop = trimmed(text, start, end)
    name = text[start:stop]
    if not re.match(UP, name) or any(letter.isdigit() for letter in name) or (name.isupper() and len(name) < 5):
        return start, start
    return (start, stop) if given(re.split(r"[\s.]", name)[0]) or not a_thing(text, start, stop) else (start, start)


def a_thing(text: str, start: int, end: int) -> bool:
    """Whether [start, end) stands where things, shops and places do: `in Port Elm`, `my Elm Loan`, `Elm Hotel`."""
    behind = re.match(rf" ({UP}\w*)", text[end : end + 30])
    ahead = THING.search(text[max(0, start - 9) : start])
    return ahead is not None or (behind is not None and everyday(behind.group(1)))
