"""Which language a text is in: py3langid's naive Bayes over byte n-grams, kept to the languages in question.

Lui & Baldwin 2012, langid.py: An Off-the-shelf Language Identification Tool. On short questions it is surer the fewer
languages it may choose from: `among` is worth giving.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

COMMON = (
    *("en", "de", "es", "fr", "it", "pt", "nl", "pl", "cs", "sk", "hu", "ro", "bg", "el", "tr", "uk", "ru", "sv"),
    *("da", "no", "fi", "et", "lv", "lt", "sl", "hr", "ar", "he", "hi", "id", "vi", "th", "zh", "ja", "ko"),
)
"""What a company's customers are likely to write: rarer languages would cost common ones their short texts."""
SURE = 0.15
"""A likelier guess than this is taken. Among 35 languages a text that says nothing gets 0.03."""


def language_of(text: str, among: Sequence[str] = COMMON) -> str:
    """The ISO 639-1 code of the one of `among` that `text` is most likely in; the first where nothing tells."""
    default = among[0] if among else COMMON[0]
    identifier = identifier_of(tuple(among))
    if identifier is None or not any(letter.isalpha() for letter in text):
        return default
    best, second, *_ = identifier.rank(text)
    return str(best[0]) if best[1] > max(SURE, second[1]) else default


@cache
def identifier_of(languages: tuple[str, ...]) -> LanguageIdentifier | None:
    """The identifier for these languages, or None where it knows at most one of them."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(languages) & set(identifier.labels)
    if len(known) < 2:
        return None
    identifier.set_languages(known)
    return identifier
