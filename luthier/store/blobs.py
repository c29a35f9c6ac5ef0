"""Blobs: bytes named by their sha256, in a local folder (`ab/abcdef…`) or a bucket. Knows nothing of their meaning.

Nothing is handed out before it was held against its name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile, gettempdir
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from luthier.errors import BadConfig, BadData, Tampered, Unavailable, UnknownName
from luthier.store.files import FULL, no_room, replacing, sync, writable
from luthier.store.json_lines import encoded

DIGEST = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20
"""Bytes read at once."""
SMALL = 16 * CHUNK
"""Bytes of a blob in a bucket that wait in memory; more wait in a temporary file."""


class Readable(Protocol):
    """A file of bytes, open at its beginning."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readinto(self, buffer: bytearray, /) -> int: ...
    def readable(self) -> bool: ...
    def seek(self, offset: int, /) -> int: ...


class Blobs:
    """A store of bytes. Open it with a folder or a URL (s3://, gs://, az://, file://)."""

    def __init__(self, store: Any, where: str, folder: Path | None = None) -> None:
        self.store = store
        self.where = where
        self.folder = folder
        """Where the blobs lie, if that is on this machine."""

    @classmethod
    def open(cls, where: Path | str) -> Blobs:
        """The blobs in a local folder (made where it is missing), or in the bucket of a URL."""
        if isinstance(where, str) and where.startswith("file://"):
            where = Path(unquote(urlsplit(where).path))
        if isinstance(where, Path):
            with _understood(where), writable(where):
                return cls(LocalStore(where, mkdir=True), str(where), where)
        try:
            retry: Any = {"max_retries": 4}
            return cls(from_url(where, retry_config=retry), where)
        except (ValueError, BaseError) as error:
            raise BadConfig(
                f"no blobs can be kept at {where!r} ({_first_line(error)})", "write it like s3://bucket/folder"
            ) from error

    def put(self, data: bytes) -> str:
        """Keep `data` and return its digest; once, however often it is put."""
        return self._keep(BytesIO(data), "the data")

    def put_file(self, path: Path) -> str:
        """Keep a file's bytes. Raises BadData where it cannot be read or changes while it is."""
        try:
            with path.open("rb") as file:
                return self._keep(file, str(path))
        except OSError as error:
            raise BadData(
                f"{path} cannot be read: {error.strerror or error}", "check the path and its rights"
            ) from error

    def put_lines(self, lines: Iterable[dict[str, Any]]) -> str:
        """Keep JSON data as lines of JSON, keys sorted: equal data has one digest."""
        return self.put_encoded(map(encoded, lines))

    def put_encoded(self, lines: Iterable[bytes]) -> str:
        """Keep lines of JSON that are `encoded` already, without their ends."""
        with TemporaryFile() as file:  # unnamed, so nothing of it can be left behind
            for line in lines:
                with writable(Path(gettempdir())):
                    file.write(line + b"\n")
            with writable(Path(gettempdir())):
                file.seek(0)
            return self._keep(file, "the lines")

    def get(self, digest: str) -> bytes:
        """The bytes of that name. Raises UnknownName where there are none, Tampered where they are others."""
        return b"".join(self.chunks(digest))

    def lines(self, digest: str) -> Iterator[dict[str, Any]]:
        """The JSON lines of a blob, which is read whole first: no line leaves before all are known to be right.

        Memory does not grow with the blob: it is hashed where it lies and then read again; one that lies elsewhere
        waits in a temporary file meanwhile.
        """
        with self._right(digest) as file:
            for line in file:
                yield json.loads(line)

    def fetch(self, digest: str, to: Path) -> None:
        """Write a blob to the file `to`, replacing it whole or not at all."""
        with writable(to):
            to.parent.mkdir(parents=True, exist_ok=True)
        with replacing(to) as file:
            file.writelines(self.chunks(digest))

    def has(self, digest: str) -> bool:
        """Whether there is a blob of that name; its bytes are not looked at."""
        try:
            with _understood(self.where):
                obstore.head(self.store, _path(digest))
        except FileNotFoundError:
            return False
        return True

    def delete(self, digest: str) -> None:
        """Delete a blob; one that is not there is no error."""
        try:
            with _understood(self.where):
                obstore.delete(self.store, _path(digest))
        except FileNotFoundError:
            pass

    def all(self) -> Iterator[str]:
        """The digest of every blob, in no order."""
        with _understood(self.where):
            for some in obstore.list(self.store):
                for each in some:
                    digest = each["path"].rpartition("/")[2]
                    if DIGEST.fullmatch(digest) and each["path"] == _path(digest):
                        yield digest

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob piece by piece; Tampered comes in place of the end where the bytes are not those of the name."""
        hashed = hashlib.sha256()
        try:
            with _understood(self.where):
                for chunk in obstore.get(self.store, _path(digest)).stream(min_chunk_size=CHUNK):
                    data = bytes(chunk)
                    hashed.update(data)
                    yield data
        except FileNotFoundError as error:
            raise _nowhere(digest) from error
        if hashed.hexdigest() != digest:
            raise _other(digest)

    def sweep(self, older_than: float = 86400) -> int:
        """Remove what killed writers left half-written more than `older_than` seconds ago; how many files."""
        stale = [] if self.folder is None else [*self.folder.glob("*/*#*")]
        stale = [path for path in stale if path.stat().st_mtime < time.time() - older_than]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    @contextmanager
    def _right(self, digest: str) -> Iterator[IO[bytes]]:
        """A blob as a file at its beginning, its bytes held against its name already."""
        if self.folder is None:
            with SpooledTemporaryFile(SMALL) as spooled:
                with writable(Path(gettempdir())):
                    spooled.writelines(self.chunks(digest))
                    spooled.seek(0)
                yield spooled
            return
        try:
            file = (self.folder / _path(digest)).open("rb")
        except FileNotFoundError as error:
            raise _nowhere(digest) from error
        except OSError as error:
            raise Unavailable(
                f"the blob store {self.where} does not answer: {error.strerror}", "check the folder and its rights"
            ) from error
        with file:  # a blob is replaced whole, so what this handle reads stays what was hashed
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise _other(digest)
            file.seek(0)
            yield file

    def _keep(self, file: Readable, called: str) -> str:
        """Hash `file`, then store it under its hash, unless good bytes stand there already."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            for _ in self.chunks(digest):
                pass
            return digest
        except (UnknownName, Tampered):  # not there, or damaged: then this mends it
            file.seek(0)
        with _understood(self.where):
            obstore.put(self.store, _path(digest), _checked(file, digest, called), chunk_size=8 * CHUNK)
        if self.folder is not None:
            path = self.folder / _path(digest)
            with writable(path):
                for each in (path, path.parent, self.folder):
                    sync(each)
        return digest


def _checked(file: Readable, digest: str, called: str) -> Iterator[bytes]:
    """The chunks of `file`, or BadData at their end where they no longer hash to `digest`: nothing is stored then."""
    hashed = hashlib.sha256()
    while chunk := file.read(CHUNK):
        hashed.update(chunk)
        yield chunk
    if hashed.hexdigest() != digest:
        raise BadData(f"{called} changed while it was read", "wait until it is written, then repeat")


def _nowhere(digest: str) -> UnknownName:
    mend = "it was erased, or the folder of blobs is not whole: run: luthier audit verify"
    return UnknownName(f"there is no blob {digest[:12]}", mend)


def _other(digest: str) -> Tampered:
    return Tampered(f"blob {digest[:12]} does not hold the bytes of its name", "restore it from a backup")


def _path(digest: str) -> str:
    """Where a blob lies; UnknownName for a digest that is none, so that no name leads out of the store."""
    if not DIGEST.fullmatch(digest):
        raise UnknownName(f"{digest[:80]!r} is no blob's name", "a blob is named by 64 hexadecimal digits")
    return f"{digest[:2]}/{digest}"


@contextmanager
def _understood(where: Any) -> Iterator[None]:
    """Turn the object store's errors into ours. FileNotFoundError passes: what it means is for the caller to say."""
    try:
        yield
    except BaseError as error:
        said = str(error)
        if any(f"os error {number})" in said for number in FULL):
            raise no_room(where) from error
        raise Unavailable(
            f"the blob store {where} does not answer: {_first_line(error)}", "check its URL, the rights and the network"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
