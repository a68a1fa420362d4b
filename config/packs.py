"""The shipped policy packs (data/policy_packs.toml), checked when they are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from config.countries import MODES
from config.periods import Period
from config.shipped import DataError, check_keys, one_of, period, read

KINDS = frozenset({"recording", "voicemail", "transcript", "call_record", "usage", "emergency_call", "log", "message"})
LANGUAGES = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a pack speaks of itself in one language, to stand within a prompt's sentence."""

    purpose: str
    basis: str
    recipients: str


@dataclass(frozen=True, slots=True)
class Pack:
    """One purpose with all that follows from it. The keys are explained at the head of the data file."""

    id: str
    version: str
    kind: str
    valid_from: date
    purpose: str
    gdpr: str
    consent: str
    on_refusal: str
    start_event: str
    art17: str
    confidence: str
    retention: Period | None
    minimum: Period | None
    maximum: Period | None
    provisional: Period | None
    content: Period | None = None  # of a message: how long its words are kept
    national: str = ""
    needs_statute: bool = False
    country_rules: str = "all"
    trigger: str = ""
    lossless: bool = False
    destroy_on_objection: bool = True
    two_listeners: bool = False  # nobody opens it alone: a second reader of the purpose agrees each time
    retention_note: str = ""
    minimum_note: str = ""
    maximum_note: str = ""
    then: str = ""
    call_records: str = ""
    forbidden_triggers: tuple[str, ...] = ()
    never_log_destinations: tuple[str, ...] = ()
    early_delete_on: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    pause: tuple[str, ...] = ()
    preconditions: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    keep_only: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sampling: Mapping[str, Any] | None = None
    spoken: Mapping[str, Spoken] | None = None

    @property
    def never_records(self) -> bool:
        """True for REC_NONE: no override, no mode, no consent makes a recording here."""
        return self.trigger == "never"

    @property
    def legal_basis(self) -> str:
        """GDPR article and national text, as shown with each item kept."""
        return f"GDPR {self.gdpr}" + (f"; {self.national}" if self.national else "")

    def problem(self, statute: str, today: date) -> str:
        """Why a line may not use this pack, empty where it may. `statute`: the text entered for the line."""
        if today < self.valid_from:
            return f"{self.id} applies from {self.valid_from}"
        if self.needs_statute and not statute.strip():
            return f"{self.id} rests on a legal duty: enter the text that imposes it ({self.national})"
        return ""


_REQUIRED = frozenset(
    {"id", "kind", "valid_from", "purpose", "gdpr", "consent", "on_refusal", "start_event", "art17", "confidence"}
)
_ALLOWED = frozenset(f.name for f in fields(Pack)) - {"version"}
_PERIODS = ("retention", "minimum", "maximum", "provisional", "content")


@functools.cache
def load() -> Mapping[str, Pack]:
    """Every shipped pack by its id. Raises DataError."""
    return build(read("policy_packs.toml"))


def build(data: Mapping[str, Any]) -> Mapping[str, Pack]:
    """Check the file's content and make packs of it. Raises DataError."""
    check_keys("policy_packs", data, {"version", "checked", "pack"}, ())
    packs = [_pack(entry, data["version"]) for entry in data["pack"]]
    by_id = {pack.id: pack for pack in packs}
    if len(by_id) != len(packs):
        raise DataError("policy_packs: an id stands twice")
    return by_id


def _pack(entry: Mapping[str, Any], version: str) -> Pack:
    where = f"policy_packs.{entry.get('id', '?')}"
    check_keys(where, entry, _REQUIRED, _ALLOWED)
    one_of(where, entry["kind"], KINDS)
    one_of(where, entry["consent"], MODES)
    one_of(where, entry["on_refusal"], {"continue", "end_call", "none"})
    one_of(where, entry.get("country_rules", "all"), {"all", "foreign", "forbidden_only"})
    if not isinstance(entry["valid_from"], date):
        raise DataError(f"{where}.valid_from: write a date without quotes")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    values |= {key: period(where, entry, key) for key in _PERIODS}
    if "spoken" in entry:
        values["spoken"] = {lang: _spoken(f"{where}.{lang}", words) for lang, words in entry["spoken"].items()}
    pack = Pack(version=version, **values)
    _check(where, pack)
    return pack


def _spoken(where: str, entry: Mapping[str, str]) -> Spoken:
    check_keys(where, entry, {"purpose", "basis", "recipients"}, ())
    return Spoken(**entry)


def _check(where: str, pack: Pack) -> None:
    """What must hold between the keys of one pack."""
    if pack.retention is None and not pack.retention_note:
        raise DataError(f"{where}: says nothing about how long")
    for low, high in ((pack.minimum, pack.retention), (pack.retention, pack.maximum)):
        if low and high and not high.at_least_as_long_as(low):
            raise DataError(f"{where}: {high} is shorter than {low}")
    if pack.kind == "message" and (pack.retention is None or pack.content is None):
        raise DataError(f"{where}: how long are its words kept, and how long the rest?")
    if pack.content and pack.retention and not pack.retention.at_least_as_long_as(pack.content):
        raise DataError(f"{where}: its words outlive the message")
    if pack.kind != "recording" or pack.never_records:
        return
    if pack.consent == "none" and not pack.needs_statute:
        raise DataError(f"{where}: recording without asking needs a statute")
    if pack.country_rules != "all" and not pack.needs_statute:
        raise DataError(f"{where}: only a statute displaces the rule of a country")
    if pack.retention is None or set(pack.spoken or {}) != set(LANGUAGES):
        raise DataError(f"{where}: needs a retention and spoken words in {' and '.join(LANGUAGES)}")
    if pack.start_event != "recording_end" and pack.provisional is None:
        raise DataError(f"{where}: nothing says when it expires while {pack.start_event} has not happened")
