"""The codec: what is written is read again, and nothing that a peer sends raises anything but its own error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.carriers import smpp_pdu as pdu

PLAIN = st.characters(min_codepoint=1, max_codepoint=255)


def words(most: int) -> st.SearchStrategy[str]:
    return st.text(PLAIN, max_size=most)


OCTET = st.integers(0, 255)
TLVS = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=300)), max_size=4).map(tuple)
PLACES = st.builds(pdu.Place, OCTET, OCTET, words(20))
MESSAGES = st.builds(
    pdu.Message,
    PLACES,
    PLACES,
    st.binary(max_size=254),
    OCTET,
    OCTET,
    OCTET,
    words(16),
    words(5),
    OCTET,
    OCTET,
    words(16),
    OCTET,
    OCTET,
    TLVS,
)
BODIES = st.one_of(
    st.tuples(st.sampled_from([pdu.SUBMIT_SM, pdu.DELIVER_SM]), MESSAGES),
    st.tuples(st.just(pdu.DATA_SM), st.builds(pdu.Data, PLACES, PLACES, OCTET, OCTET, OCTET, words(5), TLVS)),
    st.tuples(st.just(pdu.ALERT_NOTIFICATION), st.builds(pdu.Alert, PLACES, PLACES, TLVS)),
    st.tuples(
        st.sampled_from(sorted(pdu.BINDS)),
        st.builds(pdu.Bind, words(15), words(64), words(12), OCTET, OCTET, OCTET, words(40)),
    ),
    st.tuples(
        st.sampled_from(sorted(command | pdu.RESPONSE for command in pdu.BINDS)),
        st.builds(pdu.BindResponse, words(15), TLVS),
    ),
    st.tuples(
        st.sampled_from([0x80000004, 0x80000005, 0x80000103]),
        st.builds(pdu.Taken, words(64), TLVS),
    ),
    st.tuples(
        st.sampled_from([pdu.GENERIC_NACK, pdu.UNBIND, 0x80000006, pdu.ENQUIRE_LINK, 0x80000015]), st.just(pdu.EMPTY)
    ),
)
WORD = st.integers(0, 2**32 - 1)
PDUS = st.builds(lambda body, sequence, status: pdu.Pdu(body[0], sequence, body[1], status), BODIES, WORD, WORD)


@given(PDUS)
def test_what_is_written_is_read_again(packet: pdu.Pdu):
    assert pdu.decode(pdu.encode(packet)) == packet


@given(st.lists(PDUS, max_size=5), st.data())
def test_packets_are_found_however_the_network_cuts_them(packets: list[pdu.Pdu], data: st.DataObject):
    stream = b"".join(map(pdu.encode, packets))
    framer = pdu.Framer()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += framer.feed(stream[:size])
        stream = stream[size:]
    assert [pdu.decode(packet) for packet in found] == packets
    assert framer.held == 0


@given(st.binary(max_size=400))
def test_any_bytes_raise_nothing_but_the_codecs_own_error(noise: bytes):
    framer = pdu.Framer()
    try:
        for packet in framer.feed(noise):
            pdu.decode(packet)
    except pdu.PduError as error:
        assert error.where


@given(PDUS, st.data())
def test_a_damaged_packet_is_read_or_refused(packet: pdu.Pdu, data: st.DataObject):
    """Octets turned, cut out and put in, with a length that agrees: the body is what is wrong."""
    damaged = bytearray(pdu.encode(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        match data.draw(st.sampled_from(["turn", "cut", "put"])):
            case "turn":
                damaged[at] ^= data.draw(st.integers(1, 255))
            case "cut" if len(damaged) > 16:
                del damaged[at]
            case _:
                damaged[at:at] = data.draw(st.binary(min_size=1, max_size=3))
    damaged[:4] = struct.pack(">I", len(damaged))
    try:
        pdu.decode(bytes(damaged))
    except pdu.PduError as error:
        assert error.sequence == struct.unpack_from(">I", damaged, 12)[0]


HEAD = pdu.HEADER
PLACE = b"\x01\x01336\0"


def packet(command: int, body: bytes, sequence: int = 7) -> bytes:
    return HEAD.pack(16 + len(body), command, 0, sequence) + body


MESSAGE = b"\0" + PLACE + PLACE + b"\0\0\0" + b"\0\0" + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("body", "where", "status"),
    [
        (b"no end", "service_type", 0x08),
        (b"\0\x01", "source_addr", 0x0A),
        (b"\0" + PLACE + b"\x01\x01" + b"3" * 30 + b"\0", "destination_addr", 0x0B),
        (b"\0" + PLACE + PLACE + b"\0\0\0" + b"123456789012345678\0", "schedule_delivery_time", 0x08),
        (MESSAGE, "sm_length", 0x08),
        (MESSAGE + b"\x05four", "short_message", 0x01),
        (MESSAGE + b"\xff" + b"x" * 255, "sm_length", 0x01),
        (MESSAGE + b"\x00\x04\x24\x00", "a TLV", 0xC0),
        (MESSAGE + b"\x00\x04\x24\x00\x05four", "TLV 0x0424", 0xC2),
    ],
)
def test_the_error_names_the_field_and_what_to_answer(body: bytes, where: str, status: int):
    with pytest.raises(pdu.PduError) as caught:
        pdu.decode(packet(pdu.DELIVER_SM, body))
    assert (caught.value.where, caught.value.status) == (where, status)
    assert (caught.value.command, caught.value.sequence) == (pdu.DELIVER_SM, 7)


@pytest.mark.parametrize("command", [0x00000007, 0x0000000B, 0x00010200, 0x80000111])
def test_commands_that_are_not_ours_are_named(command: int):
    with pytest.raises(pdu.PduError) as caught:
        pdu.decode(packet(command, b"anything"))
    assert (caught.value.where, caught.value.status, caught.value.command) == ("command_id", 0x03, command)


@pytest.mark.parametrize("length", [0, 15, pdu.LARGEST + 1, 2**32 - 1])
def test_a_length_that_cannot_be_ends_the_stream_and_what_stood_before_is_kept(length: int):
    before = packet(pdu.ENQUIRE_LINK, b"")
    with pytest.raises(pdu.LostFramesError) as caught:
        pdu.Framer().feed(before + struct.pack(">I", length) + b"\0" * 40)
    assert caught.value.whole == [before]


def test_responses_without_a_body_and_parameters_that_nobody_knows_are_taken():
    assert pdu.decode(packet(0x80000004, b"")).body == pdu.Taken()
    unknown = MESSAGE + b"\x00" + b"\x14\x00\x00\x03abc" * 2
    body = pdu.decode(packet(pdu.DELIVER_SM, unknown)).body
    assert isinstance(body, pdu.Message)
    assert body.tlvs == ((0x1400, b"abc"), (0x1400, b"abc"))


@pytest.mark.parametrize(
    "body",
    [
        pdu.Message(pdu.Place(1, 1, "3" * 21), pdu.Place(1, 1, "3")),
        pdu.Message(pdu.Place(1, 1, "3"), pdu.Place(256, 1, "3")),
        pdu.Message(pdu.Place(1, 1, "3"), pdu.Place(1, 1, "3"), b"x" * 255),
        pdu.Message(pdu.Place(1, 1, "3"), pdu.Place(1, 1, "3"), tlvs=((1, b"x" * 65536),)),
        pdu.Message(pdu.Place(5, 0, "€"), pdu.Place(1, 1, "3")),
        pdu.Bind("system\0id", "x"),
    ],
)
def test_what_has_no_room_is_not_written(body: pdu.Body):
    with pytest.raises(pdu.PduError):
        pdu.encode(pdu.Pdu(pdu.SUBMIT_SM, 1, body))


def test_neither_numbers_nor_texts_nor_passwords_show():
    message = pdu.Message(pdu.Place(1, 1, "33600000001"), pdu.Place(1, 1, "33600000002"), b"hello", tlvs=((1, b"h"),))
    shown = repr(pdu.Pdu(4, 1, message)) + repr(pdu.Bind("us", "secret"))
    assert not [word for word in ("33600", "hello", "secret", "b'h'") if word in shown]
