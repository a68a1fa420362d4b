"""Who decides for the listener: whose login it is, what it may send to whom, and that an order is committed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Protocol

from sms.mail.answers import Order, Rejection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Sender:
    """Who has proven to be there. `id`: opaque, for logs. `automatic`: a program, whose mails may say so."""

    id: str
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Relay:
    """A mail server of the company, known by where it connects from; it has asked its people who they are.

    `name`: for `Desk.relayed`. Without `tls` it may speak in clear, which is for a relay on this machine.
    """

    name: str
    networks: tuple[Network, ...]
    tls: bool = True

    def is_at(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer)
        return any(address.version == network.version and address in network for network in self.networks)


class Desk(Protocol):
    """What the listener asks. Whatever raises is answered with 4xx: the client tries again."""

    def is_banned(self, peer: str) -> bool:
        """Whether this address is turned away at once."""

    def wrong_password(self, peer: str) -> None:
        """Somebody at this address has not proven to be who they said."""

    def forged(self, sender: Sender | None, peer: str) -> None:
        """A sender's address that is not this sender's: it was refused, and is to be reported. None: by a relay."""

    async def authenticate(self, login: str, password: str, peer: str) -> Sender | None:
        """Who that is, or None. What it costs in time does not tell whether there is such a login."""

    async def relayed(self, relay: str, mail_from: str) -> Sender | None:
        """Who a relay speaks for, if it may speak for that address."""

    async def may_send_as(self, sender: Sender, address: str) -> bool:
        """Whether this sender may write this address as its own."""

    async def recipient(self, sender: Sender, number: str) -> Rejection | None:
        """None: a text may go there. `number` as it was written, without blanks and the like."""

    async def accept(self, order: Order) -> Rejection | None:
        """None once it is committed. The same `Order.key` again: None, and nothing new."""
