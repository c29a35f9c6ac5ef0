"""Secrets: keys of known services, private keys, tokens, passwords behind their word, and connection strings.

Forms are those that the services publish. A string that is merely random counts only where the words before it name a
secret: hashes, ids and digests are random too. Knows nothing of whether a key is still in use.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from luthier.data.recognisers.hit import Hit, one_line

KNOWN = re.compile(
    one_line(
        r"""
        (?<![\w-])(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}|gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{60,90}
        |glpat-[\w-]{20,64}|xox[abeprs]-[A-Za-z0-9-]{10,160}|xapp-\d-[A-Za-z0-9-]{20,160}
        |(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,128}|whsec_[A-Za-z0-9]{24,64}|sk-(?:proj-|ant-|svcacct-|or-)?[\w-]{20,200}
        |AIza[\w-]{35}|ya29\.[\w-]{20,200}|GOCSPX-[\w-]{28}|hf_[A-Za-z0-9]{30,40}|npm_[A-Za-z0-9]{36}
        |pypi-[\w-]{50,200}|SG\.[\w-]{22}\.[\w-]{43}|key-[0-9a-f]{32}|SK[0-9a-f]{32}|dop_v1_[0-9a-f]{64}
        |shpat_[0-9a-fA-F]{32}|EAAC[A-Za-z0-9]{30,250}|lin_api_[A-Za-z0-9]{40}|dckr_pat_[\w-]{27}|hvs\.[\w-]{24,200}
        |AGE-SECRET-KEY-1[0-9A-Z]{58}|\d{8,10}:AA[\w-]{33})(?![\w-])
        """
    )
)
"""Keys whose first letters name the service."""
SOLID = re.compile(r"[\w.:-]{18}")
"""No key is shorter."""
BLOCK = re.compile(
    r"-----BEGIN (?P<kind>(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----(?:(?!-----BEGIN)[\s\S]){0,20000}?"
    r"(?:-----END (?P=kind)-----|\Z)"
)
"""A private key in PEM or PGP armour, also where its end is cut off."""
JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,4000}\.eyJ[\w-]{8,8000}\.[\w-]{8,2000}(?![\w-])")
URL = re.compile(r"(?<!\w)[a-z][a-z0-9+]{1,20}://[^\s:/@]{0,100}:(?P<secret>[^\s/@]{3,200})@(?=[\w\[])", re.I)
"""A connection string with its password."""
FIELD = re.compile(
    r"(?<!\w)(?:AccountKey|SharedAccessKey|SharedSecret|Pwd|Password)=(?P<secret>[^;\s\"']{4,200})(?=[;\s\"']|$)", re.I
)
NAMED = re.compile(
    one_line(
        r"""
        (?<![a-z])(?:pass(?:word|code|phrase|wort|e)?|pwd|passwd|kennwort|contrase[ñn]a|clave|mot de passe|wachtwoord
        |senha|has[łl]o|secret(?: key)?|client[_ -]?secret|api[_ -]?key|access[_ -]?(?:key|token)|auth[_ -]?token|token
        |bearer|private[_ -]?key|pin(?: code)?)(?![a-z])["'*`]{0,2}
        (?:\s(?:is|ist|es|est|lautet|now|to|was|war)(?=\s))?\s{0,2}(?P<sign>[:=]{1,2}>?|(?<=is)|(?<=ist)|(?<=es)|(?<=est)|(?<=lautet)|(?<=was)|(?<=earer)|(?=["'`]))
        \s{0,3}["'`*«]{0,2}(?P<secret>[^\s"'`«»<>,;]{4,200})
        """
    ),
    re.I,
)
"""A word that names a secret, and what stands behind it."""
PIN = re.compile(r"pin", re.I)


def secrets(text: str, language: str) -> Iterator[Hit]:
    """Keys, tokens, passwords: only the secret itself, not the words that name it."""
    if len(text) < 8:
        return
    if SOLID.search(text):
        for pattern in (KNOWN, JWT):
            yield from (Hit(*match.span(), "SECRET", 0.95) for match in pattern.finditer(text))
    if "-----BEGIN" in text:
        yield from (Hit(*match.span(), "SECRET", 1.0) for match in BLOCK.finditer(text))
    if "://" in text or "=" in text:
        for pattern in (URL, FIELD):
            yield from (Hit(*match.span("secret"), "SECRET", 0.9) for match in pattern.finditer(text))
    yield from named_secrets(text)


def named_secrets(text: str) -> Iterator[Hit]:
    """What stands behind a word that names a secret."""
    for match in NAMED.finditer(text):
        start, end = match.span("secret")
        end = start + len(text[start:end].rstrip(".!?)]}"))
        written = bool(match.group("sign"))
        if PIN.match(match.group()):
            if re.fullmatch(r"\d{4,8}", text[start:end]):
                yield Hit(start, end, "SECRET", 0.7)
        elif is_secret(text[start:end], written):
            yield Hit(start, end, "SECRET", 0.8)


def is_secret(value: str, written: bool) -> bool:
    """Whether a value behind its word is one: mixed, or random; `written` with a colon or a sign of equality is enough
    for what is no plain word."""
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s.]"))
    if len(value) < 4 or re.fullmatch(r"[\W_]+", value) or value.startswith(("$", "{", "(", "[", "%", "http")):
        return False
    if written and kinds >= 2 and not re.fullmatch(r"[A-Z]?[a-z]+", value):
        return len(value) >= 6
    return (kinds >= 3 and len(value) >= 6) or (len(value) >= 20 and entropy(value) > 3.5)


def entropy(value: str) -> float:
    """Shannon's entropy of the letters of `value`, in bits a letter."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
