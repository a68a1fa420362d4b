"""Legal holds: what may not be destroyed while a case needs it (GDPR Art. 17(3)(e)).

A hold lies on opaque ids (a recording, a call with all that belongs to it), on numbers, by their keyed digest: then on
every call and recording in which that number is heard; or on a line for a period. Days of the ledger that name what is
held stay with it. Who asked for it and why is sealed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from storage import log_days, month_keys, tables, text_expiry
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import require_in
from storage.numbers import digests
from storage.tx import Tx
from storage.types import canonical_json

SCOPES = frozenset({"recording", "call", "account", "number", "line"})
_T = tables.holds
_TARGETS = tables.hold_targets
_RECORDINGS, _HEARD, _CALL_PEERS = tables.recordings, tables.recording_peers, tables.call_peers
_EMERGENCY, _HASHES = tables.emergency_calls, tables.call_month_peers
_CONTACTS = {
    "contact_consent": tables.contact_consents,
    "contact_reference": tables.contact_references,
    "contact_attempt": tables.contact_attempts,
}
_CALLS, _DIAGNOSES = tables.call_records, tables.call_diagnoses
_ID_BYTES = 32  # of an opaque id; a digest is longer
_IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class About:
    """What only those see who may: free text, and what the hold lies on as it was named."""

    case: str
    requested_by: str
    approved_by: str
    reason: str
    named: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hold:
    id: str
    scope: str  # of SCOPES
    about: About
    created_at: datetime
    review_at: datetime
    lifted_at: datetime | None
    line_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None  # excluded; None: of what comes, too


async def add(
    tx: Tx,
    hold_id: str,
    scope: str,
    about: About,
    *,
    ids: Iterable[str] = (),
    numbers: Iterable[str] = (),
    now: datetime,
    review_at: datetime,
    line_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Hold:
    """`ids`: of recordings or calls; `numbers`: normalised, see `storage.numbers`; `line_id`: calls of that line that
    began from `since` on and before `until`. Raises `Duplicate("id")`, `Invalid` for a hold on nothing."""
    require_in("scope", scope, SCOPES)
    await lock(tx)
    targets = {each.encode() for each in ids}
    for number in numbers:
        targets |= {*await digests(tx, number), *await month_keys.digests(tx, number)}
    if not targets and (line_id is None or since is None):
        raise Invalid("hold", "lies on nothing")
    if since is not None and until is not None and until <= since:
        raise Invalid("until", "must lie after its beginning")
    if review_at <= now:
        raise Invalid("review_at", "must lie ahead")
    sealed = tx.keys.seal("holds", "about", hold_id, canonical_json(asdict(about)))
    row = {"id": hold_id, "scope": scope, "about_sealed": sealed, "created_at": now, "review_at": review_at}
    await tx.write(insert(_T).values(**row, line_id=line_id, since=since, until=until))
    for target in sorted(targets):
        await tx.write(insert(_TARGETS).values(hold_id=hold_id, target=target))
    return await get(tx, hold_id)


async def follow_keys(tx: Tx) -> None:
    """Every standing hold on numbers lies on them under every key that lives: before anything is written or moved
    under a new one. Raises `Conflict` where a hold's number can no longer be told from what it says."""
    await lock(tx)
    for hold in await list_all(tx, standing_only=True):
        if hold.scope not in ("number", "account"):
            continue
        wanted = {one for number in await _named(tx, hold) for one in await digests(tx, number)}
        rows = await tx.rows(select(_TARGETS.c.target).where(_TARGETS.c.hold_id == hold.id))
        there = {bytes(row["target"]) for row in rows}
        if not {one for one in there if _is_index(one)} <= wanted:
            raise Conflict(f"legal hold {hold.id} lies on a number that it no longer tells")
        for target in sorted(wanted - there):
            await tx.write(insert(_TARGETS).values(hold_id=hold.id, target=target))


async def drop_key(tx: Tx, version: int) -> None:
    """That key of the index goes; the holds lie on their numbers under newer ones."""
    low, high = version.to_bytes(2, "big"), (version + 1).to_bytes(2, "big")
    await tx.write(delete(_TARGETS).where(_TARGETS.c.target >= low, _TARGETS.c.target < high))


async def _named(tx: Tx, hold: Hold) -> tuple[str, ...]:
    """The numbers that a hold lies on."""
    if hold.scope == "number":
        return (hold.about.named,)
    named, table = hold.about.named, tables.accounts
    wanted = select(table.c.name, table.c.extension).where(or_(table.c.name == named, table.c.extension == named))
    return tuple(text for row in await tx.rows(wanted) for text in (row["name"], row["extension"]))


def _is_index(target: bytes) -> bool:
    """Opaque ids are hexadecimal digits, hashes of months begin with an "m": versions come before both."""
    return target < b"0"


async def get(tx: Tx, hold_id: str) -> Hold:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == hold_id))
    if row is None:
        raise NotFound("hold", hold_id)
    return _hold(tx, row)


async def list_all(tx: Tx, *, standing_only: bool = False) -> tuple[Hold, ...]:
    """Newest first."""
    wanted = select(_T).order_by(_T.c.created_at.desc(), _T.c.id)
    if standing_only:
        wanted = wanted.where(_T.c.lifted_at.is_(None))
    return tuple(_hold(tx, row) for row in await tx.rows(wanted))


async def lift(tx: Tx, hold_id: str, now: datetime) -> Hold:
    """Raises `NotFound`, `Conflict` where it was lifted already."""
    if (await get(tx, hold_id)).lifted_at is not None:
        raise Conflict("that hold was lifted already")
    await tx.write(update(_T).where(_T.c.id == hold_id).values(lifted_at=now))
    return await get(tx, hold_id)


async def lock(tx: Tx) -> None:
    """Until this transaction ends no hold is laid (SQLite has one writer as it is): who destroys takes it before asking
    `standing`, and who lays a hold before doing so."""
    if tx.conn.dialect.name == "postgresql":
        await tx.conn.execute(text("LOCK TABLE holds IN SHARE ROW EXCLUSIVE MODE"))


async def standing(tx: Tx) -> Mapping[bytes, tuple[str, ...]]:
    """Target -> ids of the holds that stand on it. There are few; what is asked about is looked up among them."""
    wanted = select(_TARGETS).join(_T, _T.c.id == _TARGETS.c.hold_id).where(_T.c.lifted_at.is_(None))
    found: dict[bytes, tuple[str, ...]] = {}
    for row in await tx.rows(wanted.order_by(_TARGETS.c.hold_id)):
        target = bytes(row["target"])
        found[target] = (*found.get(target, ()), row["hold_id"])
    return found


async def on(tx: Tx, kind: str, item_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Item id -> ids of the holds that stand on it, for those that have any. `kind`: see `storage.expiry`."""
    if not item_ids or not await _any(tx):
        return {}
    if kind in log_days.KINDS:
        return await _on_days(tx, kind, item_ids)
    if kind == "recording_note":
        return await _on_notes(tx, item_ids)
    found: dict[str, dict[str, None]] = {}
    targets = await standing(tx)
    for item_id, target in await _targets_of(tx, kind, item_ids) if targets else ():
        for hold_id in targets.get(target, ()):
            found.setdefault(item_id, {})[hold_id] = None
    for item_id, hold_id in await _by_line(tx, kind, item_ids):
        found.setdefault(item_id, {})[hold_id] = None
    return {item_id: tuple(sorted(hold_ids)) for item_id, hold_ids in found.items()}


async def _on_notes(tx: Tx, item_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """A note is held with its recording."""
    pairs = await _pairs(tx, tables.recording_notes.c.id, tables.recording_notes.c.recording_id, item_ids)
    standing_on = await on(tx, "recording", sorted({rec_id.decode() for _, rec_id in pairs}))
    held = {item_id: standing_on.get(rec_id.decode(), ()) for item_id, rec_id in pairs}
    return {item_id: hold_ids for item_id, hold_ids in held.items() if hold_ids}


async def _any(tx: Tx) -> bool:
    return await tx.row(select(_T.c.id).where(_T.c.lifted_at.is_(None)).limit(1)) is not None


async def recordings_under(tx: Tx, hold_id: str) -> tuple[str, ...]:
    """Ids of the recordings, not destroyed, that one hold lies on; sorted."""
    found: set[str] = set()
    living = _RECORDINGS.c.state != "destroyed"
    targets = [bytes(row["target"]) for row in await tx.rows(select(_TARGETS).where(_TARGETS.c.hold_id == hold_id))]
    ids = [text for text in map(_as_id, targets) if text]
    for some in _pieces(ids):
        named = or_(_RECORDINGS.c.id.in_(some), _RECORDINGS.c.call_id.in_(some))
        found.update(row["id"] for row in await tx.rows(select(_RECORDINGS.c.id).where(living, named)))
    for some in _pieces(targets):
        heard = select(_HEARD.c.recording_id).where(_HEARD.c.digest.in_(some))
        found.update(
            row["id"] for row in await tx.rows(select(_RECORDINGS.c.id).where(living, _RECORDINGS.c.id.in_(heard)))
        )
    on_line = _line_rows("recording", _T.c.id == hold_id)
    found.update(row["item"] for row in (await tx.rows(on_line) if on_line is not None else ()))
    return tuple(sorted(found))


async def _on_days(tx: Tx, kind: str, days: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Days of a log on which something is named that is held, or the hold itself."""
    named: dict[str, set[str]] = {}
    targets = await standing(tx)
    for target, hold_ids in targets.items():
        if text := _as_id(target):
            named.setdefault(text, set()).update(hold_ids)
    for some in _pieces(list(targets)):
        for index in (_CALL_PEERS, _HASHES):  # a number that had aged to a hash when the hold was laid
            for row in await tx.rows(select(index).where(index.c.digest.in_(some))):
                named.setdefault(row["call_id"], set()).update(targets[bytes(row["digest"])])
    for row in await tx.rows(select(_T.c.id).where(_T.c.lifted_at.is_(None))):
        hold_id = row["id"]
        named.setdefault(hold_id, set()).add(hold_id)
        for call in await tx.rows(rows) if (rows := _line_rows("call_record", _T.c.id == hold_id)) is not None else ():
            named.setdefault(call["item"], set()).add(hold_id)
        for some in _pieces(await recordings_under(tx, hold_id)):
            wanted = select(_RECORDINGS.c.id, _RECORDINGS.c.call_id).where(_RECORDINGS.c.id.in_(some))
            for recording in await tx.rows(wanted):
                for text in (recording["id"], recording["call_id"]):
                    if text is not None:
                        named.setdefault(text, set()).add(hold_id)
    wanted_ids, found = frozenset(named), {}
    for day in days:
        if there := await log_days.names(tx, kind, day, wanted_ids):
            found[day] = tuple(sorted({hold_id for text in there for hold_id in named[text]}))
    return found


async def _by_line(tx: Tx, kind: str, item_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(item id, hold id) of what belongs to a line that is held, in the period of that hold."""
    found: list[tuple[str, str]] = []
    for some in _pieces(item_ids):
        rows = _line_rows(kind, _T.c.lifted_at.is_(None), some)
        found += [(row["item"], row["hold"]) for row in (await tx.rows(rows) if rows is not None else ())]
    return found


def _line_rows(kind: str, which: ColumnElement[bool], some: Sequence[str] | None = None) -> Select[Any] | None:
    """item and hold; None for a kind that has no line."""
    line: ColumnElement[Any]
    match kind:
        case "call_record":
            item, line, at = _CALLS.c.id, _CALLS.c.line_id, _CALLS.c.at
            wanted = select(item.label("item"), _T.c.id.label("hold")).join(_T, _T.c.line_id == line)
        case "diagnosis":  # of a call that left a record
            item, line, at = _DIAGNOSES.c.call_id, _CALLS.c.line_id, _CALLS.c.at
            joined = _DIAGNOSES.join(_CALLS, _CALLS.c.id == _DIAGNOSES.c.call_id).join(_T, _T.c.line_id == line)
            wanted = select(item.label("item"), _T.c.id.label("hold")).select_from(joined)
        case "recording":
            item, at = _RECORDINGS.c.id, _RECORDINGS.c.started_at
            line = func.coalesce(_RECORDINGS.c.line_id, _CALLS.c.line_id)
            joined = _RECORDINGS.outerjoin(_CALLS, _CALLS.c.id == _RECORDINGS.c.call_id).join(_T, _T.c.line_id == line)
            wanted = select(item.label("item"), _T.c.id.label("hold")).select_from(joined)
            wanted = wanted.where(_RECORDINGS.c.state != "destroyed")
        case "contact_attempt":
            table = tables.contact_attempts
            item, line, at = table.c.id, table.c.line_id, table.c.at
            wanted = select(item.label("item"), _T.c.id.label("hold")).join(_T, _T.c.line_id == line)
        case _:
            return None
    within = and_(at >= _T.c.since, or_(_T.c.until.is_(None), at < _T.c.until))
    return wanted.where(which, within, item.in_(some) if some is not None else true())


async def _targets_of(tx: Tx, kind: str, item_ids: Sequence[str]) -> list[tuple[str, bytes]]:
    """Everything that a hold could lie on, of these items."""
    found = [(item_id, item_id.encode()) for item_id in item_ids]
    match kind:
        case "recording":
            found += await _pairs(tx, _RECORDINGS.c.id, _RECORDINGS.c.call_id, item_ids)
            found += await _pairs(tx, _HEARD.c.recording_id, _HEARD.c.digest, item_ids)
        case "call_record" | "call_field" | "diagnosis" | "emergency_call":
            found += await _pairs(tx, _CALL_PEERS.c.call_id, _CALL_PEERS.c.digest, item_ids)
            found += await _pairs(tx, _HASHES.c.call_id, _HASHES.c.digest, item_ids)
            recordings = await _pairs(tx, _RECORDINGS.c.call_id, _RECORDINGS.c.id, item_ids)
            found += recordings
            calls = {rec_id.decode(): call_id for call_id, rec_id in recordings}
            heard = await _pairs(tx, _HEARD.c.recording_id, _HEARD.c.digest, list(calls))
            found += [(calls[rec_id], digest) for rec_id, digest in heard]
            found += await _pairs(tx, _EMERGENCY.c.id, _EMERGENCY.c.account_id, item_ids)
        case "contact_consent" | "contact_reference" | "contact_attempt":
            table = _CONTACTS[kind]
            found += await _pairs(tx, table.c.id, table.c.digest, item_ids)
        case _ if kind in text_expiry.HELD_BY:
            found += await _pairs(tx, *text_expiry.HELD_BY[kind], item_ids)
        case "alert":
            found += await _pairs(tx, tables.alerts.c.id, tables.alerts.c.subject, item_ids)
        case "usage":
            found += [(item_id, item_id.partition("|")[0].rpartition(":")[2].encode()) for item_id in item_ids]
    return found


async def _pairs(tx: Tx, key: ColumnElement[str], value: Column[Any], keys: Sequence[str]) -> list[tuple[str, bytes]]:
    rows: list[RowMapping] = []
    for start in range(0, len(keys), _IN_ONE):
        some = key.in_(keys[start : start + _IN_ONE])
        rows += await tx.rows(select(key.label("key"), value.label("value")).where(some, value.is_not(None)))
    return [
        (row["key"], row["value"].encode() if isinstance(row["value"], str) else bytes(row["value"])) for row in rows
    ]


def _pieces(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + _IN_ONE] for start in range(0, len(items), _IN_ONE)]


def _as_id(target: bytes) -> str:
    """The opaque id that a target is; "" for a digest."""
    return target.decode("ascii") if len(target) == _ID_BYTES and target.isalnum() else ""


def _hold(tx: Tx, row: RowMapping) -> Hold:
    about = About(**json.loads(tx.keys.open("holds", "about", row["id"], row["about_sealed"])))
    line = row["line_id"], row["since"], row["until"]
    return Hold(row["id"], row["scope"], about, row["created_at"], row["review_at"], row["lifted_at"], *line)
