"""What a call leaves behind, by metadata class (packs CDR_STANDARD, CDR_MINIMAL, CDR_NONE_PROTECTED).

Minimisation happens here, before anything is stored: what a class does not allow never reaches the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal

from config import packs as pack_data
from config.packs import Pack

Direction = Literal["internal", "inbound", "outbound"]

# Upper bounds in seconds, and what a duration below them is called.
_BUCKETS = ((10, "under_10s"), (60, "under_1m"), (300, "under_5m"), (900, "under_15m"), (3600, "under_1h"))
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class MetadataClass(IntEnum):
    """How much is kept. A larger value is stricter."""

    STANDARD = 0
    MINIMAL = 1  # the default at installation
    NONE = 2  # protected lines: no nominative trace (Cass. soc. 4 April 2012)

    @classmethod
    def parse(cls, text: str) -> MetadataClass:
        """From `none`, `minimal`, `standard`. Raises ValueError."""
        for known in cls:
            if str(known) == text.strip().lower():
                return known
        raise ValueError(f"{text!r} is not one of none, minimal, standard")

    def __str__(self) -> str:
        return self.name.lower()


_PACK = {
    MetadataClass.STANDARD: "CDR_STANDARD",
    MetadataClass.MINIMAL: "CDR_MINIMAL",
    MetadataClass.NONE: "CDR_NONE_PROTECTED",
}
_CLASS = {pack: class_ for class_, pack in _PACK.items()}


def pack_of(class_: MetadataClass) -> str:
    """Id of the pack that records of this class are kept under."""
    return _PACK[class_]


def class_of(pack: str) -> MetadataClass:
    """The class whose records are kept under that pack. Raises KeyError for any other pack."""
    return _CLASS[pack]


def class_asked_by(recording_pack: str) -> MetadataClass | None:
    """What the purpose of a line asks for its calls, whatever the line says (`call_records` of the pack)."""
    pack = pack_data.load().get(recording_pack)
    asked = pack.call_records if pack is not None else ""
    return next((class_ for class_, pack_id in _PACK.items() if pack_id == asked), None)


def strictest_class(classes: Iterable[MetadataClass]) -> MetadataClass:
    """The strictest class of the parties wins; minimal where nobody has one."""
    return max(classes, default=MetadataClass.MINIMAL)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Everything known at a call's end. Lives in memory only.

    `numbers`: role ("caller", "callee") to number or account name. `peer_role`: whose country or prefix the minimal
    class keeps. `unlisted`: a help line or the like, whose number is never kept in any class. Durations in seconds.
    """

    call_id: str
    line_id: str | None
    line_pseudonym: str
    direction: Direction
    started_at: datetime
    ended_at: datetime
    talk_s: float
    cause: str
    numbers: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer_role: str = "caller"
    peer_country: str | None = None
    trunk: str | None = None
    cost_cents: int | None = None
    unlisted: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """What is counted whatever the class: nothing that leads to a call or a person."""

    day: str
    direction: str
    trunk: str | None
    minutes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What may be stored. `numbers` are to be sealed apart from `fields`; both are empty for class none.

    `at` is as exact as the class allows. `expires_at` None: there is nothing to expire.
    """

    metadata_class: MetadataClass
    fields: Mapping[str, Any]
    numbers: Mapping[str, str] = field(repr=False)
    totals: Totals
    at: datetime | None
    purpose: str
    legal_basis: str
    pack: str
    pack_version: str
    expires_at: datetime | None


def reduce(facts: CallFacts, class_: MetadataClass, *, packs: Mapping[str, Pack] | None = None) -> Kept:
    """Keep of `facts` just what `class_` allows. Times are taken as UTC; they must be aware."""
    pack = (packs or pack_data.load())[_PACK[class_]]
    start = facts.started_at.astimezone(UTC)
    fields, numbers, at = _NOTHING, dict[str, str](), None
    if class_ is MetadataClass.STANDARD:
        fields, at = _standard(facts), start
        numbers = {} if facts.unlisted else dict(facts.numbers)
    elif class_ is MetadataClass.MINIMAL:
        fields, at = _minimal(facts), start.replace(minute=0, second=0, microsecond=0)
    return Kept(
        metadata_class=class_,
        fields=fields,
        numbers=numbers,
        totals=_totals(facts),
        at=at,
        purpose=pack.purpose,
        legal_basis=pack.legal_basis,
        pack=pack.id,
        pack_version=pack.version,
        expires_at=_expiry(pack, class_, at, facts.ended_at),
    )


def _expiry(pack: Pack, class_: MetadataClass, at: datetime | None, ended_at: datetime) -> datetime | None:
    """Reckoned from the end of the call; in class minimal from the hour of its start, since it stands in clear and an
    end to the second would tell what the fields do not."""
    if at is None or pack.retention is None:
        return None
    return pack.retention.after(at if class_ is MetadataClass.MINIMAL else ended_at)


def _standard(facts: CallFacts) -> dict[str, Any]:
    fields = {
        "call_id": facts.call_id,
        "line_id": facts.line_id,
        "direction": facts.direction,
        "start": facts.started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "duration_s": round(facts.talk_s),
        "trunk": facts.trunk,
        "cause": facts.cause,
        "cost_cents": facts.cost_cents,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _minimal(facts: CallFacts) -> dict[str, Any]:
    return {
        "call_id": facts.call_id,
        "line_pseudonym": facts.line_pseudonym,
        "direction": facts.direction,
        "peer": "unlisted"
        if facts.unlisted
        else peer_of(facts.direction, facts.numbers.get(facts.peer_role, ""), facts.peer_country),
        "start_hour": facts.started_at.astimezone(UTC).strftime("%Y-%m-%dT%HZ"),
        "duration": bucket(facts.talk_s),
        "cause": facts.cause,
    }


def peer_of(direction: str, number: str, country: str | None) -> str:
    """The country; else the first three characters of an international number; else nothing at all."""
    if direction == "internal":
        return "internal"
    if country:
        return country
    return number[:3] if number.startswith("+") and len(number) >= 9 else "unknown"


def bucket(talk_s: float) -> str:
    """A conversation's duration, told apart from few others only."""
    if talk_s <= 0:
        return "none"
    return next((name for bound, name in _BUCKETS if talk_s < bound), "over_1h")


def _totals(facts: CallFacts) -> Totals:
    minutes = int(-(-max(facts.talk_s, 0.0) // 60))
    day = facts.started_at.astimezone(UTC).date().isoformat()
    return Totals(day, facts.direction, facts.trunk, minutes)
