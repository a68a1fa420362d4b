"""Recordings: what there is, until when, and whether the files are what was sealed. Opening: `listening`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from config import packs as pack_data
from recording import vault
from retention import start_events
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import Theirs, theirs
from server.services.context import Services
from server.services.phone_numbers import sought
from storage import accounts, holds, keys, owned_recordings, recordings
from storage.errors import NotFound
from storage.recordings import KEPT, Recording, Wanted
from storage.tx import Tx

_LEAST_ID = 6  # characters of an id that name a recording


@dataclass(frozen=True, slots=True)
class PartyView:
    """Who is heard on a channel (0 left, 1 right)."""

    channel: int
    account: str | None
    number: str | None


@dataclass(frozen=True, slots=True)
class GapView:
    """Silence in place of what was said: milliseconds of the recording; why: hold or pause."""

    start_ms: int
    end_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class RecordingView:
    """Fields: see `server.commands.recordings.FIELDS`."""

    id: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    expires_at: datetime
    destroyed_at: datetime | None
    call_id: str | None
    purpose: str | None
    legal_basis: str | None
    policy: int | None
    duration_ms: int | None
    size_bytes: int | None
    codec: str | None
    sha256: str | None
    parties: tuple[PartyView, ...]
    consent_refs: tuple[int, ...]
    gaps: tuple[GapView, ...]
    parts: tuple[str, ...]
    waits_for: str | None = None
    event_on: date | None = None
    held: bool = False
    for_two: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sound`: file present and unaltered, key present."""

    id: str
    state: str
    sound: bool
    findings: tuple[str, ...]


async def list_(
    services: Services,
    actor: Actor,
    *,
    states: Sequence[str] | None = None,
    number: str | None = None,
    call: str | None = None,
    purpose: str | None = None,
    since: date | None = None,
    until: date | None = None,
    older_than: str | None = None,
    limit: int = 50,
) -> list[RecordingView]:
    """Newest first; of one call in their order. Destroyed ones only when asked for by state.

    `since`, `until`: days of their beginning, UTC, both included. `older_than`: id of a recording; those that began
    before it.
    """
    if number and actor.masked:
        raise Failure("a search for a number needs a reason", "Say why with --reason", "denied")
    if unknown := set(states or ()) - recordings.STATES:
        known = ", ".join(sorted(recordings.STATES))
        raise Failure(f"no such state: {', '.join(sorted(unknown))}", f"Choose among {known}", "invalid")
    number = number and sought(services.settings, number)
    async with services.db.transaction() as tx:
        own = await theirs(tx, actor)
        place = await _place(tx, older_than, own)
        wanted = Wanted(tuple(states) if states else KEPT, purpose, _day(since), _day(until, 1), place)
        if number or call:
            rows = list(await (recordings.with_number(tx, number) if number else recordings.of_call(tx, call or "")))
            rows = [one for one in rows if wanted.fits(one) and call in (None, one.call_id)]
            rows = (rows if own is None else await own.recordings_of(rows))[:limit]
        elif own is None:
            rows = list(await recordings.newest(tx, wanted, limit=limit))
        else:
            rows = list(await owned_recordings.newest(tx, own.heard, wanted, limit=limit))
        found = await _views(tx, rows, own, masked=actor.masked)
        await note(services, tx, actor, "search" if number else "list", "recording", count=len(found))
    return found


def _day(on: date | None, more: int = 0) -> datetime | None:
    if on is None:
        return None
    if on == date.max:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.combine(on, time(), UTC) + timedelta(days=more)


async def _place(tx: Tx, rec_id: str | None, own: Theirs | None) -> tuple[datetime, str] | None:
    """Where a list goes on. Raises Failure."""
    if rec_id is None:
        return None
    last = await found(tx, rec_id, own)
    return last.started_at, last.id


async def show(services: Services, actor: Actor, *, rec_id: str) -> RecordingView:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        own = await theirs(tx, actor)
        recording = await found(tx, rec_id, own)
        (view,) = await _views(tx, [recording], own, masked=actor.masked)
        await note(services, tx, actor, "show", "recording", rec_id=recording.id, purpose=recording.purpose)
    return view


async def verify(services: Services, actor: Actor, *, rec_ids: Sequence[str] = ()) -> list[Verdict]:
    """Check file and key of these recordings, or of all that are finished; nothing is opened. Raises Failure."""
    async with services.db.transaction() as tx:
        if rec_ids:
            rows = [await found(tx, rec_id) for rec_id in rec_ids]
        else:
            rows = list(await recordings.list_all(tx, states=("whole", "cut")))
        keyed = await keys.with_key(tx)
        await note(services, tx, actor, "verify", "recording", count=len(rows),
                   rec_id=rows[0].id if len(rows) == 1 else None)  # fmt: skip
    return [await _verdict(services, row, has_key=row.id in keyed) for row in rows]


async def found(tx: Tx, rec_id: str, own: Theirs | None = None) -> Recording:
    """By id, or by the beginning of one (at least 6 digits) where that is not ambiguous; among their own where not
    all is seen. Raises Failure."""
    try:
        some: Sequence[Recording] = [await recordings.get(tx, rec_id)]
    except NotFound:
        some = await recordings.beginning_with(tx, rec_id) if len(rec_id) >= _LEAST_ID else []
    if own is not None:
        some = await own.recordings_of(some)
    if len(some) != 1:
        raise Failure(f"no recording {rec_id[:32]}", "Type: beffroi recordings list", "not_found")
    return some[0]


async def _verdict(services: Services, row: Recording, *, has_key: bool) -> Verdict:
    findings = []
    if row.state in ("whole", "cut") and row.sha256 is not None:
        try:
            same = await asyncio.to_thread(vault.verify, services.paths.vault, row.id, row.sha256)
            findings += [] if same else ["the file is not the one that was sealed"]
        except vault.VaultError as error:
            findings.append(str(error))
        findings += [] if has_key else ["its key is gone: nobody can open it"]
    elif row.state == "destroyed":
        if vault.sealed_path(services.paths.vault, row.id).exists() or has_key:
            findings.append("destroyed, but something of it is left")
    elif row.state == "recording":
        findings.append("still being recorded, or the daemon has not looked at it since a crash")
    else:
        findings.append("failed: it holds nothing that can be opened")
    return Verdict(row.id, row.state, not findings, tuple(findings))


async def _views(tx: Tx, rows: Sequence[Recording], own: Theirs | None, *, masked: bool) -> list[RecordingView]:
    """For many at once: each of what a recording is shown with is asked for once."""
    heard = await recordings.parties_of(tx, [row.id for row in rows])
    names = await accounts.names(tx)
    parts = await recordings.of_calls(tx, sorted({row.call_id for row in rows if row.call_id is not None}))
    if own is not None:
        parts = {call_id: await own.recordings_of(some) for call_id, some in parts.items()}
    held = await holds.on(tx, "recording", [row.id for row in rows])
    return [
        _view(
            row,
            tuple(_party(one, names, masked=masked) for one in heard.get(row.id, ())),
            tuple(one.id for one in parts.get(row.call_id or "", ())),
            held=row.id in held,
        )
        for row in rows
    ]


def _view(row: Recording, parties: tuple[PartyView, ...], parts: tuple[str, ...], *, held: bool) -> RecordingView:
    """`parts`: all recordings of its call, itself included: one for each composition of parties."""
    return RecordingView(
        id=row.id,
        state=row.state,
        started_at=row.started_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
        destroyed_at=row.destroyed_at,
        call_id=row.call_id,
        purpose=row.purpose,
        legal_basis=row.legal_basis,
        policy=row.policy_version,
        duration_ms=row.duration_ms,
        size_bytes=row.size_bytes,
        codec=row.codec,
        sha256=row.sha256,
        parties=parties,
        consent_refs=row.consent_refs,
        gaps=gaps(row),
        parts=parts,
        waits_for=_waits_for(row),
        event_on=start_events.day_of(row.event_at) if row.event_at is not None else None,
        held=held,
        for_two=is_for_two(row.purpose),
    )


def is_for_two(purpose: str | None) -> bool:
    """Whether nobody opens recordings of this purpose alone."""
    pack = pack_data.load().get(purpose or "")
    return pack is not None and pack.two_listeners


def _waits_for(row: Recording) -> str | None:
    """The event from which its period runs, where that has not been entered."""
    pack = pack_data.load().get(row.purpose or "")
    waits = pack is not None and pack.provisional is not None and row.event_at is None
    return pack.start_event if waits and pack is not None else None


def gaps(row: Recording) -> tuple[GapView, ...]:
    """In the order of the recording."""
    return tuple(GapView(*gap) for gap in row.gaps)


def _party(party: recordings.Party, names: Mapping[str, str], *, masked: bool) -> PartyView:
    number = party.number and (masking.number(party.number) if masked else party.number)
    return PartyView(party.channel, names.get(party.account_id or ""), number)
