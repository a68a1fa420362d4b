"""Recordings through the one deletion gate: what goes, in which order, what proves it, and what a second try does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recording import keys as key_tools
from recording import vault
from retention import receipt as receipts_of
from retention.gate import DestructionIncomplete, DestructionRefused
from server.destruction import RecordingErasable
from storage import holds, keys, ledger_verify, receipts, recordings
from storage.errors import NotFound, Unavailable
from storage.holds import About
from storage.keys import Kek, RecKey
from storage.recordings import Party
from tests.server.recording_house import MIFID, NOW, QUALITY, House, act, house, plan

WRAP = b"\x01" + bytes(range(256)) * 4


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "template.sqlite3"


@pytest.fixture
async def place(tmp_path: Path, template: Path) -> AsyncIterator[House]:
    async with house(tmp_path, template) as made:
        yield made


async def kept(place: House, policy: Any = QUALITY, *, growing: bool = False) -> tuple[str, int]:
    """A recording in the vault and its objection: (id, entry of the consent log)."""
    call, rec_id, kek_id = plan(policy), secrets.token_hex(16), secrets.token_hex(16)
    decision = call.recording
    seq = await place.book.note(call, act("a"), NOW)
    public, _ = key_tools.generate_kek()
    period = f"2026-W47.{secrets.randbelow(10**6)}"
    async with place.db.transaction() as tx:
        kek = Kek(kek_id, decision.pack, period, "MLKEM768-X25519", public, b"s" * 64, NOW, NOW + timedelta(days=7))
        await keys.add_kek(tx, kek, ())
        await recordings.start(
            tx, rec_id, call_id=call.call_id, purpose=decision.pack, pack_version=decision.pack_version,
            legal_basis=decision.legal_basis, expires_at=NOW + timedelta(days=180), codec="opus", rate_hz=8000,
            channels=2, started_at=NOW, kek_id=kek_id, parties=[Party(0, "1" * 32, None, "0612345678")],
            consent_refs=[seq],
        )  # fmt: skip
        await keys.add_rec_key(tx, RecKey(rec_id, kek_id, "MLKEM768-X25519", WRAP))
    vault.make_place(place.vault_dir, rec_id)
    (place.part if growing else place.sealed)(rec_id).write_bytes(b"sealed audio")
    return rec_id, await place.objected(rec_id, call)


def holding(directory: Path, mark: bytes) -> list[str]:
    return [path.name for path in directory.glob("beffroi.sqlite3*") if mark in path.read_bytes()]


async def receipt_of(place: House, rec_id: str) -> tuple[dict[str, Any], receipts_of.Receipt]:
    """Entry of the erasure log, and the receipt that it names."""
    (entry,) = [entry for entry in await place.entries("erasure") if entry["rec_id"] == rec_id]
    async with place.db.read() as tx:
        stored = await receipts.get(tx, entry["receipt_id"])
    assert hashlib.sha256(stored.body.encode()).hexdigest() == entry["receipt_sha256"]
    return entry, receipts_of.parse(stored.body)


@pytest.mark.promise("L3", "2.12")
@pytest.mark.parametrize("growing", [False, True], ids=["sealed", "growing"])
async def test_key_file_and_index_go_and_a_signed_receipt_proves_it(
    place: House, tmp_path: Path, growing: bool
) -> None:
    rec_id, seq = await kept(place, growing=growing)
    made = await place.destruction.on_objection(rec_id, seq, NOW)
    assert place.files() == [] and not await place.has_key(rec_id)
    async with place.db.read() as tx:
        assert await recordings.with_number(tx, "0612345678") == ()
        assert await recordings.parties(tx, rec_id) == ()
        assert await ledger_verify.verify(tx, place.ledger_public) == []
    entry, receipt = await receipt_of(place, rec_id)
    assert made == receipt
    receipts_of.verify(receipt, place.kek_signer.public_key())
    assert receipt.trigger == "objection" and receipt.ledger_seq == seq == entry["consent_refs"][0]
    assert receipt.verification == {"wraps_gone": True, "bytes_gone": True, "index_gone": True}
    assert not holding(tmp_path, WRAP[:64]), "the key's wrap is still in the database's files"


async def test_a_receipt_that_was_altered_proves_nothing(place: House) -> None:
    rec_id, seq = await kept(place)
    receipt = await place.destruction.on_objection(rec_id, seq, NOW)
    assert receipt is not None
    forged = receipts_of.parse(receipt.to_json().replace("objection", "admin_order"))
    with pytest.raises(receipts_of.ReceiptError):
        receipts_of.verify(forged, place.kek_signer.public_key())


async def test_neither_receipt_nor_log_names_anybody(place: House) -> None:
    rec_id, seq = await kept(place)
    receipt = await place.destruction.on_objection(rec_id, seq, NOW)
    assert receipt is not None
    said = receipt.to_json() + json.dumps(await place.entries("erasure"))
    assert "0612345678" not in said and "Alice" not in said
    assert rec_id not in receipt.to_json(), "it tells which recording only to who knows its id"
    assert not re.search(r"\b0\d{9}\b", said)


async def test_a_second_objection_is_harmless(place: House) -> None:
    rec_id, seq = await kept(place)
    assert await place.destruction.on_objection(rec_id, seq, NOW) is not None
    assert await place.destruction.on_objection(rec_id, seq, NOW) is None
    assert len(await place.entries("erasure")) == 1


async def test_two_objections_at_once_give_one_receipt(place: House) -> None:
    """Both sides may press the key in the same second."""
    rec_id, seq = await kept(place)
    made = await asyncio.gather(*(place.destruction.on_objection(rec_id, seq, NOW) for _ in range(3)))
    assert sum(receipt is not None for receipt in made) == 1
    assert len(await place.entries("erasure")) == 1


async def test_an_objection_to_a_recording_that_never_was_is_harmless(place: House) -> None:
    assert await place.destruction.on_objection(secrets.token_hex(16), 1, NOW) is None
    assert await place.entries("erasure") == []


async def test_an_objection_that_could_not_be_written_down_destroys_all_the_same(place: House) -> None:
    rec_id, _ = await kept(place)
    receipt = await place.destruction.on_objection(rec_id, None, NOW)
    assert receipt is not None and receipt.ledger_seq is None
    assert (await place.entries("erasure"))[0]["consent_refs"] == []


async def test_what_its_pack_keeps_is_not_touched(place: House) -> None:
    rec_id, seq = await kept(place, MIFID)
    with pytest.raises(DestructionRefused):
        await place.destruction.on_objection(rec_id, seq, NOW)
    assert place.files() == [f"{rec_id}.rec"] and await place.has_key(rec_id)
    assert await place.entries("erasure") == []


@pytest.mark.promise("L3")
async def test_while_a_byte_is_left_there_is_no_receipt(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rec_id, seq = await kept(place)
    monkeypatch.setattr("server.destruction.vault.remove", lambda *_: None)
    with pytest.raises(DestructionIncomplete) as left:
        await place.destruction.on_objection(rec_id, seq, NOW)
    assert left.value.remains.files == 1
    assert not await place.has_key(rec_id), "the key went first: what is left opens for nobody"
    assert await place.entries("erasure") == []
    monkeypatch.undo()
    assert await place.destruction.on_objection(rec_id, seq, NOW) is not None
    assert place.files() == []
    await receipt_of(place, rec_id)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("empty_log", Unavailable("a reader holds the log")),
        ("remove_bytes", OSError(30, "Read-only file system")),
        ("remove_bytes", vault.VaultError("the recording's file is still there")),
    ],
)
async def test_what_failed_halfway_is_finished_at_the_next_try(
    place: House, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    async def fails(*_: object) -> None:
        raise error

    rec_id, seq = await kept(place)
    monkeypatch.setattr(place.db if where == "empty_log" else RecordingErasable, where, fails)
    with pytest.raises(type(error)):
        await place.destruction.on_objection(rec_id, seq, NOW)
    assert await place.entries("erasure") == []
    monkeypatch.undo()
    assert await place.destruction.on_objection(rec_id, seq, datetime.now(UTC)) is not None
    assert place.files() == []
    await receipt_of(place, rec_id)


async def test_what_came_back_after_its_destruction_is_destroyed_again(place: House) -> None:
    """A file that somebody has put back, from a backup perhaps."""
    rec_id, seq = await kept(place)
    await place.destruction.on_objection(rec_id, seq, NOW)
    vault.make_place(place.vault_dir, rec_id)
    place.sealed(rec_id).write_bytes(b"sealed audio")
    assert await place.destruction.on_objection(rec_id, seq, NOW) is not None
    assert place.files() == []


async def test_what_remains_is_looked_for_in_the_stores_themselves(place: House) -> None:
    rec_id, seq = await kept(place)
    erasable = RecordingErasable(place.db, place.vault_dir, lambda: NOW)
    left = await erasable.remains(rec_id)
    assert (left.wraps, left.files, left.index_entries) == (1, 1, 1)
    await place.destruction.on_objection(rec_id, seq, NOW)
    assert (await erasable.remains(rec_id)).nothing
    with pytest.raises(NotFound):
        await erasable.remains(secrets.token_hex(16))


@pytest.mark.promise("3.9", "L3")
async def test_a_hold_that_is_laid_after_the_plan_is_seen_when_the_key_would_go(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the decision and the destruction somebody lays a hold: the flag counts from its own commit."""
    rec_id, seq = await kept(place)
    real = RecordingErasable.destroy_key

    async def late(erasable: RecordingErasable, item_id: str) -> None:
        about = About("A-17", "the court", "the DPO", "a claim", rec_id)
        async with place.db.transaction() as tx:
            await holds.add(tx, "h" * 32, "recording", about, ids=[rec_id], now=NOW, review_at=NOW + timedelta(days=9))
        await real(erasable, item_id)

    monkeypatch.setattr(RecordingErasable, "destroy_key", late)
    with pytest.raises(DestructionRefused, match="legal hold"):
        await place.destruction.on_objection(rec_id, seq, NOW)
    assert await place.has_key(rec_id) and place.sealed(rec_id).exists() and await place.entries("erasure") == []
    assert (await place.row(rec_id)).expires_at <= NOW, "it goes once the hold is lifted"
