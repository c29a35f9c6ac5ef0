"""Is a text fit to be a customer's question or an assistant's answer at all? Pure; the reasons are counted."""

from __future__ import annotations

import re

from luthier.data.shingles import characters, jaccard, letters, normal
from luthier.data.synthetic.drafts import Refusal
from luthier.lm.language import language_of

QUESTION_WORDS = (3, 60)
ANSWER_WORDS = 120
_OF_THE_PROMPT = re.compile(
    r"\b(?:question|answer|sentence|message|text|rule|frage|antwort|pregunta|respuesta)\s*\d?:|\[\.\.\.\]|\{\w*\}"
    r"|\b(?:the|this|that|following|given) (?:text|sentence|passage|above|rule|question|answer)\b|\baccording to the\b"
    r"|\b(?:dem|der|den|diesem|dieser|diesen) (?:text|satz|abschnitt)\b|\b(?:el|este|del) (?:texto|párrafo|pasaje)\b"
    r"|\blanguage model\b|\bas an ai\b|\bother words\b",
    re.IGNORECASE,
)
_REPEATED = re.compile(r"\b(\w+(?:\W+\w+){0,5})(?:\W+\1\b){2,}", re.IGNORECASE)


def unfit(question: str, *, asks: bool = True) -> Refusal | None:
    """Why `question` cannot be a customer's; `asks`: it has to end with a question mark."""
    words = question.split()
    least, most = QUESTION_WORDS
    if not question:
        return Refusal("nothing was written")
    if not least <= len(words) <= most or len(question) > 12 * most:
        return Refusal("too short or too long", f"{len(words)} words", question)
    if asks and question.rstrip(" \"”'»)")[-1:] not in ("?", "？", "؟"):
        return Refusal("no question", "", question)
    return unspoken(question, question)


def unsaid(question: str, answer: str) -> Refusal | None:
    """Why `answer` cannot be an assistant's."""
    if not answer:
        return Refusal("nothing was answered", "", question)
    if len(answer.split()) > ANSWER_WORDS or len(answer) > 12 * ANSWER_WORDS:
        return Refusal("too short or too long", f"{len(answer.split())} words in the answer", question, answer)
    found = unspoken(answer, question)
    return found._replace(answer=answer) if found else None


def unspoken(text: str, question: str) -> Refusal | None:
    """Why nobody would say `text`."""
    if found := _OF_THE_PROMPT.search(text):
        return Refusal("speaks of the prompt instead of the matter", found[0], question)
    if sum(map(str.isalpha, text)) < 0.5 * len(text.replace(" ", "")):
        return Refusal("hardly any letters", "", question)
    if _REPEATED.search(text[:1000]):
        return Refusal("goes round in circles", "", question)
    return None


def foreign(text: str, language: str, among: tuple[str, ...]) -> str:
    """The language that `text` is in instead of `language`, "" where that is right; `among` are those in question."""
    wanted = language.partition("-")[0]
    if not wanted:
        return ""
    found = language_of(text, tuple(dict.fromkeys((wanted, *among))))
    return "" if found == wanted else found


def same(one: str, other: str) -> bool:
    """Do two texts say the same, case, blanks and punctuation aside?"""
    spelt = letters([normal(one), normal(other)])
    middle = int(spelt.starts[1])
    return spelt.values[:middle].tobytes() == spelt.values[middle:].tobytes()


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of two texts' shingles of five letters."""
    first, second = characters([normal(one), normal(other)], 5).sets()
    return float(jaccard(first, [second])[0])
