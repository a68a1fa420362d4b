"""Logins for ordering texts by mail: found by login and by sender, revoked for good, and nothing of them in clear."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from storage import accounts, mail_logins, tables
from storage.database import Database
from storage.errors import Conflict, Duplicate, Invalid, NotFound
from storage.field_crypto import FieldKeys
from storage.mail_logins import MailLogin
from storage.tx import Tx

ALICE = "alice@company.example"


async def account(tx: Tx, now: datetime, name: str = "alice", extension: str = "101") -> str:
    return (await accounts.add(tx, name, extension, "Alice", now)).id


async def made(tx: Tx, account_id: str, now: datetime, login: str = "alice-m", *senders: str) -> MailLogin:
    return await mail_logins.add(tx, account_id, "laptop", login, b"verifier", senders or (ALICE,), now)


@pytest.mark.promise("P21")
async def test_a_login_is_found_by_its_name_and_by_its_senders(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        owner = await account(tx, now)
        one = await made(tx, owner, now, "alice-m", "Alice@Company.Example", ALICE, "sales@company.example")
        assert one.addresses == (ALICE, "sales@company.example") and not one.automatic and one.label == "laptop"
        held = await mail_logins.held(tx, "alice-m")
        assert held is not None and (held.login, held.verifier) == (one, b"verifier")
        assert await mail_logins.held(tx, "alice-n") is None
        assert await mail_logins.by_address(tx, "SALES@company.example") == one
        assert await mail_logins.by_address(tx, "bob@company.example") is None
        assert await mail_logins.list_all(tx) == await mail_logins.list_all(tx, owner) == (one,)
        assert await mail_logins.list_all(tx, "0" * 32) == ()


@pytest.mark.promise("1.21")
async def test_a_sender_belongs_to_one_login(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        owner = await account(tx, now)
        first = await made(tx, owner, now)
    for login, senders, error in (
        ("alice-n", (ALICE.upper(),), Conflict),
        ("alice-m", ("other@company.example",), Duplicate),
        ("alice-n", (), Invalid),
        ("alice-n", tuple(f"a{i}@company.example" for i in range(21)), Invalid),
        ("Alice N", ("other@company.example",), Invalid),
    ):
        with pytest.raises(error):
            async with db.transaction() as tx:
                await mail_logins.add(tx, owner, "x", login, b"v", senders, now)
    async with db.transaction() as tx:
        assert await mail_logins.list_all(tx) == (first,)
        await mail_logins.revoke(tx, first.id, now)
        second = await made(tx, owner, now, "alice-n")
        assert await mail_logins.by_address(tx, ALICE) == second


@pytest.mark.promise("L14")
async def test_who_is_revoked_disabled_or_gone_signs_in_no_more(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        owner = await account(tx, now)
        one = await made(tx, owner, now)
        await accounts.disable(tx, owner, now)
        assert await mail_logins.held(tx, "alice-m") is None and await mail_logins.by_address(tx, ALICE) is None
        await accounts.enable(tx, owner)
        assert await mail_logins.held(tx, "alice-m") is not None
        gone = await mail_logins.revoke(tx, one.id, now)
        assert (gone.revoked_at, gone.addresses) == (now, ())
        assert await mail_logins.held(tx, "alice-m") is None and await mail_logins.by_address(tx, ALICE) is None
        assert [row["verifier_sealed"] for row in await tx.rows(tables.mail_logins.select())] == [None]
        with pytest.raises(NotFound):
            await mail_logins.revoke(tx, "0" * 32, now)
        with pytest.raises(NotFound):
            await mail_logins.by_login(tx, "nobody")


@pytest.mark.promise("L3")
async def test_nothing_is_left_of_an_account_that_goes(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice, bob = await account(tx, now), await account(tx, now, "bob", "102")
        await made(tx, alice, now)
        other = await made(tx, bob, now, "bob-m", "bob@company.example")
        assert await accounts.remains(tx, alice) == 4  # itself, two things to dial, the login
        await accounts.remove(tx, alice)
        assert await accounts.remains(tx, alice) == 0
        assert await mail_logins.list_all(tx) == (other,)
        assert len(await tx.rows(tables.mail_addresses.select())) == 1


async def test_a_sender_is_found_under_an_older_key(fresh_url: str, field_keys: FieldKeys, now: datetime) -> None:
    database = await Database.open(fresh_url, field_keys)
    async with database.transaction() as tx:
        one = await made(tx, await account(tx, now), now)
    await database.close()
    database = await Database.open(fresh_url, field_keys.rotated())
    async with database.transaction() as tx:
        assert await mail_logins.by_address(tx, ALICE) == one
        with pytest.raises(Conflict):
            await made(tx, one.account_id, now, "alice-n")
    await database.close()


@pytest.mark.promise("0.1")
async def test_no_address_and_no_verifier_is_in_clear(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        await mail_logins.add(tx, await account(tx, now), "Alice's laptop", "alice-m", b"scrypt$proof", [ALICE], now)
    written = await raw(db)
    assert b"alice-m" in written
    for word in (b"company.example", b"laptop", b"scrypt$proof"):
        assert word not in written, word
