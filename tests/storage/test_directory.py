from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from storage import accounts, devices, lines, people
from storage.database import Database
from storage.errors import Conflict, Duplicate, Invalid, NotFound

HA1 = "0123456789abcdef" * 2


async def test_people(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await people.add(tx, "alice", "Alice Martin", now, roles=["reader", "admin"], language="en")
        bob = await people.add(tx, "bob", "Bob", now)
        assert alice.roles == {"admin", "reader"} and bob.roles == {"employee"}
        assert await people.by_login(tx, "alice") == await people.get(tx, alice.id) == alice
        assert (await people.set_roles(tx, bob.id, ["dpo"])).roles == {"dpo"}
        assert (await people.disable(tx, bob.id, now)).disabled_at == now
        assert [person.login for person in await people.list_all(tx)] == ["alice", "bob"]
        good: dict[str, Any] = {"login": "carol", "display_name": "C", "now": now}
        for refused in ({"login": "Alice"}, {"roles": ["root"]}, {"language": "french"}):
            with pytest.raises(Invalid):
                await people.add(tx, **(good | refused))
        with pytest.raises(NotFound):
            await people.disable(tx, "00" * 16, now)
    with pytest.raises(FrozenInstanceError):
        alice.login = "mallory"  # type: ignore[misc]


async def test_an_account_is_found_by_name_and_extension(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        assert await accounts.by_dialled(tx, "alice") == alice
        assert await accounts.by_dialled(tx, "101") == alice
        assert await accounts.by_dialled(tx, "102") is None
        await accounts.disable(tx, alice.id, now)
        assert await accounts.by_dialled(tx, "101") is None


@pytest.mark.parametrize("name", ["Alice", "", ".alice", "al ice", "alice@x", "é", "a" * 65, "alice\n"])
async def test_account_names_that_cannot_be_dialled_are_refused(db: Database, now: datetime, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        async with db.transaction() as tx:
            await accounts.add(tx, name, "101", "Alice", now)


async def test_names_extensions_and_numbers_share_one_plan(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await accounts.add(tx, "alice", "101", "Alice", now)
        line = await lines.add(tx, "sales", "200", now)
    for name, extension, field in (
        ("alice", "109", "name"),
        ("carol", "101", "extension"),
        ("carol", "200", "dialled"),
        ("101", "109", "dialled"),
    ):
        with pytest.raises(Duplicate) as taken:
            async with db.transaction() as tx:
                await accounts.add(tx, name, extension, "", now)
        assert taken.value.field == field
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await lines.add(tx, "support", "101", now)
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await lines.save(tx, replace(line, number="101"))


async def test_a_removed_account_takes_everything_along(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        bob = await accounts.add(tx, "bob", "102", "Bob", now)
        line = await lines.add(tx, "sales", "200", now, members=[alice.id, bob.id])
        await devices.add(tx, alice.id, "desk", "alice-1", HA1, now)
        await accounts.remove(tx, alice.id)
        assert await devices.list_all(tx) == ()
        assert (await lines.get(tx, line.id)).members == (bob.id,)
        assert await accounts.by_dialled(tx, "101") is None
        await accounts.add(tx, "alice", "101", "Another", now)
        with pytest.raises(NotFound):
            await accounts.remove(tx, alice.id)


async def test_one_device_is_revoked_alone_and_its_secret_forgotten(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        desk = await devices.add(tx, alice.id, "desk", "alice-1", HA1, now)
        await devices.add(tx, alice.id, "mobile", "alice-2", HA1, now)
        assert [(c.auth_user, c.account, c.ha1) for c in await devices.credentials(tx)] == [
            ("alice-1", "alice", HA1),
            ("alice-2", "alice", HA1),
        ]
        assert (await devices.revoke(tx, desk.id, now)).revoked_at == now
        assert [c.auth_user for c in await devices.credentials(tx, alice.id)] == ["alice-2"]
        assert [d.label for d in await devices.list_all(tx, alice.id)] == ["desk", "mobile"]
        assert await devices.by_auth_user(tx, "alice-1") == await devices.get(tx, desk.id)
        await accounts.disable(tx, alice.id, now)
        assert [(c.auth_user, c.only_emergency) for c in await devices.credentials(tx)] == [("alice-2", True)]
        assert await accounts.by_dialled(tx, "alice") is None
        assert (await accounts.enable(tx, alice.id)).disabled_at is None
        assert [(c.auth_user, c.only_emergency) for c in await devices.credentials(tx)] == [("alice-2", False)]
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await devices.add(tx, alice.id, "again", "alice-1", HA1, now)
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await devices.add(tx, "00" * 16, "nowhere", "nobody-1", HA1, now)


async def test_a_credential_does_not_show_its_secret() -> None:
    assert HA1 not in repr(devices.Credential("alice-1", "alice", HA1))


async def test_lines(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        ids = [(await accounts.add(tx, f"a{n}", str(100 + n), "", now)).id for n in range(3)]
        line = await lines.add(
            tx,
            "sales",
            "200",
            now,
            pack="REC_QUALITY",
            consent_mode="opt_in",
            members=ids,
            ask_staff=True,
            language="fr",
            strategy="sequential",
            member_ring_s=15,
        )
        assert (line.strategy, line.member_ring_s) == ("sequential", 15)
        echo = await lines.add(tx, "echo", "*43", now, kind="echo", metadata_class="none")
        assert (
            await lines.get(tx, line.id) == await lines.by_number(tx, "200") == await lines.by_name(tx, "sales") == line
        )
        assert await lines.list_all(tx) == (echo, line)
        changed = replace(line, number="201", members=(ids[2], ids[0]), pack="REC_NONE")
        await lines.save(tx, changed)
        assert await lines.by_number(tx, "200") is None
        assert await lines.by_number(tx, "201") == changed
        await lines.disable(tx, line.id, now + timedelta(1))
        assert await lines.by_number(tx, "201") is None
        good: dict[str, Any] = {"name": "x", "number": "300", "now": now}
        for refused in (
            {"kind": "ivr"},
            {"consent_mode": "ask"},
            {"metadata_class": "all"},
            {"number": "2OO"},
            {"members": [ids[0], ids[0]]},
            {"strategy": "random"},
            {"member_ring_s": 0},
        ):
            with pytest.raises(Invalid):
                await lines.add(tx, **(good | refused))
