"""What goes when: what is due and why something is not, what the coming days bring, and the sweep itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.due import by_day
from retention.gate import Plan
from server import ageing, index_keys
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.sweeper import KINDS, PACKS, Sweeper, access_log_of, before, item_of, plans_for
from storage import expiry, holds, orphans, sweeps
from storage.sweeps import Sweep

MOST_DAYS = 400
_ROUND = 2000
LISTED = tuple(kind for kind in expiry.KINDS if kind in PACKS or kind == "kek")
COUNTED = tuple(kind for kind in expiry.KINDS if kind not in LISTED)
"""Kinds of which the tables say when they expire. There may be a million of them: the database counts."""


@dataclass(frozen=True, slots=True)
class DueView:
    """Fields: see `server.commands.retention.FIELDS`."""

    id: str
    kind: str
    pack: str
    expires_at: datetime
    goes: bool
    rule: str


@dataclass(frozen=True, slots=True)
class DayView:
    """Fields: see `server.commands.retention.DAY_FIELDS`."""

    day: str
    recording: int
    call_record: int
    diagnosis: int
    usage: int
    emergency_call: int
    contact_consent: int
    contact_reference: int
    contact_attempt: int
    recording_note: int
    listening_request: int
    text_words: int
    text_sent: int
    text_received: int
    text_copy: int
    text_request: int
    conversation: int
    campaign: int
    mail_order: int
    text_key: int
    access_day: int
    consent_day: int
    erasure_day: int
    hold: int
    kek: int
    alert: int
    call_field: int
    month_key: int
    index_key: int


@dataclass(frozen=True, slots=True)
class SweepView:
    """Fields: see `server.commands.retention.SWEEP_FIELDS`."""

    began_at: datetime | None
    ended_at: datetime | None
    due: Mapping[str, int]
    destroyed: Mapping[str, int]
    held: Mapping[str, int]
    left: Mapping[str, int]
    problem: str
    unfinished: int
    holds: int
    holds_to_review: int
    orphans: Mapping[str, int]
    orphans_looked_at: datetime | None


async def due(services: Services, actor: Actor, *, limit: int = 100) -> list[DueView]:
    """What a sweep would find now, the longest overdue of each kind first, and what stands against it. Changes
    nothing."""
    now, found = services.clock(), list[Plan]()
    async with services.db.read() as tx:
        for kind in KINDS:
            found += await plans_for(tx, kind, now, limit=limit, access_log=access_log_of(services))
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "list", "retention", count=len(found))
    return [
        DueView(plan.item.item_id, plan.item.kind, plan.item.pack, plan.item.expires_at, *_verdict(services, plan))
        for plan in found
    ]


def _verdict(services: Services, plan: Plan) -> tuple[bool, str]:
    if plan.destroy and plan.item.item_id in services.open_rooms:
        return False, "somebody listens to it now"
    return plan.destroy, plan.rule


async def forecast(services: Services, actor: Actor, *, days: int = 30) -> list[DayView]:
    """How many of each kind expire on each of the coming days (UTC); what is overdue counts for today. Holds are not
    looked at. Raises Failure."""
    if not 0 <= days <= MOST_DAYS:
        raise Failure(f"{days} days cannot be looked ahead", f"Give at most {MOST_DAYS}", "invalid")
    now, access_log = services.clock(), access_log_of(services)
    async with services.db.read() as tx:
        found = {day: Counter(kinds) for day, kinds in (await expiry.by_day(tx, COUNTED, now, days)).items()}
        for kind in LISTED:
            skip = 0
            ahead = before(kind, now + timedelta(days=days), access_log)
            while rows := await expiry.until(tx, kind, ahead, limit=_ROUND, skip=skip):
                skip += len(rows)
                for day, kinds in by_day([item_of(row, access_log) for row in rows], now, days).items():
                    found.setdefault(day, Counter()).update(kinds)
        if replaced := await index_keys.count(tx):  # they go as soon as nothing is found by them
            found.setdefault(now.date().isoformat(), Counter())[index_keys.KIND] = replaced
        for kind in ageing.KINDS:
            for day, count in (await ageing.by_day(tx, kind, now, days)).items():
                found.setdefault(day, Counter())[kind] += count
    return [DayView(day, **{kind: kinds[kind] for kind in KINDS}) for day, kinds in sorted(found.items())]


async def sweep(services: Services, actor: Actor, *, clock_is_right: bool = False) -> SweepView:
    """At once. `clock_is_right`: somebody has looked at the clock, where the last sweep did not trust it. Raises
    Failure where another node is at it, StorageError, OSError."""
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "start", "retention")
    done = await (services.sweeper or Sweeper(services)).sweep(clock_is_right=clock_is_right)
    if done is None:
        raise Failure("another node sweeps just now", "Ask how it went: beffroi retention status", "busy")
    return await _view(services, done)


async def status(services: Services, actor: Actor) -> SweepView:
    """How the last sweep went. Counts only, so no entry in the access log."""
    async with services.db.read() as tx:
        found = await sweeps.newest(tx)
    last = found[0] if found else None
    problem = services.sweeper.problem if services.sweeper is not None else ""
    if problem and (last is None or not last.problem):  # one that did not trust the clock has written nothing down
        moment = services.clock()
        last = Sweep(last.began_at if last is not None else moment, moment, problem=problem)
    return await _view(services, last)


async def _view(services: Services, last: Sweep | None) -> SweepView:
    now = services.clock()
    async with services.db.read() as tx:
        unfinished = sum(len(one.items) for one in await sweeps.under_way(tx))
        standing = await holds.list_all(tx, standing_only=True)
        look = await orphans.newest_look(tx)
    if last is None:
        last = Sweep(now, now, problem="nothing was swept yet")
        began_at = ended_at = None
    else:
        began_at, ended_at = last.began_at, last.ended_at
    return SweepView(
        began_at=began_at,
        ended_at=ended_at,
        due=last.due,
        destroyed=last.destroyed,
        held=last.held,
        left=last.left,
        problem=last.problem,
        unfinished=unfinished,
        holds=len(standing),
        holds_to_review=sum(hold.review_at <= now for hold in standing),
        orphans=look.found if look is not None else {},
        orphans_looked_at=look.ended_at if look is not None else None,
    )
