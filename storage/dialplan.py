"""One number plan for account names, extensions and line numbers: each string leads to one place."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from storage import tables
from storage.tx import Tx

_T = tables.dialled


@dataclass(frozen=True, slots=True)
class Owner:
    """Exactly one of the two is set."""

    account_id: str | None
    line_id: str | None


async def owner(tx: Tx, dialled: str) -> Owner | None:
    row = await tx.row(select(_T).where(_T.c.dialled == dialled))
    return None if row is None else Owner(row["account_id"], row["line_id"])


async def claim(tx: Tx, dialled: str, *, account_id: str | None = None, line_id: str | None = None) -> None:
    """Raises `Duplicate("dialled")` when an account or a line has it already."""
    await tx.write(insert(_T).values(dialled=dialled, account_id=account_id, line_id=line_id))


async def release(tx: Tx, dialled: str) -> None:
    await tx.write(delete(_T).where(_T.c.dialled == dialled))
