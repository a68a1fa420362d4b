"""The portal's pages before people of each role, asked for over HTTP: the application, real services, a real database.

Whoever asks has a session already; how one gets it has tests of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from server.services.context import open_services
from server.services.identities import digest, new_token
from server.web.application import Portal
from storage import people, sessions
from tests.web.asked import Asked, Page

__all__ = ["House", "Page", "a_house"]


class House(Asked):
    async def person(self, role: str, *, login: str = "", fresh: bool = True) -> str:
        """Somebody new of this role, with a session: its token."""
        now, token = self.services.clock(), new_token()
        async with self.services.db.transaction() as tx:
            one = await people.add(tx, login or f"a-{role}", role.title(), now, roles=[role])
            await sessions.add(
                tx,
                one.id,
                digest(token),
                now,
                source="192.0.2.7",
                browser="Firefox",
                expires_at=now + timedelta(hours=1),
                fresh_until=now + timedelta(minutes=10) if fresh else None,
            )
        return token


@asynccontextmanager
async def a_house(place: Path, seed: Path) -> AsyncIterator[House]:
    """The portal over a copy of an instance that quickstart has made; no daemon runs."""
    async with (
        open_services(Path(shutil.copytree(seed, place / "data"))) as services,
        TestClient(TestServer(Portal(services).application())) as client,
    ):
        yield House(services, client)
