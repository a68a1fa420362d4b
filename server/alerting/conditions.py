"""Rules over how the house is: what holds that should not, and for how long. Pure: a look in, alerts out.

A condition is raised once, when it has held for long enough, and again only after it was over. What nobody can tell
just now (None) changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.alerts import Kind
from server.alerting.raised import Raised, Windows

Key = tuple[str, str]
SILENT: Key = ("database-silent", "")  # it says itself since when
COUNTED = {
    "bans": "ban-wave",
    "worker_deaths": "worker-deaths",
    "relayed": "emergency-alone",
    "without_a_way": "emergency-failed",
    "reports_missed": "emergency-failed",
    "texts_unknown": "texts-unknown",
    "forged": "sender-forged",
}


@dataclass(frozen=True, slots=True)
class Sensed:
    """One look at the house. `counts`: counters since the start, by the names of COUNTED. `near`: owners of limits
    that are nearly used up since the last look. Megabytes."""

    edge: bool | None = None
    recorder: bool | None = None
    database_silent_s: float = 0.0
    trunks: Mapping[str, bool | None] | None = None  # by id: up, down, not known yet
    carriers: Mapping[str, bool] | None = None  # of texts, by name
    webhooks: Mapping[str, bool | None] | None = None  # by name: takes what it is told, does not, not known yet
    free_mb: int | None = None
    needed_mb: int = 0
    certificate_until: datetime | None = None
    sweep: str | None = None  # "", "missed" or "clock"
    orphans: int | None = None  # at the newest look
    ledger_sound: bool | None = None
    holds_overdue: frozenset[str] | None = None
    rules_overdue: bool | None = None
    unexpected: bool | None = None  # a connection goes out that nothing expects
    counts: Mapping[str, int] = field(default_factory=dict)
    near: tuple[str, ...] = ()
    opt_outs: tuple[str, ...] = ()  # campaigns that many have answered STOP, since the last look


@dataclass(frozen=True, slots=True)
class Found:
    """What a look came to."""

    raised: tuple[Raised, ...]
    over: tuple[Key, ...]


class Conditions:
    """What held at the last look, and since when."""

    def __init__(self, kinds: Mapping[str, Kind], standing: Iterable[Key] = ()) -> None:
        """``standing``: what has been raised already and was not over when somebody last looked."""
        self.apply(kinds)
        self._since_s: dict[Key, float] = {}
        self._standing = set(standing)
        self._counts: dict[str, int] = {}

    def apply(self, kinds: Mapping[str, Kind]) -> None:
        """Other thresholds; what was raised stays so."""
        self._kinds = kinds
        self._windows = {
            name: Windows(kind.limits["count"], timedelta(minutes=kind.limits["within_min"]))
            for name, kind in kinds.items()
            if name in COUNTED.values() and "count" in kind.limits
        }

    def look(self, sensed: Sensed, now: datetime, now_s: float) -> Found:
        """``now_s``: a clock that never jumps, in seconds, for how long something lasts."""
        holding = self._holding(sensed, now)
        raised, over = self._counted(sensed, now), []
        for key, holds in holding.items():
            if holds:
                since_s = self._since_s.setdefault(key, now_s - (sensed.database_silent_s if key == SILENT else 0.0))
                if key not in self._standing and now_s - since_s >= self._kinds[key[0]].limits.get("after_s", 0):
                    self._standing.add(key)
                    raised.append(Raised(*key, lasts=True))
            elif holds is False:
                self._since_s.pop(key, None)
                if key in self._standing:
                    self._standing.discard(key)
                    over.append(key)
        return Found(tuple(raised), tuple(over))

    def _holding(self, sensed: Sensed, now: datetime) -> dict[Key, bool | None]:
        """Every condition: holds, does not, cannot be told."""
        limits = {name: kind.limits for name, kind in self._kinds.items()}
        silent = sensed.database_silent_s
        found: dict[Key, bool | None] = {
            ("edge-away", ""): None if sensed.edge is None else not sensed.edge,
            ("recorder-down", ""): None if sensed.recorder is None else not sensed.recorder,
            SILENT: silent >= limits["database-silent"]["after_s"],
            ("ledger-broken", ""): None if sensed.ledger_sound is None else not sensed.ledger_sound,
            ("expiry-missed", ""): None if sensed.sweep is None else sensed.sweep == "missed",
            ("orphans-found", ""): None if sensed.orphans is None else sensed.orphans > 0,
            ("clock-doubted", ""): None if sensed.sweep is None else sensed.sweep == "clock",
            ("rules-overdue", ""): sensed.rules_overdue,
            ("going-out-unexpected", ""): sensed.unexpected,
            **self._disk(sensed, limits["disk-low"]["times"]),
            **self._certificate(sensed, now, limits["certificate-soon"]["days"], limits["certificate-urgent"]["days"]),
            **({} if sensed.trunks is None else self._trunks(sensed.trunks)),
            **{("carrier-down", name): not up for name, up in (sensed.carriers or {}).items()},
            **{("webhook-down", name): _not(well) for name, well in (sensed.webhooks or {}).items()},
        }
        if sensed.holds_overdue is not None:
            found |= {("hold-overdue", hold_id): True for hold_id in sensed.holds_overdue}
        # A trunk that was taken away, a hold that was lifted: it does not hold any more.
        gone = {"trunk-down": sensed.trunks is not None, "hold-overdue": sensed.holds_overdue is not None,
                "webhook-down": sensed.webhooks is not None}  # fmt: skip
        known = self._standing | self._since_s.keys()
        return {key: False for key in known if key not in found and gone.get(key[0], False)} | found

    @staticmethod
    def _disk(sensed: Sensed, times: int) -> dict[Key, bool | None]:
        if sensed.free_mb is None:
            return {("disk-low", ""): None, ("disk-full", ""): None}
        full = sensed.free_mb < sensed.needed_mb
        return {("disk-low", ""): sensed.free_mb < times * sensed.needed_mb and not full, ("disk-full", ""): full}

    @staticmethod
    def _certificate(sensed: Sensed, now: datetime, soon: int, urgent: int) -> dict[Key, bool | None]:
        if sensed.certificate_until is None:
            return {("certificate-soon", ""): None, ("certificate-urgent", ""): None}
        left = sensed.certificate_until - now
        is_urgent = left < timedelta(days=urgent)
        return {
            ("certificate-soon", ""): left < timedelta(days=soon) and not is_urgent,
            ("certificate-urgent", ""): is_urgent,
        }

    @staticmethod
    def _trunks(trunks: Mapping[str, bool | None]) -> dict[Key, bool | None]:
        found: dict[Key, bool | None] = {
            ("trunk-down", trunk_id): None if up is None else not up for trunk_id, up in trunks.items()
        }
        states = list(trunks.values())
        unknown = None in states and True not in states
        found["all-trunks-down", ""] = None if unknown else bool(states) and not any(states)
        return found

    def _counted(self, sensed: Sensed, now: datetime) -> list[Raised]:
        raised = [Raised("limit-near", owner) for owner in sensed.near]
        raised += [Raised("many-opt-outs", campaign) for campaign in sensed.opt_outs]
        for name, kind in COUNTED.items():
            total = sensed.counts.get(name, 0)
            more = total - self._counts.get(name, 0)
            self._counts[name] = total
            if more <= 0:
                continue
            window = self._windows.get(kind)
            if count := more if window is None else window.add("", now, more):
                raised.append(Raised(kind, "", count))
        return raised


def _not(well: bool | None) -> bool | None:
    return None if well is None else not well
