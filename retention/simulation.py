"""What another policy would have done with the calls of the past, and what it does to what is kept. Pure.

Calls that no rule can tell apart are counted together, so that a year of them is decided in a few thousand decisions.
How many are recorded is what would be if nobody refused; of a sampled purpose it is the share, not a draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from config.packs import Pack
from config.periods import Period
from retention.due import shortened
from retention.metadata import Direction

ALL = 1000


@dataclass(frozen=True, slots=True)
class Alike:
    """What a policy looks at. `month`: "2026-11". `accounts`: of those that some rule names, who took part. `country`
    None: not known."""

    month: str
    line: str | None
    direction: Direction
    country: str | None
    accounts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Happened:
    """Of calls that are alike. `talked`: a conversation came about, only those can be recorded."""

    calls: int = 0
    talked: int = 0
    recorded: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What a policy says of one call. `per_mille`: share of such calls that is recorded, 0 where none is.

    `mode`: how those are asked. `ends_on_refusal`: who refuses is not connected. `why`: in words.
    """

    per_mille: int
    pack: str
    mode: str
    metadata_class: str
    ends_on_refusal: bool
    why: str

    @property
    def asks(self) -> bool:
        return self.per_mille > 0 and self.mode in ("opt-in", "opt-out")


@dataclass(slots=True)
class Side:
    """Sums under one policy. Calls, but for `recorded` and `asked`, which are thousandths of calls."""

    recorded: int = 0
    asked: int = 0
    purposes: Counter[str] = field(default_factory=Counter)  # thousandths of calls, by pack
    classes: Counter[str] = field(default_factory=Counter)
    may_end: int = 0

    def add(self, said: Said, happened: Happened) -> None:
        share = happened.talked * said.per_mille
        self.recorded += share
        self.asked += share if said.asks else 0
        if share:
            self.purposes[said.pack] += share
        self.classes[said.metadata_class] += happened.calls
        self.may_end += happened.talked if said.per_mille and said.ends_on_refusal else 0


@dataclass(slots=True)
class Row:
    """Calls of a line, a direction and a country for which the same holds before, and the same after."""

    line: str | None
    direction: Direction
    country: str | None
    before: Said
    after: Said
    happened: Happened = field(default_factory=Happened)

    @property
    def changes(self) -> bool:
        said = ("per_mille", "pack", "mode", "metadata_class", "ends_on_refusal")
        return any(getattr(self.before, key) != getattr(self.after, key) for key in said)


@dataclass(slots=True)
class Comparison:
    """Two policies on the same calls. `months`: each with what it would come to on either side, in order."""

    happened: Happened = field(default_factory=Happened)
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    months: dict[str, tuple[Happened, Side, Side]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def compare(
    calls: Mapping[Alike, Happened], before: Callable[[Alike], Said], after: Callable[[Alike], Said]
) -> Comparison:
    """Ask both policies about each kind of call. Rows: those that change first, the most calls first."""
    whole, rows = Comparison(), dict[tuple[object, ...], Row]()
    for alike, happened in sorted(calls.items(), key=lambda item: item[0].month):
        one, other = before(alike), after(alike)
        month = whole.months.setdefault(alike.month, (Happened(), Side(), Side()))
        row = rows.setdefault(
            (alike.line, alike.direction, alike.country, one, other),
            Row(alike.line, alike.direction, alike.country, one, other),
        )
        for sums in (whole.happened, month[0], row.happened):
            sums.calls += happened.calls
            sums.talked += happened.talked
            sums.recorded += happened.recorded
        for side, said in ((whole.before, one), (month[1], one), (whole.after, other), (month[2], other)):
            side.add(said, happened)
    whole.rows = sorted(rows.values(), key=lambda row: (not row.changes, -row.happened.calls, row.line or ""))
    return whole


# --- what is kept -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bundle:
    """Things that are kept under one pack, that began on one day and go on one day. `began`, `expires_at`: the end of
    those days: nothing is foretold to go sooner than it does."""

    kind: str
    pack: str
    began: datetime
    expires_at: datetime
    count: int


@dataclass(slots=True)
class Leaving:
    """Until when things are kept. `at_once`: what goes when the policy comes into force and would not have gone by
    then, by (kind, pack). `months`: month -> (before, after), of what goes in it."""

    kept: int = 0
    at_once: Counter[tuple[str, str]] = field(default_factory=Counter)
    earlier: Counter[tuple[str, str]] = field(default_factory=Counter)
    months: dict[str, list[int]] = field(default_factory=dict)


def leaving(
    bundles: Iterable[Bundle], periods: Mapping[str, Period], packs: Mapping[str, Pack], starts: datetime
) -> Leaving:
    """`periods`: how long the new policy keeps what is under a pack, where it says so. `starts`: when it comes into
    force. Nothing is ever kept longer than was announced."""
    found = Leaving()
    for bundle in bundles:
        goes = bundle.expires_at
        pack, period = packs.get(bundle.pack), periods.get(bundle.pack)
        if period is not None and pack is not None:
            goes = max(starts, shortened(bundle.began, goes, period, pack.minimum))
            goes = min(goes, bundle.expires_at)
        found.kept += bundle.count
        if goes < bundle.expires_at:
            found.earlier[bundle.kind, bundle.pack] += bundle.count
            if goes <= starts < bundle.expires_at:
                found.at_once[bundle.kind, bundle.pack] += bundle.count
        for place, moment in enumerate((bundle.expires_at, goes)):
            month = max(moment, starts).strftime("%Y-%m")
            found.months.setdefault(month, [0, 0])[place] += bundle.count
    found.months = dict(sorted(found.months.items()))
    return found
