"""The recording desk with a real recorder and a real database: in which order things become true, and what is left of a
recording wherever somebody dies in between."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from recording import vault
from retention.recording_decision import expires_at
from server.destruction import RecordingErasable
from server.recording_desk import RecordingDesk
from server.week_keys import _end_of_week, _period
from sip.calls.plan import CallPlan
from sip.calls.ports import RecordingOrder, RecordingUnavailable
from storage import holds, keys, people, readers, recordings, tables
from storage.errors import Unavailable
from storage.holds import About
from tests.recording.house import strength
from tests.server.recording_house import A_HZ, B_HZ, MIFID, NOW, Crash, House, house, plan
from tests.sip.worker.rig import alive, until


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "template.sqlite3"


@pytest.fixture
async def place(tmp_path: Path, template: Path) -> AsyncIterator[House]:
    async with house(tmp_path, template) as made:
        yield made


@pytest.fixture
async def place_with_reader(place: House) -> House:
    await place.reader("reader", "REC_QUALITY", "REC_MIFID")
    return place


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.recording_desk.RESTART_S", 0.05)


# --- a recording from begin to end --------------------------------------------------------------------------------


@pytest.mark.promise("0.1", "L9")
async def test_what_is_recorded_is_opened_by_each_reader_and_by_escrow(place: House) -> None:
    first, second = await place.reader("one", "REC_QUALITY"), await place.reader("two", "REC_QUALITY")
    stranger = await place.reader("three", "REC_CONTRACT")
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk)
        assert (await place.row(rec_id)).state == "recording" and await place.has_key(rec_id)
        for leg in legs:
            leg.grow(3)
        assert await desk.finish(rec_id, datetime.now(UTC))
    row = await place.row(rec_id)
    assert (row.state, row.duration_ms, row.channels) == ("whole", 3000, 2)
    assert row.sha256 == hashlib.sha256(place.sealed(rec_id).read_bytes()).hexdigest()
    assert row.size_bytes == place.sealed(rec_id).stat().st_size
    assert place.files() == [f"{rec_id}.rec"]
    for reader_id in (first, second, readers.ESCROW):
        left, right = await place.opened(rec_id, reader_id)
        assert strength(left, A_HZ) > 6000 and strength(right, B_HZ) > 6000
    (kek,) = await place.keks()
    assert await place.readers_of(kek.id) == {first, second, readers.ESCROW}
    assert stranger not in await place.readers_of(kek.id)


async def test_a_wideband_conversation_is_recorded_at_its_rate(place_with_reader: House) -> None:
    place = place_with_reader
    async with place.open() as desk:
        order, legs = replace(await place.order(), rate_hz=16000), place.capture()
        await desk.begin(order, (legs[0].fd, legs[1].fd), datetime.now(UTC))
        for leg in legs:
            leg.grow(3)  # as many samples as 3 s hold at 8 kHz
        assert await desk.finish(order.rec_id, datetime.now(UTC))
    row = await place.row(order.rec_id)
    assert (row.state, row.rate_hz, row.duration_ms) == ("whole", 16000, 1500)


async def test_who_is_heard_is_written_down_sealed(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        call = plan()
        rec_id, _ = await place_with_reader.begun(desk, call)
        await desk.finish(rec_id, NOW)
    async with place_with_reader.db.read() as tx:
        heard = await recordings.parties(tx, rec_id)
        assert [(p.channel, p.number, p.account_id) for p in heard] == [(0, "101", "c" * 32), (1, "102", "d" * 32)]
        assert [p.leg_id for p in heard] == [call.leg_id("a"), call.leg_id("b0")]


# --- no proof, no reader, no recorder, no room: no recording, and nothing left ---------------------------------------


async def nothing_is_left(place: House) -> None:
    assert place.files() == []
    async with place.db.read() as tx:
        assert await keys.with_key(tx) == frozenset()
        assert {row.state for row in await recordings.list_all(tx)} <= {"failed"}


async def refused(place: House, desk: RecordingDesk, order: RecordingOrder | None = None) -> str:
    legs = place.capture()
    with pytest.raises(RecordingUnavailable) as error:
        await desk.begin(order or await place.order(), (legs[0].fd, legs[1].fd), datetime.now(UTC))
    await nothing_is_left(place)
    return str(error.value)


async def test_without_a_reader_nothing_is_recorded(place: House) -> None:
    await place.reader("other", "REC_CONTRACT")
    async with place.open() as desk:
        assert "REC_QUALITY" in await refused(place, desk)
        assert await place.keks() == []
        await place.reader("one", "REC_QUALITY")
        await place.begun(desk)


async def test_a_reader_who_is_disabled_is_none(place: House) -> None:
    person = await place.reader("one", "REC_QUALITY")
    async with place.db.transaction() as tx:
        await people.disable(tx, person, NOW)
    async with place.open() as desk:
        await refused(place, desk)


@pytest.mark.promise("L1")
async def test_without_evidence_nothing_is_recorded(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        call = plan()
        order = RecordingOrder(secrets.token_hex(16), call, ("a", "b0"), (), (call.caller, call.callee))
        assert "evidence" in await refused(place_with_reader, desk, order)


async def test_without_a_recorder_nothing_is_recorded(place_with_reader: House) -> None:
    assert "recorder" in await refused(place_with_reader, place_with_reader.desk())


async def test_a_full_disk_begins_nothing(place_with_reader: House) -> None:
    async with place_with_reader.open(place_with_reader.desk(min_free_mb=10**9)) as desk:
        assert "free" in await refused(place_with_reader, desk)


async def test_a_vault_that_cannot_be_written_begins_nothing(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        shutil.rmtree(place_with_reader.vault_dir)
        await refused(place_with_reader, desk)
        place_with_reader.vault_dir.mkdir(0o700)
        await place_with_reader.begun(desk)


async def test_a_database_that_does_not_answer_begins_nothing(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(*_: object, **__: object) -> None:
        raise Unavailable("locked")

    async with place_with_reader.open() as desk:
        order = await place_with_reader.order()
        monkeypatch.setattr(recordings, "start", locked)
        await refused(place_with_reader, desk, order)
        monkeypatch.undo()
        await place_with_reader.begun(desk)


@pytest.mark.parametrize("when", ["before", "between"])
async def test_a_recorder_that_dies_while_it_is_asked_leaves_nothing(place_with_reader: House, when: str) -> None:
    class DiesBetween(RecordingDesk):
        async def _commit(self, *arguments: object) -> None:  # type: ignore[override]
            await super()._commit(*arguments)  # type: ignore[arg-type]
            os.kill(self.recorder_pid, signal.SIGKILL)
            await until(lambda: not self.recorder_pid)

    place = place_with_reader
    async with place.open(place.desk(DiesBetween if when == "between" else RecordingDesk)) as desk:
        if when == "before":
            os.kill(desk.recorder_pid, signal.SIGKILL)
        await refused(place, desk)
        await until(lambda: desk.recorder_pid != 0, 10)


async def test_a_call_that_is_given_up_while_its_recording_begins_leaves_nothing(place_with_reader: House) -> None:
    waiting = asyncio.Event()

    class Slow(RecordingDesk):
        async def _commit(self, *arguments: object) -> None:  # type: ignore[override]
            await super()._commit(*arguments)  # type: ignore[arg-type]
            waiting.set()
            await asyncio.sleep(60)

    place = place_with_reader
    async with place.open(place.desk(Slow)) as desk:
        legs, order = place.capture(), await place.order()
        begin = desk.begin(order, (legs[0].fd, legs[1].fd), datetime.now(UTC))
        task = asyncio.get_running_loop().create_task(begin)  # noqa: TID251 - cancelled below
        await waiting.wait()
        task.cancel()
        await asyncio.wait([task])
        await nothing_is_left(place)
        assert desk._held() == set()


# --- keys of the week ---------------------------------------------------------------------------------------------


async def test_a_key_serves_its_week_and_not_the_next(place_with_reader: House) -> None:
    place = place_with_reader
    sunday = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
    async with place.open() as desk:
        first = await desk._current_kek("REC_QUALITY", sunday - timedelta(days=6))
        assert await desk._current_kek("REC_QUALITY", sunday) == first
        second = await desk._current_kek("REC_QUALITY", sunday + timedelta(seconds=1))
        assert second.id != first.id and (first.period, second.period) == ("2026-W47.1", "2026-W48.1")
        other = await desk._current_kek("REC_MIFID", sunday)
        assert other.id not in (first.id, second.id)


async def test_a_changed_set_of_readers_makes_a_new_key(place: House) -> None:
    """Who comes later opens nothing from before; who leaves, nothing from after."""
    async with place.open() as desk:
        one = await place.reader("one", "REC_QUALITY")
        first = await desk._current_kek("REC_QUALITY", NOW)
        two = await place.reader("two", "REC_QUALITY")
        second = await desk._current_kek("REC_QUALITY", NOW)
        assert await place.readers_of(first.id) == {one, readers.ESCROW}
        assert await place.readers_of(second.id) == {one, two, readers.ESCROW}
        async with place.db.transaction() as tx:
            await readers.revoke(tx, one, "REC_QUALITY")
        third = await desk._current_kek("REC_QUALITY", NOW)
        assert await place.readers_of(third.id) == {two, readers.ESCROW}
        assert sorted(kek.period[-2:] for kek in await place.keks()) == [".1", ".2", ".3"]
        assert await desk._current_kek("REC_QUALITY", NOW) == third
        async with place.db.transaction() as tx:
            await people.disable(tx, two, NOW)
        with pytest.raises(RecordingUnavailable):
            await desk._current_kek("REC_QUALITY", NOW)


async def test_calls_that_begin_at_once_share_one_new_key(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        made = await asyncio.gather(*(desk._current_kek("REC_QUALITY", NOW) for _ in range(5)))
        assert len({kek.id for kek in made}) == 1 == len(await place_with_reader.keks())


async def test_making_a_key_is_in_the_ledger(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        kek = await desk._current_kek("REC_QUALITY", NOW)
    assert [e["kek_id"] for e in await place_with_reader.entries("access") if e.get("object") == "kek"] == [kek.id]


async def test_without_escrow_no_key_is_made(tmp_path: Path, place_with_reader: House) -> None:
    with sqlite3.connect(tmp_path / "beffroi.sqlite3") as raw:
        raw.execute("DELETE FROM escrow_key")
    async with place_with_reader.open() as desk:
        await refused(place_with_reader, desk)


@pytest.mark.parametrize(
    ("now", "period", "end"),
    [
        ("2026-11-16T00:00", "2026-W47.1", "2026-11-23T00:00"),
        ("2026-11-22T23:59", "2026-W47.1", "2026-11-23T00:00"),
        ("2026-12-31T12:00", "2026-W53.1", "2027-01-04T00:00"),
        ("2027-01-03T12:00", "2026-W53.1", "2027-01-04T00:00"),  # a Sunday that belongs to the old year's last week
        ("2027-01-04T00:00", "2027-W01.1", "2027-01-11T00:00"),
    ],
)
def test_weeks_are_those_of_iso_8601(now: str, period: str, end: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert _period(moment, []) == period
    assert _period(moment, [period, "2025-W01.9"]) == period[:-1] + "2"
    assert _end_of_week(moment) == datetime.fromisoformat(end).replace(tzinfo=UTC)


# --- the order of things ------------------------------------------------------------------------------------------


@pytest.mark.promise("L1", "L9")
async def test_the_wrap_is_committed_before_the_first_byte(place_with_reader: House) -> None:
    seen: list[tuple[str, bool, bool]] = []

    class Watched(RecordingDesk):
        async def _commit(self, order: RecordingOrder, *rest: object) -> None:  # type: ignore[override]
            seen.append(("before", await place.has_key(order.rec_id), place.part(order.rec_id).exists()))
            await super()._commit(order, *rest)  # type: ignore[arg-type]
            seen.append(("after", await place.has_key(order.rec_id), place.part(order.rec_id).exists()))

    place = place_with_reader
    async with place.open(place.desk(Watched)) as desk:
        rec_id, _ = await place.begun(desk)
        assert place.part(rec_id).exists()
    assert seen == [("before", False, False), ("after", True, False)]


class CrashBefore(RecordingDesk):
    async def _commit(self, *_: object) -> None:  # type: ignore[override]
        raise Crash


class CrashAfter(RecordingDesk):
    async def _commit(self, *arguments: object) -> None:  # type: ignore[override]
        await super()._commit(*arguments)  # type: ignore[arg-type]
        raise Crash


class CrashBeforeVerdict(RecordingDesk):
    async def _keep(self, *_: object) -> None:  # type: ignore[override]
        raise Crash


async def crashed(place: House, kind: type[RecordingDesk], *, seconds: float = 0) -> str:
    """A recording during which the daemon dies where `kind` says. The recorder sees its socket close, and ends."""
    async with place.open(place.desk(kind)) as desk:
        order, legs = await place.order(), place.capture()
        with pytest.raises(Crash):
            await desk.begin(order, (legs[0].fd, legs[1].fd), datetime.now(UTC))
            for leg in legs:
                leg.grow(seconds)
            await desk.finish(order.rec_id, datetime.now(UTC))
    return order.rec_id


async def test_a_crash_before_the_commit_leaves_nothing_at_all(place_with_reader: House) -> None:
    await crashed(place_with_reader, CrashBefore)
    await place_with_reader.desk().recover()
    await nothing_is_left(place_with_reader)
    assert await place_with_reader.states() == []


async def test_a_crash_after_the_commit_leaves_a_row_that_says_so(place_with_reader: House) -> None:
    rec_id = await crashed(place_with_reader, CrashAfter)
    assert await place_with_reader.has_key(rec_id)
    await place_with_reader.desk().recover()
    await nothing_is_left(place_with_reader)
    assert await place_with_reader.states() == ["failed"]


async def test_a_crash_before_the_verdict_leaves_a_whole_recording(place_with_reader: House) -> None:
    rec_id = await crashed(place_with_reader, CrashBeforeVerdict, seconds=3)
    assert (await place_with_reader.row(rec_id)).state == "recording"
    await place_with_reader.desk().recover()
    row = await place_with_reader.row(rec_id)
    assert row.state == "whole" and row.sha256 == vault.sha256_of(place_with_reader.sealed(rec_id))
    left, _ = await place_with_reader.opened(rec_id)
    assert strength(left, A_HZ) > 6000


async def test_when_the_daemon_dies_in_a_call_the_recorder_finishes_and_recovery_waits_for_it(
    place_with_reader: House,
) -> None:
    place = place_with_reader
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk)
        for leg in legs:
            leg.grow(3)
    await place.desk().recover()
    assert (await place.row(rec_id)).state == "whole"
    assert strength((await place.opened(rec_id))[1], B_HZ) > 6000


async def killed(place: House, *, seconds: float = 12) -> str:
    """Daemon and recorder die together: a .part that nobody finishes."""
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk)
        for leg in legs:
            leg.grow(seconds)
        await until(lambda: place.part(rec_id).stat().st_size > 40_000, 10)
        desk._wanted = asyncio.Event()  # nobody is left to start another
        os.kill(desk.recorder_pid, signal.SIGKILL)
        await until(lambda: not desk.recorder_pid)
    return rec_id


@pytest.mark.promise("2.11")
async def test_what_power_loss_leaves_is_kept_as_far_as_it_was_sealed(place_with_reader: House) -> None:
    rec_id = await killed(place_with_reader)
    assert place_with_reader.files() == [f"{rec_id}.part"]
    await place_with_reader.desk().recover()
    row = await place_with_reader.row(rec_id)
    assert row.state == "cut" and row.sha256 == vault.sha256_of(place_with_reader.sealed(rec_id))
    assert place_with_reader.files() == [f"{rec_id}.rec"]
    assert strength((await place_with_reader.opened(rec_id))[0], A_HZ) > 6000


@pytest.mark.promise("2.11")
async def test_what_a_crash_leaves_ends_when_it_was_written_last(place_with_reader: House) -> None:
    place = place_with_reader
    rec_id = await killed(place)
    began, ended = NOW - timedelta(hours=3), NOW - timedelta(hours=2, minutes=30)
    async with place.db.transaction() as tx:
        await tx.write(update(tables.recordings).values(started_at=began, expires_at=began + timedelta(days=1)))
    os.utime(place.part(rec_id), (ended.timestamp(), ended.timestamp()))
    await place.desk().recover()
    row = await place.row(rec_id)
    assert row.ended_at == ended and row.duration_ms == 30 * 60_000
    assert row.expires_at == expires_at(plan().recording, ended)


@pytest.mark.parametrize("hours", [-1, 48])
async def test_a_file_with_a_strange_time_does_not_make_a_strange_recording(
    place_with_reader: House, hours: int
) -> None:
    place = place_with_reader
    rec_id = await killed(place)
    began = (await place.row(rec_id)).started_at
    strange = (began + timedelta(hours=hours)).timestamp()
    os.utime(place.part(rec_id), (strange, strange))
    await place.desk().recover()
    row = await place.row(rec_id)
    assert row.ended_at is not None and began <= row.ended_at <= datetime.now(UTC)


@pytest.mark.promise("2.6")
async def test_a_period_runs_from_the_end_of_the_recording(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        call = plan(MIFID)
        rec_id, _ = await place_with_reader.begun(desk, call)
        end = datetime.now(UTC) + timedelta(hours=3)
        await desk.finish(rec_id, end)
    row = await place_with_reader.row(rec_id)
    assert (row.ended_at, row.expires_at) == (end, expires_at(call.recording, end))


async def test_a_pack_that_has_changed_meanwhile_keeps_the_period_of_the_start(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        rec_id, _ = await place_with_reader.begun(desk)
        async with place_with_reader.db.transaction() as tx:
            await tx.write(update(tables.recordings).values(pack_version="1999-01-01"))
        before = await place_with_reader.row(rec_id)
        end = before.started_at + timedelta(hours=2)
        await desk.finish(rec_id, end)
    assert (await place_with_reader.row(rec_id)).expires_at == before.expires_at + timedelta(hours=2)


async def test_a_crash_between_verdict_and_name_is_taken_up_again(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    rec_id = await killed(place_with_reader)
    monkeypatch.setattr(vault, "adopt", crash)
    with pytest.raises(Crash):
        await place_with_reader.desk().recover()
    monkeypatch.undo()
    assert (await place_with_reader.row(rec_id)).state == "cut"
    assert place_with_reader.files() == [f"{rec_id}.part"]
    await place_with_reader.desk().recover()
    assert (await place_with_reader.row(rec_id)).state == "cut"
    assert place_with_reader.files() == [f"{rec_id}.rec"]


async def test_recovery_twice_changes_nothing(place_with_reader: House) -> None:
    rec_id = await killed(place_with_reader)
    await place_with_reader.desk().recover()
    before = await place_with_reader.row(rec_id)
    await place_with_reader.desk().recover()
    assert await place_with_reader.row(rec_id) == before


async def test_a_file_without_a_row_is_left_alone_and_stops_nothing(place_with_reader: House) -> None:
    """It has no key, so nobody can open it: for `vault check` to show, not for us to judge."""
    place, stray = place_with_reader, secrets.token_hex(16)
    vault.make_place(place.vault_dir, stray)
    place.sealed(stray).write_bytes(b"x" * 100)
    place.part("f" * 32).parent.mkdir(parents=True)
    place.part("f" * 32).write_bytes(b"")
    rec_id = await crashed(place, CrashBeforeVerdict, seconds=1)
    await place.desk().recover()
    assert (await place.row(rec_id)).state == "whole"
    assert place.sealed(stray).exists()


@pytest.mark.parametrize("state", ["failed", "destroyed"])
async def test_a_file_whose_recording_is_over_is_removed(place_with_reader: House, state: str) -> None:
    place = place_with_reader
    rec_id = await crashed(place, CrashBeforeVerdict, seconds=1)
    async with place.db.transaction() as tx:
        if state == "failed":
            await recordings.mark(tx, rec_id, "failed", NOW)
        else:
            await recordings.destroy(tx, rec_id, NOW)
    assert place.files() == [f"{rec_id}.rec"]
    await place.desk().recover()
    assert place.files() == []


async def test_recovery_leaves_alone_what_is_being_recorded(place_with_reader: House) -> None:
    async with place_with_reader.open() as desk:
        rec_id, legs = await place_with_reader.begun(desk)
        await asyncio.wait_for(desk.recover(), 5)
        assert (await place_with_reader.row(rec_id)).state == "recording"
        for leg in legs:
            leg.grow(1)
        assert await desk.finish(rec_id, NOW)


async def test_what_cannot_be_judged_now_is_judged_later(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_with_reader
    rec_id = await crashed(place, CrashBeforeVerdict, seconds=1)
    monkeypatch.setattr("server.recording_desk.RETRY_S", 0.1)
    real, failures = vault.settle, iter([vault.VaultError("the recording is still being written")])

    async def busy(*arguments: object) -> vault.Settled:
        if (error := next(failures, None)) is not None:
            raise error
        return await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(vault, "settle", busy)
    desk = place.desk()
    await desk.recover()
    assert (await place.row(rec_id)).state == "recording"
    async with place.open(desk):
        await until(lambda: desk._owed == {}, 5)
    assert (await place.row(rec_id)).state == "whole"


async def test_what_the_database_did_not_take_is_written_when_it_does(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_with_reader
    monkeypatch.setattr("server.recording_desk.RETRY_S", 0.1)
    real, failures = recordings.finish, iter([Unavailable("locked")] * 2)

    async def locked(*arguments: object, **facts: object) -> object:
        if (error := next(failures, None)) is not None:
            raise error
        return await real(*arguments, **facts)  # type: ignore[arg-type]

    async with place.open() as desk:
        rec_id, legs = await place.begun(desk)
        legs[0].grow(1)
        monkeypatch.setattr(recordings, "finish", locked)
        await desk.finish(rec_id, NOW)
        assert (await place.row(rec_id)).state == "recording"
        await until(lambda: desk._owed == {}, 5)
    row = await place.row(rec_id)
    assert (row.state, row.duration_ms) == ("whole", 1000)


async def test_what_can_never_be_done_is_given_up(place_with_reader: House, caplog: pytest.LogCaptureFixture) -> None:
    place = place_with_reader
    async with place.open() as desk:
        rec_id, _ = await place.begun(desk)
        async with place.db.transaction() as tx:
            await recordings.destroy(tx, rec_id, NOW)
        await desk.finish(rec_id, NOW)
        assert desk._owed == {} and "given up" in caplog.text


# --- the recorder -------------------------------------------------------------------------------------------------


async def test_a_dead_recorder_is_replaced_and_everybody_is_told(place_with_reader: House) -> None:
    place = place_with_reader
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk)
        for leg in legs:
            leg.grow(12)
        await until(lambda: place.part(rec_id).stat().st_size > 40_000, 10)
        first = desk.recorder_pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: place.cuts == [(None, "recorder")])
        assert not await desk.finish(rec_id, NOW)
        assert (await place.row(rec_id)).state == "cut"
        await until(lambda: desk.recorder_pid not in (0, first), 10)
        assert desk.restarts == 1 and not alive(first)
        again, legs = await place.begun(desk)
        legs[0].grow(1)
        assert await desk.finish(again, NOW)
    assert await place.states() == ["cut", "whole"]


async def test_recovery_that_fails_does_not_end_the_desk(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def locked(*_: object, **__: object) -> None:
        raise Unavailable("locked")

    async with place_with_reader.open() as desk:
        monkeypatch.setattr(recordings, "list_all", locked)
        os.kill(desk.recorder_pid, signal.SIGKILL)
        await until(lambda: "cannot be judged now" in caplog.text, 10)
        monkeypatch.undo()
        await place_with_reader.begun(desk)


# --- objection ----------------------------------------------------------------------------------------------------


async def objected(place: House, desk: RecordingDesk, call: CallPlan, rec_id: str) -> int:
    seq = await place.objected(rec_id, call)
    await desk.destroy(rec_id, seq, datetime.now(UTC))
    return seq


@pytest.mark.promise("2.3", "L1", "L3")
async def test_an_objection_destroys_all_of_it_and_proves_it(place_with_reader: House) -> None:
    place, call = place_with_reader, plan()
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        for leg in legs:
            leg.grow(3)
        await until(lambda: place.part(rec_id).stat().st_size > 0)
        seq = await objected(place, desk, call, rec_id)
        assert place.files() == [] and not await place.has_key(rec_id)
        row = await place.row(rec_id)
        assert (row.state, row.call_id, row.kek_id, row.consent_refs) == ("destroyed", None, None, ())
        (entry,) = await place.entries("erasure")
        assert (entry["rec_id"], entry["cause"], entry["consent_refs"]) == (rec_id, "objection", [seq])
        assert desk._held() == set()


@pytest.mark.parametrize("when", ["just begun", "cut", "finished"])
async def test_an_objection_destroys_at_any_moment(place_with_reader: House, when: str) -> None:
    place, call = place_with_reader, plan()
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        if when != "just begun":
            for leg in legs:
                leg.grow(2)
        if when == "cut":
            os.kill(desk.recorder_pid, signal.SIGKILL)
            await until(lambda: not desk.recorder_pid)
            await desk.finish(rec_id, NOW)
        if when == "finished":
            await desk.finish(rec_id, NOW)
        await objected(place, desk, call, rec_id)
        assert place.files() == [] and (await place.row(rec_id)).state == "destroyed"
        assert len(await place.entries("erasure")) == 1


@pytest.mark.promise("L3")
async def test_an_objection_while_the_recorder_is_dead_destroys_all_the_same(place_with_reader: House) -> None:
    place, call = place_with_reader, plan()
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(2)
        os.kill(desk.recorder_pid, signal.SIGKILL)
        await until(lambda: not desk.recorder_pid)
        assert place.files() == [f"{rec_id}.part"]
        await objected(place, desk, call, rec_id)
        assert place.files() == [] and (await place.row(rec_id)).state == "destroyed"


@pytest.mark.parametrize("step", ["destroy_key", "checkpoint", "remove_bytes", "remains", "prove"])
@pytest.mark.promise("L1", "L3")
async def test_an_objection_outlives_a_crash_at_any_step(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place, call = place_with_reader, plan()

    def crash(*_: object, **__: object) -> None:
        raise Crash

    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(2)
        seq = await place.objected(rec_id, call)
        if step == "checkpoint":
            monkeypatch.setattr(place.db, "empty_log", crash)
        elif step == "prove":
            monkeypatch.setattr("server.destruction.ledger.append_all", crash)
        else:
            monkeypatch.setattr(RecordingErasable, step, crash)
        with pytest.raises(Crash):
            await desk.destroy(rec_id, seq, datetime.now(UTC))
        monkeypatch.undo()
    await place.desk().recover()
    assert place.files() == [] and not await place.has_key(rec_id)
    assert (await place.row(rec_id)).state == "destroyed"
    assert [entry["rec_id"] for entry in await place.entries("erasure")] == [rec_id]
    await place.desk().recover()
    assert len(await place.entries("erasure")) == 1


@pytest.mark.promise("L1", "L3")
async def test_who_objected_is_not_kept_because_we_died_before_it_was_done(place_with_reader: House) -> None:
    place, call = place_with_reader, plan()
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(2)
        await place.objected(rec_id, call)
    await place.desk().recover()
    assert place.files() == [] and (await place.row(rec_id)).state == "destroyed"


async def test_an_objection_to_what_the_law_wants_kept_destroys_nothing_after_a_crash(place_with_reader: House) -> None:
    place, call = place_with_reader, plan(MIFID)
    assert not call.recording.destroy_on_objection
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(2)
        await place.objected(rec_id, call)
    await place.desk().recover()
    assert (await place.row(rec_id)).state == "whole" and place.files() == [f"{rec_id}.rec"]


async def lay_hold(place: House, rec_id: str) -> str:
    hold_id = secrets.token_hex(16)
    about = About("A-17", "the court", "the DPO", "a claim", rec_id)
    async with place.db.transaction() as tx:
        await holds.add(tx, hold_id, "recording", about, ids=[rec_id], now=NOW, review_at=NOW + timedelta(days=90))
    return hold_id


@pytest.mark.promise("3.9", "L3")
@pytest.mark.parametrize("crash", [False, True], ids=["at once", "after a crash"])
async def test_an_objection_to_what_is_under_a_legal_hold_waits_for_its_end(
    place_with_reader: House, crash: bool
) -> None:
    """It is sealed and kept, nobody is told that it is destroyed, and it is overdue from then on."""
    place, call = place_with_reader, plan()
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(2)
        await lay_hold(place, rec_id)
        seq = await place.objected(rec_id, call)
        if not crash:
            assert await desk.destroy(rec_id, seq, datetime.now(UTC)) is False
    if crash:
        await place.desk().recover()
    row = await place.row(rec_id)
    assert row.state == "whole" and place.files() == [f"{rec_id}.rec"] and await place.has_key(rec_id)
    assert await place.entries("erasure") == [] and row.expires_at <= datetime.now(UTC)
    assert strength((await place.opened(rec_id))[0], A_HZ) > 0.5


async def test_an_objection_that_a_busy_database_holds_up_is_carried_out_later(
    place_with_reader: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that holds the write-ahead log: what was deleted is still in it, so it is not done."""
    place, call = place_with_reader, plan()
    monkeypatch.setattr("server.recording_desk.RETRY_S", 0.1)
    real, failures = place.db.empty_log, iter([Unavailable("a reader holds it")])

    async def held() -> None:
        if (error := next(failures, None)) is not None:
            raise error
        await real()

    monkeypatch.setattr(place.db, "empty_log", held)
    async with place.open() as desk:
        rec_id, legs = await place.begun(desk, call)
        legs[0].grow(1)
        await objected(place, desk, call, rec_id)
        assert desk._held() == {rec_id} and await place.entries("erasure") == []
        await until(lambda: desk._owed == {}, 5)
    assert place.files() == []
    assert [entry["rec_id"] for entry in await place.entries("erasure")] == [rec_id]
