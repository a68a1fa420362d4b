"""Short messages to the phones of an account (SIP MESSAGE, RFC 3428), tried again until one has taken it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from sip.edge.protocol import MESSAGE_MAX_BYTES
from sip.edge.rpc import RpcError

log = logging.getLogger(__name__)

AGAIN_S = 5.0  # after a round in which no phone has taken it; longer each time
AGAIN_MAX_S = 60.0


class MessageEdge(Protocol):
    """What is asked of the edge."""

    async def send_message(self, auth_user: str, text: str) -> bool:
        """To every contact of a device; whether one has taken it."""


class Messenger:
    """Delivers to one of an account's phones at least."""

    def __init__(self, edge: MessageEdge, phones: Callable[[str], Sequence[str]]) -> None:
        """``phones``: auth users of an account, by its id."""
        self._edge = edge
        self._phones = phones
        self.delivered = 0  # for the metrics
        self.undelivered = 0

    async def deliver(self, account_id: str, text: str, patience_s: float) -> bool:
        """Whether one phone has taken it. Every phone is tried in each round, for the person may sit at any. A text
        that is too long loses its end."""
        taken, pause_s = False, AGAIN_S
        text = text.encode()[:MESSAGE_MAX_BYTES].decode(errors="ignore")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not (taken := await self._round(account_id, text)):
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, AGAIN_MAX_S)
        if taken:
            self.delivered += 1
        else:
            self.undelivered += 1
            log.error("a message to account %s was taken by none of its phones", account_id)
        return taken

    async def _round(self, account_id: str, text: str) -> bool:
        taken = False
        for auth_user in self._phones(account_id):
            try:
                taken = await self._edge.send_message(auth_user, text) or taken
            except RpcError as error:
                log.warning("the edge did not take a message: %s", error)
        return taken
