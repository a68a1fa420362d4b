"""One reading of a text that came in, of all that is known about words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.reading import Reading
from sms.words.reader import read


@pytest.mark.promise("1.3", "1.13", "1.14", "L17")
@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("STOP svp", Reading("stop", rule="stop: alone:stop")),
        ("Ok pour demain", Reading()),
        ("Ne m'appelez plus", Reading("stop", calls_too=True, rule="stop: fr-calls")),
        (
            "effacez mon numéro",
            Reading("stop", True, "", ("erasure",), rule="stop: fr-erase; rights: erasure-fr"),
        ),
        ("ce n'est plus mon adresse", Reading(requests=("rectification",), rule="correction: not-me-fr")),
        ("4532015112830366", Reading(aside="sensitive", rule="sensitive: card")),
        ("bande de connards, stop", Reading("stop", aside="unwanted", rule="stop: clause:stop; unwanted: insult-fr")),
        ("Réponse automatique : absent", Reading(machine=True, rule="machine: automatic")),
        ("Annuler mon rdv", Reading("ambiguous", rule="ambiguous: doubtful")),
        ("Qui êtes-vous ?", Reading("help", rule="help: help")),
        ("start", Reading("start", rule="start: start")),
    ],
)
def test_a_reading(text: str, reading: Reading):
    assert read(text) == reading


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("Je veux une copie de mes données", "access"), ("what do you know about me", "access"),
        ("droit à l'oubli", "erasure"), ("please delete my data", "erasure"),
        ("je m'oppose à la prospection", "objection"),
        ("I withdraw my consent", "objection"),
        ("changez mon adresse", "rectification"), ("wrong name", "rectification"),
    ],
)  # fmt: skip
def test_which_right_it_is(text: str, request_: str):
    assert request_ in read(text).requests


def test_what_a_machine_wrote_is_never_answered():
    assert read("Réponse automatique : qui êtes-vous ?").stop == "none"
    assert read("Message automatique : STOP").stop == "stop"


@given(st.text(max_size=200))
def test_whatever_comes_is_read(text: str):
    read(text)
