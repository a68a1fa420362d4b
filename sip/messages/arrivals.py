"""Tells whoever keeps waiting texts that a person has come: one of their phones has signed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sip.edge.rpc import RpcError
from sip.edge.state import Contact
from storage import devices
from storage.database import Database
from storage.errors import NotFound, StorageError

log = logging.getLogger(__name__)

RETRY_S = 5.0


class Registrations(Protocol):
    """What the edge holds. Raises RpcError."""

    async def contacts(self, auth_user: str) -> Sequence[Contact]: ...

    async def registrations(self) -> dict[str, list[Contact]]: ...


class Arrivals:
    """One after the other, in the order they came; a device that comes and goes meanwhile counts once."""

    def __init__(
        self, database: Database, edge: Registrations, on_registered: Callable[[str], Awaitable[None]]
    ) -> None:
        """``on_registered``: by account id, while a phone of it is there. It may be told again at any time, and what it
        raises (StorageError, RpcError) brings it the same account once more."""
        self._database = database
        self._edge = edge
        self._on_registered = on_registered
        self._changed: dict[str, None] = {}  # auth users, oldest first
        self._everybody = False
        self._wake = asyncio.Event()

    def changed(self, auth_user: str) -> None:
        """A contact of this device has come or gone."""
        self._changed.setdefault(auth_user)
        self._wake.set()

    def look_at_all(self) -> None:
        """Who was there already counts as come: the daemon has begun, or the edge is back."""
        self._everybody = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._look()
            except (StorageError, RpcError) as error:
                log.warning("waiting texts are tried again later: %s", type(error).__name__)
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _look(self) -> None:
        if self._everybody:
            for auth_user in await self._edge.registrations():
                self._changed.setdefault(auth_user)
            self._everybody = False
        while self._changed:
            auth_user = next(iter(self._changed))
            del self._changed[auth_user]
            try:
                if await self._edge.contacts(auth_user):
                    await self._tell(auth_user)
            except (StorageError, RpcError):
                self._changed.setdefault(auth_user)
                raise

    async def _tell(self, auth_user: str) -> None:
        try:
            async with self._database.read() as tx:
                device = await devices.by_auth_user(tx, auth_user)
        except NotFound:
            return
        await self._on_registered(device.account_id)
