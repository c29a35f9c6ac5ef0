"""The way back from placeholders to values, for those who hold its key: a file of sealed entries, one a dialogue.

An entry is AES-256-GCM over the JSON object {placeholder: value}, bound to its dataset and dialogue, so that it opens
nowhere else. Which entry is whose shows in the file only as a keyed hash. The key is 32 bytes in `keys/vault.key`
beside the workspace's other keys and in no backup of the data: whoever loses it has lost the mapping for good, as
nobody can draw it again; whoever destroys it has forgotten everyone at once.

Knows nothing of when a dialogue is scrubbed or who may look: that is for whoever calls.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from luthier.data.spans import PLACEHOLDER
from luthier.errors import Missing, Tampered
from luthier.records.data import Scrubbed
from luthier.store.files import writable

KEY = "vault.key"
NONCE = 12
"""Bytes drawn for each entry (NIST SP 800-38D)."""
BLOCK = 1 << 16
"""Bytes of the file that are looked through at once for the end of its last line."""
LOST = "restore it from a backup; without it the vault cannot be opened, by anybody"


def vault_key(keys: Path, *, create: bool = False) -> bytes:
    """The 32 bytes of the vault's key in the folder `keys`; with `create` drawn where there is none.

    Raises Missing where it is lost, Tampered where the file holds anything else.
    """
    path = keys / KEY
    if create and not path.exists():
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process drew it between the two lines
            return vault_key(keys)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
    try:
        key = path.read_bytes()
    except OSError as error:
        raise Missing(f"the vault's key {path} cannot be read: {error.strerror or error}", LOST) from error
    if len(key) != 32:
        raise Tampered(f"{path} holds {len(key)} bytes, and a key has 32", LOST)
    return key


def mapping(texts: Sequence[Scrubbed]) -> dict[str, str]:
    """Placeholder → the first spelling of what it stands for, from the scrubbed texts of one dialogue."""
    values: dict[str, str] = {}
    for text in texts:
        places, shift = list(text.found), 0
        for item in places:
            match = PLACEHOLDER.match(text.text, item.start + shift)
            if match:
                values.setdefault(match.group(), item.text)
                shift += len(match.group()) - (item.end - item.start)
    return values


class Vault:
    """The sealed entries in the file `path`, opened with `key` (32 bytes). One process at a time may write."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.key = key

    def name(self, dataset: str, dialogue: str) -> str:
        """What an entry is filed under: nothing can be read from it without the key."""
        return hmac.new(self.key, bound(dataset, dialogue), hashlib.sha256).hexdigest()[:32]

    def put(self, dataset: str, dialogue: str, values: Mapping[str, str]) -> None:
        """Seal the values of one dialogue and add them to the file; the latest entry of a dialogue counts."""
        self.stage(dataset, [(dialogue, self.sealed(dataset, dialogue, values))], again=True)
        self.commit()

    def stage(self, dataset: str, entries: Iterable[tuple[str, str]], *, again: bool = False) -> int:
        """Write (dialogue, sealed values) beside the file, ready for `commit`; how many are new.

        Unless `again`, an entry whose values are those of the dialogue's latest one is left out. What was staged before
        is dropped.
        """
        latest = {} if again else {bytes.fromhex(entry["name"]): place for place, entry in self.placed()}
        staged = 0
        with writable(self.staged), self.opened(self.staged) as file, self.reading() as known:
            for dialogue, sealed in entries:
                name = self.name(dataset, dialogue)
                place = latest.get(bytes.fromhex(name))
                if place is not None and known is not None:
                    known.seek(place)
                    before = json.loads(known.readline())["sealed"]
                    if self.open(before, dataset, dialogue) == self.open(sealed, dataset, dialogue):
                        continue
                file.write(json.dumps({"name": name, "sealed": sealed}).encode("ascii") + b"\n")
                staged += 1
            file.flush()
            os.fsync(file.fileno())
        return staged

    def commit(self) -> None:
        """Add what was staged to the file, for good: one write to the disk for all of it."""
        if not self.staged.exists():
            return
        with writable(self.path), os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.truncate(whole_lines(file))  # a crash may have left half a line
            file.seek(0, os.SEEK_END)
            with self.staged.open("rb") as staged:
                shutil.copyfileobj(staged, file)
            file.flush()
            os.fsync(file.fileno())
        self.staged.unlink()

    @property
    def staged(self) -> Path:
        """Entries of a build that is not recorded yet: who finds it may delete it, for the build is to be repeated."""
        return self.path.with_suffix(".staged.new")

    @staticmethod
    def opened(path: Path) -> IO[bytes]:
        """A new file for its owner alone."""
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    @contextmanager
    def reading(self) -> Iterator[IO[bytes] | None]:
        """The file, or None where there is none yet."""
        if not self.path.exists():
            yield None
            return
        with self.path.open("rb") as file:
            yield file

    def reveal(self, dataset: str, dialogue: str) -> dict[str, str]:
        """The values of one dialogue by placeholder; empty where it has none.

        Raises Tampered where an entry was changed, or was sealed with another key or for another dialogue.
        """
        name = self.name(dataset, dialogue)
        found = [entry["sealed"] for entry in self.entries() if entry["name"] == name]
        return self.open(found[-1], dataset, dialogue) if found else {}

    def open(self, entry: str, dataset: str, dialogue: str) -> dict[str, str]:
        """The values of a sealed entry. Raises Tampered."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            sealed = base64.b64decode(entry, validate=True)
            opened = AESGCM(self.key).decrypt(sealed[:NONCE], sealed[NONCE:], bound(dataset, dialogue))
        except (InvalidTag, ValueError) as error:
            raise Tampered(f"an entry of {self.path} does not open", "restore the vault from a backup") from error
        values: dict[str, str] = json.loads(opened)
        return values

    def restored(self, dataset: str, dialogue: str, texts: Iterable[str]) -> list[str]:
        """Texts of the dialogue with what stood there before; placeholders that the vault does not know stay."""
        return restored(texts, self.reveal(dataset, dialogue))

    def forget(self, gone: Iterable[tuple[str, str]]) -> int:
        """Remove the entries of these (dataset, dialogue) pairs from the file; how many there were."""
        names = {self.name(*pair) for pair in gone}
        count = 0
        beside = self.path.with_suffix(".new")
        with self.opened(beside) as file:
            for entry in self.entries():
                if entry["name"] in names:
                    count += 1
                else:
                    file.write(json.dumps(entry).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if count:
            beside.replace(self.path)
        else:
            beside.unlink()
        return count

    def sealed(self, dataset: str, dialogue: str, values: Mapping[str, str]) -> str:
        """The values, encrypted and bound to their dialogue: base64 of nonce and ciphertext."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE)
        plain = json.dumps(dict(sorted(values.items())), ensure_ascii=True).encode("ascii")
        return base64.b64encode(nonce + AESGCM(self.key).encrypt(nonce, plain, bound(dataset, dialogue))).decode(
            "ascii"
        )

    def entries(self) -> Iterator[dict[str, str]]:
        """The lines of the file; a last line that was cut off by a crash is left out. Raises Tampered for any other."""
        return (entry for _, entry in self.placed())

    def placed(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Where each entry begins in the file, and the entry."""
        with self.reading() as file:
            place = 0
            for number, line in enumerate(file or (), start=1):
                try:
                    entry = json.loads(line) if line.strip() else None
                except ValueError:
                    entry = False
                if isinstance(entry, dict) and {"name", "sealed"} <= entry.keys():
                    yield place, entry
                elif entry is not None and line.endswith(b"\n"):
                    raise Tampered(f"line {number} of {self.path} is no entry", "restore the vault from a backup")
                place += len(line)


def restored(texts: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Texts with what stood there before; `values` by what stands there now, placeholders or surrogates."""
    if not values:
        return list(texts)
    standing = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
    return [standing.sub(lambda match: values[match.group()], text) for text in texts]


def whole_lines(file: IO[bytes]) -> int:
    """Bytes of a file up to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0


def bound(dataset: str, dialogue: str) -> bytes:
    """Dataset and dialogue as bytes, so that no two pairs give the same."""
    return json.dumps([dataset, dialogue], ensure_ascii=True).encode("ascii")
