"""What an image of the disk still says after keys were destroyed: files that are gone leave their blocks behind."""

import asyncio
import random
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import keys
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from storage.keys import Kek, RecKey
from tests.peers import disk_image

SEED = 20261128
WRAP_BYTES = 1169


class Pieces:
    """Every 8 bytes of a disk, wherever they begin."""

    def __init__(self, image: bytes) -> None:
        self._shifted = []
        for at in range(8):
            end = at + (len(image) - at) // 8 * 8
            self._shifted.append(np.unique(np.frombuffer(image[at:end], "<u8")))

    def of(self, secret: bytes) -> bool:
        """Whether a piece of it is among them."""
        wanted = np.frombuffer(secret[: len(secret) // 8 * 8], "<u8")[::4]
        places = (np.searchsorted(pieces, wanted).clip(max=len(pieces) - 1) for pieces in self._shifted)
        return any((pieces[at] == wanted).any() for pieces, at in zip(self._shifted, places, strict=True))


@pytest.mark.promise("L9")
@pytest.mark.skipif(disk_image.why_not() != "", reason=disk_image.why_not() or "-")
async def test_no_block_of_the_disk_holds_a_destroyed_wrap(
    tmp_path: Path, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey, now: datetime
) -> None:
    """The database is opened, written, closed and opened again, many times."""
    choose = random.Random(SEED)  # noqa: S311
    kept: dict[str, bytes] = {}
    gone: list[bytes] = []
    with disk_image.disk(tmp_path, size_mib=48) as (place, image):
        url = sqlite_url(place / "b.sqlite3")
        database = await Database.open(url, field_keys, ledger_key)
        async with database.transaction() as tx:
            await keys.add_kek(tx, Kek("k" * 32, "REC_QUALITY", "2026-W48.1", "X", b"p", b"s", now, now), ())
        for _round in range(12):
            for _ in range(4):
                async with database.transaction() as tx:
                    for _ in range(10):
                        rec_id, wrap = choose.randbytes(16).hex(), choose.randbytes(WRAP_BYTES)
                        await keys.add_rec_key(tx, RecKey(rec_id, "k" * 32, "X", wrap))
                        kept[rec_id] = wrap
                async with database.transaction() as tx:
                    lost = choose.sample(sorted(kept), 7)
                    await keys.destroy_rec_keys(tx, lost)
                gone += [kept.pop(rec_id) for rec_id in lost]
                if choose.random() < 0.5:
                    await database.empty_log()
            await database.close()
            database = await Database.open(url, field_keys, ledger_key)
        await database.empty_log()
        left = Pieces(await asyncio.to_thread(image))
        async with database.read() as tx:
            assert {key.rec_id: key.wrap for key in await keys.list_rec_keys(tx, "k" * 32)} == kept
        await database.close()
    assert all(left.of(wrap) for wrap in kept.values())
    still = sum(left.of(wrap) for wrap in gone)
    assert not still, f"pieces of {still} of {len(gone)} destroyed wraps are still on the disk"
