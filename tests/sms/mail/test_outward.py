"""Mail that leaves: through a real relay, with what it says and does, and what stands in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from sms.mail import bounces, notices, relay
from sms.mail.answers import Ignored, Order
from sms.mail.bounces import Failed
from sms.mail.notices import Notice
from sms.mail.reading import Bounds, HandedIn, read
from sms.mail.relay import Access, Outcome
from tests.server.alerting import receivers
from tests.server.alerting.receivers import Trust

AT = datetime(2026, 11, 28, 22, 30, tzinfo=UTC)
NOTICE = Notice(
    "c0ffee" * 5,
    "reply",
    "en",
    "https://pbx.company.example/inbox",
    AT,
    "beffroi@company.example",
    "alice@company.example",
)
ORDER = Order(
    "login-1", "alice@company.example", "alice@company.example", ("+33612345678", "0600000000"), "The zebra is 4711",
    "<7@company.example>",
)  # fmt: skip
FAILED = (Failed("+33612345678", "5.1.1", "no such number"), Failed("0600000000", "5.4.7", "expired\nafter a day"))


def bounced(language: notices.Language = "en") -> Message:
    return bounces.report(ORDER, FAILED, "sms.company.example", language, AT, AT, "b0b" * 10)


async def sent(
    access: Access, message: Message | None = None, mail_from: str = "beffroi@company.example"
) -> relay.Handed:
    return await relay.send(access, message or notices.mail(NOTICE), mail_from, ["alice@company.example"])


# --- through a relay --------------------------------------------------------------------------------------------------


@pytest.mark.promise("P21", "0.1")
async def test_over_starttls_with_a_login(tls: Trust):
    async with receivers.relay(tls, login=True) as box:
        access = Access(box.place, user="beffroi", password="relay word", ca_file=str(tls.ca))
        assert (await sent(access)).outcome is Outcome.SENT
        bounce = await sent(access, bounced(), bounces.MAIL_FROM)
        assert bounce == relay.Handed(Outcome.SENT)
    assert [mail_from for mail_from, _, _ in box.mails] == ["beffroi@company.example", "<>"]
    assert box.over_tls == [True, True]


@pytest.mark.promise("1.20", "0.1")
async def test_nothing_goes_in_clear_and_nothing_to_a_stranger(tls: Trust, tmp_path: Path):
    async with receivers.relay() as box:
        refused = await sent(Access(box.place, user="beffroi", password="relay word"))
        assert refused.outcome is Outcome.TEMPORARY and box.logins == []
    async with receivers.relay(receivers.trust(tmp_path)) as box:
        refused = await sent(Access(box.place, ca_file=str(tls.ca)))
        assert refused.outcome is Outcome.TEMPORARY
        assert box.mails == []


async def test_a_wrong_password_and_a_dead_relay_are_tried_again(tls: Trust):
    async with receivers.relay(tls, login=True) as box:
        access = Access(box.place, user="beffroi", password="wrong", ca_file=str(tls.ca), timeout_s=1.0)
        refused = await sent(access)
        assert refused.outcome is Outcome.TEMPORARY and "wrong" not in repr(refused) + repr(access)
    assert (await sent(Access(box.place, tls="none"))).outcome is Outcome.TEMPORARY


async def test_refused_recipients(tls: Trust):
    async with receivers.relay() as box:
        box.refuse = {"bob@company.example"}
        access = Access(box.place, tls="none")
        both = await relay.send(access, notices.mail(NOTICE), "b@c.example", ["alice@c.example", "bob@company.example"])
        assert both == relay.Handed(Outcome.SENT, "", ("bob@company.example",))
        alone = await relay.send(access, notices.mail(NOTICE), "b@c.example", ["bob@company.example"])
        assert (alone.outcome, alone.why) == (Outcome.PERMANENT, "RCPT 550")
        assert "bob" not in repr(alone)
    assert len(box.mails) == 1


@asynccontextmanager
async def scripted(answers: dict[str, str], end: str = "250 ok") -> AsyncIterator[tuple[str, list[bytes]]]:
    """A relay that answers what it is told to; to the end of DATA with `end`, "" closes and "-" says nothing."""
    bodies: list[bytes] = []
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        writer.write(b"220 relay\r\n")
        while line := await reader.readline():
            word = line.split()[0].decode().upper()
            answer = answers.get(word, "354 go on" if word == "DATA" else "250 ok")
            if answer == "-":
                await asyncio.Event().wait()
            if not answer:
                break
            writer.write(answer.encode() + b"\r\n")
            if word == "DATA" and answer.startswith("354"):
                bodies.append(await reader.readuntil(b"\r\n.\r\n"))
                if end == "-":
                    await asyncio.Event().wait()
                if not end:
                    break
                writer.write(end.encode() + b"\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", bodies
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    ("answers", "end", "outcome"),
    [
        ({"MAIL": "451 later"}, "250 ok", Outcome.TEMPORARY),
        ({"MAIL": "550 never"}, "250 ok", Outcome.PERMANENT),
        ({"RCPT": "450 later"}, "250 ok", Outcome.TEMPORARY),
        ({"RCPT": "550 never"}, "250 ok", Outcome.PERMANENT),
        ({"DATA": "451 later"}, "250 ok", Outcome.TEMPORARY),
        ({"DATA": "554 never"}, "250 ok", Outcome.PERMANENT),
        ({"DATA": ""}, "250 ok", Outcome.TEMPORARY),
        ({}, "452 full", Outcome.TEMPORARY),
        ({}, "554 spam", Outcome.PERMANENT),
        ({}, "", Outcome.UNKNOWN),
        ({}, "-", Outcome.UNKNOWN),
        ({}, "what", Outcome.UNKNOWN),
        ({"EHLO": ""}, "", Outcome.TEMPORARY),
        ({"MAIL": "-"}, "", Outcome.TEMPORARY),
        ({"QUIT": "-"}, "250 ok", Outcome.SENT),
        ({"QUIT": "500 what"}, "250 ok", Outcome.SENT),
    ],
)
async def test_what_became_of_it(answers: dict[str, str], end: str, outcome: Outcome):
    async with scripted(answers, end) as (place, bodies):
        silent = "-" in (end, *answers.values())
        handed = await sent(Access(place, tls="none", timeout_s=3.0 if silent else 30.0))
    assert handed.outcome is outcome, handed
    assert bool(bodies) is (outcome in (Outcome.SENT, Outcome.UNKNOWN) or end.startswith(("452", "554")))


async def test_lines_that_begin_with_a_dot_arrive_whole():
    message = EmailMessage(policy=policy.SMTP)
    message.set_content(".\n..\nlast\n")
    async with receivers.relay() as box:
        assert (await sent(Access(box.place, tls="none"), message)).outcome is Outcome.SENT
    assert box.mails[0][2].get_content().replace("\r\n", "\n") == ".\n..\nlast\n"


async def test_an_address_that_cannot_be_written_is_not_tried_again():
    async with receivers.relay() as box:
        handed = await relay.send(
            Access(box.place, tls="none"), notices.mail(NOTICE), "b@c.example", ["hélène@c.example"]
        )
        assert handed.outcome is Outcome.PERMANENT


@pytest.mark.parametrize(("passes", "outcome"), [(True, Outcome.UNKNOWN), (False, Outcome.TEMPORARY)])
async def test_who_waits_too_long_says_unknown_only_where_it_may_have_gone(
    monkeypatch: pytest.MonkeyPatch, passes: bool, outcome: Outcome
):
    """The thread goes on; what it has not begun to say when it is given up is not said any more."""
    begun, go_on, said = threading.Event(), threading.Event(), []

    def slow(access: Access, message: Message, mail_from: str, recipients: list[str], moment: relay._Moment):
        if passes:
            moment.pass_()
        begun.set()
        go_on.wait(60)
        said.append(moment.pass_())
        return relay.Handed(Outcome.SENT)

    monkeypatch.setattr(relay, "hand_over", slow)
    handed = await sent(Access("127.0.0.1:1", timeout_s=0.7))
    assert begun.is_set() and handed.outcome is outcome
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "mail":
            await asyncio.to_thread(thread.join, 60)
    assert said == [False]


# --- what stands in it ------------------------------------------------------------------------------------------------


@pytest.mark.promise("1.8", "1.20")
@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", sorted(notices.KINDS))
def test_a_notice_tells_nothing(kind: str, language: notices.Language):
    """There is no place in it for a text, a number or a name: what is not given to it cannot leave."""
    assert set(Notice.__slots__) == {"id", "kind", "language", "console", "at", "sender", "recipient"}
    raw = notices.mail(replace(NOTICE, kind=kind, language=language)).as_bytes(policy=policy.SMTP)
    made = message_from_bytes(raw, policy=policy.default)
    assert isinstance(made, EmailMessage)
    assert made["Auto-Submitted"] == "auto-generated" and "List-Id" not in made
    assert made["Message-ID"] == f"<{NOTICE.id}@company.example>"
    text = made.get_content()
    assert NOTICE.console in text
    assert not any(digit in text.replace(NOTICE.console, "") + made["Subject"] for digit in "0123456789")
    assert ("SMS" in text or "réponse" in text) if language == "fr" else "Open" in text or "console" in text


def test_a_bounce_is_one_that_programs_understand():
    """RFC 3464, by Python's own reader of it."""
    made = message_from_bytes(bounced().as_bytes(policy=policy.SMTP), policy=policy.default)
    assert (made.get_content_type(), made.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert made["Auto-Submitted"] == "auto-replied" and made["In-Reply-To"] == ORDER.message_id
    assert (made["To"], made["From"].addresses[0].addr_spec) == (ORDER.mail_from, "mailer-daemon@sms.company.example")
    words, status, headers = made.iter_parts()  # type: ignore[attr-defined]
    assert status.get_content_type() == "message/delivery-status"
    whole, first, second = status.get_payload()
    assert whole["Reporting-MTA"] == "dns; sms.company.example" and whole["Arrival-Date"]
    assert (first["Final-Recipient"], first["Action"], first["Status"]) == (
        "rfc822; +33612345678@sms.company.example", "failed", "5.1.1",
    )  # fmt: skip
    assert second["Diagnostic-Code"] == "x-beffroi; expired after a day"
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "+33612345678: no such number (5.1.1)" in words.get_content()


@pytest.mark.promise("1.8", "1.20")
@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_bounce_holds_nothing_of_the_text(language: notices.Language):
    made = message_from_bytes(bounced(language).as_bytes(policy=policy.SMTP), policy=policy.default)
    every = "\n".join(str(part.get_payload(decode=True) or part) for part in made.walk())
    assert "4711" not in every and "zebra" not in every and ORDER.message_id in every
    assert made["Subject"] in ("Your text could not be delivered", "Votre SMS n'a pas pu être remis")


@pytest.mark.parametrize("nobody", ["", "<>"])
def test_a_bounce_is_never_bounced(nobody: str):
    assert not bounces.may_bounce(nobody)
    with pytest.raises(ValueError, match="not answered"):
        bounces.report(replace(ORDER, mail_from=nobody), FAILED, "x.example", "en", AT, AT, "b")


@pytest.mark.parametrize("made", [lambda: notices.mail(NOTICE), bounced])
def test_what_we_send_would_not_be_taken_back(made: Callable[[], Message]):
    """A person's rule that forwards it to a telephone makes no ring."""

    raw = made().as_bytes(policy=policy.SMTP)
    assert isinstance(
        read(raw, HandedIn("relay", "alice@company.example", ("1",), relayed=True), Bounds(3, len)), Ignored
    )
