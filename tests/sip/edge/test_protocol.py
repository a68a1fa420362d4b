"""The frames between edge and daemon: what is asked, what is answered, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.edge import netstring, protocol
from sip.edge.netstring import Decoder, FrameError
from sip.edge.protocol import Banned, EdgeRequest, MalformedFrame, Pong, Reply, ToDevices, ToWorker, Welcome
from sip.edge.window import UNREAD_MAX_BYTES, SendWindow


def ask(**fields: Any) -> bytes:
    query = {"method": "INVITE", "call_id": "c1", "cseq": "7", "source": "udp:192.0.2.1:5060", "savp": 0, "worker": 0}
    return json.dumps({"op": "ask", "i": 12, "l": 3456, "q": query | fields}).encode()


def test_a_question() -> None:
    request = protocol.parse(ask(user="alice-1", **{"from": "alice", "to": "bob"}, savp=1))
    assert request == EdgeRequest("invite", (12, 3456), "c1", 7, "alice-1", "alice", "bob", "udp:192.0.2.1:5060", True)


def test_a_question_of_a_worker() -> None:
    request = protocol.parse(ask(worker=40000, leg="abc", to="bob"))
    assert isinstance(request, EdgeRequest)
    assert (request.kind, request.worker_port, request.leg_token) == ("dial", 40000, "abc")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b'{"op":"welcome"}', Welcome()),
        (b'{"op":"pong","n":5}', Pong(5)),
        (b'{"op":"ban","source":"192.0.2.1","why":"flood"}', Banned("192.0.2.1", "flood")),
    ],
)
def test_the_other_frames(frame: bytes, message: object) -> None:
    assert protocol.parse(frame) == message


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b"[" * 100000,
        b'{"op":"ask"}',
        b'{"op":"ask","i":1,"l":2,"q":[]}',
        ask(cseq="-1"),
        ask(cseq="9" * 11),
        ask(cseq=True),
        ask(cseq="\u0661"),
        ask(method="BYE"),
        ask(method="MESSAGE", worker=40000),
        ask(method="MESSAGE", body="no base64!"),
        ask(**{"from": "x" * 1025}),
        ask(call_id=None),
    ],
)
def test_what_the_edge_never_sends_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        protocol.parse(frame)


@given(st.binary(max_size=300))
def test_no_frame_raises_anything_else(frame: bytes) -> None:
    protocol.asked_transaction(frame)
    with contextlib.suppress(MalformedFrame):
        protocol.parse(frame)


def test_a_refused_question_can_still_be_answered() -> None:
    assert protocol.asked_transaction(ask(cseq="x")) == (12, 3456)


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (Reply(486, "Busy Here"), {"act": "reply", "code": 486, "reason": "Busy Here"}),
        (ToWorker(40000, "tok1"), {"act": "worker", "port": "40000", "token": "tok1"}),
        (
            ToDevices(("a-1", "b.2"), "tls", 30),
            {"act": "devices", "users": "a-1/b.2", "profile": "tls", "ring_ms": 30000},
        ),
    ],
)
def test_answers(answer: protocol.Answer, fields: dict[str, Any]) -> None:
    assert json.loads(protocol.answer((1, 2), answer)) == {"op": "answer", "i": 1, "l": 2} | fields


@pytest.mark.parametrize(
    "answer",
    [
        Reply(100, "Trying"),
        Reply(700, "X"),
        Reply(486, "Busy\r\nX: y"),
        Reply(486, ""),
        ToWorker(0, "tok1"),
        ToWorker(40000, 'tok"\r\n'),
        ToDevices(("a/b",), "tls"),
        ToDevices(("a$var(x)",), "tls"),
        ToDevices(("",), "plain"),
    ],
)
def test_answers_that_cannot_be_carried(answer: protocol.Answer) -> None:
    with pytest.raises(ValueError):
        protocol.answer((1, 2), answer)


@given(st.lists(st.binary(max_size=200)), st.integers(1, 50))
def test_frames_survive_any_cut(payloads: list[bytes], step: int) -> None:
    stream = b"".join(netstring.encode(payload) for payload in payloads)
    decoder, found = Decoder(), []
    for start in range(0, len(stream), step):
        found += decoder.feed(stream[start : start + step])
    assert found == payloads


@pytest.mark.parametrize(
    "stream", [b"x", b":x,", b"3:abcd,", b"9999999:", b"999999:x", b"-1:,", b" 3:abc,", b"\xb2:ab,"]
)
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    with pytest.raises(FrameError):
        Decoder().feed(stream + b"        ")


def test_a_frame_that_evapi_would_choke_on_is_not_made() -> None:
    with pytest.raises(FrameError):
        netstring.encode(b"x" * 30001)


class Kamailio:
    """Reads as evapi does: once told to, everything unread at once, into a buffer of 32767 bytes."""

    def __init__(self) -> None:
        self.unread = b""
        self.payloads: list[bytes] = []

    def read(self) -> list[int]:
        assert len(self.unread) <= 32767, "a frame would have been cut"
        frames, self.unread = Decoder().feed(self.unread), b""
        messages = [(frame, json.loads(frame)) for frame in frames]
        self.payloads += [frame for frame, message in messages if message.get("op") != "ping"]
        return [message["n"] for _, message in messages if message.get("op") == "ping"]


@given(st.lists(st.tuples(st.integers(2, 3000), st.booleans()), max_size=200))
def test_never_more_is_unread_than_fits_and_everything_arrives_in_order(steps: list[tuple[int, bool]]) -> None:
    window, kamailio, sent = SendWindow(), Kamailio(), []
    for size, reads in steps:
        payload = json.dumps({"n": len(sent), "x": "y" * size}).encode()
        sent.append(payload)
        kamailio.unread += window.send(payload)
        assert len(kamailio.unread) <= UNREAD_MAX_BYTES + 4000
        if reads:
            for number in kamailio.read():
                kamailio.unread += window.pong(number)
    for _ in range(len(steps) + 1):
        for number in kamailio.read():
            kamailio.unread += window.pong(number)
    assert kamailio.payloads == sent
    assert window.waiting == 0


def test_beats_keep_the_window_open() -> None:
    window = SendWindow()
    for number in range(1, 500):
        assert json.loads(Decoder().feed(window.ping())[0]) == {"op": "ping", "n": number}
        assert window.pong(number) == b""
    assert window.send(b"{}") == b"2:{},"


@given(st.text())
def test_whatever_the_reason_is_it_can_be_said(text: str) -> None:
    protocol.answer((1, 2), Reply(480, protocol.plain_reason(text)))


def test_a_reason_stays_readable() -> None:
    assert protocol.plain_reason('Cet été : "non" \r\n(1/2)') == "Cet ete non (1/2)"
