from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.store.merkle import (
    Tree,
    consistency_proof,
    consistent,
    includes,
    inclusion_proof,
    leaf_hash,
    root,
)

# The reference vectors of Certificate Transparency: eight inputs, and the tree head after each.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]
MANY = [leaf_hash(bytes([number])) for number in range(40)]


def test_the_reference_tree_heads() -> None:
    tree = Tree()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for size, leaf in enumerate(LEAVES, start=1):
        tree.add(leaf)
        assert tree.root().hex() == ROOTS[size - 1] == root(LEAVES[:size]).hex()


def test_the_reference_proofs() -> None:
    assert [node.hex()[:8] for node in inclusion_proof(LEAVES, 0)] == ["96a296d2", "5f083f0a", "6b47aaf2"]
    assert [node.hex()[:8] for node in consistency_proof(LEAVES[:5], 2)] == ["5f083f0a", "bc1a0643"]


@pytest.mark.parametrize("size", range(1, 41))
def test_every_leaf_is_proved_and_no_other(size: int) -> None:
    leaves, head = MANY[:size], root(MANY[:size])
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        assert includes(head, size, leaves[index], index, proof)
        assert not includes(head, size, leaves[index - 1], index, proof) or size == 1
        assert not includes(head, size, leaves[index], size, proof)
        assert not includes(head, size, leaves[index], index, [*proof, head])
        assert not includes(head, size, leaves[index], index, proof[:-1]) or size == 1


@pytest.mark.parametrize("size", range(1, 41))
def test_every_beginning_is_proved_and_no_other(size: int) -> None:
    new = (size, root(MANY[:size]))
    for old in range(1, size + 1):
        proof = consistency_proof(MANY[:size], old)
        assert consistent((old, root(MANY[:old])), new, proof)
        assert not consistent((old, root(MANY[1 : old + 1])), new, proof)
        assert not consistent((old, root(MANY[:old])), (size, MANY[0][::-1]), proof)
        assert not consistent((old, root(MANY[:old])), new, [*proof, MANY[0]])
        assert not consistent(new, (old, root(MANY[:old])), proof) or old == size


def test_nothing_is_a_beginning_of_everything() -> None:
    assert consistent((0, root([])), (3, root(MANY[:3])), [])
    assert not consistent((0, MANY[0]), (3, root(MANY[:3])), [])
    assert consistent((0, root([])), (0, root([])), [])


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_a_leaf_is_never_a_node(first: bytes, second: bytes) -> None:
    assert root([leaf_hash(first), leaf_hash(second)]) != leaf_hash(leaf_hash(first) + leaf_hash(second))


def test_a_changed_leaf_changes_every_later_head() -> None:
    heads = [root([*MANY[:3], MANY[39], *MANY[4:size]]) for size in range(5, 20)]
    assert all(head != root(MANY[:size]) for size, head in enumerate(heads, start=5))
    assert all(first != second for first, second in pairwise(heads))


@pytest.mark.parametrize("index", [-1, 3])
def test_a_proof_of_no_leaf_is_refused(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(MANY[:3], index)
    with pytest.raises(IndexError):
        consistency_proof(MANY[:3], 4 if index > 0 else 0)
