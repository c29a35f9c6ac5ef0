"""The policy decision: a text and a policy in, a decision out. Pure: no clock, disk, network or model.

Rules are looked at in their order and the first that fires decides; those that redact come after those that end the
exchange, so that a message is not let in because its card number was blacked out. What needs a model is brought by
the caller: how near the text is in meaning to a rule's examples, and the personal data that was found in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from luthier.gateway.plain import for_patterns, without_accents
from luthier.records.data import Found
from luthier.records.serving import Decision, Rule, ServingPolicy

Side = Literal["input", "output"]
Fixed = Literal["refuse", "escalate", "abstain"]


class Near(NamedTuple):
    """How near a text is to a rule's `like` sentences and to the harmless ones, from 0 (not at all) to 1."""

    like: float
    unlike: float


def decide(
    text: str,
    policy: ServingPolicy,
    side: Side,
    nearness: Mapping[str, tuple[float, float]] | None = None,
    found: Sequence[Found] = (),
) -> Decision | None:
    """What the first rule of `side` that fires on `text` decides, or None where all let it pass.

    `nearness` has (like, unlike) by rule id; a rule that it lacks is judged by its patterns and entities alone.
    """
    forms = _forms(text)
    for rule in sorted(_of(policy, side), key=lambda rule: rule.action == "redact"):
        evidence = _evidence(rule, forms, (nearness or {}).get(rule.id), found)
        if evidence:
            return Decision(rule=rule.id, action=rule.action, side=side, why=rule.why, evidence=evidence)
    return None


def matches(rule: Rule, text: str) -> bool:
    """Does one of the rule's patterns stand in `text`? Also with accents left out on both sides."""
    return _matches(rule, _forms(text))


def spans(policy: ServingPolicy, side: Side, text: str, found: Sequence[Found]) -> tuple[Found, ...]:
    """What the redacting rules of `side` take out of `text`: their entities, and whatever their patterns match."""
    named: list[Found] = []
    for rule in (rule for rule in _of(policy, side) if rule.action == "redact"):
        named += [item for item in found if item.type in rule.entities]
        for pattern in rule.patterns:
            hits = _compiled(pattern).finditer(text)
            named += [Found(hit.start(), hit.end(), rule.id.upper(), hit[0]) for hit in hits if hit[0]]
    return tuple(sorted(set(named)))


def fixed_text(policy: ServingPolicy, kind: Fixed, language: str) -> str:
    """The policy's fixed words in `language`; where it has none, in its first language that does."""
    texts = policy.messages.get(kind, {})
    for wanted in (language, *policy.languages):
        if wanted in texts:
            return texts[wanted]
    return next(iter(texts.values()), "I cannot answer this.")


def _of(policy: ServingPolicy, side: Side) -> list[Rule]:
    return [rule for rule in policy.rules if rule.side == side]


def _evidence(rule: Rule, forms: tuple[str, str], near: tuple[float, float] | None, found: Sequence[Found]) -> str:
    """Why `rule` fires, without a word of the text itself; empty where it does not."""
    if _matches(rule, forms):
        return "pattern"
    if near and near[0] >= rule.threshold and near[0] > near[1]:
        return f"meaning {near[0]:.2f}"
    return ", ".join(sorted({item.type for item in found if item.type in rule.entities}))


def _forms(text: str) -> tuple[str, str]:
    """`text` as patterns see it, and once more without accents."""
    plain = for_patterns(text)
    return plain, without_accents(plain)


def _matches(rule: Rule, forms: tuple[str, str]) -> bool:
    plain, bare = forms
    return any(
        _compiled(pattern).search(plain) or _compiled(without_accents(pattern)).search(bare)
        for pattern in rule.patterns
    )


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
