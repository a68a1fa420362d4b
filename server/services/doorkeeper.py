"""Who guesses passwords and codes is held up, and nobody else is.

Budgets are of a source, of a login from one source, of a browser that the person has signed in with before, and of the
codes of one person from browsers that nobody knows. There is none of a login alone: whoever only knows a name cannot
lock its owner out. They live in memory: no address of anybody is kept.

Hashing has a thread for browsers that are known and one for all others, so a flood of guesses neither takes the machine
from calls nor keeps those waiting whose browser is known.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, TypeVar

from server.failure import Failure

MOST_REMEMBERED = 20_000  # budgets; the one that was not touched for longest goes first
MOST_WAITING = 24  # hashes of browsers that are not known: some seconds
_Kind = Literal["source", "login", "browser", "codes"]
LIMITS: dict[_Kind, tuple[int, timedelta]] = {
    "source": (60, timedelta(minutes=15)),
    "login": (10, timedelta(minutes=15)),
    "browser": (10, timedelta(minutes=5)),
    "codes": (30, timedelta(hours=1)),
}
_LONGEST_LOGIN = 64
_T = TypeVar("_T")
Key = tuple[_Kind, str]


class Verdict(Enum):
    FREE = "free"
    NOW = "now"  # the budget is spent by this one: it is written down
    SPENT = "spent"


@dataclass(slots=True)
class _Budget:
    since: datetime
    used: int = 0


@dataclass(slots=True)
class Budgets:
    """Pure: moments go in."""

    _held: OrderedDict[Key, _Budget] = field(default_factory=OrderedDict)

    def take(self, keys: Sequence[Key], now: datetime) -> Verdict:
        """One attempt of each, before it is known whether it succeeds; none where one of them is spent."""
        worst = Verdict.FREE
        for kind, name in keys:
            most, _ = LIMITS[kind]
            budget = self._of((kind, name), now)
            if budget.used >= most:
                worst = Verdict.SPENT if budget.used > most or worst is Verdict.SPENT else Verdict.NOW
                budget.used = most + 1
        if worst is Verdict.FREE:
            for key in keys:
                self._of(key, now).used += 1
        return worst

    def give_back(self, keys: Sequence[Key], now: datetime) -> None:
        """It succeeded: of a source this attempt is given back, of whoever it was all of them."""
        for key in keys:
            budget = self._of(key, now)
            budget.used = max(0, budget.used - 1) if key[0] == "source" else 0

    def _of(self, key: Key, now: datetime) -> _Budget:
        _, within = LIMITS[key[0]]
        found = self._held.get(key)
        if found is None or now - found.since >= within or now < found.since:
            found = self._held[key] = _Budget(now)
        self._held.move_to_end(key)
        while len(self._held) > MOST_REMEMBERED:
            self._held.popitem(last=False)
        return found


@dataclass(slots=True)
class Doorkeeper:
    """One for the daemon."""

    budgets: Budgets = field(default_factory=Budgets)
    _known: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "passwords of known browsers"))
    _others: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "passwords"))
    _waiting: int = 0

    async def hashing(self, function: Callable[..., _T], *arguments: object, known: bool) -> _T:
        """In a thread, one after the other. Raises Failure where too many wait."""
        loop = asyncio.get_running_loop()
        if known:
            return await loop.run_in_executor(self._known, function, *arguments)
        if self._waiting >= MOST_WAITING:
            raise throttled()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._others, function, *arguments)
        finally:
            self._waiting -= 1


def password_keys(login: str, source: str, browser_id: str | None) -> list[Key]:
    """The budgets of a password."""
    if browser_id is not None:
        return [("browser", browser_id)]
    place = network(source)
    return [("source", place), ("login", f"{login[:_LONGEST_LOGIN]}\n{place}")]


def code_keys(person_id: str, source: str, browser_id: str | None) -> list[Key]:
    """The budgets of a code: there are few codes, so they count from wherever they come, but for known browsers."""
    if browser_id is not None:  # apart from its passwords: a right one gives no codes back
        return [("browser", f"codes {browser_id}")]
    return [("source", network(source)), ("codes", person_id)]


def network(source: str) -> str:
    """Whoever has one address of IPv6 has all of its /64."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source[:100]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def throttled() -> Failure:
    return Failure("too many attempts", "Wait a while, or use a browser that you have signed in with before",
                   "throttled")  # fmt: skip
