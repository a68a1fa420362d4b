"""How many connections, and how many texts in a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.mail.allowance import Buckets, Places, Rate


def test_a_burst_then_one_at_a_time():
    buckets = Buckets(Rate(3, 10))
    assert [buckets.take("a", 100.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.wait_s("a", 100.0) == 10.0
    assert not buckets.take("a", 109.9)
    assert buckets.take("a", 110.0) and not buckets.take("a", 110.0)
    assert buckets.take("b", 110.0), "another sender has tokens of its own"


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 5), st.sampled_from([0.5, 1.0, 3.0, 7.0]))
def test_never_more_than_the_rate_in_any_time(times: list[float], burst: int, every: float):
    buckets = Buckets(Rate(burst, every))
    taken = [at for at in sorted(times) if buckets.take("a", at)]
    for i, begin in enumerate(taken):
        for j in range(i, len(taken)):
            assert j - i + 1 <= burst + (taken[j] - begin) / every + 1e-3


def test_those_who_have_all_their_tokens_back_are_forgotten():
    buckets = Buckets(Rate(1, 1))
    for i in range(5000):
        assert buckets.take(f"login-{i}", float(i))
    assert len(buckets._full_at) <= 1001


def test_places_in_all_and_for_each():
    places = Places(3, 2)
    assert [places.enter("a"), places.enter("a"), places.enter("a")] == [True, True, False]
    assert [places.enter("b"), places.enter("c")] == [True, False]
    places.leave("a")
    assert places.enter("c") and places.taken == 3
    for peer in ("a", "b", "c"):
        places.leave(peer)
    assert places.taken == 0 and not places._of


@pytest.mark.parametrize(("burst", "every"), [(0, 1.0), (1, 0.0), (1, 1e9)])
def test_a_rate_out_of_bounds(burst: int, every: float):
    with pytest.raises(ValueError, match="a rate has"):
        Rate(burst, every)
