"""Every emergency call is written down, and told to those whom the configuration names.

Who called, from where and which number: this is for safety, and goes to the persons named alone. It is never logged.
A number that is discreet by law (a help line) is neither told nor written down.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from config import emergency as numbers
from config.settings import Settings
from server.directory_memory import DirectoryMemory
from server.messenger import Messenger
from server.unbroken import unbroken
from sip.calls.plan import CallPlan, LineKind, TrunkTarget
from sip.calls.ports import ClosedCall
from storage import emergency_calls
from storage.database import Database
from storage.emergency_calls import EmergencyCall
from storage.errors import NotFound, StorageError

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
WRITE_AGAIN_S = 2.0
RUNNING = "running"
RELAYED = "relayed"  # by the edge alone
_REMEMBERED = 1000  # calls that the edge relayed, of which call control may still tell

_TEXTS: Mapping[tuple[str, bool], str] = {
    ("fr", False): "APPEL D'URGENCE : {who} a composé le {number} à {time}.{place}",
    ("en", False): "EMERGENCY CALL: {who} dialled {number} at {time}.{place}",
    ("fr", True): "Exercice : {who} a composé le {number} à {time}. Rien n'a quitté les lieux.{place}",
    ("en", True): "Drill: {who} dialled {number} at {time}. Nothing left the building.{place}",
}
_LATE = {
    "fr": " Signalé après coup : le serveur était absent.",
    "en": " Told afterwards: the server was away.",
}
_PLACE = {"fr": " Lieu : {where}", "en": " Location: {where}"}
_UNKNOWN = {"fr": "un appareil inconnu", "en": "an unknown device"}


def text(language: str, *, drill: bool, who: str, number: str, at: datetime, where: str, late: bool = False) -> str:
    """What is sent. ``who``: "Alice Martin (201)", or "". The time is that of the server's own clock, with the day if
    it is told late."""
    spoken = language if language in _PLACE else "en"
    place = _PLACE[spoken].format(where=where) if where else ""
    name = who or _UNKNOWN[spoken]
    time = at.astimezone().strftime("%Y-%m-%d %H:%M" if late else "%H:%M")
    return _TEXTS[spoken, drill].format(who=name, number=number, time=time, place=place) + (late * _LATE[spoken])


@dataclass
class _Case:
    """One emergency call, as it will be written down."""

    call: EmergencyCall
    presented: str | None
    added: bool = False
    unwritten: int = 0  # times that it waits to be written
    reported: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)  # account ids that are still to be told
    missed: set[str] = field(default_factory=set)  # and those that could not be
    relayed: bool = False  # by the edge alone
    late: bool = False


class EmergencyReports:
    """Told of calls by call control (``sip.calls.duty``); does the rest in tasks of its own."""

    def __init__(
        self,
        database: Database,
        memory: DirectoryMemory,
        messenger: Messenger,
        settings: Callable[[], Settings],
        clock: Callable[[], datetime],
        presented: Callable[[CallPlan], str | None],
        location: Callable[[str | None], str],
    ) -> None:
        """``presented``: E.164 that the service sees; ``location``: of an account id, as it is sent along."""
        self._database = database
        self._memory = memory
        self._messenger = messenger
        self._settings = settings
        self._clock = clock
        self._presented = presented
        self._location = location
        self._cases: dict[str, _Case] = {}
        self._relayed: OrderedDict[str, frozenset[str]] = OrderedDict()  # id -> account ids that were given up
        self._to_write: asyncio.Queue[str] = asyncio.Queue()
        self._to_tell: asyncio.Queue[str] = asyncio.Queue()
        self.calls = 0  # for the metrics
        self.drills = 0
        self.relays = 0  # calls that the edge relayed alone
        self._missed = 0

    @property
    def waiting(self) -> int:
        """Persons who are still to be told of a call."""
        return sum(len(case.waiting) for case in self._cases.values())

    @property
    def missed(self) -> int:
        """Persons who could not be told in time, since the start of the daemon."""
        return self._missed

    # --- told by call control -----------------------------------------------------------------------

    def began(self, plan: CallPlan) -> None:
        drill = plan.kind is LineKind.DRILL
        if not (plan.emergency or drill):
            return
        self.calls += not drill
        self.drills += drill
        if self._discreet(plan) or plan.call_id in self._relayed:
            return
        call = EmergencyCall(
            plan.call_id, self._clock(), plan.caller.account_id, plan.callee.number, None, drill, RUNNING, ()
        )
        self._cases[plan.call_id] = _Case(
            call,
            None if drill else self._presented(plan),
            waiting=self._notified(),
        )
        self._new(self._cases[plan.call_id])

    def ended(self, closed: ClosedCall) -> None:
        case = self._cases.get(closed.plan.call_id)
        if case is None or case.relayed:
            return
        outcome = closed.outcome
        carried = next(
            (
                target.trunk_id
                for _, target in closed.plan.targets()
                if target.leg == outcome.answered_leg and isinstance(target, TrunkTarget)
            ),
            None,
        )
        case.call = replace(case.call, outcome=outcome.cause, trunk_id=carried)
        self._changed(case)

    def _notified(self) -> set[str]:
        known = self._memory.now
        named = [known.named(name) for name in self._settings().emergency.notify]
        return {account.id for account in named if account is not None}

    # --- told by what asks the edge (server.relayed_calls) ------------------------------------------

    async def relayed(self, call: EmergencyCall, *, presented: str | None, late: bool) -> bool:
        """The edge alone has this call, or had it: to be said again until it is settled. Whether it is: written down
        as it stands, and nobody left to be told. Raises StorageError."""
        if (case := self._cases.get(call.id)) is not None:
            changed = not case.relayed or (case.call.outcome, case.call.trunk_id) != (call.outcome, call.trunk_id)
            case.relayed = True
            if changed:
                case.call = replace(case.call, outcome=call.outcome, trunk_id=call.trunk_id)
                self._changed(case)
            return False
        written = await unbroken(self._read(call.id))
        if call.id in self._cases:  # begun meanwhile by call control
            return False
        reported = set(written.reported_to) if written is not None else set()
        waiting = self._notified() - reported - self._relayed.get(call.id, frozenset())
        current = written is not None and (written.outcome, written.trunk_id) == (call.outcome, call.trunk_id)
        if current and not waiting:
            return True
        if call.id not in self._relayed:
            self.relays += 1
        self._remember(call.id, self._relayed.get(call.id, frozenset()))
        self._cases[call.id] = _Case(
            call, presented, written is not None, reported=reported, waiting=waiting, relayed=True, late=late
        )
        self._new(self._cases[call.id])
        return False

    def lost(self, call_id: str) -> None:
        """The edge knows of it no more: it was restarted. That there was one stays."""
        case = self._cases.get(call_id)
        if case is not None and case.call.outcome == RUNNING:
            case.call = replace(case.call, outcome=RELAYED)
            self._changed(case)

    def _new(self, case: _Case) -> None:
        if not case.waiting and not case.reported:
            log.warning("emergency call %s is told to nobody: emergency.notify names nobody", case.call.id)
        self._changed(case)
        self._to_tell.put_nowait(case.call.id)

    def _changed(self, case: _Case) -> None:
        case.unwritten += 1
        self._to_write.put_nowait(case.call.id)

    async def _read(self, call_id: str) -> EmergencyCall | None:
        async with self._database.read() as tx:
            try:
                return await emergency_calls.get(tx, call_id)
            except NotFound:
                return None

    def _remember(self, call_id: str, missed: frozenset[str]) -> None:
        self._relayed[call_id] = missed
        while len(self._relayed) > _REMEMBERED:
            self._relayed.popitem(last=False)

    def _discreet(self, plan: CallPlan) -> bool:
        settings = self._settings()
        country = settings.numbering.country or settings.company.country
        known = numbers.load().of(country).get(plan.callee.number)
        return known is not None and known.discreet

    # --- in tasks of our own ------------------------------------------------------------------------

    async def write(self) -> None:
        """Write down what there is to write until cancelled; a database that does not answer is asked again."""
        while True:
            call_id = await self._to_write.get()
            if (case := self._cases.get(call_id)) is None:
                continue
            case.unwritten -= 1
            await self._surely_written(case)
            if case.call.outcome != RUNNING and not case.waiting and not case.unwritten:
                del self._cases[call_id]
                if case.relayed:
                    self._remember(call_id, frozenset(case.missed))

    async def _surely_written(self, case: _Case) -> None:
        while True:
            if await unbroken(self._written(case)):
                return
            await asyncio.sleep(WRITE_AGAIN_S)

    async def _written(self, case: _Case) -> bool:
        call = replace(case.call, reported_to=tuple(sorted(case.reported)))
        try:
            async with self._database.transaction() as tx:
                if not case.added:
                    await emergency_calls.add(tx, call, presented=case.presented)
                else:
                    await emergency_calls.finish(
                        tx, call.id, call.outcome, trunk_id=call.trunk_id, reported_to=call.reported_to
                    )
        except NotFound:
            log.warning("emergency call %s is in the list no more", call.id)
        except StorageError as error:
            log.error("emergency call %s is not written down yet: %s", call.id, error)
            return False
        case.added = True
        return True

    async def tell(self) -> None:
        """Tell those who are to be told until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                if (case := self._cases.get(await self._to_tell.get())) is None:
                    continue
                for account_id in sorted(case.waiting):
                    group.create_task(self._tell_one(case, account_id), name="emergency report")

    async def _tell_one(self, case: _Case, account_id: str) -> None:
        known, call = self._memory.now, case.call
        reader = known.accounts.get(account_id)
        caller = known.accounts.get(call.account_id or "")
        message = text(
            reader.language if reader is not None else "en",
            drill=call.drill,
            who=f"{caller.display_name} ({caller.extension})" if caller is not None else "",
            number=call.number,
            at=call.at,
            where=self._location(call.account_id),
            late=case.late,
        )
        told = await self._messenger.deliver(account_id, message, PATIENCE_S)
        case.waiting.discard(account_id)
        if told:
            case.reported.add(account_id)
        else:
            case.missed.add(account_id)
            self._missed += 1
        self._changed(case)
