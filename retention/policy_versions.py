"""Which version of the policy is in force, and what a version waits for. Pure: versions, entries and a moment in.

A version is a draft until enough persons have approved exactly its body; then it comes into force at its date, once
everything that its packs require beforehand is entered in the register of preconditions. The newest that has come into
force holds; every other one is superseded. Nothing here is stored: it follows from what was written down, and `now`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from config.packs import Pack
from retention.policy import Policy, Rule


class State(Enum):
    DRAFT = "draft"
    WAITING = "approved"  # for its date, or for a precondition
    IN_FORCE = "in force"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"
    BROKEN = "altered"  # its approvals are about another body: never in force


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's. `sha256`: of the body that was approved. `needed`: how many persons had to, at that time.
    `genuine`: its signature was checked."""

    person_id: str
    at: datetime
    sha256: str
    needed: int
    genuine: bool = True


@dataclass(frozen=True, slots=True)
class Version:
    """A policy as it is kept. `sha256`: of its body as it stands now."""

    policy: Policy
    sha256: str
    approvals: tuple[Approval, ...] = ()
    discarded_at: datetime | None = None  # a draft only: what is approved is superseded, never taken back

    @property
    def approved_at(self) -> datetime | None:
        """When the last person that was needed approved; None: not enough have, or one approved something else."""
        if not self.approvals or self.altered:
            return None
        in_order = sorted(self.approvals, key=lambda one: one.at)
        persons = set[str]()
        for approval in in_order:
            persons.add(approval.person_id)
            if len(persons) >= approval.needed:
                return approval.at
        return None

    @property
    def altered(self) -> bool:
        return any(not one.genuine or one.sha256 != self.sha256 for one in self.approvals)

    @property
    def starts(self) -> datetime | None:
        """From when it may be in force, where it is approved."""
        approved = self.approved_at
        if approved is None:
            return None
        if self.policy.at_approval:
            return approved
        return max(self.policy.valid_from, approved) if self.policy.valid_from is not None else None


@dataclass(frozen=True, slots=True)
class Precondition:
    """An entry of the register: what was done before recording began. `pack` "*": whatever the pack. `line` None: for
    every line. `entered_at`: since when it counts; `withdrawn_at`: until when it did."""

    id: str
    kind: str
    pack: str
    line: str | None
    entered_at: datetime
    withdrawn_at: datetime | None = None

    def counts(self, at: datetime) -> bool:
        return self.entered_at <= at and (self.withdrawn_at is None or at < self.withdrawn_at)


@dataclass(frozen=True, slots=True)
class Missing:
    """A precondition that a rule's pack has and nobody has entered."""

    rule: str
    kind: str
    pack: str
    line: str | None


def missing(policy: Policy, packs: Mapping[str, Pack], entries: Iterable[Precondition], at: datetime) -> list[Missing]:
    """What is not entered at that moment, rule by rule."""
    counting = [entry for entry in entries if entry.counts(at)]
    return [lack for rule in policy.rules for lack in _missing(rule, packs.get(rule.pack), counting)]


def _missing(rule: Rule, pack: Pack | None, counting: Sequence[Precondition]) -> list[Missing]:
    line = rule.scope.line
    return [
        Missing(rule.name, kind, rule.pack, line)
        for kind in (pack.preconditions if pack is not None else ())
        if not any(e.kind == kind and e.pack in ("*", rule.pack) and e.line in (None, line) for e in counting)
    ]


def suspended(
    policy: Policy, packs: Mapping[str, Pack], entries: Iterable[Precondition], at: datetime
) -> dict[str, str]:
    """Rules that record nothing just now, because an entry was withdrawn: name -> what is missing."""
    found: dict[str, list[str]] = {}
    for lack in missing(policy, packs, entries, at):
        found.setdefault(lack.rule, []).append(lack.kind)
    return {name: ", ".join(kinds) for name, kinds in found.items()}


def in_force_since(
    version: Version, packs: Mapping[str, Pack], entries: Sequence[Precondition], now: datetime
) -> datetime | None:
    """The first moment, up to `now`, at which it was approved, its date had come and nothing was missing."""
    starts = version.starts
    if starts is None or starts > now:
        return None
    moments = {starts, *(entry.entered_at for entry in entries if starts < entry.entered_at <= now)}
    return next((at for at in sorted(moments) if not missing(version.policy, packs, entries, at)), None)


def in_force(
    versions: Iterable[Version], packs: Mapping[str, Pack], entries: Sequence[Precondition], now: datetime
) -> Version | None:
    """The newest that has come into force by `now`; None before the first. Clock and data decide, nothing is stored."""
    for version in sorted(versions, key=lambda one: -one.policy.number):
        if in_force_since(version, packs, entries, now) is not None:
            return version
    return None


def state(
    version: Version,
    versions: Iterable[Version],
    packs: Mapping[str, Pack],
    entries: Sequence[Precondition],
    now: datetime,
) -> State:
    """What a version is at `now`."""
    if version.altered:
        return State.BROKEN
    if version.approved_at is None:
        return State.DISCARDED if version.discarded_at is not None else State.DRAFT
    holds = in_force(versions, packs, entries, now)
    if holds is None or holds.policy.number < version.policy.number:
        return State.WAITING
    return State.IN_FORCE if holds.policy.number == version.policy.number else State.SUPERSEDED


def altered_since(versions: Iterable[Version], holds: Version | None) -> int | None:
    """Number of a version that is newer than the one in force and was changed after somebody had approved it: nobody
    knows what it said, so nothing is recorded until it is looked at."""
    after = holds.policy.number if holds is not None else 0
    return max((one.policy.number for one in versions if one.altered and one.policy.number > after), default=None)


def next_change(versions: Iterable[Version], now: datetime) -> datetime | None:
    """The next date on which one of them may come into force."""
    return min((at for one in versions if (at := one.starts) is not None and at > now), default=None)
