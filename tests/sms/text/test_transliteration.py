"""Transliteration: what it changes it tells, and what the alphabet has it leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.text import alphabet
from sms.text.transliteration import Change, transliterate

FRENCH = "çêâîôûëïœŒÀÂÊÈÔÛŸ’‘“”«»…–— \u00a0\u202f°•"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("L’été, c’est « gratuit »…", "L'été, c'est \"gratuit\"..."),
        ("«\u00a0Ça va\u202f»", '"Ça va"'),
        ("Français, forêt, août, cœur, Noël", "Francais, foret, aout, coeur, Noël".replace("ë", "e")),
        ("À bientôt – l'équipe", "A bientot - l'équipe"),
        ("Salle n°12, 20\u00a0°C", "Salle no12, 20 degC"),
        ("10\u202f000\u00a0€", "10 000 €"),
        ("zéro\u200bespace\ufeff", "zéroespace"),
        ("e\u0301t\u00e9", "été"),
        ("½ m² ™", "1/2 m2 TM"),
        ("Łódź žluťoučký Þór", "Lódz zlutoucky Thór".replace("ó", "ò").replace("ò", "o")),
    ],
)
def test_as_people_would_write_it(before: str, after: str):
    text, changes = transliterate(before)
    assert text == after and alphabet.fits(text)
    assert all(change.before != change.after for change in changes)


@given(st.text(FRENCH + "abc éèàùÉÇ€"))
def test_french_always_fits_afterwards(text: str):
    assert alphabet.fits(transliterate(text)[0])


@given(st.text("".join(alphabet._SEPTETS)))
def test_what_the_alphabet_has_is_left_alone(text: str):
    assert transliterate(text) == (text, ())


@given(st.text())
def test_a_second_time_changes_nothing(text: str):
    once, _ = transliterate(text)
    assert transliterate(once)[0] == once


def test_it_tells_what_it_changed_each_once():
    assert transliterate("ça, ça et l’œuf 🙂")[1] == (Change("ç", "c"), Change("’", "'"), Change("œ", "oe"))


def test_what_has_no_likeness_stays():
    assert transliterate("Привет 🙂 你好") == ("Привет 🙂 你好", ())
