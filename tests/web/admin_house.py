"""The portal's pages before people of each role, asked for over HTTP: the application, real services, a real database.

Whoever asks has a session already; how one gets it has tests of its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from server.services.context import Services, open_services
from server.services.identities import digest, new_token
from server.web import cookies, security
from server.web.application import Portal
from storage import people, sessions


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
async def a_house(place: Path, seed: Path) -> AsyncIterator[House]:
    """The portal over a copy of an instance that quickstart has made; no daemon runs."""
    async with (
        open_services(Path(shutil.copytree(seed, place / "data"))) as services,
        TestClient(TestServer(Portal(services).application())) as client,
    ):
        yield House(services, client)
