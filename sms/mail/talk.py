"""What is answered to MAIL, RCPT and DATA. No line of the log names an address, a number or what was written."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from sms.mail import reading
from sms.mail.answers import Ignored, Order, Rejection
from sms.mail.desk import Relay, Sender
from sms.mail.reading import HandedIn
from sms.mail.recipients import is_sender, number_of

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

    from sms.mail.gate import House

log = logging.getLogger(__name__)

LATER = Rejection(451, "4.3.0", "not taken: try again later")
FORGED = Rejection(553, "5.7.1", "that sender's address is not yours: use your own")
NULL = Rejection(550, "5.7.1", "a text is ordered by somebody who can be answered: no empty sender")
TAKEN = "250 2.6.0 taken"


class Talk:
    """One connection's conversation; aiosmtpd calls the `handle_` methods."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.peer = ""
        self._relay: Relay | None = None
        self._sender: Sender | None = None
        self.busy = False  # a mail is being handed in
        self.leaving = False

    def meet(self, peer: str, relay: Relay | None) -> None:
        self.peer, self._relay = peer, relay

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = await self._mail(session, address)
        if refusal is not None:
            return self._refused(refusal)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 go on"

    async def _mail(self, session: Session, address: str) -> Rejection | None:
        if address in reading.NULL_SENDERS:
            return NULL
        if not is_sender(address):
            return Rejection(553, "5.1.7", "that is no sender's address")
        proven, relay, desk = session.auth_data, self._relay, self._house.desk
        self._sender = None
        try:
            if isinstance(proven, Sender):
                ours = await self._house.asked(lambda: desk.may_send_as(proven, address))
                self._sender = proven if ours else None
            elif relay is not None:
                self._sender = await self._house.asked(lambda: desk.relayed(relay.name, address))
        except Exception as failure:  # whatever it is, the client tries again
            return self._failed(failure)
        if self._sender is None:
            self._house.counts["forged"] += 1
            desk.forged(proven if isinstance(proven, Sender) else None, self.peer)
            return FORGED
        wait = self._house.buckets.wait_s(self._sender.id, self._house.now())
        return _too_fast(wait) if wait > 0.001 else None

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        number = number_of(address, self._house.settings.domain)
        if isinstance(number, Rejection):
            return self._refused(number)
        if number not in envelope.rcpt_tos:
            refusal = await self._rcpt(number, len(envelope.rcpt_tos))
            if refusal is not None:
                return self._refused(refusal)
            envelope.rcpt_tos.append(number)
        return "250 2.1.5 go on"

    async def _rcpt(self, number: str, already: int) -> Rejection | None:
        sender, house = self._sender, self._house
        assert sender is not None  # MAIL has been answered with 250
        if already >= house.settings.max_recipients:
            return Rejection(452, "4.5.3", f"at most {house.settings.max_recipients} at once: send the others apart")
        try:
            refusal = await house.asked(lambda: house.desk.recipient(sender, number))
        except Exception as failure:  # whatever it is, the client tries again
            return self._failed(failure)
        if refusal is None and not house.buckets.take(sender.id, house.now()):
            return _too_fast(house.buckets.wait_s(sender.id, house.now()))
        return refusal

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        sender, content = self._sender, envelope.content
        assert sender is not None and isinstance(content, bytes)
        handed = HandedIn(
            sender.id,
            envelope.mail_from or "",
            tuple(envelope.rcpt_tos),
            automatic=sender.automatic,
            relayed=session.auth_data is None,
        )
        match reading.read(content, handed, self._house.settings.bounds):
            case Rejection() as refusal:
                return self._refused(refusal)
            case Ignored(why):
                self._house.counts["ignored"] += 1
                log.info("a mail of %s goes nowhere: %s", sender.id, why)
                return TAKEN
            case Order() as order:
                refused = await self._order(sender, order)
                if refused is not None:
                    return self._refused(refused)
                self._house.counts["taken"] += 1
                return TAKEN

    async def _order(self, sender: Sender, order: Order) -> Rejection | None:
        desk = self._house.desk
        try:
            if order.said_from and order.said_from.lower() != order.mail_from.lower():
                ours = await self._house.asked(lambda: desk.may_send_as(sender, order.said_from))
                if not ours:
                    self._house.counts["forged"] += 1
                    desk.forged(sender, self.peer)
                    return FORGED
            return await self._house.asked(lambda: desk.accept(order))
        except Exception as failure:  # whatever it is, the client tries again
            return self._failed(failure)

    async def handle_exception(self, error: Exception) -> str:
        """What aiosmtpd says by itself would name the error."""
        log.warning("a mail connection: %s", type(error).__name__)
        return LATER.line()

    def _failed(self, failure: Exception) -> Rejection:
        log.warning("a mail was not taken: %s", type(failure).__name__)
        self._house.counts["failed"] += 1
        return LATER

    def _refused(self, refusal: Rejection) -> str:
        self._house.counts["refused" if refusal.permanent else "put off"] += 1
        log.info("a mail of %s was refused: %s", self._sender.id if self._sender else "nobody", refusal.status)
        return refusal.line()


def _too_fast(wait_s: float) -> Rejection:
    return Rejection(450, "4.7.1", f"too many texts at once: again in {math.ceil(wait_s)} s")
