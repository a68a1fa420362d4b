"""The ledger: where each log stands, that nobody has changed it, and its newest entries."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

LOGS: Mapping[str, str] = {
    "access": N_("Who has done what"),
    "consent": N_("Consents"),
    "erasure": N_("What was erased"),
}
FAULTS: Mapping[str, str] = {
    "flipped": N_("An entry is not what was written."),
    "missing": N_("Something is gone."),
    "reordered": N_("An entry stands at another’s place."),
    "head": N_("A signature does not hold."),
    "chain": N_("A day does not follow from the one before, or the log was put back."),
    "extra": N_("Something is there that no signature covers."),
}
OUTCOMES: Mapping[str, str] = {"done": N_("Done"), "denied": N_("Denied"), "failed": N_("Failed")}
_ON_A_PAGE = 50


async def entries(visit: Visit) -> web.StreamResponse:
    log = visit.query("log") if visit.query("log") in LOGS else "access"
    before = visit.query("before")
    place = int(before) if before.isascii() and before.isdecimal() and len(before) < 10 else None
    entries = list(reversed(await visit.call("ledger.show", log=log, last=_ON_A_PAGE + 1, before=place)))
    found = entries[:_ON_A_PAGE]
    older = visit.here(log=log, before=found[-1]["seq"]) if len(entries) > _ON_A_PAGE else None
    newest = visit.here(before=None) if before else None
    return visit.page("ledger.html", log=log, logs=LOGS, entries=found, older=older, newest=newest, outcomes=OUTCOMES)


async def verify(visit: Visit) -> web.StreamResponse:
    found = await visit.call("ledger.verify")
    return visit.page("ledger_verified.html", found=found, logs=LOGS, faults=FAULTS)


ROUTES = (
    Route(
        "GET",
        "/ledger",
        entries,
        "ledger.read",
        Menu("system", N_("Ledger"), 60, N_("What was done, by whom, and the proof that nobody has changed it.")),
    ),
    Route("POST", "/ledger/verify", verify, "ledger.read"),
)
