"""Who may do what, as a table: what an auditor would ask for."""

from __future__ import annotations

from typing import get_args

import pytest

from luthier.access import ROLES, Principal, Right, known_roles, may_approve, may_read, require
from luthier.errors import BadConfig, Forbidden

RIGHTS = get_args(Right)
# A cross for each right that a role holds.
TABLE = """
role      chat evaluate train propose approve deploy review read audit admin
caller    x    .        .     .       .       .      .      .    .     .
reviewer  x    .        .     .       .       .      x      x    .     .
engineer  x    x        x     x       .       x      .      x    .     .
approver  x    .        .     .       x       .      .      x    .     .
auditor   .    .        .     .       .       .      .      x    x     .
admin     x    x        x     x       x       x      x      x    x     x
"""
HEAD, *LINES = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(line[0], right, mark == "x") for line in LINES for right, mark in zip(HEAD[1:], line[1:], strict=True)]


def test_the_table_is_whole() -> None:
    assert HEAD[1:] == list(RIGHTS)
    assert [line[0] for line in LINES] == list(ROLES)


@pytest.mark.parametrize(("role", "right", "held"), CELLS)
def test_a_role_holds_these_rights_and_no_others(role: str, right: Right, held: bool) -> None:
    principal = Principal("ada", (role,))
    if held:
        require(principal, right)
    else:
        with pytest.raises(Forbidden, match=f"ada may not {right}"):
            require(principal, right)


def test_two_roles_hold_the_rights_of_both() -> None:
    both = Principal("ada", ("reviewer", "auditor"))
    assert both.rights == ROLES["reviewer"] | ROLES["auditor"]


def test_nobody_without_a_role() -> None:
    assert Principal("ada", ()).rights == frozenset()


def test_the_mend_names_the_roles_that_would_do() -> None:
    with pytest.raises(Forbidden) as caught:
        require(Principal("ada", ("caller",)), "audit")
    assert caught.value.mend == "use a key with one of the roles: auditor, admin"


@pytest.mark.parametrize(
    ("reader", "document", "may"),
    [("public", "public", True), ("public", "staff", False), ("staff", "public", True), ("staff", "staff", True)],
)
def test_staff_texts_are_for_staff(reader: str, document: str, may: bool) -> None:
    assert may_read(reader, document) is may


def test_four_eyes() -> None:
    may_approve(Principal("bob", ("approver",)), "ada")
    with pytest.raises(Forbidden, match="ada proposed this model"):
        may_approve(Principal("ada", ("approver", "engineer")), "ada")
    with pytest.raises(Forbidden, match="cannot approve"):
        may_approve(Principal("ada", ("admin",)), "ada")  # no role is above it
    with pytest.raises(Forbidden, match="bob may not approve"):
        may_approve(Principal("bob", ("engineer",)), "ada")


def test_unknown_roles_are_refused() -> None:
    assert known_roles(["caller", "auditor"]) == ("caller", "auditor")
    with pytest.raises(BadConfig, match="no role is called 'root'"):
        known_roles(["caller", "root"])
