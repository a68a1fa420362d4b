"""Killed and cut off a hundred times: each text is delivered once or visibly in doubt, nothing acknowledged is gone.

The message centre is a process of its own, which counts what it is given and remembers what it was told; the queue and
the intake are the product's, on a database file, killed by SIGKILL in the middle of whatever they do.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recording import keys as key_tools
from sms import sealing
from storage import inboxes, keys, sms_received, sms_sent
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from storage.keys import Kek

ROOT = Path(__file__).resolve().parents[2]
LIVES, TEXTS, BROUGHT = 100, 6, 3  # in each life: texts that are added, texts that are brought
FINAL = {"sent", "delivered", "unknown"}


async def started(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, cwd=ROOT, stdin=pipe, stdout=pipe)


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


def say(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n".encode())


@pytest.mark.promise("P21", "1.16")
@pytest.mark.timeout(400)
async def test_a_hundred_kills_and_cut_links(tmp_path: Path) -> None:
    dice = random.Random(20261129)  # noqa: S311
    field_keys, at = FieldKeys.generate(), datetime.now(UTC)
    (tmp_path / "field.key").write_bytes(field_keys.to_json())
    secret = await house(tmp_path, field_keys, at)
    journal = tmp_path / "journal"
    centre = await started("tests.peers.smsc", "0", "--journal", str(journal), "--receipts", "--delay-ms", "3",
                           "--hang-up-after", "61")  # fmt: skip
    port = (await line(centre)).split()[1]
    engine = await started("tests.peers.text_engine", str(tmp_path), port)
    try:
        for life in range(LIVES):
            say(engine, str(TEXTS))
            pid = json.loads(await line(engine))["pid"]
            for number in range(BROUGHT):
                said = {"id": f"in {life}.{number}", "from": "33612345678", "to": "33162000001",
                        "text": f"in {life}.{number}"}  # fmt: skip
                say(centre, json.dumps(said))
            assert await line(engine) == "up"
            await asyncio.sleep(dice.uniform(0.0, 0.12))
            os.kill(pid, signal.SIGKILL)
            assert await line(engine) == "gone"
        say(engine, "quiet")
        pid = json.loads(await line(engine))["pid"]
        assert await line(engine) == "up"
        await settled(tmp_path, field_keys, journal)
        os.kill(pid, signal.SIGKILL)
        await line(engine)
    finally:
        for process in (engine, centre):
            process.kill()
            await process.wait()
    await compare(tmp_path, field_keys, journal, secret)


async def house(directory: Path, field_keys: FieldKeys, at: datetime) -> dict[str, bytes]:
    """An inbox with its key; the secret that a reader would have, by KEK."""
    database = await Database.open(sqlite_url(directory / "texts.sqlite3"), field_keys)
    found = {}
    async with database.transaction() as tx:
        box = await inboxes.add(tx, "sales", "team", at)
        sealed = await inboxes.sealed_box(tx, at)
        await inboxes.add_sender(
            tx, box.id, "+33162000001", "number", at, classes=["conversation"], approved_by="a" * 32
        )
        for one in (box, sealed):
            public, found_secret = key_tools.generate_kek()
            kek = Kek(secrets.token_hex(16), one.purpose, "2026-W48.1", "X", public, b"s", at, at + timedelta(days=7))
            await keys.add_kek(tx, kek, ())
            found[kek.id] = found_secret
    await database.close()
    return found


def written(journal: Path) -> list[dict[str, str]]:
    return [json.loads(text) for text in journal.read_text().splitlines()]


async def settled(directory: Path, field_keys: FieldKeys, journal: Path) -> None:
    """Until nothing waits any more, here or there."""
    database = await Database.open(sqlite_url(directory / "texts.sqlite3"), field_keys)
    try:
        async with asyncio.timeout(120):
            while True:
                async with database.read() as tx:
                    waiting = await sms_sent.waiting(tx)
                events = written(journal)
                acknowledged = {one["id"] for one in events if one["event"] == "ack"}
                brought = sum(name.startswith("in ") for name in acknowledged)
                receipts = len(acknowledged) - brought
                given = sum(one["event"] == "submit" for one in events)
                if not waiting.keys() - {"unknown"} and brought == LIVES * BROUGHT and receipts == given:
                    return
                await asyncio.sleep(0.2)
    finally:
        await database.close()


async def compare(directory: Path, field_keys: FieldKeys, journal: Path, secret: dict[str, bytes]) -> None:
    events = written(journal)
    given = Counter(bytes.fromhex(one["data"]).decode() for one in events if one["event"] == "submit")
    database = await Database.open(sqlite_url(directory / "texts.sqlite3"), field_keys)
    try:
        async with database.read() as tx:
            texts = await sms_sent.list_all(tx, limit=10_000)
            received = await sms_received.list_all(tx, limit=10_000)
            bodies = await sms_received.bodies(tx, [one.id for one in received])
    finally:
        await database.close()
    assert set(given.values()) == {1}, "a text was given to the network twice"
    states = Counter(one.state for one in texts)
    assert set(states) <= FINAL
    # Whatever the network was given is sent or in doubt, and what is in doubt is at most what may not have arrived.
    certain = states["sent"] + states["delivered"]
    assert certain <= len(given) <= certain + states["unknown"]
    assert states["delivered"] > 0 and states["unknown"] > 0, states

    words = Counter(
        sealing.said(sealing.open_received(secret[one.kek_id], one.id, "inbox.sales", one.kek_id, one.body_sealed))
        for one in bodies
    )
    acknowledged = {one["id"] for one in events if one["event"] == "ack" and one["id"].startswith("in ")}
    assert acknowledged == set(words), "what was acknowledged is not what is kept"
    assert set(words.values()) == {1}, "a text that came once is kept twice"
