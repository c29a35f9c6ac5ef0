"""What no file of the project may hold: things left open, places of one machine, hosts of one network."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, name, pyproject

TEXT = {
    ".py",
    ".md",
    ".yaml",
    ".toml",
    ".j2",
    ".in",
    ".lock",
    ".txt",
    ".json",
    ".jsonl",
    ".html",
    ".css",
    ".js",
    ".cfg",
    "",
}
OPEN = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b|NotImplemented" + r"Error")
PLACES = re.compile(r"(?<![\w./:<-])/(work|root|tmp|farm|opt)/[\w.]")
"""Folders of somebody's machine. A path inside a URL, or a relative one, is none."""
HOSTS = re.compile(
    r"(?i)\b(files\.)?python" + r"hosted\.org|\bpypi\.(org|io)|\bindex-url\b.*https?:|\bregistry\.npm" + r"js\.org"
)
LIMIT = 1_000_000
"""Bytes of the largest file: the sample is data, weights are not."""


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in files() if path.suffix in TEXT]


@pytest.mark.parametrize(
    ("pattern", "what"), [(OPEN, "left open"), (PLACES, "a place of one machine"), (HOSTS, "a host of a registry")]
)
def test_no_file_holds(pattern: re.Pattern[str], what: str) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == [], what


def test_no_file_is_large() -> None:
    assert [name(path) for path in files() if path.stat().st_size > LIMIT] == []


def test_every_text_ends_with_a_line_end() -> None:
    assert [name(path) for path, text in texts() if text and not text.endswith("\n")] == []


def test_the_version_is_in_the_changelog_or_on_its_way() -> None:
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in page


def test_the_lock_pins_everything_but_torch() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0] for line in lines if re.match(r"[a-z0-9]", line)}
    assert all(
        re.match(r"[a-z0-9._-]+==\S+ \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$|    # via |#", line) for line in lines
    )
    assert not {pin for pin in pins if pin == "torch" or pin.startswith(("nvidia", "triton", "luthier"))}
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    wanted, open_extras, seen = [*project["dependencies"]], ["dev"], set()
    while open_extras:  # what developers and CI have; an extra for somebody else's server is nobody's lock
        extra = open_extras.pop()
        seen.add(extra)
        for each in extras[extra]:
            inner = re.match(r"luthier\[(.*)\]", each)
            open_extras += [name for name in inner[1].split(",") if name not in seen] if inner else []
            wanted.append(each)
    assert {"data", "models", "postgres", "search"} <= seen
    names = {re.split(r"[\[<>=!~; ]", each)[0].lower().replace("_", "-") for each in wanted}
    assert names - pins == {"torch", "luthier"}


def test_the_torch_that_is_installed_is_one_that_the_package_allows() -> None:
    """requirements.in pins torch for `make`; pyproject.toml says what works."""
    pinned = re.search(r"^torch==(\d+)\.(\d+)", (ROOT / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    models = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (lowest,) = (each.removeprefix("torch>=") for each in models["models"] if each.startswith("torch"))
    assert (int(pinned[1]), int(pinned[2])) >= tuple(int(part) for part in lowest.split("."))
