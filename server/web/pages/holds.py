"""Legal holds: what a case needs and is therefore not destroyed; laid, looked at, lifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

SCOPES: Mapping[str, str] = {
    "recording": N_("One recording"),
    "call": N_("One call, with all its recordings"),
    "account": N_("An account"),
    "number": N_("A number: every call and recording in which it is heard"),
    "line": N_("A line, for some time"),
}
STATES: Mapping[str, tuple[str, str, str]] = {
    "flag": (N_("Held"), "warn", N_("The keys of the weeks stay as long as it stands.")),
    "partly": (N_("Secured in part"), "warn", N_("Some of it has keys of the hold’s own.")),
    "secured": (N_("Secured"), "good", N_("All of it has keys of the hold’s own: the weeks go as due.")),
    "lifted": (N_("Lifted"), "plain", N_("What is overdue goes with the next sweep.")),
}


async def every(visit: Visit) -> web.StreamResponse:
    whole = visit.query("all") == "1"
    found = await visit.call("hold.list", all=whole)
    return visit.page("holds.html", holds=found, whole=whole, scopes=SCOPES, states=STATES)


async def one(visit: Visit) -> web.StreamResponse:
    """In clear where a reason is given: then it is written down."""
    given = visit.given
    reason = given.get("show_reason") or None
    hold = await visit.call("hold.show", hold=_named(visit), reason=reason, case=given.get("show_case") or None)
    return visit.page("holds_one.html", hold=hold, scopes=SCOPES, states=STATES, shown=reason is not None)


def _named(visit: Visit) -> str:
    return visit.request.match_info["hold"]


async def form(visit: Visit) -> web.StreamResponse:
    """The second factor is asked for before anything is filled in."""
    visit.require_fresh()
    wanted = visit.value("scope") or visit.query("scope")
    return visit.page("holds_new.html", scopes=SCOPES, scope=wanted if wanted in SCOPES else "number")


async def add(visit: Visit) -> web.StreamResponse:
    given = visit.given
    needed = {
        "named": N_("Say which one."),
        "case": N_("A hold belongs to a case."),
        "reason": N_("Say why it is needed."),
        "requested_by": N_("Say who asked for it."),
        "review": N_("Give the day on which somebody looks at it again."),
    }
    for name, what in needed.items():
        if not given.get(name):
            raise Wrong(name, what)
    said: dict[str, Any] = {key: given.get(key, "") for key in ("scope", "named", "requested_by", "review")}
    if said["scope"] == "line":
        said |= {key: given[key] for key in ("since", "until") if given.get(key)}
    laid = await visit.call("hold.add", reason=given["reason"], case=given["case"], **said)
    message = visit._("It is held from now on. What was destroyed before is gone.")
    return visit.go(f"/holds/{laid['id']}", message)


async def lift(visit: Visit) -> web.StreamResponse:
    hold = _named(visit)
    await visit.call("hold.lift", hold=hold, reason=visit.given.get("reason", ""))
    return visit.go(f"/holds/{hold}", visit._("It is lifted. What has expired goes with the next sweep."))


ROUTES = (
    Route(
        "GET",
        "/holds",
        every,
        "retention.read",
        Menu("kept", N_("Legal holds"), 30, N_("What a case needs, and is therefore not destroyed.")),
    ),
    Route("GET", "/holds/new", form, "holds.manage"),
    Route("POST", "/holds/new", add, "holds.manage", again=form),
    Route("GET", "/holds/{hold}", one, "retention.read"),
    Route("POST", "/holds/{hold}", one, "retention.read"),
    Route("POST", "/holds/{hold}/lift", lift, "holds.manage", again=one),
)
