"""Past calls, counted where no rule of a policy can tell them apart. Pure but for `count`, which reads the database.

A year of them takes seconds of a processor, and the event loop has calls to serve. So where they are many this module
is a program as well, of which the daemon starts one for each processor at a low priority. It is told on standard input
what to count and with which keys, says now and then how far it is, answers with counts and nothing else, and ends with
the daemon (`server.counters`).
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from recording.hardening import harden
from retention.metadata import Direction
from retention.simulation import Alike, Happened
from sip.calls import numbers
from storage import history
from storage.database import Database
from storage.field_crypto import FieldKeys
from storage.history import PastCall

AT_ONCE, IN_A_PROGRAM = 1000, 4000  # rows; the second where no event loop has calls to serve
PAIRS = 200_000  # of parties, whose countries are remembered
NICENESS = 10
_NOBODY = frozenset[str]()

Progress = Callable[[int], None]
"""Told how many calls more have been counted."""


@dataclass(frozen=True, slots=True)
class Who:
    """`home`: country of internal calls. `by_number`: names and extensions to account ids; of these only `told`, whom
    some rule is about, are told apart."""

    home: str
    by_number: Mapping[str, str]
    told: frozenset[str]


@dataclass(slots=True)
class Counted:
    """`unattributed`: calls of which the record does not say who took part."""

    calls: dict[Alike, Happened]
    unattributed: int = 0

    def add(self, other: Counted) -> None:
        self.unattributed += other.unattributed
        for alike, happened in other.calls.items():
            sums = self.calls.setdefault(alike, Happened())
            sums.calls += happened.calls
            sums.talked += happened.talked
            sums.recorded += happened.recorded


async def count(
    database: Database,
    who: Who,
    first: datetime,
    last: datetime,
    *,
    at_once: int = AT_ONCE,
    progress: Progress | None = None,
) -> Counted:
    """Calls that began from `first` on and before `last`. Raises StorageError."""
    tally, after = Tally(who), cast("tuple[int, str] | None", None)
    while True:
        async with database.read() as tx:
            rows, keys = await history.calls(tx, first, last, after=after, limit=at_once), tx.keys
        if not rows:
            return tally.counted()
        after = history.last_of(rows)
        await asyncio.to_thread(tally.add, history.opened(keys, rows))
        if progress is not None:
            progress(len(rows))


class Tally:
    """Counts calls, oldest first, by all that is looked at, and nothing else of each. One million of them take some
    seconds: what two calls have in common is worked out once."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self._seen: Counter[tuple[str, str | None, str, str | None, frozenset[str], bool, bool]] = Counter()
        self._unattributed = 0
        self._month, self._month_ends_us = "", 0
        self._parties = functools.lru_cache(maxsize=PAIRS)(self._read_parties)
        self._place = functools.lru_cache(maxsize=PAIRS)(numbers.country_of)

    def add(self, calls: Iterable[PastCall]) -> None:
        seen, parties_of, home = self._seen, self._parties, self._who.home
        for at_us, line, direction, talked, recorded, peer, said in calls:
            if at_us >= self._month_ends_us:
                self._turn_to(at_us)
            named, told, country = parties_of(said)
            if direction == "internal":
                country = home
            elif not country:
                country = (peer if len(peer) == 2 and peer.isalpha() else None) if country is None else None
            self._unattributed += not named
            seen[self._month, line, direction, country, told, talked, recorded] += 1

    def _read_parties(self, said: bytes) -> tuple[bool, frozenset[str], str | None]:
        """Whether it names anybody, those of them that a rule is about, and the country outside: "" where that is not
        known, None where no number says it."""
        ids, outside = [], ""
        for one in (parties := history.numbers_in(said)).values():
            if one in self._who.by_number:
                ids.append(self._who.by_number[one])
            elif one.startswith("+"):
                outside = one
        told = self._who.told.intersection(ids) if ids else _NOBODY
        return bool(parties), told, (self._place(outside) or "") if outside else None

    def _turn_to(self, at_us: int) -> None:
        """To the month that this is in, UTC."""
        at = history.moment(at_us)
        first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ends = first.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
        self._month = f"{at.year}-{at.month:02}"
        self._month_ends_us = history.microseconds(ends)

    def counted(self) -> Counted:
        found = Counted({}, self._unattributed)
        for (month, line, direction, country, told, talked, recorded), many in self._seen.items():
            alike = Alike(month, line, cast(Direction, direction), country, told)
            sums = found.calls.setdefault(alike, Happened())
            sums.calls += many
            sums.talked += many * talked
            sums.recorded += many * recorded
        return found


# --- between the daemon and the program -------------------------------------------------------------------------------


def order(url: str, keys: FieldKeys, who: Who, first: datetime, last: datetime) -> bytes:
    """What the program is told."""
    said = {"url": url, "keys": keys.to_json().decode(), "first": first.isoformat(), "last": last.isoformat()}
    people = {"home": who.home, "by_number": dict(who.by_number), "told": sorted(who.told)}
    return json.dumps({**said, **people}).encode()


def answer(counted: Counted) -> bytes:
    """What it says."""
    rows = [
        [alike.month, alike.line, alike.direction, alike.country, sorted(alike.accounts), asdict(happened)]
        for alike, happened in counted.calls.items()
    ]
    return json.dumps([counted.unattributed, rows]).encode()


def read(said: bytes) -> Counted:
    """Raises ValueError where it is no answer."""
    unattributed, rows = json.loads(said)
    calls = {
        Alike(month, line, direction, country, frozenset(accounts)): Happened(**sums)
        for month, line, direction, country, accounts, sums in rows
    }
    return Counted(calls, unattributed)


async def _program(told: Mapping[str, Any]) -> None:
    who = Who(told["home"], told["by_number"], frozenset(told["told"]))
    first, last = datetime.fromisoformat(told["first"]), datetime.fromisoformat(told["last"])
    database = await Database.open(told["url"], FieldKeys.from_json(told["keys"].encode()))
    say(answer(await count(database, who, first, last, at_once=IN_A_PROGRAM, progress=lambda n: say(b"%d" % n))))


def say(line: bytes) -> None:
    """A number: so many calls more are counted. Anything else is the answer."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    harden(dies_with_parent=True)
    os.nice(NICENESS)
    gc.disable()  # nothing here refers to itself, and to look for what does among so many rows takes a tenth of it
    asyncio.run(_program(json.loads(sys.stdin.buffer.read())))
    os._exit(0)  # the database is the daemon's to close
