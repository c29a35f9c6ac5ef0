"""Detector `toxicity`: coarse words, by the lexicons of glin-profanity. Optional: `pip install 'luthier[toxicity]'`.

A lexicon knows words, not meanings: a threat in polite words is not found, a quotation is. On openai_moderation (840
texts, 284 flagged by people) it finds 58 % of those with a precision of 63 %, and of the hateful ones 36 %: enough to
look at, not enough to drop by. A model that does better and weighs less than a hundred megabytes ships in no package.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from luthier.data.detectors.said import clipped, words
from luthier.errors import Missing
from luthier.records.data import Row

LANGUAGES = {
    "en": "english", "de": "german", "es": "spanish", "fr": "french", "it": "italian", "pt": "portuguese",
    "nl": "dutch", "pl": "polish", "cs": "czech", "da": "danish", "fi": "finnish", "hu": "hungarian",
    "no": "norwegian", "ru": "russian", "sv": "swedish", "tr": "turkish", "ar": "arabic", "ja": "japanese",
    "ko": "korean", "th": "thai", "zh": "chinese",
}  # fmt: skip


def toxicity(row: Row) -> float:
    """0 without coarse words, from 0.5 on with one, 1 where every tenth word is one. Raises Missing."""
    text = "\n".join(message.content for message in row.messages)
    found = lexicon(LANGUAGES.get(row.language[:2].lower(), "english")).check_profanity(text)
    hits = len(found.get("profane_words", ()))
    return clipped(0.5 + 5 * hits / max(len(words(text)), 1)) if found.get("contains_profanity") else 0.0


@cache
def lexicon(name: str) -> Any:
    """The filter of one language."""
    try:
        from glin_profanity import Filter
    except ModuleNotFoundError as error:
        raise Missing(
            "coarse words cannot be found without glin-profanity", "run: pip install 'luthier[toxicity]'"
        ) from error
    return Filter({"languages": [name]})
