"""Merkle trees of RFC 9162 §2.1 over SHA-256, appended to without keeping the leaves.

A *frontier* is the roots of the perfect subtrees that a tree of `size` leaves falls into, largest first: one hash per
bit that is set in `size`. Appending merges its tail; folding it from the right gives the root.
"""

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Of many: without a call for each."""
    sha256 = hashlib.sha256
    return [sha256(b"\0" + entry).digest() for entry in entries]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def append(frontier: Sequence[bytes], size: int, leaf: bytes) -> list[bytes]:
    """The frontier of the tree of `size + 1` leaves."""
    return extend(frontier, size, (leaf,))


def extend(frontier: Sequence[bytes], size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The frontier of the tree of `size` and these leaves, in order."""
    grown, at = list(frontier), 0
    while at < len(leaves):
        block = 1 << ((len(leaves) - at).bit_length() - 1)  # the largest perfect subtree that begins here
        if size:
            block = min(block, size & -size)
        grown.append(_perfect_root(leaves[at : at + block]))
        beside = size // block
        while beside & 1:
            right = grown.pop()
            grown[-1] = _node(grown[-1], right)
            beside >>= 1
        size, at = size + block, at + block
    return grown


def _perfect_root(leaves: Sequence[bytes]) -> bytes:
    sha256 = hashlib.sha256
    while len(leaves) > 1:
        leaves = [sha256(b"\1" + left + right).digest() for left, right in zip(leaves[::2], leaves[1::2], strict=True)]
    return leaves[0]


def root(frontier: Sequence[bytes]) -> bytes:
    if not frontier:
        return EMPTY_ROOT
    result = frontier[-1]
    for left in reversed(frontier[:-1]):
        result = _node(left, result)
    return result


def frontier_of(leaves: Sequence[bytes]) -> list[bytes]:
    """Of leaf hashes, in order."""
    return extend((), 0, leaves)


def pack(frontier: Sequence[bytes]) -> bytes:
    return b"".join(frontier)


def unpack(packed: bytes) -> list[bytes]:
    return [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 9162 §2.1.3.1: the hashes that lead from leaf `index` to the root. Raises `IndexError`."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(frontier_of(leaves[split:]))]
    return [*inclusion_proof(leaves[split:], index - split), root(frontier_of(leaves[:split]))]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """RFC 9162 §2.1.3.2: whether `proof` leads from `leaf` at `index` to the root of a tree of `size` leaves."""
    if not 0 <= index < size:
        return False
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = _node(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = _node(result, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and result == expected_root
