"""Connections seen going out: where to, by which program, why; and what nothing expects."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.failure import Failure
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

KINDS: Mapping[str, str] = {
    "trunk": N_("Telephone provider"),
    "text_carrier": N_("Carrier of texts"),
    "mail_relay": N_("Mail relay"),
    "webhook": N_("Webhook"),
    "alert_webhook": N_("Webhook of alerts"),
    "syslog": N_("Syslog"),
    "database": N_("Database server"),
    "dns": N_("Name server of this machine"),
    "phone": N_("A registered phone"),
}


async def shown(visit: Visit) -> web.StreamResponse:
    try:
        found = await visit.call("connection.list")
    except Failure as failure:
        if failure.code != "not_running":
            raise
        found = None
    strange = sum(not one["expected"] for one in found or ())
    return visit.page("going_out.html", found=found, strange=strange, kinds=KINDS)


ROUTES = (
    Route(
        "GET",
        "/going-out",
        shown,
        "security.read",
        Menu(
            "system", N_("Going out"), 56, N_("What this server is connected to outside, and whether that is expected.")
        ),
    ),
)
