import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from storage import ledger, ledger_payload, ledger_verify, merkle, signed_note, tables
from storage.database import Database
from storage.errors import Conflict, Duplicate, LedgerRefused, NotFound
from storage.field_crypto import FieldKeys
from storage.ids import new_id
from storage.ledger_verify import Fault, Finding
from storage.tx import Tx

DAY = timedelta(days=1)


class Undo(Exception):
    """Leaves a transaction without keeping anything."""


async def fill(tx: Tx, now: datetime, days: int = 3, a_day: int = 3) -> None:
    for log in ledger.LOGS:
        for number in range(days * a_day):
            await ledger.append(tx, log, {"call_id": new_id(), "action": "open"}, now + DAY * (number // a_day))


@pytest.mark.promise("1.18", "2.11")
async def test_an_untouched_ledger_verifies(db: Database, now: datetime, ledger_key: Ed25519PrivateKey) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
    async with db.read() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []
        assert await ledger_verify.size(tx) == {"access": 9, "consent": 9, "erasure": 9}


async def test_an_empty_ledger_verifies(db: Database, ledger_key: Ed25519PrivateKey) -> None:
    async with db.read() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_numbers_run_on_across_days_and_logs_are_apart(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        first = await ledger.append(tx, "consent", {"act": "key1"}, now)
        other = await ledger.append(tx, "access", {"action": "open"}, now)
        second = await ledger.append(tx, "consent", {"act": "key2"}, now + DAY)
    assert [(e.seq, e.day) for e in (first, other, second)] == [(1, "2026-11-21"), (1, "2026-11-21"), (2, "2026-11-22")]
    assert first.body == b'{"act":"key1","at":"2026-11-21T22:00:00.000000Z","log":"consent","seq":1}'


async def test_a_clock_that_goes_back_opens_no_older_day(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        await ledger.append(tx, "access", {"action": "open"}, now)
        late = await ledger.append(tx, "access", {"action": "open"}, now - DAY)
        assert late.day == "2026-11-21"
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_another_key_verifies_nothing(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await fill(tx, now, days=1)
        found = await ledger_verify.verify(tx, Ed25519PrivateKey.generate().public_key())
    assert {(one.fault, one.log) for one in found} == {(Fault.HEAD, log) for log in ledger.LOGS}


async def test_writers_at_the_same_time_leave_no_gap(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async def write() -> int:
        async with db.transaction() as tx:
            return (await ledger.append(tx, "access", {"action": "open"}, now)).seq

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write()) for _ in range(20)]
    assert sorted(task.result() for task in tasks) == list(range(1, 21))
    async with db.read() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_a_transaction_that_fails_leaves_no_entry(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    with pytest.raises(Undo):
        async with db.transaction() as tx:
            await ledger.append(tx, "consent", {"act": "key1"}, now)
            raise Undo
    async with db.transaction() as tx:
        assert (await ledger.append(tx, "consent", {"act": "key1"}, now)).seq == 1
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_an_entry_is_shown_offline(db: Database, now: datetime, ledger_key: Ed25519PrivateKey) -> None:
    async with db.transaction() as tx:
        await fill(tx, now, days=2, a_day=5)
        shown = await ledger.prove(tx, "consent", 8)
        with pytest.raises(NotFound):
            await ledger.prove(tx, "consent", 11)
    text = signed_note.verified_text(shown.head, ledger_key.public_key())
    assert text is not None
    origin, size, root, first, _previous, _end = text.split("\n")
    assert (origin, size, first) == ("beffroi/consent/2026-11-22", "5", "first 6")
    leaf = merkle.leaf_hash(shown.body)
    assert merkle.includes(leaf, shown.index, shown.size, shown.proof, base64.b64decode(root))


# --- tampering: anything at all that is changed in a stored row is found -------------------------------------------

TABLES = (tables.ledger_logs, tables.ledger_segments, tables.ledger_entries)


def flipped(value: Any, at: int) -> Any:
    """`value` with one bit, character or unit changed; None becomes something."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value + 1 + at
    if not value:
        return b"\0" if isinstance(value, bytes) else "x"
    place = at % len(value)
    if isinstance(value, bytes):
        return value[:place] + bytes([value[place] ^ 1 << at % 8]) + value[place + 1 :]
    other = chr(ord(value[place]) + 1) if value[place] != "z" else "a"
    return value[:place] + other + value[place + 1 :]


async def found_after(db: Database, key: Ed25519PrivateKey, tamper: Callable[[Tx], Awaitable[object]]) -> list[Finding]:
    """What verification says after `tamper`, which is undone."""
    found: list[Finding] = []
    try:
        async with db.transaction() as tx:
            await tamper(tx)
            found = await ledger_verify.verify(tx, key.public_key())
            raise Undo
    except Undo:
        return found


@pytest.mark.promise("1.18", "2.11")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_change_of_any_stored_value_is_found(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey, data: st.DataObject
) -> None:
    async with db.transaction() as tx:
        if not (await ledger_verify.size(tx))["access"]:
            await fill(tx, now)
            await ledger.prune_segment(tx, "access", "2026-11-21", now + 9 * DAY)
        stored = {table.name: await tx.rows(select(table).order_by(*table.primary_key)) for table in TABLES}
    table = data.draw(st.sampled_from(TABLES))
    row = data.draw(st.sampled_from(stored[table.name]))
    this_row = [column == row[column.name] for column in table.primary_key]
    column = data.draw(st.sampled_from([*table.columns.keys(), "(the row)"]))
    if column == "(the row)":
        found = await found_after(db, ledger_key, lambda tx: tx.write(delete(table).where(*this_row)))
    else:
        value = flipped(row[column], data.draw(st.integers(0, 2000)))
        change = update(table).where(*this_row).values(**{column: value})
        try:
            found = await found_after(db, ledger_key, lambda tx: tx.write(change))
        except Duplicate:
            reject()  # the database itself refused it
    assert found, f"{table.name}.{column} changed and nothing was said"
    assert found[0].log


@pytest.mark.promise("1.18", "2.11")
async def test_every_column_of_every_row_counts(db: Database, now: datetime, ledger_key: Ed25519PrivateKey) -> None:
    async with db.transaction() as tx:
        await fill(tx, now, days=2, a_day=2)
        await ledger.prune_segment(tx, "erasure", "2026-11-21", now)
        stored = {table: await tx.rows(select(table).order_by(*table.primary_key)) for table in TABLES}
    unnoticed = []
    for table, rows in stored.items():
        for row in rows:
            this_row = [column == row[column.name] for column in table.primary_key]
            changes: dict[str, Any] = {"(the row)": delete(table).where(*this_row)}
            for name in table.columns.keys():  # noqa: SIM118
                changes[name] = update(table).where(*this_row).values(**{name: flipped(row[name], 1000)})
            for name, change in changes.items():
                if not await found_after(db, ledger_key, partial(Tx.write, statement=change)):
                    unnoticed.append((table.name, name, dict(row)))
    assert unnoticed == []


async def swap(tx: Tx, log: str, one: int, two: int) -> None:
    """Two entries change places, hashes and all."""
    t = tables.ledger_entries
    for old, new in ((one, 10**6), (two, one), (10**6, two)):
        await tx.write(update(t).where(t.c.log == log, t.c.seq == old).values(seq=new))


async def cut_after(tx: Tx, seq: int) -> None:
    t = tables.ledger_entries
    await tx.write(delete(t).where(t.c.log == "access", t.c.seq > seq))


async def drop_last_day(tx: Tx) -> None:
    for t in (tables.ledger_entries, tables.ledger_segments):
        await tx.write(delete(t).where(t.c.log == "access", t.c.day == "2026-11-23"))


async def forge_entry(tx: Tx) -> None:
    """An entry at the end, with all that needs no key."""
    stored = ledger_payload.body("access", 10, {"action": "open"}, datetime.fromisoformat("2026-11-23T22:00:00Z"))
    values = {"log": "access", "seq": 10, "day": "2026-11-23", "body": stored, "leaf_hash": merkle.leaf_hash(stored)}
    await tx.write(insert(tables.ledger_entries).values(**values))


async def rewrite_entry(tx: Tx) -> None:
    """Another body and its true hash, in place."""
    stored = ledger_payload.body("access", 5, {"action": "show"}, datetime.fromisoformat("2026-11-22T22:00:00Z"))
    t = tables.ledger_entries
    values = {"body": stored, "leaf_hash": merkle.leaf_hash(stored)}
    await tx.write(update(t).where(t.c.log == "access", t.c.seq == 5).values(**values))


async def other_log(tx: Tx) -> None:
    await tx.write(insert(tables.ledger_logs).values(log="alice", state=""))


async def start_over(tx: Tx) -> None:
    """Everything of one log, except that it once was there."""
    for t in (tables.ledger_entries, tables.ledger_segments):
        await tx.write(delete(t).where(t.c.log == "access"))


@pytest.mark.promise("1.18", "2.11")
@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda tx: swap(tx, "access", 4, 5), Fault.REORDERED),
        (lambda tx: swap(tx, "access", 1, 9), Fault.REORDERED),
        (lambda tx: cut_after(tx, 8), Fault.MISSING),
        (lambda tx: cut_after(tx, 0), Fault.MISSING),
        (drop_last_day, Fault.MISSING),
        (forge_entry, Fault.EXTRA),
        (rewrite_entry, Fault.HEAD),
        (other_log, Fault.EXTRA),
        (start_over, Fault.MISSING),
    ],
    ids=["swap", "swap-days", "cut-one", "cut-all", "drop-day", "forge", "rewrite", "other-log", "start-over"],
)
async def test_what_was_done_is_named(
    db: Database,
    now: datetime,
    ledger_key: Ed25519PrivateKey,
    tamper: Callable[[Tx], Awaitable[object]],
    fault: Fault,
) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
    assert fault in {one.fault for one in await found_after(db, ledger_key, tamper)}


async def test_a_flipped_entry_is_pointed_at(db: Database, now: datetime, ledger_key: Ed25519PrivateKey) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
    t = tables.ledger_entries
    this = update(t).where(t.c.log == "consent", t.c.seq == 5).values(body=b'{"act":"key1"}')
    found = await found_after(db, ledger_key, lambda tx: tx.write(this))
    assert found == [Finding(Fault.FLIPPED, "consent", "2026-11-22", 5)]


async def test_a_day_out_of_another_history_breaks_the_chain(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    """A database put back from a copy and carried on has two true histories; a day of one does not fit the other."""
    s, e = tables.ledger_segments, tables.ledger_entries
    other: dict[Any, Any] = {}
    with pytest.raises(Undo):
        async with db.transaction() as tx:
            await fill(tx, now, days=1)
            for t in (s, e):
                other[t] = await tx.rows(select(t).where(t.c.log == "access"))
            raise Undo
    async with db.transaction() as tx:
        await fill(tx, now, days=2)

    async def splice(tx: Tx) -> None:
        for t, rows in other.items():
            await tx.write(delete(t).where(t.c.log == "access", t.c.day == "2026-11-21"))
            for row in rows:
                await tx.write(insert(t).values(**row))

    assert await found_after(db, ledger_key, splice) == [Finding(Fault.CHAIN, "access", "2026-11-22")]


async def test_an_older_whole_copy_is_found_by_a_head_kept_elsewhere(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
        old = {table: await tx.rows(select(table)) for table in TABLES}
        early = await ledger.heads(tx)
        await fill(tx, now + 3 * DAY, days=2)
        late = await ledger.heads(tx)
        assert await ledger_verify.verify(tx, ledger_key.public_key(), [*early, *late]) == []
        for table, rows in old.items():
            await tx.write(delete(table))
            for row in rows:
                await tx.write(insert(table).values(**row))
        assert await ledger_verify.verify(tx, ledger_key.public_key(), early) == []
        found = await ledger_verify.verify(tx, ledger_key.public_key(), late)
        assert found == [Finding(Fault.CHAIN, log) for log in ledger.LOGS]


# --- pruning ---------------------------------------------------------------------------------------------------------


async def test_pruning_drops_leaves_and_keeps_the_chain(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
        assert await ledger.prune_segment(tx, "access", "2026-11-21", now + 200 * DAY) == 3
    async with db.transaction() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []
        assert [one.seq for one in await ledger.entries(tx, "access")] == [4, 5, 6, 7, 8, 9]
        assert (await ledger.append(tx, "access", {"action": "open"}, now + 2 * DAY)).seq == 10
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_a_head_kept_from_inside_a_pruned_day_is_no_false_alarm(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        await fill(tx, now, days=1, a_day=2)
        inside = await ledger.heads(tx)
        await fill(tx, now, days=1, a_day=2)
        last = await ledger.heads(tx)
        await fill(tx, now + DAY, days=1)
        await ledger.prune_segment(tx, "access", "2026-11-21", now)
        assert await ledger_verify.verify(tx, ledger_key.public_key(), [*inside, *last]) == []
        wrong = [ledger.Head("access", 4, bytes(32))]
        assert await ledger_verify.verify(tx, ledger_key.public_key(), wrong) == [Finding(Fault.CHAIN, "access")]


async def test_the_open_day_and_a_pruned_one_are_not_pruned(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
        await ledger.prune_segment(tx, "access", "2026-11-21", now)
        for day in ("2026-11-21", "2026-11-23"):
            with pytest.raises(Conflict):
                await ledger.prune_segment(tx, "access", day, now)
        with pytest.raises(NotFound):
            await ledger.prune_segment(tx, "access", "2026-11-20", now)


async def test_leaves_dropped_without_the_key_are_missed(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        await fill(tx, now)
        await ledger.prune_segment(tx, "access", "2026-11-21", now)
        pruned = await tx.row(select(tables.ledger_segments).where(tables.ledger_segments.c.pruned.is_not(None)))
    assert pruned is not None

    async def as_if_pruned(tx: Tx) -> None:
        s, e = tables.ledger_segments, tables.ledger_entries
        await tx.write(delete(e).where(e.c.log == "access", e.c.day == "2026-11-22"))
        where = update(s).where(s.c.log == "access", s.c.day == "2026-11-22")
        await tx.write(where.values(pruned=pruned["pruned"]))

    assert await found_after(db, ledger_key, as_if_pruned) == [Finding(Fault.HEAD, "access", "2026-11-22")]


# --- what may be said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"number": "+33612345678"},
        {"caller": "0123456789abcdef0123456789abcdef"},
        {"Alice Martin": 1},
        {"purpose": "0612345678"},
        {"purpose": "Q06.12.34.56.78"},
        {"rule": "call-from-33612345678"},
        {"purpose": "Alice Martin"},
        {"purpose": "quality\n"},
        {"action": "alice"},
        {"call_id": "33612345678"},
        {"call_id": "sip:alice@example.net"},
        {"actor_id": "alice"},
        {"media_ms": 33612345678},
        {"media_ms": -1},
        {"media_ms": True},
        {"media_ms": 1.5},
        {"count": 612345678},
        {"key": "12"},
        {"prompt_version": "0612345678"},
        {"language": "français"},
        {"consent_refs": ["1"]},
        {"kinds": ["0612345678"]},
        {"kinds": []},
        {"kinds": "call.ended"},
        {"consent_refs": [33612345678]},
        {"seq": 4},
        {"at": "2026-11-21T22:00:00Z"},
        {"workstation": "ALICE-PC"},
    ],
    ids=str,
)
async def test_what_might_name_somebody_is_refused(payload: dict[str, Any]) -> None:
    moment = datetime.fromisoformat("2026-11-21T22:00:00+00:00")
    with pytest.raises(LedgerRefused) as refused:
        ledger_payload.body("access", 1, payload, moment)
    assert "lice" not in str(refused.value) and "33612" not in str(refused.value)


async def test_refused_entries_and_unknown_logs_write_nothing(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey
) -> None:
    async with db.transaction() as tx:
        with pytest.raises(LedgerRefused):
            await ledger.append(tx, "access", {"number": "+33612345678"}, now)
        with pytest.raises(LedgerRefused):
            await ledger.append(tx, "gossip", {"action": "open"}, now)
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []
        assert await ledger_verify.size(tx) == {"access": 0, "consent": 0, "erasure": 0}


async def test_without_the_key_nothing_is_appended(fresh_url: str, field_keys: FieldKeys, now: datetime) -> None:
    database = await Database.open(fresh_url, field_keys)
    try:
        async with database.transaction() as tx:
            with pytest.raises(LedgerRefused):
                await ledger.append(tx, "access", {"action": "open"}, now)
    finally:
        await database.close()
