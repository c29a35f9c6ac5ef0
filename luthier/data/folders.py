"""Folders as sources: their files in a fixed order, nothing from outside, and one digest for all.

Knows no format. Version control, caches and installed packages are nobody's
data: folders of these names are passed over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from luthier.errors import BadData

PASSED_OVER = frozenset(
    {".git", ".hg", ".svn", ".cache", "__pycache__", "node_modules", ".venv", "venv", ".tox", ".idea"}
)
LEADS_OUT = "the link leads out of the folder"


class Entry(NamedTuple):
    """A file of a folder: its name below the folder, with slashes, and why it may not be read, if so."""

    name: str
    path: Path
    refused: str = ""


def files_at(path: Path) -> Iterator[Entry]:
    """The files of a folder, or the one file that `path` is. Raises BadData where there is neither."""
    if path.is_dir():
        yield from files_in(path)
    elif path.is_file():
        yield Entry(path.name, path)
    else:
        raise BadData(f"{path} cannot be read: there is no such file or folder", "check the path and its rights")


def files_in(folder: Path) -> Iterator[Entry]:
    """Every file below `folder`, sorted by name; links that leave it, or lead nowhere, are refused, none is followed
    to another folder. Raises BadData where it cannot be read."""
    try:
        root = folder.resolve(strict=True)
        with os.scandir(root):
            pass
    except OSError as error:
        raise BadData(f"{folder} cannot be read: {error.strerror or error}", "check the path and its rights") from error
    unread: list[str] = []
    for where, folders, names in os.walk(root, onerror=lambda error: unread.append(str(error.filename))):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER)
        here = Path(where)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *linked]):
            path = here / name
            shown = path.relative_to(root).as_posix()
            if path.is_symlink() and not inside(path, root):
                yield Entry(shown, path, LEADS_OUT)
            elif path.is_file():
                yield Entry(shown, path)
    for lost in unread:
        yield Entry(os.path.relpath(lost, root), Path(lost), "the folder cannot be read")


def inside(path: Path, root: Path) -> bool:
    """Whether a link leads to something below `root`."""
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def printable(name: str) -> str:
    """A file's name as text that can be stored: bytes that are no UTF-8 are shown as such."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def folder_digest(folder: Path) -> str:
    """sha256 over the names and contents of the files of a folder. Raises BadData where one cannot be read."""
    whole = hashlib.sha256()
    for entry in files_in(folder):
        if entry.refused:
            whole.update(f"{entry.refused}\0{printable(entry.name)}\n".encode())
            continue
        try:
            with entry.path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BadData(f"{entry.path} cannot be read: {error.strerror or error}", "check its rights") from error
        whole.update(f"{content}\0{printable(entry.name)}\n".encode())
    return whole.hexdigest()
