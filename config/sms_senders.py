"""Which names of letters may send, by country (data/sms_senders.toml), checked when it is read."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.emergency import CONFIDENCE
from config.iso import COUNTRIES
from config.shipped import DataError, check_keys, one_of, read

NAME_MOST = 11  # 3GPP TS 23.040 §9.1.2.5
SHAPES = {"letters": re.compile(r"[A-Za-z0-9]+"), "usual": re.compile(r"[A-Za-z0-9 ._&-]+")}
OTHER = "other"
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class NameRules:
    """`shape`: of SHAPES. `least`, `most`: characters. `generic` and `protected`: lower case, letters and digits."""

    shape: str
    least: int
    most: int
    generic: frozenset[str]
    protected: frozenset[str]


@functools.cache
def load() -> Mapping[str, NameRules]:
    """The shipped rules by country; `OTHER` for countries that are not listed. Raises DataError."""
    return build(read("sms_senders.toml"))


def rules_of(country: str) -> NameRules:
    """The rules of one country (ISO 3166)."""
    known = load()
    return known.get(country, known[OTHER])


def build(data: Mapping[str, Any]) -> Mapping[str, NameRules]:
    """Check the file's content. Raises DataError."""
    check_keys("sms_senders", data, {"version", "checked", "names"}, ())
    if OTHER not in data["names"]:
        raise DataError(f"sms_senders.names: {OTHER} is missing")
    found: dict[str, NameRules] = {}
    for code, entry in data["names"].items():
        where = f"sms_senders.names.{code}"
        needed = {"also", "shape", "least", "most", "generic", "protected", "basis", "confidence", "sources"}
        check_keys(where, entry, needed, ())
        one_of(where, entry["confidence"], CONFIDENCE)
        one_of(where, entry["shape"], SHAPES)
        if not 1 <= entry["least"] <= entry["most"] <= NAME_MOST:
            raise DataError(
                f"{where}: from {entry['least']} to {entry['most']} characters is no range up to {NAME_MOST}"
            )
        for word in (*entry["generic"], *entry["protected"]):
            if not _WORD.fullmatch(word):
                raise DataError(f"{where}: {word!r} is not written in small letters and digits")
        rules = NameRules(
            entry["shape"], entry["least"], entry["most"], frozenset(entry["generic"]), frozenset(entry["protected"])
        )
        for country in (code, *entry["also"]):
            if (country not in COUNTRIES and country != OTHER) or country in found:
                raise DataError(f"{where}: {country} is no country, or stands twice")
            found[country] = rules
    return found
