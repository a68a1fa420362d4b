"""SQLite: leave no byte of a deleted key in the database file, in its log, or in blocks that the log gave back.

`secure_delete` zeroes deleted cells and freed pages, but not what stayed behind inside a page when its cells were
moved to a neighbour (measured: about one destroyed wrap in two thousand left a part of itself). Hence the tables that
hold keys, names and credentials are emptied as a whole, which zeroes every page they had, and filled again, before the
log is emptied. The keys of recordings, of which there are many, stand elsewhere: see `storage.key_slots`.

The log holds whole pages as they were. A file system does not overwrite what a truncated file leaves, so the log is
overwritten with zeros before it is truncated: where blocks are written in place (ext4, xfs) an image of the disk holds
nothing of it either. Of what lies beneath, a flash drive's spare blocks say, no program can answer.
"""

import os
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
        *(tables.mail_logins, tables.mail_addresses, tables.mail_orders),
        *(tables.passwords, tables.sign_in_totp, tables.passkeys, tables.recovery_codes),
        *(tables.contact_keys, tables.month_keys, tables.index_keys),
    )
)
_HEADER_BYTES = 32
_ZEROS = bytes(1 << 20)


def forget(path: Path, patience_ms: int, rewrite: Sequence[str] = KEY_TABLES) -> bool:
    """Rewrite these tables, then wipe and empty the write-ahead log. False if a reader or writer held it back.

    The caller sees to it that nobody else writes meanwhile. Blocks: call it in a thread. Raises sqlite3.Error, OSError.
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
        if rewrite:
            connection.execute("BEGIN IMMEDIATE")
            for table in rewrite:
                _rewrite(connection, table)
            connection.execute("COMMIT")
        log = path.with_name(f"{path.name}-wal")
        before = _header(log)
        # From here on every reader reads the database file alone, and the next writer begins the log anew.
        (busy, _pages, _moved) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        if busy:
            return False
        connection.execute("BEGIN IMMEDIATE")  # no writer begins it now
        try:
            if _header(log) != before:  # one has, meanwhile: what is in there now is in no other place
                return False
            _wipe(log)
        finally:
            connection.execute("ROLLBACK")
        (busy, _pages, _moved) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def _header(log: Path) -> bytes:
    """Changes whenever a writer begins the log anew (sqlite.org/fileformat2.html, 4.1). Empty where there is none."""
    try:
        with log.open("rb") as file:
            return file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return b""


def _wipe(log: Path) -> None:
    """Zeros over all of it, which is in the database file already.

    The header first, by itself: after a power failure the log is then of no account as a whole. Frames without those
    behind them would be played back, and take pages to what they were.
    """
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        _overwrite(descriptor, 0, min(size, _HEADER_BYTES))
        _overwrite(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, at: int, end: int) -> None:
    while at < end:
        at += os.pwrite(descriptor, _ZEROS[: end - at], at)
    os.fdatasync(descriptor)


def _rewrite(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")  # noqa: S608  (a name of ours)
    connection.execute(f"DELETE FROM {table}")  # noqa: S608
    connection.execute(f"INSERT INTO {table} SELECT * FROM kept")  # noqa: S608
    connection.execute("DROP TABLE kept")
