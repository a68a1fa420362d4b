"""The key by which numbers are found is replaced while everything runs: nothing is lost sight of for a moment, a crash
at any step is finished later, and the old key goes; on both databases."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from server import reindexer
from server.failure import Failure
from server.reindexer import Reindexer
from server.services import holds as hold_service
from server.services import index_keys as service
from storage import (
    accounts,
    call_records,
    consents,
    contact_attempts,
    contact_references,
    emergency_calls,
    holds,
    index_keys,
    lines,
    numbers_owned,
    recordings,
    reindex,
    suppressions,
    tables,
)
from storage.call_records import CallRecord
from storage.emergency_calls import EmergencyCall
from storage.numbers import digests
from tests.server.test_sweeper import DPO, NOW, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir, raw

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir", "raw"]
pytestmark = [pytest.mark.promise("0.1", "0.13", "L11")]
NUMBER, OURS, CUSTOMER = "+33612345678", "+33142000000", "+33187654321"
FAR = timedelta(days=300)


async def call(house: House, number: str) -> str:
    call_id = secrets.token_hex(16)
    fields = {"call_id": call_id, "direction": "inbound", "start": NOW.isoformat(), "duration_s": 1}
    record = CallRecord(call_id, None, "standard", "p", "GDPR 6(1)(f)", NOW, NOW + FAR, fields, None)
    async with house.services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": number, "callee": "101"})
    return call_id


async def furnished(house: House) -> dict[str, str]:
    """One thing in each place, each found by a number."""
    made = {"call": await call(house, NUMBER), "recording": await house.recording(FAR, number=NUMBER)}
    async with house.services.db.transaction() as tx:
        await numbers_owned.add(tx, OURS)
        account = await accounts.add(tx, "alice", "101", "Alice", NOW, country="FR", language="fr")
        given = await consents.add(
            tx, NOW, number=CUSTOMER, channel="voice", purpose="telecom", act="checkbox", given_at=NOW,
            expires_at=NOW + FAR, legal_basis="6(1)(a)", kept_until=NOW + FAR, collector="us", source="form",
            text_id="offers", text_version="1", text_sha256="ab" * 32,
        )  # fmt: skip
        contract = await contact_references.add(
            tx, number=CUSTOMER, kind="contract", purpose="telecom", reference="C-1", since=NOW, until=NOW + FAR,
            legal_basis="6(1)(b)", kept_until=NOW + FAR,
        )  # fmt: skip
        for call_id, at, shown in (("1" * 32, NOW, OURS), ("2" * 32, NOW - timedelta(days=9), CUSTOMER)):
            one = EmergencyCall(call_id, at, account.id, "112", None, False, "ended", ())
            await emergency_calls.add(tx, one, presented=shown)
    return made | {"consent": given.id, "contract": contract.id}


async def sought(house: House) -> dict[str, str]:
    """What each look-up finds."""
    async with house.services.db.read() as tx:
        emergency = await emergency_calls.latest_of_presented(tx, OURS, NOW - timedelta(hours=1))
        assert emergency is not None and await numbers_owned.by_number(tx, OURS) is not None
        return {
            "call": (await call_records.with_number(tx, NUMBER))[0].id,
            "recording": (await recordings.with_number(tx, NUMBER))[0].id,
            "consent": (await consents.of_number(tx, CUSTOMER))[0].id,
            "contract": (await contact_references.of_number(tx, CUSTOMER))[0].id,
        }


async def versions(house: House) -> dict[str, int]:
    """Of the line of numbers: version to what is left under it."""
    return {one.version: one.left for one in await service.list_(house.services, DPO) if one.line == "number"}


async def test_everything_goes_over_and_the_old_key_with_a_receipt(house: House) -> None:
    made = await furnished(house)
    (first,) = await versions(house)
    await service.rotate(house.services, DPO, line="number")
    assert await sought(house) == made
    left = await versions(house)
    assert left.pop(first) == 0 and sum(left.values()) == 7, "of a call-back that cannot come the index is gone"
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == {"index_key": 1} and said.problem == ""
    assert await sought(house) == made and first not in await versions(house)
    (entry,) = [one for one in await house.entries() if one["object"] == "key"]
    assert (entry["purpose"], entry["cause"], entry["complete"]) == (f"index.number.v{first}", "expiry", True)


async def test_no_byte_of_the_old_key_or_its_index_is_left(
    house: House,
    raw: Callable[[Any], Awaitable[bytes]],  # noqa: F811
) -> None:
    await furnished(house)
    hold_id = await house.hold("number", NUMBER)
    async with house.services.db.read() as tx:
        sealed = (await tx.rows(select(tables.index_keys.c.secret_sealed)))[0]["secret_sealed"]
        marks = [sealed, *[(await digests(tx, number))[0] for number in (NUMBER, OURS, CUSTOMER, "101")]]
    await service.rotate(house.services, DPO, line="number")
    await house.sweeper.sweep()
    written = await raw(house.services.db)
    assert not [mark for mark in marks if mark in written or mark.hex().encode() in written]
    async with house.services.db.read() as tx:
        assert len(await holds.on(tx, "recording", [(await recordings.with_number(tx, NUMBER))[0].id])) == 1
    assert hold_id


async def test_whoever_looks_always_finds_while_keys_are_replaced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching, writing, removing and laying holds go on while two keys are replaced one after the other."""
    monkeypatch.setattr(reindexer, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(reindexer, "PAUSE_S", 0)
    made = await furnished(house)
    numbers = [f"+3361234{n:04}" for n in range(12)]
    known = {number: {await call(house, number)} for number in numbers}
    over, looked, written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            number = secrets.choice(numbers)
            before = set(known[number])
            for open_ in (house.services.db.read, house.services.db.transaction):
                async with open_() as tx:
                    found = {one.id for one in await call_records.with_number(tx, number)}
                assert before <= found, "what was there before I looked is found"
            assert await sought(house) == made
            looked.set()
            await asyncio.sleep(0.002)

    async def write() -> None:
        while not over.is_set():
            number = secrets.choice(numbers)
            call_id = await call(house, number)
            known[number].add(call_id)
            written.set()
            await asyncio.sleep(0.002)

    async def replace() -> None:
        for _ in range(2):
            looked.clear()
            written.clear()
            await service.rotate(house.services, DPO, line="number")
            await looked.wait()
            await written.wait()
            await Reindexer(house.services).move()
        over.set()

    async with asyncio.TaskGroup() as group:
        for part in (look, look, write, replace):
            group.create_task(part())
    await Reindexer(house.services).move()
    await house.sweeper.sweep()
    assert len(await versions(house)) == 1 and await sought(house) == made
    async with house.services.db.read() as tx:
        for number, ids in known.items():
            assert {one.id for one in await call_records.with_number(tx, number)} == ids


@pytest.mark.parametrize("place", [*reindex.MOVED, "holds", "destroyed", "receipt"])
async def test_killed_at_any_step_it_is_taken_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from storage import receipts

    made = await furnished(house)
    hold_id = await house.hold("number", NUMBER)
    (first,) = await versions(house)
    step = reindex.step

    async def killed_there(tx: Any, name: str, *args: Any, **more: Any) -> tuple[int, int]:
        done = await step(tx, name, *args, **more)
        if name == place:
            raise Killed
        return done

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(reindex, "step", killed_there)
        if place == "destroyed":
            patch.setattr(index_keys, "destroy", killed)
        if place == "receipt":
            patch.setattr(receipts, "add_all", killed)
        if place == "holds":  # between the new key and the holds that follow it
            patch.setattr(holds, "follow_keys", killed)
        with pytest.raises(Killed):
            await service.rotate(house.services, DPO, line="number")
            await house.sweeper.sweep()
    assert await sought(house) == made
    house.restart()
    if place == "holds":
        assert list(await versions(house)) == [first], "key and holds are one act"
        await service.rotate(house.services, DPO, line="number")
    await Reindexer(house.services).move()
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == "" and first not in await versions(house)
    assert await sought(house) == made
    assert len([one for one in await house.entries() if one["object"] == "key"]) == 1
    async with house.services.db.read() as tx:
        assert (await holds.on(tx, "call_record", [made["call"]]))[made["call"]] == (hold_id,)


@pytest.mark.promise("3.9")
async def test_a_hold_keeps_what_it_lies_on_whatever_key_it_was_laid_under(house: House) -> None:
    call_id = await house.call(timedelta(days=1))
    by_account = await house.recording(timedelta(days=1), number="101")
    async with house.services.db.transaction() as tx:
        await accounts.add(tx, "alice", "101", "Alice", NOW, country="FR", language="fr")
    await house.hold("number", NUMBER)
    await house.hold("account", "alice")
    await service.rotate(house.services, DPO, line="number")
    await house.sweeper.sweep()
    house.later(timedelta(days=2))
    await house.sweeper.sweep(clock_is_right=True)
    assert call_id in await house.calls() and await house.there(by_account)


async def test_a_hold_that_cannot_follow_stops_it(house: House) -> None:
    """Rather than letting go of what it lies on without a word."""
    async with house.services.db.transaction() as tx:
        account = await accounts.add(tx, "alice", "101", "Alice", NOW, country="FR", language="fr")
    hold_id = await house.hold("account", "alice")
    async with house.services.db.transaction() as tx:
        await tx.write(update(tables.accounts).where(tables.accounts.c.id == account.id).values(extension="102"))
    before = await versions(house)
    with pytest.raises(Failure, match=hold_id):
        await service.rotate(house.services, DPO, line="number")
    assert await versions(house) == before
    await hold_service.lift(house.services, DPO, hold=hold_id)
    await service.rotate(house.services, DPO, line="number")


async def test_attempts_stay_under_their_key_and_keep_it(house: House) -> None:
    async with house.services.db.transaction() as tx:
        line = await lines.add(tx, "sales", "300", NOW)
        await contact_attempts.add(
            tx, CUSTOMER, line_id=line.id, channel="voice", at=NOW, evidence="", purpose="p", legal_basis="6(1)(f)",
            kept_until=NOW + timedelta(days=31),
        )  # fmt: skip
    (first,) = await versions(house)
    await service.rotate(house.services, DPO, line="number")
    said = await house.sweeper.sweep()
    assert said is not None and said.held == {"index_key": 1} and said.problem == ""
    async with house.services.db.read() as tx:
        assert len(await contact_attempts.of_number(tx, CUSTOMER)) == 1
    assert (await versions(house))[first] == 1
    house.later(timedelta(days=32))
    await house.sweeper.sweep(clock_is_right=True)
    assert first not in await versions(house)


@pytest.mark.promise("L4", "2.7")
async def test_the_list_of_objections_has_a_line_of_its_own(house: House) -> None:
    async def objects(number: str) -> None:
        async with house.services.db.transaction() as tx:
            await suppressions.add(
                tx, number, NOW, channel="*", reason="objection", source="cli", since=NOW, until=None, purpose="p",
                legal_basis="21(2)", kept_until=NOW + FAR,
            )  # fmt: skip

    async def listed(number: str) -> int:
        async with house.services.db.read() as tx:
            return len(await suppressions.of_number(tx, number))

    await objects(NUMBER)
    await service.rotate(house.services, DPO, line="number")
    await house.sweeper.sweep()
    assert await listed(NUMBER) == 1
    await service.rotate(house.services, DPO, line="suppression")
    await objects(CUSTOMER)
    said = await house.sweeper.sweep()
    assert said is not None and said.held == {"index_key": 1}, "it is still needed: no number tells a new hash"
    assert (await listed(NUMBER), await listed(CUSTOMER)) == (1, 1)
    async with house.services.db.transaction() as tx:
        (entry,) = await suppressions.of_number(tx, NUMBER)
        await suppressions.remove(tx, entry.id)
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == {"index_key": 1}
    assert (await listed(NUMBER), await listed(CUSTOMER)) == (0, 1)


async def test_what_the_field_key_indexed_before_there_were_such_keys_goes_over_by_itself(house: House) -> None:
    """An older database: its numbers are found from the first moment on, and move without anybody's order."""
    made = await furnished(house)
    keys = house.services.keys.fields
    async with house.services.db.transaction() as tx:
        peers = tables.call_peers
        for role, number in (("caller", NUMBER), ("callee", "101")):
            old = keys.blind_index("number", number)
            await tx.write(
                update(peers).where(peers.c.call_id == made["call"], peers.c.role == role).values(digest=old)
            )
    assert await sought(house) == made
    assert (await versions(house))["field.key"] == 2
    assert await Reindexer(house.services).move() == 2
    assert await sought(house) == made and "field.key" not in await versions(house)
