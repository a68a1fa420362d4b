"""All calls under observation: each is watched, measured now and then, judged at its end, and handed on to be kept.

Nothing here may hold up a call: watching is counting, judging is arithmetic, keeping goes through a bounded queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sip.calls import watch
from sip.calls.diagnosis import Diagnosis, judge
from sip.calls.history import CallHistory
from sip.calls.plan import CallPlan, Outcome, Refusal
from sip.calls.watch import Watch
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p

log = logging.getLogger(__name__)

FIRST_LOOK_S = 10.0  # into a call: somebody who is not heard is noticed by then
EVERY_S = 60.0
TICK_S = 5.0
ANSWER_S = 1.0  # for a worker to tell its figures
QUEUE = 500  # calls that wait to be written down
REFUSALS_A_MINUTE = 30  # of those that are kept: whoever is refused all day long fills no disk

MOS_CLASSES = (("mos_good", 400), ("mos_fair", 360), ("mos_poor", 310), ("mos_bad", 0))  # ITU-T G.107 table B.1
STATISTICS = (*(name for name, _ in MOS_CLASSES), "mos_unknown", "one_way", "diagnoses_lost")


@dataclass(frozen=True, slots=True)
class Judged:
    """A call that is over, or was refused (then there is no plan)."""

    call_id: str
    began_at: datetime
    history: CallHistory
    diagnosis: Diagnosis
    metadata_class: str  # "" of a call that was refused
    request: EdgeRequest | None = None  # of a refusal: whom it concerns is not known otherwise


class Keeper(Protocol):
    """Writes down how a call went, with just what its metadata class allows."""

    async def keep(self, judged: Judged) -> None:
        """Raises what storage raises."""


class Observation:
    """One call. Given each command and each event as it passes."""

    def __init__(
        self, plan: CallPlan, request: EdgeRequest | None, send: Callable[[p.Command], None], clock: Callable[[], float]
    ) -> None:
        self.watch = Watch(plan, request, clock())
        self._send = send
        self._clock = clock
        self._asked: set[str] = set()  # legs whose figures are on their way
        self._told = asyncio.Event()  # set when none are
        self.next_look_s = clock() + FIRST_LOOK_S

    def asked(self, command: object) -> None:
        """A command that goes to the worker."""
        self._noted(self.watch.asked, command)

    def happened(self, event: object) -> None:
        """Whatever arrives."""
        self._noted(self.watch.happened, event)
        if not isinstance(event, p.LegQuality) and (unsettled := self.watch.unsettled()):
            self._measure(unsettled)
        if isinstance(event, p.LegQuality | p.LegDown):
            self._asked.discard(event.leg)
        if isinstance(event, p.WorkerGone | p.Left):
            self._asked.clear()
        if not self._asked:
            self._told.set()

    def referred(self, leg: str, code: int) -> None:
        """A telephone has asked for a transfer, and was answered so."""
        self.watch.referred(leg, code, self._clock())

    def _noted(self, note: Callable[[object, float], None], what: object) -> None:
        try:
            note(what, self._clock())
        except Exception:  # the boundary of watching: a call does not end because somebody looks on
            log.exception("watching a call")

    def measure(self) -> None:
        """Ask for the figures of all legs that are up."""
        self._measure(self.watch.legs_up())

    def _measure(self, legs: list[str]) -> None:
        for leg in legs:
            self._asked.add(leg)
            self._told.clear()
            self._send(p.Measure(leg))

    async def measured(self) -> CallHistory:
        """Of a call that goes on, with fresh figures where the worker tells them in time."""
        self.measure()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._told.wait()
        except TimeoutError:
            self._asked.clear()
        return self.watch.history(self._clock())


class Observatory:
    """Every call of this machine."""

    def __init__(self, keeper: Keeper | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeper = keeper
        self._clock = clock
        self._going: dict[str, Observation] = {}
        self._queue: asyncio.Queue[Judged] = asyncio.Queue(QUEUE)
        self._refusals: list[float] = []  # when the last ones were kept
        self.counters: Counter[str] = Counter(dict.fromkeys(STATISTICS, 0))

    # --- told by call control ---------------------------------------------------------------------

    def begun(self, plan: CallPlan, request: EdgeRequest | None, send: Callable[[p.Command], None]) -> Observation:
        """A call has a worker; ``send`` reaches it."""
        observation = Observation(plan, request, send, self._clock)
        self._going[plan.call_id] = observation
        return observation

    def ended(self, observation: Observation, outcome: Outcome, began_at: datetime) -> None:
        """It is over."""
        plan = observation.watch.plan
        self._going.pop(plan.call_id, None)
        history = observation.watch.history(self._clock(), outcome)
        class_ = outcome.metadata_class or plan.metadata_class
        if plan.private or outcome.private:  # also from some moment on only
            class_ = "none"
        self._hand_on(Judged(plan.call_id, began_at, history, self._judged(history), class_))

    def forget(self, call_id: str) -> None:
        """It goes on no more, however it ended."""
        self._going.pop(call_id, None)

    def refused(self, call_id: str, request: EdgeRequest, refusal: Refusal, at: datetime) -> None:
        """A call that does not begin."""
        now_s = self._clock()
        self._refusals = [then_s for then_s in self._refusals if now_s - then_s < EVERY_S]
        if len(self._refusals) >= REFUSALS_A_MINUTE:
            return
        self._refusals.append(now_s)
        history = watch.refused(request, refusal)
        self._hand_on(Judged(call_id, at, history, judge(history), "", request))

    def _judged(self, history: CallHistory) -> Diagnosis:
        diagnosis = judge(history)
        if history.talked:
            mos = diagnosis.mos_centi
            name = next((n for n, least in MOS_CLASSES if mos is not None and mos >= least), "mos_unknown")
            self.counters[name] += 1
            self.counters["one_way"] += diagnosis.one_way
        return diagnosis

    def _hand_on(self, judged: Judged) -> None:
        if self._keeper is None:
            return
        try:
            self._queue.put_nowait(judged)
        except asyncio.QueueFull:
            self.counters["diagnoses_lost"] += 1

    # --- asked by people --------------------------------------------------------------------------

    async def look(self, call_id: str) -> CallHistory | None:
        """How a call that goes on is doing now; None if there is none of that id."""
        observation = self._going.get(call_id)
        return None if observation is None else await observation.measured()

    def going(self) -> list[str]:
        """Ids of the calls that are observed now."""
        return list(self._going)

    # --- running ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Measure and keep, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure())
            group.create_task(self._keep())

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_s = self._clock()
            for observation in self._going.values():
                if now_s >= observation.next_look_s:
                    observation.next_look_s = now_s + EVERY_S
                    observation.measure()

    async def _keep(self) -> None:
        while True:
            judged = await self._queue.get()
            try:
                assert self._keeper is not None
                await self._keeper.keep(judged)
            except Exception as error:  # the boundary of keeping: the next call is kept all the same
                self.counters["diagnoses_lost"] += 1
                log.error("call %s leaves no diagnosis: %s", judged.call_id, str(error) or type(error).__name__)
            finally:
                self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """At the end: what waits is written down, if that does not take longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            log.error("the last diagnoses were not written down in time")
