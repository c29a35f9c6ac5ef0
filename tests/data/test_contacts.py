"""E-mail addresses and telephone numbers."""

import pytest

from luthier.data.recognisers.contacts import emails, phones, urls


def found(recogniser, text: str, language: str = "en") -> list[str]:
    return [text[hit.start : hit.end] for hit in recogniser(text, language)]


@pytest.mark.parametrize(
    "email",
    [
        "jane.doe@example.com",
        "jane+bank@mail.example.co.uk",
        "jürgen.groß@beispiel.de",
        "jane (at) example (dot) com",
        "jane[at]example.com",
        "jane @ example.com",
        "o'neill@example.ie",
    ],
)
def test_emails(email):
    assert found(emails, f"Write to {email}, please.") == [email]
    assert found(emails, f"({email})") == [email]


def test_a_spoken_email():
    assert found(emails, "it is jane.doe at example dot com") == ["jane.doe at example dot com"]


@pytest.mark.parametrize("text", ["meet me @ noon", "price@8EUR", "look at it", "2 @ 5.00", "@handle"])
def test_what_is_no_email(text):
    assert found(emails, text) == []


@pytest.mark.parametrize(
    ("language", "phone"),
    [
        ("en", "+44 20 7946 0958"),
        ("en", "020 7946 0958"),
        ("en", "07700 900123"),
        ("en", "07700900123"),
        ("en", "(202) 555-0147"),
        ("en", "202-555-0147"),
        ("en", "202.555.0147 x12"),
        ("en", "0049 151 23456789"),
        ("de", "0151 23456789"),
        ("de", "0151/23456789"),
        ("de", "(030) 901820"),
        ("de", "+49 (0)30 901820"),
        ("de", "030-901820-55"),
        ("es", "612 345 678"),
        ("es", "612345678"),
        ("es", "+34 91 123 45 67"),
        ("en", "01 42 68 53 00"),
        ("xx", "+81 3-1234-5678"),
    ],
)
def test_phones(language, phone):
    assert found(phones, f"{phone} is how you get me.", language) == [phone]
    assert found(phones, f"Ring: {phone}.", language) == [phone]


def test_words_beside_it_make_a_telephone_of_a_short_number():
    assert found(phones, "call me on 78 651 450") == ["78 651 450"]
    assert found(phones, "Rückruf bitte unter 901820 12", "de") == ["901820 12"]
    assert found(phones, "we sold 78 651 450 units") == []


@pytest.mark.parametrize(
    "text",
    [
        "from 14.09.2026 to 2026-10-01",
        "opening hours 9.00-17.00",
        "in 2019-2020",
        "1 500 000 EUR",
        "EUR 020 794 609",
        "reference number 020 7946 0958",
        "IBAN 1234 5678 9012",
        "order 12345678",
        "call our free line 0800 123 4567",
        "Sperrnotruf 116 116",
        "4111 1111 1111 1111 1111 1111",
    ],
)
def test_what_is_nobodys_telephone(text):
    assert found(phones, text) == []


def test_urls():
    assert found(urls, "see https://example.com/a?b=1, or www.example.org.") == [
        "https://example.com/a?b=1",
        "www.example.org",
    ]
