"""The one deletion gate: everything that is destroyed passes here, whatever the reason.

`plan_destruction` decides purely and explains itself. `Gate.destroy` carries out what was decided, in the order that
leaves nothing readable at any moment: key first, then bytes, then look whether anything is left. Only then is there a
receipt; while a byte or a wrap remains, the destruction is not done and says so. Masking or hashing is not erasure
(EDPB, February 2026).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.receipt import Receipt, commitment, sign, stamp

KEY_BACKUP_CYCLE = timedelta(days=7)  # law.md 8: backups of the key store are gone after this
_SIGNED_AT_ONCE = 20


class Trigger(Enum):
    """Why something is to be destroyed (law.md 8, erasure receipt)."""

    OBJECTION = "objection"  # during the call, or GDPR Art. 21
    CONSENT_WITHDRAWN = "consent_withdrawn"  # GDPR Art. 7(3)
    RETENTION_EXPIRY = "retention_expiry"
    NO_CONTRACT = "no_contract"  # the contract that was to be proved was not concluded
    ADMIN_ORDER = "admin_order"
    ART17_REQUEST = "art17_request"  # GDPR Art. 17(1), by the person concerned


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may be destroyed. `kind`: recording, call_record... `pack`: id@version it is kept under.

    `expires_at`: when its period ends. `destroy_on_objection`: what the pack says of objections. `event_at`: when the
    event happened from which the pack's period runs (a contract signed); None: it has not, or there is no such event.
    `objected`: somebody said no to it, and a hold alone keeps it.
    """

    item_id: str
    kind: str
    pack: str
    created_at: datetime
    expires_at: datetime
    destroy_on_objection: bool = True
    event_at: datetime | None = None
    objected: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold: destruction waits until it is lifted."""

    hold_id: str
    lifted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision. `destroy` False: `rule` says what stands against it; `again_at`: when to ask again, if known."""

    item: Item
    trigger: Trigger
    destroy: bool
    rule: str
    again_at: datetime | None = None


def plan_destruction(
    item: Item, trigger: Trigger, holds: Sequence[Hold], minimum_until: datetime | None, now: datetime
) -> Plan:
    """Decide at `now`. `minimum_until`: no earlier deletion by law (None: there is no such duty).

    In order: a hold stops everything (GDPR Art. 17(3)(e)); a minimum period stops everything but the end of the
    purpose that it was made for (no contract: R112-7 C. assur.) and an objection that the pack says destroys; an
    expiry that has not come stops the sweep.
    """
    standing = [h.hold_id for h in holds if h.lifted_at is None or h.lifted_at > now]
    if standing:
        return Plan(item, trigger, False, f"legal hold {', '.join(standing)}")
    if trigger is Trigger.OBJECTION and not item.destroy_on_objection:
        return Plan(item, trigger, False, f"{item.pack} keeps what was recorded in spite of an objection",
                    minimum_until or item.expires_at)  # fmt: skip
    lifts_minimum = trigger in (Trigger.OBJECTION, Trigger.NO_CONTRACT)
    if minimum_until is not None and now < minimum_until and not lifts_minimum:
        return Plan(item, trigger, False, f"minimum period of {item.pack} until {stamp(minimum_until)}", minimum_until)
    if trigger is Trigger.RETENTION_EXPIRY and now < item.expires_at:
        return Plan(item, trigger, False, f"expires at {stamp(item.expires_at)}", item.expires_at)
    return Plan(item, trigger, True, f"{trigger.value}: nothing stands against it")


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of an item: numbers of key wraps, of files or bytes, of entries in indexes."""

    wraps: int = 0
    files: int = 0
    index_entries: int = 0

    @property
    def nothing(self) -> bool:
        """Really nothing."""
        return self == Remains()


class Erasable(Protocol):
    """What a room implements so that its things can be destroyed. The gate never learns what they are.

    Every method may be called again after a failure or a crash and then does what is still to be done.
    """

    async def destroy_key(self, item_id: str) -> None:
        """Destroy every wrap of the item's own key, durably."""

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        """Remove the stored bytes and every derivative, index entries included, durably. What may be left in spite of
        it, as a receipt's `exceptions_kept` says it."""

    async def remains(self, item_id: str) -> Remains:
        """Look at the stores themselves, not at what was meant to be done."""


class ErasableTogether(Protocol):
    """As Erasable, for many things of one kind at once: what is costly (a sync, a checkpoint) is done once for all."""

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """As `Erasable.destroy_key`. Holds are asked for once more in the same transaction: the ids of those that were
        destroyed, without those that somebody has laid a hold on meanwhile."""

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        """As `Erasable.remove_bytes`."""

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        """Of each of them, what is left."""


@dataclass(frozen=True, slots=True)
class Together:
    """What became of several things: receipts with the ids that each is about; what is still there; what was held."""

    receipts: tuple[tuple[Receipt, tuple[str, ...]], ...]
    left: Mapping[str, Remains]
    held: tuple[str, ...]


class DestructionRefused(Exception):
    """The plan does not allow it. `plan` explains."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(plan.rule)


class DestructionIncomplete(Exception):
    """Something is still there: no receipt is given, the destruction is to be repeated."""

    def __init__(self, item_id: str, remains: Remains) -> None:
        self.remains = remains
        super().__init__(
            f"{item_id}: {remains.wraps} wraps, {remains.files} files, {remains.index_entries} index entries left"
        )


class Gate:
    """Carries out plans and gives receipts. `commitment_key`: 32 bytes, of the erasure ledger's period."""

    def __init__(
        self,
        signing_key: Ed25519PrivateKey,
        commitment_key: bytes,
        *,
        key_backup_cycle: timedelta = KEY_BACKUP_CYCLE,
    ) -> None:
        if len(commitment_key) != 32:
            raise ValueError("a commitment key has 32 bytes")
        self._signing_key = signing_key
        self._commitment_key = commitment_key
        self._key_backup_cycle = key_backup_cycle

    async def destroy(
        self,
        plan: Plan,
        erasable: Erasable,
        now: datetime,
        *,
        request_ref: str = "",
        ledger_seq: int | None = None,
        method: tuple[str, ...] = ("dek_destroyed", "file_unlinked", "index_purged"),
        exceptions_kept: tuple[str, ...] = (),
    ) -> Receipt:
        """Destroy the plan's item and give the signed receipt; `now` is when the caller began.

        `method`: how the room destroys such things. `exceptions_kept`: kinds of things that speak of the item and stay
        for periods of their own.

        Raises DestructionRefused where the plan says no (nothing is touched then), DestructionIncomplete where
        something is left, and whatever the room's own stores raise.
        """
        if not plan.destroy:
            raise DestructionRefused(plan)
        item = plan.item
        await erasable.destroy_key(item.item_id)
        kept = (*exceptions_kept, *await erasable.remove_bytes(item.item_id))
        left = await erasable.remains(item.item_id)
        if not left.nothing:
            raise DestructionIncomplete(item.item_id, left)
        return self._receipt(plan, (item.item_id,), now, request_ref, ledger_seq=ledger_seq, method=method, kept=kept)

    async def destroy_together(
        self,
        plans: Sequence[Plan],
        erasable: ErasableTogether,
        now: datetime,
        *,
        method: tuple[str, ...],
        apart: bool = False,
        request_ref: str = "",
        exceptions_kept: tuple[str, ...] = (),
    ) -> Together:
        """Destroy the items of all plans. A receipt for those of one kind, pack and trigger, or (`apart`) for each.

        Raises DestructionRefused where one of the plans says no: nothing is touched then. What is left does not raise:
        it has no receipt, and is named.
        """
        for plan in plans:
            if not plan.destroy:
                raise DestructionRefused(plan)
        by_id = {plan.item.item_id: plan for plan in plans}
        gone = await erasable.destroy_keys(list(by_id))
        kept = (*exceptions_kept, *await erasable.remove_bytes(gone))
        remains = await erasable.remains(gone)
        left = {item_id: each for item_id, each in remains.items() if not each.nothing}
        groups: dict[tuple[str, ...], list[Plan]] = {}
        for item_id in gone:
            if item_id in remains and item_id not in left:
                plan = by_id[item_id]
                group = (plan.trigger.value, plan.item.kind, plan.item.pack, item_id if apart else "")
                groups.setdefault(group, []).append(plan)
        receipts = []
        for number, group_plans in enumerate(groups.values(), 1):
            if number % _SIGNED_AT_ONCE == 0:
                await asyncio.sleep(0)  # calls have their turn
            ids = tuple(plan.item.item_id for plan in group_plans)
            receipt = self._receipt(group_plans[0], ids, now, request_ref, method=method, kept=kept)
            receipts.append((receipt, ids))
        return Together(tuple(receipts), left, tuple(item_id for item_id in by_id if item_id not in set(gone)))

    def _receipt(
        self,
        plan: Plan,
        ids: tuple[str, ...],
        now: datetime,
        request_ref: str = "",
        *,
        ledger_seq: int | None = None,
        method: tuple[str, ...],
        kept: tuple[str, ...],
    ) -> Receipt:
        receipt = Receipt(
            receipt_id=secrets.token_hex(16),
            trigger=plan.trigger.value,
            request_ref=request_ref,
            pack=plan.item.pack,
            objects={plan.item.kind: len(ids)},
            object_ids_commitment=commitment(ids, self._commitment_key),
            method=method,
            verification={"wraps_gone": True, "bytes_gone": True, "index_gone": True},
            checked_at=stamp(now),
            live_erased_at=stamp(now),
            backup_effective_at=stamp(now + self._key_backup_cycle),
            exceptions_kept=kept,
            ledger_seq=ledger_seq,
        )
        return sign(receipt, self._signing_key)
