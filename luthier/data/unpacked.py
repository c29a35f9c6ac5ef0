"""A file's bytes as its readers want them: UTF-8, out of gzip where it is packed. Knows no rows.

UTF-16 is told by its byte order mark and brought to UTF-8 on the way; what is no character in it becomes bytes that are
no UTF-8 either, so that a reader refuses exactly the line in which it stands. Archives are not looked into.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from luthier.errors import BadData

LONGEST = 10_000_000
"""Bytes in a line."""
MARK = b"\xef\xbb\xbf"
"""The byte order mark that Windows puts before UTF-8."""
GZIP = b"\x1f\x8b"
ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\xfd7zXZ\x00": "packed with xz",
    b"BZh91AY&SY": "packed with bzip2",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
}
"""What files that are not unpacked begin with."""
TAR, TAR_AT = b"ustar", 257
RATIO = 200
"""Bytes that one packed byte may become. Logs come to 50; what comes to more was made to fill a disk."""
SLACK = 16_000_000
"""Bytes that may come out before the ratio counts."""
PIECE = 1 << 16
Bytes: TypeAlias = "io.BufferedReader[Any]"
"""An open file that can be peeked into."""
INVALID = b"\xff"
"""A byte that UTF-8 does not have."""


@contextmanager
def opened(path: Path) -> Iterator[Bytes]:
    """The bytes of `path`, without byte order mark. Raises BadData: unreadable, an archive, unpacks without end."""
    try:
        with io.BufferedReader(open(path, "rb", buffering=0), PIECE) as file:
            yield transcoded(inflated(file, path))
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from error


def inflated(file: Bytes, path: Path) -> Bytes:
    """`file` itself, or what is in it where it is gzip."""
    refuse_archive(file, path)
    if not file.peek(2).startswith(GZIP):
        return file
    inner = io.BufferedReader(Inflated(file, path), PIECE)
    refuse_archive(inner, path)
    if inner.peek(2).startswith(GZIP):
        raise BadData(f"{path} is packed twice", "unpack it once: gunzip FILE")
    return inner


def refuse_archive(file: Bytes, path: Path) -> None:
    """Raises BadData where `file` begins as an archive does: whose files are meant, nobody has said."""
    head = file.peek(TAR_AT + len(TAR))
    what = next((what for magic, what in ARCHIVES.items() if head.startswith(magic)), "")
    if head[TAR_AT:].startswith(TAR):
        what = "a tar archive"
    if what:
        raise BadData(
            f"{path} is {what}, and archives are not unpacked", "unpack it and name the file or folder inside"
        )


def transcoded(file: Bytes) -> Bytes:
    """`file` without its byte order mark, from UTF-16 to UTF-8 where the mark says so."""
    head = file.peek(3)
    if head.startswith(MARK):
        file.read(len(MARK))
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return io.BufferedReader(Transcoded(file), PIECE)
    return file


class Inflated(io.RawIOBase):
    """What is in a gzip file, within the ratio."""

    def __init__(self, packed: BinaryIO, path: Path) -> None:
        self.packed = packed
        self.path = path
        self.file = gzip.GzipFile(fileobj=packed)
        self.out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`. Raises BadData where the file is broken or grows beyond the ratio."""
        try:
            data = self.file.read1(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise BadData(f"{self.path} is broken gzip ({error})", "copy it again from where it came from") from error
        self.out += len(data)
        if self.out > SLACK and self.out > RATIO * self.packed.tell():
            raise BadData(
                f"{self.path} unpacks to more than {RATIO} times its size",
                "a file that does is made to fill a disk; if you trust it, unpack it yourself: gunzip FILE",
            )
        buffer[: len(data)] = data
        return len(data)


class Transcoded(io.RawIOBase):
    """UTF-16 as UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        self.left = b""
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`."""
        while not self.left and not self.ended:
            data = self.file.read(PIECE)
            self.ended = not data
            self.left = self.decoded(data)
        some, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(some)] = some
        return len(some)

    def decoded(self, data: bytes) -> bytes:
        """`data` in UTF-8; half a character at the end of the file as a byte that is none."""
        try:
            return self.decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return INVALID


def lines_in(file: Bytes) -> Iterator[tuple[int, bytes | None]]:
    """The lines of an open file without their ends, numbered from 1; None in place of one that is too long."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST and not line.endswith(b"\n"):
            while (more := file.readline(LONGEST)) and not more.endswith(b"\n"):
                pass
            yield number, None
            continue
        yield number, line.rstrip(b"\r\n")
