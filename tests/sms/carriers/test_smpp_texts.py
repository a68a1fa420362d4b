"""Parts into packets and back: alphabets, three ways of saying what belongs together, and what is no text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.addresses import Number
from sms.carriers.carrier import Coding, OutboundPart
from sms.carriers.smpp_pdu import Data, Message, Place
from sms.carriers.smpp_texts import DefaultAlphabet, LongTexts, NotCarriedError, Packed, Read, pack, unpack
from sms.text import alphabet
from sms.text.joining import Piece, joined

WHO = Place(1, 1, "33600000000")
ANY = Number("+33600000000")
GSM_TEXT = st.text(st.sampled_from("".join(c for c in map(chr, range(0x2100)) if alphabet.fits(c))), max_size=70)
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=33)


def part(text: str, coding: Coding = Coding.GSM7, **more: Any) -> OutboundPart:
    return OutboundPart("p", ANY, ANY, text, coding, **more)


def message(packed: Packed) -> Message:
    return Message(WHO, WHO, packed.short_message, packed.data_coding, packed.esm_class, tlvs=packed.tlvs)


def read(data: bytes, coding: int = 0, esm_class: int = 0, default: DefaultAlphabet = DefaultAlphabet.GSM) -> Read:
    return unpack(Message(WHO, WHO, data, coding, esm_class), default)


@pytest.mark.promise("P21")
@given(GSM_TEXT | UNICODE, st.integers(1, 255), st.integers(0, 65535), st.sampled_from(LongTexts), st.data())
def test_a_part_comes_back_as_it_went(text: str, total: int, reference: int, way: LongTexts, data: st.DataObject):
    number = data.draw(st.integers(1, total))
    coding = Coding.GSM7 if alphabet.fits(text) else Coding.UCS2
    sent = part(text, coding, number=number, total=total, reference=reference)
    back = unpack(message(pack(sent, way)))
    assert (back.text, back.coding) == (text, coding)
    if total == 1:
        assert (back.number, back.total, back.reference) == (1, 1, None)
    else:
        kept = reference & 0xFF if way in (LongTexts.UDH8, LongTexts.PAYLOAD) else reference
        assert (back.number, back.total, back.reference) == (number, total, kept)


def test_what_stands_in_the_packet():
    of_two = {"number": 2, "total": 2, "reference": 0x1234}
    assert pack(part("€", **of_two), LongTexts.UDH8) == Packed(b"\x05\x00\x03\x34\x02\x02\x1b\x65", 0, 0x40)
    assert pack(part("€", **of_two), LongTexts.UDH16) == Packed(b"\x06\x08\x04\x12\x34\x02\x02\x1b\x65", 0, 0x40)
    sar = ((0x020C, b"\x12\x34"), (0x020E, b"\x02"), (0x020F, b"\x02"))
    assert pack(part("é", **of_two), LongTexts.SAR) == Packed(b"\x05", 0, 0, sar)
    assert pack(part("é"), LongTexts.PAYLOAD) == Packed(b"", 0, 0, ((0x0424, b"\x05"),))
    assert pack(part("é"), LongTexts.UDH8, DefaultAlphabet.LATIN1) == Packed(b"\xe9", 0)
    assert pack(part("😀", Coding.UCS2), LongTexts.UDH8) == Packed(b"\xd8\x3d\xde\x00", 8)


def test_full_segments_fit_and_no_more():
    for text, coding, total in [("a" * 160, Coding.GSM7, 1), ("a" * 153, Coding.GSM7, 2), ("œ" * 70, Coding.UCS2, 1),
                                ("œ" * 67, Coding.UCS2, 2)]:  # fmt: skip
        pack(part(text, coding, total=total), LongTexts.UDH8)
        with pytest.raises(NotCarriedError):
            pack(part(text + text[0], coding, total=total), LongTexts.UDH8)
    pack(part("a" * 152, total=2), LongTexts.UDH16)
    with pytest.raises(NotCarriedError):
        pack(part("a" * 153, total=2), LongTexts.UDH16)
    assert pack(part("a" * 1000), LongTexts.PAYLOAD).tlvs == ((0x0424, b"a" * 1000),)


@pytest.mark.parametrize(
    ("text", "coding", "default"),
    [("œ", Coding.GSM7, DefaultAlphabet.GSM), ("€", Coding.GSM7, DefaultAlphabet.LATIN1),
     ("\ud83d", Coding.UCS2, DefaultAlphabet.GSM)],
)  # fmt: skip
def test_a_character_that_is_not_in_the_alphabet_is_said_and_not_replaced(
    text: str, coding: Coding, default: DefaultAlphabet
):
    with pytest.raises(NotCarriedError):
        pack(part(text, coding), LongTexts.UDH8, default)


@pytest.mark.parametrize(
    ("data", "coding", "default", "text", "of"),
    [
        (b"\x05t\x05 \x1b\x65", 0, DefaultAlphabet.GSM, "été €", Coding.GSM7),
        (b"\xe9t\xe9", 0, DefaultAlphabet.LATIN1, "été", None),
        (b"STOP", 1, DefaultAlphabet.GSM, "STOP", None),
        (b"\xe9t\xe9", 3, DefaultAlphabet.GSM, "été", None),
        (b"\x00S\x00T\xd8\x3d\xde\x00", 8, DefaultAlphabet.GSM, "ST😀", Coding.UCS2),
        (b"\x00S\x00T\x00", 8, DefaultAlphabet.GSM, "ST\ufffd", Coding.UCS2),
        (b"\x00S\xd8\x3d", 8, DefaultAlphabet.GSM, "S\ufffd", Coding.UCS2),
        (b"STOP", 0xF1, DefaultAlphabet.GSM, "STOP", Coding.GSM7),
        (b"", 0, DefaultAlphabet.GSM, "", Coding.GSM7),
    ],
)
def test_codings(data: bytes, coding: int, default: DefaultAlphabet, text: str, of: Coding | None):
    assert read(data, coding, default=default) == Read(text, of)


@pytest.mark.parametrize(
    ("data", "coding", "esm_class"),
    [
        (bytes.fromhex("d3e61424"), 0, 0),  # packed septets
        (b"\xe9", 1, 0),
        (b"\x01\x02", 4, 0),
        (b"\x01\x02", 2, 0),
        (b"\x8e\x57", 5, 0),
        (b"\x06\x05\x04\x0b\x84\x23\xf0push", 0, 0x40),  # application ports
        (b"\x03\x24\x01\x01s", 0, 0x40),  # a national table
        (b"\x09\x00\x03ab", 0, 0x40),  # a header longer than the packet
        (b"\x03\x00\x09ab", 0, 0x40),  # an element longer than the header
        (b"\x01\x00ab", 0, 0x40),
        (b"", 0, 0x40),
    ],
)
def test_what_is_no_text_comes_as_it_is(data: bytes, coding: int, esm_class: int):
    assert read(data, coding, esm_class) == Read(None, None, data)


@pytest.mark.parametrize("place", [b"\x07\x01\x01", b"\x07\x02\x03", b"\x07\x00\x00", b"\x07\x02\x00", b"\x07\x02"])
def test_a_part_of_nothing_stands_alone(place: bytes):
    header = bytes((len(place) + 2, 0, len(place))) + place
    assert read(header + b"yes", esm_class=0x40) == Read("yes", Coding.GSM7)


def test_both_widths_of_the_reference_and_both_at_once():
    assert read(b"\x05\x00\x03\x07\x02\x01yes", esm_class=0x40) == Read("yes", Coding.GSM7, b"yes", 1, 2, 7)
    assert read(b"\x06\x08\x04\x01\x07\x02\x01yes", esm_class=0x40).reference == 0x107
    both = b"\x0b\x00\x03\x07\x02\x01\x08\x04\x01\x07\x02\x01"
    assert read(both + b"yes", esm_class=0x40).reference == 0x107


def test_a_payload_is_read_where_there_is_nothing_else():
    payload = ((0x0424, b"\x05t\x05" * 100),)
    assert unpack(Message(WHO, WHO, tlvs=payload)).text == "été" * 100
    assert unpack(Data(WHO, WHO, tlvs=payload)).text == "été" * 100


@given(st.binary(max_size=160), st.integers(0, 255), st.sampled_from([0, 0x40, 0xFF]), st.sampled_from(DefaultAlphabet))
def test_any_message_is_read_and_can_be_stored(data: bytes, coding: int, esm_class: int, default: DefaultAlphabet):
    found = read(data, coding, esm_class, default)
    assert (found.text is None) <= (found.raw == data)
    (found.text or "").encode()
    assert 1 <= found.number <= found.total


def piece(data: bytes, coding: int, number: int) -> Piece:
    found = read(bytes((5, 0, 3, 9, 2, number)) + data, coding, 0x40)
    return found.text, found.coding, found.raw


def test_characters_that_a_sender_cut_in_two_are_whole_again():
    assert joined([piece(b"a\x1b", 0, 1), piece(b"eb", 0, 2)]) == "a€b"
    assert joined([piece(b"\x00a\xd8\x3d", 8, 1), piece(b"\xde\x00\x00b", 8, 2)]) == "a😀b"
    assert joined([piece(b"\x05a", 0, 1), piece(b"\x00b", 8, 2)]) == "éab"
    assert joined([piece(b"a", 0, 1), piece(b"\xffb", 4, 2)]) is None
    assert joined([piece(b"\x00a\x00", 8, 1), piece(b"\x00b", 8, 2)]) == "a\ufffdb"
