"""One way to SQLite's thread for a statement; what was given up on is undone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage import sqlite_driver
from storage.sqlite_driver import Connection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    made = await sqlite_driver.connect(str(tmp_path / "x.sqlite3"), isolation_level=None)
    try:
        assert isinstance(made, Connection)
        await made.cursor().execute("CREATE TABLE t (a PRIMARY KEY, b)")
        yield made
    finally:
        await made.close()


async def rows(connection: Connection, sql: str, *values: Any) -> list[Any]:
    cursor = await connection.cursor().execute(sql, values)
    return await cursor.fetchall()


async def test_rows_their_names_and_how_many_were_touched(connection: Connection) -> None:
    cursor = await connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y")])
    assert (cursor.rowcount, cursor.description, await cursor.fetchall()) == (2, None, [])
    cursor = await connection.cursor().execute("SELECT a, b FROM t ORDER BY a")
    assert [column[0] for column in cursor.description] == ["a", "b"]
    assert (await cursor.fetchall(), await cursor.fetchall()) == ([(1, "x"), (2, "y")], [])
    assert await rows(connection, "UPDATE t SET b = 'z' WHERE a = ? RETURNING b", 2) == [("z",)]


async def test_a_statement_goes_to_the_thread_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = 0
    put = connection._tx.put_nowait

    def counted(what: Any) -> None:
        nonlocal ways
        ways += 1
        put(what)

    monkeypatch.setattr(connection, "_tx", type("Counted", (), {"put_nowait": staticmethod(counted)})())
    await rows(connection, "SELECT 1")
    assert ways == 1
    monkeypatch.undo()


async def test_what_failed_is_undone_and_nothing_is_undone_for_nothing(connection: Connection) -> None:
    await rows(connection, "BEGIN")
    await rows(connection, "INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(sqlite3.IntegrityError):
        await rows(connection, "INSERT INTO t VALUES (1, 'y')")
    await connection.rollback()
    assert await rows(connection, "SELECT a FROM t") == []
    await rows(connection, "BEGIN")
    await rows(connection, "INSERT INTO t VALUES (2, 'x')")
    await connection.commit()
    await connection.rollback()
    assert await rows(connection, "SELECT a FROM t") == [(2,)]


async def test_a_statement_that_was_given_up_is_undone_once_it_is_through(connection: Connection) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i, 0 FROM n"
    await rows(connection, "BEGIN")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await rows(connection, " ".join(("INSERT INTO t", numbers)))
    await connection.rollback()
    assert await rows(connection, "SELECT count(*) FROM t") == [(0,)]
