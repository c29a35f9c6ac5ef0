"""Builds with semantic duplicates, surrogates and a vault; whose rows are whose where one leaves for another."""

import json

import numpy as np
import pytest

from luthier.data.build import Now, build, impact, rows
from luthier.data.choice import NEAR, SEMANTIC
from luthier.data.vault import Vault, vault_key
from luthier.errors import BadConfig
from tests.data.test_build import KEY, chat, part, source
from tests.data.test_choice import LONG

pytestmark = pytest.mark.usefixtures("weightless")


def by_subject(texts):
    """Vectors by what is asked about: the card or the branch, whatever the words."""
    return np.array([[1.0, 0.1, 0] if "card" in text else [0, 0.1, 1.0] for text in texts], np.float32)


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(tmp_path / "vault.jsonl", vault_key(tmp_path / "keys", create=True))


def test_rows_that_say_the_same_in_other_words_leave(tmp_path, blobs):
    lines = [
        chat("Where is my card?", "It is on its way."),
        chat("When does the card come that I ordered?", "Soon, by post."),
        chat("When does the branch open?", "At nine."),
        chat("The card: when?", "On the 3rd."),
    ]
    wanted = part(source(tmp_path, "desk", *lines), semantic=0.95)
    with pytest.raises(BadConfig, match="nothing embeds"):
        build(wanted, tmp_path, blobs, key=KEY)
    now = Now(embed=by_subject, embedder="by-subject")
    made = build(wanted, tmp_path, blobs, key=KEY, now=now)
    assert made.left_out == {SEMANTIC: 1}
    assert [row.line for row in rows(made, blobs)] == [1, 3, 4], "a row with another figure says something else"
    (left,) = blobs.lines(made.quarantine)
    assert (left["line"], left["reason"]) == (2, SEMANTIC)
    assert next(rows(made, blobs)).id in left["detail"]
    assert "embedder by-subject" in made.builder
    assert build(wanted, tmp_path, blobs, key=KEY, now=now) == made


@pytest.mark.parametrize("also", [{"near": 0.8}, {"semantic": 0.9}, {"near": 0.8, "semantic": 0.9}])
def test_people_of_a_row_that_leaves_are_found_by_the_one_that_stays(tmp_path, blobs, also):
    lines = [
        chat("I'm Anna Schmidt. How do I change the card's address?", LONG),
        chat("I'm Bob Miller. How do I change the card's address?", LONG.replace("in the app", "in our app")),
        chat("I'm Bob Miller. How do I change the CARD's address?", LONG.replace("in the app", "in our app")),
        chat("I'm John Carter, where is my card?", "On its way."),
    ]
    made = build(part(source(tmp_path, "desk", *lines), **also), tmp_path, blobs, key=KEY, now=Now(embed=by_subject))
    first, *others = rows(made, blobs)
    assert len(others) == ("semantic" not in also)
    assert impact(made, blobs, KEY, "Anna Schmidt") == [first.id]
    assert impact(made, blobs, KEY, "Bob Miller") == [first.id]
    carter = impact(made, blobs, KEY, "John Carter")
    assert carter == [first.id] if "semantic" in also else carter == [others[0].id]
    assert sum(made.left_out.values()) + made.duplicates + sum(made.counts.values()) == 4
    assert set(made.left_out) == {rule for rule, name in ((NEAR, "near"), (SEMANTIC, "semantic")) if name in also}


def test_a_person_whose_row_is_not_drawn_in_the_end_is_in_no_row(tmp_path, blobs):
    few = source(tmp_path, "few", chat("I'm Anna Schmidt. How?", LONG))
    many = source(
        tmp_path,
        "many",
        chat("I'm Bob Miller. How?", LONG.replace("in the app", "in our app")),
        chat("Is the branch open?", "Yes."),
    )
    mixed = part(few, many, near=0.7, mixture={"few": 0, "many": 1}, validation=0.0)
    made = build(mixed, tmp_path, blobs, key=KEY)
    assert [row.source for row in rows(made, blobs)] == ["many"]
    assert impact(made, blobs, KEY, "Anna Schmidt") == impact(made, blobs, KEY, "Bob Miller") == []
    assert made.subjects is None


def test_surrogates_stand_in_place_of_placeholders(tmp_path, blobs):
    arguments = json.dumps({"owner": "Anna Schmidt", "iban": "DE89370400440532013000"})
    call = {"id": "c", "type": "function", "function": {"name": "lookup", "arguments": arguments}}
    called = [
        {"role": "user", "content": "I'm Anna Schmidt, a.schmidt@web.example, write <ORDER_1> down"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "Anna Schmidt: 12 EUR"},
        {"role": "assistant", "content": "Mrs Schmidt, it is 12 EUR."},
    ]
    twin = json.loads(json.dumps(called).replace("Anna Schmidt", "Bob Miller").replace("Mrs Schmidt", "Mrs Miller"))
    desk = source(tmp_path, "desk", {"messages": called}, {"messages": twin}, chat("What is the fee?"))
    plain = build(part(desk), tmp_path, blobs, key=KEY)
    made = build(part(desk, surrogates=True), tmp_path, blobs, key=KEY)
    assert made.duplicates == plain.duplicates == 1, "made-up names make no new rows of old ones"
    assert [row.id for row in rows(made, blobs)] == [row.id for row in rows(plain, blobs)]
    first, second = rows(made, blobs)
    assert (first.changes, second.changes) == (("scrubbed", "surrogates"), ())
    whole = json.dumps(first.body())
    assert "<PERSON_" not in whole
    assert "<ORDER_1>" in whole, "what the scrubber did not put there stays"
    owner = json.loads(first.messages[1].tool_calls[0]["function"]["arguments"])["owner"]
    assert first.messages[0].content.startswith(f"I'm {owner},")
    assert first.messages[2].content == f"{owner}: 12 EUR"
    for said in (b"Schmidt", b"Miller", b"37040044"):
        assert said not in blobs.get(made.rows)
    assert "mimesis" in made.builder
    assert build(part(desk, surrogates=True), tmp_path, blobs, key=KEY) == made
    other = build(part(desk, surrogates=True), tmp_path, blobs, key=b"z" * 32)
    assert next(rows(other, blobs)).messages[0] != first.messages[0], "they hang on the workspace's key"


@pytest.mark.parametrize("surrogates", [False, True])
def test_the_vault_takes_back_what_the_rows_that_stay_held(tmp_path, blobs, vault, surrogates):
    lines = [
        chat("I'm Anna Schmidt, IBAN DE89 3704 0044 0532 0130 00. Fee?", "Hello Anna Schmidt."),
        chat("I'm Bob Miller, IBAN GB82 WEST 1234 5698 7654 32. Fee?", "Hello Bob Miller."),
        chat("I'm John Carter. How do I change it?", LONG),
        chat("I'm Petra Quandt. How do I change it?", LONG.replace("in the app", "in our app")),
    ]
    wanted = part(source(tmp_path, "desk", *lines), vault=True, surrogates=surrogates, near=0.8)
    with pytest.raises(BadConfig, match="no vault"):
        build(wanted, tmp_path, blobs, key=KEY)
    made = build(wanted, tmp_path, blobs, key=KEY, now=Now(vault=vault))
    first, second = rows(made, blobs)
    assert not vault.path.exists(), "nothing is kept before the version is recorded"
    vault.commit()
    told = vault.restored(made.name, first.id, [message.content for message in first.messages])
    assert told == [message["content"] for message in lines[0]["messages"]]
    assert list(vault.reveal(made.name, second.id).values()) == ["John Carter"]
    assert len(list(vault.entries())) == 2, "rows that leave leave nothing behind"
    before = vault.path.read_bytes()
    for word in (b"Schmidt", b"3704", b"Carter"):
        assert word not in before
    assert build(wanted, tmp_path, blobs, key=KEY, previous=made, now=Now(vault=vault)) is made
    vault.commit()
    assert vault.path.read_bytes() == before, "building again adds nothing"
    plain = build(wanted.model_copy(update={"vault": False}), tmp_path, blobs, key=KEY)
    assert plain == made, "the vault is no part of the version"
