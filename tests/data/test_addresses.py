"""Postal addresses of a dozen countries."""

import pytest

from luthier.data.recognisers.addresses import addresses
from luthier.data.spans import settle


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in settle(text, addresses(text, "en"))]


@pytest.mark.parametrize(
    "address",
    [
        "12 Mill Lane",
        "221b Baker Street, London NW1 6XE",
        "4 Ashgrove Terrace, Flat 2, Oxford OX1 2AB",
        "1600 Amphitheatre Parkway, Mountain View, CA 94043",
        "350 5th Avenue, Suite 3301, New York, NY 10118",
        "Hauptstraße 12a, 10115 Berlin",
        "Lange Str. 5",
        "Unter den Linden 77, 10117 Berlin",
        "Mühlweg 3, 6020 Innsbruck",
        "Bahnhofstrasse 21, CH-8001 Zürich",
        "Bergmannstraße 144, 86409 Waldau an der Luhe",
        "Calle Mayor 5, 3º B, 28013 Madrid",
        "Calle de la Princesa n.º 17, 28008 Madrid",
        "Avda. de la Constitución, 12, 41001 Sevilla",
        "12 rue de la Paix, 75002 Paris",
        "Via Garibaldi 8, 20121 Milano",
        "Keizersgracht 174, 1016 DW Amsterdam",
        "Storgatan 12, 111 22 Stockholm",
        "ul. Piotrkowska 104, 90-926 Łódź",
        "Mannerheimintie 5",
        "P.O. Box 1234",
    ],
)
def test_addresses(address):
    assert found(f"It is {address}.") == [address]


def test_what_announces_an_address_lets_less_suffice():
    assert found("I live at 14 Larchwood since May") == ["14 Larchwood"]
    assert found("I bought 14 Larchwood since May") == []
    assert found("Ich wohne Am Mühlbach 4") == ["Am Mühlbach 4"]
    assert found("mi dirección es Lavapiés 30") == ["Lavapiés 30"]


def test_over_several_lines():
    address = "22 Oak Road\nFlat 3\nWestering\nUnited Kingdom LK23 9TC"
    assert found(f"Please send it to\n{address}\nThank you") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "It costs 8 EUR in 5 countries.",
        "on 14 September 2026",
        "The Premium account costs 11 EUR.",
        "Am Montag 5 Stunden",
        "in the spring of 2024, Spring 2024",
        "send us the form within 14 days",
        "innerhalb von 14 Tagen",
        "en un plazo de 14 días",
        "The term is at most 120 months",
        "2 Visa cards",
        "Please deliver 3 Premium cards",
    ],
)
def test_what_is_no_address(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            "it is 12 fennick lane, apt. 4\n sedgeport\n sweden 12345",
            "12 fennick lane, apt. 4\n sedgeport\n sweden 12345",
        ),
        ("ship to 83 Dora Creek Apt. 176\nSEDGE, NO 14908 please", "83 Dora Creek Apt. 176\nSEDGE, NO 14908"),
        ("Árpád fejedelem útja 62", "Árpád fejedelem útja 62"),
        ("Ringstad terrasse 38\n Suite 621\n ARENDAL\n Norway", "Ringstad terrasse 38\n Suite 621\n ARENDAL\n Norway"),
        ("My zip code here is 90210", "90210"),
    ],
)
def test_what_follows_a_street_belongs_to_it(text, address):
    assert found(text) == [address]


@pytest.mark.parametrize(
    "text", ["what is 87 divided by 4", "a table for 3 at 5pm", "time off for may 10 to may 15", "the hits of the 70s"]
)
def test_small_letters_and_numbers_make_no_address(text):
    assert found(text) == []
