"""Mail logins as they are made, listed and revoked, and as the listener meets them: with swaks, by a real password."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from server.failure import Failure
from server.services import credentials, mail_logins, operations
from server.services.actor import Actor
from server.services.context import Services
from server.services.mail_logins import NewMailLogin
from sms.mail.desk import Sender
from storage import accounts
from tests.server.alerting.receivers import trust
from tests.server.conftest import Ran
from tests.sms.mail.mailroom import ALICE, Desk, listening, relay, swaks

ME = Actor("os:0", "here", "set up", "A-1")


class ByServices(Desk):
    """The desk of the listener with the logins of the database."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services

    async def authenticate(self, login: str, password: str, peer: str) -> Sender | None:
        return await mail_logins.authenticate(self._services, login, password)

    async def may_send_as(self, sender: Sender, address: str) -> bool:
        return await mail_logins.may_send_as(self._services, sender, address)

    async def relayed(self, relay: str, mail_from: str) -> Sender | None:
        return await mail_logins.relayed(self._services, mail_from)


async def made(services: Services, *senders: str) -> NewMailLogin:
    return await mail_logins.add(services, ME, account="alice", senders=list(senders or (ALICE,)))


def test_a_password_proves_itself_and_no_other_does():
    stored = credentials.verifier("abcde-fghjk")
    assert credentials.proves("abcde-fghjk", stored) and not credentials.proves("abcde-fghjm", stored)
    assert credentials.verifier("abcde-fghjk") != stored and b"abcde" not in stored
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        credentials.proves("x", b"plain$x")


@pytest.mark.promise("P21", "1.21")
async def test_a_login_sends_with_its_own_password_as_its_own_senders(services: Services, tmp_path: Path):
    new, desk = await made(services), ByServices(services)
    user = ("--auth", "PLAIN", "--auth-user", new.login.login, "--auth-password")
    async with listening(desk, trust(tmp_path)) as opened:
        assert (await swaks(opened, *user, new.password)).status == 0
        assert (await swaks(opened, *user, credentials.new_secret())).answered("535 5.7.8")
        assert (
            await swaks(opened, "--auth", "PLAIN", "--auth-user", "alice-none", "--auth-password", new.password)
        ).answered("535")
        forged = await swaks(opened, *user, new.password, "--from", "bob@company.example")
        assert forged.answered("553 5.7.1")
        await mail_logins.revoke(services, ME, login=new.login.login)
        assert (await swaks(opened, *user, new.password)).answered("535 5.7.8")
    assert [order.sender_id for order in desk.orders] == [new.login.id]
    assert len(desk.wrong) == 3 and len(desk.forgeries) == 1


@pytest.mark.promise("L14")
async def test_a_disabled_account_orders_nothing_by_any_way(services: Services, tmp_path: Path):
    new, desk = await made(services), ByServices(services)
    async with listening(desk, trust(tmp_path), relays=(relay(),)) as opened:
        assert (await swaks(opened, tls=False)).status == 0, "the relay speaks for that address"
        async with services.db.transaction() as tx:
            owner = await accounts.by_dialled(tx, "alice")
            assert owner is not None
            await accounts.disable(tx, owner.id, services.clock())
        assert (await swaks(opened, tls=False)).answered("553 5.7.1")
        user = ("--auth-user", new.login.login, "--auth-password", new.password)
        assert (await swaks(opened, *user)).answered("535 5.7.8")
    assert len(desk.orders) == 1


@pytest.mark.parametrize("senders", [[], ["no address"], ["a@b.example", "x"], ["A <a@b.example>"]])
async def test_what_is_no_list_of_addresses_is_refused(services: Services, senders: list[str]):
    with pytest.raises(Failure, match="mail addresses"):
        await mail_logins.add(services, ME, account="alice", senders=senders)


async def test_an_address_of_another_login_is_refused_in_plain_words(services: Services):
    await made(services)
    with pytest.raises(Failure, match="another login") as failed:
        await operations.call("mail.login.add", services, ME, {"account": "bob", "senders": [ALICE]})
    assert ALICE not in str(failed.value)


def test_the_commands(beffroi: Callable[..., Ran]):
    shown = beffroi("mail", "login", "add", "alice", "--from", f"{ALICE},sales@company.example", "--label", "My laptop")
    assert shown.status == 0, shown.err
    login, password = (shown.out.split(word)[1].split()[0] for word in ("user", "password"))
    listed = beffroi("mail", "login", "list").out
    assert login in listed and "a••••@" in listed and ALICE not in listed and password not in listed
    clear = beffroi("mail", "login", "list", "alice", "--reason", "who sends", "--json").json
    assert clear[0]["senders"] == [ALICE, "sales@company.example"] and clear[0]["label"] == "My laptop"
    monitor = beffroi("mail", "login", "add", "bob", "--from", "mon@company.example", "--automatic", "--json").json
    assert monitor["login"]["automatic"] and monitor["password"] not in json.dumps(monitor["login"])
    gone = beffroi("mail", "login", "revoke", login, "--json").json
    assert gone["revoked_at"] and gone["senders"] == []
    unknown = beffroi("mail", "login", "revoke", "nobody")
    assert unknown.status == 1 and "beffroi mail login list" in unknown.err
