"""How the fields of a call record age (data/metadata_ages.toml), checked when it is read: only ever coarser with age,
and never beyond what the pack of the class allows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from config import packs
from config.packs import Pack
from config.periods import Period
from config.shipped import DataError, check_keys, period, read

# Field to its forms, from fine to coarse.
FORMS: Mapping[str, tuple[str, ...]] = {
    "number": ("full", "keyed", "prefix", "gone"),
    "start": ("second", "hour", "day"),
    "duration": ("second", "bucket", "gone"),
    "cost": ("full", "gone"),
    "evidence": ("full", "gone"),
}
# What each class writes at the end of a call (`retention.metadata`).
WRITTEN: Mapping[str, Mapping[str, str]] = {
    "standard": {"number": "full", "start": "second", "duration": "second", "cost": "full", "evidence": "full"},
    "minimal": {"number": "prefix", "start": "hour", "duration": "bucket"},
}


@dataclass(frozen=True, slots=True)
class Stage:
    """From the age `since` on the field is kept in this form."""

    form: str
    since: Period


@dataclass(frozen=True, slots=True)
class ClassAges:
    """Of one metadata class. `fields`: field to its stages, the finest first."""

    metadata_class: str
    pack: str
    valid_from: date
    why: str
    confidence: str
    fields: Mapping[str, tuple[Stage, ...]]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataAges:
    version: str
    classes: Mapping[str, ClassAges]


@functools.cache
def load() -> MetadataAges:
    """The shipped ages. Raises DataError."""
    return build(read("metadata_ages.toml"), packs.load())


def build(data: Mapping[str, Any], known: Mapping[str, Pack]) -> MetadataAges:
    """Check the file's content against the packs. Raises DataError."""
    check_keys("metadata_ages", data, {"version", "checked", "class"}, ())
    classes = [_class(entry, known) for entry in data["class"]]
    by_name = {one.metadata_class: one for one in classes}
    if len(by_name) != len(classes) or by_name.keys() != WRITTEN.keys():
        raise DataError(f"metadata_ages: the classes are {', '.join(sorted(WRITTEN))}, each once")
    return MetadataAges(data["version"], by_name)


def _class(entry: Mapping[str, Any], known: Mapping[str, Pack]) -> ClassAges:
    name = entry.get("class", "?")
    where = f"metadata_ages.{name}"
    check_keys(where, entry, {"class", "pack", "valid_from", "why", "confidence", "ages"}, {"sources"})
    pack, written = known.get(entry["pack"]), WRITTEN.get(name, {})
    if pack is None or pack.kind != "call_record" or pack.retention is None:
        raise DataError(f"{where}.pack: {entry['pack']} is no pack of call records with a period")
    if not isinstance(entry["valid_from"], date):
        raise DataError(f"{where}.valid_from: write a date without quotes")
    check_keys(f"{where}.ages", entry["ages"], written, ())
    fields = {field: _stages(f"{where}.{field}", field, entry["ages"][field], pack.retention) for field in written}
    for field, stages in fields.items():
        if stages[0].form != written[field]:
            raise DataError(f"{where}.{field}: begins as {written[field]}, not as {stages[0].form}")
    _check_evidence(where, fields)
    return ClassAges(
        name,
        pack.id,
        entry["valid_from"],
        entry["why"],
        entry["confidence"],
        fields,
        tuple(entry.get("sources", ())),
    )


def _stages(where: str, field: str, entry: Mapping[str, str], retention: Period) -> tuple[Stage, ...]:
    check_keys(where, entry, (), FORMS[field])
    stages = tuple(Stage(form, period(where, entry, form) or Period()) for form in entry)
    if not stages or stages[0].since != Period():
        raise DataError(f"{where}: its first form is from P0D on")
    for finer, coarser in zip(stages, stages[1:], strict=False):
        if FORMS[field].index(coarser.form) <= FORMS[field].index(finer.form):
            raise DataError(f"{where}: {coarser.form} after {finer.form} would be finer with age")
        if not coarser.since.at_least_as_long_as(finer.since) or coarser.since == finer.since:
            raise DataError(f"{where}: {coarser.form} from {coarser.since} is not later than {finer.since}")
    if not retention.at_least_as_long_as(stages[-1].since):
        raise DataError(f"{where}: {stages[-1].since} lies beyond {retention}, when the record goes")
    return stages


def _check_evidence(where: str, fields: Mapping[str, tuple[Stage, ...]]) -> None:
    """Evidence leads to a number: it stays no longer than the number itself."""
    if "evidence" not in fields or len(fields["number"]) == 1:
        return
    hidden = fields["number"][1].since
    if len(fields["evidence"]) == 1 or not hidden.at_least_as_long_as(fields["evidence"][1].since):
        raise DataError(f"{where}.evidence: it leads to the number, which is hidden from {hidden} on")
