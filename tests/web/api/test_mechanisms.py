"""The parts of the API that decide without a request: bounds, cursors, rates."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from server.web.api import bounds, cursors
from server.web.api.cursors import Cursors, Place
from server.web.api.problems import Refused
from server.web.api.rates import Limit, Rates


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 9 + b"]" * 9, b"[" * 100_000, b'{"a": ' + b"9" * 5000],
)
def test_what_is_no_json_of_ours_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        bounds.parse(body)
    assert refused.value.code == "malformed"


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert bounds.parse(json.dumps({"a": '[[[[[[[[[[{{{{\\"[['}).encode()) == {"a": '[[[[[[[[[[{{{{\\"[['}


@pytest.mark.parametrize("value", ["\0", "\x1b[0m", "\ud800", "a" * 4001, 2**31, [{"a": ["\0"]}], {"\0": 1}])
def test_bounds(value: object) -> None:
    with pytest.raises(bounds.Unbounded):
        bounds.check(value)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4000))
def test_ordinary_texts_are_within_bounds(text: str) -> None:
    bounds.check([text, {"a": text}])


def test_a_cursor_is_good_for_its_list_and_person_only() -> None:
    made = Cursors(Ed25519PrivateKey.generate())
    mine = cursors.bound("anna", "calls.list", {"line": "a"})
    text = made.write(Place(50, "x"), mine)
    assert made.read(text, mine) == Place(50, "x")
    others = [cursors.bound("bob", "calls.list", {"line": "a"}), cursors.bound("anna", "calls.list", {"line": "b"})]
    for bound in others:
        with pytest.raises(Refused):
            made.read(text, bound)
    for wrong in ("", "x", text[:-2], "é", "A" * 300, text + "A"):
        with pytest.raises(Refused):
            made.read(wrong, mine)
    with pytest.raises(Refused):
        Cursors(Ed25519PrivateKey.generate()).read(text, mine)


async def test_what_is_new_at_the_head_moves_no_page() -> None:
    items: list[object] = [{"id": number} for number in range(100, 0, -1)]

    async def fetch(count: int) -> list[object]:
        return items[:count]

    first = await cursors.page(fetch, 10, Place())
    assert first.after is not None
    items[:0] = [{"id": number} for number in range(130, 100, -1)]
    second = await cursors.page(fetch, 10, first.after)
    assert [one["id"] for one in second.items if isinstance(one, dict)] == list(range(90, 80, -1))


async def test_pages_hold_everything_once() -> None:
    items: list[object] = [{"id": number} for number in range(95)]

    async def fetch(count: int) -> list[object]:
        return items[:count]

    place: Place | None = Place()
    seen = []
    while place is not None:
        found = await cursors.page(fetch, 10, place)
        seen += found.items
        place = found.after
    assert seen == items


def test_a_token_asks_so_often_and_no_more() -> None:
    now = 0.0
    rates = Rates(Limit(quota=3, window_s=60), lambda: now)
    assert [rates.ask("a").allowed for _ in range(4)] == [True, True, True, False]
    assert rates.ask("b").allowed
    refused = rates.ask("a")
    assert refused.headers(rates.limit, rates.name)["Retry-After"] == "20"
    now = 20.0
    assert rates.ask("a").allowed
    assert not rates.ask("a").allowed
