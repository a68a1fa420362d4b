"""Those who are not to be contacted: entered, imported, taken off. The list holds no number that could be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config.settings import Settings
from retention.contact_case import SUPPRESSION_PACK, kept_until, pack_of
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.contact_check import person
from server.services.contact_times import moment
from server.services.context import Services
from server.services.forgetting import forget
from sms.lists import MISSING
from storage import suppressions
from storage.suppressions import Suppression
from storage.tx import Tx

Scope = Literal["all", "voice", "sms", "recording"]
Reason = Literal["objection", "refusal", "order"]
Source = Literal["cli", "call", "sms", "link", "letter", "email"]
MOST_LINES = 20_000  # of one request
MOST_ERRORS = 100  # that are told


@dataclass(frozen=True, slots=True)
class SuppressionView:
    """Fields: see `server.commands.contacts.SUPPRESSION_FIELDS`."""

    id: str
    channel: str
    reason: str
    source: str
    since: datetime
    until: datetime | None
    legal_basis: str
    kept_until: datetime


@dataclass(frozen=True, slots=True)
class LineError:
    """A line that cannot be used. Never holds the number."""

    line: int
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ImportView:
    """`known`: that were on the list before, or stand twice. `wrong`: how many cannot be used; `errors`: the first."""

    added: int
    known: int
    wrong: int
    errors: tuple[LineError, ...]


async def add(
    services: Services,
    actor: Actor,
    *,
    number: str,
    channel: Scope = "all",
    reason_given: Reason = "objection",
    source: Source = "cli",
    until: str | None = None,
) -> SuppressionView:
    """Holds from now on. Raises Failure."""
    called, now = person(services.settings, number), services.clock()
    async with services.db.transaction() as tx:
        ends = moment(until) if until else None
        made = await _add(tx, called, now, _scope(channel), reason_given, source, ends)
        await note(services, tx, actor, "add", "suppression", suppression_id=made.id)
    return view(made)


async def list_(
    services: Services, actor: Actor, *, number: str | None = None, before: str | None = None, limit: int = 50
) -> list[SuppressionView]:
    """The newest first, or those that come after the one with the id `before`; of one number where it is given.
    Raises Failure."""
    async with services.db.transaction() as tx:
        if number is None:
            found = await suppressions.list_all(tx, limit=max(0, limit), before=await _place(tx, before))
        else:
            found = (await suppressions.of_number(tx, person(services.settings, number)))[: max(0, limit)]
        await note(services, tx, actor, "list", "suppression", count=len(found))
    return [view(one) for one in found]


async def _place(tx: Tx, before: str | None) -> tuple[datetime, str] | None:
    if before is None:
        return None
    last = await suppressions.get(tx, before)
    return last.since, last.id


async def remove(services: Services, actor: Actor, *, what: str, channel: Scope | None = None) -> list[SuppressionView]:
    """Take an entry off (by its id), or all of a number (of a channel; none: all but recording). It needs a reason: an
    objection holds until the person says otherwise. Raises Failure."""
    if actor.masked:
        raise Failure("an objection is not lifted without a reason", "Give it with --reason", "denied")
    async with services.db.transaction() as tx:
        if len(what) == 32 and all(char in "0123456789abcdef" for char in what):
            found = [await suppressions.get(tx, what)]
        else:
            every = await suppressions.of_number(tx, person(services.settings, what))
            # Whoever wants to be called again has not said that they may be recorded.
            wanted = {one.channel for one in every} - {suppressions.RECORDING} if channel is None else {_scope(channel)}
            found = [one for one in every if one.channel in wanted]
        if not found:
            raise Failure("nothing of that is on the list", "Type: beffroi contact suppress list", "not_found")
        for one in found:
            await suppressions.remove(tx, one.id)
        alone = found[0].id if len(found) == 1 else None
        await note(services, tx, actor, "remove", "suppression", suppression_id=alone, count=len(found))
    await forget(services)
    return [view(one) for one in found]


async def import_(
    services: Services, actor: Actor, *, numbers: Sequence[tuple[int, str]], channel: Scope = "all", write: bool = False
) -> ImportView:
    """`numbers`: line of the file, and what stands there. Without `write` it is looked through only; with it, all that
    can be used is entered. Raises Failure."""
    if len(numbers) > MOST_LINES:
        raise Failure(f"more than {MOST_LINES} lines at once", "Send them in pieces", "misuse")
    good, errors = await asyncio.to_thread(_read, services.settings, numbers)
    now, scope = services.clock(), _scope(channel)
    async with services.db.transaction() as tx:
        before = await suppressions.listed(tx, good, scope, "import")
        new = [called for called in good if called not in before]
        for called in new if write else ():
            await _add(tx, called, now, scope, "import", "import", None)
        await note(services, tx, actor, "add" if write else "test", "suppression", count=len(new))
    known = len(numbers) - len(errors) - len(new)
    return ImportView(len(new), known, len(errors), tuple(errors[:MOST_ERRORS]))


def _read(settings: Settings, numbers: Sequence[tuple[int, str]]) -> tuple[list[str], list[LineError]]:
    good: dict[str, None] = {}
    errors = []
    for line, text in numbers:
        if not text.strip():
            errors.append(LineError(line, *MISSING))
            continue
        try:
            good[person(settings, text)] = None
        except Failure as failure:
            errors.append(LineError(line, failure.what, failure.remedy))
    return list(good), errors


async def _add(
    tx: Tx, number: str, now: datetime, channel: str, reason: str, source: str, until: datetime | None
) -> Suppression:
    pack = pack_of(SUPPRESSION_PACK)
    kept = kept_until(SUPPRESSION_PACK, now)
    return await suppressions.add(
        tx,
        number,
        now,
        channel=channel,
        reason=reason,
        source=source,
        since=now,
        until=until,
        purpose=pack.purpose,
        legal_basis=pack.legal_basis,
        kept_until=max(kept, until) if until is not None else kept,
    )


def _scope(channel: str) -> str:
    return "*" if channel == "all" else channel


def view(one: Suppression) -> SuppressionView:
    """As it is told, in the words that people type."""
    return SuppressionView(
        id=one.id,
        channel="all" if one.channel == "*" else one.channel,
        reason=one.reason,
        source=one.source,
        since=one.since,
        until=one.until,
        legal_basis=one.legal_basis,
        kept_until=one.kept_until,
    )
