"""The ledger: reading it, and proving that nobody has changed it."""

from __future__ import annotations

import hashlib
import json
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from retention import receipt as retention_receipt
from server.failure import Failure
from server.services.actor import Actor, os_actor_id, workstation_id
from server.services.audit import note
from server.services.context import Services
from server.services.origin import workstation_here
from storage import access, ledger, ledger_verify, people, receipts
from storage.errors import NotFound
from storage.tx import Tx

MOST = 1000  # entries that are shown at once


@dataclass(frozen=True, slots=True)
class EntryView:
    """Fields: see `server.commands.ledger.FIELDS`."""

    seq: int
    at: str
    who: str
    action: str
    subject: str
    outcome: str
    reason: str | None
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HeadView:
    """Where a log stands. Keep it elsewhere: it shows later that the log only grew."""

    log: str
    entries: int
    head: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One thing that is wrong with the ledger."""

    fault: str
    log: str
    day: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """Fields: see `server.commands.ledger.RECEIPT_FIELDS`."""

    id: str
    genuine: bool
    in_log: bool
    receipt: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PrunedView:
    """Days of a log whose entries have had their time; the signed heads of all of them are there and chained."""

    log: str
    first_day: str
    last_day: str
    days: int
    entries: int


@dataclass(frozen=True, slots=True)
class Verification:
    """`sound` where nothing is wrong."""

    sound: bool
    findings: tuple[FindingView, ...]
    heads: tuple[HeadView, ...]
    pruned: tuple[PrunedView, ...]


async def show(
    services: Services,
    actor: Actor,
    *,
    log: str = "access",
    last: int = 50,
    after: int | None = None,
    before: int | None = None,
) -> list[EntryView]:
    """The newest `last` entries, oldest first; or those from the one after `after`; or the last before `before`. Typed
    reasons need a reason. Raises Failure."""
    if not 0 < last <= MOST:
        raise Failure(
            f"{last} entries cannot be shown at once", f"Give 1 to {MOST}, from --before or --after", "invalid"
        )
    if log not in ledger.LOGS:
        raise Failure(f"no log {log}", f"Choose one of {', '.join(ledger.LOGS)}", "invalid")
    if after is not None and before is not None:
        raise Failure("after and before together", "Give one of them", "invalid")
    async with services.db.transaction() as tx:
        if before is not None:
            entries = await ledger.entries_before(tx, log, before, limit=last)
        else:
            total = {head.log: head.entries for head in await ledger.heads(tx)}[log]
            start = max(0, total - last) if after is None else after
            entries = await ledger.entries(tx, log, after_seq=start, limit=last)
        known = local_users(services) | await people.logins(tx)
        found = [await _view(tx, entry.seq, json.loads(entry.body), known, actor) for entry in entries]
        await note(services, tx, actor, "show", "ledger", count=len(found))
    return found


async def receipt(services: Services, actor: Actor, *, receipt: str) -> ReceiptView:
    """A receipt of destruction, checked: its signature, and that the erasure log names exactly it. Raises NotFound."""
    async with services.db.transaction() as tx:
        stored = await receipts.get(tx, receipt)
        entry = await _erasure_entry(tx, receipt)
        await note(services, tx, actor, "show", "report", receipt_id=receipt)
    signed = retention_receipt.parse(stored.body)
    try:
        retention_receipt.verify(signed, services.keys.ledger.public_key())
        genuine = True
    except retention_receipt.ReceiptError:
        genuine = False
    digest = hashlib.sha256(stored.body.encode()).hexdigest()
    in_log = entry is not None and entry.get("receipt_sha256") == digest
    return ReceiptView(receipt, genuine, in_log, json.loads(stored.body))


async def _erasure_entry(tx: Tx, receipt_id: str) -> Mapping[str, object] | None:
    for entry in await ledger.entries(tx, "erasure"):
        said: Mapping[str, object] = json.loads(entry.body)
        if said.get("receipt_id") == receipt_id:
            return said
    return None


async def verify(services: Services, actor: Actor, *, anchors: Mapping[str, str] | None = None) -> Verification:
    """Read all of it back. `anchors`: log to "entries:head" as an earlier verify showed it. Raises Failure."""
    kept = [_anchor(log, text) for log, text in (anchors or {}).items()]
    public = services.keys.ledger.public_key()
    async with services.db.read() as tx:
        findings = await ledger_verify.verify(tx, public, kept)
        heads = await ledger.heads(tx)
        pruned = await ledger.pruned(tx)
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "verify", "ledger", outcome="failed" if findings else "done")
    return Verification(
        sound=not findings,
        findings=tuple(FindingView(one.fault.value, one.log, one.day, one.seq) for one in findings),
        heads=tuple(HeadView(head.log, head.entries, f"{head.entries}:{head.head_hash.hex()}") for head in heads),
        pruned=tuple(PrunedView(one.log, one.first_day, one.last_day, one.days, one.entries) for one in pruned),
    )


def _anchor(log: str, text: str) -> ledger.Head:
    count, _, digest = text.partition(":")
    try:
        return ledger.Head(log, int(count), bytes.fromhex(digest))
    except ValueError:
        raise Failure(
            "an anchor is ENTRIES:HEAD, as ledger verify shows it", "Copy it as it stands", "invalid"
        ) from None


def local_users(services: Services) -> dict[str, str]:
    """What the ledger calls the users of this machine, and this workstation."""
    key = services.keys.ledger
    known = {os_actor_id(user.pw_uid, key): f"os:{user.pw_name}" for user in pwd.getpwall()}
    return known | {workstation_id(workstation_here(), key): "here"}


async def _view(tx: Tx, seq: int, body: dict[str, object], users: Mapping[str, str], actor: Actor) -> EntryView:
    who = str(body.get("actor_id", ""))
    reason_id = body.get("reason_id")
    reason = None
    if isinstance(reason_id, str):
        reason = "(given)"
        if not actor.masked:
            try:
                reason = await access.reason(tx, reason_id)
            except NotFound:
                reason = "(erased)"
    return EntryView(
        seq=seq,
        at=str(body.get("at", "")),
        who=users.get(who, who),
        action=str(body.get("action") or body.get("act") or ""),
        subject=str(body.get("object", "")),
        outcome=str(body.get("outcome", "")),
        reason=reason,
        body=body,
    )
