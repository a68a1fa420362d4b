"""Pace against centres that bear so much and no more, hours of it in no time."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from sms.carriers.smpp_pace import PAUSE_MOST_S, Pace

LATENCY_S = 0.03


class Bears:
    """A centre that takes so many in each second of the clock."""

    def __init__(self, per_s: Callable[[float], float]) -> None:
        self._per_s = per_s
        self._second, self._count = -1, 0

    def takes(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        return self._count <= self._per_s(now)


def offer(pace: Pace, centre: Bears, until: float, *, window: int = 20) -> tuple[list[float], list[float]]:
    """As many parts as there are places: when they were taken, when they were not."""
    taken: list[float] = []
    refused: list[float] = []
    events = [(0.0, n, 0.0, "wants") for n in range(window)]
    heapq.heapify(events)
    order = window
    while events:
        now, _, sent_at, what = heapq.heappop(events)
        order += 1
        if now > until:
            break
        if what == "wants":
            if held := pace.held(now):
                heapq.heappush(events, (now + held, order, 0.0, "wants"))
            else:
                heapq.heappush(events, (now + pace.turn(now), order, 0.0, "goes"))
        elif what == "goes":
            if held := pace.held(now):
                heapq.heappush(events, (now + held, order, 0.0, "wants"))
            else:
                result = "taken" if centre.takes(now) else "refused"
                heapq.heappush(events, (now + LATENCY_S, order, now, result))
        else:
            if what == "taken":
                pace.taken(sent_at, now)
                taken.append(now)
            else:
                assert pace.throttled(sent_at, now) > 0
                refused.append(now)
            heapq.heappush(events, (now, order, 0.0, "wants"))
    return taken, refused


@pytest.mark.promise("P21")
def test_an_hour_in_which_nothing_is_taken_costs_few_tries_and_is_made_good_soon():
    hour = 3600.0
    pace = Pace(100.0)
    taken, refused = offer(pace, Bears(lambda now: 0 if now < hour else 1000), hour + 300)
    first_tries = [at for at in refused if at > 120]
    assert len(first_tries) < 2 * hour / PAUSE_MOST_S
    assert pace.rate == 100.0
    back = min(taken)
    assert back - hour <= PAUSE_MOST_S
    minute = [at for at in taken if back + 90 <= at < back + 150]
    assert len(minute) >= 0.95 * 60 * 100


@pytest.mark.parametrize("bears", [5, 50, 300])
def test_without_an_agreed_rate_it_comes_to_rest_under_what_the_centre_bears(bears: int):
    taken, refused = offer(Pace(None), Bears(lambda _: bears), 600)
    assert len(taken) >= 0.7 * bears * 600
    assert len(refused) <= 0.05 * len(taken) + 40


def test_an_agreed_rate_that_the_centre_bears_is_never_too_fast():
    taken, refused = offer(Pace(50.0), Bears(lambda _: 51), 600)
    assert refused == []
    assert len(taken) == pytest.approx(50 * 600, rel=0.01)


def test_a_centre_that_bears_half_for_ten_minutes_gets_all_again_afterwards():
    pace = Pace(100.0)
    taken, _ = offer(pace, Bears(lambda now: 50 if now < 600 else 200), 900)
    assert pace.rate == 100.0
    assert len([at for at in taken if at < 600]) >= 0.7 * 50 * 600
    assert len([at for at in taken if at >= 700]) >= 0.95 * 100 * 200


def test_of_parts_that_were_on_their_way_together_one_cuts():
    pace = Pace(100.0)
    first = pace.throttled(10.0, 10.1)
    rate = pace.rate
    assert pace.throttled(10.05, 10.12) <= first
    assert pace.rate == rate
    assert pace.held(10.1 + first) == 0.0
    pace.throttled(12.0, 12.1)
    assert pace.held(12.1) == pytest.approx(2 * first)
