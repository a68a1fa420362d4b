"""Reports to those who ordered a text by mail which failed after it was taken: one a text, by the company's relay."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.message import Message

from server.alerting.channels import NotSent, mail_access
from server.services.context import Services
from sms.mail import bounces, relay
from sms.mail.answers import Order
from sms.mail.bounces import Failed
from sms.mail.notices import Language
from sms.mail.relay import Access, Outcome
from storage import mail_orders
from storage.mail_orders import FailedOrder

log = logging.getLogger(__name__)

EVERY_S = 10.0
AT_ONCE = 100
AGAIN, AGAIN_MAX = timedelta(minutes=1), timedelta(hours=1)  # after the relay has put one off; doubled each time
# By the state of the text: RFC 3463, and for people.
REASONS: Mapping[str, tuple[str, str]] = {
    "undelivered": ("5.0.0", "the network could not deliver it"),
    "expired": ("5.4.7", "it could not be delivered in time"),
    "rejected": ("5.0.0", "the network did not take it"),
    "failed": ("5.4.4", "no way to send it was found"),
    "refused": ("5.7.1", "no text may go to this number"),
}


class MailBounces:
    """`run` for as long as the daemon lives; `flush` is one round. What is told is forgotten after that: whoever is
    told twice, over a crash, sees by the Message-ID that it is the same."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._put_off: dict[str, tuple[datetime, timedelta]] = {}
        self.sent = 0
        self.failed = 0

    async def run(self) -> None:
        """Raises StorageError."""
        while True:
            await self.flush()
            await asyncio.sleep(EVERY_S)

    async def flush(self) -> None:
        """Tell what can be told now, and forget what need not be told any more. Raises StorageError."""
        async with self._services.db.read() as tx:
            over = list(await mail_orders.over(tx, AT_ONCE))
            waiting = await mail_orders.failed(tx, AT_ONCE, besides=self._later())
        if over:
            await self._settle(over)
        if not waiting:
            return
        if not self._services.settings.alerts.mail_relay:
            log.warning(
                "%d failed texts are not reported to who mailed them: no mail relay is configured", len(waiting)
            )
            await self._settle([one.text_id for one in waiting])
            return
        try:
            access = await mail_access(self._services.settings, self._services.paths)
        except NotSent as error:
            log.warning("reports of failed texts wait: %s", error)
            return
        for one in waiting:
            if not await self._told(access, one):
                return

    def _later(self) -> list[str]:
        now = self._services.clock()
        return [text_id for text_id, (moment, _) in self._put_off.items() if moment > now]

    async def _told(self, access: Access, one: FailedOrder) -> bool:
        """Whether the relay is there for the others."""
        try:
            message = written(one, self._services.settings.mail.domain, self._services.clock())
        except ValueError:  # its text repeats the header
            log.warning("a failed text (%s) is not reported: its sender cannot be written to", one.text_id)
            await self._settle([one.text_id])
            return True
        handed = await relay.send(access, message, bounces.MAIL_FROM, [one.ordered.mail_from])
        if handed.outcome is Outcome.TEMPORARY:
            _, pause = self._put_off.get(one.text_id, (None, AGAIN))
            self._put_off[one.text_id] = (self._services.clock() + pause, min(2 * pause, AGAIN_MAX))
            log.info("a report of a failed text waits: %s", handed.why)
            return bool(handed.refused)
        if handed.outcome is Outcome.SENT:
            self.sent += 1
        else:
            self.failed += 1
            log.warning("a failed text (%s) is not reported: %s", one.text_id, handed.why or handed.outcome)
        await self._settle([one.text_id])
        return True

    async def _settle(self, ids: list[str]) -> None:
        async with self._services.db.transaction() as tx:
            await mail_orders.settle(tx, ids)
        for text_id in ids:
            self._put_off.pop(text_id, None)


def written(one: FailedOrder, domain: str, now: datetime) -> Message:
    """Pure. Raises ValueError where its sender or its Message-ID cannot stand in a header."""
    ordered = one.ordered
    status, words = REASONS[one.state]
    order = Order(ordered.login_id, ordered.mail_from, "", (ordered.number,), "", ordered.message_id)
    failed = [Failed(ordered.number, status, words)]
    language: Language = "fr" if ordered.language == "fr" else "en"
    return bounces.report(order, failed, domain, language, one.arrived_at, now, bounce_id(one.text_id))


def bounce_id(text_id: str) -> str:
    """The same for the same text. 32 hexadecimal digits; the text is not found by it."""
    return hashlib.blake2b(text_id.encode(), digest_size=16, person=b"beffroi-bounce").hexdigest()
