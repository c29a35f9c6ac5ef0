"""Tax, health and civil numbers of a dozen countries, each by the check digits of its public standard.

A checksum alone says little where one number in ten passes it: such numbers count only with words around that announce
them (`needs`). A number with a broken checksum is left to `numbers.identities`, which goes by the words before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import NamedTuple

from luthier.data.recognisers.hit import Hit, near, one_line

MULTIPLIED = (
    *((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6)),
    *((3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1)),
    *((6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4)),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
"""The dihedral group of the pentagon (Verhoeff 1969)."""
PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
NIF = "TRWAGMYFPDXBNJZSQVHLCKE"
ODD = dict(
    zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True),
    **dict(
        zip(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
            strict=True,
        )
    ),
)
"""Values of the odd places of a codice fiscale (decree of 23 December 1976)."""


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def verhoeff(digits: str) -> bool:
    """Aadhaar (India): Verhoeff's check digit; it does not begin with 0 or 1."""
    check, power = 0, list(range(10))
    for digit in reversed(digits):
        check = MULTIPLIED[check][power[int(digit)]]
        power = [PERMUTED[place] for place in power]
    return check == 0 and digits[0] not in "01"


def steuer_id(digits: str) -> bool:
    """German tax identification number: ISO 7064 MOD 11,10; among the first ten figures one comes twice or thrice."""
    rest = 10
    for digit in digits[:10]:
        rest = ((int(digit) + rest) % 10 or 10) * 2 % 11
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    return digits[0] != "0" and counts[0] in (2, 3) and counts[1] == 1 and (11 - rest) % 10 == int(digits[10])


def spanish(value: str) -> bool:
    """DNI and NIE (Spain): the letter is the number modulo 23."""
    number = value[:-1].translate(str.maketrans("XYZ", "012"))
    return NIF[int(number) % 23] == value[-1]


def fiscal_code(value: str) -> bool:
    """Codice fiscale (Italy): the last letter is the sum of the others' values modulo 26."""
    even = {
        letter: place
        for letters in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        for place, letter in enumerate(letters)
    }
    total = sum((even if place % 2 else ODD)[letter] for place, letter in enumerate(value[:15]))
    return chr(65 + total % 26) == value[15]


def nir(value: str) -> bool:
    """NIR (France): the key is 97 less the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    return 97 - int(value[:13].replace("2A", "19").replace("2B", "18")) % 97 == int(value[13:])


def bsn(digits: str) -> bool:
    """BSN (Netherlands): the eleven test, the last figure counting against."""
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and int(digits) > 0


def pesel(digits: str) -> bool:
    """PESEL (Poland): a date of birth and a check digit with the weights 1, 3, 7, 9."""
    month = int(digits[2:4])
    century = {0: 1900, 20: 2000, 40: 2100, 60: 2200, 80: 1800}[month // 20 * 20]
    real = is_date(century + int(digits[:2]), month % 20, int(digits[4:6]))
    return real and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def cpf(digits: str) -> bool:
    """CPF (Brazil): two check digits modulo 11; eleven equal figures are nobody's."""
    first = weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def nhs(digits: str) -> bool:
    """NHS number (England and Wales): modulo 11; a check digit of 10 is never issued."""
    return 11 - weighted(digits[:9], range(10, 1, -1)) % 11 in (int(digits[9]), 11 if digits[9] == "0" else -1)


def ssn(digits: str) -> bool:
    """Social security number (USA): no check digit; areas 000, 666, 900 on, group 00, serial 0000 are not issued."""
    return not (digits[:3] in ("000", "666") or digits[0] == "9" or digits[3:5] == "00" or digits[5:] == "0000")


def rijksregister(digits: str) -> bool:
    """National register number (Belgium): 97 less the first nine figures modulo 97, a 2 before them since 2000."""
    keys = {97 - int(front + digits[:9]) % 97 for front in ("", "2")}
    return int(digits[9:]) in keys and int(digits[2:4]) <= 12 and int(digits[4:6]) <= 31


def henkilotunnus(value: str) -> bool:
    """Personal identity code (Finland): date and number modulo 31."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(value[:6] + value[7:10]) % 31] == value[10]


def personnummer(digits: str) -> bool:
    """Personal number (Sweden): a date and Luhn's check digit over ten figures."""
    figures = [int(digit) * (2 - place % 2) for place, digit in enumerate(digits[-10:])]
    month, day = int(digits[-8:-6]), int(digits[-6:-4])
    return 1 <= month <= 12 and 1 <= day % 60 <= 31 and sum(figure - 9 * (figure > 9) for figure in figures) % 10 == 0


def ahv(digits: str) -> bool:
    """AHV number (Switzerland): country 756 and the check digit of EAN-13."""
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


class Number(NamedTuple):
    """One country's number: its shape, its check, and the words it needs beside it, if the check is weak."""

    shape: re.Pattern[str]
    right: Callable[[str], bool]
    needs: re.Pattern[str] | None = None


def shape(pattern: str) -> re.Pattern[str]:
    """`pattern` with nothing of a word or a longer number around it."""
    return re.compile(rf"(?<![\w-])(?<!\d[.,]){pattern}(?![\w-])(?![.,]\d)", re.I)


def cue(pattern: str) -> re.Pattern[str]:
    """Words of any case."""
    return re.compile(one_line(pattern), re.I)


GAP = r"[ .-]?"
NUMBERS = (
    Number(shape(r"[XYZ]?[ -]?\d{7,8}[ -]?[A-HJ-NP-TV-Z]"), lambda v: len(v) == 9 and spanish(v)),
    Number(shape(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"), fiscal_code),
    Number(shape(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"), nir),
    Number(shape(r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]"), lambda v: henkilotunnus(v) and int(v[2:4]) <= 12),
    Number(shape(r"756\.?\d{4}\.?\d{4}\.?\d{2}"), ahv),
    Number(shape(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), cpf),
    Number(shape(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"), rijksregister),
    Number(shape(r"\d{3}-\d{2}-\d{4}"), ssn),
    Number(shape(r"[2-9]\d{3} \d{4} \d{4}"), verhoeff),
    Number(shape(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"), steuer_id, cue(r"steuer|\bidnr|tax id|\btin\b|identifikation")),
    Number(shape(r"\d{9}"), bsn, cue(r"\bbsn\b|burgerservice|sofinummer|citizen service")),
    Number(shape(r"\d{11}"), pesel, cue(r"pesel|ewidencyjn")),
    Number(shape(r"\d{11}"), cpf, cue(r"\bcpf\b|cadastro|contribuinte")),
    Number(shape(r"\d{11}"), rijksregister, cue(r"rijksregister|registre national|insz|niss")),
    Number(shape(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), nhs, cue(r"\bnhs\b|national health")),
    Number(shape(r"\d{3} ?\d{2} ?\d{4}"), ssn, cue(r"social security|\bssn\b")),
    Number(shape(r"\d{12}"), verhoeff, cue(r"aadha?ar|\buidai?\b")),
    Number(shape(r"(?:\d{2})?\d{6}[-+]?\d{4}"), personnummer, cue(r"personnummer|person ?number|swedish id")),
)


def national_numbers(text: str, language: str) -> Iterator[Hit]:
    """Tax, health and civil numbers whose check digits agree, with the words they need beside them."""
    for number in NUMBERS:
        for match in number.shape.finditer(text):
            value = re.sub(r"[ .]|(?<=\w)-(?=\w)", "", match.group()).upper()
            if number.right is NUMBERS[3].right:
                value = match.group().upper()
            if number.needs and not near(text, *match.span(), number.needs, 60, 24):
                continue
            if number.right(value):
                yield Hit(*match.span(), "ID", 1.0 if number.right is not ssn else 0.8)
