"""Zero orphans: each way in which rows, keys, files and proofs can disagree is planted, found, said, and left alone."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from config.places import LEFT_OVER
from recording import vault
from server import reconciler as module
from server.failure import Failure
from server.orphan_kinds import KINDS
from server.reconciler import Reconciler, is_time
from server.services import erasure
from server.services import orphans as service
from server.services import retention as retention_service
from server.services.actor import Actor
from storage import (
    access,
    key_slots,
    keys,
    ledger,
    ledger_verify,
    month_keys,
    orphans,
    receipts,
    reconciliation,
    recordings,
    tables,
)
from storage.errors import NotFound, Unavailable
from storage.keys import HeldKey
from tests.server.test_sweeper import DAY, DPO, NOW, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L10", "2.11", "3.11")]
GONE = "7" * 32


@pytest.fixture(autouse=True)
def _no_other_database(house: House) -> None:
    if not house.services.db.is_sqlite:
        house.services.paths.database.unlink(missing_ok=True)


async def look(house: House) -> dict[str, int]:
    said = await Reconciler(house.services).look()
    assert said is not None
    return dict(said.found)


async def kinds(house: House) -> list[str]:
    async with house.services.db.read() as tx:
        return [one.kind for one in await orphans.list_all(tx)]


async def plain(house: House, *statements: str, **values: object) -> None:
    """What no code of ours would do: foreign keys do not hold it back."""
    database = house.services.db
    async with database.transaction() as tx:
        await tx.conn.execute(text(_NO_CHECKS[database.is_sqlite]))
        for statement in statements:
            await tx.conn.execute(text(statement), values if ":" in statement else {})


_NO_CHECKS = {True: "PRAGMA defer_foreign_keys = ON", False: "SET LOCAL session_replication_role = replica"}


async def sealed(house: House) -> str:
    """A recording of which all is there, the consent it rests on included."""
    async with house.services.db.transaction() as tx:
        said = {"call_id": "c" * 32, "leg_id": "e" * 32, "act": "statute", "purpose": "REC_QUALITY"}
        if not await ledger.entries(tx, "consent"):
            await ledger.append(tx, "consent", said, NOW)
    return await house.recording(DAY)


async def test_an_instance_in_order_has_none(house: House) -> None:
    await sealed(house)
    await house.call(DAY)
    gone = await house.recording(-DAY)
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="show", now=NOW, reason="why")
    await house.sweeper.sweep()
    assert not await house.there(gone)
    assert await look(house) == {}
    async with house.services.db.read() as tx:
        newest = await orphans.newest_look(tx)
    assert newest is not None and newest.rows > 10 and newest.files > 50


async def _file_without_row(house: House) -> None:
    rec_id = secrets.token_hex(16)
    vault.make_place(house.services.paths.vault, rec_id)
    house.file(rec_id).write_bytes(b"sealed")


async def _row_without_file(house: House) -> None:
    house.file(await sealed(house)).unlink()


async def _part_unattended(house: House) -> None:
    rec_id = await sealed(house)
    part = vault.growing_path(house.services.paths.vault, rec_id)
    house.file(rec_id).rename(part)
    old = (NOW - timedelta(hours=3)).timestamp()
    os.utime(part, (old, old))
    await plain(house, "UPDATE recordings SET state = 'recording' WHERE id = :id", id=rec_id)


async def _unknown_file(house: House) -> None:
    (house.services.paths.data / "Mr Dubois.ogg").write_bytes(b"a copy")


async def _leftover(house: House) -> None:
    path = house.services.paths.keys / ".field.key.0a1b2c3d"
    path.write_bytes(b"half")
    old = (NOW - LEFT_OVER - DAY).timestamp()
    os.utime(path, (old, old))


async def _key_without_recording(house: House) -> None:
    rec_id = await sealed(house)
    house.file(rec_id).unlink()
    await plain(
        house,
        "DELETE FROM recording_peers WHERE recording_id = :id",
        "DELETE FROM recordings WHERE id = :id",
        id=rec_id,
    )


async def _recording_without_key(house: House) -> None:
    rec_id = await sealed(house)
    async with house.services.db.transaction() as tx:
        await keys.destroy_rec_key(tx, rec_id)


async def _index_without_owner(house: House) -> None:
    """Of a destroyed recording: a reference to nothing at all the databases refuse."""
    rec_id = await sealed(house)
    house.file(rec_id).unlink()
    async with house.services.db.transaction() as tx:
        await keys.destroy_rec_key(tx, rec_id)
    await plain(house, "UPDATE recordings SET state = 'destroyed' WHERE id = :id", id=rec_id)


async def _wrap_without_reader(house: House) -> None:
    await sealed(house)
    await plain(house, "INSERT INTO kek_wraps SELECT id, 'nobody', 'X', public FROM keks LIMIT 1")


async def _key_without_hold(house: House) -> None:
    rec_id = await sealed(house)
    async with house.services.db.transaction() as tx:
        week = await keys.rec_key(tx, rec_id)
        await keys.add_held_key(tx, HeldKey(rec_id, GONE, week.kek_id, week.alg, week.wrap))


async def _place_without_key(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await key_slots.fill(tx, b"the wrap of a key that nothing names")


async def _record_of_no_recording(house: House) -> None:
    await plain(
        house, "UPDATE call_records SET recording_id = :gone WHERE id = :id", gone=GONE, id=await house.call(DAY)
    )


async def _limit_of_nobody(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await tx.write(insert(tables.limits).values(owner=f"account:{GONE}", countries=[]))


async def _without_purpose(house: House) -> None:
    await plain(house, "UPDATE call_records SET legal_basis = '' WHERE id = :id", id=await house.call(DAY))


async def _without_expiry(house: House) -> None:
    call_id = await house.call(DAY)
    await plain(house, "UPDATE call_records SET expires_at = 0 WHERE id = :id", id=call_id)


async def _overdue(house: House) -> None:
    call_id = await house.call(timedelta(days=-3))
    await plain(house, "DELETE FROM call_diagnoses WHERE call_id = :id", id=call_id)


async def _unfinished_destruction(house: House) -> None:
    await plain(
        house, "INSERT INTO destructions (id, kind, items, begun_at) VALUES (:gone, 'call_record', '[]', 0)", gone=GONE
    )


async def _consent_missing(house: House) -> None:
    rec_id = await sealed(house)
    await plain(house, "UPDATE recordings SET consent_refs = '[99]' WHERE id = :id", id=rec_id)


async def _entry_without_reason(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="show", now=NOW, reason="why")
        said = json.loads((await ledger.entries(tx, "access"))[-1].body)
    await plain(house, "DELETE FROM access_reasons WHERE id = :id", id=said["reason_id"])


async def _reason_without_entry(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="show", now=NOW, reason="why")
        sealed_reason = tx.keys.seal_text("access_reasons", "reason", GONE, "Mrs Quetzal")
        await tx.write(insert(tables.access_reasons).values(id=GONE, reason_sealed=sealed_reason, at=NOW))


async def _entry_without_receipt(house: House) -> None:
    said = {"actor_id": "system", "action": "destroy", "object": "call", "receipt_id": GONE, "complete": True}
    async with house.services.db.transaction() as tx:
        await ledger.append(tx, "erasure", said, NOW)


async def _receipt_without_entry(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await receipts.add(tx, "8" * 32, "{}", NOW)


async def _head_without_leaves(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="show", now=NOW)
    await plain(house, "DELETE FROM ledger_entries")


async def _leaves_without_head(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="show", now=NOW)
    await plain(house, "DELETE FROM ledger_segments")


PLANTED: dict[str, Callable[[House], Awaitable[None]]] = {
    name[1:]: made for name, made in list(globals().items()) if name[1:] in KINDS
}
# Planted together: they do not disturb each other.
GROUPS = {
    "files": ("file_without_row", "row_without_file", "part_unattended", "unknown_file", "leftover"),
    "keys": ("key_without_recording", "recording_without_key", "wrap_without_reader", "key_without_hold",
             "place_without_key"),
    "rows": (
        "index_without_owner", "record_of_no_recording", "limit_of_nobody", "without_purpose", "without_expiry",
        "overdue", "unfinished_destruction",
    ),
    "proofs": (
        "consent_missing", "entry_without_reason", "reason_without_entry", "entry_without_receipt",
        "receipt_without_entry",
    ),
    "heads": ("head_without_leaves",),
    "leaves": ("leaves_without_head",),
}  # fmt: skip


def test_every_kind_is_planted_and_every_check_has_words() -> None:
    assert sorted(kind for group in GROUPS.values() for kind in group) == sorted(KINDS) == sorted(PLANTED)
    assert set(KINDS) >= set(reconciliation.CHECKS)
    for kind in KINDS.values():
        assert kind.what and kind.remedy and ("--remove" in kind.remedy) == kind.removable


@pytest.mark.parametrize("group", GROUPS)
async def test_each_is_found_said_left_alone_and_removed_only_on_order(house: House, group: str) -> None:
    expected = dict.fromkeys(GROUPS[group], 1)
    for kind in expected:
        await PLANTED[kind](house)
    before = await everything(house)
    assert await look(house) == expected
    assert await everything(house) == before, "looking removes nothing"
    said = {one.kind: one for one in await listed(house)}
    assert {kind: (one.what, one.remedy) for kind, one in said.items()} == {
        kind: (KINDS[kind].what, KINDS[kind].remedy) for kind in expected
    }
    house.moment += timedelta(minutes=5)
    assert await look(house) == expected
    again = {one.kind: one for one in await listed(house)}
    assert {(one.id, one.first_seen_at) for one in again.values()} == {
        (one.id, one.first_seen_at) for one in said.values()
    }, "the same at each look"
    for kind, one in said.items():
        if KINDS[kind].removable:
            await removed_and_proven(house, one.id)
        else:
            before = await everything(house)
            with pytest.raises(Failure) as refused:
                await service.remove(house.services, DPO, orphan=one.id)
            assert refused.value.remedy == KINDS[kind].remedy and await everything(house) == before
    assert await look(house) == {kind: 1 for kind in expected if not KINDS[kind].removable}


async def listed(house: House) -> list[service.OrphanView]:
    """Without an entry in a ledger that is broken on purpose."""
    async with house.services.db.read() as tx:
        return [service.view(one, masked=False) for one in await orphans.list_all(tx)]


async def removed_and_proven(house: House, orphan_id: str) -> None:
    with pytest.raises(Failure, match="reason"):
        await service.remove(house.services, Actor("os:0", "here"), orphan=orphan_id)
    await service.remove(house.services, DPO, orphan=orphan_id[:12])
    said = [entry for entry in await house.entries() if entry.get("orphan_id") == orphan_id]
    assert [entry["complete"] for entry in said] == [False, True]
    async with house.services.db.read() as tx:
        await receipts.get(tx, said[-1]["receipt_id"])


async def everything(house: House) -> tuple[Any, ...]:
    """Rows of all tables but those of the looks and of the ledger, and all files."""
    found: list[Any] = []
    async with house.services.db.read() as tx:
        for name, table in tables.metadata.tables.items():
            if not name.startswith(("orphan", "ledger", "access")):
                found.append((name, len(await tx.rows(table.select()))))
    data = house.services.paths.data
    return (*found, sorted(str(path) for path in data.rglob("*") if not path.name.startswith("beffroi.sqlite3")))


async def test_a_field_that_has_not_aged_and_a_month_key_that_has_not_gone_are_overdue(house: House) -> None:
    call_id = await house.call(-DAY)
    async with house.services.db.transaction() as tx:
        record = tables.call_records
        values = {"fields_sealed": tx.keys.seal("call_records", "fields", call_id, b'{"duration_s":7}')}
        values |= {"expires_at": NOW + 100 * DAY, "ages_at": NOW - DAY}
        await tx.write(record.update().where(record.c.id == call_id).values(**values))
        await month_keys.digest(tx, "2025-01", "+33612345678", NOW)
        await tx.write(tables.call_diagnoses.delete())
    assert await look(house) == {"overdue": 1}, "the field is late by a day only"
    async with house.services.db.transaction() as tx:
        await tx.write(record.update().values(ages_at=NOW - 3 * DAY, at=NOW - 60 * DAY))
    assert await look(house) == {"overdue": 2}
    await house.sweeper.sweep(clock_is_right=True)
    assert await look(house) == {}


async def test_a_database_that_is_not_used_any_more_is_found(house: House) -> None:
    """After a move to PostgreSQL the old file still holds everything."""
    (house.services.paths.data / "beffroi.sqlite3").write_bytes(b"all of it")
    assert await look(house) == ({} if house.services.db.is_sqlite else {"unknown_file": 1})


async def test_one_that_found_its_other_half_is_not_removed(house: House) -> None:
    rec_id = await sealed(house)
    file = house.file(rec_id)
    aside = file.rename(file.with_suffix(".aside"))
    assert await look(house) == {"row_without_file": 1, "unknown_file": 1}
    aside.rename(file)
    async with house.services.db.read() as tx:
        [found] = [one for one in await orphans.list_all(tx) if one.kind == "row_without_file"]
    with pytest.raises(Failure, match="its file is there by now"):
        await service.remove(house.services, DPO, orphan=found.id)
    assert await house.there(rec_id)
    async with house.services.erasing:
        assert await erasure.resume(house.services) == 0, "what was refused is not tried again"


@pytest.mark.promise("3.9")
async def test_one_under_a_legal_hold_is_not_removed(house: House) -> None:
    rec_id = await sealed(house)
    await house.hold("recording", rec_id)
    house.file(rec_id).unlink()
    await look(house)
    [found] = await service.look(house.services, DPO, last=True)
    with pytest.raises(Failure, match="legal hold"):
        await service.remove(house.services, DPO, orphan=found.id)
    async with house.services.db.read() as tx:
        assert (await recordings.states(tx, [rec_id])) == {rec_id: "whole"}


async def test_a_removal_that_was_killed_is_finished(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await _unknown_file(house)
    await look(house)
    [found] = await service.look(house.services, DPO, last=True)

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "add_all", killed)
        with pytest.raises(Killed):
            await service.remove(house.services, DPO, orphan=found.id)
    assert not (house.services.paths.data / "Mr Dubois.ogg").exists()
    async with house.services.erasing:
        assert await erasure.resume(house.services) == 1
    said = [entry["complete"] for entry in await house.entries() if entry.get("orphan_id") == found.id]
    assert said == [False, True] and await look(house) == {}


async def test_no_name_of_a_file_is_kept_in_clear_or_shown_without_a_reason(house: House) -> None:
    await _unknown_file(house)
    await look(house)
    async with house.services.db.read() as tx:
        [row] = await tx.rows(tables.orphans.select())
    assert b"Dubois" not in b"".join(str(value).encode() for value in row.values())
    [masked] = await service.look(house.services, Actor("os:0", "here"), last=True)
    [shown] = await service.look(house.services, DPO, last=True)
    assert "Dubois" not in masked.item and shown.item == "Mr Dubois.ogg"


async def test_a_link_is_named_and_never_followed(house: House) -> None:
    outside = house.services.paths.data.parent / "elsewhere"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (house.services.paths.vault / "ab").symlink_to(outside)
    (house.services.paths.data / "rates.toml").symlink_to(outside / "secret")
    assert await look(house) == {"unknown_file": 2}
    for found in await service.look(house.services, DPO, last=True):
        await service.remove(house.services, DPO, orphan=found.id)
    assert (outside / "secret").read_text() == "x" and await look(house) == {}


async def test_many_are_counted_and_listed_in_batches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "PAUSE_S", 0)
    monkeypatch.setattr(reconciliation, "MOST", 4)
    for n in range(10):
        (house.services.paths.data / f"copy {n}.ogg").write_bytes(b"x")
        await house.call(timedelta(days=-3))
        await _without_purpose(house)
    found = await look(house)
    # Each call has its diagnosis, which is overdue as well.
    assert found == {"unknown_file": 10, "without_purpose": 10, "overdue": 20}
    listed = await kinds(house)
    assert {kind: listed.count(kind) for kind in found} == dict.fromkeys(found, 4)


async def test_a_look_that_breaks_off_concludes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await _unknown_file(house)
    await look(house)
    house.moment += timedelta(minutes=5)

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("it does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(reconciliation, "kept_recordings", away)
        with pytest.raises(Unavailable):
            await look(house)
    assert await kinds(house) == ["unknown_file"], "nobody has looked at files"
    (house.services.paths.data / "Mr Dubois.ogg").unlink()
    assert await look(house) == {} and await kinds(house) == []


async def test_status_and_gauge_tell_of_them(house: House) -> None:
    assert (await retention_service.status(house.services, DPO)).orphans_looked_at is None
    await _unknown_file(house)
    reconciler = Reconciler(house.services)
    await reconciler.look()
    status = await retention_service.status(house.services, DPO)
    assert status.orphans == {"unknown_file": 1} and status.orphans_looked_at is not None
    assert reconciler.gauges()["orphans"] == 1


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        (None, "12:00", True),
        ("03:00", "03:10", False),
        ("-1 03:00", "02:59", True),
        ("-1 03:00", "00:59", False),
        ("-1 03:00", "12:00", True),
        ("-1 14:00", "12:00", False),
        ("+1 03:00", "12:00", True),
    ],
)
def test_it_looks_once_a_night(last: str | None, now: str, expected: bool) -> None:
    def moment(said: str) -> datetime:
        days, _, clock = said.rpartition(" ")
        hours, minutes = map(int, clock.split(":"))
        return datetime(2026, 11, 28, hours, minutes, tzinfo=UTC) + timedelta(days=int(days or 0))

    assert is_time(None if last is None else moment(last), moment(now)) is expected


async def test_the_data_map_says_where_everything_is(house: House) -> None:
    await house.call(DAY)
    said = {one.where: one for one in await service.map_(house.services, DPO)}
    assert set(tables.metadata.tables) <= set(said)
    record = said["call_records"]
    assert (
        record.rows == 1
        and record.erased_by == ("call_record", "call_field")
        and record.columns["numbers_sealed"] == "sealed"
    )
    assert str(house.services.paths.data) in next(
        one.place for where, one in said.items() if "rec" in where and "/" in where
    )


async def test_nothing_is_counted_before_the_first_look_and_then_what_it_found(house: House) -> None:
    reconciler = Reconciler(house.services)
    assert reconciler.count() is None
    reconciler.newest = orphans.Look(NOW, NOW, 9, 9, {"unknown_file": 2, "overdue": 1})
    assert reconciler.count() == 3 == reconciler.gauges()["orphans"]


async def test_the_ledger_stays_sound_through_all_of_it(house: House) -> None:
    await _file_without_row(house)
    for found in await service.look(house.services, DPO):
        await service.remove(house.services, DPO, orphan=found.id)
    async with house.services.db.read() as tx:
        assert await ledger_verify.verify(tx, house.services.keys.ledger.public_key()) == []
        with pytest.raises(NotFound):
            await orphans.get(tx, GONE)
