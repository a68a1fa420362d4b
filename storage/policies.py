"""Versions of the company's policy, who approved them, what was done beforehand, and counts of samples.

A version's body is canonical JSON (`retention.policy`); storage does not read it. It can be changed until somebody has
approved it, and never after. Entries of the register of preconditions are added and withdrawn, never changed.
"""

import json
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import func, insert, select, update

from storage import tables
from storage.errors import Conflict, Duplicate, NotFound
from storage.ids import new_id
from storage.tx import Tx
from storage.types import canonical_json

_T = tables.policies
_A = tables.policy_approvals
_P = tables.policy_preconditions


@dataclass(frozen=True, slots=True)
class StoredApproval:
    """`ledger_seq`: entry of the access log that says so. `signature`: over `statement`, by the ledger's key."""

    person_id: str
    at: datetime
    sha256: str
    needed: int
    signature: bytes = field(repr=False)
    ledger_seq: int


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """`body`: the bytes that were hashed."""

    id: str
    number: int
    body: bytes
    created_at: datetime
    discarded_at: datetime | None
    approvals: tuple[StoredApproval, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredPrecondition:
    """`evidence`, `done_by`: free text, sealed: it may name somebody. `entered_by`: what the ledger calls them."""

    id: str
    kind: str
    pack: str
    line_id: str | None
    evidence: str = field(repr=False)
    done_by: str = field(repr=False)
    done_on: date
    entered_at: datetime
    entered_by: str
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None


def statement(policy_id: str, number: int, person_id: str, at: datetime, sha256: str, needed: int) -> bytes:
    """What an approval signs."""
    said = {"format": "beffroi/policy-approval/1", "policy": policy_id, "number": number, "person": person_id}
    return canonical_json({**said, "at": at.isoformat(), "sha256": sha256, "needed": needed})


async def next_number(tx: Tx) -> int:
    """One more than the highest that there is."""
    row = await tx.row(select(func.max(_T.c.number).label("n")))
    return (row["n"] or 0) + 1 if row is not None else 1


async def add(tx: Tx, number: int, body: bytes, now: datetime) -> StoredPolicy:
    """A draft. Raises `Duplicate("number")`: somebody else has just made one."""
    policy_id = new_id()
    if await tx.row(select(_T.c.id).where(_T.c.number == number)) is not None:
        raise Duplicate("number")
    await tx.write(insert(_T).values(id=policy_id, number=number, body=body, created_at=now))
    return await get(tx, number)


async def set_body(tx: Tx, number: int, body: bytes) -> StoredPolicy:
    """Of a draft. Raises `NotFound`, `Conflict` once somebody has approved it or it is discarded."""
    await _open_draft(tx, number)
    await tx.write(update(_T).where(_T.c.number == number).values(body=body))
    return await get(tx, number)


async def discard(tx: Tx, number: int, now: datetime) -> StoredPolicy:
    """A draft that comes to nothing; its number is not used again. Raises `NotFound`, `Conflict`."""
    await _open_draft(tx, number)
    await tx.write(update(_T).where(_T.c.number == number).values(discarded_at=now))
    return await get(tx, number)


async def approve(tx: Tx, number: int, approval: StoredApproval) -> StoredPolicy:
    """Raises `NotFound`, `Conflict` for one that is discarded, `Duplicate("person")`."""
    found = await _locked(tx, number)
    if found.discarded_at is not None:
        raise Conflict(f"version {number} is discarded")
    if any(one.person_id == approval.person_id for one in found.approvals):
        raise Duplicate("person")
    await tx.write(
        insert(_A).values(
            policy_id=found.id,
            person_id=approval.person_id,
            at=approval.at,
            sha256=approval.sha256,
            needed=approval.needed,
            signature=approval.signature,
            ledger_seq=approval.ledger_seq,
        )
    )
    return await get(tx, number)


async def get(tx: Tx, number: int) -> StoredPolicy:
    """Raises `NotFound`."""
    found = [one for one in await list_all(tx) if one.number == number]
    if not found:
        raise NotFound("policy", str(number))
    return found[0]


async def list_all(tx: Tx) -> tuple[StoredPolicy, ...]:
    """By number."""
    approvals: dict[str, list[StoredApproval]] = {}
    for row in await tx.rows(select(_A).order_by(_A.c.at, _A.c.person_id)):
        values = {key: row[key] for key in StoredApproval.__slots__}
        approvals.setdefault(row["policy_id"], []).append(StoredApproval(**values))
    rows = await tx.rows(select(_T).order_by(_T.c.number))
    return tuple(StoredPolicy(**row, approvals=tuple(approvals.get(row["id"], ()))) for row in rows)


async def _locked(tx: Tx, number: int) -> StoredPolicy:
    """Nobody else changes or approves it until this transaction ends."""
    if await tx.row(select(_T.c.id).where(_T.c.number == number).with_for_update()) is None:
        raise NotFound("policy", str(number))
    return await get(tx, number)


async def _open_draft(tx: Tx, number: int) -> None:
    found = await _locked(tx, number)
    if found.approvals:
        raise Conflict(f"version {number} has been approved: it is superseded, never changed")
    if found.discarded_at is not None:
        raise Conflict(f"version {number} is discarded")


# --- the register of preconditions --------------------------------------------------------------------------------


async def enter(tx: Tx, entry: StoredPrecondition) -> StoredPrecondition:
    """Raises `Conflict` for an unknown line."""
    about = canonical_json({"evidence": entry.evidence, "done_by": entry.done_by})
    await tx.write(
        insert(_P).values(
            id=entry.id,
            kind=entry.kind,
            pack=entry.pack,
            line_id=entry.line_id,
            about_sealed=tx.keys.seal("policy_preconditions", "about", entry.id, about),
            done_on=entry.done_on.isoformat(),
            entered_at=entry.entered_at,
            entered_by=entry.entered_by,
        )
    )
    return entry


async def withdraw(tx: Tx, entry_id: str, by: str, now: datetime) -> StoredPrecondition:
    """It counts no more from `now` on. Raises `NotFound`, `Conflict` where it was withdrawn already."""
    found = [one for one in await preconditions(tx) if one.id == entry_id]
    if not found:
        raise NotFound("precondition", entry_id)
    mine = update(_P).where(_P.c.id == entry_id, _P.c.withdrawn_at.is_(None))
    if not await tx.write(mine.values(withdrawn_at=now, withdrawn_by=by)):
        raise Conflict("that entry was withdrawn already")
    return next(one for one in await preconditions(tx) if one.id == entry_id)


async def preconditions(tx: Tx) -> tuple[StoredPrecondition, ...]:
    """All that were ever entered, oldest first."""
    rows = await tx.rows(select(_P).order_by(_P.c.entered_at, _P.c.id))
    return tuple(_precondition(tx, dict(row)) for row in rows)


def _precondition(tx: Tx, row: dict[str, object]) -> StoredPrecondition:
    sealed = row.pop("about_sealed")
    assert isinstance(sealed, bytes)
    about = json.loads(tx.keys.open("policy_preconditions", "about", str(row["id"]), sealed))
    row["done_on"] = date.fromisoformat(str(row["done_on"]))
    return StoredPrecondition(**row, **about)  # type: ignore[arg-type]
