"""What a campaign would do if it began at some moment: who would get it, who not and why, what it costs, when it ends.

Asked by the same decisions as the campaign itself. Pure; nothing of it names a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from config.contact_rules import ContactRules
from retention.contact import may_contact
from retention.contact_facts import ContactFacts, Decision
from retention.whereabouts import Whereabouts
from sms.campaign_words import Words, parts_of
from sms.text.templates import TemplateError
from storage.campaigns import Recipient

STEP = timedelta(minutes=30)
TEMPLATE, TOO_LONG = "template", "too long"  # beside the grounds of a decision
MOST_LINES = 1000  # that are told


@dataclass(frozen=True, slots=True)
class Line:
    """Who would get nothing, or not at once. `again_at` None: never."""

    line: int
    ground: str
    why: str
    again_at: datetime | None


@dataclass(slots=True)
class _Group:
    """Those for whom the same hours are open. `rep`: one of them, of whom nothing else is known."""

    rep: ContactFacts
    at_once: int = 0
    later: Counter[datetime] = field(default_factory=Counter)


@dataclass(slots=True)
class Simulation:
    """Filled by `add`, some of the list at a time."""

    words: Words
    transliterated: bool
    rules: ContactRules
    starts: datetime
    ends: datetime
    per_minute: int
    max_parts: int
    cost_of: Callable[[str], int | None]  # of one part to that number, in microeuros; None: no carrier takes it
    recipients: int = 0
    at_once: int = 0
    later: int = 0
    never: int = 0
    parts: int = 0
    most_parts: int = 0
    cost_microeuros: int = 0
    without_carrier: int = 0
    codings: Counter[str] = field(default_factory=Counter)
    grounds: Counter[str] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)
    _groups: dict[Whereabouts | None, _Group] = field(default_factory=dict)

    def add(self, some: Sequence[Recipient], decided: Sequence[Decision], facts: Sequence[ContactFacts | None]) -> None:
        """`facts`: of each, None of messages that have no hours."""
        for one, decision, known in zip(some, decided, facts, strict=True):
            self.recipients += 1
            again_at = decision.again_at if decision.again_at is not None and decision.again_at < self.ends else None
            if not decision.allowed and again_at is None:
                self._not(one.line, decision.ground, decision.why, None)
                continue
            if not self._written(one):
                continue
            group = self._group(known)
            if decision.allowed:
                self.at_once += 1
                group.at_once += 1
            else:
                self.later += 1
                assert again_at is not None
                group.later[again_at] += 1
                self._not(one.line, decision.ground, decision.why, again_at)

    def ends_at(self) -> datetime | None:
        """When the last one has their turn; None: not all before the campaign ends."""
        ready = [
            (group, available, count)
            for group in self._groups.values()
            for available, count in [(self.starts, group.at_once), *sorted(group.later.items())]
            if count
        ]
        if not ready:
            return self.starts
        waiting = [[available, count, group] for group, available, count in ready]
        left, at = sum(count for _, _, count in ready), self.starts
        opens: dict[int, datetime | None] = {}
        while at < self.ends:
            room = float(self.per_minute) * (STEP / timedelta(minutes=1))
            used, soonest = 0.0, list[datetime]()
            for entry in waiting:
                available, count, group = entry
                assert isinstance(available, datetime) and isinstance(group, _Group) and isinstance(count, int)
                if not count:
                    continue
                open_at = self._open(opens, group, at)
                if open_at is None:
                    continue
                if max(open_at, available) > at:
                    soonest.append(max(open_at, available))
                    continue
                taken = min(count, int(room - used))
                entry[1] = count - taken
                used += taken
                left -= taken
            if not left:
                return at + timedelta(minutes=used / self.per_minute)
            if used:
                at += STEP
            elif soonest:
                at = min(soonest)
            else:
                return None
        return None

    def _open(self, opens: dict[int, datetime | None], group: _Group, at: datetime) -> datetime | None:
        """From when on its hours are open; `opens` remembers until when they are shut."""
        known = opens.get(id(group))
        if known is not None and known > at:
            return known
        if group.rep.channel != "sms":
            return at
        decision = may_contact(group.rep, self.rules, at)
        opens[id(group)] = at if decision.allowed else decision.again_at
        return opens[id(group)]

    def _group(self, known: ContactFacts | None) -> _Group:
        where = None if known is None else known.where
        if where not in self._groups:
            rep = _ANYTIME if known is None else replace(known, suppressions=(), attempts=())
            self._groups[where] = _Group(rep)
        return self._groups[where]

    def _written(self, one: Recipient) -> bool:
        """Its words, counted; False where there are none."""
        try:
            said = self.words.text(one.fields)
        except TemplateError as error:
            self._not(one.line, TEMPLATE, str(error), None)
            return False
        parts, coding = parts_of(said, transliterated=self.transliterated)
        if parts > self.max_parts:
            self._not(one.line, TOO_LONG, f"{parts} parts, {self.max_parts} are allowed", None)
            return False
        cost = self.cost_of(one.number)
        self.without_carrier += cost is None
        self.parts += parts
        self.most_parts = max(self.most_parts, parts)
        self.codings[str(coding)] += 1
        self.cost_microeuros += parts * (cost or 0)
        return True

    def _not(self, line: int, ground: str, why: str, again_at: datetime | None) -> None:
        self.grounds[ground] += 1
        self.never += again_at is None
        if len(self.lines) < MOST_LINES:
            self.lines.append(Line(line, ground, why, again_at))


_ANYTIME = ContactFacts("voice", "", "ask", None, Whereabouts((), ()))


def by_ground(counted: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))
