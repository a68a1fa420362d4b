"""The GSM alphabet against the standard's table and against an independent codec."""

from __future__ import annotations

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from sms.text import alphabet
from sms.text.alphabet import NotInAlphabetError

ALL = "".join(alphabet._SEPTETS)


def test_every_character_is_what_the_standard_says_at_the_ends_of_the_table():
    table = {"@": "00", "_": "11", " ": "20", "A": "41", "à": "7f", "€": "1b65", "[": "1b3c", "\f": "1b0a", "Ç": "09"}
    for character, septets in table.items():
        assert alphabet.encode(character).hex() == septets
    assert len(ALL) == 127 + 10


@given(st.text(ALL))
def test_what_goes_in_comes_out(text: str):
    data = alphabet.encode(text)
    assert alphabet.decode(data) == text
    assert alphabet.septets(text) == len(data) and max(data, default=0) < 0x80


@given(st.text(ALL, min_size=1))
def test_another_codec_writes_the_same(text: str):
    assert smsutil.encode(text) == alphabet.encode(text)


@given(st.binary())
def test_whatever_a_network_brings_is_read(data: bytes):
    assert alphabet.fits(alphabet.decode(data))


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"a\x1b", "a "), (b"\x1b\x1bA", " A"), (b"\x1bA", "A"), (b"\x1b\x00", "@"), (b"\xe1", "a"), (b"", "")],
)
def test_escapes_that_mean_nothing(data: bytes, text: str):
    assert alphabet.decode(data) == text


@given(st.text())
def test_what_does_not_fit_is_named_with_its_place(text: str):
    strange = [(place, c) for place, c in enumerate(text) if c not in ALL]
    assert alphabet.fits(text) is (not strange)
    assert alphabet.strangers(text) == tuple(dict.fromkeys(c for _, c in strange))
    if strange:
        with pytest.raises(NotInAlphabetError) as caught:
            alphabet.encode(text)
        assert (caught.value.place, caught.value.character) == strange[0]


def test_the_traps_of_french():
    assert alphabet.fits("éèàùìòÉÇñüöäß€") and alphabet.strangers("çêâîôûëïœ’«»…°ÀÈÊ—") == tuple("çêâîôûëïœ’«»…°ÀÈÊ—")
