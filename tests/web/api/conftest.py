"""Two teams behind the API, and tokens of people of theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from server.operation_rules import RIGHTS
from server.rights import Identity, Reach
from server.services.context import ServerKeys, Services
from server.web.api import callers
from storage.database import Database
from tests.server.two_teams import NOW, TwoTeams
from tests.web.api.house import Program, served

RIGHT_NAMES = tuple(sorted(RIGHTS))


@pytest.fixture
async def teams(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Any) -> TwoTeams:
    keys = ServerKeys(field_keys, ledger_key, ledger_key)
    services = Services(db, Paths(tmp_path / "data"), configuration.parse(""), keys, clock=lambda: NOW)
    made = TwoTeams(services)
    await made.make()
    return made


@pytest.fixture
def holders(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> dict[str, Identity]:
    """Token or session -> whose it is. "root" reaches everything and owns nothing, "alice" what is her team's, "own"
    what is hers."""
    people = {
        "root": replace(teams.identity("dave", Reach.ALL, RIGHT_NAMES), own=frozenset(), team=frozenset()),
        "alice": teams.identity("alice", Reach.TEAM, RIGHT_NAMES),
        "own": teams.identity("alice", Reach.OWN, RIGHT_NAMES),
        "nobody": teams.identity("bob", Reach.ALL, ()),
    }

    made = {name: replace(who, token_id=f"token of {name}", session_id=None) for name, who in people.items()}

    async def find(services: Services, shown: str) -> Identity | None:
        return made.get(shown)

    monkeypatch.setattr(callers, "by_token", find)

    async def find_session(services: Services, shown: str, *, counts: bool) -> Identity | None:
        return made.get(shown)

    monkeypatch.setattr(callers, "by_session", find_session)
    return made


@pytest.fixture
async def program(teams: TwoTeams, holders: dict[str, Identity]) -> AsyncIterator[Program]:
    async with served(teams.services, "root") as made:
        yield made
