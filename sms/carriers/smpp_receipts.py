"""Delivery receipts as centres really write them: TLVs, and the text of SMPP 3.4 appendix B in all its shapes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from sms.carriers.carrier import Delivery
from sms.carriers.smpp_pdu import Tlvs, tlv

RECEIPTED_MESSAGE_ID, MESSAGE_STATE, NETWORK_ERROR_CODE = 0x001E, 0x0427, 0x0423
_KIND, _RECEIPT, _INTERMEDIATE = 0x3C, 0x04, 0x20  # of esm_class (§5.2.12)

# §5.2.28; 0 and 9 are of SMPP 5, and centres of 3.4 send them as well.
_STATES = {
    0: Delivery.ON_ITS_WAY,
    1: Delivery.ON_ITS_WAY,
    2: Delivery.DELIVERED,
    3: Delivery.EXPIRED,
    4: Delivery.DELETED,
    5: Delivery.UNDELIVERABLE,
    6: Delivery.ON_ITS_WAY,
    7: Delivery.UNKNOWN,
    8: Delivery.REJECTED,
    9: Delivery.UNDELIVERABLE,
}
# How the words begin: DELIVRD and DELIVERED, UNDELIV and UNDELIVERABLE are all seen.
_WORDS = (
    ("DELIV", Delivery.DELIVERED),
    ("UNDEL", Delivery.UNDELIVERABLE),
    ("FAIL", Delivery.UNDELIVERABLE),
    ("SKIP", Delivery.UNDELIVERABLE),
    ("EXPIR", Delivery.EXPIRED),
    ("DELET", Delivery.DELETED),
    ("REJEC", Delivery.REJECTED),
    ("ACCEP", Delivery.ON_ITS_WAY),
    ("ENROUT", Delivery.ON_ITS_WAY),
    ("SCHED", Delivery.ON_ITS_WAY),
    ("BUFFER", Delivery.ON_ITS_WAY),
)
_KEY = re.compile(r"(?:^|(?<=\s))(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)[ \t]?:", re.IGNORECASE)
_YEAR_DIGITS = {10: (2,), 12: (2, 4), 14: (4,)}  # by the length of the whole; of twelve the first that is a date


@dataclass(frozen=True, slots=True)
class Report:
    """What a receipt says. `message_ids`: the likeliest reading first; none: it cannot be told whose it is."""

    message_ids: tuple[str, ...]
    delivery: Delivery
    error: str = ""
    done_at: datetime | None = None


def is_receipt(esm_class: int, tlvs: Tlvs) -> bool:
    """Only what the centre itself marks is one: whoever texts "id:1 stat:DELIVRD" has written a text."""
    return esm_class & _KIND in (_RECEIPT, _INTERMEDIATE) or tlv(tlvs, RECEIPTED_MESSAGE_ID) is not None


def read(tlvs: Tlvs, text: str, zone: tzinfo = UTC) -> Report:
    """TLVs before text. `zone`: that of the centre's dates, which name none."""
    fields = _fields(text)
    named = (tlv(tlvs, RECEIPTED_MESSAGE_ID) or b"").rstrip(b"\0").decode("latin-1").strip()
    written = fields.get("id", "")
    ids = readings(named) + readings(written)
    return Report(
        message_ids=tuple(dict.fromkeys(ids)),
        delivery=_delivery(tlvs, fields.get("stat", "")),
        error=_error(tlvs, fields.get("err", "")),
        done_at=date(fields.get("donedate", ""), zone),
    )


def readings(message_id: str) -> tuple[str, ...]:
    """An id as it is, then as the same number written otherwise: without or with leading zeros, hexadecimal, decimal.

    Centres answer a submission in one base and write receipts in the other.
    """
    if not message_id:
        return ()
    found = [message_id, message_id.lstrip("0") or "0"]
    if re.fullmatch(r"[0-9]{1,20}", message_id):
        found += [message_id.lstrip("0").zfill(10), *_written(f"{int(message_id):x}")]
    if re.fullmatch(r"[0-9a-fA-F]{1,16}", message_id):
        number = str(int(message_id, 16))
        found += [number, number.zfill(10)]
        found += _written(message_id.lstrip("0") or "0")
    return tuple(dict.fromkeys(found))


def _written(digits: str) -> list[str]:
    """Hexadecimal digits in the cases and widths that are seen."""
    shapes = [digits, digits.zfill(8)]
    return [shape for each in shapes for shape in (each.lower(), each.upper())]


def _fields(text: str) -> dict[str, str]:
    """By key without its space. What stands after `text:` is somebody's words, and no key is looked for in them."""
    found: dict[str, str] = {}
    key, begins = "", 0
    for match in _KEY.finditer(text):
        if key:
            found.setdefault(key, text[begins : match.start()].strip(" \t\r\n\0"))
        key, begins = re.sub("[ _]", "", match[1].lower()), match.end()
        if key == "text":
            return found
    if key:
        found.setdefault(key, text[begins:].strip(" \t\r\n\0"))
    return {name: value.split()[0] if value else "" for name, value in found.items()}


def _delivery(tlvs: Tlvs, word: str) -> Delivery:
    state = tlv(tlvs, MESSAGE_STATE)
    if state is not None and len(state) == 1 and state[0] in _STATES:
        return _STATES[state[0]]
    upper = word.upper()
    return next((delivery for begins, delivery in _WORDS if upper.startswith(begins)), Delivery.UNKNOWN)


def _error(tlvs: Tlvs, written: str) -> str:
    code = tlv(tlvs, NETWORK_ERROR_CODE)
    if code is not None and len(code) == 3 and code[1:] != b"\0\0":
        return f"{code[0]}:{int.from_bytes(code[1:], 'big')}"
    return "" if not written.strip("0") else written[:16]


def date(written: str, zone: tzinfo) -> datetime | None:
    """YYMMDDhhmm, with seconds, with the century: what is a date. None: it is not."""
    if not (written.isascii() and written.isdigit()):
        return None
    for digits in _YEAR_DIGITS.get(len(written), ()):
        month, day, hour, minute, *second = [int(written[at : at + 2]) for at in range(digits, len(written), 2)]
        year = int(written[:digits]) + (2000 if digits == 2 else 0)
        try:
            return datetime(year, month, day, hour, minute, sum(second), tzinfo=zone)
        except ValueError:
            continue
    return None
