"""E-mail addresses and telephone numbers, as people type them rather than as the standards have them.

National telephone numbers are judged by `phonenumbers` (Google's libphonenumber data) for the regions where the text's
language is spoken; service numbers, which belong to nobody, are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from luthier.data.recognisers.hit import Hit, near, one_line

EMAIL = re.compile(
    r"(?<![\w.+%-])[^\W_][\w.+%'-]{0,63}(?:@|\s?[\[({]\s?(?:at|ät|arroba)\s?[\])}]\s?|\s@\s?)"
    r"(?:[^\W_](?:[\w-]{0,62})?(?:\.|\s?[\[({]\s?(?:dot|punkt|punto)\s?[\])}]\s?)){1,5}[^\W\d_]{2,24}(?![\w-])",
    re.I,
)
SPOKEN_EMAIL = re.compile(
    one_line(
        r"""
        (?<![\w.])[a-z0-9][\w.+-]{1,40} (?:at|ät|arroba) (?:[a-z0-9-]{2,40} (?:dot|punkt|punto) ){1,3}(?:com|org|net|de
        |es|at|ch|eu|uk|co|io|info)\b
        """
    ),
    re.I,
)
AT = re.compile(r"@|(?<!\w)(?:at|ät|arroba)(?!\w)", re.I)
"""What every e-mail address has, in whatever spelling."""
PHONE = re.compile(
    r"(?<![\w.,/#-])(?<![\d] )(?:\+|\(\+|(?=[\d(]))(?:\d|\(\d)[\d()]*(?:[ \u00a0./\-–]{1,2}\(?\d[\d()]*){0,8}"
    r"(?:\s?(?:x|ext\.?|Durchwahl|-)\s?\d{1,6})?(?![\w@])(?![.,:]\d)"
)
PHONE_CUE = re.compile(
    one_line(
        r"""
        (?:phone|\btel\b|\btel[.:]|telef|mobile?\b|m[oó]vil|\bcell|\bcall|\bring\b|\bdial|\bfax\b|\bdesk\b
        |\btext(?:ed)?\b|\bsms\b|whatsapp|contact|reach|answer|handy|r[uü]ckruf|anruf|rufen|erreich
        |durchwahl|ll[aá]m|localiza|num[eé]ro de contacto|t[eé]l[eé]phone|portable|joindre|cellulare|bellen)
        """
    ),
    re.I,
)
NOT_PHONE = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}|(?:19|20)\d{2}\s?[–/-]\s?(?:19|20)\d{2}"
    r"|\d{1,3}(?:[. ]000)+|\d{1,2}(?:[ ]?[–-][ ]?\d{1,2})?|\d{1,2}\.\d{2}\s?[–-]\s?\d{1,2}\.\d{2}"
)
MONEY = re.compile(r"\s?(?:€|\$|£|%|EUR\b|USD\b|GBP\b|CHF\b|euros?\b)", re.I)
MONEY_BEFORE = re.compile(r"(?:€|\$|£|EUR|USD|GBP|CHF)\s?$", re.I)
NOT_PHONE_CUE = re.compile(
    one_line(
        r"""
        (?:account|konto\w*|kunden\w*|cuenta|reference|ref|order|case|ticket|invoice|rechnung\w*|vorgang\w*|referenz\w*
        |pedido|factura|IBAN|BIC|BLZ
        |ssn|social security|steuer-?id|idnr\.?|dni|nie|nif|bsn|cpf|pesel|tax
        |zip|plz|postcode|code)\W{0,3}(?:number|nummer|nr|no|id)?\W{0,3}(?:is|ist
        |es)?\W{0,2}$
        """
    ),
    re.I,
)
SERVICE = re.compile(
    one_line(
        r"""
        (?:\+\d{1,3} ?)?0?\(?0?\)?(?:800|180|1[38]00|808|845|870|900|901|902|116)\b.*|1?-?8(?:00|88|77|66|55|44
        |33)[- .].*|116\D?116
        """
    ),
    re.S,
)
US_SHAPE = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?:\s?(?:x|ext\.?)\s?\d{1,6})?")
REGIONS = {
    "en": ("GB", "US", "IE"),
    "de": ("DE", "AT", "CH"),
    "es": ("ES", "MX"),
    "fr": ("FR", "BE"),
    "it": ("IT",),
    "nl": ("NL", "BE"),
    "pt": ("PT", "BR"),
    "pl": ("PL",),
}
URL = re.compile(r"(?<![\w@])(?:https?://|www\.)[^\s<>\"')\]]{3,300}", re.I)


def urls(text: str, language: str) -> Iterator[Hit]:
    """Web addresses."""
    for match in URL.finditer(text) if "://" in text or "www." in text.casefold() else ():
        yield Hit(match.start(), match.start() + len(match.group().rstrip(".,;:!?")), "URL", 0.9)


ABROAD = ("DE", "FR", "IT", "ES", "GB", "US", "NL", "BE", "AT", "CH", "PL", "SE", "DK", "NO", "FI", "PT")
"""Numbering plans tried for a number that is written in groups, whatever the language."""


def emails(text: str, language: str) -> Iterator[Hit]:
    """E-mail addresses, also where `@` or the dot is written out to hide them from machines."""
    for pattern in (EMAIL, SPOKEN_EMAIL) if AT.search(text) else ():
        for match in pattern.finditer(text):
            yield Hit(match.start(), match.end(), "EMAIL", 0.95)


def phones(text: str, language: str) -> Iterator[Hit]:
    """Telephone numbers, international or national, by shape, by numbering plan, or by the words around them."""
    for match in PHONE.finditer(text):
        found = match.group()
        start, end = match.start(), match.start() + len(found)
        digits = re.sub(r"\D", "", re.split(r"x|ext|Durchwahl", found)[0])
        if not 6 <= len(digits) <= 15 or NOT_PHONE.fullmatch(found) or SERVICE.fullmatch(found):
            continue
        if MONEY.match(text, end) or MONEY_BEFORE.search(text, max(0, start - 5), start):
            continue
        if (score := phone_score(text, start, end, digits, language)) > 0:
            yield Hit(start, end, "PHONE", score)


def phone_score(text: str, start: int, end: int, digits: str, language: str) -> float:
    """How surely the number at [start, end) is a telephone's; 0 where it is more likely something else."""
    found = text[start:end]
    if found.startswith(("+", "(+", "00")) and len(digits) >= 9:
        return 0.9
    if near(text, start, end, NOT_PHONE_CUE, 32):
        return 0.0
    if US_SHAPE.fullmatch(found):
        return 0.8
    if near(text, start, end, PHONE_CUE, 48, 24) and len(digits) >= 7:
        return 0.8
    grouped = len(re.findall(r"\d+", found)) >= 2
    plausible = grouped or (len(digits) >= 9 and (digits[0] == "0" or language.startswith("es")))
    regions = REGIONS.get(language[:2], ()) + (ABROAD if grouped and len(digits) >= 9 else ())
    if plausible and any(valid(found, region) for region in regions):
        return 0.7
    return 0.6 if digits[0] == "0" and (9 if grouped else 10) <= len(digits) <= 12 else 0.0


def valid(number: str, region: str) -> bool:
    """Whether `number`, dialled in `region`, is in its numbering plan."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False
