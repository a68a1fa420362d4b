"""Which provider is tried first, and what it is shown: pure decisions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rates import Rate
from sip.calls.numbers import Number, NumberClass, SiteNumbering
from sip.calls.plan import Ceiling
from sip.calls.trunk_choice import (
    Price,
    Shown,
    TrunkState,
    allowed_numbers,
    named_first,
    order,
    own_or_main,
    target,
)
from storage.numbers_owned import OwnedNumber
from storage.trunks import Trunk

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PARIS = SiteNumbering("FR", outside_prefix="0")
NUMBER = Number("+4930123456", NumberClass.INTERNATIONAL, "DE", True)


def trunk(name: str, **changes: Any) -> Trunk:
    made = Trunk(
        id=name * 8, name=name, host="sip.provider.example", port=5061, transport="tls", domain="provider.example",
        srtp=True, ipv6=False, register=True, user="company1", realm="provider.example", ha1="a" * 32, sources=(),
        preference=10, weight=100, max_channels=2, main_number="+33140000000", international_format="plus",
        enabled=True, created_at=NOW,
    )  # fmt: skip
    return replace(made, **changes)


A, B, C = trunk("a"), trunk("b"), trunk("c", preference=20)


def names(states: list[TrunkState], chances: list[float] | None = None, **options: Any) -> str:
    return "".join(each.name for each in order(states, chances or [], **options))


@pytest.mark.promise("P3")
def test_preference_then_health_then_weight() -> None:
    states = [TrunkState(C), TrunkState(A), TrunkState(B)]
    assert names(states, [0.5, 0.9, 0.1]) == "abc"
    assert names(states, [0.5, 0.1, 0.9]) == "bac"
    assert names([TrunkState(A, healthy=False), TrunkState(B), TrunkState(C, healthy=True)]) == "bca"
    assert names([TrunkState(A, healthy=False)]) == "a"  # it may be back


@pytest.mark.promise("P3")
def test_disabled_and_full_trunks_are_left_out_but_an_emergency_call_takes_a_full_one() -> None:
    states = [TrunkState(A, busy_channels=2), TrunkState(trunk("b", enabled=False)), TrunkState(C, busy_channels=1)]
    assert names(states) == "c"
    assert names(states, emergency=True) == "ac"


@pytest.mark.promise("P3")
def test_weights_share_the_calls() -> None:
    chance = random.Random(7)  # noqa: S311 - a draw, not a secret
    heavy, light = TrunkState(trunk("h", weight=75)), TrunkState(trunk("l", weight=25))
    first = Counter(names([heavy, light], [chance.random(), chance.random()])[0] for _ in range(4000))
    assert 0.71 < first["h"] / 4000 < 0.79


@given(st.lists(st.floats(0, 1), max_size=3), st.permutations(["a", "b", "c"]))
def test_the_order_is_one_of_all_and_each_stands_in_it_once(chances: list[float], given_: list[str]) -> None:
    assert sorted(names([TrunkState(trunk(name)) for name in given_], chances)) == ["a", "b", "c"]


@pytest.mark.promise("P12")
def test_emergency_calls_leave_by_the_trunks_named_for_them() -> None:
    assert named_first((A, B, C), ("c", "a")) == (C, A)
    assert named_first((A, B), ()) == (A, B)
    assert named_first((A, B), ("gone",)) == (A, B)  # better any trunk than none


OWNED = (
    OwnedNumber("1", "+33140000001", "alice", None, None, False),
    OwnedNumber("2", "+33140000002", "bob", None, None, False),
    OwnedNumber("3", "+33140000003", None, "office", None, False),
    OwnedNumber("4", "+33140000004", None, None, A.id, True),
    OwnedNumber("5", "+33612345678", "alice", None, None, False),  # nobody may present a mobile number from here
)


@pytest.mark.promise("P3")
def test_only_numbers_from_the_allowed_list_are_presented() -> None:
    allowed = allowed_numbers(OWNED, "alice", ["office"])
    assert allowed == ("+33140000001", "+33140000003", "+33140000004")
    assert allowed_numbers(OWNED, "alice", [], B.id) == ("+33140000001",)  # the shared one is another provider's
    own = ("+33140000001",)
    assert own_or_main(None, own, allowed, A) == "+33140000001"
    assert own_or_main("+33140000003", own, allowed, A) == "+33140000003"
    for foreign in ("+33140000002", "+33612345678", "+4930123456"):
        assert own_or_main(foreign, own, allowed, A) == "+33140000001"
    assert own_or_main("+33140000000", own, allowed, A) == "+33140000000"  # the trunk's own
    assert own_or_main(None, (), allowed, A) == A.main_number
    assert own_or_main(None, (), (), trunk("x", main_number=None)) is None


@pytest.mark.promise("P3")
def test_what_the_provider_is_sent() -> None:
    price = Price("alice", Rate(20, 5), Ceiling(60.0))
    made = target("b0", A, NUMBER, "+33140000001", Shown("Alice"), PARIS, price)
    assert (made.number, made.from_user, made.from_display) == ("+4930123456", "+33140000001", "Alice")
    assert made.headers == {"P-Asserted-Identity": "<sip:+33140000001@provider.example>"}
    assert (made.payer, made.microeuros_per_minute, made.microeuros_per_call) == ("alice", 20, 5)
    assert made.ceiling == Ceiling(60.0) and made.srtp
    national = target(
        "b0", trunk("n", international_format="national"), NUMBER, "+33140000001", Shown(""), PARIS, price
    )
    assert (national.number, national.from_user) == ("004930123456", "0140000001")  # no outside prefix out there


@pytest.mark.promise("P3")
def test_a_hidden_number_is_known_to_the_provider_alone() -> None:
    made = target("b0", A, NUMBER, "+33140000001", Shown("Alice", hidden=True), PARIS, Price())
    assert (made.from_user, made.from_display) == ("anonymous", "Anonymous")
    assert made.headers["Privacy"] == "id" and "+33140000001" in made.headers["P-Asserted-Identity"]


@pytest.mark.promise("P5")
def test_a_forward_says_who_forwarded_and_why() -> None:
    shown = Shown("Alice", diverted_by="+33140000001", diverted_why="no_answer")
    made = target("b0", A, NUMBER, "+33140000001", shown, PARIS, Price())
    assert made.headers["Diversion"] == "<sip:+33140000001@provider.example>;reason=no-answer"
    hidden = target("b0", A, NUMBER, "+33140000001", replace(shown, hidden=True), PARIS, Price())
    assert hidden.headers["Diversion"].endswith(";privacy=full")


@pytest.mark.promise("P12")
def test_an_emergency_call_carries_its_place() -> None:
    help_ = Number("112", NumberClass.EMERGENCY, "FR")
    shown = Shown("Alice", location="<https://example.org/site.xml>")
    made = target("b0", A, help_, "+33140000001", shown, PARIS, Price())
    assert made.number == "112" and made.headers["Geolocation"] == "<https://example.org/site.xml>"
    assert made.headers["Geolocation-Routing"] == "yes" and "Privacy" not in made.headers


def test_without_any_number_the_trunks_user_is_shown() -> None:
    bare = trunk("x", main_number=None)
    assert target("b0", bare, NUMBER, None, Shown("Alice"), PARIS, Price()).from_user == "company1"
    unknown = target("b0", replace(bare, user=""), NUMBER, None, Shown("Alice"), PARIS, Price())
    assert unknown.from_user == "anonymous" and unknown.headers == {}
