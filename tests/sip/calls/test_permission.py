"""What is closed until it is opened, and how long a call may last: pure decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rates import Rate
from sip.calls.numbers import Number, NumberClass, SiteNumbering, parse
from sip.calls.permission import (
    MIN_TALK_S,
    Allowance,
    Defaults,
    Permitted,
    Used,
    near,
    of_account,
    of_trunk,
    permit,
    strictest,
)
from sip.calls.plan import Ceiling, Refusal
from storage.limits import Limits

FREE = Rate(0, 0)
CHEAP = Rate(10_000, 0)  # a cent a minute
DEFAULTS = Defaults()
SHUT = of_account(Limits("account:" + "a" * 32), Limits("default"), DEFAULTS)


def number(dialled: str) -> Number:
    found = parse(dialled, SiteNumbering("FR"))
    assert found is not None
    return found


@pytest.mark.promise("P13")
@pytest.mark.parametrize("dialled", ["0123456789", "0612345678", "0262123456", "3631", "0810123456", "0800123456"])
def test_ordinary_numbers_are_open(dialled: str) -> None:
    assert permit(number(dialled), SHUT, Used(), CHEAP, DEFAULTS) == Permitted()


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    "dialled",
    ["+4930123456", "+12425551234", "+870773111632", "+68987123456", "0899123456", "118712", "3200", "+979123456789"],
)
def test_abroad_premium_and_satellites_are_closed_until_opened(dialled: str) -> None:
    found = permit(number(dialled), SHUT, Used(), CHEAP, DEFAULTS)
    assert isinstance(found, Refusal) and (found.code, found.cause) == (403, "not-permitted")
    wide = replace(SHUT, international=True, premium=True)
    assert isinstance(permit(number(dialled), wide, Used(), CHEAP, DEFAULTS), Permitted)


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("dialled", "international", "premium", "countries", "open_"),
    [
        ("+4930123456", True, False, (), True),
        ("+4930123456", False, False, ("DE",), True),
        ("+4930123456", False, False, ("BE",), False),
        ("+449012345678", True, False, (), False),  # premium abroad needs both
        ("+449012345678", False, True, (), False),
        ("+449012345678", False, True, ("GB",), True),
        ("0899123456", True, False, (), False),
        ("0899123456", False, True, (), True),
        ("+870773111632", True, False, (), False),
        ("+68987123456", False, False, ("PF",), True),
    ],
)
def test_each_door_has_its_own_key(
    dialled: str, international: bool, premium: bool, countries: tuple[str, ...], open_: bool
) -> None:
    allowance = replace(SHUT, international=international, premium=premium, countries=frozenset(countries))
    assert isinstance(permit(number(dialled), allowance, Used(), CHEAP, DEFAULTS), Permitted) is open_


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("own", "common", "settings", "result"),
    [
        (None, None, False, False), (None, None, True, True), (None, True, False, True), (None, False, True, False),
        (True, False, False, True), (False, True, True, False),
    ],
)  # fmt: skip
def test_the_account_is_asked_before_all_and_all_before_the_settings(
    own: bool | None, common: bool | None, settings: bool, result: bool
) -> None:
    allowance = of_account(
        Limits("account:" + "a" * 32, international=own),
        Limits("default", international=common),
        Defaults(international=settings),
    )
    assert allowance.international is result


@pytest.mark.promise("P13")
def test_zero_lifts_a_limit_and_nothing_leaves_it_to_the_next() -> None:
    settings = Defaults(minutes_per_day=30)
    lifted = of_account(Limits("x", minutes_per_day=0), Limits("default", minutes_per_day=5), settings)
    assert permit(number("0123456789"), lifted, Used(day_s=10**6), CHEAP, DEFAULTS) == Permitted()
    common = of_account(Limits("x"), Limits("default", minutes_per_day=5), settings)
    assert permit(number("0123456789"), common, Used(), CHEAP, DEFAULTS) == Permitted(Ceiling(300.0, (60.0,)))
    from_settings = of_account(Limits("x"), Limits("default"), settings)
    assert permit(number("0123456789"), from_settings, Used(), CHEAP, DEFAULTS) == Permitted(Ceiling(1800.0, (60.0,)))
    assert of_trunk(Limits("t", max_calls=0)).max_calls is None


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("limits", "used", "rate", "talk_s"),
    [
        ({"minutes_per_day": 10}, Used(day_s=300), FREE, 300.0),
        ({"minutes_per_month": 10}, Used(month_s=570), FREE, 30.0),
        ({"minutes_per_day": 10}, Used(day_s=595), FREE, None),
        ({"cents_per_day": 10}, Used(), CHEAP, 600.0),
        ({"cents_per_day": 10}, Used(day_microeuros=99_000), CHEAP, None),
        ({"cents_per_day": 10}, Used(day_microeuros=90_000), CHEAP, 60.0),
        ({"cents_per_month": 10}, Used(month_microeuros=50_000), CHEAP, 300.0),
        ({"cents_per_day": 10}, Used(), Rate(10_000, 50_000), 300.0),
        ({"cents_per_day": 10}, Used(), Rate(10_000, 100_001), None),
        ({"cents_per_day": 10}, Used(), Rate(0, 100_000), "free"),
        ({"cents_per_day": 10}, Used(day_microeuros=10**9), FREE, "free"),  # costs nothing: money is no limit
        ({"cents_per_day": 10, "minutes_per_day": 3}, Used(), CHEAP, 180.0),
    ],
)
def test_what_is_left_is_how_long_the_call_may_last(
    limits: dict[str, int], used: Used, rate: Rate, talk_s: float | str | None
) -> None:
    found = permit(number("0123456789"), replace(SHUT, **limits), used, rate, DEFAULTS)  # type: ignore[arg-type]
    if talk_s is None:
        assert isinstance(found, Refusal) and (found.code, found.cause) == (403, "limit")
    elif talk_s == "free":
        assert isinstance(found, Permitted) and found.ceiling is None
    else:
        assert isinstance(found, Permitted) and found.ceiling is not None
        assert found.ceiling.talk_s == talk_s
        assert found.ceiling.warn_s == ((60.0,) if isinstance(talk_s, float) and talk_s > 60 else ())


@pytest.mark.promise("P13")
@given(
    st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**7)
)
def test_a_call_to_its_ceiling_never_costs_more_than_is_left(
    cents: int, spent: int, per_minute: int, per_call: int, seconds: int
) -> None:
    rate = Rate(per_minute, per_call)
    allowance = replace(SHUT, cents_per_day=cents)
    found = permit(number("0123456789"), allowance, Used(day_microeuros=spent, day_s=seconds), rate, DEFAULTS)
    if isinstance(found, Permitted) and found.ceiling is not None:
        assert found.ceiling.talk_s >= MIN_TALK_S
        assert spent + rate.cost(found.ceiling.talk_s) <= cents * 10_000
        assert spent + rate.cost(found.ceiling.talk_s + 60) > cents * 10_000


def test_calls_at_once_are_limited() -> None:
    allowance = replace(SHUT, max_calls=2)
    assert isinstance(permit(number("0123456789"), allowance, Used(calls=1), FREE, DEFAULTS), Permitted)
    found = permit(number("0123456789"), allowance, Used(calls=2), FREE, DEFAULTS)
    assert isinstance(found, Refusal) and (found.code, found.cause) == (486, "limit")


@pytest.mark.promise("P12")
@pytest.mark.parametrize("dialled", ["3919", "116111", "3114", "0972394050"])
def test_a_help_line_passes_whatever_is_used_up(dialled: str) -> None:
    nothing = replace(SHUT, minutes_per_day=0, cents_per_day=0, max_calls=0)
    assert permit(number(dialled), nothing, Used(calls=9), CHEAP, DEFAULTS) == Permitted()


@pytest.mark.promise("P12")
def test_an_emergency_passes_whatever_is_closed() -> None:
    nothing = replace(SHUT, minutes_per_day=0, cents_per_day=0, max_calls=0)
    help_ = Number("112", NumberClass.EMERGENCY, "FR")
    assert permit(help_, nothing, Used(calls=9), CHEAP, DEFAULTS) == Permitted()


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("used", "names"),
    [
        (Used(day_s=479), []),
        (Used(day_s=480), ["minutes_per_day"]),
        (Used(month_microeuros=8_000_000), ["cents_per_month"]),
        (Used(day_s=600, month_microeuros=10**8), ["minutes_per_day", "cents_per_month"]),
    ],
)
def test_an_alert_comes_before_the_limit(used: Used, names: list[str]) -> None:
    assert list(near(replace(SHUT, minutes_per_day=10, cents_per_month=1000), used, 80)) == names


def test_a_trunk_is_open_unless_it_is_closed() -> None:
    assert isinstance(permit(number("+4930123456"), of_trunk(Limits("t")), Used(), CHEAP, DEFAULTS), Permitted)
    shut = of_trunk(Limits("t", international=False))
    assert isinstance(permit(number("+4930123456"), shut, Used(), CHEAP, DEFAULTS), Refusal)
    assert isinstance(permit(number("0123456789"), shut, Used(), CHEAP, DEFAULTS), Permitted)


def test_the_shorter_ceiling_counts() -> None:
    assert strictest(None, None) is None
    assert strictest(Ceiling(5.0), None) == Ceiling(5.0) == strictest(None, Ceiling(5.0))
    assert strictest(Ceiling(9.0), Ceiling(5.0)) == Ceiling(5.0)


def test_nothing_is_limited_where_nothing_is_said() -> None:
    assert (
        Allowance().minutes_per_day is None
        and permit(number("0123456789"), Allowance(), Used(day_s=10**9, day_microeuros=10**12), CHEAP, DEFAULTS)
        == Permitted()
    )
