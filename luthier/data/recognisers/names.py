"""Names of persons where a dialogue gives them away: introductions, titles, greetings, sign-offs, common given names.

Works in every language of its tables alike; the language model, which knows English only, is asked elsewhere.
Knows nothing of places or companies but the words in `not_names.txt`, which cut a name short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import combining, normalize

from luthier.data.recognisers.gazetteer import folded, lists
from luthier.data.recognisers.hit import UP, Hit, one_line, words
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

DOES = re.compile(
    one_line(
        r"""
        (?:['’]s)? (?:lives|lived|says|said|asks|asked|told|works|worked|phoned|texted|wrote|writes|called|calls|moved
        |was born|is from|comes from|came|went|thinks|thought|wants|wanted|needs|needed|has|had|is|was|and (?:I|i)\b
        |wohnt|sagt|sagte|arbeitet|hat|ist|vive|dice|dijo|trabaja|es|habite|dit|travaille)(?!\w)
        """
    )
)
"""What persons do, behind a name."""
ONLY_PERSONS = r"(?:lives|lived|phoned|texted|was born|got married|is married|told me|asked me|wohnt|vive en|habite)"
"""What nothing but a person does."""
SAID = re.compile(
    r"(?:said|says|asked|replied|told|met|called|emailed|texted|phoned|with|dear|by|signed|love|from) $", re.I
)
"""What stands before a name."""
ASIDE = re.compile(r":|, (?:can|could|would|will|please|do|did|are|have|how|what|when|where|why)(?!\w)|['’]s(?!\w)")
"""What stands behind a name that somebody is called by."""


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    """The ways in which a dialogue gives a name away, by how sure each is."""
    title = rf"(?:{TITLE} )*"
    return {
        "strong": re.compile(rf"{title}(?P<name>{NAME})"),
        "lower": re.compile(r"(?P<name>[^\W\d_]+(?:[ -][^\W\d_]+){0,2})"),
        "weak": re.compile(rf"(?P<name>{NAME})"),
        "title": re.compile(rf"(?<!\w)(?:{TITLE} )+(?P<name>{NAME})"),
        "greeting": re.compile(rf"(?P<name>{TOKEN}(?: {TOKEN})?)(?=[ ]?(?:[,!.:;–—-]|$|\n))"),
        "opening": re.compile(rf"(?P<name>{FULL})(?=[,.!(])"),
        "last": re.compile(rf"(?:^|[.!?] |\n)(?P<name>{FULL})[.!]?\s*$"),
        "identified": re.compile(rf"(?<![\w-])(?P<name>{FULL})(?:, | \(|: ?|,? (?=[A-Z]{{2}}\d\d)){IDENTIFIED}"),
        "signoff": re.compile(rf"(?P<name>{NAME})(?=[.!]?\s*(?:$|\n))"),
        "behind": re.compile(rf"(?:^|[\n.!?,:] ?)(?P<name>{NAME}),? (?i:{BEHIND})(?!\w)"),
        "stranger": re.compile(rf"(?:^|[.!?:] |\n)(?P<name>{TOKEN}(?: {TOKEN})?) {ONLY_PERSONS}(?!\w)"),
        "initial": re.compile(rf"(?<![\w.-])(?P<name>{TOKEN} [A-Z]\.? {TOKEN})"),
        "dash": re.compile(rf"(?:\n|[.!?)] ?)(?:[-–—] ?|/)(?P<name>{NAME})\s*$"),
    }


@cache
def cues() -> dict[str, re.Pattern[str]]:
    """What stands before a name, for the patterns that begin with one, in small letters: `re` is slow at both."""
    strong = re.compile(rf"(?<!\w)(?:{STRONG})\s+")
    return {
        "strong": strong,
        "lower": strong,
        "weak": re.compile(rf"(?<!\w)(?:{WEAK})\s+"),
        "greeting": re.compile(rf"(?<!\w)(?:{GREETING}) "),
        "opening": re.compile(rf"(?<!\w)(?:{GREETING})[,.!]? "),
        "signoff": re.compile(rf"(?<!\w)(?:{SIGNOFF})[\s,.!:–—-]{{1,6}}"),
    }


def lowered(text: str) -> str:
    """`text` in small letters, letter by letter where that would change its length."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def matches(text: str) -> Iterator[tuple[str, int, int]]:
    """Every place where a pattern matches: its kind, and where the name stands."""
    low = lowered(text)
    for kind, pattern in patterns().items():
        cue = cues().get(kind)
        if cue is None:
            yield from ((kind, *match.span("name")) for match in pattern.finditer(text))
            continue
        for before in cue.finditer(low):
            match = pattern.match(text, before.end())
            if match:
                yield kind, *match.span("name")


def names(text: str, language: str) -> Iterator[Hit]:
    """Names of persons, without their titles."""
    text = "".join(cased(line) for line in text.splitlines(keepends=True))
    for kind, begin, stop in matches(text):
        if kind == "lower":
            yield from lower_case(text, begin, stop)
            continue
        start, end = trimmed(text, begin, stop)
        if start < end and (kind in {"strong", "title"} or believable(text[start:end], kind)):
            yield Hit(start, end, "PERSON", 0.9 if kind in {"strong", "title"} else 0.75)
    yield from known(text, language)
    yield from listed(text, language.startswith("de"))


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
    if kind in {"stranger", "initial"}:
        return not any(folded(word) in dull() for word in re.findall(r"[^\W\d_]{2,}", name))
    enough = len(name) > 2 if kind in {"greeting", "signoff", "dash"} else " " in name
    return given(re.split(r"[\s.]", name)[0]) or (enough and not name.isupper())


@cache
def dull() -> frozenset[str]:
    """Everyday words and places, folded."""
    return lists().common | lists().places


def given(word: str) -> bool:
    """Whether `word`, or the first half of a double name, is a well-known given name; accents are optional."""
    return plain(word.casefold().partition("-")[0]) in plain_given_names()


def plain(word: str) -> str:
    """`word` without its accents."""
    return word if word.isascii() else "".join(c for c in normalize("NFKD", word) if not combining(c))


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


def listed(text: str, german: bool) -> Iterator[Hit]:
    """Names from the long lists: two neighbours that are names, or one that stands where only persons do.

    The lists are wide, so a lone word counts only behind a small letter, before what persons do (`lives`, `said`), in
    front of a colon, a comma and a question; and never where it is also a place or an everyday word. Where every noun
    has a capital (`german`), all words of a name have to be on the lists.
    """
    given_names, family_names, places, common = lists()
    for match in re.finditer(rf"(?<![\w@.#/-]){NAME}", text):
        start, end = trimmed(text, *match.span())
        tokens = [
            (start + word.start(), start + word.end(), folded(word.group()))
            for word in re.finditer(r"[^\W\d_]+(?:['’´][^\W\d_]+)?", text[start:end])
            if not PARTICLES.fullmatch(word.group())
        ]
        full = [each for each in tokens if len(each[2]) > 1]
        clear = [word in given_names and word not in common and word not in places for _, _, word in full]
        sure = [word in given_names or (word in family_names and word not in common) for _, _, word in full]
        if 2 <= len(full) <= 4:
            enough = all(sure) if german else 2 * sum(sure) >= len(full)
            if (clear[0] or clear[-1]) and enough and not a_thing(text, start, end):
                yield Hit(start, end, "PERSON", 0.7)
        elif len(tokens) == len(full) == 1 and (sure[0] or full[0][2] in family_names) and full[0][2] not in places:
            low, high, _ = full[0]
            if (not german and alone(text, low, high, clear[0])) or (clear[0] and SAID.search(text[:low][-24:])):
                yield Hit(low, high, "PERSON", 0.6)


def alone(text: str, start: int, end: int, clear: bool) -> bool:
    """Whether the one word at [start, end) stands where a person does; `clear` words need less."""
    ahead, behind = text[max(0, start - 24) : start], text[end : end + 24]
    if a_thing(text, start, end) or re.match(rf"-| (?:{UP}|&)|\w|[/_@]", behind):
        return False
    if DOES.match(behind) or SAID.search(ahead):
        return True
    if not ahead.strip() or ahead.rstrip(" ")[-1] in '.!?:\n"“':
        return clear and ASIDE.match(behind) is not None
    return clear and ahead.rstrip()[-1].islower()


def cased(line: str) -> str:
    """A line without a single capital, its words from the lists of names with one; any other line as it is."""
    if any(letter.isupper() for letter in line):
        return line
    known = lists()

    def written(match: re.Match[str]) -> str:
        word = match.group()
        low = folded(word)
        capital = (low in known.given or low in known.family) and low not in known.common and not everyday(word)
        return word[0].upper() + word[1:] if capital and len(word[0].upper()) == 1 else word

    return re.sub(r"[^\W\d_]{3,}", written, line)
