"""STOP in the words that people use: hundreds of phrasings that are one, and hundreds that are not.

Five lists in `tests/vectors/texts`. `stop.tsv` is what the rules were written with; `stop_held_out.tsv`, every third
phrasing of the same list, was put aside before there was a rule. `stop_afterwards.tsv` and `stop_last.tsv` were
written when the rules stood, on purpose harder, and `stop_fresh.tsv` after them, as people mostly write. What each
showed at the first look stands in `FIRST_LOOK`; the rules were mended with it, so that today all of them have to be
right. A verdict "not" stands for none or ambiguous.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import sms_words
from sms.words import folding, stop
from sms.words.stop import Kind, Scope, Verdict

VECTORS = Path(__file__).parents[2] / "vectors" / "texts"
SCOPES = {"stop": Scope.TEXTS, "stop+calls": Scope.CALLS, "stop+all": Scope.EVERYTHING, "stop+erase": Scope.EVERYTHING}


def vectors(name: str) -> list[tuple[str, str]]:
    rows = (line.split("\t") for line in (VECTORS / name).read_text(encoding="utf-8").splitlines())
    return [(expected, text.replace("\\n", "\n")) for expected, _, text in rows]


# Of each list that was not seen before: stops, of them recognised, held for a person, missed; other texts, of them
# taken for a stop, held without need.
FIRST_LOOK = {
    "stop_held_out.tsv": (131, 131, 0, 0, 77, 2, 2),
    "stop_afterwards.tsv": (55, 36, 5, 14, 47, 3, 3),
    "stop_last.tsv": (46, 32, 3, 11, 32, 1, 4),
    "stop_fresh.tsv": (40, 35, 2, 3, 35, 0, 2),
}
ALL = [row for name in ("stop.tsv", *FIRST_LOOK) for row in vectors(name)]
STOPS = [(expected, text) for expected, text in ALL if expected in SCOPES]
OTHERS = [(expected, text) for expected, text in ALL if expected not in SCOPES]


def test_there_are_as_many_as_was_promised():
    assert len({text for _, text in STOPS}) >= 300 and len({text for _, text in OTHERS}) >= 150
    assert len(vectors("stop_held_out.tsv")) >= len(vectors("stop.tsv")) // 2 - 1
    for name, (stops, seen, held, missed, others, *_) in FIRST_LOOK.items():
        assert seen + held + missed == stops == sum(expected in SCOPES for expected, _ in vectors(name))
        assert others == len(vectors(name)) - stops


@pytest.mark.promise("1.3", "L17")
@pytest.mark.parametrize(("expected", "text"), STOPS)
def test_what_is_a_stop(expected: str, text: str):
    found = stop.read(text)
    assert found.kind is Kind.STOP, found.rule
    assert (found.scope, found.erase) == (SCOPES[expected], expected == "stop+erase")
    assert found.rule


@pytest.mark.promise("L17")
@pytest.mark.parametrize(("expected", "text"), OTHERS)
def test_what_is_none(expected: str, text: str):
    found = stop.read(text)
    assert found.kind in ({Kind.NONE, Kind.AMBIGUOUS} if expected == "not" else {Kind(expected)}), found.rule
    assert found.scope is None and not found.erase


@pytest.mark.promise("L17")
@given(
    st.sampled_from(["stop", "arrêt", "désabonnement", "unsubscribe", "STOP SMS", "arrêtez", "plus de pub"]),
    st.sampled_from(["", "Bonjour, ", "svp ", "Merci de ", "🙏 ", "\n\n", "... "]),
    st.sampled_from(["", " svp", " merci", "!!!", " 😡", ".", " s'il vous plaît", "\n-- \n", " thanks"]),
    st.sampled_from([str, str.upper, str.title, str.lower]),
)
def test_politeness_and_signs_change_nothing(word: str, before: str, after: str, case: Any):
    assert stop.read(before + case(word) + after).kind is Kind.STOP


@pytest.mark.promise("L17")
@pytest.mark.parametrize(
    "text", ["cancel my appointment", "Non merci", "stop ma commande", "non stop", "arrêtez le colis"]
)
def test_doubt_is_for_a_person(text: str):
    assert stop.read(text).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Promo samedi chez Exemple. STOP au 36180", Kind.AMBIGUOUS), ("STOP au 36180", Kind.STOP),
        ("Reply STOP to opt out", Kind.STOP), ("20% off! Reply STOP to unsubscribe", Kind.AMBIGUOUS),
        ("Exemple: -20% samedi. Répondez STOP pour arrêter", Kind.AMBIGUOUS),
        ("Sale! Reply STOP to end", Kind.AMBIGUOUS),
        ("> Promo samedi. STOP au 36180\nOui désabonnez-moi", Kind.STOP),
    ],
)  # fmt: skip
def test_our_own_mention_in_a_forwarded_text_is_not_taken_for_an_answer(text: str, kind: Kind):
    assert stop.read(text).kind is kind


def test_a_stop_by_text_does_not_reach_further():
    assert stop.read("ne me contactez plus par sms").scope is Scope.TEXTS
    assert stop.read("ne me contactez plus").scope is Scope.EVERYTHING


@given(st.text(max_size=300))
def test_whatever_comes_is_answered(text: str):
    found = stop.read(text)
    assert isinstance(found, Verdict) and (found.scope is not None) is (found.kind is Kind.STOP)


def test_what_is_very_long_is_read_up_to_a_bound():
    assert stop.read("a" * folding.MOST + " stop").kind is Kind.NONE
    assert stop.read("plus de " * 100_000).kind is not Kind.STOP


@given(st.text("abcdefg", min_size=1, max_size=7), st.text("abcdefg", min_size=1, max_size=7))
def test_a_slip_lies_between_words_both_ways(one: str, other: str):
    assert folding.near(one, other) is folding.near(other, one)


@pytest.mark.parametrize("word", ["stp", "sotp", "stpo", "stopo", "xstop", "srop", "stop"])
def test_one_slip_of_the_finger(word: str):
    assert folding.near(word, "stop") and not folding.near(word, "arret")


def test_patterns_are_written_as_texts_are_compared():
    """A pattern with an accent, a capital or an apostrophe could never match."""
    known = sms_words.load()
    for rule in (*known.firm, *known.patterns):
        assert re.sub(r"\\[A-Za-z]", "", rule.pattern.pattern).isascii(), rule.id
        assert not re.search(r"[A-Z']", re.sub(r"\\[A-Za-z]", "", rule.pattern.pattern)), rule.id
