"""The way in: a password, then a second factor. And the way out."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import quote

from aiohttp import web

from server.failure import Failure
from server.services import sign_in as service
from server.web import cookies, security, way_in
from server.web.cookies import Look
from server.web.language import LANGUAGES
from server.web.passkey_form import answer_of
from server.web.routes import OPEN, SIGNED_IN, Route
from server.web.times import is_zone
from server.web.visit import Visit

THEMES = ("light", "dark")


async def sign_in(visit: Visit) -> web.StreamResponse:
    if visit.identity is not None:
        return visit.go(_next(visit))
    return visit.page("sign_in.html", next=_next(visit))


async def password(visit: Visit) -> web.StreamResponse:
    """The same answer for a login that there is not, a wrong password, and somebody who may not sign in any more."""
    try:
        challenge = await service.start(
            visit.services,
            login=visit.given.get("login", ""),
            password=visit.given.get("password", ""),
            source=visit.source,
            browser=visit.request.cookies.get(cookies.BROWSER, ""),
            agent=visit.request.headers.get("User-Agent", ""),
        )
    except Failure as failure:
        visit.failure = failure
        return visit.page("sign_in.html", next=_next(visit))
    answer = visit.go("/enrol" if challenge.enrol else _with_next("/sign-in/second", _next(visit)))
    way_in.wait(answer, challenge)
    return answer


async def second(visit: Visit) -> web.StreamResponse:
    if visit.identity is not None:
        return visit.go(_next(visit))
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _begin_again(visit)
    by_recovery = "recovery" in waiting.ways and "recovery" in (visit.query("by"), visit.given.get("by"))
    return visit.page("second.html", ways=waiting.ways, by_recovery=by_recovery, next=_next(visit))


async def code(visit: Visit) -> web.StreamResponse:
    """Of the authenticator, or one of those that were written down."""
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _begin_again(visit)
    finish = service.finish_recovery if visit.given.get("by") == "recovery" else service.finish_totp
    given = {"challenge": waiting.token, "code": visit.given.get("code", "")}
    try:
        signed_in = await finish(visit.services, **given, source=visit.source)
    except Failure as failure:
        return await _again(visit, failure)
    return _let_in(visit, signed_in)


async def passkey_request(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    token = waiting.token if waiting else ""
    return web.json_response(dict(await service.passkey_request(visit.services, challenge=token)))


async def passkey(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _begin_again(visit)
    try:
        signed_in = await service.finish_passkey(
            visit.services, challenge=waiting.token, answer=answer_of(visit), source=visit.source
        )
    except Failure as failure:
        return await _again(visit, failure)
    return _let_in(visit, signed_in)


async def sign_out(visit: Visit) -> web.StreamResponse:
    await service.sign_out(visit.services, visit.person)
    answer = visit.go("/sign-in", visit._("You have signed out."))
    way_in.let_out(answer)
    return answer


async def look(visit: Visit) -> web.StreamResponse:
    """Language, theme and zone are the browser's, so that they are there before sign-in."""
    kept = cookies.unpacked(visit.request.cookies.get(cookies.LOOK, ""))
    known = {name: kept.get(name, "") for name in asdict(Look())}
    wanted = {name: visit.given[name] for name in known if name in visit.given}
    fits = {
        "language": lambda value: value in LANGUAGES,
        "theme": lambda value: value in THEMES,
        "zone": is_zone,
    }
    known |= {name: value if value and fits[name](value) else "" for name, value in wanted.items()}
    answer = visit.go(_next(visit))
    cookies.keep(answer, cookies.LOOK, cookies.packed(known), cookies.YEAR_S)
    return answer


def _next(visit: Visit) -> str:
    return security.local_path(visit.given.get("next") or visit.query("next"))


def _with_next(path: str, then: str) -> str:
    return path if then == "/" else f"{path}?next={quote(then, safe='')}"


def _begin_again(visit: Visit) -> web.StreamResponse:
    told = visit._("That took too long. Begin again with your password.")
    return visit.go(_with_next("/sign-in", _next(visit)), told, "info")


async def _again(visit: Visit, failure: Failure) -> web.StreamResponse:
    if failure.code == "not_found":  # the challenge is used up, or over
        answer = _begin_again(visit)
        cookies.forget(answer, cookies.CHALLENGE)
        return answer
    visit.failure = failure
    return await second(visit)


def _let_in(visit: Visit, signed_in: service.SignedIn) -> web.StreamResponse:
    answer = visit.go(_next(visit))
    way_in.let_in(answer, signed_in)
    return answer


ROUTES = (
    Route("GET", "/sign-in", sign_in, OPEN),
    Route("POST", "/sign-in", password, OPEN),
    Route("GET", "/sign-in/second", second, OPEN),
    Route("POST", "/sign-in/second", code, OPEN),
    Route("POST", "/sign-in/passkey/request", passkey_request, OPEN),
    Route("POST", "/sign-in/passkey", passkey, OPEN),
    Route("POST", "/sign-out", sign_out, SIGNED_IN),
    Route("POST", "/look", look, OPEN),
)
