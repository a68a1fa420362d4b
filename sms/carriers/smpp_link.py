"""One connection to a message centre: sequence numbers, window, response timers, enquire_link, unbind (SMPP 3.4 §7).

What was written may have arrived: when the link breaks, those who wait for an answer get LinkLostError with `left`;
those who still waited for their turn get it without. Only whole packets count as a sign of life.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sms.carriers import smpp_pdu
from sms.carriers.smpp_pdu import RESPONSE, Body, Pdu, PduError

_log = logging.getLogger(__name__)
_WRITTEN_MOST = 65_536  # octets that the kernel has not taken yet; with more nobody else writes
_ANSWERS_MOST = 262_144  # octets that are said to a peer that goes on asking and reads no answer
_FLUSH_S = 5.0  # for the last words of a link that is closed
_INVALID_BIND_STATUS = 0x04


class LinkLostError(Exception):
    """The connection is gone. `left`: the packet was written, and may have arrived."""

    def __init__(self, why: str, *, left: bool) -> None:
        super().__init__(why)
        self.left = left


class NoAnswerError(Exception):
    """None came in time, or none that can be read. The connection lives."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds (§7.2). `response_s`: for every answer. `enquire_s`: of silence, after which the other side is asked."""

    response_s: float = 30.0
    enquire_s: float = 30.0


@dataclass(slots=True)
class _Pending:
    answer: asyncio.Future[Pdu] | None  # None: our own enquire_link
    command: int
    deadline: float
    counts: bool  # in the window


class Link(asyncio.Protocol):
    """`on_request`: called with each deliver_sm and data_sm; whoever takes it answers. `name`: for logs and histories.

    `lost` has the reason once the connection is gone.
    """

    def __init__(self, name: str, window: int, timers: Timers, on_request: Callable[[Link, Pdu], None]) -> None:
        self.name = name
        self.bound = False
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._window = window
        self._timers = timers
        self._on_request = on_request
        self._transport: asyncio.Transport | None = None
        self._framer = smpp_pdu.Framer()
        self._sequence = 0
        self._pending: dict[int, _Pending] = {}  # oldest first: all have the same time
        self._in_window = 0  # sent and not answered, or about to be sent
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._full = False  # the other side does not read
        self._said_in_vain = 0
        self._heard_at = self._loop.time()
        self._response_timer: asyncio.TimerHandle | None = None
        self._enquire_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []  # what goes with the next write: one for all of a turn of the loop
        self._unwritten: list[int] = []  # sequence numbers of the requests in it
        self._why = ""
        self._leaving = False
        self._complained = False

    # --- asking ---

    @property
    def in_flight(self) -> int:
        """Messages that are sent and not answered."""
        return sum(pending.counts for pending in self._pending.values())

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._why and not self._leaving

    async def turn(self) -> None:
        """Wait for a place in the window. `send` or `give_back` must follow. Raises LinkLostError, not `left`."""
        if self.alive and not self._waiting and self._has_room():
            self._in_window += 1
            return
        if not self.alive:
            raise LinkLostError(self._why or "not connected", left=False)
        place = self._loop.create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.exception() is None:
                self.give_back()
            raise

    def give_back(self) -> None:
        """A place that `turn` gave and nobody needs."""
        self._in_window -= 1
        self._admit()

    def send(self, command: int, body: Body) -> asyncio.Future[Pdu]:
        """A message, after `turn`. Its future raises LinkLostError and NoAnswerError; PduError is raised here."""
        if not self.alive:
            self._in_window -= 1
            raise LinkLostError(self._why or "not connected", left=False)
        try:
            return self._request(command, body, counts=True)
        except PduError:
            self.give_back()
            raise

    async def ask(self, command: int, body: Body = smpp_pdu.EMPTY) -> Pdu:
        """A bind or an unbind. Raises LinkLostError, NoAnswerError, PduError."""
        if self._transport is None or self._why:
            raise LinkLostError(self._why or "not connected", left=False)
        return await self._request(command, body, counts=False)

    def answer(self, request: Pdu, status: int = smpp_pdu.OK) -> None:
        """Nothing happens where the link is gone: the other side will bring it again."""
        command = request.command | RESPONSE
        body = smpp_pdu.Taken() if request.command in (smpp_pdu.DELIVER_SM, smpp_pdu.DATA_SM) else smpp_pdu.EMPTY
        self._say(Pdu(command, request.sequence, body, status))

    async def goodbye(self, patience_s: float) -> None:
        """Nothing more is sent; what is on its way has `patience_s` for its answers, then the session is unbound."""
        self._leaving = True
        self._refuse_waiting("we are leaving")
        answers = [pending.answer for pending in self._pending.values() if pending.answer is not None]
        if answers:
            await asyncio.wait(answers, timeout=patience_s)
        try:
            async with asyncio.timeout(patience_s):
                await self.ask(smpp_pdu.UNBIND)
        except (LinkLostError, NoAnswerError, TimeoutError):
            pass
        self.close("we said goodbye")
        if not self.lost.done():
            await asyncio.wait([self.lost], timeout=patience_s)

    def close(self, why: str) -> None:
        """What was written goes out first, if the other side takes it within 5 s."""
        if self._why or self._transport is None:
            return
        self._flush()
        self._why = why
        self._transport.close()
        self._close_timer = self._loop.call_later(_FLUSH_S, self._transport.abort)

    def _request(self, command: int, body: Body, *, counts: bool) -> asyncio.Future[Pdu]:
        sequence = self._next_sequence()
        packet = smpp_pdu.encode(Pdu(command, sequence, body))
        answer: asyncio.Future[Pdu] = self._loop.create_future()
        self._keep(sequence, _Pending(answer, command, self._loop.time() + self._timers.response_s, counts))
        self._unwritten.append(sequence)
        self._write(packet)
        return answer

    def _keep(self, sequence: int, pending: _Pending) -> None:
        self._pending[sequence] = pending
        if self._response_timer is None:
            self._response_timer = self._loop.call_at(pending.deadline, self._look_for_late)

    def _next_sequence(self) -> int:
        while True:
            self._sequence = self._sequence % smpp_pdu.SEQUENCE_LAST + 1
            if self._sequence not in self._pending:
                return self._sequence

    def _has_room(self) -> bool:
        return self._in_window < self._window and not self._full

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            place = self._waiting.popleft()
            if not place.done():
                self._in_window += 1
                place.set_result(None)

    def _say(self, pdu: Pdu) -> None:
        if self._transport is None or self._why:
            return
        packet = smpp_pdu.encode(pdu)
        if self._full:
            self._said_in_vain += len(packet)
            if self._said_in_vain > _ANSWERS_MOST:
                self._abort("the other side does not read")
                return
        self._write(packet)

    def _write(self, packet: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packet)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._why:
            self._transport.write(b"".join(self._out))
            self._out.clear()
            self._unwritten.clear()

    # --- being answered ---

    def data_received(self, data: bytes) -> None:
        if self._why:
            return
        broken = None
        try:
            packets = self._framer.feed(data)
        except smpp_pdu.LostFramesError as error:
            packets, broken = error.whole, error
        for packet in packets:
            self._packet(packet)
        if packets:
            self._heard_at = self._loop.time()
        if broken is not None:
            self._say(Pdu(smpp_pdu.GENERIC_NACK, 0, status=broken.status))
            self.close(f"the other side sent {broken}")

    def _packet(self, packet: bytes) -> None:
        try:
            pdu = smpp_pdu.decode(packet)
        except PduError as error:
            self._misfit(error)
            return
        if pdu.command & RESPONSE:
            self._answered(pdu)
        elif pdu.command == smpp_pdu.ENQUIRE_LINK:
            self.answer(pdu)
        elif pdu.command in (smpp_pdu.DELIVER_SM, smpp_pdu.DATA_SM):
            if self.bound:
                self._on_request(self, pdu)
            else:
                self.answer(pdu, _INVALID_BIND_STATUS)
        elif pdu.command == smpp_pdu.UNBIND:
            self.answer(pdu)
            self.close("the other side said goodbye")
        elif pdu.command != smpp_pdu.ALERT_NOTIFICATION:
            self._say(Pdu(smpp_pdu.GENERIC_NACK, pdu.sequence, status=smpp_pdu.INVALID_COMMAND))

    def _answered(self, pdu: Pdu) -> None:
        pending = self._pending.get(pdu.sequence)
        if pending is None or pdu.command not in (pending.command | RESPONSE, smpp_pdu.GENERIC_NACK):
            return  # late, twice, or of nobody
        if pending.command in smpp_pdu.BINDS and pdu.status == smpp_pdu.OK and pdu.command != smpp_pdu.GENERIC_NACK:
            self.bound = True  # here and not later: the same segment may bring the first message
        self._settle(pdu.sequence, pending)
        if pending.answer is not None and not pending.answer.done():
            pending.answer.set_result(pdu)

    def _misfit(self, error: PduError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("%s: the other side sent what is no packet of SMPP 3.4: %s", self.name, error)
        if error.command & RESPONSE:
            pending = self._pending.get(error.sequence)
            if pending is not None and error.command == pending.command | RESPONSE:
                self._settle(error.sequence, pending)
                if pending.answer is not None and not pending.answer.done():
                    pending.answer.set_exception(NoAnswerError(f"its answer cannot be read: {error.where}"))
        elif error.command in (smpp_pdu.DELIVER_SM, smpp_pdu.DATA_SM):
            self.answer(Pdu(error.command, error.sequence), error.status)
        else:
            self._say(Pdu(smpp_pdu.GENERIC_NACK, error.sequence, status=error.status))

    def _settle(self, sequence: int, pending: _Pending) -> None:
        del self._pending[sequence]
        if pending.counts:
            self.give_back()

    # --- time ---

    def _look_for_late(self) -> None:
        now = self._loop.time()
        self._response_timer = None
        while self._pending:
            sequence, pending = next(iter(self._pending.items()))
            if pending.deadline > now:
                self._response_timer = self._loop.call_at(pending.deadline, self._look_for_late)
                return
            self._settle(sequence, pending)
            if pending.answer is None:
                self._abort("no answer to enquire_link")
                return
            if not pending.answer.done():
                pending.answer.set_exception(NoAnswerError(f"no answer within {self._timers.response_s:g} s"))

    def _look_for_silence(self) -> None:
        now = self._loop.time()
        quiet_until = self._heard_at + self._timers.enquire_s
        if now >= quiet_until:
            quiet_until = now + self._timers.enquire_s
            sequence = self._next_sequence()
            self._keep(sequence, _Pending(None, smpp_pdu.ENQUIRE_LINK, now + self._timers.response_s, False))
            self._say(Pdu(smpp_pdu.ENQUIRE_LINK, sequence))
        self._enquire_timer = self._loop.call_at(quiet_until, self._look_for_silence)

    # --- the connection itself ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITTEN_MOST)
        self._heard_at = self._loop.time()
        self._enquire_timer = self._loop.call_later(self._timers.enquire_s, self._look_for_silence)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._said_in_vain = 0
        self._admit()

    def _abort(self, why: str) -> None:
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """At once, with whatever was not written yet."""
        self._abort("given up")

    def connection_lost(self, exc: Exception | None) -> None:
        self._why = self._why or (f"the connection broke ({type(exc).__name__})" if exc else "the other side hung up")
        for timer in (self._response_timer, self._enquire_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        pending, self._pending = self._pending, {}
        for sequence, one in pending.items():
            if one.answer is not None and not one.answer.done():
                one.answer.set_exception(LinkLostError(self._why, left=sequence not in self._unwritten))
        self._refuse_waiting(self._why)
        if not self.lost.done():
            self.lost.set_result(self._why)

    def _refuse_waiting(self, why: str) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(LinkLostError(why, left=False))
