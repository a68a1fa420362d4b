"""Server-sent events (WHATWG HTML, section 9.2): one answer that goes on, to one reader, for as long as it reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from aiohttp import web

from server.rights import Identity

HEARTBEAT_S = 15.0
WRITE_S = 10.0  # a reader who does not read for so long has gone
RETRY_MS = 5000
LOOK_S = 20.0  # between two looks whether whoever reads may still see the same

Identify = Callable[[], Awaitable[Identity | None]]
"""Who reads, as it is now."""

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy passes each event on at once
}


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
        told = f"id: {id_}\n" if id_ else ""
        await self._write(f"{told}event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n")

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
