"""How a number is found again without being readable: one keyed index for calls, recordings and own numbers alike."""

import re

from storage.field_crypto import FieldKeys

E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_PURPOSE = "number"


def digest(keys: FieldKeys, number: str) -> bytes:
    """What is stored. `number` is normalised by the caller: E.164 for outside numbers, extension for inside ones."""
    return keys.blind_index(_PURPOSE, number)


def digests(keys: FieldKeys, number: str) -> tuple[bytes, ...]:
    """What to search for."""
    return keys.blind_index_all_versions(_PURPOSE, number)
