"""Where a number is, as far as it tells: time zones and public holidays, where the number library is no help."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config import public_holidays
from config.shipped import DataError, check_keys, one_of

_PREFIX = re.compile(r"\+[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Place:
    """`zones` empty: as the number library says. `holidays`: regions of `config.public_holidays`."""

    prefixes: tuple[str, ...]
    zones: tuple[str, ...]
    holidays: tuple[str, ...]
    note: str
    confidence: str


def places(entries: Sequence[Mapping[str, Any]]) -> tuple[Place, ...]:
    """Check the entries of contact_rules.toml. Raises DataError."""
    known = zoneinfo.available_timezones()
    seen: set[str] = set()
    found = []
    for entry in entries:
        where = f"contact_rules.place {', '.join(entry.get('prefixes', ('?',)))}"
        check_keys(where, entry, {"prefixes", "holidays", "confidence"}, {"zones", "note"})
        one_of(where, entry["confidence"], {"V1", "V2", "K", "D"})
        for prefix in entry["prefixes"]:
            if not _PREFIX.fullmatch(prefix) or prefix in seen:
                raise DataError(f"{where}: {prefix} is no prefix, or stands twice")
            seen.add(prefix)
        if strange := set(entry.get("zones", ())) - known:
            raise DataError(f"{where}: no time zone {', '.join(sorted(strange))}")
        if unknown := [region for region in entry["holidays"] if not public_holidays.is_known(region)]:
            raise DataError(f"{where}: no holidays are known of {', '.join(unknown)}")
        found.append(
            Place(
                tuple(entry["prefixes"]),
                tuple(entry.get("zones", ())),
                tuple(entry["holidays"]),
                entry.get("note", ""),
                entry["confidence"],
            )
        )
    return tuple(found)


def place_of(known: Sequence[Place], e164: str) -> Place | None:
    """The place with the longest prefix of the number; None where there is none."""
    fitting = [(len(p), place) for place in known for p in place.prefixes if e164.startswith(p)]
    return max(fitting, key=lambda each: each[0], default=(0, None))[1]
