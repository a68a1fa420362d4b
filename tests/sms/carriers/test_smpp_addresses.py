"""Who sent it and to whom: a short code never becomes a number, and a national number does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.smpp_addresses import of_place, to_place
from sms.carriers.smpp_pdu import Place


@pytest.mark.parametrize(
    ("ton", "npi", "written", "country", "address"),
    [
        (1, 1, "33612345678", "FR", Number("+33612345678")),
        (1, 1, "+33612345678", "FR", Number("+33612345678")),
        (1, 1, "0033612345678", "FR", Number("+33612345678")),
        (1, 1, "0612345678", "FR", Number("+33612345678")),
        (0, 1, "+447911123456", "FR", Number("+447911123456")),
        (0, 0, "33612345678", "FR", Number("+33612345678")),
        (0, 0, "0612345678", "FR", Number("+33612345678")),
        (0, 1, "447911123456", "FR", Number("+447911123456")),
        (2, 1, "612345678", "FR", Number("+33612345678")),
        (2, 1, "0612345678", "FR", Number("+33612345678")),
        (2, 1, "692123456", "FR", Number("+262692123456")),
        (0, 1, "0692123456", "RE", Number("+262692123456")),
        (2, 1, "07911123456", "GB", Number("+447911123456")),
        (0, 0, "36105", "FR", ShortCode("36105", "FR")),
        (1, 1, "36105", "FR", ShortCode("36105", "FR")),
        (2, 1, "36105", "FR", ShortCode("36105", "FR")),
        (3, 0, "38123", "FR", ShortCode("38123", "FR")),
        (6, 0, "33700", "BE", ShortCode("33700", "BE")),
        (0, 0, "12345678", "FR", ShortCode("12345678", "FR")),
        (5, 0, "ASSO", "FR", SenderName("ASSO")),
        (5, 0, "36105", "FR", SenderName("36105")),
        (0, 0, "Asso 12", "FR", SenderName("Asso 12")),
        (0, 0, "", "FR", SenderName("")),
        (1, 1, "1234567890123456789", "FR", SenderName("1234567890123456789")),
    ],
)
def test_what_a_centre_writes(ton: int, npi: int, written: str, country: str, address: Address):
    assert of_place(Place(ton, npi, written), country) == address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (Number("+33612345678"), Place(1, 1, "33612345678")),
        (ShortCode("36105", "FR"), Place(3, 0, "36105")),
        (SenderName("ASSO"), Place(5, 0, "ASSO")),
    ],
)
def test_what_a_centre_is_told(address: Address, place: Place):
    assert to_place(address) == place
    assert of_place(place, "FR") == address


def test_some_centres_want_short_codes_otherwise():
    assert to_place(ShortCode("36105", "FR"), 0, 1) == Place(0, 1, "36105")


@given(st.integers(0, 255), st.text(st.characters(max_codepoint=255), max_size=20), st.sampled_from(["FR", "RE", "US"]))
def test_any_address_is_something(ton: int, written: str, country: str):
    assert isinstance(of_place(Place(ton, 0, written), country), Address)


@given(st.integers(0, 6), st.from_regex(r"\A[0-9]{3,6}\Z"))
def test_a_few_digits_are_never_a_number(ton: int, digits: str):
    assert not isinstance(of_place(Place(ton, 0, digits), "FR"), Number)
