"""A directory, readers, a vault and a real recorder: what the recording desk works with, and its books."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recording import keys as key_tools
from recording import vault
from recording.sealed_reader import SealedReader
from retention.recording_decision import CompanyFacts, LinePolicy, decide
from retention.recording_decision import Party as PolicyParty
from server.call_book import DatabaseCallBook
from server.destruction import RecordingDestruction
from server.recording_desk import DeskKeys, RecordingDesk
from sip.calls.plan import CallPlan, Evidence, LineKind, Party
from sip.calls.ports import RecordingOrder
from storage import keys, ledger, people, readers, recordings
from storage.database import Database, sqlite_url
from storage.errors import NotFound
from storage.field_crypto import FieldKeys
from storage.readers import EscrowKey, ReaderKey
from storage.recordings import Recording
from tests.recording.house import Leg, decoded
from tests.sip.worker.rig import until

NOW = datetime.now(UTC)
COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"))
QUALITY = LinePolicy("REC_QUALITY", None, "")
MIFID = LinePolicy("REC_MIFID", None, "art. L533-10 CMF")
A_HZ, B_HZ = 440, 1000


class Crash(BaseException):
    """The daemon ends here: nothing of it runs any more."""


def plan(policy: LinePolicy = QUALITY) -> CallPlan:
    parties = [PolicyParty("a", "outside", "FR"), PolicyParty("b", "staff", "FR")]
    return CallPlan(
        call_id=secrets.token_hex(16),
        line_id=None,
        kind=LineKind.RING,
        caller=Party("c" * 32, "101", "Alice", "fr", "FR"),
        callee=Party("d" * 32, "102", "Bob", "fr", "FR"),
        stages=(),
        recording=decide(policy, parties, COMPANY, NOW),
        metadata_class="minimal",
        prompts={},
    )


def act(leg: str, what: str = "heard", key: str = "") -> Evidence:
    return Evidence(leg, what, "PROMPT_STAFF", "1", "ab" * 32, "fr", key, 900)


@dataclass
class House:
    """One instance's database and vault; survives any number of desks."""

    db: Database
    vault_dir: Path
    ledger_public: Ed25519PublicKey
    kek_signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    proof_signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    reader_secrets: dict[str, bytes] = field(default_factory=dict)  # by person id, escrow included
    cuts: list[tuple[str | None, str]] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.destruction = RecordingDestruction(self.db, self.vault_dir, self.kek_signer)
        self.book = DatabaseCallBook(self.db)

    # --- people ---------------------------------------------------------------------------------------------------

    async def escrow(self) -> None:
        public, secret = key_tools.escrow_pair(key_tools.new_escrow_seed())
        async with self.db.transaction() as tx:
            await readers.set_escrow(tx, EscrowKey(key_tools.algorithm(public), public, NOW))
        self.reader_secrets[readers.ESCROW] = secret

    async def reader(self, login: str, *purposes: str) -> str:
        public, secret = key_tools.generate_reader()
        async with self.db.transaction() as tx:
            person = await people.add(tx, login, login, NOW, roles=("reader",))
            await readers.set_key(tx, ReaderKey(person.id, key_tools.algorithm(public), public, b"sealed", NOW))
            for purpose in purposes:
                await readers.grant(tx, person.id, purpose, "quickstart", NOW)
        self.reader_secrets[person.id] = secret
        return person.id

    # --- the desk -------------------------------------------------------------------------------------------------

    def desk(self, kind: type[RecordingDesk] = RecordingDesk, *, min_free_mb: int = 1) -> RecordingDesk:
        return kind(
            self.db,
            self.vault_dir,
            DeskKeys(proof=self.proof_signer, kek=self.kek_signer),
            bitrate_bps=48000,
            min_free_mb=min_free_mb,
            on_cut=lambda rec_id, why: self.cuts.append((rec_id, why)),
            destroy=self.destruction.on_objection,
            is_held=self.destruction.is_held,
        )

    @asynccontextmanager
    async def open(self, desk: RecordingDesk | None = None) -> AsyncIterator[RecordingDesk]:
        """A desk with its recorder, until the end of the block."""
        desk = desk or self.desk()
        task = asyncio.get_running_loop().create_task(desk.run())  # noqa: TID251 - ended below
        await until(lambda: desk.recorder_pid != 0 or task.done(), 10)
        try:
            yield desk
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def order(self, call: CallPlan | None = None) -> RecordingOrder:
        """With evidence in the consent log for both legs."""
        call = call or plan()
        seqs = [await self.book.note(call, act(leg), NOW) for leg in ("a", "b0")]
        return RecordingOrder(secrets.token_hex(16), call, ("a", "b0"), tuple(seqs), (call.caller, call.callee))

    def capture(self) -> tuple[Leg, Leg]:
        both = Leg(A_HZ), Leg(B_HZ)
        self.legs += both
        return both

    async def begun(self, desk: RecordingDesk, call: CallPlan | None = None) -> tuple[str, tuple[Leg, Leg]]:
        """A recording that runs: (id, what it listens to)."""
        order, legs = await self.order(call), self.capture()
        await desk.begin(order, (legs[0].fd, legs[1].fd), datetime.now(UTC))
        return order.rec_id, legs

    async def objected(self, rec_id: str, call: CallPlan) -> int:
        return await self.book.note(call, act("a", "objection", "2"), datetime.now(UTC), rec_id)

    # --- looking --------------------------------------------------------------------------------------------------

    async def row(self, rec_id: str) -> Recording:
        async with self.db.read() as tx:
            return await recordings.get(tx, rec_id)

    async def states(self) -> list[str]:
        async with self.db.read() as tx:
            return sorted(row.state for row in await recordings.list_all(tx))

    async def has_key(self, rec_id: str) -> bool:
        async with self.db.read() as tx:
            try:
                await keys.rec_key(tx, rec_id)
            except NotFound:
                return False
        return True

    async def keks(self, purpose: str = "REC_QUALITY") -> list[keys.Kek]:
        async with self.db.read() as tx:
            return list(await keys.list_keks(tx, purpose))

    async def readers_of(self, kek_id: str) -> set[str]:
        async with self.db.read() as tx:
            return {wrap.reader_id for wrap in await keys.kek_wraps(tx, kek_id)}

    async def entries(self, log: str) -> list[dict[str, Any]]:
        async with self.db.read() as tx:
            return [json.loads(entry.body) for entry in await ledger.entries(tx, log)]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.vault_dir.rglob("*") if path.is_file())

    def part(self, rec_id: str) -> Path:
        return vault.growing_path(self.vault_dir, rec_id)

    def sealed(self, rec_id: str) -> Path:
        return vault.sealed_path(self.vault_dir, rec_id)

    async def opened(self, rec_id: str, reader_id: str = readers.ESCROW) -> tuple[array[int], array[int]]:
        """Both channels, as that reader hears them; of a cut one what can be opened."""
        row = await self.row(rec_id)
        async with self.db.read() as tx:
            key = await keys.rec_key(tx, rec_id)
            wrap = await keys.wrap_for_reader(tx, key.kek_id, reader_id)
        secret = self.reader_secrets[reader_id]
        kek = key_tools.unwrap_kek(wrap.blob, secret, kek_id=key.kek_id, reader_id=reader_id)
        purpose = row.purpose or ""
        dek = key_tools.unwrap_dek(key.wrap, kek, rec_id=rec_id, purpose=purpose, kek_id=key.kek_id)
        with self.sealed(rec_id).open("rb") as file:
            return decoded(SealedReader(file, dek, rec_id, purpose, tolerant=row.state == "cut").read())

    def close(self) -> None:
        for leg in self.legs:
            leg.close()


@asynccontextmanager
async def house(directory: Path, template: Path) -> AsyncIterator[House]:
    """`template`: where a migrated database is kept for the next test."""
    ledger_key = Ed25519PrivateKey.generate()
    fields = FieldKeys.generate()
    if not template.exists():  # noqa: ASYNC240
        await (await Database.open(sqlite_url(template), fields, ledger_key)).close()
        os.chmod(template, 0o600)
        template.with_suffix(".keys").write_bytes(fields.to_json())  # noqa: ASYNC240
    fields = FieldKeys.from_json(template.with_suffix(".keys").read_bytes())  # noqa: ASYNC240
    shutil.copy(template, directory / "beffroi.sqlite3")
    db = await Database.open(sqlite_url(directory / "beffroi.sqlite3"), fields, ledger_key)
    place = directory / "vault"
    place.mkdir(0o700)
    made = House(db, place, ledger_key.public_key())
    await made.escrow()
    yield made
    made.close()
    await db.close()
