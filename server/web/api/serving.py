"""The API as it is served: every request is counted, asked who sends it, and done in that person's name.

Whatever goes wrong is told as a problem (RFC 9457); what we did not foresee is written down, and told as our own fault.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from server.failure import Failure
from server.rights import Identity
from server.services import permitted
from server.services.context import Services
from server.services.doorkeeper import network
from server.web import security
from server.web.api import asking, cursors, lookup, reference
from server.web.api.answers import json_answer, tagged
from server.web.api.bounds import parse
from server.web.api.callers import Callers
from server.web.api.cursors import Cursors, Place
from server.web.api.document import BASE, document
from server.web.api.own import OWN
from server.web.api.problems import Refused, fault, problem
from server.web.api.rates import Limit, Rates
from server.web.api.repeats import Repeats
from server.web.api.routes import Route, routes
from server.web.api.signatures import fields, is_paged, read_body, read_path, read_query, takes_limit
from server.web.api.stream import Streams

log = logging.getLogger(__name__)

PER_CALLER = Limit(quota=600, window_s=60)
PER_SOURCE = Limit(quota=1800, window_s=60)
AT_ONCE = 8  # requests of one caller that are worked on at the same time
BODY_S = 30.0  # for a body to arrive

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, of somebody who is known."""

    request: web.Request
    who: Identity
    source: str
    reason: str | None
    case: str | None


class Api:
    """`monotonic`: seconds that never go back."""

    def __init__(self, services: Services, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._callers = Callers(services, monotonic)
        self._cursors = Cursors(services.keys.ledger)
        self._rates = Rates(PER_CALLER, monotonic)
        self._sources = Rates(PER_SOURCE, monotonic, name="source")
        self._busy: Counter[str] = Counter()
        self._streams = Streams(services)
        self._repeats = Repeats(services, services.keys.ledger)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        own: Mapping[str, Callable[[Asked], Awaitable[web.StreamResponse]]] = {
            "reference": self._reference,
            "document": self._document,
            "lookup": self._lookup,
            "events": self._events,
        }
        app.on_shutdown.append(self._close)
        for one in OWN:
            self._add(app, one.method, one.path, own[one.name])
        app.router.add_get("/reference.css", self._style)
        for route in routes():
            self._add(app, route.method, route.path, functools.partial(self._operation, route))
        return app

    def _add(
        self, app: web.Application, method: str, path: str, handler: Callable[[Asked], Awaitable[web.StreamResponse]]
    ) -> None:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, handler)

        if method == "GET":
            app.router.add_get(path, serve, allow_head=handler != self._events)
        else:
            app.router.add_route(method, path, serve)

    # --- every request ------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            return await handler(request)
        except Failure as failure:
            return problem(failure)
        except web.HTTPException as stopped:
            return _not_ours(stopped)
        except Exception:  # the boundary of a request: it is written down, the others go on
            log.exception("a request of the API failed (reference %s)", secrets.token_hex(4))
            return fault()

    async def _serve(
        self, request: web.Request, handler: Callable[[Asked], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        source = self._callers.source(request)
        from_there = self._sources.ask(network(source))
        if not from_there.allowed:
            raise _too_many(from_there.headers(self._sources.limit, self._sources.name))
        who = await self._callers.identify(request, source)
        caller = caller_of(who)
        verdict = self._rates.ask(caller)
        said = verdict.headers(self._rates.limit, self._rates.name)
        if not verdict.allowed:
            raise _too_many(said)
        asked = Asked(request, who, source, asking.reason(request), asking.case(request))
        try:
            if handler == self._events:  # goes on, and counts for itself
                answer = await handler(asked)
            else:
                with self._one_more(caller):
                    answer = await handler(asked)
        except Failure as failure:
            answer = problem(failure)
        if not answer.prepared:
            answer.headers.update(said)
        return answer

    @contextmanager
    def _one_more(self, caller: str) -> Iterator[None]:
        if self._busy[caller] >= AT_ONCE:
            raise _too_many({"Retry-After": "1"})
        self._busy[caller] += 1
        try:
            yield
        finally:
            self._busy[caller] -= 1
            if not self._busy[caller]:
                del self._busy[caller]

    # --- operations ---------------------------------------------------------------------------------------------------

    async def _operation(self, route: Route, asked: Asked) -> web.StreamResponse:
        _speaks_json(asked.request)
        if not asked.who.may(route.rule.right):  # is told nothing of what they sent
            await self._call(asked, route.operation, {})
        arguments = read_path(route, asked.request.match_info)
        query = asking.query(asked.request)
        if is_paged(route):
            return await self._page(route, asked, arguments, query)
        arguments |= read_query(route, query)
        body = await _body(asked.request) if any(field.place == "body" for field in fields(route)) else b""
        if any(field.place == "body" for field in fields(route)):
            arguments |= read_body(route, parse(body or b"{}"))

        async def do() -> web.StreamResponse:
            return json_answer(asked.request, await self._call(asked, route.operation, arguments))

        if route.looks:
            return await do()
        sent = (route.operation, asked.request.path_qs, asked.reason or "", asked.case or "")
        parts = (*(part.encode("utf-8", "surrogatepass") for part in sent), body)
        return await self._repeats.once(asked.request, caller_of(asked.who), route.operation, parts, do)

    async def _page(
        self, route: Route, asked: Asked, arguments: dict[str, object], query: dict[str, list[str]]
    ) -> web.StreamResponse:
        size, cursor = _size(asking.one(query, "limit")), asking.one(query, "cursor")
        arguments |= read_query(route, query)
        bound = cursors.bound(asked.who.person_id, route.operation, arguments)
        place = self._cursors.read(cursor, bound) if cursor is not None else Place()

        async def fetch(count: int) -> list[object]:
            limit = {"limit": count} if takes_limit(route) else {}
            found = await self._call(asked, route.operation, {**arguments, **limit})
            return list(found) if isinstance(found, list | tuple) else []

        page = await cursors.page(fetch, size, place)
        after = self._cursors.write(page.after, bound) if page.after is not None else None
        return json_answer(asked.request, {"items": page.items, "next": after})

    async def _call(self, asked: Asked, operation: str, arguments: Mapping[str, object]) -> object:
        return await permitted.call(
            self._services,
            asked.who,
            operation,
            arguments,
            workstation=asked.source,
            reason=asked.reason,
            case=asked.case,
        )

    # --- what is no operation -----------------------------------------------------------------------------------------

    async def _reference(self, asked: Asked) -> web.StreamResponse:
        return tagged(asked.request, reference.page(), "text/html")

    async def _style(self, request: web.Request) -> web.StreamResponse:
        return tagged(request, reference.style(), "text/css")

    async def _document(self, asked: Asked) -> web.StreamResponse:
        return json_answer(asked.request, document())

    async def _events(self, asked: Asked) -> web.StreamResponse:
        async def identify() -> Identity | None:
            return await self._callers.again(asked.request)

        headers = security.headers(self._services.settings.web.host)
        actor = permitted.acting(asked.who, workstation=asked.source, reason=asked.reason, case=asked.case)
        return await self._streams.serve(asked.request, asked.who, actor, identify, headers)

    async def _close(self, _: web.Application) -> None:
        self._streams.close()

    async def _lookup(self, asked: Asked) -> web.StreamResponse:
        if not asked.who.may(lookup.RIGHT):
            await self._call(asked, "calls.list", {})  # denied, and written down
        query = asking.query(asked.request)
        number, line = asking.one(query, "number"), asking.one(query, "line")
        for name in query:
            raise asking.wrong_query(name[:60], "is not known here")
        if number is None:
            raise asking.wrong_query("number", "is missing")
        asking.check_query(number=number, line=line)

        async def ask(operation: str, arguments: Mapping[str, object]) -> object:
            return await self._call(asked, operation, arguments)

        asker = lookup.Asker(asked.who, ask, asked.reason is not None)
        return json_answer(asked.request, await lookup.look(self._services, asker, number, line))


def caller_of(who: Identity) -> str:
    """What is counted for one caller."""
    return who.token_id or who.session_id or who.person_id


def attach(app: web.Application, services: Services) -> None:
    """Serve it under /api/v1."""
    app.router.add_get(BASE, _to_reference)
    app.add_subapp(f"{BASE}/", Api(services).application())


async def _to_reference(request: web.Request) -> web.StreamResponse:
    return web.Response(status=308, headers={"Location": f"{BASE}/"})


async def _body(request: web.Request) -> bytes:
    """Raises Refused."""
    try:
        async with asyncio.timeout(BODY_S):
            return await asking.body(request)
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Refused("the body did not arrive as it should", "Send it without a pause", "malformed") from None


def _size(text: str | None) -> int:
    if text is None:
        return cursors.DEFAULT
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= cursors.MAX_SIZE:
        raise asking.wrong_query("limit", f"has to be a whole number from 1 to {cursors.MAX_SIZE}")
    return int(text)


def _speaks_json(request: web.Request) -> None:
    """Raises Refused where the program takes anything but JSON (RFC 9110, section 12.5.1)."""
    said = ",".join(request.headers.getall("Accept", []))
    kinds = {part.partition(";")[0].strip().lower() for part in said.split(",")}
    if said and not kinds & {"*/*", "application/*", "application/json", "application/problem+json", ""}:
        raise Refused("only JSON is spoken here", "Send Accept: application/json", "not_acceptable")


def _too_many(headers: Mapping[str, str]) -> Refused:
    return Refused("that is too many requests", "Wait as long as Retry-After says", "too_many", headers=headers)


def _not_ours(stopped: web.HTTPException) -> web.Response:
    """What the router has stopped: there is no such path, or no such method."""
    match stopped.status:
        case 404:
            return problem(Failure("there is nothing here", "See /api/v1/ for the routes", "not_found"))
        case 405:
            allowed = {"Allow": stopped.headers.get("Allow", "")}
            return problem(Refused("no such method here", "See /api/v1/", "no_method", headers=allowed))
        case 413:
            return problem(Refused("the request is too large", "Send it in parts", "too_large"))
    return problem(Refused("the request cannot be read", "See /api/v1/", "malformed"))
