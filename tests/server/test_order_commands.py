"""`recordings destroy`, `recordings event` and `retention erase` as they are typed, without a daemon."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import packs
from recording import keys as key_tools
from recording import vault
from server.services.context import open_services
from storage import keys, ledger, recordings
from storage.keys import Kek, RecKey
from storage.recordings import Party
from tests.server.conftest import Ran

pytestmark = [pytest.mark.promise("L3", "2.12")]
NUMBER = "+33612345678"
WHY = ("--reason", "Mr Dubois has asked", "--case", "R-5")


def recorded(data: Path, pack: str) -> str:
    """One of yesterday."""
    rec_id, kek_id, known = secrets.token_hex(16), secrets.token_hex(16), packs.load()[pack]
    now = datetime.now(UTC)
    began, public = now - timedelta(days=1), key_tools.generate_kek()[0]
    wait = known.retention if known.start_event == "recording_end" else known.provisional
    assert wait is not None

    async def insert() -> None:
        async with open_services(data) as services:
            async with services.db.transaction() as tx:
                period = f"2026-W40.{secrets.randbelow(10**6)}"
                await keys.add_kek(tx, Kek(kek_id, pack, period, "X", public, b"s" * 64, began, now), ())
                await recordings.start(
                    tx, rec_id, call_id=secrets.token_hex(16), purpose=pack, pack_version=known.version,
                    legal_basis=known.legal_basis, expires_at=wait.after(began), codec="opus", rate_hz=8000,
                    channels=2, started_at=began, kek_id=kek_id, parties=[Party(0, "1" * 32, None, NUMBER)],
                    consent_refs=[1],
                )  # fmt: skip
                await keys.add_rec_key(tx, RecKey(rec_id, kek_id, "X", b"\x01" * 1025))
                await recordings.finish(
                    tx, rec_id, state="whole", ended_at=began, duration_ms=1, size_bytes=1, sha256="0"
                )
            vault.make_place(services.paths.vault, rec_id)
            vault.sealed_path(services.paths.vault, rec_id).write_bytes(b"sealed audio")

    asyncio.run(insert())
    return rec_id


def logged(data: Path) -> str:
    async def read() -> str:
        async with open_services(data) as services, services.db.read() as tx:
            entries = [entry.body for log in ("access", "erasure") for entry in await ledger.entries(tx, log)]
        return "\n".join(json.dumps(json.loads(body)) for body in entries)

    return asyncio.run(read())


def test_destroy_from_the_dry_run_to_the_receipt(data: Path, beffroi: Callable[..., Ran]) -> None:
    rec_id, law = recorded(data, "REC_QUALITY"), recorded(data, "REC_MIFID")
    first = (rec_id[:8], "--because", "withdrawal", *WHY)
    foretold = beffroi("recordings", "destroy", *first, "--dry-run", "--json").json
    assert (foretold["goes"], foretold["done"], foretold["receipt"]) == (True, False, None)
    refused = beffroi("recordings", "destroy", law, "--because", "order", *WHY, "--dry-run")
    assert refused.status == 1 and "minimum period of REC_MIFID" in refused.out
    refused = beffroi("recordings", "destroy", law, "--because", "order", *WHY)
    assert refused.status == 1 and "it stays: minimum period" in refused.err and "Ask again after" in refused.err
    done = beffroi("recordings", "destroy", *first, "--json").json
    assert done["done"] and done["backup_effective_at"] > done["live_erased_at"]
    receipt = beffroi("ledger", "receipt", done["receipt"], "--json").json
    assert receipt["genuine"] and receipt["in_log"] and receipt["receipt"]["trigger"] == "consent_withdrawn"
    assert beffroi("recordings", "show", law, "--json").json["state"] == "whole"
    text = logged(data)
    assert NUMBER[3:] not in text and "Dubois" not in text and "R-5" not in text
    assert beffroi("ledger", "verify", "--json").json["sound"]


def test_what_is_typed_wrongly_is_refused_before_anything_is_touched(data: Path, beffroi: Callable[..., Ran]) -> None:
    rec_id = recorded(data, "REC_CONTRACT")
    assert beffroi("recordings", "destroy", rec_id, "--because", "boredom", *WHY).status == 2
    assert beffroi("recordings", "destroy", rec_id, "--because", "order").status == 2
    assert beffroi("recordings", "event", rec_id, "contract_concluded", "--on", "yesterday", *WHY).status == 2
    assert beffroi("retention", "erase", NUMBER, "--reason", "they asked").status == 2
    assert beffroi("recordings", "show", rec_id, "--json").json["state"] == "whole"


def test_an_event_moves_the_end(data: Path, beffroi: Callable[..., Ran]) -> None:
    rec_id, day = recorded(data, "REC_CONTRACT"), datetime.now(UTC).date().isoformat()
    before = beffroi("recordings", "show", rec_id, "--json").json
    assert (before["waits_for"], before["event_on"]) == ("contract_concluded", None)
    said = beffroi("recordings", "event", rec_id, "contract_concluded", "--on", day, *WHY, "--json").json
    assert said["expires_at"] > said["expired_before"] and not said["corrected"] and not said["due"]
    shown = beffroi("recordings", "show", rec_id, "--json").json
    assert (shown["expires_at"], shown["waits_for"], shown["event_on"]) == (said["expires_at"], None, day)
    again = beffroi("recordings", "event", rec_id, "contract_concluded", "--on", day, *WHY)
    assert again.status == 1 and f"entered already, on {day}" in again.err


def test_a_request_says_of_each_thing_what_becomes_of_it(data: Path, beffroi: Callable[..., Ran]) -> None:
    quality, law = recorded(data, "REC_QUALITY"), recorded(data, "REC_MIFID")
    assert beffroi("contact", "suppress", "add", NUMBER).status == 0
    foretold = beffroi("retention", "erase", "06 12 34 56 78", *WHY, "--dry-run", "--json").json
    assert {one["id"]: one["answer"] for one in foretold["items"] if one["kind"] == "recording"} == {
        quality: "erase",
        law: "keep",
    }
    said = beffroi("retention", "erase", NUMBER, *WHY)
    assert "1 gone, 2 kept, 0 to decide, 0 in use" in said.out
    assert "without it the objection could not be respected (GDPR 21(3), 17(3)(b))" in said.out
    assert NUMBER[3:] not in said.out + logged(data)
    states = {one: beffroi("recordings", "show", one, "--json").json["state"] for one in (quality, law)}
    assert states == {quality: "destroyed", law: "whole"}
    assert "0 gone, 2 kept" in beffroi("retention", "erase", NUMBER, *WHY).out
