"""The ledger: three append-only logs, in daily segments, each a Merkle tree with a signed head; the heads are chained.

    ledger_logs      one signed note per log: how many entries ever, hash of the newest head
    ledger_segments  one per log and day: frontier, and the head, a C2SP checkpoint:
                         beffroi/<log>/<day> \\n size \\n base64 root \\n first <seq> \\n previous <base64 head hash>
    ledger_entries   the bytes that were hashed, numbered without gap across days

All three move in the caller's transaction. Dropping a segment's leaves leaves its head, and the chain whole.
An attacker who has the signing key, or who puts back an *older, whole* copy of the three tables, is not found by what
is in the database alone: keep `heads()` elsewhere and give them to `ledger_verify.verify` as anchors.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import LargeBinary, RowMapping, delete, func, insert, literal, or_, select, update

from storage import merkle, signed_note, tables
from storage.errors import Conflict, LedgerRefused, NotFound
from storage.ledger_payload import Value, body, utc_text
from storage.tx import Tx

LOGS = ("access", "consent", "erasure")
NO_HEAD = bytes(32)
_L, _S, _E = tables.ledger_logs, tables.ledger_segments, tables.ledger_entries


@dataclass(frozen=True, slots=True)
class Entry:
    log: str
    seq: int  # from 1, without gap, across days
    day: str  # segment, "2026-11-21"
    leaf_hash: bytes
    body: bytes  # canonical JSON


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: what to keep elsewhere as an anchor."""

    log: str
    entries: int  # ever appended
    head_hash: bytes  # of the newest segment's head text


@dataclass(frozen=True, slots=True)
class Pruned:
    """Days of a log of which the heads alone are left."""

    log: str
    first_day: str
    last_day: str
    days: int
    entries: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Enough to show offline, with the public key alone, that an entry is in the ledger."""

    body: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]
    head: str  # signed note


@dataclass(frozen=True, slots=True)
class _Segment:
    day: str
    first_seq: int
    size: int
    frontier: tuple[bytes, ...]
    previous: bytes  # hash of the head before


async def append(tx: Tx, log: str, payload: Mapping[str, Value | None], now: datetime) -> Entry:
    """Write one entry and sign the new head, in this transaction; on PostgreSQL others wait for its end.

    `payload`: see `ledger_payload.ALLOWED`; None values are left out. An entry never goes into a day before the
    newest one, whatever the clock says. Raises `LedgerRefused`.
    """
    [entry] = await append_all(tx, log, [payload], now)
    return entry


async def append_all(
    tx: Tx, log: str, payloads: Sequence[Mapping[str, Value | None]], now: datetime
) -> tuple[Entry, ...]:
    """As `append`, for many at once, in their order: the head is signed when the last of them is in its tree."""
    if not payloads:
        return ()
    key = _signing_key(tx)
    count, last_head = await _state(tx, log)
    segment, is_new = await _segment_for(tx, log, now, count + 1, last_head)
    grown, size, added = list(segment.frontier), segment.size, list[Entry]()
    for seq, payload in enumerate(payloads, count + 1):
        stored = body(log, seq, payload, now)
        leaf = merkle.leaf_hash(stored)
        grown, size = merkle.append(grown, size, leaf), size + 1
        added.append(Entry(log, seq, segment.day, leaf, stored))
    text = head_text(log, segment.day, size, merkle.root(grown), segment.first_seq, segment.previous)
    values = {"size": size, "frontier": merkle.pack(grown), "head": signed_note.sign(text, key)}
    if is_new:
        await tx.write(insert(_S).values(log=log, day=segment.day, first_seq=count + 1, **values))
    else:
        await tx.write(update(_S).where(_S.c.log == log, _S.c.day == segment.day).values(**values))
    await tx.write_each(insert(_E), [asdict(entry) for entry in added])
    state = signed_note.sign(state_text(log, count + len(added), head_hash(text)), key)
    await tx.write(update(_L).where(_L.c.log == log).values(state=state))
    return tuple(added)


async def entries(
    tx: Tx, log: str, *, after_seq: int = 0, limit: int | None = None, day: str | None = None
) -> tuple[Entry, ...]:
    """In order, from the one after `after_seq`; pruned ones are not there."""
    wanted = select(_E).where(_E.c.log == log, _E.c.seq > after_seq).order_by(_E.c.seq).limit(limit)
    if day is not None:
        wanted = wanted.where(_E.c.day == day)
    return tuple(_entry(row) for row in await tx.rows(wanted))


async def entries_before(tx: Tx, log: str, seq: int, *, limit: int) -> tuple[Entry, ...]:
    """In order: the last ones before that number, of those that are there."""
    wanted = select(_E).where(_E.c.log == log, _E.c.seq < seq).order_by(_E.c.seq.desc()).limit(limit)
    return tuple(_entry(row) for row in reversed(await tx.rows(wanted)))


async def entries_of_cause(
    tx: Tx, log: str, causes: Sequence[str], *, before: int, within: int, limit: int
) -> tuple[Entry, ...]:
    """In order: the last ones before that number whose cause is one of these. No more than `within` entries are looked
    at: there is no index of what an entry says."""
    found_at = func.pg_catalog.position if tx.conn.dialect.name == "postgresql" else func.instr
    said = [found_at(_E.c.body, literal(f'"cause":"{cause}"'.encode(), LargeBinary)) > 0 for cause in causes]
    looked_at = (_E.c.log == log, _E.c.seq < before, _E.c.seq >= before - within)
    wanted = select(_E).where(*looked_at, or_(*said)).order_by(_E.c.seq.desc()).limit(limit)
    return tuple(_entry(row) for row in reversed(await tx.rows(wanted)))


async def get(tx: Tx, log: str, seq: int) -> Entry:
    """Raises `NotFound`: never written, or pruned."""
    row = await tx.row(select(_E).where(_E.c.log == log, _E.c.seq == seq))
    if row is None:
        raise NotFound(f"entry of the {log} log", str(seq))
    return _entry(row)


async def heads(tx: Tx) -> tuple[Head, ...]:
    """Of the three logs; to keep where an intruder on this machine cannot reach."""
    found = []
    for log in LOGS:
        count, last = await _state(tx, log, lock=False)
        found.append(Head(log, count, last))
    return tuple(found)


async def prove(tx: Tx, log: str, seq: int) -> Inclusion:
    """Raises `NotFound`."""
    entry = await get(tx, log, seq)
    segment = await tx.row(select(_S).where(_S.c.log == log, _S.c.day == entry.day))
    if segment is None:
        raise NotFound("ledger segment", entry.day)
    leaves = [one.leaf_hash for one in await entries(tx, log, day=entry.day)]
    index = seq - segment["first_seq"]
    proof = tuple(merkle.inclusion_proof(leaves, index))
    return Inclusion(entry.body, index, segment["size"], proof, segment["head"])


async def prune_segment(tx: Tx, log: str, day: str, now: datetime) -> int:
    """Drop the leaves of a closed day; its head stays, with a signed note of when. Returns how many went.

    For the one deletion gate only. Raises `NotFound`; `Conflict` for the newest day, or a day already pruned.
    """
    key = _signing_key(tx)
    await _state(tx, log)
    segment = await tx.row(select(_S).where(_S.c.log == log, _S.c.day == day))
    if segment is None:
        raise NotFound("ledger segment", day)
    newer = await tx.row(select(_S.c.day).where(_S.c.log == log, _S.c.day > day).limit(1))
    if newer is None or segment["pruned"] is not None:
        raise Conflict(f"{log} {day} is still open, or already pruned")
    note = signed_note.sign(pruned_text(segment["head"], utc_text(now)), key)
    await tx.write(update(_S).where(_S.c.log == log, _S.c.day == day).values(pruned=note))
    return await tx.write(delete(_E).where(_E.c.log == log, _E.c.day == day))


async def pruned(tx: Tx) -> tuple[Pruned, ...]:
    """By log; nothing for a log of which every entry is there."""
    rows = await tx.rows(
        select(
            _S.c.log,
            func.min(_S.c.day).label("first_day"),
            func.max(_S.c.day).label("last_day"),
            func.count().label("days"),
            func.sum(_S.c.size).label("entries"),
        )
        .where(_S.c.pruned.is_not(None))
        .group_by(_S.c.log)
        .order_by(_S.c.log)
    )
    return tuple(Pruned(r["log"], r["first_day"], r["last_day"], r["days"], int(r["entries"])) for r in rows)


def head_text(log: str, day: str, size: int, root: bytes, first_seq: int, previous: bytes) -> str:
    """C2SP `tlog-checkpoint.md`: origin, size, root; then our two extension lines."""
    return f"beffroi/{log}/{day}\n{size}\n{_b64(root)}\nfirst {first_seq}\nprevious {_b64(previous)}\n"


def state_text(log: str, count: int, newest_head: bytes) -> str:
    return f"beffroi/{log}/state\n{count}\n{_b64(newest_head)}\n"


def pruned_text(head: str, at: str) -> str:
    return f"beffroi/pruned\n{_b64(hashlib.sha256(head.encode()).digest())}\n{at}\n"


def head_hash(text: str) -> bytes:
    """What the next segment chains to: over the text, without its signature."""
    return hashlib.sha256(text.encode()).digest()


def note_text(note: str) -> str:
    """The text of one of our notes, unchecked."""
    return note.partition("\n\n")[0] + "\n"


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _signing_key(tx: Tx) -> Ed25519PrivateKey:
    if tx.ledger_key is None:
        raise LedgerRefused("the database was opened without the ledger key")
    return tx.ledger_key


async def _state(tx: Tx, log: str, *, lock: bool = True) -> tuple[int, bytes]:
    """Entries so far, and hash of the newest head.

    Locking takes all three logs, in one order: it puts writers in line, and two that append to two logs crosswise
    cannot lock each other out.
    """
    wanted = select(_L).order_by(_L.c.log)
    states = {row["log"]: row["state"] for row in await tx.rows(wanted.with_for_update() if lock else wanted)}
    if log not in LOGS or log not in states:
        raise LedgerRefused(f"the {log} log has lost its state" if log in LOGS else "no such log")
    if not states[log]:
        return 0, NO_HEAD
    try:
        _origin, count, newest, *_rest = states[log].split("\n")
        return int(count), base64.b64decode(newest, validate=True)
    except ValueError as error:
        raise LedgerRefused(f"the state of the {log} log is damaged: run ledger verify") from error


async def _segment_for(tx: Tx, log: str, now: datetime, seq: int, last_head: bytes) -> tuple[_Segment, bool]:
    """The segment to append to, and whether it is new."""
    row = await tx.row(select(_S).where(_S.c.log == log).order_by(_S.c.day.desc()).limit(1))
    today = now.astimezone(UTC).date().isoformat()
    if row is None or row["day"] < today:
        return _Segment(today, seq, 0, (), last_head), True
    previous = base64.b64decode(_line(row["head"], 4).removeprefix("previous "))
    frontier = tuple(merkle.unpack(row["frontier"]))
    return _Segment(row["day"], row["first_seq"], row["size"], frontier, previous), False


def _line(note: str, number: int) -> str:
    lines: Sequence[str] = note.split("\n")
    if len(lines) <= number:
        raise LedgerRefused("the newest head is damaged: run ledger verify")
    return lines[number]


def _entry(row: RowMapping) -> Entry:
    return Entry(row["log"], row["seq"], row["day"], row["leaf_hash"], row["body"])
