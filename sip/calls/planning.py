"""Decides about a call before it begins: who is calling, who is meant, who rings, and on which terms.

The order matters. A call from a trunk is for whoever has the number. From a phone, an emergency comes first, before it
is asked who calls; then the identity of the device; then what was dialled: a name or number of the house, a code, a
number outside. What is decided about each is pure (``numbers``, ``emergency``, ``permission``, ``trunk_choice``,
``forwarding``, ``codes``); the parts read what they need and put a plan together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from config import rates
from retention.recording_decision import CompanyFacts
from sip.calls import planning_refusal
from sip.calls.house import EmptyHouse, House
from sip.calls.numbers import SiteNumbering
from sip.calls.plan import CallPlan, Joining, Party, Refusal, TransferRequest
from sip.calls.planning_bench import Bench, Called, Timing
from sip.calls.planning_directory import Contacts
from sip.calls.planning_emergency import ForHelp
from sip.calls.planning_inbound import FromTrunks
from sip.calls.planning_outside import OutsideHabits, WaysOut
from sip.calls.planning_phone import FromPhones, check_identity, check_media
from sip.calls.planning_terms import Prompts, Terms, prompts_for
from sip.calls.planning_transfer import Transfers
from sip.calls.policies import Policies
from sip.edge.protocol import EdgeRequest
from storage import lines
from storage.database import Database

__all__ = [
    "Called",
    "Contacts",
    "DirectoryPlanner",
    "OutsideHabits",
    "Prompts",
    "Timing",
    "check_identity",
    "check_media",
    "prompts_for",
]


class DirectoryPlanner:
    """Plans calls from the directory in the database."""

    def __init__(
        self,
        database: Database,
        contacts: Contacts,
        prompts: Prompts,
        company: CompanyFacts,
        timing: Timing,
        *,
        habits: OutsideHabits | None = None,
        house: House | None = None,
        music: Path | None = None,
        chance: Callable[[], float] = random.random,
        policies: Policies | None = None,
    ) -> None:
        """``habits`` None: a site in the company's country with the example rates. ``house``: what goes on now.
        ``music``: WAV for whoever waits. ``chance``: see ``WaysOut``. ``policies`` None: lines speak for themselves."""
        house = house or EmptyHouse()
        habits = habits or OutsideHabits(SiteNumbering(company.country), rates.load())
        terms, ways = Terms(prompts, company, policies), WaysOut(house, habits, chance)
        self._bench = Bench(database, contacts, house, terms, ways, timing, music)
        self._help = ForHelp(self._bench)
        self._trunks = FromTrunks(self._bench)
        self._phones = FromPhones(self._bench)
        self._transfers = Transfers(self._bench)

    # --- what a reload, or the daemon's start, changes ---------------------------------------------

    @property
    def company(self) -> CompanyFacts:
        return self._bench.terms.company

    @company.setter
    def company(self, company: CompanyFacts) -> None:
        self._bench.terms.company = company

    @property
    def timing(self) -> Timing:
        return self._bench.timing

    @timing.setter
    def timing(self, timing: Timing) -> None:
        self._bench.timing = timing

    @property
    def habits(self) -> OutsideHabits:
        return self._bench.ways.habits

    @habits.setter
    def habits(self, habits: OutsideHabits) -> None:
        self._bench.ways.habits = habits

    @property
    def house(self) -> House:
        return self._bench.house

    @house.setter
    def house(self, house: House) -> None:
        self._bench.house = self._bench.ways.house = house

    @property
    def music(self) -> Path | None:
        return self._bench.music

    @music.setter
    def music(self, music: Path | None) -> None:
        self._bench.music = music

    # --- planning -----------------------------------------------------------------------------------

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        if request.trunk:
            return await self._trunks.plan(request, now)
        wanted = self._help.recognise(request)
        if wanted is not None:
            return await self._help.plan(request, wanted, now)
        # "#" travels as %23 (RFC 3261 section 19.1.2)
        return await self._phones.plan(request, unquote(request.request_user), now)

    async def plan_refusal(self, request: EdgeRequest, refusal: Refusal, now: datetime) -> CallPlan | None:
        return await planning_refusal.plan(self._bench, request, refusal, now)

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        return await self._transfers.plan_transfer(transfer, now)

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        return await self._transfers.plan_joining(first, stays, joins, now)

    async def plan_origination(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        return await self._phones.originate(account_name, number, now)

    async def warm_up(self, now: datetime) -> None:
        """Have every prompt made that a call may need, before somebody waits for it."""
        async with self._bench.database.read() as tx:
            every = await lines.list_all(tx)
        await self._bench.terms.prepare(every, now)
