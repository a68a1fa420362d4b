"""Roles: who may do what, to whose things; and what the company has changed about it."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.pages.people import ROLE_NAMES
from server.web.routes import Menu, Route
from server.web.visit import Visit

REACHES: Mapping[str, str] = {
    "none": N_("–"),
    "own": N_("Own"),
    "team": N_("Team"),
    "all": N_("Everything"),
}
GROUPS: Mapping[str, str] = {
    "people": N_("People"),
    "accounts": N_("Accounts"),
    "devices": N_("Phones"),
    "switchboard": N_("Switchboard"),
    "calls": N_("Calls"),
    "texts": N_("Texts"),
    "campaigns": N_("Campaigns"),
    "inboxes": N_("Inboxes"),
    "contacts": N_("Permission to contact"),
    "policy": N_("Policy"),
    "prompts": N_("Prompts"),
    "retention": N_("Retention"),
    "holds": N_("Legal holds"),
    "recordings": N_("Recordings"),
    "ledger": N_("Ledger"),
    "alerts": N_("Alerts"),
    "security": N_("Security"),
    "system": N_("System"),
    "tokens": N_("Tokens"),
    "sessions": N_("Sessions"),
    "kept": N_("What is kept about oneself"),
}
VERBS: Mapping[str, str] = {
    "read": N_("look"),
    "manage": N_("change"),
    "settings": N_("choose settings"),
    "rights": N_("give roles and rights"),
    "contain": N_("stop somebody, let somebody leave"),
    "live": N_("see and end running ones"),
    "make": N_("make"),
    "statistics": N_("see statistics"),
    "circle": N_("ask who calls whom"),
    "use": N_("use"),
    "draft": N_("draft"),
    "approve": N_("approve"),
    "erase": N_("erase"),
    "verify": N_("verify"),
    "event": N_("enter an event"),
    "decide": N_("judge"),
}


def right_name(visit: Visit, right: str) -> str:
    group, _, verb = right.partition(".")
    thing, act = visit._(GROUPS.get(group, group)), visit._(VERBS.get(verb, verb))
    return visit._("%(thing)s: %(act)s", thing=thing, act=act)


async def every(visit: Visit) -> web.StreamResponse:
    found = await visit.call("role.list")
    roles = {one["role"]: one for one in found}
    return visit.page(
        "roles.html",
        roles=roles,
        order=[role for role in ROLE_NAMES if role in roles],
        words=ROLE_NAMES,
        reaches=REACHES,
        titles={right: right_name(visit, right) for right in found[0]["reach"]},
    )


async def one(visit: Visit) -> web.StreamResponse:
    role = visit.request.match_info["role"]
    rights = await visit.call("role.show", role=role)
    return visit.page(
        "roles_one.html",
        role=role,
        words=ROLE_NAMES,
        rights=rights,
        reaches=REACHES,
        titles={each["right"]: right_name(visit, each["right"]) for each in rights},
    )


async def change(visit: Visit) -> web.StreamResponse:
    """Each right that is to be another than it is; the others are left as they are."""
    role = visit.request.match_info["role"]
    count = 0
    for each in await visit.call("role.show", role=role):
        wanted = visit.given.get(each["right"], "")
        if wanted in REACHES and wanted != each["reach"]:
            await visit.call("role.set", role=role, right=each["right"], reach=wanted)
            count += 1
    message = visit.plural("One right is changed.", "%(num)s rights are changed.", count)
    return visit.go(f"/roles/{role}", message if count else visit._("Nothing was changed."))


async def reset(visit: Visit) -> web.StreamResponse:
    role = visit.request.match_info["role"]
    await visit.call("role.reset", role=role)
    return visit.go(f"/roles/{role}", visit._("The role is as shipped again."))


ROUTES = (
    Route(
        "GET",
        "/roles",
        every,
        "people.rights",
        Menu("system", N_("Roles"), 22, N_("Who may do what, to whose things.")),
    ),
    Route("GET", "/roles/{role}", one, "people.rights"),
    Route("POST", "/roles/{role}", change, "people.rights", again=one),
    Route("POST", "/roles/{role}/reset", reset, "people.rights", again=one),
)
