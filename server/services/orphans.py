"""Orphans and the data map: what is kept where, of whom and until when; and what belongs to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config.kept import Kept
from config.places import PLACES
from retention.gate import DestructionIncomplete, DestructionRefused
from server.failure import Failure
from server.orphan_kinds import KINDS
from server.reconciler import Reconciler
from server.services import erasure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import orphans, reconciliation
from storage.errors import StorageError
from storage.inventory import TABLES
from storage.orphans import Orphan
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class KeptView:
    """Fields: see `server.commands.retention.MAP_FIELDS`."""

    what: str
    kind: str
    where: str
    place: str
    subject: str
    purpose: str
    basis: str
    expiry: str
    erased_by: tuple[str, ...]
    unless: str
    columns: dict[str, str]
    rows: int | None


@dataclass(frozen=True, slots=True)
class OrphanView:
    """Fields: see `server.commands.retention.ORPHAN_FIELDS`."""

    id: str
    kind: str
    item: str
    what: str
    remedy: str
    removable: bool
    first_seen_at: datetime


async def map_(services: Services, actor: Actor) -> list[KeptView]:
    """The data map: every table and every kind of file, whether it is about somebody or not. No personal data."""
    async with services.db.read() as tx:
        counts = await reconciliation.counts(tx)
    data, database = str(services.paths.data), _database(services)
    tables = [
        _kept(one.kept, "table", f"{database}, table {name}", dict(one.columns), counts[name])
        for name, one in TABLES.items()
    ]
    files = [_kept(place.kept, "file", f"{data}/{place.kept.where}", {}, None) for place in PLACES]
    return [*tables, *files]


async def look(services: Services, actor: Actor, *, last: bool = False) -> list[OrphanView]:
    """Compare rows and files now, or say what the `last` look found. Changes nothing but that list. Raises Failure,
    StorageError, OSError."""
    if not last and await (services.reconciler or Reconciler(services)).look() is None:
        raise Failure("another node looks just now", "Ask what it found: beffroi retention orphans --last", "busy")
    async with services.db.transaction() as tx:
        found = await orphans.list_all(tx)
        await note(services, tx, actor, "verify", "orphan", count=len(found))
    return [view(one, masked=actor.masked) for one in found]


async def remove(services: Services, actor: Actor, *, orphan: str) -> OrphanView:
    """Through the deletion gate, with a receipt. Raises Failure."""
    if not actor.says_why:
        raise Failure("removing an orphan needs a reason", "Say why with --reason, in a few words", "denied")
    async with services.erasing:
        await erasure.resume(services)
        async with services.db.transaction() as tx:
            found = await _found(tx, orphan)
            kind = KINDS[found.kind]
            if not kind.removable:
                raise Failure(f"{kind.what}: nothing removes that from here", kind.remedy, "conflict")
            await note(services, tx, actor, "remove", "orphan", orphan_id=found.id)
            await erasure.order(services, tx, actor, erasure.ORPHAN, found.id)
        try:
            await erasure.carry_out(services, actor, erasure.ORPHAN, found.id, lambda tx: orphans.forget(tx, found.id))
        except DestructionRefused as refused:
            await _take_back(services, actor, found.id)
            raise Failure(f"it stays: {refused}", "Look again: beffroi retention orphans", "conflict") from refused
        except (DestructionIncomplete, StorageError, OSError) as error:
            raise Failure(f"something of it is left: {error}", "Type it again", "unavailable") from error
    return view(found, masked=actor.masked)


async def _take_back(services: Services, actor: Actor, orphan_id: str) -> None:
    """What was ordered is not done, and is not to be tried again at the next start."""
    async with services.db.transaction() as tx:
        await erasure.withdraw(services, tx, actor, erasure.ORPHAN, orphan_id)


async def _found(tx: Tx, orphan: str) -> Orphan:
    found = [one for one in await orphans.list_all(tx) if orphan and one.id.startswith(orphan)]
    if len(found) != 1:
        which = "no orphan has that id" if not found else "several orphans begin so"
        raise Failure(which, "Type: beffroi retention orphans --last", "not_found" if not found else "ambiguous")
    return found[0]


def view(one: Orphan, *, masked: bool) -> OrphanView:
    """In words."""
    kind = KINDS[one.kind]
    named = one.kind in ("unknown_file", "leftover")  # a file may be called after somebody
    item = "(shown with --reason)" if masked and named else one.item
    return OrphanView(one.id, one.kind, item, kind.what, kind.remedy, kind.removable, one.first_seen_at)


def _kept(kept: Kept, kind: str, place: str, columns: dict[str, str], rows: int | None) -> KeptView:
    erased_by: Sequence[str] = kept.erased_by
    return KeptView(
        kept.what, kind, kept.where, place, kept.subject, kept.purpose, kept.basis, kept.expiry, tuple(erased_by),
        kept.unless, columns, rows,
    )  # fmt: skip


def _database(services: Services) -> str:
    """Its URL as the configuration has it, without a password; or its file."""
    return services.settings.storage.url or str(services.paths.database)
