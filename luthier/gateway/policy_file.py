"""A policy's YAML file → ServingPolicy, checked as a whole before anybody is served by it. Knows no requests."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from luthier.errors import BadConfig
from luthier.gateway.policy import Fixed
from luthier.records.serving import Rule, ServingPolicy


def read_policy(path: Path) -> ServingPolicy:
    """The policy in `path`. Raises BadConfig that names the rule and what is wrong with it."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"the policy {path} cannot be read ({error})", "give the path of a UTF-8 YAML file") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise BadConfig(f"the policy {path} is not valid YAML: {where}", "mend the line that is named") from error
    if not isinstance(loaded, dict):
        raise BadConfig(f"the policy {path} holds no mapping", "begin it with: name: my-policy")
    policy = _valid(loaded, path)
    for problem, mend in _problems(policy):
        raise BadConfig(f"{path}: {problem}", mend)
    return policy


def _valid(loaded: dict[Any, Any], path: Path) -> ServingPolicy:
    rules = loaded.get("rules")
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, dict) and (True in rule or "on" in rule):
            raise BadConfig(
                f"{path}: rule {rule.get('id', '?')!r} has a key 'on', which YAML reads as true",
                "write side: input or side: output",
            )
    try:
        return ServingPolicy.model_validate(loaded)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{path}: {where}: {first['msg']}", _mend(str(first["loc"][-1]), first["type"])) from error


def _mend(key: str, kind: str) -> str:
    if kind != "extra_forbidden":
        return "see docs/policy.md for what may stand there"
    known = [*Rule.model_fields, *ServingPolicy.model_fields]
    near = get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _problems(policy: ServingPolicy) -> list[tuple[str, str]]:
    """What pydantic cannot see, with the mend."""
    problems: list[tuple[str, str]] = []
    seen: set[str] = set()
    for rule in policy.rules:
        if rule.id in seen:
            problems.append((f"two rules are called {rule.id!r}", "give each rule its own id"))
        seen.add(rule.id)
        if not (rule.patterns or rule.like or rule.entities):
            problems.append((f"rule {rule.id!r} can never fire", "give it patterns, like or entities"))
        if rule.action == "redact" and rule.like:
            problems.append((f"rule {rule.id!r} redacts by meaning", "a redacting rule takes patterns or entities"))
        problems += [
            (f"rule {rule.id!r}: the pattern {pattern!r} is no regular expression ({why})", "mend the pattern")
            for pattern in rule.patterns
            if (why := _broken(pattern))
        ]
    return problems + _missing_messages(policy)


def _broken(pattern: str) -> str:
    try:
        re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        return str(error)
    return ""


def _missing_messages(policy: ServingPolicy) -> list[tuple[str, str]]:
    actions = {rule.action for rule in policy.rules}
    kinds: list[Fixed] = [kind for kind in get_args(Fixed) if kind == "abstain" or kind in actions]
    return [
        (f"there is no message for {kind!r} in {language!r}", f"add it under messages: {kind}: {language}:")
        for kind in kinds
        for language in policy.languages
        if not policy.messages.get(kind, {}).get(language, "").strip()
    ]
