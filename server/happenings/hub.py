"""From what happens to whoever listens: in memory, bounded, and silent while nobody does."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from config.happenings import Kind

MAX_LISTENERS = 250
BACKLOG = 500  # that wait for one listener; then it is told that it has missed some
REMEMBERED = 500  # for whoever comes again


@dataclass(frozen=True, slots=True)
class Happening:
    """`subject`: id of a call or a text. No number, no name from outside, no word of a text."""

    kind: Kind
    at: datetime
    subject: str
    state: str = ""
    direction: str = ""
    accounts: frozenset[str] = frozenset()  # ids of ours who take part
    line_id: str | None = None
    inbox_id: str | None = None
    id: str = ""


@dataclass(slots=True, eq=False)
class Listener:
    """What waits for one. None stands where it has missed some; `missed`: it has since the last that waits."""

    queue: asyncio.Queue[Happening | None] = field(default_factory=asyncio.Queue)  # bounded by `put`
    missed: bool = False

    def put(self, one: Happening) -> None:
        """Never waits."""
        if self.queue.qsize() >= BACKLOG:
            self.missed = True
            return
        if self.missed:
            self.missed = False
            self.queue.put_nowait(None)
        self.queue.put_nowait(one)

    async def next(self) -> Happening | None:
        """The next in order; None: here it has missed some."""
        if self.missed and self.queue.empty():
            self.missed = False
            return None
        return await self.queue.get()


class Full(Exception):
    """So many listen already."""


class Hub:
    """One for the daemon."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._numbers = itertools.count(1)
        self._process = secrets.token_hex(4)
        self._last: deque[Happening] = deque(maxlen=REMEMBERED)
        self.wanted = asyncio.Event()  # somebody listens
        self.told = 0

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self, one: Happening) -> None:
        """Never waits."""
        if not self._listeners:
            return
        self.told += 1
        named = replace(one, id=f"{self._process}-{next(self._numbers)}")
        self._last.append(named)
        for listener in self._listeners:
            listener.put(named)

    @contextmanager
    def listening(self, since: str = "") -> Iterator[Listener]:
        """`since`: id of the last that it has heard. Raises Full."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise Full
        listener = Listener()
        if since:
            known = [index for index, one in enumerate(self._last) if one.id == since]
            listener.missed = not known
            for one in list(self._last)[known[0] + 1 :] if known else ():
                listener.put(one)
        self._listeners.add(listener)
        self.wanted.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self.wanted.clear()
                self._last.clear()  # from now on nobody looks
