"""What goes when: the last sweep, what is due and why something is not, what the coming days bring; and receipts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from server.web import kept
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

_AHEAD_DAYS, _DUE, _ON_A_PAGE = 30, 100, 50
_COUNTS_FOR = timedelta(minutes=5)
TRIGGERS: Mapping[str, str] = {
    "retention_expiry": N_("its time was over"),
    "objection": N_("an objection"),
    "consent_withdrawn": N_("a consent was withdrawn"),
    "art17_request": N_("somebody asked for it"),
    "no_contract": N_("no contract was concluded"),
    "admin_order": N_("an order"),
}

METHODS: Mapping[str, str] = {
    "dek_destroyed": N_("its key is destroyed"),
    "kek_wraps_destroyed": N_("the key of the week is destroyed"),
    "key_deleted": N_("its key is deleted"),
    "wraps_deleted": N_("what readers could open it with is deleted"),
    "file_unlinked": N_("its file is deleted"),
    "rows_deleted": N_("its rows are deleted"),
    "credentials_deleted": N_("its credentials are deleted"),
    "fields_coarsened": N_("its fields are made coarser"),
    "leaves_deleted": N_("the entries are deleted"),
    "heads_kept": N_("that they were there stays provable"),
    "index_purged": N_("it is out of the index"),
}
LEFT: Mapping[str, str] = {"slack_of_pages": N_("pieces in places of the database that nothing points to")}
SEEN: Mapping[str, str] = {
    "wraps_gone": N_("the keys"),
    "bytes_gone": N_("the bytes"),
    "index_gone": N_("the place in the index"),
}


async def swept(visit: Visit) -> web.StreamResponse:
    status = await visit.call("retention.status")
    kinds = [
        kind for kind in kept.KINDS if any(status[what].get(kind) for what in ("due", "destroyed", "held", "left"))
    ]
    return visit.page(
        "retention.html",
        last=status,
        kinds=[(kept.kind(visit, kind), *(status[what].get(kind, 0) for what in _COLUMNS)) for kind in kinds],
        orphans=sum(status["orphans"].values()),
    )


_COLUMNS = ("due", "destroyed", "held", "left")


def _purpose(visit: Visit, pack: str) -> str:
    """Of a pack with its version."""
    return kept.purpose(visit, pack.partition("@")[0])


async def due(visit: Visit) -> web.StreamResponse:
    found = await visit.call("retention.due", limit=_DUE)
    items = [{**one, "kind": kept.kind(visit, one["kind"]), "purpose": _purpose(visit, one["pack"])} for one in found]
    stays = [one for one in items if not one["goes"]]
    return visit.page("retention_due.html", stays=stays, goes=[one for one in items if one["goes"]], most=_DUE)


async def forecast(visit: Visit) -> web.StreamResponse:
    at, days = await _counted(visit)
    told = [_day(visit, one) for one in days]
    return visit.page("retention_forecast.html", at=at, days=told, columns=[(one["day"], one["sum"]) for one in told])


async def _counted(visit: Visit) -> tuple[datetime, list[dict[str, Any]]]:
    """The coming month and when it was counted: for all who look once in some minutes, or when it is asked for. Of a
    million calls it takes longer than a page may."""
    held, now = visit.services.forecast, visit.now
    if held is None or visit.query("again") or not timedelta() <= now - held[0] < _COUNTS_FOR:
        held = visit.services.forecast = (now, await visit.call("retention.forecast", days=_AHEAD_DAYS))
    return held


def _day(visit: Visit, said: Mapping[str, Any]) -> dict[str, Any]:
    counts = [(kept.kind(visit, kind), said[kind]) for kind in kept.KINDS if said.get(kind)]
    return {"day": said["day"], "sum": sum(count for _, count in counts), "counts": counts}


async def sweep(visit: Visit) -> web.StreamResponse:
    done = await visit.call("retention.sweep", clock_is_right=bool(visit.given.get("clock_is_right")))
    if done["problem"]:
        return visit.go("/retention", visit._(done["problem"]), "bad")
    gone = sum(done["destroyed"].values())
    return visit.go("/retention", visit.plural("%(num)s thing is gone.", "%(num)s things are gone.", gone))


# --- proof ------------------------------------------------------------------------------------------------------------


async def receipts(visit: Visit) -> web.StreamResponse:
    """Newest first, by the erasure log."""
    before = visit.place("before")
    found: Sequence[Mapping[str, Any]] = await visit.call(
        "ledger.show", log="erasure", last=_ON_A_PAGE + 1, before=before
    )
    entries = found[-_ON_A_PAGE:]
    return visit.page(
        "receipts.html",
        entries=[one for one in reversed(entries) if one["body"].get("receipt_id")],
        earlier=f"/receipts?before={entries[0]['seq']}" if len(found) > _ON_A_PAGE else None,
        later="/receipts" if before is not None else None,
        kind=lambda name: kept.kind(visit, name),
    )


async def receipt(visit: Visit) -> web.StreamResponse:
    found = await visit.call("ledger.receipt", receipt=visit.request.match_info["receipt"])
    said = found["receipt"]
    return visit.page(
        "receipts_one.html",
        found=found,
        said=said,
        trigger=visit._(TRIGGERS[said["trigger"]]) if said["trigger"] in TRIGGERS else said["trigger"],
        objects=[(kept.kind(visit, name), count) for name, count in said["objects"].items()],
        purpose=_purpose(visit, said["pack"]),
        method=[visit._(METHODS[one]) if one in METHODS else one for one in said["method"]],
        left=[visit._(LEFT[one]) if one in LEFT else kept.kind(visit, one) for one in said.get("exceptions_kept", ())],
        seen=[(visit._(SEEN[one]) if one in SEEN else one, holds) for one, holds in said["verification"].items()],
    )


async def receipt_file(visit: Visit) -> web.StreamResponse:
    found = await visit.call("ledger.receipt", receipt=visit.request.match_info["receipt"])
    name = f'attachment; filename="receipt-{found["id"]}.json"'
    text = json.dumps(found["receipt"], sort_keys=True, separators=(",", ":"))
    return web.Response(text=text, content_type="application/json", headers={"Content-Disposition": name})


ROUTES = (
    Route(
        "GET",
        "/retention",
        swept,
        "retention.read",
        Menu("kept", N_("Expiry"), 20, N_("What goes when, what is held, and whether all of it went.")),
    ),
    Route("GET", "/retention/due", due, "retention.read"),
    Route("GET", "/retention/forecast", forecast, "retention.read"),
    Route("POST", "/retention/sweep", sweep, "retention.manage", again=swept),
    Route(
        "GET",
        "/receipts",
        receipts,
        "ledger.read",
        Menu("kept", N_("Receipts"), 40, N_("The signed proof of what was destroyed.")),
    ),
    Route("GET", "/receipts/{receipt}", receipt, "ledger.read"),
    Route("GET", "/receipts/{receipt}/file", receipt_file, "ledger.read"),
)
