"""What calls cost (data/rates.toml, or the company's own <data>/rates.toml in its place), for limits of money."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.iso import COUNTRIES
from config.shipped import DataError, check_keys, read

CLASSES = frozenset(
    (  # noqa: SIM905 - a list of quoted words reads worse
        "emergency short national mobile overseas international premium shared_cost toll_free satellite unknown"
    ).split()
)
_ORDINARY = frozenset({"national", "mobile", "overseas", "international"})  # what a country's own row speaks of
_MOST = 1_000_000_000  # microeuros: a thousand euros a minute is a slip of the pen


@dataclass(frozen=True, slots=True)
class Rate:
    """Microeuros for each minute begun, and once when the call is answered."""

    per_minute: int
    per_call: int

    def cost(self, seconds: float) -> int:
        """Microeuros of a call that was answered and lasted so long."""
        return self.per_call + self.per_minute * int(-(-seconds // 60)) if seconds > 0 else 0


@dataclass(frozen=True, slots=True)
class Rates:
    """All rows. ``examples``: nobody has entered the provider's prices."""

    version: str
    examples: bool
    by_prefix: Mapping[str, Rate]
    by_country: Mapping[tuple[str, str], Rate]  # country, class ("" for every class)
    by_class: Mapping[str, Rate]

    def of(self, number: str, country: str | None, class_: str) -> Rate:
        """``number``: E.164, or short. ``class_``: of CLASSES."""
        for length in range(len(number), 1, -1):
            if found := self.by_prefix.get(number[:length]):
                return found
        keys = [(country or "", class_)] + [(country or "", "")] * (class_ in _ORDINARY)
        for key in keys:
            if found := self.by_country.get(key):
                return found
        return self.by_class[class_]


def load(own: Path | None = None) -> Rates:
    """The company's prices where the file ``own`` is there, else the shipped examples. Raises DataError."""
    if own is None or not own.exists():
        return build(read("rates.toml"), "rates.toml")
    try:
        return build(tomllib.loads(own.read_text(encoding="utf-8")), str(own))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{own}: {error}") from error


def build(data: Mapping[str, Any], where: str) -> Rates:
    """Check the file's content. Raises DataError."""
    check_keys(where, data, {"version", "rate"}, {"checked", "examples"})
    by_prefix: dict[str, Rate] = {}
    by_country: dict[tuple[str, str], Rate] = {}
    by_class: dict[str, Rate] = {}
    if not isinstance(data["rate"], list):
        raise DataError(f"{where}: write each price as [[rate]]")
    for number, row in enumerate(data["rate"], 1):
        at = f"{where}, rate {number}"
        if not isinstance(row, Mapping):
            raise DataError(f"{at}: write each price as [[rate]]")
        check_keys(at, row, {"per_minute", "per_call"}, {"prefix", "country", "class"})
        rate = Rate(_price(at, row["per_minute"]), _price(at, row["per_call"]))
        match row.get("prefix"), row.get("country"), row.get("class"):
            case str(prefix), None, None if prefix.lstrip("+").isdigit():
                _once(at, by_prefix, prefix, rate)
            case None, str(country), str(class_) if country in COUNTRIES and class_ in CLASSES:
                _once(at, by_country, (country, class_), rate)
            case None, str(country), None if country in COUNTRIES:
                _once(at, by_country, (country, ""), rate)
            case None, None, str(class_) if class_ in CLASSES:
                _once(at, by_class, class_, rate)
            case _:
                raise DataError(f"{at}: give a prefix, or a country and perhaps a class, or a class")
    if missing := CLASSES - by_class.keys():
        raise DataError(f"{where}: no rate for {', '.join(sorted(missing))}")
    return Rates(str(data["version"]), bool(data.get("examples", False)), by_prefix, by_country, by_class)


def _price(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise DataError(f"{where}: a price is a whole number of microeuros")
    return value


def _once(where: str, rows: dict[Any, Rate], key: object, rate: Rate) -> None:
    if key in rows:
        raise DataError(f"{where}: the same rate stands twice")
    rows[key] = rate
