"""An employee's pages asked for over HTTP: the application, real services and a real database, with two teams in it.

Who has signed in is said by the test; how one signs in has tests of its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
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
from server.web import cookies, security
from server.web.application import Portal
from storage.database import Database
from storage.field_crypto import FieldKeys
from tests.server.two_teams import NOW, TwoTeams


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    html: str
    went: str = ""  # where it leads on
    message: str = ""  # what the page after this one is to tell

    @property
    def text(self) -> str:
        """What stands there to be read, in one line."""
        reader = _Reader()
        reader.feed(self.html)
        return re.sub(r"\s+", " ", " ".join(reader.said)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        self.said.append(data)


@dataclass
class House:
    teams: TwoTeams
    client: TestClient  # type: ignore[type-arg]
    signed_in: dict[str, Identity] = field(default_factory=dict)  # by session token

    @property
    def services(self) -> Services:
        return self.teams.services

    def sign_in(self, name: str, role: str = "employee", **changed: Any) -> str:
        """One of the teams, with what a shipped role may: the session's token."""
        grants = {right: Reach.parse(word) for right, word in shipped_roles.load()[role].items()}
        who = replace(self.teams.identity(name, Reach.OWN, ()), **{"grants": grants, **changed})
        self.signed_in[f"{name}-{role}"] = who
        return f"{name}-{role}"

    async def get(self, path: str, who: str = "", language: str = "en") -> Page:
        return await self._ask("GET", path, who, language, None)

    async def post(self, path: str, who: str, fields: Mapping[str, str] | None = None, language: str = "en") -> Page:
        return await self._ask("POST", path, who, language, {"form_token": security.form_token(who), **(fields or {})})

    async def _ask(self, method: str, path: str, who: str, language: str, fields: Mapping[str, str] | None) -> Page:
        origin = self.services.settings.web.origin
        look = cookies.packed({"language": language, "zone": "Europe/Paris"})
        headers = {
            "Host": origin.removeprefix("https://"),
            "Origin": origin,
            "Cookie": f"{cookies.SESSION}={who}; {cookies.LOOK}={look}",
        }
        async with self.client.request(method, path, headers=headers, data=fields, allow_redirects=False) as answer:
            kept = answer.cookies.get(cookies.SAID)
            said = cookies.said(kept.value) if kept is not None else None
            to = answer.headers.get("Location", "")
            return Page(answer.status, await answer.text(), to, said.text if said else "")


@asynccontextmanager
async def mine_house(
    db: Database, keys: tuple[FieldKeys, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """No daemon runs; `teams.services.calls` has calls of everybody."""
    signed_in: dict[str, Identity] = {}

    async def identify(services: Services, *, session_token: str) -> Identity | None:
        return signed_in.get(session_token)

    monkeypatch.setattr(sign_in, "identify", identify)
    fields, ledger = keys
    services = Services(
        db, Paths(place / "data"), configuration.parse(""), ServerKeys(fields, ledger, ledger), clock=lambda: NOW
    )
    teams = TwoTeams(services)
    await teams.make()
    async with TestClient(TestServer(Portal(services).application())) as client:
        yield House(teams, client, signed_in)
