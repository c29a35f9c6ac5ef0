"""Signed tree heads: what the workspace vouches its log was, and the file of them that is kept elsewhere too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from luthier.errors import BadConfig
from luthier.records.base import Value, canonical
from luthier.store.files import replacing

CONTEXT = b"luthier tree head 1\n"
"""Goes before what is signed, so that a signature of one thing never passes for one of another."""


class SignedHead(NamedTuple):
    """The first `size` events of a ledger hash to `root`, says the holder of `key`."""

    size: int
    root: str
    """RFC 9162 tree head, hex."""
    at: str
    key: str
    """Ed25519 public key, hex."""
    signature: str
    """Of CONTEXT and the canonical JSON of the four fields above, hex."""

    def holds(self) -> bool:
        """Whether the signature is that of `key`, in its one spelling."""
        try:
            signature = bytes.fromhex(self.signature)
            signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key))
            signer.verify(signature, _signed(self.size, self.root, self.at, self.key))
        except (InvalidSignature, ValueError):
            return False
        return signature.hex() == self.signature


class _Line(Value):
    size: int
    root: str
    at: str
    key: str
    signature: str


def sign(size: int, root: str, at: str, secret: bytes) -> SignedHead:
    """A head signed with the Ed25519 key `secret` (32 bytes)."""
    signer = Ed25519PrivateKey.from_private_bytes(secret)
    key = public(secret)
    return SignedHead(size, root, at, key, signer.sign(_signed(size, root, at, key)).hex())


def public(secret: bytes) -> str:
    """The public half of a key, hex."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def read(path: Path) -> tuple[list[SignedHead], list[str]]:
    """The heads in a file of JSON lines, and a sentence for each line that is none. No file: no heads."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from error
    heads, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            heads.append(SignedHead(**_Line.model_validate_json(line, strict=True).model_dump()))
        except ValueError:
            problems.append(f"line {number} of {path.name} is no signed tree head")
    return heads, problems


def append(path: Path, heads: Iterable[SignedHead]) -> None:
    """Add those of `heads` that the file lacks. What stands there is kept, byte for byte."""
    there, _ = read(path)
    new = [canonical(head._asdict()) + b"\n" for head in dict.fromkeys(heads) if head not in there]
    if new:
        old = path.read_bytes() if path.exists() else b""
        with replacing(path) as file:
            file.writelines([old, *new])


def _signed(size: int, root: str, at: str, key: str) -> bytes:
    return CONTEXT + canonical({"size": size, "root": root, "at": at, "key": key})
