"""How the house is now, as rules want to know it: the daemon's running parts, the disk, the certificate, the database.

What takes its time is looked at seldom and remembered; what cannot be had is None, which no rule takes for an answer.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from config import contact_rules
from server import tls
from server.alerting.conditions import Sensed
from server.services.context import Services
from server.unbroken import unbroken
from storage import holds, ledger_verify, lines
from storage.errors import StorageError

log = logging.getLogger(__name__)

SELDOM_S = 60.0  # disk, certificate, holds, rules of law
VERIFY_FIRST_S, VERIFY_S = 90.0, 6 * 3600.0  # the whole ledger is read


@dataclass(frozen=True, slots=True)
class Parts:
    """What the daemon tells of its own parts, each without waiting."""

    edge: Callable[[], bool]
    recorder: Callable[[], bool]
    trunks: Callable[[], Mapping[str, bool | None]]
    sweep: Callable[[], str]  # "", "missed" or "clock"
    orphans: Callable[[], int | None]  # at the newest look, None before the first
    counts: Callable[[], Mapping[str, int]]
    near: Callable[[], tuple[str, ...]]  # owners of limits nearly used up, each told once
    carriers: Callable[[], Mapping[str, bool]] = dict  # of texts, by name: whether it is up
    webhooks: Callable[[], Mapping[str, bool | None]] = dict  # by name: whether it takes what it is told
    unexpected: Callable[[], bool | None] = lambda: None  # a connection goes out that nothing expects
    opt_outs: Callable[[], tuple[str, ...]] = tuple  # campaigns that many have answered STOP, each told once


class Senses:
    """One for the daemon."""

    def __init__(self, services: Services, parts: Parts, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._services, self._parts, self._monotonic = services, parts, monotonic
        self._looked_s: float | None = None
        self._free_mb: int | None = None
        self._certificate: datetime | None = None
        self._holds: frozenset[str] | None = None
        self._rules: bool | None = None
        self.ledger_sound: bool | None = None
        self._attached = False  # since the start: before that no trunk is known

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {"verifying the ledger": self.verify}

    async def verify(self) -> None:
        """The whole ledger, a few times a day, until cancelled."""
        await asyncio.sleep(VERIFY_FIRST_S)
        while True:
            await self.verify_once()
            await asyncio.sleep(VERIFY_S)

    async def verify_once(self) -> None:
        """A database that does not answer says nothing about the ledger."""
        public = self._services.keys.ledger.public_key()
        try:
            async with self._services.db.read() as tx:
                found = await ledger_verify.verify(tx, public)
        except StorageError as error:
            log.warning("the ledger was not verified: %s", error)
            return
        self.ledger_sound = not found
        if found:
            log.error("the ledger does not verify: %d findings (see: beffroi ledger verify)", len(found))

    async def sense(self) -> Sensed:
        """Now. Raises nothing that a slow disk or a silent database could cause."""
        now_s = self._monotonic()
        if self._looked_s is None or now_s - self._looked_s >= SELDOM_S:
            self._looked_s = now_s
            self._free_mb, self._certificate = await asyncio.to_thread(self._places)
            await self._directory()
        parts = self._parts
        edge = parts.edge()
        self._attached = self._attached or edge
        return Sensed(
            edge=edge,
            recorder=parts.recorder(),
            trunks=parts.trunks() if self._attached else None,
            carriers=parts.carriers(),
            webhooks=parts.webhooks(),
            unexpected=parts.unexpected(),
            free_mb=self._free_mb,
            needed_mb=self._services.settings.recording.min_free_mb,
            certificate_until=self._certificate,
            sweep=parts.sweep(),
            orphans=parts.orphans(),
            ledger_sound=self.ledger_sound,
            holds_overdue=self._holds,
            rules_overdue=self._rules,
            counts=parts.counts(),
            near=parts.near(),
            opt_outs=parts.opt_outs(),
        )

    def _places(self) -> tuple[int | None, datetime | None]:
        paths, settings = self._services.paths, self._services.settings
        try:
            free_mb: int | None = shutil.disk_usage(paths.vault if paths.vault.exists() else paths.data).free // 10**6
        except OSError:
            free_mb = None
        try:
            until = tls.expires_at(paths.tls_certificate.read_bytes()) if settings.sip.tls_listen else None
        except (OSError, ValueError):
            until = None
        return free_mb, until

    async def _directory(self) -> None:
        try:
            self._holds, self._rules = await unbroken(self._overdue())
        except StorageError:
            self._holds, self._rules = None, None

    async def _overdue(self) -> tuple[frozenset[str], bool]:
        now = self._services.clock()
        async with self._services.db.read() as tx:
            late = [one.id for one in await holds.list_all(tx, standing_only=True) if one.review_at <= now]
            canvassed = any(line.canvassing for line in await lines.list_all(tx))
        return frozenset(late), canvassed and await asyncio.to_thread(_rules_are_old, now.date())


def _rules_are_old(today: date) -> bool:
    """Loads what is known of public holidays, which takes a moment: only who canvasses needs it."""
    return any(one.review_by is not None and one.review_by < today for one in contact_rules.load().rules)
