"""Somebody is locked, or leaves: what ends, what is handed over, what stays; on both databases."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from server.failure import Failure
from server.services import containment, leaving, leaving_plan, trunks
from server.services import people as people_service
from server.services.actor import Actor
from server.services.context import ServerKeys, Services
from server.services.leaving_plan import Act
from server.services.rooms import closable
from sip.calls.control import LiveCall
from sip.calls.duty import OutsideLeg
from storage import (
    accounts,
    call_settings,
    devices,
    holds,
    inboxes,
    keys,
    ledger,
    lines,
    mail_logins,
    numbers_owned,
    people,
    person_locks,
    readers,
    recordings,
)
from storage.call_settings import CallSettings
from storage.database import Database
from storage.field_crypto import FieldKeys
from storage.holds import About
from storage.keys import Kek, KekWrap, RecKey
from storage.readers import ReaderKey
from storage.recordings import Party
from tests.server.duty_house import add_trunk
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ME = Actor("os:0", "here", "she leaves", "HR-4")
NUMBER = "+33142000000"


class Edge:
    """Keeps what it is told of devices."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def drop_device(self, auth_user: str) -> None:
        self.told.append(("drop", auth_user))

    async def refuse_device(self, auth_user: str) -> None:
        self.told.append(("refuse", auth_user))

    async def push_device(self, auth_user: str, account: str, ha1: str, account_id: str = "") -> None:
        self.told.append(("push", auth_user))

    async def trunk_states(self) -> dict[str, Any]:
        return {}


class Live:
    def __init__(self) -> None:
        self.ended: list[str] = []
        self.told: Counter[str] = Counter()

    async def end_device(self, auth_user: str) -> None:
        self.ended.append(auth_user)

    def __getattr__(self, name: str) -> Any:
        async def tell() -> None:
            self.told[name] += 1

        return tell


class House:
    """Alice leaves, Bob takes over; Carl has nothing to do with either."""

    services: Services
    edge: Edge
    live: Live

    async def make(self, services: Services) -> None:
        self.services, self.edge, self.live = services, Edge(), Live()
        services.clock = lambda: NOW
        services.edge, services.live = self.edge, self.live  # type: ignore[assignment]
        async with services.db.transaction() as tx:
            alice = await people.add(tx, "alice", "Alice", NOW, roles=("admin", "reader"))
            bob = await people.add(tx, "bob", "Bob", NOW, roles=("admin",))
            self.person = alice.id
            self.alice = (await accounts.add(tx, "alice-1", "101", "Alice", NOW, person_id=alice.id)).id
            self.bob = (await accounts.add(tx, "bob-1", "102", "Bob", NOW, person_id=bob.id)).id
            self.carl = (await accounts.add(tx, "carl-1", "103", "Carl", NOW)).id
            for name, account in (("alice-a", self.alice), ("alice-b", self.alice), ("bob-a", self.bob)):
                await devices.add(tx, account, "phone", name, "0" * 32, NOW)
            await mail_logins.add(tx, self.alice, "laptop", "alice-mail", b"v", ["alice@example.org"], NOW)
            for name, number, members in (
                ("sales", "200", (self.alice, self.carl)),
                ("both", "201", (self.alice, self.bob)),
                ("other", "202", (self.carl,)),
            ):
                await lines.add(tx, name, number, NOW, members=members)
            await numbers_owned.add(tx, NUMBER, account_id=self.alice)
            await call_settings.save(tx, CallSettings(self.alice, forward_always="+33612345678", dnd=True))
            await call_settings.save(tx, CallSettings(self.carl, forward_busy="101", forward_no_answer="102"))
            await call_settings.save(tx, CallSettings(self.bob, forward_unregistered=NUMBER))
        await self._recordings(alice.id)

    async def _recordings(self, person_id: str) -> None:
        async with self.services.db.transaction() as tx:
            await readers.set_key(tx, ReaderKey(person_id, "X", b"public", b"secret", NOW))
            await readers.set_totp(tx, person_id, b"")
            await readers.grant(tx, person_id, "REC_QUALITY", "quickstart", NOW)
            for number, others in ((1, ("escrow",)), (2, ("escrow", "someone"))):
                kek = Kek(f"{number}" * 32, "REC_QUALITY", f"2026-W4{number}.1", "X", b"p", b"s", NOW,
                          NOW + timedelta(days=7), None)  # fmt: skip
                wraps = [KekWrap(kek.id, who, "X", b"w") for who in (person_id, *others)]
                await keys.add_kek(tx, kek, wraps)
                rec_id = f"{number}a" * 16
                await keys.add_rec_key(tx, RecKey(rec_id, kek.id, "X", b"w"))
                await recordings.start(
                    tx, rec_id, call_id="d" * 32, purpose="REC_QUALITY", pack_version="1", legal_basis="6(1)(f)",
                    expires_at=NOW + timedelta(days=9 * number), codec="opus", rate_hz=8000, channels=2,
                    started_at=NOW, kek_id=kek.id, parties=[Party(0, "1" * 32, self.alice, "101")], consent_refs=[1],
                )  # fmt: skip

    async def entries(self, log: str = "access") -> list[tuple[str, str]]:
        async with self.services.db.read() as tx:
            said = [json.loads(entry.body) for entry in await ledger.entries(tx, log)]
        return [(one["action"], one["object"]) for one in said]


@pytest.fixture
async def house(db: Database, field_keys: FieldKeys, ledger_key: Any, tmp_path: Path) -> House:  # noqa: F811
    paths = Paths(tmp_path / "data")
    paths.make()
    settings = configuration.parse('[emergency]\nnotify = ["alice-1"]\n')
    made = House()
    services = Services(db, paths, settings, ServerKeys(field_keys, ledger_key, ledger_key))
    made.services = services
    await made.make(services)
    return made


# --- lock -------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.24", "P12")
async def test_a_lock_signs_off_and_ends_and_an_unlock_gives_back(house: House):
    view = await containment.lock(house.services, ME, login="alice")
    assert (view.accounts, view.devices, view.locked_at) == (1, 2, NOW)
    assert house.edge.told == [("refuse", "alice-a"), ("refuse", "alice-b")], "known still, for emergency calls"
    assert house.live.ended == ["alice-a", "alice-b"]
    async with house.services.db.read() as tx:
        assert (await people.get(tx, house.person)).disabled_at == NOW
        assert not await readers.has_right(tx, house.person, "REC_QUALITY")
        assert {one.auth_user for one in await devices.credentials(tx) if one.only_emergency} == {"alice-a", "alice-b"}
    await containment.unlock(house.services, ME, login="alice")
    assert house.edge.told[2:] == [("push", "alice-a"), ("push", "alice-b")]
    async with house.services.db.read() as tx:
        assert await readers.has_right(tx, house.person, "REC_QUALITY")
    assert await house.entries() == [("lock", "person"), ("restore", "person")]
    with pytest.raises(Failure, match="not locked"):
        await containment.unlock(house.services, ME, login="alice")


@pytest.mark.promise("2.24")
async def test_an_unlock_enables_nobody_who_was_disabled_meanwhile(house: House):
    await containment.lock(house.services, ME, login="alice")
    await people_service.disable(house.services, ME, login="alice")
    await containment.lock(house.services, ME, login="alice")
    await containment.unlock(house.services, ME, login="alice")
    async with house.services.db.read() as tx:
        assert (await people.get(tx, house.person)).disabled_at is not None


@pytest.mark.promise("2.24")
async def test_locking_says_why(house: House):
    with pytest.raises(Failure, match="reason"):
        await containment.lock(house.services, replace(ME, reason=" "), login="alice")
    async with house.services.db.read() as tx:
        assert await person_locks.get(tx, house.person) is None


@pytest.mark.promise("2.24")
async def test_a_lock_closes_the_persons_listening_rooms_and_no_others(house: House):
    ended: list[str] = []

    async def listen(who: str) -> None:
        async with closable(house.services, who):
            await asyncio.Event().wait()
        ended.append(who)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(listen(who)) for who in (house.person, house.person, "f" * 32)]
        while len(house.services.rooms_of.get(house.person, ())) < 2 or "f" * 32 not in house.services.rooms_of:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (await containment.lock(house.services, ME, login="alice")).rooms == 2
        await asyncio.wait(tasks[:2])
        assert ended == [house.person] * 2 and not tasks[2].done()
        tasks[2].cancel()
    assert house.services.rooms_of == {}


async def test_a_timeout_that_is_not_ours_passes_through_a_closable_room(house: House):
    with pytest.raises(TimeoutError):
        async with closable(house.services, "f" * 32):
            raise TimeoutError
    assert house.services.rooms_of == {}


# --- trunk ------------------------------------------------------------------------------------------------------------


class Calls:
    """Two ordinary calls by one trunk, one by another, and a call for help."""

    def __init__(self, mine: str, other: str) -> None:
        self.ended: list[str] = []
        self._legs = [OutsideLeg(call_id, "b", trunk, None) for call_id, trunk in
                      (("c1", mine), ("c2", mine), ("help", mine), ("c3", other))]  # fmt: skip

    def outside(self) -> list[OutsideLeg]:
        return self._legs

    def live(self) -> list[LiveCall]:
        return [LiveCall(leg.call_id, None, NOW, False, 1, emergency=leg.call_id == "help") for leg in self._legs]

    def hang_up(self, call_id: str, cause: int, text: str) -> bool:
        self.ended.append(call_id)
        return True


@pytest.mark.promise("2.24", "P12")
async def test_a_trunk_is_cut_with_its_calls_but_for_the_call_for_help(house: House):
    north, south = await add_trunk(house.services.db, "north"), await add_trunk(house.services.db, "south")
    house.services.calls = calls = Calls(north.id, south.id)  # type: ignore[assignment]
    quiet = await trunks.disable(house.services, ME, trunk="south")
    assert (calls.ended, quiet.ended) == ([], None), "unless it is asked for, calls go on"
    cut = await trunks.disable(house.services, ME, trunk="north", hang_up=True)
    assert (calls.ended, cut.ended) == (["c1", "c2"], 2)
    assert quiet.warning is None or "last way" not in quiet.warning
    assert cut.warning is not None and "last way" in cut.warning


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("3.8", "L14")
async def test_a_dry_run_says_all_and_does_nothing(house: House):
    view = await leaving.leave(house.services, ME, login="alice", hand_over="bob-1", dry_run=True)
    assert Counter(act.what for act in view.acts) == {
        "person": 1, "device": 2, "mail login": 1, "roles": 1, "right": 1, "reader key": 1, "line": 2,
        "forward to them": 2, "number": 1, "own settings": 1, "account handed over": 1,
    }  # fmt: skip
    assert {one.what: (one.count, one.until) for one in view.kept} == {
        "recording": (2, NOW + timedelta(days=18)), "ledger": (1, None),
    }  # fmt: skip
    assert any(warning.startswith("1 recordings were wrapped to nobody else") for warning in view.warnings)
    assert any("emergency.notify" in warning for warning in view.warnings)
    assert not view.done and await house.entries() == [("show", "person")]
    assert house.edge.told == house.live.ended == []
    async with house.services.db.read() as tx:
        assert (await people.get(tx, house.person)).disabled_at is None


@pytest.mark.promise("3.8", "L14")
async def test_who_leaves_hands_over(house: House):
    view = await leaving.leave(house.services, ME, login="alice", hand_over="bob-1")
    assert view.done and view.handed_to == "bob-1"
    assert house.edge.told == [("drop", "alice-a"), ("drop", "alice-b")] and house.live.ended == ["alice-a", "alice-b"]
    async with house.services.db.read() as tx:
        person = await people.get(tx, house.person)
        assert (person.disabled_at, person.roles) == (NOW, frozenset())
        assert [one.auth_user for one in await devices.credentials(tx)] == ["bob-a"]
        assert await readers.rights(tx, house.person) == ()
        assert await readers.wraps_left(tx, house.person) == 0
        members = {one.name: one.members for one in await lines.list_all(tx)}
        assert members == {"sales": (house.bob, house.carl), "both": (house.bob,), "other": (house.carl,)}
        carl, bob, alice = [await call_settings.get(tx, one) for one in (house.carl, house.bob, house.alice)]
        assert (carl.forward_busy, carl.forward_no_answer) == ("102", "102")
        assert bob.forward_unregistered is None, "Bob is not forwarded to himself"
        assert alice == CallSettings(house.alice, forward_always="102")
        given = await accounts.get(tx, house.alice)
        assert (given.person_id, given.display_name, given.disabled_at) == (
            (await people.by_login(tx, "bob")).id, "Bob", None,
        )  # fmt: skip
        owned = await numbers_owned.by_number(tx, NUMBER)
        assert owned is not None and owned.account_id == house.bob
        assert len(await recordings.list_all(tx)) == 2, "they stay under their purpose"
    entries = await house.entries()
    assert len(entries) == len(view.acts), "one entry an act"
    assert await house.entries("erasure") == [("erase", "reader"), ("destroy", "reader")]
    again = await leaving.leave(house.services, ME, login="alice", hand_over="bob-1")
    assert again.acts == () and await house.entries() == entries


@pytest.mark.promise("3.8", "L14")
async def test_who_leaves_without_an_heir_is_kept_disabled(house: House):
    await leaving.leave(house.services, ME, login="alice", keep=True)
    async with house.services.db.read() as tx:
        account = await accounts.get(tx, house.alice)
        assert (account.disabled_at, account.person_id) == (NOW, house.person)
        members = {one.name: one.members for one in await lines.list_all(tx)}
        assert members == {"sales": (house.carl,), "both": (house.bob,), "other": (house.carl,)}
        carl = await call_settings.get(tx, house.carl)
        assert (carl.forward_busy, carl.forward_no_answer) == (None, "102")
        assert await call_settings.get(tx, house.alice) == CallSettings(house.alice)
    assert (await leaving.leave(house.services, ME, login="alice", keep=True)).acts == ()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.promise("3.8", "L14")
@pytest.mark.parametrize("heir", ["bob-1", None])
async def test_killed_after_any_act_the_same_command_does_the_rest(
    house: House, heir: str | None, monkeypatch: pytest.MonkeyPatch
):
    """Killed after each act in turn: every run does one act more, and the end is that of a run in one piece."""
    how: dict[str, Any] = {"hand_over": heir} if heir else {"keep": True}
    done = leaving._do
    left, runs = 99, 0
    while left:
        real = 0

        async def one(*args: Any) -> None:
            nonlocal real
            if real:
                raise Killed
            real += 1
            await done(*args)

        with monkeypatch.context() as killing:
            killing.setattr(leaving, "_do", one)
            try:
                await leaving.leave(house.services, ME, login="alice", **how)
            except Killed:
                runs += 1
        view = await leaving.leave(house.services, ME, login="alice", dry_run=True, **how)
        assert len(view.acts) < left
        left = len(view.acts)
    assert runs >= 8
    async with house.services.db.read() as tx:
        assert await readers.wraps_left(tx, house.person) == 0
        assert not [one for one in await devices.credentials(tx) if one.auth_user.startswith("alice")]
        assert house.alice not in {one for line in await lines.list_all(tx) for one in line.members}


@pytest.mark.parametrize("heir", [None, "bob-1"])
async def test_who_leaves_writes_from_no_inbox_and_a_persons_own_closes_or_goes_with_the_account(
    house: House, heir: str | None
):
    async with house.services.db.transaction() as tx:
        team = await inboxes.add(tx, "sales", "team", NOW)
        own = await inboxes.add(tx, "alice", "person", NOW, account_id=house.alice)
        await inboxes.set_member(tx, team.id, house.person, sends=True, sees_sent=True, now=NOW)
    how = {"keep": True} if heir is None else {"hand_over": heir}
    said = await leaving.leave(house.services, ME, login="alice", **how)
    async with house.services.db.read() as tx:
        assert await inboxes.members(tx, person_id=house.person) == ()
        closed = (await inboxes.get(tx, own.id)).disabled_at
    assert (closed == NOW) is (heir is None)
    assert any("inbox alice goes with the account" in one for one in said.warnings) is (heir is not None)


async def test_a_lock_is_forgotten_when_its_person_leaves(house: House):
    await containment.lock(house.services, ME, login="alice")
    await leaving.leave(house.services, ME, login="alice", keep=True)
    with pytest.raises(Failure, match="not locked"):
        await containment.unlock(house.services, ME, login="alice")


async def test_a_hold_on_the_account_is_named(house: House):
    async with house.services.db.transaction() as tx:
        about = About("HR-4", "court", "DPO", "claim", "alice-1")
        await holds.add(tx, "e" * 32, "account", about, ids=[house.alice], now=NOW, review_at=NOW + timedelta(days=9))
    view = await leaving.leave(house.services, ME, login="alice", keep=True, dry_run=True)
    assert {one.what: one.count for one in view.kept}["hold"] == 1


@pytest.mark.parametrize(
    "how",
    [{}, {"keep": True, "hand_over": "bob-1"}, {"hand_over": "alice-1"}, {"hand_over": "nobody"}],
    ids=str,
)
async def test_what_cannot_be_meant_is_refused(house: House, how: dict[str, Any]):
    with pytest.raises(Failure):
        await leaving.leave(house.services, ME, login="alice", **how)
    async with house.services.db.read() as tx:
        assert (await people.get(tx, house.person)).disabled_at is None


@pytest.mark.parametrize("role", ["admin", "dpo"])
async def test_the_last_of_a_role_is_named(house: House, role: str):
    async with house.services.db.transaction() as tx:
        await people.set_roles(tx, house.person, (role,))
        await people.set_roles(tx, (await people.by_login(tx, "bob")).id, ("employee",))
    view = await leaving.leave(house.services, ME, login="alice", keep=True, dry_run=True)
    assert any(f"role {role}" in warning for warning in view.warnings)
    async with house.services.db.transaction() as tx:
        await people.set_roles(tx, (await people.by_login(tx, "bob")).id, (role,))
    view = await leaving.leave(house.services, ME, login="alice", keep=True, dry_run=True)
    assert not any("role " in warning for warning in view.warnings)


@pytest.mark.promise("3.8")
async def test_what_lets_somebody_in_goes_first(house: House):
    async with house.services.db.transaction() as tx:
        leaver = await leaving_plan.read(tx, await people.by_login(tx, "alice"), await accounts.get(tx, house.bob))
    acts = leaving_plan.acts_for(leaver)
    first = [act.first for act in acts]
    assert first == sorted(first, reverse=True) and first[0]
    assert acts[0] == Act("person", "alice", house.person)
