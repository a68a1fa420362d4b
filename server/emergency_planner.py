"""Emergency calls are planned here, from memory, before the planner that asks the database is asked at all."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote

from config.emergency import EmergencyNumber
from config.settings import Settings
from server.company import company_facts, site_numbering
from server.directory_memory import DirectoryMemory
from server.trunks_desk import TrunksDesk
from sip.calls import emergency, emergency_plan, trunk_choice
from sip.calls.emergency_plan import NOBODY, HelpSeeker
from sip.calls.numbers import Number, NumberClass, SiteNumbering
from sip.calls.plan import CallPlan, Joining, Party, Refusal, TransferRequest, TrunkTarget
from sip.calls.planning import Prompts
from sip.calls.ports import Planner
from sip.edge.protocol import EdgeRequest
from sip.edge.relayed import key_of
from storage.accounts import Account
from storage.errors import StorageError
from storage.trunks import Trunk

log = logging.getLogger(__name__)

IDS_KEPT = 1000
DIRECTORY_S = 0.6  # the edge waits a second, and then sends the call on by itself
DRILL_PROMPT = "PROMPT_DRILL"  # the star was dialled
DRILL_ON_PROMPT = "PROMPT_DRILL_SWITCHED_ON"  # emergency.drill in the configuration


class EmergencyPlanner:
    """Plans emergency calls and drills."""

    def __init__(
        self, memory: DirectoryMemory, trunks: TrunksDesk, prompts: Prompts, settings: Callable[[], Settings]
    ) -> None:
        self._memory = memory
        self._trunks = trunks
        self._prompts = prompts
        self._settings = settings
        self.without_a_way = 0  # emergency calls for which there was no trunk, for the metrics
        self._ids: OrderedDict[str, str] = OrderedDict()  # the edge's key of a Call-ID -> our id of that call

    def id_of(self, key: str) -> str | None:
        """Under which id a call was planned that the edge has relayed all the same, by ``sip.edge.relayed.key_of``."""
        return self._ids.get(key)

    def _id_for(self, request: EdgeRequest) -> str:
        call_id = self._ids[key_of(request.call_id)] = secrets.token_hex(16)
        while len(self._ids) > IDS_KEPT:
            self._ids.popitem(last=False)
        return call_id

    def site(self) -> SiteNumbering:
        return site_numbering(self._settings())

    def is_emergency(self, request: EdgeRequest) -> bool:
        """Whether it passes before every rule. A drill does not: it leads nowhere."""
        if request.kind != "invite" or request.trunk or self._settings().emergency.drill:
            return False
        return self._recognise(request) is not None

    def _recognise(self, request: EdgeRequest) -> EmergencyNumber | None:
        return emergency.recognise(unquote(request.request_user), self.site())

    async def plan(self, request: EdgeRequest, inner: Planner, now: datetime) -> CallPlan | Refusal | None:
        """None: it is no emergency. ``inner`` is asked where a statute obliges to record the call."""
        if request.kind != "invite" or request.trunk:
            return None
        asked = self._recognise(request)
        if asked is not None and not self._settings().emergency.drill:
            return await self._plan_help(asked, request, inner, now)
        tried = asked or emergency.drill(unquote(request.request_user), self.site())
        if tried is None:
            return None
        return await self._plan_drill(tried, request, now, DRILL_ON_PROMPT if asked is not None else DRILL_PROMPT)

    # --- emergency ----------------------------------------------------------------------------------

    async def _plan_help(
        self, asked: EmergencyNumber, request: EdgeRequest, inner: Planner, now: datetime
    ) -> CallPlan | Refusal:
        call_id = self._id_for(request)  # first: the edge does not wait long
        account = await self._memory.of_device(request.auth_user)
        if account is not None and account.id in self._memory.now.obliged:
            obliged = await _obliged(inner, request, now)
            if obliged is not None:
                self._ids[key_of(request.call_id)] = obliged.call_id
                return obliged
        targets = self.targets(asked.number, account)
        if not targets:
            self.without_a_way += 1
            log.critical("an emergency call cannot leave: there is no trunk that is enabled")
            return Refusal(503, "No Trunk For Emergency Calls", "no-trunk")
        settings = self._settings()
        return emergency_plan.plan(
            call_id, asked, self._seeker(account), targets, company=company_facts(settings), now=now
        )

    async def _plan_drill(
        self, tried: EmergencyNumber, request: EdgeRequest, now: datetime, prompt_id: str
    ) -> CallPlan | Refusal:
        account = await self._memory.of_device(request.auth_user)
        if account is None:
            return Refusal(403, "Unknown Device", "unknown-device")
        caller = self._seeker(account)
        company = company_facts(self._settings())
        spoken = caller.language if caller.language in company.languages else company.languages[0]
        prompt = await self._prompts.get(prompt_id, spoken, {})
        return emergency_plan.drill(secrets.token_hex(16), tried, caller, prompt, company=company, now=now)

    def rehearsal(self, account: Account, number: str) -> CallPlan:
        """A drill that no telephone takes part in."""
        tried = EmergencyNumber(number, "all", discreet=False)
        company = company_facts(self._settings())
        now = datetime.now(UTC)
        return emergency_plan.drill(secrets.token_hex(16), tried, self._seeker(account), None, company=company, now=now)

    def _seeker(self, account: Account | None) -> HelpSeeker:
        if account is None:
            return NOBODY
        return HelpSeeker(
            account.id,
            account.name,
            account.extension,
            account.display_name,
            account.language,
            account.country,
            account.metadata_class,
        )

    def ways(self) -> tuple[Trunk, ...]:
        """Trunks in the order in which an emergency call tries them: those that the configuration names, then the
        others, for any is better than none; those that are known to be down at the end."""
        views = self._trunks.views()
        states = [
            trunk_choice.TrunkState(trunk, views[trunk.id].up, views[trunk.id].in_use) for trunk in self._trunks.enabled
        ]
        chances = [random.random() for _ in states]  # noqa: S311 - a choice among equals, no secret
        chosen = trunk_choice.order(states, chances, emergency=True)
        named = trunk_choice.named_first(chosen, self._settings().emergency.trunks)
        every = (*named, *(trunk for trunk in chosen if trunk not in named))
        return tuple(sorted(every, key=lambda trunk: views[trunk.id].up is False))

    def targets(self, number: str, account: Account | None) -> tuple[TrunkTarget, ...]:
        """What is dialled for this account now, one provider after the other."""
        site = self.site()
        wanted = Number(number, NumberClass.EMERGENCY, site.country)
        display = account.display_name if account is not None else ""
        shown = trunk_choice.Shown(display, location=self.location(account))
        ways = self.ways()
        return tuple(
            trunk_choice.target(
                f"b{position}", trunk, wanted, self.shown_number(account, trunk), shown, site, trunk_choice.Price()
            )
            for position, trunk in enumerate((*ways, *ways[:1]))  # after the last the first once more
        )

    def shown_number(self, account: Account | None, trunk: Trunk) -> str | None:
        """By which the service can call back. Never hidden: who calls for help has to be found."""
        known = self._memory.now
        if account is None:
            return trunk.main_number
        allowed = trunk_choice.allowed_numbers(known.numbers, account.id, (), trunk.id)
        own = [one.number for one in known.numbers if one.account_id == account.id and one.number in allowed]
        return trunk_choice.own_or_main(known.presented.get(account.id), own, allowed, trunk)

    def presented(self, plan: CallPlan) -> str | None:
        """What the service sees of this call at the first provider: a call-back to it is for this caller."""
        account = self._memory.now.accounts.get(plan.caller.account_id or "")
        first = next((target.trunk_id for _, target in plan.targets() if isinstance(target, TrunkTarget)), None)
        trunk = next((trunk for trunk in self._trunks.enabled if trunk.id == first), None)
        return self.shown_number(account, trunk) if trunk is not None else None

    def presented_alone(self, trunk_id: str | None) -> str | None:
        """What the service sees of a call that the edge relays alone: the main number of the trunk."""
        ways = self.ways()
        taken = next((trunk for trunk in ways if trunk.id == trunk_id), ways[0] if ways else None)
        return taken.main_number if taken is not None else None

    def location_of(self, account_id: str | None) -> str:
        return self.location(self._memory.now.accounts.get(account_id or ""))

    def location(self, account: Account | None) -> str:
        """The Geolocation header, or ""."""
        places = self._settings().emergency.location
        return (places.get(account.name) if account is not None else None) or places.get("default", "")


async def _obliged(inner: Planner, request: EdgeRequest, now: datetime) -> CallPlan | None:
    """Where a statute obliges to record the call, the directory has to be asked how; not for long."""
    try:
        async with asyncio.timeout(DIRECTORY_S):
            found = await inner.plan(request, now)
    except (TimeoutError, StorageError):
        log.error("an emergency call goes on without the directory, and unrecorded")
        return None
    return found if isinstance(found, CallPlan) and found.emergency else None


class EmergencyFirst:
    """Fills ``sip.calls.ports.Planner``: emergencies before everything, the rest goes to ``inner``."""

    def __init__(self, planner: EmergencyPlanner, inner: Planner) -> None:
        self._planner = planner
        self._inner = inner

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        found = await self._planner.plan(request, self._inner, now)
        return await self._inner.plan(request, now) if found is None else found

    async def plan_refusal(self, request: EdgeRequest, refusal: Refusal, now: datetime) -> CallPlan | None:
        return await self._inner.plan_refusal(request, refusal, now)

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        return await self._inner.plan_transfer(transfer, now)

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        return await self._inner.plan_joining(first, stays, joins, now)

    async def plan_origination(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        return await self._inner.plan_origination(account_name, number, now)
