"""The duties beside the calls, in one place for the daemon: trunks, emergency calls, what is used up.

``DutyDesk`` answers what the planner asks of the running house (``sip.calls.house``). It is told by call control what
happens (``sip.calls.duty``), hands it to whoever sees to it, and has the tasks that do so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from phonenumbers import country_code_for_region

from config import emergency as emergency_numbers
from config.settings import Settings
from server.company import limit_defaults
from server.directory_memory import DirectoryMemory, Obliged
from server.emergency_planner import EmergencyFirst, EmergencyPlanner
from server.emergency_reports import EmergencyReports
from server.messenger import MessageEdge, Messenger
from server.metering_desk import Alert, MeteringDesk
from server.relayed_calls import RelayedCalls, RelayEdge
from server.trunks_desk import TrunkEdge, TrunksDesk
from sip.calls.duty import Duty, OutsideLeg
from sip.calls.emergency import PRIVATE_CODE
from sip.calls.house import RunningUse
from sip.calls.numbers import for_trunk
from sip.calls.plan import CallPlan, Ceiling, Outcome
from sip.calls.planning import Prompts
from sip.calls.ports import ClosedCall, Planner
from sip.edge.rpc import RpcError
from storage.accounts import Account
from storage.database import Database
from storage.errors import StorageError

log = logging.getLogger(__name__)

ALERT_PATIENCE_S = 600.0


class Calls(Protocol):
    """What is asked of call control."""

    def outside(self) -> list[OutsideLeg]: ...

    def set_ceiling(self, call_id: str, ceiling: Ceiling | None) -> bool: ...

    def talks(self, account_id: str) -> bool: ...

    def ringing(self, account_ids: Collection[str]) -> str | None: ...


class DutyEdge(TrunkEdge, MessageEdge, RelayEdge, Protocol):
    """What is asked of the edge."""

    async def push_emergency(
        self,
        numbers: Iterable[str],
        trunks: Iterable[str],
        prefixes: Iterable[str] = (),
        presented: Mapping[str, str] | None = None,
        discreet: Iterable[str] = (),
    ) -> None: ...


class DutyDesk(Duty):
    """Made before call control, which it is given to; ``attend`` says who controls the calls."""

    def __init__(
        self,
        database: Database,
        edge: DutyEdge,
        prompts: Prompts,
        settings: Callable[[], Settings],
        clock: Callable[[], datetime],
        obliged: Obliged | None = None,
    ) -> None:
        self._edge = edge
        self._settings = settings
        self._clock = clock
        self._calls: Calls | None = None
        self._alerts: asyncio.Queue[Alert] = asyncio.Queue()
        self._near: dict[str, None] = {}  # whose limits are nearly used up, until somebody asks
        self.memory = DirectoryMemory(database, obliged)
        self.trunks = TrunksDesk(database, edge, self._channels)
        self.planner = EmergencyPlanner(self.memory, self.trunks, prompts, settings)
        self.messenger = Messenger(edge, lambda account_id: self.memory.now.devices.get(account_id, ()))
        self.reports = EmergencyReports(
            database, self.memory, self.messenger, settings, clock, self.planner.presented, self.planner.location_of
        )
        self.relayed = RelayedCalls(edge, self.memory, self.planner, self.reports, clock)
        self.metering = MeteringDesk(
            database,
            outside=self._outside,
            set_ceiling=self._set_ceiling,
            alert=self._limit_is_near,
            defaults=lambda: limit_defaults(settings()),
            clock=clock,
        )

    def attend(self, calls: Calls) -> None:
        self._calls = calls

    def before(self, inner: Planner) -> EmergencyFirst:
        """Emergencies are planned here; ``inner`` plans the rest."""
        return EmergencyFirst(self.planner, inner)

    def _outside(self) -> list[OutsideLeg]:
        return self._calls.outside() if self._calls is not None else []

    def _set_ceiling(self, call_id: str, ceiling: Ceiling | None) -> bool:
        return self._calls is not None and self._calls.set_ceiling(call_id, ceiling)

    def _channels(self) -> Mapping[str, int]:
        used: dict[str, int] = {}
        for leg in self._outside():
            used[leg.trunk_id] = used.get(leg.trunk_id, 0) + 1
        return used

    # --- House: what the planner asks ---------------------------------------------------------------

    def talks(self, account_id: str) -> bool:
        return self._calls is not None and self._calls.talks(account_id)

    def ringing(self, account_ids: Collection[str]) -> str | None:
        return self._calls.ringing(account_ids) if self._calls is not None else None

    def trunk_up(self, trunk_id: str) -> bool | None:
        view = self.trunks.views().get(trunk_id)
        return view.up if view is not None else None

    def channels_in_use(self, trunk_id: str) -> int:
        return self._channels().get(trunk_id, 0)

    def running(self, owner: str) -> RunningUse:
        return self.metering.running(owner)

    def rehearse(self, account: Account, number: str) -> str:
        """An emergency call that nobody makes: written down and told as a drill. Its id."""
        plan = self.planner.rehearsal(account, number)
        now = self._clock()
        self.reports.began(plan)
        self.reports.ended(ClosedCall(plan, Outcome(200, "rehearsed"), now, now, 0.0, ()))
        return plan.call_id

    # --- Duty ---------------------------------------------------------------------------------------

    def began(self, plan: CallPlan) -> None:
        self.reports.began(plan)

    def ended(self, closed: ClosedCall) -> None:
        self.reports.ended(closed)

    def leg_answered(self, leg: OutsideLeg) -> None:
        self.metering.leg_answered(leg)

    def leg_ended(self, leg: OutsideLeg, talk_s: float) -> None:
        self.metering.leg_ended(leg, talk_s)

    def trunk_failed(self, trunk_id: str) -> None:
        log.warning("trunk %s did not take a call", trunk_id)
        self.trunks.look_soon()

    # --- for the daemon -----------------------------------------------------------------------------

    def parts(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs for as long as the daemon does, each begun again should it fail."""
        return {
            "directory memory": self.memory.run,
            "trunks": self.trunks.run,
            "order of trunks": self._keep_order,
            "metering": self.metering.run,
            "emergency records": self.reports.write,
            "emergency reports": self.reports.tell,
            "emergency calls relayed by the edge": self.relayed.run,
            "alerts": self._tell_admins,
        }

    async def attach(self, edge: DutyEdge) -> None:
        """Tell the edge of trunks and emergency numbers. A database that does not answer does not keep it from what
        was known before. Raises RpcError."""
        try:
            await self.trunks.load()
        except StorageError as error:
            log.error("the trunks stay as they were: %s", error)
        await self.trunks.push(edge)
        await self.push_emergency(edge)
        self.relayed.look_soon()

    async def push_emergency(self, edge: DutyEdge | None = None) -> None:
        """What the edge needs to relay an emergency call alone, while we are silent. During a drill it relays none.
        Raises RpcError."""
        site = self.planner.site()
        known = {} if self._settings().emergency.drill else emergency_numbers.load().of(site.country)
        ways = self.planner.ways()
        code = country_code_for_region(site.country)
        await (edge or self._edge).push_emergency(
            tuple(known),
            [trunk.id for trunk in ways],
            tuple(prefix for prefix in (site.outside_prefix, PRIVATE_CODE, f"+{code}", f"00{code}") if prefix),
            {
                trunk.id: for_trunk(trunk.main_number, trunk.international_format, site)
                for trunk in ways
                if trunk.main_number
            },
            tuple(number for number, one in known.items() if one.discreet),
        )

    async def _keep_order(self) -> None:
        """The edge tries the trunks in the order that holds now: those that are down last."""
        while True:
            await self.trunks.turned.wait()
            self.trunks.turned.clear()
            with contextlib.suppress(RpcError):  # it is told everything when it is back
                await self.push_emergency()

    async def applied(self) -> None:
        """The configuration was read again."""
        self.metering.look_soon()
        try:
            await self.push_emergency()
        except RpcError as error:
            log.warning("the edge was not told what emergency calls need: %s", error)

    async def trunks_changed(self, edge: DutyEdge) -> None:
        """From a service. An edge that is away is told when it is back. Raises StorageError."""
        self.memory.changed()
        await self.trunks.load()
        try:
            await self.trunks.push(edge)
            await self.push_emergency(edge)
        except RpcError as error:
            log.warning("the edge was not told of the trunks: %s", error)

    def settings_changed(self) -> None:
        """Forwards, limits, presented numbers: running calls may be concerned."""
        self.memory.changed()
        self.metering.look_soon()

    async def close(self) -> None:
        """Calls have ended: what they used is written down."""
        try:
            await self.metering.write()
        except StorageError as error:
            log.error("what the last calls used is not written down: %s", error)

    def _limit_is_near(self, alert: Alert) -> None:
        self._near[alert.owner.rpartition(":")[2]] = None
        self._alerts.put_nowait(alert)

    def near(self) -> tuple[str, ...]:
        """Ids of accounts and trunks whose limits have come near since it was asked last."""
        found, self._near = tuple(self._near), {}
        return found

    def troubles(self) -> dict[str, int]:
        """Of emergency calls, since the start."""
        return {
            "relayed": self.reports.relays,
            "without_a_way": self.planner.without_a_way,
            "reports_missed": self.reports.missed,
        }

    async def _tell_admins(self) -> None:
        """Whoever administers and has a telephone is told of a limit that is nearly used up."""
        async with asyncio.TaskGroup() as group:
            while True:
                alert = await self._alerts.get()
                known = self.memory.now
                for account_id in sorted(known.admins):
                    reader = known.accounts[account_id]
                    text = self._alert_text(alert, reader.language)
                    group.create_task(
                        self.messenger.deliver(account_id, text, ALERT_PATIENCE_S), name="alert to an administrator"
                    )

    def _alert_text(self, alert: Alert, language: str) -> str:
        kind, _, owner_id = alert.owner.partition(":")
        account = self.memory.now.accounts.get(owner_id)
        trunk = next((one.name for one in self.trunks.enabled if one.id == owner_id), "")
        name = account.name if account is not None else trunk or owner_id
        if language == "fr":
            whose = f"le compte {name}" if kind == "account" else f"le tronc {name}"
            return f"Plafond {alert.limit} : {whose} en a utilisé {alert.percent} %."
        return f"Limit {alert.limit}: {kind} {name} has used {alert.percent} % of it."

    def counters(self) -> dict[str, float]:
        return {
            "trunks_went_down": float(self.trunks.failures),
            "emergency_drills": float(self.reports.drills),
            "emergency_relayed_by_the_edge": float(self.reports.relays),
            "emergency_without_a_trunk": float(self.planner.without_a_way),
            "emergency_reports_missed": float(self.reports.missed),
            "messages_delivered": float(self.messenger.delivered),
            "messages_undelivered": float(self.messenger.undelivered),
            "limit_alerts": float(self.metering.alerts),
            "outside_seconds": float(self.metering.seconds),
            "outside_cost_microeuros": float(self.metering.microeuros),
        }

    def gauges(self) -> dict[str, float]:
        return {
            **self.trunks.gauges(),
            **self.metering.gauges(),
            "emergency_reports_waiting": float(self.reports.waiting),
        }

    def status(self) -> dict[str, object]:
        """For ``beffroi status``: counts and opaque ids."""
        return {
            "trunks": self.trunks.status(),
            "emergency": {"reports_waiting": self.reports.waiting, "reports_missed": self.reports.missed},
        }
