"""Legal holds: what a case needs is not destroyed, whatever has expired (GDPR Art. 17(3)(e))."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name, line_by_name
from server.services.phone_numbers import e164
from storage import accounts, call_records, diagnoses, holds, keys, people, recordings
from storage.errors import NotFound
from storage.holds import About, Hold
from storage.ids import new_id
from storage.tx import Tx

Scope = Literal["recording", "call", "account", "number", "line"]
APPROVERS = frozenset({"legal", "dpo"})  # roles that may approve one
_ID_CHARS = 32


@dataclass(frozen=True, slots=True)
class HoldView:
    """Fields: see `server.commands.holds.FIELDS`."""

    id: str
    scope: str
    named: str
    case: str
    requested_by: str
    approved_by: str
    reason: str
    created_at: datetime
    review_at: datetime
    lifted_at: datetime | None
    overdue: bool
    since: datetime | None
    until: datetime | None
    recordings: int
    secured: int
    state: str


async def add(
    services: Services,
    actor: Actor,
    *,
    scope: Scope,
    named: str,
    requested_by: str,
    approved_by: str,
    review: date,
    since: date | None = None,
    until: date | None = None,
) -> HoldView:
    """From the moment that this returns nothing of it is destroyed; what was destroyed before is gone. Reason and case
    are the actor's. `approved_by`: login of somebody whose role permits it. `since`, `until` (both included, UTC): of a
    line, which calls. Raises Failure."""
    case, reason = (actor.case or "").strip(), (actor.reason or "").strip()
    if not case or not actor.says_why:
        raise Failure("a hold needs a case and a reason", "Give them with --case and --reason", "invalid")
    if not requested_by.strip() or not approved_by.strip():
        raise Failure(
            "a hold needs who asked for it and who approved it", "Give --requested-by, --approved-by", "invalid"
        )
    now = services.clock()
    review_at = datetime.combine(review, time(), UTC)
    if review_at <= now:
        raise Failure(f"{review} does not lie ahead", "Give the day on which somebody looks at it again", "invalid")
    period = _period(scope, since, until)
    async with services.db.transaction() as tx:
        await holds.lock(tx)  # before looking: what is being destroyed now is gone by then, and not found
        await _approved(tx, approved_by.strip(), requested_by.strip())
        line_id = (await line_by_name(tx, named)).id if scope == "line" else None
        ids, numbers = await _targets(services, tx, scope, named)
        known = numbers[0] if scope == "number" else named  # as it can be masked
        about = About(case, requested_by.strip(), approved_by.strip(), reason, known)
        laid = await holds.add(
            tx, new_id(), scope, about, ids=ids, numbers=numbers, now=now, review_at=review_at,
            line_id=line_id, since=period[0], until=period[1],
        )  # fmt: skip
        await note(services, tx, actor, "hold", "hold", hold_id=laid.id)
        return await _view(tx, laid, now, masked=False)


async def list_(services: Services, actor: Actor, *, all: bool = False) -> list[HoldView]:  # noqa: A002
    """Newest first: those that stand, or all."""
    async with services.db.transaction() as tx:
        listed = await holds.list_all(tx, standing_only=not all)
        await note(services, tx, actor, "list", "hold", count=len(listed))
        return [await _view(tx, one, services.clock(), masked=actor.masked) for one in listed]


async def show(services: Services, actor: Actor, *, hold: str) -> HoldView:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        one = await found(tx, hold)
        await note(services, tx, actor, "show", "hold", hold_id=one.id)
        return await _view(tx, one, services.clock(), masked=actor.masked)


async def lift(services: Services, actor: Actor, *, hold: str) -> HoldView:
    """What has expired meanwhile goes with the next sweep, and so do the hold's own keys. Raises Failure."""
    if not actor.says_why:
        raise Failure("lifting a hold needs a reason", "Say why with --reason", "invalid")
    async with services.db.transaction() as tx:
        one = await found(tx, hold)
        if one.lifted_at is not None:
            raise Failure("that hold was lifted already", "Type: beffroi hold list --all", "conflict")
        lifted = await holds.lift(tx, one.id, services.clock())
        await note(services, tx, actor, "remove", "hold", hold_id=one.id)
        return await _view(tx, lifted, services.clock(), masked=actor.masked)


def _period(scope: Scope, since: date | None, until: date | None) -> tuple[datetime | None, datetime | None]:
    """From the beginning of the one day to the end of the other. Raises Failure."""
    if (scope == "line") != (since is not None) or (until is not None and (since is None or until < since)):
        raise Failure(
            "a hold on a line needs a period, and only that one",
            "Give --since and, where it has ended, --until, such as 2026-11-03",
            "invalid",
        )
    began = datetime.combine(since, time(), UTC) if since is not None else None
    return began, datetime.combine(until + timedelta(days=1), time(), UTC) if until is not None else None


async def _approved(tx: Tx, approver: str, requester: str) -> None:
    """Somebody with the role approves, and not what they asked for themselves where another could. Raises Failure."""
    able = {
        person.login for person in await people.list_all(tx) if person.disabled_at is None and APPROVERS & person.roles
    }
    if approver not in able:
        raise Failure(
            f"{approver} may not approve a legal hold: that takes a person with the role legal or dpo",
            "Name one by login. To make one: beffroi person role LOGIN legal",
            "denied",
        )
    if approver == requester and len(able) > 1:
        raise Failure("whoever asks for a hold does not approve it", "Let another approve it", "denied")


async def _targets(services: Services, tx: Tx, scope: Scope, named: str) -> tuple[list[str], list[str]]:
    """Opaque ids and normalised numbers that the hold lies on. Raises Failure."""
    match scope:
        case "recording":
            return [await _recording(tx, named)], []
        case "call":
            return [await _call(tx, services.clock(), named)], []
        case "account":
            account = await account_by_name(tx, named)
            return [account.id], [account.name, account.extension]
        case "line":
            return [], []
        case _:
            return [], [await _number(services, tx, named)]


async def _recording(tx: Tx, named: str) -> str:
    found = [one.id for one in await recordings.list_all(tx) if one.id.startswith(named) and one.state != "destroyed"]
    return _only(found, "recording", "beffroi recordings list")


async def _call(tx: Tx, now: datetime, named: str) -> str:
    if len(named) == _ID_CHARS:
        found = [named]
        try:
            await call_records.get(tx, named)
        except NotFound:
            if not await recordings.of_call(tx, named) and not await diagnoses.beginning_with(tx, named, now):
                found = []
    else:
        listed = [one.id for one in await call_records.list_all(tx) if one.id.startswith(named)]
        found = sorted({*listed, *await diagnoses.beginning_with(tx, named, now)})
    return _only(found, "call", "beffroi calls list")


def _only(found: list[str], what: str, command: str) -> str:
    if len(found) == 1:
        return found[0]
    which = f"no {what} has that id" if not found else f"several {what}s begin so"
    raise Failure(which, f"Type: {command}", "not_found" if not found else "ambiguous")


async def _number(services: Services, tx: Tx, named: str) -> str:
    """An extension or account name is looked up as it is; all else is a number outside."""
    for account in await accounts.list_all(tx):
        if named in (account.name, account.extension):
            return named
    return e164(services.settings, named)


async def found(tx: Tx, hold: str) -> Hold:
    """By the beginning of its id. Raises Failure."""
    same = [one for one in await holds.list_all(tx) if hold and one.id.startswith(hold)]
    if len(same) != 1:
        which = "no hold has that id" if not same else "several holds begin so"
        raise Failure(which, "Type: beffroi hold list --all", "not_found" if not same else "ambiguous")
    return same[0]


async def _view(tx: Tx, hold: Hold, now: datetime, *, masked: bool) -> HoldView:
    about, stands = hold.about, hold.lifted_at is None
    under = len(await holds.recordings_under(tx, hold.id)) if stands else 0
    secured = len(await keys.held_keys(tx, hold_id=hold.id))
    return HoldView(
        id=hold.id,
        scope=hold.scope,
        named=masking.number(about.named) if masked and hold.scope == "number" else about.named,
        case=about.case,
        requested_by=about.requested_by,
        approved_by=about.approved_by,
        reason=about.reason,
        created_at=hold.created_at,
        review_at=hold.review_at,
        lifted_at=hold.lifted_at,
        overdue=stands and hold.review_at <= now,
        since=hold.since,
        until=hold.until,
        recordings=under,
        secured=secured,
        state="lifted" if not stands else "secured" if under and secured >= under else "partly" if secured else "flag",
    )
