"""The centre by script as a process: it counts, brings again what nobody acknowledged, and writes it down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sms.carriers.carrier import Accepted, Health, Unknown
from tests.sms.carriers.house import Memory, becomes, part, running, settings


@contextlib.asynccontextmanager
async def process(*options: str | Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "tests.peers.smsc", "0", *map(str, options)]
    centre = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2])
    assert centre.stdin is not None and centre.stdout is not None
    try:
        yield centre, int((await centre.stdout.readline()).split()[1])
    finally:
        centre.stdin.close()
        await centre.wait()


def events(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


async def test_it_writes_down_what_it_took_and_what_was_acknowledged(tmp_path: Path):
    journal, memory = tmp_path / "journal", Memory()
    async with (
        process("--journal", journal, "--receipts") as (centre, port),
        running(settings(port), memory) as carrier,
    ):
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part("one")) == Accepted("00000001")
        assert centre.stdin is not None
        centre.stdin.write(b'{"id": "m1", "from": "33612345678", "to": "36105", "text": "STOP"}\n')
        await memory.until(lambda: len(memory.receipts) == 1 and len(memory.parts) == 1)
        assert "00000001" in memory.receipts[0].message_ids
        while len([one for one in events(journal) if one["event"] == "ack"]) < 2:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    happened = events(journal)
    assert [one["event"] for one in happened][:2] == ["bind", "submit"]
    assert happened[1]["data"] == b"one".hex()
    acknowledged = {one["id"]: one["status"] for one in happened if one["event"] == "ack"}
    assert acknowledged == {"receipt 00000001": 0, "m1": 0}


async def test_it_cuts_the_link_after_taking_and_brings_again_what_was_not_acknowledged(tmp_path: Path):
    journal, memory = tmp_path / "journal", Memory()
    memory.gate.clear()
    async with (
        process("--journal", journal, "--hang-up-after", "2") as (centre, port),
        running(settings(port), memory) as carrier,
    ):
        await becomes(carrier, Health.UP)
        assert centre.stdin is not None
        centre.stdin.write(b'{"id": "m1", "from": "33612345678", "to": "36105", "text": "STOP"}\n')
        await memory.until(lambda: memory.begun == 1)
        assert isinstance(await carrier.submit(part("one")), Accepted)
        assert isinstance(await carrier.submit(part("two")), Unknown)
        memory.gate.set()
        await memory.until(lambda: len(memory.parts) == 2)
        assert memory.parts[0].link != memory.parts[1].link
    taken = [bytes.fromhex(one["data"]) for one in events(journal) if one["event"] == "submit"]
    assert taken == [b"one", b"two"]


async def test_it_falls_silent_when_told(tmp_path: Path):
    async with (
        process("--silent-after", "1", "--delay-ms", "1") as (_, port),
        running(settings(port, response_s=3.0, goodbye_s=0.1)) as carrier,
    ):
        await becomes(carrier, Health.UP)
        assert isinstance(await carrier.submit(part("one")), Accepted)
        assert await carrier.submit(part("two")) == Unknown("no answer within 3 s")
