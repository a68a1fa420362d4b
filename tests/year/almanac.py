"""What happens in a year, and when: drawn from a seed, before anything is done. Pure.

The house (`tests.year.house`) carries it out and writes down what came of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

BEGINS = datetime(2027, 7, 1, 6, tzinfo=UTC)  # its last day of February is the 29th
DAY = timedelta(days=1)
STATUTES = {
    "REC_MIFID": "art. L533-10 CMF",
    "REC_INSURANCE_FR": "art. L112-2-2 C. assur.",
    "REC_EMERGENCY": "art. R6311-5 CSP",
    "REC_WHISTLEBLOW": "law 2022-401",
}
# Every pack that a line can be given, in turn, with what the line itself asks for beyond it.
TERMS: tuple[tuple[str, str | None], ...] = (
    ("REC_QUALITY", None),
    ("REC_CONTRACT", None),
    ("REC_MIFID", None),
    ("REC_INSURANCE_FR", None),
    ("REC_EMERGENCY", None),
    ("REC_HEALTH", None),
    ("REC_WHISTLEBLOW", None),
    ("REC_NONE", None),
    ("REC_QUALITY", "opt-in"),
    ("REC_CONTRACT", "opt-out"),
)
CLASSES = ("standard", "minimal", "none")
# Versions of the company's policy: the day on which each comes into force, and for how long it keeps what it says
# something of. Until the first, lines speak for themselves.
VERSIONS: tuple[tuple[int, dict[str, str]], ...] = (
    (170, {}),
    (230, {"REC_QUALITY": "P1M", "CDR_STANDARD": "P2M"}),
    (290, {"REC_QUALITY": "P4M", "CDR_STANDARD": "P3M"}),
)
BECAUSE = ("order", "withdrawal", "no-contract")  # why a recording is ordered to be destroyed
# How a sweep may go wrong. `process`: a real one, ended by SIGKILL at that step.
STEPS = ("begin", "keys", "bytes", "remains", "prove", "narrow")
TROUBLES = (
    *(f"killed:{step}" for step in STEPS),
    *(f"database:{step}" for step in STEPS),
    *("clock:back", "clock:ahead", "two", "hold", "listened"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    lines: int = 30
    calls: int = 3000
    recordings: int = 400
    holds: int = 40
    troubles: int = 120
    processes: int = 12
    mischiefs: int = 24
    policy_changes: int = 30
    contacts: int = 60
    sweeps_a_day: int = 4
    days_between: int = 1  # days on which it sweeps
    wishes: int = 60  # each of: events, orders, requests


SHORT = Scale(
    calls=190, recordings=72, holds=16, troubles=24, processes=3, mischiefs=9, policy_changes=8, contacts=16,
    sweeps_a_day=1, days_between=2, wishes=36,
)  # fmt: skip
SPARSE = replace(SHORT, days_between=6)
LONG = Scale()


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """`about`: what was drawn for it. `draw`: a seed, for what depends on how things stand by then."""

    at: datetime
    number: int
    what: str = field(compare=False)
    about: dict[str, Any] = field(compare=False)
    draw: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class LineDrawn:
    """One line as it is set up."""

    name: str
    number: str
    pack: str
    consent: str | None
    metadata_class: str
    statute: str | None


def lines(scale: Scale) -> list[LineDrawn]:
    """Each pack with each class."""
    made = []
    for n in range(scale.lines):
        pack, consent = TERMS[n % len(TERMS)]
        made.append(
            LineDrawn(f"line{n}", str(400 + n), pack, consent, CLASSES[n // len(TERMS) % 3], STATUTES.get(pack))
        )
    return made


def numbers(count: int = 60) -> list[str]:
    """People outside."""
    return [f"+336{11000000 + 137 * n}" for n in range(count)]


def year(seed: int, scale: Scale) -> list[Happening]:
    """In order of time. The same seed gives the same year."""
    choose = random.Random(seed)  # noqa: S311
    drawn: list[tuple[datetime, str, dict[str, Any]]] = []

    def some(count: int, what: str, **about: Any) -> None:
        for n in range(count):
            at = BEGINS + timedelta(seconds=choose.randrange(365 * 86400))
            drawn.append((at, what, {name: one(n) if callable(one) else one for name, one in about.items()}))

    some(scale.calls - scale.recordings, "call")
    some(scale.recordings, "recorded", line=lambda n: n % scale.lines, seed=lambda n: n)
    some(scale.holds, "hold", scope=lambda n: ("recording", "call", "account", "number", "line")[n % 5])
    some(scale.holds * 2 // 3, "lift")
    some(scale.recordings // 10, "objection")
    some(scale.troubles, "trouble", how=lambda n: TROUBLES[n % len(TROUBLES)])
    some(scale.processes, "trouble", how=lambda n: f"process:{STEPS[n % len(STEPS)]}")
    some(scale.mischiefs, "mischief", how=lambda n: ("removed", "truncated", "swapped")[n % 3])
    some(scale.policy_changes, "policy", pack=lambda n: TERMS[n % len(TERMS)], kind=lambda n: CLASSES[n % 3])
    some(scale.contacts, "contact", kind=lambda n: ("attempt", "consent", "reference")[n % 3])
    some(scale.contacts // 6, "withdrawal")
    some(scale.contacts // 3, "emergency")
    some(scale.contacts, "usage")
    for day in range(0, 366, scale.days_between):
        for turn in range(scale.sweeps_a_day):
            drawn.append((BEGINS + day * DAY + turn * DAY / scale.sweeps_a_day, "sweep", {}))
    drawn.append((BEGINS + 366 * DAY, "sweep", {}))
    drawn += [(BEGINS + day * DAY + DAY / 4, "version", {"kept": kept}) for day, kept in VERSIONS]
    drawn.sort(key=lambda one: one[0])
    happenings = [Happening(at, n, what, about, f"{seed}/{n}") for n, (at, what, about) in enumerate(drawn)]
    for n in range(3 * scale.wishes):
        at = BEGINS + timedelta(seconds=choose.randrange(365 * 86400))
        what, because = ("event", "ordered", "request")[n % 3], BECAUSE[n // 3 % len(BECAUSE)]
        happenings.append(Happening(at, len(drawn) + n, what, {"because": because}, f"{seed}/wish/{n}"))
    return sorted(happenings)
