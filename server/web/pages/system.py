"""The system at a glance: whether all is well, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route, Topic
from server.web.site import may_open
from server.web.visit import Visit

_ORDER = ("bad", "note", "unknown", "good")

TITLES: Mapping[str, str] = {
    "alerts": N_("Alerts"),
    "emergency": N_("Emergency calls"),
    "daemon": N_("Server"),
    "edge": N_("Edge"),
    "workers": N_("Conversations"),
    "recorder": N_("Recorder"),
    "database": N_("Database"),
    "trunks": N_("Trunks"),
    "carriers": N_("Carriers of texts"),
    "disk": N_("Disk"),
    "certificate": N_("Certificate"),
    "sweep": N_("Erasure of what has expired"),
    "ledger": N_("Ledger"),
    "holds": N_("Holds"),
    "orphans": N_("Files that belong to nothing"),
}

SAYS: Mapping[tuple[str, str], str] = {
    ("alerts", "open"): N_("%(count)s open"),
    ("alerts", "none"): N_("None is open."),
    ("emergency", "drilled"): N_("All are only played: emergency.drill is set in the configuration."),
    ("emergency", "none"): N_("None leaves the house: there is no trunk. Keep another telephone."),
    ("emergency", "disabled"): N_("None leaves the house: every trunk is disabled."),
    ("emergency", "strange"): N_("emergency.trunks names what is no trunk in use: %(names)s"),
    ("emergency", "unknown"): N_("Nobody knows yet whether a trunk for them is up."),
    ("emergency", "down"): N_("None leaves the house now: no trunk for them is up. Keep another telephone."),
    ("emergency", "named"): N_("They leave by %(names)s."),
    ("emergency", "any"): N_("They leave by any trunk, the preferred first: %(names)s"),
    ("daemon", "stopped"): N_("It does not run: nobody can call."),
    ("edge", "attached"): N_("Phones register and call."),
    ("edge", "away"): N_("It does not answer: no phone can register or call."),
    ("workers", "ready"): N_("%(count)s ready or talking"),
    ("workers", "none"): N_("None is ready: no call can begin."),
    ("recorder", "runs"): N_("It runs."),
    ("recorder", "stopped"): N_("It does not run: nothing is recorded."),
    ("database", "answers"): N_("It answers within %(count)s ms."),
    ("trunks", "none"): N_("None is set up: calls stay in the house."),
    ("trunks", "unknown"): N_("Nobody knows yet how they are."),
    ("trunks", "up"): N_("%(count)s of %(of)s answer."),
    ("trunks", "down"): N_("%(count)s of %(of)s are down: %(names)s"),
    ("carriers", "none"): N_("None is set up: no texts are sent."),
    ("carriers", "unknown"): N_("Nobody knows yet how they are."),
    ("carriers", "up"): N_("%(count)s of %(of)s are up."),
    ("carriers", "down"): N_("%(count)s of %(of)s are down: %(names)s"),
    ("disk", "unknown"): N_("Nobody has looked yet."),
    ("disk", "full"): N_("%(size)s free: nothing is recorded below %(needed)s."),
    ("disk", "low"): N_("%(size)s free; nothing is recorded below %(needed)s."),
    ("disk", "free"): N_("%(size)s free"),
    ("certificate", "unknown"): N_("Nobody has looked yet."),
    ("certificate", "expired"): N_("It has expired: phones that use TLS are turned away."),
    ("certificate", "soon"): N_("It expires on %(day)s."),
    ("certificate", "valid"): N_("Good until %(day)s"),
    ("sweep", "never"): N_("Not yet: it begins a minute after the start."),
    ("sweep", "failed"): N_("The last one did not end well: %(when)s"),
    ("sweep", "done"): N_("%(when)s: %(count)s erased"),
    ("ledger", "unknown"): N_("It is verified a minute and a half after the start."),
    ("ledger", "sound"): N_("Nobody has changed it."),
    ("ledger", "broken"): N_("It does not verify: somebody may have changed it."),
    ("holds", "overdue"): N_("%(count)s want to be looked at again."),
    ("orphans", "found"): N_("%(count)s were found."),
}

_PLACES: Mapping[str, str] = {
    "alerts": "/alerts",
    "emergency": "/trunks",
    "trunks": "/trunks",
    "carriers": "/carriers",
    "sweep": "/sweeps",
    "ledger": "/ledger",
    "holds": "/holds",
    "edge": "/registrations",
    "certificate": "/check",
    "disk": "/check",
}


def opens(visit: Visit, path: str) -> str:
    """The path, where it is a page that this person may open; else nothing."""
    return next((path for one in visit.site.routes if one.path == path and may_open(one, visit.person)), "")


def _sentence(visit: Visit, part: Mapping[str, Any]) -> str:
    times, at = visit.times, part["at"]
    return visit._(
        SAYS[part["part"], part["says"]],
        count=times.number(part["count"] or 0),
        of=times.number(part["of"] or 0),
        names=", ".join(part["names"]),
        size=times.size((part["count"] or 0) * 1e6),
        needed=times.size((part["of"] or 0) * 1e6),
        day=times.day(at) if at else "",
        when=times.moment(at) if at else "",
    )


async def _values(visit: Visit) -> dict[str, Any]:
    found = await visit.call("system.overview")
    parts = [
        {
            "title": visit._(TITLES[part["part"]]),
            "state": part["state"],
            "says": _sentence(visit, part),
            "href": opens(visit, _PLACES.get(part["part"], "")),
        }
        for part in sorted(found["parts"], key=lambda one: _ORDER.index(one["state"]))
    ]
    return {"now": found, "parts": parts, "wrong": sum(one["state"] in ("bad", "note") for one in parts)}


async def system(visit: Visit) -> web.StreamResponse:
    return visit.page("system.html", **await _values(visit))


async def glance(visit: Visit) -> str:
    return visit.part("system_glance.html", **await _values(visit))


ROUTES = (
    Route(
        "GET",
        "/system",
        system,
        "system.read",
        Menu("system", N_("How it is"), 5, N_("Whether all is well, and what is not.")),
    ),
)
TOPICS = (Topic("system", glance, "system.read", every_s=5.0),)
