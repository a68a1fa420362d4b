"""What is worth an alert (data/alerts.toml): kinds with severity, thresholds, words and a runbook each."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.packs import LANGUAGES
from config.shipped import DataError, check_keys, one_of, read

SEVERITIES = ("critical", "warning", "note")
ROLES = ("admin", "dpo")
ABOUT = frozenset({"none", "person", "trunk", "hold", "account or trunk", "campaign", "carrier", "webhook"})
THRESHOLDS = ("count", "within_min", "after_s", "days", "times", "at_least", "per_mille")
_KIND = re.compile(r"[a-z]+(-[a-z]+)*")
_TEXTS = ("", "means_")


@dataclass(frozen=True, slots=True)
class Runbook:
    """What to do: by language what it means and the steps, and what to type."""

    means: Mapping[str, str]
    steps: Mapping[str, tuple[str, ...]]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alert. `limits`: those of THRESHOLDS that it has."""

    id: str
    severity: str
    tell: tuple[str, ...]
    about: str
    says: Mapping[str, str]
    runbook: Runbook
    limits: Mapping[str, int]


@functools.cache
def load() -> Mapping[str, Kind]:
    """The shipped kinds, by id. Raises DataError."""
    return build(read("alerts.toml"))


def with_limits(kinds: Mapping[str, Kind], changed: Mapping[str, int]) -> Mapping[str, Kind]:
    """The kinds with these thresholds in place of the shipped: "bulk-listening.count" -> 30. Unknown ones count for
    nothing: `unknown` finds them."""
    found = {}
    for name, kind in kinds.items():
        own = {key: changed.get(f"{name}.{key}", value) for key, value in kind.limits.items()}
        found[name] = Kind(kind.id, kind.severity, kind.tell, kind.about, kind.says, kind.runbook, own)
    return found


def unknown(kinds: Mapping[str, Kind], changed: Mapping[str, int]) -> list[str]:
    """Names of thresholds that no kind has."""
    known = {f"{kind.id}.{key}" for kind in kinds.values() for key in kind.limits}
    return sorted(set(changed) - known)


def build(data: Mapping[str, Any]) -> Mapping[str, Kind]:
    """Check the file's content. Raises DataError."""
    check_keys("alerts", data, {"version", "checked", "alert"}, ())
    return {name: _kind(name, entry) for name, entry in data["alert"].items()}


def _kind(name: str, entry: Mapping[str, Any]) -> Kind:
    where = f"alerts.{name}"
    texts = {f"{prefix}{language}" for prefix in _TEXTS for language in LANGUAGES}
    steps = {f"act_{language}" for language in LANGUAGES}
    check_keys(where, entry, {"severity", "tell", "about", "commands", *texts, *steps}, THRESHOLDS)
    if not _KIND.fullmatch(name):
        raise DataError(f"{where}: is no name of a kind")
    one_of(where, entry["severity"], SEVERITIES)
    one_of(where, entry["about"], ABOUT)
    for role in entry["tell"]:
        one_of(where, role, ROLES)
    if not entry["tell"] or not entry["commands"]:
        raise DataError(f"{where}: tells nobody, or has no command in its runbook")
    if ("count" in entry) != ("within_min" in entry):
        raise DataError(f"{where}: count and within_min go together")
    for key in THRESHOLDS:
        if key in entry and not (isinstance(entry[key], int) and entry[key] > 0):
            raise DataError(f"{where}.{key}: is not a whole number above 0")
    lengths = {len(entry[key]) for key in steps}
    if any(not str(entry[key]).strip() for key in texts) or lengths == {0} or len(lengths) != 1:
        raise DataError(f"{where}: an empty text, or as many steps in one language as not in the other")
    return Kind(
        name,
        entry["severity"],
        tuple(entry["tell"]),
        entry["about"],
        {language: str(entry[language]) for language in LANGUAGES},
        Runbook(
            {language: str(entry[f"means_{language}"]) for language in LANGUAGES},
            {language: tuple(str(step) for step in entry[f"act_{language}"]) for language in LANGUAGES},
            tuple(str(command) for command in entry["commands"]),
        ),
        {key: entry[key] for key in THRESHOLDS if key in entry},
    )
