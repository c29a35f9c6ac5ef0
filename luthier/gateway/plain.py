"""Text as a person sees it, so that a rule cannot be dodged by signs that nobody sees. Pure.

Invisible characters go, digits of other scripts become 0 to 9, full-width letters become plain ones. What is
matched may differ from what was sent; what is sent out is the plain text itself.
"""

from __future__ import annotations

import re
import unicodedata

_RUN = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")


def visible(text: str) -> str:
    """`text` without invisible characters and with every digit as 0 to 9; otherwise letter for letter."""
    return "".join(_digit(letter) for letter in text if letter in "\n\t" or not _unseen(letter))


def for_patterns(text: str) -> str:
    """`text` as rules' patterns see it: compatible letters unified, each run of white space one space or line feed.

    Runs are cut down also because a pattern that begins with `\\s*` takes quadratic time on a million blanks.
    """
    unified = unicodedata.normalize("NFKC", visible(text))
    return _LINES.sub("\n", _RUN.sub(" ", unified)).strip()


def without_accents(text: str) -> str:
    """`text` with é as e and ü as u: people often leave accents out."""
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(letter for letter in parts if not unicodedata.combining(letter)))


def _unseen(letter: str) -> bool:
    """Control, format and private characters, and the marks that turn a digit into a picture of one."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Me") or "\ufe00" <= letter <= "\ufe0f"


def _digit(letter: str) -> str:
    return str(unicodedata.decimal(letter)) if letter.isdecimal() else letter
