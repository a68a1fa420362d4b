"""Alerts: what is open, what each means and asks for, and what somebody made of it."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.pages.system import opens
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

_MOST = 200

SEVERITIES: Mapping[str, tuple[str, str]] = {
    "critical": (N_("Critical"), "bad"),
    "warning": (N_("Warning"), "warn"),
    "note": (N_("Worth knowing"), "info"),
}
VERDICTS: Mapping[str, tuple[str, str]] = {
    "false_alarm": (N_("False alarm"), N_("Nothing was wrong, or it was expected.")),
    "real_danger": (N_("Real danger"), N_("Something was wrong, and it has been seen to.")),
    "misuse": (N_("Misuse"), N_("Somebody did what they should not have done.")),
}


async def every(visit: Visit) -> web.StreamResponse:
    whole = visit.query("all") == "1"
    found = await visit.call("alert.list", all=whole, limit=_MOST)
    says = {one["kind"]: one["says"] for one in await visit.call("alert.rules", language=visit.language)}
    return visit.page(
        "alerts.html", alerts=found, says=says, whole=whole, severities=SEVERITIES, verdicts=VERDICTS, most=_MOST
    )


async def one(visit: Visit) -> web.StreamResponse:
    alert = await visit.call("alert.show", alert=visit.request.match_info["alert"], language=visit.language)
    book = await visit.call("alert.runbook", kind=alert["kind"], language=visit.language)
    return visit.page(
        "alerts_one.html",
        alert=alert,
        book=book,
        severities=SEVERITIES,
        verdicts=VERDICTS,
        contains=opens(visit, "/containment"),
    )


async def judge(visit: Visit) -> web.StreamResponse:
    alert, verdict = visit.request.match_info["alert"], visit.given.get("verdict", "")
    if verdict not in VERDICTS:
        raise Wrong("verdict", N_("Say what it was."))
    note = visit.given.get("note") or None
    await visit.call("alert.ack", alert=alert, verdict=verdict, note=note, language=visit.language)
    return visit.go(f"/alerts/{alert}", visit._("Noted."))


async def test(visit: Visit) -> web.StreamResponse:
    tested = await visit.call("alert.test")
    ways = ", ".join(tested["channels"])
    message = visit._("A test alert goes out by: %(ways)s", ways=ways) if ways else visit._("A test alert was raised.")
    return visit.go(f"/alerts/{tested['id']}", message)


ROUTES = (
    Route(
        "GET",
        "/alerts",
        every,
        "alerts.read",
        Menu("system", N_("Alerts"), 10, N_("What happened, what it means and what to do.")),
    ),
    Route("POST", "/alerts/test", test, "security.manage"),
    Route("GET", "/alerts/{alert}", one, "alerts.read"),
    Route("POST", "/alerts/{alert}", judge, "alerts.decide", again=one),
)
