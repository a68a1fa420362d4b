"""Texts to many: written, given a list, simulated, approved by somebody else, started, watched, stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from config import contact_rules
from server.failure import Failure
from server.services import campaign_uploads
from server.services.campaign_uploads import HeldList
from server.services.contact_times import moment
from server.services.work import Job
from server.web.language import N_
from server.web.routes import Menu, Route, Topic, of_one
from server.web.visit import Visit, Wrong
from sms.list_check import SAME

SHOWN, MOST = 25, 500
WATCHED = 10  # campaigns of the list whose figures are drawn
EVERY_S = 3.0
AGAIN_S = 2
PREVIEWED = 3

_CUT_OFF = N_("Where its list was cut off while it was written, it cannot go on: cancel it, and make another one.")
STATES: Mapping[str, tuple[str, str, str]] = {
    "draft": (N_("Draft"), "plain", N_("Its words and its list can be changed.")),
    "importing": (N_("List is written"), "info", _CUT_OFF),
    "checked": (N_("Simulated"), "info", N_("Somebody has seen what it would do.")),
    "waiting": (N_("Waits for approval"), "warn", N_("Somebody who has not worked on it approves it.")),
    "approved": (N_("Approved"), "info", N_("Nothing of it changes any more. It can be started.")),
    "running": (N_("Runs"), "good", N_("It goes out to one after the other.")),
    "paused": (N_("Paused"), "warn", N_("Nobody else gets it until somebody lets it go on.")),
    "done": (N_("Ended"), "good", N_("Everybody had their turn.")),
    "cancelled": (N_("Cancelled"), "bad", N_("Nobody else gets it.")),
}  # fmt: skip
WHYS: Mapping[str, str] = {
    "altered": N_("It was paused: what was approved is not what lies here now. Tell the security officer."),
    "fault": N_("It was paused: something went wrong while it ran."),
    "sender": N_("It was paused: its sender is no longer approved."),
    "over": N_("Its time was over."),
}
STEPS: Sequence[str] = (N_("Words"), N_("List"), N_("Simulation"), N_("Approval"), N_("Launch"), N_("Sending"))
REACHED: Mapping[str, int] = {
    "importing": 1, "checked": 3, "waiting": 3, "approved": 4, "running": 5, "paused": 5, "done": 6,
}  # fmt: skip
CLASSES: Mapping[str, tuple[str, str]] = {
    "marketing": (N_("Advertising"), N_("Only to whoever has agreed; who sends it and how to stop it are added.")),
    "transactional": (N_("About an order or an appointment"), N_("Holds no advertising. Nothing is added.")),
}
TARGETS: Mapping[str, str] = {
    "ask": N_("Consumers, but for numbers that are known as professionals’"),
    "consumer": N_("Consumers"),
    "professional": N_("Professionals"),
}
GROUNDS: Mapping[str, str] = {
    "suppressed": N_("They have objected"),
    "no_consent": N_("No consent of theirs is known"),
    "refused": N_("They have refused or withdrawn"),
    "hours": N_("Not at this hour, or not on this day"),
    "attempts": N_("Contacted too often lately"),
    "sector": N_("The law forbids it for this purpose"),
    "caller": N_("This sender may not be shown to them"),
    "no_rule": N_("No rule of their country is known"),
    "template": N_("A field of the words has no value, or too long a one"),
    "too long": N_("The text would take too many parts"),
    "over": N_("The campaign ends before their turn"),
}
FATES: Mapping[str, tuple[str, str]] = {
    "waiting": (N_("waits for its turn"), "plain"),
    "later": (N_("later"), "info"),
    "taken": (N_("was sent"), "good"),
    "refused": (N_("gets nothing"), "warn"),
    "cancelled": (N_("no longer sent"), "plain"),
}
PARTS_OF: Sequence[tuple[str, str, str]] = (
    ("delivered", "good", N_("have it")),
    ("going", "info", N_("on their way")),
    ("failed", "bad", N_("did not get it")),
    ("unknown", "warn", N_("in doubt")),
    ("refused", "none", N_("get nothing")),
    ("cancelled", "gone", N_("no longer get it")),
    ("later", "later", N_("get it later")),
    ("waiting", "track", N_("still wait")),
)
ACTS: Mapping[str, str] = {
    "submit": N_("It waits for somebody else to approve it."),
    "approve": N_("It is approved. Nothing of it changes any more."),
    "start": N_("It has begun."),
    "pause": N_("It is held. What is queued already goes out."),
    "resume": N_("It goes on."),
    "cancel": N_("It is cancelled. Nobody else gets it."),
}
_FROM = N_("%(address)s, replies to %(inbox)s")


# --- the list of them ---------------------------------------------------------------------------------------------


async def every(visit: Visit) -> web.StreamResponse:
    state = visit.query("state")
    if state and state not in STATES:
        raise Failure("there is no such page", "Go to your campaigns", "not_found")
    limit = MOST if visit.query("all") else SHOWN
    found = await visit.call("campaign.list", state=state or None, limit=limit)
    watched = [one["name"] for one in found if one["state"] in ("running", "paused", "done")][:WATCHED]
    figures = {name: await visit.call("campaign.stats", name=name) for name in watched}
    return visit.page(
        "campaigns.html",
        campaigns=found,
        pictures={name: pieces(one) for name, one in figures.items()},
        figures=figures,
        state=state,
        more=len(found) == limit < MOST,
        **_words(visit),
    )


def _words(visit: Visit) -> dict[str, Any]:
    return {
        "states": STATES,
        "steps": STEPS,
        "reached": reached,
        "classes": CLASSES,
        "targets": TARGETS,
        "grounds": GROUNDS,
        "whys": WHYS,
        "sectors": _sectors(visit),
    }


def _sectors(visit: Visit) -> dict[str, str]:
    return {name: words[visit.language] for name, words in sorted(contact_rules.load().sectors.items())}


def reached(one: Mapping[str, Any]) -> int:
    """How many of STEPS are behind it."""
    if one["state"] == "draft":
        return 2 if one["recipients"] else 1
    return REACHED.get(one["state"], 0)


def pieces(stats: Mapping[str, Any]) -> list[tuple[str, str, str, int]]:
    """Of the whole list what became of it: name, paint, words (English), how many."""
    told = {name: int(stats[name]) for name, _, _ in PARTS_OF if name != "going"}
    told["going"] = max(0, stats["recipients"] - sum(told.values()))
    return [(name, paint, words, told[name]) for name, paint, words in PARTS_OF if told[name]]


# --- a new one ----------------------------------------------------------------------------------------------------


async def _senders(visit: Visit) -> list[tuple[str, str]]:
    """Inbox and address together: replies come to the inbox."""
    if not visit.may("texts.use"):
        return []
    boxes = [one for one in await visit.call("inbox.list") if not one["disabled_at"]]
    return [
        (f"{box['name']}|{address}", visit._(_FROM, address=address, inbox=box["name"]))
        for box in boxes
        if visit.person.login in box["sends"]
        for address in box["senders"]
    ]  # fmt: skip


async def form(visit: Visit) -> web.StreamResponse:
    return await _form(visit)


async def _form(visit: Visit, measured: Any = None) -> web.StreamResponse:
    return visit.page(
        "campaigns_new.html",
        senders=await _senders(visit),
        measured=measured,
        transliterates=visit.services.settings.sms.transliterate,
        **_words(visit),
    )


async def add(visit: Visit) -> web.StreamResponse:
    """Looked at first where somebody wants that: what is added, and how many parts."""
    given = visit.given
    inbox, sender = _chosen(given.get("from", ""))
    if not given.get("template"):
        raise Wrong("template", N_("Write something."))
    if given.get("step") == "look":
        return await _form(visit, await _measured(visit, given))
    if not given.get("name"):
        raise Wrong("name", N_("Give it a name."))
    made = await visit.call(
        "campaign.add",
        name=given["name"],
        inbox=inbox,
        sender=sender,
        template=_text(given["template"]),
        message_class=given.get("message_class", ""),
        sector=given.get("sector", ""),
        target=given.get("target", ""),
        language=given.get("language") or None,
        per_minute=_pace(given.get("per_minute", "")),
        starts_at=_moment(visit, "starts_at"),
        ends_at=_moment(visit, "ends_at"),
        transliterated=given.get("transliterated") == "yes",
    )
    return visit.go(f"/campaigns/{made['name']}", visit._(N_("It is written down. Now give it its list.")))


def _chosen(text: str) -> tuple[str, str | None]:
    inbox, apart, sender = text.partition("|")
    if not apart:
        raise Wrong("from", N_("Choose from which address."))
    return inbox, sender


def _text(text: str) -> str:
    return text.replace("\r\n", "\n")


def _pace(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise Wrong("per_minute", N_("Write a number, such as 60."))
    return int(text)


def _moment(visit: Visit, name: str) -> str | None:
    """What the browser's clock says, in the zone of the person."""
    text = visit.given.get(name, "")
    if not text:
        return None
    try:
        return moment(text, visit.zone).isoformat()
    except Failure:
        raise Wrong(name, N_("Write day and hour, such as 2026-12-01T09:00.")) from None


async def _measured(visit: Visit, given: Mapping[str, Any]) -> Any:
    inbox, sender = _chosen(str(given.get("from", "")))
    return await visit.call(
        "campaign.measure",
        inbox=inbox,
        sender=sender,
        template=_text(str(given.get("template", ""))),
        message_class=str(given.get("message_class", "")),
        language=str(given.get("language", "")) or None,
        transliterated=given.get("transliterated") == "yes",
    )


async def measure(visit: Visit) -> web.StreamResponse:
    """The same as somebody types."""
    sent = visit.sent
    if not isinstance(sent, dict):
        raise Failure("that is not what a page sends", "Send the form of the page", "invalid")
    return web.json_response({"html": visit.part("campaigns_measured.html", measured=await _measured(visit, sent))})


# --- one of them --------------------------------------------------------------------------------------------------


async def one(visit: Visit) -> web.StreamResponse:
    return await _one(visit)


async def one_in_clear(visit: Visit) -> web.StreamResponse:
    """With what the list says of persons, and a reason."""
    if not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _one(visit, visit.given["reason"], visit.given.get("case"))


async def _one(visit: Visit, reason: str | None = None, case: str | None = None) -> web.StreamResponse:
    name = visit.request.match_info["name"]
    campaign = await visit.call("campaign.show", name=name)
    previews: list[dict[str, Any]] = []
    unread = None
    may = campaign["may"]
    if "read" in may and campaign["recipients"] and campaign["state"] != "importing":
        try:
            previews = await visit.call("campaign.preview", name=name, lines=PREVIEWED, reason=reason, case=case)
        except Failure as failure:
            if failure.code not in ("invalid", "conflict"):
                raise
            unread = failure
    stats = await visit.call("campaign.stats", name=name)
    return visit.page(
        "campaigns_one.html",
        campaign=campaign,
        stats=stats,
        pieces=pieces(stats),
        previews=previews,
        unread=unread,
        reason=reason or "",
        reads="read" in may,
        writes="change" in may,
        stops="stop" in may,
        wrote=campaign["created_by"] == visit.person.person_id,
        simulations=[job for job in visit.services.work.all(visit.now) if job.about == _simulating(name)],
        most_rows=campaign_uploads.MOST_ROWS,
        **_words(visit),
    )


async def progress(visit: Visit, *, of: str) -> str:
    """The region that is kept up to date."""
    stats = await visit.call("campaign.stats", name=of)
    return visit.part("campaigns_progress.html", stats=stats, pieces=pieces(stats), **_words(visit))


async def edit(visit: Visit) -> web.StreamResponse:
    name, given = visit.request.match_info["name"], visit.given
    if not given.get("template"):
        raise Wrong("template", N_("Write something."))
    await visit.call(
        "campaign.edit",
        name=name,
        template=_text(given["template"]),
        transliterated=given.get("transliterated") == "yes",
    )
    return visit.go(f"/campaigns/{name}", visit._(N_("It has other words, and is a draft again.")))


async def act(visit: Visit) -> web.StreamResponse:
    name, what = visit.request.match_info["name"], visit.given.get("act", "")
    if what not in ACTS:
        raise Failure("that cannot be done to it", "Choose one of the buttons", "invalid")
    done = await visit.call(f"campaign.{what}", name=name)
    said = "approve" if what == "submit" and done["state"] == "approved" else what
    return visit.go(f"/campaigns/{name}", visit._(ACTS[said]))


async def test(visit: Visit) -> web.StreamResponse:
    name, to = visit.request.match_info["name"], visit.given.get("to", "")
    if not to:
        raise Wrong("to", N_("Say to whom."))
    quote = await visit.call("campaign.test", name=name, to=to)
    said = visit.plural("It leaves now, in %(num)d part.", "It leaves now, in %(num)d parts.", quote["parts"])
    return visit.go(f"/campaigns/{name}", said)


async def lines(visit: Visit) -> web.StreamResponse:
    """What became of each line of the list; no number."""
    name, state = visit.request.match_info["name"], visit.query("state")
    if state and state not in FATES:
        raise Failure("there is no such page", "Go to your campaigns", "not_found")
    limit = 1000 if visit.query("all") else 100
    found = await visit.call("campaign.lines", name=name, state=state or None, limit=limit)
    return visit.page(
        "campaigns_lines.html",
        name=name,
        rows=found,
        state=state,
        fates=FATES,
        more=len(found) == limit < 1000,
        grounds=GROUNDS,
    )


# --- its list -----------------------------------------------------------------------------------------------------


async def send_list(visit: Visit) -> web.StreamResponse:
    """A file is read and looked through; nothing of it is written yet."""
    name, file = visit.request.match_info["name"], visit.files.get("file")
    if file is None or not file.body:
        raise Wrong("file", N_("Choose a file."))
    await visit.call("campaign.look", name=name, numbers=[])  # may they?
    try:
        sheet = await campaign_uploads.read(file.body, visit.given.get("column") or None)
    except Failure as failure:
        raise Wrong("file", failure.what, failure.remedy) from None
    held = visit.services.lists.put(name, visit.person.person_id, sheet)

    job = visit.begin_steps(_looking(held), lambda call: campaign_uploads.look_through(held, call))
    return visit.go(_shown(held, job.id))


def _looking(held: HeldList) -> str:
    return f"campaign.look {held.id}"


def _writing(held: HeldList) -> str:
    return f"campaign.write {held.id}"


def _shown(held: HeldList, job_id: str) -> str:
    return f"/campaigns/{held.campaign}/list/{held.id}?job={job_id}"


def _held(visit: Visit) -> HeldList:
    match = visit.request.match_info
    return visit.services.lists.get(match["list"], match["name"], visit.person.person_id)


async def shown_list(visit: Visit) -> web.StreamResponse:
    """What was understood of it, before it is taken; and how far it is once somebody has taken it."""
    held = _held(visit)
    job = visit.services.work.get(held.writing or visit.query("job") or visit.given.get("job", ""))
    if job.about not in (_looking(held), _writing(held)):
        raise Failure("that is not there any more", "Begin it again", "not_found")
    is_written = job.about == _writing(held)
    if job.ended_at is None:
        label = N_("Lines written") if is_written else N_("Lines looked through")
        return _under_way(visit, job, label, f"/campaigns/{held.campaign}", str(visit.request.rel_url))
    if job.failure is not None:
        raise Failure(job.failure.what, job.failure.remedy, job.failure.code)
    if is_written:
        visit.services.lists.drop(held.id)
        return visit.go(f"/campaigns/{held.campaign}", visit._(N_("The list is taken. Now simulate it.")))
    errors = held.errors
    return visit.page(
        "campaigns_list.html",
        held=held,
        job=job,
        usable=held.check.usable,
        errors=[(one, _problem(visit, one.problem)) for one in errors[: campaign_uploads.MOST_ERRORS]],
        wrong=len(errors),
        first=held.sheet.entries[:5],
        minutes=int(campaign_uploads.KEPT_S // 60),
    )


def _problem(visit: Visit, text: str) -> str:
    if text.startswith(SAME):
        return visit._(N_("the same number as in line %(line)s"), line=text.removeprefix(SAME).strip())
    return visit._(text)


async def take(visit: Visit) -> web.StreamResponse:
    """Whoever asks twice is shown how far it is."""
    held = _held(visit)
    if not held.writing:
        try:
            held.require_usable(skip=visit.given.get("skip") == "yes")
        except Failure as failure:
            raise (Wrong("skip", failure.remedy) if failure.code == "invalid" else failure) from None
        held.writing = visit.begin_steps(_writing(held), lambda call: campaign_uploads.take(held, call)).id
    return visit.go(_shown(held, held.writing))


async def leave(visit: Visit) -> web.StreamResponse:
    held = _held(visit)
    if held.writing:
        return visit.go(_shown(held, held.writing))
    visit.services.lists.drop(held.id)
    return visit.go(f"/campaigns/{held.campaign}", visit._(N_("The list is forgotten. Nothing of it was written.")))


def _under_way(visit: Visit, job: Job, label: str, back: str, again: str) -> web.StreamResponse:
    return visit.page("campaigns_working.html", job=job, label=label, back=back, again=again, again_s=AGAIN_S)


# --- what it would do ---------------------------------------------------------------------------------------------


def _simulating(name: str) -> str:
    return f"campaign.simulate {name}"


async def simulate(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["name"]
    await visit.call("campaign.show", name=name)  # is it there?
    job = await visit.begin("campaign.simulate", _simulating(name), name=name)
    return visit.go(f"/campaigns/{name}/simulation/{job.id}")


async def simulation(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["name"]
    campaign = await visit.call("campaign.show", name=name)
    job = visit.services.work.get(visit.request.match_info["job"])
    if job.about != _simulating(name):
        raise Failure("that is not there any more", "Begin it again", "not_found")
    if job.ended_at is None:
        return _under_way(visit, job, N_("Lines looked at"), f"/campaigns/{name}", visit.request.path)
    if job.failure is not None:
        raise Failure(job.failure.what, job.failure.remedy, job.failure.code)
    said: Mapping[str, Any] = job.result
    shares = [
        ("at_once", "good", N_("get it at once"), said["at_once"]),
        ("later", "later", N_("get it later"), said["later"]),
        ("never", "none", N_("get nothing"), said["never"]),
    ]
    return visit.page(
        "campaigns_simulated.html",
        campaign=campaign,
        said=said,
        pieces=[one for one in shares if one[3]],
        rows=said["lines"][:100],
        **_words(visit),
    )


_ONE = "/campaigns/{name:[a-z0-9-]+}"
_LIST = _ONE + "/list/{list:[0-9a-f]+}"
ROUTES = (
    Route(
        "GET",
        "/campaigns",
        every,
        "campaigns.use",
        Menu("work", N_("Campaigns"), 30, N_("Texts to many: to whom, with what permission, and what became of them.")),
    ),
    # A campaign's name has no underscore in it.
    Route("GET", "/campaigns/_new", form, "campaigns.use"),
    Route("POST", "/campaigns/_new", add, "campaigns.use", again=form),
    Route("POST", "/campaigns/_measure", measure, "campaigns.use"),
    Route("GET", _ONE, one, "campaigns.use"),
    Route("POST", _ONE, one_in_clear, "campaigns.use", again=one),
    Route("POST", _ONE + "/words", edit, "campaigns.use", again=one),
    Route("POST", _ONE + "/act", act, "campaigns.use", again=one),
    Route("POST", _ONE + "/test", test, "campaigns.use", again=one),
    Route("GET", _ONE + "/lines", lines, "campaigns.use"),
    Route("POST", _ONE + "/list", send_list, "campaigns.use", again=one, body_max=campaign_uploads.MOST_BYTES),
    Route("GET", _LIST, shown_list, "campaigns.use"),
    Route("POST", _LIST + "/take", take, "campaigns.use", again=shown_list),
    Route("POST", _LIST + "/leave", leave, "campaigns.use"),
    Route("POST", _ONE + "/simulation", simulate, "campaigns.use", again=one),
    Route("GET", _ONE + "/simulation/{job}", simulation, "campaigns.use"),
)
TOPICS = (Topic("campaign", of_one, "campaigns.use", every_s=EVERY_S, render_of=progress),)
