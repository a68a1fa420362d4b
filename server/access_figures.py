"""How often what was done, week by week: counted out of the access log as it grows, and kept in memory.

The log has no index of what an entry says, and may hold a million of them: so each is read once, a few at a time, the
newest first, by the daemon. What is counted is no more than the log itself holds, and goes with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from config.periods import Period
from server.alerting.access_rules import LOOKS, NAMING, Looked, looked
from server.operation_rules import RULES
from storage import ledger
from storage.errors import StorageError
from storage.ledger import Entry

if TYPE_CHECKING:
    from server.services.context import Services

log = logging.getLogger(__name__)

WEEKS = 13
BATCH = 500  # entries that are read at once: some milliseconds
FIRST_S, EVERY_S, PAUSE_S = 60.0, 60.0, 0.05
CATEGORIES = ("opened", "exported", "clear", "searched", "looked", "changed", "refused")
_REFUSED = frozenset({"denied", "wrong", "replayed", "locked", "refused"})
_OPENING = frozenset({"open", "export", "unlock", "wrap"})  # of which "failed" says that nothing was opened
NO_RECORDING = "*"  # in place of a purpose: something else was exported
Key = tuple[str, str, str]  # who, of CATEGORIES, purpose or right


class AccessFigures:
    """One for each process. `whole`: all of the period has been read; `since`: what is counted goes back to there."""

    def __init__(self) -> None:
        self._weeks: dict[str, Counter[Key]] = {}
        self._newest = 0
        self._oldest: int | None = None  # the earliest that was read; None: nothing yet
        self._lock = asyncio.Lock()
        self.whole = False
        self.since: datetime | None = None

    async def run(self, services: Services) -> None:
        """For as long as the daemon lives. A database that does not answer is asked again at the next turn."""
        await asyncio.sleep(FIRST_S)
        while True:
            more = False
            try:
                more = await self.read_on(services)
            except StorageError as error:
                log.warning("the access log is not counted now: %s", error)
            await asyncio.sleep(PAUSE_S if more else EVERY_S)

    async def read_on(self, services: Services) -> bool:
        """The next few: what is new first, then further back; whether there is more. Raises StorageError."""
        async with self._lock:
            first = begins(services)
            for week in [week for week in self._weeks if week < first.date().isoformat()]:
                del self._weeks[week]
            async with services.db.read() as tx:
                newest = next(head.entries for head in await ledger.heads(tx) if head.log == "access")
                if self._oldest is None:
                    self._newest, self._oldest = newest, newest + 1
                if newest > self._newest:
                    found: Sequence[Entry] = await ledger.entries(tx, "access", after_seq=self._newest, limit=BATCH)
                    self._newest = found[-1].seq if found else newest
                    self._count(found, first)
                    return True
                if self.whole:
                    return False
                found = await ledger.entries_before(tx, "access", self._oldest, limit=BATCH)
            if found:
                self._oldest = found[0].seq
            if self._count(found, first) or len(found) < BATCH:
                self.whole, self.since = True, first
            return not self.whole

    def _count(self, entries: Sequence[Entry], first: datetime) -> bool:
        """Whether one of them was before the period."""
        before = False
        for entry in entries:
            try:
                one = looked(entry.body)
            except (ValueError, KeyError, TypeError):  # what stands there is no entry: the verification says so
                continue
            if one.at < first:
                before = True
                continue
            self.since = one.at if self.since is None else min(self.since, one.at)
            category = category_of(one)
            self._weeks.setdefault(week_of(one.at), Counter())[one.actor_id, category, detail(one, category)] += 1
        return before

    def by_week(self) -> Mapping[str, Mapping[Key, int]]:
        """Monday (UTC) -> who, what, purpose or right -> how often."""
        return self._weeks


def begins(services: Services) -> datetime:
    """The Monday with which the period begins: never earlier than the access log is kept."""
    now = services.clock().astimezone(UTC)
    kept_from = Period.parse(services.settings.retention.access_log).ago(now)
    monday = date.fromisoformat(week_of(now)) - timedelta(weeks=WEEKS - 1)
    while datetime(monday.year, monday.month, monday.day, tzinfo=UTC) < kept_from:
        monday += timedelta(weeks=1)
    return datetime(monday.year, monday.month, monday.day, tzinfo=UTC)


def week_of(at: datetime) -> str:
    """Its Monday, UTC."""
    day = at.astimezone(UTC).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def category_of(one: Looked) -> str:
    """Of CATEGORIES. What did not come about, such as the opening of a damaged file, counts as refused."""
    if one.outcome in _REFUSED or (one.outcome == "failed" and one.action in _OPENING):
        return "refused"
    if one.object == "recording" and one.action == "open":
        return "opened"
    if one.action == "export":
        return "exported"
    if one.action in LOOKS:
        if one.reasoned and one.object in NAMING:
            return "clear"
        return "searched" if one.action == "search" else "looked"
    return "changed"


def detail(one: Looked, category: str) -> str:
    """For what a recording was opened; which right was missing."""
    if category in ("opened", "exported"):
        return one.purpose if one.object == "recording" else NO_RECORDING
    if category == "refused":
        rule = RULES.get(one.rule)
        return rule.right if rule is not None else ""
    return ""
