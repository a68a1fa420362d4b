"""What signing in is kept by: on both databases, sealed, and gone when it says so."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from storage import accounts, api_tokens, lines, people, sessions, sign_in_challenges, sign_in_ends, sign_in_factors
from storage.database import Database
from storage.errors import Conflict, NotFound
from storage.people import Person
from storage.sessions import Session
from storage.tx import Tx


@pytest.fixture
async def alice(db: Database, now: datetime) -> Person:
    async with db.transaction() as tx:
        return await people.add(tx, "alice", "Alice", now)


async def begin(tx: Tx, person: Person, token: bytes, now: datetime) -> Session:
    until = now + timedelta(hours=12)
    return await sessions.add(
        tx, person.id, token, now, source="192.0.2.1", browser="Firefox, Linux", expires_at=until, fresh_until=None
    )


async def test_a_session_is_found_by_its_token_until_it_expires(db: Database, alice: Person, now: datetime) -> None:
    async with db.transaction() as tx:
        made = await begin(tx, alice, b"one", now)
    async with db.read() as tx:
        assert await sessions.by_token(tx, b"one", now) == made
        assert await sessions.by_token(tx, b"two", now) is None
        assert await sessions.by_token(tx, b"one", made.expires_at) is None
        assert await sessions.list_of(tx, alice.id, now) == (made,)
        with pytest.raises(NotFound):
            await sessions.get(tx, "f" * 32, made.id, now)
    async with db.transaction() as tx:
        await sessions.seen(tx, made.id, now + timedelta(hours=1), now + timedelta(hours=13))
        await sessions.freshen(tx, made.id, now + timedelta(minutes=10))
        with pytest.raises(NotFound):
            await sessions.freshen(tx, "f" * 32, now)
    async with db.read() as tx:
        assert await sessions.by_token(tx, b"one", now + timedelta(hours=12)) is not None


async def test_ending_the_others_leaves_the_one(db: Database, alice: Person, now: datetime) -> None:
    async with db.transaction() as tx:
        kept = [await begin(tx, alice, token, now) for token in (b"1", b"2", b"3")][1]
        assert await sessions.end_others(tx, alice.id, kept.id) == 2
        assert [one.id for one in await sessions.list_of(tx, alice.id, now)] == [kept.id]
        assert not await sessions.end(tx, "f" * 32, kept.id)
        assert await sessions.end(tx, alice.id, kept.id)


async def test_twenty_browsers_are_remembered_the_next_takes_the_oldests_place(
    db: Database, alice: Person, now: datetime
) -> None:
    async with db.transaction() as tx:
        for n in range(sessions.MOST_BROWSERS + 2):
            await sessions.remember_browser(tx, alice.id, b"%d" % n, now + timedelta(days=180, seconds=n))
        known = [await sessions.known_browser(tx, alice.id, b"%d" % n, now) is not None for n in range(22)]
        assert known == [False] * 2 + [True] * 20
        assert await sessions.known_browser(tx, "f" * 32, b"5", now) is None
        assert await sessions.known_browser(tx, alice.id, b"5", now + timedelta(days=181)) is None


async def test_of_two_that_use_a_code_at_once_one_gets_in(db: Database, alice: Person, now: datetime) -> None:
    """A time step, and a recovery code."""
    async with db.transaction() as tx:
        await sign_in_factors.set_totp(tx, alice.id, "A" * 32, now, last_step=5)
        await sign_in_factors.set_recovery(tx, alice.id, [b"a", b"b"])

    async def step(number: int) -> bool:
        async with db.transaction() as tx:
            return await sign_in_factors.use_totp(tx, alice.id, number)

    async def code() -> bool:
        async with db.transaction() as tx:
            return await sign_in_factors.use_recovery(tx, alice.id, b"a")

    assert sorted(await asyncio.gather(*(step(7) for _ in range(4)))) == [False] * 3 + [True]
    assert [await step(number) for number in (7, 6, 5, -1)] == [False] * 4
    assert sorted(await asyncio.gather(*(code() for _ in range(4)))) == [False] * 3 + [True]
    async with db.read() as tx:
        assert await sign_in_factors.recovery_left(tx, alice.id) == 1


async def test_a_challenge_of_a_session_takes_the_older_ones_place(db: Database, alice: Person, now: datetime) -> None:
    later = now + timedelta(minutes=5)
    async with db.transaction() as tx:
        session = await begin(tx, alice, b"one", now)
        for state in ("old", "new"):
            await sign_in_challenges.add(
                tx, alice.id, "step_up", now, later, session_id=session.id, held={"passkey": state}
            )
        found = await sign_in_challenges.of_session(tx, session.id, "step_up", now)
        assert found is not None
        assert found.held == {"passkey": "new"}
        assert await sign_in_challenges.of_session(tx, session.id, "passkey_offer", now) is None
        assert await sign_in_challenges.of_session(tx, session.id, "step_up", later) is None
        changed = await sign_in_challenges.hold(tx, found, totp="x")
        assert (await sign_in_challenges.failed(tx, changed)).tries == 1
        again = await sign_in_challenges.of_session(tx, session.id, "step_up", now)
        assert again is not None
        assert (again.held, again.tries) == ({"passkey": "new", "totp": "x"}, 1)
        await sessions.end(tx, alice.id, session.id)
        assert await sign_in_challenges.of_session(tx, session.id, "step_up", now) is None


async def test_disabling_a_person_ends_everything_that_lets_them_in(db: Database, alice: Person, now: datetime) -> None:
    later = now + timedelta(days=1)
    async with db.transaction() as tx:
        await begin(tx, alice, b"one", now)
        await sessions.remember_browser(tx, alice.id, b"browser", later)
        await sign_in_challenges.add(tx, alice.id, "sign_in", now, later, token_sha256=b"challenge")
        await sign_in_challenges.invite(tx, alice.id, b"link", now, later)
        await api_tokens.add(tx, alice.id, b"token", "CRM", {"calls.read": "own"}, now, later)
    async with db.transaction() as tx:
        await people.disable(tx, alice.id, now)
    async with db.transaction() as tx:
        assert await sessions.by_token(tx, b"one", now) is None
        assert await sessions.known_browser(tx, alice.id, b"browser", now) is None
        assert await sign_in_challenges.by_token(tx, b"challenge", "sign_in", now) is None
        assert await sign_in_challenges.invitation(tx, b"link", now) is None
        assert await api_tokens.by_token(tx, b"token", now) is None
        assert await sign_in_ends.end_all(tx, alice.id) == 0


async def test_nothing_belongs_to_nobody(db: Database, now: datetime) -> None:
    nobody = "f" * 32
    for add in (
        lambda tx: sign_in_factors.set_password(tx, nobody, b"v", now),
        lambda tx: sign_in_challenges.invite(tx, nobody, b"t", now, now),
        lambda tx: api_tokens.add(tx, nobody, b"t", "n", {}, now, now),
    ):
        with pytest.raises(Conflict):
            async with db.transaction() as tx:
                await add(tx)


async def test_whose_accounts_are_beside_somebodys(db: Database, alice: Person, now: datetime) -> None:
    async with db.transaction() as tx:
        bob = await people.add(tx, "bob", "Bob", now)
        made = {
            name: await accounts.add(tx, name, extension, name, now, person_id=owner)
            for name, extension, owner in (
                ("alice", "101", alice.id), ("alice-home", "102", alice.id), ("bob", "103", bob.id),
                ("eve", "104", None),
            )
        }  # fmt: skip
        await lines.add(tx, "sales", "300", now, members=[made["alice-home"].id, made["bob"].id])
        old = await lines.add(tx, "old", "301", now, members=[made["alice"].id, made["eve"].id])
        own = {"alice", "alice-home"}
        assert await accounts.around(tx, alice.id) == (own, {"alice-home", "bob", "alice", "eve"})
        await lines.disable(tx, old.id, now)
        assert await accounts.around(tx, alice.id) == (own, {"alice-home", "bob"})
        assert await accounts.around(tx, "f" * 32) == (frozenset(), frozenset())
