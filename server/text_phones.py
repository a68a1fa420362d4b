"""Texts between phones and the outside: what an employee writes leaves by the queue, what a provider brings by a trunk
comes in like any other, and who is not there is waited for."""

from __future__ import annotations

import logging

from server.failure import Failure
from server.services.context import Services
from server.services.texts import recipient_of
from server.text_entry import address_from, hand_in, wait_for
from sip.edge.protocol import Reply
from sip.edge.rpc import RpcError
from sip.messages.delivery import Delivery
from sip.messages.desk import ACCEPTED, LATER, Text, TextFromTrunk
from sms.addresses import Number
from sms.carriers.carrier import InboundPart
from storage.accounts import Account
from storage.errors import StorageError

log = logging.getLogger(__name__)

# What a softphone may show of a failure: a status and a few words, by the code of the failure.
_STATUS = {"invalid": 400, "denied": 403, "conflict": 480, "not_found": 404}
NO_SUCH = Reply(404, "No Such Number")


class Outside:
    """Fills ``sip.messages.desk.TextDesk`` for whatever is not of the house."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_text(self, text: Text) -> Reply:
        """Raises StorageError."""
        services = self._services
        if services.texts is None:
            return LATER
        if isinstance(text, TextFromTrunk):
            return await self._from_trunk(text)
        try:
            recipient_of(services, text.to)
        except Failure:
            return NO_SUCH
        try:
            await hand_in(services, text.account, text.to, text.body, text.key)
        except Failure as failure:
            return Reply(_STATUS.get(failure.code, 403), failure.what[:100].title())
        return ACCEPTED

    async def _from_trunk(self, text: TextFromTrunk) -> Reply:
        assert self._services.texts is not None
        part = InboundPart(
            sender=address_from(self._services, text.sender),
            recipient=Number(text.number.number),
            text=text.body,
            delivery=text.key,
            link=f"trunk:{text.trunk.id}",
        )
        await self._services.texts.received(text.trunk.name, part)
        return ACCEPTED


class Absent:
    """Who is not there: a colleague's text waits for their phones."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def keep(self, account: Account, sender: str, words: str, key: str) -> bool:
        """Whether it waits now. Raises StorageError."""
        return await wait_for(self._services, account, sender, words, key)


class Copies:
    """Fills ``server.messaging.Phones``: what waits is brought to phones that are there."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    async def deliver(self, account_id: str, sender: str, text: str) -> bool:
        """Whether one phone has taken it."""
        try:
            return (await self._delivery.to_account(account_id, text, sender)).taken
        except (RpcError, StorageError) as error:
            log.warning("a waiting text is tried again: %s", type(error).__name__)
            return False
