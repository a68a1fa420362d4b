"""What a modem says and what it means: between our parts and libgammu's. Pure.

libgammu's own words are dictionaries (python-gammu); the process that drives the modem passes them on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import phonenumbers

from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.carrier import (
    Because,
    Coding,
    Delivery,
    InboundPart,
    NotSent,
    OutboundPart,
    Receipt,
    Refused,
    Submitted,
    Throttled,
    Unknown,
)

Words = Mapping[str, Any]

_CODINGS: Final = {Coding.GSM7: "Default_No_Compression", Coding.UCS2: "Unicode_No_Compression"}
_BUSY_S: Final = 10.0  # a cell without room has it again in seconds
# What libgammu writes down just before the first byte of a text goes to the modem, and before that.
_BEGUN: Final = "Entering GSM_SendSMS"
_ASKED: Final = "Waiting for modem prompt"
_LEAVES: Final = "Sending SMS"
_CMS_ERROR: Final = re.compile(r"^(?:CMS Error (\d+)|Error (\d+)$)", re.MULTILINE)
# +CMS ERROR: 1 to 127 are causes of the network (3GPP 24.011 annex E-2), 128 to 255 of the SMSC (23.040 §9.2.3.22),
# 300 and above of the modem (27.005 §3.2.5).
_REFUSALS: Final = {
    1: Refused(Because.ADDRESS, permanent=True),
    8: Refused(Because.OTHER, permanent=False),  # barred by the operator: another way may be open
    10: Refused(Because.OTHER, permanent=False),  # this SIM is barred
    21: Refused(Because.OTHER, permanent=False),
    27: Refused(Because.TEMPORARY, permanent=False),
    28: Refused(Because.ADDRESS, permanent=True),
    29: Refused(Because.OTHER, permanent=False),
    30: Refused(Because.OTHER, permanent=False),
    50: Refused(Because.SENDER, permanent=False),
    302: Refused(Because.OTHER, permanent=False),
    304: Refused(Because.CONTENT, permanent=False),
    305: Refused(Because.CONTENT, permanent=False),
}
_NOT_READY: Final = frozenset({38, 310, 311, 312, 313, 315, 316, 317, 318, 330, 331, 515})
_FULL_UP: Final = frozenset({42, 47, 314, 322})
_NOBODY_KNOWS: Final = frozenset({41, 332, 500})  # given up while waiting for the network's answer


def order(part: OutboundPart, service_centre: str) -> dict[str, Any] | None:
    """What the process is told to send. None: nothing of a telephone's has such an address.

    In a part of a long text the reference has 8 bits, whatever ours has: room was counted for that.
    """
    match part.recipient:
        case Number(e164):
            to = e164
        case ShortCode(digits, _country):
            to = digits
        case _:
            return None
    words: dict[str, Any] = {
        "Number": to,
        "Text": part.text,
        "Coding": _CODINGS[part.coding],
        "Type": "Status_Report" if part.wants_receipt else "Submit",
        "SMSC": {"Location": 0, "Number": service_centre, "Validity": validity(part.validity_s)},
    }
    if part.total > 1:
        words["UDH"] = bytes([5, 0, 3, part.reference & 0xFF, part.total, part.number]).hex()
    return words


def validity(seconds: int | None) -> str:
    """As libgammu writes a relative validity (23.040 §9.2.3.12.1), never longer than asked, at least five minutes."""
    if seconds is None:
        return "Max"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days >= 35:
        return f"{min(days // 7, 63)}W"
    if days >= 2:
        return f"{min(days, 30)}D"
    if hours >= 13:
        return f"{min(hours, 24)}H"
    return f"{max(5, minutes - minutes % 5)}M" if hours < 12 else "12H"


def outcome_of_error(error: str, trace: str) -> Submitted:
    """`error`: libgammu's name for it, such as ERR_TIMEOUT. `trace`: what it wrote down of this sending."""
    if error == "ValueError":
        return Refused(Because.CONTENT, permanent=False, code="libgammu does not take it")
    if not left(trace):
        return NotSent()
    codes = [int(one or other) for one, other in _CMS_ERROR.findall(trace.rpartition(_ASKED)[2])]
    if not codes:
        return Unknown(f"the modem gave no reason ({error})")
    code = codes[-1]
    if code in _NOBODY_KNOWS:
        return Unknown(f"+CMS ERROR: {code}")
    if code in _NOT_READY:
        return NotSent()
    if code in _FULL_UP:
        return Throttled(_BUSY_S)
    known = _REFUSALS.get(code, Refused(Because.OTHER, permanent=False))
    return Refused(known.because, known.permanent, f"CMS {code}")


def left(trace: str) -> bool:
    """Whether a byte of a text may have gone to the modem, by what libgammu wrote down before it let it go.

    The words of the text stand there too, always before the modem is asked: only what comes after is believed.
    Drivers that ask for no prompt write neither line: then it may have.
    """
    _before, asked, after = trace.rpartition(_ASKED)
    return _LEAVES in after if asked else _BEGUN in trace


def inbound(words: Words, *, slot: str, link: str, recipient: Address, country: str) -> InboundPart:
    """A text that lies in `slot`. Its delivery: the slot and the network's clock, for it is read again until we say so.

    libgammu reads half of a surrogate pair as a replacement character: telephones that cut pairs in two lose them.
    """
    udh, at = words["UDH"], _time(words["DateTime"])
    coded = next((coding for coding, name in _CODINGS.items() if words["Coding"] == name), None)
    long = udh["Type"] in ("ConcatenatedMessages", "ConcatenatedMessages16bit")
    wide = udh["ID16bit"] if udh["Type"] == "ConcatenatedMessages16bit" else -1
    body = words["Text"]
    return InboundPart(
        sender=address(words["Number"], country),
        recipient=recipient,
        # An extended character counts two septets; libgammu fills up with zeros.
        text=body.rstrip("\0") if coded is not None else None,
        delivery=f"{slot}@{at.isoformat() if at else ''}",
        link=link,
        coding=coded,
        raw=b"" if coded is not None else bytes.fromhex(body),
        number=udh["PartNumber"] if long else 1,
        total=udh["AllParts"] if long else 1,
        reference=(wide if wide >= 0 else udh["ID8bit"]) if long else None,
        sent_at=at,
    )


def receipt(words: Words, country: str) -> Receipt:
    """A status report. Its reference has eight bits: only with the recipient does it say which text is meant."""
    status = int(words["DeliveryStatus"])
    return Receipt(
        message_ids=(str(words["MessageReference"]),),
        delivery=delivery(status),
        error=f"TP-ST {status:02x}",
        done_at=_time(words.get("SMSCDateTime")),
        recipient=address(words["Number"], country),
    )


def delivery(status: int) -> Delivery:
    """TP-Status (23.040 §9.2.3.15)."""
    if status <= 0x02:
        return Delivery.DELIVERED
    if 0x20 <= status <= 0x3F:
        return Delivery.ON_ITS_WAY
    if status == 0x46:
        return Delivery.EXPIRED
    if status in (0x47, 0x48):
        return Delivery.DELETED
    if status in (0x42, 0x52, 0x62):
        return Delivery.REJECTED
    if 0x40 <= status <= 0x7F:
        return Delivery.UNDELIVERABLE
    return Delivery.UNKNOWN


def address(written: str, country: str) -> Address:
    """Who wrote, as the network wrote it: international, national in `country` (ISO 3166), a short code, a name."""
    if written.startswith("+") and written[1:].isdigit():
        return Number(written)
    if not written.isdigit():
        return SenderName(written)
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return ShortCode(written, country)
    if len(written) > 8 or phonenumbers.is_valid_number(number):
        return Number(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return ShortCode(written, country)


def is_receipt(words: Words) -> bool:
    return bool(words["Type"] == "Status_Report")


def _time(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
