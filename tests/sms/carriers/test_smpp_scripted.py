"""The carrier against a centre by script: everything that a well-behaved program cannot be made to do."""

from __future__ import annotations

import asyncio
import logging
import struct

import pytest

from sms.addresses import Number, SenderName
from sms.carriers import smpp_pace
from sms.carriers.carrier import Accepted, Because, Coding, Health, NotSent, Refused, Throttled, Unknown
from sms.carriers.smpp_settings import Binds
from tests.peers.smsc import (
    DELIVER,
    ENQUIRE,
    OK,
    RESPONSE,
    SUBMIT,
    THROTTLED,
    UNBIND,
    Packet,
    Session,
    Smsc,
    c_string,
    deliver_body,
)
from tests.sms.carriers.house import Memory, becomes, part, running, settings

NACK = 0x80000000


def silent_on(*commands: int):
    return lambda centre, session, packet: packet.command in commands


def status(code: int):
    """For each submit_sm."""

    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        if packet.command != SUBMIT:
            return False
        session.send(Packet(SUBMIT | RESPONSE, code, packet.sequence, b""))
        return True

    return answer


def raw(make):
    """For each submit_sm the bytes that `make(packet)` gives."""

    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        if packet.command != SUBMIT:
            return False
        session.send(make(packet))
        return True

    return answer


@pytest.mark.promise("P21")
async def test_a_part_is_taken_and_its_id_is_the_centres():
    async with Smsc() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part("été", validity_s=90_061)) == Accepted("00000001")
        [submit] = centre.submitted
        assert (submit.source, submit.destination, submit.data) == ("33600000001", "33600000002", b"\x05t\x05")
        assert (submit.registered, submit.validity) == (1, "000001010101000R")


async def test_before_it_is_bound_and_after_goodbye_nothing_is_sent():
    async with Smsc() as centre:
        async with running(settings(centre.port)) as carrier:
            assert await carrier.submit(part()) == NotSent(Because.DOWN)
            await becomes(carrier, Health.UP)
        assert await carrier.submit(part()) == NotSent(Because.DOWN)
        assert carrier.state().health is Health.OFF
        assert [packet.command for packet in centre.sessions[0].received] == [9, UNBIND]
    assert centre.submitted == []


async def test_goodbye_waits_for_what_is_on_its_way():
    async with Smsc(answer=silent_on(SUBMIT)) as centre:
        async with running(settings(centre.port)) as carrier, asyncio.TaskGroup() as group:
            await becomes(carrier, Health.UP)
            on_way = group.create_task(carrier.submit(part()))
            await centre.until(lambda: centre.sessions[0].received[-1].command == SUBMIT)
            [session] = centre.sessions
            asyncio.get_running_loop().call_later(0.05, centre.take, session, session.received[-1])
        assert await on_way == Accepted("00000001")
        await centre.until(lambda: session.gone)
        assert session.received[-1].command == UNBIND


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0x0B, Refused(Because.ADDRESS, True, "ESME_RINVDSTADR")),
        (0x0A, Refused(Because.SENDER, False, "ESME_RINVSRCADR")),
        (0x08, Refused(Because.TEMPORARY, False, "ESME_RSYSERR")),
        (0x01, Refused(Because.CONTENT, True, "ESME_RINVMSGLEN")),
        (0x402, Refused(Because.CREDIT, False, "0x00000402")),
        (0x403, Refused(Because.OTHER, False, "0x00000403")),
    ],
)
async def test_a_refusal_says_why(code: int, outcome: Refused):
    told = {"no_credit": frozenset({0x402})}
    async with Smsc(answer=status(code)) as centre, running(settings(centre.port, **told)) as carrier:
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part()) == outcome


async def test_what_has_no_room_in_a_packet_is_refused_and_never_written():
    async with Smsc() as centre, running(settings(centre.port, window=1)) as carrier:
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part("œ")) == Refused(Because.CONTENT, False, "a character that the alphabet lacks")
        long = Number("+" + "3" * 30)
        assert await carrier.submit(part(recipient=long)) == Refused(Because.ADDRESS, True, "destination_addr")
        strange = SenderName("œuvre")
        assert await carrier.submit(part(sender=strange)) == Refused(Because.SENDER, True, "source_addr")
        assert isinstance(await carrier.submit(part()), Accepted)
        assert len(centre.submitted) == 1


async def test_silence_is_unknown_and_the_window_is_free_again():
    async with Smsc(answer=silent_on(SUBMIT)) as centre, running(settings(centre.port, window=1, response_s=1.5)) as us:
        await becomes(us, Health.UP)
        assert await us.submit(part()) == Unknown("no answer within 1.5 s")
        [session], centre.answer = centre.sessions, None
        session.send(Packet(SUBMIT | RESPONSE, OK, session.received[-1].sequence, c_string("late")))
        assert await us.submit(part()) == Accepted("00000001")


@pytest.mark.promise("P21")
async def test_a_broken_link_is_unknown_for_what_was_written_and_not_sent_for_what_was_not():
    async with Smsc(answer=silent_on(SUBMIT)) as centre, running(settings(centre.port, window=3)) as carrier:
        await becomes(carrier, Health.UP)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(carrier.submit(part(f"text {n}"))) for n in range(5)]
            await centre.until(lambda: len(centre.sessions[0].received) == 4)
            assert carrier.state().in_flight == 3
            centre.sessions[0].hang_up()
        outcomes = [task.result() for task in tasks]
        assert [type(outcome) for outcome in outcomes] == [Unknown] * 3 + [NotSent] * 2
        centre.answer = None
        await centre.until(lambda: centre.sessions[0].gone and len(centre.bound) == 1)
        await becomes(carrier, Health.UP)
        assert isinstance(await carrier.submit(part()), Accepted)


async def test_a_peer_that_unbinds_is_answered_and_bound_to_again():
    async with Smsc() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        first = centre.sessions[0]
        first.send(Packet(UNBIND, 0, 99, b""))
        await centre.until(lambda: first.gone and len(centre.bound) == 1)
        assert (first.received[-1].command, first.received[-1].sequence) == (UNBIND | RESPONSE, 99)


async def test_no_more_than_the_window_is_on_its_way():
    async with Smsc(answer=silent_on(SUBMIT)) as centre, running(settings(centre.port, window=4)) as carrier:
        await becomes(carrier, Health.UP)
        [session] = centre.sessions
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(carrier.submit(part(f"text {n}")))
            answered = 0
            while answered < 20:
                await centre.until(lambda: len(session.received) > answered + 1)  # noqa: B023
                assert len(session.received) - 1 - answered <= 4
                centre.take(session, session.received[answered + 1])
                answered += 1
        assert [submit.data for submit in centre.submitted] == [f"text {n}".encode() for n in range(20)]


async def test_whoever_stops_waiting_for_a_turn_takes_nobody_elses():
    async with Smsc(answer=silent_on(SUBMIT)) as centre, running(settings(centre.port, window=1)) as carrier:
        await becomes(carrier, Health.UP)
        [session] = centre.sessions
        async with asyncio.TaskGroup() as group:
            first = group.create_task(carrier.submit(part("first")))
            gone = group.create_task(carrier.submit(part("gone")))
            last = group.create_task(carrier.submit(part("last")))
            await centre.until(lambda: len(session.received) == 2)
            gone.cancel()
            centre.take(session, session.received[-1])
            await centre.until(lambda: len(session.received) == 3)
            last.cancel()  # on its way: its place is free once it is answered
        assert gone.cancelled()
        assert last.cancelled()
        assert isinstance(first.result(), Accepted)
        centre.take(session, session.received[-1])
        centre.answer = None
        assert isinstance(await carrier.submit(part("next")), Accepted)
        assert [submit.data for submit in centre.submitted] == [b"first", b"last", b"next"]


# --- answers that are wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda p: Packet(SUBMIT | RESPONSE, OK, p.sequence, b""), Accepted("")),
        (lambda p: Packet(SUBMIT | RESPONSE, OK, p.sequence, b"no end"),
         Unknown("its answer cannot be read: message_id")),
        (lambda p: Packet(SUBMIT | RESPONSE, OK, p.sequence, b"1\0\x00\x01\x00\x09x"),
         Unknown("its answer cannot be read: TLV 0x0001")),
        (lambda p: Packet(NACK, 3, p.sequence, b""), Refused(Because.OTHER, False, "ESME_RINVCMDID")),
        (lambda p: Packet(NACK, 0, p.sequence, b""), Refused(Because.OTHER, False, "0x00000000")),
        # of nobody, of another kind, then the right one, then once more
        (lambda p: Packet(SUBMIT | RESPONSE, OK, p.sequence + 500, c_string("no")).bytes
         + Packet(ENQUIRE | RESPONSE, OK, p.sequence, b"").bytes
         + Packet(SUBMIT | RESPONSE, OK, p.sequence, c_string("yes")).bytes
         + Packet(SUBMIT | RESPONSE, 8, p.sequence, c_string("again")).bytes, Accepted("yes")),
    ],
)  # fmt: skip
async def test_answers_that_do_not_fit(make, outcome):
    async with Smsc(answer=raw(make)) as centre, running(settings(centre.port, window=1)) as carrier:
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part()) == outcome
        centre.answer = None
        assert isinstance(await carrier.submit(part()), Accepted)
        assert len(centre.sessions) == 1


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x0f" + b"\0" * 12, b"\xff" * 64])
async def test_garbage_ends_the_link_and_a_new_one_is_made(noise: bytes):
    async with Smsc(answer=raw(lambda packet: noise)) as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        outcome = await carrier.submit(part())
        assert isinstance(outcome, Unknown)
        assert "no length of a packet" in outcome.why
        first = centre.sessions[0]
        await centre.until(lambda: first.gone and len(centre.bound) == 1)
        assert (first.received[-1].command, first.received[-1].status) == (NACK, 2)


@pytest.mark.parametrize(
    ("sent", "back", "code"),
    [
        (Packet(DELIVER, 0, 77, b"no end"), DELIVER | RESPONSE, 0x08),
        (Packet(DELIVER, 0, 77, deliver_body("336", "337", b"yes")[:-1]), DELIVER | RESPONSE, 0x01),
        (Packet(DELIVER, 0, 77, deliver_body("336", "7", b"yes", tlvs=b"\x04\x24\0\x05x")), DELIVER | RESPONSE, 0xC2),
        (Packet(0x103, 0, 77, b"\0"), 0x80000103, 0x0A),
        (Packet(SUBMIT, 0, 77, deliver_body("336", "337", b"yes")), NACK, 0x03),
        (Packet(0x0B, 0, 77, b"outbind\0"), NACK, 0x03),
        (Packet(0x00010200, 0, 77, b"vendor"), NACK, 0x03),
        (Packet(ENQUIRE, 0, 77, b"more"), NACK, 0x02),
        (Packet(ENQUIRE, 0, 77, b""), ENQUIRE | RESPONSE, 0),
    ],
)  # fmt: skip
async def test_requests_that_do_not_fit_are_answered_and_the_link_stays(sent: Packet, back: int, code: int):
    memory = Memory()
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        [session] = centre.sessions
        session.send(Packet(0x102, 0, 5, b"\1\1336\0\1\1337\0"))  # alert_notification: no answer
        session.send(sent)
        await centre.until(lambda: len(session.received) == 2)
        got = session.received[-1]
        assert (got.command, got.status, got.sequence) == (back, code, 77)
        assert isinstance(await carrier.submit(part()), Accepted)
    assert memory.parts == []


async def test_packets_that_come_octet_by_octet():
    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        if packet.command != SUBMIT:
            return False
        octets = iter(Packet(SUBMIT | RESPONSE, OK, packet.sequence, c_string("slow")).bytes)

        def next_one() -> None:
            if (octet := next(octets, None)) is not None:
                session.send(bytes((octet,)))
                asyncio.get_running_loop().call_soon(next_one)

        next_one()
        return True

    async with Smsc(answer=answer) as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        assert await carrier.submit(part()) == Accepted("slow")


async def test_octets_that_never_become_a_packet_are_no_sign_of_life():
    async with Smsc() as centre, running(settings(centre.port, enquire_s=0.1, response_s=0.3)) as carrier:
        await becomes(carrier, Health.UP)
        first = centre.sessions[0]

        def drip() -> None:
            if not first.gone:
                first.send(b"\0")
                asyncio.get_running_loop().call_later(0.02, drip)

        first.send(struct.pack(">I", 60_000))
        drip()
        await centre.until(lambda: first.gone and len(centre.bound) == 1)


async def test_an_unanswered_enquire_link_ends_the_link():
    async with (
        Smsc(answer=silent_on(ENQUIRE)) as centre,
        running(settings(centre.port, enquire_s=0.1, response_s=0.2)) as us,
    ):
        await becomes(us, Health.UP)
        await centre.until(lambda: len(centre.sessions) > 1)
        assert ENQUIRE in [packet.command for packet in centre.sessions[0].received]
        centre.answer = None

        def asked(session: Session) -> int:
            return [packet.command for packet in session.received].count(ENQUIRE)

        await centre.until(lambda: any(asked(session) >= 3 for session in centre.bound))


# --- signing in -------------------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_said_and_not_tried_again_at_once():
    async with Smsc(password="another") as centre, running(settings(centre.port, refused_retry_s=3600)) as carrier:
        await becomes(carrier, Health.REFUSED)
        assert carrier.state().why == "the centre refuses the bind: ESME_RINVPASWD"
        assert await carrier.submit(part()) == NotSent(Because.DOWN)
        await centre.until(lambda: centre.sessions[0].gone)
        await asyncio.sleep(0.3)
        assert len(centre.sessions) == 1


async def test_a_password_that_becomes_right_is_taken():
    async with Smsc(password="another") as centre, running(settings(centre.port, refused_retry_s=0.1)) as carrier:
        await becomes(carrier, Health.REFUSED)
        centre.password = "secret"
        await becomes(carrier, Health.UP)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
async def test_a_host_that_is_no_name_is_said(host: str):
    async with running(settings(9, host=host)) as carrier:
        await becomes(carrier, Health.REFUSED)
        assert carrier.state().why == "host or server_name cannot be used (UnicodeError)"


async def test_whoever_is_bound_already_tries_again_soon():
    binds = iter([5, 0x14])

    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        code = next(binds, None) if packet.command == 9 else None
        if code is not None:
            session.send(Packet(9 | RESPONSE, code, packet.sequence, b""))
        return code is not None

    async with Smsc(answer=answer) as centre, running(settings(centre.port, refused_retry_s=3600)) as carrier:
        await becomes(carrier, Health.UP)
        assert len(centre.sessions) == 3


async def test_a_pair_sends_over_one_session_and_receives_over_the_other():
    memory = Memory()
    async with Smsc() as centre, running(settings(centre.port, binds=Binds.PAIR), memory) as carrier:
        await becomes(carrier, Health.UP)
        assert {session.kind for session in centre.bound} == {1, 2}
        assert isinstance(await carrier.submit(part()), Accepted)
        centre.bring_text("a", "33612345678", "36105", "oui")
        await memory.until(lambda: len(memory.parts) == 1)
        receiver = next(session for session in centre.bound if session.kind == 1)
        centre.answer = silent_on(1)
        receiver.hang_up()
        await becomes(carrier, Health.CONNECTING)
        assert carrier.state().why.startswith("receiver: ")
        assert isinstance(await carrier.submit(part()), Accepted)


# --- what comes in ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P21")
async def test_a_text_is_acknowledged_once_it_is_committed():
    memory = Memory()
    memory.gate.clear()
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        centre.bring_text("a", "33612345678", "36105", "STOP 😀")
        await memory.until(lambda: memory.begun == 1)
        await carrier.submit(part())  # the link goes on meanwhile
        assert centre.acknowledged == {}
        memory.gate.set()
        await centre.until(lambda: centre.acknowledged == {"a": OK})
        [text] = memory.parts
        assert (text.sender, text.text, text.coding) == (Number("+33612345678"), "STOP 😀", Coding.UCS2)


@pytest.mark.promise("P21")
async def test_what_cannot_be_committed_is_brought_again(caplog: pytest.LogCaptureFixture):
    memory = Memory()
    memory.fails = RuntimeError("the database said +33612345678")
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        centre.bring_text("a", "33612345678", "36105", "STOP")
        await centre.until(lambda: centre.acknowledged == {"a": 0x64})
        memory.fails = None
        centre.sessions[0].hang_up()
        await centre.until(lambda: centre.acknowledged == {"a": OK})
        assert [text.text for text in memory.parts] == ["STOP"]
    assert "not committed (RuntimeError)" in caplog.text
    assert "612345678" not in caplog.text


async def test_the_same_delivery_has_the_same_name_and_another_has_not():
    memory = Memory()
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        yes, no = deliver_body("336", "337", b"yes"), deliver_body("336", "337", b"no")
        for sequence, body in [(1, yes), (1, yes), (2, yes), (1, no)]:
            centre.sessions[0].send(Packet(DELIVER, 0, sequence, body))
        await memory.until(lambda: len(memory.parts) == 4)
        centre.sessions[0].hang_up()
        await centre.until(lambda: centre.sessions[0].gone and len(centre.bound) == 1)
        centre.bound[0].send(Packet(DELIVER, 0, 1, yes))
        await memory.until(lambda: len(memory.parts) == 5)
        names = [text.delivery for text in memory.parts]
        assert names[0] == names[1]
        assert len(set(names)) == 4
        assert memory.parts[0].link != memory.parts[4].link


async def test_those_of_one_telephone_keep_their_order_and_others_do_not_wait_for_them():
    memory = Memory()
    memory.gate.clear()
    async with Smsc() as centre, running(settings(centre.port, inbound_at_a_time=4), memory) as carrier:
        await becomes(carrier, Health.UP)
        for n in range(20):
            centre.bring_text(str(n), f"3361234567{n % 5}", "36105", f"text {n // 5}")
        await memory.until(lambda: memory.begun >= 2)
        memory.gate.set()
        await memory.until(lambda: len(memory.parts) == 20)
        for sender in {text.sender for text in memory.parts}:
            words = [text.text for text in memory.parts if text.sender == sender]
            assert words == [f"text {n}" for n in range(4)]


async def test_more_than_can_be_kept_is_left_to_the_centre():
    memory = Memory()
    memory.gate.clear()
    async with Smsc() as centre, running(settings(centre.port, inbound_most=3), memory) as carrier:
        await becomes(carrier, Health.UP)
        for n in range(5):
            centre.bring_text(str(n), "33612345678", "36105", f"text {n}")
        await centre.until(lambda: len(centre.acknowledged) == 2)
        assert centre.acknowledged == {"3": 0x14, "4": 0x14}
        memory.gate.set()
        await centre.until(lambda: len(centre.acknowledged) == 5)
        assert [text.text for text in memory.parts] == ["text 0", "text 1", "text 2"]


async def test_receipts_of_messages_that_nobody_knows_and_of_none_are_taken():
    memory = Memory()
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        centre.bring("unreadable", deliver_body("336", "337", b"delivered", esm_class=4))
        centre.bring("unknown", deliver_body("33612345678", "337", b"id:77 stat:DELIVRD", esm_class=4))
        await centre.until(lambda: centre.acknowledged == {"unreadable": OK, "unknown": OK})
        [receipt] = memory.receipts
        assert receipt.message_ids[0] == "77"
        assert receipt.recipient == Number("+33612345678")
    assert memory.parts == []


async def test_data_sm_brings_texts_too():
    memory = Memory()
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        [session] = centre.sessions
        payload = struct.pack(">HH", 0x424, 6) + "oui".encode("utf-16-be")
        session.send(Packet(0x103, 0, 9, b"\0\1\x0133612345678\0\1\x0136105\0\0\0\x08" + payload))
        await centre.until(lambda: session.received[-1].command == 0x80000103)
        assert [text.text for text in memory.parts] == ["oui"]


async def test_a_message_before_the_bind_is_not_taken():
    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        if packet.command == 9:
            session.send(Packet(DELIVER, 0, 1, deliver_body("336", "337", b"early")))
            centre.usual(session, packet)
            session.send(Packet(DELIVER, 0, 2, deliver_body("336", "337", b"right after")))
        return packet.command == 9

    memory = Memory()
    async with Smsc(answer=answer) as centre, running(settings(centre.port), memory):
        await memory.until(lambda: len(memory.parts) == 1)
        assert memory.parts[0].text == "right after"
        [session] = centre.sessions
        await centre.until(lambda: len(session.received) == 3)
        assert [(p.sequence, p.status) for p in session.received[1:]] == [(1, 4), (2, 0)]


# --- too fast ---------------------------------------------------------------------------------------------------------


async def test_too_fast_holds_everything_back_and_nothing_is_written_meanwhile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(smpp_pace, "PAUSE_S", 30.0)
    async with Smsc(answer=status(THROTTLED)) as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        first = await carrier.submit(part())
        assert isinstance(first, Throttled)
        assert 0 < first.after_s <= 30
        again = await carrier.submit(part())
        assert isinstance(again, Throttled)
        assert 0 < again.after_s <= first.after_s
        assert len(centre.sessions[0].received) == 2


async def test_an_agreed_rate_is_kept():
    async with Smsc() as centre, running(settings(centre.port, window=50, per_s=100.0)) as carrier:
        await becomes(carrier, Health.UP)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for n in range(31):
                group.create_task(carrier.submit(part(f"text {n}")))
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert len(centre.submitted) == 31


# --- what shows -------------------------------------------------------------------------------------------------------


async def test_neither_numbers_nor_texts_nor_passwords_are_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    memory = Memory()
    bad = deliver_body("33612345678", "36105", b"my words")[:-1]
    async with Smsc() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        centre.sessions[0].send(Packet(DELIVER, 0, 1, bad))
        centre.bring("r", deliver_body("33612345678", "337", b"my words", esm_class=4))
        centre.bring_text("a", "33612345678", "36105", "my words")
        await memory.until(lambda: len(memory.parts) == 1)
        await carrier.submit(part("my words"))
        centre.sessions[0].hang_up()
        await centre.until(lambda: centre.sessions[0].gone and len(centre.bound) == 1)
        shown = caplog.text + repr(carrier.state()) + repr(memory.parts) + repr(settings(1))
    assert "no packet of SMPP" in shown
    assert [word for word in ("612345678", "600000002", "my words", "secret") if word in shown] == []
