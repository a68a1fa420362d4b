"""What holds however often and in whatever order calls are passed on: real conversations and transfers, workers and
phones that answer at once. After each step it is looked up whom each phone hears, through all workers, and who is
recorded."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.calls.acts import Gap
from sip.calls.chains import Place, depth, held_at
from sip.calls.conversation import Conversation
from sip.calls.duty import Duty
from sip.calls.observatory import Observatory
from sip.calls.plan import CallPlan, Joining, Party, Stage, Target, TransferRequest
from sip.calls.ports import RecordingOrder
from sip.calls.transfers import Transfers
from sip.edge.protocol import EdgeRequest, Reply
from sip.worker import protocol as p
from tests.sip.calls.stage import NOW, RECORDED, Book, plan_for

PEOPLE = 4
SETTLED = 60  # turns of the loop without anything new


@dataclass(eq=False)
class Phone:
    """One leg of somebody, seen from the telephone."""

    owner: str
    worker: Worker
    leg: str
    told: list[p.Notify] = field(default_factory=list)
    second: Phone | None = None  # named in Replaces: ends with this one

    @property
    def call_id(self) -> str:
        return f"{self.worker.port}-{self.leg}"


class Worker:
    """A worker whose phones and joints answer at once."""

    clock_hz = 8000
    gone = False
    pid = 1

    def __init__(self, world: World, port: int) -> None:
        self.world, self.port = world, port
        self.expected: dict[str, str] = {}
        self.bridged: set[frozenset[str]] = set()
        self.up: set[str] = set()
        self.listen_to: Callable[[Any], None] = lambda event: None

    def listen(self, listener: Callable[[Any], None]) -> None:
        self.listen_to = listener

    def tell(self, *events: Any) -> None:
        for event in events:
            self.world.busy()
            asyncio.get_running_loop().call_soon(self.listen_to, event)

    def send(self, command: Any, descriptors: Iterable[int] = ()) -> None:
        self.world.busy()
        match command:
            case p.Expect(token=token, leg=leg):
                self.expected[token] = leg
            case p.Answer(leg=leg, code=200):
                self.comes_up(leg)
                if (joint := self.world.joints.get((self, leg))) is not None:
                    joint[0].comes_up(joint[1])
            case p.Dial():
                self.tell(p.LegDialled(command.leg, f"{self.port}-{command.leg}"))
                self.world.dialled(self, command)
            case p.Hangup(leg=leg):
                self.world.down(self, leg)
            case p.Bridge(a=a, b=b, on=on):
                (self.bridged.add if on else self.bridged.discard)(frozenset((a, b)))
            case p.Notify(leg=leg):
                self.world.notified(self, command)
            case p.Capture():
                self.tell(p.Captured())
            case p.StopCapture():
                self.tell(p.CaptureStopped())
            case p.Measure(leg=leg):
                self.tell(p.LegQuality(leg, 0, 0, 0, 0, 0, final=False))

    def comes_up(self, leg: str) -> None:
        self.up.add(leg)
        self.tell(p.LegUp(leg), p.LegMedia(leg, True))

    def bridged_to(self, leg: str) -> str | None:
        found = [next(iter(pair - {leg})) for pair in self.bridged if leg in pair and pair <= self.up]
        assert len(found) <= 1, "a conversation has two parties"
        return found[0] if found else None


class World:
    """Everything around conversations and transfers."""

    def __init__(self) -> None:
        self.calls: list[Conversation] = []
        self.phones: list[Phone] = []
        self.joints: dict[tuple[Worker, str], tuple[Worker, str]] = {}
        self.transfers = Transfers(self)  # type: ignore[arg-type]
        self.refuses = False  # who is rung next
        self.orders: dict[str, RecordingOrder] = {}
        self.running: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []
        self._ports, self._moved = itertools.count(1), 0
        # what a conversation needs of its house
        self.counters: Counter[str] = Counter()
        self.admission = SimpleNamespace(freed=lambda: None)
        self.pause_max_s, self.duty, self.observatory, self.book = 60.0, Duty(), Observatory(), Book()
        self.edge, self.planner, self.recordings = self, self, self

    def now(self) -> datetime:
        return NOW

    def conversations(self) -> list[Conversation]:
        return self.calls

    def may_dial(self, conversation: Conversation, stages: Iterable[Stage]) -> None:
        conversation.targets |= {target.leg: target for stage in stages for target in stage.targets}

    # --- planning, and what lies behind ports ---------------------------------------------------

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining:
        await asyncio.sleep(0)
        who = person(transfer.target)
        stage = Stage((Target("c0", (transfer.target,), False),), 20.0, who)
        return Joining((stage,), who, terms(), {}, "minimal")

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        await asyncio.sleep(0)
        return Joining((), joins, terms(), {}, "minimal")

    async def dialog_tags(self, call_id: str) -> tuple[str, str]:
        await asyncio.sleep(0)
        return "a", "b"

    async def begin(self, order: RecordingOrder, fds: tuple[int, int], now: datetime) -> None:
        self.orders[order.rec_id] = order
        self.running.add(order.rec_id)

    async def finish(self, rec_id: str, now: datetime, gaps: tuple[Gap, ...] = ()) -> bool:
        self.running.discard(rec_id)
        return True

    async def discard(self, rec_id: str, now: datetime) -> None:
        self.running.discard(rec_id)

    # --- workers ----------------------------------------------------------------------------------

    def busy(self) -> None:
        self._moved += 1

    async def settle(self) -> None:
        """Until nothing more happens by itself."""
        still, seen = 0, -1
        while still < SETTLED:
            still = still + 1 if seen == self._moved else 0
            seen = self._moved
            await asyncio.sleep(0)

    def dialled(self, worker: Worker, dial: p.Dial) -> None:
        joint = self.transfers.joint(dial.token, worker.port)
        if joint is not None:
            other = next(call.worker for call in self.calls if call.worker.port == joint.port)
            assert isinstance(other, Worker)
            there = other.expected.pop(joint.token)
            self.joints[worker, dial.leg], self.joints[other, there] = (other, there), (worker, dial.leg)
            other.tell(p.Incoming(there, f"{worker.port}-{dial.leg}"))
        elif self.refuses:
            self.refuses = False
            worker.tell(p.LegDown(dial.leg, 486))
        else:
            self.phones.append(Phone(f"p{dial.user}", worker, dial.leg))
            worker.comes_up(dial.leg)

    def down(self, worker: Worker, leg: str) -> None:
        if leg not in worker.up:
            return
        worker.up.discard(leg)
        worker.tell(p.LegDown(leg, 200))
        self.phones = [phone for phone in self.phones if (phone.worker, phone.leg) != (worker, leg)]
        if (joint := self.joints.pop((worker, leg), None)) is not None:
            self.down(*joint)

    def notified(self, worker: Worker, notify: p.Notify) -> None:
        for phone in self.phones:
            if (phone.worker, phone.leg) == (worker, notify.leg):
                phone.told.append(notify)
                return
        raise AssertionError("NOTIFY to a leg that is no phone")

    # --- what people do -------------------------------------------------------------------------

    async def call(self, caller: str, callee: str) -> None:
        worker = Worker(self, next(self._ports))
        who = person(callee[1:])
        plan = replace(plan_for(RECORDED, account=caller), caller=person(caller[1:]), callee=who)
        plan = replace(plan, call_id=f"{worker.port:032}", stages=(Stage((Target("b0", ("x",), False),), 20.0, who),))
        request = EdgeRequest("invite", (1, 2), f"{worker.port}-a", 1, caller, caller, callee, "udp:192.0.2.1:1", False)
        conversation = Conversation(self, plan, worker, request, NOW)  # type: ignore[arg-type]
        self.calls.append(conversation)
        self.phones.append(Phone(caller, worker, "a"))

        async def run() -> None:
            await conversation.run()
            self.calls.remove(conversation)
            self.transfers.forget(conversation)

        self.tasks.append(asyncio.get_running_loop().create_task(run()))  # noqa: TID251 - ended by `end`
        worker.tell(p.Incoming("a", request.call_id))
        await self.settle()

    async def refer(self, phone: Phone, to: str) -> Reply:
        request = EdgeRequest("refer", (1, 2), phone.call_id, 1, "", "", "", "udp:192.0.2.1:1", False)
        return await self.transfers.on_refer(replace(request, refer_to=to))

    def blind(self, phone: Phone, callee: str) -> Coroutine[Any, Any, Reply]:
        return self.refer(phone, f"sip:{callee[1:]}@test.lan")

    def attended(self, phone: Phone, other: Phone) -> Coroutine[Any, Any, Reply]:
        phone.second = other
        return self.refer(phone, f"<sip:x@test.lan?Replaces={other.call_id}%3Bto-tag%3Da%3Bfrom-tag%3Db>")

    async def follow_notify(self) -> None:
        """Whoever has been told 200 hangs up, in both of its calls."""
        for phone in [each for each in self.phones if each.told and each.told[-1].final]:
            done, phone.told = phone.told[-1].code == 200, []
            for each in [phone, *([phone.second] if phone.second else [])]:
                if done:
                    self.down(each.worker, each.leg)
            phone.second = None
        await self.settle()

    # --- looking --------------------------------------------------------------------------------

    def heard_by(self, phone: Phone) -> Phone | None:
        """Whoever is at the other end, through all workers; None where that is nobody."""
        worker, leg = phone.worker, phone.leg
        for _ in range(len(self.calls) + 1):
            there = worker.bridged_to(leg)
            if there is None:
                return None
            if (joint := self.joints.get((worker, there))) is None:
                found = [each for each in self.phones if (each.worker, each.leg) == (worker, there)]
                return found[0] if found else None
            worker, leg = joint
        raise AssertionError("a loop")

    def pairs(self) -> dict[Phone, Phone]:
        found: dict[Phone, Phone] = {}
        for phone in self.phones:
            other = self.heard_by(phone)
            assert other is not None, "somebody hears nobody"
            assert other is not phone and self.heard_by(other) is phone
            found[phone] = other
        return found

    def check(self) -> None:
        """Of every pair: where it is held, who is known to be there, and what is recorded."""
        pairs = self.pairs()
        by_port = {call.worker.port: call for call in self.calls}
        recorded: set[str] = set()
        for phone, other in pairs.items():
            place = held_at(Place(by_port[phone.worker.port], phone.leg))
            held = place.conversation
            assert held.link is None and place.opposite is not None
            assert (place.party.account_id, place.opposite.party.account_id) == (phone.owner, other.owner)
            assert held.rec_id is not None, "all were asked, and all said yes"
            parties = [party.account_id for party in self.orders[held.rec_id].parties]
            assert sorted(map(str, parties)) == sorted((phone.owner, other.owner))
            recorded.add(held.rec_id)
            assert depth(place, self.calls) <= 3
        assert recorded == self.running, "and nothing is that nobody talks in"
        assert not any(call.transfer_asked for call in self.calls)

    async def end(self) -> None:
        for phone in list(self.phones):
            self.down(phone.worker, phone.leg)
        await self.settle()
        assert self.calls == [] and self.joints == {} and self.running == set()
        await asyncio.gather(*self.tasks)


def person(number: str) -> Party:
    return Party(f"p{number}", number, "", "fr", "FR")


def terms() -> tuple[Any, ...]:
    return (replace(plan_for(RECORDED).recording.legs[1], leg="c"),)


STEPS = st.tuples(
    st.sampled_from(["call", "call", "blind", "busy", "attended", "attended", "attended", "theirs", "down", "at once"]),
    st.integers(0, 30),
    st.integers(0, 30),
)


async def live(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    for what, one, two in [("call", 0, 1), ("call", 1, 2), *steps]:
        await step(world, what, one, two)
        await world.follow_notify()
        world.check()
    await world.end()


async def step(world: World, what: str, one: int, two: int) -> None:
    names = [f"p{n}" for n in range(PEOPLE)]
    if what == "call" or not world.phones:
        await world.call(names[one % PEOPLE], names[two % PEOPLE])
        return
    pairs = world.pairs()
    phone = world.phones[one % len(world.phones)]
    callee = names[two % PEOPLE]
    mine = [each for each in world.phones if each.owner == phone.owner and each is not phone]
    theirs = [each for each in world.phones if each.owner != phone.owner and each is not pairs[phone]]
    match what:
        case "blind" | "busy":
            world.refuses = what == "busy"
            before = list(world.phones)
            phone.second = None
            assert (await world.blind(phone, callee)).code == 202
            await world.settle()
            assert [n.code for n in phone.told] == [100, 486 if what == "busy" else 200]
            if what == "busy":
                assert world.pairs() == pairs
            else:
                (came,) = [each for each in world.phones if each not in before]
                assert came.owner == callee and world.heard_by(pairs[phone]) is came
        case "attended" if mine:
            other = mine[two % len(mine)]
            answer = await world.attended(phone, other)
            await world.settle()
            if pairs[phone] is other:
                assert answer.code == 481 and world.pairs() == pairs
            else:
                assert answer.code == 202 and [n.code for n in phone.told] == [100, 200]
                assert world.heard_by(pairs[phone]) is pairs[other]
        case "theirs" if theirs:
            assert (await world.attended(phone, theirs[two % len(theirs)])).code == 403
            assert world.pairs() == pairs
        case "down":
            world.down(phone.worker, phone.leg)
            await world.settle()
            assert phone not in world.phones and pairs[phone] not in world.phones
        case "at once":
            wanted = [(pairs[phone], callee, None)]
            if mine:  # both of somebody's calls, while others want something of each of them
                wanted += [(phone, callee, mine[0]), (pairs[mine[0]], callee, None)]
            order = [wanted[(n + two) % len(wanted)] for n in range(len(wanted))]
            asked = [world.attended(each, other) if other else world.blind(each, to) for each, to, other in order]
            codes = [answer.code for answer in await asyncio.gather(*asked)]
            assert set(codes) <= {202, 491, 481}, codes
            await world.settle()


@pytest.mark.promise("L1", "2.3")
@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_whoever_passes_on_whatever(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(live(steps))
