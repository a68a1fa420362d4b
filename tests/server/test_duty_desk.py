"""The duties as the daemon has them: what the edge is told, what the planner is answered, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from server.duty_desk import DutyDesk
from server.services import operations
from server.services.actor import Actor
from server.services.context import Services
from sip.calls.duty import OutsideLeg
from sip.calls.plan import Ceiling, PromptFile, TrunkTarget
from sip.edge.rpc import RpcError
from sip.edge.trunks import TrunkState
from storage import accounts, limits, people, trunks
from storage.errors import Unavailable
from storage.limits import Limits
from tests.server.duty_house import MAIN_NUMBER, Edge, add_trunk
from tests.sip.worker.rig import until

FRENCH = {"112", "15", "17", "18", "114"}


class Prompts:
    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        return None

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None: ...


@dataclass
class Calls:
    """Call control, with these legs outside."""

    legs: list[OutsideLeg] = field(default_factory=list)
    ceilings: list[tuple[str, Ceiling | None]] = field(default_factory=list)

    def outside(self) -> list[OutsideLeg]:
        return self.legs

    def set_ceiling(self, call_id: str, ceiling: Ceiling | None) -> bool:
        self.ceilings.append((call_id, ceiling))
        return True

    def talks(self, account_id: str) -> bool:
        return account_id == "talker"

    def ringing(self, account_ids: Collection[str]) -> str | None:
        return None


@dataclass
class House:
    services: Services
    edge: Edge
    calls: Calls
    desk: DutyDesk

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(part()) for part in self.desk.parts().values()]  # type: ignore[arg-type] # noqa: TID251
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.fixture
def house(services: Services) -> House:
    edge, calls = Edge(), Calls()
    desk = DutyDesk(services.db, edge, Prompts(), lambda: services.settings, lambda: datetime.now(UTC))
    desk.attend(calls)
    return House(services, edge, calls, desk)


@pytest.mark.promise("P12")
async def test_the_edge_knows_what_it_needs_to_relay_alone(house: House) -> None:
    trunk = await add_trunk(house.services.db)
    await house.desk.attach(house.edge)
    ((numbers, ways, prefixes, presented),) = house.edge.emergency
    assert set(numbers) >= FRENCH and ways == (trunk.id,)  # type: ignore[call-overload]
    assert "119" in house.edge.discreet and not set(house.edge.discreet) & FRENCH
    assert presented == {trunk.id: MAIN_NUMBER} and "*8" in prefixes  # type: ignore[operator]
    assert set(house.edge.trunks) == {trunk.id}


@pytest.mark.promise("P12")
async def test_during_a_drill_the_edge_relays_nothing(house: House) -> None:
    await add_trunk(house.services.db)
    settings = house.services.settings
    house.services.settings = settings.model_copy(
        update={"emergency": settings.emergency.model_copy(update={"drill": True})}
    )
    await house.desk.applied()
    assert house.edge.emergency[-1][0] == ()


@pytest.mark.promise("P12")
async def test_a_new_edge_is_told_what_was_known_while_the_database_does_not_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = await add_trunk(house.services.db)
    await house.desk.attach(house.edge)

    async def locked(*_: object, **__: object) -> None:
        raise Unavailable("locked")

    monkeypatch.setattr(trunks, "list_all", locked)
    fresh = Edge()
    await house.desk.attach(fresh)
    assert set(fresh.trunks) == {trunk.id} and fresh.emergency[0][1] == (trunk.id,)


async def test_a_change_reaches_the_edge_and_one_that_is_away_hears_later(house: House) -> None:
    await house.desk.trunks_changed(house.edge)
    trunk = await add_trunk(house.services.db)
    house.edge.away = True
    await house.desk.trunks_changed(house.edge)
    assert house.edge.trunks == {} and [one.id for one in house.desk.trunks.enabled] == [trunk.id]
    with pytest.raises(RpcError):
        await house.desk.attach(house.edge)
    house.edge.away = False
    await house.desk.trunks_changed(house.edge)
    assert set(house.edge.trunks) == {trunk.id}


async def test_the_edge_tries_a_trunk_that_has_gone_down_last(house: House) -> None:
    one = await add_trunk(house.services.db, "one", preference=1)
    two = await add_trunk(house.services.db, "two", preference=2)
    async with house.at_work():
        await house.desk.attach(house.edge)
        assert house.edge.emergency[-1][1] == (one.id, two.id)
        house.edge.states = {one.id: TrunkState(None, False), two.id: TrunkState(None, True)}
        house.desk.trunk_failed(one.id)
        await until(lambda: house.edge.emergency[-1][1] == (two.id, one.id), 5)
    assert house.desk.trunk_up(one.id) is False and house.desk.trunk_up(two.id) and house.desk.trunk_up("?") is None
    assert house.desk.gauges()["trunks_down"] == 1.0


@pytest.mark.promise("P13")
async def test_administrators_hear_of_a_limit_and_the_call_of_its_ceiling(house: House) -> None:
    db = house.services.db
    async with db.transaction() as tx:
        account = (await accounts.list_all(tx))[0]
        admin = await people.add(tx, "boss", "Boss", datetime.now(UTC), roles=("admin",))
        owned = await accounts.add(tx, "boss", "901", "Boss", datetime.now(UTC), person_id=admin.id)
        await limits.save(tx, Limits(limits.of_account(account.id), minutes_per_day=10))
    trunk = await add_trunk(db)
    target = TrunkTarget("b0", trunk.id, "+33123456789", "", "", False, payer=account.id)
    loop = asyncio.get_running_loop()
    house.calls.legs = [OutsideLeg("one", "b0", trunk.id, target, answered_s=loop.time() - 500)]
    await house.desk.memory.refresh()
    assert house.desk.memory.now.admins == {owned.id}
    delivered: list[tuple[str, str]] = []

    async def deliver(account_id: str, text: str, patience_s: float) -> bool:
        delivered.append((account_id, text))
        return True

    house.desk.messenger.deliver = deliver  # type: ignore[method-assign]
    async with house.at_work():
        house.desk.leg_answered(house.calls.legs[0])
        await until(lambda: bool(delivered), 5)
    ((to, text),) = delivered
    assert to == owned.id and account.name in text and "80" in text
    ((call_id, ceiling),) = house.calls.ceilings
    assert call_id == "one" and ceiling is not None and 95 < ceiling.talk_s <= 100
    assert house.desk.counters()["limit_alerts"] == 1.0
    shown = await operations.call("account.limits", house.services, Actor("os:1", "desk"), {"name": account.name})
    assert shown["alerts"] == ["minutes_per_day"]  # type: ignore[index,call-overload]
    assert house.desk.running(limits.of_account(account.id)).calls == 1 and house.desk.channels_in_use(trunk.id) == 1
    assert house.desk.talks("talker") and not house.desk.talks("other")
