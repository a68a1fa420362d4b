"""Public holidays, from the package `holidays`. A region is `FR` (the days of the whole country), `FR-57` (those of one
of its parts as well), or `DE+` (those of every part as well: where nobody knows in which one somebody is)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date


@functools.cache
def is_known(region: str) -> bool:
    """Whether its days are known at all."""
    import holidays  # loads slowly: only who canvasses waits for it

    country, _, part = region.removesuffix("+").partition("-")
    parts = holidays.list_supported_countries(include_aliases=False).get(country)
    return parts is not None and (not part or part in parts)


@functools.lru_cache(maxsize=512)
def of(region: str, year: int) -> Mapping[date, str]:
    """Day and name. Raises LookupError where the region is not known."""
    import holidays

    if not is_known(region):
        raise LookupError(region)
    country, _, part = region.removesuffix("+").partition("-")
    found = dict(holidays.country_holidays(country, subdiv=part or None, years=year, language="en_US"))
    if region.endswith("+"):
        for each in holidays.list_supported_countries(include_aliases=False)[country]:
            found = dict(holidays.country_holidays(country, subdiv=each, years=year, language="en_US")) | found
    return {day: name for day, name in found.items() if day.year == year}


def name_of(regions: tuple[str, ...], day: date) -> str | None:
    """What is kept in one of the regions on that day; None where it is an ordinary day. Raises LookupError."""
    return next((name for region in regions if (name := of(region, day.year).get(day)) is not None), None)
