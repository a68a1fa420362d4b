"""The desk that sees to alerts while the daemon runs: it reads, looks, writes down, tells. Each in a task of its own.

An alert is committed before anybody is told of it, and carries which channels have still to take it: a crash in between
tells it later, and nothing that is slow outside holds up anything in here. The one exception: that the database is
silent is told at once, and written down when it speaks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from config import alerts as alert_data
from config.alerts import Kind
from server.alerting import writing
from server.alerting.channels import Channels
from server.alerting.conditions import SILENT, Conditions, Key, Sensed
from server.alerting.log_reader import LogReader
from server.alerting.raised import Raised
from server.alerting.teller import Teller
from server.services.context import Services
from server.unbroken import unbroken
from storage import alerts
from storage.errors import StorageError

log = logging.getLogger(__name__)

FOLLOW_S = 1.0  # between two looks into the access log
LOOK_S = 5.0  # between two looks at the house
RETRY_S = 2.0  # for what could not be written down

Sense = Callable[[], Awaitable[Sensed]]


class AlertDesk:
    """One for the daemon."""

    def __init__(
        self,
        services: Services,
        sense: Sense,
        *,
        ways: Channels | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sense``: how the house is now; it may be slow, and must not raise."""
        self._services = services
        self._sense = sense
        self.sensed: Sensed | None = None  # at the newest look
        self._monotonic = monotonic
        self._kinds = self._chosen()
        self.reader = LogReader(services, lambda: self._kinds)
        self.teller = Teller(
            services, lambda: self._kinds, ways or Channels(lambda: services.settings, services.paths)
        )  # fmt: skip
        self._conditions: Conditions | None = None
        self._pending: dict[Key, Raised] = {}
        self._over: dict[Key, None] = {}
        self._something = asyncio.Event()  # to be written down
        self._silence = asyncio.Event()
        self._told_directly: set[str] = set()
        self._answered_s = monotonic()
        self._raised = 0

    def parts(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs for as long as the daemon does."""
        return {
            "alerts from the access log": self.follow,
            "alerts from the house": self.watch,
            "alerts to be written": self.write,
            "alerts to be told": self.teller.run,
            "alerts without a database": self.tell_directly,
        }

    def applied(self) -> None:
        """The configuration was read again: thresholds and ways out are the new ones."""
        self._kinds = self._chosen()
        self.reader.forget()
        if self._conditions is not None:
            self._conditions.apply(self._kinds)
        self.teller.look_soon()

    def _chosen(self) -> Mapping[str, Kind]:
        return alert_data.with_limits(alert_data.load(), self._services.settings.alerts.thresholds)

    async def follow(self) -> None:
        """Read the access log as it grows, until cancelled. That it can be read says that the database answers."""
        while True:
            try:
                more = True
                while more:
                    written, more = await unbroken(self.reader.read_on())
                    self._answered_s = self._monotonic()
                    if written:
                        self.teller.look_soon()
            except StorageError as error:
                self.reader.forget()
                log.warning("the access log is not read for alerts yet: %s", error)
            await asyncio.sleep(FOLLOW_S)

    async def watch(self) -> None:
        """Look at the house, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once. What it finds is written down by `write`."""
        if self._conditions is None:
            standing: frozenset[Key] = frozenset()
            with contextlib.suppress(StorageError):
                async with self._services.db.read() as tx:
                    standing = await alerts.lasting(tx)
            self._conditions = Conditions(self._kinds, standing)
        sensed = self.sensed = await self._sense()
        now_s = self._monotonic()
        silent_s = now_s - self._answered_s
        found = self._conditions.look(replace(sensed, database_silent_s=silent_s), self._services.clock(), now_s)
        for key in found.over:
            self._over[key] = None
        for one in found.raised:
            self._keep(one)
        if SILENT in [(one.kind, one.subject) for one in found.raised]:
            self._silence.set()
        if found.raised or found.over:
            self._something.set()

    def _keep(self, one: Raised) -> None:
        key = one.kind, one.subject
        known = self._pending.get(key)
        self._pending[key] = one if known is None else replace(one, count=one.count + known.count)
        self._over.pop(key, None)

    async def write(self) -> None:
        """Write down what was found, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            try:
                await unbroken(self.write_down())
            except StorageError as error:
                log.warning("alerts are not written down yet: %s", error)
                self._something.set()
                await asyncio.sleep(RETRY_S)

    async def write_down(self) -> None:
        """Once. Raises StorageError; then all of it is still to be written."""
        pending, over = dict(self._pending), tuple(self._over)
        async with self._services.db.transaction() as tx:
            for key, one in pending.items():
                await writing.write(self._services, tx, one, but=self._told_directly if key == SILENT else ())
            for kind, subject in over:
                await alerts.over(tx, kind, subject)
        for key, one in pending.items():
            self._raised += one.count
            left = self._pending.pop(key).count - one.count  # what came meanwhile
            if left > 0:
                self._pending[key] = replace(one, count=left)
        if SILENT in pending:
            self._told_directly = set()
        for key in over:
            self._over.pop(key, None)
        self.teller.look_soon()

    async def tell_directly(self) -> None:
        """That the database is silent can be written nowhere: told from memory, until cancelled."""
        while True:
            await self._silence.wait()
            self._silence.clear()
            self._told_directly = await self.teller.tell_unwritten(self._kinds[SILENT[0]])

    def counters(self) -> dict[str, float]:
        return {
            "alerts_raised": float(self._raised + self.reader.raised),
            "alerts_told": float(self.teller.counts["told"]),
            "alerts_delivery_failures": float(self.teller.counts["failures"]),
            "alerts_given_up": float(self.teller.counts["given_up"]),
        }

    def open_by_severity(self) -> Mapping[str, float]:
        return {severity: float(self.teller.open.get(severity, 0)) for severity in alert_data.SEVERITIES}
