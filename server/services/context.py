"""What every service is given: the database, the places, the settings, and the running parts where there are any."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config import settings as configuration
from config.paths import Paths
from config.settings import Change, Settings
from server.failure import Failure
from server.services.lock import DataLock
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys

if TYPE_CHECKING:
    from sip.edge.control import EdgeControl


class Live(Protocol):
    """What the running daemon adds to the services."""

    async def status(self) -> Mapping[str, object]:
        """Calls in progress, workers, recorder, edge: plain values, no number and no name."""

    async def apply(self, settings: Settings, changes: Iterable[Change]) -> None:
        """Use new settings (those keys that need no restart). Raises nothing for a checked file."""

    async def readers_changed(self) -> None:
        """Somebody was given or has lost the right to open: the week's keys have to be made anew."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The server's own secrets; none of them opens a recording."""

    fields: FieldKeys = dataclasses.field(repr=False)
    ledger: Ed25519PrivateKey = dataclasses.field(repr=False)  # ledger heads, receipts, KEKs
    proof: Ed25519PrivateKey = dataclasses.field(repr=False)  # proof tokens for the recorder


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Services:
    """Given to every service function. Only `settings` ever changes, by a reload."""

    db: Database
    paths: Paths
    settings: Settings
    keys: ServerKeys
    clock: Callable[[], datetime] = utc_now
    edge: EdgeControl | None = None  # None: the daemon is not running, or has no edge
    live: Live | None = None  # None: the daemon is not running


def database_url(paths: Paths, settings: Settings) -> str:
    """Of the database that the configuration names."""
    return settings.storage.url or sqlite_url(paths.database)


def load_keys(paths: Paths) -> ServerKeys:
    """Read the server's own secrets. Raises Failure where one is missing, damaged or readable by others."""
    return ServerKeys(
        fields=FieldKeys.from_json(_secret(paths.field_key)),
        ledger=_seed(paths.ledger_key),
        proof=_seed(paths.proof_key),
    )


@asynccontextmanager
async def open_services(data: Path, *, wait_s: float = 5.0) -> AsyncIterator[Services]:
    """For use without the daemon: takes the data directory's lock and opens the database.

    Raises Failure (not set up, held by another process, a secret missing), ConfigError, StorageError.
    """
    paths = Paths(data)
    if not paths.config.exists():
        raise Failure(f"{data} is not set up", "Type: beffroi quickstart, or name another directory with --data")
    paths.make()
    with DataLock(paths.lock, wait_s=wait_s):
        settings = configuration.load(paths.config)
        keys = load_keys(paths)
        database = await Database.open(database_url(paths, settings), keys.fields, keys.ledger)
        try:
            yield Services(database, paths, settings, keys)
        finally:
            await database.close()


def _seed(path: Path) -> Ed25519PrivateKey:
    raw = _secret(path)
    if len(raw) != 32:
        raise Failure(f"{path} is damaged: a key of this kind has 32 bytes", "Put it back from a backup", "damaged")
    return Ed25519PrivateKey.from_private_bytes(raw)


def _secret(path: Path) -> bytes:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Failure(f"{path} can be read by others", f"Type: chmod 600 {path}", "denied")
        return path.read_bytes()
    except FileNotFoundError:
        raise Failure(f"{path} is missing", "Put it back from a backup: nothing sealed with it opens without") from None
    except PermissionError:
        raise Failure(f"{path} cannot be read", "Run this as the user of the service, or as root", "denied") from None
