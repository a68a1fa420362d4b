"""Past calls, counted where no rule of a policy can tell them apart. Pure but for `count`, which reads the database.

A year of them takes seconds of a processor, and the event loop has calls to serve. So where they are many this module
is a program as well, of which the daemon starts one for each processor at a low priority. It is told on standard input
what to count and with which keys, answers with counts and nothing else, and ends with the daemon (`server.counters`).
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
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

AT_ONCE = 1000
NICENESS = 10
_NOBODY = frozenset[str]()
_MONTHS: dict[tuple[int, int], str] = {}


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


async def count(database: Database, who: Who, first: datetime, last: datetime) -> Counted:
    """Calls that began from `first` on and before `last`. Raises StorageError."""
    found, after = Counted({}), cast("tuple[datetime, str] | None", None)
    place = functools.lru_cache(maxsize=200_000)(numbers.country_of)
    while True:
        async with database.read() as tx:
            rows, keys = await history.calls(tx, first, last, after=after, limit=AT_ONCE), tx.keys
        if not rows:
            return found
        after = history.last_of(rows)
        await asyncio.to_thread(_add, found, who, keys, rows, place)


def _add(found: Counted, who: Who, keys: FieldKeys, rows: history.Rows, place: Callable[[str], str | None]) -> None:
    for call in history.opened(keys, rows):
        alike = _alike(who, call, place)
        found.unattributed += not call.numbers
        sums = found.calls.get(alike)
        if sums is None:
            sums = found.calls[alike] = Happened()
        sums.calls += 1
        sums.talked += call.talked
        sums.recorded += call.recorded


def _alike(who: Who, call: PastCall, place: Callable[[str], str | None]) -> Alike:
    ids, outside = [], ""
    for one in call.numbers.values():
        if one in who.by_number:
            ids.append(who.by_number[one])
        elif one.startswith("+"):
            outside = one
    if call.direction == "internal":
        country: str | None = who.home
    elif outside:
        country = place(outside)
    else:
        country = call.peer if len(call.peer) == 2 and call.peer.isalpha() else None
    told = who.told.intersection(ids) if ids else _NOBODY
    return Alike(_month(call.at), call.line, cast(Direction, call.direction), country, told)


def _month(at: datetime) -> str:
    return _MONTHS.setdefault((at.year, at.month), f"{at.year}-{at.month:02}")


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


async def _program(told: Mapping[str, Any]) -> bytes:
    who = Who(told["home"], told["by_number"], frozenset(told["told"]))
    first, last = datetime.fromisoformat(told["first"]), datetime.fromisoformat(told["last"])
    database = await Database.open(told["url"], FieldKeys.from_json(told["keys"].encode()))
    return answer(await count(database, who, first, last))


if __name__ == "__main__":
    harden(dies_with_parent=True)
    os.nice(NICENESS)
    sys.stdout.buffer.write(asyncio.run(_program(json.loads(sys.stdin.buffer.read()))))
    sys.stdout.buffer.flush()
    os._exit(0)  # the database is the daemon's to close
