"""Whole builds: accounting, determinism, splits, quarantine, subjects."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import workers
from luthier.data.build import Now, build, impact, rows
from luthier.data.raw import Raw
from luthier.data.sources import Extra
from luthier.data.spans import subject_key
from luthier.errors import BadConfig, BadData, UnknownName
from luthier.records.base import Parent
from luthier.records.data import Message
from luthier.records.project import DataPart, SourceSpec
from luthier.store.blobs import Blobs

KEY = b"k" * 32
pytestmark = pytest.mark.usefixtures("weightless")


def chat(question: str, answer: str = "Yes.", **more) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages} | more


def source(folder, name: str, *lines) -> SourceSpec:
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    (folder / f"{name}.jsonl").write_bytes(data)
    return SourceSpec(name=name, path=f"{name}.jsonl", licence="CC0-1.0", consent="contract")


def part(*sources, **more) -> DataPart:
    return DataPart(sources=sources, **{"most_quarantined": 1.0} | more)


def test_a_build(tmp_path, blobs):
    desk = source(
        tmp_path,
        "desk",
        chat("I'm Anna Schmidt, where is my card?", metadata={"agent": "Peter Brown", "topic": "cards"}),
        chat("Ich heiße Petra Quandt. Was kostet die Karte?"),
        b"{broken, my IBAN is DE89 3704 0044 0532 0130 00",
        chat("I'm Bob Miller, where is my card?", metadata={"agent": "Peter Brown"}),
        chat("¿Cuánto cuesta la tarjeta?", language="es"),
    )
    told = []
    made = build(part(desk), tmp_path, blobs, key=KEY, progress=lambda *step: told.append(step))
    assert (sum(made.counts.values()), made.duplicates, made.quarantined) == (3, 1, 1)
    assert made.languages == {"de": 1, "en": 1, "es": 1}
    assert made.personal == {"PERSON": 3}
    assert (made.sources[0].rows, made.sources[0].consent) == (3, "contract")
    assert "presidio-analyzer" in made.builder
    assert told[-1] == ("scrub", 4, 4)
    first, second, _ = rows(made, blobs)
    assert first.messages[0].content == "I'm <PERSON_1>, where is my card?"
    assert first.metadata == {"agent": "<PERSON_2>", "topic": "cards"}
    assert (first.source, first.line, second.line, second.language) == ("desk", 1, 2, "de")
    (refused,) = blobs.lines(made.quarantine)
    assert (refused["source"], refused["line"]) == ("desk", 3)
    assert "<IBAN_1>" in refused["excerpt"]


def test_the_same_sources_make_the_same_version(tmp_path):
    desk = source(tmp_path, "desk", *(chat(f"Question {number} from Anna Schmidt?") for number in range(90)))
    one = build(part(desk), tmp_path, Blobs.open(tmp_path / "one"), key=KEY)
    two = build(part(desk), tmp_path, Blobs.open(tmp_path / "two"), key=KEY)
    assert one == two
    assert one.id == two.id


def test_one_process_and_several_say_the_same(tmp_path, blobs, monkeypatch):
    """The pool runs threads here: what is tested is the order and the bookkeeping."""
    from concurrent.futures import ThreadPoolExecutor

    desk = source(tmp_path, "desk", *(chat(f"Question {number} from Anna Schmidt?") for number in range(100)))
    one = build(part(desk), tmp_path, blobs, key=KEY)
    monkeypatch.setattr(workers, "PAYS", 50)
    monkeypatch.setattr(workers, "CHUNK", 8)
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda count, **_: ThreadPoolExecutor(count))
    assert build(part(desk), tmp_path, blobs, key=KEY).rows == one.rows


def test_nothing_new_is_no_new_version(tmp_path, blobs):
    desk = source(tmp_path, "desk", chat("What is the fee?"))
    first = build(part(desk), tmp_path, blobs, key=KEY)
    assert build(part(desk), tmp_path, blobs, key=KEY, previous=first) is first
    desk = source(tmp_path, "desk", chat("What is the fee?"), chat("And the rate?"))
    second = build(part(desk), tmp_path, blobs, key=KEY, previous=first)
    assert second.made_from == (Parent("previous", first.id),)
    assert build(part(desk), tmp_path, blobs, key=KEY, previous=second) is second


def test_a_row_never_moves_between_splits(tmp_path, blobs):
    lines = [chat(f"Question {number}?") for number in range(200)]
    some = build(part(source(tmp_path, "a", *lines[:100]), validation=0.2, test=0.2), tmp_path, blobs, key=KEY)
    more = build(part(source(tmp_path, "a", *lines), validation=0.2, test=0.2), tmp_path, blobs, key=KEY)
    before = {row.id: row.split for row in rows(some, blobs)}
    after = {row.id: row.split for row in rows(more, blobs)}
    assert before.items() <= after.items()
    assert {split for split in after.values()} == {"train", "validation", "test"}
    assert [row.id for row in rows(more, blobs, "test")] == [name for name, split in after.items() if split == "test"]


def test_the_rows_of_a_dialogue_stay_together(tmp_path, blobs):
    lines = [chat(f"Question {number}?", dialogue=f"d-{number // 10}") for number in range(300)]
    made = build(part(source(tmp_path, "a", *lines), validation=0.3), tmp_path, blobs, key=KEY)
    splits: dict[str, set[str]] = {}
    for row in rows(made, blobs):
        splits.setdefault(row.metadata["dialogue"], set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({split for found in splits.values() for split in found}) == 2


def test_whom_a_row_is_about_can_be_found_with_the_key(tmp_path, blobs):
    desk = source(
        tmp_path,
        "desk",
        chat("I'm Anna Schmidt, IBAN DE89 3704 0044 0532 0130 00. Fee?"),
        chat("I'm Bob Miller, IBAN GB82 WEST 1234 5698 7654 32. Fee?"),
        chat("Anna Schmidt again: what about the rate?"),
    )
    made = build(part(desk), tmp_path, blobs, key=KEY)
    first, third = rows(made, blobs)
    assert set(impact(made, blobs, KEY, "anna  schmidt")) == {first.id, third.id}
    assert impact(made, blobs, KEY, "de89370400440532013000") == [first.id]
    assert impact(made, blobs, KEY, "GB82WEST12345698765432") == [first.id], "a duplicate's people belong to its twin"
    assert impact(made, blobs, KEY, "Nobody") == []
    assert impact(made, blobs, b"x" * 32, "Anna Schmidt") == []
    stored = b"".join(blobs.get(digest) for digest in blobs.all())
    for leak in (b"Schmidt", b"Miller", b"3704", b"WEST"):
        assert leak not in stored


def test_tool_calls_are_scrubbed_too(tmp_path, blobs):
    arguments = json.dumps(
        {"iban": "DE89370400440532013000", "customer": {"name": "Anna Schmidt", "card": 4111111111111111}}
    )
    call = {"id": "4111111111111111", "type": "function", "function": {"name": "lookup", "arguments": arguments}}
    row = {
        "messages": [
            {"role": "user", "content": "I'm Anna Schmidt", "name": "anna_schmidt"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": '{"owner": "Anna Schmidt", "balance": 12}', "name": "lookup"},
            {"role": "assistant", "content": "12 EUR"},
        ]
    }
    made = build(part(source(tmp_path, "desk", row)), tmp_path, blobs, key=KEY)
    (kept,) = rows(made, blobs)
    assert kept.messages[0].name is None
    assert kept.messages[2].name == "lookup"
    written = kept.messages[1].tool_calls[0]
    assert written["id"] == "4111111111111111"
    assert json.loads(written["function"]["arguments"]) == {
        "iban": "<IBAN_1>",
        "customer": {"name": "<PERSON_1>", "card": "<CARD_1>"},
    }
    assert kept.messages[2].content == '{"owner": "<PERSON_1>", "balance": 12}'


def test_reviews_are_one_more_source(tmp_path, blobs):
    messages = (Message(role="user", content="Fee?"), Message(role="assistant", content="8 EUR."))
    reviews = Extra("reviews", [Raw(1, messages, "en", {"review": "r"})], parents=(Parent("review", "review-1"),))
    made = build(part(source(tmp_path, "desk", chat("Rate?"))), tmp_path, blobs, key=KEY, now=Now([reviews]))
    assert [(use.name, use.rows) for use in made.sources] == [("desk", 1), ("reviews", 1)]
    assert made.made_from == (Parent("review", "review-1"),)
    with pytest.raises(BadConfig, match="two sources are called 'desk'"):
        build(
            part(source(tmp_path, "desk", chat("?"))),
            tmp_path,
            blobs,
            key=KEY,
            now=Now([reviews._replace(name="desk")]),
        )


def test_what_is_the_companys_stays(tmp_path, blobs):
    desk = source(tmp_path, "desk", chat("Hello Zephyrine, I'm Anna Schmidt"))
    made = build(part(desk, allow=("Zephyrine",)), tmp_path, blobs, key=KEY)
    assert next(rows(made, blobs)).messages[0].content == "Hello Zephyrine, I'm <PERSON_1>"


def test_builds_that_cannot_be(tmp_path, blobs):
    half = source(tmp_path, "half", chat("Fee?"), b"nonsense", b"more")
    with pytest.raises(BadData, match=r"2 of 3 lines are no dialogues \(half:2: .*not JSON"):
        build(part(half, most_quarantined=0.5), tmp_path, blobs, key=KEY)
    with pytest.raises(BadData, match="no row at all"):
        build(part(source(tmp_path, "empty")), tmp_path, blobs, key=KEY)
    with pytest.raises(BadData, match="no row is left"):
        build(part(source(tmp_path, "bad", b"x")), tmp_path, blobs, key=KEY)
    with pytest.raises(BadData, match="cannot be read"):
        build(part(half.model_copy(update={"path": "gone"})), tmp_path, blobs, key=KEY)
    with pytest.raises(UnknownName, match="no source is called 'chat-json'"):
        build(part(half.model_copy(update={"format": "chat-json"})), tmp_path, blobs, key=KEY)
    with pytest.raises(UnknownName, match="no scrubber"):
        build(part(half, scrubber="presido"), tmp_path, blobs, key=KEY)


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path, blobs):
    desk = source(tmp_path, "desk", *(chat(f"Question {number}?") for number in range(200)))

    def meddle(task: str, done: int, total: int, /, **figures: float) -> None:
        source(tmp_path, "desk", *(chat(f"Question {number}!") for number in range(200)))

    with pytest.raises(BadData, match="changed while it was read"):
        build(part(desk), tmp_path, blobs, key=KEY, progress=meddle)
    assert list(blobs.all()) == []


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40).filter(lambda data: b"\n" not in data),
        st.builds(lambda *texts: json.dumps(chat(*texts)).encode(), st.text(max_size=30), st.text(max_size=30)),
        st.sampled_from([json.dumps(chat("Hi")).encode(), json.dumps(chat("I'm Anna Schmidt")).encode(), b""]),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(LINES)
def test_every_line_is_a_row_a_duplicate_or_quarantined(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("any")
    blobs = Blobs.open(folder / "blobs")
    lines = [json.dumps(chat("one row at least")).encode(), *lines]
    made = build(part(source(folder, "any", *lines)), folder, blobs, key=KEY)
    kept = list(rows(made, blobs))
    assert len(kept) == sum(made.counts.values()) == made.sources[0].rows
    assert len(kept) + made.duplicates + made.quarantined == sum(1 for line in lines if line.strip())
    assert len({row.id for row in kept}) == len(kept)
    assert made.quarantined == (len(list(blobs.lines(made.quarantine))) if made.quarantine else 0)


def test_a_row_says_its_own_origin_or_its_source_does(tmp_path, blobs):
    metadata = {"licence": "CC-BY-4.0", "person": "Anna Schmidt", "collected": "2026-03-01", "subject": "Cards"}
    desk = source(tmp_path, "desk", chat("Rate?", metadata=metadata), chat("Fee?"))
    own = desk.model_copy(update={"origin": {"subject": "person"}})
    made = build(part(own), tmp_path, blobs, key=KEY)
    first, second = rows(made, blobs)
    assert (first.licence, first.consent, first.collected) == ("CC-BY-4.0", "", "2026-03-01")
    assert first.metadata == {"subject": "Cards"}, "what says the origin is no label any more"
    assert impact(made, blobs, KEY, "anna schmidt") == [first.id]
    assert "Schmidt" not in str(first)
    assert (second.licence, second.subject) == ("", "")


def test_a_row_without_licence_or_basis_is_refused(tmp_path, blobs):
    desk = source(tmp_path, "desk", chat("Rate?"), chat("Fee?", metadata={"consent": "contract"}))
    bare = desk.model_copy(update={"consent": ""})
    made = build(part(bare), tmp_path, blobs, key=KEY)
    assert (sum(made.counts.values()), made.quarantined) == (1, 1)
    (refused,) = blobs.lines(made.quarantine)
    assert refused["reason"] == "neither the row nor its source names its consent"
    assert sum(build(part(bare, require=()), tmp_path, blobs, key=KEY).counts.values()) == 2


def test_rows_whose_licence_is_not_allowed_or_whose_consent_ended_are_left_out(tmp_path, blobs):
    until = {"consent": "newsletter until 2026-11-23"}
    lines = [chat("Rate?"), chat("Fee?", metadata=until), chat("Hours?", metadata={"licence": "GPL-3.0-only"})]
    desk = part(source(tmp_path, "desk", *lines), licences=("CC0-1.0",), consents=("contract", "newsletter"))
    day = build(desk, tmp_path, blobs, key=KEY, now=Now(today="2026-11-23"))
    assert day.left_out == {"the licence GPL-3.0-only is not among those allowed": 1}
    after = build(desk, tmp_path, blobs, key=KEY, previous=day, now=Now(today="2026-11-24"))
    assert after.left_out["the consent ended on 2026-11-23"] == 1
    assert sum(after.counts.values()) + sum(after.left_out.values()) == 3
    assert {line["line"] for line in blobs.lines(after.quarantine)} == {2, 3}
    narrow = desk.model_copy(update={"consents": ("newsletter",)})
    with pytest.raises(BadData, match="left out by a rule"):
        build(narrow, tmp_path, blobs, key=KEY, now=Now(today="2026-11-24"))


def test_the_forgotten_do_not_come_back(tmp_path, blobs):
    lines = [chat("I'm Anna Schmidt, rate?"), chat("Fee?"), chat("Hours?", metadata={"who": "Bob Miller"})]
    desk = source(tmp_path, "desk", *lines).model_copy(update={"origin": {"subject": "who"}})
    forgotten = frozenset({subject_key(KEY, "anna schmidt"), subject_key(KEY, "Bob Miller")})
    made = build(part(desk), tmp_path, blobs, key=KEY, now=Now(forgotten=forgotten))
    (kept,) = rows(made, blobs)
    assert kept.messages[0].content == "Fee?"
    assert made.left_out == {"a person in it was forgotten": 2}
    held = b"".join(path.read_bytes() for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    assert b"Schmidt" not in held


def test_tools_stay_with_their_row(tmp_path, blobs):
    tool = {"type": "function", "function": {"name": "balance", "description": "Ask Anna Schmidt", "parameters": {}}}
    desk = source(tmp_path, "desk", chat("Rate?", tools=[tool]), chat("Rate?"))
    made = build(part(desk), tmp_path, blobs, key=KEY)
    first, second = rows(made, blobs)
    assert first.tools[0]["function"]["name"] == "balance"
    assert "Schmidt" not in str(first.tools)
    assert (second.tools, made.duplicates) == ((), 0)


def test_the_bytes_of_a_version_are_for_ever(tmp_path, blobs):
    """Digests of before rows travelled between processes as lines: whoever changes them renames every dataset."""
    lines = [
        chat(f"Question {number} from Anna Schmidt?", f"Ünïcode \u2028 {number}", dialogue=f"d{number // 3}", n=1.5)
        for number in range(40)
    ]
    lines += [lines[3], chat("Rated?", "No."), chat("Question 3 from Bob Miller?", "Ünïcode \u2028 3")]
    made = build(part(source(tmp_path, "desk", *lines), near=0.9, detectors=()), tmp_path, blobs, key=KEY)
    assert (made.rows, made.subjects) == (
        "818ed0e6c79e83d0d508ca3359d5413e4ad4e5e769d29e77e7bc704c9097d7ae",
        "532b1e3b90b44b67b8408b599eefdfe8edd0fb2c4a34f658f232e1dcc2f0cd27",
    )


def test_memory_does_not_grow_with_what_is_read(tmp_path, blobs):
    """Of a row some 200 bytes stay in memory, whatever it says; a chunk of rows and a piece of a blob are in work."""
    import tracemalloc

    lines = [chat(f"{number} {'what ' * 3000}?", "So.", language="en") for number in range(1900)]
    desk = source(tmp_path, "desk", *lines)
    wanted = part(desk, scrubber="none", detectors=())
    build(wanted, tmp_path, blobs, key=KEY)
    tracemalloc.start()
    made = build(wanted, tmp_path, Blobs.open(tmp_path / "other"), key=KEY)
    assert sum(1 for _ in rows(made, Blobs.open(tmp_path / "other"))) == 1900
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 14e6 < 28e6 < (tmp_path / "desk.jsonl").stat().st_size
