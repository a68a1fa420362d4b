"""The same MESSAGE again is the same text: a phone that has not heard the answer asks with the same Call-ID and CSeq.

The edge takes what comes within seconds for a repetition by itself; this remembers for minutes. It is memory only: what
has to hold over a restart is the desk's, by the same key.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from sip.edge.protocol import Reply

REMEMBERED_S = 600.0
REMEMBERED_MAX = 4096


class Repeats:
    """Answers that were given, and questions that are being answered."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[float, Reply]] = OrderedDict()  # oldest first
        self._asked: dict[str, asyncio.Future[Reply | None]] = {}

    async def once(self, key: str, answer: Callable[[], Awaitable[Reply]]) -> Reply:
        """What `answer` gives, or gave for this key. A refusal that time may cure (5xx) is not remembered. Raises what
        `answer` raises; whoever waits for the same then asks anew."""
        while (known := self._known(key)) is None and (asked := self._asked.get(key)) is not None:
            reply = await asyncio.shield(asked)
            if reply is not None:
                return reply
        if known is not None:
            return known
        mine: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._asked[key] = mine
        reply = None
        try:
            reply = await answer()
        finally:
            del self._asked[key]
            if reply is not None and reply.code < 500:
                self._remember(key, reply)
            mine.set_result(reply)
        return reply

    def _known(self, key: str) -> Reply | None:
        now_s = asyncio.get_running_loop().time()
        while self._answers and (oldest := next(iter(self._answers.values())))[0] < now_s - REMEMBERED_S:
            del oldest
            self._answers.popitem(last=False)
        found = self._answers.get(key)
        return found[1] if found is not None else None

    def _remember(self, key: str, reply: Reply) -> None:
        self._answers[key] = (asyncio.get_running_loop().time(), reply)
        while len(self._answers) > REMEMBERED_MAX:
            self._answers.popitem(last=False)
