"""Replies that are set apart, and the ones that are not: vectors, check digits, explanations.

`replies.tsv` is what the rules were written with; `replies_held_out.tsv`, every third line of the same list, was put
aside before. `replies_afterwards.tsv` was written when the rules stood, on purpose around their words,
`replies_fresh.tsv` after it, as people mostly write. `FIRST_LOOK` has
what each showed then; the words were mended with it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.words import replies, secrets
from sms.words.replies import Category, Found

VECTORS = Path(__file__).parents[2] / "vectors" / "texts"
# To be set apart, of them found; others, of them set apart without need.
FIRST_LOOK = {
    "replies_held_out.tsv": (54, 54, 15, 1),
    "replies_afterwards.tsv": (60, 10, 21, 3),
    "replies_fresh.tsv": (37, 27, 14, 0),
}


def vectors(name: str) -> list[tuple[str, str]]:
    rows = (line.split("\t") for line in (VECTORS / name).read_text(encoding="utf-8").splitlines())
    return [(expected, text) for expected, _, text in rows]


ALL = [row for name in ("replies.tsv", *FIRST_LOOK) for row in vectors(name)]


@pytest.mark.promise("1.13", "1.14")
@pytest.mark.parametrize(("expected", "text"), ALL)
def test_where_a_reply_belongs(expected: str, text: str):
    found = replies.sort(text)
    if expected == "none":
        assert found.found == ()
    else:
        assert Category(expected) in found.categories
        assert all(each.rule for each in found.found)


def test_every_category_is_tried_and_every_figure_counts_its_list():
    assert set(Counter(expected for expected, _ in ALL)) == {*map(str, Category), "none"}
    for name, (apart, seen, others, needless) in FIRST_LOOK.items():
        assert apart == sum(expected != "none" for expected, _ in vectors(name)) and seen <= apart
        assert others == len(vectors(name)) - apart and needless <= others


@pytest.mark.promise("1.14")
def test_what_is_set_apart_and_what_opens_a_case():
    assert replies.sort("bande de voleurs").set_apart and not replies.sort("bande de voleurs").opens_case
    assert replies.sort("J'ai un cancer").set_apart
    correction = replies.sort("ce n'est plus mon adresse")
    assert correction.opens_case and not correction.set_apart
    assert replies.sort("supprimez mes données").opens_case
    both = replies.sort("Je suis malade, et ce n'est plus mon adresse")
    assert both.set_apart and both.opens_case
    assert not replies.sort("Oui merci").set_apart


@pytest.mark.promise("1.14")
@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("4532015112830366", ["card"]), ("4532 0151-1283 0366", ["card"]), ("4532015112830367", []),
        ("378282246310005", ["card"]), ("+33612345678", []), ("06 12 34 56 78 06 12 34 56 78", []),
        ("FR76 3000 6000 0112 3456 7890 189", ["iban"]), ("fr7630006000011234567890189 merci", ["iban"]),
        ("FR76 3000 6000 0112 3456 7890 188", []), ("BE68 5390 0754 7034", ["iban"]),
        ("2 69 05 49 588 157 80", ["national number"]), ("269054958815780", ["national number"]),
        ("269054958815781", []), ("1 85 02 2A 123 456", ["national number"]), ("12345678", []),
    ],
)  # fmt: skip
def test_numbers_that_open_accounts_are_known_by_their_check_digits(text: str, kinds: list[str]):
    assert list(secrets.found(text)) == kinds


@given(st.from_regex(r"[3-6][0-9]{12,18}", fullmatch=True))
def test_one_digit_in_ten_makes_a_card(digits: str):
    """Of the ten last digits exactly one is right (at one length)."""
    sixteen = (digits * 2)[:15]
    assert sum(secrets._luhn(sixteen + last) for last in "0123456789") == 1


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("voir http://exemple.top", True), ("exemple.info", True), ("www.exemple.fr/x", True),
        ("https://maps.app.goo.gl/abc", False), ("https://www.google.com/maps?q=1,2", False),
        ("https://maps.app.goo.gl.voleur.top/abc", True), ("ok.merci", False), ("a 18h.Merci", False),
        ("contact@exemple.fr", False), ("2.50 euros", False),
    ],
)  # fmt: skip
def test_a_link_that_nobody_knows_is_a_risk(text: str, apart: bool):
    assert (Found(Category.UNWANTED, "link") in replies.sort(text).found) is apart


@given(st.text(max_size=300))
def test_whatever_comes_is_sorted(text: str):
    replies.sort(text)
