"""The daemon's desk behind the mail listener, met by swaks: logins, bans, forged senders, and some of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import mail_desk
from server.failure import Failure
from server.mail_desk import MailDesk
from server.services import mail_logins
from server.services.actor import Actor
from server.services.context import Services
from storage.accounts import Account
from storage.mail_orders import Ordered
from tests.server.alerting.receivers import trust
from tests.sms.mail.mailroom import ALICE, DOMAIN, listening, relay, swaks

ME = Actor("os:0", "here", "set up", "A-1")


class Entry:
    """Instead of the outbox: what was handed in. `stops`: who may not be written to any more, from the n-th look on."""

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, str, str]] = {}
        self.stops: dict[str, int] = {}
        self.code = "denied"
        self.looks = 0

    async def may_go(self, services: Services, account: Account, number: str) -> None:
        self.looks += 1
        if number in self.stops and self.looks >= self.stops[number]:
            raise Failure("they have said STOP", "Leave them alone", self.code)

    async def hand_in(
        self, services: Services, account: Account, number: str, text: str, key: str, *, ordered: Ordered
    ) -> str:
        await self.may_go(services, account, number)
        assert (ordered.mail_from, ordered.number) == (ALICE, number), "who is told when it fails"
        self.texts[key] = (account.name, number, text)
        return key


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    made = Entry()
    monkeypatch.setattr(mail_desk, "may_go", made.may_go)
    monkeypatch.setattr(mail_desk, "hand_in", made.hand_in)
    return made


@pytest.fixture
async def login(services: Services) -> tuple[str, ...]:
    """What swaks is told to sign in with."""
    new = await mail_logins.add(services, ME, account="alice", senders=[ALICE])
    return ("--auth", "PLAIN", "--auth-user", new.login.login, "--auth-password", new.password)


@pytest.mark.promise("P21", "1.21")
async def test_an_order_goes_to_the_inbox_of_the_logins_account(
    services: Services, entry: Entry, login: tuple[str, ...], tmp_path: Path
):
    desk = MailDesk(services)
    to = f"0612345678@{DOMAIN},0612345679@{DOMAIN}"
    async with listening(desk, trust(tmp_path), relays=(relay(),)) as opened:  # type: ignore[arg-type]
        again = ("--header", "Message-Id: <7@company.example>")
        for _ in range(2):
            assert (await swaks(opened, *login, *again, to=to)).status == 0
        assert (await swaks(opened, tls=False, to=to)).status == 0, "the relay speaks for alice"
        forged = await swaks(opened, *login, "--from", "bob@company.example", to=to)
        assert forged.answered("553 5.7.1")
    assert sorted({(name, number) for name, number, _ in entry.texts.values()}) == [
        ("alice", "0612345678"), ("alice", "0612345679"),
    ]  # fmt: skip
    assert len(entry.texts) == 4 and desk.forgeries == 1, "the same mail again was the same two texts"


async def test_who_guesses_is_banned_and_who_knows_is_not(
    services: Services, entry: Entry, login: tuple[str, ...], tmp_path: Path
):
    desk = MailDesk(services)
    to = f"0612345678@{DOMAIN}"
    wrong = (*login[:-1], "abcde-abcde-abcde-abcde-abcdef")
    async with listening(desk, trust(tmp_path)) as opened:  # type: ignore[arg-type]
        for _ in range(9):
            assert (await swaks(opened, *wrong, to=to)).answered("535 5.7.8")
        assert (await swaks(opened, *login, to=to)).status == 0
        for _ in range(10):
            assert (await swaks(opened, *wrong, to=to)).answered("535 5.7.8")
        assert (await swaks(opened, *login, to=to)).answered("554 5.7.1")
    assert len(entry.texts) == 1


async def test_one_who_may_not_be_written_to_stops_none_or_all(
    services: Services, entry: Entry, login: tuple[str, ...], tmp_path: Path
):
    desk = MailDesk(services)
    first, second = "0612345678", "0612345679"
    to = f"{first}@{DOMAIN},{second}@{DOMAIN}"
    async with listening(desk, trust(tmp_path)) as opened:  # type: ignore[arg-type]
        entry.stops = {second: 1}
        assert (await swaks(opened, *login, to=to)).answered("550 5.7.1", "250 2.6.0")
        assert [number for _, number, _ in entry.texts.values()] == [first]
        entry.texts, entry.looks, entry.stops = {}, 0, {second: 3}  # after RCPT
        both = await swaks(opened, *login, to=to)
        assert (both.status, both.answered("550 5.7.1 they have said STOP")) == (26, True), both.said
        assert entry.texts == {}
        entry.looks, entry.stops = 0, {second: 6}  # after the look at all of them
        some = await swaks(opened, *login, to=to)
        assert some.answered("550 5.7.1 1 of 2 have it and are not to get it again: they have said STOP"), some.said
        assert len(entry.texts) == 1


async def test_a_database_that_does_not_answer_between_two_is_tried_again(
    services: Services, entry: Entry, login: tuple[str, ...], tmp_path: Path
):
    desk = MailDesk(services)
    to = f"0612345678@{DOMAIN},0612345679@{DOMAIN}"
    again = ("--header", "Message-Id: <8@company.example>")
    async with listening(desk, trust(tmp_path)) as opened:  # type: ignore[arg-type]
        entry.stops, entry.code = {"0612345679": 6}, "unavailable"
        put_off = await swaks(opened, *login, *again, to=to)
        assert (put_off.status, put_off.answered("451 4.3.0")) == (26, True), put_off.said
        entry.stops = {}
        assert (await swaks(opened, *login, *again, to=to)).status == 0
    assert len(entry.texts) == 2, "each once"
