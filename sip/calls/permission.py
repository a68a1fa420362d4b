"""May this account call that number, and for how long: a pure decision.

Calls abroad, at a raised tariff, to satellites and to numbers that nobody knows are closed until somebody opens them
for the account or for all. Minutes and money of a day and a month make a ceiling on the call. Emergency numbers never
come here; help lines pass whatever has been used up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.rates import Rate
from sip.calls.numbers import Number, NumberClass
from sip.calls.plan import Ceiling, Refusal
from storage.limits import Limits

MIN_TALK_S = 10.0  # for less it is not worth ringing
CAUSE_CLOSED = "not-permitted"
CAUSE_USED_UP = "limit"
_RAISED = frozenset({NumberClass.PREMIUM, NumberClass.SATELLITE, NumberClass.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where neither the account nor the common limits say anything: plain values from the settings."""

    international: bool = False
    premium: bool = False
    minutes_per_day: int | None = None
    cents_per_day: int | None = None
    warn_before_s: float = 60.0
    alert_at_percent: int = 80


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one owner may. None: no limit."""

    international: bool = False
    premium: bool = False
    countries: frozenset[str] = frozenset()  # open beside the own one, where calls abroad are not at large
    minutes_per_day: int | None = None
    minutes_per_month: int | None = None
    cents_per_day: int | None = None
    cents_per_month: int | None = None
    max_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What has been used up, by ended calls and running ones."""

    day_s: float = 0.0
    month_s: float = 0.0
    day_microeuros: int = 0
    month_microeuros: int = 0
    calls: int = 0  # that go on now


@dataclass(frozen=True, slots=True)
class Permitted:
    """The call may begin. ``alerts``: limits of which so much is used that somebody should know."""

    ceiling: Ceiling | None = None
    alerts: tuple[str, ...] = ()


def of_account(own: Limits, common: Limits, defaults: Defaults) -> Allowance:
    """What is said for the account itself counts before what is said for all, and that before the settings. Zero says
    that there is no limit."""

    def first(name: str, last: int | None = None) -> int | None:
        for limits in (own, common):
            value: int | None = getattr(limits, name)
            if value is not None:
                return value
        return last

    def limit(name: str, last: int | None = None) -> int | None:
        return first(name, last) or None

    return Allowance(
        international=bool(first("international", defaults.international)),
        premium=bool(first("premium", defaults.premium)),
        countries=frozenset(own.countries or common.countries),
        minutes_per_day=limit("minutes_per_day", defaults.minutes_per_day),
        minutes_per_month=limit("minutes_per_month"),
        cents_per_day=limit("cents_per_day", defaults.cents_per_day),
        cents_per_month=limit("cents_per_month"),
        max_calls=limit("max_calls"),
    )


def of_trunk(own: Limits) -> Allowance:
    """A trunk is open unless it is closed: its accounts' limits have been asked already."""
    return Allowance(
        international=own.international is not False,
        premium=own.premium is not False,
        countries=frozenset(own.countries),
        minutes_per_day=own.minutes_per_day or None,
        minutes_per_month=own.minutes_per_month or None,
        cents_per_day=own.cents_per_day or None,
        cents_per_month=own.cents_per_month or None,
        max_calls=own.max_calls or None,
    )


def permit(number: Number, allowance: Allowance, used: Used, rate: Rate, defaults: Defaults) -> Permitted | Refusal:
    """The whole decision for one owner. Refusals: 403 "not-permitted" where the number is closed, 403 "limit" where
    minutes or money are used up, 486 "limit" where too many calls go on."""
    if number.class_ is NumberClass.EMERGENCY:
        return Permitted()
    if number.help_line and not number.abroad:
        return Permitted()
    refusal = closed(number, allowance)
    if refusal is not None:
        return refusal
    if allowance.max_calls is not None and used.calls >= allowance.max_calls:
        return Refusal(486, f"Limit Of {allowance.max_calls} Calls Reached", CAUSE_USED_UP, "PROMPT_LIMIT")
    left = min(_left_s(allowance, used, rate), default=None)
    alerts = tuple(near(allowance, used, defaults.alert_at_percent))
    if left is None:
        return Permitted(None, alerts)
    if left < MIN_TALK_S:
        return Refusal(403, "Limit Of Minutes Or Money Reached", CAUSE_USED_UP, "PROMPT_LIMIT")
    warn = (defaults.warn_before_s,) if left > defaults.warn_before_s else ()
    return Permitted(Ceiling(left, warn), alerts)


def closed(number: Number, allowance: Allowance) -> Refusal | None:
    """Whether the kind of number is closed for this owner."""
    if number.abroad and not allowance.international and number.country not in allowance.countries:
        return Refusal(403, "Calls Abroad Are Not Permitted", CAUSE_CLOSED, "PROMPT_NOT_PERMITTED")
    if number.class_ in _RAISED and not allowance.premium:
        return Refusal(403, "Premium Numbers Are Not Permitted", CAUSE_CLOSED, "PROMPT_NOT_PERMITTED")
    return None


def _left_s(allowance: Allowance, used: Used, rate: Rate) -> Iterator[float]:
    """Seconds that each limit leaves."""
    for minutes, seconds in (
        (allowance.minutes_per_day, used.day_s),
        (allowance.minutes_per_month, used.month_s),
    ):
        if minutes is not None:
            yield max(0.0, minutes * 60.0 - seconds)
    for cents, spent in (
        (allowance.cents_per_day, used.day_microeuros),
        (allowance.cents_per_month, used.month_microeuros),
    ):
        if cents is None or (rate.per_call == 0 and rate.per_minute == 0):
            continue
        money = cents * 10_000 - spent - rate.per_call
        if money < 0 or (money == 0 and rate.per_minute):
            yield 0.0
        elif rate.per_minute:
            yield money // rate.per_minute * 60.0


def near(allowance: Allowance, used: Used, percent: int) -> Iterator[str]:
    """Names of the limits of which ``percent`` is used."""
    for name, unit, spent in (
        ("minutes_per_day", 60, used.day_s),
        ("minutes_per_month", 60, used.month_s),
        ("cents_per_day", 10_000, used.day_microeuros),
        ("cents_per_month", 10_000, used.month_microeuros),
    ):
        limit: int | None = getattr(allowance, name)
        if limit and spent * 100 >= limit * unit * percent:
            yield name


def strictest(one: Ceiling | None, other: Ceiling | None) -> Ceiling | None:
    """The shorter of two ceilings."""
    if one is None or other is None:
        return one or other
    return one if one.talk_s <= other.talk_s else other
