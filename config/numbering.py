"""How people dial, where the number library does not know it (data/numbering.toml), checked when it is read."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.emergency import CONFIDENCE
from config.iso import COUNTRIES
from config.shipped import DataError, check_keys, one_of, read

SHORT_CLASSES = frozenset({"toll_free", "short", "national", "shared_cost", "premium"})
_DIGITS = re.compile(r"[0-9]{1,9}")
_PREFIX = re.compile(r"\+[0-9]{2,9}")
_HELP = re.compile(r"[0-9]{3,6}|\+[0-9]{7,15}")


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """One national plan that spans several country codes."""

    members: frozenset[str]
    trunk_prefix: str
    digits: int  # after the trunk prefix
    home_code: int
    codes: Mapping[str, int]  # leading digits -> country code
    drops: Mapping[str, int]  # leading digits that are not part of the number abroad -> country code

    def place(self, digits: str) -> tuple[int, str]:
        """Country code and national number there, of the digits after the trunk prefix."""
        for length in range(len(digits), 0, -1):
            head = digits[:length]
            if head in self.drops:
                return self.drops[head], digits[length:]
            if head in self.codes:
                return self.codes[head], digits
        return self.home_code, digits


@dataclass(frozen=True, slots=True)
class Overseas:
    """A part of the state with a country code of its own. ``like_abroad``: it costs as a call abroad does."""

    code: int
    like_abroad: bool


@dataclass(frozen=True, slots=True)
class Numbering:
    """Everything in the file."""

    version: str
    plans: Mapping[str, SharedPlan]  # by each member country
    overseas: Mapping[str, Overseas]
    short: Mapping[str, Mapping[str, str]]  # country -> short number -> class
    special: Mapping[str, Mapping[str, str]]  # country -> leading national digits -> class
    canvassing: tuple[str, ...]  # E.164 prefixes
    not_presentable: tuple[str, ...]
    satellite: tuple[str, ...]
    premium: tuple[str, ...]
    help_everywhere: frozenset[str]
    help_lines: Mapping[str, frozenset[str]]

    def is_help_line(self, number: str, country: str) -> bool:
        """``number``: E.164, or short as dialled in ``country``."""
        if number.startswith("+"):
            return any(number in listed for listed in self.help_lines.values())
        return number in self.help_everywhere or number in self.help_lines.get(country, ())


@functools.cache
def load() -> Numbering:
    """The shipped data. Raises DataError."""
    return build(read("numbering.toml"))


_SECTIONS = ("plan", "overseas", "short", "special", "canvassing", "not_presentable")
_WORLD = ("satellite", "premium_worldwide")


def build(data: Mapping[str, Any]) -> Numbering:
    """Check the file's content. Raises DataError."""
    check_keys("numbering", data, {"version", "checked", "help_lines", *_SECTIONS, *_WORLD}, ())
    plans = {code: _plan(f"numbering.plan.{code}", entry) for code, entry in data["plan"].items()}
    spread = {member: plan for plan in plans.values() for member in plan.members}
    overseas = {code: _overseas(code, entry) for code, entry in data["overseas"].items()}
    help_lines = data["help_lines"]
    check_keys("numbering.help_lines", help_lines, {"everywhere", "basis", "confidence", "countries"}, ())
    return Numbering(
        version=data["version"],
        plans=spread,
        overseas=overseas,
        short=_shared({code: _short(code, rows) for code, rows in data["short"].items()}, plans),
        special=_shared({code: _special(code, rows) for code, rows in data["special"].items()}, plans),
        canvassing=tuple(_each_prefix("canvassing", data["canvassing"])),
        not_presentable=tuple(_each_prefix("not_presentable", data["not_presentable"])),
        satellite=_prefixes("numbering.satellite", data["satellite"]),
        premium=_prefixes("numbering.premium_worldwide", data["premium_worldwide"]),
        help_everywhere=_help("everywhere", help_lines["everywhere"]),
        help_lines={code: _help(code, listed) for code, listed in help_lines["countries"].items()},
    )


def _shared(by_country: dict[str, Mapping[str, str]], plans: Mapping[str, SharedPlan]) -> dict[str, Mapping[str, str]]:
    """Whoever shares the plan shares its short and special numbers."""
    for code, plan in plans.items():
        if code in by_country:
            by_country |= dict.fromkeys(plan.members, by_country[code])
    return by_country


def _plan(where: str, entry: Mapping[str, Any]) -> SharedPlan:
    required = {"members", "trunk_prefix", "digits", "home_code", "codes", "drop", "basis", "confidence"}
    check_keys(where, entry, required, {"sources"})
    one_of(where, entry["confidence"], CONFIDENCE)
    if strange := set(entry["members"]) - COUNTRIES:
        raise DataError(f"{where}.members: {', '.join(sorted(strange))} is no country")
    codes = dict(_by_prefix(where, entry["codes"]))
    drops = dict(_by_prefix(where, entry["drop"]))
    if codes.keys() & drops.keys():
        raise DataError(f"{where}: a prefix leads to two places")
    return SharedPlan(
        frozenset(entry["members"]), entry["trunk_prefix"], entry["digits"], entry["home_code"], codes, drops
    )


def _by_prefix(where: str, codes: Mapping[str, list[str]]) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for code, prefixes in codes.items():
        for prefix in prefixes:
            if not _DIGITS.fullmatch(prefix) or prefix in seen:
                raise DataError(f"{where}: {prefix} is no prefix, or stands twice")
            seen.add(prefix)
            yield prefix, int(code)


def _overseas(code: str, entry: Mapping[str, Any]) -> Overseas:
    where = f"numbering.overseas.{code}"
    check_keys(where, entry, {"code", "like_abroad", "confidence"}, ())
    one_of(where, entry["confidence"], CONFIDENCE)
    if code not in COUNTRIES:
        raise DataError(f"{where}: no such country")
    return Overseas(entry["code"], entry["like_abroad"])


def _short(country: str, rows: list[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        where = f"numbering.short.{country}"
        check_keys(where, row, {"class", "basis", "confidence"}, {"from", "to", "each"})
        one_of(where, row["class"], SHORT_CLASSES)
        one_of(where, row["confidence"], CONFIDENCE)
        for number in row.get("each", ()) or _range(where, row.get("from", ""), row.get("to", "")):
            if not _DIGITS.fullmatch(number):
                raise DataError(f"{where}: {number} is no short number")
            found.setdefault(number, row["class"])
    return found


def _range(where: str, first: str, last: str) -> Iterator[str]:
    if len(first) != len(last) or not first.isdigit() or not last.isdigit() or first > last:
        raise DataError(f"{where}: from {first} to {last} is no range")
    yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))


def _special(country: str, rows: list[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        where = f"numbering.special.{country}"
        check_keys(where, row, {"prefixes", "class", "basis", "confidence"}, ())
        one_of(where, row["class"], SHORT_CLASSES)
        one_of(where, row["confidence"], CONFIDENCE)
        for prefix in row["prefixes"]:
            if not _DIGITS.fullmatch(prefix) or prefix in found:
                raise DataError(f"{where}: {prefix} is no prefix, or stands twice")
            found[prefix] = row["class"]
    return found


def _each_prefix(name: str, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for country, entry in entries.items():
        yield from _prefixes(f"numbering.{name}.{country}", entry)


def _prefixes(where: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    check_keys(where, entry, {"prefixes", "basis", "confidence"}, {"sources"})
    one_of(where, entry["confidence"], CONFIDENCE)
    for prefix in entry["prefixes"]:
        if not _PREFIX.fullmatch(prefix):
            raise DataError(f"{where}: {prefix} does not begin with + and a country code")
    return tuple(entry["prefixes"])


def _help(where: str, numbers: list[str]) -> frozenset[str]:
    for number in numbers:
        if not _HELP.fullmatch(number):
            raise DataError(f"numbering.help_lines.{where}: {number} is no number")
    return frozenset(numbers)
