"""The person's own account: second factors, password, where they are signed in, how pages look. And step-up."""

from __future__ import annotations

from aiohttp import web

from server.failure import Failure
from server.rights import NotFresh
from server.services import sign_in, sign_in_factors
from server.web import security
from server.web import step_up as asking
from server.web.language import N_
from server.web.passkey_form import answer_of
from server.web.routes import SIGNED_IN, Handler, Menu, Route
from server.web.times import zones
from server.web.visit import Visit, Wrong

# --- step-up ----------------------------------------------------------------------------------------------------------


async def step_up(visit: Visit) -> web.StreamResponse:
    return await asking.question(visit, next_path=_next(visit), then=visit.given.get("then", ""))


async def step_up_code(visit: Visit) -> web.StreamResponse:
    code = visit.given.get("code", "")
    try:
        await sign_in.step_up_totp(visit.services, visit.person, code=code, source=visit.source)
    except Failure as failure:
        return await _again(visit, failure, step_up)
    return _on(visit)


async def step_up_request(visit: Visit) -> web.StreamResponse:
    return web.json_response(dict(await sign_in.step_up_passkey_request(visit.services, visit.person)))


async def step_up_passkey(visit: Visit) -> web.StreamResponse:
    try:
        answer = answer_of(visit)
        await sign_in.step_up_passkey(visit.services, visit.person, answer=answer, source=visit.source)
    except Failure as failure:
        return await _again(visit, failure, step_up)
    return _on(visit)


def _on(visit: Visit) -> web.StreamResponse:
    then = visit.given.get("then", "")
    return asking.sent_on(then) if then else visit.go(_next(visit))


# --- the account ------------------------------------------------------------------------------------------------------


async def account(visit: Visit) -> web.StreamResponse:
    factors = await sign_in_factors.view(visit.services, visit.person)
    sessions = await visit.call("session.list")
    return visit.page(
        "account.html", factors=factors, sessions=sessions, zones=[(zone, zone.replace("_", " ")) for zone in zones()]
    )


async def password(visit: Visit) -> web.StreamResponse:
    visit.require_fresh()
    return visit.page("account_password.html")


async def change_password(visit: Visit) -> web.StreamResponse:
    new = visit.given.get("password", "")
    if new != visit.given.get("password_again", ""):
        raise Wrong("password_again", "the two passwords differ")
    old = visit.given.get("password_old", "")
    try:
        await sign_in_factors.change_password(visit.services, visit.person, old=old, new=new)
    except Failure as failure:
        return await _again(visit, failure, password)
    return visit.go("/account", visit._("Your password is changed."))


async def authenticator(visit: Visit) -> web.StreamResponse:
    visit.require_fresh()
    offer = await sign_in_factors.totp_offer(visit.services, visit.person)
    return visit.page("account_authenticator.html", offer=offer, token=offer.token)


async def confirm_authenticator(visit: Visit) -> web.StreamResponse:
    given = {"token": visit.given.get("token", ""), "code": visit.given.get("code", "")}
    try:
        await sign_in_factors.totp_confirm(visit.services, visit.person, **given)
    except Failure as failure:
        if failure.code != "denied":
            return await _again(visit, failure, authenticator)
        visit.failure = failure  # what was scanned is good still
        return visit.page("account_authenticator.html", offer=None, token=given["token"])
    return visit.go("/account", visit._("From now on your authenticator app gives the codes."))


async def passkey_request(visit: Visit) -> web.StreamResponse:
    return web.json_response(dict(await sign_in_factors.passkey_offer(visit.services, visit.person)))


async def add_passkey(visit: Visit) -> web.StreamResponse:
    name = visit.given.get("name", "")
    await sign_in_factors.passkey_add(visit.services, visit.person, name=name, answer=answer_of(visit))
    return visit.go("/account", visit._("The passkey is added."))


async def rename_passkey(visit: Visit) -> web.StreamResponse:
    await sign_in_factors.passkey_rename(
        visit.services, visit.person, passkey=_id(visit), name=visit.given.get("name", "")
    )
    return visit.go("/account", visit._("The passkey has its new name."))


async def remove_passkey(visit: Visit) -> web.StreamResponse:
    await sign_in_factors.passkey_remove(visit.services, visit.person, passkey=_id(visit))
    return visit.go("/account", visit._("The passkey is removed."))


async def recovery(visit: Visit) -> web.StreamResponse:
    """Shown on the answer itself: nothing keeps them in clear."""
    return visit.page("account_codes.html", codes=await sign_in_factors.recovery_new(visit.services, visit.person))


async def end_session(visit: Visit) -> web.StreamResponse:
    await visit.call("session.revoke", session=_id(visit))
    return visit.go("/account", visit._("That browser is signed out."))


async def _again(visit: Visit, failure: Failure, page: Handler) -> web.StreamResponse:
    """A wrong proof is no reason to lose the page; everything else is as everywhere."""
    if isinstance(failure, NotFresh):
        raise failure
    visit.failure = failure
    return await page(visit)


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]


def _next(visit: Visit) -> str:
    return security.local_path(visit.given.get("next") or visit.query("next"))


ROUTES = (
    Route("GET", "/step-up", step_up, SIGNED_IN),
    Route("POST", "/step-up", step_up_code, SIGNED_IN, again=step_up),
    Route("POST", "/step-up/passkey/request", step_up_request, SIGNED_IN),
    Route("POST", "/step-up/passkey", step_up_passkey, SIGNED_IN, again=step_up),
    Route(
        "GET",
        "/account",
        account,
        SIGNED_IN,
        Menu("mine", N_("My account"), 90, N_("Password, second factors, sessions, language and theme.")),
    ),
    Route("GET", "/account/password", password, SIGNED_IN),
    Route("POST", "/account/password", change_password, SIGNED_IN, again=password),
    Route("GET", "/account/authenticator", authenticator, SIGNED_IN),
    Route("POST", "/account/authenticator", confirm_authenticator, SIGNED_IN, again=authenticator),
    Route("POST", "/account/passkeys/request", passkey_request, SIGNED_IN),
    Route("POST", "/account/passkeys", add_passkey, SIGNED_IN, again=account),
    Route("POST", "/account/passkeys/{id}/name", rename_passkey, SIGNED_IN, again=account),
    Route("POST", "/account/passkeys/{id}/remove", remove_passkey, SIGNED_IN, again=account),
    Route("POST", "/account/recovery", recovery, SIGNED_IN, again=account),
    Route("POST", "/account/sessions/{id}/end", end_session, SIGNED_IN, again=account),
)
