"""What outside calls use up: written down while they go on, and held against what may be used.

Sums are kept by day for whoever pays (an account) and for the trunk. They are written every half minute and at the end
of each call, so that a crash loses little. Parallel calls share what is left: whenever one begins or ends, and every
half minute, each is told anew how long it may go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from server.unbroken import unbroken
from sip.calls.duty import OutsideLeg
from sip.calls.house import RunningUse
from sip.calls.metering import Charge, Left, Running, share_s
from sip.calls.permission import Allowance, Defaults, Used, near, of_account, of_trunk
from sip.calls.plan import Ceiling
from storage import limits, usage
from storage.database import Database
from storage.errors import StorageError
from storage.tx import Tx

log = logging.getLogger(__name__)

LOOK_S = 30.0
SETTLE_S = 0.2  # after a call has begun or ended: several often do at once
SLACK_S = 2.0  # a ceiling that has moved by less is left alone


@dataclass(frozen=True, slots=True)
class Alert:
    """So much of a limit is used that somebody should know. Told once a day (or month) for each."""

    owner: str
    limit: str  # field of storage.limits.Limits
    percent: int


def charge(leg: OutsideLeg) -> Charge:
    """What this way costs."""
    if leg.target is None:
        return Charge()
    return Charge(leg.target.microeuros_per_minute, 60, leg.target.microeuros_per_call)


def owners(leg: OutsideLeg) -> tuple[str, ...]:
    """Whose sums it counts in. A call that came in costs nobody."""
    if leg.target is None:
        return ()
    payer = leg.target.payer
    return (*((limits.of_account(payer),) if payer else ()), limits.of_trunk(leg.trunk_id))


def left(allowance: Allowance, used: Used) -> Left:
    """The least of what day and month leave."""
    seconds = [
        minutes * 60.0 - spent
        for minutes, spent in ((allowance.minutes_per_day, used.day_s), (allowance.minutes_per_month, used.month_s))
        if minutes is not None
    ]
    money = [
        cents * 10_000 - spent
        for cents, spent in (
            (allowance.cents_per_day, used.day_microeuros),
            (allowance.cents_per_month, used.month_microeuros),
        )
        if cents is not None
    ]
    return Left(min(seconds, default=None), min(money, default=None))


@dataclass
class _Sum:
    seconds: int = 0
    microeuros: int = 0
    calls: int = 0


class MeteringDesk:
    """Told of calls by call control (``sip.calls.duty``); does the rest in a task of its own."""

    def __init__(
        self,
        database: Database,
        *,
        outside: Callable[[], Sequence[OutsideLeg]],
        set_ceiling: Callable[[str, Ceiling | None], object],
        alert: Callable[[Alert], None],
        defaults: Callable[[], Defaults],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``outside``: legs that hold a trunk's channel now; ``set_ceiling``: how long a call may go on from now."""
        self._database = database
        self._outside = outside
        self._set_ceiling = set_ceiling
        self._alert = alert
        self._defaults = defaults
        self._clock = clock
        self._monotonic = monotonic
        self._noted: dict[tuple[str, str], _Sum] = {}  # of each leg that talks: what has been counted
        self._unwritten: defaultdict[tuple[str, date], _Sum] = defaultdict(_Sum)
        self._ends_s: dict[str, float] = {}  # call id -> when it has been told to end
        self._alerted: set[tuple[str, str, str]] = set()  # owner, limit, day or month
        self._used_up: set[str] = set()  # owners that something was counted for since the last review
        self._look = asyncio.Event()
        self.alerts = 0  # for the metrics
        self.seconds = 0
        self.microeuros = 0

    # --- told by call control -----------------------------------------------------------------------

    def look_soon(self) -> None:
        """A limit was changed."""
        self._look.set()

    def leg_answered(self, leg: OutsideLeg) -> None:
        self._look.set()

    def leg_ended(self, leg: OutsideLeg, talk_s: float) -> None:
        if talk_s > 0:
            self._count(leg, talk_s, last=True)
        self._noted.pop((leg.call_id, leg.leg), None)
        if not any(other.call_id == leg.call_id for other in self._outside()):
            self._ends_s.pop(leg.call_id, None)
        self._look.set()

    def running(self, owner: str) -> RunningUse:
        """What is not in the database yet, for whoever decides on the next call."""
        held = [each for (of, _), each in self._unwritten.items() if of == owner]
        seconds, microeuros = float(sum(each.seconds for each in held)), sum(each.microeuros for each in held)
        legs = [leg for leg in self._outside() if owner in owners(leg)]
        for leg in legs:
            talk_s = leg.talk_s(self._monotonic())
            noted = self._noted.get((leg.call_id, leg.leg), _Sum())
            seconds += max(0.0, talk_s - noted.seconds)
            microeuros += max(0, charge(leg).cost(talk_s) - noted.microeuros)
        return RunningUse(len(legs), seconds, microeuros)

    def _count(self, leg: OutsideLeg, talk_s: float, *, last: bool = False) -> None:
        """Add what has come since it was counted last."""
        known = self._noted.get((leg.call_id, leg.leg))
        noted = known or _Sum()
        seconds = math.ceil(talk_s) if last else int(talk_s)
        more = _Sum(
            max(0, seconds - noted.seconds), charge(leg).cost(talk_s) - noted.microeuros, 1 if known is None else 0
        )
        self._noted[leg.call_id, leg.leg] = _Sum(noted.seconds + more.seconds, noted.microeuros + more.microeuros)
        if leg.target is not None:
            self.seconds += more.seconds
            self.microeuros += more.microeuros
        today = self._clock().date()
        for owner in owners(leg):
            self._used_up.add(owner)
            held = self._unwritten[owner, today]
            held.seconds += more.seconds
            held.microeuros += more.microeuros
            held.calls += more.calls

    # --- in a task of our own -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            self._look.clear()
            await asyncio.sleep(SETTLE_S)
            await unbroken(self.look())

    async def look(self) -> None:
        """Count what goes on, write it down, and tell each call anew how long it may go on."""
        talking = [leg for leg in self._outside() if leg.answered_s is not None and leg.target is not None]
        for leg in talking:
            if (talk_s := leg.talk_s(self._monotonic())) > 0:
                self._count(leg, talk_s)
        if not talking and not self._unwritten:
            return
        try:
            await self.write()
            await self._review(talking)
        except StorageError as error:
            log.error("what calls have used is not written down yet: %s", error)

    async def write(self) -> None:
        """What has been counted. Raises StorageError; then it is tried again at the next look."""
        taken, self._unwritten = self._unwritten, defaultdict(_Sum)
        try:
            async with self._database.transaction() as tx:
                for (owner, day), each in taken.items():
                    await usage.add(tx, owner, day, each.seconds, each.microeuros, calls=each.calls)
        except BaseException:
            for key, each in taken.items():
                held = self._unwritten[key]
                held.seconds += each.seconds
                held.microeuros += each.microeuros
                held.calls += each.calls
            raise

    async def _review(self, talking: Sequence[OutsideLeg]) -> None:
        by_owner: dict[str, list[OutsideLeg]] = {owner: [] for owner in self._used_up}  # of calls that have ended too
        for leg in talking:
            for owner in owners(leg):
                by_owner.setdefault(owner, []).append(leg)
        shortest: dict[str, float | None] = {leg.call_id: None for leg in talking}
        now_s = self._monotonic()
        async with self._database.read() as tx:
            for owner, legs in by_owner.items():
                allowance, used = await self._state(tx, owner)
                self._alerts(owner, allowance, used)
                running = [Running(leg.talk_s(now_s), charge(leg)) for leg in legs]
                share = share_s(left(allowance, used), running)
                for leg in legs:
                    known = shortest[leg.call_id]
                    shortest[leg.call_id] = share if known is None else known if share is None else min(known, share)
        self._used_up.clear()
        for call_id, seconds in shortest.items():
            self._tell(call_id, seconds, now_s)

    def _tell(self, call_id: str, seconds: float | None, now_s: float) -> None:
        known = self._ends_s.get(call_id)
        if seconds is None:
            if known is not None:
                del self._ends_s[call_id]
                self._set_ceiling(call_id, None)
            return
        if known is not None and abs(known - (now_s + seconds)) < SLACK_S:
            return
        self._ends_s[call_id] = now_s + seconds
        warn_s = self._defaults().warn_before_s
        self._set_ceiling(call_id, Ceiling(seconds, (warn_s,) if seconds > warn_s else ()))

    async def _state(self, tx: Tx, owner: str) -> tuple[Allowance, Used]:
        today = self._clock().date()
        own = await limits.get(tx, owner)
        if owner.startswith("account:"):
            allowance = of_account(own, await limits.get(tx, limits.DEFAULT), self._defaults())
        else:
            allowance = of_trunk(own)
        day, month = await usage.of_day(tx, owner, today), await usage.of_month(tx, owner, today)
        return allowance, Used(day.seconds, month.seconds, day.cost_microeuros, month.cost_microeuros)

    def _alerts(self, owner: str, allowance: Allowance, used: Used) -> None:
        percent, today = self._defaults().alert_at_percent, self._clock().date()
        for name in near(allowance, used, percent):
            when = today.isoformat()[: 7 if name.endswith("month") else 10]
            if (owner, name, when) not in self._alerted:
                self._alerted.add((owner, name, when))
                self.alerts += 1
                log.warning("%s has used %d %% of its limit %s", owner.replace(":", " "), percent, name)
                self._alert(Alert(owner, name, percent))

    def gauges(self) -> Mapping[str, float]:
        return {"outside_calls": float(sum(leg.target is not None for leg in self._outside()))}
