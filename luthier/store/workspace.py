"""The workspace: one folder that holds an assistant's whole memory, or says where the rest of it is.

.luthier/ledger.db          records, lineage, events (or PostgreSQL by LUTHIER_LEDGER_URL)
         checkpoints.jsonl  signed tree heads, to be copied elsewhere
         traces.db          answers, with a retention
         blobs/ab/abcdef…   bytes by digest (or a bucket by LUTHIER_BLOBS_URL)
         keys/              what signs the tree heads, and what hides people's names
         signing.pub        what the tree heads are checked with
         lock               who is at work
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import TracebackType

from sqlalchemy.engine import URL

from luthier.errors import BadConfig, Missing, Tampered
from luthier.store import heads, lock, schema
from luthier.store.blobs import Blobs
from luthier.store.database import connect
from luthier.store.files import replacing, writable
from luthier.store.ledger import Ledger
from luthier.store.traces import Traces

FOLDER = Path(".luthier")
KEYS = ("signing", "pseudonym")


class Workspace:
    """An open workspace. Threads may share it; a process that forks opens its own."""

    def __init__(self, folder: Path, ledger: Ledger, blobs: Blobs, traces: Traces) -> None:
        self.folder = folder
        self.ledger = ledger
        self.blobs = blobs
        self.traces = traces

    @classmethod
    def open(
        cls, folder: Path = FOLDER, *, create: bool = False, ledger_url: str | None = None, blobs_url: str | None = None
    ) -> Workspace:
        """The workspace in `folder`; with `create`, made where there is none, and kept as it is where there is one.

        Raises BadConfig where it is no workspace or one of another version, Tampered where it is damaged.
        """
        folder = Path(folder).resolve()
        ledger_url = ledger_url or os.environ.get("LUTHIER_LEDGER_URL")
        blobs_url = blobs_url or os.environ.get("LUTHIER_BLOBS_URL")
        if create:
            with writable(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with lock.held(folder / ".create", "creating it", wait=True):
                make_keys(folder)
                return cls._open(folder, ledger_url, blobs_url, create=True)
        if not folder.is_dir() or not (ledger_url or (folder / "ledger.db").is_file()):
            raise BadConfig(
                f"{folder} is not a Luthier workspace", "`luthier data build` makes one beside luthier.yaml"
            )
        return cls._open(folder, ledger_url, blobs_url, create=False)

    @classmethod
    def _open(cls, folder: Path, ledger_url: str | None, blobs_url: str | None, *, create: bool) -> Workspace:
        ledger = connect(ledger_url or URL.create("sqlite", database=str(folder / "ledger.db")))
        traces = connect(URL.create("sqlite", database=str(folder / "traces.db")), erasable=True)
        try:
            schema.prepare(ledger, schema.LEDGER, create=create)
            schema.prepare(traces, schema.TRACES, create=True)  # it may be new: traces have a retention
            blobs = Blobs.open(blobs_url or folder / "blobs")
        except BaseException:
            ledger.dispose()
            traces.dispose()
            raise
        return cls(folder, Ledger(ledger), blobs, Traces(traces))

    @cached_property
    def pseudonym_key(self) -> bytes:
        """32 bytes that turn people's names into pseudonyms: whoever has them can guess a name and check."""
        return read_key(self.folder / "keys" / "pseudonym.key")

    @cached_property
    def signing_key(self) -> bytes:
        """The 32 bytes of the Ed25519 key that signs tree heads."""
        return read_key(self.folder / "keys" / "signing.key")

    @cached_property
    def public_key(self) -> str:
        """The public half of it, hex: an auditor needs no more."""
        path = self.folder / "signing.pub"
        try:
            return path.read_text("ascii", "replace").strip()
        except OSError as error:
            mend = "restore it from a backup; every line of checkpoints.jsonl names the key too"
            raise Missing(f"{path} cannot be read: {error.strerror}", mend) from error

    def lock(self, purpose: str) -> AbstractContextManager[None]:
        """Hold the workspace for work that must not be done twice at once; raises Busy that names who is at it."""
        return lock.held(self.folder / "lock", purpose)

    def close(self) -> None:
        """Let the databases go. Whatever was put is on the disk already."""
        self.ledger.engine.dispose()
        self.traces.engine.dispose()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def make_keys(folder: Path) -> None:
    """Draw the keys of a new workspace, readable by their owner alone; last of all, lay out the public one.

    Where that one is there already, none is drawn: a lost key is restored, not replaced. What the old one made
    could no longer be checked or found.
    """
    if (folder / "signing.pub").exists():
        return
    with writable(folder / "keys"):
        (folder / "keys").mkdir(mode=0o700, exist_ok=True)
    for called in KEYS:
        path = folder / "keys" / f"{called}.key"
        if not path.exists():
            with replacing(path, mode=0o600) as file:
                file.write(os.urandom(32))
    with replacing(folder / "signing.pub") as file:
        file.write(heads.public(read_key(folder / "keys" / "signing.key")).encode())


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror or error}", "restore the key from a backup") from error
    if len(key) != 32:
        raise Tampered(f"{path} holds {len(key)} bytes, and a key has 32", "restore the key from a backup")
    return key
