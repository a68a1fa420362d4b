"""Recordings: the list, one of them with what is known of it, listening to it, and what is opened by two."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from aiohttp import web

from config import packs
from recording.reader_room_client import Form
from recording.room_page import byte_range
from server.failure import Failure
from server.services import listening_requests
from server.services import portal_listening as listening
from server.services.actor import is_reason
from server.web import security
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

RIGHT = "recordings.read"
PAGE = 25
_BLOCKS_BETWEEN_LOOKS = 16  # a mebibyte
_MOMENT = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):(\d{2})")
STATES: Mapping[str, str] = {
    "recording": N_("Being recorded"),
    "whole": N_("Whole"),
    "cut": N_("Cut short"),
    "failed": N_("Failed"),
    "destroyed": N_("Destroyed"),
}
SHOWN: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "": (N_("All that are kept"), None),
    "whole": (N_("Whole"), ("whole",)),
    "cut": (N_("Cut short"), ("cut",)),
    "destroyed": (N_("Destroyed"), ("destroyed",)),
}
GAPS: Mapping[str, str] = {"hold": N_("On hold"), "pause": N_("Paused")}
ACTIONS: Mapping[str, str] = {"open": N_("Opened"), "export": N_("Exported"), "listen": N_("Closed")}
REQUEST_STATES: Mapping[str, str] = {
    "open": N_("Waits for a second person"),
    "approved": N_("May be opened once"),
    "refused": N_("Refused"),
    "used": N_("Used"),
    "over": N_("Over"),
}
SPEEDS = ("0.5", "0.75", "1", "1.25", "1.5", "2")


def purpose(visit: Visit, code: str | None) -> str:
    """What a recording is for, in the visitor's language; the code where the pack has no words for it."""
    pack = packs.load().get(code or "")
    spoken = (pack.spoken or {}).get(visit.language) if pack is not None else None
    return spoken.purpose[:1].upper() + spoken.purpose[1:] if spoken is not None else code or "–"


def _purposes(visit: Visit) -> list[tuple[str, str]]:
    known = [one.id for one in packs.load().values() if one.kind == "recording" and not one.never_records]
    return [("", visit._("All"))] + [(one, purpose(visit, one)) for one in sorted(known)]


def _words(visit: Visit) -> dict[str, Any]:
    return {
        "states": STATES,
        "gaps": GAPS,
        "actions": ACTIONS,
        "request_states": REQUEST_STATES,
        "purpose": lambda code: purpose(visit, code),
        "rec_id": "",
    }


async def _here(visit: Visit) -> dict[str, Any]:
    """What every page of these says of the room."""
    room = await listening.room(visit.services, visit.person)
    return {"room": room, "mine": await listening.purposes(visit.services, visit.person), **_words(visit)}


# --- the list ---------------------------------------------------------------------------------------------------------


async def every(visit: Visit) -> web.StreamResponse:
    wanted = visit.query("state")
    states = SHOWN.get(wanted, SHOWN[""])[1]
    given = {"purpose": visit.query("purpose") or None, "older_than": visit.query("older_than") or None}
    for name in ("since", "until"):
        with contextlib.suppress(ValueError):
            given[name] = date.fromisoformat(visit.query(name)).isoformat()
    if states is not None:
        given["states"] = states  # type: ignore[assignment]
    rows = await visit.call("recordings.list", limit=PAGE + 1, **{k: v for k, v in given.items() if v})
    shown, older = visit.paged(rows, PAGE)
    return visit.page(
        "recordings.html",
        rows=shown,
        earlier=visit.here(older_than=older) if older else None,
        later=visit.here(older_than=None) if visit.query("older_than") else None,
        purposes=_purposes(visit),
        shown=[(code, visit._(words)) for code, (words, _) in SHOWN.items()],
        filtered=any(visit.query(name) for name in ("purpose", "state", "since", "until")),
        **await _here(visit),
    )


# --- one of them ------------------------------------------------------------------------------------------------------


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]


async def one(visit: Visit) -> web.StreamResponse:
    return await _one(visit)


async def reveal(visit: Visit) -> web.StreamResponse:
    if not is_reason(visit.value("reason")):
        raise Wrong("reason", visit._("Say why, in a few words"))
    return await _one(visit, reason=visit.value("reason"), case=visit.value("case") or None)


async def _one(visit: Visit, reason: str | None = None, case: str | None = None) -> web.StreamResponse:
    found = await visit.call("recordings.show", rec_id=_id(visit), reason=reason, case=case)
    rec_id = found["id"]
    opened = await listening.opened(visit.services, visit.person, rec_id=rec_id)
    notes: list[listening.NoteView] = []
    if opened is not None:
        try:
            notes = await listening.notes(visit.services, visit.person, rec_id=rec_id)
        except Failure:  # it has closed meanwhile
            opened = None
    return visit.page(
        "recording.html",
        found=found,
        opened=opened,
        notes=notes,
        openings=await visit.call("recordings.openings", rec_id=rec_id, reason=reason, case=case),
        request=await listening_requests.own(visit.services, rec_id=rec_id, person_id=visit.person.person_id),
        clear=reason is not None,
        speeds=SPEEDS,
        **{**await _here(visit), "rec_id": rec_id},
    )


async def listen(visit: Visit) -> web.StreamResponse:
    opened = await listening.listen(
        visit.services,
        visit.person,
        workstation=visit.source,
        rec_id=_id(visit),
        reason=visit.value("reason"),
        case=visit.value("case"),
    )
    return visit.go(f"/recordings/{opened.rec_id}#player")


async def close(visit: Visit) -> web.StreamResponse:
    found = await visit.call("recordings.show", rec_id=_id(visit))
    await listening.close(visit.services, visit.person, rec_id=found["id"])
    return visit.go(f"/recordings/{found['id']}", visit._("The recording is closed."))


async def write_note(visit: Visit) -> web.StreamResponse:
    at_ms = _moment(visit.value("at"))
    if at_ms is None:
        raise Wrong("at", visit._("Write a moment as 1:05 or 1:02:30"))
    if not visit.value("words"):
        raise Wrong("words", visit._("Write what the note says"))
    await listening.add_note(
        visit.services, visit.person, rec_id=_id(visit), at_ms=at_ms, words=visit.value("words").replace("\r\n", "\n")
    )
    return visit.go(f"/recordings/{_id(visit)}#notes", visit._("The note is kept with the recording."))


def _moment(text: str) -> int | None:
    """1:02:30 in milliseconds."""
    read = _MOMENT.fullmatch(text.strip())
    if read is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in read.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


async def waveform(visit: Visit) -> web.StreamResponse:
    await _must_be_open(visit)
    return web.json_response(dict(await listening.waveform(visit.services, visit.person, rec_id=_id(visit))))


async def audio(visit: Visit) -> web.StreamResponse:
    """As it was sealed."""
    return await _audio(visit, "ogg")


async def indexed_audio(visit: Visit) -> web.StreamResponse:
    """The same with an index, in which a player finds any moment by one request."""
    return await _audio(visit, "webm")


async def _audio(visit: Visit, form: Form) -> web.StreamResponse:
    """The span that the browser asks for (RFC 9110 section 14), a block at a time."""
    await _must_be_open(visit)
    rec_id, asked = _id(visit), visit.request.headers.get("Range")
    size = await listening.size(visit.services, visit.person, rec_id=rec_id, form=form)
    if not size:
        raise Failure("there is no such form of it", "Take the other one", "not_found")
    span = byte_range(asked, size)
    headers = {
        **security.headers(visit.services.settings.web.host),
        "Content-Type": f"audio/{form}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
    }
    if span is None:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, end = span
    headers["Content-Length"] = str(end - start)
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    answer = web.StreamResponse(status=200 if asked is None else 206, headers=headers)
    await answer.prepare(visit.request)
    await _pass_on(visit, answer, form, start, end)
    return answer


async def _pass_on(visit: Visit, answer: web.StreamResponse, form: Form, start: int, end: int) -> None:
    blocks, rec_id = 0, _id(visit)
    try:
        while start < end:
            block = await listening.read(visit.services, visit.person, rec_id=rec_id, start=start, end=end, form=form)
            if not block:
                break
            await answer.write(block)
            start, blocks = start + len(block), blocks + 1
            if blocks % _BLOCKS_BETWEEN_LOOKS == 0:
                await listening.size(visit.services, visit.person, rec_id=rec_id)
        await answer.write_eof()
    except (Failure, ConnectionError):  # closed, or the browser has enough: what is missing is missing
        if visit.request.transport is not None:
            visit.request.transport.close()


async def _must_be_open(visit: Visit) -> None:
    if await listening.opened(visit.services, visit.person, rec_id=_id(visit)) is None:
        raise Failure("that recording is not open", "Open it first", "not_found")


# --- the room ---------------------------------------------------------------------------------------------------------


async def room(visit: Visit) -> web.StreamResponse:
    back = security.local_path(visit.query("next") or visit.value("next") or "/recordings")
    return visit.page("recordings_room.html", back=back, **await _here(visit))


async def unlock(visit: Visit) -> web.StreamResponse:
    await listening.unlock(
        visit.services,
        visit.person,
        workstation=visit.source,
        passphrase=visit.given.get("password", ""),
        code=visit.value("code"),
    )
    return visit.go(visit.value("next", "/recordings"), visit._("The listening room is open for 15 minutes."))


async def lock(visit: Visit) -> web.StreamResponse:
    await listening.lock(visit.services, visit.person)
    return visit.go("/recordings/room", visit._("The listening room is locked."))


# --- what is opened by two --------------------------------------------------------------------------------------------


async def requests(visit: Visit) -> web.StreamResponse:
    return visit.page("recordings_requests.html", rows=await visit.call("recordings.requests"), **await _here(visit))


async def request(visit: Visit) -> web.StreamResponse:
    made = await visit.call(
        "recordings.request", rec_id=_id(visit), reason=visit.value("reason"), case=visit.value("case")
    )
    return visit.go(f"/recordings/{made['rec_id']}", visit._("Another reader of this purpose can now agree."))


async def decide(visit: Visit) -> web.StreamResponse:
    approve = visit.value("decision") == "approve"
    await visit.call("recordings.decide", request=_id(visit), approve=approve)
    said = visit._("You have agreed: it can be opened once.") if approve else visit._("You have not agreed.")
    return visit.go("/recordings/requests", said)


ROUTES = (
    Route("GET", "/recordings", every, RIGHT,
          menu=Menu("work", N_("Recordings"), 30, N_("What is kept, until when, who listened; and listening"))),
    Route("GET", "/recordings/room", room, RIGHT),
    Route("POST", "/recordings/room", unlock, RIGHT, again=room),
    Route("POST", "/recordings/room/lock", lock, RIGHT),
    Route("GET", "/recordings/requests", requests, RIGHT),
    Route("POST", "/recordings/requests/{id}", decide, RIGHT, again=requests),
    Route("GET", "/recordings/{id}", one, RIGHT),
    Route("POST", "/recordings/{id}", reveal, RIGHT, again=one),
    Route("POST", "/recordings/{id}/listen", listen, RIGHT, again=one),
    Route("POST", "/recordings/{id}/close", close, RIGHT),
    Route("POST", "/recordings/{id}/request", request, RIGHT, again=one),
    Route("POST", "/recordings/{id}/notes", write_note, RIGHT, again=one),
    Route("GET", "/recordings/{id}/waveform", waveform, RIGHT),
    Route("GET", "/recordings/{id}/audio", audio, RIGHT),
    Route("GET", "/recordings/{id}/audio.webm", indexed_audio, RIGHT),
)  # fmt: skip
