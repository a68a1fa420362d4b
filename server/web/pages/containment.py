"""Stop somebody or something now, and give it back later: lock a person, end a call, cut a trunk."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from server.failure import Failure
from server.services.actor import is_reason
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong


async def containment(visit: Visit) -> web.StreamResponse:
    running: list[Any] | None = None
    if visit.may("calls.live"):
        try:
            running = await visit.call("calls.live")
        except Failure as failure:
            if failure.code != "not_running":
                raise
    people = await visit.call("person.list") if visit.may("people.contain") and visit.may("people.read") else []
    trunks = await visit.call("trunk.list") if visit.may("switchboard.manage") else []
    return visit.page(
        "containment.html",
        running=running,
        logins=[(one["login"], one["login"]) for one in people if one["disabled_at"] is None],
        locked=[one for one in people if one["locked_at"] is not None],
        trunks=trunks,
        named=visit.query("name"),
    )


async def lock(visit: Visit) -> web.StreamResponse:
    login = _login(visit)
    done = await visit.call("person.lock", login=login, reason=_reason(visit))
    message = visit._(
        "%(login)s is locked: %(accounts)s accounts and %(devices)s phones are shut, %(rooms)s listening rooms closed.",
        login=login,
        accounts=visit.times.number(done["accounts"]),
        devices=visit.times.number(done["devices"]),
        rooms=visit.times.number(done["rooms"]),
    )
    return visit.go("/containment", message)


async def unlock(visit: Visit) -> web.StreamResponse:
    login = _login(visit)
    await visit.call("person.unlock", login=login, reason=_reason(visit))
    return visit.go("/containment", visit._("%(login)s is unlocked. Phones sign on by themselves.", login=login))


async def hang_up(visit: Visit) -> web.StreamResponse:
    await visit.call("calls.hangup", call_id=visit.request.match_info["call"])
    return visit.go("/containment", visit._("The call is ended."))


async def cut(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["trunk"]
    done = await visit.call("trunk.disable", trunk=name, hang_up=visit.given.get("hang_up") == "yes")
    said = visit._("Trunk %(name)s is cut.", name=name)
    if done["ended"]:
        count = done["ended"]
        said += " " + visit.plural("One call was ended.", "%(num)s calls were ended.", count)
    if done["warning"] and "emergency" in done["warning"]:
        said += " " + visit._("No emergency call leaves any more: it was the last way out for them.")
    return visit.go("/containment", said)


async def give_back(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["trunk"]
    await visit.call("trunk.enable", trunk=name)
    return visit.go("/containment", visit._("Trunk %(name)s is used again.", name=name))


def _login(visit: Visit) -> str:
    login = visit.given.get("login", "")
    if not login:
        raise Wrong("login", N_("Say who."))
    return login


def _reason(visit: Visit) -> str:
    reason = visit.given.get("reason", "")
    if not is_reason(reason):
        raise Wrong("reason", N_("Say why, in a few words."))
    return reason


ROUTES = (
    Route(
        "GET",
        "/containment",
        containment,
        "people.contain",
        Menu("system", N_("Stop now"), 15, N_("Lock a person, end a call, cut a trunk.")),
        also=frozenset({"switchboard.manage"}),
    ),
    Route("POST", "/containment/lock", lock, "people.contain", again=containment),
    Route("POST", "/containment/unlock", unlock, "people.contain", again=containment),
    Route("POST", "/containment/calls/{call}/end", hang_up, "calls.live", again=containment),
    Route("POST", "/containment/trunks/{trunk}/cut", cut, "switchboard.manage", again=containment),
    Route("POST", "/containment/trunks/{trunk}/use", give_back, "switchboard.manage", again=containment),
)
