"""Texts of the inboxes that one has a right to: what came in and what was sent, without their words; writing; and
conversations with their words, once the session's room is unlocked (`server.services.portal_texts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.failure import Failure
from server.services import portal_listening, portal_texts
from server.services.inbox_rights import none_such
from server.services.masking import DOT
from server.web.language import N_
from server.web.routes import Menu, Route, Topic, of_one
from server.web.visit import Visit, Wrong

SHOWN, MOST = 50, 500

CAME: Mapping[str, tuple[str, str]] = {
    "new": (N_("new"), "info"),
    "read": (N_("read"), "plain"),
    "handled": (N_("done"), "good"),
    "held": (N_("perhaps STOP"), "warn"),
    "aside": (N_("set aside"), "warn"),
}
BECAME: Mapping[str, tuple[str, str]] = {
    "held": (N_("waits for its time"), "plain"),
    "queued": (N_("waits to leave"), "plain"),
    "sending": (N_("is leaving"), "plain"),
    "sent": (N_("on its way"), "info"),
    "delivered": (N_("arrived"), "good"),
    "undelivered": (N_("did not arrive"), "bad"),
    "expired": (N_("too late"), "bad"),
    "rejected": (N_("rejected"), "bad"),
    "failed": (N_("could not leave"), "bad"),
    "refused": (N_("not permitted"), "bad"),
    "cancelled": (N_("taken back"), "plain"),
    "unknown": (N_("nobody knows"), "warn"),
}
STEPS: Mapping[str, str] = {
    "written": N_("written"),
    "handed over": N_("handed to the carrier"),
    "accepted": N_("taken by the network"),
    "settled": N_("settled by a person"),
}
CLASSES: Mapping[str, str] = {
    "conversation": N_("Part of a conversation"),
    "transactional": N_("About an order or an appointment"),
    "marketing": N_("Advertising"),
}
WAITING = ("held", "queued")
LISTS: Mapping[str, str] = {"talks": "inbox.conversations", "in": "inbox.show", "sent": "sms.list"}


async def texts(visit: Visit) -> web.StreamResponse:
    return visit.page("texts.html", boxes=await visit.call("inbox.list"), login=visit.person.login)


async def box(visit: Visit) -> web.StreamResponse:
    return await _box(visit)


async def box_in_clear(visit: Visit) -> web.StreamResponse:
    """The same list with numbers in clear, with a reason."""
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _box(visit, visit.given.get("show", ""), visit.given["reason"], visit.given.get("case"))


async def _box(
    visit: Visit, show: str = "", reason: str | None = None, case: str | None = None, **more: Any
) -> web.StreamResponse:
    found = await _found(visit)
    tabs = _tabs(visit, found)
    show = show or visit.given.get("show") or visit.query("show") or next(iter(tabs))
    if show not in tabs:
        raise Failure("there is no such page", "Go to your texts", "not_found")
    limit = MOST if visit.query("all") else SHOWN
    name, said = found["name"], {"reason": reason, "case": case}
    rows: list[dict[str, Any]] = []
    if show in LISTS:
        try:
            rows = await visit.call(LISTS[show], inbox=name, limit=limit, **said)
        except Failure as failure:
            if failure.code != "denied":
                raise
            more["keyless"] = True  # the right alone opens nothing
    return visit.page(
        "texts_box.html",
        **{
            "box": found,
            "tabs": tabs,
            "show": show,
            "rows": rows,
            "reason": reason or "",
            "quote": None,
            "keyless": False,
            **more,
        },
        masked=any(DOT in row.get("remote", row.get("sender", "")) + row.get("to", "") for row in rows),
        more_of_them=len(rows) == limit < MOST,
        came=CAME,
        became=BECAME,
        classes=CLASSES,
        login=visit.person.login,
    )


async def _found(visit: Visit) -> dict[str, Any]:
    """Of those that this person may do something with. Raises Failure: as if it were not there."""
    name = visit.request.match_info["inbox"]
    for one in await visit.call("inbox.list"):
        if one["name"] == name:
            found: dict[str, Any] = one
            return found
    raise none_such(name)


def _tabs(visit: Visit, found: Mapping[str, Any]) -> dict[str, str]:
    """What this person may do with it, by name."""
    login, tabs = visit.person.login, dict[str, str]()
    if login in found["reads"]:
        tabs |= {"talks": N_("Conversations"), "in": N_("Came in")}
    if login in found["sees_sent"]:
        tabs["sent"] = N_("Sent")
    if login in found["sends"]:
        tabs |= {"write": N_("Write"), "away": N_("Away")}
    return tabs or {"none": N_("Nothing")}


# --- writing ----------------------------------------------------------------------------------------------------------


async def write(visit: Visit) -> web.StreamResponse:
    """Looked at first: how many parts, what it costs. Sent when that was seen."""
    given, name = visit.given, visit.request.match_info["inbox"]
    for field, what in (("to", N_("Say to whom.")), ("words", N_("Write something."))):
        if not given.get(field):
            raise Wrong(field, what)
    arguments: dict[str, Any] = {
        "inbox": name,
        "to": given["to"],
        "words": given["words"],
        "message_class": given.get("message_class", "conversation"),
        "sender": given.get("sender") or None,
    }
    sent = given.get("step") == "send"
    quote = await visit.call("sms.send", **arguments, dry_run=not sent)
    if not sent:
        return await _box(visit, "write", quote=quote)
    return visit.go(
        f"/texts/{name}?show=write", visit._(N_("It leaves now. What becomes of it stands among the sent ones."))
    )


async def write_again(visit: Visit) -> web.StreamResponse:
    return await _box(visit, "write")


async def away(visit: Visit) -> web.StreamResponse:
    name, words, until = visit.request.match_info["inbox"], visit.given.get("words", ""), visit.given.get("until", "")
    if visit.given.get("off"):
        words = ""
    elif not words:
        raise Wrong("words", N_("Write what they are to be told."))
    await visit.call("inbox.away", inbox=name, words=words or None, until=until or None)
    said = N_("Whoever writes is answered so, once a day.") if words else N_("Nothing is answered by itself any more.")
    return visit.go(f"/texts/{name}?show=away", visit._(said))


async def away_again(visit: Visit) -> web.StreamResponse:
    return await _box(visit, "away")


# --- what came in -----------------------------------------------------------------------------------------------------


async def handled(visit: Visit) -> web.StreamResponse:
    await visit.call("inbox.handled", text=visit.request.match_info["text"])
    return _back(visit, "in", N_("It is done."))


async def decide(visit: Visit) -> web.StreamResponse:
    """Somebody has read it, and says whether it meant STOP."""
    stop = visit.given.get("is") == "stop"
    await visit.call("inbox.decide", text=visit.request.match_info["text"], is_="stop" if stop else "no-stop")
    said = N_("They get no more advertising.") if stop else N_("It was no STOP.")
    return _back(visit, "in", said)


async def in_again(visit: Visit) -> web.StreamResponse:
    return await _box(visit, "in")


async def talk(visit: Visit) -> web.StreamResponse:
    """Handed to somebody else who reads that inbox, to nobody, or closed."""
    given, conversation = visit.given, visit.request.match_info["conversation"]
    if given.get("close"):
        await visit.call("inbox.hand-over", conversation=conversation, close=True)
        return _back(visit, "talks", N_("The conversation is closed."))
    await visit.call("inbox.hand-over", conversation=conversation, to=given.get("to") or None)
    return _back(visit, "talks", N_("The conversation is handed over."))


# --- a conversation with its words -----------------------------------------------------------------------------------


def _which(visit: Visit) -> dict[str, Any]:
    return {"inbox": visit.request.match_info["inbox"], "conversation": visit.request.match_info["conversation"]}


async def conversation(visit: Visit) -> web.StreamResponse:
    """Its words where the room is open, and how to open it where not."""
    apart = visit.query("apart") == "yes"
    here: dict[str, Any] = {
        "inbox": visit.request.match_info["inbox"],
        "talk": visit.request.match_info["conversation"],
        "apart": apart,
    }
    here |= {"came": CAME, "became": BECAME}
    if not await portal_texts.may_open(visit.services, visit.person, workstation=visit.source, **_which(visit)):
        room = visit.services.reader_rooms.of(visit.person.session_id, visit.now)
        return visit.page("texts_unlock.html", room=room is not None, **here)
    found = await portal_texts.thread(
        visit.services, visit.person, workstation=visit.source, apart=apart, **_which(visit)
    )
    return visit.page("texts_thread.html", thread=found, **here)


def _there(visit: Visit) -> str:
    found = _which(visit)
    return f"/texts/{found['inbox']}/conversation/{found['conversation']}"


async def unlock(visit: Visit) -> web.StreamResponse:
    await portal_texts.may_open(visit.services, visit.person, workstation=visit.source, **_which(visit))
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    await portal_texts.unlock(
        visit.services,
        visit.person,
        workstation=visit.source,
        passphrase=visit.given.get("password", ""),
        code=visit.given.get("code", ""),
        reason=visit.given["reason"],
    )
    # An answer that met the locked room stands in its place again: nothing of it is kept anywhere else.
    return await conversation(visit) if visit.given.get("words") else visit.go(_there(visit))


async def lock(visit: Visit) -> web.StreamResponse:
    await portal_listening.lock(visit.services, visit.person)
    return visit.go(f"/texts/{visit.request.match_info['inbox']}?show=talks", visit._(N_("The words are locked.")))


async def reply(visit: Visit) -> web.StreamResponse:
    """To whom the conversation is with."""
    if not visit.given.get("words"):
        raise Wrong("words", N_("Write something."))
    await portal_texts.reply(
        visit.services, visit.person, workstation=visit.source, words=visit.given["words"], **_which(visit)
    )
    return visit.go(_there(visit) + "#end")


async def marker(visit: Visit, *, of: str) -> str:
    found = await portal_texts.marker(visit.services, visit.person, conversation=of)
    return visit.part("texts_marker.html", marker=found)


async def talks_again(visit: Visit) -> web.StreamResponse:
    return await _box(visit, "talks")


# --- what was sent ----------------------------------------------------------------------------------------------------


async def sent(visit: Visit) -> web.StreamResponse:
    return await _sent(visit)


async def sent_in_clear(visit: Visit) -> web.StreamResponse:
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _sent(visit, visit.given["reason"], visit.given.get("case"))


async def _sent(visit: Visit, reason: str | None = None, case: str | None = None) -> web.StreamResponse:
    found = await visit.call("sms.show", text=visit.request.match_info["text"], reason=reason, case=case)
    text = found["text"]
    if text["inbox"] != visit.request.match_info["inbox"]:
        raise Failure("there is no such text", "Go to your texts", "not_found")
    return visit.page(
        "text.html",
        text=text,
        history=found["history"],
        masked=DOT in text["to"],
        waits=text["state"] in WAITING,
        became=BECAME,
        steps=STEPS,
        classes=CLASSES,
    )


async def cancel(visit: Visit) -> web.StreamResponse:
    await visit.call("sms.cancel", text=visit.request.match_info["text"])
    return _back(visit, "sent", N_("It does not leave."))


async def settle(visit: Visit) -> web.StreamResponse:
    """Somebody has found out what became of a text of which nobody knew."""
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say how you know."))
    became = visit.given.get("became", "")
    await visit.call("sms.settle", text=visit.request.match_info["text"], became=became, reason=visit.given["reason"])
    return _back(visit, "sent", N_("It stands so from now on."))


def _back(visit: Visit, show: str, said: str) -> web.StreamResponse:
    return visit.go(f"/texts/{visit.request.match_info['inbox']}?show={show}", visit._(said))


_TALK = "/texts/{inbox}/conversation/{conversation:[0-9a-f]{32}}"
_BOX, _TEXT = "/texts/{inbox}", "/texts/{inbox}/sent/{text}"
ROUTES = (
    Route(
        "GET",
        "/texts",
        texts,
        "texts.use",
        Menu("mine", N_("Texts"), 20, N_("What came in and what was sent, and writing.")),
    ),
    Route("GET", _BOX, box, "texts.use"),
    Route("POST", _BOX, box_in_clear, "texts.use", again=box),
    Route("POST", _BOX + "/write", write, "texts.use", again=write_again),
    Route("POST", _BOX + "/away", away, "texts.use", again=away_again),
    Route("POST", _BOX + "/in/{text}/done", handled, "texts.use", again=in_again),
    Route("POST", _BOX + "/in/{text}/decide", decide, "texts.use", again=in_again),
    Route("POST", _BOX + "/conversation/{conversation}", talk, "texts.use", again=talks_again),
    Route("GET", _TALK, conversation, "texts.use"),
    Route("POST", _TALK + "/unlock", unlock, "texts.use", again=conversation),
    Route("POST", _TALK + "/lock", lock, "texts.use"),
    Route("POST", _TALK + "/reply", reply, "texts.use", again=conversation),
    Route("GET", _TEXT, sent, "texts.use"),
    Route("POST", _TEXT, sent_in_clear, "texts.use", again=sent),
    Route("POST", _TEXT + "/cancel", cancel, "texts.use", again=sent),
    Route("POST", _TEXT + "/settle", settle, "texts.use", again=sent),
)
TOPICS = (Topic("texts-marker", of_one, "texts.use", every_s=1.0, render_of=marker),)
