"""Opening the database, and the two kinds of transaction.

SQLite (the default): WAL, synchronous=FULL, foreign keys, secure_delete, one writer at a time (a lock in the process,
BEGIN IMMEDIATE between processes). PostgreSQL: the writers run side by side; what must be in order locks its row.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, func, insert, make_url, select
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage import failures, holds, index_keys, schema, sqlite_driver, tables
from storage.errors import Conflict, Invalid, SealBroken, StorageError, Unavailable, WrongFieldKey
from storage.field_crypto import FieldKeys
from storage.forgetting import KEY_TABLES, forget
from storage.tx import Tx

BUSY_TIMEOUT_MS = 10_000
CHECKPOINT_TIMEOUT_MS = 2_000
SLACK = "slack_of_pages"  # pieces of rows in places that nothing points to any more
REWRITTEN_ROWS = 10_000  # takes some tenths of a second, in which nobody writes
STATEMENT_S = 15  # PostgreSQL: after that the server gives up
_CONNECTIONS = 5
_WAL_TRIES, _WAL_PAUSE_S = 60, 0.05
_KEY_CHECK = "field_key_check"


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid("storage.url", "is not a URL") from None  # it may hold a password: keep it out of the trace
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}.get(parsed.get_backend_name())
    if driver is None:
        raise Invalid("storage.url", "neither sqlite:// nor postgresql://")
    if driver == "sqlite+aiosqlite" and parsed.database in (None, "", ":memory:"):
        raise Invalid("storage.url", "needs the path of a file")
    return parsed.set(drivername=driver)


class Database:
    """A pool of connections to one migrated database. Made by `open`, ended by `close`."""

    def __init__(self, engine: AsyncEngine, keys: FieldKeys, ledger_key: Ed25519PrivateKey | None) -> None:
        self._engine = engine
        self._keys = keys
        self._ledger_key = ledger_key
        # Held for the whole of a write on SQLite, so that our own tasks queue fairly instead of polling the file.
        self._writer = asyncio.Lock()
        self._alone: set[int] = set()  # what somebody holds alone now

    @classmethod
    async def open(cls, url: str, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey | None = None) -> Self:
        """Connect, bring the schema up to date, check the field key.

        `url`: `sqlite:////absolute/path` (see `sqlite_url`) or `postgresql://user@host/name`.
        Raises `Invalid`, `SchemaTooNew`, `WrongFieldKey`, `Unavailable`.
        """
        parsed = _with_driver(url)
        database = cls(_engine(parsed), field_keys, ledger_key)
        try:
            if database.is_sqlite:
                with failures.reaching():
                    _create_private(Path(parsed.database or ""))
            else:
                await database._migrate_patiently(parsed)
            async with database.transaction() as tx:
                with failures.reaching():
                    await tx.conn.run_sync(schema.bring_up_to_date)
                await _check_field_key(tx)
                await _first_index_key(tx)
        except BaseException:
            await database.close()
            raise
        return database

    async def _migrate_patiently(self, url: URL) -> None:
        """PostgreSQL: our statements have seconds, one that brings a million records up to date may need minutes."""
        async with self.read() as tx:
            with failures.reaching():
                present = await tx.conn.run_sync(schema.version)
        if present in (None, schema.HEAD):
            return
        patient = _engine(url, patient=True)
        try:
            with failures.translated(), failures.reaching():
                async with patient.begin() as conn:
                    await conn.run_sync(schema.bring_up_to_date)
        finally:
            await patient.dispose()

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Read and write; committed when the block ends, rolled back when it raises."""
        if self.is_sqlite:
            async with self._writer, self._begin(write=True) as tx:
                yield tx
        else:
            async with self._begin(write=True) as tx:
                yield tx

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """One consistent view, beside any writer. Keep it short: on SQLite it holds back `checkpoint_truncate`."""
        async with self._begin(write=False) as tx:
            yield tx

    async def forget_rows(self, *names: str) -> tuple[str, ...]:
        """After rows of these tables were deleted. SQLite: leave no byte of them in the file or the log, as
        `checkpoint_truncate` does; a table of more than REWRITTEN_ROWS is not rewritten. PostgreSQL: vacuum.

        What may be left nevertheless, in the words of a receipt's `exceptions_kept`. Raises `Unavailable`.
        """
        if not self.is_sqlite:
            await self._vacuum(names)
            return (SLACK,)  # it gives the place of dead rows up, and does not overwrite them
        async with self.read() as tx:
            counts = [
                await tx.row(select(func.count().label("n")).select_from(tables.metadata.tables[n])) for n in names
            ]
        small = tuple(n for n, row in zip(names, counts, strict=True) if row is not None and row["n"] <= REWRITTEN_ROWS)
        await self._forget(small)
        return () if small == names else (SLACK,)

    async def _vacuum(self, names: Sequence[str]) -> None:
        with failures.reaching():
            async with self._engine.connect() as conn:
                await conn.execution_options(isolation_level="AUTOCOMMIT")
                await conn.exec_driver_sql("SET statement_timeout = '10min'")
                try:
                    for name in names:
                        await conn.exec_driver_sql(f"VACUUM {tables.metadata.tables[name].name}")
                finally:
                    await conn.exec_driver_sql("RESET statement_timeout")

    @asynccontextmanager
    async def alone(self, what: int) -> AsyncIterator[bool]:
        """Whether nobody else, here or on another node, holds the same `what` now; it is held until the block ends.
        (SQLite: the data directory has one owner, so nobody else is asked.)"""
        if self.is_sqlite:
            got = what not in self._alone
            self._alone.add(what)
            try:
                yield got
            finally:
                if got:
                    self._alone.discard(what)
            return
        with failures.reaching():
            async with self._engine.connect() as conn:
                await conn.execution_options(isolation_level="AUTOCOMMIT")
                got = (await conn.exec_driver_sql(f"SELECT pg_try_advisory_lock({int(what)})")).scalar_one()
                try:
                    yield bool(got)
                finally:
                    if got:
                        await conn.exec_driver_sql(f"SELECT pg_advisory_unlock({int(what)})")

    async def checkpoint_truncate(self) -> None:
        """SQLite: leave no byte of a deleted key in the file or the write-ahead log (see `storage.forgetting`).
        PostgreSQL: nothing to do from here (dead rows go with vacuum; the layer of week keys stands above that).

        Call it after a destruction has committed, once for many. Raises `Unavailable` if a reader or another process
        held it back for CHECKPOINT_TIMEOUT_MS: call it again.
        """
        if self.is_sqlite:
            await self._forget(KEY_TABLES)

    async def empty_log(self) -> None:
        """As `checkpoint_truncate`, where only keys of recordings were destroyed (`storage.key_slots`): no table has to
        be written anew for them. Raises `Unavailable`."""
        if self.is_sqlite:
            await self._forget(())

    async def _forget(self, rewrite: Sequence[str]) -> None:
        path = Path(self._engine.url.database or "")
        with failures.reaching():
            async with self._writer:
                done = await asyncio.to_thread(forget, path, CHECKPOINT_TIMEOUT_MS, rewrite)
        if not done:
            raise Unavailable("the write-ahead log could not be emptied: a reader holds it")

    async def close(self) -> None:
        """SQLite deletes its log when the last connection closes, and leaves its blocks as they are: it is wiped first.
        Where a reader or another process uses it, they see to that."""
        if self.is_sqlite and self._log_holds_something():
            with suppress(StorageError):
                await self._forget(())
        await self._engine.dispose()

    def _log_holds_something(self) -> bool:
        path = Path(self._engine.url.database or "")
        with suppress(FileNotFoundError):
            return path.with_name(f"{path.name}-wal").stat().st_size > 0
        return False

    @asynccontextmanager
    async def _begin(self, *, write: bool) -> AsyncIterator[Tx]:
        with failures.translated():
            async with AsyncExitStack() as stack:
                with failures.reaching():
                    conn = await stack.enter_async_context(self._engine.connect())
                    await self._choose_mode(conn, write=write)
                    transaction = await stack.enter_async_context(conn.begin())
                yield Tx(conn, self._keys, self._ledger_key, write)
                with failures.reaching():
                    await transaction.commit()

    async def _choose_mode(self, conn: AsyncConnection, *, write: bool) -> None:
        if self.is_sqlite:
            conn.sync_connection.info["beffroi_write"] = write  # type: ignore[union-attr]
        elif not write:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    # Without it every error holds the values of its statement: numbers, in a log.
    shared: dict[str, Any] = {"pool_size": _CONNECTIONS, "pool_timeout": 15, "hide_parameters": True}
    if url.get_backend_name() == "postgresql":
        # The server itself ends what a dead node left open, or its locks would stop the others.
        limits = {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "30s"}
        limits["statement_timeout"] = "0" if patient else f"{STATEMENT_S}s"
        command_s = None if patient else STATEMENT_S + 5
        args: dict[str, Any] = {"timeout": 10, "command_timeout": command_s, "server_settings": limits}
        return create_async_engine(url, pool_pre_ping=True, connect_args=args, **shared)
    engine = create_async_engine(url, connect_args={"async_creator_fn": sqlite_driver.connect}, **shared)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _choose_wal(cursor)
    for pragma in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _choose_wal(cursor: Any) -> None:
    """The busy timeout does not count here: of two that open an empty file at once SQLite refuses one at once."""
    for tries_left in reversed(range(_WAL_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if not tries_left:
                raise
            time.sleep(_WAL_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("beffroi_write") else "BEGIN")


def _create_private(path: Path) -> None:
    """The file with mode 0600 before SQLite sees it; its -wal and -shm take the same mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


async def _first_index_key(tx: Tx) -> None:
    """Numbers were indexed by the field key once, which cannot go; a hold that cannot follow leaves it at that."""
    if not await index_keys.list_all(tx):
        with suppress(Conflict):
            async with tx.conn.begin_nested():
                await index_keys.add(tx, datetime.now(UTC))
                await holds.follow_keys(tx)


async def _check_field_key(tx: Tx) -> None:
    row = await tx.row(select(tables.meta.c.value).where(tables.meta.c.name == _KEY_CHECK))
    if row is None:
        value = tx.keys.seal("meta", "value", _KEY_CHECK, b"beffroi")
        await tx.write(insert(tables.meta).values(name=_KEY_CHECK, value=value))
        return
    try:
        tx.keys.open("meta", "value", _KEY_CHECK, row["value"])
    except SealBroken as error:
        raise WrongFieldKey("the field key is not the one that this database was sealed with") from error
