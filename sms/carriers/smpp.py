"""A carrier by SMPP 3.4: an external entity that binds to a message centre, stays bound, and says what became of parts.

`Unknown` is said of whatever was written and not answered, whether the link broke or the centre was silent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from datetime import datetime

from sms.carriers import smpp_addresses, smpp_outcomes, smpp_pdu, smpp_texts
from sms.carriers.carrier import (
    Accepted,
    Because,
    Health,
    NotSent,
    OutboundPart,
    Receiver,
    Refused,
    State,
    Submitted,
    Throttled,
    Unknown,
)
from sms.carriers.smpp_inbound import Inbound
from sms.carriers.smpp_link import Link, LinkLostError, NoAnswerError, Timers
from sms.carriers.smpp_pace import Pace
from sms.carriers.smpp_pdu import Message, Pdu, PduError
from sms.carriers.smpp_settings import Binds, SmppSettings

_log = logging.getLogger(__name__)
_LONGEST_DAYS = 30
_WORST_FIRST = (Health.REFUSED, Health.OFF, Health.CONNECTING, Health.UP)


class _RefusedError(Exception):
    """The centre does not let us in, or we do not believe that it is the centre."""


class _Session:
    """One bind: its link while there is one, and how it is."""

    def __init__(self, command: int, what: str, now: datetime) -> None:
        self.command = command
        self.what = what
        self.link: Link | None = None
        self.health = Health.CONNECTING
        self.since = now
        self.why = ""

    def becomes(self, health: Health, why: str, now: datetime) -> None:
        if health is not self.health:
            self.since = now
        self.health, self.why = health, why


class SmppCarrier:
    """`now`: the wall clock. `dice`: spreads the tries to connect, so that not all of us come at once."""

    def __init__(
        self, settings: SmppSettings, receiver: Receiver, *, now: Callable[[], datetime], dice: random.Random
    ) -> None:
        self._settings = settings
        self._now = now
        self._dice = dice
        self._pace = Pace(settings.per_s)
        self._inbound = Inbound(settings, receiver)
        self._links = 0
        if settings.binds is Binds.TRANSCEIVER:
            self._sessions = [_Session(smpp_pdu.BIND_TRANSCEIVER, "", now())]
        else:
            self._sessions = [
                _Session(smpp_pdu.BIND_TRANSMITTER, "transmitter: ", now()),
                _Session(smpp_pdu.BIND_RECEIVER, "receiver: ", now()),
            ]

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def window(self) -> int:
        return self._settings.window

    def state(self) -> State:
        """Of a pair, that of the worse session."""
        worst = min(self._sessions, key=lambda session: _WORST_FIRST.index(session.health))
        link = self._sessions[0].link
        why = f"{worst.what}{worst.why}" if worst.why else ""
        return State(worst.health, worst.since, why, link.in_flight if link is not None else 0)

    # --- out ---

    async def submit(self, part: OutboundPart) -> Submitted:
        """One part; see sms.carriers.carrier."""
        link = self._sessions[0].link
        clock = asyncio.get_running_loop().time
        if link is None:
            return NotSent()
        if held := self._pace.held(clock()):
            return Throttled(held)
        try:
            message = to_message(part, self._settings)
        except smpp_texts.NotCarriedError as error:
            return Refused(Because.CONTENT, False, str(error))
        try:
            await link.turn()
        except LinkLostError:
            return NotSent()
        if wait := self._pace.turn(clock()):
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                link.give_back()
                raise
        if held := self._pace.held(clock()):
            link.give_back()
            return Throttled(held)
        sent_at = clock()
        try:
            answer = await link.send(smpp_pdu.SUBMIT_SM, message)
        except PduError as error:
            return Refused(_IN_PACKET.get(error.where, Because.CONTENT), True, error.where)
        except LinkLostError as error:
            return Unknown(str(error)) if error.left else NotSent()
        except NoAnswerError as error:
            return Unknown(str(error))
        return self._outcome(answer, sent_at, clock())

    def _outcome(self, answer: Pdu, sent_at: float, now: float) -> Submitted:
        if answer.status in smpp_outcomes.THROTTLED:
            return Throttled(self._pace.throttled(sent_at, now))
        if isinstance(answer.body, smpp_pdu.Taken) and answer.status == smpp_pdu.OK:
            self._pace.taken(sent_at, now)
            return Accepted(answer.body.message_id)
        return smpp_outcomes.refused(answer.status, self._settings.no_credit)

    # --- keeping up ---

    async def run(self) -> None:
        """Until cancelled; then what is on its way has `goodbye_s` to be answered."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._inbound.run())
                for session in self._sessions:
                    group.create_task(self._keep(session))
        finally:
            for session in self._sessions:
                session.becomes(Health.OFF, "", self._now())

    async def _keep(self, session: _Session) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            try:
                link = await self._bind(session)
            except _RefusedError as error:
                self._is_down(session, Health.REFUSED, str(error))
                await asyncio.sleep(self._settings.refused_retry_s * self._dice.uniform(0.9, 1.1))
                continue
            except (OSError, TimeoutError, LinkLostError, NoAnswerError) as error:
                self._is_down(session, Health.CONNECTING, _in_words(error))
            else:
                up_at = clock()
                session.becomes(Health.UP, "", self._now())
                _log.info("%s: bound", link.name)
                await self._until_lost(session, link)
                if clock() - up_at > self._settings.retry_most_s:
                    failures = 0
            await asyncio.sleep(backoff(failures, self._settings, self._dice))
            failures += 1

    async def _until_lost(self, session: _Session, link: Link) -> None:
        session.link = link
        try:
            why = await asyncio.shield(link.lost)
        except asyncio.CancelledError:
            session.link = None
            await link.goodbye(self._settings.goodbye_s)
            raise
        session.link = None
        self._is_down(session, Health.CONNECTING, why)

    def _is_down(self, session: _Session, health: Health, why: str) -> None:
        if (health, why) != (session.health, session.why):
            _log.warning("%s: %s%s", self.name, session.what, why)
        session.becomes(health, why, self._now())

    async def _bind(self, session: _Session) -> Link:
        """Raises _RefusedError, OSError, TimeoutError, LinkLostError, NoAnswerError."""
        settings = self._settings
        self._links += 1
        name = f"{settings.name}/{self._dice.getrandbits(32):08x}-{self._links}"
        timers = Timers(settings.response_s, settings.enquire_s)
        link = Link(name, settings.window, timers, self._inbound.take)
        try:
            async with asyncio.timeout(settings.connect_s):
                await self._connect(link)
                bind = smpp_pdu.Bind(settings.system_id, settings.password, settings.system_type)
                answer = await link.ask(session.command, bind)
        except ValueError as error:  # a name that is none, found where it is looked up
            link.abort()
            raise _RefusedError(f"host or server_name cannot be used ({type(error).__name__})") from None
        except BaseException:
            link.abort()
            raise
        if link.bound:
            return link
        link.close("not let in")
        status = smpp_outcomes.name(answer.status)
        if answer.status in smpp_outcomes.SIGNED_IN_WRONGLY:
            raise _RefusedError(f"the centre refuses the bind: {status}")
        raise NoAnswerError(f"the centre does not bind now: {status}")

    async def _connect(self, link: Link) -> None:
        tls = self._settings.tls
        loop = asyncio.get_running_loop()
        host, port = self._settings.host, self._settings.port
        if tls is None:
            await loop.create_connection(lambda: link, host, port)
            return
        try:
            context = tls.context()
        except OSError as error:
            raise _RefusedError(f"a file for TLS cannot be used ({type(error).__name__})") from None
        try:
            await loop.create_connection(lambda: link, host, port, ssl=context, server_hostname=tls.server_name or host)
        except ssl.SSLCertVerificationError as error:
            raise _RefusedError(f"the centre's certificate is not believed: {error.verify_message}") from None


def _in_words(error: Exception) -> str:
    match error:
        case LinkLostError() | NoAnswerError():
            return str(error)
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'no reason given'})"
        case _:
            return f"not reached ({type(error).__name__})"


_IN_PACKET = {"source_addr": Because.SENDER, "destination_addr": Because.ADDRESS}


def to_message(part: OutboundPart, settings: SmppSettings) -> Message:
    """Pure. Raises NotCarriedError."""
    packed = smpp_texts.pack(part, settings.long_texts, settings.default_alphabet)
    ton, npi = settings.short_code_ton, settings.short_code_npi
    return Message(
        source=smpp_addresses.to_place(part.sender, ton, npi),
        destination=smpp_addresses.to_place(part.recipient, ton, npi),
        short_message=packed.short_message,
        data_coding=packed.data_coding,
        esm_class=packed.esm_class,
        registered_delivery=int(part.wants_receipt),
        validity_period=validity(part.validity_s),
        service_type=settings.service_type,
        tlvs=packed.tlvs,
    )


def validity(seconds: int | None) -> str:
    """The relative form of a time (§7.1.1); at most 30 days. Empty: as the centre likes."""
    if seconds is None:
        return ""
    minutes, second = divmod(min(max(seconds, 1), _LONGEST_DAYS * 86_400), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{days:02}{hour:02}{minute:02}{second:02}000R"


def backoff(failures: int, settings: SmppSettings, dice: random.Random) -> float:
    """Seconds: anywhere up to a ceiling that doubles with each failure, and never at once."""
    ceiling = min(settings.retry_most_s, settings.retry_s * 2 ** min(failures, 20))
    return max(settings.retry_s / 10, dice.uniform(0, ceiling))
