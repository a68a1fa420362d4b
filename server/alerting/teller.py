"""Tells alerts that are written down, again until each channel has taken them. Nothing in the house waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from config.alerts import Kind
from server.alerting import channels, notices
from server.alerting.channels import Channels, NotSent
from server.services.context import Services
from server.unbroken import unbroken
from storage import alerts
from storage.alerts import Alert
from storage.errors import StorageError

log = logging.getLogger(__name__)

AT_ONCE = 10  # alerts that are told at the same time
RETRY_S = 2.0  # where the database, or another node, does not let us
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 5.0, 600.0
GIVE_UP = timedelta(hours=72)
UNWRITTEN = "not-written-yet"
_ONE_TELLS = 0x62656661  # PostgreSQL advisory lock: of several nodes one tells


class Teller:
    """One for the daemon."""

    def __init__(self, services: Services, kinds: Callable[[], Mapping[str, Kind]], ways: Channels) -> None:
        self._services, self._kinds, self._ways = services, kinds, ways
        self._due = asyncio.Event()
        self._taken: dict[tuple[str, int], set[str]] = {}  # until the database knows
        self.open: Mapping[str, int] = {}  # alerts by severity, as read last
        self.counts: Counter[str] = Counter(dict.fromkeys(("told", "failures", "given_up"), 0))

    def look_soon(self) -> None:
        """An alert was written, or judged."""
        self._due.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._due.clear()
            wait_s = RETRY_S
            try:
                wait_s = await self.tell_due()
            except StorageError as error:
                log.warning("alerts wait to be told: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._due.wait()

    async def tell_due(self) -> float:
        """Tell what is due; in how many seconds something is again. Raises StorageError."""
        services = self._services
        async with services.db.alone(_ONE_TELLS) as alone:
            while True:
                async with services.db.read() as tx:
                    found = await alerts.due(tx, services.clock(), limit=AT_ONCE)
                    due_at = await alerts.next_due(tx)
                    self.open = await alerts.open_by_severity(tx)
                if not found:
                    break
                if not alone:
                    return RETRY_S
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._tell(alert), name=f"alert {alert.id}") for alert in found]
                if not all(task.result() for task in tasks):
                    return RETRY_S
        if due_at is None:
            return LONGEST_BACK_OFF_S
        return min(LONGEST_BACK_OFF_S, max(0.1, (due_at - services.clock()).total_seconds()))

    async def _tell(self, alert: Alert) -> bool:
        """Whether it is written down who has taken it."""
        services, kind = self._services, self._kinds().get(alert.kind)
        taken = self._taken.setdefault((alert.id, alert.episode), set())
        names = [name for name in alert.waiting if name not in taken]
        if kind is not None:  # else of a newer version: nobody here has words for it
            taken |= await self.send(self._notice(kind, alert), names)
        now, left = services.clock(), [name for name in names if name not in taken and kind is not None]
        if left and now - alert.last_at > GIVE_UP:
            log.error("alert %s is told no more by: %s", alert.id, ", ".join(left))
            self.counts["given_up"] += 1
            left = []
        due_at = now + timedelta(seconds=back_off_s(alert.tries)) if left else None
        try:
            await unbroken(self._write(alert, left, due_at))
        except StorageError as error:
            log.warning("that alert %s was told is not written down yet: %s", alert.id, error)
            return False
        self._taken.pop((alert.id, alert.episode), None)
        return True

    async def _write(self, alert: Alert, left: list[str], due_at: datetime | None) -> None:
        async with self._services.db.transaction() as tx:
            await alerts.tried(tx, alert, left, due_at)

    async def send(self, one: notices.Notice, names: Iterable[str]) -> set[str]:
        """By all of them at once; those that have taken it."""
        taken: set[str] = set()

        async def by(name: str) -> None:
            try:
                await self._ways.send(name, one, self._services.clock())
            except NotSent as error:
                self.counts["failures"] += 1
                log.warning("alert %s was not taken by %s: %s", one.alert_id, name, error)
            except Exception:  # one way out must not close the others
                self.counts["failures"] += 1
                log.exception("alert %s was not taken by %s", one.alert_id, name)
            else:
                self.counts["told"] += 1
                taken.add(name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(by(name))
        return taken

    async def tell_unwritten(self, kind: Kind) -> set[str]:
        """From memory, since there is nowhere to write it; the channels that have taken it."""
        now, settings = self._services.clock(), self._services.settings
        one = notices.notice(
            kind, settings.company.languages[0], machine(settings.alerts.machine), UNWRITTEN, 1, now, now
        )
        return await self.send(one, channels.configured(settings.alerts))

    def _notice(self, kind: Kind, alert: Alert) -> notices.Notice:
        settings = self._services.settings
        return notices.notice(
            kind,
            settings.company.languages[0],
            machine(settings.alerts.machine),
            alert.id,
            alert.count,
            alert.first_at,
            alert.last_at,
            again=alert.episode > 1,
        )


def back_off_s(tries: int) -> float:
    """Before the next try, in seconds."""
    return float(min(FIRST_BACK_OFF_S * 2 ** min(tries, 16), LONGEST_BACK_OFF_S))


def machine(named: str) -> str:
    """What this machine is called in alerts."""
    return named or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "beffroi"
