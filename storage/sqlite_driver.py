"""SQLite behind a thread, with one way there and back for a statement.

aiosqlite asks its thread four times for each query: for a cursor, to execute, to fetch, to close. Each of them wakes
two threads and costs more than most of our statements. Here all four are done at once; and a rollback that has nothing
to undo, by which every connection comes back to the pool, asks nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

_CHUNK = 64  # aiosqlite's own, of cursors that are read piece by piece: there are none here


class Connection(aiosqlite.Connection):
    """What `create_async_engine` takes from `connect`."""

    _unfinished = False  # something was executed since the last commit or rollback

    def cursor(self) -> Cursor:  # type: ignore[override]  # nothing has to be waited for
        return Cursor(self)

    async def at_once(self, what: Callable[[sqlite3.Connection], Any]) -> Any:
        """In its thread."""
        self._unfinished = True
        return await self._execute(what, self._conn)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        await super().commit()
        self._unfinished = False

    async def rollback(self) -> None:
        if self._unfinished:
            await super().rollback()
            self._unfinished = False


class Cursor:
    """One statement: all of its rows are here when it has been executed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, values: Sequence[Any] = ()) -> Self:
        return await self._do(sqlite3.Cursor.execute, sql, values)

    async def executemany(self, sql: str, values: Sequence[Sequence[Any]]) -> Self:
        return await self._do(sqlite3.Cursor.executemany, sql, values)

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """It was, when its rows had been fetched."""

    async def _do(self, how: Callable[..., Any], sql: str, values: Any) -> Self:
        done = await self._connection.at_once(partial(_whole, how, sql, values))
        self.description, self._rows, self.rowcount, self.lastrowid = done
        return self


def connect(path: str, **options: Any) -> Connection:
    """As `aiosqlite.connect`; its thread does not keep the process alive."""
    made = Connection(lambda: sqlite3.connect(path, **options), _CHUNK)
    made._thread.daemon = True
    return made


def _whole(
    how: Callable[..., Any], sql: str, values: Any, connection: sqlite3.Connection
) -> tuple[Any, list[Any], int, int | None]:
    cursor = connection.cursor()
    try:
        how(cursor, sql, values)
        rows = cursor.fetchall() if cursor.description else []
        return cursor.description, rows, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()
