"""Recipients and senders as people and spreadsheets write them."""

from __future__ import annotations

import pytest

from config import emergency
from sms.address_rules import AddressError, Reason, is_mobile, recipient, sender
from sms.addresses import Number, SenderName, ShortCode, as_text, of_text


@pytest.mark.parametrize(
    ("written", "country", "e164"),
    [
        ("06 12 34 56 78", "FR", "+33612345678"), ("+33 6 12.34.56.78", "FR", "+33612345678"),
        ("0033612345678", "FR", "+33612345678"), ("+33 (0)6 12 34 56 78", "FR", "+33612345678"),
        ("tel:+33-6-12-34-56-78", "FR", "+33612345678"), ("612345678", "FR", "+33612345678"),
        ("33612345678", "FR", "+33612345678"), ("\u200e06\u00a012\u00a034\u00a056\u00a078\u202c", "FR", "+33612345678"),
        ("０６１２３４５６７８", "FR", "+33612345678"), ("0692 12 34 56", "FR", "+262692123456"),
        ("+33692123456", "FR", "+262692123456"), ("0690123456", "FR", "+590690123456"),
        ("0694201234", "FR", "+594694201234"), ("0696201234", "FR", "+596696201234"),
        ("0639012345", "FR", "+262639012345"), ("0612345678", "RE", "+33612345678"),
        ("0692123456", "RE", "+262692123456"), ("+44 7400 123456", "FR", "+447400123456"),
        ("0151 23456789", "DE", "+4915123456789"), ("(202) 555-0143", "US", "+12025550143"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_it_is_written(written: str, country: str, e164: str):
    assert recipient(written, country) == Number(e164)


def test_other_regions_are_tried_where_no_own_number_fits():
    with pytest.raises(AddressError):
        recipient("0471 12 34 56", "LU")
    assert recipient("0471 12 34 56", "LU", regions=["BE"]) == Number("+32471123456")


def test_a_number_that_several_regions_have_is_not_guessed():
    with pytest.raises(AddressError) as caught:
        recipient("0612345678", "US", regions=["FR", "NL"])
    assert caught.value.reason is Reason.SEVERAL


@pytest.mark.parametrize("code", ["36105", "38123", "36180", "33700"])
def test_a_short_code_stays_one(code: str):
    assert recipient(code, "FR") == ShortCode(code, "FR")
    assert recipient(code, "RE") == ShortCode(code, "FR")
    assert of_text(as_text(recipient(code, "FR"))) == ShortCode(code, "FR")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", Reason.EMPTY), ("  ", Reason.EMPTY), ("Dupont", Reason.NO_NUMBER),
        ("0612 34 56 78 ou 07", Reason.NO_NUMBER),
        ("6.12E8", Reason.NO_NUMBER), ("0612345678,0712345678", Reason.NO_NUMBER),
        ("061234567", Reason.NOT_IN_PLAN), ("06123456789", Reason.NOT_IN_PLAN), ("0000000000", Reason.NOT_IN_PLAN),
        ("+3336105", Reason.NOT_IN_PLAN), ("12345", Reason.NOT_IN_PLAN), ("0899123456", Reason.PREMIUM),
        ("+1 555 01", Reason.NOT_IN_PLAN), ("1-800-FLOWERS", Reason.NO_NUMBER),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_and_not_repeated(written: str, reason: Reason):
    with pytest.raises(AddressError) as caught:
        recipient(written, "FR")
    assert caught.value.reason is reason
    assert not written.strip() or written not in str(caught.value)


@pytest.mark.parametrize("country", sorted(emergency.load().countries))
def test_an_emergency_service_is_never_a_recipient(country: str):
    for number in emergency.load().of(country):
        with pytest.raises(AddressError) as caught:
            recipient(number, country)
        assert caught.value.reason is Reason.EMERGENCY


@pytest.mark.parametrize("written", ["1 1 2", "+33112", "0033 15", "+33 114", "112", "911"])
def test_nor_however_it_is_written(written: str):
    with pytest.raises(AddressError) as caught:
        recipient(written, "FR")
    assert caught.value.reason is Reason.EMERGENCY


def test_which_numbers_texts_reach():
    assert is_mobile(Number("+33612345678")) and is_mobile(Number("+12025550143"))
    assert not is_mobile(Number("+33142345678"))


# --- senders ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("1.5")
@pytest.mark.parametrize("name", ["Beffroi", "MAISON24", "Dupont", "abc", "Boulangerie", "4Saisons"])
def test_a_name_of_a_sender(name: str):
    assert sender(name, "FR") == SenderName(name) == sender(name, "RE")


@pytest.mark.promise("1.5", "1.21")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", Reason.EMPTY), ("ab", Reason.NAME_LENGTH), ("Boulangeries", Reason.NAME_LENGTH),
        ("Chez Paul", Reason.NAME_SHAPE), ("Café", Reason.NAME_SHAPE), ("A&B", Reason.NAME_SHAPE),
        ("Mon-Shop", Reason.NAME_SHAPE), ("Вeffroi", Reason.NAME_SHAPE), ("RDV", Reason.NAME_GENERIC),
        ("Alert", Reason.NAME_GENERIC), ("rdv24", Reason.NAME_GENERIC), ("BankAlert", Reason.NAME_GENERIC),
        ("InfoColis", Reason.NAME_GENERIC), ("AL3RT", Reason.NAME_GENERIC), ("Ameli", Reason.NAME_PROTECTED),
        ("AMEL1", Reason.NAME_PROTECTED), ("N26", Reason.NAME_PROTECTED), ("LaP0ste", Reason.NAME_PROTECTED),
    ],
)  # fmt: skip
def test_a_name_that_operators_refuse(name: str, reason: Reason):
    with pytest.raises(AddressError) as caught:
        sender(name, "FR")
    assert caught.value.reason is reason


def test_what_the_company_adds_and_what_it_is_authorised_to_use():
    with pytest.raises(AddressError):
        sender("Concurrent", "FR", protected=["CONCURRENT"])
    assert sender("Ameli", "FR", authorised=["ameli"]) == SenderName("Ameli")
    assert sender("RDV", "FR", authorised=["rdv"]) == SenderName("RDV")


def test_a_sender_may_be_a_number_or_a_short_code():
    assert sender("36105", "FR") == ShortCode("36105", "FR")
    assert sender("09 72 39 40 50", "FR") == Number("+33972394050")
    with pytest.raises(AddressError):
        sender("123456", "FR")
    with pytest.raises(AddressError):
        sender("17", "FR")


def test_elsewhere_the_standard_holds():
    assert sender("Chez Paul", "GB") == SenderName("Chez Paul")
    with pytest.raises(AddressError):
        sender("Chez Paul & Co", "GB")
