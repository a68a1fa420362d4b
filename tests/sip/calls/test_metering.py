"""What a call costs, and how parallel calls share what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls.metering import Charge, Left, Running, share_s

MINUTE = Charge(60_000, 60)  # six cents for each minute begun
SECOND = Charge(1_000, 1)


@pytest.mark.parametrize(
    ("charge", "talk_s", "cost"),
    [
        (MINUTE, 0.0, 0),
        (MINUTE, 0.1, 60_000),
        (MINUTE, 60.0, 60_000),
        (MINUTE, 60.1, 120_000),
        (SECOND, 60.1, 61_000),
        (Charge(0, 60, 150_000), 5.0, 150_000),
        (Charge(100, 1, 7), 2.0, 207),
        (Charge(), 3600.0, 0),
    ],
)
def test_each_unit_that_was_begun_is_charged(charge: Charge, talk_s: float, cost: int) -> None:
    assert charge.cost(talk_s) == cost


@pytest.mark.promise("P13")
def test_parallel_calls_share_the_minutes_that_are_left() -> None:
    one = Running(10, MINUTE)
    assert share_s(Left(seconds=120), [one]) == 120
    assert share_s(Left(seconds=120), [one, one]) == 60
    assert share_s(Left(seconds=-5), [one]) == 0


@pytest.mark.promise("P13")
def test_money_lasts_to_the_end_of_the_last_unit_that_is_paid_for() -> None:
    assert share_s(Left(microeuros=0), [Running(10, MINUTE)]) == 50, "the minute that has begun is paid already"
    assert share_s(Left(microeuros=60_000), [Running(10, MINUTE)]) == 110
    assert share_s(Left(microeuros=60_000), [Running(10, MINUTE), Running(10, MINUTE)]) == 50
    assert share_s(Left(microeuros=59_999), [Running(60, MINUTE)]) == 0


def test_the_tighter_limit_holds_and_no_limit_is_none() -> None:
    assert share_s(Left(seconds=30, microeuros=10**9), [Running(0, MINUTE)]) == 30
    assert share_s(Left(), [Running(0, MINUTE)]) is None
    assert share_s(Left(microeuros=0), [Running(0, Charge())]) is None, "what costs nothing may go on"
    assert share_s(Left(seconds=0), []) is None


@given(
    st.integers(0, 2_000_000),
    st.lists(
        st.builds(
            Running,
            st.integers(0, 5000).map(float),
            st.builds(Charge, st.integers(1, 400_000), st.sampled_from([1, 6, 60])),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_all_together_never_spend_more_than_is_left(left: int, running: list[Running]) -> None:
    seconds = share_s(Left(microeuros=left), running)
    assert seconds is not None and seconds >= 0
    assert sum(one.more(seconds) for one in running) <= left
    assert seconds == 86_400 or sum(one.more(seconds + 1) for one in running) > left, "and not less than they may"
