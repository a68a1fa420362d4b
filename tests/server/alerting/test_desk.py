"""The desk on both databases: written before it is told, told until it is taken, whatever dies in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from server.alerting import channels, teller
from server.alerting.channels import NotSent
from server.alerting.conditions import Sensed
from server.alerting.desk import AlertDesk
from server.alerting.notices import Notice
from server.alerting.teller import UNWRITTEN, back_off_s
from server.services import alerts as service
from server.services import operations
from server.services.actor import Actor, os_actor_id
from server.services.context import ServerKeys, Services
from server.services.retention import sweep
from storage import access, accounts, alerts, keys, ledger, people, recordings
from storage.alerts import Alert
from storage.database import Database
from storage.errors import Unavailable
from storage.field_crypto import FieldKeys
from storage.keys import Kek, RecKey
from storage.recordings import Party
from storage.tx import Tx
from tests.server.alerting import receivers
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DPO = Actor("os:0", "here", "looking", "A-1")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Ways:
    """Ways out that keep what they are given. `refuse`: those that take nothing now."""

    told: list[tuple[str, Notice]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    on_send: Callable[[], None] = lambda: None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, name: str, one: Notice, now: datetime) -> None:
        self.on_send()
        if name in self.refuse:
            raise NotSent("not now")
        self.told.append((name, one))
        self.arrived.set()

    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@dataclass
class House:
    """Services with a clock that is set, a desk, and how the house is said to be."""

    services: Services
    moment: datetime = NOW
    tick_s: float = 0.0
    sensed: Sensed = Sensed()
    ways: Ways = field(default_factory=Ways)
    desk: AlertDesk = field(init=False)

    def __post_init__(self) -> None:
        self.services.clock = lambda: self.moment
        self.restart()

    def restart(self) -> None:
        """As a new process: nothing in memory."""
        self.desk = AlertDesk(self.services, self.sense, ways=self.ways, monotonic=lambda: self.tick_s)  # type: ignore[arg-type]

    async def sense(self) -> Sensed:
        return self.sensed

    def set(self, **values: Any) -> None:
        self.services.settings = configuration.parse(configuration.sample(alerts=values))

    async def looked(self, count: int, *, who: str = "a" * 32, **more: Any) -> None:
        details = {"object": "recording", "person_id": who, "rec_id": "c" * 32, "outcome": "done"}
        async with self.services.db.transaction() as tx:
            for _ in range(count):
                await access.record(tx, actor_id=who, action="open", now=self.moment, details=details | more)

    async def read(self) -> None:
        more = True
        while more:
            _, more = await self.desk.reader.read_on()

    async def look(self, **changes: Any) -> None:
        self.sensed = Sensed(**changes)
        await self.desk.look()
        await self.desk.write_down()

    async def alerts(self) -> list[Alert]:
        async with self.services.db.read() as tx:
            return list(await alerts.list_all(tx))


@pytest.fixture
async def house(db: Database, field_keys: FieldKeys, ledger_key: Any, tmp_path: Path) -> House:  # noqa: F811
    paths = Paths(tmp_path / "data")
    paths.make()
    made = House(Services(db, paths, configuration.parse(""), ServerKeys(field_keys, ledger_key, ledger_key)))
    made.set(webhook="https://hooks.example.org/x", syslog="unix:/dev/log")
    await made.read()  # from here on
    return made


# --- the access log ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.22")
async def test_the_log_is_read_from_when_it_was_first_read(house: House):
    await house.looked(30)
    await house.read()
    [one] = await house.alerts()
    assert (one.kind, one.subject, one.count, one.severity) == ("bulk-listening", "a" * 32, 30, "critical")
    assert one.waiting == ("log", "syslog", "webhook")
    await house.read()
    assert (await house.alerts())[0].count == 30, "nothing is read twice"


@pytest.mark.promise("2.22")
async def test_what_was_there_before_is_not_an_alert(db: Database, house: House):  # noqa: F811
    async with db.transaction() as tx:
        await tx.conn.exec_driver_sql("DELETE FROM alert_cursors")
    await house.looked(30)
    house.restart()
    await house.read()
    assert await house.alerts() == []


@pytest.mark.promise("2.22")
async def test_a_restart_in_the_middle_neither_forgets_nor_counts_twice(house: House):
    await house.looked(19)
    await house.read()
    assert await house.alerts() == []
    house.restart()
    await house.looked(1)
    await house.read()
    [one] = await house.alerts()
    assert one.count == 20


async def test_a_restart_after_the_window_begins_anew(house: House):
    await house.looked(19)
    await house.read()
    house.restart()
    house.moment += timedelta(minutes=11)
    await house.looked(1)
    await house.read()
    assert await house.alerts() == []


@pytest.mark.promise("2.22")
async def test_a_storm_of_ten_thousand_entries_is_one_alert(house: House, monkeypatch: pytest.MonkeyPatch):
    """The ledger's own writing is slow; what is under test reads it in batches, as from a log that long."""
    said = {"at": "2026-11-28T12:00:00.000000Z", "actor_id": "a" * 32, "action": "open", "object": "recording",
            "person_id": "a" * 32, "rec_id": "c" * 32}  # fmt: skip
    body = json.dumps(said)
    asked: list[int] = []

    async def entries(tx: Tx, log: str, *, after_seq: int = 0, limit: int | None = None) -> list[ledger.Entry]:
        asked.append(limit or 0)
        last = min(10_000, after_seq + (limit or 10_000))
        return [ledger.Entry(log, seq, "2026-11-28", b"", body.encode()) for seq in range(after_seq + 1, last + 1)]

    async def heads(tx: Tx) -> tuple[ledger.Head, ...]:
        return (ledger.Head("access", 10_000, b""),)

    monkeypatch.setattr(ledger, "entries", entries)
    monkeypatch.setattr(ledger, "heads", heads)
    await house.read()
    [one] = await house.alerts()
    assert one.count == 10_000 and one.episode == 1
    assert max(asked) <= 5000, "never the whole log at once"
    await house.desk.teller.tell_due()
    assert sorted(house.ways.names()) == ["log", "syslog", "webhook"], "each is told once"


@pytest.mark.promise("2.22")
async def test_who_is_heard_in_what_they_open(house: House):
    now = house.moment
    kek = Kek("e" * 32, "REC_QUALITY", "2026-W48.1", "x", b"p", b"s", now, now + timedelta(days=7), None)
    async with house.services.db.transaction() as tx:
        alice = await people.add(tx, "alice", "Alice", now, roles=("reader",))
        bob = await people.add(tx, "bob", "Bob", now, roles=("reader",))
        account = await accounts.add(tx, "alice-1", "101", "Alice", now, person_id=alice.id)
        await keys.add_kek(tx, kek, [])
        await keys.add_rec_key(tx, RecKey("c" * 32, kek.id, "x", b"w"))
        heard = [Party(0, "1" * 32, None, "+33612345678"), Party(1, "2" * 32, account.id, "101")]
        await recordings.start(
            tx, "c" * 32, call_id="d" * 32, purpose="REC_QUALITY", pack_version="1", legal_basis="6(1)(f)",
            expires_at=now + timedelta(days=9), codec="opus", rate_hz=8000, channels=2, started_at=now, kek_id=kek.id,
            parties=heard, consent_refs=[1],
        )  # fmt: skip
    await house.looked(1, who=bob.id)
    await house.read()
    assert await house.alerts() == []
    await house.looked(1, who=alice.id)
    await house.read()
    [one] = await house.alerts()
    assert (one.kind, one.subject) == ("own-call-listening", alice.id)


# --- the house --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.22")
async def test_a_condition_is_written_once_also_over_a_restart(house: House):
    await house.look(ledger_sound=False)
    await house.look(ledger_sound=False)
    house.restart()
    await house.look(ledger_sound=False)
    [one] = await house.alerts()
    assert (one.kind, one.count, one.lasts) == ("ledger-broken", 1, True)
    await house.look(ledger_sound=True)
    assert not (await house.alerts())[0].lasts
    await house.look(ledger_sound=False)
    [one] = await house.alerts()
    assert (one.count, one.lasts, one.state) == (2, True, "open")


@pytest.mark.promise("2.23")
async def test_an_acknowledged_condition_is_left_in_peace_until_it_comes_again(house: House):
    await house.look(ledger_sound=False)
    await house.desk.teller.tell_due()
    [one] = await house.alerts()
    view = await service.ack(house.services, DPO, alert=one.id[:8], verdict="real_danger", note="disk")
    assert (view.state, view.verdict, view.note) == ("acknowledged", "real_danger", "disk")
    await house.look(ledger_sound=False)
    assert (await house.alerts())[0].state == "acknowledged"
    await house.look(ledger_sound=True)
    await house.look(ledger_sound=False)
    await house.desk.teller.tell_due()
    [one] = await house.alerts()
    assert (one.state, one.episode) == ("open", 2)
    assert house.ways.names().count("webhook") == 2 and house.ways.told[-1][1].again


# --- telling ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.22")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_between_writing_and_telling_it_is_told_by_the_next(house: House, when: str):
    """Before a channel has taken it: each is told once. After: told twice at worst, never not at all."""
    await house.look(ledger_sound=False)

    def die() -> None:
        if when == "before" or house.ways.told:
            raise Killed

    house.ways.on_send = die
    with pytest.raises(BaseException):  # noqa: B017 - a group that holds Killed
        await house.desk.teller.tell_due()
    house.ways.on_send = lambda: None
    house.restart()
    await house.desk.teller.tell_due()
    assert {"log", "syslog", "webhook"} <= set(house.ways.names())
    [one] = await house.alerts()
    assert (one.waiting, one.due_at) == ((), None)


@pytest.mark.promise("2.22")
async def test_a_channel_that_refuses_is_tried_again_alone_and_later(house: House):
    house.ways.refuse = {"webhook"}
    await house.look(ledger_sound=False)
    for tries, wait_s in enumerate((5, 10, 20, 40)):
        assert await house.desk.teller.tell_due() == pytest.approx(wait_s)
        [one] = await house.alerts()
        assert (one.waiting, one.tries) == (("webhook",), tries + 1)
        house.moment += timedelta(seconds=wait_s)
    house.ways.refuse = set()
    await house.desk.teller.tell_due()
    assert house.ways.names() == ["log", "syslog", "webhook"]
    assert back_off_s(0) == 5 and back_off_s(10_000) == 600


async def test_after_three_days_a_dead_channel_is_given_up(house: House):
    house.ways.refuse = {"webhook"}
    await house.look(ledger_sound=False)
    house.moment += timedelta(hours=73)
    await house.desk.teller.tell_due()
    [one] = await house.alerts()
    assert (one.waiting, one.due_at, one.state) == ((), None, "open"), "still to be judged"
    assert house.desk.counters()["alerts_given_up"] == 1


async def test_a_database_that_takes_no_note_of_it_does_not_make_us_tell_again_and_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    await house.look(ledger_sound=False)
    wrote = alerts.tried

    async def full(*_args: object) -> None:
        raise Unavailable("disk is full")

    monkeypatch.setattr(alerts, "tried", full)
    for _ in range(3):
        assert await house.desk.teller.tell_due() == teller.RETRY_S
    monkeypatch.setattr(alerts, "tried", wrote)
    await house.desk.teller.tell_due()
    assert sorted(house.ways.names()) == ["log", "syslog", "webhook"]


@pytest.mark.promise("2.22")
async def test_that_the_database_is_silent_is_told_at_once_and_written_later(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    house.ways.refuse = {"syslog"}
    await house.desk.look()
    house.tick_s = 20.0  # nothing was read for so long
    with monkeypatch.context() as silent:

        @asynccontextmanager
        async def nothing() -> AsyncIterator[Tx]:
            raise Unavailable("no answer")
            yield

        silent.setattr(house.services.db, "transaction", nothing)
        silent.setattr(house.services.db, "read", nothing)
        await house.desk.look()
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(house.desk.tell_directly())
            async with asyncio.timeout(20):
                while not house.desk._told_directly:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(0.01)
            telling.cancel()
        with pytest.raises(Unavailable):
            await house.desk.write_down()
    assert {one.alert_id for _, one in house.ways.told} == {UNWRITTEN}
    house.ways.refuse = set()
    await house.desk.write_down()
    [one] = await house.alerts()
    assert (one.kind, one.waiting) == ("database-silent", ("syslog",)), "the others have it"
    house.desk._answered_s = house.tick_s
    await house.look()
    assert not (await house.alerts())[0].lasts


@pytest.mark.promise("2.22", "1.20")
async def test_the_whole_desk_tells_a_real_webhook(house: House):
    """All its tasks, with real ways out: an entry in the log, and soon after a signed post."""
    secret = house.services.paths.keys / channels.WEBHOOK_SECRET
    secret.write_bytes(b"hook word")
    secret.chmod(0o600)
    async with receivers.webhook() as hook:
        house.set(webhook=hook.url)
        desk = AlertDesk(house.services, house.sense)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part()) for part in desk.parts().values()]
            await house.looked(25)
            async with asyncio.timeout(30):
                await hook.arrived.wait()
                while desk.open_by_severity()["critical"] != 1 or (await house.alerts())[0].waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
    said = json.loads(hook.posts[0].body)
    assert (said["kind"], said["count"]) == ("bulk-listening", 25)
    assert b"aaaaaaaa" not in hook.posts[0].body, "not whom it is about"


# --- what people do with it -------------------------------------------------------------------------------------------


@pytest.mark.promise("2.23")
async def test_a_verdict_is_in_the_ledger_without_its_note(house: House):
    await house.look(ledger_sound=False)
    [one] = await house.alerts()
    await service.ack(house.services, DPO, alert=one.id, verdict="misuse", note="Mr Dubois")
    async with house.services.db.read() as tx:
        entry = json.loads((await ledger.entries(tx, "access"))[-1].body)
    assert (entry["action"], entry["alert_id"], entry["verdict"]) == ("acknowledge", one.id, "misuse")
    assert entry["actor_id"] == os_actor_id(0, house.services.keys.ledger) == (await house.alerts())[0].judged_by
    assert "Dubois" not in json.dumps(entry)


async def test_each_test_goes_out_whether_or_not_the_last_was_judged(house: House):
    for count in (1, 2):
        said = await service.test(house.services, DPO)
        await house.desk.teller.tell_due()
        assert house.ways.names().count("webhook") == count
    assert (said.channels, said.running) == (("log", "syslog", "webhook"), False)
    await service.ack(house.services, DPO, alert=said.id, verdict="false_alarm")
    await service.test(house.services, DPO)
    await house.desk.teller.tell_due()
    assert house.ways.names().count("webhook") == 3


@pytest.mark.promise("0.17")
async def test_more_numbers_than_the_limit_are_not_shown(house: House):
    house.set(clear_per_day=5)
    async with house.services.db.transaction() as tx:
        for n in range(3):
            await accounts.add(tx, f"account-{n}", f"20{n}", "Name", house.moment)
    shown = await operations.call("account.list", house.services, DPO, {})
    assert len(shown) == 3  # type: ignore[arg-type]
    with pytest.raises(service.Failure, match="more than 5"):
        await operations.call("account.list", house.services, DPO, {})
    masked = Actor("os:0", "here")
    assert len(await operations.call("account.list", house.services, masked, {})) == 3  # type: ignore[arg-type]
    await operations.call("account.list", house.services, Actor("os:1", "here", "reason"), {})  # somebody else
    async with house.services.db.read() as tx:
        said = [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]
    assert [entry["outcome"] for entry in said] == ["done", "denied", "done", "done"]
    await house.read()
    assert [one.kind for one in await house.alerts()] == ["numbers-refused"]
    house.moment += timedelta(days=1)
    await operations.call("account.list", house.services, DPO, {})


@pytest.mark.promise("L3", "2.5")
async def test_an_alert_goes_through_the_gate_when_its_time_is_over(house: House):
    await house.look(ledger_sound=False)
    house.moment += timedelta(days=170)
    assert (await sweep(house.services, DPO)).due.get("alert") is None
    house.moment += timedelta(days=20)
    swept = await sweep(house.services, DPO, clock_is_right=True)
    assert swept.destroyed == {"alert": 1}
    assert await house.alerts() == []
    async with house.services.db.read() as tx:
        entry = json.loads((await ledger.entries(tx, "erasure"))[-1].body)
    assert (entry["object"], entry["cause"], entry["count"]) == ("alert", "expiry", 1)
