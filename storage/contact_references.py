"""What stands beside consent: a contract that runs with somebody, that they are a customer, or that a number is a
professional's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, insert, or_, select, update

from storage import tables
from storage.errors import Invalid, NotFound
from storage.ids import CODE, new_id, require, require_in
from storage.numbers import E164, digest, digests
from storage.tx import Tx

KINDS = frozenset({"contract", "customer", "professional"})
NO_PURPOSE = ""
_T = tables.contact_references
_LONGEST = 100
IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class ContactReference:
    id: str
    number: str = field(repr=False)  # E.164
    kind: str  # of KINDS
    purpose: str  # of a contract or purchase: the sector that it is about; else NO_PURPOSE
    reference: str = field(repr=False)  # the contract's number, a company register's
    since: datetime
    until: datetime
    legal_basis: str
    kept_until: datetime


async def add(tx: Tx, **said: Any) -> ContactReference:
    """Fields: those of `ContactReference` but its id. Raises `Invalid`."""
    made = ContactReference(id=new_id(), **said)
    require("number", made.number, E164)
    require_in("kind", made.kind, KINDS)
    if made.kind in ("contract", "customer"):
        require("purpose", made.purpose, CODE)
    elif made.purpose != NO_PURPOSE:
        raise Invalid("purpose", "is a contract's or a customer's")
    if not 1 <= len(made.reference) <= _LONGEST:
        raise Invalid("reference", f"must have 1 to {_LONGEST} characters")
    if made.until <= made.since:
        raise Invalid("until", "lies before its beginning")
    await tx.write(
        insert(_T).values(
            id=made.id,
            digest=await digest(tx, made.number),
            number_sealed=tx.keys.seal_text("contact_references", "number", made.id, made.number),
            reference_sealed=tx.keys.seal_text("contact_references", "reference", made.id, made.reference),
            **{name: getattr(made, name) for name in _PLAIN},
        )
    )
    return made


async def end(tx: Tx, reference_id: str, now: datetime, kept_until: datetime) -> ContactReference:
    """It runs no more. Raises `NotFound`."""
    where = (_T.c.id == reference_id) & (_T.c.until > now)
    await tx.write(update(_T).where(where).values(until=now, kept_until=kept_until))
    return await get(tx, reference_id)


async def get(tx: Tx, reference_id: str) -> ContactReference:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == reference_id))
    if row is None:
        raise NotFound("contract", reference_id)
    return _reference(tx, row)


async def of_number(tx: Tx, number: str) -> tuple[ContactReference, ...]:
    """Ended ones too, the newest first."""
    return await _some(tx, _T.c.digest.in_(await digests(tx, number)))


async def list_all(
    tx: Tx, *, limit: int | None = None, before: tuple[datetime, str] | None = None
) -> tuple[ContactReference, ...]:
    """The newest first; those that come after `before` (its moment and id) in that order."""
    conditions = []
    if before is not None:
        at, one = before
        conditions = [or_(_T.c.since < at, and_(_T.c.since == at, _T.c.id > one))]
    return await _some(tx, *conditions, limit=limit)


async def used(tx: Tx, reference_id: str, kept_until: datetime) -> None:
    """A contact rested on it: its proof is kept until then at least."""
    later = (_T.c.id == reference_id) & (_T.c.kept_until < kept_until)
    await tx.write(update(_T).where(later).values(kept_until=kept_until))


async def used_many(tx: Tx, reference_ids: Sequence[str], kept_until: datetime) -> None:
    """`used` for many."""
    for start in range(0, len(reference_ids), IN_ONE):
        some = list(reference_ids[start : start + IN_ONE])
        later = _T.c.id.in_(some) & (_T.c.kept_until < kept_until)
        await tx.write(update(_T).where(later).values(kept_until=kept_until))


_PLAIN = ("kind", "purpose", "since", "until", "legal_basis", "kept_until")


async def _some(tx: Tx, *conditions: Any, limit: int | None = None) -> tuple[ContactReference, ...]:
    rows = await tx.rows(select(_T).where(*conditions).order_by(_T.c.since.desc(), _T.c.id).limit(limit))
    return tuple(_reference(tx, row) for row in rows)


def _reference(tx: Tx, row: RowMapping) -> ContactReference:
    return ContactReference(
        id=row["id"],
        number=tx.keys.open_text("contact_references", "number", row["id"], row["number_sealed"]),
        reference=tx.keys.open_text("contact_references", "reference", row["id"], row["reference_sealed"]),
        **{name: row[name] for name in _PLAIN},
    )
