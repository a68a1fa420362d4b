"""The portal's pages before people of each role, asked for over HTTP: the application, real services, a real database.

Who has signed in is said by the test; how one signs in has tests of its own.
"""

from __future__ import annotations

import re
import shutil
import sys
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from server.rights import Identity
from server.services import roles
from server.services.context import Services, open_services
from server.web import cookies, security
from server.web.application import Portal
from storage import people


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    html: str
    headers: Mapping[str, str]
    message: str = ""  # what the page after this one is to tell

    @property
    def text(self) -> str:
        """What stands there to be read, in one line."""
        reader = _Reader()
        reader.feed(self.html)
        return re.sub(r"\s+", " ", " ".join(reader.said)).strip()

    @property
    def went(self) -> str:
        """Where it leads on."""
        return self.headers.get("Location", "")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._skip -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.said.append(data)


@dataclass
class House:
    services: Services
    client: TestClient  # type: ignore[type-arg]
    people: dict[str, Identity] = field(default_factory=dict)  # by session token

    async def person(self, role: str, *, login: str = "", fresh: bool = True) -> str:
        """Somebody new of this role, signed in: the session's token."""
        async with self.services.db.transaction() as tx:
            one = await people.add(tx, login or f"a-{role}", role.title(), self.services.clock(), roles=[role])
        until = self.services.clock() + timedelta(minutes=10) if fresh else None
        grants = await roles.of(self.services, one)
        token = f"session-{one.id}"
        self.people[token] = Identity(one.id, one.login, "en", grants, session_id=one.id, fresh_until=until)
        return token

    async def get(self, path: str, who: str = "", language: str = "en") -> Page:
        return await self._ask("GET", path, who, language, None)

    async def post(self, path: str, who: str, fields: Mapping[str, object] | None = None, language: str = "en") -> Page:
        return await self._ask("POST", path, who, language, {"form_token": security.form_token(who), **(fields or {})})

    async def _ask(self, method: str, path: str, who: str, language: str, fields: Mapping[str, object] | None) -> Page:
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
            return Page(answer.status, await answer.text(), dict(answer.headers), said.text if said else "")


@asynccontextmanager
async def a_house(place: Path, seed: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The portal over a copy of an instance that quickstart has made; no daemon runs."""
    signed_in: dict[str, Identity] = {}

    async def identify(services: Services, *, session_token: str) -> Identity | None:
        return signed_in.get(session_token)

    door = types.ModuleType("server.services.sign_in")
    door.identify = identify  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, door.__name__, door)
    async with (
        open_services(Path(shutil.copytree(seed, place / "data"))) as services,
        TestClient(TestServer(Portal(services).application())) as client,
    ):
        yield House(services, client, signed_in)
