"""Receipts in the shapes in which centres write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.carriers import smpp_receipts as receipts
from sms.carriers.carrier import Delivery

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    ("text", "first", "delivery", "error", "done"),
    [
        (
            "id:0123456789 sub:001 dlvrd:001 submit date:2611281200 done date:2611281201 stat:DELIVRD err:000 text:hi",
            "0123456789", Delivery.DELIVERED, "", datetime(2026, 11, 28, 12, 1, tzinfo=PARIS),
        ),
        (
            "id:a1b2 sub:001 dlvrd:000 submit date:261128120000 done date:261128120130 stat:UNDELIV err:27 Text:",
            "a1b2", Delivery.UNDELIVERABLE, "27", datetime(2026, 11, 28, 12, 1, 30, tzinfo=PARIS),
        ),
        ("id:77 stat:expired", "77", Delivery.EXPIRED, "", None),
        ("ID:77 STAT:REJECTD ERR:0x0B  ", "77", Delivery.REJECTED, "0x0B", None),
        ("id:77 done date:20261128120130 stat:DELIVERED err: text:", "77", Delivery.DELIVERED, "",
         datetime(2026, 11, 28, 12, 1, 30, tzinfo=PARIS)),
        ("id: 77 submit_date:202611281201 done_date:202611281201 stat: ACCEPTD", "77", Delivery.ON_ITS_WAY, "",
         datetime(2026, 11, 28, 12, 1, tzinfo=PARIS)),
        ("id:77 done date:9999999999 stat:DELETED err:1\0", "77", Delivery.DELETED, "1", None),
        ("stat:ENROUTE id:6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff",
         Delivery.ON_ITS_WAY, "", None),
        ("id:77 stat:UNKNOWN err:000", "77", Delivery.UNKNOWN, "", None),
        ("id:77 stat:FAILED", "77", Delivery.UNDELIVERABLE, "", None),
        ("id:77", "77", Delivery.UNKNOWN, "", None),
    ],
)  # fmt: skip
def test_the_text_form(text: str, first: str, delivery: Delivery, error: str, done: datetime | None):
    report = receipts.read((), text, PARIS)
    assert (report.message_ids[0], report.delivery, report.error, report.done_at) == (first, delivery, error, done)


def test_what_somebody_wrote_is_not_read_as_a_field():
    report = receipts.read((), "id:5 stat:UNDELIV err:001 text:id:6 stat:DELIVRD err:000")
    assert (report.message_ids[0], report.delivery, report.error) == ("5", Delivery.UNDELIVERABLE, "001")


def test_parameters_come_before_the_text():
    tlvs = ((0x001E, b"abc\0"), (0x0427, b"\x05"), (0x0423, b"\x03\x00\x22"))
    report = receipts.read(tlvs, "id:99 stat:DELIVRD err:000")
    assert report.message_ids[0] == "abc"
    assert "99" in report.message_ids
    assert (report.delivery, report.error) == (Delivery.UNDELIVERABLE, "3:34")


def test_parameters_that_say_nothing_leave_it_to_the_text():
    report = receipts.read(((0x0427, b"\xff"), (0x0423, b"\x03")), "id:9 stat:DELIVRD err:000")
    assert (report.message_ids[0], report.delivery, report.error) == ("9", Delivery.DELIVERED, "")


def test_nothing_that_can_be_read_names_no_message():
    assert receipts.read((), "Votre message est bien parti") == receipts.Report((), Delivery.UNKNOWN)


@pytest.mark.parametrize(
    ("answered", "in_receipt"),
    [
        ("41394", "a1b2"), ("a1b2", "41394"), ("A1B2", "41394"), ("0000A1B2", "41394"), ("0000a1b2", "41394"),
        ("41394", "0000A1B2"), ("41394", "0000041394"), ("0000041394", "41394"), ("0000041394", "A1B2"),
        ("abc-1", "abc-1"), ("a1b2", "A1B2"), ("0", "00000000"),
    ],
)  # fmt: skip
def test_ids_meet_in_either_base(answered: str, in_receipt: str):
    assert answered in receipts.readings(in_receipt)
    assert receipts.readings(in_receipt)[0] == in_receipt


@given(st.integers(1, 2**63))
def test_ids_meet_whatever_the_number(number: int):
    assert str(number) in receipts.readings(f"{number:x}")
    assert f"{number:X}" in receipts.readings(str(number))


@given(st.text(max_size=300), st.lists(st.tuples(st.sampled_from([0x1E, 0x423, 0x427]), st.binary(max_size=70))))
def test_any_receipt_is_read(text: str, tlvs: list[tuple[int, bytes]]):
    report = receipts.read(tuple(tlvs), text)
    assert isinstance(report.delivery, Delivery)
    assert all(report.message_ids)


@pytest.mark.parametrize(
    ("esm_class", "tlvs", "is_one"),
    [(0x04, (), True), (0x44, (), True), (0x20, (), True), (0, (), False), (0x40, (), False), (0x08, (), False),
     (0, ((0x1E, b"1"),), True)],
)  # fmt: skip
def test_only_the_centre_says_what_is_a_receipt(esm_class: int, tlvs: tuple[tuple[int, bytes], ...], is_one: bool):
    assert receipts.is_receipt(esm_class, tlvs) is is_one


def test_dates_without_a_zone_are_in_that_of_the_centre():
    assert receipts.date("2607011200", PARIS) == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    assert receipts.date("2613011200", PARIS) is None
    assert receipts.date("²607011200", PARIS) is None
