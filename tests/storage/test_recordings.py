from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from storage import keys, recordings, tables
from storage.database import Database
from storage.errors import Conflict, Duplicate, Invalid, NotFound
from storage.field_crypto import FieldKeys
from storage.ids import new_id
from storage.keys import Kek, RecKey
from storage.recordings import Party, Recording
from storage.tx import Tx

WEEK = timedelta(days=7)
OUTSIDE, INSIDE = "+33170180000", "101"


async def started(tx: Tx, now: datetime, **changes: Any) -> Recording:
    kek = await keys.current_kek(tx, "quality", now)
    if kek is None:
        kek = Kek(new_id(), "quality", "2026-W47.1", "a", b"p", b"s", now, now + WEEK)
        await keys.add_kek(tx, kek, [])
    rec_id = new_id()
    await keys.add_rec_key(tx, RecKey(rec_id, kek.id, "hpke", b"wrap"))
    values: dict[str, Any] = {
        "call_id": new_id(),
        "purpose": "quality",
        "pack_version": "2026-11-21",
        "legal_basis": "consent",
        "expires_at": now + WEEK,
        "codec": "opus",
        "rate_hz": 8000,
        "channels": 2,
        "started_at": now,
        "kek_id": kek.id,
        "parties": [Party(0, new_id(), None, OUTSIDE), Party(1, new_id(), new_id(), INSIDE)],
        "consent_refs": [7, 8],
    }
    return await recordings.start(tx, rec_id, **(values | changes))


async def test_a_recording_runs_and_ends_whole(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        running = await started(tx, now)
        assert (running.state, running.consent_refs, running.ended_at) == ("recording", (7, 8), None)
        assert running.call_id is not None
        end = now + timedelta(minutes=3)
        whole = await recordings.finish(
            tx, running.id, state="whole", ended_at=end, duration_ms=180_000, size_bytes=9, sha256="ab" * 32
        )
        assert (whole.state, whole.ended_at, whole.duration_ms, whole.size_bytes) == ("whole", end, 180_000, 9)
        assert await recordings.of_call(tx, running.call_id) == (whole,) == await recordings.list_all(tx)
        assert await recordings.list_all(tx, states=["cut", "recording"]) == ()
        with pytest.raises(Conflict):
            await recordings.mark(tx, whole.id, "recording", now)
        with pytest.raises(Conflict):
            await recordings.mark(tx, whole.id, "destroyed", now)


async def test_no_consent_no_recording(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        with pytest.raises(Invalid, match="consent_refs"):
            await started(tx, now, consent_refs=[])


async def test_a_recording_needs_a_known_kek_and_an_id_of_its_own(db: Database, now: datetime) -> None:
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await started(tx, now, kek_id=new_id())
    async with db.transaction() as tx:
        first = await started(tx, now)
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            kek_id = (await keys.list_keks(tx))[0].id
            await recordings.start(
                tx, first.id, call_id="c", purpose="p", pack_version="1", legal_basis="b", expires_at=now, codec="opus",
                rate_hz=8000, channels=2, started_at=now, kek_id=kek_id, parties=[], consent_refs=[1],
            )  # fmt: skip


async def test_who_is_heard_is_sealed_and_found_by_number(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        one = await started(tx, now)
        await started(tx, now, parties=[Party(0, new_id(), None, None)])
        assert await recordings.with_number(tx, OUTSIDE) == (one,) == await recordings.with_number(tx, INSIDE)
        assert await recordings.with_number(tx, "+33170180001") == ()
        assert [party.number for party in await recordings.parties(tx, one.id)] == [OUTSIDE, INSIDE]
        assert OUTSIDE not in repr(await recordings.parties(tx, one.id))
        joined = await recordings.add_party(tx, one.id, Party(1, new_id(), None, "102"), [9])
        assert joined.consent_refs == (7, 8, 9)
        assert await recordings.with_number(tx, "102") == (joined,)
    assert b"70180000" not in await raw(db)


async def test_it_is_found_after_the_field_key_was_rotated(
    fresh_url: str, field_keys: FieldKeys, now: datetime
) -> None:
    database = await Database.open(fresh_url, field_keys)
    async with database.transaction() as tx:
        old = await started(tx, now)
    await database.close()
    database = await Database.open(fresh_url, field_keys.rotated())
    async with database.transaction() as tx:
        new = await started(tx, now + WEEK / 2)
        assert await recordings.with_number(tx, OUTSIDE) == (new, old)
        assert [party.number for party in await recordings.parties(tx, old.id)] == [OUTSIDE, INSIDE]
    await database.close()


@pytest.mark.parametrize("state", ["recording", "whole", "cut", "failed"])
async def test_of_a_destroyed_recording_only_id_state_and_times_remain(db: Database, now: datetime, state: str) -> None:
    async with db.transaction() as tx:
        one = await started(tx, now)
        if state != "recording":
            await recordings.mark(tx, one.id, state, now)
        left = await recordings.destroy(tx, one.id, now + WEEK)
        assert left.state == "destroyed" and left.destroyed_at == now + WEEK
        kept = {"id", "state", "started_at", "expires_at", "ended_at", "destroyed_at"}
        assert {f.name for f in fields(left) if getattr(left, f.name) not in (None, ())} == kept
        row = await tx.row(select(tables.recordings))
        assert row is not None and {name for name, value in row.items() if value is not None} == kept
        for table in (tables.rec_keys, tables.recording_peers):
            counted = await tx.row(select(func.count().label("rows")).select_from(table))
            assert counted is not None and counted["rows"] == 0
        assert await recordings.parties(tx, one.id) == ()
        assert await recordings.with_number(tx, OUTSIDE) == ()
        assert await recordings.destroy(tx, one.id, now + 2 * WEEK) == left, "twice is no error and changes nothing"
        with pytest.raises(Conflict):
            await recordings.mark(tx, one.id, "whole", now)
        with pytest.raises(Conflict):
            await recordings.add_party(tx, one.id, Party(0, new_id(), None, None), [1])


async def test_what_has_expired_is_listed_until_it_is_destroyed(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        one = await started(tx, now)
        assert await recordings.expired(tx, now + WEEK - timedelta(microseconds=1)) == ()
        assert await recordings.expired(tx, now + WEEK) == (one,)
        await recordings.destroy(tx, one.id, now)
        assert await recordings.expired(tx, now + WEEK) == ()


async def test_what_is_not_there_is_not_found(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        for call in (recordings.get(tx, "x"), recordings.parties(tx, "x"), recordings.destroy(tx, "x", now)):
            with pytest.raises(NotFound):
                await call


async def test_gaps_are_kept_in_order_and_go_with_the_recording(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        one = await started(tx, now)
        assert one.gaps == ()
        await recordings.add_gaps(tx, one.id, [(9000, 12_000, "pause")])
        two = await recordings.add_gaps(tx, one.id, [(1000, 2500, "hold"), (9000, 12_000, "pause")])
        assert two.gaps == ((1000, 2500, "hold"), (9000, 12_000, "pause"))
        for wrong in ((5, 4, "hold"), (-1, 4, "hold"), (1, 4, "lunch")):
            with pytest.raises(Invalid):
                await recordings.add_gaps(tx, one.id, [wrong])
        assert (await recordings.destroy(tx, one.id, now)).gaps == ()
        with pytest.raises(Conflict):
            await recordings.add_gaps(tx, one.id, [(1, 2, "hold")])
        with pytest.raises(NotFound):
            await recordings.add_gaps(tx, new_id(), [])
