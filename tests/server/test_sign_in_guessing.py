"""Who guesses is held up, and nobody else: no login can be locked by somebody who only knows its name."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.failure import Failure
from server.services import sign_in
from server.services.doorkeeper import LIMITS, MOST_REMEMBERED, MOST_WAITING, Budgets, Doorkeeper, Key, Verdict, network
from storage.database import Database
from tests.server.sign_in_house import ELSEWHERE, SignInHouse, refused
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


@pytest.fixture
async def house(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Path) -> AsyncIterator[SignInHouse]:  # noqa: F811
    made = SignInHouse(db, field_keys, ledger_key, tmp_path / "data")
    await made.make()
    yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing is not what is tested here."""
    monkeypatch.setattr("server.passwords.MEMORY_KIB", 64)
    monkeypatch.setattr("server.passwords.PASSES", 1)


@pytest.mark.promise("0.2")
@pytest.mark.usefixtures("quick")
async def test_guessing_a_password_ends_and_its_owner_gets_in(house: SignInHouse) -> None:
    """Ten a quarter of an hour from one place; from elsewhere, or by a known browser, it goes on (promise 0.2)."""
    owner = await house.enrolled("alice")
    said = [(await refused(house.start("alice", f"guess {n}"))).code for n in range(15)]
    assert said == ["denied"] * 10 + ["throttled"] * 5
    assert (await refused(house.start("alice"))).code == "throttled"  # the right one, too: nothing is told
    await house.start("alice", source=ELSEWHERE)
    signed_in = await house.sign_in("alice", browser=owner.browser_token)
    assert signed_in.identity.login == "alice"
    assert [one["outcome"] for one in await house.entries("session") if one["outcome"] == "locked"] == ["locked"]
    house.later(minutes=15)
    await house.start("alice")


@pytest.mark.usefixtures("quick")
async def test_trying_many_logins_from_one_place_ends(house: SignInHouse) -> None:
    said = [(await refused(house.start(f"person-{n}"))).code for n in range(62)]
    assert said == ["denied"] * 60 + ["throttled"] * 2


@pytest.mark.usefixtures("quick")
async def test_a_known_browser_is_that_of_one_person_and_guesses_no_better(house: SignInHouse) -> None:
    owner = await house.enrolled("alice")
    await house.enrolled("bob")
    for _ in range(10):
        await refused(house.start("bob", "guess", browser=owner.browser_token))
    assert (await refused(house.start("bob", browser=owner.browser_token))).code == "throttled"
    said = [(await refused(house.start("alice", "guess", browser=owner.browser_token))).code for _ in range(11)]
    assert said == ["denied"] * 10 + ["throttled"]


@pytest.mark.usefixtures("quick")
async def test_guessing_codes_from_many_places_ends_for_browsers_that_nobody_knows(house: SignInHouse) -> None:
    owner = await house.enrolled("alice")
    said = []
    for n in range(32):
        source = f"198.51.100.{n}"
        begun = await house.start("alice", source=source)
        asked = sign_in.finish_totp(house.services, challenge=begun.token, code="000000", source=source)
        said.append((await refused(asked)).code)
    assert said == ["denied"] * 30 + ["throttled"] * 2
    assert (await house.sign_in("alice", browser=owner.browser_token)).identity.login == "alice"


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_a_budget_is_spent_told_once_and_there_again_later() -> None:
    budgets, keys = Budgets(), [("login", "alice"), ("source", "a")]
    most, within = LIMITS["login"]
    typed: list[Key] = [("login", "alice"), ("source", "a")]
    assert keys == typed
    assert [budgets.take(typed, NOW) for _ in range(most)] == [Verdict.FREE] * most
    assert [budgets.take(typed, NOW) for _ in range(3)] == [Verdict.NOW, Verdict.SPENT, Verdict.SPENT]
    assert budgets.take([("login", "bob"), ("source", "a")], NOW) is Verdict.FREE
    assert budgets.take(typed, NOW + within) is Verdict.FREE


def test_success_gives_back() -> None:
    budgets = Budgets()
    keys: list[Key] = [("login", "alice"), ("source", "a")]
    for _ in range(200):
        assert budgets.take(keys, NOW) is Verdict.FREE
        budgets.give_back(keys, NOW)


def test_what_is_remembered_has_an_end() -> None:
    budgets = Budgets()
    for n in range(MOST_REMEMBERED + 100):
        budgets.take([("login", str(n))], NOW + timedelta(milliseconds=n))
    assert len(budgets._held) == MOST_REMEMBERED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True), ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
     ("192.0.2.1", "::ffff:192.0.2.1", True), ("192.0.2.1", "192.0.2.2", False), ("fe80::1%eth0", "fe80::2", True),
     ("no address", "no address", True)],
)  # fmt: skip
def test_one_network_one_budget(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


# --- hashing ----------------------------------------------------------------------------------------------------------


async def test_two_hash_at_once_at_most_and_a_known_browser_does_not_wait_for_the_others() -> None:
    keeper, running, most = Doorkeeper(), [0], [0]
    lock, hold = threading.Lock(), threading.Event()

    def work(name: str) -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        if name != "owner":
            hold.wait(10)
        else:
            time.sleep(0.05)
        with lock:
            running[0] -= 1
        return name

    async with asyncio.TaskGroup() as group:
        others = [group.create_task(keeper.hashing(work, "guess", known=False)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0.05)
        with pytest.raises(Failure, match="too many attempts"):
            await keeper.hashing(work, "guess", known=False)
        assert await asyncio.wait_for(keeper.hashing(work, "owner", known=True), 5) == "owner"
        hold.set()
    assert [one.result() for one in others] == ["guess"] * MOST_WAITING
    assert most[0] == 2
