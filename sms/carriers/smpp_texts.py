"""One part of a text from and to what stands in a packet: alphabets, user data headers, SAR, message_payload. Pure.

Parts of GSM text are unpacked septets, an octet each, as SMPP has them; what is packed is never guessed at.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from sms.carriers.carrier import Coding, OutboundPart
from sms.carriers.smpp_pdu import Data, Message, Tlvs, tlv
from sms.text import alphabet

SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER, PAYLOAD = 0x020C, 0x020E, 0x020F, 0x0424
UDH_FLAG = 0x40  # of esm_class
_CONCATENATION_8, _CONCATENATION_16 = 0x00, 0x08  # information elements (TS 23.040 §9.2.3.24)
_KNOWN_ELEMENTS = frozenset({_CONCATENATION_8, _CONCATENATION_16, 0x01, 0x06, 0x07, 0x0A, 0x16})
_OCTETS = 140  # of user data in a segment: 160 septets
_ASCII, _LATIN1, _UCS2 = 1, 3, 8
_GSM_CLASSES = range(0xF0, 0xF4)  # GSM's own groups with a class: the default alphabet


class LongTexts(enum.StrEnum):
    """How parts say that they belong together. UDH is what every network knows."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"

    @property
    def wide_reference(self) -> bool:
        """Whether the header takes an octet more, so that texts have to be cut shorter (sms.text.segments.plan)."""
        return self is LongTexts.UDH16


class DefaultAlphabet(enum.StrEnum):
    """What data_coding 0 means to a centre; each decides for itself (§5.2.19)."""

    GSM = "gsm"
    LATIN1 = "latin1"


class NotCarriedError(ValueError):
    """This part cannot be said to this centre."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A part as fields of submit_sm. `esm_class`: the flag of a user data header, or 0."""

    short_message: bytes = field(repr=False)
    data_coding: int
    esm_class: int = 0
    tlvs: Tlvs = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Read:
    """What stood in a packet. `text` None: it is no text, and `raw` is all of it, the user data header included.

    Of a part of a longer text `raw` is what the text was read from (septets, UTF-16): `sms.text.joining` needs it where
    a sender has cut a character in two.
    """

    text: str | None = field(repr=False)
    coding: Coding | None
    raw: bytes = field(default=b"", repr=False)
    number: int = 1
    total: int = 1
    reference: int | None = None


def pack(part: OutboundPart, long_texts: LongTexts, default: DefaultAlphabet = DefaultAlphabet.GSM) -> Packed:
    """Raises NotCarriedError where the centre's alphabet lacks a character, or the part is more than it takes.

    By message_payload a whole text may be one part, of any length: the centre cuts it.
    """
    data, coding = _encoded(part, default)
    header = b""
    tlvs: Tlvs = ()
    if part.total > 1:
        if long_texts is LongTexts.SAR:
            tlvs = _sar(part)
        else:
            header = _header(part, long_texts)
    flag = UDH_FLAG if header else 0
    if long_texts is LongTexts.PAYLOAD:
        if len(header + data) > 0xFFFF:
            raise NotCarriedError("longer than a packet")
        return Packed(b"", coding, flag, ((PAYLOAD, header + data),))
    room = _OCTETS if part.coding is Coding.UCS2 else 160
    taken = len(data) + (len(header) if part.coding is Coding.UCS2 else -(-len(header) * 8 // 7))
    if taken > room:
        raise NotCarriedError("longer than a segment")
    return Packed(header + data, coding, flag, tlvs)


def _encoded(part: OutboundPart, default: DefaultAlphabet) -> tuple[bytes, int]:
    try:
        if part.coding is Coding.UCS2:
            return part.text.encode("utf-16-be"), _UCS2
        if default is DefaultAlphabet.LATIN1:
            return part.text.encode("latin-1"), 0
        return alphabet.encode(part.text), 0
    except (UnicodeEncodeError, alphabet.NotInAlphabetError):
        raise NotCarriedError("a character that the alphabet lacks") from None


def _header(part: OutboundPart, long_texts: LongTexts) -> bytes:
    if part.total > 255:
        raise NotCarriedError("more than 255 parts")
    reference = divmod(part.reference & 0xFFFF, 256)
    if long_texts.wide_reference:
        return bytes((6, _CONCATENATION_16, 4, *reference, part.total, part.number))
    return bytes((5, _CONCATENATION_8, 3, reference[1], part.total, part.number))


def _sar(part: OutboundPart) -> Tlvs:
    if part.total > 255:
        raise NotCarriedError("more than 255 parts")
    return (
        (SAR_REFERENCE, part.reference.to_bytes(2, "big")),
        (SAR_TOTAL, bytes((part.total,))),
        (SAR_NUMBER, bytes((part.number,))),
    )


# --- back -------------------------------------------------------------------------------------------------------------


def unpack(body: Message | Data, default: DefaultAlphabet = DefaultAlphabet.GSM) -> Read:
    """Never fails: what is no text comes as it is."""
    whole = body.short_message if isinstance(body, Message) else b""
    whole = whole or tlv(body.tlvs, PAYLOAD) or b""
    data, place = whole, None
    if body.esm_class & UDH_FLAG:
        split = _split(whole)
        if split is None:
            return Read(None, None, whole)
        elements, data = split
        if not elements.keys() <= _KNOWN_ELEMENTS:  # ports, national tables: read as text it would be something else
            return _at(Read(None, None, whole), _concatenation(elements))
        place = _concatenation(elements)
    place = place or _sar_place(body.tlvs)
    text, coding = _decoded(data, body.data_coding, default)
    if text is None:
        return _at(Read(None, None, whole), place)
    return _at(Read(text, coding, data if place else b""), place)


def _at(read: Read, place: tuple[int, int, int] | None) -> Read:
    if place is None:
        return read
    reference, total, number = place
    return Read(read.text, read.coding, read.raw, number, total, reference)


def _decoded(data: bytes, data_coding: int, default: DefaultAlphabet) -> tuple[str | None, Coding | None]:
    if data_coding == _UCS2:
        return data.decode("utf-16-be", "replace"), Coding.UCS2
    if data_coding == _LATIN1 or (data_coding == 0 and default is DefaultAlphabet.LATIN1):
        return data.decode("latin-1"), None
    if any(octet & 0x80 for octet in data):  # neither ASCII nor an unpacked septet: packed, or something else
        return None, None
    if data_coding == _ASCII:
        return data.decode("ascii"), None
    if data_coding == 0 or data_coding in _GSM_CLASSES:
        return alphabet.decode(data), Coding.GSM7
    return None, None


def _split(whole: bytes) -> tuple[dict[int, bytes], bytes] | None:
    """The elements of a user data header, and what follows it. None: it is none."""
    if not whole or whole[0] + 1 > len(whole):
        return None
    header, rest = whole[1 : whole[0] + 1], whole[whole[0] + 1 :]
    elements: dict[int, bytes] = {}
    while header:
        if len(header) < 2 or len(header) < 2 + header[1]:
            return None
        elements[header[0]] = header[2 : 2 + header[1]]
        header = header[2 + header[1] :]
    return elements, rest


def _concatenation(elements: dict[int, bytes]) -> tuple[int, int, int] | None:
    """(reference, total, number); the 16-bit one if both are there."""
    for element, size in ((_CONCATENATION_16, 4), (_CONCATENATION_8, 3)):
        value = elements.get(element)
        if value is not None and len(value) == size:
            return _sensible(int.from_bytes(value[:-2], "big"), value[-2], value[-1])
    return None


def _sar_place(tlvs: Tlvs) -> tuple[int, int, int] | None:
    found = (tlv(tlvs, SAR_REFERENCE), tlv(tlvs, SAR_TOTAL), tlv(tlvs, SAR_NUMBER))
    reference, total, number = (int.from_bytes(value, "big") if value else -1 for value in found)
    return None if reference < 0 else _sensible(reference & 0xFFFF, total, number)


def _sensible(reference: int, total: int, number: int) -> tuple[int, int, int] | None:
    """A part of one, or beyond the last, belongs to nothing (TS 23.040 §9.2.3.24.1): the text stands alone."""
    return (reference, total, number) if 1 <= number <= total and 1 < total <= 255 else None
