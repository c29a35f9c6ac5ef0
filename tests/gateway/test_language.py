from __future__ import annotations

import pytest

from luthier.gateway.language import language_of

ALL = ("en", "de", "es", "fr", "it", "pt", "nl")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How much does a second card cost?", "en"),
        ("Was kostet eine zweite Karte?", "de"),
        ("Wie hoch ist der Dispozins?", "de"),
        ("¿Cuánto cuesta una segunda tarjeta?", "es"),
        ("quiero bloquear mi tarjeta", "es"),
        ("Combien coûte une deuxième carte pour moi ?", "fr"),
        ("Quanto costa una seconda carta per il mio conto?", "it"),
        ("Wat kost een tweede pas bij mijn rekening?", "nl"),
        ("4040", "en"),
        ("", "en"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert language_of(text, ALL) == language


def test_only_languages_of_the_policy() -> None:
    assert language_of("Karte sperren bitte", ("es", "en")) == "es"
    assert language_of("anything", ()) == "en"
