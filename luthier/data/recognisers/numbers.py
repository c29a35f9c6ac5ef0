"""Account, card and identity numbers: found by their shape, trusted by their check digits.

A number that fails its checksum is still somebody's, mistyped; it counts where its shape or the words before it say
what it is. IBAN: ISO 13616 and the lengths of its registry. Cards: ISO/IEC 7812, check digit by Luhn (US 2950048).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from luthier.data.recognisers.hit import Hit, near, one_line

IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        line.split(":")
        for line in (
            "15:NO",
            "16:BE",
            "18:DK FK FI FO GL NL SD",
            "19:MK SI",
            "20:AT BA EE KZ LT LU MN XK",
            "21:CH HR LI LV",
            "22:BG BH CR DE GB GE IE ME RS",
            "23:AE GI IL IQ OM SO TL",
            "24:AD CZ ES MD PK RO SA SE SK TN VG",
            "25:LY PT ST",
            "26:IS TR",
            "27:BI DJ FR GR IT MC MR SM",
            "28:AL AZ BY CY DO GT HN HU LB NI PL SV",
            "29:BR EG PS QA UA",
            "30:JO KW MU YE",
            "31:MT SC",
            "33:LC RU",
        )
    )
    for country in countries.split()
}
"""Characters of an IBAN by country (the registry kept by SWIFT, release 99)."""

IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ \-]?[0-9]{2}(?=[ \-.]?[A-Za-z0-9])")
CARD = re.compile(r"(?<![\w.,+-])\d(?:[ \-.]?\d){11,18}(?![\w-])(?![.,]\d)")
CARD_GROUPS = re.compile(r"(\d{4})([ \-.])\d{4}\2\d{4}\2\d{4}(?:\2\d{1,3})?|\d{4}([ \-.])\d{6}\3\d{4,5}")
ISSUED = re.compile(r"[3456]|2[2-7]")
"""First digits of the card networks."""
CARD_CUE = re.compile(
    r"\b(?:credit|debit|card|cc|visa|master ?card|maestro|amex|american express|diners|discover|\w*karten?(?:nummer)?"
    r"|girocard|tarjeta|carte|carta|cart[ãa]o|kaart|kortti|kort)\b",
    re.I,
)
ID_CUE = re.compile(
    one_line(
        r"""
        (?:social security|\bssn\b|driv(?:er|ing)['’]?s? licen[cs]e|licen[cs]e (?:number|no)|passport|identity card
        |national id|national insurance|\bnino\b|tax(?:payer)? id|\bitin\b|reisepass|personalausweis|ausweis(?:nummer
        |nr)|führerschein|steuer-?id|steuernummer|sozialversicherung|\bdni\b|\bnie\b|\bnif\b|pasaporte
        |carn[eé] de conducir|seguridad social)
        """
    ),
    re.I,
)
ID_VALUE = re.compile(
    r"(?<![\w-])(?=(?:[A-Za-z]{0,3}[ -]?)?\d)(?=(?:[\w-]*?\d){5})[A-Za-z0-9][A-Za-z0-9-]{4,17}(?![\w-])"
)
ACCOUNT_CUE = re.compile(
    one_line(
        r"""
        (?:\b(?:account|acct|a/c|customer|client|sort code|routing)\s*(?:number|no|nr|num|id|#)?|(?:konto
        |kunden)(?:nummer|nr)|\bBLZ|bankleitzahl|n[uú]mero de (?:cuenta|cliente)|num[ée]ro de (?:compte
        |client))\.?(?:\s*(?:is|ist|es|est|:|#|=|ending in)\s*|\s+)$
        """
    ),
    re.I,
)
ACCOUNT_VALUE = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){5,11}(?![\w-])(?![.,]\d)")
IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]*\d)")
IP6 = re.compile(
    r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,6}:[0-9A-Fa-f]{1,4}(?![\w:])"
)
SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")


def luhn(digits: str) -> bool:
    """Whether the last of `digits` is the check digit of the others: doubling every second from the right."""
    total = 0
    for place, letter in enumerate(reversed(digits)):
        value = int(letter) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Whether a solid, upper-case IBAN leaves 1 when divided by 97 as ISO 7064 says (letters count 10 to 35)."""
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1


def ibans(text: str, language: str) -> Iterator[Hit]:
    """IBANs, solid or spaced in any grouping, upper or lower case; exactly as long as their country's are."""
    for match in IBAN_START.finditer(text):
        solid = re.sub(r"[ -]", "", match.group()).upper()
        length = IBAN_LENGTHS.get(solid[:2])
        end = match.end()
        while length and len(solid) < length and end < len(text):
            step = 2 if text[end] in " -.\u00a0" and end + 1 < len(text) else 1
            letter = text[end + step - 1]
            if not (letter.isascii() and letter.isalnum()):
                break
            solid += letter.upper()
            end += step
        if len(solid) != length or (end < len(text) and text[end].isalnum()):
            continue
        right = mod97(solid)
        if right or sum(letter.isdigit() for letter in solid) >= len(solid) // 2:
            yield Hit(match.start(), end, "IBAN", 1.0 if right else 0.8)


def cards(text: str, language: str) -> Iterator[Hit]:
    """Payment cards, 12 to 19 digits: by Luhn and issuer, by the groups on the card, or by the words before them."""
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        grouped = CARD_GROUPS.fullmatch(match.group()) is not None
        if not grouped and match.group() != digits:
            continue
        right = luhn(digits)
        if (right and len(digits) >= 13 and ISSUED.match(digits)) or (grouped and digits[0] in "23456"):
            yield Hit(match.start(), match.end(), "CARD", 1.0 if right else 0.8)
        elif near(text, match.start(), match.end(), CARD_CUE, 48, 12):
            yield Hit(match.start(), match.end(), "CARD", 0.7)


def identities(text: str, language: str) -> Iterator[Hit]:
    """Numbers of passports, licences, identity cards and accounts, by the words before them; US social security."""
    for match in SSN.finditer(text):
        if not match.group().startswith(("000", "666")):
            yield Hit(match.start(), match.end(), "ID", 0.7)
    for cue in ID_CUE.finditer(text):
        value = ID_VALUE.search(text, cue.end(), cue.end() + 50)
        if value:
            yield Hit(value.start(), value.end(), "ID", 0.6)
    for match in ACCOUNT_VALUE.finditer(text):
        if near(text, match.start(), match.end(), ACCOUNT_CUE, 32):
            yield Hit(match.start(), match.end(), "ACCOUNT", 0.6)


def machines(text: str, language: str) -> Iterator[Hit]:
    """Internet addresses, version 4 and 6."""
    for pattern in (IP, IP6):
        for match in pattern.finditer(text):
            yield Hit(match.start(), match.end(), "IP", 0.9)
