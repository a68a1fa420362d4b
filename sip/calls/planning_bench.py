"""What every part of the planner works with: the directory, the ways out, the terms, the settings' plain values."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sip.calls import emergency, numbers, planning_contact, planning_objections
from sip.calls.forwarding import UNKNOWN, Builder, Lead, Place, ToAccount, ToLine
from sip.calls.house import House
from sip.calls.numbers import SiteNumbering
from sip.calls.plan import CallPlan, ContactMade, Refusal
from sip.calls.planning_directory import Contacts, Draft, OutsideOf, draft, find, snapshot
from sip.calls.planning_outside import WayOut, WaysOut
from sip.calls.planning_terms import Terms
from storage import accounts
from storage.accounts import Account
from storage.database import Database
from storage.lines import Line
from storage.tx import Tx

NOT_FORWARDED = Refusal(403, "Emergency Numbers Are Not Forwarded To", "not-permitted")


@dataclass(frozen=True, slots=True)
class Timing:
    """Plain values from the settings."""

    ring_timeout_s: float
    max_duration_s: float


@dataclass(frozen=True, slots=True)
class Called:
    """What a dialled string leads to within the house: a line with its enabled members, or one account."""

    line: Line | None
    members: tuple[Account, ...]

    @property
    def lead(self) -> Lead:
        return ToLine(self.line) if self.line is not None else ToAccount(self.members[0].id)


@dataclass
class Bench:
    """Shared by the parts; ``house`` and ``timing`` change in place."""

    database: Database
    contacts: Contacts
    house: House
    terms: Terms
    ways: WaysOut
    timing: Timing
    music: Path | None

    @property
    def site(self) -> SiteNumbering:
        return self.ways.habits.site

    async def objects(self, number: str, now: datetime) -> bool:
        """Whether whoever has that number has objected to every recording of theirs."""
        return await planning_objections.objects(self.database, number, self.site, now)

    async def inside(self, tx: Tx, dialled: str) -> Called | None:
        """Who of the house that is."""
        place = await find(tx, dialled)
        return await self.called(tx, place) if place is not None else None

    async def called(self, tx: Tx, place: Line | Account) -> Called:
        if isinstance(place, Account):
            return Called(None, (place,))
        members = [await accounts.get(tx, member) for member in place.members]
        return Called(place, tuple(member for member in members if member.disabled_at is None))

    async def destination(
        self, tx: Tx, caller: Account, dialled: str, now: datetime, *, hidden: bool = False
    ) -> Called | WayOut | Refusal:
        """What an account's dialling leads to: a name or number of the house first, else a number outside."""
        called = await self.inside(tx, dialled)
        if called is not None:
            return called
        number = numbers.parse(dialled, self.site)
        if number is None:
            return UNKNOWN
        return await self.ways.way(tx, caller, number, now, self.terms.company.languages, hidden=hidden)

    async def draft(self, tx: Tx, start: Iterable[Account], now: datetime) -> Draft:
        """Everybody from ``start`` on, along their forwards."""
        return await draft(tx, start, self._forward_of(tx, now))

    def _forward_of(self, tx: Tx, now: datetime) -> OutsideOf:
        async def outside(account: Account, to: str, why: str) -> Lead:
            number = numbers.parse(to, self.site)
            if emergency.recognise(to, self.site) is not None:
                return NOT_FORWARDED
            if number is None or account.disabled_at is not None:
                return UNKNOWN
            languages = self.terms.company.languages
            way = await self.ways.way(tx, account, number, now, languages, diverted_why=why)
            return way if isinstance(way, Refusal) else way.outside

        return outside

    async def builder(
        self, found: Draft, caller_id: str | None, *, own: Account | None = None, letter: str = "b"
    ) -> Builder | Refusal:
        """Ready to be led somewhere. ``own``: click-to-call, this account's phones ring first."""
        known = await snapshot(found, self.contacts, self.house)
        builder = Builder(known, caller_id, self.timing.ring_timeout_s, letter)
        if own is not None:
            refusal = builder.only_devices(known.places[own.id])
            if refusal is not None:
                return refusal
        return builder

    async def contact(self, way: WayOut, now: datetime) -> ContactMade | Refusal | None:
        """Count the call where it is made on behalf of a canvassing line; None for any other."""
        return None if way.contact is None else await planning_contact.begin(self.database, way.contact, now)

    def place(self, builder: Builder, account: Account) -> Place:
        return builder.snapshot.places[account.id]

    def plan(self, **fields: Any) -> CallPlan:
        """A plan with what is the same for all."""
        same: dict[str, Any] = {
            "call_id": secrets.token_hex(16),
            "ring_timeout_s": self.timing.ring_timeout_s,
            "max_duration_s": self.timing.max_duration_s,
            "music": self.music,
        }
        return CallPlan(**(same | fields))
