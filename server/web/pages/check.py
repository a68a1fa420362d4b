"""The machine and its configuration, looked at through and through."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

STATES: Mapping[str, str] = {"ok": "good", "note": "note", "wrong": "bad"}
_ORDER = ("wrong", "note", "ok")
CHECKS: Mapping[str, str] = {
    "system": N_("Operating system"),
    "python": "Python",
    "packages": N_("Programs that are needed"),
    "imports": N_("Parts of the program"),
    "kamailio": "Kamailio",
    "kamailio.service": N_("Kamailio of the system"),
    "canvassing law": N_("Law of canvassing"),
    "clock": N_("Clock"),
    "swap": N_("Swap"),
    "core dumps": N_("Memory images"),
    "set-up": N_("Set-up"),
    "configuration": N_("Configuration"),
    "daemon": N_("Server"),
    "paths": N_("Data directory"),
    "permissions": N_("Who may read the files"),
    "disk": N_("Disk"),
    "keys": N_("Keys"),
    "certificate": N_("Certificate"),
    "ports": N_("Ports"),
    "database": N_("Database"),
    "edge": N_("Edge"),
    "recorder": N_("Recorder"),
    "lines": N_("Lines"),
    "policy": N_("Policy"),
    "expiry": N_("Erasure of what has expired"),
    "holds": N_("Holds"),
    "emergency": N_("Emergency calls"),
    "emergency call-back": N_("Calls back after an emergency call"),
    "emergency drill": N_("Emergency exercise"),
    "emergency exercise": N_("Emergency exercise"),
    "emergency report": N_("Who is told of an emergency call"),
    "locale": N_("Language of the system"),
    "numbers": N_("Own numbers"),
    "open files": N_("Files open at once"),
    "prompts": N_("Prompts"),
    "rates": N_("What calls cost"),
    "trunks": N_("Trunks"),
    "encoder": N_("Encoder of recordings"),
}


async def check(visit: Visit) -> web.StreamResponse:
    return visit.page("check.html", findings=None)


async def look(visit: Visit) -> web.StreamResponse:
    found = await visit.call("system.check")
    found.sort(key=lambda one: _ORDER.index(one["verdict"]))
    wrong = sum(one["verdict"] == "wrong" for one in found)
    return visit.page("check.html", findings=found, wrong=wrong, states=STATES, checks=CHECKS)


async def reload(visit: Visit) -> web.StreamResponse:
    done = await visit.call("reload")
    said = [visit.plural("One value is used anew.", "%(num)s values are used anew.", len(done["applied"]))]
    if not done["applied"]:
        said = [visit._("Nothing in it was another than before.")]
    if done["need_restart"]:
        said.append(visit._("At the next start: %(keys)s", keys=", ".join(done["need_restart"])))
    return visit.go("/check", " ".join(said))


ROUTES = (
    Route(
        "GET",
        "/check",
        check,
        "system.read",
        Menu("system", N_("Check"), 55, N_("Machine, files, ports and configuration, looked at once through.")),
    ),
    Route("POST", "/check", look, "system.read", again=check),
    Route("POST", "/check/reload", reload, "system.manage", again=check),
)
