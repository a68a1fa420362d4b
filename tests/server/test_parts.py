"""One call, several recordings: each with its gaps, found from the call and from each other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.services.context import open_services
from storage import call_records, keys, recordings
from storage.call_records import CallRecord
from storage.keys import Kek
from storage.recordings import Party
from tests.server.conftest import Ran

CALL, OTHER_CALL = "ca" * 16, "cb" * 16
FIRST, SECOND, OTHER = "a1" * 16, "a2" * 16, "a3" * 16
OUTSIDE = "+33612345678"


async def _filled(data: Path) -> None:
    now = datetime.now(UTC)
    async with open_services(data) as services, services.db.transaction() as tx:
        kek = Kek(secrets.token_hex(8), "REC_QUALITY", "2026-W47.9", "a", b"p", b"s", now, now + timedelta(days=7))
        await keys.add_kek(tx, kek, [])
        for n, (rec_id, call_id, heard) in enumerate(
            ((FIRST, CALL, OUTSIDE), (SECOND, CALL, "103"), (OTHER, OTHER_CALL, "104"))
        ):
            began = now + timedelta(minutes=n)
            await recordings.start(
                tx, rec_id, call_id=call_id, purpose="REC_QUALITY", pack_version="1", legal_basis="x",
                expires_at=now + timedelta(days=90), codec="opus", rate_hz=8000, channels=2, started_at=began,
                kek_id=kek.id, parties=[Party(0, "leg-a", None, heard), Party(1, "leg-b", None, "102")],
                consent_refs=[1],
            )  # fmt: skip
            await recordings.finish(tx, rec_id, state="whole", ended_at=began, duration_ms=61_000, size_bytes=9,
                                    sha256="ab" * 32)  # fmt: skip
        await recordings.add_gaps(tx, FIRST, [(30_000, 45_000, "pause"), (5000, 9000, "hold")])
        record = CallRecord(CALL, None, "minimal", "service", "x", now, now + timedelta(days=1), {}, FIRST)
        await call_records.add(tx, record, {"caller": OUTSIDE})


@pytest.fixture
def filled(data: Path) -> None:
    asyncio.run(_filled(data))


@pytest.mark.promise("P4")
def test_a_call_names_all_its_recordings_in_order(beffroi: Callable[..., Ran], filled: None):
    said = beffroi("calls", "show", CALL, "--json").json
    assert [(one["id"], one["state"], one["duration_ms"]) for one in said["recordings"]] == [
        (FIRST, "whole", 61_000), (SECOND, "whole", 61_000)]  # fmt: skip
    assert said["recording_id"] == FIRST
    assert f"{FIRST[:12]} whole 1:01, {SECOND[:12]} whole 1:01" in " ".join(beffroi("calls", "show", CALL).out.split())


@pytest.mark.promise("P4")
def test_a_recording_names_its_gaps_and_the_parts_of_its_call(beffroi: Callable[..., Ran], filled: None):
    said = beffroi("recordings", "show", FIRST, "--json").json
    assert said["gaps"] == [
        {"start_ms": 5000, "end_ms": 9000, "why": "hold"},
        {"start_ms": 30_000, "end_ms": 45_000, "why": "pause"},
    ]
    assert said["parts"] == [FIRST, SECOND]
    assert "0:05-0:09 hold, 0:30-0:45 pause" in beffroi("recordings", "show", FIRST).out
    other = beffroi("recordings", "show", OTHER, "--json").json
    assert (other["gaps"], other["parts"]) == ([], [OTHER])


def test_filters_find_the_parts(beffroi: Callable[..., Ran], filled: None):
    def ids(*words: str) -> list[str]:
        return [one["id"] for one in beffroi("recordings", "list", *words, "--json").json]

    assert ids("--call", CALL) == [FIRST, SECOND]
    assert ids("--call", CALL, "--limit", "1") == [FIRST]
    assert ids("--call", "0" * 32) == []
    assert ids("--number", OUTSIDE, "--reason", "x") == [FIRST]
    assert ids("--number", "102", "--call", OTHER_CALL, "--reason", "x") == [OTHER]
    assert ids("--call", CALL, "--states", "cut") == []
    assert len(ids()) == 3
