"""Inboxes, for whoever administers them: who reads and writes, from which address; opened, closed. Never a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.services.inbox_rights import none_such
from server.web.language import N_
from server.web.pages.texts import CLASSES
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

KINDS: Mapping[str, str] = {
    "team": N_("of a team"),
    "person": N_("of one person"),
    "sealed": N_("what belongs to nobody else"),
}
ADDRESSES: Mapping[str, str] = {"number": N_("number"), "short": N_("short code"), "name": N_("name")}
RIGHTS: Mapping[str, str] = {
    "reading": N_("Reads what comes in"),
    "sending": N_("Writes from it"),
    "sent": N_("Sees what was sent"),
}


async def every(visit: Visit) -> web.StreamResponse:
    return visit.page("inboxes.html", boxes=await visit.call("inbox.every"), kinds=KINDS)


async def add(visit: Visit) -> web.StreamResponse:
    given = visit.given
    if not given.get("name"):
        raise Wrong("name", N_("Give it a name."))
    kind = given.get("kind", "")
    if kind == "person" and not given.get("account"):
        raise Wrong("account", N_("Name the account whose phones belong to it."))
    made = await visit.call(
        "inbox.add",
        name=given["name"],
        kind=kind,
        account=given.get("account") or None if kind == "person" else None,
        language=given.get("language", ""),
    )
    return visit.go(f"/inboxes/{made['name']}", visit._(N_("It is there. Say who reads it and who writes from it.")))


def _named(visit: Visit) -> str:
    return visit.request.match_info["inbox"]


async def one(visit: Visit) -> web.StreamResponse:
    name = _named(visit)
    box = next((each for each in await visit.call("inbox.every") if each["name"] == name), None)
    if box is None:
        raise none_such(name)
    senders = await visit.call("inbox.sender.list", inbox=name)
    people = sorted({*box["reads"], *box["sends"], *box["sees_sent"]})
    return visit.page(
        "inboxes_one.html",
        box=box,
        members=[(login, _may(box, login)) for login in people],
        senders=[each for each in senders if not each["disabled_at"]],
        gone=[each for each in senders if each["disabled_at"]],
        kinds=KINDS,
        rights=RIGHTS,
        classes=CLASSES,
        addresses=ADDRESSES,
    )


def _may(box: Mapping[str, Any], login: str) -> dict[str, bool]:
    """By the names of RIGHTS."""
    return {"reading": login in box["reads"], "sending": login in box["sends"], "sent": login in box["sees_sent"]}


async def member(visit: Visit) -> web.StreamResponse:
    """What is ticked they may, what is not they may not."""
    name, given = _named(visit), visit.given
    if not given.get("login"):
        raise Wrong("login", N_("Say who."))
    ticked: dict[str, Any] = {right: given.get(right) == "yes" for right in RIGHTS}
    await visit.call("inbox.member", inbox=name, login=given["login"], **ticked)
    said = N_("It holds from now on.") if any(ticked.values()) else N_("They have no right to it any more.")
    return visit.go(f"/inboxes/{name}", visit._(said))


async def close(visit: Visit) -> web.StreamResponse:
    name, reopen = _named(visit), visit.given.get("reopen") == "yes"
    await visit.call("inbox.close", inbox=name, reopen=reopen)
    said = N_("It is open again.") if reopen else N_("It is closed. What comes for it goes to the sealed one.")
    return visit.go(f"/inboxes/{name}", visit._(said))


async def add_sender(visit: Visit) -> web.StreamResponse:
    """Approved by whoever sends the form: a data protection officer, or an administrator."""
    name, given = _named(visit), visit.given
    if not given.get("address"):
        raise Wrong("address", N_("Write a number, a short code or a name."))
    classes = visit.lists.get("classes", [])
    if not classes:
        raise Wrong("classes", N_("Say what may be sent from it."))
    carriers = given.get("carriers", "").replace(",", " ").split()
    await visit.call(
        "inbox.sender.add",
        inbox=name,
        address=given["address"],
        classes=classes,
        stop_code=given.get("stop_code") or None,
        carriers=carriers,
    )
    return visit.go(f"/inboxes/{name}", visit._(N_("The address is approved, in your name.")))


async def remove_sender(visit: Visit) -> web.StreamResponse:
    name = _named(visit)
    await visit.call("inbox.sender.remove", address=visit.given.get("address", ""))
    return visit.go(f"/inboxes/{name}", visit._(N_("Nothing is sent from it any more.")))


_ONE = "/inboxes/{inbox}"
ROUTES = (
    Route(
        "GET",
        "/inboxes",
        every,
        "inboxes.manage",
        Menu("system", N_("Inboxes"), 45, N_("Who reads texts and who writes them, and from which address.")),
    ),
    Route("POST", "/inboxes", add, "inboxes.manage", again=every),
    Route("GET", _ONE, one, "inboxes.manage"),
    Route("POST", _ONE + "/members", member, "inboxes.manage", again=one),
    Route("POST", _ONE + "/close", close, "inboxes.manage", again=one),
    Route("POST", _ONE + "/senders", add_sender, "inboxes.manage", again=one),
    Route("POST", _ONE + "/senders/remove", remove_sender, "inboxes.manage", again=one),
)
