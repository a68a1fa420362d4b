"""A database of an older schema with something in every table: after the migrations all of it is there, and right."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, MetaData, Table, insert, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine

import storage
from storage import keys, reconciliation, schema
from storage.database import Database
from storage.field_crypto import FieldKeys

BEFORE = "0006"
ROWS = 3
LATER = datetime(2026, 11, 25, tzinfo=UTC)
MARK = 1_764_000_000_000_000  # a moment of 2025, in microseconds
# What a migration replaces by something else of the same meaning; else a row is to be found as it was.
MOVED = {"rec_keys": {"wrap"}}
EITHER = {("dialled", "line_id"), ("owned_numbers", "line_id")}  # this or the other
OURS = {"alembic_version", "meta", "ledger_logs"}  # filled by migrations themselves


def _value(column: Any, number: int) -> Any:
    if isinstance(column.type, LargeBinary):
        return bytes([number]) * 100
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, BigInteger):
        return MARK + number
    return number if isinstance(column.type, Integer) else f"{column.name}-{number}"


def _columns(table: Table, number: int) -> Iterator[tuple[str, Any]]:
    for column in table.columns:
        if (table.name, column.name) in EITHER:
            continue
        one = column
        while one.foreign_keys:  # the same text as where it leads to
            one = next(iter(one.foreign_keys)).column
        yield column.name, _value(one, number)


def _old_database(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    config = Config()
    config.set_main_option("script_location", str(Path(str(storage.__file__)).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, BEFORE)
    found = MetaData()
    found.reflect(connection)
    filled = {}
    for table in found.sorted_tables:
        if table.name not in OURS:
            many = ROWS if table.name != "escrow_key" else 1
            filled[table.name] = [dict(_columns(table, number)) for number in range(1, many + 1)]
            connection.execute(insert(table), filled[table.name])
    return filled


def _rows_of(connection: Connection, name: str) -> list[dict[str, Any]]:
    table = Table(name, MetaData(), autoload_with=connection)
    return [dict(row) for row in connection.execute(select(table)).mappings()]


async def _reached(url: str, act: Callable[[Connection], Any]) -> Any:
    """Past `Database.open`, which would migrate."""
    parsed = make_url(url)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[parsed.get_backend_name()]
    engine = create_async_engine(parsed.set(drivername=driver))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(act)
    finally:
        await engine.dispose()


async def test_something_in_every_table_of_an_older_schema_is_there_afterwards(url: str, field_keys: FieldKeys) -> None:
    filled = await _reached(url, _old_database)
    assert {"recordings", "call_records", "rec_keys", "holds", "ledger_entries", "destructions"} <= filled.keys()
    database = await Database.open(url, field_keys)
    try:
        async with database.read() as tx:
            wraps = {key.rec_id: key.wrap for key in await keys.list_rec_keys(tx, "id-1")}
            places = await reconciliation.run(tx, "place_without_key", LATER)
    finally:
        await database.close()
    assert wraps == {row["rec_id"]: row["wrap"] for row in filled["rec_keys"] if row["kek_id"] == "id-1"} != {}
    assert places == ([], 0)
    for name, rows in filled.items():
        after = await _reached(url, partial(_rows_of, name=name))
        assert len(after) == len(rows), name
        for row in rows:
            kept = {column: value for column, value in row.items() if column not in MOVED.get(name, ())}
            assert any(kept.items() <= found.items() for found in after), name
    records = await _reached(url, partial(_rows_of, name="call_records"))
    assert all(row["ages_at"] == row["at"] for row in records)  # the first sweep looks at each
    assert await _reached(url, schema.version) == schema.HEAD
