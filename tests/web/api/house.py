"""The portal's application on loopback with the API in it, and a program that speaks to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from server.services.context import Services
from server.web.application import Portal
from server.web.site import Site


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        assert self.json["title"] and self.json["detail"] and self.json["remedy"]
        return str(self.json["code"])


class Program:
    """`token`: what it sends, unless a request says something else."""

    def __init__(self, port: int, host: str, session: aiohttp.ClientSession, token: str | None) -> None:
        self.port, self.host, self._session, self.token = port, host, session, token

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, Any] | None = None,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Said:
        sent = {"Host": self.host, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        sent |= {"X-Reason": reason} if reason else {}
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        url = f"http://127.0.0.1:{self.port}/api/v1{path}"
        async with self._session.request(
            method, url, data=data, params=query, headers=sent, allow_redirects=False, skip_auto_headers=["Accept"]
        ) as answer:
            return Said(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **more: Any) -> Said:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: object = None, **more: Any) -> Said:
        return await self.ask("POST", path, body, **more)


@asynccontextmanager
async def portal(made: Portal) -> AsyncIterator[tuple[int, str]]:
    """Port, and the name that it goes by; until the end of the block."""
    runner = web.AppRunner(made.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], made.services.settings.web.origin.removeprefix("https://")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(services: Services, token: str | None = None) -> AsyncIterator[Program]:
    """Until the end of the block."""
    async with (
        portal(Portal(services, Site(()))) as (port, host),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield Program(port, host, session, token)
