"""Trunks, own numbers, what users chose, limits, sums, emergency calls."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from storage import (
    accounts,
    call_settings,
    devices,
    emergency_calls,
    limits,
    lines,
    numbers_owned,
    trunks,
    usage,
)
from storage.call_settings import CallSettings
from storage.database import Database
from storage.emergency_calls import EmergencyCall
from storage.errors import Conflict, Duplicate, Invalid, NotFound
from storage.limits import Limits
from storage.trunks import Trunk
from storage.tx import Tx
from storage.usage import Usage

HA1 = "0123456789abcdef" * 2
MAIN, OTHER = "+33142000000", "+33142000001"
NOBODY = "00" * 16
DAY = date(2026, 11, 21)


async def trunk(tx: Tx, now: datetime, name: str = "north", **more: Any) -> Trunk:
    given: dict[str, Any] = {"register": True, "user": "33142000000", "ha1": HA1, "main_number": MAIN}
    return await trunks.add(tx, name, "sip.provider.example", now, **(given | more))


async def test_trunks(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        north = await trunk(tx, now, sources=("192.0.2.0/28", "2001:db8::1"))
        south = await trunk(tx, now, "south", preference=1, domain="voice.example", realm="asterisk")
        assert (north.domain, north.realm) == ("sip.provider.example", "sip.provider.example")
        assert (south.domain, south.realm) == ("voice.example", "asterisk")
        assert await trunks.get(tx, north.id) == await trunks.by_name(tx, "north") == north
        assert await trunks.list_all(tx) == (south, north)
        await trunks.disable(tx, south.id)
        assert await trunks.list_all(tx, enabled_only=True) == (north,)
        changed = replace(north, host="192.0.2.5", port=5060, transport="udp", ha1=None, register=False, sources=())
        assert await trunks.save(tx, changed) == await trunks.get(tx, north.id) == changed
        with pytest.raises(NotFound):
            await trunks.save(tx, replace(north, id=NOBODY))
        with pytest.raises(NotFound):
            await trunks.by_name(tx, "west")
    with pytest.raises(Duplicate) as taken:
        async with db.transaction() as tx:
            await trunk(tx, now)
    assert taken.value.field == "name"


@pytest.mark.parametrize(
    "wrong",
    [
        {"transport": "sctp"},
        {"port": 0},
        {"port": 70000},
        {"weight": 0},
        {"max_channels": 0},
        {"sources": ("provider.example",)},
        {"main_number": "0142000000"},
        {"international_format": "011"},
        {"ha1": "secret"},
        {"ha1": None},  # it registers
        {"user": "a b"},
        {"user": "a>;tag=x"},
        {"domain": "a;transport=udp"},
        {"realm": 'a"b'},
        {"realm": "a\r\nVia: x"},
    ],
)
async def test_what_a_trunk_cannot_be(db: Database, now: datetime, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        async with db.transaction() as tx:
            await trunk(tx, now, **wrong)


async def test_a_removed_trunk_leaves_its_numbers_without_one(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        north = await trunk(tx, now)
        await numbers_owned.add(tx, MAIN, trunk_id=north.id, shared=True)
        await limits.save(tx, Limits(limits.of_trunk(north.id), max_calls=3))
        await usage.add(tx, limits.of_trunk(north.id), DAY, 60, 1000)
        await trunks.remove(tx, north.id)
        assert await trunks.list_all(tx) == ()
        assert [(one.number, one.trunk_id) for one in await numbers_owned.list_all(tx)] == [(MAIN, None)]
        assert await limits.get(tx, limits.of_trunk(north.id)) == Limits(limits.of_trunk(north.id))
        assert await usage.of_day(tx, limits.of_trunk(north.id), DAY) == Usage()
        with pytest.raises(NotFound):
            await trunks.remove(tx, north.id)


async def test_own_numbers(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        sales = await lines.add(tx, "sales", "200", now)
        hers = await numbers_owned.add(tx, OTHER, account_id=alice.id)
        main = await numbers_owned.add(tx, MAIN, line_id=sales.id, shared=True)
        assert await numbers_owned.list_all(tx) == (main, hers)
        assert await numbers_owned.of_account(tx, alice.id) == (hers,)
        assert await numbers_owned.by_number(tx, OTHER) == await numbers_owned.get(tx, hers.id) == hers
        assert await numbers_owned.by_number(tx, "+33142000002") is None
        await numbers_owned.remove(tx, hers.id)
        assert await numbers_owned.of_account(tx, alice.id) == ()
        with pytest.raises(NotFound):
            await numbers_owned.remove(tx, hers.id)
        for number, more in (
            ("0142000000", {}),
            ("+0142000000", {}),
            (OTHER, {"account_id": alice.id, "line_id": sales.id}),
        ):
            with pytest.raises(Invalid):
                await numbers_owned.add(tx, number, **more)
        with pytest.raises(Duplicate) as taken:
            await numbers_owned.add(tx, MAIN)
        assert taken.value.field == "number"
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await numbers_owned.add(tx, OTHER, account_id=NOBODY)


async def test_a_number_is_known_after_the_key_was_rotated(
    fresh_url: str, now: datetime, field_keys: Any, ledger_key: Any
) -> None:
    first = await Database.open(fresh_url, field_keys, ledger_key)
    async with first.transaction() as tx:
        await numbers_owned.add(tx, MAIN, shared=True)
    await first.close()
    second = await Database.open(fresh_url, field_keys.rotated(), ledger_key)
    try:
        async with second.transaction() as tx:
            assert await numbers_owned.by_number(tx, MAIN) is not None
            with pytest.raises(Duplicate):
                await numbers_owned.add(tx, MAIN)
    finally:
        await second.close()


async def test_what_was_chosen_for_an_account(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        assert await call_settings.get(tx, alice.id) == CallSettings(alice.id)
        chosen = CallSettings(
            alice.id,
            forward_always="+33612345678",
            forward_busy="200",
            forward_no_answer="bob",
            no_answer_s=30,
            dnd=True,
            hide_number=True,
            call_waiting=False,
            presented=MAIN,
        )
        assert await call_settings.save(tx, chosen) == await call_settings.get(tx, alice.id) == chosen
        again = replace(chosen, forward_always=None, dnd=False)
        await call_settings.save(tx, again)
        assert await call_settings.list_all(tx) == (again,)
        for wrong in ({"forward_busy": "tel:112"}, {"presented": "0142000000"}, {"no_answer_s": 0}):
            with pytest.raises(Invalid):
                await call_settings.save(tx, replace(chosen, **wrong))
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await call_settings.save(tx, CallSettings(NOBODY))


async def test_limits(db: Database) -> None:
    owner = limits.of_account("ab" * 16)
    async with db.transaction() as tx:
        assert await limits.get(tx, owner) == Limits(owner)
        wished = Limits(owner, international=False, countries=("BE", "CH"), minutes_per_day=0, cents_per_month=5000)
        assert await limits.save(tx, wished) == await limits.get(tx, owner) == wished
        again = Limits(owner, premium=True, max_calls=2)
        await limits.save(tx, again)
        await limits.save(tx, Limits("default", international=True))
        assert await limits.get(tx, owner) == again
        assert (await limits.get(tx, "default")).international is True
        await limits.remove(tx, owner)
        assert await limits.get(tx, owner) == Limits(owner)
        for wrong in (Limits("alice"), Limits(owner, countries=("fr",)), Limits(owner, minutes_per_day=-1)):
            with pytest.raises(Invalid):
                await limits.save(tx, wrong)


async def test_sums_by_day_and_month(db: Database) -> None:
    owner, other = limits.of_account("ab" * 16), limits.of_trunk("ab" * 16)
    async with db.transaction() as tx:
        assert await usage.of_day(tx, owner, DAY) == await usage.of_month(tx, owner, DAY) == Usage()
        await usage.add(tx, owner, DAY, 60, 20_000)
        await usage.add(tx, owner, DAY, 30, 5_000_000_000, calls=0)
        await usage.add(tx, owner, DAY.replace(day=1), 10, 1)
        await usage.add(tx, owner, DAY - timedelta(30), 1000, 1000)
        await usage.add(tx, other, DAY, 7, 7)
        assert await usage.of_day(tx, owner, DAY) == Usage(90, 5_000_020_000, 1)
        assert await usage.of_month(tx, owner, DAY) == Usage(100, 5_000_020_001, 2)
        assert await usage.of_day(tx, other, DAY) == Usage(7, 7, 1)
        assert await usage.remove_before(tx, DAY) == 2
        assert await usage.of_month(tx, owner, DAY) == Usage(90, 5_000_020_000, 1)
        with pytest.raises(Invalid):
            await usage.add(tx, owner, DAY, -1, 0)
        with pytest.raises(Invalid):
            await usage.add(tx, "+33142000000", DAY, 1, 0)


async def test_an_emergency_service_that_calls_back_is_known(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        old = EmergencyCall("01" * 16, now - timedelta(hours=2), None, "15", None, False, "running", ())
        real = EmergencyCall("02" * 16, now, alice.id, "112", NOBODY, False, "running", ())
        drill = EmergencyCall("03" * 16, now + timedelta(minutes=1), alice.id, "112", None, True, "answered", ())
        for call in (old, real, drill):
            await emergency_calls.add(tx, call, presented=MAIN)
        assert await emergency_calls.list_all(tx) == (drill, real, old)
        assert await emergency_calls.list_all(tx, limit=1) == (drill,)
        assert await emergency_calls.latest_of_presented(tx, MAIN, now - timedelta(hours=1)) == real
        assert await emergency_calls.latest_of_presented(tx, MAIN, now + timedelta(seconds=1)) is None
        assert await emergency_calls.latest_of_presented(tx, OTHER, now - timedelta(hours=1)) is None
        ended = await emergency_calls.finish(tx, real.id, "answered", trunk_id="ab" * 16, reported_to=[alice.id])
        assert ended == replace(real, outcome="answered", trunk_id="ab" * 16, reported_to=(alice.id,))
        assert await emergency_calls.finish(tx, real.id, "answered") == ended
        assert await emergency_calls.remove(tx, old.id) and not await emergency_calls.remove(tx, old.id)
        with pytest.raises(NotFound):
            await emergency_calls.finish(tx, old.id, "answered")
        with pytest.raises(Invalid):
            await emergency_calls.add(tx, replace(old, number="+33612345678"))


async def test_a_removed_account_leaves_nothing_of_its_own(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        owner = limits.of_account(alice.id)
        await devices.add(tx, alice.id, "desk", "alice-1", HA1, now)
        await numbers_owned.add(tx, MAIN, account_id=alice.id)
        await call_settings.save(tx, CallSettings(alice.id, forward_always=OTHER))
        await limits.save(tx, Limits(owner, premium=True))
        await usage.add(tx, owner, DAY, 1, 1)
        await emergency_calls.add(tx, EmergencyCall("01" * 16, now, alice.id, "112", None, False, "answered", ()))
        await accounts.remove(tx, alice.id)
        assert await call_settings.list_all(tx) == ()
        assert await limits.get(tx, owner) == Limits(owner)
        assert await usage.of_day(tx, owner, DAY) == Usage()
        assert [one.account_id for one in await numbers_owned.list_all(tx)] == [None]
        assert [one.account_id for one in await emergency_calls.list_all(tx)] == [None]


@pytest.mark.promise("0.1")
async def test_no_number_and_no_credential_lies_in_clear(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        await trunk(tx, now, domain="voice.example", realm="secretrealm", sources=("192.0.2.77",))
        await numbers_owned.add(tx, OTHER, account_id=alice.id)
        await call_settings.save(tx, CallSettings(alice.id, forward_always="+33612345678", presented=OTHER))
        call = EmergencyCall("01" * 16, now, alice.id, "112", None, False, "running", ())
        await emergency_calls.add(tx, call, presented=OTHER)
    written = await raw(db)
    assert b"01" * 16 in written
    for secret in (HA1, "142000000", "142000001", "612345678", "provider.example", "voice.example", "secretrealm"):
        assert secret.encode() not in written
    assert b"192.0.2.77" not in written


def test_a_record_does_not_show_its_secrets(now: datetime) -> None:
    one = Trunk("id", "north", "h", 5061, "tls", "d", True, False, True, "u", "r", HA1, (), 1, 1, 1, MAIN, "plus",
                True, now)  # fmt: skip
    assert HA1 not in repr(one) and MAIN not in repr(one)
    assert MAIN not in repr(numbers_owned.OwnedNumber("id", MAIN, None, None, None, True))
    assert MAIN not in repr(CallSettings("id", forward_always=MAIN, presented=MAIN))
