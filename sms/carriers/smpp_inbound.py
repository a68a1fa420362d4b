"""What a centre brings: texts and receipts, each answered once it is committed (SMPP 3.4 §4.6, §4.7).

Several are committed at a time, those of one telephone one after the other: STOP and START keep their order.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets

from sms.carriers import smpp_addresses, smpp_receipts, smpp_texts
from sms.carriers.carrier import InboundPart, Receipt, Receiver
from sms.carriers.smpp_link import Link
from sms.carriers.smpp_outcomes import NOT_NOW, QUEUE_FULL
from sms.carriers.smpp_pdu import Data, Message, Pdu
from sms.carriers.smpp_settings import SmppSettings

_log = logging.getLogger(__name__)
_Brought = tuple[Link, Pdu, Message | Data]


class Inbound:
    """`take` is called by links; `run` lives beside them."""

    def __init__(self, settings: SmppSettings, receiver: Receiver) -> None:
        self._settings = settings
        self._receiver = receiver
        self._queues: list[asyncio.Queue[_Brought]] = [asyncio.Queue() for _ in range(settings.inbound_at_a_time)]
        self._waiting = 0
        self._secret = secrets.token_bytes(16)

    def take(self, link: Link, request: Pdu) -> None:
        """Never waits: where too much does already, the centre is told to keep it."""
        body = request.body
        if not isinstance(body, Message | Data):
            return
        if self._waiting >= self._settings.inbound_most:
            link.answer(request, QUEUE_FULL)
            return
        self._waiting += 1
        lane = hash(body.source.characters) % len(self._queues)
        self._queues[lane].put_nowait((link, request, body))

    async def run(self) -> None:
        """Until cancelled. What is not answered then, the centre brings again."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._work(queue))

    async def _work(self, queue: asyncio.Queue[_Brought]) -> None:
        while True:
            link, request, body = await queue.get()
            try:
                await self._commit(link, request, body)
            except Exception as error:  # whatever a database raises: it was not committed, and the centre keeps it
                _log.warning("%s: what came in was not committed (%s)", link.name, type(error).__name__)
                link.answer(request, NOT_NOW)
            else:
                link.answer(request)
            finally:
                self._waiting -= 1

    async def _commit(self, link: Link, request: Pdu, body: Message | Data) -> None:
        if not smpp_receipts.is_receipt(body.esm_class, body.tlvs):
            await self._receiver.received(self._settings.name, self._part(link, request, body))
            return
        receipt = read_receipt(body, self._settings)
        if receipt.message_ids:
            await self._receiver.receipt(self._settings.name, receipt)
        else:
            _log.warning("%s: a receipt without a message id", link.name)

    def _part(self, link: Link, request: Pdu, body: Message | Data) -> InboundPart:
        read = smpp_texts.unpack(body, self._settings.default_alphabet)
        return InboundPart(
            sender=smpp_addresses.of_place(body.source, self._settings.country),
            recipient=smpp_addresses.of_place(body.destination, self._settings.country),
            text=read.text,
            delivery=f"{link.name}:{request.sequence}:{self._print_of(body)}",
            link=link.name,
            coding=read.coding,
            raw=read.raw,
            number=read.number,
            total=read.total,
            reference=read.reference,
        )

    def _print_of(self, body: Message | Data) -> str:
        """Some centres number every message alike: the same number is the same delivery only with the same content.

        By a secret that ends with the process, so that nobody finds the words again by trying.
        """
        known = hashlib.blake2b(key=self._secret, digest_size=8)
        known.update(f"{body.source.characters}\0{body.destination.characters}\0".encode())
        known.update(body.short_message if isinstance(body, Message) else b"")
        for tag, value in body.tlvs:
            known.update(tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value)
        return known.hexdigest()


def read_receipt(body: Message | Data, settings: SmppSettings) -> Receipt:
    """Pure. Its sender is whom the text went to."""
    read = smpp_texts.unpack(body, settings.default_alphabet)
    text = read.text if read.text is not None else read.raw.decode("latin-1")
    report = smpp_receipts.read(body.tlvs, text, settings.zone)
    recipient = smpp_addresses.of_place(body.source, settings.country)
    return Receipt(report.message_ids, report.delivery, report.error, report.done_at, recipient)
