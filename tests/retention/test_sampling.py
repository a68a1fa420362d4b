"""Sampling: a share that nobody foresees, and a ceiling that is never passed, at any moment."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.periods import Period
from retention.sampling import Counts, Sampling, falls, room, window_start

THREE_OF_TEN = Sampling(300, 100, Period.parse("P3M"))
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.mark.promise("L5")
@given(
    st.integers(0, 1000), st.integers(1, 1000), st.lists(st.sampled_from(["held", "ended", "nothing"]), max_size=300)
)
def test_the_share_really_recorded_never_passes_the_ceiling(rate: int, ceiling: int, calls: list[str]) -> None:
    """Calls are decided before anybody knows whether they come to anything; some never do, some are still going on."""
    sampling, counts = Sampling(rate, ceiling, Period.parse("P1M")), Counts()
    for number, outcome in enumerate(calls):
        drawn = falls(digest(number), rate) and room(sampling, counts)
        if drawn:
            counts = replace(counts, taken=counts.taken + 1)
        if outcome == "held":
            counts = replace(counts, held=counts.held + 1)
        elif outcome == "nothing" and drawn:
            counts = replace(counts, taken=counts.taken - 1)
        assert counts.taken * 1000 <= ceiling * counts.held


def test_the_rate_is_met_where_there_are_enough_calls() -> None:
    drawn = sum(falls(digest(number), 30) for number in range(20_000))
    assert abs(Fraction(drawn, 20_000) - Fraction(30, 1000)) < Fraction(5, 1000)
    assert not any(falls(digest(number), 0) for number in range(1000))
    assert all(falls(digest(number), 1000) for number in range(1000))


def test_the_same_call_always_falls_the_same_way() -> None:
    assert falls(digest(7), 500) is falls(digest(7), 500)
    assert len({falls(digest(number), 500) for number in range(20)}) == 2


def test_few_calls_are_not_recorded_at_all() -> None:
    assert not room(THREE_OF_TEN, Counts(held=9)) and room(THREE_OF_TEN, Counts(held=10))
    assert not room(THREE_OF_TEN, Counts(held=19, taken=1)) and room(THREE_OF_TEN, Counts(held=20, taken=1))


def test_windows_follow_on_each_other_from_the_policys_first_day() -> None:
    month = Period.parse("P1M")
    assert window_start(NOW, month, NOW) == date(2026, 12, 1)
    assert window_start(NOW, month, NOW + timedelta(days=31)) == date(2027, 1, 1)
    assert window_start(NOW, month, NOW + timedelta(days=31, seconds=-1)) == date(2026, 12, 1)
    assert window_start(NOW, Period.parse("P7D"), NOW + timedelta(days=20)) == date(2026, 12, 15)
    with pytest.raises(ValueError, match="no length"):
        window_start(NOW, Period(), NOW)
