"""Keys, tokens and passwords. The examples are put together here, so that no scanner takes this file for a leak."""

import pytest

from luthier.data.recognisers.secrets import secrets
from luthier.data.spans import settle


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in settle(text, secrets(text, "en"))]


PEM = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nq83h\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "key",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "aB3" * 12,
        "github_pat_" + "11AA0_" * 12,
        "glpat-" + "x9Yz_-" * 4,
        "xoxb-" + "123456789012-abcdefGHIJ",
        "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "sk-" + "proj-" + "aB3dE5fG7h" * 4,
        "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
        "hf_" + "abcdefghijABCDEFGHIJabcdefghijKLMN",
        "SG." + "a" * 22 + "." + "b" * 43,
        PEM,
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ],
)
def test_keys_of_known_forms(key):
    assert found(f"It stopped: {key} does not work") == [key]


def test_a_private_key_whose_end_is_missing():
    cut = PEM[:60]
    assert found(f"see {cut}") == [cut]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://app:s3cr3tpw@db.example:5432/shop", "s3cr3tpw"),
        ("Server=db;User=sa;Password=Tr0ub4dor&3;", "Tr0ub4dor&3"),
        ("DefaultEndpointsProtocol=https;AccountKey=abcd1234efgh5678==;", "abcd1234efgh5678=="),
        ("my password is Tr0ub4dor&3, help", "Tr0ub4dor&3"),
        ("password: hunter2", "hunter2"),
        ("Das Passwort lautet Sommer2024!", "Sommer2024"),
        ("contraseña: Lluvia#77", "Lluvia#77"),
        ('api_key = "f3a9c17e4b2d4c55a0e1"', "f3a9c17e4b2d4c55a0e1"),
        ("Authorization: Bearer aB3dE5fG7hJ9kL1mN3pQ", "aB3dE5fG7hJ9kL1mN3pQ"),
        ("my PIN is 4821", "4821"),
        ('the password "korrekt-horse-77" fails', "korrekt-horse-77"),
    ],
)
def test_what_stands_behind_its_word(text, secret):
    assert found(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password, please reset it",
        "The password is wrong",
        "password: required",
        "Das Passwort ist falsch",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "The token is expired",
        "the pin is blocked",
        "https://example.com/a@b",
        "password: $PASSWORD or {password}",
        "passport: C01X00T47",
        "sk-learn and sk-image",
    ],
)
def test_what_is_no_secret(text):
    assert found(text) == []


def test_nothing_hangs_on_long_texts():
    import time

    began = time.perf_counter()
    for text in ("-----BEGIN PRIVATE KEY-----" * 3000, "password " * 10_000, "eyJ" + "a" * 50_000, "a://" * 20_000):
        found(text)
    assert time.perf_counter() - began < 5
