"""Calls that go on: look, end, pass on, begin one. Numbers are typed, never shown: what a call shows is who of ours is
in it, and by which line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from server.services.directory import account_by_name
from sip.calls.control import CallControl, LiveCall
from sip.calls.plan import Refusal
from storage import accounts, lines
from storage.tx import Tx

_MIN_PREFIX = 6

# What the planner says to a telephone, said to a person: cause -> remedy.
_REMEDIES: Mapping[str, str] = {
    "unknown": "Nothing here has that name or number, and it is no number outside: look at account list and line list",
    "not-permitted": "Open that kind of number for the account: beffroi account limits NAME --help",
    "limit": "Type: beffroi limits show, and beffroi account limits NAME",
    "not-registered": "See that a telephone of that account is on and registered: beffroi account show NAME",
    "trunk-failed": "Type: beffroi trunk list, and beffroi trunk test NAME",
    "loop": "Look at the forwards of the accounts concerned: beffroi account forward NAME",
}


class Refused(Failure):
    """A call that may not begin. `cause`: a word for programs, such as "not-registered" or "limit"."""

    def __init__(self, refusal: Refusal) -> None:
        remedy = _REMEDIES.get(refusal.cause, "Type: beffroi status, and beffroi doctor")
        super().__init__(f"refused: {refusal.reason} ({refusal.code})", remedy, "denied")
        self.cause = refusal.cause


@dataclass(frozen=True, slots=True)
class LiveView:
    """Fields: see `server.commands.live_calls.FIELDS`."""

    id: str
    since: datetime
    seconds: int
    state: str
    direction: str
    account: str | None
    line: str | None
    recording: bool
    paused: bool
    held: bool
    emergency: bool


async def live(services: Services, actor: Actor) -> list[LiveView]:
    """The oldest first. Raises Failure where the daemon does not run."""
    now = services.clock()
    async with services.db.transaction() as tx:
        going = sorted(await seen(services, tx, actor), key=lambda call: call.began_at)
        named = {one.id: one.name for one in await accounts.list_all(tx)}
        lined = {one.id: one.name for one in await lines.list_all(tx)}
        await note(services, tx, actor, "list", "call", count=len(going))
    return [
        LiveView(
            id=call.call_id,
            since=call.began_at,
            seconds=max(0, int((now - call.began_at).total_seconds())),
            state=call.state,
            direction=call.direction,
            account=named.get(call.account_id or ""),
            line=lined.get(call.line_id or ""),
            recording=call.recording,
            paused=call.paused,
            held=call.held,
            emergency=call.emergency,
        )
        for call in going
    ]


@dataclass(frozen=True, slots=True)
class Done:
    """`call`: whole id of the call that it was done to."""

    call: str


async def hangup(services: Services, actor: Actor, *, call_id: str) -> Done:
    """End a call; both sides are told. Never an emergency call. Raises Failure."""
    call = await find(services, actor, call_id)
    if call.emergency:
        raise Failure("an emergency call is ended by those who talk alone", "Speak to the caller", "denied")
    await _note(services, actor, "stop", call)
    _control(services).hang_up(call.call_id)
    return Done(call.call_id)


async def transfer(services: Services, actor: Actor, *, call_id: str, to: str, leaves: Literal["a", "b"] = "a") -> Done:
    """`leaves` goes ("a": who called, "b": who was called), the other is connected with `to`. Raises Failure."""
    call = await find(services, actor, call_id)
    if call.emergency:
        raise Failure("an emergency call is not passed on", "Speak to the caller", "denied")
    await _note(services, actor, "change", call)
    refusal = await _control(services).transfer(call.call_id, leaves, to)
    if refusal is not None:
        raise Refused(refusal)
    return Done(call.call_id)


async def pause(services: Services, actor: Actor, *, call_id: str, on: bool = True) -> Done:
    """Let silence flow into a recording, or end that. Raises Failure."""
    call = await find(services, actor, call_id)
    await _note(services, actor, "change", call)
    if not _control(services).pause(call.call_id, on):
        raise Failure("this call is not being recorded", "Type: beffroi calls live", "conflict")
    return Done(call.call_id)


async def originate(services: Services, actor: Actor, *, account: str, number: str) -> Done:
    """Ring the account's own telephones, then call `number` with what that account may. Raises Failure."""
    control = _control(services)
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account)
        await note(services, tx, actor, "start", "call", account_id=owner.id)
    found = await control.originate(owner.name, number)
    if isinstance(found, Refusal):
        raise Refused(found)
    return Done(found)


def _control(services: Services) -> CallControl:
    if services.calls is None:
        raise Failure("the daemon is not running: there are no calls", "Type: beffroi serve", "not_running")
    return services.calls


async def seen(services: Services, tx: Tx, actor: Actor) -> list[LiveCall]:
    """What they may know of. A call that leaves no record is told to nobody but whoever takes part, and to whoever
    owns the machine. Raises Failure where the daemon does not run."""
    going = _control(services).live()
    own = await theirs(tx, actor)
    shown = [call for call in going if own is None or own.live(call)]
    if not actor.is_person or not any(call.private for call in shown):
        return shown
    mine = {one.id for one in await accounts.named(tx, actor.own)}
    return [call for call in shown if not call.private or not mine.isdisjoint(call.accounts)]


async def find(services: Services, actor: Actor, call_id: str) -> LiveCall:
    """By its id, or the beginning of it, among those that the actor sees."""
    if len(call_id) < _MIN_PREFIX:
        raise Failure(f"{call_id} is too short for an id", f"Type {_MIN_PREFIX} characters of it at least", "invalid")
    async with services.db.read() as tx:
        matching = [call for call in await seen(services, tx, actor) if call.call_id.startswith(call_id)]
    if len(matching) != 1:
        what = "several calls begin with" if matching else "no call goes on with id"
        raise Failure(f"{what} {call_id[:32]}", "Type: beffroi calls live", "not_found")
    return matching[0]


async def _note(services: Services, actor: Actor, action: str, call: LiveCall) -> None:
    async with services.db.transaction() as tx:
        await note(services, tx, actor, action, "call", call_id=call.call_id)
