"""The listener as swaks meets it: what is taken, what is refused, and that nothing of it shows in a log."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from sms.mail.allowance import Rate
from sms.mail.answers import Rejection
from tests.server.alerting.receivers import Trust
from tests.sms.mail.mailroom import (
    ALICE,
    DOMAIN,
    LOGIN,
    NUMBER,
    PASSWORD,
    TO,
    Desk,
    listening,
    relay,
    settings,
    swaks,
)

pytestmark = pytest.mark.promise("P21")


async def test_a_login_over_starttls_orders_a_text(desk: Desk, tls: Trust):
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN, "--tls-verify", "--tls-ca-path", str(tls.ca), "--auth", "PLAIN")
        assert sent.status == 0, sent.said
    [order] = desk.orders
    assert (order.sender_id, order.mail_from, order.recipients, order.text) == (
        "login-1", ALICE, (NUMBER,), "Hello from here",
    )  # fmt: skip
    assert opened.counts == {"taken": 1} and opened.connections == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.promise("P21")
async def test_a_wrong_password_is_refused_and_counted(desk: Desk, tls: Trust, mechanism: str):
    async with listening(desk, tls) as opened:
        wrong = ("--auth", mechanism, "--auth-user", "alice", "--auth-password", "wrong")
        sent = await swaks(opened, *wrong)
        assert (sent.status, sent.answered("535 5.7.8")) == (28, True), sent.said
        good = await swaks(opened, *LOGIN, "--auth", mechanism)
        assert good.status == 0, good.said
    assert (desk.wrong, len(desk.orders)) == (["127.0.0.1"], 1)


@pytest.mark.promise("0.1")
async def test_without_tls_there_is_no_login_and_no_mail(desk: Desk, tls: Trust):
    async with listening(desk, tls) as opened:
        bare = await swaks(opened, tls=False)
        assert (bare.status, bare.answered("530")) == (23, True), bare.said
        hidden = await swaks(opened, *LOGIN, tls=False)
        assert hidden.status == 28 and "AUTH" not in hidden.said.split("EHLO")[1].split(" -> ")[0], hidden.said
        without = await swaks(opened)
        assert (without.status, without.answered("530 5.7.0")) == (23, True), without.said
    assert desk.orders == [] and desk.wrong == []


@pytest.mark.promise("1.21")
@pytest.mark.parametrize("options", [("--from", "bob@company.example"), ("--header", "From: bob@company.example")])
async def test_a_forged_sender_is_refused_and_reported(desk: Desk, tls: Trust, options: tuple[str, ...]):
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN, *options)
        assert sent.status in (23, 26) and sent.answered("553 5.7.1"), sent.said
    assert (desk.orders, desk.forgeries) == ([], [("login-1", "127.0.0.1")])


async def test_html_alone_is_refused_with_what_to_do(desk: Desk, tls: Trust):
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN, "--header", "Content-Type: text/html", body="<b>Hello</b>")
        assert (sent.status, sent.answered("554 5.6.1 only HTML")) == (26, True), sent.said
    assert desk.orders == []


async def test_an_attachment_is_refused(desk: Desk, tls: Trust, tmp_path: Path):
    file = tmp_path / "prices.pdf"
    file.write_bytes(b"%PDF-1.4")
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN, "--attach-type", "application/pdf", "--attach", f"@{file}")
        assert (sent.status, sent.answered("554 5.6.1 a text carries no attachment")) == (26, True), sent.said


async def test_too_large_is_refused_before_and_after(desk: Desk, tls: Trust):
    async with listening(desk, tls, max_bytes=4096) as opened:
        after = await swaks(opened, *LOGIN, body="x" * 70 + "\\n" + ("y" * 70 + "\\n") * 80)
        assert (after.status, after.answered("552")) == (26, True), after.said
        enormous = await swaks(opened, *LOGIN, body=("z" * 70 + "\\n") * 1500)
        assert enormous.status != 0, enormous.said[-500:]
        small = await swaks(opened, *LOGIN)
        assert small.status == 0, "and the next one goes"
    assert len(desk.orders) == 1


@pytest.mark.promise("1.7")
async def test_several_recipients_and_one_that_may_not_be_written_to(desk: Desk, tls: Trust):
    desk.no_texts_to = {"0600000001"}
    to = ",".join(f"{number}@{DOMAIN}" for number in ("0600000000", "0600000001", "0600000002", "nobody"))
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN, to=to)
        assert sent.status == 0 and sent.answered("550 5.1.1", "550 5.1.3", "250 2.6.0"), sent.said
        other = await swaks(opened, *LOGIN, to="0600000000@elsewhere.example")
        assert (other.status, other.answered("550 5.7.1")) == (24, True), "this is no relay"
    assert [order.recipients for order in desk.orders] == [("0600000000", "0600000002")]


async def test_more_recipients_than_allowed_are_put_off(desk: Desk, tls: Trust):
    to = ",".join(f"06000000{i:02}@{DOMAIN}" for i in range(5))
    async with listening(desk, tls, max_recipients=3) as opened:
        sent = await swaks(opened, *LOGIN, to=to)
        assert sent.answered("452 4.5.3", "250 2.6.0"), sent.said
    assert [len(order.recipients) for order in desk.orders] == [3]


async def test_a_flood_is_slowed_down_by_login(desk: Desk, tls: Trust):
    """The clock stands still, so that nothing comes back meanwhile."""
    time = [1000.0]
    async with listening(desk, tls, rate=Rate(2, 60.0), now=lambda: time[0]) as opened:
        for _ in range(2):
            assert (await swaks(opened, *LOGIN)).status == 0
        third = await swaks(opened, *LOGIN)
        assert (third.status, third.answered("450 4.7.1 too many texts at once: again in 60 s")) == (23, True)
        time[0] += 60
        assert (await swaks(opened, *LOGIN)).status == 0
        both = await swaks(opened, *LOGIN, to=f"0600000000@{DOMAIN},0600000001@{DOMAIN}")
        assert both.status == 23
        time[0] += 60
        one = await swaks(opened, *LOGIN, to=f"0600000000@{DOMAIN},0600000001@{DOMAIN}")
        assert one.answered("450 4.7.1", "250 2.6.0"), one.said
    assert len(desk.orders) == 4 and desk.orders[-1].recipients == ("0600000000",)


async def test_the_same_mail_handed_in_again_is_taken_and_not_sent_twice(desk: Desk, tls: Trust):
    again = ("--header", "Message-Id: <7@company.example>")
    async with listening(desk, tls) as opened:
        for _ in range(2):
            assert (await swaks(opened, *LOGIN, *again)).status == 0
    assert len(desk.orders) == 1


@pytest.mark.parametrize("failure", [RuntimeError("database"), TimeoutError(), ConnectionResetError()])
async def test_what_could_not_be_committed_is_not_taken(
    desk: Desk, tls: Trust, failure: Exception, caplog: pytest.LogCaptureFixture
):
    async with listening(desk, tls, relays=(relay(),)) as opened:
        desk.fails = failure
        sent = await swaks(opened, tls=False)
        assert (sent.status, sent.answered("451 4.3.0")) == (26, True), sent.said
        unproven = await swaks(opened, *LOGIN)
        assert (unproven.status, unproven.answered("454 4.7.0")) == (28, True), unproven.said
        desk.fails = None
        assert (await swaks(opened, tls=False)).status == 0
    assert len(desk.orders) == 1 and desk.wrong == []
    assert type(failure).__name__ in caplog.text


async def test_a_database_that_never_answers_is_not_waited_for(desk: Desk, tls: Trust):
    desk.waits = asyncio.Event()
    async with listening(desk, tls, asking_s=2.0) as opened:
        sent = await swaks(opened, *LOGIN)
        assert (sent.status, sent.answered("451 4.3.0")) == (26, True), sent.said
    assert desk.orders == []


async def test_what_is_refused_by_policy_is_said(desk: Desk, tls: Trust):
    desk.answer = Rejection(550, "5.7.1", "no consent of this person")
    async with listening(desk, tls) as opened:
        sent = await swaks(opened, *LOGIN)
        assert (sent.status, sent.answered("550 5.7.1 no consent")) == (26, True), sent.said


# --- a relay that the configuration names -----------------------------------------------------------------------------


async def test_a_named_relay_speaks_for_its_own_people(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(),)) as opened:
        assert (await swaks(opened, tls=False)).status == 0
        stranger = await swaks(opened, "--from", "mallory@elsewhere.example", tls=False)
        assert (stranger.status, stranger.answered("553 5.7.1")) == (23, True), stranger.said
    assert [order.sender_id for order in desk.orders] == ["by-office"]
    assert desk.forgeries == [("", "127.0.0.1")]


async def test_a_relay_that_is_to_use_tls_must(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(tls=True),)) as opened:
        bare = await swaks(opened, tls=False)
        assert (bare.status, bare.answered("530")) == (23, True), bare.said
        assert (await swaks(opened)).status == 0
    assert len(desk.orders) == 1


async def test_the_loop_of_machines_ends_here(desk: Desk, tls: Trust):
    """An answer of an answering machine, and a bounce: the relay hears nothing that it would answer to."""
    async with listening(desk, tls, relays=(relay(),)) as opened:
        away = await swaks(opened, "--header", "Auto-Submitted: auto-replied (vacation)", tls=False)
        assert away.status == 0 and away.answered("250 2.6.0"), away.said
        bounce = await swaks(opened, "--from", "<>", tls=False)
        assert (bounce.status, bounce.answered("550 5.7.1")) == (23, True), bounce.said
    assert desk.orders == [] and opened.counts["ignored"] == 1


async def test_a_monitor_may_say_that_it_is_one(desk: Desk, tls: Trust):
    generated = ("--header", "Auto-Submitted: auto-generated")
    async with listening(desk, tls) as opened:
        person = await swaks(opened, *LOGIN, *generated)
        assert (person.status, person.answered("550 5.7.1 an automatic mail")) == (26, True), person.said
        program = await swaks(opened, "--auth-user", "monitor", "--auth-password", PASSWORD, *generated)
        assert program.status == 0, program.said


# --- letters beyond ASCII ---------------------------------------------------------------------------------------------


async def test_eight_bits_arrive(desk: Desk, tls: Trust):
    kind = ("--header", "Content-Type: text/plain; charset=utf-8", "--header", "Content-Transfer-Encoding: 8bit")
    async with listening(desk, tls) as opened:
        assert (await swaks(opened, *LOGIN, *kind, body="Café à 8 € 漢")).status == 0
    assert desk.orders[0].text == "Café à 8 € 漢"


# --- what is left of it -----------------------------------------------------------------------------------------------


@pytest.mark.promise("0.1")
async def test_no_address_no_number_and_no_word_is_in_any_log(desk: Desk, tls: Trust, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with listening(desk, tls, relays=(relay(),), max_bytes=4096) as opened:
        await swaks(opened, *LOGIN, body="secret-words")
        await swaks(opened, *LOGIN, "--from", "mallory@company.example", body="secret-words")
        await swaks(opened, "--auth-user", "alice", "--auth-password", "wrong-word", body="secret-words")
        await swaks(opened, *LOGIN, "--header", "Content-Type: text/html", body="secret-words")
        await swaks(opened, *LOGIN, body="secret-words" * 1000)
        desk.fails = RuntimeError(f"secret-words for {NUMBER} by {ALICE}")
        await swaks(opened, tls=False, body="secret-words")
    said = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    assert "login-1" in said
    for word in ("secret", "612345678", "alice", "mallory", "wrong-word", PASSWORD, "right"):
        assert word not in said, word
    assert [record.name for record in caplog.records if record.name.startswith("mail")] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("domain", "sms company"), ("hostname", ""), ("max_bytes", 10), ("max_recipients", 0), ("port", 70000),
     ("timeout_s", 0), ("max_connections", 0), ("domain", "-a.example")],
)  # fmt: skip
def test_settings_out_of_bounds(name: str, value: object):
    with pytest.raises(ValueError, match=name):
        settings(**{name: value})
    assert TO.endswith(DOMAIN)
