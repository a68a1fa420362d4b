"""SQLite: leave no byte of a deleted key in the database file or its log.

`secure_delete` zeroes deleted cells and freed pages, but not what stayed behind inside a page when its cells were
moved to a neighbour (measured: about one destroyed wrap in two thousand left a part of itself). Hence the tables that
hold keys, names and credentials are emptied as a whole, which zeroes every page they had, and filled again, before the
log is emptied. The keys of recordings, of which there are many, stand elsewhere: see `storage.key_slots`.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from storage import tables

# Small ones: a kilobyte or so for each reader of each week, for each account and phone.
# What the field key still opens has to go as surely as a key.
KEY_TABLES = tuple(
    table.name
    for table in (
        *(tables.kek_wraps, tables.reader_keys),
        *(tables.accounts, tables.devices, tables.call_settings, tables.owned_numbers, tables.trunks),
        tables.contact_keys,
    )
)


def forget(path: Path, patience_ms: int, rewrite: Sequence[str] = KEY_TABLES) -> bool:
    """Rewrite these tables, then empty the write-ahead log. False if a reader or writer held it back.

    Blocks: call it in a thread. Raises sqlite3.Error.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in (
            f"busy_timeout={patience_ms}",
            "synchronous=FULL",
            "secure_delete=ON",
            "temp_store=MEMORY",
            # The rows come back as they were; with it on, DELETE would go row by row and leave pages as they are.
            "foreign_keys=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")
        for table in rewrite:
            _rewrite(connection, table)
        connection.execute("COMMIT")
        (busy, _pages, _moved) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def _rewrite(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")  # noqa: S608  (a name of ours)
    connection.execute(f"DELETE FROM {table}")  # noqa: S608
    connection.execute(f"INSERT INTO {table} SELECT * FROM kept")  # noqa: S608
    connection.execute("DROP TABLE kept")
