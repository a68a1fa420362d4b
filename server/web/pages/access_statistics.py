"""Who has looked how often: by week, person, purpose, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web import kept
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

COLUMNS: Mapping[str, str] = {
    "opened": N_("Opened"),
    "exported": N_("Exported"),
    "clear": N_("In clear"),
    "searched": N_("Searched"),
    "refused": N_("Refused"),
}
CHARTS: Mapping[str, str] = {
    "opened": N_("Recordings opened, by week"),
    "clear": N_("Looks in clear, by week"),
    "refused": N_("Refusals, by week"),
}


async def shown(visit: Visit) -> web.StreamResponse:
    said = await visit.call("ledger.statistics")
    charts = [
        (visit._(title), [(visit.times.day(one["week"]), one[name]) for one in said["weeks"]])
        for name, title in CHARTS.items()
    ]
    purposes = [{**one, "words": kept.purpose(visit, one["purpose"]) or one["purpose"]} for one in said["purposes"]]
    totals = {name: sum(one[name] for one in said["weeks"]) for name in COLUMNS}
    people = [one for one in said["people"] if any(one[name] for name in COLUMNS)]
    return visit.page(
        "access_statistics.html",
        said=said,
        people=people,
        charts=charts,
        purposes=purposes,
        totals=totals,
        columns=COLUMNS,
    )


ROUTES = (
    Route(
        "GET",
        "/access-statistics",
        shown,
        "ledger.read",
        Menu("system", N_("Access statistics"), 61, N_("Who has opened, exported and searched how often, by week.")),
    ),
)
