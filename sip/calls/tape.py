"""Evidence and recordings of one call, carried out: into the ledger, to the recorder, to the worker.

What was asked is done one after the other and in that order. What goes wrong with a recording never ends the call; what
cannot be proven is not recorded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol

from sip.calls import acts
from sip.calls.plan import CallPlan, Evidence, Party
from sip.calls.ports import CallBook, RecordingOrder, Recordings, RecordingUnavailable
from sip.worker import protocol as p
from sip.worker.pool import Worker
from storage.errors import StorageError

log = logging.getLogger(__name__)

FLUSH_S = 2.0  # from StopCapture to flushed files
NOTE_S = 3.0  # for an act of consent to be committed: somebody listens to silence meanwhile
BEGIN_S = 15.0  # for a recording to begin, in a call that goes on meanwhile
CLOSE_S = 15.0  # for what is still to be written when the call has ended


class House(Protocol):
    """What is needed of call control."""

    counters: Counter[str]

    @property
    def recordings(self) -> Recordings: ...

    @property
    def book(self) -> CallBook: ...

    def now(self) -> datetime: ...


class Tape:
    """The recordings of one call. One runs at a time; each composition of parties has its own."""

    def __init__(
        self,
        house: House,
        plan: CallPlan,
        worker: Worker,
        *,
        tell: Callable[[acts.Happening], None],
        party: Callable[[str], Party],
    ) -> None:
        """``tell`` hands an event to the script; ``party`` says who is on a leg."""
        self.rec_id: str | None = None  # of the one that runs, once it has begun
        self.group: asyncio.TaskGroup  # set when the call begins
        self._house = house
        self._plan = plan
        self._worker = worker
        self._tell = tell
        self._party = party
        self._legs: tuple[str, ...] = ()  # of the one that runs
        self._kept: dict[str, tuple[str, ...]] = {}  # recordings that were kept, with their legs
        self._seqs: defaultdict[str, list[int]] = defaultdict(list)  # consent entries, by leg
        self._writing: set[asyncio.Task[None]] = set()  # acts of consent on their way into the ledger
        self._provable = True  # every act of consent is in the ledger
        self._objection_seq: int | None = None  # in the consent ledger, once somebody has objected
        self._captured = asyncio.Event()  # the worker writes
        self._flushed = asyncio.Event()  # the worker writes no more, for whatever reason
        self._last: asyncio.Task[None] | None = None  # the last that was asked

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the recordings that there are."""
        return tuple(self._kept)

    # --- what happens -----------------------------------------------------------------------------

    def happened(self, event: acts.Happening) -> acts.Happening:
        """An event of the worker, as the script understands it."""
        match event:
            case p.Captured():
                self._captured.set()
                return acts.RecordingStarted()
            case p.CaptureFailed(why=why):
                self._flushed.set()
                return acts.RecordingFailed(why)
            case p.CaptureStopped() | p.Left() | p.WorkerGone():
                self._flushed.set()
        return event

    # --- evidence ---------------------------------------------------------------------------------

    async def note(self, evidence: Evidence) -> None:
        """What cannot be proven is not recorded; the call goes on."""
        writing = self.group.create_task(self._write_down(evidence))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.wait({writing}, timeout=NOTE_S)  # not cancelled: a database that hangs would not let go of us
        if not writing.done():
            self._provable = False
            log.error("call %s: an act of consent is not written down in time", self._plan.call_id)

    async def _write_down(self, evidence: Evidence) -> None:
        try:
            seq = await self._house.book.note(self._plan, evidence, self._house.now(), self.rec_id)
            self._seqs[evidence.leg].append(seq)
            if evidence.act == "objection":
                self._objection_seq = seq
        except Exception as error:  # the boundary to the ledger
            self._provable = False
            if not isinstance(error, StorageError):
                log.exception("call %s: writing down an act of consent", self._plan.call_id)
            log.error("call %s: an act of consent could not be written down: %s", self._plan.call_id, error)

    async def close(self) -> None:
        """The call is over: give up what the script has given up, and wait for what is being written."""
        self.then(self._discard)
        if self._writing:
            _, late = await asyncio.wait(self._writing, timeout=CLOSE_S)
            for writing in late:
                writing.cancel()

    # --- recording --------------------------------------------------------------------------------

    def start(self, act: acts.StartRecording) -> None:
        self.then(partial(self._begin, act))

    def stop(self, act: acts.StopRecording) -> None:
        self.then(partial(self._finish, act.gaps))

    def discard(self) -> None:
        """There is to be none, although one may have begun."""
        self.then(self._discard)

    def destroy(self, act: acts.DestroyRecording) -> None:
        self.then(partial(self._destroy, act.leg))

    def then(self, deed: Callable[[], Awaitable[None]]) -> None:
        """Do this once what was asked before is done."""
        before = self._last

        async def run() -> None:
            if before is not None:
                await before
            try:
                await deed()
            except Exception:  # the boundary of a recording
                log.exception("call %s: its recording", self._plan.call_id)

        self._last = self.group.create_task(run())

    async def _begin(self, act: acts.StartRecording) -> None:
        fds: list[int] = []
        try:
            order = self._order(act)
            fds += [os.memfd_create("capture", os.MFD_CLOEXEC) for _ in range(2)]
            async with asyncio.timeout(BEGIN_S):
                await self._house.recordings.begin(order, (fds[0], fds[1]), self._house.now())
            self.rec_id, self._legs = order.rec_id, order.legs
            self._captured.clear()
            self._flushed.clear()
            self._worker.send(p.Capture(act.first, act.second), fds)
            self._house.counters["recorded"] += 1
        except Exception as error:  # the boundary of a recording: whatever it was, the call goes on without
            if not isinstance(error, RecordingUnavailable | OSError):
                log.exception("call %s: beginning its recording", self._plan.call_id)
            log.error("call %s is not recorded: %s", self._plan.call_id, str(error) or type(error).__name__)
            self._house.counters["recording_failed"] += 1
            self._tell(acts.RecordingFailed(str(error)))
        finally:
            for fd in fds:
                os.close(fd)

    def _order(self, act: acts.StartRecording) -> RecordingOrder:
        legs = tuple(leg for leg in (act.first, act.second) if leg)
        if not self._provable or not all(self._seqs[leg] for leg in legs):
            raise RecordingUnavailable("an act of consent is not in the ledger")
        seqs = tuple(sorted(seq for leg in legs for seq in self._seqs[leg]))
        parties = tuple(self._party(leg) for leg in legs)
        return RecordingOrder(secrets.token_hex(16), self._plan, legs, seqs, parties, self._worker.clock_hz)

    async def _stop_capture(self) -> str | None:
        """The id of the recording whose capture has been flushed; None if none was begun."""
        if self.rec_id is None:
            return None
        self._worker.send(p.StopCapture())
        if self._worker.gone:
            self._flushed.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._flushed.wait()
        except TimeoutError:
            log.error("call %s: the worker did not flush its capture", self._plan.call_id)
        rec_id, self.rec_id = self.rec_id, None
        return rec_id

    async def _finish(self, gaps: tuple[acts.Gap, ...]) -> None:
        rec_id = await self._stop_capture()
        if rec_id is None:
            return
        if self._captured.is_set():
            self._kept[rec_id] = self._legs
            await self._house.recordings.finish(rec_id, self._house.now(), gaps)
        else:  # everybody had left before the first sample
            await self._house.recordings.discard(rec_id, self._house.now())

    async def _discard(self) -> None:
        rec_id = await self._stop_capture()
        if rec_id is not None:
            await self._house.recordings.discard(rec_id, self._house.now())

    async def _destroy(self, leg: str) -> None:
        """Also what was kept before: recordings that were cut, or ended with a transfer."""
        rec_ids = [rec_id for rec_id, legs in self._kept.items() if leg in legs]
        running = await self._stop_capture()
        if running is not None:
            rec_ids.append(running)
        gone = True
        for rec_id in rec_ids:
            self._kept.pop(rec_id, None)
            done = await self._house.recordings.destroy(rec_id, self._objection_seq, self._house.now())
            gone = gone and done
        if rec_ids and gone:
            self._tell(acts.RecordingDestroyed())
