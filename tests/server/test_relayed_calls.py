"""Emergency calls that the edge relayed alone: written down and told once, also over a crash, then forgotten there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from server import emergency_reports
from server.emergency_reports import EmergencyReports
from server.relayed_calls import RelayedCalls
from sip.edge.relayed import key_of
from sip.edge.state import RelayedCall
from storage import emergency_calls
from storage.errors import Unavailable
from tests.server.duty_house import MAIN_NUMBER, NOW, add_trunk, invite
from tests.server.test_emergency import House, configured, house  # noqa: F401 - a fixture
from tests.sip.worker.rig import until

pytestmark = pytest.mark.promise("P12")

CALL_ID = "of the phone"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.messenger.AGAIN_S", 0.02)
    monkeypatch.setattr(emergency_reports, "WRITE_AGAIN_S", 0.02)
    monkeypatch.setattr("server.relayed_calls.AGAIN_S", 0.02)


@pytest.fixture
async def ready(house: House) -> House:  # noqa: F811
    """Its own account is to be told."""
    await add_trunk(house.db)
    house.settings = configured(house.settings, notify=(house.account.name,))
    house.edge.takes = {house.phone}
    await house.learn()
    return house


def relayed(house: House, *, minutes_ago: float = 60, how: str = "ended", **facts: object) -> RelayedCall:  # noqa: F811
    began = NOW - timedelta(minutes=minutes_ago)
    (trunk,) = house.trunks.enabled
    values: dict[str, object] = {
        "key": key_of(CALL_ID),
        "at": began,
        "account_id": house.account.id,
        "device": house.phone,
        "number": "112",
        "trunk_id": trunk.id,
        "over_at": began if how else None,
        "how": how,
    }
    return RelayedCall(**(values | facts))  # type: ignore[arg-type]


def looking(house: House) -> RelayedCalls:  # noqa: F811
    return RelayedCalls(house.edge, house.memory, house.planner, house.reports, lambda: NOW)


@asynccontextmanager
async def at_work(house: House, calls: RelayedCalls) -> AsyncIterator[None]:  # noqa: F811
    async with house.at_work():
        task = asyncio.get_running_loop().create_task(calls.run())  # noqa: TID251 - ended below
        calls.look_soon()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def reborn(house: House) -> None:  # noqa: F811
    """The daemon has died: what it had in memory is gone."""
    presented, location = house.planner.presented, house.planner.location_of
    old = house.reports
    house.reports = EmergencyReports(
        house.db, house.memory, old._messenger, lambda: house.settings, lambda: NOW, presented, location
    )


async def test_it_is_written_down_told_late_and_forgotten(ready: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    call = relayed(ready)
    ready.edge.relayed = [call]
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    ((to, message),) = ready.edge.messages
    assert to == ready.phone and "112" in message and ready.account.extension in message
    assert call.at.astimezone().strftime("%Y-%m-%d %H:%M") in message
    (written,) = await ready.written()
    assert (written.at, written.account_id, written.number) == (call.at, ready.account.id, "112")
    assert (written.trunk_id, written.outcome, written.drill) == (call.trunk_id, "relayed", False)
    assert written.reported_to == (ready.account.id,) and ready.reports.relays == 1
    async with ready.db.read() as tx:
        back = await emergency_calls.latest_of_presented(tx, MAIN_NUMBER, NOW - timedelta(days=1))
    assert back is not None and back.id == written.id, "a call-back finds the caller"
    assert ready.account.display_name not in caplog.text and MAIN_NUMBER not in caplog.text


async def test_a_crash_before_it_is_forgotten_makes_no_second_report(ready: House) -> None:
    call = relayed(ready)
    for _ in range(2):
        ready.edge.relayed = [call]  # the edge was not told to forget
        async with at_work(ready, looking(ready)):
            await until(lambda: ready.edge.relayed == [])
        reborn(ready)
    assert len(ready.edge.messages) == 1 and len(await ready.written()) == 1


async def test_a_crash_before_it_is_told_leaves_the_telling_to_the_next(ready: House) -> None:
    ready.edge.relayed, ready.edge.takes = [relayed(ready)], set()
    async with at_work(ready, looking(ready)):
        while not await ready.written():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert ready.edge.relayed != [] and ready.edge.messages == []
    reborn(ready)
    ready.edge.takes = {ready.phone}
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    assert len(ready.edge.messages) == 1
    assert [one.reported_to for one in await ready.written()] == [(ready.account.id,)]


async def test_who_cannot_be_reached_holds_nothing_up(ready: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency_reports, "PATIENCE_S", 0.1)
    ready.edge.relayed, ready.edge.takes = [relayed(ready)], set()
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    assert ready.reports.missed == 1 and len(await ready.written()) == 1


async def test_one_that_goes_on_is_told_at_once_and_its_end_follows(ready: House) -> None:
    going = relayed(ready, minutes_ago=0, how="", trunk_id=None)
    ready.edge.relayed = [going]
    calls = looking(ready)
    async with at_work(ready, calls):
        await until(lambda: bool(ready.edge.messages))
        assert going.at.astimezone().strftime("%H:%M.") in ready.edge.messages[0][1]
        ready.edge.relayed = [relayed(ready, minutes_ago=0)]
        calls.look_soon()
        await until(lambda: ready.edge.relayed == [])
    (written,) = await ready.written()
    assert written.outcome == "relayed" and written.trunk_id is not None and len(ready.edge.messages) == 1


async def test_an_edge_that_has_lost_it_leaves_it_in_the_list(ready: House) -> None:
    ready.edge.relayed = [relayed(ready, how="")]
    async with at_work(ready, looking(ready)):
        await until(lambda: bool(ready.edge.messages))
        ready.edge.relayed = []
        await until(lambda: not ready.reports._cases)
    assert [one.outcome for one in await ready.written()] == ["relayed"]


async def test_one_that_no_trunk_took_is_told_too(ready: House) -> None:
    ready.edge.relayed = [relayed(ready, how="failed", trunk_id=None)]
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    assert [(one.outcome, one.trunk_id) for one in await ready.written()] == [("trunk-failed", None)]
    assert len(ready.edge.messages) == 1


@pytest.mark.parametrize("planned_late", [False, True])
async def test_one_that_was_planned_and_relayed_all_the_same_is_one_call(ready: House, planned_late: bool) -> None:
    """The daemon was too slow by a moment: it had begun to report the call itself, or does so now."""
    request = invite("112", ready.phone, call_id=CALL_ID)
    plan = await ready.first.plan(request, NOW)
    ready.edge.relayed = [relayed(ready, minutes_ago=0)]
    async with at_work(ready, looking(ready)):
        if not planned_late:
            ready.reports.began(plan)  # type: ignore[arg-type]
            await until(lambda: bool(ready.edge.messages))
        await until(lambda: ready.edge.relayed == [])
        ready.reports.began(plan)  # type: ignore[arg-type]
        ready.close(plan, "cancelled", None)  # type: ignore[arg-type]
    assert len(ready.edge.messages) == 1
    assert [(one.id, one.outcome) for one in await ready.written()] == [(plan.call_id, "relayed")]  # type: ignore[union-attr]


async def test_a_phone_that_uses_its_call_id_again_has_made_two_calls(ready: House) -> None:
    for minutes_ago in (60, 30):
        ready.edge.relayed = [relayed(ready, minutes_ago=minutes_ago)]
        async with at_work(ready, looking(ready)):
            await until(lambda: ready.edge.relayed == [])
    assert len(await ready.written()) == 2 and len(ready.edge.messages) == 2


async def test_of_a_help_line_that_is_discreet_nothing_is_written(ready: House) -> None:
    """The edge does not even keep it; one that was pushed another list may."""
    ready.edge.relayed = [relayed(ready, number="119")]
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    assert await ready.written() == () and ready.edge.messages == []


async def test_an_account_that_is_gone_is_named_no_more(ready: House) -> None:
    call = replace(relayed(ready), account_id="gone", device="nobodys")
    ready.edge.relayed = [call]
    async with at_work(ready, looking(ready)):
        await until(lambda: ready.edge.relayed == [])
    assert [one.account_id for one in await ready.written()] == [None]


async def test_neither_the_edge_nor_the_database_need_be_there(ready: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.edge.relayed, ready.edge.away = [relayed(ready)], True
    calls, get = looking(ready), emergency_calls.get
    asked = 0

    async def at_last(*arguments: object) -> emergency_calls.EmergencyCall:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Unavailable("locked")
        return await get(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(emergency_calls, "get", at_last)
    await calls.look()
    ready.edge.away = False
    async with at_work(ready, calls):
        await until(lambda: ready.edge.relayed == [])
    assert len(await ready.written()) == 1 and len(ready.edge.messages) == 1
