"""The live board: calls as they are, without listening in; ending one, passing it on, pausing its recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.services import live_board, live_calls
from server.services.live_board import BoardCall
from server.web.language import N_
from server.web.pages.calls import DIRECTIONS, REFUSED
from server.web.routes import Menu, Route, Topic
from server.web.visit import Visit, Wrong

RIGHT = "calls.live"
MOST_SHOWN = 200
STATES: Mapping[str, tuple[str, str]] = {
    "beginning": (N_("Beginning"), "info"),
    "ringing": (N_("Ringing"), "info"),
    "connecting": (N_("Connecting"), "info"),
    "talking": (N_("Talking"), "good"),
    "held": (N_("On hold"), "warn"),
    "transferring": (N_("Being passed on"), "info"),
    "ending": (N_("Ending"), "plain"),
}
RECORDING: Mapping[str, tuple[str, str]] = {
    "on": (N_("recorded"), "warn"),
    "paused": (N_("recording paused"), "info"),
    "off": (N_("not recorded"), "plain"),
}
_WORDS: Mapping[str, Any] = {"states": STATES, "recording": RECORDING, "directions": DIRECTIONS}


async def _now(visit: Visit) -> dict[str, Any]:
    calls = await live_board.board(visit.services, visit.person, workstation=visit.source)
    waiting = sum(call.waits for call in calls)
    return {"calls": calls[:MOST_SHOWN], "many": len(calls), "waiting": waiting, **_WORDS}


async def _hours(visit: Visit) -> dict[str, Any]:
    return {"hours": await live_board.hours(visit.services, visit.person, workstation=visit.source)}


async def board(visit: Visit) -> web.StreamResponse:
    now_ms = int(visit.now.timestamp() * 1000)
    return visit.page("live.html", now_ms=now_ms, **await _now(visit), **await _hours(visit))


async def calls_region(visit: Visit) -> str:
    return visit.part("live_calls.html", **await _now(visit))


async def hours_region(visit: Visit) -> str:
    return visit.part("live_hours.html", **await _hours(visit))


def _id(visit: Visit) -> str:
    return visit.request.match_info["call"]


async def one(visit: Visit) -> web.StreamResponse:
    call = await live_board.one(visit.services, visit.person, workstation=visit.source, call_id=_id(visit))
    stays = [("b", visit._(N_("%(who)s stays"), who=_named(visit, call, "caller")), ""),
             ("a", visit._(N_("%(who)s stays"), who=_named(visit, call, "called")), "")]  # fmt: skip
    now_ms = int(visit.now.timestamp() * 1000)
    return visit.page("live_one.html", call=call, stays=stays, now_ms=now_ms, **_WORDS)


def _named(visit: Visit, call: BoardCall, side: str) -> str:
    if side == "caller":
        return call.caller or visit._(N_("Who called"))
    return call.called or visit._(N_("Who was called"))


async def hang_up(visit: Visit) -> web.StreamResponse:
    await visit.call("calls.hangup", call_id=_id(visit))
    return visit.go("/live", visit._(N_("The call is ended.")))


async def pause(visit: Visit) -> web.StreamResponse:
    on = visit.given.get("on") == "yes"
    done = await visit.call("calls.pause", call_id=_id(visit), on=on)
    said = N_("Its recording is paused; it goes on by itself after a while.") if on else N_("Its recording goes on.")
    return visit.go(f"/live/{done['call']}", visit._(said))


async def transfer(visit: Visit) -> web.StreamResponse:
    to = visit.given.get("to", "")
    if not to:
        raise Wrong("to", N_("Say to whom."))
    leaves = "b" if visit.given.get("leaves") == "b" else "a"
    try:
        await visit.call("calls.transfer", call_id=_id(visit), to=to, leaves=leaves)
    except live_calls.Refused as refused:
        raise Wrong("to", REFUSED.get(refused.cause, N_("This call cannot be passed on so."))) from refused
    return visit.go("/live", visit._(N_("The call is being passed on.")))


_ONE = "/live/{call:[0-9a-f]{32}}"
ROUTES = (
    Route(
        "GET",
        "/live",
        board,
        RIGHT,
        Menu("work", N_("Calls now"), 10, N_("Who rings, talks and waits; ending a call or passing it on.")),
    ),
    Route("GET", _ONE, one, RIGHT),
    Route("POST", _ONE + "/end", hang_up, RIGHT, again=one),
    Route("POST", _ONE + "/pause", pause, RIGHT, again=one),
    Route("POST", _ONE + "/transfer", transfer, RIGHT, again=one),
)
TOPICS = (
    Topic("live-calls", calls_region, RIGHT, every_s=1.0),
    Topic("live-hours", hours_region, RIGHT, every_s=60.0),
)
