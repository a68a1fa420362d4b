"""Somebody asks to be forgotten (GDPR Art. 17): all that is kept of one telephone number, and what becomes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from config import packs as pack_data
from retention import art17
from retention.art17 import Decision
from retention.contact_case import ATTEMPTS_PACK, EVIDENCE_PACK, SUPPRESSION_PACK
from retention.gate import DestructionIncomplete, Hold, Item, Trigger
from retention.metadata import MetadataClass, pack_of
from server import ordered
from server.failure import Failure
from server.services import text_requests
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.phone_numbers import e164
from server.sweeper import DIAGNOSES
from storage import (
    call_records,
    consents,
    contact_attempts,
    contact_references,
    diagnoses,
    holds,
    recordings,
    suppressions,
    sweeps,
)
from storage.errors import StorageError
from storage.sweeps import Order
from storage.tx import Tx

SUPPRESSION = "suppression"


@dataclass(frozen=True, slots=True)
class ThingView:
    """Fields: see `server.commands.number_requests.FIELDS`."""

    id: str
    kind: str
    pack: str
    answer: str
    article: str
    rule: str
    expires_at: datetime
    gone: bool


@dataclass(frozen=True, slots=True)
class ProofView:
    """One receipt. `count`: of how many things of that kind."""

    kind: str
    count: int
    receipt: str
    live_erased_at: str
    backup_effective_at: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """Fields: see `server.commands.number_requests.ANSWER_FIELDS`."""

    done: bool
    erased: int
    kept: int
    to_decide: int
    waiting: int
    items: tuple[ThingView, ...]
    receipts: tuple[ProofView, ...]


@dataclass(frozen=True, slots=True)
class _Thing:
    """`word`: what its pack says of Art. 17; None: no pack keeps it. `waits`: why it cannot be touched now."""

    item: Item
    word: str | None
    waits: str = ""
    hint: str = ""


async def erase(
    services: Services,
    actor: Actor,
    *,
    number: str,
    no_overriding_ground: bool = False,
    dry_run: bool = False,
) -> AnswerView:
    """Decide each thing and, but for a `dry_run`, destroy what goes, through the deletion gate. What somebody has to
    decide is left. `no_overriding_ground`: it was weighed, and there is none (Art. 17(1)(c)). Raises Failure."""
    if not actor.says_why or not (actor.case or "").strip():
        raise Failure("a request needs a case and a reason", "Give them with --case and --reason", "denied")
    of = e164(services.settings, number)
    if dry_run:
        async with services.db.read() as tx:
            decided = await _decided(services, tx, of, no_overriding_ground=no_overriding_ground)
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "test", "number", count=len(decided))
        return _view(decided, None, ())
    async with services.erasing:
        await ordered.resume(services)
        async with services.db.transaction() as tx:
            await holds.lock(tx)
            await text_requests.stop(tx, services, of)
            decided = await _decided(services, tx, of, no_overriding_ground=no_overriding_ground)
            going = [one.plan.item for one in decided if one.answer == "erase"]
            seq = await note(services, tx, actor, "erase", "number", count=len(going))
            if text_requests.wants_entry([one.plan.item for one in decided]):
                await text_requests.enter(tx, services, actor, of)
            begun = await _begin(services, tx, actor, decided, seq)
        gone: set[str] = set()
        proofs: list[ProofView] = []
        for kind, under_way in begun:
            try:
                done = await ordered.carry_out(services, under_way)
            except (DestructionIncomplete, StorageError, OSError) as error:
                remedy = "It is finished by itself, or at once: beffroi retention sweep"
                raise Failure(f"something of it is left: {error}", remedy, "unavailable") from error
            for receipt, ids in done.receipts:
                gone |= {f"{kind}:{item_id}" for item_id in ids}
                proofs.append(ProofView(kind, len(ids), receipt.receipt_id, receipt.live_erased_at,
                                        receipt.backup_effective_at))  # fmt: skip
    return _view(decided, gone, proofs)


async def _begin(
    services: Services, tx: Tx, actor: Actor, decided: Sequence[Decision], seq: int
) -> list[tuple[str, str]]:
    """Kind, and what `ordered.carry_out` is called with."""
    kept = tuple(sorted({one.plan.item.kind for one in decided if one.answer != "erase"}))
    who = ledger_id(actor.who, services.keys.ledger)
    order = Order(Trigger.ART17_REQUEST.value, who, f"access:{seq}", kept)
    begun = []
    for kind in ordered.KINDS:
        items = [one.plan.item for one in decided if one.answer == "erase" and one.plan.item.kind == kind]
        if items:
            begun.append((kind, await ordered.begin(services, tx, kind, items, order)))
    return begun


async def _decided(services: Services, tx: Tx, number: str, *, no_overriding_ground: bool) -> list[Decision]:
    now, packs = services.clock(), pack_data.load()
    things = [*await _heard_and_called(services, tx, number, now), *await _contacts(tx, number)]
    for text in await text_requests.things(tx, services, number):
        things.append(_Thing(text.item, text.word, text.waits, text.hint))
    under_way = {f"{one.kind}:{item[0]}" for one in await sweeps.under_way(tx) for item in one.items}
    by_kind: dict[str, list[str]] = {}
    for thing in things:
        by_kind.setdefault(thing.item.kind, []).append(thing.item.item_id)
    standing = {
        (kind, item_id): hold_ids
        for kind, ids in by_kind.items()
        if kind != SUPPRESSION
        for item_id, hold_ids in (await holds.on(tx, kind, ids)).items()
    }
    found = []
    for thing in things:
        item = thing.item
        held = [Hold(hold_id) for hold_id in standing.get((item.kind, item.item_id), ())]
        said = art17.decide(item, thing.word, held, packs, now, no_overriding_ground=no_overriding_ground)
        waits = thing.waits or ("it is being destroyed" if f"{item.kind}:{item.item_id}" in under_way else "")
        if waits and said.answer == "erase":
            said = Decision("wait", "12(3)", waits, replace(said.plan, destroy=False, rule=waits))
        found.append(replace(said, rule=f"{said.rule}; {thing.hint}") if thing.hint else said)
    return found


async def _heard_and_called(services: Services, tx: Tx, number: str, now: datetime) -> list[_Thing]:
    """Recordings in which it is heard; records of calls that say it or were recorded so; how these calls went."""
    packs = pack_data.load()
    found = []
    heard = await recordings.with_number(tx, number)
    for one in heard:
        pack = packs.get(one.purpose or "")
        item = Item(one.id, "recording", f"{one.purpose}@{one.pack_version}", one.started_at, one.expires_at,
                    event_at=one.event_at, objected=one.objected_at is not None)  # fmt: skip
        waits = "it is still being recorded" if one.state == "recording" else ""
        waits = waits or ("somebody listens to it now" if one.id in services.open_rooms else "")
        found.append(_Thing(item, pack.art17 if pack is not None else "unknown", waits))
    records = {one.id: one for one in await call_records.with_number(tx, number)}
    calls = list(dict.fromkeys([*records, *(one.call_id for one in heard if one.call_id)]))
    records |= {one.id: one for one in await call_records.some(tx, [one for one in calls if one not in records])}
    words: dict[str, str] = {}
    for call_id in (one for one in calls if one in records):
        record = records[call_id]
        pack = packs[pack_of(MetadataClass.parse(record.metadata_class))]
        words[call_id] = pack.art17
        item = Item(call_id, "call_record", f"{pack.id}@{pack.version}", record.at, record.expires_at)
        found.append(_Thing(item, pack.art17))
    for how in await diagnoses.of_calls(tx, calls, now):
        item = Item(how.call_id, "diagnosis", DIAGNOSES, how.at, how.expires_at)
        found.append(_Thing(item, words.get(how.call_id)))
    return found


async def _contacts(tx: Tx, number: str) -> list[_Thing]:
    """What is kept of permission to contact it."""
    evidence, attempts, listed = (pack_data.load()[name] for name in (EVIDENCE_PACK, ATTEMPTS_PACK, SUPPRESSION_PACK))
    found = []
    for consent in await consents.of_number(tx, number):
        item = Item(consent.id, "contact_consent", f"{evidence.id}@{evidence.version}", consent.given_at,
                    consent.kept_until)  # fmt: skip
        hint = "it still counts: beffroi contact consent withdraw" if consent.withdrawn_at is None else ""
        found.append(_Thing(item, evidence.art17, hint=hint))
    for reference in await contact_references.of_number(tx, number):
        item = Item(reference.id, "contact_reference", f"{evidence.id}@{evidence.version}", reference.since,
                    reference.kept_until)  # fmt: skip
        found.append(_Thing(item, evidence.art17))
    for attempt in await contact_attempts.of_number(tx, number):
        item = Item(attempt.id, "contact_attempt", f"{attempts.id}@{attempts.version}", attempt.at, attempt.kept_until)
        found.append(_Thing(item, attempts.art17))
    for one in await suppressions.of_number(tx, number):
        item = Item(one.id, SUPPRESSION, f"{listed.id}@{listed.version}", one.since, one.kept_until)
        found.append(_Thing(item, listed.art17))
    return found


def _view(decided: Sequence[Decision], gone: set[str] | None, proofs: Sequence[ProofView]) -> AnswerView:
    """`gone` None: a dry run."""
    items = []
    for one in decided:
        item, answer, rule = one.plan.item, one.answer, one.rule
        is_gone = gone is not None and f"{item.kind}:{item.item_id}" in gone
        if gone is not None and answer == "erase" and not is_gone:
            answer, rule = "keep", "a legal hold was laid on it just now, or it went by another way"
        items.append(ThingView(item.item_id, item.kind, item.pack, answer, one.article, rule, item.expires_at, is_gone))
    counts = Counter(one.answer for one in items)
    return AnswerView(
        done=gone is not None,
        erased=counts["erase"],
        kept=counts["keep"],
        to_decide=counts["decide"],
        waiting=counts["wait"],
        items=tuple(items),
        receipts=tuple(proofs),
    )
