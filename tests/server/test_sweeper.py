"""The sweep: what has expired goes through the gate with a receipt, and nothing else does; on both databases."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from config import settings as configuration
from config.paths import Paths
from config.periods import Period
from recording import keys as key_tools
from recording import vault
from retention import receipt as receipts_of
from retention.due import by_day
from server import erasables
from server.destruction import RecordingDestruction
from server.failure import Failure
from server.recording_desk import DeskKeys, RecordingDesk
from server.services import holds as hold_service
from server.services import policies, policy_register
from server.services import retention as service
from server.services.actor import Actor
from server.services.context import ServerKeys, Services
from server.sweeper import Sweeper, item_of
from storage import (
    access,
    call_records,
    consents,
    contact_attempts,
    contact_references,
    diagnoses,
    emergency_calls,
    expiry,
    holds,
    keys,
    ledger,
    lines,
    people,
    receipts,
    recordings,
    suppressions,
    sweeps,
    tables,
    usage,
)
from storage.call_records import CallRecord
from storage.database import Database
from storage.diagnoses import CallDiagnosis
from storage.emergency_calls import EmergencyCall
from storage.errors import NotFound, Unavailable
from storage.field_crypto import FieldKeys
from storage.keys import Kek, RecKey
from storage.recordings import Party
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L3", "2.5", "3.3")]
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NUMBER = "+33612345678"
WRAP = b"\x01" + bytes(range(256)) * 4
DPO = Actor("os:0", "here", "a case at court", "A-17")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class House:
    """Services with a clock that is set, and what lies in them."""

    services: Services
    moment: datetime = NOW
    monotonic_s: float = 0.0
    sweeper: Sweeper = field(init=False)

    def __post_init__(self) -> None:
        self.services.clock = lambda: self.moment
        self.restart()

    def restart(self) -> None:
        """The daemon is started again: another process, another monotonic clock."""
        self.sweeper = Sweeper(self.services, monotonic=lambda: self.monotonic_s)

    def desk(self) -> RecordingDesk:
        """As a daemon has it that is just starting."""
        services = self.services
        destruction = RecordingDestruction(services.db, services.paths.vault, services.keys.ledger, services.clock)
        return RecordingDesk(
            services.db, services.paths.vault, DeskKeys(services.keys.proof, services.keys.ledger), bitrate_bps=48000,
            min_free_mb=1, on_cut=lambda rec_id, why: None, destroy=destruction.on_objection,
            is_held=destruction.is_held,
        )  # fmt: skip

    def later(self, length: timedelta) -> None:
        """Time goes by for both clocks."""
        self.moment += length
        self.monotonic_s += length.total_seconds()

    async def recording(
        self, expires_in: timedelta, *, number: str = NUMBER, call_id: str = "", week_ends: datetime | None = None
    ) -> str:
        db, rec_id, kek_id = self.services.db, secrets.token_hex(16), secrets.token_hex(16)
        public, _ = key_tools.generate_kek()
        began = self.moment + expires_in - timedelta(days=90)
        async with db.transaction() as tx:
            period = f"2026-W40.{secrets.randbelow(10**6)}"
            week_ends = week_ends or self.moment + timedelta(days=5000)  # so that the KEK itself is not due
            kek = Kek(kek_id, "REC_QUALITY", period, "X", public, b"s" * 64, began, week_ends)
            await keys.add_kek(tx, kek, ())
            await recordings.start(
                tx, rec_id, call_id=call_id or secrets.token_hex(16), purpose="REC_QUALITY", pack_version="2026-11-21",
                legal_basis="GDPR 6(1)(f)", expires_at=self.moment + expires_in, codec="opus", rate_hz=8000, channels=2,
                started_at=began, kek_id=kek_id, parties=[Party(0, "1" * 32, None, number)], consent_refs=[1],
            )  # fmt: skip
            await keys.add_rec_key(tx, RecKey(rec_id, kek_id, "X", WRAP))
            await recordings.finish(tx, rec_id, state="whole", ended_at=began, duration_ms=1, size_bytes=1, sha256="0")
        vault.make_place(self.services.paths.vault, rec_id)
        self.file(rec_id).write_bytes(b"sealed audio")
        return rec_id

    async def call(self, expires_in: timedelta, *, number: str = NUMBER) -> str:
        call_id = secrets.token_hex(16)
        at = self.moment + expires_in - timedelta(days=30)
        record = CallRecord(
            id=call_id, line_id=None, metadata_class="standard", purpose="p", legal_basis="GDPR 6(1)(f)", at=at,
            expires_at=self.moment + expires_in, fields={"call_id": call_id}, recording_id=None,
        )  # fmt: skip
        async with self.services.db.transaction() as tx:
            await call_records.add(tx, record, {"caller": number})
            await diagnoses.add(tx, CallDiagnosis(call_id, at, self.moment + expires_in, "good", 430, {}))
        return call_id

    async def emergency(self, at: datetime) -> str:
        call_id = secrets.token_hex(16)
        async with self.services.db.transaction() as tx:
            await emergency_calls.add(tx, EmergencyCall(call_id, at, None, "112", None, False, "ended", ()))
        return call_id

    async def used(self, day: date) -> None:
        async with self.services.db.transaction() as tx:
            await usage.add(tx, "account:" + "a" * 32, day, 60, 0)

    def file(self, rec_id: str) -> Path:
        return vault.sealed_path(self.services.paths.vault, rec_id)

    async def there(self, rec_id: str) -> bool:
        """Whether a recording has its file and its key; one without the other is a mistake."""
        async with self.services.db.read() as tx:
            try:
                await keys.rec_key(tx, rec_id)
                key = True
            except NotFound:
                key = False
            state = (await recordings.get(tx, rec_id)).state
        assert key == self.file(rec_id).exists() == (state != "destroyed"), (key, state)
        return key

    async def calls(self) -> set[str]:
        async with self.services.db.read() as tx:
            return {one.id for one in await call_records.list_all(tx)}

    async def entries(self) -> list[dict[str, Any]]:
        async with self.services.db.read() as tx:
            return [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]

    async def hold(self, scope: Any, named: str) -> str:
        laid = await hold_service.add(
            self.services, DPO, scope=scope, named=named, requested_by="the court", approved_by="dora",
            review=date(2027, 6, 1),
        )  # fmt: skip
        return laid.id


@pytest.fixture
async def house(db: Database, data: Path, field_keys: FieldKeys, ledger_key: Any) -> AsyncIterator[House]:  # noqa: F811
    paths = Paths(data)
    async with db.transaction() as tx:
        await people.add(tx, "dora", "Dora", NOW, roles=("dpo",))
    yield House(Services(db, paths, configuration.load(paths.config), ServerKeys(field_keys, ledger_key, ledger_key)))


DAY = timedelta(days=1)


async def test_what_has_expired_goes_and_nothing_else(house: House) -> None:
    old, young = await house.recording(-DAY), await house.recording(DAY)
    gone, stays = await house.call(-DAY), await house.call(DAY)
    await house.emergency(NOW - timedelta(days=366))
    await house.emergency(NOW - timedelta(days=364))
    await house.used(date(2025, 10, 26))
    await house.used(date(2025, 10, 29))
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == ""
    assert (
        said.destroyed
        == said.due
        == dict.fromkeys(("recording", "call_record", "diagnosis", "usage", "emergency_call"), 1)
    )
    assert not await house.there(old) and await house.there(young)
    assert await house.calls() == {stays} and gone != stays
    async with house.services.db.read() as tx:
        assert await call_records.with_number(tx, NUMBER) != ()
        assert len(await emergency_calls.list_all(tx)) == 1
        assert (await usage.of_day(tx, "account:" + "a" * 32, date(2025, 10, 26))).calls == 0
        assert (await usage.of_day(tx, "account:" + "a" * 32, date(2025, 10, 29))).calls == 1
        assert await sweeps.under_way(tx) == ()


async def test_each_has_its_receipt_and_nobody_is_named(house: House) -> None:
    rec_id = await house.recording(-DAY)
    calls = [await house.call(-DAY) for _ in range(3)]
    await house.sweeper.sweep()
    by_object = {entry["object"]: entry for entry in await house.entries()}
    assert by_object["recording"]["rec_id"] == rec_id and by_object["call"]["count"] == 3
    for entry in by_object.values():
        assert entry["cause"] == "expiry" and entry["complete"]
        async with house.services.db.read() as tx:
            body = (await receipts.get(tx, entry["receipt_id"])).body
        receipt = receipts_of.parse(body)
        receipts_of.verify(receipt, house.services.keys.ledger.public_key())
        assert receipt.trigger == "retention_expiry"
        assert receipt.live_erased_at == "2026-11-28T12:00:00Z" < receipt.backup_effective_at
        for secret in (NUMBER, NUMBER[3:], rec_id, *calls):
            assert secret not in body


async def test_dry_run_and_forecast_say_what_the_sweep_then_does(house: House) -> None:
    rec_id, held, soon = await house.recording(-DAY), await house.recording(-2 * DAY), await house.recording(DAY)
    hold_id = await house.hold("recording", held)
    found = {one.id: one for one in await service.due(house.services, DPO)}
    assert set(found) == {rec_id, held}
    assert found[rec_id].goes and not found[held].goes and hold_id in found[held].rule
    assert await house.there(rec_id), "looking changes nothing"
    days = {one.day: one.recording for one in await service.forecast(house.services, DPO, days=3)}
    assert days == {"2026-11-28": 2, "2026-11-29": 1}
    said = await house.sweeper.sweep()
    assert said is not None
    assert (said.destroyed, said.held, said.problem) == ({"recording": 1}, {"recording": 1}, "")
    assert [await house.there(one) for one in (rec_id, held, soon)] == [False, True, True]
    assert (await service.status(house.services, DPO)).holds == 1


async def test_the_forecast_counts_what_would_be_found_day_by_day(house: House) -> None:
    """Edges of days included, and what is long overdue."""
    midnight = timedelta(hours=12)  # from the house's noon
    for after in (-40 * DAY, -DAY, timedelta(0), midnight - timedelta(microseconds=1), midnight, DAY, DAY + midnight,
                  2 * DAY, 2 * DAY + timedelta(microseconds=1), 9 * DAY):  # fmt: skip
        await house.recording(after)
        await house.call(after)
    for days in (0, 1, 2, 5, 130):
        counted = {
            one.day: (one.recording, one.call_record)
            for one in await service.forecast(house.services, DPO, days=days)
            if one.recording or one.call_record
        }
        found: dict[str, Counter[str]] = {}
        now = house.services.clock()
        async with house.services.db.read() as tx:
            for kind in ("recording", "call_record"):
                rows = await expiry.until(tx, kind, now + timedelta(days=days), limit=99)
                for day, kinds in by_day([item_of(row) for row in rows], now, days).items():
                    found.setdefault(day, Counter()).update(kinds)
        assert counted == {day: (each["recording"], each["call_record"]) for day, each in found.items()}, days
    assert sum(sum(pair) for pair in counted.values()) == 20


@pytest.mark.promise("3.9")
@pytest.mark.parametrize("scope", ["recording", "call", "number"])
async def test_a_hold_keeps_what_belongs_to_it_until_it_is_lifted(house: House, scope: str) -> None:
    call_id = await house.call(-DAY)
    rec_id, other = await house.recording(-DAY, call_id=call_id), await house.recording(-DAY, number="+33187654321")
    hold_id = await house.hold(scope, {"recording": rec_id, "call": call_id, "number": "06 12 34 56 78"}[scope])
    await house.sweeper.sweep()
    assert await house.there(rec_id) and not await house.there(other)
    assert await house.calls() == {call_id}, "the record of a recording that is held stays with it"
    await hold_service.lift(house.services, DPO, hold=hold_id[:8])
    house.later(DAY)
    await house.sweeper.sweep()
    assert not await house.there(rec_id) and await house.calls() == set()


async def test_a_hold_that_is_laid_while_the_sweep_is_about_to_destroy(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rec_id, other = await house.recording(-DAY), await house.recording(-DAY, number="+33187654321")
    begin = sweeps.begin

    async def then_somebody_asks(*args: Any, **more: Any) -> str:
        under_way = await begin(*args, **more)
        monkeypatch.setattr(sweeps, "begin", begin)
        laying.append(asyncio.ensure_future(house.hold("recording", rec_id)))  # noqa: TID251 - awaited below
        return under_way

    laying: list[Any] = []
    monkeypatch.setattr(sweeps, "begin", then_somebody_asks)
    monkeypatch.setattr(erasables, "PAUSE_S", 0)
    said = await house.sweeper.sweep()
    [laid] = await asyncio.gather(*laying, return_exceptions=True)
    assert isinstance(laid, str) or (isinstance(laid, Failure) and laid.code == "not_found"), "or it came too late"
    assert said is not None
    # Whichever came first: either it is gone with a receipt, or it is held and whole.
    proven = {entry.get("rec_id") for entry in await house.entries()}
    assert (rec_id in proven) is not await house.there(rec_id)
    assert isinstance(laid, str) is await house.there(rec_id), "no hold stands on what is gone"
    assert other in proven and not await house.there(other)
    async with house.services.db.read() as tx:
        assert await sweeps.under_way(tx) == ()


@pytest.mark.promise("3.9")
async def test_a_hold_on_what_is_destroyed_at_this_moment_is_refused(house: House) -> None:
    """And not believed to keep what is gone once the other transaction has ended."""
    rec_id = await house.recording(-DAY)
    async with asyncio.TaskGroup() as group, house.services.db.transaction() as tx:
        await holds.lock(tx)
        await recordings.destroy_all(tx, [rec_id], NOW)
        laying = group.create_task(refused(house.hold("recording", rec_id)))
        await asyncio.wait([laying], timeout=0.3)  # it waits for this transaction
    assert laying.result() == "not_found"
    async with house.services.db.read() as tx:
        assert await holds.list_all(tx) == ()


async def refused(laying: Coroutine[Any, Any, str]) -> str:
    """Why; "" where it was not."""
    try:
        await laying
    except Failure as failure:
        return failure.code
    return ""


@pytest.mark.parametrize("where", ["keys", "bytes", "remains", "prove"])
async def test_killed_at_any_step_it_is_finished_at_the_next_start(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rec_id = await house.recording(-DAY)
    calls = {await house.call(-DAY) for _ in range(3)}

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    target: tuple[Any, str] = {
        "keys": (erasables.Recordings, "destroy_keys"),
        "bytes": (erasables.Recordings, "remove_bytes"),
        "remains": (erasables.Rows, "remains"),
        "prove": (receipts, "add_all"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target, killed)
        with pytest.raises(Killed):
            await house.sweeper.sweep()
    async with house.services.db.read() as tx:
        begun = await sweeps.under_way(tx)
    assert sum(len(one.items) for one in begun) in (1, 3)
    await house.desk().recover()  # at the start, some time before the first sweep
    house.restart()
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == ""
    assert not await house.there(rec_id) and not calls & await house.calls()
    entries = await house.entries()
    causes = [entry["cause"] for entry in entries if entry.get("rec_id") == rec_id]
    assert causes == ["expiry"], "one receipt, not two; and nobody has objected"
    assert sum(entry["count"] for entry in entries if entry["object"] == "call") == 3
    async with house.services.db.read() as tx:
        assert await sweeps.under_way(tx) == ()


async def test_a_file_that_does_not_go_is_not_called_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rec_id, other = await house.recording(-2 * DAY), await house.recording(-DAY)
    remove = vault.remove
    with monkeypatch.context() as patch:
        patch.setattr(vault, "remove", lambda place, one: one != rec_id and remove(place, one))
        said = await house.sweeper.sweep()
    assert said is not None and said.left == {"recording": 1} and said.destroyed == {"recording": 1}
    assert {entry["rec_id"] for entry in await house.entries()} == {other}
    house.later(timedelta(minutes=15))
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == {"recording": 1} and not house.file(rec_id).exists()


async def test_nothing_gone_where_something_was_due_is_an_alarm(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await house.recording(-DAY)
    monkeypatch.setattr(vault, "remove", lambda *_: False)
    said = await house.sweeper.sweep()
    assert said is not None and "none is gone" in said.problem
    assert house.sweeper.gauges()["retention_alarm"] == 1
    assert "none is gone" in caplog.text and NUMBER not in caplog.text


async def test_what_is_listened_to_waits(house: House) -> None:
    rec_id = await house.recording(-DAY)
    house.services.open_rooms[rec_id] += 1
    said = await house.sweeper.sweep()
    assert said is not None and said.held == {"recording": 1} and said.problem == "" and await house.there(rec_id)
    house.services.open_rooms.clear()
    await house.sweeper.sweep()
    assert not await house.there(rec_id)


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(hours=3), timedelta(days=4000)])
async def test_a_clock_that_jumps_deletes_nothing(house: House, jump: timedelta) -> None:
    rec_id, call_id = await house.recording(DAY / 24), await house.call(DAY / 24)
    await house.sweeper.sweep()
    house.monotonic_s += 60
    house.moment += jump
    said = await house.sweeper.sweep()
    assert said is not None and "clock" in said.problem and house.sweeper.gauges()["retention_alarm"] == 1
    assert await house.there(rec_id) and await house.calls() == {call_id}
    house.moment = NOW + timedelta(minutes=2)
    house.monotonic_s += 60
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == "" and await house.there(rec_id), "set right again, it goes on"


async def test_after_months_without_a_sweep_somebody_is_asked(house: House) -> None:
    await house.sweeper.sweep()
    rec_id = await house.recording(DAY)
    house.moment += timedelta(days=45)
    house.restart()
    said = await house.sweeper.sweep()
    assert said is not None and "45 days" in said.problem and await house.there(rec_id)
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.problem == "" and not await house.there(rec_id)


@pytest.mark.parametrize(("jump", "gone"), [(-DAY, False), (DAY, True), (400 * DAY, False)])
async def test_a_first_sweep_compares_the_clock_with_the_ledger(house: House, jump: timedelta, gone: bool) -> None:
    """An instance that has just been given the sweep, and a clock that is wrong on that day."""
    await house.call(timedelta(hours=-1))
    async with house.services.db.transaction() as tx:
        await access.record(tx, actor_id="system", action="list", now=NOW)
    house.moment += jump
    said = await house.sweeper.sweep()
    assert said is not None and bool(said.problem) is not gone
    assert bool(await house.calls()) is not gone
    house.services.sweeper = house.sweeper
    assert (await service.status(house.services, DPO)).problem == said.problem, "and whoever asks is told"


async def test_a_database_that_goes_away_is_asked_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rec_id = await house.recording(-DAY)

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("it does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(erasables.Recordings, "remains", away)
        with pytest.raises(Unavailable):
            await house.sweeper.sweep()
    assert await house.entries() == []
    await house.sweeper.sweep()
    assert not await house.there(rec_id) and len(await house.entries()) == 1


async def test_two_at_once_take_turns(house: House) -> None:
    for _ in range(4):
        await house.recording(-DAY)
    other = Sweeper(house.services, monotonic=lambda: house.monotonic_s)
    one, two = await asyncio.gather(house.sweeper.sweep(), other.sweep(), return_exceptions=True)
    assert not isinstance(one, BaseException) and not isinstance(two, BaseException)
    done = [said for said in (one, two) if said is not None]
    assert sum(said.destroyed.get("recording", 0) for said in done) >= 4
    entries = await house.entries()
    assert len(entries) == len({entry["rec_id"] for entry in entries}) == 4, "one receipt each"


async def test_many_go_in_rounds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sweeper.ROUND", 7)
    monkeypatch.setattr(erasables, "ROWS_AT_ONCE", 3)
    held = [await house.call(-timedelta(days=n + 1)) for n in range(3)]
    for one in held:
        await house.hold("call", one)
    for _ in range(20):
        await house.call(-DAY)
    said = await house.sweeper.sweep()
    assert said is not None
    assert (said.destroyed, said.held) == ({"call_record": 20, "diagnosis": 20}, {"call_record": 3, "diagnosis": 3})
    assert await house.calls() == set(held)


@pytest.mark.promise("0.1")
async def test_no_byte_of_what_went_is_left_in_the_files_or_the_receipt_says_so(house: House, tmp_path: Path) -> None:
    for n in range(200):
        await house.call(-DAY if n % 3 else DAY)
    async with house.services.db.read() as tx:
        sealed = await tx.rows(select(tables.call_records).where(tables.call_records.c.expires_at <= NOW))
    marks = [mark for row in sealed for mark in (row["id"].encode(), bytes(row["numbers_sealed"])[-24:])]

    def found() -> int:
        files = b"".join(path.read_bytes() for path in tmp_path.glob("beffroi.sqlite3*"))
        return sum(mark in files for mark in marks)

    sqlite = house.services.db.is_sqlite
    assert found() == (len(marks) if sqlite else 0) and len(marks) > 250, "or the search is worth nothing"
    await house.sweeper.sweep()
    assert found() == 0
    [entry] = [entry for entry in await house.entries() if entry["object"] == "call"]
    async with house.services.db.read() as tx:
        receipt = receipts_of.parse((await receipts.get(tx, entry["receipt_id"])).body)
        assert receipt.exceptions_kept == (() if sqlite else ("slack_of_pages",))
        if not sqlite:
            asked = text("SELECT vacuum_count > 0 AS done FROM pg_stat_user_tables WHERE relname = 'call_records'")
            row = await tx.row(asked)
            assert row is not None and row["done"], "the places of the dead rows are given up"


@pytest.mark.promise("L4")
async def test_consents_and_attempts_go_when_they_prove_and_count_no_more_and_objections_stay(house: House) -> None:
    common: Any = {"channel": "voice", "purpose": "telecom", "legal_basis": "law"}
    number = "+33142123456"
    async with house.services.db.transaction() as tx:
        line = await lines.add(tx, "sales", "300", NOW)
        for kept_until in (NOW - DAY, NOW + DAY):
            await consents.add(
                tx, NOW, number=number, act="checkbox", given_at=NOW - 2000 * DAY, expires_at=NOW - 900 * DAY,
                kept_until=kept_until, collector="us", source="form", **common,
            )  # fmt: skip
            await contact_references.add(
                tx, number=number, kind="contract", reference="C-1", purpose="telecom", since=NOW - 2000 * DAY,
                until=NOW - 900 * DAY, legal_basis="law", kept_until=kept_until,
            )  # fmt: skip
            await contact_attempts.add(
                tx, number, line_id=line.id, at=NOW - 31 * DAY, evidence="", kept_until=kept_until, **common
            )
        await suppressions.add(
            tx, number, NOW, reason="objection", source="cli", since=NOW - 2000 * DAY, until=None,
            kept_until=NOW - DAY, **(common | {"channel": "*"}),
        )  # fmt: skip
    said = await house.sweeper.sweep()
    assert said is not None and said.problem == ""
    assert said.destroyed == dict.fromkeys(("contact_consent", "contact_reference", "contact_attempt"), 1)
    assert {entry["object"] for entry in await house.entries()} == {"consent", "contract", "contact"}
    async with house.services.db.read() as tx:
        assert len(await consents.of_number(tx, number)) == len(await contact_attempts.of_number(tx, number)) == 1
        assert len(await suppressions.of_number(tx, number)) == 1, "nobody who objected is forgotten by itself"


# --- a policy that keeps things for less ------------------------------------------------------------------------------


async def policy_of(house: House, **periods: str) -> None:
    """A version in force that gives these packs these periods."""
    services = house.services
    made = await policies.draft(services, DPO)
    for pack, period in periods.items():
        await policies.set_(services, DPO, number=made.number, rule=pack.lower().replace("_", "-"), pack=pack,
                            retention=period, valid_from="approval")  # fmt: skip
    for kind in ("cse_consulted", "staff_informed", "dpia_signed", "unrecorded_line_available"):
        await policy_register.enter(services, DPO, kind=kind, pack="*", evidence="x", done_by="y",
                                    done_on=house.moment.date() - timedelta(days=1))  # fmt: skip
    await policies.approve(services, DPO, number=made.number, login="dora")


@pytest.mark.promise("2.5")
async def test_a_policy_that_keeps_for_less_counts_for_what_is_kept_and_none_keeps_for_longer(house: House) -> None:
    old, fresh = await house.recording(timedelta(days=20)), await house.recording(timedelta(days=80))
    call = await house.call(timedelta(days=29))
    before = await expiries(house, old, fresh)
    await policy_of(house, REC_QUALITY="P6M", CDR_STANDARD="P7D")
    swept = await house.sweeper.sweep()
    assert swept is not None and swept.destroyed == {}
    assert await expiries(house, old, fresh) == before, "a longer period is for what is recorded from now on"
    async with house.services.db.read() as tx:
        record = await call_records.get(tx, call)
    assert record.expires_at == record.at + timedelta(days=8)  # a day for the call itself
    house.later(timedelta(hours=1))
    await policy_of(house, REC_QUALITY="P1M", CDR_STANDARD="P7D")
    swept = await house.sweeper.sweep()
    assert swept is not None and swept.destroyed == {"recording": 1} and swept.problem == ""
    assert await expiries(house, fresh) == [Period.parse("P1M").after(before[1] - timedelta(days=90))]


async def expiries(house: House, *rec_ids: str) -> list[datetime]:
    async with house.services.db.read() as tx:
        return [(await recordings.get(tx, rec_id)).expires_at for rec_id in rec_ids]
