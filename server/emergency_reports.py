"""Every emergency call is written down, and told to those whom the configuration names.

Who called, from where and which number: this is for safety, and goes to the persons named alone. It is never logged.
A number that is discreet by law (a help line) is neither told nor written down.
"""

from __future__ import annotations

import asyncio
import logging
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

_TEXTS: Mapping[tuple[str, bool], str] = {
    ("fr", False): "APPEL D'URGENCE : {who} a composé le {number} à {time}.{place}",
    ("en", False): "EMERGENCY CALL: {who} dialled {number} at {time}.{place}",
    ("fr", True): "Exercice : {who} a composé le {number} à {time}. Rien n'a quitté les lieux.{place}",
    ("en", True): "Drill: {who} dialled {number} at {time}. Nothing left the building.{place}",
}
_PLACE = {"fr": " Lieu : {where}", "en": " Location: {where}"}
_UNKNOWN = {"fr": "un appareil inconnu", "en": "an unknown device"}


def text(language: str, *, drill: bool, who: str, number: str, at: datetime, where: str) -> str:
    """What is sent. ``who``: "Alice Martin (201)", or "". The time is that of the server's own clock."""
    spoken = language if language in _PLACE else "en"
    place = _PLACE[spoken].format(where=where) if where else ""
    name = who or _UNKNOWN[spoken]
    time = at.astimezone().strftime("%H:%M")
    return _TEXTS[spoken, drill].format(who=name, number=number, time=time, place=place)


@dataclass
class _Case:
    """One emergency call, as it will be written down."""

    call: EmergencyCall
    presented: str | None
    added: bool = False
    reported: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)  # account ids that are still to be told


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
        self._to_write: asyncio.Queue[str] = asyncio.Queue()
        self._to_tell: asyncio.Queue[str] = asyncio.Queue()
        self.calls = 0  # for the metrics
        self.drills = 0
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
        if self._discreet(plan):
            return
        known = self._memory.now
        notified = [known.named(name) for name in self._settings().emergency.notify]
        call = EmergencyCall(
            plan.call_id, self._clock(), plan.caller.account_id, plan.callee.number, None, drill, RUNNING, ()
        )
        self._cases[plan.call_id] = _Case(
            call,
            None if drill else self._presented(plan),
            waiting={account.id for account in notified if account is not None},
        )
        self._to_write.put_nowait(plan.call_id)
        self._to_tell.put_nowait(plan.call_id)

    def ended(self, closed: ClosedCall) -> None:
        case = self._cases.get(closed.plan.call_id)
        if case is None:
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
        self._to_write.put_nowait(closed.plan.call_id)

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
            await self._surely_written(case)
            if case.call.outcome != RUNNING and not case.waiting and self._to_write.empty():
                del self._cases[call_id]

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
                case = self._cases[await self._to_tell.get()]
                if not case.waiting:
                    log.warning("emergency call %s is told to nobody: emergency.notify names nobody", case.call.id)
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
        )
        told = await self._messenger.deliver(account_id, message, PATIENCE_S)
        case.waiting.discard(account_id)
        if told:
            case.reported.add(account_id)
        else:
            self._missed += 1
        self._to_write.put_nowait(call.id)
