"""The kinds of rules about contacting people, and how an entry of data/contact_rules.toml becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from config.iso import COUNTRIES
from config.periods import Period
from config.shipped import DataError, check_keys, one_of, period

CHANNELS = frozenset({"voice", "sms"})
TARGETS = frozenset({"consumer", "professional"})
ANYWHERE = "*"
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What all rules have. `sectors` empty: of all. `valid_to`: the last day, None while it holds."""

    id: str
    countries: frozenset[str]
    channels: frozenset[str]
    targets: frozenset[str]
    sectors: frozenset[str]
    valid_from: date
    valid_to: date | None
    review_by: date | None
    basis: str
    confidence: str
    sources: tuple[str, ...]

    def concerns(self, channel: str, target: str, sector: str) -> bool:
        return channel in self.channels and target in self.targets and (not self.sectors or sector in self.sectors)

    def in_force(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRule(Rule):
    """`opt_in`: nobody without consent; else until they object. `contract`: a current one stands in for consent."""

    opt_in: bool
    contract: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAge(Rule):
    """A consent is good for `period` at most."""

    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class SectorBan(Rule):
    """Its `sectors` may not be canvassed for. `contract`: but for a current one."""

    contract: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRule(Rule):
    """Nobody is asked again before `minimum` has passed, and never without a new consent."""

    minimum: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursRule(Rule):
    """`days`: of the week, Monday is 0. `slots`: from and until, the end excluded. `holidays`: public ones are days."""

    days: frozenset[int]
    slots: tuple[tuple[time, time], ...]
    holidays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsRule(Rule):
    """At most so many in `days` calendar days, the day itself counted."""

    at_most: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRule(Rule):
    """`deny`: E.164 prefixes that may not be shown. `hidden`: whether the number may be hidden."""

    deny: tuple[str, ...]
    hidden: bool


_COMMON = {"id", "kind", "country", "channels", "targets", "valid_from", "basis", "confidence"}
_MAY = {"also", "valid_to", "review_by", "sources"}


def read_rule(entry: Mapping[str, Any], sectors: Mapping[str, Any]) -> Rule:
    """Check one entry. `sectors`: those that there are. Raises DataError."""
    where = f"contact_rules.{entry.get('id', '?')}"
    kind = one_of(where, entry.get("kind", ""), _KINDS)
    required, optional, make = _KINDS[kind]
    check_keys(where, entry, _COMMON | required, _MAY | optional)
    countries = frozenset({entry["country"], *entry.get("also", ())})
    _subset(where, countries, COUNTRIES | {ANYWHERE})
    _subset(where, entry["channels"], CHANNELS)
    _subset(where, entry["targets"], TARGETS)
    _subset(where, entry.get("sectors", ()), sectors)
    if strange := [word for word in _confidences(entry["confidence"]) if word not in {"V1", "V2", "K", "D"}]:
        raise DataError(f"{where}: confidence {strange[0]}")
    if {"V1", "V2"} & set(_confidences(entry["confidence"])) and not entry.get("sources"):
        raise DataError(f"{where}: where was that read?")
    for key in ("valid_from", "valid_to", "review_by"):
        if key in entry and not isinstance(entry[key], date):
            raise DataError(f"{where}.{key}: write a date without quotes")
    if "valid_to" in entry and entry["valid_to"] < entry["valid_from"]:
        raise DataError(f"{where}: ends before it begins")
    common = {
        "id": entry["id"],
        "countries": countries,
        "channels": frozenset(entry["channels"]),
        "targets": frozenset(entry["targets"]),
        "sectors": frozenset(entry.get("sectors", ())),
        "valid_from": entry["valid_from"],
        "valid_to": entry.get("valid_to"),
        "review_by": entry.get("review_by"),
        "basis": entry["basis"],
        "confidence": entry["confidence"],
        "sources": tuple(entry.get("sources", ())),
    }
    return make(where, entry, common)


def _confidences(text: str) -> Iterator[str]:
    """`V1; overseas K` has two: the last word of each part."""
    return (part.split()[-1] for part in text.split(";") if part.strip())


def _subset(where: str, given: Any, allowed: Any) -> None:
    if strange := set(given) - set(allowed):
        raise DataError(f"{where}: {', '.join(sorted(strange))} is not known here")


def _span(where: str, entry: Mapping[str, Any], key: str) -> Period:
    found = period(where, entry, key)
    if found is None or found == Period():
        raise DataError(f"{where}.{key}: how long?")
    return found


def _consent(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    opt_in = one_of(where, entry["ask"], {"opt-in", "opt-out"}) == "opt-in"
    return ConsentRule(opt_in=opt_in, contract=entry["contract"] is True, **common)


def _age(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    return ConsentAge(period=_span(where, entry, "period"), **common)


def _sector(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    if not common["sectors"]:
        raise DataError(f"{where}: which sectors?")
    return SectorBan(contract=entry["contract"] is True, **common)


def _refusal(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    return RefusalRule(minimum=_span(where, entry, "minimum"), **common)


def _hours(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    _subset(where, entry["days"], _DAYS)
    try:
        slots = tuple((time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in entry["slots"])
    except ValueError as error:
        raise DataError(f"{where}.slots: {error}") from None
    edges = [edge for slot in slots for edge in slot]
    if not slots or any(later <= earlier for earlier, later in zip(edges, edges[1:], strict=False)):
        raise DataError(f"{where}.slots: in order, and each with an end after its beginning")
    days = frozenset(_DAYS.index(day) for day in entry["days"])
    return HoursRule(days=days, slots=slots, holidays=entry["holidays"] is True, **common)


def _attempts(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    for key in ("at_most", "days"):
        if not isinstance(entry[key], int) or entry[key] < 1:
            raise DataError(f"{where}.{key}: a number from 1 on")
    return AttemptsRule(at_most=entry["at_most"], days=entry["days"], **common)


def _caller(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    if any(not prefix.startswith("+") for prefix in entry["deny"]):
        raise DataError(f"{where}.deny: prefixes begin with +")
    return CallerRule(deny=tuple(entry["deny"]), hidden=entry["hidden"] is True, **common)


_Make = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Rule]
_KINDS: Mapping[str, tuple[set[str], set[str], _Make]] = {
    "consent": ({"ask", "contract"}, {"sectors"}, _consent),
    "consent_age": ({"period"}, {"sectors"}, _age),
    "sector": ({"sectors", "contract"}, set(), _sector),
    "refusal": ({"minimum"}, set(), _refusal),
    "hours": ({"days", "slots", "holidays"}, {"sectors"}, _hours),
    "attempts": ({"at_most", "days"}, {"sectors"}, _attempts),
    "caller": ({"deny", "hidden"}, set(), _caller),
}
