"""Where somebody is, as far as their number tells: time zones and whose public holidays. Pure; who is abroad with a
telephone of their own country is not seen."""

from __future__ import annotations

from dataclasses import dataclass

import phonenumbers

from config import public_holidays
from config.contact_places import place_of
from config.contact_rules import ContactRules


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Every zone and every region that it may be: what is not allowed in one of them is not allowed. Empty: nobody
    knows, and then no hour is known to be a good one."""

    zones: tuple[str, ...]
    holidays: tuple[str, ...]


def whereabouts(e164: str, country: str | None, rules: ContactRules) -> Whereabouts:
    """Of a number in international form. `country`: ISO 3166, None where it has none."""
    place = place_of(rules.places, e164)
    zones = place.zones if place is not None else ()
    regions = place.holidays if place is not None else ()
    if not regions and country is not None and public_holidays.is_known(country):
        regions = (f"{country}+",)
    return Whereabouts(zones or _zones(e164), regions)


def _zones(e164: str) -> tuple[str, ...]:
    from phonenumbers import timezone  # its tables load slowly: only who canvasses waits for them

    try:
        found = timezone.time_zones_for_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return ()
    return () if timezone.UNKNOWN_TIMEZONE in found else tuple(found)
