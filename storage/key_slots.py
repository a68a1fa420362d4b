"""Places of one size, in which wrapped keys stand until they are overwritten.

SQLite moves rows within and between its pages when rows come, grow and go, and what it leaves in a page's slack is not
zeroed. So a table of keys would have to be written anew whenever one of them is destroyed. A row of this table is never
deleted and never changes its size: SQLite overwrites such a row where it stands (measured; `tests/storage/test_keys.py`
looks at every byte), and new rows are only ever put behind the last one. What became free is used again.
"""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from storage import tables
from storage.errors import Invalid
from storage.tx import Tx

SLOT_BYTES = 1280  # an HPKE wrap of 32 bytes with X25519 + ML-KEM-768 takes 1168
_LENGTH_BYTES = 2
_SLOTS, _FREE = tables.key_slots, tables.free_key_slots
_ZEROS = bytes(SLOT_BYTES)


async def fill(tx: Tx, wrap: bytes) -> int:
    """The number of the place that now holds it. Raises `Invalid` for an empty one or one that is too long."""
    content = _packed(wrap)
    free = await tx.row(select(_FREE.c.slot).order_by(_FREE.c.slot).limit(1).with_for_update(skip_locked=True))
    if free is None:
        row = await tx.row(insert(_SLOTS).values(content=content).returning(_SLOTS.c.slot))
        assert row is not None
        return int(row["slot"])
    slot = int(free["slot"])
    await tx.write(delete(_FREE).where(_FREE.c.slot == slot))
    await tx.write(update(_SLOTS).where(_SLOTS.c.slot == slot).values(content=content))
    return slot


async def empty(tx: Tx, slots: Sequence[int]) -> None:
    """Overwrite what they hold, and free them. They must be taken."""
    if slots:
        await tx.write(update(_SLOTS).where(_SLOTS.c.slot.in_(slots)).values(content=_ZEROS))
        await tx.write_each(insert(_FREE), [{"slot": slot} for slot in slots])


def unpacked(content: bytes) -> bytes:
    """The wrap that a place holds."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    return content[_LENGTH_BYTES : _LENGTH_BYTES + length]


def _packed(wrap: bytes) -> bytes:
    if not 0 < len(wrap) <= SLOT_BYTES - _LENGTH_BYTES:
        raise Invalid("wrap", f"has {len(wrap)} bytes: at least 1, at most {SLOT_BYTES - _LENGTH_BYTES}")
    return (len(wrap).to_bytes(_LENGTH_BYTES, "big") + wrap).ljust(SLOT_BYTES, b"\0")
