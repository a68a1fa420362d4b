import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import merkle

# The eight leaves of the Certificate Transparency reference tests, and what their trees come to.
REFERENCE = [
    bytes.fromhex(x)
    for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
REFERENCE_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(entries[:k]) + by_definition(entries[k:])).digest()


@pytest.mark.parametrize("size", REFERENCE_ROOTS)
def test_the_reference_trees(size: int) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in REFERENCE[:size]]
    assert merkle.root(merkle.frontier_of(leaves)).hex() == REFERENCE_ROOTS[size]


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_appending_gives_the_tree_of_the_definition(entries: list[bytes]) -> None:
    frontier = merkle.frontier_of([merkle.leaf_hash(entry) for entry in entries])
    assert merkle.root(frontier) == by_definition(entries)
    assert merkle.unpack(merkle.pack(frontier)) == frontier
    assert len(frontier) == len(entries).bit_count()


@given(st.integers(1, 70), st.data())
def test_a_proof_shows_its_leaf_at_its_place_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(size)]
    root = merkle.root(merkle.frontier_of(leaves))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(leaves, index)
    assert merkle.includes(leaves[index], index, size, proof, root)
    for other in set(range(size)) - {index}:
        assert not merkle.includes(leaves[other], index, size, proof, root)
        assert not merkle.includes(leaves[index], other, size, proof, root)
    assert not merkle.includes(leaves[index], index, size, [*proof, root], root)
    if proof:
        assert not merkle.includes(leaves[index], index, size, proof[:-1], root)


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_of_what_is_not_there(index: int) -> None:
    leaves = [bytes(32)] * 3
    with pytest.raises(IndexError):
        merkle.inclusion_proof(leaves, index)
    assert not merkle.includes(leaves[0], index, 3, [], merkle.root(merkle.frontier_of(leaves)))
