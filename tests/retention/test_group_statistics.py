"""Statistics name nobody: no group below the minimum, in any answer, nor by adding up and taking away."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import metadata_ages, packs
from retention.group_statistics import OTHERS, By, Counted, finished_weeks, monday_of, size, statistics

pytestmark = [pytest.mark.promise("4.5", "L11")]
MINIMUM = 5
MONDAY = date(2026, 11, 16)
WEEKS = {"standard": [MONDAY, MONDAY + timedelta(days=7)], "minimal": [MONDAY]}
DIMENSIONS: tuple[By, ...] = get_args(By)


def call(
    n: int, *, day: int = 0, class_: str = "standard", inside: str = "", outside: str = "", **groups: str
) -> Counted:
    at = datetime(2026, 11, 16, 9, tzinfo=UTC) + timedelta(days=day)
    return Counted(f"{n}", class_, at, {"day": at.date().isoformat(), **groups}, inside, outside)


def many(count: int, country: str, **more: str) -> list[Counted]:
    return [call(1000 * len(country) + ord(country[-1]) * 50 + n, country=country, **more) for n in range(count)]  # type: ignore[arg-type]


def told(calls: list[Counted], by: By = "country", minimum: int = MINIMUM) -> dict[str, int]:
    return {group.name: group.calls for group in statistics(calls, by, WEEKS, minimum)}


def test_large_groups_are_told_and_small_ones_are_others() -> None:
    assert told([*many(9, "FR"), *many(7, "DE"), *many(3, "ES"), *many(2, "IT")]) == {"FR": 9, "DE": 7, OTHERS: 5}


def test_one_small_group_takes_the_next_smallest_with_it() -> None:
    """Else what is missing from the sum of another answer would be it."""
    assert told([*many(9, "FR"), *many(7, "DE"), *many(2, "IT")]) == {"FR": 9, OTHERS: 9}


def test_of_too_few_nothing_is_told() -> None:
    assert told(many(4, "FR")) == {}
    assert told([*many(2, "FR"), *many(2, "IT")]) == {}


def test_many_calls_of_one_person_are_one_person() -> None:
    assert told(many(40, "ES", inside="alice")) == {}
    assert told(many(40, "ES", outside="a customer")) == {}
    apart = [call(n, country="ES", inside=f"i{n % 5}", outside=f"o{n % 6}") for n in range(40)]
    assert told(apart) == {"ES": 40}


def test_weeks_that_are_not_asked_for_are_not_counted() -> None:
    late = [call(n, day=14, country="FR") for n in range(9)]
    assert told([*many(9, "FR"), *late]) == {"FR": 9}


ages_, packs_ = metadata_ages.load(), packs.load()
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)  # a Saturday


def test_only_weeks_that_are_over_and_still_whole() -> None:
    minimal = finished_weeks("minimal", ages_, packs_, NOW, "day")
    assert minimal == [date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 16)], "of 26 October some has expired"
    standard = finished_weeks("standard", ages_, packs_, NOW, "day")
    assert standard[-1] == date(2026, 11, 16) and standard[0] == date(2026, 8, 31), (
        "before that persons are not told apart"
    )
    assert finished_weeks("minimal", ages_, packs_, NOW, "hour") == [date(2026, 11, 16)], (
        "before that there are days only"
    )


@given(
    st.timedeltas(timedelta(0), timedelta(days=800)),
    st.sampled_from(["standard", "minimal"]),
    st.sampled_from(DIMENSIONS),
)
def test_a_week_that_could_be_asked_for_was_over_and_stays_until_it_goes_as_a_whole(
    later: timedelta, class_: str, by: By
) -> None:
    now = NOW + later
    weeks = finished_weeks(class_, ages_, packs_, now, by)
    assert weeks and all(day.weekday() == 0 and day + timedelta(days=7) <= now.date() for day in weeks)
    assert weeks == [weeks[0] + timedelta(days=7 * n) for n in range(len(weeks))], "no gaps"
    retention = packs_[ages_.classes[class_].pack].retention
    assert retention is not None
    assert retention.after(datetime(*weeks[0].timetuple()[:3], tzinfo=UTC)) > now


people = st.sampled_from(["", *"abcdefgh"])
calls_of = st.lists(
    st.builds(
        lambda day, class_, country, hour, inside, outside: (day, class_, country, hour, inside, outside),
        st.integers(0, 13), st.sampled_from(["standard", "minimal"]), st.sampled_from(["FR", "DE", "ES", "IT"]),
        st.sampled_from(["09", "10", "11"]), people, people,
    ),
    max_size=70,
).map(
    lambda rows: [
        call(n, day=day, class_=class_, country=country, hour=hour, inside=inside, outside=outside)
        for n, (day, class_, country, hour, inside, outside) in enumerate(rows)
    ]
)  # fmt: skip


@given(calls_of, st.integers(3, 6))
@settings(max_examples=300)
def test_nothing_small_comes_out_by_subtraction(calls: list[Counted], minimum: int) -> None:
    """Whatever weeks and classes are asked for, in whatever dimension: any difference of two answers, group by group or
    in all, is nothing or the calls of groups that were large enough."""
    pieces = [(class_, monday) for class_, mondays in WEEKS.items() for monday in mondays]
    for by in ("country", "hour", "day"):
        alone = {}
        for class_, monday in pieces:
            alone[class_, monday] = {g.name: g.calls for g in statistics(calls, by, {class_: [monday]}, minimum)}  # type: ignore[arg-type]
            for name, count in alone[class_, monday].items():
                assert count >= minimum, name
        for count in range(len(pieces) + 1):
            for some in itertools.combinations(pieces, count):
                asked = {class_: [m for c, m in some if c == class_] for class_ in WEEKS}
                answer = {g.name: g.calls for g in statistics(calls, by, asked, minimum)}  # type: ignore[arg-type]
                summed: Counter[str] = Counter()
                for piece in some:
                    summed.update(alone[piece])
                assert answer == dict(summed), "an answer is the sum of its pieces: differences are pieces"


@given(calls_of, st.integers(3, 6))
@settings(max_examples=300)
def test_all_ways_of_cutting_a_week_add_up_to_the_same_or_tell_nothing(calls: list[Counted], minimum: int) -> None:
    """So one answer does not tell what another leaves out."""
    for class_, mondays in WEEKS.items():
        for monday in mondays:
            piece = [one for one in calls if one.metadata_class == class_ and monday_of(one.at) == monday]
            for by in ("country", "hour", "day", "direction"):
                groups = statistics(calls, by, {class_: [monday]}, minimum)  # type: ignore[arg-type]
                assert sum(group.calls for group in groups) == (len(piece) if size(piece) >= minimum else 0)


@given(calls_of, st.integers(3, 6))
def test_each_group_that_is_told_is_of_enough_persons(calls: list[Counted], minimum: int) -> None:
    for group in statistics(calls, "country", {"standard": [MONDAY]}, minimum):
        if group.name != OTHERS:
            mine = [c for c in calls if c.metadata_class == "standard" and monday_of(c.at) == MONDAY]
            assert size([one for one in mine if one.groups["country"] == group.name]) >= minimum
