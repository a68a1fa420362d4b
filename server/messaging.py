"""Texts in the running daemon: the queue, the intake, the carriers, and who is told that something came in.

Here the parts of `sms` are put together; what they decide stands there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from config import packs, sms_answers
from config.settings import Settings
from server.services.context import Services
from server.text_writer import TextWriter, draft, new_text
from server.week_keys import WeekKeys
from sms.carriers.carrier import Carrier, InboundPart, Receipt, Receiver
from sms.inbound import Arrived, Intake, Periods
from sms.outbound import Outbox, Permission
from sms.reactions import HELP
from sms.routing import Route
from sms.words.reader import read
from storage import inboxes, sms_received, sms_sent
from storage.errors import StorageError
from storage.inboxes import Inbox, Sender
from storage.sms_sent import NewText

log = logging.getLogger(__name__)

MAINTAIN_S = 60.0
PHONES_S = 60.0  # between two tries to hand waiting copies to phones
REPLIES_PACK, CONVERSATION_PACK = "SMS_REPLIES", "SMS_CONVERSATION"
EVIDENCE_PACK = "CONSENT_EVIDENCE"

Built = tuple[Carrier, Route]


class Phones(Protocol):
    """Takes copies of texts to the phones of an account."""

    async def deliver(self, account_id: str, sender: str, text: str) -> bool:
        """Whether one phone has taken it."""


class Notices(Protocol):
    """Tells people that something is there; no word and no number of it."""

    async def arrived(self, inbox: Inbox, state: str) -> None: ...


class Messaging:
    """One for the daemon. Fills `sms.carriers.carrier.Receiver`."""

    def __init__(
        self,
        services: Services,
        build: Callable[[Receiver], Sequence[Built]],
        permission: Permission,
        *,
        phones: Phones | None = None,
        notices: Notices | None = None,
    ) -> None:
        """`build`: the carriers, which are given this desk as their receiver."""
        self._services = services
        self._phones = phones
        self._notices = notices
        keks = WeekKeys(services.db, services.keys.ledger, escrow_alone=True)
        self.writer = TextWriter(keks)
        self.carriers = list(build(self))
        self.outbox = Outbox(services.db, self.carriers, permission, services.clock)
        self.intake = Intake(
            services.db,
            keks,
            read,
            _Answers(services),
            _periods(services.settings),
            services.clock,
            on_arrived=self._arrived,
            on_queued=self.outbox.wake,
        )
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self.heard: Callable[[Arrived], None] = lambda _: None  # told of each text that came in

    # --- for carriers -------------------------------------------------------------------------------------------

    async def received(self, carrier: str, part: InboundPart) -> None:
        await self.intake.received(carrier, part)

    async def receipt(self, carrier: str, receipt: Receipt) -> None:
        await self.outbox.receipt(carrier, receipt)

    # --- for services -------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Inboxes, senders, or who may do what."""
        self.intake.inboxes_changed()
        self.outbox.senders_changed()
        self.outbox.wake()

    def registered(self, account_id: str) -> None:
        """A phone is there: what waits for it is tried."""
        self._waiting.put_nowait(account_id)

    def states(self) -> Mapping[str, object]:
        """Carriers as they are, for people."""
        return {carrier.name: carrier.state() for carrier, _ in self.carriers}

    # --- running ------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """What the last process was about to send: nobody knows. Raises StorageError."""
        await self.outbox.recover()

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What has to run, by name."""
        return {
            "texts out": self.outbox.run,
            "texts in": self.intake.run,
            "texts kept": self._maintain,
            "texts to phones": self._copies,
            **{f"carrier {carrier.name}": carrier.run for carrier, _ in self.carriers},
        }

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(MAINTAIN_S)
            try:
                async with self._services.db.transaction() as tx:
                    await sms_sent.forget_receipts(tx, self._services.clock())
                if gone := await self.intake.give_up_waiting():
                    log.warning("%d long texts are kept without all of their parts", gone)
            except StorageError as error:
                log.error("long texts wait: %s", error)

    async def _arrived(self, one: Arrived) -> None:
        self.heard(one)
        if one.account_id is not None:
            self._waiting.put_nowait(one.account_id)
        if self._notices is not None:
            async with self._services.db.read() as tx:
                inbox = await inboxes.get(tx, one.inbox_id)
            await self._notices.arrived(inbox, one.state)

    async def _copies(self) -> None:
        """Hand waiting copies over when something has come, a phone is back, or a minute is over."""
        while True:
            accounts: set[str] | None = None
            try:
                async with asyncio.timeout(PHONES_S):
                    accounts = {await self._waiting.get()}
                while not self._waiting.empty():
                    accounts.add(self._waiting.get_nowait())
            except TimeoutError:
                accounts = None
            if self._phones is None:
                continue
            try:
                await self._hand_out(self._phones, accounts)
            except StorageError as error:
                log.error("copies for phones wait: %s", error)

    async def _hand_out(self, phones: Phones, accounts: set[str] | None) -> None:
        """`accounts` None: of all."""
        async with self._services.db.read() as tx:
            there = await sms_received.waiting(tx)
        absent: set[str] = set()
        for copy in there:
            if copy.account_id in absent or (accounts is not None and copy.account_id not in accounts):
                continue  # in order: one that waits holds back those behind it
            said = json.loads(copy.text)
            good = copy.expires_at > self._services.clock()
            if good and not await phones.deliver(copy.account_id, said["from"], said["text"]):
                absent.add(copy.account_id)
                continue
            async with self._services.db.transaction() as tx:
                await sms_received.taken(tx, copy.id)

    # --- what is counted ----------------------------------------------------------------------------------------

    def counters(self) -> dict[str, float]:
        """Since the start."""
        return {
            **{f"texts_out_{name.replace(' ', '_')}": float(n) for name, n in self.outbox.counted.items()},
            **{f"texts_in_{name}": float(n) for name, n in self.intake.counted.items()},
        }

    async def status(self) -> Mapping[str, object]:
        """For `beffroi status`."""
        async with self._services.db.read() as tx:
            waiting = await sms_sent.waiting(tx)
        return {"carriers": {name: str(health) for name, health in self.outbox.states().items()}, "waiting": waiting}


class _Answers:
    """Fills `sms.reactions.Answers`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def text(self, kind: str, language: str) -> str:
        company, sms = self._services.settings.company, self._services.settings.sms
        if kind == HELP and sms.identity:
            return sms.identity
        return sms_answers.words(kind, language, org=company.name, contact=company.dpo_contact)

    def prepared(
        self, words: str, *, inbox: Inbox, sender: Sender, recipient: str, author: str, now: datetime
    ) -> NewText:
        limit = self._services.settings.sms.max_parts
        drafted = draft(words, "transactional", transliterated=True, max_parts=limit)
        return new_text(drafted, inbox=inbox, sender=sender, recipient=recipient, author_id=author, now=now)


def _periods(settings: Settings) -> Periods:
    known = packs.load()

    def after(pack_id: str) -> Callable[[datetime], datetime]:
        retention = known[pack_id].retention
        assert retention is not None  # checked when it was read
        return retention.after

    return Periods(
        received=after(REPLIES_PACK),
        conversation=after(CONVERSATION_PACK),
        request=after(EVIDENCE_PACK),
        phone_copy=timedelta(hours=settings.sms.phone_copy_h),
    )
