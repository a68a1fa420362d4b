"""Reading the whole ledger back with the public key alone, and saying everything that is wrong with it."""

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import RowMapping, func, select

from storage import ledger, merkle, signed_note, tables
from storage.ledger import LOGS, NO_HEAD, Head
from storage.tx import Tx
from storage.types import canonical_json

_L, _S, _E = tables.ledger_logs, tables.ledger_segments, tables.ledger_entries


class Fault(Enum):
    FLIPPED = "flipped"  # an entry's bytes, or their hash, are not what was written
    MISSING = "missing"  # an entry, a segment or a log's state is gone
    REORDERED = "reordered"  # an entry stands at another's place
    HEAD = "head"  # a signed note does not hold, or does not fit what it stands for
    CHAIN = "chain"  # a head does not follow from the one before, or the log was put back
    EXTRA = "extra"  # a row that no head covers


@dataclass(frozen=True, slots=True)
class Finding:
    fault: Fault
    log: str
    day: str = ""
    seq: int | None = None


async def verify(tx: Tx, public: Ed25519PublicKey, anchors: Iterable[Head] = ()) -> list[Finding]:
    """Empty when all is well. `anchors`: heads kept elsewhere; every log must still contain them."""
    found: list[Finding] = []
    for table in (_L, _S, _E):
        rows = await tx.rows(select(table.c.log).where(table.c.log.not_in(LOGS)).distinct())
        found += [Finding(Fault.EXTRA, row["log"]) for row in rows]
    kept = tuple(anchors)
    for log in LOGS:
        found += await _verify_log(tx, log, public, [anchor for anchor in kept if anchor.log == log])
    return found


async def _verify_log(tx: Tx, log: str, public: Ed25519PublicKey, anchors: Sequence[Head]) -> list[Finding]:
    found: list[Finding] = []
    count, previous = 0, NO_HEAD
    segments = await tx.rows(select(_S).where(_S.c.log == log).order_by(_S.c.day))
    reached = {(0, NO_HEAD)}
    for segment in segments:
        text = ledger.note_text(segment["head"])
        expected_first = count + 1
        found += _head_findings(segment, public, expected_first, previous)
        rows = await tx.rows(select(_E).where(_E.c.log == log, _E.c.day == segment["day"]).order_by(_E.c.seq))
        # A busy day takes a while to hash: beside the event loop, which has calls to serve.
        found += await asyncio.to_thread(_segment_findings, segment, rows, public)
        if anchors:
            reached |= await asyncio.to_thread(_states_within, segment, rows)
        count, previous = segment["first_seq"] + segment["size"] - 1, ledger.head_hash(text)
        reached.add((count, previous))
    found += await _state_findings(tx, log, public, count, previous)
    days = [segment["day"] for segment in segments]
    stray = await tx.rows(select(_E.c.seq, _E.c.day).where(_E.c.log == log, _E.c.day.not_in(days)))
    found += [Finding(Fault.EXTRA, log, row["day"], row["seq"]) for row in stray]
    # Inside of a pruned day only its last state can still be computed: an anchor taken before that is let be.
    pruned = [range(s["first_seq"], s["first_seq"] + s["size"] - 1) for s in segments if s["pruned"] is not None]
    checked = [anchor for anchor in anchors if not any(anchor.entries in day for day in pruned)]
    found += [Finding(Fault.CHAIN, log) for anchor in checked if (anchor.entries, anchor.head_hash) not in reached]
    return found


def _head_findings(segment: RowMapping, public: Ed25519PublicKey, first: int, previous: bytes) -> Iterator[Finding]:
    """The head holds, describes this row, and follows the one before."""
    log, day = segment["log"], segment["day"]
    root = merkle.root(merkle.unpack(segment["frontier"]))
    described = ledger.head_text(log, day, segment["size"], root, segment["first_seq"], previous)
    signed = signed_note.verified_text(segment["head"], public)
    if signed is None or signed.split("\n")[:4] != described.split("\n")[:4]:
        yield Finding(Fault.HEAD, log, day)
    elif signed != described:
        yield Finding(Fault.CHAIN, log, day)
    if segment["first_seq"] != first:
        yield Finding(Fault.CHAIN, log, day)


def _segment_findings(segment: RowMapping, rows: Sequence[RowMapping], public: Ed25519PublicKey) -> list[Finding]:
    log, day = segment["log"], segment["day"]
    found: list[Finding] = []
    if segment["pruned"] is not None:
        if not _pruned_holds(segment, public):
            found.append(Finding(Fault.HEAD, log, day))
        return found + [Finding(Fault.EXTRA, log, day, row["seq"]) for row in rows]
    expected = range(segment["first_seq"], segment["first_seq"] + segment["size"])
    present = {row["seq"] for row in rows}
    if len(present) < segment["size"]:
        found.append(Finding(Fault.MISSING, log, day, next((seq for seq in expected if seq not in present), None)))
    for row in rows:
        if row["seq"] not in expected:
            found.append(Finding(Fault.EXTRA, log, day, row["seq"]))
        found += _entry_findings(row)
    if merkle.pack(merkle.frontier_of([row["leaf_hash"] for row in rows])) != segment["frontier"]:
        found.append(Finding(Fault.HEAD, log, day))
    return found


def _entry_findings(row: RowMapping) -> Iterator[Finding]:
    """The bytes are those hashed, well formed, and speak of the place where they stand."""
    log, seq = row["log"], row["seq"]
    if merkle.leaf_hash(row["body"]) != row["leaf_hash"]:
        yield Finding(Fault.FLIPPED, log, row["day"], seq)
        return
    try:
        said = json.loads(row["body"])
        if canonical_json(said) != row["body"]:
            yield Finding(Fault.FLIPPED, log, row["day"], seq)
        elif (said["log"], said["seq"]) != (log, seq):
            yield Finding(Fault.REORDERED, log, row["day"], seq)
    except (ValueError, KeyError, TypeError):
        yield Finding(Fault.FLIPPED, log, row["day"], seq)


def _pruned_holds(segment: RowMapping, public: Ed25519PublicKey) -> bool:
    text = signed_note.verified_text(segment["pruned"], public)
    return text is not None and text == ledger.pruned_text(segment["head"], text.split("\n")[2])


def _states_within(segment: RowMapping, rows: Sequence[RowMapping]) -> set[tuple[int, bytes]]:
    """Every (count, head hash) that the log went through during this segment: an anchor may be any of them."""
    previous = ledger.note_text(segment["head"]).split("\n")[4:5]
    try:
        chained = base64.b64decode(previous[0].removeprefix("previous "), validate=True) if previous else NO_HEAD
    except ValueError:
        return set()
    reached: set[tuple[int, bytes]] = set()
    frontier: list[bytes] = []
    log, day, first = segment["log"], segment["day"], segment["first_seq"]
    for size, row in enumerate(rows):
        frontier = merkle.append(frontier, size, row["leaf_hash"])
        text = ledger.head_text(log, day, size + 1, merkle.root(frontier), first, chained)
        reached.add((first + size, ledger.head_hash(text)))
    return reached


async def _state_findings(tx: Tx, log: str, public: Ed25519PublicKey, count: int, newest: bytes) -> list[Finding]:
    row = await tx.row(select(_L.c.state).where(_L.c.log == log))
    if row is None:
        return [Finding(Fault.MISSING, log)]
    if not row["state"]:
        return [Finding(Fault.HEAD, log)] if count else []
    text = signed_note.verified_text(row["state"], public)
    if text is None:
        return [Finding(Fault.HEAD, log)]
    if text != ledger.state_text(log, count, newest):
        return [Finding(Fault.MISSING, log)]
    return []


async def size(tx: Tx) -> dict[str, int]:
    """Entries that are stored now, by log (pruned ones are not)."""
    rows = await tx.rows(select(_E.c.log, func.count().label("entries")).group_by(_E.c.log))
    return {log: 0 for log in LOGS} | {row["log"]: row["entries"] for row in rows}
