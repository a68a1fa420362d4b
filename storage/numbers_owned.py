"""Own numbers (DIDs): where a call from outside leads, and what may be shown to whom is called."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import Duplicate, Invalid, NotFound
from storage.ids import new_id, require
from storage.numbers import E164, digest, digests
from storage.tx import Tx

_T = tables.owned_numbers


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    """At most one of `account_id` and `line_id` is set; neither: it leads nowhere, and can only be presented."""

    id: str
    number: str = field(repr=False)  # E.164
    account_id: str | None
    line_id: str | None
    trunk_id: str | None  # the provider that it belongs to; None: any
    shared: bool  # every account may present it


async def add(
    tx: Tx,
    number: str,
    *,
    account_id: str | None = None,
    line_id: str | None = None,
    trunk_id: str | None = None,
    shared: bool = False,
) -> OwnedNumber:
    """Raises `Duplicate("number")`, `Invalid`, `Conflict` where account, line or trunk is not there."""
    require("number", number, E164)
    if account_id is not None and line_id is not None:
        raise Invalid("number", "leads to an account or to a line, not to both")
    if await by_number(tx, number) is not None:
        raise Duplicate("number")
    number_id = new_id()
    await tx.write(
        insert(_T).values(
            id=number_id,
            number_sealed=tx.keys.seal_text("owned_numbers", "number", number_id, number),
            digest=await digest(tx, number),
            account_id=account_id,
            line_id=line_id,
            trunk_id=trunk_id,
            shared=shared,
        )
    )
    return OwnedNumber(number_id, number, account_id, line_id, trunk_id, shared)


async def get(tx: Tx, number_id: str) -> OwnedNumber:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == number_id))
    if row is None:
        raise NotFound("number", number_id)
    return _number(tx, row)


async def by_number(tx: Tx, e164: str) -> OwnedNumber | None:
    row = await tx.row(select(_T).where(_T.c.digest.in_(await digests(tx, e164))))
    return None if row is None else _number(tx, row)


async def of_account(tx: Tx, account_id: str) -> tuple[OwnedNumber, ...]:
    """Those that lead to it, by number."""
    return _sorted(tx, await tx.rows(select(_T).where(_T.c.account_id == account_id)))


async def list_all(tx: Tx) -> tuple[OwnedNumber, ...]:
    """By number."""
    return _sorted(tx, await tx.rows(select(_T)))


async def remove(tx: Tx, number_id: str) -> None:
    """Raises `NotFound`."""
    if not await tx.write(delete(_T).where(_T.c.id == number_id)):
        raise NotFound("number", number_id)


async def lead_to(tx: Tx, number_id: str, account_id: str) -> None:
    """It leads to that account from now on. Raises `NotFound`, `Conflict` for no such account."""
    changed = update(_T).where(_T.c.id == number_id).values(account_id=account_id, line_id=None)
    if not await tx.write(changed):
        raise NotFound("number", number_id)


async def release(tx: Tx, account_id: str) -> None:
    """The account goes; its numbers stay the company's, and lead nowhere."""
    await tx.write(update(_T).where(_T.c.account_id == account_id).values(account_id=None))


def _sorted(tx: Tx, rows: Sequence[RowMapping]) -> tuple[OwnedNumber, ...]:
    found = [_number(tx, row) for row in rows]
    return tuple(sorted(found, key=lambda one: one.number))


def _number(tx: Tx, row: RowMapping) -> OwnedNumber:
    return OwnedNumber(
        id=row["id"],
        number=tx.keys.open_text("owned_numbers", "number", row["id"], row["number_sealed"]),
        account_id=row["account_id"],
        line_id=row["line_id"],
        trunk_id=row["trunk_id"],
        shared=row["shared"],
    )
