"""How a call record ages, field by field. Pure: a record and a moment in, what becomes of it and why out.

Masking or hashing is not erasure (EDPB, February 2026): a keyed number is still personal data, and still expires. What
ends it is that its month's key goes; what ends the record is its expiry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import phonenumbers

from config.metadata_ages import FORMS, MetadataAges, Stage
from config.packs import Pack
from retention.metadata import bucket, peer_of
from retention.receipt import stamp


@dataclass(frozen=True, slots=True)
class Aging:
    """A call record as it is stored. `keyed`: it has hashes under its month's key instead of numbers."""

    call_id: str
    metadata_class: str
    at: datetime
    expires_at: datetime
    fields: Mapping[str, Any]
    numbers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One field that becomes coarser. `since`: when it was due. `rule`: "standard.number.keyed@2026-11-28.1"."""

    field: str
    present: str
    form: str
    since: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a field is as it is, and until when. `until`: the next step, or the end of the whole record."""

    field: str
    form: str
    rule: str
    until: datetime
    then: str


@dataclass(frozen=True, slots=True)
class Aged:
    """What the record becomes, in one act. `to_key`: role to number, to be hashed under the month's key; what hashes
    it has stay where `keyed`, else they go. `ages_at`: the next step, None where only the expiry is left."""

    at: datetime
    expires_at: datetime
    fields: Mapping[str, Any]
    numbers: Mapping[str, str] = field(repr=False)
    to_key: Mapping[str, str] = field(repr=False)
    keyed: bool
    ages_at: datetime | None


def month_of(at: datetime) -> str:
    """Whose key hashes the numbers of a call that began then: "2026-11", UTC."""
    return at.astimezone(UTC).strftime("%Y-%m")


def due_ageing(record: Aging, ages: MetadataAges, now: datetime) -> list[Step]:
    """What is to become coarser by `now`; of steps that were missed only the last. Empty: nothing."""
    steps = []
    for name, stages in _stages(record, ages):
        present = form_of(record, name)
        stage = _stage_at(stages, record.at, now)
        if _rank(name, stage.form) > _rank(name, present):
            rule = _rule(record, name, stage, ages)
            steps.append(Step(name, present, stage.form, stage.since.after(record.at), rule))
    return steps


def aged(record: Aging, ages: MetadataAges, now: datetime, packs: Mapping[str, Pack]) -> Aged:
    """The record as it is to be from `now` on. Nothing in it is finer than before."""
    forms = {step.field: step.form for step in due_ageing(record, ages, now)}
    fields = dict(record.fields)
    numbers, to_key, keyed = dict(record.numbers), dict[str, str](), record.keyed
    if "number" in forms:
        _hide_peer(record, fields, forms["number"])
        to_key = numbers if forms["number"] == "keyed" else {}
        numbers, keyed = {}, forms["number"] == "keyed"
    if "duration" in forms:
        seconds = fields.pop("duration_s", None)
        if forms["duration"] == "gone":
            fields.pop("duration", None)
        else:
            fields["duration"] = bucket(seconds or 0)
    for name, key in (("cost", "cost_cents"), ("evidence", "contact_evidence")):
        if name in forms:
            fields.pop(key, None)
    at, expires_at = record.at.astimezone(UTC), record.expires_at
    if "start" in forms:
        at = _rounded(at, forms["start"])
        _round_start(fields, at, forms["start"])
        # An end to the second would tell what the start no longer does.
        pack = packs[ages.classes[record.metadata_class].pack]
        expires_at = min(_rounded(expires_at, forms["start"]), pack.retention.after(at) if pack.retention else at)
    changed = Aging(record.call_id, record.metadata_class, at, expires_at, fields, numbers, keyed)
    return Aged(at, expires_at, fields, numbers, to_key, keyed, next_at(changed, ages, now))


def next_at(record: Aging, ages: MetadataAges, now: datetime) -> datetime | None:
    """When the next field of it ages: a moment that is past where one is overdue. None: none before it expires."""
    found = [step.since for step in due_ageing(record, ages, now)]
    for name, stages in _stages(record, ages):
        rank = _rank(name, form_of(record, name))
        found += [
            s.since.after(record.at) for s in stages if _rank(name, s.form) > rank and s.since.after(record.at) > now
        ]
    moment = min(found, default=None)
    return None if moment is None or moment >= record.expires_at else moment


def explain(record: Aging, ages: MetadataAges, now: datetime) -> list[Explained]:
    """Each field that ages: in which form it is, by which rule, and what comes when."""
    said = []
    for name, stages in _stages(record, ages):
        present = form_of(record, name)
        stage = next((one for one in stages if one.form == present), _stage_at(stages, record.at, now))
        rule = _rule(record, name, stage, ages)
        later = [one for one in stages if _rank(name, one.form) > _rank(name, present)]
        until = later[0].since.after(record.at) if later else record.expires_at
        if later and until < record.expires_at:
            said.append(Explained(name, present, rule, until, later[0].form))
        else:
            said.append(Explained(name, present, rule, record.expires_at, "the record goes"))
    return said


def because(steps: list[Step]) -> str:
    """In one line, for a list of what is due: "number full>keyed since 2026-11-28T12:00:00Z by ..."."""
    return "; ".join(f"{s.field} {s.present}>{s.form} since {stamp(s.since)} by {s.rule}" for s in steps)


def month_key_due(month: str, ages: MetadataAges, packs: Mapping[str, Pack]) -> datetime:
    """From when on no record of that month may be under its key any more: then the key goes."""
    year, number = (int(part) for part in month.split("-"))
    ended = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    due = ended
    for one in ages.classes.values():
        forms = [stage.form for stage in one.fields["number"]]
        if "keyed" in forms:
            later = one.fields["number"][forms.index("keyed") + 1 :]
            over = later[0].since if later else packs[one.pack].retention
            due = max(due, over.after(ended) if over is not None else ended)
    return due


def form_of(record: Aging, name: str) -> str:
    """In which form a record holds a field now. What it never held is in the coarsest."""
    has = record.fields.__contains__
    match name:
        case "number":
            found = "full" if record.numbers else "keyed" if record.keyed else "prefix" if has("peer") else "gone"
        case "start":
            found = "second" if has("start") else "hour" if has("start_hour") else "day"
        case "duration":
            found = "second" if has("duration_s") else "bucket" if has("duration") else "gone"
        case "cost":
            found = "full" if has("cost_cents") else "gone"
        case _:
            found = "full" if has("contact_evidence") else "gone"
    return found


def _stages(record: Aging, ages: MetadataAges) -> list[tuple[str, tuple[Stage, ...]]]:
    known = ages.classes.get(record.metadata_class)
    return [] if known is None else list(known.fields.items())


def _stage_at(stages: tuple[Stage, ...], at: datetime, now: datetime) -> Stage:
    return [stage for stage in stages if stage.since.after(at) <= now or stage is stages[0]][-1]


def _rank(name: str, form: str) -> int:
    return FORMS[name].index(form)


def _rule(record: Aging, name: str, stage: Stage, ages: MetadataAges) -> str:
    return f"{record.metadata_class}.{name}.{stage.form}@{ages.version}"


def _hide_peer(record: Aging, fields: dict[str, Any], form: str) -> None:
    if form == "gone":
        fields.pop("peer", None)
    elif record.numbers:
        fields["peer"] = peer(fields, record.numbers)


def peer(fields: Mapping[str, Any], numbers: Mapping[str, str]) -> str:
    """What a record says, or will say, of the other side's country."""
    if not numbers:
        return str(fields.get("peer", "unknown"))
    direction = str(fields.get("direction", ""))
    number = numbers.get("callee" if direction == "outbound" else "caller", "")
    return peer_of(direction, number, _country(number))


def _country(number: str) -> str | None:
    """ISO 3166; None where the number has none (satellites have "001")."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
    return region if region is not None and region.isalpha() else None


def _rounded(moment: datetime, form: str) -> datetime:
    whole = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole.replace(hour=0) if form == "day" else whole


def _round_start(fields: dict[str, Any], at: datetime, form: str) -> None:
    for key in ("start", "start_hour", "start_day"):
        fields.pop(key, None)
    if form == "hour":
        fields["start_hour"] = at.strftime("%Y-%m-%dT%HZ")
    else:
        fields["start_day"] = at.strftime("%Y-%m-%d")
