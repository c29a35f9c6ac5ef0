"""The vault: what was put in comes out with the key, and only so."""

import json

import pytest

from luthier.data.vault import Vault, mapping, vault_key
from luthier.errors import Missing, Tampered

VALUES = {"<PERSON_1>": "Änne Schmidt", "<IBAN_1>": "DE89 3704 0044 0532 0130 00"}


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(tmp_path / "vault.jsonl", vault_key(tmp_path / "keys", create=True))


def test_there_and_back(vault, scrubber):
    texts = ["Hi, I'm Anna Schmidt, a@b.example", "Mrs Schmidt, card 4111 1111 1111 1111?"]
    scrubbed = scrubber.dialogue(texts, "en")
    vault.put("set", "d1", mapping(scrubbed))
    assert vault.reveal("set", "d1")["<EMAIL_1>"] == "a@b.example"
    restored = vault.restored("set", "d1", [text.text for text in scrubbed])
    assert restored[0] == texts[0]
    assert restored[1] == "Mrs Anna Schmidt, card 4111 1111 1111 1111?"  # a placeholder has one spelling


def test_nothing_can_be_read_without_the_key(vault):
    vault.put("secret-set", "dialogue-77", VALUES)
    stored = vault.path.read_bytes()
    for word in (b"Schmidt", b"3704", b"PERSON", b"dialogue-77", b"secret-set"):
        assert word not in stored
    assert vault.path.stat().st_mode & 0o077 == 0
    other = Vault(vault.path, b"x" * 32)
    other.name = vault.name
    with pytest.raises(Tampered):
        other.reveal("secret-set", "dialogue-77")
    assert Vault(vault.path, b"x" * 32).reveal("secret-set", "dialogue-77") == {}


def test_an_entry_opens_only_where_it_belongs(vault):
    vault.put("set", "d1", VALUES)
    entry = json.loads(vault.path.read_text())
    vault.path.write_text(json.dumps(entry | {"name": vault.name("set", "d2")}) + "\n")
    with pytest.raises(Tampered):
        vault.reveal("set", "d2")
    assert vault.name("a", "bc") != vault.name("ab", "c")


def test_every_byte_is_sealed(vault):
    import base64

    vault.put("set", "d1", VALUES)
    entry = json.loads(vault.path.read_text())
    raw = bytearray(base64.b64decode(entry["sealed"]))
    for place in range(0, len(raw), 7):
        changed = raw.copy()
        changed[place] ^= 1
        vault.path.write_text(json.dumps(entry | {"sealed": base64.b64encode(changed).decode()}) + "\n")
        with pytest.raises(Tampered):
            vault.reveal("set", "d1")


def test_the_last_entry_counts_and_equal_values_look_different(vault):
    vault.put("set", "d1", VALUES)
    vault.put("set", "d1", VALUES)
    vault.put("set", "d1", {"<PERSON_1>": "Bea"})
    assert vault.reveal("set", "d1") == {"<PERSON_1>": "Bea"}
    first, second, _ = [json.loads(line)["sealed"] for line in vault.path.read_text().splitlines()]
    assert first[:40] != second[:40]
    assert vault.reveal("set", "nobody") == {}


def test_forgetting_takes_every_entry_of_a_dialogue(vault):
    for dialogue in ("d1", "d2", "d1"):
        vault.put("set", dialogue, VALUES)
    sealed = json.loads(vault.path.read_text().splitlines()[0])["sealed"]
    assert vault.forget([("set", "d1"), ("set", "d9")]) == 2
    assert sealed not in vault.path.read_text()
    assert vault.reveal("set", "d1") == {}
    assert vault.reveal("set", "d2") == VALUES
    assert vault.path.stat().st_mode & 0o077 == 0


def test_a_line_that_a_crash_cut_off_is_left_out_and_any_other_is_not(vault):
    vault.put("set", "d1", VALUES)
    whole = vault.path.read_text()
    vault.path.write_text(whole + whole[:40])
    assert vault.reveal("set", "d1") == VALUES
    vault.path.write_text(whole[:40] + "\n" + whole)
    with pytest.raises(Tampered):
        vault.reveal("set", "d1")


def test_an_entry_put_behind_a_cut_line_is_found(vault):
    vault.put("set", "d1", VALUES)
    vault.path.write_text(vault.path.read_text() + '{"name": "ab')
    vault.put("set", "d2", VALUES)
    assert vault.reveal("set", "d2") == VALUES
    assert vault.reveal("set", "d1") == VALUES


def test_keys(tmp_path):
    with pytest.raises(Missing, match="cannot be opened, by anybody"):
        vault_key(tmp_path)
    key = vault_key(tmp_path / "keys", create=True)
    assert len(key) == 32
    assert vault_key(tmp_path / "keys", create=True) == key == vault_key(tmp_path / "keys")
    assert (tmp_path / "keys" / "vault.key").stat().st_mode & 0o077 == 0
    (tmp_path / "keys" / "vault.key").write_bytes(b"short")
    with pytest.raises(Tampered):
        vault_key(tmp_path / "keys")
