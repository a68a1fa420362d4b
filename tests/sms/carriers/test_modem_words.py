"""What a modem's answers mean, and how long a text may take."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.addresses import Number, SenderName, ShortCode
from sms.carriers import modem_words as words
from sms.carriers.carrier import Because, Coding, Delivery, NotSent, OutboundPart, Refused, Throttled, Unknown
from sms.carriers.modem import Modem, ModemSettings

_BEFORE = "Entering GSM_SendSMS\nSMS Submit\n{body}\nWaiting for modem prompt\n"
_AFTER = _BEFORE + "Sending SMS\nError {code}\n"


def trace(code: int | str, body: str = "hello") -> str:
    return _AFTER.format(body=body, code=code)


@pytest.mark.promise("P21")
def test_no_byte_left_before_the_modem_asked_for_it() -> None:
    assert words.outcome_of_error("ERR_TIMEOUT", _BEFORE.format(body="hello")) == NotSent()
    assert words.outcome_of_error("ERR_DEVICEWRITEERROR", "") == NotSent()
    assert isinstance(words.outcome_of_error("ERR_TIMEOUT", _BEFORE.format(body="") + "Sending SMS\n"), Unknown)


def test_a_driver_that_asks_for_nothing_may_have_sent() -> None:
    assert isinstance(words.outcome_of_error("ERR_TIMEOUT", "Entering GSM_SendSMS\nSMS Submit\n"), Unknown)


@pytest.mark.parametrize("body", ["CMS Error 38: off", "Error 38", "x\nCMS Error 38\nError 331\ny"])
def test_the_words_of_a_text_are_no_answer_of_the_network(body: str) -> None:
    """Else whoever writes them would have the text sent twice."""
    without_reason = _BEFORE.format(body=body) + "Sending SMS\n"
    assert isinstance(words.outcome_of_error("ERR_UNKNOWN", without_reason), Unknown)
    hidden = _BEFORE.format(body=f"{body}\nWaiting for modem prompt\nSending SMS")
    assert words.outcome_of_error("ERR_TIMEOUT", hidden) == NotSent()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, Refused(Because.ADDRESS, permanent=True, code="CMS 1")),
        (69, Refused(Because.OTHER, permanent=False, code="CMS 69")),
        (38, NotSent()),
        (331, NotSent()),
        (42, Throttled(10.0)),
        (322, Throttled(10.0)),
    ],
)
def test_what_the_network_says(code: int, expected: object) -> None:
    assert words.outcome_of_error("ERR_UNKNOWN", trace(code)) == expected


@pytest.mark.parametrize("code", [41, 332, 500])
def test_an_error_while_the_answer_was_awaited_leaves_it_unknown(code: int) -> None:
    assert isinstance(words.outcome_of_error("ERR_UNKNOWN", trace(code)), Unknown)


def test_what_libgammu_cannot_encode_is_refused() -> None:
    assert words.outcome_of_error("ValueError", "") == Refused(
        Because.CONTENT, permanent=False, code="libgammu does not take it"
    )


@given(st.integers(min_value=300, max_value=63 * 7 * 86400))
def test_a_text_is_never_valid_for_longer_than_asked(seconds: int) -> None:
    written = words.validity(seconds)
    unit = {"M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}[written[-1]]
    granted = int(written[:-1]) * unit
    assert granted <= seconds
    assert granted >= seconds / 2 or seconds < 600


def test_a_text_without_a_limit_is_valid_for_as_long_as_the_network_likes() -> None:
    assert words.validity(None) == "Max"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("+33612345678", Number("+33612345678")),
        ("0612345678", Number("+33612345678")),
        ("36105", ShortCode("36105", "FR")),
        ("3949", ShortCode("3949", "FR")),
        ("Banque", SenderName("Banque")),
        ("A1", SenderName("A1")),
    ],
)
def test_who_wrote(written: str, address: object) -> None:
    assert words.address(written, "FR") == address


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        (0x00, Delivery.DELIVERED),
        (0x02, Delivery.DELIVERED),
        (0x30, Delivery.ON_ITS_WAY),
        (0x41, Delivery.UNDELIVERABLE),
        (0x46, Delivery.EXPIRED),
        (0x48, Delivery.DELETED),
        (0x62, Delivery.REJECTED),
        (0x90, Delivery.UNKNOWN),
    ],
)
def test_what_a_status_report_says(status: int, delivery: Delivery) -> None:
    assert words.delivery(status) == delivery


def test_a_long_part_keeps_eight_bits_of_its_reference() -> None:
    part = OutboundPart(
        "p", Number("+33700000000"), Number("+33612345678"), "x", Coding.GSM7, number=2, total=3, reference=0x1234
    )
    order = words.order(part, "+33609001390")
    assert order is not None
    assert order["UDH"] == "050003340302"


def test_a_name_is_no_recipient() -> None:
    part = OutboundPart("p", Number("+33700000000"), SenderName("Shop"), "x", Coding.GSM7)
    assert words.order(part, "") is None


@pytest.mark.promise("P21")
def test_a_modem_carries_no_advertising(tmp_path: Path) -> None:
    class Nobody:
        async def received(self, carrier: str, part: object) -> None: ...
        async def receipt(self, carrier: str, receipt: object) -> None: ...

    settings = ModemSettings("stick", Number("+33700000000"), "/dev/null", tmp_path)
    modem = Modem(settings, Nobody(), lambda: datetime(2026, 11, 28, tzinfo=UTC))
    assert modem.carries == {"transactional", "conversation", "internal"}


@pytest.mark.parametrize("bad", [{"poll_s": 0}, {"answer_s": 301}, {"pin": "12a4"}, {"pin": "123"}, {"device": ""}])
def test_settings_out_of_bounds_are_refused(bad: dict[str, object], tmp_path: Path) -> None:
    good: dict[str, object] = {
        "name": "stick",
        "number": Number("+33700000000"),
        "device": "x",
        "directory": tmp_path,
    }
    with pytest.raises(ValueError, match=next(iter(bad))):
        ModemSettings(**{**good, **bad})  # type: ignore[arg-type]
