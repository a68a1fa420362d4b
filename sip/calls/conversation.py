"""The shell of one call: its script, its worker, its recording.

It carries out what the script asks, tells it what happens, and leaves nothing behind: when the worker dies its dialogs
are ended at the edge, and a recording that was running is sealed as far as it came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from sip.calls import acts, preemption
from sip.calls.admission import Admission
from sip.calls.core import CALLER
from sip.calls.duty import Duty, OutsideLeg
from sip.calls.observatory import Observatory
from sip.calls.plan import CallPlan, Party, Refusal, Target, TrunkTarget, contact_key
from sip.calls.ports import CallBook, ClosedCall, Recordings
from sip.calls.script import Script
from sip.calls.tape import Tape
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p
from sip.worker.pool import Worker
from storage.errors import StorageError

log = logging.getLogger(__name__)

LETTERS = "cdefghiklmnoqrstuvwxyz"  # of those who join; a and b were first, j and p are joints and pick-ups
CLOSE_S = 15.0  # for a record to be committed: until then the call counts among those that go on
MEDIA_ENGINE_LOST = Refusal(503, "Media Engine Lost", "engine-lost")
TROUBLES_LOGGED = 10  # of one call


class Edge(Protocol):
    """What is asked of the edge when a worker has died under its dialogs."""

    async def end_dialog(self, call_id: str) -> bool: ...

    async def cancel(self, call_id: str) -> bool: ...

    async def reply_pending(self, call_id: str, code: int, reason: str) -> bool: ...

    async def dialog_tags(self, call_id: str) -> tuple[str, str] | None:
        """Of the leg with this Call-ID, once it was answered."""


class House(Protocol):
    """What a conversation needs of call control."""

    counters: Counter[str]
    admission: Admission
    pause_max_s: float
    duty: Duty
    observatory: Observatory

    @property
    def edge(self) -> Edge: ...

    @property
    def recordings(self) -> Recordings: ...

    @property
    def book(self) -> CallBook: ...

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Link:
    """A relay and the conversation that it feeds."""

    first: Conversation
    joint: str  # leg there that leads here
    own: str  # leg here that leads there


@dataclass(frozen=True, slots=True)
class Side:
    """One of two who talk, or are to: an account of ours, or somebody else."""

    account_id: str | None
    number: str = field(default="", repr=False)  # "" where it is withheld, or not known


class Conversation:
    """One call: its script, its worker, its recording."""

    def __init__(
        self, house: House, plan: CallPlan, worker: Worker, request: EdgeRequest | None, began_at: datetime
    ) -> None:
        """``request`` None: it is ours to dial the caller too."""
        self.plan = plan
        self.worker = worker
        self.began_at = began_at
        self._accounts: dict[str, str | None] = {}  # by leg: of the device that answered, where it can be told
        self._devices: dict[str, str] = {}  # by leg: the device itself
        if request is not None and request.auth_user:
            self._devices[CALLER] = request.auth_user
        self.outside: dict[str, OutsideLeg] = {}  # legs that hold a channel of a trunk
        if plan.trunk_id is not None:
            self.outside[CALLER] = OutsideLeg(plan.call_id, CALLER, plan.trunk_id, None)
        self.targets: dict[str, Target | TrunkTarget] = {target.leg: target for _, target in plan.targets()}
        self._leaving = False  # it was told to end
        self._house = house
        self._script = Script(plan, time.monotonic(), pause_max_s=house.pause_max_s)
        self.transfer_asked = False  # one is being planned, or has not reached the script yet
        self._link: Link | None = None  # what it is a relay for, or is about to be
        self._referrers: dict[str, tuple[Conversation, str]] = {}  # by leg that is to leave: whose phone asked for it
        self._names: Counter[str] = Counter()  # of legs that came later
        self._events: asyncio.Queue[acts.Happening] = asyncio.Queue()
        self._sip_call_ids = {} if request is None else {CALLER: request.call_id}
        self._troubles = 0  # what the engine has refused
        self._came: set[str] = set()  # legs whose INVITE has reached the worker
        self._up: set[str] = set()  # legs whose dialog is confirmed
        self._down: set[str] = set()
        self._tape = Tape(house, plan, worker, tell=self._events.put_nowait, party=self.party)
        self._observation = house.observatory.begun(plan, request, worker.send)
        self._stands: tuple[object, ...] = ()
        self.stands_since = began_at
        worker.listen(self.arrive)

    def arrive(self, event: acts.Happening) -> None:
        """From the worker, the recorder or an operator."""
        self._observation.happened(event)
        match event:
            case acts.HangUp():
                self._leaving = True
            case p.Incoming(leg=leg, sip_call_id=sip_call_id):
                self._came.add(leg)
                self._sip_call_ids.setdefault(leg, sip_call_id)
            case p.LegDialled(leg=leg, sip_call_id=sip_call_id):
                self._sip_call_ids[leg] = sip_call_id
            case p.LegUp(leg=leg, contact=contact):
                self._up.add(leg)
                self._note_answer(leg, contact)
                self._outside_up(leg)
            case p.LegDown(leg=leg, code=code):
                self._down.add(leg)
                self._outside_down(leg, code)
            case p.LegQuality(leg=leg):
                log.info(
                    "call %s: leg %s: received %d packets, lost %d, sent %d",
                    self.plan.call_id,
                    leg,
                    event.rx_packets,
                    event.rx_lost,
                    event.tx_packets,
                )
            case p.Trouble(where=where, why=why):
                self._troubles += 1
                if self._troubles <= TROUBLES_LOGGED:  # a phone can cause many, with keys and offers
                    log.warning("call %s: the media engine refused: %s, %s", self.plan.call_id, where, why)
            case p.LegMedia(leg=leg, held=held) if (link := self.link) is not None:
                if self._script.other(leg) == link.own:
                    link.first.arrive(p.LegMedia(link.joint, True, held=held))  # for the other side the joint is held
        self._events.put_nowait(self._tape.happened(event))

    def seat(self) -> preemption.Seat:
        """What this call takes up now."""
        trunks = tuple(leg.trunk_id for leg in self.outside.values())
        announcement = self.plan.refusal is not None
        return preemption.Seat(
            self.plan.call_id, self.began_at, self.plan.emergency, trunks, self._leaving, announcement
        )

    def _outside_up(self, leg: str) -> None:
        if (outside := self.outside.get(leg)) is not None and outside.answered_s is None:
            outside.answered_s = time.monotonic()
            self._house.duty.leg_answered(outside)

    def _outside_down(self, leg: str, code: int = 0) -> None:
        if (outside := self.outside.pop(leg, None)) is None:
            return
        if outside.answered_s is None and (code == 408 or 500 <= code < 600):
            self._house.duty.trunk_failed(outside.trunk_id)
        self._house.duty.leg_ended(outside, outside.talk_s(time.monotonic()))
        self._house.admission.freed()

    def leave_trunks(self) -> None:
        """The call is over: what nobody has told of is over too."""
        for leg in list(self.outside):
            self._outside_down(leg)

    def answered_dialogs(self) -> list[str]:
        """SIP Call-IDs of the legs that are up now."""
        return [self._sip_call_ids[leg] for leg in self._up - self._down if leg in self._sip_call_ids]

    @property
    def rec_id(self) -> str | None:
        """Of the recording that runs."""
        return self._tape.rec_id

    def _note_answer(self, leg: str, contact: str) -> None:
        """Which of several accounts and devices it was that answered."""
        target = self.targets.get(leg)
        if not isinstance(target, Target):
            return
        if (account_id := target.owners.get(contact_key(contact))) is not None:
            self._accounts[leg] = account_id
        device = target.devices.get(contact_key(contact), target.auth_users[0] if len(target.auth_users) == 1 else "")
        if device:
            self._devices[leg] = device

    def party(self, leg: str) -> Party:
        """Who is on a leg, with the account that answered where several could."""
        party = self._script.core.parties[leg]
        account_id = self._accounts.get(leg)
        return party if account_id is None else replace(party, account_id=account_id)

    # --- for call control -------------------------------------------------------------------------

    @property
    def script(self) -> Script:
        return self._script

    def leg_of(self, sip_call_id: str) -> str | None:
        """The leg with this SIP Call-ID, while it is there."""
        found = (leg for leg, call_id in self._sip_call_ids.items() if call_id == sip_call_id)
        return next((leg for leg in found if leg not in self._down), None)

    def has_device(self, auth_user: str) -> bool:
        """Whether this phone takes part now."""
        return any(device == auth_user and leg not in self._down for leg, device in self._devices.items())

    def staff_account(self) -> str | None:
        """Account of the member of staff whose call it is: who called, or else who was called."""
        script = self._script
        own = self._link.own if self._link is not None else None
        for leg in (script.near, script.far):
            if leg is not None and leg in script.core.parties and leg not in script.core.outside and leg != own:
                return self.party(leg).account_id
        return None

    def accounts(self) -> set[str]:
        """Accounts whose legs are there: who called, who is rung, who talks. Of a relay only its own phone: who else is
        heard in it may have been transferred since."""
        core = self._script.core
        legs = [leg for leg in core.parties if not core.down(leg) or (leg == CALLER and not self._came)]
        legs = [leg for leg in legs if self._link is None or leg != self._link.own]
        found = {self.party(leg).account_id for leg in legs}
        for leg in legs:
            if isinstance(target := self.targets.get(leg), Target) and not core.up(leg):
                found |= set(target.owners.values())
        return {account_id for account_id in found if account_id is not None}

    def rings_at(self, account_ids: Collection[str]) -> bool:
        """Whether phones of one of these accounts ring now."""
        return not self._owners(up_too=True).isdisjoint(account_ids)

    def rung(self) -> frozenset[str]:
        """Accounts whose phones ring now and have not answered."""
        return frozenset(self._owners(up_too=False))

    def _owners(self, *, up_too: bool) -> set[str]:
        core = self._script.core
        legs = [leg for leg in self.targets if leg in core.legs and not core.down(leg) and (up_too or not core.up(leg))]
        targets = [self.targets[leg] for leg in legs]
        return {owner for target in targets if isinstance(target, Target) for owner in target.owners.values()}

    @property
    def metadata_class(self) -> str:
        """How much of it is kept, as it is by now: a transfer may have made it stricter than its plan."""
        return self._script.outcome.metadata_class or self.plan.metadata_class

    def sides(self) -> tuple[Side, Side]:
        """Who called, and who answered or is called; those who joined in their place."""
        script = self._script
        return self._side(script.near, self.plan.caller), self._side(script.far, self.plan.callee)

    def _side(self, leg: str | None, meant: Party) -> Side:
        core = self._script.core
        if leg is None or leg not in core.parties:
            return Side(meant.account_id, meant.number)
        if self._link is not None and leg == self._link.own:  # who is heard there may have been transferred since
            return Side(None)
        party = self.party(leg)
        return Side(party.account_id, "" if core.hides(leg) else party.number)

    def next_name(self, letter: str) -> str:
        """A name for a leg that no leg of this call has had: p0, p1, j0 ..."""
        self._names[letter] += 1
        return f"{letter}{self._names[letter] - 1}"

    def next_letter(self) -> str:
        """For those who join at a transfer: c, then d ...; "" when there have been too many."""
        self._names["joinings"] += 1
        return LETTERS[self._names["joinings"] - 1 :][:1]

    def referred(self, leg: str, code: int) -> None:
        """A phone has asked for a transfer, and was answered so."""
        log.info("call %s: leg %s asked for a transfer: %d", self.plan.call_id, leg, code)
        self._observation.referred(leg, code)

    @property
    def link(self) -> Link | None:
        """What this conversation is a relay for; None if it stands for itself."""
        return self._link if self._script.joinings.relaying else None

    def relays_to(self, link: Link) -> None:
        """What is heard here belongs to another conversation, as soon as the leg between them is up."""
        self._link = link

    def tells(self, leg: str, conversation: Conversation, phone: str) -> None:
        """How the transfer of ``leg`` goes is told to the leg ``phone`` of that conversation."""
        self._referrers[leg] = (conversation, phone)

    def notify(self, told: p.Notify) -> None:
        """Tell one of our phones how the transfer goes that it asked for."""
        if told.leg not in self._down:
            self._observation.asked(told)
            self.worker.send(told)

    def expect_pick_up(self, leg: str, picker: Party, device: str) -> None:
        """A colleague's INVITE is on its way to our worker."""
        self._accounts[leg] = picker.account_id
        self._devices[leg] = device
        self.arrive(acts.PickUp(leg, picker))

    async def run(self) -> None:
        """The whole call, then its record."""
        outcome = self._script.outcome
        async with asyncio.TaskGroup() as group:
            self._tape.group = group
            await self._follow_script()
            if outcome.cause == "engine-lost":
                self._house.counters["engine_lost"] += 1
            await self.clean_edge()  # at once: the phones do not wait for the recorder
            await self._tape.close()
        if outcome.talk_began_s is not None:
            self._house.counters["answered"] += 1
        talk_s = 0.0
        if outcome.talk_began_s is not None and outcome.talk_ended_s is not None:
            talk_s = outcome.talk_ended_s - outcome.talk_began_s
        self.leave_trunks()
        if self.plan.refusal is not None:  # no call: what there is to be written down was, when it was refused
            log.info("call %s: the refusal was spoken: %s", self.plan.call_id, outcome.cause)
            return
        closed = ClosedCall(self.plan, outcome, self.began_at, self._house.now(), talk_s, self._tape.kept)
        self._house.duty.ended(closed)
        self._house.observatory.ended(self._observation, outcome, self.began_at)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._house.book.close(closed)
        except (StorageError, TimeoutError) as error:
            log.error("call %s leaves no record: %s", self.plan.call_id, str(error) or "not in time")
        log.info("call %s ended: %s, recording %s", self.plan.call_id, outcome.cause, outcome.recording)

    async def _follow_script(self) -> None:
        script = self._script.run()
        act = next(script)
        while True:
            answer: tuple[acts.Happening, float] | None = None
            self._look()
            match act:
                case acts.Wait(seconds=seconds):
                    answer = (await self._next(seconds), time.monotonic())
                    if isinstance(answer[0], acts.RecordingFailed):
                        self._tape.discard()
                case acts.Note(evidence=evidence):
                    await self._tape.note(evidence)
                case acts.StartRecording():
                    self._tape.start(act)
                case acts.StopRecording():
                    self._tape.stop(act)
                case acts.DestroyRecording():
                    self._tape.destroy(act)
                case p.Notify(leg=leg):
                    conversation, phone = self._referrers.get(leg, (self, leg))
                    conversation.notify(replace(act, leg=phone))
                case _:
                    self._observation.asked(act)
                    self.worker.send(act)
            try:
                act = script.send(answer)
            except StopIteration:
                return

    def _look(self) -> None:
        """Note since when it stands as it does now."""
        script = self._script
        now = (script.state, script.floor.held, script.far)
        if now != self._stands:
            self._stands, self.stands_since = now, self._house.now()

    async def _next(self, seconds: float | None) -> acts.Happening:
        try:
            async with asyncio.timeout(seconds):
                event = await self._events.get()
        except TimeoutError:
            return acts.TimedOut()
        if isinstance(event, acts.Transfer | acts.BecomeRelay):
            self.transfer_asked = False  # the script knows
        return event

    # --- after a crash ----------------------------------------------------------------------------

    async def clean_edge(self) -> None:
        """End at the edge what a worker that is dead, or hangs, left there: BYE to both sides, CANCEL or an answer
        where it rang."""
        for leg, sip_call_id in self._sip_call_ids.items():
            inward = leg in self._came or (leg == CALLER and not self.plan.originated)
            if leg in self._down or (inward and leg not in self._came):
                continue
            if leg in self._up:
                await self._edge_does(self._house.edge.end_dialog(sip_call_id))
            elif inward:
                refusal = self.plan.refusal or MEDIA_ENGINE_LOST
                await self._edge_does(self._house.edge.reply_pending(sip_call_id, refusal.code, refusal.reason))
            else:
                await self._edge_does(self._house.edge.cancel(sip_call_id))

    async def _edge_does(self, deed: Awaitable[bool]) -> None:
        try:
            if not await deed:
                log.info("call %s: the edge knows that leg no more", self.plan.call_id)
        except Exception as error:  # the boundary to the edge: the other legs are to end all the same
            log.error("call %s: the edge did not take the end of a leg: %s", self.plan.call_id, error)
