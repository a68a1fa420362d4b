import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import keys, recordings
from storage.database import Database, sqlite_url
from storage.errors import Conflict, Duplicate, NotFound
from storage.field_crypto import FieldKeys
from storage.ids import new_id
from storage.keys import Kek, KekWrap, RecKey
from storage.recordings import Party
from storage.tx import Tx

WEEK = timedelta(days=7)
# With secure_delete alone, SQLite 3 leaves a part of a wrap behind for this one.
SEED = 22


def a_kek(now: datetime, purpose: str = "quality", period: str = "2026-W47.1") -> Kek:
    return Kek(new_id(), purpose, period, "MLKEM768-X25519", b"public", b"signature", now, now + WEEK)


async def test_a_kek_comes_with_its_wraps(db: Database, now: datetime) -> None:
    kek = a_kek(now)
    wraps = [KekWrap(kek.id, "alice", "hpke", b"for alice"), KekWrap(kek.id, "escrow", "hpke", b"for escrow")]
    async with db.transaction() as tx:
        await keys.add_kek(tx, kek, wraps)
        assert await keys.get_kek(tx, kek.id) == kek
        assert set(await keys.kek_wraps(tx, kek.id)) == set(wraps)
        assert await keys.wraps_for_reader(tx, "alice") == (wraps[0],)
        assert await keys.wrap_for_reader(tx, kek.id, "escrow") == wraps[1]
        with pytest.raises(NotFound):
            await keys.wrap_for_reader(tx, kek.id, "bob")
        await keys.add_kek_wrap(tx, KekWrap(kek.id, "bob", "hpke", b"for bob"))
        assert (await keys.wrap_for_reader(tx, kek.id, "bob")).blob == b"for bob"
        with pytest.raises(Conflict):
            await keys.add_kek(tx, a_kek(now, period="2026-W47.2"), wraps)
    with pytest.raises(Duplicate) as twice:
        async with db.transaction() as tx:
            await keys.add_kek(tx, a_kek(now), [])
    assert twice.value.field == "period"


async def test_the_current_kek_is_the_newest_that_lives(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        assert await keys.current_kek(tx, "quality", now) is None
        first, second = a_kek(now), a_kek(now + timedelta(1), period="2026-W47.2")
        other = a_kek(now, purpose="evidence")
        for kek in (first, second, other):
            await keys.add_kek(tx, kek, [])
        assert await keys.current_kek(tx, "quality", now) == second
        assert await keys.current_kek(tx, "quality", second.not_after) is None
        await keys.destroy_kek(tx, second.id, now)
        assert await keys.current_kek(tx, "quality", now) == first
        assert len(await keys.list_keks(tx, "quality")) == 2 and len(await keys.list_keks(tx)) == 3


async def test_a_destroyed_week_takes_every_wrap_and_stays_on_record(db: Database, now: datetime) -> None:
    kek, other = a_kek(now), a_kek(now, purpose="evidence")
    async with db.transaction() as tx:
        await keys.add_kek(tx, kek, [KekWrap(kek.id, who, "hpke", b"w") for who in ("alice", "escrow")])
        await keys.add_kek(tx, other, [KekWrap(other.id, "escrow", "hpke", b"w")])
        ids = sorted(new_id() for _ in range(3))
        for rec_id in ids:
            await keys.add_rec_key(tx, RecKey(rec_id, kek.id, "hpke", b"wrapped"))
        await keys.add_rec_key(tx, RecKey(new_id(), other.id, "hpke", b"wrapped"))
        assert await keys.destroy_kek(tx, kek.id, now) == tuple(ids)
        assert await keys.kek_wraps(tx, kek.id) == () == await keys.list_rec_keys(tx, kek.id)
        assert len(await keys.with_key(tx)) == 1
        assert (await keys.get_kek(tx, kek.id)).destroyed_at == now
        assert await keys.destroy_kek(tx, kek.id, now + WEEK) == ()
        assert (await keys.get_kek(tx, kek.id)).destroyed_at == now
        for refused in (RecKey(new_id(), kek.id, "hpke", b"w"), KekWrap(kek.id, "bob", "hpke", b"w")):
            with pytest.raises(Conflict):
                await (keys.add_rec_key(tx, refused) if isinstance(refused, RecKey) else keys.add_kek_wrap(tx, refused))


async def test_a_recordings_key_is_destroyed_once(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        kek = a_kek(now)
        await keys.add_kek(tx, kek, [])
        key = RecKey(new_id(), kek.id, "hpke", b"wrapped")
        await keys.add_rec_key(tx, key)
        assert await keys.rec_key(tx, key.rec_id) == key
        assert await keys.destroy_rec_key(tx, key.rec_id) is True
        assert await keys.destroy_rec_key(tx, key.rec_id) is False
        with pytest.raises(NotFound):
            await keys.rec_key(tx, key.rec_id)


async def start(tx: Tx, kek: Kek, now: datetime, wrap: bytes, rec_id: str) -> str:
    await keys.add_rec_key(tx, RecKey(rec_id, kek.id, "hpke", wrap))
    await recordings.start(
        tx,
        rec_id,
        call_id=new_id(),
        purpose="quality",
        pack_version="2026-11-21",
        legal_basis="consent",
        expires_at=now + WEEK,
        codec="opus",
        rate_hz=8000,
        channels=2,
        started_at=now,
        kek_id=kek.id,
        parties=[Party(0, new_id(), None, "+33170180000")],
        consent_refs=[1],
    )
    return rec_id


async def test_nothing_of_a_destroyed_key_is_left_in_any_byte_sqlite(
    tmp_path: Path, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey, now: datetime
) -> None:
    """Many keys of the real size, added, destroyed and rewritten in a random order, so that pages split and merge.

    What is looked for is every 16-byte piece of every destroyed wrap, so that a part left behind is found too.
    """
    choose = random.Random(SEED)  # noqa: S311
    database = await Database.open(sqlite_url(tmp_path / "b.sqlite3"), field_keys, ledger_key)

    def written() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))

    try:
        async with database.transaction() as tx:
            kek = a_kek(now)
            await keys.add_kek(tx, kek, [])
        wraps: dict[str, bytes] = {}
        gone: list[bytes] = []
        for _round in range(60):
            async with database.transaction() as tx:
                for _ in range(12):
                    # One HPKE wrap of 32 bytes takes 1168.
                    wrap = choose.randbytes(choose.choice((1168, 1168, 80, 1278)))
                    wraps[await start(tx, kek, now, wrap, choose.randbytes(16).hex())] = wrap
            async with database.transaction() as tx:
                for rec_id in choose.sample(sorted(wraps), 9):
                    await recordings.destroy(tx, rec_id, now)
                    gone.append(wraps.pop(rec_id))
        before = await asyncio.to_thread(written)
        assert any(wrap[:64] in before for wrap in gone), "the log should still hold some"
        await database.empty_log()
        left = await asyncio.to_thread(written)
        pieces = {left[at : at + 16] for at in range(len(left))}
        assert all(wrap[at : at + 16] in pieces for wrap in wraps.values() for at in range(0, 64, 16)), "search works"
        traces = [wrap for wrap in gone if any(wrap[at : at + 16] in pieces for at in range(0, len(wrap) - 15, 16))]
        assert len(traces) == 0, f"{len(traces)} of {len(gone)} destroyed wraps left something"
    finally:
        await database.close()


async def test_nothing_of_a_destroyed_week_is_left_in_any_byte(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    kek = a_kek(now)
    blob, wrap = secrets.token_bytes(1300), secrets.token_bytes(1168)
    async with db.transaction() as tx:
        await keys.add_kek(tx, kek, [KekWrap(kek.id, "escrow", "hpke", blob)])
        await start(tx, kek, now, wrap, new_id())
    before = await raw(db)
    async with db.transaction() as tx:
        await keys.destroy_kek(tx, kek.id, now)
    await db.checkpoint_truncate()
    after = await raw(db)
    for secret in (blob, wrap):
        for form in (secret[:64], secret[-64:]):
            assert form in before or form.hex().encode() in before
            assert form not in after and form.hex().encode() not in after
