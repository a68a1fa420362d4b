"""What must hold in every state that a crash may leave, before anything is mended and after."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recording import vault
from retention import receipt as receipts_of
from server.services.context import Services, open_services
from storage import call_records, evidence, keys, ledger, ledger_verify, receipts, recordings, sweeps
from tests.faults import scenes
from tests.faults.disk import Picture
from tests.faults.house import Facts, Known, wrap_of


@dataclass(frozen=True)
class Claims:
    """What the erasure log says is done. `destroyed`, `keks`: id of a recording or a key to receipts; `calls`: how many
    call records."""

    destroyed: Mapping[str, int]
    calls: int
    keks: Mapping[str, int]


async def judge(data: Path, picture: Picture, name: str, facts: Facts) -> None:
    """Open a data directory as a crash left it, take up what was begun, and look. AssertionError says what is wrong."""
    if name == "secure":
        await _judge_secured(data, picture, facts)
        return
    async with open_services(data) as services:
        claims = await _claims(services)
        _nothing_false(claims, picture, facts)
        for known in facts.recordings:
            await _whole_or_under_way(services, known)
        ordered = await _ordered(services, name, facts)
        await scenes.recover(services)
        await _settled(services, facts, ordered=ordered)
        if not ordered:  # nobody was told that it would go; it is asked for once more
            await scenes.SCENES[name].act(services, facts)
            await _settled(services, facts, ordered=True)
    _looked_through(data, facts)


async def _judge_secured(data: Path, picture: Picture, facts: Facts) -> None:
    """What is held is never without a key: that of its week, or that of the hold, as a whole."""
    [known] = facts.recordings
    async with open_services(data) as services:
        if (await _claims(services)).keks:
            assert _holding(picture, known.mark) == _holding(picture, facts.kek_mark) == [], "a receipt, and a key"
            assert _holding(picture, facts.held_mark), "the key of the week is gone before there is another"
        await _kept(services, facts)
        await scenes.recover(services)
        if not await _kept(services, facts):  # a flag: the reader unlocks once more
            await scenes.SCENES["secure"].act(services, facts)
        assert await _kept(services, facts) and (await _claims(services)).keks == {facts.kek_id: 1}
    _looked_through(data, Facts())
    found = _all_bytes(data)
    assert _holding(found, facts.held_mark) and not _holding(found, known.mark) + _holding(found, facts.kek_mark)


async def _kept(services: Services, facts: Facts) -> bool:
    """Whether the key of the hold keeps it; whole either way."""
    [known] = facts.recordings
    async with services.db.read() as tx:
        second = [one.wrap for one in await keys.held_keys(tx, rec_id=known.rec_id)]
        first = [one.wrap for one in await keys.list_rec_keys(tx, facts.kek_id)]
        assert (await recordings.get(tx, known.rec_id)).state == "whole"
        assert first in ([], [known.wrap]) and second in ([], [wrap_of(bytes.fromhex(facts.held_mark))])
        assert first or second, "nobody can open it any more"
    assert _content(services, known) == bytes.fromhex(known.content)
    return bool(second)


async def _claims(services: Services) -> Claims:
    destroyed: dict[str, int] = {}
    keks: dict[str, int] = {}
    calls = 0
    async with services.db.read() as tx:
        assert await ledger_verify.verify(tx, services.keys.ledger.public_key()) == []
        entries: list[dict[str, Any]] = [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]
        done = [entry for entry in entries if entry["complete"]]
        for entry in done:
            stored = await receipts.get(tx, entry["receipt_id"])
            receipt = receipts_of.parse(stored.body)
            receipts_of.verify(receipt, services.keys.ledger.public_key())
            if "rec_id" in entry:
                destroyed[entry["rec_id"]] = destroyed.get(entry["rec_id"], 0) + 1
            if "kek_id" in entry:
                keks[entry["kek_id"]] = keks.get(entry["kek_id"], 0) + 1
            if entry["object"] == "call":
                calls += entry["count"]
        assert len(await receipts.list_all(tx)) == len(done), "a receipt without its entry"
    return Claims(destroyed, calls, keks)


def _nothing_false(claims: Claims, picture: Picture, facts: Facts) -> None:
    """While anything of it is on the disk, nobody says that it is gone."""
    for known in facts.recordings:
        if known.rec_id in claims.destroyed:
            assert known.goes, "a receipt for what was to stay"
            assert _holding(picture, known.mark) == [], "a receipt, and the key is still there"
            assert [path for path in picture if known.rec_id in path] == [], "a receipt, and the file is still there"
    if claims.calls:
        assert claims.calls == len(facts.calls)
        assert [_holding(picture, mark) for mark in facts.call_marks if _holding(picture, mark)] == []


async def _whole_or_under_way(services: Services, known: Known) -> None:
    """Before anybody has mended anything: who is listed has key and file."""
    async with services.db.read() as tx:
        if (await recordings.get(tx, known.rec_id)).state != "destroyed":
            assert (await keys.rec_key(tx, known.rec_id)).wrap == known.wrap
            assert _content(services, known) == bytes.fromhex(known.content)
        else:
            assert known.goes


async def _ordered(services: Services, name: str, facts: Facts) -> bool:
    """Whether it was to go, as far as the disk knows."""
    if name != "objection":
        return True  # its time is over, whatever was begun
    async with services.db.read() as tx:
        return await evidence.objection_to(tx, facts.call_id, 0) is not None


async def _settled(services: Services, facts: Facts, *, ordered: bool) -> None:
    claims = await _claims(services)
    async with services.db.read() as tx:
        for known in facts.recordings:
            row = await recordings.get(tx, known.rec_id)
            if known.goes and ordered:
                assert row.state == "destroyed" and await keys.wraps(tx, known.rec_id) == 0
                assert claims.destroyed[known.rec_id] == 1, "one destruction, one receipt"
                assert _content(services, known) is None
            else:
                assert row.state in ("whole", "cut") and known.rec_id not in claims.destroyed
                assert (await keys.rec_key(tx, known.rec_id)).wrap == known.wrap
                assert _content(services, known) == bytes.fromhex(known.content)
        assert await sweeps.under_way(tx) == ()
        left = {record.id for record in await call_records.list_all(tx)}
        assert not left & set(facts.calls) and len(left) == bool(facts.calls)
    assert claims.calls == len(facts.calls)


def _looked_through(data: Path, facts: Facts) -> None:
    """After the end of the process that has taken it up, in every byte."""
    with closing(sqlite3.connect(data / "beffroi.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = _all_bytes(data)
    for known in facts.recordings:
        assert bool(_holding(found, known.mark)) is not known.goes, "a key: there or gone"
    assert [mark for mark in facts.call_marks if _holding(found, mark)] == []


def _all_bytes(data: Path) -> Picture:
    return {str(path): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def _content(services: Services, known: Known) -> bytes | None:
    for place in (vault.sealed_path, vault.growing_path):
        path = place(services.paths.vault, known.rec_id)
        if path.exists():
            return path.read_bytes()
    return None


def _holding(picture: Picture, mark: str) -> list[str]:
    piece = bytes.fromhex(mark)
    return [path for path, content in picture.items() if content is not None and piece in content]
