"""Short texts, as customers write them."""

from __future__ import annotations

import pytest

from luthier.lm.language import language_of

POLICY = ("en", "de", "es", "fr", "it", "pt", "nl")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How much does a second card cost?", "en"),
        ("Do top-up limits exist?", "en"),
        ("Was kostet eine zweite Karte?", "de"),
        ("Wie hoch ist der Dispozins?", "de"),
        ("¿Cuánto cuesta una segunda tarjeta?", "es"),
        ("quiero bloquear mi tarjeta", "es"),
        ("Combien coûte une deuxième carte pour moi ?", "fr"),
        ("Quanto costa una seconda carta per il mio conto?", "it"),
        ("Wat kost een tweede pas bij mijn rekening?", "nl"),
    ],
)
def test_a_question_is_recognised(text: str, language: str) -> None:
    assert language_of(text, POLICY) == language
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["4040", "", "??", "ok", "<PERSON_1>"])
def test_where_nothing_tells_it_is_the_first(text: str) -> None:
    assert language_of(text, ("de", "en", "es")) == "de"
    assert language_of(text) == "en"


def test_it_is_one_of_those_asked_for() -> None:
    assert language_of("Karte sperren bitte, ich habe sie verloren", ("es", "en")) in ("es", "en")
    assert language_of("anything", ()) == "en"
    assert language_of("Karte sperren bitte", ("en",)) == "en"
    assert language_of("Karte sperren bitte", ("xx", "en")) == "xx"
