from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from storage import call_records
from storage.call_records import CallRecord, Total
from storage.database import Database
from storage.errors import Duplicate, Invalid, NotFound
from storage.ids import new_id

NUMBERS = {"caller": "+33170180000", "callee": "101"}


def a_call(now: datetime) -> CallRecord:
    return CallRecord(
        id=new_id(),
        line_id=None,
        metadata_class="standard",
        purpose="operation",
        legal_basis="legitimate_interest",
        at=now,
        expires_at=now + timedelta(days=365),
        fields={"duration_s": 42, "outcome": "answered", "names": ["é"]},
        recording_id=None,
        ages_at=now + timedelta(days=31),
    )


async def test_a_call_is_found_by_its_numbers_and_they_stand_nowhere(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    one, two = a_call(now), a_call(now + timedelta(hours=1))
    async with db.transaction() as tx:
        await call_records.add(tx, one, NUMBERS)
        await call_records.add(tx, two, {})
        assert await call_records.get(tx, one.id) == one
        assert await call_records.list_all(tx) == (two, one)
        assert await call_records.list_all(tx, limit=1) == (two,)
        assert await call_records.numbers(tx, one.id) == NUMBERS
        for number in NUMBERS.values():
            assert await call_records.with_number(tx, number) == (one,)
        assert await call_records.with_number(tx, "+33170180001") == ()
    written = await raw(db)
    assert b"70180000" not in written and b"answered" not in written


async def test_removing_a_call_removes_its_index(db: Database, now: datetime) -> None:
    one = a_call(now)
    async with db.transaction() as tx:
        await call_records.add(tx, one, NUMBERS)
        await call_records.set_recording(tx, one.id, "ab" * 16)
        assert (await call_records.get(tx, one.id)).recording_id == "ab" * 16
        assert await call_records.expired(tx, one.expires_at) == (one.id,)
        assert await call_records.remove(tx, one.id) is True
        assert await call_records.remove(tx, one.id) is False
        assert await call_records.with_number(tx, NUMBERS["caller"]) == ()
        for gone in (call_records.get(tx, one.id), call_records.numbers(tx, one.id)):
            with pytest.raises(NotFound):
                await gone
        with pytest.raises(NotFound):
            await call_records.set_recording(tx, one.id, None)


async def test_a_call_is_recorded_once(db: Database, now: datetime) -> None:
    one = a_call(now)
    async with db.transaction() as tx:
        await call_records.add(tx, one, NUMBERS)
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await call_records.add(tx, one, NUMBERS)


async def test_class_none_leaves_a_count_and_no_record(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        with pytest.raises(Invalid, match="metadata_class"):
            await call_records.add(tx, replace(a_call(now), metadata_class="none"), NUMBERS)
        for direction, minutes in (("inbound", 3), ("outbound", 1), ("inbound", 0)):
            await call_records.count(tx, "2026-11-21", direction, minutes)
        assert await call_records.totals(tx) == (
            Total("2026-11-21", "inbound", 2, 3),
            Total("2026-11-21", "outbound", 1, 1),
        )
        assert await call_records.list_all(tx) == ()
        for wrong in (("2026-11-21", "alice", 1), ("2026-11-21", "inbound", -1), ("yesterday", "inbound", 1)):
            with pytest.raises(Invalid):
                await call_records.count(tx, *wrong)
