"""The sweep: what has expired goes through the deletion gate, by itself, a little at a time.

It looks for what is due, writes into the table of destructions what it is about to destroy, destroys, and keeps
receipts: one for each recording, one for the rows of one kind and pack in a round. Killed at any moment it is taken up
again: what was begun is finished first. A hold that is laid meanwhile is seen, in the transaction that would destroy.
In doubt about the clock nothing is destroyed at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from config import packs as pack_data
from config.periods import Period
from retention.contact_case import ATTEMPTS_PACK, EVIDENCE_PACK
from retention.due import due
from retention.gate import (
    DestructionIncomplete,
    ErasableTogether,
    Gate,
    Hold,
    Item,
    Plan,
    Together,
    Trigger,
    plan_destruction,
)
from retention.metadata import MetadataClass, pack_of
from retention.policy_versions import in_force
from retention.receipt import stamp
from retention.trusted_clock import Look, doubt
from server import ageing, index_keys, ordered, policy_desk
from server.destruction import Proof, gate_of, prove_all
from server.erasables import PAUSE_S, LogDays, Recordings, Rows, WeekKeys
from server.services.context import Services
from server.shortening import shorten
from storage import api_answers, expiry, holds, log_days, sign_in_ends, sweeps, text_expiry
from storage.errors import StorageError
from storage.expiry import Expiring
from storage.sweeps import Sweep
from storage.tx import Tx

log = logging.getLogger(__name__)

FIRST_S = 60.0  # after the start: phones first
EVERY_S = 900.0
ROUND = 500  # items that are destroyed before their receipts are written
PROVEN_AT_ONCE = 50  # receipts in one transaction
QUIET_ROW_S = 3600  # how often a sweep that found nothing is written down
KEPT = timedelta(days=400)  # of what sweeps came to
USAGE_PACK, EMERGENCY_PACK, ALERTS_PACK = "USAGE_SUMS", "EMERGENCY_LIST", "SECURITY_LOG"
CONTACT_PACKS = {
    "contact_consent": EVIDENCE_PACK,
    "contact_reference": EVIDENCE_PACK,
    "contact_attempt": ATTEMPTS_PACK,
    "alert": ALERTS_PACK,
}
DIAGNOSES = "calls.diagnosis_days"  # no pack: a setting
REQUESTS = "listening_requests"  # no pack: until they are decided, used or over; the access log has that they were
NOTES = "recording_notes"  # no pack: a year, whatever the recording is kept for (CNIL, NS-57)
WEEK_KEYS = "week_keys"  # no pack: they go when nothing needs them any more
OBJECTS: Mapping[str, str] = {
    "recording": "recording",
    "call_record": "call",
    "diagnosis": "diagnosis",
    "usage": "usage",
    "emergency_call": "emergency",
    "contact_consent": "consent",
    "contact_reference": "contract",
    "contact_attempt": "contact",
    "alert": "alert",
    "recording_note": "note",
    "listening_request": "request",
    "access_day": "ledger",
    "consent_day": "ledger",
    "erasure_day": "ledger",
    "hold": "hold",
    "kek": "kek",
    ageing.FIELD: "call",
    ageing.MONTH_KEY: "key",
    index_keys.KIND: "key",
    "text_words": "text",
    "text_sent": "text",
    "text_received": "text",
    "text_copy": "text",
    "text_request": "request",
    "conversation": "conversation",
    "campaign": "campaign",
    "mail_order": "text",
    "text_key": "key",
}
# What the table does not say the expiry of, and the pack that does.
PACKS: Mapping[str, str] = {
    "usage": USAGE_PACK,
    "emergency_call": EMERGENCY_PACK,
    "access_day": "AUDIT_LOG",
    "consent_day": EVIDENCE_PACK,
    "erasure_day": "ERASURE_LEDGER",
    "hold": "LEGAL_HOLD",
}
_NO_PACK = {"diagnosis": DIAGNOSES, "recording_note": NOTES, "listening_request": REQUESTS, "kek": WEEK_KEYS}
_BY_DAY = frozenset({"usage", *log_days.KINDS})  # a period runs from the end of the day
KINDS = (*expiry.KINDS, *ageing.KINDS, index_keys.KIND)  # in this order: what goes as a whole need not age before
METHODS: Mapping[str, tuple[str, ...]] = {
    "recording": ("dek_destroyed", "file_unlinked", "index_purged"),
    "kek": ("kek_wraps_destroyed",),
    **dict.fromkeys(log_days.KINDS, ("leaves_deleted", "heads_kept")),
    **ageing.METHODS,
    index_keys.KIND: index_keys.METHOD,
}
# Kinds with a receipt for each, and what the erasure log says of it.
APART: Mapping[str, Callable[[str], dict[str, str]]] = {
    "recording": lambda item_id: {"rec_id": item_id},
    "kek": lambda item_id: {"kek_id": item_id},
    ageing.MONTH_KEY: lambda month: {"purpose": "month", "day": f"{month}-01"},
    index_keys.KIND: lambda item_id: {"purpose": f"index.{item_id.replace(':', '.v')}"},
}
_ONE_SWEEP = 0x62656673  # PostgreSQL advisory lock: nodes that share a database take turns


@dataclass
class Tally:
    """What one sweep comes to, by kind."""

    due: Counter[str] = field(default_factory=Counter)
    destroyed: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)  # a legal hold, a minimum period, somebody listens to it now
    left: Counter[str] = field(default_factory=Counter)  # not gone in spite of all: tried again
    receipts: int = 0


class Sweeper:
    """One for the daemon; a command that finds no daemon makes its own."""

    def __init__(self, services: Services, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._look: Look | None = None  # the newest in this process
        self._shortened = 0  # version of the policy that has been applied to what is kept
        self.problem = ""  # why the last sweep did less than it should
        self._doubted = False  # because of the clock
        self.destroyed = 0  # since the start
        self.alarms = 0

    async def run(self) -> None:
        """For as long as the daemon lives. A database that does not answer is asked again at the next turn."""
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self.sweep()
            except (StorageError, OSError) as error:
                self._alarm(f"the sweep broke off and is taken up again: {error}")
            await asyncio.sleep(EVERY_S)

    async def sweep(
        self, *, clock_is_right: bool = False, progress: Callable[[Tally], None] | None = None
    ) -> Sweep | None:
        """Destroy what is due now; None where another node is at it. Raises StorageError, OSError: what was begun is
        finished at the next one."""
        services = self._services
        async with self._turn, services.db.alone(_ONE_SWEEP) as alone:
            if not alone:
                return None
            began_at = services.clock()
            self._doubted = False
            why = "" if clock_is_right else doubt(await self._last_look(), began_at, self._monotonic())
            if why:
                said = Sweep(began_at, began_at, problem=f"{why}; nothing is deleted until somebody confirms the time")
                self._doubted = True
                self._alarm(said.problem)
                return said
            self._look = Look(began_at, self._monotonic())
            tally = Tally()
            async with services.erasing:
                await ordered.resume(services)
            await self._resume(began_at, tally)
            await self._shorten(began_at)
            await ageing.settle(services.db, began_at)
            async with services.db.transaction() as tx:
                await sign_in_ends.remove_expired(tx, began_at)  # lets nobody in any more: no receipt
                await api_answers.forget(tx, began_at)
            async with services.db.read() as tx:
                for kind in KINDS:
                    tally.due[kind] += await count_due(tx, kind, began_at, access_log_of(services))
            for kind in KINDS:
                await self._kind(kind, began_at, tally, progress)
            return await self._close(began_at, tally)

    async def _shorten(self, now: datetime) -> None:
        """A version of the policy that keeps things for less counts for what is kept already: once for each version."""
        async with self._services.db.read() as tx:
            known = await policy_desk.read(tx, self._services.keys.ledger.public_key())
        holds = in_force(known.versions, pack_data.load(), known.entries, now)
        if holds is not None and holds.policy.number != self._shortened:
            self._shortened, _ = await shorten(self._services.db, known, now)

    async def _last_look(self) -> Look | None:
        if self._look is not None:
            return self._look
        async with self._services.db.read() as tx:
            found = await sweeps.newest(tx)
            entry = None if found else await sweeps.newest_entry(tx)
        return Look(found[0].ended_at) if found else None if entry is None else Look(entry)

    async def _close(self, began_at: datetime, tally: Tally) -> Sweep:
        """Compare what was due with what became of it, and write it down."""
        if tally.receipts:
            await self._services.db.forget_rows("destructions")  # which item had been where
        problem = difference(tally)
        said = Sweep(
            began_at,
            self._services.clock(),
            due=dict(+tally.due),
            destroyed=dict(+tally.destroyed),
            held=dict(+tally.held),
            left=dict(+tally.left),
            problem=problem,
        )
        async with self._services.db.transaction() as tx:
            newest = await sweeps.newest(tx)
            quiet = not said.due and not problem and bool(newest) and not newest[0].problem
            if not quiet or (said.ended_at - newest[0].ended_at).total_seconds() > QUIET_ROW_S:
                await sweeps.add(tx, said)
                await sweeps.forget_before(tx, said.ended_at - KEPT)
        self.problem = ""
        if problem:
            self._alarm(problem)
        elif said.destroyed:
            log.info("expired and destroyed: %s", ", ".join(f"{n} {kind}" for kind, n in said.destroyed.items()))
        return said

    def _alarm(self, problem: str) -> None:
        self.problem = problem
        self.alarms += 1
        log.error("retention: %s", problem)

    # --- one kind ---------------------------------------------------------------------------------

    async def _kind(self, kind: str, now: datetime, tally: Tally, progress: Callable[[Tally], None] | None) -> None:
        stays = 0  # of those that are found first, again and again
        while True:
            async with self._services.db.read() as tx:
                plans = await plans_for(
                    tx, kind, now, limit=ROUND, skip=stays, access_log=access_log_of(self._services)
                )
            if not plans:
                return
            listened = {plan.item.item_id for plan in plans if plan.item.item_id in self._services.open_rooms}
            wanted = [plan for plan in plans if plan.destroy and plan.item.item_id not in listened]
            tally.held[kind] += len(plans) - len(wanted)
            gone = await self._destroy(kind, wanted, now, tally)
            stays += len(plans) - gone
            if progress is not None:
                progress(tally)

    async def _destroy(self, kind: str, plans: Sequence[Plan], now: datetime, tally: Tally) -> int:
        """How many are gone."""
        if not plans:
            return 0
        async with self._services.db.transaction() as tx:
            under_way = await sweeps.begin(tx, kind, [_packed(plan.item) for plan in plans], now)
        return await self._carry_out(under_way, kind, plans, now, tally)

    async def _carry_out(self, under_way: str, kind: str, plans: Sequence[Plan], now: datetime, tally: Tally) -> int:
        together = await self._gate().destroy_together(
            plans,
            self._erasable(kind, now),
            now,
            method=METHODS.get(kind, ("rows_deleted", "index_purged")),
            apart=kind in APART,
        )
        await self._prove(under_way, kind, plans, together, now)
        gone = sum(len(ids) for _, ids in together.receipts)
        for item_id, remains in together.left.items():
            log.error("%s", DestructionIncomplete(item_id if kind != "usage" else kind, remains))
        tally.destroyed[kind] += gone
        tally.held[kind] += len(together.held)
        tally.left[kind] += len(together.left)
        tally.receipts += len(together.receipts)
        self.destroyed += gone
        return gone

    async def _prove(self, under_way: str, kind: str, plans: Sequence[Plan], together: Together, now: datetime) -> None:
        """Keep the receipts, a few at a time: what has one is not under way any more."""
        still = {plan.item.item_id: _packed(plan.item) for plan in plans if plan.item.item_id not in together.held}
        for start in range(0, len(together.receipts), PROVEN_AT_ONCE):
            proofs = []
            for receipt, ids in together.receipts[start : start + PROVEN_AT_ONCE]:
                about = APART[kind](ids[0]) if kind in APART else {}
                proofs.append(Proof(receipt, {"object": OBJECTS[kind], "cause": "expiry", "count": len(ids), **about}))
                for item_id in ids:
                    del still[item_id]
            async with self._services.db.transaction() as tx:
                await prove_all(tx, proofs, now)
                await sweeps.narrow(tx, under_way, list(still.values()))
            await asyncio.sleep(PAUSE_S)
        async with self._services.db.transaction() as tx:
            await (sweeps.narrow(tx, under_way, list(still.values())) if still else sweeps.done(tx, under_way))

    async def _resume(self, now: datetime, tally: Tally) -> None:
        """What was begun is finished: some of it may be gone already, and has no receipt yet."""
        async with self._services.db.read() as tx:
            begun = [one for one in await sweeps.under_way(tx) if one.order is None]
        for one in begun:
            plans = [
                plan_destruction(_unpacked(one.kind, packed), Trigger.RETENTION_EXPIRY, (), None, now)
                for packed in one.items
            ]
            if all(plan.destroy for plan in plans):  # else the clock says something else than it did
                tally.due[one.kind] += len(plans)
                await self._carry_out(one.id, one.kind, plans, now, tally)

    def _erasable(self, kind: str, now: datetime) -> ErasableTogether:
        db = self._services.db
        match kind:
            case "recording":
                return Recordings(db, self._services.paths.vault, now)
            case ageing.FIELD:
                return ageing.Fields(db, now)
            case ageing.MONTH_KEY:
                return ageing.MonthKeys(db)
            case index_keys.KIND:
                return index_keys.IndexKeys(db)
            case "kek":
                return WeekKeys(db, now)
        return LogDays(db, kind, now) if kind in log_days.KINDS else Rows(db, kind)

    def _gate(self) -> Gate:
        return gate_of(self._services.keys.ledger)

    def trouble(self) -> str:
        """What is wrong with the last sweep, in a word: "", "missed" or "clock"."""
        return "" if not self.problem else "clock" if self._doubted else "missed"

    def gauges(self) -> dict[str, float]:
        return {"retention_alarm": float(bool(self.problem))}

    def counters(self) -> dict[str, float]:
        return {"retention_destroyed": float(self.destroyed), "retention_alarms": float(self.alarms)}


# --- what is due ------------------------------------------------------------------------------------------------------


async def plans_for(
    tx: Tx, kind: str, now: datetime, *, limit: int, skip: int = 0, access_log: Period | None = None
) -> list[Plan]:
    """Of what has expired by ``now``, the longest overdue first: what is to be destroyed, and why not.

    `access_log`: for how long the access log is kept, in place of its pack's own period.
    """
    if kind in ageing.KINDS:
        return await ageing.plans_for(tx, kind, now, limit=limit, skip=skip)
    if kind == index_keys.KIND:
        return (await index_keys.plans_for(tx, now))[skip : skip + limit]
    rows = await expiry.until(tx, kind, before(kind, now, access_log), limit=limit, skip=skip)
    items = [item_of(row, access_log) for row in rows]
    standing = await holds.on(tx, kind, [item.item_id for item in items])
    under = {item_id: [Hold(hold_id) for hold_id in hold_ids] for item_id, hold_ids in standing.items()}
    return due(items, under, pack_data.load(), now)


async def count_due(tx: Tx, kind: str, now: datetime, access_log: Period | None = None) -> int:
    """How many `plans_for` would give without a limit."""
    if kind == index_keys.KIND:
        return await index_keys.count(tx)
    if kind in ageing.KINDS:
        return await ageing.count(tx, kind, now)
    return await expiry.count(tx, kind, before(kind, now, access_log))


def access_log_of(services: Services) -> Period:
    return Period.parse(services.settings.retention.access_log)


def before(kind: str, now: datetime, access_log: Period | None = None) -> datetime:
    """Up to which moment a table is searched: that of the expiry, or of the event where it holds no expiry."""
    if kind not in PACKS:
        return now
    return _period(kind, access_log).ago(now) - (timedelta(days=1) if kind == "usage" else timedelta())


def item_of(row: Expiring, access_log: Period | None = None) -> Item:
    """With the pack that it is kept under, and when it goes."""
    if row.expires_at is not None and row.kind in CONTACT_PACKS:
        about = pack_data.load()[CONTACT_PACKS[row.kind]]
        return Item(row.item_id, row.kind, f"{about.id}@{about.version}", row.created_at, row.expires_at)
    if row.expires_at is not None and row.kind in text_expiry.KINDS:
        about = pack_data.load()[row.label]
        return Item(row.item_id, row.kind, f"{about.id}@{about.version}", row.created_at, row.expires_at)
    if row.expires_at is not None:
        pack = _NO_PACK.get(row.kind, row.label)
        if row.kind == "call_record":
            pack = pack_of(MetadataClass.parse(row.label))
        return Item(
            row.item_id, row.kind, pack, row.created_at, row.expires_at, event_at=row.event_at, objected=row.objected
        )
    kept = pack_data.load()[PACKS[row.kind]]
    begins = row.created_at + timedelta(days=1) if row.kind in _BY_DAY else row.created_at
    until = _period(row.kind, access_log).after(begins)
    return Item(row.item_id, row.kind, f"{kept.id}@{kept.version}", row.created_at, until)


def _period(kind: str, access_log: Period | None) -> Period:
    period = access_log if kind == "access_day" and access_log else pack_data.load()[PACKS[kind]].retention
    assert period is not None
    return period


def difference(tally: Tally) -> str:
    """What does not add up between what was due and what became of it; "" where it does."""
    missing = []
    for kind, count in tally.due.items():
        known = tally.destroyed[kind] + tally.held[kind] + tally.left[kind]
        if known < count:
            missing.append(f"of {count} {kind} due, {known} are accounted for")
        elif count and not tally.destroyed[kind] and not tally.held[kind]:
            missing.append(f"{count} {kind} due, and none is gone")
    return "; ".join(missing)


def _packed(item: Item) -> tuple[str, str, str, str]:
    return item.item_id, item.pack, stamp(item.created_at), stamp(item.expires_at)


def _unpacked(kind: str, packed: tuple[str, str, str, str]) -> Item:
    item_id, pack, created_at, expires_at = packed
    return Item(item_id, kind, pack, _moment(created_at), _moment(expires_at))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
