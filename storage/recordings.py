"""Recordings: what the vault holds, until when, and in which state. Who speaks in one is sealed.

recording ──▶ whole | cut | failed ──▶ destroyed; and recording ──▶ destroyed (objection during the call).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, func, insert, literal, or_, select, union_all, update

from storage import keys, tables
from storage.errors import Conflict, Invalid, NotFound
from storage.numbers import digest, digests
from storage.tx import Tx
from storage.types import canonical_json

GAP_REASONS = frozenset({"hold", "pause"})
_MAX_GAPS = 1000
_FEW = 100
_IN_ONE = 500  # ids in one statement
STATES = frozenset({"recording", "whole", "cut", "failed", "destroyed"})
KEPT = ("recording", "whole", "cut", "failed")
_T = tables.recordings
_PEERS = tables.recording_peers
_BESIDE = (tables.recording_notes, tables.listening_requests, tables.recording_openings)
# What a destroyed recording still says: that it was, and when.
_KEPT = frozenset({"id", "state", "started_at", "expires_at", "ended_at", "destroyed_at"})
_NEXT = {
    "recording": frozenset({"whole", "cut", "failed"}),
    "cut": frozenset({"whole", "failed"}),
    "whole": frozenset({"cut", "failed"}),
    "failed": frozenset({"cut"}),
    "destroyed": frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Party:
    """Who is heard on a channel."""

    channel: int  # 0 left, 1 right
    leg_id: str
    account_id: str | None
    number: str | None = field(repr=False)  # E.164, extension or account name, as it is looked up


@dataclass(frozen=True, slots=True)
class Recording:
    id: str
    state: str  # of STATES
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    destroyed_at: datetime | None
    # None from here on once destroyed:
    call_id: str | None
    purpose: str | None
    pack_version: str | None
    policy_version: int | None  # of the company's policy; None, too: none was in force
    legal_basis: str | None
    codec: str | None  # "opus", "flac"
    rate_hz: int | None
    channels: int | None
    duration_ms: int | None  # None while it runs, too
    size_bytes: int | None  # of the sealed file
    sha256: str | None  # of the sealed file, 64 hexadecimal characters
    kek_id: str | None
    consent_refs: tuple[int, ...]  # sequence numbers in the "consent" log; empty once destroyed
    # Silence instead of what was said: start and end in milliseconds of the recording, and why (of GAP_REASONS).
    gaps: tuple[tuple[int, int, str], ...] = ()
    line_id: str | None = None  # None: of no line, or from before lines were noted
    # Of a pack whose period runs from a later event: ISO 8601 (None: the pack's own), and when that happened.
    kept_for: str | None = None
    event_at: datetime | None = None
    objected_at: datetime | None = None  # somebody said no while a legal hold kept it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings a list is about. `until` is excluded; `after`: beginning and id of the one that it goes on
    after."""

    states: tuple[str, ...] = KEPT
    purpose: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str] | None = None

    def where(self, *, led_by_state: bool = True) -> ColumnElement[bool]:
        """In the order of `newest`. Not `led_by_state`: something else leads to few of them. Were `state` written alone
        then, SQLite would rather fetch all that are whole."""
        state = _T.c.state if led_by_state else func.coalesce(_T.c.state, _T.c.state)
        wanted: ColumnElement[bool] = state.in_(self.states)
        if self.purpose is not None:
            wanted &= _T.c.purpose == self.purpose
        if self.since is not None:
            wanted &= _T.c.started_at >= self.since
        if self.until is not None:
            wanted &= _T.c.started_at < self.until
        if self.after is not None:
            at, rec_id = self.after
            wanted &= (_T.c.started_at <= at) & or_(_T.c.started_at < at, _T.c.id > rec_id)
        return wanted

    def fits(self, row: Recording) -> bool:
        """As `where`."""
        return (
            row.state in self.states
            and self.purpose in (None, row.purpose)
            and (self.since is None or row.started_at >= self.since)
            and (self.until is None or row.started_at < self.until)
            and (self.after is None or (self.after[0], row.id) > (row.started_at, self.after[1]))
        )


async def start(
    tx: Tx,
    rec_id: str,
    *,
    call_id: str,
    purpose: str,
    pack_version: str,
    legal_basis: str,
    expires_at: datetime,
    codec: str,
    rate_hz: int,
    channels: int,
    started_at: datetime,
    kek_id: str,
    parties: Iterable[Party],
    consent_refs: Iterable[int],
    line_id: str | None = None,
    policy_version: int | None = None,
    kept_for: str | None = None,
) -> Recording:
    """Raises `Duplicate("id")`, `Conflict` for an unknown KEK, `Invalid` without any consent reference."""
    heard, refs = tuple(parties), list(consent_refs)
    if not refs:
        raise Invalid("consent_refs", "a recording rests on at least one entry of the consent log")
    await tx.write(
        insert(_T).values(
            id=rec_id,
            state="recording",
            call_id=call_id,
            purpose=purpose,
            pack_version=pack_version,
            policy_version=policy_version,
            legal_basis=legal_basis,
            expires_at=expires_at,
            codec=codec,
            rate_hz=rate_hz,
            channels=channels,
            started_at=started_at,
            kek_id=kek_id,
            parties_sealed=_seal_parties(tx, rec_id, heard),
            consent_refs=refs,
            line_id=line_id,
            kept_for=kept_for,
        )
    )
    await _index_parties(tx, rec_id, heard)
    return await get(tx, rec_id)


async def add_party(tx: Tx, rec_id: str, party: Party, consent_refs: Iterable[int]) -> Recording:
    """Somebody joined, after being asked. Raises `NotFound`, `Conflict` if it no longer runs."""
    present = await lock(tx, rec_id)
    if present.state != "recording":
        raise Conflict(f"recording {rec_id} is {present.state}")
    heard = (*await parties(tx, rec_id), party)
    refs = [*present.consent_refs, *consent_refs]
    await _set(tx, rec_id, parties_sealed=_seal_parties(tx, rec_id, heard), consent_refs=refs)
    await tx.write(delete(_PEERS).where(_PEERS.c.recording_id == rec_id))
    await _index_parties(tx, rec_id, heard)
    return await get(tx, rec_id)


async def add_gaps(tx: Tx, rec_id: str, gaps: Iterable[tuple[int, int, str]]) -> Recording:
    """Holds and pauses, beside those that are there. Raises `NotFound`, `Invalid`, `Conflict` once destroyed."""
    present = await lock(tx, rec_id)
    if present.state == "destroyed":
        raise Conflict(f"recording {rec_id} is destroyed")
    known = sorted({*present.gaps, *((int(start), int(end), why) for start, end, why in gaps)})
    if any(not 0 <= start <= end or why not in GAP_REASONS for start, end, why in known):
        raise Invalid("gaps", "are milliseconds from start to end, each with hold or pause")
    if len(known) > _MAX_GAPS:
        raise Invalid("gaps", f"are more than {_MAX_GAPS}")
    await _set(tx, rec_id, gaps=[list(gap) for gap in known])
    return await get(tx, rec_id)


async def finish(
    tx: Tx,
    rec_id: str,
    *,
    state: str,
    ended_at: datetime,
    duration_ms: int,
    size_bytes: int,
    sha256: str,
    expires_at: datetime | None = None,
) -> Recording:
    """The file is closed: `state` is "whole" or "cut". `expires_at`: reckoned from its end, now that it is known.

    Raises `NotFound`, `Invalid`, `Conflict`.
    """
    if state not in {"whole", "cut"}:
        raise Invalid("state", "must be whole or cut")
    await mark(tx, rec_id, state, ended_at)
    values: dict[str, Any] = {"duration_ms": duration_ms, "size_bytes": size_bytes, "sha256": sha256}
    if expires_at is not None:
        values["expires_at"] = expires_at
    await _set(tx, rec_id, **values)
    return await get(tx, rec_id)


async def mark(tx: Tx, rec_id: str, state: str, now: datetime) -> Recording:
    """Another state, as the drawing above allows ("destroyed" is reached by `destroy` only).

    Raises `NotFound`, `Conflict`.
    """
    present = await lock(tx, rec_id)
    if state not in _NEXT[present.state]:
        raise Conflict(f"recording {rec_id} is {present.state}: cannot become {state}")
    await _set(tx, rec_id, state=state, ended_at=present.ended_at or now)
    return await get(tx, rec_id)


async def destroy(tx: Tx, rec_id: str, now: datetime) -> Recording:
    """Key, parties, index, notes and description go; opaque id, state and times stay. Twice is no error.

    Once committed, call `Database.empty_log()`; removing the file is the caller's. Raises `NotFound`.
    """
    await destroy_all(tx, [rec_id], now)
    return await get(tx, rec_id)


async def destroy_all(tx: Tx, rec_ids: Sequence[str], now: datetime) -> None:
    """As `destroy`, for many; ids that nobody knows are passed over."""
    wanted = _T.c.id.in_(rec_ids)
    await tx.rows(select(_T.c.id).where(wanted).with_for_update())
    await keys.destroy_rec_keys(tx, rec_ids)
    for table in (_PEERS, *_BESIDE):
        await tx.write(delete(table).where(table.c.recording_id.in_(rec_ids)))
    gone: dict[str, Any] = {column.name: None for column in _T.columns if column.name not in _KEPT}
    destroyed_at = func.coalesce(_T.c.destroyed_at, literal(now, _T.c.destroyed_at.type))
    ended_at = func.coalesce(_T.c.ended_at, destroyed_at)
    state = {"state": "destroyed", "destroyed_at": destroyed_at, "ended_at": ended_at}
    await tx.write(update(_T).where(wanted).values(**gone, **state))


async def states(tx: Tx, rec_ids: Sequence[str]) -> Mapping[str, str]:
    """Of those that are known: id -> state."""
    rows = await tx.rows(select(_T.c.id, _T.c.state).where(_T.c.id.in_(rec_ids)))
    return {row["id"]: row["state"] for row in rows}


async def overdue(tx: Tx, rec_id: str, now: datetime) -> None:
    """Somebody has objected, and a hold keeps it: it goes once that is lifted. Raises `NotFound`."""
    present = await lock(tx, rec_id)
    until = max(min(present.expires_at, now), present.started_at)
    await _set(tx, rec_id, expires_at=until, objected_at=present.objected_at or now)


async def set_event(tx: Tx, rec_id: str, event_at: datetime, expires_at: datetime) -> Recording:
    """The event from which its period runs has happened. Raises `NotFound`, `Conflict` while it runs or once it is
    destroyed."""
    present = await lock(tx, rec_id)
    if present.state in ("recording", "destroyed"):
        raise Conflict(f"recording {rec_id} is {present.state}")
    await _set(tx, rec_id, event_at=event_at, expires_at=expires_at)
    return await get(tx, rec_id)


async def get(tx: Tx, rec_id: str) -> Recording:
    """Destroyed ones too. Raises `NotFound`."""
    return _found(rec_id, await tx.row(select(_T).where(_T.c.id == rec_id)))


async def beginning_with(tx: Tx, prefix: str) -> tuple[Recording, ...]:
    """Those whose id begins so, a few at most: more than one is too many."""
    wanted = select(_T).where(_T.c.id.startswith(prefix, autoescape=True))
    return tuple(opened(row) for row in await tx.rows(wanted.limit(_FEW)))


async def newest(tx: Tx, wanted: Wanted, *, limit: int) -> tuple[Recording, ...]:
    """Newest first. Of each state by its own way through the index: none of them is sorted as a whole."""
    order = (_T.c.started_at.desc(), _T.c.id)
    some = [replace(wanted, states=(state,)).where() for state in wanted.states]
    each = [select(_T.c.id).where(one).order_by(*order).limit(limit).subquery() for one in some]
    ids = union_all(*(select(one.c.id) for one in each))
    rows = await tx.rows(select(_T).where(_T.c.id.in_(ids)).order_by(*order).limit(limit))
    return tuple(opened(row) for row in rows)


async def list_all(tx: Tx, *, states: Iterable[str] | None = None, limit: int | None = None) -> tuple[Recording, ...]:
    """Newest first; all, or those in one of `states`."""
    wanted = select(_T).order_by(_T.c.started_at.desc(), _T.c.id).limit(limit)
    if states is not None:
        wanted = wanted.where(_T.c.state.in_(tuple(states)))
    return tuple(opened(row) for row in await tx.rows(wanted))


async def of_call(tx: Tx, call_id: str) -> tuple[Recording, ...]:
    rows = await tx.rows(select(_T).where(_T.c.call_id == call_id).order_by(_T.c.started_at, _T.c.id))
    return tuple(opened(row) for row in rows)


async def of_calls(tx: Tx, call_ids: Sequence[str]) -> dict[str, list[Recording]]:
    """`of_call` for many: calls that have none are left out."""
    found: dict[str, list[Recording]] = {}
    for start in range(0, len(call_ids), _IN_ONE):
        some = _T.c.call_id.in_(call_ids[start : start + _IN_ONE])
        for row in await tx.rows(select(_T).where(some).order_by(_T.c.started_at, _T.c.id)):
            found.setdefault(row["call_id"], []).append(opened(row))
    return found


async def expired(tx: Tx, now: datetime) -> tuple[Recording, ...]:
    """What should be destroyed by now, oldest expiry first."""
    due = (_T.c.expires_at <= now) & (_T.c.state != "destroyed")
    return tuple(opened(row) for row in await tx.rows(select(_T).where(due).order_by(_T.c.expires_at)))


async def with_number(tx: Tx, number: str) -> tuple[Recording, ...]:
    """Recordings in which that normalised number is heard, newest first."""
    heard = select(_PEERS.c.recording_id).where(_PEERS.c.digest.in_(await digests(tx, number)))
    rows = await tx.rows(select(_T).where(_T.c.id.in_(heard)).order_by(_T.c.started_at.desc(), _T.c.id))
    return tuple(opened(row) for row in rows)


async def parties(tx: Tx, rec_id: str) -> tuple[Party, ...]:
    """Who is heard, with numbers in clear: for those who have the right to know. Empty once destroyed.

    Raises `NotFound`.
    """
    row = await tx.row(select(_T.c.parties_sealed).where(_T.c.id == rec_id))
    if row is None:
        raise NotFound("recording", rec_id)
    if row["parties_sealed"] is None:
        return ()
    opened = tx.keys.open("recordings", "parties", rec_id, row["parties_sealed"])
    return tuple(Party(**party) for party in json.loads(opened))


async def parties_of(tx: Tx, rec_ids: Sequence[str]) -> dict[str, tuple[Party, ...]]:
    """`parties` of many; those that are destroyed are left out."""
    found: dict[str, tuple[Party, ...]] = {}
    open_parties = tx.keys.opener("recordings", "parties")
    for start in range(0, len(rec_ids), _IN_ONE):
        some = _T.c.id.in_(rec_ids[start : start + _IN_ONE]) & _T.c.parties_sealed.is_not(None)
        for rec_id, sealed in await tx.tuples(select(_T.c.id, _T.c.parties_sealed).where(some)):
            found[rec_id] = tuple(Party(**party) for party in json.loads(open_parties(rec_id, sealed)))
    return found


def _seal_parties(tx: Tx, rec_id: str, heard: tuple[Party, ...]) -> bytes:
    return tx.keys.seal("recordings", "parties", rec_id, canonical_json([asdict(party) for party in heard]))


async def _index_parties(tx: Tx, rec_id: str, heard: tuple[Party, ...]) -> None:
    for channel, number in {(party.channel, party.number) for party in heard if party.number}:
        row = {"recording_id": rec_id, "channel": channel, "digest": await digest(tx, number)}
        await tx.write(insert(_PEERS).values(**row))


async def lock(tx: Tx, rec_id: str) -> Recording:
    return _found(rec_id, await tx.row(select(_T).where(_T.c.id == rec_id).with_for_update()))


async def _set(tx: Tx, rec_id: str, **values: Any) -> None:
    await tx.write(update(_T).where(_T.c.id == rec_id).values(**values))


def _found(rec_id: str, row: RowMapping | None) -> Recording:
    if row is None:
        raise NotFound("recording", rec_id)
    return opened(row)


def opened(row: RowMapping) -> Recording:
    """Of a whole row."""
    fields = {name: row[name] for name in Recording.__slots__ if name not in ("consent_refs", "gaps")}
    gaps = tuple((start, end, why) for start, end, why in row["gaps"] or ())
    return Recording(consent_refs=tuple(row["consent_refs"] or ()), gaps=gaps, **fields)
