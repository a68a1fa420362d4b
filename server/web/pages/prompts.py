"""Prompts: what is said to people on the telephone, heard in the browser, and own words or a recording in its place."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from config.prompt_words import LONGEST, Flaw
from recording.prompt_wav import BROUGHT_MAX_BYTES
from recording.room_page import byte_range
from server.failure import Failure
from server.services.prompts import Unsaid, Unusable
from server.web.language import N_
from server.web.pages.prompt_places import GROUPS, PLACES
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

SOURCES: Mapping[str, tuple[str, str]] = {
    "shipped": (N_("Text of the product"), "plain"),
    "words": (N_("Own words"), "info"),
    "recording": (N_("Own recording"), "info"),
    "file": (N_("File laid by hand"), "warn"),
}
KINDS: Mapping[str, str] = {
    "shipped": N_("Text of the product"),
    "words": N_("Own words"),
    "recording": N_("Own recording"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "draft": (N_("Draft"), "info"),
    "in force": (N_("In force"), "good"),
    "superseded": (N_("Superseded"), "plain"),
    "discarded": (N_("Discarded"), "plain"),
    "altered": (N_("Altered: not used"), "bad"),
}
LANGUAGES: Mapping[str, str] = {"fr": N_("French"), "en": N_("English")}
PLACEHOLDERS: Mapping[str, str] = {
    "org": N_("the company"),
    "purpose": N_("what for"),
    "basis": N_("the legal basis"),
    "recipients": N_("who may listen"),
    "time": N_("how long it is kept"),
    "url": N_("where rights are explained"),
    "dpo_contact": N_("how the data protection officer is reached"),
}
FLAWS: Mapping[str, str] = {
    "empty": N_("Nothing is said yet."),
    "long": N_("It is too long: nobody listens to more than a few sentences."),
    "characters": N_("It holds characters that cannot be spoken."),
    "brackets": N_("A bracket is not closed, or stands within another."),
    "unknown": N_("%(name)s is no placeholder of this prompt."),
    "missing": N_("%(name)s has to be said, outside square brackets."),
    "optional": N_("%(name)s may be empty: put what it belongs to in [square brackets]."),
    "fixed": N_("A recording says the same in every call: %(name)s cannot be filled in."),
    "unsaid": N_("It has to say one of: %(name)s"),
}
LONG_MS = 15_000
"""A question that takes longer is not listened to."""
_AUDIO_MAX = BROUGHT_MAX_BYTES + 64 * 1024
_WHICH = frozenset({"now", "draft", "shipped"})


async def every(visit: Visit) -> web.StreamResponse:
    spoken = visit.services.settings.company.languages
    wanted = visit.query("language") or (visit.language if visit.language in spoken else spoken[0])
    if wanted not in spoken:
        raise web.HTTPNotFound
    rows = await visit.call("prompt.list", language=wanted)
    groups = [(title, [row for row in rows if _group(row) == key]) for key, title in GROUPS.items()]
    waiting = [row for row in rows if row["draft"] is not None]
    return visit.page(
        "prompts.html", groups=groups, waiting=waiting, wanted=wanted, spoken=spoken, **_words()
    )  # fmt: skip


def _group(row: Mapping[str, Any]) -> str:
    return "informs" if row["informs"] else str(row["mode"])


async def one(visit: Visit) -> web.StreamResponse:
    named = _named(visit)
    found = await visit.call("prompt.show", **named)
    failure = visit.failure
    return visit.page(
        "prompts_one.html",
        found=found,
        now=await _heard(visit, named, "now"),
        draft=await _heard(visit, named, "draft") if found["draft"] else None,
        flaws=[_told(visit, flaw) for flaw in failure.flaws] if isinstance(failure, Unsaid) else [],
        mine=found["draft"] is not None and found["draft"]["author"] == visit.person.login,
        address=f"/prompts/{named['prompt']}/{named['language']}",
        place=PLACES[named["prompt"]],
        largest=BROUGHT_MAX_BYTES,
        long_ms=LONG_MS,
        longest=LONGEST,
        placeholders=PLACEHOLDERS,
        **_words(),
    )


async def _heard(visit: Visit, named: Mapping[str, str], of: str) -> Mapping[str, Any] | Failure:
    """What is to be said of the audio; why it cannot be had."""
    try:
        heard: Mapping[str, Any] = await visit.call("prompt.hear", **named, of=of)
    except Failure as failure:
        return failure
    return heard


def _told(visit: Visit, flaw: Flaw) -> str:
    return visit._(FLAWS[flaw.what], name=flaw.name)


def _words() -> dict[str, Any]:
    return {"places": PLACES, "sources": SOURCES, "kinds": KINDS, "states": STATES, "tongues": LANGUAGES}


def _named(visit: Visit) -> dict[str, str]:
    match = visit.request.match_info
    return {"prompt": match["prompt"], "language": match["language"]}


async def audio(visit: Visit) -> web.StreamResponse:
    """As a call hears it; the span that the browser asks for (RFC 9110 section 14)."""
    of, number = visit.query("of", "now"), visit.query("version")
    given: dict[str, Any] = {"of": of if of in _WHICH else "now"}
    if number:
        if not (number.isascii() and number.isdecimal() and len(number) < 4):
            raise web.HTTPNotFound
        given = {"version": int(number)}
    heard = await visit.call("prompt.hear", **_named(visit), **given)
    content, asked = base64.b64decode(heard["audio"]), visit.request.headers.get("Range")
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-store", "Content-Type": "audio/wav"}
    span = byte_range(asked, len(content))
    if span is None:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    start, end = span
    if asked is None:
        return web.Response(body=content, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:end], headers=headers)


async def write(visit: Visit) -> web.StreamResponse:
    if not visit.given.get("text"):
        raise Wrong("text", N_("Say what is to be said."))
    await visit.call("prompt.write", **_named(visit), text=visit.given["text"])
    return _back(visit, visit._("The draft is there. Hear it before it counts."))


async def upload(visit: Visit) -> web.StreamResponse:
    file, words = visit.files.get("audio"), visit.given.get("said", "")
    if file is None or not file.body:
        raise Wrong("audio", N_("Choose a file."))
    if not words:
        raise Wrong("said", N_("Write what is said in it."))
    if len(file.body) > BROUGHT_MAX_BYTES:
        raise Wrong("audio", N_("The file is larger than 8 MB."))
    sent = base64.b64encode(file.body).decode()
    try:
        brought = await visit.call("prompt.upload", **_named(visit), audio=sent, text=words)
    except Unusable as failure:
        raise Wrong("audio", _unusable(visit, failure), failure.remedy) from None
    said = [visit._("The recording is there as a draft. Hear it before it counts.")]
    said.append(
        visit._(
            "It came with %(level)s dB and is played with −20 dB, like all others.",
            level=visit.times.number(brought["level_dbfs"], 1).replace("-", "−"),
        )
    )
    if brought["clipped_ms"]:
        said.append(
            visit._("%(ms)s ms of it are clipped: record it less loud.", ms=visit.times.number(brought["clipped_ms"]))
        )
    if brought["silent_ms"] * 2 > brought["duration_ms"]:
        said.append(visit._("More than half of it is silence."))
    warns = brought["clipped_ms"] or brought["silent_ms"] * 2 > brought["duration_ms"]
    return visit.go(_address(visit), " ".join(said), "info" if warns else "good")


def _unusable(visit: Visit, failure: Unusable) -> str:
    """Why a recording is, with its numbers as they are written in the visitor's language."""
    written = {name: visit.times.number(value, int(isinstance(value, float))) for name, value in failure.values.items()}
    return visit._(failure.says, **written)


async def use(visit: Visit) -> web.StreamResponse:
    await visit.call("prompt.use", **_named(visit), number=_number(visit))
    return _back(visit, visit._("It counts from the next call on."))


async def approve(visit: Visit) -> web.StreamResponse:
    await visit.call("prompt.approve", **_named(visit), number=_number(visit))
    return _back(visit, visit._("It is approved, and counts from the next call on."))


async def discard(visit: Visit) -> web.StreamResponse:
    await visit.call("prompt.discard", **_named(visit))
    return _back(visit, visit._("The draft is given up."))


async def reset(visit: Visit) -> web.StreamResponse:
    await visit.call("prompt.reset", **_named(visit))
    return _back(visit, visit._("The text of the product is said again, from the next call on."))


def _number(visit: Visit) -> int:
    """Of the draft that was heard. Raises Failure."""
    number = visit.given.get("number", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 4):
        raise Failure("there is no such version", "Hear the newest draft first", "invalid")
    return int(number)


def _address(visit: Visit) -> str:
    named = _named(visit)
    return f"/prompts/{named['prompt']}/{named['language']}"


def _back(visit: Visit, message: str) -> web.StreamResponse:
    return visit.go(_address(visit), message)


_ONE = "/prompts/{prompt}/{language}"
ROUTES = (
    Route("GET", "/prompts", every, "prompts.read",
          Menu("system", N_("Prompts"), 45, N_("What callers hear: listen, and say it in your own words."))),
    Route("GET", _ONE, one, "prompts.read"),
    Route("GET", _ONE + "/audio", audio, "prompts.read"),
    Route("POST", _ONE + "/words", write, "prompts.manage", again=one),
    Route("POST", _ONE + "/recording", upload, "prompts.manage", again=one, body_max=_AUDIO_MAX),
    Route("POST", _ONE + "/use", use, "prompts.manage", again=one),
    Route("POST", _ONE + "/approve", approve, "policy.approve", again=one),
    Route("POST", _ONE + "/discard", discard, "prompts.manage", again=one),
    Route("POST", _ONE + "/reset", reset, "prompts.manage", again=one),
)  # fmt: skip
