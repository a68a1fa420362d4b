"""What has to be done before a pack is used, and what was entered as proof of it."""

from __future__ import annotations

from aiohttp import web

from config import packs as pack_data
from config import preconditions
from server.web import kept
from server.web.language import N_
from server.web.routes import Route
from server.web.visit import Visit, Wrong


async def needs(visit: Visit) -> web.StreamResponse:
    pack = visit.query("pack") or None
    found = await visit.call("policy.needs", pack=pack)
    words = preconditions.load()
    told = [{**one, "what": words[one["kind"]][visit.language].what} for one in found]
    asking = [each.id for each in pack_data.load().values() if each.preconditions]
    return visit.page(
        "policy_needs.html",
        needs=told,
        pack=pack,
        packs=asking,
        purpose=lambda each: kept.purpose(visit, each),
    )


async def form(visit: Visit) -> web.StreamResponse:
    kind, pack = visit.request.match_info["kind"], visit.request.match_info["pack"]
    asked = pack_data.load().get(pack)
    if asked is None or kind not in asked.preconditions:
        return visit.page("error.html", status=404, code=404, reference="")
    said = preconditions.load()[kind][visit.language]
    return visit.page("policy_enter.html", kind=kind, pack=pack, what=said.what, proof=said.evidence)


async def enter(visit: Visit) -> web.StreamResponse:
    given = visit.given
    for name in ("evidence", "done_by", "done_on"):
        if not given.get(name):
            raise Wrong(name, N_("Fill this in."))
    await visit.call(
        "policy.enter",
        kind=visit.request.match_info["kind"],
        pack=visit.request.match_info["pack"],
        evidence=given["evidence"],
        done_by=given["done_by"],
        done_on=given["done_on"],
        line=given.get("line") or None,
    )
    return visit.go("/policy/needs", visit._("It is entered."))


async def withdraw(visit: Visit) -> web.StreamResponse:
    reason = visit.given.get("reason", "")
    await visit.call("policy.withdraw", entry=visit.given.get("entry", ""), reason=reason)
    return visit.go(
        "/policy/needs", visit._("It counts no more: what rests on it is not recorded from now on."), "info"
    )


ROUTES = (
    Route("GET", "/policy/needs", needs, "policy.read"),
    Route("GET", "/policy/needs/{pack}/{kind}", form, "policy.draft"),
    Route("POST", "/policy/needs/{pack}/{kind}", enter, "policy.draft", again=form),
    Route("POST", "/policy/needs/withdraw", withdraw, "policy.draft", again=needs),
)
