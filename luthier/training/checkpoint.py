"""Checkpoints that are whole or absent: written aside, digested, synced, renamed. No pickle.

A folder `step-000040` holds `state.safetensors` and `manifest.json` with its sha256 and the fingerprint of the run.
The newest valid one wins; a torn one is set aside with its reason; one of another recipe or dataset is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from luthier.errors import BadConfig, NoRoom
from luthier.store.files import sync

MANIFEST, STATE = "manifest.json", "state.safetensors"
KEEP = 2


class Checkpoint(NamedTuple):
    """Where a run stood after `step` steps."""

    step: int
    tensors: dict[str, torch.Tensor]


def save(folder: Path, step: int, tensors: dict[str, torch.Tensor], fingerprint: dict[str, str]) -> None:
    """Write the checkpoint of `step` below `folder`; a kill at any moment leaves the earlier ones as they were."""
    final, aside = folder / f"step-{step:06d}", folder / f".step-{step:06d}.part"
    for old in (aside, final):
        shutil.rmtree(old, ignore_errors=True)
    try:
        with writing(f"the checkpoint of step {step}", folder):
            aside.mkdir(parents=True)
            save_file(tensors, aside / STATE)
            manifest = Manifest(step, file_sha256(aside / STATE), fingerprint)
            (aside / MANIFEST).write_text(json.dumps(manifest._asdict(), indent=1), encoding="utf-8")
            for path in (aside / STATE, aside / MANIFEST, aside):
                sync(path)
            aside.rename(final)
            sync(folder)
    except NoRoom:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Say NoRoom, with the mend, where `what` cannot be written below `folder`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise NoRoom(
            f"{what} could not be written ({error})",
            f"make room at {folder} and run again: training goes on from its newest checkpoint",
        ) from error


def newest(folder: Path, fingerprint: dict[str, str]) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None. Torn ones are renamed to `torn-…` so that they can be looked at.

    Raises BadConfig where it belongs to another recipe, dataset, base or machine: naming what differs.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        manifest = read_manifest(path)
        if manifest is None:
            set_aside(path)
            continue
        other = manifest.fingerprint
        differs = [key for key in sorted({*fingerprint, *other}) if fingerprint.get(key) != other.get(key)]
        if differs:
            key = differs[0]
            raise BadConfig(
                f"{path} was written by another run: {key} was {other.get(key)} and is now {fingerprint.get(key)}",
                "start a new run, or restore what changed",
            )
        return Checkpoint(manifest.step, load_file(path / STATE))
    return None


class Manifest(NamedTuple):
    """What stands beside the state of a checkpoint."""

    step: int
    sha256: str
    fingerprint: dict[str, str]


def read_manifest(path: Path) -> Manifest | None:
    """The manifest, or None where it or the state that it names is torn."""
    try:
        manifest = Manifest(**json.loads((path / MANIFEST).read_text(encoding="utf-8")))
        whole = file_sha256(path / STATE) == manifest.sha256
    except (OSError, ValueError, TypeError):
        return None
    return manifest if whole else None


def set_aside(path: Path) -> None:
    """Rename a torn checkpoint so that it is never tried again."""
    target = path.with_name(path.name.replace("step-", "torn-"))
    shutil.rmtree(target, ignore_errors=True)
    path.rename(target)


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
