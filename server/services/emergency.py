"""Emergency calls: which there were, whether one would go out now, and an exercise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server.directory_memory import DirectoryMemory
from server.emergency_planner import EmergencyPlanner
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name
from server.trunks_desk import TrunksDesk
from sip.calls.plan import PromptFile
from storage import accounts, emergency_calls
from storage.accounts import Account
from storage.emergency_calls import EmergencyCall

TRIED = "112"  # what is asked for in a check; every country of the Union has it
DRILL_DAYS = 365


@dataclass(frozen=True, slots=True)
class EmergencyView:
    """Fields: see `server.commands.emergency.FIELDS`."""

    id: str
    at: datetime
    account: str | None
    number: str
    trunk: str | None
    drill: bool
    outcome: str
    told: tuple[str, ...]
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckView:
    """Fields: see `server.commands.emergency.CHECK_FIELDS`."""

    account: str
    sound: bool
    trunks: tuple[str, ...]
    presented: str | None
    location: str
    reserve: int
    told: tuple[str, ...]
    last_drill: datetime | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DrillView:
    """Fields: see `server.commands.emergency.DRILL_FIELDS`."""

    id: str
    account: str
    told: tuple[str, ...]


async def list_(services: Services, actor: Actor, *, limit: int = 50) -> list[EmergencyView]:
    """Newest first, drills included. `missed`: who is named in emergency.notify and was not reached."""
    async with services.db.transaction() as tx:
        found = await emergency_calls.list_all(tx, limit=limit)
        names = {one.id: one.name for one in await accounts.list_all(tx)}
        await note(services, tx, actor, "list", "emergency", count=len(found))
    by_trunk = {trunk.id: trunk.name for trunk in (await _planning(services))[1].enabled}
    return [_view(services, call, names, by_trunk) for call in found]


def _view(
    services: Services, call: EmergencyCall, names: Mapping[str, str], by_trunk: Mapping[str, str]
) -> EmergencyView:
    told = tuple(names.get(account_id, "?") for account_id in call.reported_to)
    return EmergencyView(
        id=call.id,
        at=call.at,
        account=names.get(call.account_id or ""),
        number=call.number,
        trunk=by_trunk.get(call.trunk_id or ""),
        drill=call.drill,
        outcome=call.outcome,
        told=told,
        missed=tuple(name for name in services.settings.emergency.notify if name not in told),
    )


async def check(services: Services, actor: Actor, *, account: str | None = None) -> list[CheckView]:
    """Of every account, or of one: would an emergency call go out now? Raises Failure."""
    planner, trunks, memory = await _planning(services)
    async with services.db.transaction() as tx:
        if account is not None:
            asked = [await account_by_name(tx, account)]
        else:
            asked = [one for one in await accounts.list_all(tx) if one.disabled_at is None]
        every = await emergency_calls.list_all(tx)
        await note(services, tx, actor, "show", "emergency", count=len(asked))
    return [
        _checked(services, one, planner, trunks, memory, every, masked=actor.masked)
        for one in sorted(asked, key=lambda one: one.name)
    ]


def _checked(
    services: Services,
    account: Account,
    planner: EmergencyPlanner,
    trunks: TrunksDesk,
    memory: DirectoryMemory,
    every: tuple[EmergencyCall, ...],
    *,
    masked: bool,
) -> CheckView:
    settings, views, ways = services.settings, trunks.views(), planner.ways()
    last_drill = max((one.at for one in every if one.drill and one.account_id == account.id), default=None)
    presented = planner.shown_number(account, ways[0]) if ways else None
    told = tuple(name for name in settings.emergency.notify if memory.now.named(name) is not None)
    stops, notes = [], []
    if settings.emergency.drill:
        stops.append("emergency.drill is set: calls are only played")
    if not ways:
        stops.append("there is no trunk that is enabled")
    elif all(views[trunk.id].up is False for trunk in ways):
        stops.append("no trunk is up")
    if ways and not presented:
        notes.append("no number is presented: the service cannot call back")
    if not planner.location(account):
        notes.append("no location is sent along")
    if not told:
        notes.append("nobody in the house is told: emergency.notify")
    if settings.calls.emergency_reserve == 0:
        notes.append("no worker is kept in reserve")
    if last_drill is None or (services.clock() - last_drill).days > DRILL_DAYS:
        notes.append("no drill within a year")
    return CheckView(
        account=account.name,
        sound=not stops,
        trunks=tuple(f"{trunk.name} ({_state(views[trunk.id].up)})" for trunk in ways),
        presented=masking.number(presented) if presented and masked else presented,
        location=planner.location(account),
        reserve=settings.calls.emergency_reserve,
        told=told,
        last_drill=last_drill,
        problems=(*stops, *notes),
    )


def _state(up: bool | None) -> str:
    return {True: "up", False: "down", None: "not known"}[up]


async def drill(services: Services, actor: Actor, *, account: str) -> DrillView:
    """An exercise in an account's name: written down and told to those who are named, as a drill. Nothing leaves the
    machine, no telephone rings. Raises Failure."""
    if services.duty is None:
        raise Failure("the daemon is not running", "Type: beffroi serve", "not_running")
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account)
        await note(services, tx, actor, "test", "emergency", account_id=owner.id)
    await services.duty.memory.refresh()
    call_id = services.duty.rehearse(owner, TRIED)
    notified = [services.duty.memory.now.named(name) for name in services.settings.emergency.notify]
    return DrillView(call_id, owner.name, tuple(one.name for one in notified if one is not None))


class _Silent:
    """No prompt is needed to look."""

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        return None

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None: ...


async def _planning(services: Services) -> tuple[EmergencyPlanner, TrunksDesk, DirectoryMemory]:
    """As the running daemon has it; else read from the database, and then nobody knows how the trunks are."""
    if services.duty is not None:
        await services.duty.memory.refresh()
        return services.duty.planner, services.duty.trunks, services.duty.memory
    memory, trunks = DirectoryMemory(services.db), TrunksDesk(services.db, None, dict)
    await memory.refresh()
    await trunks.load()
    return EmergencyPlanner(memory, trunks, _Silent(), lambda: services.settings), trunks, memory
