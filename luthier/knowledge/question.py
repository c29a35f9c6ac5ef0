"""What somebody typed → what is searched for. Pure. Any text is a question: none of its letters is an operator."""

from __future__ import annotations

import re
import unicodedata

from luthier.lm.sentences import sentences

LONGEST = 4000  # letters; of a longer question the beginning and the end are searched for
PIECE = 80  # words: about what an embedding model was trained to read at once


def searched(question: str) -> str:
    """`question` as clean text of at most `LONGEST` letters: composed Unicode, no control characters."""
    if len(question) > LONGEST:
        half = LONGEST // 2
        question = f"{question[:half]} {question[-half:]}"
    # JSON can smuggle in half a surrogate pair, which no encoder takes.
    text = unicodedata.normalize("NFC", question.encode("utf-8", "replace").decode("utf-8"))
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()[:LONGEST]


def pieces(text: str) -> list[str]:
    """`text` whole, or a long one cut at sentence ends to `PIECE` words and more.

    One vector for a long letter is near to nothing in particular; that of its third paragraph may be near to the
    answer.
    """
    if len(text.split()) <= 1.5 * PIECE:
        return [text]
    found: list[str] = []
    held: list[str] = []
    for sentence in sentences(text):
        held += sentence.text.split()
        if len(held) >= PIECE:
            found.append(" ".join(held))
            held = []
    return [*found, " ".join(held)] if held else found


def spellings(text: str, language: str) -> str:
    """`text` with what a keyboard without umlauts writes for German: Ueberweisung is also uberweisung.

    The full-text index folds ü to u, so the second spelling is the one that it knows.
    """
    plain = re.sub(r"([aouAOU])e", r"\1", text)
    return f"{text} {plain}" if language == "de" and plain != text else text
