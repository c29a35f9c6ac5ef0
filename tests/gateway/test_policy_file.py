from __future__ import annotations

from pathlib import Path

import pytest

import luthier
from luthier.errors import BadConfig
from luthier.gateway.policy_file import read_policy

GOOD = """
name: desk
languages: [en]
rules:
  - {id: a, side: input, action: refuse, patterns: ['\\bsecret\\b']}
messages:
  refuse: {en: No.}
  abstain: {en: Not found.}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_policy(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, GOOD))
    assert (policy.name, policy.rules[0].id, policy.citations) == ("desk", "a", "required")


def test_reads_the_sample() -> None:
    policy = read_policy(Path(luthier.__file__).parent / "sample" / "policy.yaml")
    assert len(policy.rules) == 12
    assert policy.languages == ("en", "de", "es")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("side: input", "on: input", "write side: input"),
        ("patterns:", "pattern:", "did you mean 'patterns'?"),
        ("\\bsecret\\b", "(secret", "'a': the pattern '(secret' is no regular expression"),
        ("patterns: ['\\bsecret\\b']", "why: no reason", "can never fire"),
        ("action: refuse", "action: block", "rules.0.action"),
        ("abstain: {en: Not found.}", "abstain: {de: Nein.}", "no message for 'abstain' in 'en'"),
        ("refuse: {en: No.}", "refuse: {en: ' '}", "no message for 'refuse' in 'en'"),
        ("rules:", "rules:\n  - {id: a, side: output, action: redact, entities: [IBAN]}", "two rules are called 'a'"),
        ("patterns: ['\\bsecret\\b']", "like: [x]", None),
        ("action: refuse, patterns: ['\\bsecret\\b']", "action: redact, like: [x]", "redacts by meaning"),
        ("name: desk", "- name", "is not valid YAML"),
        (GOOD, "just words", "holds no mapping"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, old: str, new: str, says: str | None) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    if says is None:
        assert read_policy(path)
        return
    with pytest.raises(BadConfig, match="policy") as caught:
        read_policy(path)
    assert says in str(caught.value)
    assert caught.value.mend


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        read_policy(tmp_path / "none.yaml")
