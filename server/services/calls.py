"""Call records: what their metadata class has left of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from config import metadata_ages
from retention.ageing import Explained, explain
from server.ageing import aging
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import Theirs, theirs
from server.services.context import Services
from server.services.directory import line_by_name, no_line
from server.services.phone_numbers import sought
from storage import accounts, ageing, call_records, diagnoses, lines, recordings
from storage.call_records import CallRecord
from storage.errors import NotFound
from storage.recordings import Recording
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class PartView:
    """One recording of a call; a transfer ends one and may begin another."""

    id: str
    state: str
    started_at: datetime
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class CallView:
    """Fields: see `server.commands.calls.FIELDS`."""

    id: str
    at: datetime
    line: str | None
    metadata_class: str
    purpose: str
    legal_basis: str
    numbers: Mapping[str, str]
    fields: Mapping[str, object]
    recording_id: str | None
    expires_at: datetime
    mos: float | None = None
    recordings: tuple[PartView, ...] = ()
    ages: tuple[Explained, ...] = ()


async def list_(
    services: Services,
    actor: Actor,
    *,
    line: str | None = None,
    number: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[CallView]:
    """Newest first; of a line, or from and to a number (which needs a reason: it is a search for somebody).

    `before`: id of a call; the list goes on after it. Raises Failure.
    """
    if number and actor.masked:
        raise Failure("a search for a number needs a reason", "Say why with --reason", "denied")
    async with services.db.transaction() as tx:
        own = await theirs(tx, actor)
        last = await _found(tx, own, before) if before else None
        wanted = number and sought(services.settings, number)
        records = await _listed(tx, own, line, wanted, last, limit)
        found = await _views(services, tx, actor, records, own)
        await note(services, tx, actor, "search" if number else "list", "call", count=len(found))
    return found


async def _listed(
    tx: Tx, own: Theirs | None, line: str | None, number: str | None, last: CallRecord | None, limit: int
) -> Sequence[CallRecord]:
    if number:
        records = await call_records.with_number(tx, number)
        seen = list(records) if own is None else await own.calls_of(records)
        return [one for one in seen if last is None or _place(one) > _place(last)][:limit]
    line_id = await _line_id(tx, own, line) if line else None
    before = (last.at, last.id) if last is not None else None
    if own is None:
        return await call_records.list_all(tx, line_id=line_id, limit=limit, before=before)
    return await own.calls.newest(line_id=line_id, limit=limit, before=before)


def _place(record: CallRecord) -> tuple[float, str]:
    """Where it stands in a list that has the newest first."""
    return -record.at.timestamp(), record.id


async def _line_id(tx: Tx, own: Theirs | None, name: str) -> str:
    found = await line_by_name(tx, name)
    if own is not None and found not in own.reached:
        raise no_line(name)
    return found.id


async def show(services: Services, actor: Actor, *, call_id: str) -> CallView:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        own = await theirs(tx, actor)
        record = await _found(tx, own, call_id)
        (view,) = await _views(services, tx, actor, [record], own)
        (stored,) = await ageing.load(tx, [record.id])
        view = replace(view, ages=tuple(explain(aging(stored), metadata_ages.load(), services.clock())))
        await note(services, tx, actor, "show", "call", call_id=record.id)
    return view


async def _found(tx: Tx, own: Theirs | None, call_id: str) -> CallRecord:
    try:
        record = await call_records.get(tx, call_id)
    except NotFound:
        record = None
    if record is None or (own is not None and not await own.calls_of([record])):
        raise Failure(f"no record of call {call_id[:32]}", "Type: beffroi calls list", "not_found")
    return record


async def _views(
    services: Services, tx: Tx, actor: Actor, records: Sequence[CallRecord], own: Theirs | None
) -> list[CallView]:
    """For many at once: each of what a record is shown with is asked for once. Whoever took part sees the numbers, as
    their telephone has shown them."""
    ids = [record.id for record in records]
    names = await lines.names(tx)
    scores = await diagnoses.scores(tx, ids, services.clock())
    numbers = await call_records.numbers_of(tx, ids)
    since = {text: one.created_at for one in await accounts.named(tx, actor.own) for text in (one.name, one.extension)}
    parts = await recordings.of_calls(tx, ids)
    if own is not None:
        seen = {one.id for one in await own.recordings_of([part for some in parts.values() for part in some])}
        parts = {call_id: [part for part in some if part.id in seen] for call_id, some in parts.items()}
    found = []
    for record in records:
        mine = parts.get(record.id, [])
        known = numbers[record.id]
        took_part = any(since[text] <= record.at for text in known.values() if text in since)
        masked = actor.masked and not took_part
        shown = {role: masking.number(text) if masked else text for role, text in known.items()}
        view = _view(record, mine, shown, names.get(record.line_id or ""), scores.get(record.id))
        hidden = own is not None and view.recording_id not in {part.id for part in mine}
        found.append(replace(view, recording_id=None) if hidden else view)
    return found


def _view(
    record: CallRecord, parts: Sequence[Recording], numbers: Mapping[str, str], line: str | None, score: int | None
) -> CallView:
    return CallView(
        id=record.id,
        at=record.at,
        line=line,
        metadata_class=record.metadata_class,
        purpose=record.purpose,
        legal_basis=record.legal_basis,
        numbers=numbers,
        fields=record.fields,
        recording_id=record.recording_id,
        expires_at=record.expires_at,
        mos=None if score is None else score / 100,
        recordings=tuple(PartView(part.id, part.state, part.started_at, part.duration_ms) for part in parts),
    )
