"""Notes, requests of two persons, and the index of openings: what belongs to a recording, and goes with it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from storage import access, expiry, holds, listening_requests, recording_notes, recording_openings, recordings, tables
from storage.database import Database
from storage.errors import Conflict, Invalid, NotFound
from storage.holds import About
from storage.ids import new_id
from storage.listening_requests import APPROVED, OPEN, REFUSED, USED
from storage.recording_notes import SealedNote
from storage.tx import Tx
from tests.storage.test_recordings import started

DAY = timedelta(days=1)
YEAR = timedelta(days=365)


async def whole(tx: Tx, now: datetime) -> str:
    one = await started(tx, now)
    await recordings.finish(tx, one.id, state="whole", ended_at=now, duration_ms=60_000, size_bytes=9, sha256="ab" * 32)
    return one.id


def a_note(rec_id: str, now: datetime, at_ms: int = 0) -> SealedNote:
    return SealedNote(new_id(), rec_id, new_id(), at_ms, b"sealed", now, now + YEAR)


async def rows(tx: Tx) -> list[int]:
    found = []
    for table in (tables.recording_notes, tables.listening_requests, tables.recording_openings):
        counted = await tx.row(select(func.count().label("n")).select_from(table))
        assert counted is not None
        found.append(counted["n"])
    return found


async def asked(tx: Tx, rec_id: str, person: str, now: datetime) -> listening_requests.Request:
    return await listening_requests.add(
        tx, rec_id, person, reason="a complaint", case="C-1", now=now, until=now + 7 * DAY
    )


@pytest.mark.promise("2.12", "L9")
async def test_all_of_it_goes_with_the_recording_and_nothing_is_added_after(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        one, other = await whole(tx, now), await whole(tx, now)
        for rec_id in (one, other):
            await recording_notes.add(tx, a_note(rec_id, now))
            await asked(tx, rec_id, new_id(), now)
            entry = await access.record(tx, actor_id=new_id(), action="open", now=now, details={"rec_id": rec_id})
            await recording_openings.add(tx, rec_id, entry.seq)
        assert await rows(tx) == [2, 2, 2]
        await recordings.destroy(tx, one, now)
        assert await rows(tx) == [1, 1, 1]
        with pytest.raises(Conflict):
            await recording_notes.add(tx, a_note(one, now))
        with pytest.raises(Conflict):
            await asked(tx, one, new_id(), now)
        with pytest.raises(NotFound):
            await recording_notes.add(tx, a_note(new_id(), now))
        assert await recording_openings.of(tx, [one]) == {}
        [entry_of_other] = (await recording_openings.of(tx, [one, other]))[other]
        assert entry_of_other["rec_id"] == other


async def test_notes_stand_in_the_order_of_the_recording_and_are_counted(
    db: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_notes, "MOST", 3)
    async with db.transaction() as tx:
        rec_id = await whole(tx, now)
        for at_ms in (9000, 0, 4000):
            await recording_notes.add(tx, a_note(rec_id, now, at_ms))
        assert [one.at_ms for one in await recording_notes.of_recording(tx, rec_id)] == [0, 4000, 9000]
        with pytest.raises(Conflict):
            await recording_notes.add(tx, a_note(rec_id, now))
        running = await started(tx, now)
        with pytest.raises(Conflict):
            await recording_notes.add(tx, a_note(running.id, now))


async def test_a_note_is_due_after_its_year_and_held_with_its_recording(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        rec_id = await whole(tx, now)
        note = a_note(rec_id, now)
        await recording_notes.add(tx, note)
        assert await expiry.until(tx, "recording_note", now + YEAR - DAY, limit=10) == ()
        [due] = await expiry.until(tx, "recording_note", now + YEAR, limit=10)
        assert (due.item_id, due.created_at, due.expires_at) == (note.id, now, now + YEAR)
        assert await holds.on(tx, "recording_note", [note.id]) == {}
        about = About("C-1", "a", "b", "why", rec_id)
        hold = await holds.add(tx, new_id(), "recording", about, ids=[rec_id], now=now, review_at=now + DAY)
        assert await holds.on(tx, "recording_note", [note.id, new_id()]) == {note.id: (hold.id,)}
        await expiry.remove(tx, "recording_note", [note.id])
        assert await expiry.left(tx, "recording_note", [note.id]) == {}


@pytest.mark.promise("L9", "2.5")
async def test_a_request_is_due_when_it_is_used_refused_or_over(db: Database, now: datetime) -> None:
    """Why somebody wanted to listen does not stay for as long as the recording."""
    you, when = new_id(), now + timedelta(hours=1)
    async with db.transaction() as tx:
        waits, used, refused, agreed = [await asked(tx, await whole(tx, now), new_id(), now) for _ in range(4)]
        for one, state in ((used, APPROVED), (agreed, APPROVED), (refused, REFUSED)):
            await listening_requests.decide(tx, one.id, state, you, when, when + DAY if state == APPROVED else when)
        assert await listening_requests.use(tx, used.id, when)

        async def due(at: datetime) -> set[str]:
            return {one.item_id for one in await expiry.until(tx, "listening_request", at, limit=10)}

        assert await due(when - timedelta(seconds=1)) == set()
        assert await due(when) == {used.id, refused.id}
        assert await due(when + DAY) == {used.id, refused.id, agreed.id}
        assert await due(waits.until) == {used.id, refused.id, agreed.id, waits.id}
        assert await holds.on(tx, "listening_request", [waits.id]) == {}
        await expiry.remove(tx, "listening_request", [used.id])
        assert dict(await expiry.left(tx, "listening_request", [used.id, waits.id])) == {waits.id: 1}


@pytest.mark.promise("L9")
async def test_another_person_decides_and_it_is_used_once_and_in_time(db: Database, now: datetime) -> None:
    me, you = new_id(), new_id()
    async with db.transaction() as tx:
        rec_id = await whole(tx, now)
        made = await asked(tx, rec_id, me, now)
        assert (made.state, made.reason, made.case) == (OPEN, "a complaint", "C-1")
        with pytest.raises(Conflict):  # it waits already
            await asked(tx, rec_id, me, now)
        assert not await listening_requests.use(tx, made.id, now)
        with pytest.raises(Conflict):
            await listening_requests.decide(tx, made.id, APPROVED, me, now, now + DAY)
        with pytest.raises(Invalid):
            await listening_requests.decide(tx, made.id, USED, you, now, now + DAY)
        agreed = await listening_requests.decide(tx, made.id, APPROVED, you, now, now + DAY)
        assert (agreed.state, agreed.decided_by, agreed.until) == (APPROVED, you, now + DAY)
        with pytest.raises(Conflict):  # once
            await listening_requests.decide(tx, made.id, REFUSED, you, now, now + DAY)
        assert not await listening_requests.use(tx, made.id, now + DAY), "a day is over"
        assert await listening_requests.standing(tx, rec_id, me, now) == agreed
        assert await listening_requests.use(tx, made.id, now)
        assert not await listening_requests.use(tx, made.id, now)
        assert await listening_requests.standing(tx, rec_id, me, now) is None
        later = now + timedelta(hours=1)
        again = await asked(tx, rec_id, me, later)
        with pytest.raises(Conflict):  # too late
            await listening_requests.decide(tx, again.id, APPROVED, you, later + 7 * DAY, later + 8 * DAY)
        await listening_requests.decide(tx, again.id, REFUSED, you, later, later)
        assert [one.state for one in await listening_requests.list_all(tx, states=(REFUSED, USED))] == [REFUSED, USED]
        assert await listening_requests.list_all(tx, states=(OPEN, APPROVED), after=later) == ()
