"""Merkle trees over a log, as RFC 9162 (Certificate Transparency 2.0) defines them. Pure: bytes in, bytes out.

A root of 32 bytes stands for every event so far, in order. Two short proofs come with it: that one event is in the
log (inclusion), and that a later log is an earlier one with more at its end (consistency).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry (section 2.1.1); the prefix keeps a leaf from passing for a node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree, of which only the roots of its full subtrees are kept: O(log n) memory, O(1) per leaf."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []
        """One for each bit set in `size`, the largest subtree first."""

    def add(self, leaf: bytes) -> None:
        """Append a leaf's hash."""
        peak, carry = leaf, self.size
        while carry & 1:
            peak = node_hash(self.peaks.pop(), peak)
            carry >>= 1
        self.peaks.append(peak)
        self.size += 1

    def root(self) -> bytes:
        """The tree head of the leaves so far."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        whole = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            whole = node_hash(peak, whole)
        return whole


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree head of `leaves`, which are leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings on the way from leaf `index` to the root, the lowest first (section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return [*inclusion_proof(leaves[:half], index), root(leaves[half:])]
    return [*inclusion_proof(leaves[half:], index - half), root(leaves[:half])]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The nodes that lead from the tree of the first `old` leaves to the tree of all of them (section 2.1.4.1)."""
    if not 0 < old <= len(leaves):
        raise IndexError(f"no earlier tree of {old} among {len(leaves)} leaves")
    return _subproof(leaves, old, True)


def _subproof(leaves: Sequence[bytes], old: int, known: bool) -> list[bytes]:
    """`known`: the verifier holds this subtree's old root already."""
    if old == len(leaves):
        return [] if known else [root(leaves)]
    half = split(len(leaves))
    if old <= half:
        return [*_subproof(leaves[:half], old, known), root(leaves[half:])]
    return [*_subproof(leaves[half:], old - half, False), root(leaves[:half])]


def includes(head: bytes, size: int, leaf: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that `leaf` is number `index` of the `size` leaves under `head` (section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == head


def consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the log under `new` begins with the one under `old` (section 2.1.4.2).

    Both are (size, head). Nothing is a beginning of everything, and then there is nothing to prove.
    """
    (first, first_head), (second, second_head) = old, new
    if first in (0, second):
        return not proof and (first_head == second_head if first == second else first_head == root([]))
    if first > second or not proof:
        return False
    path = [first_head, *proof] if first & (first - 1) == 0 else list(proof)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, node)
        place, last = place >> 1, last >> 1
    return last == 0 and before == first_head and after == second_head


def split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left subtree has."""
    return 1 << (size - 1).bit_length() - 1
