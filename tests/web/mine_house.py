"""Pages of people of two teams: the application, real services and a real database.

Who has signed in is said by the test; how one signs in has tests of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from config import roles as shipped_roles
from config import settings as configuration
from config.paths import Paths
from server.rights import Identity, Reach
from server.services import sign_in
from server.services.context import ServerKeys, Services
from server.web.application import Portal
from storage import people
from storage.database import Database
from storage.field_crypto import FieldKeys
from tests.server.two_teams import NOW, TwoTeams
from tests.web.asked import Asked, Page

__all__ = ["House", "Page", "mine_house"]


@dataclass
class House(Asked):
    teams: TwoTeams
    signed_in: dict[str, Identity] = field(default_factory=dict)  # by session token

    def sign_in(self, name: str, role: str = "employee", **changed: Any) -> str:
        """One of the teams, with what a shipped role may: the session's token."""
        grants = {right: Reach.parse(word) for right, word in shipped_roles.load()[role].items()}
        who = replace(self.teams.identity(name, Reach.OWN, ()), **{"grants": grants, **changed})
        self.signed_in[f"{name}-{role}"] = who
        return f"{name}-{role}"

    async def when_done(self, path: str, who: str, language: str = "en") -> Page:
        """The page of what was begun, at its end."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self.services.work.run(self.services.clock))
            for _ in range(1200):
                page = await self.get(path, who, language)
                if 'http-equiv="refresh"' not in page.html:
                    break
                await asyncio.sleep(0.05)
            working.cancel()
        return page

    async def appoint(self, name: str, role: str) -> None:
        """For operations that look at roles themselves, as an approval does."""
        async with self.services.db.transaction() as tx:
            await people.set_roles(tx, self.teams.people[name], [role])


@asynccontextmanager
async def mine_house(
    db: Database, keys: tuple[FieldKeys, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """No daemon runs; `teams.services.calls` has calls of everybody."""
    signed_in: dict[str, Identity] = {}

    async def identify(services: Services, *, session_token: str, counts: bool = True) -> Identity | None:
        return signed_in.get(session_token)

    monkeypatch.setattr(sign_in, "identify", identify)
    fields, ledger = keys
    services = Services(
        db, Paths(place / "data"), configuration.parse(""), ServerKeys(fields, ledger, ledger), clock=lambda: NOW
    )
    teams = TwoTeams(services)
    await teams.make()
    async with TestClient(TestServer(Portal(services).application())) as client:
        yield House(services, client, teams, signed_in)
