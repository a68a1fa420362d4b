"""The first way in: by a link that counts once. A password, a second factor, and codes for when the phone is lost."""

from __future__ import annotations

from aiohttp import web

from server.failure import Failure
from server.services import invitations as service
from server.services.sign_in import SignedIn
from server.web import way_in
from server.web.passkey_form import answer_of
from server.web.routes import OPEN, Route
from server.web.visit import Visit, Wrong


async def invitation(visit: Visit) -> web.StreamResponse:
    try:
        invited = await service.look(visit.services, token=_token(visit))
    except Failure as failure:
        if failure.code != "not_found":
            raise
        visit.failure = None
        return visit.page("invitation_over.html", status=404)
    return visit.page("invitation.html", invited=invited)


async def password(visit: Visit) -> web.StreamResponse:
    chosen = visit.given.get("password", "")
    if chosen != visit.given.get("password_again", ""):
        raise Wrong("password_again", "the two passwords differ")
    challenge = await service.accept(
        visit.services,
        token=_token(visit),
        password=chosen,
        source=visit.source,
        agent=visit.request.headers.get("User-Agent", ""),
        language=visit.language,
    )
    answer = visit.go("/enrol")
    way_in.wait(answer, challenge)
    return answer


async def enrol(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _over(visit)
    try:
        offer = await service.enrol_totp_offer(visit.services, challenge=waiting.token)
    except Failure as failure:
        if failure.code != "not_found":
            raise
        return _over(visit)
    return visit.page("enrol.html", offer=offer)


async def authenticator(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _over(visit)
    given = {"challenge": waiting.token, "code": visit.given.get("code", "")}
    try:
        signed_in, codes = await service.enrol_totp(visit.services, **given, source=visit.source)
    except Failure as failure:
        return await _again(visit, failure)
    return _in_with(visit, signed_in, codes)


async def passkey_request(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    token = waiting.token if waiting else ""
    return web.json_response(dict(await service.enrol_passkey_request(visit.services, challenge=token)))


async def passkey(visit: Visit) -> web.StreamResponse:
    waiting = way_in.waiting(visit)
    if waiting is None:
        return _over(visit)
    try:
        signed_in, codes = await service.enrol_passkey(
            visit.services,
            challenge=waiting.token,
            name=visit.given.get("name", ""),
            answer=answer_of(visit),
            source=visit.source,
        )
    except Failure as failure:
        return await _again(visit, failure)
    return _in_with(visit, signed_in, codes)


def _token(visit: Visit) -> str:
    return visit.request.match_info["token"]


def _over(visit: Visit) -> web.StreamResponse:
    told = visit._("That took too long. Open your link again, or sign in with the password that you have set.")
    return visit.go("/sign-in", told, "info")


async def _again(visit: Visit, failure: Failure) -> web.StreamResponse:
    """Another try, with the same picture to scan."""
    if failure.code == "not_found":
        return _over(visit)
    visit.failure = failure
    return await enrol(visit)


def _in_with(visit: Visit, signed_in: SignedIn, codes: list[str]) -> web.StreamResponse:
    """The codes stand on the answer itself: they are written down nowhere that a redirect could find them."""
    answer = visit.page("first_codes.html", codes=codes)
    way_in.let_in(answer, signed_in)
    return answer


ROUTES = (
    Route("GET", "/invitation/{token}", invitation, OPEN),
    Route("POST", "/invitation/{token}", password, OPEN, again=invitation),
    Route("GET", "/enrol", enrol, OPEN),
    Route("POST", "/enrol/authenticator", authenticator, OPEN),
    Route("POST", "/enrol/passkey/request", passkey_request, OPEN),
    Route("POST", "/enrol/passkey", passkey, OPEN),
)
