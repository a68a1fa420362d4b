"""Recordings that somebody orders to be destroyed, and events from which the period of one runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from config import packs as pack_data
from config.packs import Pack
from retention import start_events
from retention.gate import DestructionIncomplete, Hold, Item, Plan, Trigger
from retention.orders import BECAUSE, plan_order
from retention.receipt import Receipt
from server import ordered
from server.failure import Failure
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.recordings import found
from storage import call_records, evidence, holds, recordings, sweeps
from storage.errors import NotFound, StorageError
from storage.ledger_payload import utc_text
from storage.recordings import Recording
from storage.sweeps import Order
from storage.tx import Tx

Because = Literal["withdrawal", "no-contract", "order"]
Event = Literal["contract_concluded", "contract_signed", "case_closed", "transferred_to_care_record"]


@dataclass(frozen=True, slots=True)
class OrderView:
    """Fields: see `server.commands.recording_orders.FIELDS`."""

    id: str
    because: str
    pack: str
    goes: bool
    done: bool
    rule: str
    remedy: str
    also: tuple[str, ...]
    receipt: str | None
    live_erased_at: str | None
    backup_effective_at: str | None


@dataclass(frozen=True, slots=True)
class EventView:
    """Fields: see `server.commands.recording_orders.EVENT_FIELDS`."""

    id: str
    event: str
    day: date
    corrected: bool
    expired_before: datetime
    expires_at: datetime
    due: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """A recording, and what is to be said of it."""

    recording: Recording
    plan: Plan
    remedy: str
    also: tuple[str, ...]


async def destroy(
    services: Services, actor: Actor, *, rec_id: str, because: Because, dry_run: bool = False
) -> OrderView:
    """Through the deletion gate, with a receipt. `dry_run`: what would go, and what stands against it; nothing else.
    Raises Failure."""
    _reason(actor, "destroying a recording")
    trigger = BECAUSE[because]
    if dry_run:
        async with services.db.transaction() as tx:
            asked = await _asked(services, tx, rec_id, trigger)
            await note(services, tx, actor, "test", "recording", rec_id=asked.recording.id)
        return _order_view(because, asked, None)
    async with services.erasing:
        await ordered.resume(services)
        async with services.db.transaction() as tx:
            await holds.lock(tx)
            asked = await _asked(services, tx, rec_id, trigger)
            if asked.plan.destroy:
                seq = await note(services, tx, actor, "destroy", "recording", rec_id=asked.recording.id,
                                 purpose=asked.recording.purpose)  # fmt: skip
                who = ledger_id(actor.who, services.keys.ledger)
                order = Order(trigger.value, who, f"access:{seq}")
                under_way = await ordered.begin(services, tx, "recording", [asked.plan.item], order)
            else:
                await note(services, tx, actor, "destroy", "recording", outcome="refused", rec_id=asked.recording.id)
        if not asked.plan.destroy:
            raise Failure(f"it stays: {asked.plan.rule}", asked.remedy, "conflict")
        try:
            done = await ordered.carry_out(services, under_way)
        except (DestructionIncomplete, StorageError, OSError) as error:
            remedy = "It is finished by itself, or at once: beffroi retention sweep"
            raise Failure(f"something of it is left: {error}", remedy, "unavailable") from error
    if done.held:
        raise Failure("it stays: a legal hold was laid on it just now", "Type: beffroi hold list", "conflict")
    if not done.receipts:
        raise Failure("another node has just destroyed it", "Type: beffroi ledger show erasure", "conflict")
    return _order_view(because, asked, done.receipts[0][0])


async def event(
    services: Services, actor: Actor, *, rec_id: str, event: Event, on: date, correct: bool = False
) -> EventView:
    """The event from which the period of its pack runs has happened, on that day: entered once. `correct`: another day
    than the one that is entered. Raises Failure."""
    _reason(actor, "an event")
    now = services.clock()
    async with services.db.transaction() as tx:
        recording = await found(tx, rec_id)
        pack = pack_data.load().get(recording.purpose or "")
        await _may_have(services, tx, recording, pack, now)
        why = start_events.refusal(pack, event, on, recording.started_at, now.astimezone(UTC).date())
        if why or pack is None:
            raise Failure(f"{event} cannot be entered: {why}", "Type: beffroi recordings show ID", "invalid")
        _once(recording, on, correct=correct)
        moment = start_events.moment_of(on)
        until = start_events.expiry(pack, recording.kept_for, on)
        await recordings.set_event(tx, recording.id, moment, until)
        await note(
            services, tx, actor, "change" if recording.event_at is not None else "add", "recording",
            rec_id=recording.id, purpose=recording.purpose, rule=event, day=on.isoformat(), expires_at=utc_text(until),
        )  # fmt: skip
    corrected = recording.event_at is not None
    return EventView(recording.id, event, on, corrected, recording.expires_at, until, until <= now)


async def _asked(services: Services, tx: Tx, rec_id: str, trigger: Trigger) -> _Asked:
    """Raises Failure where there is no such recording, or it is gone or going already."""
    recording = await found(tx, rec_id)
    await _is_there(tx, recording)
    now = services.clock()
    pack = f"{recording.purpose or 'unknown'}@{recording.pack_version or '1'}"
    item = Item(recording.id, "recording", pack, recording.started_at, recording.expires_at,
                event_at=recording.event_at, objected=recording.objected_at is not None)  # fmt: skip
    standing = (await holds.on(tx, "recording", [recording.id])).get(recording.id, ())
    plan = plan_order(item, trigger, [Hold(hold_id) for hold_id in standing], pack_data.load(), now)
    if plan.destroy and recording.id in services.open_rooms:
        plan = Plan(item, trigger, False, "somebody listens to it now")
    remedy = "" if plan.destroy else _remedy(recording, standing, plan)
    return _Asked(recording, plan, remedy, await _dependants(tx, recording))


async def _is_there(tx: Tx, recording: Recording) -> None:
    """Raises Failure."""
    for one in await sweeps.under_way(tx):
        if one.kind == "recording" and any(item[0] == recording.id for item in one.items):
            raise Failure("its destruction was begun and is not finished", "Type: beffroi retention sweep", "conflict")
    if recording.state == "destroyed":
        raise Failure("it is destroyed already", "Its receipt is named by: beffroi ledger show erasure", "conflict")
    if recording.state == "recording":
        raise Failure("it is still being recorded", "Wait for the end of the call, or end it: beffroi calls hangup",
                      "conflict")  # fmt: skip


def _remedy(recording: Recording, standing: tuple[str, ...], plan: Plan) -> str:
    if standing:
        return f"What a case needs stays until the hold is lifted: beffroi hold show {standing[0][:12]}"
    if plan.item.item_id == recording.id and plan.rule.startswith("somebody listens"):
        return "Wait until the page is closed, at the latest for 15 minutes, and type it again"
    if plan.again_at is not None:
        return f"Ask again after {plan.again_at.astimezone(UTC).date()}; a reason that ends its purpose: no-contract"
    return "Give the reason that holds: withdrawal, no-contract or order; a wrong event is corrected first"


async def _dependants(tx: Tx, recording: Recording) -> tuple[str, ...]:
    """What goes with it."""
    parts = ["its key", "its file", "who is heard in it, and the index of their numbers"]
    try:
        refers = recording.call_id and (await call_records.get(tx, recording.call_id)).recording_id == recording.id
    except NotFound:
        refers = False
    return (*parts, "the reference of its call's record") if refers else tuple(parts)


async def _may_have(services: Services, tx: Tx, recording: Recording, pack: Pack | None, now: datetime) -> None:
    """Raises Failure where its end is settled."""
    await _is_there(tx, recording)
    if recording.state == "failed":
        raise Failure("it holds nothing that can be opened", "Type: beffroi recordings list", "conflict")
    objection = None
    if recording.call_id is not None and (pack is None or pack.destroy_on_objection):
        objection = await evidence.objection_to(tx, recording.call_id, max(recording.consent_refs, default=0))
    if objection is not None:
        raise Failure("somebody in the call has objected to it: only a legal hold keeps it", "Type: beffroi hold list",
                      "conflict")  # fmt: skip


def _once(recording: Recording, on: date, *, correct: bool) -> None:
    """Raises Failure where it is entered already and not to be corrected, or the other way round."""
    if recording.event_at is None:
        if correct:
            raise Failure("no event is entered: there is nothing to correct", "Leave --correct out", "conflict")
        return
    day = start_events.day_of(recording.event_at)
    if day == on:
        raise Failure(f"it is entered already, on {day}", "Type: beffroi recordings show ID", "conflict")
    if not correct:
        raise Failure(f"it is entered, on {day}", "To correct the day, add --correct and say why", "conflict")


def _reason(actor: Actor, what: str) -> None:
    if not actor.says_why:
        raise Failure(f"{what} needs a reason", "Say why with --reason, in a few words", "denied")


def _order_view(because: str, asked: _Asked, receipt: Receipt | None) -> OrderView:
    return OrderView(
        id=asked.recording.id,
        because=because,
        pack=asked.plan.item.pack,
        goes=asked.plan.destroy,
        done=receipt is not None,
        rule=asked.plan.rule,
        remedy=asked.remedy,
        also=asked.also,
        receipt=receipt.receipt_id if receipt else None,
        live_erased_at=receipt.live_erased_at if receipt else None,
        backup_effective_at=receipt.backup_effective_at if receipt else None,
    )
