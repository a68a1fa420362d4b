"""Calls as far as one's reach goes: those that go on, those that are over, how each went, and click-to-call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.failure import Failure
from server.rights import Reach
from server.services.live_calls import Refused
from server.services.masking import DOT
from server.web.language import N_
from server.web.purposes import purpose
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

PAGE = 25
GOOD_MOS, FAIR_MOS = 4.0, 3.6  # ITU-T G.107 annex B: satisfied, some dissatisfied

DIRECTIONS: Mapping[str, str] = {
    "inbound": N_("Incoming"),
    "outbound": N_("Outgoing"),
    "internal": N_("Within the house"),
}
STATES: Mapping[str, str] = {
    "beginning": N_("Beginning"),
    "ringing": N_("Ringing"),
    "connecting": N_("Connecting"),
    "talking": N_("Talking"),
    "transferring": N_("Being passed on"),
    "ending": N_("Ending"),
}
CAUSES: Mapping[str, str] = {
    "caller-hung-up": N_("The caller hung up"),
    "callee-hung-up": N_("The called side hung up"),
    "cancelled": N_("The caller gave up"),
    "busy": N_("Busy"),
    "declined": N_("Declined"),
    "no-answer": N_("Nobody answered"),
    "not-available": N_("Not available"),
    "not-registered": N_("No phone was on"),
    "nobody": N_("Nobody else is on this line"),
    "unknown": N_("There is no such number"),
    "not-permitted": N_("Not permitted"),
    "contact-not-permitted": N_("This person must not be called"),
    "limit": N_("A limit was reached"),
    "loop": N_("Forwards led in a circle"),
    "trunk-failed": N_("The provider did not take it"),
    "transferred": N_("Passed on"),
    "engine-lost": N_("Cut: the media engine was lost"),
    "emergency-preempted": N_("Ended to make room for an emergency call"),
    "failed": N_("Failed"),
}
LENGTHS: Mapping[str, str] = {
    "none": N_("no conversation"),
    "under_10s": N_("under 10 seconds"),
    "under_1m": N_("under a minute"),
    "under_5m": N_("under 5 minutes"),
    "under_15m": N_("under 15 minutes"),
    "under_1h": N_("under an hour"),
    "over_1h": N_("over an hour"),
}
FIELDS: Mapping[str, str] = {
    "number": N_("Numbers"),
    "start": N_("Time"),
    "duration": N_("Length"),
    "cost": N_("Cost"),
    "evidence": N_("Evidence of consent"),
}
FORMS: Mapping[str, str] = {
    "full": N_("in full"),
    "keyed": N_("as a hash whose key goes later"),
    "prefix": N_("country only"),
    "second": N_("to the second"),
    "hour": N_("to the hour"),
    "day": N_("to the day"),
    "bucket": N_("roughly"),
    "gone": N_("no longer kept"),
}
RECORDINGS: Mapping[str, str] = {
    "recording": N_("being recorded"),
    "whole": N_("whole"),
    "cut": N_("cut short"),
    "failed": N_("failed"),
    "destroyed": N_("destroyed"),
}
SIDES: Mapping[str, str] = {"phone": N_("Phone"), "trunk": N_("Provider"), "relay": N_("Other half")}
KINDS: Mapping[str, str] = {"problem": "bad", "ordinary": "info", "note": "warn", "good": "good"}
REFUSED: Mapping[str, str] = {
    "unknown": N_("Nobody has that name or number here, and it is no number outside."),
    "not-permitted": N_("Your account may not call that kind of number."),
    "contact-not-permitted": N_("This person must not be called: they objected, or nobody knows their consent."),
    "limit": N_("A limit is reached: of calls at a time, of minutes, or of money."),
    "not-registered": N_("None of your phones is on: switch one on, and see that it is registered."),
    "trunk-failed": N_("No provider takes the call at the moment."),
    "loop": N_("Forwards lead in a circle."),
}


class NoCall(Wrong):
    """What was typed cannot be called; stands beside the field."""

    def __init__(self, refused: Refused) -> None:
        super().__init__("call", REFUSED.get(refused.cause, N_("This call cannot be made.")), N_("Nobody was called"))


async def calls(visit: Visit) -> web.StreamResponse:
    """All of them, or those that went wrong."""
    if visit.query("show") == "wrong":
        found = await visit.call("calls.whys", problems=True, limit=100, language=visit.language)
        return visit.page("calls_wrong.html", calls=found, **_frame(visit))
    return await _list(visit, line=visit.query("line"), before=visit.query("before"))


async def in_clear(visit: Visit) -> web.StreamResponse:
    """The same list with numbers in clear, or what was found of a number: both with a reason."""
    given = visit.given
    if not given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _list(
        visit,
        line=given.get("line", ""),
        number=given.get("number", ""),
        before=given.get("before", ""),
        reason=given["reason"],
        case=given.get("case"),
    )


async def _list(
    visit: Visit, *, line: str = "", number: str = "", before: str = "", reason: str | None = None,
    case: str | None = None,
) -> web.StreamResponse:  # fmt: skip
    wanted = {"line": line or None, "number": number or None, "before": before or None}
    found = await visit.call("calls.list", limit=PAGE + 1, reason=reason, case=case, **wanted)
    shown, older = visit.paged(found, PAGE)
    return visit.page(
        "calls.html",
        calls=[_call(one) for one in shown],
        going=await _going(visit) if not any(wanted.values()) else [],
        older=older,
        wanted=wanted,
        reason=reason or "",
        case=case or "",
        **_frame(visit),
    )


def _frame(visit: Visit) -> dict[str, Any]:
    return {
        "own": sorted(visit.person.own),
        "choices": [(name, name) for name in sorted(visit.person.own)],
        "sees_others": visit.person.reach("calls.read") is not Reach.OWN,
        "causes": CAUSES,
        "directions": DIRECTIONS,
        "lengths": LENGTHS,
        "states": STATES,
        "quality": quality,
    }


async def _going(visit: Visit) -> list[dict[str, Any]]:
    if not visit.may("calls.live"):
        return []
    try:
        found: list[dict[str, Any]] = await visit.call("calls.live")
    except Failure as failure:
        if failure.code != "not_running":
            raise
        return []
    return found


async def call(visit: Visit) -> web.StreamResponse:
    return await _one(visit)


async def call_in_clear(visit: Visit) -> web.StreamResponse:
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _one(visit, visit.given["reason"], visit.given.get("case"))


async def _one(visit: Visit, reason: str | None = None, case: str | None = None) -> web.StreamResponse:
    """What is kept of it and how it went. One of them may be over, or not be there yet."""
    call_id = visit.request.match_info["call_id"]
    kept = await _unless_absent(visit, "calls.show", call_id=call_id, reason=reason, case=case)
    went = await _unless_absent(visit, "calls.why", call_id=call_id, language=visit.language)
    if kept is None and went is None:
        raise Failure("there is no such call", "It may have expired", "not_found")
    return visit.page(
        "call.html",
        call=_call(kept) if kept else None,
        went=went,
        at=(kept or went)["at"],
        purpose=purpose,
        kinds=KINDS,
        side=lambda name: _side(visit, name),
        fields=FIELDS,
        forms=FORMS,
        recordings=RECORDINGS,
        reason=reason or "",
        **_frame(visit),
    )


async def _unless_absent(visit: Visit, operation: str, **arguments: Any) -> Any:
    try:
        return await visit.call(operation, **arguments)
    except Failure as failure:
        if failure.code not in ("not_found", "misuse"):
            raise
        return None


def _call(kept: Mapping[str, Any]) -> dict[str, Any]:
    """With who may be called back, where the number stands there in clear."""
    numbers = list(kept["numbers"].values())
    side = {"outbound": "callee", "inbound": "caller"}.get(kept["fields"].get("direction", ""), "")
    other = kept["numbers"].get(side, "")
    return {
        **kept,
        "masked": any(DOT in text for text in numbers),
        "other": "" if DOT in other else other,
        "mos_kind": quality(kept["mos"])[0],
    }


def quality(mos: float | None) -> tuple[str, str]:
    """How it is painted, and an English word for it."""
    if mos is None:
        return "plain", ""
    if mos >= GOOD_MOS:
        return "good", N_("good")
    return ("warn", N_("fair")) if mos >= FAIR_MOS else ("bad", N_("poor"))


def _side(visit: Visit, name: str) -> str:
    """`phone A` in the visitor's language; ourselves as we are."""
    kind, _, letter = name.partition(" ")
    return f"{visit._(SIDES[kind])} {letter}" if kind in SIDES else name


async def make(visit: Visit) -> web.StreamResponse:
    """Click-to-call: one's own phone rings first."""
    number = visit.given.get("call", "")
    if not number:
        raise Wrong("call", N_("Type a number, an extension or a name."))
    account = visit.given.get("account") or next(iter(sorted(visit.person.own)), None)
    if account is None:
        raise Wrong("call", N_("You have no account to call with."))
    try:
        await visit.call("calls.originate", account=account, number=number)
    except Refused as refused:
        raise NoCall(refused) from refused
    return visit.go("/calls", visit._(N_("Your phone rings. Pick it up: then the call goes on to the other side.")))


ROUTES = (
    Route(
        "GET",
        "/calls",
        calls,
        "calls.read",
        Menu("mine", N_("Calls"), 10, N_("Who called whom, how it went, and why somebody could not be heard.")),
    ),
    Route("POST", "/calls", in_clear, "calls.read", again=calls),
    Route("POST", "/calls/make", make, "calls.make", again=calls),
    Route("GET", "/calls/{call_id:[0-9a-f]+}", call, "calls.read"),
    Route("POST", "/calls/{call_id:[0-9a-f]+}", call_in_clear, "calls.read", again=call),
)
