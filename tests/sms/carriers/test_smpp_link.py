"""The link by itself: what left and what did not, and a peer that does not read."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.carriers import smpp_pdu
from sms.carriers.carrier import Health, NotSent, Unknown
from sms.carriers.smpp_link import Link, LinkLostError, Timers
from sms.carriers.smpp_texts import LongTexts
from tests.sms.carriers.house import becomes, part, running, settings


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None: ...


MESSAGE = smpp_pdu.Message(smpp_pdu.Place(1, 1, "336"), smpp_pdu.Place(1, 1, "337"), b"hello")


def link_on(wire: Wire, window: int = 10) -> Link:
    link = Link("test", window, Timers(), lambda link, pdu: None)
    link.connection_made(wire)
    return link


@pytest.mark.promise("P21")
async def test_only_what_was_written_may_have_left():
    wire = Wire()
    link = link_on(wire)
    await link.turn()
    written = link.send(smpp_pdu.SUBMIT_SM, MESSAGE)
    await asyncio.sleep(0)
    assert wire.written
    await link.turn()
    unwritten = link.send(smpp_pdu.SUBMIT_SM, MESSAGE)
    link.connection_lost(ConnectionResetError())
    lost = [future.exception() for future in (written, unwritten)]
    assert [isinstance(one, LinkLostError) and one.left for one in lost] == [True, False]
    with pytest.raises(LinkLostError):
        await link.turn()


async def test_what_is_sent_in_one_turn_of_the_loop_is_one_write():
    wire = Wire()
    link = link_on(wire)
    for _ in range(3):
        await link.turn()
        link.send(smpp_pdu.SUBMIT_SM, MESSAGE)
    assert wire.written == b""
    await asyncio.sleep(0)
    packets = [smpp_pdu.decode(packet) for packet in smpp_pdu.Framer().feed(wire.written)]
    assert [packet.sequence for packet in packets] == [1, 2, 3]
    link.connection_lost(None)


async def test_sequence_numbers_begin_again_and_pass_over_those_that_wait():
    wire = Wire()
    link = link_on(wire)
    await link.turn()
    link.send(smpp_pdu.SUBMIT_SM, MESSAGE)  # has 1
    link._sequence = smpp_pdu.SEQUENCE_LAST - 1
    for _ in range(2):
        await link.turn()
        link.send(smpp_pdu.SUBMIT_SM, MESSAGE)
    await asyncio.sleep(0)
    packets = [smpp_pdu.decode(packet) for packet in smpp_pdu.Framer().feed(wire.written)]
    assert [packet.sequence for packet in packets] == [1, smpp_pdu.SEQUENCE_LAST, 2]
    link.connection_lost(None)


async def test_a_peer_that_asks_for_ever_and_reads_no_answer_is_left():
    wire = Wire()
    link = link_on(wire)
    link.pause_writing()
    asked = smpp_pdu.encode(smpp_pdu.Pdu(smpp_pdu.ENQUIRE_LINK, 1)) * 1000
    for _ in range(100):
        link.data_received(asked)
        await asyncio.sleep(0)
        if wire.aborted:
            break
    assert wire.aborted
    assert len(wire.written) < 1024 * 1024
    link.connection_lost(None)


PACKETS = st.builds(
    lambda command, status, sequence, body: smpp_pdu.HEADER.pack(16 + len(body), command, status, sequence) + body,
    st.sampled_from([1, 2, 4, 5, 6, 9, 0x15, 0x102, 0x103, 0x80000000, 0x80000004, 0x80000015, 0x80000009, 0xFFFFFFFF]),
    st.integers(0, 0x100),
    st.integers(0, 5),
    st.binary(max_size=60),
)


@given(st.lists(PACKETS | st.binary(max_size=20), max_size=20))
def test_whatever_comes_the_link_lives_or_is_closed_and_everybody_is_told(stream: list[bytes]):
    async def play() -> None:
        link = link_on(Wire())
        link.bound = True
        await link.turn()
        answer = link.send(smpp_pdu.SUBMIT_SM, MESSAGE)
        for data in stream:
            link.data_received(data)
            await asyncio.sleep(0)
        link.connection_lost(None)
        assert answer.done()
        assert answer.exception() is not None or answer.result().sequence == 1
        assert link.lost.done()

    asyncio.run(play())


async def test_a_peer_that_does_not_read_gets_no_more_and_what_waited_is_not_sent():
    """Twelve megabytes are more than two kernels hold."""
    heard: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, _, _, sequence = struct.unpack(">IIII", await reader.readexactly(16))
        await reader.readexactly(length - 16)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(struct.pack(">IIII", 17, 0x80000009, 0, sequence) + b"\0")
        heard.put_nowait(writer)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(deaf, sock=listening)
    told = settings(listening.getsockname()[1], window=300, long_texts=LongTexts.PAYLOAD, retry_s=5.0, retry_most_s=5.0)
    async with running(told) as carrier:
        await becomes(carrier, Health.UP)
        async with asyncio.TaskGroup() as group:
            first = [group.create_task(carrier.submit(part("a" * 60_000))) for _ in range(200)]
            while carrier.state().in_flight < 200:  # noqa: ASYNC110 - the carrier tells nobody
                await asyncio.sleep(0)
            for _ in range(3):
                await asyncio.sleep(0)
            then = [group.create_task(carrier.submit(part("b"))) for _ in range(5)]
            for _ in range(3):
                await asyncio.sleep(0)
            assert carrier.state().in_flight == 200
            (await heard.get()).transport.abort()
        assert {type(task.result()) for task in first} == {Unknown}
        assert {type(task.result()) for task in then} == {NotSent}
    server.close()
