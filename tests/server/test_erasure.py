"""What an administrator removes goes through the deletion gate: proven, and finished after a crash at any step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retention import receipt as receipts_of
from server.commands.people import _make_key
from server.failure import Failure
from server.services import accounts as account_service
from server.services import erasure, operations
from server.services import readers as reader_service
from server.services.actor import Actor
from server.services.context import Services
from server.services.directory import account_by_name, person_by_login
from storage import accounts, call_settings, devices, keys, ledger, numbers_owned, people, readers, receipts, tables
from storage.call_settings import CallSettings
from storage.errors import NotFound, Unavailable
from storage.keys import Kek, KekWrap
from tests.server.conftest import Ran

ME = Actor("os:0", "here")


class Crash(BaseException):
    """The daemon ends here."""


async def erasures(services: Services) -> list[dict[str, Any]]:
    async with services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]


async def proof_of(services: Services, entry: dict[str, Any]) -> receipts_of.Receipt:
    async with services.db.read() as tx:
        receipt = receipts_of.parse((await receipts.get(tx, entry["receipt_id"])).body)
    receipts_of.verify(receipt, services.keys.ledger.public_key())
    return receipt


@pytest.mark.promise("L3", "2.12")
async def test_an_account_goes_with_a_receipt(services: Services, shown: dict[str, Any]):
    async with services.db.transaction() as tx:
        bob = await account_by_name(tx, "bob")
        await call_settings.save(tx, CallSettings(bob.id, forward_always="+33612345678"))
        await numbers_owned.add(tx, "+33142000000", account_id=bob.id)
        assert await accounts.remains(tx, bob.id) > 5
    removed = await account_service.remove(services, ME, name="bob")
    ordered, done = await erasures(services)
    assert (ordered["complete"], done["complete"]) == (False, True)
    assert ordered["account_id"] == done["account_id"] == bob.id and done["receipt_id"] == removed.receipt
    receipt = await proof_of(services, done)
    assert (receipt.trigger, receipt.objects) == ("admin_order", {"account": 1})
    assert "recording" in receipt.exceptions_kept and "dek_destroyed" not in receipt.method, "only what was done"
    async with services.db.read() as tx:
        assert await accounts.remains(tx, bob.id) == 0
        assert bob.id not in {one.account_id for one in await devices.list_all(tx)}
    said = await operations.call("ledger.receipt", services, ME, {"receipt": removed.receipt})
    assert (said["genuine"], said["in_log"]) == (True, True)  # type: ignore[index,call-overload]


def test_the_command_names_the_receipt(beffroi: Callable[..., Ran]):
    from server.commands import accounts as commands

    said = beffroi("account", "remove", "bob", "--json").json
    assert list(said) == [field.name for field in commands.REMOVED_FIELDS]
    assert beffroi("ledger", "receipt", said["receipt"]).status == 0
    assert "gone, receipt" in beffroi("account", "remove", "alice").out


def dies(monkeypatch: pytest.MonkeyPatch, target: str, *, after: bool) -> None:
    owner, _, name = target.rpartition(".")
    real = getattr(getattr(erasure, owner), name) if owner else getattr(erasure, name)

    async def dying(*args: Any, **more: Any) -> Any:
        if after:
            await real(*args, **more)
        raise Crash

    monkeypatch.setattr(f"server.services.erasure.{target}", dying)


@pytest.mark.promise("L3")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["_Account.destroy_key", "_Account.remove_bytes", "_Account.remains", "prove"])
async def test_a_removal_that_a_crash_cut_short_is_finished(services: Services, step: str, after: bool):
    async with services.db.read() as tx:
        bob = await account_by_name(tx, "bob")
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, step, after=after)
        with pytest.raises(Crash):
            await account_service.remove(services, ME, name="bob")
    assert [one["complete"] for one in await erasures(services)] == [False]
    async with services.db.read() as tx:
        assert await accounts.by_dialled(tx, "bob") is None, "neither calls nor is called any more"
    assert await erasure.resume(services) == 1
    ordered, done = await erasures(services)
    assert (done["complete"], done["account_id"], done["actor_id"]) == (True, bob.id, "system")
    await proof_of(services, done)
    async with services.db.read() as tx:
        assert await accounts.remains(tx, bob.id) == 0
    assert await erasure.resume(services) == 0, "and once"


async def test_what_is_held_up_says_so_and_is_finished_later(services: Services, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:

        async def busy() -> None:
            raise Unavailable("a reader holds it")

        patch.setattr(services.db, "checkpoint_truncate", busy)
        with pytest.raises(Failure, match="not yet gone for good"):
            await account_service.remove(services, ME, name="bob")
    with pytest.raises(Failure, match="no account bob"):
        await account_service.remove(services, ME, name="bob")
    assert [one["complete"] for one in await erasures(services)] == [False, True]


async def test_two_who_remove_at_once(services: Services):
    async def remove(name: str) -> object:
        try:
            return await account_service.remove(services, ME, name=name)
        except Failure as failure:
            return failure.code

    first, second, third = await asyncio.gather(remove("bob"), remove("bob"), remove("alice"))
    assert sorted(str(type(one).__name__) for one in (first, second, third)) == ["RemovedView", "RemovedView", "str"]
    done = [one for one in await erasures(services) if one["complete"]]
    assert len(done) == 2


# --- readers ------------------------------------------------------------------------------------------------------


async def wrapped(services: Services) -> str:
    """A key of the week, wrapped to the reader; the reader's id."""
    now = services.clock()
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, "reader")
        kek = Kek("k" * 8, "REC_QUALITY", "2026-W47.9", "a", b"p", b"s", now, now)
        await keys.add_kek(tx, kek, [KekWrap(kek.id, person.id, "a", b"blob"), KekWrap(kek.id, "escrow", "a", b"e")])
    return person.id


async def replaced(services: Services, person_id: str) -> None:
    public, bundle, _ = _make_key(person_id, "another long passphrase")
    await reader_service.enrol(services, ME, login="reader", public=public, bundle=bundle, replace=True)


@pytest.mark.promise("L3", "0.4")
async def test_a_replaced_reader_key_goes_with_a_receipt(services: Services):
    person_id = await wrapped(services)
    async with services.db.read() as tx:
        old = (await readers.get_key(tx, person_id)).public
    await replaced(services, person_id)
    ordered, done = await erasures(services)
    assert (ordered["object"], ordered["person_id"], done["complete"]) == ("reader", person_id, True)
    receipt = await proof_of(services, done)
    assert (receipt.objects, receipt.exceptions_kept) == ({"reader": 1}, ("right", "ledger"))
    async with services.db.read() as tx:
        assert (await readers.get_key(tx, person_id)).public != old
        assert await readers.wraps_left(tx, person_id) == 0
        assert [one.reader_id for one in await keys.kek_wraps(tx, "k" * 8)] == ["escrow"]
        assert await readers.has_right(tx, person_id, "REC_QUALITY")


@pytest.mark.parametrize("step", ["_ReaderKey.destroy_key", "_ReaderKey.remove_bytes", "prove"])
async def test_a_replacement_that_a_crash_cut_short_leaves_no_key_and_the_right(services: Services, step: str):
    person_id = await wrapped(services)
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, step, after=True)
        with pytest.raises(Crash):
            await replaced(services, person_id)
    assert await erasure.resume(services) == 1
    async with services.db.read() as tx:
        with pytest.raises(NotFound):
            await readers.get_key(tx, person_id)
        assert [one.purpose for one in await readers.rights(tx, person_id)] == ["REC_QUALITY"]
    await replaced(services, person_id)
    assert [one["complete"] for one in await erasures(services)] == [False, True], "there was nothing more to destroy"
    async with services.db.read() as tx:
        assert await readers.has_right(tx, person_id, "REC_QUALITY")


async def test_a_first_key_destroys_nothing(services: Services):
    async with services.db.transaction() as tx:
        person = await people.add(tx, "rita", "Rita", services.clock(), roles=("reader",))
    public, bundle, _ = _make_key(person.id, "another long passphrase")
    await reader_service.enrol(services, ME, login="rita", public=public, bundle=bundle, replace=True)
    assert await erasures(services) == []


async def test_every_table_that_names_an_account_is_looked_at():
    named = {
        table.name
        for table in tables.metadata.sorted_tables
        for column in table.columns
        for key in column.foreign_keys
        if key.column.table is tables.accounts
    }
    assert named == {table.name for table in accounts._NAMING}


def test_nothing_of_a_credential_stays_in_the_files(beffroi: Callable[..., Ran], data: Path, shown: dict[str, Any]):
    user = shown["devices"][0]["user"].encode()
    assert any(user in path.read_bytes() for path in data.glob("beffroi.sqlite3*"))
    beffroi("account", "remove", shown["devices"][0]["account"])
    assert not any(user in path.read_bytes() for path in data.glob("beffroi.sqlite3*"))
