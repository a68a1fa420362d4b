"""From what storage and configuration raise to what a person is told. Used at the edge of every operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from config.settings import ConfigError
from retention.gate import DestructionIncomplete
from server.failure import Failure
from storage import errors

_REMEDIES: dict[type[errors.StorageError], tuple[str, str]] = {
    errors.NotFound: ("not_found", "The list command of that subject shows what there is"),
    errors.Duplicate: ("taken", "Choose another, or look at what has it with the list commands"),
    errors.Invalid: ("invalid", "Correct the value"),
    errors.Conflict: ("conflict", "Look at its present state with show or list"),
    errors.SchemaTooNew: ("conflict", "Install the newer version"),
    errors.WrongFieldKey: ("damaged", "Put keys/field.key and the database back from one backup"),
    errors.SealBroken: ("damaged", "Type: beffroi doctor; put the database back from a backup"),
    errors.LedgerRefused: ("damaged", "Type: beffroi ledger verify"),
    errors.Full: ("full", "Make room on the disk of the database"),
    errors.Unavailable: ("unavailable", "See that the database runs and is reachable, then try again"),
}


@contextmanager
def told() -> Iterator[None]:
    """Raise Failure in place of StorageError, ConfigError and what the deletion gate could not finish."""
    try:
        yield
    except errors.StorageError as error:
        raise from_storage(error) from error
    except ConfigError as error:
        raise from_config(error) from error
    except DestructionIncomplete as error:
        raise Failure(f"not all is gone: {error}", "Type it again; what is half done is finished first",
                      "unavailable") from error  # fmt: skip


def from_storage(error: errors.StorageError) -> Failure:
    """The message of storage, which holds no stored value, and what to do about it."""
    for kind in type(error).__mro__:
        if kind in _REMEDIES:
            code, remedy = _REMEDIES[kind]
            return Failure(f"database: {error}", remedy, code)
    return Failure(f"database: {error}", "Type: beffroi doctor", "failed")


def from_config(error: ConfigError) -> Failure:
    """All problems at once; the first line says where."""
    lines = [str(problem) for problem in error.problems]
    return Failure("\n  ".join([f"{error.source}: {len(lines)} problem(s)", *lines]),
                   "Put these right; beffroi sample-config shows every key", "configuration")  # fmt: skip
