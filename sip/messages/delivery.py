"""Brings a text to the phones of an account, and says what has come of it at each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sip.edge.messages import Answered, Sent, Silent
from sip.edge.state import Contact
from sip.messages.pieces import STREAM_MAX_BYTES, UDP_MAX_BYTES, split
from storage import devices
from storage.database import Database


class TextEdge(Protocol):
    """What is asked of the edge. Raises RpcError."""

    async def contacts(self, auth_user: str) -> Sequence[Contact]: ...

    async def send_text(self, contact: Contact, text: str, sender: str) -> Sent: ...


@dataclass(frozen=True, slots=True)
class AtContact:
    """What one registered place of a phone has made of it."""

    auth_user: str
    sent: Sent  # of the last piece that was sent


@dataclass(frozen=True, slots=True)
class Delivered:
    """What has come of a text to an account: nothing registered, if there is no contact."""

    contacts: tuple[AtContact, ...]

    @property
    def registered(self) -> bool:
        return bool(self.contacts)

    @property
    def taken(self) -> bool:
        """One phone has shown it, as far as a 2xx says so."""
        return any(isinstance(each.sent, Answered) and each.sent.taken for each in self.contacts)

    @property
    def uncertain(self) -> bool:
        """None has said that it has it, and one may."""
        return not self.taken and any(isinstance(each.sent, Silent) for each in self.contacts)


class Delivery:
    """To every contact of every device, each over the way that it came by: TLS stays TLS."""

    def __init__(self, database: Database, edge: TextEdge) -> None:
        self._database = database
        self._edge = edge

    async def contacts(self, account_id: str) -> list[tuple[str, Contact]]:
        """Where the account can be reached now, by device. Raises StorageError, RpcError."""
        async with self._database.read() as tx:
            every = await devices.list_all(tx, account_id)
        users = [device.auth_user for device in every if device.revoked_at is None]
        found = await asyncio.gather(*(self._edge.contacts(user) for user in users))
        return [(user, contact) for user, contacts in zip(users, found, strict=True) for contact in contacts]

    async def to_account(self, account_id: str, text: str, sender: str) -> Delivered:
        """`sender`: what the phone shows and answers to: a number or an extension. Raises StorageError, RpcError."""
        return await self.to_contacts(await self.contacts(account_id), text, sender)

    async def to_contacts(self, contacts: Sequence[tuple[str, Contact]], text: str, sender: str) -> Delivered:
        """To these, all at once. Raises RpcError."""
        sent = await asyncio.gather(*(self._to(contact, text, sender) for _, contact in contacts))
        return Delivered(tuple(AtContact(user, each) for (user, _), each in zip(contacts, sent, strict=True)))

    async def _to(self, contact: Contact, text: str, sender: str) -> Sent:
        """Piece by piece, so that they arrive in order; after one that was not taken the rest would be nonsense."""
        pieces = split(text, UDP_MAX_BYTES if over_udp(contact) else STREAM_MAX_BYTES)
        sent: Sent = Silent()
        for piece in pieces:
            sent = await self._edge.send_text(contact, piece, sender)
            if not isinstance(sent, Answered) or not sent.taken:
                break
        return sent


def over_udp(contact: Contact) -> bool:
    """Whether requests go there by UDP (RFC 3261 section 19.1.1: also where nothing is said)."""
    if contact.socket:
        return contact.socket.startswith("udp:")
    return contact.table != "tls" and "transport=tcp" not in (contact.received or contact.uri).lower()
