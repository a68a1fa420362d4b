"""Pages asked for over HTTP, without a browser: what an answer holds, and asking in somebody's session."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from aiohttp.test_utils import TestClient

from server.services.context import Services
from server.web import cookies, security


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

    @property
    def asks_again(self) -> bool:
        """Whether the second factor is asked for once more, and the form goes on afterwards."""
        return self.status == 403 and ("is kept, and goes on" in self.text or "est gardé et part" in self.text)


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
class Asked:
    """The portal, and who asks it: `who` is the token of a session."""

    services: Services
    client: TestClient  # type: ignore[type-arg]

    async def get(self, path: str, who: str = "", language: str = "en") -> Page:
        return await self._ask("GET", path, who, language, None)

    async def post(self, path: str, who: str, fields: Mapping[str, object] | None = None, language: str = "en") -> Page:
        return await self._ask("POST", path, who, language, {"form_token": security.form_token(who), **(fields or {})})

    def headers(self, who: str, language: str = "en") -> dict[str, str]:
        """What a browser with that session sends."""
        origin = self.services.settings.web.origin
        look = cookies.packed({"language": language, "zone": "Europe/Paris"})
        return {
            "Host": origin.removeprefix("https://"),
            "Origin": origin,
            "Cookie": f"{cookies.SESSION}={who}; {cookies.LOOK}={look}",
        }

    async def _ask(self, method: str, path: str, who: str, language: str, fields: Mapping[str, object] | None) -> Page:
        headers = self.headers(who, language)
        async with self.client.request(method, path, headers=headers, data=fields, allow_redirects=False) as answer:
            kept = answer.cookies.get(cookies.SAID)
            said = cookies.said(kept.value) if kept is not None else None
            return Page(answer.status, await answer.text(), dict(answer.headers), said.text if said else "")
