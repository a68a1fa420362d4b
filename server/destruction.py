"""How recordings go through the deletion gate: what the gate may ask of key store, vault and index."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config import packs
from recording import vault
from retention.gate import DestructionRefused, Gate, Hold, Item, Remains, Trigger, plan_destruction
from retention.receipt import Receipt
from server.erasables import forget_index
from storage import holds, keys, ledger, receipts, recordings
from storage.database import Database
from storage.errors import NotFound
from storage.ledger_payload import Value
from storage.receipts import StoredReceipt
from storage.tx import Tx

log = logging.getLogger(__name__)

_COMMITMENT_INFO = b"beffroi/erasure-commitment/1"


class RecordingErasable:
    """Fills ``retention.gate.Erasable`` for recordings."""

    def __init__(self, database: Database, vault_dir: Path, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._vault_dir = vault_dir
        self._clock = clock

    async def destroy_key(self, item_id: str) -> None:
        """The DEK's only wrap, and with it everything that describes the recording.

        Raises DestructionRefused where a legal hold was laid since the plan was made.
        """
        async with self._database.transaction() as tx:
            await holds.lock(tx)
            await _unless_held(tx, item_id, self._clock())
            await recordings.destroy(tx, item_id, self._clock())
        await self._database.empty_log()

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        await asyncio.to_thread(vault.remove, self._vault_dir, item_id)
        return await forget_index(self._database)

    async def remains(self, item_id: str) -> Remains:
        async with self._database.read() as tx:
            wraps = await keys.wraps(tx, item_id)
            listed = await recordings.get(tx, item_id)
        paths = (vault.sealed_path(self._vault_dir, item_id), vault.growing_path(self._vault_dir, item_id))
        return Remains(wraps, sum(path.exists() for path in paths), int(listed.state != "destroyed"))


class RecordingDestruction:
    """Destroys recordings through the gate, and writes what was done into the erasure log."""

    def __init__(
        self,
        database: Database,
        vault_dir: Path,
        signing: Ed25519PrivateKey,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._erasable = RecordingErasable(database, vault_dir, clock)
        self._gate = gate_of(signing)
        self._turn = asyncio.Lock()  # one destruction, one receipt

    async def on_objection(self, rec_id: str, ledger_seq: int | None, now: datetime) -> Receipt | None:
        """Somebody objected while it ran. None if it is destroyed already, with an entry that says so.

        May be asked again after a crash at any moment: what is done is done, what is not is finished. Raises
        DestructionIncomplete, StorageError, OSError: then something is left, and it says so; DestructionRefused where
        the pack keeps what was recorded, or a legal hold does: then it is overdue, and goes once that is lifted.
        """
        async with self._turn:
            return await self._destroy(rec_id, ledger_seq, now)

    async def is_held(self, rec_id: str) -> bool:
        """Whether a legal hold stands against destroying it now. Raises StorageError."""
        async with self._database.read() as tx:
            return bool(await holds.on(tx, "recording", [rec_id]))

    async def _destroy(self, rec_id: str, ledger_seq: int | None, now: datetime) -> Receipt | None:
        async with self._database.read() as tx:
            try:
                recording = await recordings.get(tx, rec_id)
            except NotFound:
                return None
            proven = recording.state == "destroyed" and await _is_proven(tx, rec_id)
        if proven and (await self._erasable.remains(rec_id)).nothing:
            return None
        pack = f"{recording.purpose or 'destroyed'}@{recording.pack_version or '1'}"
        known = packs.load().get(recording.purpose or "")
        destroys = known is None or known.destroy_on_objection
        item = Item(rec_id, "recording", pack, recording.started_at, recording.expires_at, destroys)
        plan = plan_destruction(item, Trigger.OBJECTION, (), None, now)
        try:
            receipt = await self._gate.destroy(plan, self._erasable, now, ledger_seq=ledger_seq)
        except DestructionRefused:
            if plan.destroy:  # but for a hold
                async with self._database.transaction() as tx:
                    await recordings.overdue(tx, rec_id, now)
            raise
        refs = [] if ledger_seq is None else [ledger_seq]
        async with self._database.transaction() as tx:
            await prove(tx, receipt, now, object="recording", cause="objection", rec_id=rec_id, consent_refs=refs)
        log.info("recording %s destroyed, receipt %s", rec_id, receipt.receipt_id)
        return receipt


async def _unless_held(tx: Tx, rec_id: str, now: datetime) -> None:
    """Of what is destroyed already the rest goes, whatever stands against it by now."""
    standing = (await holds.on(tx, "recording", [rec_id])).get(rec_id, ())
    if not standing:
        return
    found = await recordings.get(tx, rec_id)
    if found.state == "destroyed":
        return
    item = Item(rec_id, "recording", found.purpose or "", found.started_at, found.expires_at)
    under = [Hold(hold_id) for hold_id in standing]
    raise DestructionRefused(plan_destruction(item, Trigger.OBJECTION, under, None, now))


async def _is_proven(tx: Tx, rec_id: str) -> bool:
    """Whether the erasure log has the entry that says it is gone."""
    said = [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]
    return any(one.get("rec_id") == rec_id and one.get("complete") for one in said)


@dataclass(frozen=True, slots=True)
class Proof:
    """A receipt, and what the erasure log says with it: object, cause, the object's id."""

    receipt: Receipt
    said: Mapping[str, Value]


async def prove(tx: Tx, receipt: Receipt, now: datetime, *, actor_id: str = "system", **said: Value) -> None:
    """Keep the receipt, and name it in the erasure log."""
    await prove_all(tx, [Proof(receipt, said)], now, actor_id=actor_id)


async def prove_all(tx: Tx, proofs: Sequence[Proof], now: datetime, *, actor_id: str = "system") -> None:
    """As `prove`, for many at once."""
    bodies = [proof.receipt.to_json() for proof in proofs]
    kept = [StoredReceipt(proof.receipt.receipt_id, body, now) for proof, body in zip(proofs, bodies, strict=True)]
    await receipts.add_all(tx, kept)
    entries: list[Mapping[str, Value | None]] = [
        {
            "actor_id": actor_id,
            "action": "destroy",
            **proof.said,
            "receipt_id": proof.receipt.receipt_id,
            "receipt_sha256": hashlib.sha256(body.encode()).hexdigest(),
            "complete": True,
        }
        for proof, body in zip(proofs, bodies, strict=True)
    ]
    await ledger.append_all(tx, "erasure", entries, now)


def gate_of(signing: Ed25519PrivateKey) -> Gate:
    """The deletion gate of this instance."""
    return Gate(signing, _commitment_key(signing))


def _commitment_key(signing: Ed25519PrivateKey) -> bytes:
    """Keeps receipts from telling which objects they mean to those who do not know the ids."""
    return HKDF(SHA256(), 32, None, _COMMITMENT_INFO).derive(signing.private_bytes_raw())
