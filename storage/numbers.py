"""How a number is found again without being readable: one keyed index for calls, recordings and own numbers alike."""

import re
from collections.abc import Callable, Iterable

from storage import index_keys
from storage.tx import Tx

E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_PURPOSE = "number"


async def digest(tx: Tx, number: str) -> bytes:
    """What is stored. `number` is normalised by the caller: E.164 for outside numbers, extension for inside ones."""
    known = await index_keys.known(tx)
    if not known:
        return tx.keys.blind_index(_PURPOSE, number)
    version = max(known)
    return index_keys.value(version, known[version], number)


async def indexer(tx: Tx) -> Callable[[str], bytes]:
    """`digest` for many: the keys are read once."""
    known = await index_keys.known(tx)
    if not known:
        return lambda number: tx.keys.blind_index(_PURPOSE, number)
    version = max(known)
    return lambda number: index_keys.value(version, known[version], number)


async def digests(tx: Tx, number: str) -> tuple[bytes, ...]:
    """What to search for, the newest key first; the last are those of databases that had no such keys yet."""
    known = await index_keys.known(tx)
    ours = (index_keys.value(version, secret, number) for version, secret in known.items())
    return (*ours, *tx.keys.blind_index_all_versions(_PURPOSE, number))


async def digests_of_many(tx: Tx, numbers: Iterable[str]) -> dict[bytes, str]:
    """`digests` for many, each with the number that it belongs to: the keys are read once."""
    known = await index_keys.known(tx)
    found: dict[bytes, str] = {}
    for number in numbers:
        for version, secret in known.items():
            found[index_keys.value(version, secret, number)] = number
        for index in tx.keys.blind_index_all_versions(_PURPOSE, number):
            found[index] = number
    return found
