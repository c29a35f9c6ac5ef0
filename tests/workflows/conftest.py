from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from luthier.workflows.session import Session
from tests.workflows.making import project


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is such a folder: a ledger syncs for every record."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session.open(project(tmp_path / "bank"))
    yield opened
    opened.close()
