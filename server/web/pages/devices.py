"""One's own phones: which there are, one more by a code to scan, and one fewer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from server.failure import Failure
from server.services import provisioning
from server.web import linphone
from server.web.language import N_
from server.web.routes import OPEN, Menu, Route
from server.web.visit import Visit, Wrong

XML = "application/xml"


async def devices(visit: Visit) -> web.StreamResponse:
    own = sorted(visit.person.own)
    found: list[dict[str, Any]] = []
    for account in own:
        found += await visit.call("device.list", account=account)
    return visit.page(
        "devices.html",
        choices=[(name, name) for name in own],
        own=own,
        devices=[one for one in found if one["revoked_at"] is None],
        revoked=[one for one in found if one["revoked_at"] is not None],
    )


async def add(visit: Visit) -> web.StreamResponse:
    """The answer is the one page on which the secret stands: it is no redirect."""
    label = visit.given.get("label", "")
    if not label:
        raise Wrong("label", N_("Give the phone a name by which you know it again."))
    account = {"account": visit.given["account"]} if visit.given.get("account") else {}
    offered = await visit.call("device.offer", label=label, **account)
    return visit.page("device_new.html", offered=offered, minutes=provisioning.OFFER_S // 60)


async def revoke(visit: Visit) -> web.StreamResponse:
    gone = await visit.call("device.revoke", user=visit.given.get("user", ""))
    return visit.go("/devices", visit._(N_("%(label)s can no longer call."), label=gone["label"]))


async def configuration(visit: Visit) -> web.StreamResponse:
    """Fetched by a phone, which has no session: the token is all that it shows."""
    try:
        phone = await provisioning.fetch(visit.services, token=visit.request.match_info["token"], source=visit.source)
    except Failure as failure:
        if failure.code != "not_found":
            raise
        return web.Response(status=404, text=f"{failure}\n")
    return web.Response(body=linphone.xml(phone), content_type=XML, charset="utf-8")


ROUTES = (
    Route(
        "GET",
        "/devices",
        devices,
        "devices.manage",
        Menu("mine", N_("My phones"), 20, N_("Set up one more with a code to scan, or sign one off that is lost.")),
    ),
    Route("POST", "/devices", add, "devices.manage", again=devices),
    Route("POST", "/devices/revoke", revoke, "devices.manage", again=devices),
    Route("GET", provisioning.PATH + "{token:[A-Za-z0-9_-]+}", configuration, OPEN),
)
