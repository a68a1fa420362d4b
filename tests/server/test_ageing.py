"""Call records age in the sweep: through the gate, with receipts, in one piece; on both databases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from config import metadata_ages, packs
from config.periods import Period
from retention import receipt as receipts_of
from retention.ageing import due_ageing, month_key_due
from server import ageing as service
from server.services import holds as hold_service
from server.services import retention as retention_service
from storage import ageing, call_records, ledger, lines, month_keys, receipts, sweeps, tables
from storage.call_records import CallRecord
from tests.server.test_sweeper import DPO, NOW, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir, raw

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir", "raw"]
pytestmark = [pytest.mark.promise("L11", "L3", "3.3", "0.13")]
NUMBER, OTHER = "+33612345678", "+33187654321"
Raw = Callable[[Any], Awaitable[bytes]]


@dataclass
class Call:
    id: str
    sealed: bytes
    index: bytes


async def call(house: House, age: str, *, number: str = NUMBER, class_: str = "standard") -> Call:
    """A record as the call book writes it, so old."""
    at = Period.parse(age).ago(house.moment)
    call_id = secrets.token_hex(16)
    fields: dict[str, Any] = {"call_id": call_id, "direction": "inbound", "cause": "answered"}
    fields |= {"start": at.isoformat(timespec="seconds"), "duration_s": 142, "cost_cents": 12, "trunk": "t" * 32}
    expires_at = Period.parse("P6M").after(at + timedelta(seconds=151))
    record = CallRecord(call_id, None, class_, "p", "GDPR 6(1)(f)", at, expires_at, fields, None)
    async with house.services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": number, "callee": "101"})
        row = await tx.row(select(tables.call_records.c.numbers_sealed).where(tables.call_records.c.id == call_id))
        peer = tables.call_peers
        index = await tx.row(select(peer.c.digest).where(peer.c.call_id == call_id, peer.c.role == "caller"))
    assert row is not None and index is not None
    return Call(call_id, row["numbers_sealed"], index["digest"])


async def stored(house: House, one: Call) -> ageing.Stored:
    async with house.services.db.read() as tx:
        return (await ageing.load(tx, [one.id]))[0]


async def found(house: House, number: str) -> set[str]:
    async with house.services.db.read() as tx:
        return {one.id for one in await call_records.with_number(tx, number)}


async def months(house: House) -> list[str]:
    async with house.services.db.read() as tx:
        return [key.month for key in await month_keys.list_all(tx)]


async def entries(house: House) -> list[dict[str, Any]]:
    async with house.services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]


async def test_what_is_due_becomes_coarser_and_nothing_else(house: House) -> None:
    old, young, gone = await call(house, "P1M1D"), await call(house, "P20D"), await call(house, "P4M")
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == "" and said.destroyed == said.due == {"call_field": 2}
    became = await stored(house, old)
    assert became.numbers == {} and became.keyed and "start" not in became.fields and "duration_s" not in became.fields
    assert (became.fields["peer"], became.fields["duration"]) == ("FR", "under_5m")
    assert (await stored(house, young)).numbers == {"caller": NUMBER, "callee": "101"}
    last = await stored(house, gone)
    assert (last.numbers, last.keyed, last.ages_at) == ({}, False, None) and "start_day" in last.fields
    assert await found(house, NUMBER) == {old.id, young.id}, (
        "within its month a hash is still found, and no longer after"
    )
    assert await months(house) == ["2026-10"], "no key is made for a month whose time is over"
    async with house.services.db.read() as tx:
        assert await sweeps.under_way(tx) == ()


async def test_a_field_that_goes_has_a_receipt_that_names_nobody(house: House) -> None:
    calls = [await call(house, "P1M1D") for _ in range(3)]
    await house.sweeper.sweep()
    (entry,) = await entries(house)
    assert (entry["object"], entry["cause"], entry["count"]) == ("call", "expiry", 3)
    async with house.services.db.read() as tx:
        body = (await receipts.get(tx, entry["receipt_id"])).body
    receipt = receipts_of.parse(body)
    receipts_of.verify(receipt, house.services.keys.ledger.public_key())
    assert receipt.objects == {"call_field": 3} and receipt.method == ("fields_coarsened", "index_purged")
    assert not [word for word in (NUMBER, NUMBER[3:], *(one.id for one in calls)) if word in body]


async def test_no_byte_of_what_was_finer_is_left(house: House, raw: Raw) -> None:  # noqa: F811
    one = await call(house, "P1M1D")
    before = await raw(house.services.db)
    wanted = (
        [one.sealed, one.index]
        if house.services.db.is_sqlite
        else [one.sealed.hex().encode(), one.index.hex().encode()]
    )
    assert all(mark in before for mark in wanted)
    await house.sweeper.sweep()
    after = await raw(house.services.db)
    assert not [mark for mark in wanted if mark in after]


async def test_with_its_key_a_month_can_be_linked_no_more(house: House, raw: Raw) -> None:  # noqa: F811
    one, two = await call(house, "P1M1D"), await call(house, "P1M2D")
    await house.sweeper.sweep()
    assert await found(house, NUMBER) == {one.id, two.id}
    async with house.services.db.read() as tx:
        sealed = (await tx.rows(select(tables.month_keys.c.secret_sealed)))[0]["secret_sealed"]
        (hashed,) = await month_keys.digests(tx, NUMBER)
    due = month_key_due("2026-10", metadata_ages.load(), packs.load())
    house.later(due - house.moment - timedelta(hours=1))
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.destroyed == {"call_field": 2} and await months(house) == ["2026-10"]
    house.later(timedelta(hours=1))
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.destroyed == {"month_key": 1} and said.problem == ""
    assert await months(house) == [] and await found(house, NUMBER) == set()
    written = await raw(house.services.db)
    for mark in (sealed, hashed):
        assert mark not in written and mark.hex().encode() not in written
    last = (await entries(house))[-1]
    assert (last["object"], last["purpose"], last["day"]) == ("key", "month", "2026-10-01")
    async with house.services.db.transaction() as tx:  # a key that is made anew makes another hash
        assert await month_keys.digest(tx, "2026-10", NUMBER, house.moment) != hashed


async def test_a_legal_hold_keeps_every_field_and_the_months_key(house: House) -> None:
    held, other = await call(house, "P1M1D"), await call(house, "P1M1D", number=OTHER)
    hold_id = await house.hold("number", "06 12 34 56 78")
    said = await house.sweeper.sweep()
    assert said is not None and (said.destroyed, said.held, said.problem) == ({"call_field": 1}, {"call_field": 1}, "")
    assert (await stored(house, held)).numbers["caller"] == NUMBER and (await stored(house, other)).keyed
    await hold_service.lift(house.services, DPO, hold=hold_id)
    await house.sweeper.sweep()
    assert (await stored(house, held)).keyed
    # Laid on a number that is kept as a hash only, it holds that too, and the key that the hash is under.
    again = await house.hold("number", "06 12 34 56 78")
    house.later(timedelta(days=200))
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.held == {"call_record": 1, "month_key": 1} and said.problem == ""
    assert (await stored(house, held)).keyed and await months(house) == ["2026-10"]
    (plan,) = [one for one in await retention_service.due(house.services, DPO) if one.kind == "month_key"]
    assert not plan.goes and "a legal hold" in plan.rule
    await hold_service.lift(house.services, DPO, hold=again)
    house.later(timedelta(minutes=15))
    await house.sweeper.sweep(clock_is_right=True)
    assert await months(house) == [] and await house.calls() == set()


@pytest.mark.parametrize("where", ["begin", "record", "hash", "bytes", "remains", "prove"])
async def test_killed_at_any_step_a_record_is_as_it_was_or_as_it_is_to_be(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    calls = [await call(house, "P1M1D") for _ in range(3)]
    before = {one.id: await stored(house, one) for one in calls}
    count = 0

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    async def killed_at_the_second(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == 4:  # in the middle of the second record
            raise Killed
        return await original(*args, **more)

    original = {"record": ageing.become, "hash": month_keys.digest}.get(where, killed)
    target: tuple[Any, str, Any] = {
        "begin": (sweeps, "begin", killed),
        "record": (ageing, "become", killed),
        "hash": (month_keys, "digest", killed_at_the_second),
        "bytes": (service.Fields, "remove_bytes", killed),
        "remains": (service.Fields, "remains", killed),
        "prove": (receipts, "add_all", killed),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target)
        with pytest.raises(Killed):
            await house.sweeper.sweep()
    for one in calls:
        now = await stored(house, one)
        is_new = due_ageing(service.aging(now), metadata_ages.load(), house.moment) == []
        assert is_new or now == before[one.id], "never a mixture"
        assert one.id in await found(house, NUMBER), "found as either"
    house.restart()
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == ""
    assert all([(await stored(house, one)).keyed for one in calls])
    assert sum(entry["count"] for entry in await entries(house)) == 3, "one receipt for each, not two"
    async with house.services.db.read() as tx:
        assert await sweeps.under_way(tx) == ()


async def test_in_doubt_about_the_clock_nothing_ages(house: House) -> None:
    one = await call(house, "P20D")
    await house.sweeper.sweep()
    house.moment += timedelta(days=20)  # and the monotonic clock says otherwise
    said = await house.sweeper.sweep()
    assert said is not None and "nothing is deleted" in said.problem
    assert (await stored(house, one)).numbers != {}
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.destroyed == {"call_field": 1}


async def test_dry_run_and_forecast_count_what_ages(house: House) -> None:
    over, soon = await call(house, "P1M1D"), await call(house, "P20D")
    await service.settle(house.services.db, house.moment)
    (due,) = await retention_service.due(house.services, DPO)
    assert (due.id, due.kind, due.goes) == (over.id, "call_field", True)
    assert "number full>keyed" in due.rule and "by standard.number.keyed@" in due.rule
    assert (await stored(house, over)).numbers != {}, "looking changes nothing"
    days = {one.day: one.call_field for one in await retention_service.forecast(house.services, DPO, days=30)}
    assert days == {"2026-11-28": 1, (Period.parse("P1M").after(Period.parse("P20D").ago(NOW))).date().isoformat(): 1}
    assert soon.id != over.id


async def test_what_ages_waits_for_no_legal_minimum_and_goes_as_a_whole_when_it_expires(house: House) -> None:
    one = await call(house, "P6M1D")
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == said.due == {"call_record": 1}
    assert one.id not in await house.calls()


async def test_many_age_in_rounds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from server import sweeper

    monkeypatch.setattr(sweeper, "ROUND", 4)
    monkeypatch.setattr(service, "RECORDS_AT_ONCE", 3)
    calls = [await call(house, "P1M1D", number=OTHER) for _ in range(9)]
    held = await call(house, "P2M")
    await hold_service.add(
        house.services, DPO, scope="call", named=held.id, requested_by="x", approved_by="dora", review=date(2027, 6, 1)
    )
    said = await house.sweeper.sweep()
    assert said is not None and (said.destroyed, said.held) == ({"call_field": 9}, {"call_field": 1})
    assert all([(await stored(house, one)).keyed for one in calls])


async def test_the_books_of_an_older_schema_are_looked_at_once(house: House) -> None:
    """Rows that carry no date of their own yet: nothing of them is due, and they are given one."""
    async with house.services.db.transaction() as tx:
        await lines.add(tx, "sales", "300", NOW)
    one = await call(house, "P10D")
    assert (await stored(house, one)).ages_at == (await stored(house, one)).at
    said = await house.sweeper.sweep()
    assert said is not None and said.due == {}
    assert (await stored(house, one)).ages_at == Period.parse("P1M").after((await stored(house, one)).at)
