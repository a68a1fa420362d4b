"""Server-sent events (WHATWG HTML, section 9.2): one answer that goes on, to one reader, for as long as it reads."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self

from aiohttp import web

from server.rights import Identity

HEARTBEAT_S = 15.0
WRITE_S = 10.0  # a reader who does not read for so long has gone
RETRY_MS = 5000
AT_ONCE = 8  # streams that are written to between two waits of the loop
LOOK_S = 20.0  # between two looks whether whoever reads may still see the same

Identify = Callable[[], Awaitable[Identity | None]]
"""Who reads, as it is now."""
_SPREAD = 16
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy passes each event on at once
}


class Turns:
    """Lets so many streams work between two waits of the loop: what has come meanwhile is served before the others.
    Else an event that two hundred are told of would hold up calls until the last of them has been told."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = self._left = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._renewed = True

    async def mine(self) -> None:
        """Returns when it is one's turn."""
        loop = asyncio.get_running_loop()
        while not self._left:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        self._left -= 1
        if self._renewed:
            self._renewed = False
            loop.call_soon(self._renew)

    def _renew(self) -> None:
        self._left, self._renewed = self._at_once, True
        woken = 0
        while self._waiting and woken < self._at_once:
            turn = self._waiting.popleft()
            if not turn.done():  # whoever has left meanwhile takes nobody's turn
                turn.set_result(None)
                woken += 1


class Looks:
    """When streams look whether their readers may still see the same: those that were opened together not together, and
    two at a time."""

    def __init__(self) -> None:
        self._opened = itertools.count(1)
        self.room = asyncio.Semaphore(2)

    def early(self) -> float:
        """How much earlier than after the whole time one more stream looks for the first time, as a share of it."""
        return next(self._opened) % _SPREAD / _SPREAD


class Gone(Exception):
    """The reader has left, or does not read."""


class EventStream:
    """One reader."""

    def __init__(self, request: web.Request, answer: web.StreamResponse) -> None:
        self._request, self.answer = request, answer

    @classmethod
    async def open(cls, request: web.Request, headers: Mapping[str, str]) -> Self:
        """Raises Gone."""
        answer = web.StreamResponse(headers={**headers, **_HEADERS})
        stream = cls(request, answer)
        try:
            await answer.prepare(request)
        except (ConnectionError, OSError):
            raise Gone from None
        await stream._write(f"retry: {RETRY_MS}\n\n")
        return stream

    async def send(self, event: str, data: object, id_: str = "") -> None:
        """Raises Gone."""
        await self._write(_lines(event, data, id_))

    async def send_all(self, events: Iterable[tuple[str, object, str]]) -> None:
        """Several at once: of each what it is, its data and its id. Raises Gone."""
        await self._write("".join(_lines(*one) for one in events))

    async def beat(self) -> None:
        """That we are still there, and whether the reader is. Raises Gone."""
        await self._write(":\n\n")

    async def _write(self, text: str) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise Gone
        try:
            async with asyncio.timeout(WRITE_S):
                await self.answer.write(text.encode())
        except (ConnectionError, OSError, TimeoutError, RuntimeError):
            raise Gone from None


def _lines(event: str, data: object, id_: str) -> str:
    told = f"id: {id_}\n" if id_ else ""
    return f"{told}event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
