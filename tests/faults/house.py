"""A small instance in which something is to be destroyed, and what is known of it: enough to say after any crash
whether each thing is there as a whole, or gone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from config import settings as configuration
from config.paths import Paths
from recording import keys as key_tools
from recording import vault
from recording.keys import DEK_WRAP_BYTES
from server.destruction import RecordingDestruction
from server.recording_desk import DeskKeys, RecordingDesk
from server.services.context import Services
from server.sweeper import Sweeper
from storage import call_records, keys, recordings, tables
from storage.call_records import CallRecord
from storage.field_crypto import FieldKeys
from storage.keys import Kek, RecKey
from storage.recordings import Party

DAY = timedelta(days=1)
NUMBER = "+33612345678"
_MARK_BYTES = 16
_FAR = timedelta(days=5000)  # so that the week's key itself is not due


@dataclass(frozen=True)
class Known:
    """A recording. `mark`: what its wrap is made of, in hexadecimal: any piece of a wrap of twice its length has it."""

    rec_id: str
    mark: str
    content: str
    goes: bool
    alg: str = "MLKEM768-X25519"

    @property
    def wrap(self) -> bytes:
        return wrap_of(bytes.fromhex(self.mark))


@dataclass
class Facts:
    """What is known of an instance before something befalls it."""

    recordings: list[Known] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)  # that are to go
    call_marks: list[str] = field(default_factory=list)  # pieces of what is sealed of them, in hexadecimal
    call_id: str = ""  # of the recording that is objected to
    hold_id: str = ""
    person_id: str = ""
    kek_id: str = ""  # of the week that is to go
    kek_mark: str = ""  # of its wrap to that person, in hexadecimal
    held_mark: str = ""  # of the second wrap, under the key of the hold

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def facts_from(text: str) -> Facts:
    said = json.loads(text)
    return Facts(**{**said, "recordings": [Known(**one) for one in said["recordings"]]})


def wrap_of(mark: bytes) -> bytes:
    """Of the length of a real one, and of the scheme of one."""
    return (b"\x01" + mark * DEK_WRAP_BYTES)[:DEK_WRAP_BYTES]


def set_up(data: Path) -> None:
    """Configuration and keys, as after the installation."""
    paths = Paths(data)
    paths.make()
    paths.config.write_text(configuration.sample())
    for place, content in (
        (paths.ledger_key, Ed25519PrivateKey.generate().private_bytes_raw()),
        (paths.proof_key, Ed25519PrivateKey.generate().private_bytes_raw()),
        (paths.field_key, FieldKeys.generate().to_json()),
    ):
        place.touch(0o600)
        place.write_bytes(content)


async def recording(
    services: Services, expires_in: timedelta, *, goes: bool, call_id: str = "", seqs: Sequence[int] = (1,),
    growing: bool = False, week_ends_in: timedelta = _FAR,
) -> Known:  # fmt: skip
    """One in the vault; `growing`: as a recorder that has died leaves it."""
    rec_id, kek_id = secrets.token_hex(16), secrets.token_hex(16)
    known = Known(rec_id, secrets.token_hex(_MARK_BYTES), secrets.token_hex(400), goes)
    public, _ = key_tools.generate_kek()
    now = services.clock()
    began = now + expires_in - timedelta(days=90)
    async with services.db.transaction() as tx:
        period = f"2026-W40.{secrets.randbelow(10**6)}"
        kek = Kek(kek_id, "REC_QUALITY", period, known.alg, public, b"s" * 64, began, now + week_ends_in)
        await keys.add_kek(tx, kek, ())
        await recordings.start(
            tx, rec_id, call_id=call_id or secrets.token_hex(16), purpose="REC_QUALITY", pack_version="2026-11-21",
            legal_basis="GDPR 6(1)(f)", expires_at=now + expires_in, codec="opus", rate_hz=8000, channels=2,
            started_at=began, kek_id=kek_id, parties=[Party(0, "1" * 32, None, NUMBER)], consent_refs=list(seqs),
        )  # fmt: skip
        await keys.add_rec_key(tx, RecKey(rec_id, kek_id, known.alg, known.wrap))
        if not growing:
            await recordings.finish(
                tx, rec_id, state="whole", ended_at=began, duration_ms=1, size_bytes=400, sha256="0"
            )
    vault.make_place(services.paths.vault, rec_id)
    place = vault.growing_path if growing else vault.sealed_path
    place(services.paths.vault, rec_id).write_bytes(bytes.fromhex(known.content))
    return known


async def call(services: Services, expires_in: timedelta) -> tuple[str, str]:
    """A call record: its id, and a piece of what is sealed of it."""
    call_id, now = secrets.token_hex(16), services.clock()
    record = CallRecord(
        id=call_id, line_id=None, metadata_class="standard", purpose="p", legal_basis="GDPR 6(1)(f)",
        at=now + expires_in - timedelta(days=30), expires_at=now + expires_in, fields={"call_id": call_id},
        recording_id=None,
    )  # fmt: skip
    async with services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": NUMBER})
        columns = [column for column in tables.call_records.c if column.name.endswith("_sealed")]
        [row] = await tx.rows(select(*columns).where(tables.call_records.c.id == call_id))
        sealed = next(value for value in row.values() if value)
    return call_id, sealed[-_MARK_BYTES:].hex()


def destruction(services: Services) -> RecordingDestruction:
    return RecordingDestruction(services.db, services.paths.vault, services.keys.ledger, services.clock)


def desk(services: Services) -> RecordingDesk:
    """As a daemon has it that is just starting."""
    gone = destruction(services)
    return RecordingDesk(
        services.db, services.paths.vault, DeskKeys(services.keys.proof, services.keys.ledger), bitrate_bps=48000,
        min_free_mb=1, on_cut=lambda rec_id, why: None, destroy=gone.on_objection, is_held=gone.is_held,
    )  # fmt: skip


def sweeper(services: Services) -> Sweeper:
    """Of a process that has just started."""
    return Sweeper(services, monotonic=lambda: 0.0)
