"""Who gets in: calls at once in all, of one account, and on one trunk. An emergency call always does.

Call control asks here before it begins a call and before it dials a trunk; here it is only counted and decided, and
whoever has to give way is ended through a callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sip.calls.announcements import Announcements
from sip.calls.plan import CallPlan, Refusal
from sip.calls.preemption import Seat, channels, gives_way
from sip.edge.protocol import EdgeRequest, Reply
from sip.worker.pool import NoWorker, Worker, WorkerPool

log = logging.getLogger(__name__)

GIVE_WAY_S = 0.4  # for the channel of a call that gives way to come free: the provider counts too


class Admission:
    """Counts what is taken. ``seats`` tells the calls that go on; ``preempt`` ends one of them for an emergency call.

    ``is_emergency`` must answer from memory: whatever it waited for would hold up an ambulance.
    """

    def __init__(
        self,
        pool: WorkerPool,
        *,
        seats: Callable[[], Sequence[Seat]],
        preempt: Callable[[str], None],
        is_emergency: Callable[[EdgeRequest], bool],
        max_channels: Callable[[str], int | None],
    ) -> None:
        self._pool = pool
        self._seats = seats
        self._preempt = preempt
        self.is_emergency = is_emergency
        self._max_channels = max_channels
        self.announcements = Announcements()
        self.beginning = 0  # calls that are being planned
        self.waiting: Counter[str | None] = Counter()  # account id -> calls that wait for a worker
        self._dialling: Counter[str] = Counter()  # trunk id -> emergency calls that wait for a channel
        self._freed = asyncio.Event()  # something has come free

    @contextmanager
    def planning(self) -> Iterator[None]:
        """A call that is being planned counts."""
        self.beginning += 1
        try:
            yield
        finally:
            self.beginning -= 1

    def no_room(self, max_concurrent: int) -> Reply | None:
        """Whether one more ordinary call is too many for this machine. What is only said about a refused call is none,
        and gives way."""
        ordinary = [seat for seat in self._seats() if not seat.emergency]
        said = [seat for seat in ordinary if seat.announcement]
        calls = len(ordinary) - len(said) + self.beginning
        if calls >= min(max_concurrent, self._pool.ordinary_capacity):
            return Reply(503, f"All {max_concurrent} Lines Are In Use")
        staying = [seat for seat in said if not seat.leaving]
        too_many = calls + len(staying) + 1 - self._pool.ordinary_capacity
        for seat in staying[: max(0, too_many)]:
            self._preempt(seat.call_id)
        return None

    def may_announce(self, max_concurrent: int) -> bool:
        """Whether there are workers to spare for saying why a call is refused; asked while that call is planned."""
        ordinary = sum(1 for seat in self._seats() if not seat.emergency)
        capacity = min(max_concurrent, self._pool.ordinary_capacity)
        return self.announcements.room(capacity, ordinary + self.beginning)

    def too_many(self, plan: CallPlan, mine: int, max_per_account: int) -> Refusal | None:
        """All devices of an account share its limit; ``mine``: its calls that go on."""
        if plan.emergency:
            return None
        if mine + self.waiting[plan.caller.account_id] >= max_per_account:
            return Refusal(486, f"Limit Of {max_per_account} Calls Reached", "limit", "PROMPT_LIMIT")
        return None

    async def worker(self, plan: CallPlan) -> Worker:
        """A worker for this call; where all are taken, an emergency call takes one that was kept for it, or the newest
        ordinary call gives way. Raises NoWorker."""
        if plan.refusal is not None:
            return await self._pool.acquire(wideband=plan.wideband)
        self.waiting[plan.caller.account_id] += 1
        try:
            if not plan.emergency:
                return await self._pool.acquire(wideband=plan.wideband)
            return await self._emergency_worker(plan)
        finally:
            self.waiting[plan.caller.account_id] -= 1

    async def _emergency_worker(self, plan: CallPlan) -> Worker:
        if self._pool.full:
            self._make_way(plan.call_id, None)
        try:
            return await self._pool.acquire(reserved=True)
        except NoWorker:
            if not self._make_way(plan.call_id, None):
                raise
        return await self._pool.acquire(reserved=True)

    def freed(self) -> None:
        """A leg or a call has ended."""
        self._freed.set()

    def channel_taken(self, trunk_id: str) -> bool:
        """Whether an ordinary call may not dial this trunk now."""
        return self._full(trunk_id, self._dialling[trunk_id])

    def _full(self, trunk_id: str, more: int = 0) -> bool:
        most = self._max_channels(trunk_id)
        return most is not None and channels(self._seats()).get(trunk_id, 0) + more >= most

    async def emergency_channel(self, plan: CallPlan, trunk_id: str) -> None:
        """Before an emergency call dials: on a full trunk the newest ordinary call on it gives way. What does not come
        free in a moment is not waited for: the provider may have kept a channel of its own."""
        if not self.channel_taken(trunk_id) or not self._make_way(plan.call_id, trunk_id):
            return
        self._dialling[trunk_id] += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GIVE_WAY_S):
                    while self._full(trunk_id):
                        self._freed.clear()
                        await self._freed.wait()
        finally:
            self._dialling[trunk_id] -= 1

    def _make_way(self, for_call: str, trunk_id: str | None) -> bool:
        call_id = gives_way(self._seats(), trunk_id)
        if call_id is None:
            return False
        log.warning("call %s gives way to emergency call %s", call_id, for_call)
        self._preempt(call_id)
        return True
