"""Who is registered where, and whom nobody listens to for now."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.services.actor import is_reason
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

WHY: Mapping[str, str] = {
    "credentials": N_("Wrong passwords"),
    "flood": N_("Too many messages"),
    "scanner": N_("A program that looks for ways in"),
    "malformed": N_("Messages that are none"),
}


async def registrations(visit: Visit) -> web.StreamResponse:
    """With a reason (a form), addresses stand in clear."""
    reason = None
    if visit.request.method == "POST":
        reason = visit.given.get("reason")
        if not is_reason(reason):
            raise Wrong("reason", N_("Say why, in a few words."))
    return await _page(visit, reason)


async def _masked(visit: Visit) -> web.StreamResponse:
    return await _page(visit, None)


async def _page(visit: Visit, reason: str | None) -> web.StreamResponse:
    found = await visit.call("registration.list", reason=reason, case=visit.given.get("case"))
    here = sum(bool(one["places"]) for one in found)
    return visit.page("registrations.html", devices=found, here=here, clear=reason is not None)


async def bans(visit: Visit) -> web.StreamResponse:
    return visit.page("bans.html", bans=await visit.call("ban.list"), why=WHY)


async def lift(visit: Visit) -> web.StreamResponse:
    source = visit.given.get("source", "")
    await visit.call("ban.lift", source=source)
    return visit.go("/bans", visit._("%(source)s is listened to again.", source=source))


ROUTES = (
    Route(
        "GET",
        "/registrations",
        registrations,
        "security.read",
        Menu("system", N_("Registrations"), 50, N_("Which phones are registered, and which are not.")),
    ),
    Route("POST", "/registrations", registrations, "security.read", again=_masked),
    Route(
        "GET",
        "/bans",
        bans,
        "security.read",
        Menu("system", N_("Bans"), 52, N_("Sources that nobody listens to for now.")),
    ),
    Route("POST", "/bans", lift, "security.manage", again=bans),
)
