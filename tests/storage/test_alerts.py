"""Alerts as rows: one for a kind and its subject, opened again, delivered, forgotten by the gate alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from storage import accounts, alerts, expiry, people, person_locks
from storage.alerts import Alert
from storage.database import Database
from storage.errors import Conflict, Duplicate, Invalid, NotFound
from storage.tx import Tx

WHO = "a" * 32


async def raised(tx: Tx, now: datetime, subject: str = WHO, **more: object) -> Alert:
    values: dict[str, object] = {"kept_until": now + timedelta(days=180), "channels": ("log", "mail")}
    return await alerts.happened(tx, "bulk-listening", subject, "critical", now, **(values | more))  # type: ignore[arg-type]


@pytest.mark.promise("2.22")
async def test_what_happens_again_is_one_alert_with_a_count(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        first = await raised(tx, now)
        again = await raised(tx, now + timedelta(seconds=5), count=41)
        other = await raised(tx, now, subject="b" * 32)
    assert (first.state, first.count, first.waiting, first.due_at) == ("open", 1, ("log", "mail"), now)
    assert (again.id, again.count, again.episode, again.first_at) == (first.id, 42, 1, now)
    assert other.id != first.id
    async with db.read() as tx:
        assert [one.id for one in await alerts.list_all(tx)] == [first.id, other.id]
        assert await alerts.open_by_severity(tx) == {"critical": 2}


@pytest.mark.promise("2.23")
async def test_a_judged_alert_is_open_again_when_it_happens_again(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        first = await raised(tx, now)
        judged = await alerts.judge(tx, first.id, "misuse", WHO, "spoken to Bob", now)
        assert (judged.state, judged.verdict, judged.note, judged.waiting, judged.due_at) == (
            "acknowledged", "misuse", "spoken to Bob", (), None,
        )  # fmt: skip
        assert await alerts.due(tx, now, limit=9) == ()
        again = await raised(tx, now + timedelta(hours=1))
    assert (again.id, again.state, again.episode, again.count) == (first.id, "open", 2, 2)
    assert (again.verdict, again.waiting) == ("misuse", ("log", "mail")), "the last verdict is still to be read"


@pytest.mark.promise("2.23")
@pytest.mark.parametrize("verdict", ["", "fine", "FALSE_ALARM"])
async def test_there_are_three_verdicts(db: Database, now: datetime, verdict: str) -> None:
    async with db.transaction() as tx:
        first = await raised(tx, now)
        with pytest.raises(Invalid):
            await alerts.judge(tx, first.id, verdict, WHO, None, now)
        for good in ("false_alarm", "real_danger", "misuse"):
            assert (await alerts.judge(tx, first.id, good, WHO, None, now)).verdict == good
        with pytest.raises(NotFound):
            await alerts.judge(tx, "0" * 32, "misuse", WHO, None, now)


async def test_delivery_is_tried_again_for_the_channels_that_are_left(db: Database, now: datetime) -> None:
    later = now + timedelta(seconds=5)
    async with db.transaction() as tx:
        one = await raised(tx, now)
        assert [each.id for each in await alerts.due(tx, now, limit=9)] == [one.id]
        await alerts.tried(tx, one, ("mail",), later)
        assert await alerts.due(tx, now, limit=9) == ()
        assert await alerts.next_due(tx) == later
        [waiting] = await alerts.due(tx, later, limit=9)
        assert (waiting.waiting, waiting.tries) == (("mail",), 1)
        await alerts.tried(tx, waiting, (), None)
        assert await alerts.next_due(tx) is None


async def test_what_is_opened_again_while_it_is_told_is_told_once_more(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        told = await raised(tx, now)
        await alerts.judge(tx, told.id, "real_danger", WHO, None, now)
        await raised(tx, now)
        await alerts.tried(tx, told, (), None)
        [still] = await alerts.due(tx, now, limit=9)
        assert (still.episode, still.waiting) == (2, ("log", "mail"))


async def test_a_condition_that_lasts_is_known_after_a_restart(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await raised(tx, now, lasts=True)
        assert await alerts.lasting(tx) == {("bulk-listening", WHO)}
        await alerts.over(tx, "bulk-listening", WHO)
        assert await alerts.lasting(tx) == frozenset()


async def test_two_nodes_do_not_read_the_same_entries_twice(db: Database) -> None:
    async with db.transaction() as tx:
        assert await alerts.cursor(tx, "access") is None
        await alerts.move_cursor(tx, "access", None, 4)
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await alerts.move_cursor(tx, "access", None, 4)
    async with db.transaction() as tx:
        with pytest.raises(Conflict):
            await alerts.move_cursor(tx, "access", 3, 9)
        await alerts.move_cursor(tx, "access", 4, 9)
        assert await alerts.cursor(tx, "access") == 9


@pytest.mark.promise("0.17")
async def test_what_is_shown_in_clear_is_counted_by_day(db: Database) -> None:
    async with db.transaction() as tx:
        assert await alerts.shown_in_clear(tx, WHO, "2026-11-21", 40) == 40
        assert await alerts.shown_in_clear(tx, WHO, "2026-11-21", 2) == 42
        assert await alerts.shown_in_clear(tx, "b" * 32, "2026-11-21", 1) == 1
        assert await alerts.shown_in_clear(tx, WHO, "2026-11-22", 3) == 3


async def test_an_alert_expires_by_its_own_date(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        old = await raised(tx, now, kept_until=now + timedelta(days=1))
        await raised(tx, now, subject="b" * 32)
        [due] = await expiry.until(tx, "alert", now + timedelta(days=2), limit=9)
        assert (due.item_id, due.created_at) == (old.id, now)
        await expiry.remove(tx, "alert", [old.id])
        assert await expiry.left(tx, "alert", [old.id]) == {}
        assert len(await alerts.list_all(tx)) == 1


async def test_a_note_lies_sealed(db: Database, now: datetime, raw) -> None:  # type: ignore[no-untyped-def]
    async with db.transaction() as tx:
        one = await raised(tx, now)
        await alerts.judge(tx, one.id, "misuse", WHO, "Mr Dubois, 0612345678", now)
    assert b"Dubois" not in await raw(db)
    assert "Dubois" not in repr(replace(one, note="Dubois"))


# --- persons who are locked -------------------------------------------------------------------------------------------


@pytest.mark.promise("2.24")
async def test_unlocking_gives_back_what_the_lock_took_and_no_more(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await people.add(tx, "alice", "Alice", now)
        desk = await accounts.add(tx, "desk", "101", "Desk", now, person_id=alice.id)
        old = await accounts.add(tx, "old", "102", "Old", now, person_id=alice.id)
        await accounts.add(tx, "bob", "103", "Bob", now)
        await accounts.disable(tx, old.id, now)
        held = await person_locks.lock(tx, alice.id, now)
        assert (held.person, held.accounts) == (True, (desk.id,))
        late = await accounts.add(tx, "late", "104", "Late", now, person_id=alice.id)
        held = await person_locks.lock(tx, alice.id, now)
        assert held.accounts == (desk.id, late.id), "locking again takes what was given meanwhile"
        disabled = {one.name for one in await accounts.list_all(tx) if one.disabled_at is not None}
        assert disabled == {"desk", "old", "late"}
        await person_locks.unlock(tx, alice.id)
        assert {one.name for one in await accounts.list_all(tx) if one.disabled_at is not None} == {"old"}
        assert (await people.get(tx, alice.id)).disabled_at is None
        with pytest.raises(Conflict):
            await person_locks.unlock(tx, alice.id)


@pytest.mark.promise("2.24")
async def test_who_was_disabled_before_stays_so(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await people.add(tx, "alice", "Alice", now)
        await people.disable(tx, alice.id, now)
        assert not (await person_locks.lock(tx, alice.id, now)).person
        await person_locks.unlock(tx, alice.id)
        assert (await people.get(tx, alice.id)).disabled_at is not None
