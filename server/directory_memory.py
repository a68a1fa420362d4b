"""The directory as it was read last, in memory: for calls that must not wait for a database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from server.unbroken import unbroken
from storage import accounts, call_settings, devices, lines, numbers_owned, people
from storage.accounts import Account
from storage.database import Database
from storage.errors import StorageError
from storage.numbers_owned import OwnedNumber

log = logging.getLogger(__name__)

EMERGENCY_PACK = "REC_EMERGENCY"
REFRESH_S = 30.0
IN_A_HURRY_S = 0.3  # for a phone that is not known yet: its call does not wait longer for the database


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known at one moment; disabled accounts too, for they may call for help."""

    accounts: Mapping[str, Account] = field(default_factory=dict)  # by id
    owners: Mapping[str, str] = field(default_factory=dict)  # auth user -> account id
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # account id -> auth users
    numbers: tuple[OwnedNumber, ...] = field(default=(), repr=False)
    presented: Mapping[str, str] = field(default_factory=dict, repr=False)  # account id -> E.164 that it shows
    admins: frozenset[str] = frozenset()  # account ids of persons with the role admin
    obliged: frozenset[str] = frozenset()  # account ids whose line a statute obliges to record calls for help

    def of_device(self, auth_user: str) -> Account | None:
        return self.accounts.get(self.owners.get(auth_user, ""))

    def named(self, name: str) -> Account | None:
        return next((account for account in self.accounts.values() if account.name == name), None)


# Pack, account ids -> those that the policy in force obliges by it; None: lines speak for themselves.
Obliged = Callable[[str, Collection[str]], Awaitable[frozenset[str] | None]]


class DirectoryMemory:
    """Refreshed now and then, and when it is told that something has changed."""

    def __init__(self, database: Database, obliged: Obliged | None = None) -> None:
        """``obliged``: whom the company's policy obliges, where one is in force."""
        self._database = database
        self._obliged = obliged
        self._changed = asyncio.Event()
        self._read = asyncio.Event()
        self.now = Snapshot()

    def changed(self) -> None:
        """Do not wait for the next time."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            try:
                await unbroken(self.refresh())
            except StorageError as error:
                log.warning("what emergency calls need to know stays as it was: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            self._changed.clear()

    async def refresh(self) -> None:
        """Read it anew. Raises StorageError; then what was known stays."""
        async with self._database.read() as tx:
            every = {account.id: account for account in await accounts.list_all(tx)}
            known = [device for device in await devices.list_all(tx) if device.revoked_at is None]
            owned = await numbers_owned.list_all(tx)
            chosen = await call_settings.list_all(tx)
            every_line = await lines.list_all(tx)
            admins = {one.id for one in await people.list_all(tx) if "admin" in one.roles and one.disabled_at is None}
        ruled = await self._obliged(EMERGENCY_PACK, every) if self._obliged is not None else None
        own = frozenset(
            member
            for line in every_line
            if line.pack == EMERGENCY_PACK and line.statute and line.disabled_at is None
            for member in line.members
        )
        rung: dict[str, list[str]] = {}
        for device in known:
            rung.setdefault(device.account_id, []).append(device.auth_user)
        self.now = Snapshot(
            accounts=every,
            owners={device.auth_user: device.account_id for device in known},
            devices={account_id: tuple(users) for account_id, users in rung.items()},
            presented={one.account_id: one.presented for one in chosen if one.presented is not None},
            admins=frozenset(account.id for account in every.values() if account.person_id in admins),
            obliged=own if ruled is None else ruled,
            numbers=tuple(owned),
        )
        self._read.set()

    async def of_device(self, auth_user: str) -> Account | None:
        """Whose phone this is. For one that is not known yet the database is asked, and not waited for long."""
        found = self.now.of_device(auth_user)
        if found is None and auth_user:
            self._read.clear()
            self.changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IN_A_HURRY_S):
                    await self._read.wait()
            found = self.now.of_device(auth_user)
        return found
