"""What people have said no to, and one person's case: what is known of a number, an objection, an erasure.

The number stands in no address: a case is begun with a form, and found again by an id (server.services.subject_cases).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from server.failure import Failure
from server.services.actor import is_reason
from server.services.phone_numbers import e164
from server.services.subject_cases import SubjectCase
from server.services.work import Job
from server.web import kept
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

ABOUT = "retention.erase"
_LISTED, _AGAIN_S, _MOST = 20, 2, 1000
CHANNELS: Mapping[str, str] = {
    "all": N_("Calls and texts"),
    "voice": N_("Calls"),
    "sms": N_("Texts"),
    "recording": N_("To be recorded"),
}
REASONS: Mapping[str, str] = {
    "objection": N_("They object (GDPR Art. 21)"),
    "refusal": N_("They refused in a call"),
    "order": N_("An authority orders it"),
    "withdrawal": N_("They withdrew a consent"),
    "import": N_("From an imported list"),
}
SOURCES: Mapping[str, str] = {
    "letter": N_("By letter"),
    "email": N_("By e-mail"),
    "call": N_("In a call"),
    "sms": N_("By text"),
    "link": N_("By a link"),
    "cli": N_("Entered by hand"),
    "import": N_("Imported"),
}
BY: Mapping[str, str] = {
    "letter": N_("By letter"),
    "email": N_("By e-mail"),
    "agent": N_("Told to a colleague"),
    "sms": N_("By text"),
    "link": N_("By a link"),
}
CAUSES: Mapping[str, str] = {
    "objection": N_("An objection during the call"),
    "withdrawal": N_("A consent was withdrawn"),
    "request": N_("They asked for erasure (GDPR Art. 17)"),
}
OBJECTS: Mapping[str, str] = {
    "recording": N_("Recordings"),
    "call": N_("Call records"),
    "diagnosis": N_("Reports on calls"),
    "contact": N_("Attempts to call"),
    "text": N_("Texts"),
    "conversation": N_("Conversations"),
    "recipient": N_("Places on lists of campaigns"),
}
KINDS: Mapping[str, str] = {
    "suppression": N_("Objections"),
    "campaign_recipient": N_("Places on lists of campaigns"),
}
ANSWERS: Mapping[str, tuple[str, str]] = {
    "erase": (N_("Goes"), "bad"),
    "decide": (N_("To be decided"), "warn"),
    "wait": (N_("In use: ask again"), "warn"),
    "keep": (N_("Stays"), "plain"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "given": (N_("Counts"), "good"),
    "expired": (N_("Expired"), "plain"),
    "withdrawn": (N_("Withdrawn"), "warn"),
}
_WORDS: Mapping[str, Any] = {
    "channels": CHANNELS,
    "reasons": REASONS,
    "sources": SOURCES,
    "causes": CAUSES,
    "objects": OBJECTS,
    "states": STATES,
    "answers": ANSWERS,
    "ways": BY,
}
_HELD = re.compile(r"legal hold ([0-9a-f]{32})")
_MINIMUM = re.compile(r"minimum period of \S+ until (\d{4}-\d\d-\d\d)\S*")
_COMMAND = re.compile(r": beffroi [a-z -]+$")


def _kind(visit: Visit, name: str) -> str:
    return visit._(KINDS[name]) if name in KINDS else kept.kind(visit, name)


def _rule(visit: Visit, text: str) -> str:
    """Why something is kept, in words of the visitor's; commands are for who types them."""
    return "; ".join(_said(visit, part) for part in text.split("; "))


def _said(visit: Visit, part: str) -> str:
    if _HELD.search(part):
        return visit._("a legal hold lies on it")
    if found := _MINIMUM.search(part):
        return visit._("a minimum period runs until %(day)s", day=visit.times.day(found[1]))
    return visit._(_COMMAND.sub("", part))


# --- what there is ----------------------------------------------------------------------------------------------------


async def every(visit: Visit) -> web.StreamResponse:
    listed = await visit.call("contact.suppress.list", limit=_LISTED) if visit.may("contacts.read") else None
    destroyed = None
    if visit.may("ledger.read"):
        destroyed = await visit.call("retention.objections", before=visit.place("before"))
    contacts = next((one.path for one in visit.site.routes if one.path == "/contacts"), "")
    return visit.page("objections.html", listed=listed, destroyed=destroyed, contacts=contacts, **_WORDS)


# --- one case ---------------------------------------------------------------------------------------------------------


async def begin(visit: Visit) -> web.StreamResponse:
    given = visit.given
    if not given.get("number"):
        raise Wrong("number", N_("Give the number of the person who asks."))
    if not is_reason(given.get("reason")):
        raise Wrong("reason", N_("Say why, in a few words."))
    try:
        number = e164(visit.services.settings, given["number"])
    except Failure as failure:
        raise Wrong("number", failure.what, failure.remedy) from None
    case = given.get("case") or None
    made = visit.services.subject_cases.begin(visit.person.person_id, number, given["reason"], case, visit.now)
    return visit.go(f"/objections/cases/{made.id}")


def _case(visit: Visit) -> SubjectCase:
    return visit.services.subject_cases.get(visit.request.match_info["id"], visit.person.person_id, visit.now)


async def _ask(visit: Visit, case: SubjectCase, operation: str, **given: object) -> Any:
    return await visit.call(operation, reason=case.reason, case=case.case, **given)


async def one(visit: Visit) -> web.StreamResponse:
    """What somebody has said yes and no to. What is kept of them is looked up when it is asked for: it may be much."""
    return await _shown(visit, _case(visit), None)


async def kept_of(visit: Visit) -> web.StreamResponse:
    """The case with what is kept, for whoever may erase; the second proof first."""
    visit.require_fresh()
    case = _case(visit)
    return await _shown(visit, case, await _foreseen(visit, case) if case.case else None)


async def _shown(visit: Visit, case: SubjectCase, found: Mapping[str, Any] | None) -> web.StreamResponse:
    listed = await _ask(visit, case, "contact.suppress.list", number=case.number, limit=_MOST)
    texts = await _ask(visit, case, "optout.check", number=case.number)
    return visit.page(
        "objections_case.html",
        case=case,
        listed=listed,
        texts=texts,
        closed={one["channel"] for one in listed},
        consents=await _ask(visit, case, "contact.consent.list", number=case.number, limit=_MOST),
        contracts=await _ask(visit, case, "contact.contract.list", number=case.number, limit=_MOST),
        found=found,
        groups=_groups(visit, found["items"]) if found is not None else (),
        may_erase=visit.may(ABOUT),
        **_WORDS,
    )


async def _foreseen(visit: Visit, case: SubjectCase, *, weighed: bool = False) -> Any:
    return await _ask(visit, case, ABOUT, number=case.number, dry_run=True, no_overriding_ground=weighed)


def _groups(visit: Visit, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Things of one kind with one answer and one rule are one line: a number may have thousands of calls."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in items:
        rule = "" if item["answer"] == "erase" else _rule(visit, item["rule"])
        key = (item["answer"], item["kind"], item["pack"], item["article"], rule)
        line = found.setdefault(
            key,
            {
                **item,
                "rule": rule,
                "count": 0,
                "kind": _kind(visit, item["kind"]),
                "purpose": kept.purpose(visit, item["pack"].partition("@")[0]),
            },
        )
        line["count"] += 1
        line["expires_at"] = max(line["expires_at"], item["expires_at"])
    order = list(ANSWERS)
    return sorted(found.values(), key=lambda line: (order.index(line["answer"]), line["kind"]))


async def object_(visit: Visit) -> web.StreamResponse:
    case, given = _case(visit), visit.given
    said = {key: given.get(key, "") for key in ("channel", "reason_given", "source")}
    await _ask(visit, case, "contact.suppress.add", number=case.number, **said)
    return visit.go(f"/objections/cases/{case.id}", visit._("It is entered, and holds from now on."))


async def lift(visit: Visit) -> web.StreamResponse:
    case = _case(visit)
    reason = visit.given.get("reason", "")
    if not is_reason(reason):
        raise Wrong("reason", N_("Say why, in a few words."))
    await visit.call("contact.suppress.remove", what=visit.given.get("entry", ""), reason=reason, case=case.case)
    return visit.go(f"/objections/cases/{case.id}", visit._("It holds no more."))


async def withdraw(visit: Visit) -> web.StreamResponse:
    case = _case(visit)
    back = await _ask(visit, case, "contact.consent.withdraw", what=case.number, by=visit.given.get("by", ""))
    said = visit.plural("%(num)s consent is withdrawn.", "%(num)s consents are withdrawn.", len(back))
    return visit.go(f"/objections/cases/{case.id}", said)


# --- erasure ----------------------------------------------------------------------------------------------------------


async def preview(visit: Visit) -> web.StreamResponse:
    visit.require_fresh()
    case = _case(visit)
    if not case.case:
        raise Failure("an erasure belongs to a case", "Look the number up again, and name the case", "conflict")
    weighed = visit.query("weighed") == "yes"
    found = await _foreseen(visit, case, weighed=weighed)
    groups = _groups(visit, found["items"])
    return visit.page("objections_erase.html", case=case, found=found, groups=groups, weighed=weighed, **_WORDS)


async def erase(visit: Visit) -> web.StreamResponse:
    visit.require_fresh()
    case = _case(visit)
    if visit.given.get("seen") != "yes":
        raise Wrong("seen", N_("Say that you have looked at what goes."))
    weighed = visit.given.get("weighed") == "yes"
    job = await visit.begin(
        ABOUT, ABOUT, reason=case.reason, case=case.case, number=case.number, no_overriding_ground=weighed
    )
    return visit.go(f"/objections/erasures/{job.id}")


def _job(visit: Visit) -> Job:
    job = visit.services.work.get(visit.request.match_info["id"])
    if job.about != ABOUT or job.begun_by != visit.person.login:
        raise Failure("that is not there any more", "Begin it again", "not_found")
    return job


async def erasure(visit: Visit) -> web.StreamResponse:
    job = _job(visit)
    if job.ended_at is None:
        return visit.page("objections_erasing.html", job=job, again_s=_AGAIN_S)
    if job.failure is not None:
        raise Failure(job.failure.what, job.failure.remedy, job.failure.code)
    said = job.result
    groups = _groups(visit, [one for one in said["items"] if not one["gone"]])
    receipts = [{**one, "kind": _kind(visit, one["kind"])} for one in said["receipts"]]
    return visit.page("objections_erased.html", said=said, groups=groups, receipts=receipts, **_WORDS)


_LEDGER = frozenset({"ledger.read"})
ROUTES = (
    Route(
        "GET",
        "/objections",
        every,
        "contacts.read",
        Menu(
            "kept",
            N_("Objections and requests"),
            25,
            N_("What people have said no to, and what is known of one of them."),
        ),
        also=_LEDGER,
    ),
    Route("POST", "/objections", begin, "contacts.read", again=every),
    Route("GET", "/objections/cases/{id}", one, "contacts.read"),
    Route("GET", "/objections/cases/{id}/kept", kept_of, ABOUT),
    Route("POST", "/objections/cases/{id}/object", object_, "contacts.manage", again=one),
    Route("POST", "/objections/cases/{id}/lift", lift, "contacts.manage", again=one),
    Route("POST", "/objections/cases/{id}/withdraw", withdraw, "contacts.manage", again=one),
    Route("GET", "/objections/cases/{id}/erase", preview, ABOUT),
    Route("POST", "/objections/cases/{id}/erase", erase, ABOUT, again=preview),
    Route("GET", "/objections/erasures/{id}", erasure, ABOUT),
)
