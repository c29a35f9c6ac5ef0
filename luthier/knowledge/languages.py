"""How text in a language becomes the terms of the full-text index. Knows nothing of tables or documents.

The same words stand in one column for each language of an index, and a question is matched in the column of its
own: `die` is nothing in German and a verb in English. A column holds all documents, not those of its language
alone. Otherwise a word would weigh by how many documents its language has, and scores would not compare.
"""

from __future__ import annotations

from lancedb.index import FTS

PREFIX = "words_"

# Languages whose words LanceDB can stem, by ISO 639-1. Text in any other is cut into words by Unicode's rules alone.
LANGUAGES = {
    "ar": "Arabic", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hu": "Hungarian", "it": "Italian", "nb": "Norwegian", "nl": "Dutch", "nn": "Norwegian",
    "no": "Norwegian", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "ta": "Tamil",
    "tr": "Turkish",
}  # fmt: skip


def column_of(locale: str) -> str:
    """The column that holds the words of a text in `locale`."""
    language = language_of(locale)
    return PREFIX + (language if language in LANGUAGES else "other")


def language_of(locale: str) -> str:
    """`de` for `de-AT`."""
    return locale.replace("_", "-").partition("-")[0].casefold()


def tokenizer(language: str) -> FTS:
    """How text in `language` becomes terms: lower case, no accents, stems, no function words."""
    if language in LANGUAGES:
        return FTS(language=LANGUAGES[language])
    return FTS(base_tokenizer="icu", stem=False, remove_stop_words=False)
