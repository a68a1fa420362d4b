"""Who sends a request: a program with a token, or a page of the portal with the session of whoever looks at it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from server.rights import Identity
from server.services import sign_in, tokens
from server.services.context import Services
from server.services.doorkeeper import network
from server.web import cookies, security
from server.web.api import asking
from server.web.api.problems import Refused
from server.web.api.rates import Limit, Rates

STRANGERS = Limit(quota=60, window_s=60)  # requests of one source without anything that holds
MAX_KNOWN = 1000
FORM_TOKEN = "X-Form-Token"  # noqa: S105 - a header's name
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="Beffroi"'}


class Callers:
    """A source that sends only what does not hold is soon told to wait; a token that has held is asked nevertheless."""

    def __init__(self, services: Services, monotonic: Callable[[], float]) -> None:
        self._services = services
        self._strangers = Rates(STRANGERS, monotonic, name="stranger")
        self._known: OrderedDict[bytes, None] = OrderedDict()  # digests of what has held lately

    def source(self, request: web.Request) -> str:
        """The address that asks, seen through the proxies that the configuration names."""
        forwarded = request.headers.getall("X-Forwarded-For", ())
        return security.source_of(request.remote or "", forwarded, self._services.settings.web.behind_proxy)

    async def identify(self, request: web.Request, source: str) -> Identity:
        """Raises Refused: unauthenticated, too_many; denied where another site has sent it."""
        place = network(source)
        token = asking.bearer(request)
        session = request.cookies.get(cookies.SESSION, "") if "Authorization" not in request.headers else ""
        shown = token or session
        digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).digest()
        if not shown or digest not in self._known:
            verdict = self._strangers.ask(place, cost=0)
            if not verdict.allowed:
                raise Refused(
                    "too much was sent from there that does not hold",
                    "Wait as long as Retry-After says",
                    "too_many",
                    headers=verdict.headers(self._strangers.limit, self._strangers.name),
                )
        found = await self._find(token, session, counts=True) if shown else None
        if found is None:
            self._known.pop(digest, None)
            self._strangers.ask(place)
            raise Refused(
                "no token that holds", "Send Authorization: Bearer and a token", "unauthenticated", headers=_CHALLENGE
            )
        self._remember(digest)
        if token is None:
            self._is_ours(request, session)
        return found

    async def again(self, request: web.Request) -> Identity | None:
        """Who sends it now: of a request that goes on."""
        token = asking.bearer(request)
        return await self._find(token, request.cookies.get(cookies.SESSION, ""), counts=False)

    async def _find(self, token: str | None, session: str, *, counts: bool) -> Identity | None:
        if token is not None:
            return await by_token(self._services, token)
        return await by_session(self._services, session, counts=counts)

    def _is_ours(self, request: web.Request, session: str) -> None:
        """A session does what a page of ours asks, and no other site. Raises Refused."""
        if request.method in security.SAFE:
            return
        ours = security.is_form_token(request.headers.get(FORM_TOKEN, ""), session)
        if not ours or security.is_foreign(request.headers, self._services.settings.web.origin):
            raise Refused("a page of the portal has to send this", "Use a token, or reload the page", "denied")

    def _remember(self, digest: bytes) -> None:
        self._known[digest] = None
        self._known.move_to_end(digest)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


async def by_token(services: Services, token: str) -> Identity | None:
    return await tokens.identify_token(services, token=token)


async def by_session(services: Services, session: str, *, counts: bool) -> Identity | None:
    return await sign_in.identify(services, session_token=session, counts=counts)
