"""Writes requirements.lock: every package of every extra, pinned with its digests, but torch.

`python -m tools.lock` keeps pins that still fit; with `--upgrade` it takes the newest of everything. Torch is resolved
along (others ask for it) and left out (its build differs per machine), so pip has to find a CPU build of it: with
another one, NVIDIA's packages would be pinned for everybody.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pip._internal.models.link import Link
from piptools.repositories.pypi import PyPIRepository
from piptools.scripts.compile import cli

FLAGS = (
    "--quiet --extra=dev --no-build-isolation --generate-hashes --strip-extras --annotation-style=line --no-header "
    "--unsafe-package=torch --unsafe-package=pip --unsafe-package=luthier --no-emit-options --no-emit-index-url "
    "--no-emit-find-links --no-emit-trusted-host --output-file=requirements.lock pyproject.toml requirements.in"
)
LOCK = Path("requirements.lock")
HEAD = "# Written by `make lock`. Torch is not here: its build differs per machine.\n"
download_and_hash = PyPIRepository._get_file_hash


def digest(repository: PyPIRepository, link: Link) -> str:
    """The digest that the index states beside its link. pip-tools would download every build of every package."""
    return f"sha256:{link.hash}" if link.hash_name == "sha256" else download_and_hash(repository, link)


if __name__ == "__main__":
    PyPIRepository._get_file_hash = digest
    cli.main([*FLAGS.split(), *sys.argv[1:]], standalone_mode=False)
    pins, _, _ = LOCK.read_text(encoding="utf-8").partition("\n# WARNING")  # pip-tools misses torch and pip
    LOCK.write_text(HEAD + pins.removeprefix(HEAD), encoding="utf-8")
