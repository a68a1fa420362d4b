"""The listener against clients that say just the bytes they like: smuggling, injection, floods, silence."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from sms.mail.gate import Gate
from tests.server.alerting.receivers import Trust
from tests.sms.mail.mailroom import ALICE, DOMAIN, NUMBER, PASSWORD, Desk, Wire, listening, relay, wire

pytestmark = pytest.mark.promise("P21")

HEAD = b"From: alice@company.example\r\nMessage-ID: <1@company.example>\r\n\r\n"
ENVELOPE = (f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{NUMBER}@{DOMAIN}>")
PLAIN = base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()


async def greeted(client: Wire) -> None:
    assert (await client.heard()).startswith("220")
    assert "250" in await client.ask("EHLO there")


async def left(opened: Gate) -> None:
    """Until nobody is connected."""
    while opened.connections:  # noqa: ASYNC110 - it is the other side that is waited for
        await asyncio.sleep(0.01)


async def at_data(client: Wire) -> None:
    await greeted(client)
    for line in ENVELOPE:
        assert (await client.ask(line)).startswith("250"), line
    assert (await client.ask("DATA")).startswith("354")


# --- one mail never becomes two ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\n\x00.\r\n", b"\r\n.\r\r\n"],
)
async def test_no_false_end_smuggles_a_second_mail(desk: Desk, tls: Trust, end: bytes):
    """What comes after such an end belongs to the same mail, and that mail is refused."""
    second = b"MAIL FROM:<boss@company.example>\r\nRCPT TO:<0600000000@" + DOMAIN.encode() + b">\r\nDATA\r\n"
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await at_data(client)
        await client.say(HEAD + b"first" + end + second + HEAD + b"second\r\n.\r\n")
        answer = await client.heard()
        assert (await client.ask("NOOP")).startswith("250"), "there was one answer to one mail"
    if b"\x00" in end:  # all its line ends are good; the rest is words
        assert answer.startswith("250") and len(desk.orders) == 1 and "MAIL FROM" in desk.orders[0].text
    else:
        assert answer.startswith("554 5.6.0") and desk.orders == []
    assert desk.forgeries == []


async def test_dots_at_the_begin_of_lines_come_through(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await at_data(client)
        await client.say(HEAD + b"..\r\n..twice\r\n.once\r\n.\r\n")
        assert (await client.heard()).startswith("250 2.6.0")
    assert desk.orders[0].text == ".\n.twice\nonce"


@pytest.mark.promise("0.1")
async def test_what_was_said_before_tls_counts_no_more(desk: Desk, tls: Trust):
    """Commands behind STARTTLS in the same packet are not carried into TLS (CVE-2024-34083)."""
    async with listening(desk, tls) as opened, wire(opened) as client:
        await greeted(client)
        await client.say(b"STARTTLS\r\nEHLO injected\r\nAUTH PLAIN " + PLAIN.encode() + b"\r\n")
        assert (await client.heard()).startswith("220")
        await client.starttls(tls.ca)
        assert (await client.ask(ENVELOPE[0])).startswith("503"), "who greeted before has not greeted"
        assert "AUTH" in await client.ask("EHLO there")
        assert (await client.ask(ENVELOPE[0])).startswith("530 5.7.0")
    assert desk.orders == []


async def test_utf8_in_addresses_and_headers(desk: Desk, tls: Trust):
    """SMTPUTF8 (RFC 6531)."""
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await greeted(client)
        assert (await client.ask("MAIL FROM:<hélène@company.example> BODY=8BITMIME SMTPUTF8")).startswith("250")
        assert (await client.ask(ENVELOPE[1])).startswith("250")
        assert (await client.ask("DATA")).startswith("354")
        head = (
            "From: Hélène <hélène@company.example>\r\nMessage-ID: <1@x>\r\nContent-Type: text/plain; charset=utf-8\r\n"
        )
        await client.say(head.encode() + "\r\nÀ 8 h\r\n.\r\n".encode())
        assert (await client.heard()).startswith("250 2.6.0")
    assert (desk.orders[0].mail_from, desk.orders[0].text) == ("hélène@company.example", "À 8 h")


@pytest.mark.parametrize("more", [" AUTH=<>", " SIZE=100 AUTH=<> BODY=8BITMIME", " auth=boss@company.example SIZE=1"])
async def test_who_a_relay_says_has_signed_in_is_heard_and_not_believed(desk: Desk, tls: Trust, more: str):
    """RFC 4954 section 5: Exchange sends it."""
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await greeted(client)
        assert (await client.ask(ENVELOPE[0] + more)).startswith("250")
        assert (await client.ask(ENVELOPE[1])).startswith("250")
        assert (await client.ask("DATA")).startswith("354")
        await client.say(HEAD + b"Hello\r\n.\r\n")
        assert (await client.heard()).startswith("250 2.6.0")
    assert desk.orders[0].mail_from == ALICE


@pytest.mark.parametrize(
    "line",
    [
        f"MAIL FROM:<{ALICE}> SIZE=99999999", f"MAIL FROM:<{ALICE}> NOTHING=1", "MAIL FROM:<a b@company.example>",
        "MAIL FROM:<\"@company.example>", "MAIL FROM:", "MAIL", "RCPT TO:<x@y>", "DATA", "AUTH", "AUTH PLAIN =",
        "AUTH PLAIN AGE=", "AUTH CRAM-MD5", "VRFY alice", "EXPN all", "BDAT 10", "\x00\xff", "X" * 900, "X" * 5000,
        "MAIL FROM:<" + "(" * 400 + "@company.example>", "MAIL FROM:<@a,@b:" + "," * 300 + ">", "MAIL FROM:<[>",
        "MAIL FROM:<\udcff@company.example>",
    ],
)  # fmt: skip
async def test_what_is_no_command_is_refused_and_the_next_one_heard(desk: Desk, tls: Trust, line: str):
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await greeted(client)
        await client.say(line.encode(errors="surrogateescape") + b"\r\n")
        answer = await client.heard()
        assert answer[:1] in "45" or answer.startswith("252"), answer
        assert not any(word in answer for word in ("Error(", "Traceback", "aiosmtpd"))
        assert (await client.ask("NOOP")).startswith("250")
    assert desk.orders == []


# --- floods and silence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"x" * 8192, b"x" * 70 + b"\r\n", b"\r"])
async def test_a_body_without_end_is_not_read_without_end(desk: Desk, tls: Trust, piece: bytes):
    """Neither one line without end nor many are kept in memory."""
    async with listening(desk, tls, relays=(relay(),), max_bytes=4096) as opened, wire(opened) as client:
        await at_data(client)
        with pytest.raises(ConnectionError):
            for _ in range(10_000_000):
                await client.say(piece)
                await asyncio.sleep(0)
        await left(opened)
    assert desk.orders == []


async def test_a_line_that_is_too_long_is_refused(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(),)) as opened, wire(opened) as client:
        await at_data(client)
        await client.say(HEAD + b"x" * 2000 + b"\r\n.\r\n")
        assert (await client.heard()).startswith("500")
        assert (await client.ask("NOOP")).startswith("250")
    assert desk.orders == []


async def test_who_is_silent_or_slow_is_told_so_and_closed(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(),), timeout_s=2.0) as opened:
        async with wire(opened) as silent:
            assert (await silent.heard()).startswith("220")
            assert (await silent.rest()).startswith("421 4.4.2")
        async with wire(opened) as slow:
            await at_data(slow)
            await slow.say(HEAD)
            assert (await slow.rest()).startswith("421 4.4.2")
        await left(opened)
    assert desk.orders == []


async def test_a_life_has_an_end_however_busy(desk: Desk, tls: Trust):
    async with listening(desk, tls, relays=(relay(),), lifetime_s=2.0) as opened, wire(opened) as client:
        await greeted(client)
        answers = set()
        while answer := await client.ask("RSET"):
            answers.add(answer[:9])
            if not answer.startswith("250"):
                break
            await asyncio.sleep(0.02)
        assert "421 4.4.2" in answers


async def test_a_tls_that_never_comes_does_not_keep_its_place(desk: Desk, tls: Trust):
    async with listening(desk, tls, timeout_s=2.0) as opened, wire(opened) as client:
        await greeted(client)
        assert (await client.ask("STARTTLS")).startswith("220")
        await client.rest()
        await left(opened)


async def test_a_tls_that_is_none_ends_quietly(desk: Desk, tls: Trust, caplog: pytest.LogCaptureFixture):
    async with listening(desk, tls) as opened:
        async with wire(opened) as client:
            await greeted(client)
            assert (await client.ask("STARTTLS")).startswith("220")
            await client.say(b"MAIL FROM:<in.clear@company.example>\r\n" * 3)
            await client.rest()
        await left(opened)
    assert "in.clear" not in caplog.text


async def test_more_connections_than_places_are_turned_away(desk: Desk, tls: Trust):
    async with listening(desk, tls, max_connections=4, max_connections_each=3) as opened:
        async with wire(opened) as one, wire(opened) as two, wire(opened) as three:
            for client in (one, two, three):
                assert (await client.heard()).startswith("220")
            async with wire(opened) as fourth:
                assert (await fourth.rest()).startswith("421 4.7.0 too many")
            async with wire(opened, "127.0.0.2") as other, wire(opened, "127.0.0.3") as last:
                assert (await other.heard()).startswith("220"), "another address has places of its own"
                assert (await last.rest()).startswith("421 4.7.0")
        await left(opened)
        async with wire(opened) as again:
            assert (await again.heard()).startswith("220"), "and places come back"
        assert opened.counts["turned away"] == 2


async def test_a_thousand_connections_at_once_leave_nothing_behind(desk: Desk, tls: Trust):
    async with listening(desk, tls, max_connections=20, max_connections_each=20) as opened:

        async def come_and_go() -> str:
            async with wire(opened) as client:
                return (await client.heard())[:3]

        for _ in range(10):
            answers = await asyncio.gather(*(come_and_go() for _ in range(100)))
            assert set(answers) <= {"220", "421"} and "220" in answers
        await left(opened)
        async with wire(opened) as client:
            assert (await client.heard()).startswith("220")


async def test_who_guesses_passwords_is_closed_and_then_banned(desk: Desk, tls: Trust):
    wrong = base64.b64encode(b"\0alice\0guess").decode()
    async with listening(desk, tls) as opened:
        async with wire(opened) as client:
            await greeted(client)
            assert (await client.ask("STARTTLS")).startswith("220")
            await client.starttls(tls.ca)
            await client.ask("EHLO there")
            for _ in range(2):
                assert (await client.ask(f"AUTH PLAIN {wrong}")).startswith("535 5.7.8")
            assert (await client.ask(f"AUTH PLAIN {wrong}")).startswith("535 5.7.8")
            assert (await client.rest()).startswith("421 4.7.0")
        assert desk.wrong == ["127.0.0.1"] * 3
        desk.banned = {"127.0.0.1"}
        async with wire(opened) as client:
            assert (await client.rest()).startswith("554 5.7.1")


async def test_too_many_commands_end_it(desk: Desk, tls: Trust):
    async with listening(desk, tls) as opened, wire(opened) as client:
        await greeted(client)
        answers = [await client.ask("NOOP") for _ in range(51)]
        assert answers[49].startswith("250") and answers[50].startswith("421 4.7.0")


async def test_who_never_reads_answers_does_not_keep_its_place(desk: Desk, tls: Trust):
    """More answers than the kernel holds, to lines that are none."""
    async with listening(desk, tls, timeout_s=0.5, max_bytes=4 * 1024 * 1024) as opened, wire(opened) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"\r\n" * 1_000_000)
        await left(opened)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P21")
async def test_the_end_of_the_daemon_answers_what_it_was_taking(desk: Desk, tls: Trust):
    desk.waits = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        async with listening(desk, tls, relays=(relay(),)) as opened:
            idle = await group.create_task(_open(opened.port))
            assert (await idle.heard()).startswith("220")
            busy = await group.create_task(_open(opened.port))
            await at_data(busy)
            await busy.say(HEAD + b"Hello\r\n.\r\n")
            await desk.asked.wait()
            group.create_task(_later(desk))
        assert (await idle.rest()).startswith("421 4.3.2")
        said = await busy.rest()
        assert said.startswith("250 2.6.0") and "421 4.3.2" in said
        for client in (idle, busy):
            client.writer.close()
    assert len(desk.orders) == 1


async def _open(port: int) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port))


async def _later(desk: Desk) -> None:
    """When the listener is closing."""
    await asyncio.sleep(0.1)
    assert desk.waits is not None
    desk.waits.set()


async def test_who_goes_away_in_the_middle_has_ordered_nothing(desk: Desk, tls: Trust):
    desk.waits = asyncio.Event()
    async with listening(desk, tls, relays=(relay(),)) as opened:
        async with wire(opened) as client:
            await at_data(client)
            await client.say(HEAD + b"Hello\r\n")
        await left(opened)
        async with wire(opened) as client:
            await at_data(client)
            await client.say(HEAD + b"Hello\r\n.\r\n")
            await desk.asked.wait()
        await left(opened)
        desk.waits.set()
        async with wire(opened) as client:
            await greeted(client)
    assert desk.orders == []


async def test_a_port_that_is_taken_is_said(desk: Desk, tls: Trust, tmp_path: Path):
    async with listening(desk, tls) as opened:
        with pytest.raises(OSError, match="address already in use"):
            async with listening(desk, tls, port=opened.port):
                pass
