"""A trunk that takes texts (SIP MESSAGE) as a way out: what a provider says, in the words of ``sms.carriers.carrier``.

A provider says no more than that it has the text: there are no receipts by SIP. It is asked for a number as it wants it
written, and shown one of ours; a name of letters cannot send this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from server.trunks_desk import TrunkView
from sip.calls.numbers import SiteNumbering, for_trunk
from sip.edge.messages import Answered, NotSent, Sent
from sip.edge.rpc import RpcError
from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers import carrier as c

WINDOW = 8  # requests without an answer at a time
THROTTLED_S = 5.0

# Statuses by which the recipient is wrong for good, and those that find fault with what is sent (RFC 3261 section 21).
_NO_SUCH = frozenset({404, 410, 416, 484, 604})
_CONTENT = frozenset({413, 415, 488, 513, 606})
_MAYBE = frozenset({408, 504})  # somebody behind the provider did not answer: it may be there all the same


class TextTrunkEdge(Protocol):
    """What is asked of the edge."""

    async def send_text_by_trunk(self, trunk_id: str, to: str, sender: str, text: str) -> Sent: ...


class SipCarrier:
    """One trunk."""

    window = WINDOW

    def __init__(
        self,
        name: str,
        trunk_id: str,
        edge: TextTrunkEdge,
        *,
        international_format: str,
        site: Callable[[], SiteNumbering],
        view: Callable[[], TrunkView | None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``view``: how the trunk is now, None where there is no such trunk. ``international_format``: see
        ``sip.calls.numbers.for_trunk``."""
        self._name = name
        self._trunk_id = trunk_id
        self._edge = edge
        self._format = international_format
        self._site = site
        self._view = view
        self._clock = clock
        self._room = asyncio.Semaphore(WINDOW)
        self._in_flight = 0
        self._since = clock()
        self._was: c.Health | None = None

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> c.State:
        view = self._view()
        if view is None:
            health, why = c.Health.OFF, "there is no such trunk"
        elif view.wrong_name:
            health, why = c.Health.REFUSED, "the provider shows a certificate of another name"
        elif view.up is False:
            health, why = c.Health.CONNECTING, "the provider does not answer, or does not let us sign in"
        else:
            health, why = c.Health.UP, ""
        if health is not self._was:
            self._was, self._since = health, self._clock()
        return c.State(health, self._since, why, self._in_flight)

    async def run(self) -> None:
        """The edge keeps the trunk up by itself."""
        await asyncio.Event().wait()

    async def submit(self, part: c.OutboundPart) -> c.Submitted:
        """Never raises for what the provider does. A part of several begins with its number: SIP has no other sign of
        it."""
        to = self._written(part.recipient)
        sender = self._written(part.sender)
        if to is None:
            return c.Refused(c.Because.ADDRESS, permanent=True)
        if sender is None:
            return c.Refused(c.Because.SENDER, permanent=True)
        if (view := self._view()) is None or view.up is False:
            return c.NotSent()
        text = part.text if part.total == 1 else f"({part.number}/{part.total}) {part.text}"
        async with self._room:
            self._in_flight += 1
            try:
                sent = await self._edge.send_text_by_trunk(self._trunk_id, to, sender, text)
            except RpcError:
                return c.Unknown("the edge could not be asked")
            except ValueError:
                return c.Refused(c.Because.CONTENT, permanent=True)
            finally:
                self._in_flight -= 1
        return outcome(sent)

    def _written(self, address: Address) -> str | None:
        match address:
            case Number(e164):
                return for_trunk(e164, self._format, self._site())
            case ShortCode(digits):
                return digits
            case SenderName():
                return None


def outcome(sent: Sent) -> c.Submitted:
    """What a provider's answer is worth. Pure."""
    match sent:
        case NotSent():
            return c.NotSent()
        case Answered(code) if 200 <= code < 300:
            return c.Accepted("")
        case Answered(code) if code not in _MAYBE:
            return _refused(code)
        case Answered(code):
            return c.Unknown(f"SIP {code}")
        case _:
            return c.Unknown("the provider did not answer")


def _refused(code: int) -> c.Refused | c.Throttled:
    if code == 429 or code == 503:
        return c.Throttled(THROTTLED_S)
    if code in _NO_SUCH:
        return c.Refused(c.Because.ADDRESS, permanent=True, code=str(code))
    if code in _CONTENT:
        return c.Refused(c.Because.CONTENT, permanent=True, code=str(code))
    if code == 402:
        return c.Refused(c.Because.CREDIT, permanent=False, code=str(code))
    if code in (405, 501):
        return c.Refused(c.Because.CLASS, permanent=True, code=str(code))  # this trunk carries no texts at all
    temporary = code in (480, 486, 500, 502, 600)
    because = c.Because.TEMPORARY if temporary else c.Because.OTHER
    return c.Refused(because, permanent=code in (403, 603), code=str(code))
