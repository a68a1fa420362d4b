"""Reading the whole ledger back with the public key alone, and saying everything that is wrong with it."""

import asyncio
import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import RowMapping, Select, func, select

from storage import ledger, merkle, signed_note, tables
from storage.ledger import LOGS, NO_HEAD, Head
from storage.tx import Tx

ENTRIES_AT_ONCE = 5000
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
        reading = _Segment(segment, trace=bool(anchors))
        after = -1
        # A busy day holds many and takes a while to hash: some at a time, beside the event loop, which has calls.
        while rows := await tx.tuples(_entries_of(segment).where(_E.c.seq > after).limit(ENTRIES_AT_ONCE)):
            await asyncio.to_thread(reading.take, rows)
            after = rows[-1][0]
        found += reading.close(public)
        reached |= reading.reached
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


def _entries_of(segment: RowMapping) -> Select[tuple[int, bytes, bytes]]:
    here = (_E.c.log == segment["log"]) & (_E.c.day == segment["day"])
    return select(_E.c.seq, _E.c.body, _E.c.leaf_hash).where(here).order_by(_E.c.seq)


class _Segment:
    """One day's entries, taken in their order, a piece at a time."""

    def __init__(self, segment: RowMapping, *, trace: bool) -> None:
        """`trace`: also keep every (count, head hash) that the log went through, for an anchor may be any of them."""
        self._segment, self._trace = segment, trace
        self._log, self._day = segment["log"], segment["day"]
        self._place = f'"log":"{self._log}"'.encode()
        self._pruned = segment["pruned"] is not None
        self._expected = range(segment["first_seq"], segment["first_seq"] + segment["size"])
        self._next = segment["first_seq"]
        self._frontier: list[bytes] = []
        self._size = 0
        self._missing: int | None = None
        self._found: list[Finding] = []
        self.reached: set[tuple[int, bytes]] = set()

    def take(self, rows: Sequence[Sequence[Any]]) -> None:
        """(number, body, leaf hash), in the order of their numbers."""
        if self._pruned:
            self._found += [Finding(Fault.EXTRA, self._log, self._day, seq) for seq, _, _ in rows]
            return
        hashes = merkle.leaf_hashes([stored for _, stored, _ in rows])
        for (seq, stored, leaf), computed in zip(rows, hashes, strict=True):
            if seq not in self._expected:
                self._found.append(Finding(Fault.EXTRA, self._log, self._day, seq))
            elif seq != self._next and self._missing is None:
                self._missing = self._next
            self._next = seq + 1
            if computed != leaf:
                self._found.append(Finding(Fault.FLIPPED, self._log, self._day, seq))
            elif not _speaks_of(stored, self._place, seq):
                self._found.append(Finding(Fault.REORDERED, self._log, self._day, seq))
        leaves = [leaf for _, _, leaf in rows]
        if self._trace:
            self._walk(leaves)
        else:
            self._frontier = merkle.extend(self._frontier, self._size, leaves)
            self._size += len(leaves)

    def close(self, public: Ed25519PublicKey) -> list[Finding]:
        """After the last piece: all that is wrong with this day."""
        if self._pruned:
            if not _pruned_holds(self._segment, public):
                self._found.insert(0, Finding(Fault.HEAD, self._log, self._day))
            return self._found
        if self._missing is None and self._next < self._expected.stop:
            self._missing = self._next
        if self._missing is not None:
            self._found.insert(0, Finding(Fault.MISSING, self._log, self._day, self._missing))
        if merkle.pack(self._frontier) != self._segment["frontier"]:
            self._found.append(Finding(Fault.HEAD, self._log, self._day))
        return self._found

    def _walk(self, leaves: Sequence[bytes]) -> None:
        head = ledger.note_text(self._segment["head"]).split("\n")[4:5]
        try:
            chained = base64.b64decode(head[0].removeprefix("previous "), validate=True) if head else NO_HEAD
        except ValueError:
            chained = None
        first = self._segment["first_seq"]
        for leaf in leaves:
            self._frontier = merkle.append(self._frontier, self._size, leaf)
            self._size += 1
            if chained is not None:
                root = merkle.root(self._frontier)
                text = ledger.head_text(self._log, self._day, self._size, root, first, chained)
                self.reached.add((first + self._size - 1, ledger.head_hash(text)))


def _speaks_of(stored: bytes, place: bytes, seq: int) -> bool:
    """Whether an entry says that it stands there. No value holds a quotation mark, so none looks like it."""
    return place in stored and (b'"seq":%d,' % seq in stored or b'"seq":%d}' % seq in stored)


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


def _pruned_holds(segment: RowMapping, public: Ed25519PublicKey) -> bool:
    text = signed_note.verified_text(segment["pruned"], public)
    return text is not None and text == ledger.pruned_text(segment["head"], text.split("\n")[2])


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
