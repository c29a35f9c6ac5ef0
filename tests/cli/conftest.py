"""The command line in this process, through its own `main`: an error that is not ours fails the test by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from luthier.cli.main import main
from luthier.workflows.session import Session
from tests.workflows.making import World, project, world


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> str:
        """The sentence and its mend, as a person reads them."""
        assert "Traceback" not in self.err
        lines = self.err.strip().splitlines()
        assert lines[-1].startswith("→ "), "no mend"
        return "\n".join(lines[-2:])


Luthier = Callable[..., Said]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def luthier(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Luthier:
    for name in ("LUTHIER_KEY", "LUTHIER_PROJECT"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A project in which nothing was made yet."""
    return project(tmp_path / "bank")


@pytest.fixture
def made(bank: Path) -> World:
    """The project's workspace with everything in it, closed again."""
    opened = Session.open(bank)
    try:
        return world(opened)
    finally:
        opened.close()
