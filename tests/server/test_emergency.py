"""Emergency calls: planned from memory, written down, told to those who are named. Drills stay in the house."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from config.settings import Settings
from server import emergency_reports
from server.directory_memory import DirectoryMemory
from server.emergency_planner import EmergencyFirst, EmergencyPlanner
from server.emergency_reports import EmergencyReports, text
from server.messenger import Messenger
from server.services.context import Services
from server.trunks_desk import TrunksDesk
from sip.calls.plan import CallPlan, LineKind, Outcome, PromptFile, Refusal, TrunkTarget
from sip.calls.ports import ClosedCall
from sip.edge.protocol import MESSAGE_MAX_BYTES, EdgeRequest
from sip.edge.trunks import TrunkState
from storage import accounts, devices, emergency_calls
from storage.database import Database
from storage.errors import Unavailable
from tests.server.duty_house import MAIN_NUMBER, NOW, Edge, add_trunk, invite, own_number
from tests.sip.worker.rig import until

pytestmark = pytest.mark.promise("P12")

OWN = "+33100000007"


class Inner:
    """Plans what is no emergency: not asked here."""

    async def plan(self, request: EdgeRequest, now: datetime) -> Refusal:
        return Refusal(404, "Not Found", "unknown")


class Prompts:
    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        return PromptFile(prompt_id, "1", language, "ab" * 32, Path(f"/{prompt_id}.wav"), 1000)

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None: ...


def configured(settings: Settings, **emergency: object) -> Settings:
    return settings.model_copy(update={"emergency": settings.emergency.model_copy(update=emergency)})


@dataclass
class House:
    """`account` and its device `phone`; `settings` may be replaced."""

    db: Database
    edge: Edge
    memory: DirectoryMemory
    trunks: TrunksDesk
    planner: EmergencyPlanner
    first: EmergencyFirst
    reports: EmergencyReports
    settings: Settings
    account: accounts.Account
    phone: str

    async def learn(self) -> None:
        await self.memory.refresh()
        await self.trunks.load()

    async def plan(self, dialled: str, auth_user: str | None = None) -> CallPlan:
        plan = await self.first.plan(invite(dialled, self.phone if auth_user is None else auth_user), NOW)
        assert isinstance(plan, CallPlan), plan
        return plan

    def close(self, plan: CallPlan, cause: str = "callee-hung-up", leg: str | None = "b0") -> None:
        self.reports.ended(ClosedCall(plan, Outcome(200, cause, leg), NOW, NOW, 1.0, ()))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(part()) for part in (self.reports.write, self.reports.tell)]  # noqa: TID251
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def written(self) -> tuple[emergency_calls.EmergencyCall, ...]:
        async with self.db.read() as tx:
            return await emergency_calls.list_all(tx)


@pytest.fixture
async def house(services: Services) -> House:
    edge = Edge()
    memory = DirectoryMemory(services.db)
    trunks = TrunksDesk(services.db, edge, dict)
    async with services.db.read() as tx:
        account = (await accounts.list_all(tx))[0]
        phone = (await devices.list_all(tx, account.id))[0].auth_user

    def settings() -> Settings:
        return house.settings

    planner = EmergencyPlanner(memory, trunks, Prompts(), settings)
    messenger = Messenger(edge, lambda account_id: memory.now.devices.get(account_id, ()))
    reports = EmergencyReports(
        services.db, memory, messenger, settings, lambda: NOW, planner.presented, planner.location_of
    )
    first = EmergencyFirst(planner, Inner())  # type: ignore[arg-type]
    house = House(services.db, edge, memory, trunks, planner, first, reports, services.settings, account, phone)
    return house


def ways(plan: CallPlan) -> list[TrunkTarget]:
    found = [target for _, target in plan.targets()]
    assert all(isinstance(target, TrunkTarget) for target in found)
    return found  # type: ignore[return-value]


def locked(monkeypatch: pytest.MonkeyPatch, db: Database) -> None:
    @asynccontextmanager
    async def never(*_: object) -> AsyncIterator[None]:
        await asyncio.sleep(5)
        raise Unavailable("locked")
        yield

    monkeypatch.setattr(db, "read", never)
    monkeypatch.setattr(db, "transaction", never)


# --- planning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialled", ["112", "15", "0112", "+33112", "*8112", "112%23"])
async def test_an_emergency_is_recognised_however_it_is_dialled(house: House, dialled: str) -> None:
    house.settings = house.settings.model_copy(
        update={"numbering": house.settings.numbering.model_copy(update={"outside_prefix": "0"})}
    )
    assert house.planner.is_emergency(invite(dialled))


@pytest.mark.parametrize("facts", [{"kind": "dial"}, {"trunk": "t1"}, {"request_user": "1122"}])
async def test_what_is_none_is_left_to_the_ordinary_planner(house: House, facts: dict[str, object]) -> None:
    request = invite("112", **{"auth_user": house.phone} | facts)  # type: ignore[arg-type]
    assert not house.planner.is_emergency(request)
    assert isinstance(await house.first.plan(request, NOW), Refusal)


async def test_a_database_that_does_not_answer_holds_up_no_emergency_call(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = await add_trunk(house.db)
    await own_number(house.db, OWN, house.account.id)
    house.settings = configured(house.settings, location={"default": "<https://example.org/site.xml>"})
    await house.learn()
    locked(monkeypatch, house.db)
    async with asyncio.timeout(0.5):
        plan = await house.plan("112")
    way = ways(plan)[0]
    assert (plan.emergency, plan.recording.record, plan.prompts, plan.ceiling) == (True, False, {}, None)
    assert (way.trunk_id, way.number, way.from_user) == (trunk.id, "112", OWN)
    assert way.headers["Geolocation"] == "<https://example.org/site.xml>" and OWN in way.headers["P-Asserted-Identity"]
    assert plan.caller.account_id == house.account.id


async def test_a_phone_that_nobody_knows_gets_through_with_the_main_number(house: House) -> None:
    await add_trunk(house.db)
    await house.learn()
    plan = await house.plan("17", "")
    assert plan.caller.account_id is None and ways(plan)[0].from_user == MAIN_NUMBER


async def test_a_disabled_account_calls_for_help_as_itself(house: House) -> None:
    await add_trunk(house.db)
    async with house.db.transaction() as tx:
        await accounts.disable(tx, house.account.id, NOW)
    await house.learn()
    assert (await house.plan("18")).caller.account_id == house.account.id


async def test_a_phone_that_was_added_a_moment_ago_is_known(house: House) -> None:
    await add_trunk(house.db)
    await house.learn()
    async with house.db.transaction() as tx:
        await devices.add(tx, house.account.id, "new", "brand-new", "ab" * 16, NOW)
    task = asyncio.get_running_loop().create_task(house.memory.run())  # noqa: TID251 - ended below
    plan = await house.plan("112", "brand-new")
    task.cancel()
    assert plan.caller.account_id == house.account.id


async def test_trunks_are_tried_in_the_named_order_and_the_dead_ones_last(house: House) -> None:
    for name, preference in (("first", 1), ("second", 2), ("third", 3)):
        await add_trunk(house.db, name, preference=preference)
    await house.learn()
    names = {trunk.id: trunk.name for trunk in house.trunks.enabled}

    async def order() -> list[str]:
        *found, again = [names[way.trunk_id] for way in ways(await house.plan("112"))]
        assert again == found[0], "after the last the first once more"
        return found

    assert await order() == ["first", "second", "third"]
    house.settings = configured(house.settings, trunks=("third", "nobody"))
    assert await order() == ["third", "first", "second"]
    house.edge.states = {one: TrunkState(None, names[one] != "third") for one in names}
    await house.trunks.look()
    assert await order() == ["first", "second", "third"]
    plan = await house.plan("112")
    assert [stage.parent for stage in plan.stages] == [-1, 0, 1, 2]
    assert all({"trunk-failed", "busy", "failed"} <= stage.after for stage in plan.stages[1:])


async def test_without_a_trunk_it_is_refused_aloud(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await house.learn()
    assert isinstance(await house.first.plan(invite("112", house.phone), NOW), Refusal)
    assert house.planner.without_a_way == 1
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


@pytest.mark.parametrize(("dialled", "on", "prompt"), [("*112", False, "PROMPT_DRILL"), ("112", True, "_ON")])
async def test_a_drill_never_leaves_the_machine(house: House, dialled: str, on: bool, prompt: str) -> None:
    await add_trunk(house.db)
    await house.learn()
    house.settings = configured(house.settings, drill=on)
    assert not house.planner.is_emergency(invite(dialled))
    plan = await house.plan(dialled)
    assert plan.kind is LineKind.DRILL and plan.stages == () and not plan.emergency
    assert plan.service.endswith(prompt) and len(plan.prompts) == 1


# --- written down and told ----------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.messenger.AGAIN_S", 0.02)
    monkeypatch.setattr(emergency_reports, "WRITE_AGAIN_S", 0.02)


async def test_a_call_is_written_down_and_told_to_whom_is_named(
    house: House, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    trunk = await add_trunk(house.db)
    house.settings = configured(house.settings, notify=(house.account.name, "nobody"))
    house.edge.takes = {house.phone}
    await house.learn()
    plan = await house.plan("112")
    async with house.at_work():
        house.reports.began(plan)
        await until(lambda: bool(house.edge.messages))
        house.close(plan)
        await until(lambda: not house.reports._cases)
    ((to, message),) = house.edge.messages
    assert to == house.phone and "112" in message and house.account.display_name in message
    assert house.account.extension in message
    (call,) = await house.written()
    assert (call.id, call.outcome, call.trunk_id, call.drill) == (plan.call_id, "callee-hung-up", trunk.id, False)
    assert call.reported_to == (house.account.id,) and call.account_id == house.account.id
    async with house.db.read() as tx:
        back = await emergency_calls.latest_of_presented(tx, MAIN_NUMBER, NOW)
    assert back is not None and back.id == plan.call_id, "a call-back finds the caller"
    assert house.account.display_name not in caplog.text and MAIN_NUMBER not in caplog.text


async def test_a_phone_that_takes_no_message_is_tried_again(house: House, quick: None) -> None:
    await add_trunk(house.db)
    house.settings = configured(house.settings, notify=(house.account.name,))
    await house.learn()
    plan = await house.plan("112")
    async with house.at_work():
        house.reports.began(plan)
        await until(lambda: house.reports.waiting == 1)
        house.edge.away = True
        await asyncio.sleep(0.1)
        house.edge.away, house.edge.takes = False, {house.phone}
        await until(lambda: bool(house.edge.messages))
        await until(lambda: house.reports.waiting == 0)
    assert house.reports.missed == 0


async def test_a_report_that_is_too_long_loses_its_end_and_is_sent(house: House, quick: None) -> None:
    house.edge.takes = {house.phone}
    await house.learn()
    assert await house.reports._messenger.deliver(house.account.id, "é" * 5000, 1.0)
    ((_, sent),) = house.edge.messages
    assert 100 < len(sent.encode()) <= MESSAGE_MAX_BYTES and set(sent) == {"é"}


async def test_who_cannot_be_told_in_time_is_counted(
    house: House, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency_reports, "PATIENCE_S", 0.1)
    await add_trunk(house.db)
    house.settings = configured(house.settings, notify=(house.account.name,))
    await house.learn()
    async with house.at_work():
        house.reports.began(await house.plan("112"))
        await until(lambda: house.reports.missed == 1)
        await until(lambda: house.reports.waiting == 0)
    assert [call.reported_to for call in await house.written()] == [()]


async def test_a_database_that_comes_back_is_told_then(
    house: House, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_trunk(house.db)
    await house.learn()
    plan = await house.plan("112")
    real, left = emergency_calls.add, [3]

    async def at_last(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] > 0:
            raise Unavailable("locked")
        return await real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(emergency_calls, "add", at_last)
    async with house.at_work():
        house.reports.began(plan)
        house.close(plan, "cancelled", None)
        await until(lambda: not house.reports._cases)
    assert [(call.outcome, call.trunk_id) for call in await house.written()] == [("cancelled", None)]


async def test_a_help_line_is_neither_told_nor_written_down(house: House, quick: None) -> None:
    await add_trunk(house.db)
    house.settings = configured(house.settings, notify=(house.account.name,))
    house.edge.takes = {house.phone}
    await house.learn()
    plan = await house.plan("119")
    assert plan.emergency and plan.metadata_class == "none"
    async with house.at_work():
        house.reports.began(plan)
        house.close(plan)
        await asyncio.sleep(0.1)
    assert await house.written() == () and house.edge.messages == [] and house.reports.calls == 1


async def test_a_drill_is_told_as_a_drill(house: House, quick: None) -> None:
    house.settings = configured(house.settings, notify=(house.account.name,))
    house.edge.takes = {house.phone}
    await house.learn()
    plan = await house.plan("*112")
    async with house.at_work():
        house.reports.began(plan)
        house.close(plan, "service", None)
        await until(lambda: not house.reports._cases)
    assert "xercice" in house.edge.messages[0][1] or "rill" in house.edge.messages[0][1]
    assert [call.drill for call in await house.written()] == [True]
    async with house.db.read() as tx:
        assert await emergency_calls.latest_of_presented(tx, MAIN_NUMBER, NOW) is None


def test_the_words_of_a_report() -> None:
    said: Callable[..., str] = lambda language, **more: text(  # noqa: E731 - shorter to read
        language, **({"drill": False, "who": "Alice (201)", "number": "112", "at": NOW, "where": ""} | more)
    )
    time = NOW.astimezone().strftime("%H:%M")
    assert said("fr") == f"APPEL D'URGENCE : Alice (201) a composé le 112 à {time}."
    assert said("de", where="Hall 3") == f"EMERGENCY CALL: Alice (201) dialled 112 at {time}. Location: Hall 3"
    assert "unknown device" in said("en", who="")
    assert said("en", drill=True).startswith("Drill: ")
