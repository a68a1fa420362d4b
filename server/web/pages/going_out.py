"""Connections seen going out: where to, by which program, why; and what nothing expects."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.failure import Failure
from server.web.language import N_
from server.web.pages.data_map import RECEIVERS
from server.web.routes import Menu, Route
from server.web.visit import Visit

KINDS: Mapping[str, str] = {
    **RECEIVERS,
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
