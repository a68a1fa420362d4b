"""What an administrator has removed, through the deletion gate: accounts, readers' keys, orphans.

The erasure log says first that something is to go, in the transaction of the order itself, and last that it is gone,
with the receipt. Where a crash comes in between, `resume` finds the one without the other and finishes it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from retention.gate import DestructionRefused, Erasable, Item, Remains, Trigger, plan_destruction
from retention.receipt import Receipt
from server.destruction import gate_of, prove
from server.orphan_removal import OrphanErasable
from server.services.actor import SYSTEM, Actor, ledger_id
from server.services.context import Services
from storage import accounts, devices, ledger, mail_logins, readers
from storage.errors import NotFound
from storage.ledger_payload import Value
from storage.tx import Tx

logger = logging.getLogger(__name__)


class _Account:
    """Fills `retention.gate.Erasable`: the key of an account are the credentials of its phones and mail programs."""

    def __init__(self, services: Services) -> None:
        self._db = services.db

    async def destroy_key(self, item_id: str) -> None:
        async with self._db.transaction() as tx:
            await devices.remove_of(tx, item_id)
            await mail_logins.remove_of(tx, item_id)

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        async with self._db.transaction() as tx:
            try:
                await accounts.remove(tx, item_id)
            except NotFound:
                logger.info("account %s is gone already", item_id)
        left = await self._db.forget_rows("sms_waiting")
        await self._db.checkpoint_truncate()
        return left

    async def remains(self, item_id: str) -> Remains:
        async with self._db.read() as tx:
            credentials = len(await devices.list_all(tx, item_id)) + len(await mail_logins.list_all(tx, item_id))
            return Remains(wraps=credentials, index_entries=await accounts.remains(tx, item_id) - credentials)


class _ReaderKey:
    """Fills `retention.gate.Erasable`: a reader's sealed key, and what was wrapped to it. By person."""

    def __init__(self, services: Services) -> None:
        self._db = services.db

    async def destroy_key(self, item_id: str) -> None:
        async with self._db.transaction() as tx:
            await readers.drop_key(tx, item_id)

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        await self._db.checkpoint_truncate()
        return ()

    async def remains(self, item_id: str) -> Remains:
        async with self._db.read() as tx:
            wraps = await readers.wraps_left(tx, item_id)
            try:
                await readers.get_key(tx, item_id)
            except NotFound:
                return Remains(wraps=wraps)
            return Remains(wraps=wraps, index_entries=1)


@dataclass(frozen=True, slots=True)
class _Kind:
    id_key: str  # of ledger entries
    erasable: Callable[[Services], Erasable]
    method: tuple[str, ...]
    exceptions_kept: tuple[str, ...]


def _orphan(services: Services) -> Erasable:
    return OrphanErasable(services.db, services.paths.data, services.clock)


ACCOUNT, READER, ORPHAN = "account", "reader", "orphan"
KINDS: Mapping[str, _Kind] = {
    ACCOUNT: _Kind("account_id", _Account, ("credentials_deleted", "rows_deleted", "index_purged"),
                   ("call_record", "recording", "emergency_call", "ledger")),
    READER: _Kind("person_id", _ReaderKey, ("key_deleted", "wraps_deleted"), ("right", "ledger")),
    ORPHAN: _Kind("orphan_id", _orphan, ("removed",), ("ledger",)),
}  # fmt: skip


async def order(services: Services, tx: Tx, actor: Actor, kind: str, item_id: str) -> None:
    """Say that it is to go: in the transaction that decides it, before `carry_out`. Under `services.erasing`."""
    entry: dict[str, Value | None] = {
        "actor_id": ledger_id(actor.who, services.keys.ledger),
        "action": "erase",
        "object": kind,
        "cause": "admin",
        KINDS[kind].id_key: item_id,
        "complete": False,
    }
    await ledger.append(tx, "erasure", entry, services.clock())


async def withdraw(services: Services, tx: Tx, actor: Actor, kind: str, item_id: str) -> None:
    """What was ordered is refused by the gate, and stays."""
    entry: dict[str, Value | None] = {
        "actor_id": ledger_id(actor.who, services.keys.ledger),
        "action": "erase",
        "object": kind,
        "cause": "admin",
        "outcome": "refused",
        KINDS[kind].id_key: item_id,
        "complete": False,
    }
    await ledger.append(tx, "erasure", entry, services.clock())


async def carry_out(
    services: Services,
    actor: Actor,
    kind: str,
    item_id: str,
    also: Callable[[Tx], Awaitable[None]] | None = None,
) -> Receipt:
    """Destroy it; keep the receipt, and do `also` in the same transaction.

    Raises StorageError, DestructionIncomplete: then something is left, and `resume` finishes it.
    """
    how, now = KINDS[kind], services.clock()
    plan = plan_destruction(Item(item_id, kind, "directory", now, now), Trigger.ADMIN_ORDER, (), None, now)
    receipt = await gate_of(services.keys.ledger).destroy(
        plan, how.erasable(services), now, method=how.method, exceptions_kept=how.exceptions_kept
    )
    async with services.db.transaction() as tx:
        actor_id = ledger_id(actor.who, services.keys.ledger)
        await prove(tx, receipt, now, actor_id=actor_id, object=kind, cause="admin", **{how.id_key: item_id})
        if also is not None:
            await also(tx)
    logger.info("%s %s destroyed, receipt %s", kind, item_id, receipt.receipt_id)
    return receipt


async def resume(services: Services) -> int:
    """Finish what a crash left half done; how many. Under `services.erasing`. Raises what `carry_out` raises."""
    ordered: dict[tuple[str, str], None] = {}
    async with services.db.read() as tx:
        for entry in await ledger.entries(tx, "erasure"):
            said = json.loads(entry.body)
            kind = said.get("object")
            if kind in KINDS:
                item = kind, said[KINDS[kind].id_key]
                if said["complete"] or said.get("outcome") == "refused":
                    ordered.pop(item, None)
                else:
                    ordered[item] = None
    actor = Actor(SYSTEM, "resumed")
    for kind, item_id in ordered:
        try:
            await carry_out(services, actor, kind, item_id)
        except DestructionRefused as refused:
            logger.warning("%s %s stays: %s", kind, item_id, refused)
            async with services.db.transaction() as tx:
                await withdraw(services, tx, actor, kind, item_id)
    return len(ordered)
