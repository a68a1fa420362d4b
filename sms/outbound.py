"""The queue of texts that go out: who may go, by which carrier, and what became of each.

The order is the promise: that a part is about to leave is committed before its first byte does, and what the carrier
said of it afterwards. Whatever ends this process in between leaves a part in `sending`; the next start calls it
`unknown`, and nothing ever sends it again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sms import addresses, routing
from sms.addresses import Address
from sms.carriers.carrier import (
    Accepted,
    Carrier,
    Coding,
    Delivery,
    Health,
    NotSent,
    OutboundPart,
    Receipt,
    Refused,
    Submitted,
    Throttled,
    Unknown,
)
from sms.group_commit import GroupCommit
from sms.messages import State, after, of_parts, told
from sms.routing import Route
from storage import conversations, inboxes, sms_sent
from storage.conversations import Event
from storage.database import Database
from storage.errors import StorageError
from storage.inboxes import Sender
from storage.sms_sent import Queued
from storage.tx import Tx

log = logging.getLogger(__name__)

AT_ONCE = 200  # texts in one transaction
AGAIN_S = (2.0, 5.0, 15.0, 60.0, 300.0)  # where no carrier could take it
IDLE_S = 30.0
SOON_S = 0.05
FULL_S = 0.1  # until a carrier that is up has room again
DOWN_S = 1.0  # between two looks while none takes anything
RECEIPTS_KEPT = timedelta(days=3)
DATABASE_S = 1.0


@dataclass(frozen=True, slots=True)
class Stay:
    """It may not go: not now (`again_at`), or never."""

    why: str
    again_at: datetime | None = None


class Permission(Protocol):
    """Asked in the transaction that hands a text over."""

    async def stays(self, tx: Tx, texts: Sequence[Queued], now: datetime) -> Mapping[str, Stay]:
        """Of these, those that may not go."""


@dataclass(slots=True)
class Job:
    """A text in a carrier's hands."""

    queued: Queued
    carrier: str
    cost_microeuros: int
    parts: tuple[OutboundPart, ...]
    before: dict[int, State]  # what became of its other parts earlier
    outcomes: dict[int, Submitted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Told:
    carrier: str
    receipt: Receipt


@dataclass(slots=True)
class _Lane:
    """One carrier: what it was given and what it may be given."""

    carrier: Carrier
    route: Route
    jobs: asyncio.Queue[Job] = field(default_factory=asyncio.Queue)
    outstanding: int = 0  # handed over, and not yet written down what became of it
    not_before: float = 0.0  # of the loop's clock: throttled until then

    def room(self, now_s: float) -> int:
        if self.carrier.state().health is not Health.UP or now_s < self.not_before:
            return 0
        return max(0, 2 * self.carrier.window - self.outstanding)


class Outbox:
    """One for the daemon. `run` sends; `wake` after something was added."""

    def __init__(
        self,
        database: Database,
        carriers: Sequence[tuple[Carrier, Route]],
        permission: Permission,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._lanes = {carrier.name: _Lane(carrier, route) for carrier, route in carriers}
        self._routes = tuple(route for _, route in carriers)
        self._permission = permission
        self._clock = clock
        self._wake = asyncio.Event()
        self._written: GroupCommit[Job | _Told] = GroupCommit(
            database, self._apply, at_most=AT_ONCE, committed=self._tell_of
        )
        self._became: list[str] = []  # texts of the transaction that is open
        self._senders: dict[str, tuple[Sender, Address]] = {}
        self._one_time: dict[str, tuple[str, ...]] = {}  # words that stand nowhere else
        self._tried: dict[str, frozenset[str]] = {}  # carriers that did not take a text, until it has left
        self._tries: Counter[str] = Counter()
        self._only: dict[str, str] = {}  # texts that try one carrier out
        self._early: set[tuple[str, str]] = set()  # receipts that nobody has claimed yet
        self.counted: Counter[str] = Counter()  # for the metrics: by outcome
        self.changed: Callable[[Collection[str]], None] = lambda _: None
        """Told of texts whose state may be another, once that is committed."""

    # --- what others ask ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    def senders_changed(self) -> None:
        self._senders.clear()

    def remember(self, message_id: str, texts: tuple[str, ...]) -> None:
        """The words of a text that are written nowhere. Before it is added."""
        self._one_time[message_id] = texts

    def only_by(self, message_id: str, carrier: str) -> None:
        """To try that carrier out: no other is to have it. Before it is added."""
        self._only[message_id] = carrier

    async def receipt(self, carrier: str, receipt: Receipt) -> None:
        """Committed when it returns. Raises StorageError."""
        await self._written.put(_Told(carrier, receipt))

    def states(self) -> dict[str, Health]:
        return {name: lane.carrier.state().health for name, lane in self._lanes.items()}

    def carriers_for(self, message_class: str, sender: Sender, address: Address, recipient: Address) -> tuple[str, ...]:
        """Carriers that could take such a text, in order; none: nobody can."""
        return routing.carriers_for(
            self._routes,
            self.states(),
            message_class=message_class,
            sender=address,
            recipient=recipient,
            only=sender.carriers,
        )

    def cost_microeuros(self, carrier: str) -> int:
        """Of one part."""
        return self._lanes[carrier].route.cost_microeuros

    # --- running ------------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """Once, before `run`: what was in a carrier's hands when the last process ended is `unknown` from now on. How
        many. Raises StorageError."""
        now = self._clock()
        async with self._database.transaction() as tx:
            self._early = set(await sms_sent.early_ids(tx))
            lost = await sms_sent.in_flight(tx)
            if not lost:
                return 0
            messages = list(dict.fromkeys(part.message_id for part in lost))
            await sms_sent.part_states(tx, [(p.message_id, p.number, State.UNKNOWN, "restart") for p in lost], now)
            parts = await sms_sent.parts_of(tx, messages)
            states = [(m, of_parts(State(part.state) for part in parts[m]), "the process ended") for m in messages]
            await sms_sent.left(tx, [(m, state, why, 0) for m, state, why in states], now)
            await conversations.note(tx, [Event(m, now, "restart", detail="unknown") for m in messages])
        log.warning("%d texts were being handed over when the last process ended: nobody knows what became of them",
                    len(messages))  # fmt: skip
        return len(messages)

    async def run(self) -> None:
        """For as long as the daemon lives; carriers are run by others. Begun again after a mistake of ours: what was in
        somebody's hands then is `unknown`, as after a crash."""
        for lane in self._lanes.values():
            lane.jobs, lane.outstanding = asyncio.Queue(), 0
        await self.recover()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._written.run())
            for lane in self._lanes.values():
                for _ in range(lane.carrier.window):
                    tasks.create_task(self._carry(lane))
            await self._dispatch()

    async def _dispatch(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait_s = await self._send_due()
            except StorageError as error:
                log.error("texts wait: %s", error)
                wait_s = DATABASE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _send_due(self) -> float:
        """Hand over as much as there is room for; for how many seconds nothing else is due."""
        while (room := self._room()) > 0:
            if not await self._round(min(room, AT_ONCE)):
                async with self._database.read() as tx:
                    soonest = await sms_sent.next_due(tx)
                wait_s = IDLE_S if soonest is None else (soonest - self._clock()).total_seconds()
                return min(IDLE_S, max(SOON_S, wait_s))
        if Health.UP not in self.states().values():  # nobody takes them: their time passes all the same
            async with self._database.transaction() as tx:
                await sms_sent.expire(tx, self._clock())
        return DOWN_S

    def _room(self) -> int:
        now_s = asyncio.get_running_loop().time()
        return sum(lane.room(now_s) for lane in self._lanes.values())

    async def _round(self, limit: int) -> bool:
        """Hand over what may go now; whether there was anything."""
        now, now_s = self._clock(), asyncio.get_running_loop().time()
        jobs: list[Job] = []
        async with self._database.transaction() as tx:
            await sms_sent.release(tx, now)
            due = await sms_sent.due(tx, now, limit=limit)
            if not due:
                return False
            await self._know_senders(tx, due)
            stays = await self._permission.stays(tx, due, now)
            several = [one.sent.id for one in due if one.sent.parts > 1]
            parts = await sms_sent.parts_of(tx, several) if several else {}
            rooms = {name: lane.room(now_s) for name, lane in self._lanes.items()}
            ended: list[tuple[str, str, str, int]] = []
            waiting: list[tuple[str, str, str, datetime]] = []
            for one in due:
                before = {p.number: State(p.state) for p in parts.get(one.sent.id, ())}
                stay = stays.get(one.sent.id)
                if one.sent.valid_until <= now:
                    ended.append((one.sent.id, State.EXPIRED, "its time was over before it could be sent", 0))
                elif stay is not None and stay.again_at is not None and stay.again_at < one.sent.valid_until:
                    waiting.append((one.sent.id, State.HELD, stay.why, stay.again_at))
                elif stay is not None:
                    ended.append((one.sent.id, State.REFUSED, stay.why, 0))
                elif (texts := self._texts(one)) is None:
                    ended.append((one.sent.id, State.FAILED, "its words were in the memory of a process that ended", 0))
                else:
                    self._assign(one, texts, before, rooms, now, jobs, ended, waiting)
            handed = {(job.queued.sent.id, part.number): job.carrier for job in jobs for part in job.parts}
            await sms_sent.hand_over(tx, handed, now)
            await sms_sent.later(tx, waiting, now)
            await self._end(tx, ended, now)
        self.changed([message_id for message_id, *_ in ended])
        for job in jobs:
            lane = self._lanes[job.carrier]
            lane.outstanding += 1
            lane.jobs.put_nowait(job)
        return True

    def _assign(
        self,
        one: Queued,
        texts: tuple[str, ...],
        before: dict[int, State],
        rooms: dict[str, int],
        now: datetime,
        jobs: list[Job],
        ended: list[tuple[str, str, str, int]],
        waiting: list[tuple[str, str, str, datetime]],
    ) -> None:
        sender, address = self._senders[one.sent.sender_id]
        recipient = addresses.of_text(one.recipient)
        tried = self._tried.get(one.sent.id, frozenset())
        known = routing.carriers_for(
            self._routes,
            self.states(),
            message_class=one.sent.message_class,
            sender=address,
            recipient=recipient,
            only=(self._only[one.sent.id],) if one.sent.id in self._only else sender.carriers,
        )
        if not known or sender.disabled_at is not None:
            why = "no carrier takes such a text" if not known else "its sender is disabled"
            ended.append((one.sent.id, State.FAILED, why, 0))
            return
        chosen = next((name for name in known if name not in tried and rooms[name] > 0), None)
        if chosen is None:
            again_s = AGAIN_S[min(self._tries[one.sent.id], len(AGAIN_S) - 1)]
            if any(name not in tried and self._is_up(name) for name in known):
                again_s = FULL_S
            else:
                self._tried.pop(one.sent.id, None)
                self._tries[one.sent.id] += 1
            waiting.append((one.sent.id, State.QUEUED, "no carrier is free", now + timedelta(seconds=again_s)))
            return
        rooms[chosen] -= 1
        parts = tuple(
            OutboundPart(
                part_id=f"{one.sent.id}.{number}",
                sender=address,
                recipient=recipient,
                text=text,
                coding=Coding(one.sent.coding),
                number=number,
                total=len(texts),
                reference=one.sent.reference,
                validity_s=max(60, int((one.sent.valid_until - now).total_seconds())),
            )
            for number, text in enumerate(texts, 1)
            if before.get(number, State.QUEUED) is State.QUEUED
        )
        jobs.append(Job(one, chosen, self._lanes[chosen].route.cost_microeuros, parts, before))

    def _is_up(self, name: str) -> bool:
        return self._lanes[name].carrier.state().health is Health.UP

    def _texts(self, one: Queued) -> tuple[str, ...] | None:
        return one.texts if one.texts is not None else self._one_time.get(one.sent.id)

    async def _know_senders(self, tx: Tx, due: Sequence[Queued]) -> None:
        for sender_id in {one.sent.sender_id for one in due} - self._senders.keys():
            sender = await inboxes.sender(tx, sender_id)
            self._senders[sender_id] = (sender, addresses.of_text(sender.address))

    async def _carry(self, lane: _Lane) -> None:
        """One of as many as the carrier takes at a time."""
        while True:
            job = await lane.jobs.get()
            try:
                for part in job.parts:
                    outcome = await lane.carrier.submit(part)
                    job.outcomes[part.number] = outcome
                    if not isinstance(outcome, Accepted):
                        if isinstance(outcome, Throttled):
                            lane.not_before = asyncio.get_running_loop().time() + outcome.after_s
                        break
            except asyncio.CancelledError:
                raise  # what it was about stands in the database as being sent: the next start calls it unknown
            except Exception:  # a carrier's own mistake: somebody may have it
                log.exception("carrier %s failed", lane.carrier.name)
                number = next(p.number for p in job.parts if p.number not in job.outcomes)
                job.outcomes[number] = Unknown("the carrier failed")
            await self._write_down(lane, job)

    async def _write_down(self, lane: _Lane, job: Job) -> None:
        """What became of it, until the database has taken it."""
        while True:
            try:
                await self._written.put(job)
                break
            except StorageError as error:
                log.error("what became of a text is not written down yet: %s", error)
                await asyncio.sleep(DATABASE_S)
        lane.outstanding -= 1
        self._wake.set()

    # --- what became of them ------------------------------------------------------------------------------------

    async def _apply(self, tx: Tx, items: Sequence[Job | _Told]) -> None:
        now = self._clock()
        self._became.clear()  # what was rolled back is not told of
        await self._settle(tx, [item for item in items if isinstance(item, Job)], now)
        receipts = [item for item in items if isinstance(item, _Told)]
        if receipts:
            await self._receipts(tx, receipts, now)

    def _tell_of(self) -> None:
        """After the commit of what `_apply` has written."""
        self.changed(tuple(self._became))

    async def _settle(self, tx: Tx, jobs: Sequence[Job], now: datetime) -> None:
        taken: list[tuple[str, int, str]] = []
        states: list[tuple[str, int, str, str]] = []
        ended: list[tuple[str, str, str, int]] = []
        waiting: list[tuple[str, str, str, datetime]] = []
        events: list[Event] = []
        for job in jobs:
            self._settle_one(job, now, taken, states, ended, waiting, events)
        await sms_sent.accepted(tx, taken, now)
        await sms_sent.part_states(tx, states, now)
        await sms_sent.later(tx, waiting, now)
        await self._end(tx, ended, now)
        self._became += [message_id for message_id, *_ in ended]
        await conversations.note(tx, events)
        by_carrier: dict[str, list[str]] = {}
        for job in jobs:
            for outcome in job.outcomes.values():
                if isinstance(outcome, Accepted) and (job.carrier, outcome.message_id) in self._early:
                    by_carrier.setdefault(job.carrier, []).append(outcome.message_id)
        for carrier, ids in by_carrier.items():
            await self._claim(tx, carrier, ids, now)

    def _settle_one(
        self,
        job: Job,
        now: datetime,
        taken: list[tuple[str, int, str]],
        states: list[tuple[str, int, str, str]],
        ended: list[tuple[str, str, str, int]],
        waiting: list[tuple[str, str, str, datetime]],
        events: list[Event],
    ) -> None:
        sent, parts = job.queued.sent, dict(job.before)
        why, again_s, last = "", 0.0, None
        for part in job.parts:
            outcome = job.outcomes.get(part.number)
            match outcome:
                case Accepted(message_id):
                    taken.append((sent.id, part.number, message_id))
                    parts[part.number] = State.SENT
                    continue
                case Refused(because, permanent, code):
                    self._tried[sent.id] = self._tried.get(sent.id, frozenset()) | {job.carrier}
                    parts[part.number] = State.REJECTED if permanent else State.QUEUED
                    why = f"{because} {code}".strip()
                    events.append(Event(sent.id, now, "refused", part.number, None, f"{job.carrier}: {why}"))
                case NotSent(because):
                    self._tried[sent.id] = self._tried.get(sent.id, frozenset()) | {job.carrier}
                    parts[part.number] = State.QUEUED
                    why = str(because)
                case Throttled(after_s):
                    parts[part.number], again_s, why = State.QUEUED, after_s, "throttled"
                case Unknown(reason):
                    parts[part.number] = State.UNKNOWN
                    why = reason
                    events.append(Event(sent.id, now, "unknown", part.number, None, f"{job.carrier}: {reason}"))
                case None:  # one before it did not go
                    lost = last is not None and parts[last] in (State.UNKNOWN, State.REJECTED)
                    parts[part.number] = State.CANCELLED if lost else State.QUEUED
            states.append((sent.id, part.number, parts[part.number], why if outcome is not None else ""))
            last = part.number if outcome is not None else last
        state = of_parts(parts.values())
        self.counted[state] += 1
        if state is State.QUEUED:
            waiting.append((sent.id, state, why, now + timedelta(seconds=again_s)))
            return
        accepted = sum(isinstance(outcome, Accepted) for outcome in job.outcomes.values())
        ended.append((sent.id, state, why, sent.cost_microeuros + accepted * job.cost_microeuros))

    async def _end(self, tx: Tx, ended: Sequence[tuple[str, str, str, int]], now: datetime) -> None:
        await sms_sent.left(tx, ended, now)
        for message_id, *_ in ended:
            self._one_time.pop(message_id, None)
            self._tried.pop(message_id, None)
            self._tries.pop(message_id, None)
            self._only.pop(message_id, None)

    async def _claim(self, tx: Tx, carrier: str, ids: Sequence[str], now: datetime) -> None:
        """Receipts that overtook the answer."""
        early = await sms_sent.early_receipts(tx, carrier, ids)
        self._early -= {(carrier, network_id) for network_id in ids}
        await self._tell(tx, carrier, [((one.network_id,), one.delivery, one.code) for one in early], now)
        await sms_sent.claimed(tx, [one.id for one in early])

    async def _receipts(self, tx: Tx, receipts: Sequence[_Told], now: datetime) -> None:
        by_carrier: dict[str, list[Receipt]] = {}
        for one in receipts:
            by_carrier.setdefault(one.carrier, []).append(one.receipt)
        for carrier, some in by_carrier.items():
            said = [(one.message_ids, str(one.delivery), one.error) for one in some]
            unclaimed = [some[index] for index in await self._tell(tx, carrier, said, now)]
            for receipt in unclaimed:
                await self._without_message(tx, carrier, receipt, now)

    async def _tell(
        self, tx: Tx, carrier: str, said: Sequence[tuple[tuple[str, ...], str, str]], now: datetime
    ) -> list[int]:
        """(ids, delivery, code) of receipts, in order; indexes of those that belong to nothing known."""
        ids = list(dict.fromkeys(each for candidates, *_ in said for each in candidates))
        named = await sms_sent.by_network_id(tx, carrier, ids)
        unclaimed: list[int] = []
        parts: list[tuple[str, int, str, str]] = []
        newest: dict[tuple[str, int], State] = {}
        single: dict[str, State] = {}
        several: dict[str, None] = {}
        for index, (candidates, delivery, code) in enumerate(said):
            part = next((named[each] for each in candidates if each in named), None)
            if part is None:
                unclaimed.append(index)
                continue
            place = (part.message_id, part.number)
            state = after(newest.get(place, State(part.state)), told(Delivery(delivery)))
            if state is None:
                continue
            newest[place] = state
            parts.append((*place, state, code))
            self.counted[f"receipt {state}"] += 1
            if part.of == 1:
                single[part.message_id] = state
            else:
                several[part.message_id] = None
        await sms_sent.part_states(tx, parts, now)
        whole = [(message_id, str(state), "") for message_id, state in single.items()]
        for message_id, theirs in (await sms_sent.parts_of(tx, list(several))).items():
            whole.append((message_id, str(of_parts(State(one.state) for one in theirs)), ""))
        await sms_sent.set_states(tx, whole, now)
        self._became += [message_id for message_id, *_ in whole]
        return unclaimed

    async def _without_message(self, tx: Tx, carrier: str, receipt: Receipt, now: datetime) -> None:
        """Its message may be one of which nobody knows whether it was taken: where there is exactly one to that
        recipient, this is the answer. Else it is kept for as long as its message may still come to be known."""
        if receipt.recipient is not None:
            recipient = addresses.as_text(receipt.recipient)
            doubtful = [
                part
                for part in await sms_sent.doubtful(tx, carrier, recipient, now - RECEIPTS_KEPT)
                if part.state == State.UNKNOWN
            ]
            if len(doubtful) == 1:
                [part] = doubtful
                state = after(State.UNKNOWN, told(receipt.delivery)) or State.UNKNOWN
                await sms_sent.accepted(tx, [(part.message_id, part.number, receipt.message_ids[0])], now)
                await sms_sent.part_states(tx, [(part.message_id, part.number, state, receipt.error)], now)
                theirs = (await sms_sent.parts_of(tx, [part.message_id]))[part.message_id]
                whole = of_parts(State(one.state) for one in theirs)
                await sms_sent.set_states(tx, [(part.message_id, whole, "by its receipt")], now)
                self._became.append(part.message_id)
                await conversations.note(tx, [Event(part.message_id, now, "settled", part.number, None, "receipt")])
                return
        network_id = receipt.message_ids[0]
        self._early.add((carrier, network_id))
        await sms_sent.keep_receipts(
            tx,
            [
                {
                    "carrier": carrier,
                    "network_id": network_id,
                    "delivery": str(receipt.delivery),
                    "code": receipt.error,
                    "at": now,
                    "expires_at": now + RECEIPTS_KEPT,
                }
            ],
        )
