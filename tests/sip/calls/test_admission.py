"""Emergency calls with real workers: past every limit, and whoever holds the channel they need gives way."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sip.calls.duty import Duty, OutsideLeg
from sip.calls.plan import CallPlan, Refusal, Stage, TrunkTarget
from sip.calls.ports import ClosedCall
from sip.edge.protocol import EdgeRequest, Reply, ToTrunk, ToWorker
from sip.worker.pool import WorkerPool
from tests.peers.ports import Ports
from tests.sip.calls.stage import House, at_work, plan_for, workers
from tests.sip.worker.phones import Dialog, EdgeSide
from tests.sip.worker.rig import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P12")]

HELP = "112"


class Outside:
    """Plans every call to the trunk "t1"; a call to HELP is an emergency."""

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        plan = plan_for(account=request.from_user)
        target = TrunkTarget("b0", "t1", request.request_user, "+33100000001", "", srtp=False)
        return replace(
            plan,
            call_id=secrets.token_hex(16),
            stages=(Stage((target,), 20.0, plan.callee),),
            direction="outbound",
            emergency=request.request_user == HELP,
        )


class Office(House):
    """A house whose calls go outside by one trunk of so many channels."""

    def __init__(self, engines: tuple[WorkerPool, EdgeSide], channels: int | None = None, **limits: int) -> None:
        super().__init__(*engines, **limits)
        self.control._planner = Outside()  # type: ignore[assignment]
        self.control.admission.is_emergency = lambda request: request.request_user == HELP
        self.control.admission._max_channels = lambda _: channels

    async def call(self, who: str, number: str) -> tuple[Dialog, object]:
        """Somebody calls; what the edge is answered, which is then done."""
        request = self.request(from_user=who, request_user=number)
        answer = await self.control.on_request(request)
        assert isinstance(answer, ToWorker), answer
        caller = await self.phones.caller(answer.port)
        del self.phones.dialogs[caller.call_id]
        caller.call_id = request.call_id
        self.phones.dialogs[caller.call_id] = caller
        caller.send_invite(answer.token)
        return caller, answer

    async def outside(self) -> tuple[Dialog, object]:
        """What a worker has dialled, and what the edge is told about it."""
        dialog = await self.phones.called()
        assert dialog.invite is not None
        return dialog, await self.dial(dialog.invite["X-Beffroi-Leg"], dialog.worker[1])

    async def talk_outside(self, who: str, number: str = "+33123456789") -> tuple[Dialog, Dialog]:
        caller, _ = await self.call(who, number)
        callee, answer = await self.outside()
        assert isinstance(answer, ToTrunk), answer
        await callee.pick_up()
        await caller.established()
        return caller, callee


async def test_limits_and_a_stopping_server_do_not_hold_up_an_emergency_call(
    engines: tuple[WorkerPool, EdgeSide],
) -> None:
    async with at_work(Office(engines, max_concurrent=1, max_per_account=1)) as office:
        caller, callee = await office.talk_outside("alice")
        for who in ("alice", "bob"):
            refused = await office.control.on_request(office.request(from_user=who, request_user="+33123456789"))
            assert isinstance(refused, Reply) and refused.code in (486, 503)
        helped, _ = await office.talk_outside("alice", HELP)
        assert len(office.control.live()) == 2 and office.control.counters["emergency"] == 1
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(office.control.drain(0.5, emergency_s=20))
            await asyncio.gather(caller.request("BYE"), callee.request("BYE"))
            await until(lambda: len(office.control.live()) == 1)
            await office.talk_outside("bob", HELP)
            assert not draining.done(), "the server waits for whoever calls for help"
            for call in office.control.live():
                office.control.hang_up(call.call_id)
        assert office.control.counters["preempted"] == 0
        del helped


async def test_on_a_full_trunk_the_newest_ordinary_call_gives_way(engines: tuple[WorkerPool, EdgeSide]) -> None:
    async with at_work(Office(engines, channels=2)) as office:
        first, _ = await office.talk_outside("alice")
        second, second_callee = await office.talk_outside("bob")
        await office.call("carol", "+33123456789")
        _, answer = await office.outside()
        assert isinstance(answer, Reply) and answer.code == 503, "an ordinary call finds the trunk full"

        await office.call("dave", HELP)
        async with asyncio.TaskGroup() as group:
            bye = group.create_task(second.request("BYE"))
            group.create_task(second_callee.request("BYE"))
            dialled = group.create_task(office.outside())
        assert "An emergency call needs the line" in bye.result()["Reason"]
        help_, answer = dialled.result()
        assert answer == ToTrunk("t1", HELP, 25)
        await help_.pick_up()
        await until(lambda: "emergency-preempted" in [closed.outcome.cause for closed in office.book.closed])
        seats = office.control.seats()
        assert sorted(seat.emergency for seat in seats if seat.trunks) == [False, True], "the oldest talks on"
        assert office.control.counters["preempted"] == 1
        first.send("BYE")


async def test_no_emergency_call_gives_way_to_another(engines: tuple[WorkerPool, EdgeSide]) -> None:
    async with at_work(Office(engines, channels=1)) as office:
        await office.talk_outside("alice", HELP)
        await office.talk_outside("bob", HELP)
        assert len(office.control.live()) == 2 and office.control.counters["preempted"] == 0


async def test_a_worker_is_kept_for_an_emergency_and_after_that_the_newest_call_gives_way(tmp_path: Path) -> None:
    ports = Ports(100)
    async with workers(tmp_path, ports, count=2, reserve=1) as engines, at_work(Office(engines)) as office:
        caller, callee = await office.talk_outside("alice")
        refused = await office.control.on_request(office.request(from_user="bob", request_user="+33123456789"))
        assert isinstance(refused, Reply) and refused.code == 503, "the last one is not for ordinary calls"
        await office.talk_outside("carol", HELP)
        assert office.control.counters["preempted"] == 0
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.request("BYE"))
            group.create_task(callee.request("BYE"))
            helped = group.create_task(office.talk_outside("dave", HELP))
        assert helped.done() and office.control.counters["preempted"] == 1
        await until(lambda: [seat.emergency for seat in office.control.seats()] == [True, True])
    ports.close()


class Watch(Duty):
    """What is told beside the calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def began(self, plan: CallPlan) -> None:
        self.told.append(("began", plan.call_id))

    def ended(self, closed: ClosedCall) -> None:
        self.told.append(("ended", closed.plan.call_id))

    def leg_answered(self, leg: OutsideLeg) -> None:
        self.told.append(("answered", leg.leg))

    def leg_ended(self, leg: OutsideLeg, talk_s: float) -> None:
        self.told.append(("free", talk_s > 0))

    def trunk_failed(self, trunk_id: str) -> None:
        self.told.append(("failed", trunk_id))


async def test_what_goes_on_outside_is_told_as_it_happens(engines: tuple[WorkerPool, EdgeSide]) -> None:
    async with at_work(Office(engines)) as office:
        office.control.duty = watch = Watch()
        caller, callee = await office.talk_outside("alice")
        (leg,) = office.control.outside()
        assert leg.trunk_id == "t1" and leg.target is not None and leg.answered_s is not None
        callee.send("BYE")
        await caller.request("BYE")
        await office.over()
        assert [name for name, _ in watch.told] == ["began", "answered", "free", "ended"]
        assert watch.told[2] == ("free", True) and office.control.outside() == []

        watch.told.clear()
        await office.call("bob", "+33123456789")
        dialled, _ = await office.outside()
        dialled.refuse(503, "Service Unavailable")
        await office.over()
        assert [told for told in watch.told if told[0] != "began" and told[0] != "ended"] == [
            ("failed", "t1"),
            ("free", False),
        ]
