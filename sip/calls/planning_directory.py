"""Reads who is concerned by a call: accounts with settings, devices and contacts, lines, and what forwards lead to.

Two steps, so that no phone's registration is asked for while the database is held: ``Draft`` under the transaction,
``Snapshot`` after it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sip.calls.forwarding import MAX_HOPS, Lead, Place, Snapshot, ToAccount, ToLine, Way, forwards_of, why
from sip.calls.house import House
from sip.calls.plan import Refusal, contact_key
from sip.edge.state import Contact
from storage import accounts, call_settings, devices, lines
from storage.accounts import Account
from storage.call_settings import CallSettings
from storage.errors import NotFound
from storage.lines import Line
from storage.tx import Tx

_HOST = re.compile(r"sips?:(?:[^@;>]*@)?(\[[0-9A-Fa-f:.]+\]|[^:;>]+)")


class Contacts(Protocol):
    """The registrations that the edge holds."""

    async def contacts(self, auth_user: str) -> Sequence[Contact]: ...


@dataclass
class Draft:
    """What the database holds of everybody that the call may come to."""

    accounts: dict[str, Account] = field(default_factory=dict)
    settings: dict[str, CallSettings] = field(default_factory=dict)
    devices: dict[str, tuple[str, ...]] = field(default_factory=dict)  # account id -> auth users
    leads: dict[tuple[str, str], Lead] = field(default_factory=dict)


# Where a forward to a number outside goes: the account that forwards, what it dials, why.
OutsideOf = Callable[[Account, str, str], Awaitable[Lead]]


async def find(tx: Tx, dialled: str) -> Line | Account | None:
    """Who of the house has this number or name."""
    line = await lines.by_number(tx, dialled)
    return line if line is not None else await accounts.by_dialled(tx, dialled)


async def draft(tx: Tx, start: Iterable[Account], outside: OutsideOf) -> Draft:
    """Everybody from ``start`` on, along all forwards."""
    found = Draft()
    known_lines: set[str] = set()
    ahead = [(account, 0) for account in start]
    while ahead:
        account, hops = ahead.pop()
        if account.id in found.accounts:
            continue
        await _read(tx, found, account)
        for name, to in forwards_of(found.settings[account.id]).items():
            if hops > MAX_HOPS:
                continue
            place = await find(tx, to)
            if isinstance(place, Account):
                found.leads[account.id, name] = ToAccount(place.id)
                ahead.append((place, hops + 1))
            elif isinstance(place, Line):
                found.leads[account.id, name] = ToLine(place)
                if place.id not in known_lines:
                    known_lines.add(place.id)
                    ahead += [(await accounts.get(tx, member), hops + 1) for member in place.members]
            else:
                found.leads[account.id, name] = await outside(account, to, why(name))
    return found


async def _read(tx: Tx, found: Draft, account: Account) -> None:
    found.accounts[account.id] = account
    found.settings[account.id] = await call_settings.get(tx, account.id)
    every = await devices.list_all(tx, account.id)
    found.devices[account.id] = tuple(each.auth_user for each in every if each.revoked_at is None)


async def snapshot(found: Draft, contacts: Contacts, house: House) -> Snapshot:
    """With what is registered and who talks now."""
    users = [user for each in found.devices.values() for user in each]
    asked = await asyncio.gather(*(contacts.contacts(user) for user in users))
    registered = dict(zip(users, asked, strict=True))
    return Snapshot(
        {
            account_id: Place(
                account,
                found.settings[account_id],
                ways(account_id, {user: registered[user] for user in found.devices[account_id]}),
                house.talks(account_id),
            )
            for account_id, account in found.accounts.items()
        },
        found.leads,
    )


def ways(account_id: str, registered: dict[str, Sequence[Contact]]) -> tuple[Way, ...]:
    """The account's phones: RTP/SAVP for contacts that came by TLS, RTP/AVP for others; IPv6 media for those that are
    there by IPv6 alone, since the edge rings every contact of a phone."""
    found: list[Way] = []
    for table in ("tls", "plain"):
        there = {user: [c for c in each if c.table == table] for user, each in registered.items()}
        for ipv6 in (False, True):
            users = tuple(u for u, each in there.items() if each and all(map(is_ipv6, each)) is ipv6)
            owners = {contact_key(c.uri): account_id for user in users for c in there[user]}
            if users:
                phones = {contact_key(c.uri): user for user in users for c in there[user]}
                found.append(Way(users, table == "tls", ipv6, owners, phones))
    return tuple(found)


def is_ipv6(contact: Contact) -> bool:
    """Whether the phone's requests came by IPv6."""
    host = _HOST.match(contact.received or contact.uri)
    try:
        return host is not None and ipaddress.ip_address(host[1].strip("[]")).version == 6
    except ValueError:
        return False


async def caller_of(tx: Tx, auth_user: str) -> tuple[devices.Device, Account] | Refusal:
    """Who has proven to be this device."""
    try:
        device = await devices.by_auth_user(tx, auth_user)
        return device, await accounts.get(tx, device.account_id)
    except NotFound:
        return Refusal(403, "Unknown Device", "unknown-device")
