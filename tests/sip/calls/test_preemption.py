"""Who gives way to an emergency call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls.preemption import Seat, channels, gives_way

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def seat(call_id: str, minute: int, *trunks: str, emergency: bool = False, leaving: bool = False) -> Seat:
    return Seat(call_id, START + timedelta(minutes=minute), emergency, trunks, leaving)


@pytest.mark.promise("P12")
def test_the_newest_ordinary_call_gives_way() -> None:
    calls = [seat("old", 0), seat("newest", 9, emergency=True), seat("new", 5), seat("middle", 3)]
    assert gives_way(calls) == "new"


@pytest.mark.promise("P12")
def test_on_a_full_trunk_only_a_call_on_that_trunk_helps() -> None:
    calls = [seat("on it", 0, "one"), seat("elsewhere", 5, "two"), seat("inside", 9)]
    assert gives_way(calls, "one") == "on it"
    assert gives_way(calls, "three") is None


def test_an_emergency_call_never_gives_way_and_a_leaving_one_is_not_ended_twice() -> None:
    assert gives_way([seat("one", 0, "t", emergency=True)], "t") is None
    assert gives_way([seat("one", 0), seat("two", 1, leaving=True)]) == "one"
    assert gives_way([]) is None


@pytest.mark.promise("P12")
def test_what_is_only_said_about_a_refused_call_gives_way_before_any_conversation() -> None:
    said = replace(seat("said", 2), announcement=True)
    assert gives_way([seat("old", 0), said, seat("new", 9)]) == "said"
    assert gives_way([seat("old", 0, "one"), said], "one") == "old", "it holds no channel"
    assert gives_way([seat("old", 0), replace(said, leaving=True), seat("new", 9)]) == "new"


def test_channels_are_counted_one_by_one() -> None:
    assert channels([seat("a", 0, "x", "y"), seat("b", 0, "x"), seat("c", 0)]) == {"x": 2, "y": 1}


seats = st.lists(
    st.builds(
        Seat,
        st.uuids().map(lambda each: each.hex),
        st.integers(0, 100).map(lambda minute: START + timedelta(minutes=minute)),
        st.booleans(),
        st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
        st.booleans(),
    ),
    max_size=8,
    unique_by=lambda one: one.call_id,
)


@given(seats, st.sampled_from([None, "x"]))
def test_whoever_is_chosen_is_ordinary_stays_otherwise_and_helps(calls: list[Seat], trunk: str | None) -> None:
    chosen = gives_way(calls, trunk)
    may = [one for one in calls if not one.emergency and not one.leaving and (trunk is None or trunk in one.trunks)]
    assert (chosen is None) == (not may)
    if chosen is not None:
        assert chosen in {one.call_id for one in may}
        without = [replace(one, leaving=one.leaving or one.call_id == chosen) for one in calls]
        assert gives_way(without, trunk) != chosen
