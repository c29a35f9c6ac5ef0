"""Each detector, on texts that it has to see and on texts that it has to leave alone."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.detectors.balance import balance, whole
from luthier.data.detectors.contradictions import contradictions
from luthier.data.detectors.encoding import encoding
from luthier.data.detectors.language import language
from luthier.data.detectors.length import long, short
from luthier.data.detectors.markup import markup
from luthier.data.detectors.refusal import refusal
from luthier.data.detectors.repetition import circling, repetition
from luthier.data.detectors.templated import templated
from luthier.data.detectors.toxicity import toxicity
from luthier.data.detectors.truncated import truncated
from luthier.errors import Missing
from luthier.records.data import Message, Row

SHARED = Path(__file__).parents[3] / "shared" / "data"
EVERY = (short, long, truncated, templated, repetition, refusal, language, encoding, markup)
PLAIN = (
    "A second card costs 9 EUR per year. You can order it in the app or at any branch.",
    "Sie können die Karte in der App sperren (unter „Karten“). Danach senden wir Ihnen eine neue.",
    "Puede pedir otra tarjeta en la aplicación; cuesta 9 EUR al año y llega en cinco días.",
    "1. Open the app\n2. Go to Cards\n3. Choose Block card",
    "```python\nif x < y and y > 0:\n    print(f'{x}')\n```\nThat prints the smaller one.",
    "Hello <PERSON_1>, your IBAN <IBAN_1> is unchanged.",
)


def a_row(answer: str, question: str = "What does it cost?", name: str = "r", **more: object) -> Row:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Row(**{"id": name, "split": "train", "source": "s", "line": 1, "messages": turns} | more)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", PLAIN)
def test_good_answers_are_left_alone(text: str) -> None:
    said = {detector.__name__: detector(a_row(text)) for detector in EVERY}
    assert {name: score for name, score in said.items() if score} == {}


@pytest.mark.parametrize(
    ("detector", "text", "least"),
    [
        (short, "Yes.", 0.8),
        (short, "", 1.0),
        (long, "word " * 2048, 1.0),
        (truncated, "First open the app, then choose the card and confirm with the", 0.9),
        (truncated, "Öffnen Sie die App und bestätigen Sie die Sperre mit der", 0.9),
        (truncated, "We offer three cards:\n- Lark\n- Heron,", 0.9),
        (truncated, "Here it is:\n```python\ndef f(x):\n    return x", 1.0),
        (truncated, "The fee depends on the country (in Europe it is free, elsewhere it costs 3 EUR.", 0.7),
        (truncated, "You will receive the card after about five working days at the latest from tomor", 0.4),
        (templated, "", 1.0),
        (templated, "N/A", 1.0),
        (templated, "  - ", 1.0),
        (templated, "What does it cost?", 1.0),
        (templated, "Thank you for contacting us. Is there anything else I can help you with?", 0.9),
        (templated, "Gracias por contactarnos. Lamentamos las molestias.", 0.9),
        (repetition, "Please call us at the number on your card. " * 9, 1.0),
        (repetition, "no no no no no no", 0.9),
        (repetition, "Open the app.\nChoose the card.\nOpen the app.\nChoose the card.\nOpen the app.\n", 0.5),
        (refusal, "I'm sorry, but I can't help with that.", 1.0),
        (refusal, "Dabei kann ich Ihnen leider nicht helfen.", 1.0),
        (refusal, "Lo siento, no puedo ayudarle con eso.", 1.0),
        (refusal, "Je suis désolé, mais je ne peux pas répondre.", 1.0),
        (refusal, "A card costs 9 EUR. " * 12 + "I cannot give advice on shares.", 0.5),
        (encoding, "Das kostet fÃ¼r alle LÃ¤nder gebÃ¼hrenfrei nichts.", 0.9),
        (encoding, "The fee for this card is now \ufffd 9 per year and you can pay it in the app.", 0.5),
        (encoding, "F?r alle L?nder ist die ?berweisung geb?hrenfrei.", 0.5),
        (markup, "Dear {{customer_name}}, your card is on its way.", 0.5),
        (markup, "Dear [Customer Name], your card is on its way.", 0.5),
        (markup, "<p>Your card is&nbsp;on its way.</p>", 0.4),
        (markup, "Your card is on its way.<|im_end|>", 1.0),
        (markup, "### Response:\nYour card is on its way.", 0.3),
    ],
)
def test_bad_answers_are_seen(detector: Callable[[Row], float], text: str, least: float) -> None:
    assert detector(a_row(text)) >= least


def test_answers_that_are_not_trained_on_are_not_judged() -> None:
    before = Message(role="assistant", content="I'm sorry, I can't help with that", weight=0)
    row = a_row(PLAIN[0])
    assert refusal(row.model_copy(update={"messages": (row.messages[0], before, *row.messages)})) == 0
    call = Message(role="assistant", tool_calls=({"id": "1", "type": "function", "function": {"name": "f"}},))
    silent = row.model_copy(update={"messages": (row.messages[0], call, *row.messages[1:])})
    assert short(silent) == templated(silent) == 0


def test_two_languages_in_one_row_are_seen() -> None:
    asked = "Tell me about savings accounts and the interest that I can expect from them this year."
    said = "Ein Sparkonto bringt Ihnen derzeit zwei Prozent Zinsen im Jahr, und Sie können jederzeit darüber verfügen."
    french = (
        "Un compte d'épargne rapporte actuellement deux pour cent d'intérêts par an et reste disponible à tout moment."
    )
    assert language(a_row(said, asked)) > 0.8
    assert language(a_row(french, asked)) > 0.8
    assert language(a_row("Ein Sparkonto.", asked)) == 0  # too short to tell
    assert language(a_row(asked, asked)) == 0


def test_half_is_the_limit_of_the_paper() -> None:
    """Rae et al. 2021: at most 20 % of the characters, and 30 % of the lines, may stand in lines that stood there."""
    lines = [f"{chr(97 + n) * 4} {chr(107 + n) * 4}" for n in range(10)]
    assert circling("\n".join([*lines[:8], *lines[:2]])) == pytest.approx(1.0)  # 2 of 10 lines of one length
    assert repetition(a_row("\n".join([*lines[:8], *lines[:2]]))) == pytest.approx(0.5)
    assert circling("\n".join(lines)) == 0


@given(st.text(max_size=400), st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_score(answer: str, question: str) -> None:
    row = a_row(answer, question)
    for detector in EVERY:
        assert 0 <= detector(row) <= 1
        assert detector(row) == detector(row)
    assert contradictions(lambda: [row, row]) == []


def test_no_text_takes_long() -> None:
    """Patterns on hostile texts: each of these is 200,000 characters."""
    import time

    for text in ("(" * 200_000, "a " * 100_000, "i am sorry " * 18_000, "{{" * 100_000, "\n" * 200_000, "`" * 200_000,
                 "lorem ipsum " * 16_000, "<" * 200_000, "&" * 200_000, "_" * 200_000, "[your " * 33_000):  # fmt: skip
        row = a_row(text)
        for detector in EVERY:
            start = time.perf_counter()
            detector(row)
            assert time.perf_counter() - start < 5, f"{detector.__name__} on {text[:8]!r}"


def test_figures_that_exclude_each_other() -> None:
    rows = [
        a_row("A second card costs 9 EUR per year.", "What does a second card cost?", "a"),
        a_row("It costs 12 EUR per year.", "what does the second card cost, please", "b"),
        a_row("9 EUR per year, and it arrives within five days.", "What does a second card cost?!", "c"),
        a_row("It is free.", "What does a second card cost?", "d"),
        a_row("It costs 30 EUR.", "What does a third card cost?", "e"),
        a_row("It is 5 EUR.", "What does a second card not cost?", "f"),
    ]
    found = contradictions(lambda: rows)
    assert {(pair.one.row, pair.other.row) for pair in found} == {("a", "b"), ("b", "c")}
    assert found[0].only_one == ("9",)
    assert found[0].only_other == ("12",)
    assert len(contradictions(lambda: rows, most=1)) == 1


def test_what_was_said_before_belongs_to_the_question() -> None:
    def dialogue(product: str, answer: str, name: str) -> Row:
        turns = [("user", f"I have the {product} card."), ("assistant", "Good."), ("user", "What does it cost abroad?")]
        said = (*(Message(role=r, content=t) for r, t in turns), Message(role="assistant", content=answer))
        return a_row("", name=name).model_copy(update={"messages": said})

    other = [dialogue("Lark", "3 EUR.", "a"), dialogue("Heron", "4 EUR.", "b")]
    same = [dialogue("Lark", "3 EUR.", "a"), dialogue("Lark", "4 EUR.", "b")]
    assert contradictions(lambda: other) == []
    assert len(contradictions(lambda: same)) == 1


def test_people_do_not_make_questions_differ() -> None:
    rows = [
        a_row("It takes 3 days.", "I am <PERSON_1>: how long does a transfer to <IBAN_1> take?", "a"),
        a_row("It takes 5 days.", "I am <PERSON_2>: how long does a transfer to <IBAN_3> take?", "b"),
    ]
    assert len(contradictions(lambda: rows)) == 1


def test_evenness() -> None:
    assert balance({"a": 5, "b": 5}).evenness == pytest.approx(1)
    assert balance({"a": 9, "b": 1}).evenness == pytest.approx(0.469, abs=1e-3)
    assert balance({"a": 9, "b": 1}).share == 0.9
    assert balance({}).share == 0
    rows = [a_row("refund", f"question {n}", metadata={"intent": "refund" if n % 2 else "cancel"}) for n in range(4)]
    assert whole(rows)["intent"].counts == {"cancel": 2, "refund": 2}
    few = [a_row("refund" if n % 2 else "cancel", f"question {n}") for n in range(40)]
    assert whole(few)["answer"].counts == {"cancel": 20, "refund": 20}
    assert set(whole([a_row(text) for text in PLAIN])) == {"source", "language", "split"}


def test_toxicity_needs_its_package() -> None:
    if importlib.util.find_spec("glin_profanity") is None:
        with pytest.raises(Missing, match="luthier\\[toxicity\\]"):
            toxicity(a_row("You are a fool."))
        return
    assert toxicity(a_row("You are a fucking idiot.")) >= 0.5
    assert toxicity(a_row(PLAIN[0])) == 0


def test_refusals_of_xstest() -> None:
    """Röttger et al. 2024: answers of a model that people marked as refusals, or not."""
    file = SHARED / "xstest" / "completions_llama2.csv"
    if not file.is_file():
        pytest.skip("needs ../shared/data/xstest")
    with file.open(encoding="utf-8", newline="") as opened:
        marked = [
            (refusal(a_row(row["completion"])) > 0, "refusal" in row["final_label"]) for row in csv.DictReader(opened)
        ]
    hits = sum(said and meant for said, meant in marked)
    assert hits / sum(said for said, _ in marked) > 0.95
    assert hits / sum(meant for _, meant in marked) > 0.8
