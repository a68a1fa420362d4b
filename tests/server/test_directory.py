"""Persons, accounts, devices and lines through the command line: what is made, shown, masked, refused, written down."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recording.reader_bundle import open_reader
from server.services.context import Services
from server.services.credentials import ha1
from storage import devices, readers
from tests.peers.product import run_cli
from tests.server.conftest import Ran


@pytest.mark.promise("P1")
async def test_each_device_has_a_credential_of_its_own_revocable_alone(services: Services, shown: dict[str, Any]):
    from server.services import devices as service
    from server.services.actor import Actor

    me = Actor("os:0", "here")
    made = await service.add(services, me, account="alice", label="desk")
    async with services.db.read() as tx:
        known = {one.auth_user: one for one in await devices.credentials(tx)}
    first = shown["devices"][0]
    assert known[made.device.user].ha1 == ha1(made.device.user, "127.0.0.1", made.password)
    assert known[first["user"]].ha1 == ha1(first["user"], "127.0.0.1", first["password"])
    assert known[made.device.user].account == "alice"
    await service.revoke(services, me, user=made.device.user)
    async with services.db.read() as tx:
        left = {one.auth_user for one in await devices.credentials(tx)}
    assert made.device.user not in left and first["user"] in left


def test_ha1_is_what_rfc_7616_says():
    # RFC 2617 section 3.5, the example that RFC 7616 keeps for MD5.
    assert ha1("Mufasa", "testrealm@host.com", "Circle Of Life") == "939e7578ed9e3c518a452acee763bce9"


def test_a_password_is_shown_once_and_kept_nowhere(beffroi: Callable[..., Ran], data: Path):
    made = beffroi("device", "add", "bob", "--label", "tablet", "--json").json
    password = made["password"].encode()
    assert all(password not in path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert made["password"] not in beffroi("device", "list", "--json", "--reason", "looking for it").out


def test_a_device_is_shown_as_text_and_as_a_code(beffroi: Callable[..., Ran]):
    plain = beffroi("device", "add", "bob", "--no-qr").out
    drawn = beffroi("device", "add", "bob", "--qr").out
    assert "password" in plain and "▀" not in plain
    assert "▀" in drawn and "█" in drawn


def test_names_are_masked_without_a_reason_and_the_reason_is_written_down(beffroi: Callable[..., Ran], data: Path):
    beffroi("person", "add", "claire", "Claire Dubois", "--roles", "employee,dpo")
    assert "Dubois" not in beffroi("person", "list").out
    assert "Claire Dubois" in beffroi("person", "list", "--reason", "yearly review", "--case", "2026-7").out
    entries = beffroi("ledger", "show", "--json").json
    assert [one["reason"] for one in entries if one["action"] == "list"] == [None, "(given)"]
    told = beffroi("ledger", "show", "--json", "--reason", "audit").json
    assert "yearly review [case 2026-7]" in [one["reason"] for one in told]
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"Dubois" not in content and b"yearly review" not in content, path


@pytest.mark.parametrize("last", ["0", "-1", "1001"])
def test_so_many_entries_as_are_shown_at_once_have_a_bound(beffroi: Callable[..., Ran], last: str):
    said = beffroi("ledger", "show", "--last", last)
    assert said.status == 1 and f"{last} entries cannot be shown at once" in said.err
    assert "Give 1 to 1000" in said.err
    assert beffroi("ledger", "show", "--last", "1000").status == 0


def test_what_belongs_to_an_account_goes_with_it(beffroi: Callable[..., Ran]):
    assert beffroi("account", "remove", "bob").status == 0
    assert {one["account"] for one in beffroi("device", "list", "--json").json} == {"alice"}
    lines = {one["name"]: one["members"] for one in beffroi("line", "list", "--json").json}
    assert lines["recorded"] == ["alice"]
    assert beffroi("account", "add", "robert", "102").status == 0, "the extension is free again"


def test_a_line_may_only_be_stricter_than_its_pack(beffroi: Callable[..., Ran]):
    made = beffroi("line", "add", "sales", "300", "--pack", "REC_QUALITY", "--consent", "forbidden",
                   "--members", "bob,alice", "--class", "standard", "--json").json  # fmt: skip
    assert (made["consent"], made["members"], made["metadata_class"]) == ("forbidden", ["bob", "alice"], "standard")
    assert beffroi("line", "set", "sales", "--consent", "none").status == 1
    assert beffroi("line", "set", "300", "--consent", "", "--json").json["consent"] is None
    changed = beffroi("line", "set", "sales", "--disabled", "--number", "301", "--json").json
    assert changed["disabled_at"] and changed["number"] == "301"
    assert beffroi("line", "set", "sales", "--no-disabled", "--json").json["disabled_at"] is None


def test_a_line_whose_recordings_nobody_may_hear_says_so(beffroi: Callable[..., Ran]):
    made = beffroi("line", "add", "bank", "400", "--pack", "REC_MIFID", "--statute", "L533-10 CMF", "--json").json
    assert "nobody may listen" in made["warning"] and "not recorded" in made["warning"]
    assert beffroi("line", "list", "--json").json[-1]["warning"] is None


def test_a_reader_is_enrolled_without_the_passphrase_going_anywhere(beffroi: Callable[..., Ran], data: Path):
    passphrase = "correct horse battery staple"
    beffroi("person", "add", "rita", "Rita", "--roles", "reader")
    assert beffroi("person", "grant", "rita", "REC_QUALITY").status == 0
    reading, writing = os.pipe()
    told_end, tell_end = os.pipe()
    os.write(writing, passphrase.encode() + b"\n")
    os.close(writing)
    done = beffroi("reader", "enrol", "rita", "--passphrase-fd", str(reading), "--secrets-fd", str(tell_end), "--json")
    said = done.json
    with os.fdopen(told_end) as stream:
        totp = json.loads(stream.read())["totp_secret"]
    assert said["listens_to"] == ["REC_QUALITY"]
    with sqlite3.connect(data / "beffroi.sqlite3") as database:
        bundle = database.execute("select secret from reader_keys where person_id = ?", [said["person_id"]]).fetchone()
    opened = open_reader(bundle[0], passphrase)
    assert (opened.reader_id, opened.totp_secret) == (said["person_id"], totp)
    for path in data.rglob("*"):
        if path.is_file():
            assert passphrase.encode() not in path.read_bytes() and totp.encode() not in path.read_bytes()


@pytest.mark.parametrize("passphrase", ["short", ""])
def test_a_weak_passphrase_makes_no_reader(beffroi: Callable[..., Ran], data: Path, passphrase: str):
    beffroi("person", "add", "rita", "Rita", "--roles", "reader")
    done = run_cli(data, "reader", "enrol", "rita", secrets={"--passphrase-fd": passphrase})
    assert (done.returncode, done.stdout) == (1, "")
    assert "12 characters" in done.stderr and "Traceback" not in done.stderr
    assert not beffroi("person", "list", "--json").json[-1]["reader_key"]


async def test_a_new_key_takes_the_place_of_the_old_only_when_told(services: Services, shown: dict[str, Any]):
    from server.failure import Failure
    from server.services import readers as service
    from server.services.actor import Actor
    from server.services.directory import person_by_login

    me = Actor("os:0", "here")
    async with services.db.read() as tx:
        person = await person_by_login(tx, "reader")
        old = await readers.get_key(tx, person.id)
    from server.commands.people import _make_key

    public, bundle, _ = _make_key(person.id, "another long passphrase")
    with pytest.raises(Failure, match="has a key already"):
        await service.enrol(services, me, login="reader", public=public, bundle=bundle)
    said = await service.enrol(services, me, login="reader", public=public, bundle=bundle, replace=True)
    assert said.listens_to == ("REC_QUALITY",), "the right stays"
    async with services.db.read() as tx:
        assert (await readers.get_key(tx, person.id)).public != old.public
    other, _, _ = _make_key("0" * 32, "another long passphrase")
    with pytest.raises(Failure, match="not made for"):
        await service.enrol(services, me, login="reader", public=other, bundle=_make_key("0" * 32, "x" * 12)[1])


def test_an_administrator_cannot_be_given_the_right_to_listen(beffroi: Callable[..., Ran]):
    beffroi("person", "add", "root", "Root", "--roles", "admin")
    refused = beffroi("person", "grant", "root", "REC_QUALITY")
    assert refused.status == 1 and "is no reader" in refused.err
