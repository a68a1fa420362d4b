"""Legal holds: what a case needs is not destroyed, whatever has expired (GDPR Art. 17(3)(e))."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name
from server.services.phone_numbers import e164
from storage import accounts, call_records, diagnoses, holds, recordings
from storage.errors import NotFound
from storage.holds import About, Hold
from storage.ids import new_id
from storage.tx import Tx

Scope = Literal["recording", "call", "account", "number"]
MIN_REASON_CHARS = 3
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


async def add(
    services: Services,
    actor: Actor,
    *,
    scope: Scope,
    named: str,
    requested_by: str,
    approved_by: str,
    review: date,
) -> HoldView:
    """From the moment that this returns nothing of it is destroyed; what was destroyed before is gone. Reason and case
    are the actor's. Raises Failure."""
    case, reason = (actor.case or "").strip(), (actor.reason or "").strip()
    if not case or len(reason) < MIN_REASON_CHARS:
        raise Failure("a hold needs a case and a reason", "Give them with --case and --reason", "invalid")
    if not requested_by.strip() or not approved_by.strip():
        raise Failure(
            "a hold needs who asked for it and who approved it", "Give --requested-by, --approved-by", "invalid"
        )
    now = services.clock()
    review_at = datetime.combine(review, time(), UTC)
    if review_at <= now:
        raise Failure(f"{review} does not lie ahead", "Give the day on which somebody looks at it again", "invalid")
    async with services.db.transaction() as tx:
        ids, numbers = await _targets(services, tx, scope, named)
        known = numbers[0] if scope == "number" else named  # as it can be masked
        about = About(case, requested_by.strip(), approved_by.strip(), reason, known)
        laid = await holds.add(tx, new_id(), scope, about, ids=ids, numbers=numbers, now=now, review_at=review_at)
        await note(services, tx, actor, "hold", "hold", hold_id=laid.id)
    return _view(laid, now, masked=False)


async def list_(services: Services, actor: Actor, *, all: bool = False) -> list[HoldView]:  # noqa: A002
    """Newest first: those that stand, or all."""
    async with services.db.transaction() as tx:
        found = await holds.list_all(tx, standing_only=not all)
        await note(services, tx, actor, "list", "hold", count=len(found))
    return [_view(one, services.clock(), masked=actor.masked) for one in found]


async def show(services: Services, actor: Actor, *, hold: str) -> HoldView:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        found = await _found(tx, hold)
        await note(services, tx, actor, "show", "hold", hold_id=found.id)
    return _view(found, services.clock(), masked=actor.masked)


async def lift(services: Services, actor: Actor, *, hold: str) -> HoldView:
    """What has expired meanwhile goes with the next sweep. Raises Failure."""
    if len((actor.reason or "").strip()) < MIN_REASON_CHARS:
        raise Failure("lifting a hold needs a reason", "Say why with --reason", "invalid")
    async with services.db.transaction() as tx:
        found = await _found(tx, hold)
        if found.lifted_at is not None:
            raise Failure("that hold was lifted already", "Type: beffroi hold list --all", "conflict")
        lifted = await holds.lift(tx, found.id, services.clock())
        await note(services, tx, actor, "remove", "hold", hold_id=found.id)
    return _view(lifted, services.clock(), masked=actor.masked)


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


async def _found(tx: Tx, hold: str) -> Hold:
    """By the beginning of its id. Raises Failure."""
    found = [one for one in await holds.list_all(tx) if hold and one.id.startswith(hold)]
    if len(found) != 1:
        which = "no hold has that id" if not found else "several holds begin so"
        raise Failure(which, "Type: beffroi hold list --all", "not_found" if not found else "ambiguous")
    return found[0]


def _view(hold: Hold, now: datetime, *, masked: bool) -> HoldView:
    about = hold.about
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
        overdue=hold.lifted_at is None and hold.review_at <= now,
    )
