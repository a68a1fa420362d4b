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
    """`missed`: more has happened than it took."""

    queue: asyncio.Queue[Happening] = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    missed: bool = False


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
            try:
                listener.queue.put_nowait(named)
            except asyncio.QueueFull:
                listener.missed = True

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
                listener.queue.put_nowait(one)
        self._listeners.add(listener)
        self.wanted.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self.wanted.clear()
                self._last.clear()  # from now on nobody looks
