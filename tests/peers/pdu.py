"""PDUs of a GSM modem (3GPP 23.040 §9.2), written without libgammu: made and read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = {"\f": 10, "^": 20, "{": 40, "}": 41, "\\": 47, "[": 60, "~": 61, "]": 62, "|": 64, "€": 101}


@dataclass(frozen=True)
class Submit:
    """What a telephone gave to the network."""

    number: str
    text: str
    ucs2: bool
    udh: bytes
    wants_receipt: bool
    validity: int | None

    @staticmethod
    def of(pdu: str) -> Submit:
        raw = bytes.fromhex(pdu)
        at = 1 + raw[0]
        first = raw[at]
        assert first & 3 == 1, "no SMS-SUBMIT"
        number, at = _address(raw, at + 2)
        dcs, at = raw[at + 1], at + 2
        has_validity = first >> 3 & 3 == 2
        validity = raw[at] if has_validity else None
        at += 1 if has_validity else 0
        text, udh = _user_data(raw[at + 1 :], raw[at], dcs, bool(first & 0x40))
        return Submit(number, text, dcs == 8, udh, bool(first & 0x20), validity)


def deliver(sender: str, text: str, at: datetime, *, ucs2: bool = False, udh: bytes = b"", binary: bytes = b"") -> str:
    """SMS-DELIVER with the SMSC in front, as in answers to AT+CMGL. `sender`: +..., digits, or letters."""
    first = 0x04 | (0x40 if udh else 0)
    dcs = 4 if binary else 8 if ucs2 else 0
    if binary or ucs2:
        body = udh + (binary or text.encode("utf-16-be", "surrogatepass"))
        length = len(body)
    else:
        septets = _septets(text)
        fill = (-len(udh) * 8) % 7
        length = (len(udh) * 8 + fill) // 7 + len(septets)
        body = udh + _pack(septets, fill)
    tpdu = bytes([first]) + _as_address(sender) + bytes([0, dcs]) + _stamp(at) + bytes([length]) + body
    return (_SMSC + tpdu).hex().upper()


def of_submit(pdu: str, sender: str, at: datetime) -> str:
    """What the network makes of it for the other telephone."""
    sent = Submit.of(pdu)
    return deliver(sender, sent.text, at, ucs2=sent.ucs2, udh=sent.udh)


def status_report(reference: int, recipient: str, at: datetime, status: int) -> str:
    tpdu = bytes([0x06, reference]) + _as_address(recipient) + _stamp(at) + _stamp(at) + bytes([status])
    return (_SMSC + tpdu).hex().upper()


def tpdu_length(pdu: str) -> int:
    """As AT+CMGL and +CDS write it: octets without the SMSC."""
    return len(pdu) // 2 - 1 - int(pdu[:2], 16)


def _swapped(digits: str) -> bytes:
    even = digits + "F" * (len(digits) % 2)
    return bytes.fromhex("".join(b + a for a, b in zip(even[::2], even[1::2], strict=True)))


_SMSC = bytes([7, 0x91]) + _swapped("33609001390")


def _as_address(address: str) -> bytes:
    if address.startswith("+"):
        return bytes([len(address) - 1, 0x91]) + _swapped(address[1:])
    if address.isdigit():
        return bytes([len(address), 0x81]) + _swapped(address)
    packed = _pack(_septets(address), 0)
    return bytes([(len(address) * 7 + 3) // 4, 0xD0]) + packed


def _address(raw: bytes, at: int) -> tuple[str, int]:
    digits, kind = raw[at], raw[at + 1]
    octets = (digits + 1) // 2
    swapped = "".join(f"{octet:02X}"[::-1] for octet in raw[at + 2 : at + 2 + octets])[:digits]
    return ("+" if kind == 0x91 else "") + swapped, at + 2 + octets


def _stamp(at: datetime) -> bytes:
    offset = at.utcoffset()
    assert offset is not None
    quarters = round(offset.total_seconds() / 900)
    fields = [at.year % 100, at.month, at.day, at.hour, at.minute, at.second, abs(quarters)]
    stamp = bytearray(_swapped("".join(f"{field:02d}" for field in fields)))
    stamp[6] |= 0x08 if quarters < 0 else 0
    return bytes(stamp)


def _septets(text: str) -> list[int]:
    found: list[int] = []
    for character in text:
        found += [0x1B, _EXTENDED[character]] if character in _EXTENDED else [_BASIC.index(character)]
    return found


def _pack(septets: list[int], fill: int) -> bytes:
    bits, whole = fill, 0
    for septet in septets:
        whole |= septet << bits
        bits += 7
    return whole.to_bytes((bits + 7) // 8, "little")


def _user_data(data: bytes, length: int, dcs: int, has_udh: bool) -> tuple[str, bytes]:
    udh = data[: data[0] + 1] if has_udh else b""
    if dcs == 8:
        return data[len(udh) : length].decode("utf-16-be"), udh
    skip = (len(udh) * 8 + 6) // 7
    whole = int.from_bytes(data, "little")
    septets = [whole >> 7 * i & 0x7F for i in range(skip, length)]
    back = {value: character for character, value in _EXTENDED.items()}
    text = "".join(
        back[septet] if before == 0x1B else "" if septet == 0x1B else _BASIC[septet]
        for before, septet in pairwise([0, *septets])
    )
    return text, udh
