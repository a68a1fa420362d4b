"""Sends texts by the edge (MESSAGE, RFC 3428) and learns what has come of each."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sip.edge import digest, protocol
from sip.edge.protocol import MessageAnswered
from sip.edge.state import Contact
from sip.edge.trunks import Trunk

WAIT_S = 8.0  # for the edge's word; it gives up on a peer after 5 s


@dataclass(frozen=True, slots=True)
class Answered:
    """The peer has said so. 200 to 299: it has the text."""

    code: int

    @property
    def taken(self) -> bool:
        return 200 <= self.code < 300


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing has left: it may go another way."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing came back. The peer may have it."""


Sent = Answered | NotSent | Silent


class MessageSender:
    """What waits for an answer, by number."""

    def __init__(self, write: Callable[[bytes], bool]) -> None:
        """``write``: one frame to the edge; whether there is an edge to write to."""
        self._write = write
        self._waiting: dict[int, asyncio.Future[MessageAnswered | Sent]] = {}
        self._numbers = itertools.count(1)

    def answered(self, message: MessageAnswered) -> None:
        if (waiting := self._waiting.get(message.number)) is not None and not waiting.done():
            waiting.set_result(message)

    async def to_contact(self, contact: Contact, text: str, sender: str) -> Sent:
        """To one place where a phone is. Raises ValueError for what cannot be carried."""
        number = next(self._numbers)
        frame = protocol.message(number, contact.uri, contact.received, contact.socket, text, sender)
        return _told(await self._ask(number, frame))

    async def by_trunk(self, trunk: Trunk, to: str, sender: str, text: str) -> Sent:
        """To a number, as this provider wants it written. A challenge for the trunk's realm is met once; a second
        one is the provider's answer. Raises ValueError for what cannot be carried."""
        number = next(self._numbers)
        told = await self._ask(number, protocol.trunk_message(number, trunk.id, to, sender, text))
        proof = self._proof(trunk, to, told) if isinstance(told, MessageAnswered) else ""
        if proof:
            number = next(self._numbers)
            told = await self._ask(number, protocol.trunk_message(number, trunk.id, to, sender, text, proof))
        return _told(told)

    def _proof(self, trunk: Trunk, to: str, told: MessageAnswered) -> str:
        """The header that meets this challenge; "" where there is none, or it is not for us."""
        if told.own or not told.challenge or told.code not in (401, 407) or not trunk.ha1:
            return ""
        value = digest.credentials(
            told.challenge,
            user=trunk.user,
            realm=trunk.realm,
            ha1=trunk.ha1,
            method="MESSAGE",
            uri=protocol.trunk_uri(to, trunk.domain),
            cnonce=secrets.token_hex(8),
        )
        if value is None:
            return ""
        return f"{'Proxy-Authorization' if told.code == 407 else 'Authorization'}: {value}"

    async def _ask(self, number: int, frame: bytes) -> MessageAnswered | Sent:
        waiting: asyncio.Future[MessageAnswered | Sent] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            if not self._write(frame):
                return NotSent()
            async with asyncio.timeout(WAIT_S):
                return await waiting
        except TimeoutError:
            return Silent()
        finally:
            del self._waiting[number]


def _told(told: MessageAnswered | Sent) -> Sent:
    if not isinstance(told, MessageAnswered):
        return told
    if told.code == 0:
        return NotSent()
    return Silent() if told.own else Answered(told.code)
