"""The shell of one call: its script, its worker, its recording.

It carries out what the script asks, tells it what happens, and leaves nothing behind: when the worker dies its dialogs
are ended at the edge, and a recording that was running is sealed as far as it came.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol

from sip.calls import acts, preemption
from sip.calls.admission import Admission
from sip.calls.core import CALLER
from sip.calls.duty import Duty, OutsideLeg
from sip.calls.plan import CallPlan, Evidence, Target, contact_key
from sip.calls.ports import CallBook, ClosedCall, RecordingOrder, Recordings, RecordingUnavailable
from sip.calls.script import Script
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p
from sip.worker.pool import Worker
from storage.errors import StorageError

log = logging.getLogger(__name__)

FLUSH_S = 2.0  # from StopCapture to flushed files
NOTE_S = 3.0  # for an act of consent to be committed: somebody listens to silence meanwhile
BEGIN_S = 15.0  # for a recording to begin, in a call that goes on meanwhile
CLOSE_S = 15.0  # for a record to be committed: until then the call counts among those that go on
TROUBLES_LOGGED = 10  # of one call


class Edge(Protocol):
    """What is asked of the edge when a worker has died under its dialogs."""

    async def end_dialog(self, call_id: str) -> bool: ...

    async def cancel(self, call_id: str) -> bool: ...

    async def reply_pending(self, call_id: str, code: int, reason: str) -> bool: ...


class House(Protocol):
    """What a conversation needs of call control."""

    counters: Counter[str]
    admission: Admission
    duty: Duty

    @property
    def edge(self) -> Edge: ...

    @property
    def recordings(self) -> Recordings: ...

    @property
    def book(self) -> CallBook: ...

    def now(self) -> datetime: ...


class Conversation:
    """One call: its script, its worker, its recording."""

    def __init__(self, house: House, plan: CallPlan, worker: Worker, request: EdgeRequest, began_at: datetime) -> None:
        self.plan = plan
        self.worker = worker
        self.began_at = began_at
        self.rec_id: str | None = None  # set when a recording is begun
        self.answered_by: str | None = None  # account of the device that answered, where it can be told
        self.outside: dict[str, OutsideLeg] = {}  # legs that hold a channel of a trunk
        if plan.trunk_id is not None:
            self.outside[CALLER] = OutsideLeg(plan.call_id, CALLER, plan.trunk_id, None)
        self._leaving = False  # it was told to end
        self._kept: str | None = None  # recording that was kept
        self._house = house
        self._script = Script(plan)
        self._events: asyncio.Queue[acts.Happening] = asyncio.Queue()
        self._sip_call_ids = {CALLER: request.call_id}
        self._troubles = 0  # what the engine has refused
        self._came = False  # the caller's INVITE has reached the worker
        self._up: set[str] = set()  # legs whose dialog is confirmed
        self._down: set[str] = set()
        self._ledger_seqs: list[int] = []
        self._writing: set[asyncio.Task[None]] = set()  # acts of consent on their way into the ledger
        self._provable = True  # every act of consent is in the ledger
        self._objection_seq: int | None = None  # in the consent ledger, once somebody has objected
        self._captured = asyncio.Event()  # the worker writes
        self._flushed = asyncio.Event()  # the worker writes no more, for whatever reason
        self._recording_task: asyncio.Task[None] | None = None  # the last that was asked of the recording
        worker.listen(self.arrive)

    def arrive(self, event: acts.Happening) -> None:
        """From the worker, the recorder or an operator."""
        match event:
            case acts.HangUp():
                self._leaving = True
            case p.Incoming():
                self._came = True
            case p.LegDialled(leg=leg, sip_call_id=sip_call_id):
                self._sip_call_ids[leg] = sip_call_id
            case p.LegUp(leg=leg, contact=contact):
                self._up.add(leg)
                self._note_answer(leg, contact)
                self._outside_up(leg)
            case p.LegDown(leg=leg, code=code):
                self._down.add(leg)
                self._outside_down(leg, code)
            case p.Captured():
                self._captured.set()
                event = acts.RecordingStarted()
            case p.CaptureFailed(why=why):
                self._flushed.set()
                event = acts.RecordingFailed(why)
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
            case p.CaptureStopped() | p.Left() | p.WorkerGone():
                self._flushed.set()
        self._events.put_nowait(event)

    def seat(self) -> preemption.Seat:
        """What this call takes up now."""
        trunks = tuple(leg.trunk_id for leg in self.outside.values())
        return preemption.Seat(self.plan.call_id, self.began_at, self.plan.emergency, trunks, self._leaving)

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

    def _note_answer(self, leg: str, contact: str) -> None:
        """Which of several accounts it was that answered."""
        for _, target in self.plan.targets():
            if target.leg == leg and isinstance(target, Target):
                self.answered_by = target.owners.get(contact_key(contact))

    async def run(self) -> None:
        """The whole call, then its record."""
        outcome = self._script.outcome
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._follow_script()
            if outcome.cause == "engine-lost":
                self._house.counters["engine_lost"] += 1
            await self.clean_edge()  # at once: the phones do not wait for the recorder
            self._then(self._discard_recording)  # one that the script has given up, and that was begun all the same
            if self._writing:
                _, late = await asyncio.wait(self._writing, timeout=CLOSE_S)
                for writing in late:
                    writing.cancel()
        if outcome.talk_began_s is not None:
            self._house.counters["answered"] += 1
        talk_s = 0.0
        if outcome.talk_began_s is not None and outcome.talk_ended_s is not None:
            talk_s = outcome.talk_ended_s - outcome.talk_began_s
        self.leave_trunks()
        closed = ClosedCall(self.plan, outcome, self.began_at, self._house.now(), talk_s, self._kept)
        self._house.duty.ended(closed)
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
            match act:
                case acts.Wait(seconds=seconds):
                    answer = (await self._next(seconds), time.monotonic())
                    if isinstance(answer[0], acts.RecordingFailed):
                        self._then(self._discard_recording)
                case acts.Note(evidence=evidence):
                    await self._note(evidence)
                case acts.StartRecording():
                    self._then(partial(self._begin_recording, act))
                case acts.StopRecording():
                    self._then(self._finish_recording)
                case acts.DestroyRecording():
                    self._then(self._destroy_recording)
                case _:
                    self.worker.send(act)
            try:
                act = script.send(answer)
            except StopIteration:
                return

    async def _note(self, evidence: Evidence) -> None:
        """What cannot be proven is not recorded; the call goes on."""
        writing = self._group.create_task(self._write_down(evidence))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.wait({writing}, timeout=NOTE_S)  # not cancelled: a database that hangs would not let go of us
        if not writing.done():
            self._provable = False
            log.error("call %s: an act of consent is not written down in time", self.plan.call_id)

    async def _write_down(self, evidence: Evidence) -> None:
        try:
            seq = await self._house.book.note(self.plan, evidence, self._house.now(), self.rec_id)
            self._ledger_seqs.append(seq)
            if evidence.act == "objection":
                self._objection_seq = seq
        except Exception as error:  # the boundary to the ledger
            self._provable = False
            if not isinstance(error, StorageError):
                log.exception("call %s: writing down an act of consent", self.plan.call_id)
            log.error("call %s: an act of consent could not be written down: %s", self.plan.call_id, error)

    async def _next(self, seconds: float | None) -> acts.Happening:
        try:
            async with asyncio.timeout(seconds):
                return await self._events.get()
        except TimeoutError:
            return acts.TimedOut()

    # --- recording --------------------------------------------------------------------------------

    def _then(self, deed: Callable[[], Awaitable[None]]) -> None:
        """Do this with the recording once what was asked before is done. What goes wrong with a recording never ends
        the call."""
        before = self._recording_task

        async def run() -> None:
            if before is not None:
                await before
            try:
                await deed()
            except Exception:  # the boundary of a recording
                log.exception("call %s: its recording", self.plan.call_id)

        self._recording_task = self._group.create_task(run())

    async def _begin_recording(self, act: acts.StartRecording) -> None:
        rec_id = secrets.token_hex(16)
        legs = tuple(leg for leg in (act.first, act.second) if leg)
        order = RecordingOrder(rec_id, self.plan, legs, tuple(self._ledger_seqs), self.answered_by)
        fds: list[int] = []
        try:
            if not self._provable:
                raise RecordingUnavailable("an act of consent is not in the ledger")
            fds += [os.memfd_create("capture", os.MFD_CLOEXEC) for _ in range(2)]
            async with asyncio.timeout(BEGIN_S):
                await self._house.recordings.begin(order, (fds[0], fds[1]), self._house.now())
            self.rec_id = rec_id
            self.worker.send(p.Capture(act.first, act.second), fds)
            self._house.counters["recorded"] += 1
        except Exception as error:  # the boundary of a recording: whatever it was, the call goes on without
            if not isinstance(error, RecordingUnavailable | OSError):
                log.exception("call %s: beginning its recording", self.plan.call_id)
            log.error("call %s is not recorded: %s", self.plan.call_id, str(error) or type(error).__name__)
            self._house.counters["recording_failed"] += 1
            self._events.put_nowait(acts.RecordingFailed(str(error)))
        finally:
            for fd in fds:
                os.close(fd)

    async def _stop_capture(self) -> str | None:
        """The id of the recording whose capture has been flushed; None if none was begun."""
        if self.rec_id is None:
            return None
        self.worker.send(p.StopCapture())
        if self.worker.gone:
            self._flushed.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._flushed.wait()
        except TimeoutError:
            log.error("call %s: the worker did not flush its capture", self.plan.call_id)
        rec_id, self.rec_id = self.rec_id, None
        return rec_id

    async def _finish_recording(self) -> None:
        rec_id = await self._stop_capture()
        if rec_id is None:
            return
        self._kept = rec_id
        if self._captured.is_set():
            await self._house.recordings.finish(rec_id, self._house.now())
        else:  # everybody had left before the first sample
            await self._drop(rec_id)

    async def _discard_recording(self) -> None:
        rec_id = await self._stop_capture()
        if rec_id is not None:
            await self._drop(rec_id)

    async def _drop(self, rec_id: str) -> None:
        self._kept = None
        await self._house.recordings.discard(rec_id, self._house.now())

    async def _destroy_recording(self) -> None:
        """Also what was kept before: a recording that was cut, and an objection after that."""
        rec_id = await self._stop_capture() or self._kept
        if rec_id is not None:
            self._kept = None
            if await self._house.recordings.destroy(rec_id, self._objection_seq, self._house.now()):
                self._events.put_nowait(acts.RecordingDestroyed())

    # --- after a crash ----------------------------------------------------------------------------

    async def clean_edge(self) -> None:
        """End at the edge what a worker that is dead, or hangs, left there: BYE to both sides, CANCEL or an answer
        where it rang."""
        for leg, sip_call_id in self._sip_call_ids.items():
            if leg in self._down or (leg == CALLER and not self._came):
                continue
            if leg in self._up:
                await self._edge_does(self._house.edge.end_dialog(sip_call_id))
            elif leg == CALLER:
                await self._edge_does(self._house.edge.reply_pending(sip_call_id, 503, "Media Engine Lost"))
            else:
                await self._edge_does(self._house.edge.cancel(sip_call_id))

    async def _edge_does(self, deed: Awaitable[bool]) -> None:
        try:
            if not await deed:
                log.info("call %s: the edge knows that leg no more", self.plan.call_id)
        except Exception as error:  # the boundary to the edge: the other legs are to end all the same
            log.error("call %s: the edge did not take the end of a leg: %s", self.plan.call_id, error)
