"""Texts within the house: from one employee to another, or to everybody on a line, relayed at once.

Nothing of it is kept where a phone takes it. For a person who is not there it waits (202), if the house keeps texts
waiting, and is delivered when a phone signs on (``sip.messages.arrivals``); else the sender is told (480), as of a line
where nobody is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sip.calls import emergency, numbers
from sip.calls.numbers import SiteNumbering
from sip.calls.plan import LineKind
from sip.calls.planning_directory import find
from sip.edge.protocol import Reply
from sip.edge.rpc import RpcError
from sip.edge.state import Contact
from sip.messages.delivery import Delivery
from sip.messages.desk import ACCEPTED, DELIVERED, LATER, Text, TextDesk, TextFromPhone
from storage import accounts
from storage.accounts import Account
from storage.database import Database
from storage.errors import StorageError
from storage.lines import Line

log = logging.getLogger(__name__)

WAIT_S = 1.5  # for a phone to say that it has the text, before the sender is told that it is on its way

NOT_FOUND = Reply(404, "Not Found")
NOT_THERE = Reply(480, "Not There, Write Again Later")
NOT_TAKEN = Reply(480, "No Telephone Has Taken It")
NO_OUTSIDE = Reply(403, "Texts To Outside Are Not Set Up")

# What a person who writes to an emergency number is told: nobody would read it.
CALL_THEM = {
    "fr": "Votre message au {number} n'est PAS parti. Appelez le {number}.",
    "en": "Your text to {number} was NOT sent. Call {number}.",
}
# Where a service takes texts (114 in France, for whoever cannot hear or speak), it has them from mobile networks.
TEXT_BY_MOBILE = {
    "fr": "Votre message au {number} n'est PAS parti. Envoyez-le par SMS, d'un téléphone mobile.",
    "en": "Your text to {number} was NOT sent. Send it by SMS, from a mobile telephone.",
}
NOT_ARRIVED = {
    "fr": "Votre message au {number} n'est peut-être pas arrivé.",
    "en": "Your text to {number} may not have arrived.",
}


class Absent(Protocol):
    """Keeps texts for whoever is not there."""

    async def keep(self, account: Account, sender: str, words: str, key: str) -> bool:
        """Whether it waits now: committed. The same `key` again: the same text. Raises StorageError."""


class HouseDesk:
    """Takes texts for names and numbers of the house; `outside` takes the rest."""

    def __init__(
        self,
        database: Database,
        delivery: Delivery,
        site: Callable[[], SiteNumbering],
        outside: TextDesk | None = None,
        absent: Absent | None = None,
    ) -> None:
        self._database = database
        self._delivery = delivery
        self._site = site
        self._outside = outside
        self._absent = absent
        self._group: asyncio.TaskGroup | None = None
        self.relayed = 0  # for the metrics
        self.lost = 0

    async def run(self) -> None:
        """Owns what is on its way to phones, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def on_text(self, text: Text) -> Reply:
        """Raises StorageError, RpcError."""
        if not isinstance(text, TextFromPhone):
            return await self._outside.on_text(text) if self._outside is not None else LATER
        help_number = emergency.recognise(text.to, self._site())
        if help_number is not None:
            said = TEXT_BY_MOBILE if help_number.service == "text" else CALL_THEM
            self._tell(text.account, said, help_number.number)
            return Reply(403, f"Texts To {help_number.number} Are Not Carried")
        async with self._database.read() as tx:
            place = await find(tx, text.to)
            members = list(place.members) if isinstance(place, Line) else []
            called = [await accounts.get(tx, member) for member in members if member != text.account.id]
        match place:
            case Account():
                return await self._relay(text, [place])
            case Line(kind=LineKind.RING.value):
                return await self._relay(text, [each for each in called if each.disabled_at is None])
            case Line():
                return NOT_FOUND
        if self._outside is not None:
            return await self._outside.on_text(text)
        return NO_OUTSIDE if numbers.parse(text.to, self._site()) is not None else NOT_FOUND

    async def _relay(self, text: TextFromPhone, to: list[Account]) -> Reply:
        found = await asyncio.gather(*(self._delivery.contacts(account.id) for account in to))
        contacts = [each for one in found for each in one]
        if not contacts:
            return ACCEPTED if await self._waits(text, to) else NOT_THERE
        if self._group is None:
            return LATER
        sending = self._group.create_task(self._send(contacts, text), name="text")
        done, _ = await asyncio.wait({sending}, timeout=WAIT_S)
        if not done:  # a phone takes its time: if nothing comes of it, the sender is told afterwards
            sending.add_done_callback(lambda task: self._told_later(task, text))
            return ACCEPTED
        return DELIVERED if sending.result() else NOT_TAKEN

    async def _waits(self, text: TextFromPhone, to: list[Account]) -> bool:
        if self._absent is None or len(to) != 1:
            return False
        return await self._absent.keep(to[0], text.account.extension, text.body, text.key)

    async def _send(self, contacts: Sequence[tuple[str, Contact]], text: TextFromPhone) -> bool:
        """Whether a phone has taken it."""
        try:
            taken = (await self._delivery.to_contacts(contacts, text.body, text.account.extension)).taken
        except RpcError as error:
            log.warning("the edge did not take a text: %s", error)
            taken = False
        if taken:
            self.relayed += 1
        else:
            self.lost += 1
        return taken

    def _told_later(self, task: asyncio.Task[bool], text: TextFromPhone) -> None:
        if not task.cancelled() and not task.result():
            self._tell(text.account, NOT_ARRIVED, text.to)

    def _tell(self, account: Account, words: Mapping[str, str], number: str) -> None:
        """A word to whoever wrote, at all of their phones, from the number they wrote to."""
        if self._group is not None:
            said = words.get(account.language, words["en"]).format(number=number)
            self._group.create_task(self._say(account.id, said, number), name="text about a text")

    async def _say(self, account_id: str, said: str, number: str) -> None:
        try:
            await self._delivery.to_account(account_id, said, number)
        except (StorageError, RpcError) as error:
            log.warning("somebody could not be told of their text: %s", type(error).__name__)
