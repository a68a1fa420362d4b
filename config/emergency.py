"""The emergency numbers of each country (data/emergency.toml), checked when they are read."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.iso import COUNTRIES
from config.shipped import DataError, check_keys, one_of, read

SERVICES = frozenset(
    (  # noqa: SIM905 - a list of quoted words reads worse
        "all medical police fire sea air mountain social children text alert poison gas crisis"
    ).split()
)
CONFIDENCE = frozenset({"V1", "V2", "K", "D"})
_NUMBER = re.compile(r"[0-9]{2,6}")


@dataclass(frozen=True, slots=True)
class EmergencyNumber:
    """One number. ``discreet``: that somebody called it is neither told to colleagues nor kept."""

    number: str
    service: str  # of SERVICES
    discreet: bool


@dataclass(frozen=True, slots=True)
class EmergencyNumbers:
    """All countries. ``unknown`` holds where a country is not listed."""

    version: str
    unknown: Mapping[str, EmergencyNumber]
    countries: Mapping[str, Mapping[str, EmergencyNumber]]

    def of(self, country: str) -> Mapping[str, EmergencyNumber]:
        """The numbers of one country, by what is dialled."""
        return self.countries.get(country, self.unknown)


@functools.cache
def load() -> EmergencyNumbers:
    """The shipped numbers. Raises DataError."""
    return build(read("emergency.toml"))


def build(data: Mapping[str, Any]) -> EmergencyNumbers:
    """Check the file's content. Raises DataError."""
    check_keys("emergency", data, {"version", "checked", "unknown", "countries"}, ())
    unknown = _numbers("emergency.unknown", data["unknown"], ())
    countries: dict[str, Mapping[str, EmergencyNumber]] = {}
    for code, entry in data["countries"].items():
        where = f"emergency.{code}"
        check_keys(where, entry, {"numbers", "basis", "confidence"}, {"also", "discreet", "sources"})
        one_of(where, entry["confidence"], CONFIDENCE)
        numbers = _numbers(where, entry["numbers"], entry.get("discreet", ()))
        for country in (code, *entry.get("also", ())):
            if country not in COUNTRIES or country in countries:
                raise DataError(f"{where}: {country} is no country, or stands twice")
            countries[country] = numbers
    return EmergencyNumbers(data["version"], unknown, countries)


def _numbers(where: str, numbers: Mapping[str, str], discreet: Any) -> Mapping[str, EmergencyNumber]:
    if strange := set(discreet) - numbers.keys():
        raise DataError(f"{where}.discreet: {', '.join(sorted(strange))} is none of its numbers")
    for number, service in numbers.items():
        one_of(f"{where}.{number}", service, SERVICES)
        if not _NUMBER.fullmatch(number):
            raise DataError(f"{where}: {number} is no emergency number")
    if "all" not in numbers.values():
        raise DataError(f"{where}: no number reaches every service")
    return {number: EmergencyNumber(number, service, number in discreet) for number, service in numbers.items()}
