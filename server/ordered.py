"""Destructions that somebody has ordered: consent withdrawn, no contract, an order, a request under GDPR Art. 17.

In the transaction that decides it the erasure log says that something is to go, and a row of the table of destructions
says what exactly. Then the gate destroys; the row goes in the transaction that keeps the receipts. Where a crash comes
in between, `resume` finds the row and finishes it. Both run under `services.erasing`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from retention.gate import DestructionIncomplete, ErasableTogether, Item, Together, Trigger, plan_destruction
from retention.receipt import Receipt, stamp
from server.destruction import Proof, gate_of, prove_all
from server.erasables import Recordings, Rows
from server.services.context import Services
from storage import ledger, sweeps
from storage.ledger_payload import Value
from storage.sweeps import Order, UnderWay
from storage.tx import Tx

log = logging.getLogger(__name__)

OBJECTS: Mapping[str, str] = {
    "recording": "recording",
    "call_record": "call",
    "diagnosis": "diagnosis",
    "contact_attempt": "contact",
    "text_sent": "text",
    "text_received": "text",
    "conversation": "conversation",
    "campaign_recipient": "recipient",
}
KINDS = tuple(OBJECTS)  # in this order
CAUSES: Mapping[Trigger, str] = {
    Trigger.CONSENT_WITHDRAWN: "withdrawal",
    Trigger.NO_CONTRACT: "no_contract",
    Trigger.ADMIN_ORDER: "admin",
    Trigger.ART17_REQUEST: "request",
}
_ROWS = ("rows_deleted", "index_purged")
_METHODS: Mapping[str, tuple[str, ...]] = {"recording": ("dek_destroyed", "file_unlinked", "index_purged")}
_PROVEN_AT_ONCE = 50  # receipts in one transaction


@dataclass(frozen=True, slots=True)
class Done:
    """`receipts`: with the ids that each is about. `held`: what a hold was laid on meanwhile, and stays."""

    receipts: tuple[tuple[Receipt, tuple[str, ...]], ...]
    held: tuple[str, ...]


async def begin(services: Services, tx: Tx, kind: str, items: Sequence[Item], order: Order) -> str:
    """Say that they are to go: in the transaction that decides it. What `carry_out` is then called with."""
    now = services.clock()
    under_way = await sweeps.begin(tx, kind, [_packed(item) for item in items], now, order)
    await _say(tx, kind, [item.item_id for item in items], order, now)
    return under_way


async def carry_out(services: Services, under_way: str) -> Done:
    """Destroy what `begin` was told, and keep the receipts: one for each recording, else one for each pack.

    Raises StorageError, OSError, DestructionIncomplete: then something is left, and `resume` finishes it.
    """
    async with services.db.read() as tx:
        found = [one for one in await sweeps.under_way(tx) if one.id == under_way]
    if not found or (order := found[0].order) is None:
        return Done((), ())
    one, now, trigger = found[0], services.clock(), Trigger(order.trigger)
    plans = [plan_destruction(_unpacked(one.kind, packed), trigger, (), None, now) for packed in one.items]
    together = await gate_of(services.keys.ledger).destroy_together(
        plans,
        _erasable(services, one.kind, now),
        now,
        method=_METHODS.get(one.kind, _ROWS),
        apart=one.kind == "recording",
        request_ref=order.request_ref,
        exceptions_kept=order.kept,
    )
    done = await _prove(services, one, order, together, now)
    for item_id, remains in together.left.items():
        raise DestructionIncomplete(item_id, remains)
    return done


async def resume(services: Services) -> int:
    """Finish what was ordered and is half done; how many items are gone. What is left again is tried again at the next
    sweep. Raises StorageError."""
    async with services.db.read() as tx:
        begun = [one for one in await sweeps.under_way(tx) if one.order is not None]
    gone = 0
    for one in begun:
        try:
            done = await carry_out(services, one.id)
        except (DestructionIncomplete, OSError) as error:
            log.error("an order is not finished: %s", error)
            continue
        gone += sum(len(ids) for _, ids in done.receipts)
        log.info("what was ordered before is destroyed: %d of kind %s", len(one.items), one.kind)
    return gone


async def _prove(services: Services, one: UnderWay, order: Order, together: Together, now: datetime) -> Done:
    """Each item has one receipt, whoever else is finishing the same order: what the row lists no more has one."""
    proven: list[tuple[Receipt, tuple[str, ...]]] = []
    pieces = [together.receipts[at : at + _PROVEN_AT_ONCE] for at in range(0, len(together.receipts), _PROVEN_AT_ONCE)]
    for last, piece in [(False, each) for each in pieces] + [(True, ())]:
        async with services.db.transaction() as tx:
            row = await sweeps.locked(tx, one.id)
            if row is None:
                break
            still = {item[0]: item for item in row.items}
            mine = [(receipt, ids) for receipt, ids in piece if all(item_id in still for item_id in ids)]
            await prove_all(
                tx, [_proof(receipt, ids, one.kind) for receipt, ids in mine], now, actor_id=order.ordered_by
            )
            gone = {item_id for _, ids in mine for item_id in ids}
            held = [item_id for item_id in together.held if last and item_id in still]
            if held:
                await _say(tx, one.kind, held, order, now, outcome="refused")
            rest = [item for item_id, item in still.items() if item_id not in gone and item_id not in held]
            await (sweeps.narrow(tx, one.id, rest) if rest else sweeps.done(tx, one.id))
        proven += mine
    await services.db.forget_rows("destructions")  # which item had been where
    return Done(tuple(proven), together.held)


def _proof(receipt: Receipt, ids: Sequence[str], kind: str) -> Proof:
    said: dict[str, Value] = {"object": OBJECTS[kind], "cause": CAUSES[Trigger(receipt.trigger)], "count": len(ids)}
    return Proof(receipt, {**said, "rec_id": ids[0]} if kind == "recording" else said)


async def _say(
    tx: Tx, kind: str, item_ids: Sequence[str], order: Order, now: datetime, *, outcome: str | None = None
) -> None:
    """That they are to go, or stay in spite of it."""
    entry: dict[str, Value | None] = {
        "actor_id": order.ordered_by,
        "action": "erase",
        "object": OBJECTS[kind],
        "cause": CAUSES[Trigger(order.trigger)],
        "count": len(item_ids),
        "rec_id": item_ids[0] if kind == "recording" and len(item_ids) == 1 else None,
        "outcome": outcome,
        "complete": False,
    }
    await ledger.append(tx, "erasure", entry, now)


def _erasable(services: Services, kind: str, now: datetime) -> ErasableTogether:
    if kind == "recording":
        return Recordings(services.db, services.paths.vault, now, references=True)
    return Rows(services.db, kind)


def _packed(item: Item) -> tuple[str, str, str, str]:
    return item.item_id, item.pack, stamp(item.created_at), stamp(item.expires_at)


def _unpacked(kind: str, packed: tuple[str, str, str, str]) -> Item:
    item_id, pack, created_at, expires_at = packed
    return Item(item_id, kind, pack, _moment(created_at), _moment(expires_at))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
