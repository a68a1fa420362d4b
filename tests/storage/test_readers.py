from datetime import datetime, timedelta

import pytest

from storage import keys, people, readers
from storage.database import Database
from storage.errors import Conflict, Duplicate, NotFound
from storage.readers import EscrowKey, ReaderKey, TotpOutcome, TotpState
from storage.tx import Tx


async def reader(tx: Tx, login: str, now: datetime, *purposes: str) -> str:
    """Person id."""
    person = await people.add(tx, login, login, now, roles=["reader"])
    await readers.set_key(tx, ReaderKey(person.id, "MLKEM768-X25519", b"public", b"sealed", now))
    for purpose in purposes:
        await readers.grant(tx, person.id, purpose, "quickstart", now)
    return person.id


async def test_a_right_is_for_one_purpose_of_an_enabled_reader(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await reader(tx, "alice", now, "quality")
        bob = await reader(tx, "bob", now, "quality", "evidence")
        boss = (await people.add(tx, "boss", "Boss", now, roles=["admin"])).id
        assert {key.person_id for key in await readers.for_purpose(tx, "quality")} == {alice, bob}
        assert [key.person_id for key in await readers.for_purpose(tx, "evidence")] == [bob]
        assert not await readers.has_right(tx, alice, "evidence")
        assert not await readers.has_right(tx, boss, "quality")
        assert [right.purpose for right in await readers.rights(tx, bob)] == ["evidence", "quality"]
        await people.disable(tx, bob, now)
        assert not await readers.has_right(tx, bob, "quality")
        await people.set_roles(tx, alice, ["admin"])
        assert await readers.for_purpose(tx, "quality") == ()


async def test_granting_twice_keeps_the_first(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await reader(tx, "alice", now, "quality")
        again = await readers.grant(tx, alice, "quality", alice, now + timedelta(1))
        assert again.granted_at == now and again.granted_by == "quickstart"


async def test_a_revoked_right_takes_the_wraps_of_that_purpose_only(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await reader(tx, "alice", now, "quality", "evidence")
        for purpose in ("quality", "evidence"):
            kek = keys.Kek(purpose, purpose, "2026-W47.1", "a", b"p", b"s", now, now + timedelta(7))
            await keys.add_kek(tx, kek, [keys.KekWrap(purpose, who, "a", b"w") for who in (alice, readers.ESCROW)])
        await readers.revoke(tx, alice, "quality")
        assert [wrap.kek_id for wrap in await keys.wraps_for_reader(tx, alice)] == ["evidence"]
        assert len(await keys.wraps_for_reader(tx, readers.ESCROW)) == 2
        with pytest.raises(NotFound):
            await readers.revoke(tx, alice, "quality")
        await readers.set_totp(tx, alice, b"secret")
        await readers.remove_key(tx, alice)
        assert await keys.wraps_for_reader(tx, alice) == ()
        assert await readers.rights(tx, alice) == ()
        for gone in (readers.get_key, readers.totp_secret, readers.totp_state, readers.remove_key):
            with pytest.raises(NotFound):
                await gone(tx, alice)


async def test_a_key_is_replaced_and_its_secret_not_shown(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await reader(tx, "alice", now)
        await readers.set_key(tx, ReaderKey(alice, "other", b"public2", b"sealed2", now))
        key = await readers.get_key(tx, alice)
        assert (key.alg, key.public, key.sealed_secret) == ("other", b"public2", b"sealed2")
        assert "sealed2" not in repr(key)
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await readers.set_key(tx, ReaderKey("00" * 16, "a", b"", b"", now))


async def test_there_is_one_escrow_key_for_ever(db: Database, now: datetime) -> None:
    key = EscrowKey("MLKEM768-X25519", b"public", now)
    async with db.transaction() as tx:
        with pytest.raises(NotFound):
            await readers.get_escrow(tx)
        await readers.set_escrow(tx, key)
        assert await readers.get_escrow(tx) == key
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await readers.set_escrow(tx, key)


# --- the second factor -----------------------------------------------------------------------------------------------

STEP = 59_000_000


async def with_totp(db: Database, now: datetime) -> str:
    async with db.transaction() as tx:
        alice = await reader(tx, "alice", now)
        await readers.set_totp(tx, alice, b"secret")
        assert await readers.totp_secret(tx, alice) == b"secret"
        return alice


async def attempt(db: Database, person_id: str, step: int | None, now: datetime) -> TotpOutcome:
    async with db.transaction() as tx:
        return await readers.try_totp(tx, person_id, step, now)


async def test_a_code_serves_once_and_no_older_one_after_it(db: Database, now: datetime) -> None:
    alice = await with_totp(db, now)
    assert await attempt(db, alice, STEP, now) is TotpOutcome.ACCEPTED
    assert await attempt(db, alice, STEP, now) is TotpOutcome.REPLAYED
    assert await attempt(db, alice, STEP - 1, now) is TotpOutcome.REPLAYED
    assert await attempt(db, alice, STEP + 1, now) is TotpOutcome.ACCEPTED
    async with db.read() as tx:
        assert await readers.totp_state(tx, alice) == TotpState(STEP + 1, 0, None)


async def test_guessing_is_locked_out_longer_each_time(db: Database, now: datetime) -> None:
    alice = await with_totp(db, now)
    for _ in range(readers.FREE_FAILURES):
        assert await attempt(db, alice, None, now) is TotpOutcome.WRONG
    for wait_s in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        early = now + timedelta(seconds=wait_s - 1)
        assert await attempt(db, alice, STEP, early) is TotpOutcome.LOCKED, "even the right code"
        now += timedelta(seconds=wait_s)
        assert await attempt(db, alice, None, now) is TotpOutcome.WRONG
    now += timedelta(hours=1)
    assert await attempt(db, alice, STEP, now) is TotpOutcome.ACCEPTED
    assert await attempt(db, alice, None, now) is TotpOutcome.WRONG
    async with db.read() as tx:
        assert await readers.totp_state(tx, alice) == TotpState(STEP, 1, None)
