"""Tax, health and civil numbers: the examples that their authorities publish, and the same with one figure wrong."""

import pytest

from luthier.data.recognisers.national import national_numbers


def found(text: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in national_numbers(text, "en")]


PUBLISHED = [
    ("Steuer-ID: {}", "86095742719"),  # Bundeszentralamt für Steuern
    ("Steuer-ID: {}", "47 036 892 816"),
    ("it is {}", "12345678Z"),  # Ministerio del Interior
    ("it is {}", "X1234567L"),
    ("it is {}", "RSSMRA85T10A562S"),  # Agenzia delle Entrate
    ("it is {}", "2 55 08 14 168 025 38"),  # INSEE
    ("it is {}", "131052-308T"),  # Digi- ja väestötietovirasto
    ("it is {}", "756.9217.0769.85"),  # Zentrale Ausgleichsstelle
    ("it is {}", "111.444.777-35"),  # Receita Federal
    ("CPF {}", "11144477735"),
    ("BSN: {}", "111222333"),  # Rijksdienst voor Identiteitsgegevens
    ("PESEL {}", "44051401359"),  # Ministerstwo Cyfryzacji
    ("NHS number {}", "943 476 5919"),  # NHS Data Dictionary
    ("rijksregister {}", "85073003328"),
    ("it is {}", "85.07.30-033.28"),
    ("personnummer {}", "811218-9876"),  # Skatteverket
    ("Aadhaar {}", "234123412346"),  # UIDAI
]


@pytest.mark.parametrize(("carrier", "number"), PUBLISHED)
def test_published_examples(carrier, number):
    assert found(carrier.format(number)) == [number]


@pytest.mark.parametrize(("carrier", "number"), PUBLISHED)
def test_every_figure_counts(carrier, number):
    figures = [place for place, letter in enumerate(number) if letter.isdigit()]
    for place in figures:
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        assert number not in found(carrier.format(wrong))
        assert wrong not in found(carrier.format(wrong)), wrong


@pytest.mark.parametrize("number", ["86095742719", "111222333", "44051401359", "9434765919", "234123412346"])
def test_a_weak_checksum_needs_its_words(number):
    assert found(f"order {number} is late") == []


@pytest.mark.parametrize("number", ["000-12-3456", "666-12-3456", "912-12-3456", "536-00-8714", "536-22-0000"])
def test_social_security_numbers_that_are_not_issued(number):
    assert found(f"SSN {number}") == []


def test_a_social_security_number_without_dashes_needs_its_words():
    assert found("my social security number is 536228714") == ["536228714"]
    assert found("order 536228714") == []


def test_a_longer_number_holds_no_shorter_one():
    assert found("CPF 111444777350") == []
    assert found("PESEL 44051401359.50") == []
