"""What every service is given: the database, the places, the settings, and the running parts where there are any."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config import settings as configuration
from config.paths import Paths
from config.settings import Change, Settings
from server.access_figures import AccessFigures
from server.failure import Failure
from server.reader_rooms import ReaderRooms
from server.services import secret_sources
from server.services.campaign_uploads import HeldLists
from server.services.doorkeeper import Doorkeeper
from server.services.lock import DataLock
from server.services.subject_cases import SubjectCases
from server.services.work import Work
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys

if TYPE_CHECKING:
    from recording.prompts import PromptStore
    from server.alerting.desk import AlertDesk
    from server.duty_desk import DutyDesk
    from server.going_out import GoingOut
    from server.happenings.hub import Hub
    from server.messaging import Messaging
    from server.reconciler import Reconciler
    from server.reindexer import Reindexer
    from server.sweeper import Sweeper
    from sip.calls.control import CallControl
    from sip.calls.observatory import Observatory
    from sip.edge.control import EdgeControl
    from sms.campaign_runner import CampaignRunner

_SEED_BYTES = 32


class Live(Protocol):
    """What the running daemon adds to the services."""

    async def status(self) -> Mapping[str, object]:
        """Calls in progress, workers, recorder, edge: plain values, no number and no name."""

    async def apply(self, settings: Settings, changes: Iterable[Change]) -> None:
        """Use new settings (those keys that need no restart). Raises nothing for a checked file."""

    async def lines_changed(self) -> None:
        """A line was added or changed: it may need prompts that have not been made yet."""

    async def prompts_changed(self) -> None:
        """Other words were put in force: the next call has to hear them."""

    async def readers_changed(self) -> None:
        """Somebody was given or has lost the right to open: the week's keys have to be made anew."""

    async def trunks_changed(self) -> None:
        """A trunk or an own number was added, changed or taken away: the edge has to know."""

    async def settings_changed(self) -> None:
        """Forwards, do not disturb, the presented number or limits were changed: running calls may be concerned."""

    async def end_device(self, auth_user: str) -> None:
        """End the running calls of one device; its account's others go on."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The server's own secrets; none of them opens a recording."""

    fields: FieldKeys = dataclasses.field(repr=False)
    ledger: Ed25519PrivateKey = dataclasses.field(repr=False)  # ledger heads, receipts, KEKs
    proof: Ed25519PrivateKey = dataclasses.field(repr=False)  # proof tokens for the recorder


@dataclass(frozen=True, slots=True)
class Offer:
    """A phone may fetch its configuration (server.services.provisioning)."""

    device_id: str
    expires_at: datetime
    sealed: bytes = dataclasses.field(repr=False)


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
    erasing: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)  # one ordered erasure after the other
    calls: CallControl | None = None  # None: the daemon is not running
    duty: DutyDesk | None = None  # None: the daemon is not running
    observatory: Observatory | None = None  # how running calls are doing; None: the daemon is not running
    sweeper: Sweeper | None = None  # None: the daemon is not running
    reconciler: Reconciler | None = None  # None: the daemon is not running
    alerts: AlertDesk | None = None  # None: the daemon is not running; what is written is told when it does
    rooms_of: dict[str, set[asyncio.Timeout]] = dataclasses.field(default_factory=dict)  # person -> ends a room each
    reindexer: Reindexer | None = None  # None: the daemon is not running
    prompts: PromptStore | None = None  # what calls hear; None: the daemon is not running
    texts: Messaging | None = None  # None: the daemon is not running
    campaigns: CampaignRunner | None = None  # None: the daemon is not running
    doorkeeper: Doorkeeper = dataclasses.field(default_factory=Doorkeeper)  # holds up who guesses passwords and codes
    happenings: Hub | None = None  # None: the daemon is not running
    work: Work = dataclasses.field(default_factory=Work)  # what takes longer than somebody waits at a page
    access_figures: AccessFigures = dataclasses.field(default_factory=AccessFigures)  # who looked how often
    going_out: GoingOut | None = None  # None: the daemon is not running
    subject_cases: SubjectCases = dataclasses.field(default_factory=SubjectCases)  # requests that somebody is at
    forecast: tuple[datetime, list[dict[str, Any]]] | None = None  # as the page counted it last, and when
    lists: HeldLists = dataclasses.field(default_factory=HeldLists)  # that were sent and are not taken yet
    offers: dict[bytes, Offer] = dataclasses.field(default_factory=dict)  # SHA-256 of a token -> what it fetches, once
    reader_rooms: ReaderRooms = dataclasses.field(default_factory=ReaderRooms)  # of sessions that have unlocked
    board_looks: dict[str, datetime] = dataclasses.field(default_factory=dict)  # session -> its last entry in the log
    board_turn: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)  # one after the other looks there
    open_rooms: Counter[str] = dataclasses.field(default_factory=Counter)  # ids of recordings that are listened to now


def database_url(paths: Paths, settings: Settings) -> str:
    """Of the database that the configuration names, with its password where there is one. Raises Failure."""
    url = settings.storage.url
    if not url:
        return sqlite_url(paths.database)
    if not secret_sources.is_there(settings, paths, "database.password"):
        return url
    with secret_sources.source(settings, paths) as get:
        password = get("database.password").decode().rstrip("\n")
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user}:{quote(password, safe='')}@{place}" if at else url


def load_keys(paths: Paths, settings: Settings) -> ServerKeys:
    """Read the server's own secrets, wherever they come from. Raises Failure, Invalid for a damaged field key."""
    with secret_sources.source(settings, paths) as get:
        return ServerKeys(
            fields=FieldKeys.from_json(get(paths.field_key.name)),
            ledger=_private(paths.ledger_key.name, get(paths.ledger_key.name)),
            proof=_private(paths.proof_key.name, get(paths.proof_key.name)),
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
        keys = load_keys(paths, settings)
        database = await Database.open(database_url(paths, settings), keys.fields, keys.ledger)
        try:
            yield Services(database, paths, settings, keys)
        finally:
            await database.close()


def _private(name: str, seed: bytes) -> Ed25519PrivateKey:
    if len(seed) != _SEED_BYTES:
        raise Failure(f"{name} is damaged: a key of this kind has 32 bytes", "Put it back from a backup", "damaged")
    return Ed25519PrivateKey.from_private_bytes(seed)
