"""Postal addresses: a street and a number in the order of its country, then flat, postcode, town and country.

Street lines by grammar (English `12 Mill Lane`, Germanic and Nordic `Mühlweg 12`, Romance and Slavic `Calle Mayor 5`),
boxes, military mail; and, where words before it announce an address, any capitalised words with a number. Years,
dates, sums and product names are no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from luthier.data.recognisers.gazetteer import folded, lists
from luthier.data.recognisers.hit import BLANK, Hit, near, one_line, words
from luthier.data.recognisers.streets import (
    BEFORE,
    BEHIND,
    BOX,
    COUNTRY,
    ENGLISH,
    FLAT,
    GERMANIC,
    HUNGARIAN,
    INSIDE,
    LINK,
    PLACED,
    POSTCODE,
    TOWN,
    WORD,
)

HOUSE = r"(?:\d{1,5}(?!\d)(?:\s?[a-zA-Z](?!\w))?(?:\s?[-/–]\s?\d{1,4}[a-zA-Z]?(?!\w))?)"
"""A house number behind its street: 5, 5a, 5-7, 5/2."""
HOUSE_FIRST = r"(?:\d{1,5}[a-zA-Z]?(?:[-/]\d{1,4})?(?!\w))"
"""A house number before its street."""
NUMBER_SIGN = r"(?:(?:[Nn]\.?[º°o]|[Nn]úm|[Nn]r)\.?\s?)?"
GAP = r"(?:,?[^\S\n]{1,3}|[^\S\n]*,?[^\S\n]*\n[>?*\s]{0,8},?\s{0,2})"
"""What stands between the parts: a blank, a comma, or a new line with whatever begins lines of that text."""
ENDED = r"(?=[\s,.;:!?)]|$)"
MILITARY = r",?\s{1,3}[FAD]PO\sA[AEP]\s\d{5}"
ZIP = r"(?i:zip(?: code)?|postcode|postal code|post code|plz|postleitzahl|c[óo]digo postal|code postal|cap)"
CUE = re.compile(
    one_line(
        r"""
        \baddress\b|\bdirections?\b|\bliv(?:es?|ing)\b|\breside|\bmov(?:ed?|ing)\b|\bship|\bdeliver|\bsen[dt]\b
        |\breturn to\b|\bmail(?:ed)? (?:it |them )?to
        |\blocated\b|\bhouse\b|\bhome\b|\btaxi to|\bmeet\b|\bdrops? (?:me|you|us) off
        |\bcorner of\b|\b(?:is|are|it['’]s) (?:at|in)\b|adresse|anschrift|\bwohn|umgezogen|umzug|\bzieh|gezogen
        |liefer|schick|senden
        |direcci[oó]n|domicilio|\bviv[oie]|resid|mudado|\bmud[oé]|env[ií]|\bhabit|indirizzo|\babito|\badres|\bwoon|\bmor[oa]
        """
    ),
    re.I,
)
"""Words that announce an address."""
NOT_STREET = re.compile(
    one_line(
        r"""
        \b(?:eur|euros?|usd|gbp|chf|uhr|days?|tage?n?|weeks?|months?|monaten?|years?|jahren?|minutes?|minuten|hours?|stunden
        |percent|prozent|mb|gb|kg|km|version|step|schritt|section|kapitel|montag|dienstag|mittwoch|donnerstag|freitag
        |samstag|sonntag|spring|during|string|thing|card|karte|konto|account|option|level)\b|(?:^|\s)(?:19|20)\d\d$|\d0s\b
        """
    ),
    re.I,
)

KIND = re.compile(rf"{ENGLISH}|Apartment|Apt|Suite|Ste|Unit|Flat|Box")
"""Words of everyday life that addresses have."""
WORD_AT = re.compile(r"[^\W\d_]+")
Needs = Literal["nothing", "cue", "plain words", "both", "box"]


class Line(NamedTuple):
    """One grammar of an address, what it `needs` besides, and how far it is to be trusted."""

    pattern: re.Pattern[str]
    needs: Needs
    score: float


def rest() -> str:
    """What may follow a street line: flats, then postcode and town in either order, or a town and its country."""
    place = rf"(?:{TOWN}|[A-Z]{{1,3}}(?!\w))"
    return (
        rf"(?:{GAP}{INSIDE}){{0,3}}(?:{GAP}{POSTCODE}{BLANK}{{1,2}}{TOWN}(?:{GAP}{COUNTRY})?"
        rf"|(?:{GAP}{place}){{1,4}}?(?:{GAP}|{BLANK}){POSTCODE}"
        rf"|{GAP}{TOWN}(?:{GAP}[A-Z]{{1,3}}(?!\w))?{GAP}{COUNTRY})?"
    )


def streets() -> Iterator[tuple[str, Needs, float]]:
    """Street lines that their kind of street gives away."""
    begin = rf"(?<![\w.,-])(?:\d{{1,5}}{BLANK})?"
    linked = rf"(?:{LINK}(?:{BLANK}|(?<=['’]))|\d{{1,2}} de{BLANK}|{WORD}(?:,?{BLANK}|,|{ENDED}))"
    joined = rf"(?:{LINK}(?:{BLANK}|(?<=['’]))|{WORD}{BLANK})"
    ordinal = rf"\d{{1,3}}(?:st|nd|rd|th){BLANK}"
    side = rf"(?:{BLANK}(?:North|South|East|West|[NS][EW]?|E|W)\b\.?)?"
    tail = rest()
    yield rf"{begin}{HOUSE_FIRST},?{BLANK}(?:{WORD}{BLANK}|{ordinal}){{1,4}}{ENGLISH}{side}{tail}", "nothing", 0.85
    yield rf"{begin}(?:{WORD}{BLANK})?{GERMANIC}{BLANK}{NUMBER_SIGN}{HOUSE}{tail}", "nothing", 0.85
    yield rf"{begin}(?:{WORD}{BLANK}){{1,4}}{BEHIND}{BLANK}{HOUSE}\.?{tail}", "nothing", 0.85
    yield (
        rf"{begin}(?:{WORD}{BLANK}){{1,3}}(?:[^\W\d_]{{3,20}}{BLANK})?{HUNGARIAN}{BLANK}{HOUSE}\.?{tail}",
        "nothing",
        0.85,
    )
    yield rf"{begin}{BEFORE}{BLANK}?{linked}{{1,7}}{NUMBER_SIGN}{HOUSE}{tail}", "nothing", 0.85
    yield (
        rf"{begin}(?<![\w.,]){HOUSE_FIRST}(?:\s?(?:bis|ter))?,?{BLANK}{BEFORE}{BLANK}{joined}{{0,5}}{WORD}{ENDED}{tail}",
        "nothing",
        0.8,
    )
    placed = rf"(?<!\w){PLACED}{BLANK}{WORD}(?:{BLANK}{WORD})?{BLANK}{HOUSE}"
    yield rf"{placed},?{BLANK}{POSTCODE}{BLANK}{TOWN}", "nothing", 0.85
    yield placed, "cue", 0.6


def others() -> Iterator[tuple[str, Needs, float]]:
    """Boxes, military mail, corners, lone postcodes, and capitalised words with numbers."""
    begin = rf"(?<![\w.,-])(?:\d{{1,5}}{BLANK})?"
    several = rf"(?:{WORD}{BLANK}|{LINK}{BLANK}|\d{{1,2}} de{BLANK})"
    last = rf"(?:{WORD}(?:{BLANK}|{ENDED}))"
    tail = rest()
    yield rf"{begin}{BOX}(?:{MILITARY})?{tail}", "box", 0.8
    yield rf"(?<![\w.,])(?:{HOUSE_FIRST}{BLANK}){{1,2}}(?:{WORD}{BLANK}){{0,4}}{WORD}{GAP}{FLAT}{tail}", "nothing", 0.8
    yield rf"{begin}(?:{WORD}{BLANK}){{1,5}}{HOUSE}{GAP}{FLAT}{tail}", "nothing", 0.8
    yield rf"{begin}{BOX}{MILITARY}", "nothing", 0.85
    yield rf"(?<![\w.,]){HOUSE_FIRST},?{BLANK}{WORD}{BLANK}{several}{{0,5}}{HOUSE}\.?{tail}", "plain words", 0.6
    yield rf"(?<!\w){WORD}{BLANK}{several}{{0,4}}{HOUSE}{ENDED}{tail}", "both", 0.6
    yield rf"(?<![\w.,]){HOUSE_FIRST},?{BLANK}{last}{{1,4}}{tail}", "both", 0.6
    corner = rf"(?:{HOUSE_FIRST}{BLANK})?(?:{WORD}{BLANK}){{1,5}}(?:{HOUSE}{BLANK})?and{BLANK}{last}{{1,5}}"
    yield rf"(?<!\w)(?:[Tt]he{BLANK})?[Cc]orner of{BLANK}{corner}", "nothing", 0.6
    yield rf"(?<![\w.,-]){POSTCODE}{BLANK}{TOWN}", "both", 0.5
    yield rf"(?<!\w){ZIP}(?!\w)[^\d\n.?!]{{1,24}}?(?<!\w)(?P<only>{POSTCODE})", "nothing", 0.6
    yield rf"(?<![\w.,-])(?P<only>{POSTCODE})[^\w\n]{{1,3}}{ZIP}(?!\w)", "nothing", 0.6


@cache
def grammar() -> tuple[Line, ...]:
    """Every grammar, compiled."""
    return tuple(
        Line(re.compile(shape), needs, score) for some in (streets(), others()) for shape, needs, score in some
    )


@cache
def continued() -> re.Pattern[str]:
    """One more part of an address: a flat, a postcode, a country, or a town that one of them follows."""
    state = r"[A-Z]{2,3}(?!\w)"
    country = rf"{COUNTRY}(?: \([^()\n]{{2,20}}\))?"
    sure = rf"(?:{POSTCODE}|{country}|{state}{BLANK}{POSTCODE})"
    return re.compile(
        rf"(?:{GAP}|{BLANK})(?:{INSIDE}|{sure}(?:{BLANK}{POSTCODE})?"
        rf"|{TOWN}(?:{GAP}{state})?(?=(?:{GAP}|{BLANK}){sure}))"
    )


def addresses(text: str, language: str) -> Iterator[Hit]:
    """Postal addresses, with flat, postcode, town and country where they follow.

    A text without a single capital is read as if its words had them; then an everyday word inside speaks against it.
    """
    small = not any(letter.isupper() for letter in text)
    view = re.sub(r"(?<!\w)[^\W\d_]", lambda first: raised(first, text), text) if small else text
    for line in grammar():
        for match in line.pattern.finditer(view):
            start, end = match.span("only" if "only" in line.pattern.groupindex else 0)
            end = start + len(view[start:end].rstrip(" ,.;\n\t"))
            if start < end and (
                fits_small(view, start, end, line.needs) if small else fits(view, start, end, line.needs)
            ):
                while line.needs != "both" and (more := continued().match(view, end)):
                    end = more.end()
                yield Hit(start, end, "ADDRESS", line.score)


def raised(first: re.Match[str], text: str) -> str:
    """The first letter of a word as a capital, unless it is one that stays small inside addresses."""
    word = WORD_AT.match(text, first.start())
    upper = first.group().upper()
    return first.group() if len(upper) > 1 or (word and re.fullmatch(LINK, word.group())) else upper


def fits_small(text: str, start: int, end: int, needs: Needs) -> bool:
    """Whether [start, end) of a text that was written without capitals can be an address: common words are none."""
    if needs == "nothing" and near(text, start, end, CUE, 70):
        return fits(text, start, end, needs)
    given = (word for word in WORD_AT.findall(re.split(r"[,\n]", text[start:end])[0]) if not KIND.fullmatch(word))
    strange = not any(folded(word) in lists().common for word in given if len(word) > 1)
    return strange and fits(text, start, end, needs)


def fits(text: str, start: int, end: int, needs: Needs) -> bool:
    """Whether what was matched can be an address, with what its grammar needs."""
    line = text[start:end]
    if NOT_STREET.search(line):
        return False
    if needs == "nothing":
        return True
    announced = near(text, start, end, CUE, 70)
    if needs == "box":
        return announced or line[0] in "PB"
    plain = not any(len(word) > 3 and word.strip(".,").casefold() in words("not_names") for word in line.split())
    return {"cue": announced, "plain words": announced or plain, "both": announced and plain}[needs]
