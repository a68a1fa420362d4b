"""People: who is there, their roles, the link they come in by, and how they leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from config import packs
from server.operation_rules import RULES
from server.services.actor import is_reason
from server.web.language import LANGUAGES, N_, NAMES
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong
from storage.people import ROLES

ROLE_NAMES: Mapping[str, tuple[str, str]] = {
    "employee": (N_("Employee"), N_("Own calls, texts, phones and settings.")),
    "supervisor": (N_("Supervisor"), N_("The team’s calls, live and past, and its recordings by right.")),
    "quality": (N_("Quality"), N_("Recordings for quality, where the person may listen to them.")),
    "legal": (N_("Legal"), N_("Holds, events and recordings that are evidence.")),
    "compliance": (N_("Compliance"), N_("Policy, permissions to contact and proofs.")),
    "dpo": (N_("Data protection officer"), N_("Policy, erasure, objections and what is kept.")),
    "admin": (N_("Administrator"), N_("People, phones, lines, trunks and the machine. No content.")),
    "security": (N_("Security officer"), N_("Alerts, bans and stopping somebody.")),
    "auditor": (N_("Auditor"), N_("Sees the system and its proofs, no content.")),
    "reader": (N_("Listener"), N_("May be given the right to listen to recordings of a purpose.")),
    "circle": (N_("Circle"), N_("May ask who calls whom, with a reason.")),
}

ACTS: Mapping[str, str] = {
    "person": N_("Nothing is done in this name any more"),
    "device": N_("Phone revoked"),
    "mail login": N_("Mail login revoked"),
    "roles": N_("Roles taken"),
    "right": N_("Right to listen taken"),
    "reader key": N_("Key to listen destroyed"),
    "inbox left": N_("Inbox left"),
    "inbox closed": N_("Inbox closed"),
    "line": N_("Place in a line given up"),
    "forward to them": N_("Forward to them ended"),
    "number": N_("Number handed over"),
    "own settings": N_("Calls forwarded, own settings forgotten"),
    "account handed over": N_("Account handed over"),
    "account kept": N_("Account disabled, and kept"),
}
KEPT: Mapping[str, str] = {
    "recording": N_("Recordings"),
    "call record": N_("Call records"),
    "emergency call": N_("Emergency calls"),
    "hold": N_("Legal holds"),
    "number": N_("Numbers"),
    "ledger": N_("Entries of the ledger"),
}


def _purposes() -> list[tuple[str, str]]:
    recording = (one for one in packs.load().values() if one.kind == "recording" and not one.never_records)
    return [(one.id, one.id) for one in sorted(recording, key=lambda one: one.id)]


async def every(visit: Visit) -> web.StreamResponse:
    """With a reason (a form), names stand in clear."""
    shown = _reason(visit) if visit.request.method == "POST" else None
    found = await visit.call("person.list", reason=shown, case=visit.given.get("case"))
    return visit.page("people.html", people=found, roles=ROLE_NAMES, clear=shown is not None)


async def _one(visit: Visit) -> Mapping[str, Any]:
    login = visit.request.match_info["login"]
    found: list[Mapping[str, Any]] = await visit.call("person.list", login=login)
    return found[0]


async def one(visit: Visit) -> web.StreamResponse:
    return visit.page(
        "people_one.html",
        person=await _one(visit),
        roles=ROLE_NAMES,
        purposes=_purposes(),
        invites=visit.may(RULES["person.invite"].right),
    )


async def new(visit: Visit) -> web.StreamResponse:
    return visit.page("people_new.html", roles=ROLE_NAMES, spoken=[(code, NAMES[code]) for code in LANGUAGES])


async def add(visit: Visit) -> web.StreamResponse:
    login = visit.given.get("login", "").lower()
    if not login:
        raise Wrong("login", N_("Give a short name to sign in with."))
    await visit.call(
        "person.add",
        login=login,
        name=visit.given.get("name") or login,
        roles=_roles(visit),
        language=visit.given.get("language", "fr"),
    )
    return visit.go(f"/people/{login}", visit._("%(login)s is there now.", login=login))


async def set_roles(visit: Visit) -> web.StreamResponse:
    login = visit.request.match_info["login"]
    await visit.call("person.role", login=login, roles=_roles(visit))
    return visit.go(f"/people/{login}", visit._("The roles are changed."))


async def grant(visit: Visit) -> web.StreamResponse:
    login = visit.request.match_info["login"]
    await visit.call("person.grant", login=login, purpose=visit.given.get("purpose", ""))
    return visit.go(f"/people/{login}", visit._("The right counts for recordings made from now on."))


async def revoke(visit: Visit) -> web.StreamResponse:
    login = visit.request.match_info["login"]
    await visit.call("person.revoke", login=login, purpose=visit.given.get("purpose", ""))
    return visit.go(f"/people/{login}", visit._("The right is taken."))


async def invite(visit: Visit) -> web.StreamResponse:
    """The link is shown on this page, once; it is stored nowhere in clear."""
    made = await visit.call("person.invite", login=visit.request.match_info["login"])
    return visit.page("people_invited.html", made=made)


async def disable(visit: Visit) -> web.StreamResponse:
    login = visit.request.match_info["login"]
    await visit.call("person.disable", login=login)
    return visit.go(f"/people/{login}", visit._("Nothing is done in this name any more."))


async def leave(visit: Visit) -> web.StreamResponse:
    person = await _one(visit)
    accounts = await visit.call("account.list") if visit.may("accounts.read") else []
    theirs = person["login"]
    others = [one for one in accounts if one["person"] != theirs and one["disabled_at"] is None]
    return visit.page(
        "people_leave.html",
        person=person,
        accounts=[(one["name"], f"{one['name']} ({one['extension']})") for one in others],
        plan=None,
        acts=ACTS,
        kept=KEPT,
    )


async def leaves(visit: Visit) -> web.StreamResponse:
    """First what would be done; then, once more and sure, it is done."""
    login, to = visit.request.match_info["login"], visit.given.get("hand_over", "")
    keep, sure = visit.given.get("keep") == "yes", visit.given.get("sure") == "yes"
    if bool(to) == keep:
        raise Wrong("hand_over", N_("Choose who takes over, or that nobody does."))
    plan = await visit.call("person.leave", login=login, hand_over=to or None, keep=keep, dry_run=not sure)
    if sure and not plan["warnings"]:
        return visit.go(f"/people/{login}", visit._("%(login)s has left.", login=login))
    return visit.page("people_leave.html", person=await _one(visit), plan=plan, acts=ACTS, kept=KEPT, accounts=[])


def _roles(visit: Visit) -> list[str]:
    return [role for role in visit.lists.get("roles", []) if role in ROLES]


def _reason(visit: Visit) -> str:
    reason = visit.given.get("reason", "")
    if not is_reason(reason):
        raise Wrong("reason", N_("Say why, in a few words."))
    return reason


async def _masked(visit: Visit) -> web.StreamResponse:
    return visit.page("people.html", people=await visit.call("person.list"), roles=ROLE_NAMES, clear=False)


ROUTES = (
    Route(
        "GET",
        "/people",
        every,
        "people.read",
        Menu("system", N_("People"), 20, N_("Who is there, their roles, and how they come and go.")),
    ),
    Route("POST", "/people", every, "people.read", again=_masked),
    Route("GET", "/people/new", new, "people.rights"),
    Route("POST", "/people/new", add, "people.rights", again=new),
    Route("GET", "/people/{login}", one, "people.read"),
    Route("POST", "/people/{login}/roles", set_roles, "people.rights", again=one),
    Route("POST", "/people/{login}/grant", grant, "people.rights", again=one),
    Route("POST", "/people/{login}/revoke", revoke, "people.rights", again=one),
    Route("POST", "/people/{login}/invite", invite, "people.rights", again=one),
    Route("POST", "/people/{login}/disable", disable, "people.manage", again=one),
    Route("GET", "/people/{login}/leave", leave, "people.contain"),
    Route("POST", "/people/{login}/leave", leaves, "people.contain", again=leave),
)
