"""Who may do what. Pure: no clock, disk or network; the caller brings the principal.

A role is a set of rights. Documents have an audience and so has a caller: `public` text is for everybody,
`staff` text for staff alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from luthier.errors import BadConfig, Forbidden

Right = Literal["chat", "evaluate", "train", "propose", "approve", "deploy", "review", "read", "audit", "admin"]
Audience = Literal["public", "staff"]

ROLES: dict[str, frozenset[Right]] = {
    "caller": frozenset({"chat"}),
    "reviewer": frozenset({"chat", "read", "review"}),
    "engineer": frozenset({"chat", "read", "evaluate", "train", "propose", "deploy"}),
    "approver": frozenset({"chat", "read", "approve"}),
    "auditor": frozenset({"read", "audit"}),
    "admin": frozenset(get_args(Right)),
}


class Principal(NamedTuple):
    """Somebody who was recognised: by a key over HTTP, or as the owner of the workspace on its own machine."""

    name: str
    roles: tuple[str, ...]
    audience: Audience = "public"

    @property
    def rights(self) -> frozenset[Right]:
        return frozenset().union(*(ROLES[role] for role in self.roles))


def known_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """The roles as given, or BadConfig that lists the ones there are."""
    for role in roles:
        if role not in ROLES:
            raise BadConfig(f"no role is called {role!r}", f"there are: {', '.join(ROLES)}")
    return tuple(roles)


def require(principal: Principal, right: Right) -> None:
    """Raise Forbidden unless `principal` holds `right`."""
    if right not in principal.rights:
        holders = ", ".join(role for role, rights in ROLES.items() if right in rights)
        raise Forbidden(f"{principal.name} may not {right}", f"use a key with one of the roles: {holders}")


def may_read(reader: Audience, document: Audience) -> bool:
    """Whether somebody of audience `reader` may see a text meant for audience `document`."""
    return document == "public" or reader == "staff"


def may_approve(approver: Principal, proposer: str) -> None:
    """Raise Forbidden unless `approver` has the right and is somebody else than the proposer (four eyes)."""
    require(approver, "approve")
    if approver.name == proposer:
        raise Forbidden(
            f"{approver.name} proposed this model and cannot approve it", "ask somebody else with the role approver"
        )
