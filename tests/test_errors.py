"""The error tree: numbers, words, and the way through a pickle or a child's last line."""

from __future__ import annotations

import pickle

import pytest

from luthier import errors
from luthier.errors import LuthierError, as_dict, from_dict

# As the drawing at the head of errors.py has it.
TREE = {
    "BadConfig": ("LuthierError", 1, 400),
    "UnknownName": ("BadConfig", 1, 404),
    "BadData": ("LuthierError", 1, 422),
    "Missing": ("LuthierError", 1, 424),
    "Busy": ("LuthierError", 2, 409),
    "RunFailed": ("LuthierError", 2, 500),
    "NoRoom": ("RunFailed", 2, 507),
    "Unavailable": ("LuthierError", 2, 503),
    "GateFailed": ("LuthierError", 3, 412),
    "NeedsApproval": ("LuthierError", 4, 403),
    "Forbidden": ("NeedsApproval", 4, 403),
    "Tampered": ("LuthierError", 6, 409),
}
ALL = {name: value for name, value in vars(errors).items() if isinstance(value, type)}


def test_tree_is_whole() -> None:
    assert set(ALL) == {"LuthierError", *TREE}
    assert all(name in (errors.__doc__ or "") for name in TREE)


@pytest.mark.parametrize(("name", "expected"), TREE.items())
def test_each_error_has_its_parent_exit_code_and_status(name: str, expected: tuple[str, int, int]) -> None:
    error = ALL[name]
    assert (error.__base__.__name__, error.exit_code, error.http_status) == expected


@pytest.mark.parametrize("name", ALL)
def test_each_error_pickles_and_travels_as_json(name: str) -> None:
    error = ALL[name]("the disk is full", "free some space")
    for copy in (pickle.loads(pickle.dumps(error)), from_dict(as_dict(error))):
        assert type(copy) is ALL[name]
        assert (copy.what, copy.mend) == ("the disk is full", "free some space")


def test_words() -> None:
    assert str(LuthierError("it broke", "mend it")) == "it broke: mend it"
    assert str(LuthierError("it broke")) == "it broke"


@pytest.mark.parametrize("name", ["SomethingNew", "annotations", "as_dict"])
def test_an_error_of_an_unknown_type_keeps_its_words(name: str) -> None:
    error = from_dict({"type": name, "what": "w", "mend": "m"})
    assert type(error) is LuthierError
    assert error.what == "w"
