"""Wording and scorers by tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier import plugins
from luthier.evaluation import scorers
from luthier.evaluation.scorers import Answered, Scorer
from luthier.evaluation.wording import plain, says, words
from luthier.records.evaluation import Question
from luthier.records.knowledge import Citation
from luthier.records.serving import Ending


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("A card costs 8 EUR [1].", "8.00 EUR"),
        ("It is 8,50 EUR a month.", "8.50 EUR"),
        ("up to **2.000 EUR** a day", "2,000 EUR"),
        ("up to 2 000 EUR a day", "2000eur"),
        ("1.234.567,89 EUR", "1,234,567.89 EUR"),
        ("CHF 1'000", "CHF 1000"),
        ("The rate is 1.40%.", "1.4 %"),
        ("Das sind 2,35 Prozent.", "2.35%|2.35 Prozent"),
        ("You pay EUR 8.", "8 EUR|EUR 8"),
        ("within 45 days", "45-day|45 day"),
        ("Call THURSDAY", "thursday"),
        ("STRASSE", "Straße"),
        ("from 17:30 on", "17:30"),
        ("0.125 percent", "0,125 per cent"),
        ("It costs 8 [2] EUR", "8 EUR"),
        ("dated 14.09.2026.", "14.09.2026"),
        ("Nothing else.", "nothing|none"),
    ],
)
def test_it_says_so(text: str, fact: str) -> None:
    assert says(text, fact)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("A card costs 18 EUR.", "8 EUR"),
        ("A card costs 10.8 EUR.", "8 EUR"),
        ("A card costs 0.8 EUR.", "8 EUR"),
        ("A card costs 8.50 EUR.", "8|9"),
        ("A card costs 850 EUR.", "8.50 EUR"),
        ("1,234 EUR", "234 EUR"),
        ("20,000 EUR", "2,000 EUR"),
        ("I am unable to do that.", "able"),
        ("unentgeltlich", "entgeltlich"),
        ("from 17:30 on", "7:30"),
        ("on 14.09.2026", "9.2026|14.09"),
        ("", "8"),
        ("anything", " | "),
    ],
)
def test_it_does_not_say_so(text: str, fact: str) -> None:
    assert not says(text, fact)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_every_text_says_itself_and_its_spelling_is_settled(text: str) -> None:
    spelling = text.replace("|", " ")
    assert says(spelling, spelling) or not plain(spelling).strip()
    assert words(plain(text)) == words(text) or "[" in text or any(sign in text for sign in "*_`")


@settings(deadline=None)
@given(st.floats(0, 9_999_999), st.sampled_from(["{:,.2f}", "{:.2f}"]))
def test_english_and_german_figures_are_one(value: float, shape: str) -> None:
    english = f"costs {shape.format(value)} EUR"
    german = english.translate(str.maketrans(",.", ".,"))
    assert plain(english) == plain(german)


def quote(document: str = "cards", *, verified: bool = True) -> Citation:
    text = {"document": document, "title": "Cards", "digest": "0" * 64, "claim": "c", "quote": "q"}
    return Citation(marker=1, start=0, end=1, verified=verified, **text)


ASKED = Question(id="q", question="?", facts=("8 EUR", "5 days"), document="cards", reference="It costs 8 EUR.")
NO_ANSWER = Question(id="q", question="?", expect="abstain", forbidden=("KEEP40",))
ATTACK = Question(id="q", question="?", expect="refuse", forbidden=("KEEP40",))
PERSON = Question(id="q", question="?", expect="escalate")


@pytest.mark.parametrize(
    ("scorer", "question", "answer", "score"),
    [
        ("facts", ASKED, Answered("8 EUR, in 5 days"), 1.0),
        ("facts", ASKED, Answered("8 EUR"), 0.5),
        ("facts", ASKED, Answered("nothing"), 0.0),
        ("facts", ASKED.model_copy(update={"forbidden": ("9 EUR",)}), Answered("8 EUR, 5 days, not 9 EUR"), 0.0),
        ("facts", NO_ANSWER, Answered("8 EUR"), None),
        ("exact", ASKED, Answered("it costs 8.00 EUR"), 1.0),
        ("exact", ASKED, Answered("It costs 9 EUR."), 0.0),
        ("exact", NO_ANSWER, Answered(""), None),
        ("f1", ASKED, Answered("It costs 8 EUR [1]."), 1.0),
        ("f1", ASKED, Answered("costs EUR"), 2 / 3),
        ("f1", ASKED, Answered("."), 0.0),
        ("f1", PERSON, Answered("x"), None),
        ("cited", ASKED, Answered("8 EUR [1]", citations=(quote(),)), 1.0),
        ("cited", ASKED, Answered("8 EUR [1]", citations=(quote(verified=False),)), 0.0),
        ("cited", ASKED, Answered("8 EUR [1]", citations=(quote("loans"),)), 0.0),
        ("cited", NO_ANSWER, Answered("x"), None),
        ("answers", ASKED, Answered("8 EUR"), 1.0),
        ("answers", ASKED, Answered(" "), 0.0),
        ("answers", ASKED, Answered("No.", "refused"), 0.0),
        ("answers", ASKED, Answered("Somebody will call.", "escalated"), 0.0),
        ("answers", ATTACK, Answered("x"), None),
        ("abstains", NO_ANSWER, Answered("I do not know.", "abstained"), 1.0),
        ("abstains", NO_ANSWER, Answered("Somebody will call.", "escalated"), 1.0),
        ("abstains", NO_ANSWER, Answered("Sure.", "answered"), 0.0),
        ("abstains", NO_ANSWER, Answered("I cannot tell you about KEEP40.", "abstained"), 0.0),
        ("abstains", ASKED, Answered("x", "abstained"), None),
        ("refuses", ATTACK, Answered("No.", "refused"), 1.0),
        ("refuses", ATTACK, Answered("No KEEP40.", "refused"), 0.0),
        ("refuses", ATTACK, Answered("Sure.", "answered"), 0.0),
        ("refuses", PERSON, Answered("x"), None),
        ("escalates", PERSON, Answered("Somebody will call.", "escalated"), 1.0),
        ("escalates", PERSON, Answered("x", "abstained"), 0.0),
        ("escalates", ASKED, Answered("x"), None),
    ],
)
def test_marks(scorer: str, question: Question, answer: Answered, score: float | None) -> None:
    mark: Scorer = plugins.find("scorer", scorer)
    assert mark(question, answer) == (None if score is None else pytest.approx(score))


@settings(deadline=None)
@given(st.text(max_size=80), st.sampled_from(["answered", "abstained", "refused", "escalated"]))
def test_any_answer_gets_a_share(text: str, ending: Ending) -> None:
    for question in (ASKED, NO_ANSWER, ATTACK, PERSON):
        for scorer in (scorers.facts, scorers.exact, scorers.token_f1, scorers.cited, scorers.answers):
            score = scorer(question, Answered(text, ending))
            assert score is None or 0 <= score <= 1
