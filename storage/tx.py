"""The handle that every function of this room takes first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Executable, RowMapping
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import failures
from storage.errors import ReadOnly
from storage.field_crypto import FieldKeys


@dataclass(frozen=True, slots=True)
class Tx:
    """One open transaction. Belongs to one task; ends with the `async with` that gave it."""

    conn: AsyncConnection
    keys: FieldKeys
    # Signs ledger heads; None in a database that was opened without it (then appending is refused).
    ledger_key: Ed25519PrivateKey | None
    writable: bool
    # What was read in this transaction and holds until its end: keys of the index (`storage.index_keys`).
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    async def row(self, statement: Executable) -> RowMapping | None:
        with failures.reaching():
            return (await self.conn.execute(statement)).mappings().one_or_none()

    async def rows(self, statement: Executable) -> Sequence[RowMapping]:
        with failures.reaching():
            return (await self.conn.execute(statement)).mappings().all()

    async def tuples(self, statement: Executable) -> Sequence[Sequence[Any]]:
        """As `rows`, by position: for many of them."""
        with failures.reaching():
            return (await self.conn.execute(statement)).all()

    async def write(self, statement: Executable) -> int:
        """Number of rows touched. Raises `ReadOnly` outside of `Database.transaction()`."""
        if not self.writable:
            raise ReadOnly("a write inside a read transaction")
        with failures.reaching():
            result = await self.conn.execute(statement)
        return result.rowcount if isinstance(result, CursorResult) else 0

    async def write_each(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        """The same statement for each of these; nothing for none. Raises `ReadOnly`."""
        if not self.writable:
            raise ReadOnly("a write inside a read transaction")
        if values:
            with failures.reaching():
                await self.conn.execute(statement, values)
