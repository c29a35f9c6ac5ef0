"""Identity: one name for one content, whatever is added to a record later."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from luthier.records.base import Made, canonical, happening_id, sha256, short


class Before(Made):
    """A record as it was."""

    kind: ClassVar[str] = "thing"
    name: str
    size: int = 3


class After(Made):
    """The same kind, two fields later."""

    kind: ClassVar[str] = "thing"
    name: str
    size: int = 3
    colour: str | None = None
    tags: tuple[str, ...] = ()


def test_canonical_json_has_one_spelling() -> None:
    assert canonical({"b": 1.0, "a": [True, None, "ü\n"]}) == '{"a":[true,null,"ü\\n"],"b":1}'.encode()


def test_sha256_of_nothing() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_equal_content_is_the_same_thing() -> None:
    assert Before(name="x").id == Before(name="x", size=3).id
    assert Before(name="x").id == "thing-" + sha256(b'{"name":"x"}')
    assert Before(name="x").id != Before(name="x", size=4).id


def test_a_field_added_later_renames_nothing() -> None:
    assert After(name="x").id == Before(name="x").id
    assert After(name="x", colour="red").id != Before(name="x").id


def test_records_are_frozen_and_closed() -> None:
    record = Before(name="x")
    with pytest.raises(ValidationError, match="frozen"):
        record.name = "y"
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Before.model_validate({"name": "x", "nmae": "y"})


def test_happening_id_is_a_ulid() -> None:
    assert happening_id("run", 1_800_000_000_000, bytes(range(10))) == "run-01mcc5rm00000g40r40m30e209"


@given(some.integers(0, 2**48 - 1), some.integers(0, 2**48 - 1), some.binary(min_size=10, max_size=16))
def test_happenings_sort_by_their_moment(first: int, second: int, entropy: bytes) -> None:
    ids = [happening_id("run", moment, entropy) for moment in (first, second)]
    assert (ids[0] < ids[1]) is (first < second)
    assert all(len(one) == 30 for one in ids)


def test_short_ids() -> None:
    assert short(f"model-{'a' * 64}") == "model-aaaaaaaaaaaa"
    assert short("run-00jd1m8k5c0123456789abcdef") == "run-00jd1m8k5c0123456789abcdef"
