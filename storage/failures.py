"""From what the two drivers raise to our own tree of errors."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import Conflict, Duplicate, Full, StorageError, Unavailable
from storage.tables import metadata

# SQLite: "UNIQUE constraint failed: accounts.name"; with several columns the last one tells most.
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (?:\w+\.\w+, )*\w+\.(?P<field>\w+)$")
_DISK_FULL = "53100"  # PostgreSQL: disk_full


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Duplicate`, `Conflict`, `Full` or `Unavailable` in place of what SQLAlchemy raised.

    Leaves everything else alone: around a transaction's block it may be the caller's own.
    """
    try:
        yield
    except IntegrityError as error:
        raise _integrity(error) from error
    except DBAPIError as error:
        full = "disk is full" in str(error.orig) or getattr(error.orig, "sqlstate", "") == _DISK_FULL
        raise (Full if full else Unavailable)(type(error.orig).__name__) from error
    except StatementError as error:
        if isinstance(error.orig, StorageError):  # refused by one of our column types
            raise error.orig from None
        raise
    except PoolTimeout as error:
        raise Unavailable("every connection is in use") from error


@contextmanager
def reaching() -> Iterator[None]:
    """`translated`, and a network or time-out error of the driver is `Unavailable`: around our own calls only."""
    with translated():
        try:
            yield
        except OSError as error:  # TimeoutError is one
            raise Unavailable(type(error).__name__) from error
        except sqlite3.Error as error:  # ours, beside SQLAlchemy
            raise (Full if "disk is full" in str(error) else Unavailable)(type(error).__name__) from error


def _integrity(error: IntegrityError) -> StorageError:
    cause = error.orig.__cause__ if error.orig is not None else None
    constraint = getattr(cause, "constraint_name", None)
    if constraint is not None:
        return _by_constraint(constraint)
    found = _SQLITE_UNIQUE.search(str(error.orig))
    if found:
        return Duplicate(found["field"])
    return Conflict("another row refers to it, or what it refers to is not there")


def _by_constraint(constraint: str) -> StorageError:
    kind, _, rest = constraint.partition("_")
    if kind == "pk":
        table = metadata.tables.get(rest)
        return Duplicate(list(table.primary_key.columns)[-1].name if table is not None else "id")
    if kind == "uq":
        table_name = max((t for t in metadata.tables if rest.startswith(f"{t}_")), key=len, default="")
        unique = {f"{table_name}_{c.name}": c.name for c in metadata.tables[table_name].columns} if table_name else {}
        return Duplicate(unique.get(rest, rest.rpartition("_")[2]))
    return Conflict("another row refers to it, or what it refers to is not there")
