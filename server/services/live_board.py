"""The live board: the calls that one is responsible for as they are, without listening in.

Who of ours, and of the other side as much as the record of the call will hold: a number stands masked, except to
whoever takes part. Those who see the calls of the whole machine see whose they are and no number. While somebody looks
at calls there is one entry in the access log every five minutes and session, not one for each second, nor for each
stream that begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.rights import Identity
from server.services import live_calls, masking, permitted
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from server.services.failures import told
from sip.calls.control import LiveCall
from sip.calls.conversation import Side
from storage import accounts, call_records, lines
from storage.call_records import CallRecord
from storage.tx import Tx

RIGHT, RECORDS = "calls.live", "calls.list"  # the operations whose rules count here
NOTE_EVERY = timedelta(minutes=5)
HOURS = 6
AT_ONCE = 500  # records in one read: some milliseconds in which no call can write
WAITING = frozenset({"beginning", "ringing"})


@dataclass(frozen=True, slots=True)
class BoardCall:
    """`caller`, `called`: an account, a number as it may be shown, or nothing. `since`: it is in this state.

    `state`: beginning, ringing, connecting (somebody has answered, and hears what is said before, or the two are being
    joined), held, talking, transferring, ending. `recording`: on, paused, off.
    """

    id: str
    began_at: datetime
    since: datetime
    state: str
    direction: str
    line: str | None
    caller: str
    called: str
    rings: tuple[str, ...]
    recording: str
    emergency: bool

    @property
    def waits(self) -> bool:
        """Somebody calls and nobody has answered."""
        return self.state in WAITING


@dataclass(frozen=True, slots=True)
class Hour:
    """Calls whose record says that they began in this hour."""

    began_at: datetime
    answered: int
    missed: int


async def board(services: Services, identity: Identity, *, workstation: str) -> list[BoardCall]:
    """Those that wait come first, then the oldest. Raises Failure: also where the daemon does not run."""
    actor = await _actor(services, identity, RIGHT, workstation)
    with told():
        async with services.db.read() as tx:
            going = sorted(await live_calls.seen(services, tx, actor), key=lambda call: call.began_at)
            found = await _shown(tx, actor, going)
            found.sort(key=lambda call: not call.waits)
        if found:
            await _note_look(services, actor, len(found))
    return found


async def one(services: Services, identity: Identity, *, workstation: str, call_id: str) -> BoardCall:
    """Raises Failure: not_found also for one that is somebody else's."""
    actor = await _actor(services, identity, RIGHT, workstation)
    with told():
        call = await live_calls.find(services, actor, call_id)
        async with services.db.transaction() as tx:
            (found,) = await _shown(tx, actor, [call])
            await note(services, tx, actor, "show", "call", call_id=call.call_id)
    return found


async def hours(services: Services, identity: Identity, *, workstation: str) -> list[Hour] | None:
    """The last six hours, this one last; None for whoever may not see records of calls. Counted is what the records
    still tell: class none leaves none, and one of class minimal tells nobody but those who see all whose it was."""
    if not identity.may("calls.read"):
        return None
    actor = await _actor(services, identity, RECORDS, workstation)
    begins = services.clock().replace(minute=0, second=0, microsecond=0)
    starts = [begins - timedelta(hours=back) for back in reversed(range(HOURS))]
    answered, missed = Counter[datetime](), Counter[datetime]()
    with told():
        async for one in _records(services, actor, starts[0]):
            hour = one.at.replace(minute=0, second=0, microsecond=0)
            if _talked(one.fields):
                answered[hour] += 1
            elif one.fields.get("direction") != "outbound":
                missed[hour] += 1
    return [Hour(start, answered[start], missed[start]) for start in starts]


async def _records(services: Services, actor: Actor, since: datetime) -> AsyncIterator[CallRecord]:
    """All that are theirs and began then or later."""
    after: tuple[datetime, str] | None = None
    while True:
        async with services.db.read() as tx:  # a short one each: a long one holds up whoever deletes
            if (own := await theirs(tx, actor)) is not None:
                records = await own.calls.newest(limit=AT_ONCE, before=after, since=since)
            else:
                page = await call_records.begun(tx, since, limit=AT_ONCE, after=after)
                records = await call_records.some(tx, [call_id for _, call_id in page])
        for one in records:
            yield one
        if len(records) < AT_ONCE:
            return
        after = (records[-1].at, records[-1].id)


def _talked(fields: Mapping[str, object]) -> bool:
    seconds, bucket = fields.get("duration_s"), fields.get("duration", "none")
    return seconds > 0 if isinstance(seconds, int) else bucket != "none"


async def _actor(services: Services, identity: Identity, operation: str, workstation: str) -> Actor:
    actor, _ = await permitted.entered(services, identity, operation, {}, workstation=workstation)
    # What is shown to those who see everything is the same for all of them (server.web.live).
    return actor if actor.within is not None else replace(actor, own=frozenset())


async def _shown(tx: Tx, actor: Actor, going: Sequence[LiveCall]) -> list[BoardCall]:
    named = {one.id: one.name for one in await accounts.list_all(tx)}
    lined = await lines.names(tx)
    mine = {one.id for one in await accounts.named(tx, actor.own)}
    return [_board_call(call, actor, named, lined, mine) for call in going]


def _board_call(
    call: LiveCall, actor: Actor, named: Mapping[str, str], lined: Mapping[str, str], mine: set[str]
) -> BoardCall:
    took_part = not mine.isdisjoint(call.accounts)
    caller, called = call.sides or (Side(call.account_id), Side(None))
    line = lined.get(call.line_id or "")

    def words(side: Side) -> str:
        if (name := named.get(side.account_id or "")) is not None:
            return name
        if took_part:
            return side.number
        if actor.within is None or call.metadata_class != "standard":
            return ""
        return masking.number(side.number)

    return BoardCall(
        id=call.call_id,
        began_at=call.began_at,
        since=call.state_since or call.began_at,
        state="held" if call.held and call.state == "talking" else call.state,
        direction=call.direction,
        line=line,
        caller=words(caller),
        called=words(called) if called.account_id or call.direction == "outbound" else line or words(called),
        rings=tuple(sorted(named[one] for one in call.rung if one in named)),
        recording="paused" if call.paused and call.recording else "on" if call.recording else "off",
        emergency=call.emergency,
    )


async def _note_look(services: Services, actor: Actor, count: int) -> None:
    now, whose = services.clock(), actor.session or actor.who
    async with services.board_turn:  # the page and its stream ask at the same time
        last = services.board_looks.get(whose)
        if last is not None and now - last < NOTE_EVERY:
            return
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "list", "call", count=count)
        for other, at in list(services.board_looks.items()):
            if now - at >= NOTE_EVERY:
                del services.board_looks[other]
        services.board_looks[whose] = now
