"""The kinds of rules about contacting people, and how an entry of data/contact_rules.toml becomes one."""

from __future__ import annotations

import re
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
Slot = tuple[time, time]
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
    """`opt_in`: nobody without consent; else until they object. `contract`: a current one stands in for consent.
    `customer`: so does having bought something like it, where the person was told and could object."""

    opt_in: bool
    contract: bool
    customer: bool = False


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
class Hours(Rule):
    """`week`: of each day from Monday on, from and until, the end excluded. `holidays`: public ones are days."""

    week: tuple[tuple[Slot, ...], ...]
    holidays: bool

    @property
    def days(self) -> frozenset[int]:
        """Of the week, Monday is 0."""
        return frozenset(day for day, slots in enumerate(self.week) if slots)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Of all its days together, each once."""
        return tuple(sorted({slot for slots in self.week for slot in slots}))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursRule(Hours):
    """What the law says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursProfile(Hours):
    """What a company binds itself to by its choice: a charter, or better manners. It may narrow a country's own rule;
    only where a country has none does it stand in place of what holds anywhere."""

    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsRule(Rule):
    """At most so many in `days` calendar days, the day itself counted."""

    at_most: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRule(Rule):
    """`deny`: E.164 prefixes that may not be shown; of texts also of short codes, which have no +. `hidden`: whether
    the number may be hidden."""

    deny: tuple[str, ...]
    hidden: bool


_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
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
    contract, customer = entry["contract"] is True, entry.get("customer") is True
    return ConsentRule(opt_in=opt_in, contract=contract, customer=customer, **common)


def _age(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    return ConsentAge(period=_span(where, entry, "period"), **common)


def _sector(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    if not common["sectors"]:
        raise DataError(f"{where}: which sectors?")
    return SectorBan(contract=entry["contract"] is True, **common)


def _refusal(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    return RefusalRule(minimum=_span(where, entry, "minimum"), **common)


def _hours(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    return HoursRule(week=_week(where, entry), holidays=entry["holidays"] is True, **common)


def _profile(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    if not isinstance(entry["profile"], str) or not _NAME.fullmatch(entry["profile"]):
        raise DataError(f"{where}.profile: a name of small letters, digits and hyphens")
    if ANYWHERE in common["countries"]:
        raise DataError(f"{where}: a profile holds in countries that it names, not anywhere")
    return HoursProfile(
        week=_week(where, entry), holidays=entry["holidays"] is True, profile=entry["profile"], **common
    )


def _week(where: str, entry: Mapping[str, Any]) -> tuple[tuple[Slot, ...], ...]:
    """The same slots on some `days`, or slots of its own for each day that is `open`."""
    if ("open" in entry) == ("days" in entry) or ("open" in entry) == ("slots" in entry):
        raise DataError(f"{where}: days with slots, or open by day")
    said = entry["open"] if "open" in entry else dict.fromkeys(entry["days"], entry["slots"])
    _subset(where, said, _DAYS)
    key = "open" if "open" in entry else "slots"
    if not said:
        raise DataError(f"{where}.{key}: never?")
    return tuple(_slots(f"{where}.{key}", said[day]) if day in said else () for day in _DAYS)


def _slots(where: str, said: Any) -> tuple[Slot, ...]:
    try:
        slots = tuple((time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in said)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    edges = [edge for slot in slots for edge in slot]
    if not slots or any(later <= earlier for earlier, later in zip(edges, edges[1:], strict=False)):
        raise DataError(f"{where}: in order, and each with an end after its beginning")
    return slots


def _attempts(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    for key in ("at_most", "days"):
        if not isinstance(entry[key], int) or entry[key] < 1:
            raise DataError(f"{where}.{key}: a number from 1 on")
    return AttemptsRule(at_most=entry["at_most"], days=entry["days"], **common)


def _caller(where: str, entry: Mapping[str, Any], common: Mapping[str, Any]) -> Rule:
    texts_only = common["channels"] == {"sms"}
    if any(not prefix.startswith("+") and not (texts_only and prefix.isdigit()) for prefix in entry["deny"]):
        raise DataError(f"{where}.deny: prefixes begin with +, those of short codes of texts are digits")
    return CallerRule(deny=tuple(entry["deny"]), hidden=entry["hidden"] is True, **common)


_Make = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Rule]
_KINDS: Mapping[str, tuple[set[str], set[str], _Make]] = {
    "consent": ({"ask", "contract"}, {"sectors", "customer"}, _consent),
    "consent_age": ({"period"}, {"sectors"}, _age),
    "sector": ({"sectors", "contract"}, set(), _sector),
    "refusal": ({"minimum"}, set(), _refusal),
    "hours": ({"holidays"}, {"days", "slots", "open", "sectors"}, _hours),
    "hours_profile": ({"profile", "holidays"}, {"days", "slots", "open"}, _profile),
    "attempts": ({"at_most", "days"}, {"sectors"}, _attempts),
    "caller": ({"deny", "hidden"}, set(), _caller),
}
