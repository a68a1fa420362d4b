"""The key store: week keys (KEK), who can open them, and each recording's wrapped key (DEK).

    DEK of a recording ── wrapped to ──▶ KEK of its purpose and week ── wrapped to ──▶ each reader, and escrow
                       └─ while held ──▶ KEK of the legal hold      ── wrapped to ──▶ the same

Nothing here opens anything: secrets are only present wrapped. Overwriting the wraps of a DEK ends one recording; call
`Database.empty_log()` once that is committed. Deleting a KEK's wraps ends its week; then call
`Database.checkpoint_truncate()`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, Table, delete, func, insert, select, update

from storage import key_slots, tables
from storage.errors import Conflict, NotFound
from storage.tx import Tx

_KEKS, _WRAPS, _RECS, _SLOTS = tables.keks, tables.kek_wraps, tables.rec_keys, tables.key_slots
_HELD = tables.held_keys
_WITH_WRAP = select(_RECS.c.rec_id, _RECS.c.kek_id, _RECS.c.alg, _SLOTS.c.content).join(_SLOTS)
HOLD_PERIOD = "hold."  # period of a KEK that belongs to a legal hold: "hold.<id>"


@dataclass(frozen=True, slots=True)
class Kek:
    id: str
    purpose: str
    period: str  # "2026-W47.1": ISO week and generation; unique within the purpose
    alg: str
    public: bytes
    signature: bytes  # by the KEK signing key, over what `recording.keys` says
    created_at: datetime
    not_after: datetime  # no new recording after this moment
    destroyed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KekWrap:
    kek_id: str
    reader_id: str  # person id or readers.ESCROW
    alg: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class RecKey:
    rec_id: str
    kek_id: str
    alg: str
    wrap: bytes


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A recording's key, wrapped a second time, to the KEK of a legal hold."""

    rec_id: str
    hold_id: str
    kek_id: str
    alg: str
    wrap: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """The way from one reader to one recording."""

    kek_id: str
    dek_wrap: bytes
    kek_wrap: bytes


async def add_kek(tx: Tx, kek: Kek, wraps: Iterable[KekWrap]) -> None:
    """A KEK and its wraps in one act. Raises `Duplicate` ("id", "period"), `Conflict` if a wrap is of another KEK."""
    given = tuple(wraps)
    if any(wrap.kek_id != kek.id for wrap in given):
        raise Conflict("a wrap of another KEK")
    await tx.write(insert(_KEKS).values(**asdict(kek)))
    for wrap in given:
        await tx.write(insert(_WRAPS).values(**asdict(wrap)))


async def add_kek_wrap(tx: Tx, wrap: KekWrap) -> None:
    """One more reader for a KEK (made by a reader who has it unlocked). Raises `Duplicate`, `NotFound`, `Conflict`."""
    await _living_kek(tx, wrap.kek_id)
    await tx.write(insert(_WRAPS).values(**asdict(wrap)))


async def get_kek(tx: Tx, kek_id: str) -> Kek:
    """Destroyed ones too. Raises `NotFound`."""
    row = await tx.row(select(_KEKS).where(_KEKS.c.id == kek_id))
    if row is None:
        raise NotFound("KEK", kek_id)
    return Kek(**row)


async def current_kek(tx: Tx, purpose: str, now: datetime) -> Kek | None:
    """The newest living KEK of that purpose that may still take recordings at `now`."""
    wanted = (
        select(_KEKS)
        .where(_KEKS.c.purpose == purpose, _KEKS.c.destroyed_at.is_(None), _KEKS.c.not_after > now)
        .order_by(_KEKS.c.created_at.desc(), _KEKS.c.period.desc())
        .limit(1)
    )
    row = await tx.row(wanted)
    return None if row is None else Kek(**row)


async def list_keks(tx: Tx, purpose: str | None = None) -> tuple[Kek, ...]:
    """By creation, destroyed ones included; of one purpose or of all."""
    wanted = select(_KEKS).order_by(_KEKS.c.created_at, _KEKS.c.id)
    if purpose is not None:
        wanted = wanted.where(_KEKS.c.purpose == purpose)
    return tuple(Kek(**row) for row in await tx.rows(wanted))


async def kek_wraps(tx: Tx, kek_id: str) -> tuple[KekWrap, ...]:
    """Everybody's wraps of one KEK; empty once destroyed."""
    return tuple(KekWrap(**row) for row in await tx.rows(select(_WRAPS).where(_WRAPS.c.kek_id == kek_id)))


async def wraps_for_reader(tx: Tx, reader_id: str) -> tuple[KekWrap, ...]:
    """What one reader (or escrow) can open."""
    wanted = select(_WRAPS).where(_WRAPS.c.reader_id == reader_id).order_by(_WRAPS.c.kek_id)
    return tuple(KekWrap(**row) for row in await tx.rows(wanted))


async def wrap_for_reader(tx: Tx, kek_id: str, reader_id: str) -> KekWrap:
    """Raises `NotFound`."""
    row = await tx.row(select(_WRAPS).where(_WRAPS.c.kek_id == kek_id, _WRAPS.c.reader_id == reader_id))
    if row is None:
        raise NotFound("wrap of KEK", kek_id)
    return KekWrap(**row)


async def only_opened_by(tx: Tx, reader_id: str, escrow: str) -> int:
    """How many recordings have a key that this reader was given, and nobody else but escrow."""
    mine = {wrap.kek_id for wrap in await wraps_for_reader(tx, reader_id)}
    others = select(_WRAPS.c.kek_id).where(_WRAPS.c.reader_id.not_in((reader_id, escrow))).distinct()
    alone = mine - {row["kek_id"] for row in await tx.rows(others)}
    under = select(_RECS.c.rec_id)
    return sum([len(await tx.rows(under.where(_RECS.c.kek_id == kek_id))) for kek_id in sorted(alone)])


async def add_rec_key(tx: Tx, key: RecKey) -> None:
    """Commit this before the recording's first block.

    Raises `Duplicate("rec_id")`, `NotFound`, `Conflict`, `Invalid` for a wrap that is too long.
    """
    await _living_kek(tx, key.kek_id)
    slot = await key_slots.fill(tx, key.wrap)
    await tx.write(insert(_RECS).values(rec_id=key.rec_id, kek_id=key.kek_id, alg=key.alg, slot=slot))


async def rec_key(tx: Tx, rec_id: str) -> RecKey:
    """Raises `NotFound`: never there, or destroyed."""
    row = await tx.row(_WITH_WRAP.where(_RECS.c.rec_id == rec_id))
    if row is None:
        raise NotFound("key of recording", rec_id)
    return _rec_key(row)


async def list_rec_keys(tx: Tx, kek_id: str) -> tuple[RecKey, ...]:
    """Those under one KEK, by recording id."""
    wanted = _WITH_WRAP.where(_RECS.c.kek_id == kek_id).order_by(_RECS.c.rec_id)
    return tuple(_rec_key(row) for row in await tx.rows(wanted))


async def with_key(tx: Tx, rec_ids: Sequence[str] | None = None) -> frozenset[str]:
    """Of these recordings, or of all, those that have a key."""
    found: set[str] = set()
    for table in (_RECS, _HELD):
        wanted = select(table.c.rec_id)
        if rec_ids is not None:
            wanted = wanted.where(table.c.rec_id.in_(rec_ids))
        found |= {row["rec_id"] for row in await tx.rows(wanted)}
    return frozenset(found)


async def add_held_key(tx: Tx, key: HeldKey) -> None:
    """Raises `Duplicate`, `NotFound`, `Conflict`."""
    await _living_kek(tx, key.kek_id)
    slot = await key_slots.fill(tx, key.wrap)
    row = {"rec_id": key.rec_id, "hold_id": key.hold_id, "kek_id": key.kek_id, "alg": key.alg, "slot": slot}
    await tx.write(insert(_HELD).values(**row))


async def held_keys(tx: Tx, *, hold_id: str | None = None, rec_id: str | None = None) -> tuple[HeldKey, ...]:
    """Of one hold, of one recording, or all."""
    wanted = select(_HELD, _SLOTS.c.content).join(_SLOTS).order_by(_HELD.c.hold_id, _HELD.c.rec_id)
    if hold_id is not None:
        wanted = wanted.where(_HELD.c.hold_id == hold_id)
    if rec_id is not None:
        wanted = wanted.where(_HELD.c.rec_id == rec_id)
    return tuple(
        HeldKey(row["rec_id"], row["hold_id"], row["kek_id"], row["alg"], key_slots.unpacked(row["content"]))
        for row in await tx.rows(wanted)
    )


async def wraps(tx: Tx, rec_id: str) -> int:
    """How many wraps of its key there are: that of its week, and those of holds."""
    found = 0
    for table in (_RECS, _HELD):
        row = await tx.row(select(func.count().label("n")).where(table.c.rec_id == rec_id))
        found += row["n"] if row is not None else 0
    return found


async def opening(tx: Tx, rec_id: str, reader_id: str) -> Opening:
    """By the week's key, or where that is gone by that of a hold. Raises `NotFound`: no key, or never given to them."""
    for table in (_RECS, _HELD):
        both = table.join(_SLOTS).join(_WRAPS, _WRAPS.c.kek_id == table.c.kek_id)
        wanted = select(table.c.kek_id, _SLOTS.c.content, _WRAPS.c.blob).select_from(both)
        mine = wanted.where(table.c.rec_id == rec_id, _WRAPS.c.reader_id == reader_id)
        for row in await tx.rows(mine.order_by(table.c.kek_id).limit(1)):
            return Opening(row["kek_id"], key_slots.unpacked(row["content"]), row["blob"])
    raise NotFound("key of recording", rec_id)


async def destroy_rec_key(tx: Tx, rec_id: str) -> bool:
    """Every wrap, those of holds too. Whether there was one; destroying twice is no error. See the module's note on
    what to call next."""
    return bool(await destroy_rec_keys(tx, [rec_id]))


async def destroy_rec_keys(tx: Tx, rec_ids: Sequence[str]) -> int:
    """How many wraps there were."""
    return sum([await _destroy(tx, table, table.c.rec_id.in_(rec_ids)) for table in (_RECS, _HELD)])


async def destroy_kek(tx: Tx, kek_id: str, now: datetime) -> tuple[str, ...]:
    """Delete every wrap of the KEK and every key under it; the KEK's row stays, with the time.

    Returns the ids of the recordings that nobody can open any more, for the caller to mark. Raises `NotFound`.
    """
    await get_kek(tx, kek_id)
    under: dict[str, None] = {}
    for table in (_RECS, _HELD):
        rows = await tx.rows(select(table.c.rec_id).where(table.c.kek_id == kek_id).order_by(table.c.rec_id))
        under |= dict.fromkeys(row["rec_id"] for row in rows)
    await tx.write(delete(_WRAPS).where(_WRAPS.c.kek_id == kek_id))
    for table in (_RECS, _HELD):
        await _destroy(tx, table, table.c.kek_id == kek_id)
    kept = await with_key(tx, list(under))
    lost = tuple(rec_id for rec_id in under if rec_id not in kept)
    living = _KEKS.c.destroyed_at.is_(None)
    await tx.write(update(_KEKS).where(_KEKS.c.id == kek_id, living).values(destroyed_at=now))
    return lost


async def _destroy(tx: Tx, table: Table, which: ColumnElement[bool]) -> int:
    rows = await tx.rows(select(table.c.slot).where(which).with_for_update())
    await tx.write(delete(table).where(which))
    await key_slots.empty(tx, [row["slot"] for row in rows])
    return len(rows)


def _rec_key(row: RowMapping) -> RecKey:
    return RecKey(row["rec_id"], row["kek_id"], row["alg"], key_slots.unpacked(row["content"]))


async def kek_remains(tx: Tx, kek_id: str) -> int:
    """Wraps of that KEK, and keys of recordings under it, that are still there."""
    found = 0
    for table in (_WRAPS, _RECS, _HELD):
        row = await tx.row(select(func.count().label("n")).where(table.c.kek_id == kek_id))
        found += row["n"] if row is not None else 0
    return found


async def lock_kek(tx: Tx, kek_id: str) -> bool:
    """Until this transaction ends nothing is added to it. Whether it lives. Raises `NotFound`."""
    try:
        await _living_kek(tx, kek_id)
    except Conflict:
        return False
    return True


async def _living_kek(tx: Tx, kek_id: str) -> None:
    """Locks the row, so that no key is added to a KEK while it is being destroyed."""
    row = await tx.row(select(_KEKS.c.destroyed_at).where(_KEKS.c.id == kek_id).with_for_update())
    if row is None:
        raise NotFound("KEK", kek_id)
    if row["destroyed_at"] is not None:
        raise Conflict("that KEK is destroyed")
