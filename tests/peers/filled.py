"""A house as it is after years: calls and recordings in any number, sealed, indexed and aged as in life, but inserted
many at a time. For benches."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import insert

from config import metadata_ages
from config import packs as pack_data
from recording import keys as key_tools
from recording import vault
from retention.ageing import Aging, aged, month_of
from server.services.context import Services
from storage import key_slots, keys, lines, month_keys, tables
from storage.keys import Kek
from storage.numbers import digest
from storage.tx import Tx
from storage.types import canonical_json

AT_ONCE = 2000
NUMBERS = 5000
LINES = 30
EXTENSIONS = tuple(f"1{n:02d}" for n in range(50))
WRAP = bytes(range(1, 169)) * 7
DUE_CALLS, DUE_RECORDINGS = 20_000, 5_000  # at most, of all: what a day may bring
_CALLS_KEPT, _RECORDINGS_KEPT = timedelta(days=180), timedelta(days=90)
"""However many there are, they have come evenly since then."""


async def fill(
    services: Services,
    calls: int,
    recs: int,
    now: datetime,
    extensions: Sequence[str] = EXTENSIONS,
    *,
    due: bool = True,
) -> None:
    """`due`: at most a tenth of both is overdue; else nothing. `extensions` are called one after the other."""
    public, _ = key_tools.generate_kek()
    kek = Kek("e" * 32, "REC_QUALITY", "2026-W01.1", "X", public, b"s" * 64, now, now + timedelta(days=7))
    async with services.db.transaction() as tx:
        await keys.add_kek(tx, kek, ())
        index = [await digest(tx, f"+336{n:08d}") for n in range(NUMBERS)]
        called = [(one, await digest(tx, one)) for one in extensions]
        by_line = [await _add_line(tx, n, now) for n in range(LINES)]
    overdue = min(DUE_CALLS, calls // 10) if due else 0
    hashes: dict[tuple[str, str], bytes] = {}
    for start in range(0, calls, AT_ONCE):
        some = range(start, min(start + AT_ONCE, calls))
        async with services.db.transaction() as tx:
            await _add_calls(tx, some, overdue, _CALLS_KEPT / calls, index, called, by_line, hashes, now)
    overdue = min(DUE_RECORDINGS, recs // 10) if due else 0
    for start in range(0, recs, AT_ONCE):
        some = range(start, min(start + AT_ONCE, recs))
        async with services.db.transaction() as tx:
            ids = await _add_recordings(tx, some, overdue, _RECORDINGS_KEPT / recs, index, kek.id, now)
        for n, rec_id in zip(some, ids, strict=True):
            if n < overdue:
                vault.make_place(services.paths.vault, rec_id)
                vault.sealed_path(services.paths.vault, rec_id).write_bytes(b"sealed")


async def _add_line(tx: Tx, n: int, now: datetime) -> str:
    pack = "REC_QUALITY" if n % 3 else "REC_NONE"
    return (await lines.add(tx, f"line{n}", f"8{n:02d}", now, pack=pack, metadata_class="standard")).id


async def _add_calls(
    tx: Tx, some: range, due: int, apart: timedelta, index: list[bytes], called: list[tuple[str, bytes]],
    by_line: list[str], hashes: dict[tuple[str, str], bytes], now: datetime,
) -> None:  # fmt: skip
    """Each as the sweeps would have made it by now: numbers in full, as hashes of their month, or gone."""
    records, peers, keyed = [], [], []
    ages, packs = metadata_ages.load(), pack_data.load()
    for n in some:
        gone, call_id = now + apart * (n - due), secrets.token_hex(16)
        began, number = gone - _CALLS_KEPT, f"+336{n % NUMBERS:08d}"
        extension, extension_index = called[n % len(called)]
        fields = {
            "call_id": call_id, "line_id": by_line[n % LINES], "direction": "inbound", "duration_s": n % 600,
            "start": began.isoformat(timespec="seconds"), "trunk": "carrier", "cause": "caller-hung-up",
        }  # fmt: skip
        fresh = Aging(call_id, "standard", began, gone, fields, {"caller": number, "callee": extension})
        one = aged(fresh, ages, now, packs)
        records.append(
            {
                "id": call_id, "line_id": by_line[n % LINES], "metadata_class": "standard", "purpose": "p",
                "legal_basis": "b", "at": one.at, "expires_at": one.expires_at, "recording_id": None,
                "ages_at": one.ages_at,
                "fields_sealed": tx.keys.seal("call_records", "fields", call_id, canonical_json(dict(one.fields))),
                "numbers_sealed": tx.keys.seal("call_records", "numbers", call_id, canonical_json(dict(one.numbers))),
            }
        )  # fmt: skip
        if one.numbers:
            peers.append({"call_id": call_id, "role": "caller", "digest": index[n % NUMBERS]})
            peers.append({"call_id": call_id, "role": "callee", "digest": extension_index})
        for role, known in one.to_key.items():
            month = month_of(began)
            if (month, known) not in hashes:
                hashes[month, known] = await month_keys.digest(tx, month, known, now)
            keyed.append({"call_id": call_id, "role": role, "digest": hashes[month, known]})
    await tx.write_each(insert(tables.call_records), records)
    await tx.write_each(insert(tables.call_peers), peers)
    await tx.write_each(insert(tables.call_month_peers), keyed)


async def _add_recordings(
    tx: Tx, some: range, due: int, apart: timedelta, index: list[bytes], kek_id: str, now: datetime
) -> list[str]:
    rows, peers, wraps = [], [], []
    for n in some:
        gone, rec_id = now + apart * (n - due), secrets.token_hex(16)
        party = {"channel": 0, "leg_id": "1" * 32, "account_id": None, "number": f"+336{n % NUMBERS:08d}"}
        rows.append(
            {
                "id": rec_id, "state": "whole", "started_at": gone - _RECORDINGS_KEPT, "ended_at": now,
                "expires_at": gone, "call_id": secrets.token_hex(16), "purpose": "REC_QUALITY", "pack_version": "1",
                "legal_basis": "b", "codec": "opus", "rate_hz": 8000, "channels": 2, "duration_ms": 1, "size_bytes": 1,
                "sha256": "0", "kek_id": kek_id, "consent_refs": [1],
                "parties_sealed": tx.keys.seal("recordings", "parties", rec_id, canonical_json([party])),
            }
        )  # fmt: skip
        peers.append({"recording_id": rec_id, "channel": 0, "digest": index[n % NUMBERS]})
        wraps.append({"rec_id": rec_id, "kek_id": kek_id, "alg": "X", "slot": await key_slots.fill(tx, WRAP)})
    await tx.write_each(insert(tables.recordings), rows)
    await tx.write_each(insert(tables.recording_peers), peers)
    await tx.write_each(insert(tables.rec_keys), wraps)
    return [row["id"] for row in rows]
