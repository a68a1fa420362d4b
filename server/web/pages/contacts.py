"""Permission to contact: may they be called or texted now, who has agreed, with whom a contract runs, who objected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from config import contact_rules
from server.failure import Failure
from server.services import number_imports
from server.web.language import N_
from server.web.pages.campaigns import AGAIN_S, GROUNDS
from server.web.pages.system import opens
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

PAGE = 25

CHANNELS: Mapping[str, str] = {"voice": N_("phone calls"), "sms": N_("texts")}
SCOPES: Mapping[str, str] = {
    "all": N_("calls and texts"),
    "voice": N_("phone calls"),
    "sms": N_("texts"),
    "recording": N_("recording only"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "given": (N_("given"), "good"),
    "expired": (N_("run out"), "warn"),
    "withdrawn": (N_("withdrawn"), "bad"),
}
ACTS: Mapping[str, str] = {
    "checkbox": N_("Ticked a box"),
    "signature": N_("Signed"),
    "utterance": N_("Said so in a call"),
    "dtmf": N_("Pressed a key in a call"),
    "sms": N_("Wrote a text"),
    "email": N_("Wrote a mail"),
}
WAYS: Mapping[str, str] = {
    "agent": N_("Told one of us"),
    "letter": N_("By letter"),
    "email": N_("By mail"),
    "sms": N_("By text"),
    "utterance": N_("Said so in a call"),
    "dtmf": N_("Pressed a key in a call"),
    "link": N_("By a link"),
}
REASONS: Mapping[str, str] = {
    "objection": N_("They objected"),
    "refusal": N_("They refused"),
    "withdrawal": N_("They withdrew a consent"),
    "import": N_("A list that was brought in"),
    "order": N_("An authority ordered it"),
}
SOURCES: Mapping[str, str] = {
    "cli": N_("entered by hand"),
    "call": N_("in a call"),
    "sms": N_("by text"),
    "link": N_("by a link"),
    "letter": N_("by letter"),
    "email": N_("by mail"),
    "import": N_("a list"),
}
KINDS: Mapping[str, str] = {
    "contract": N_("A contract that runs"),
    "customer": N_("Has bought something like it"),
    "professional": N_("A professional’s number"),
}
CONFIDENCES: Mapping[str, str] = {
    "V1": N_("read in the text of the law itself"),
    "V2": N_("read in a secondary source"),
    "K": N_("known, not yet read"),
    "D": N_("a decision of this system"),
}


def _words(visit: Visit, tab: str) -> dict[str, Any]:
    sectors = contact_rules.load().sectors
    return {
        "tab": tab,
        "manages": visit.may("contacts.manage"),
        "channels": CHANNELS,
        "scopes": SCOPES,
        "states": STATES,
        "acts": ACTS,
        "ways": WAYS,
        "reasons": REASONS,
        "sources": SOURCES,
        "kinds": KINDS,
        "sectors": {name: words[visit.language] for name, words in sorted(sectors.items())},
        "objections": opens(visit, "/objections"),
    }


def _said(visit: Visit) -> dict[str, str | None]:
    return {"reason": visit.given.get("reason") or None, "case": visit.given.get("case") or None}


def _needed(visit: Visit, **fields: str) -> None:
    for name, what in fields.items():
        if not visit.given.get(name):
            raise Wrong(name, what)


_NUMBER = N_("Write the number, in full.")


# --- may they be contacted ----------------------------------------------------------------------------------------


async def ask(visit: Visit) -> web.StreamResponse:
    return await _ask(visit)


async def _ask(visit: Visit, found: Any = None) -> web.StreamResponse:
    lines: list[str] | None = None
    if visit.may("switchboard.read"):
        lines = [one["name"] for one in await visit.call("line.list") if one["canvassing"]]
    return visit.page(
        "contacts.html",
        found=found,
        lines=lines,
        grounds=GROUNDS,
        confidences=CONFIDENCES,
        **_words(visit, "check"),
    )


async def check(visit: Visit) -> web.StreamResponse:
    """By the same decision as calls; it counts nothing and calls nobody."""
    given = visit.given
    _needed(visit, number=_NUMBER, line=N_("Say on behalf of which line."))
    found = await visit.call(
        "contact.check",
        number=given["number"],
        line=given["line"],
        channel=given.get("channel", ""),
        at=given.get("at") or None,
        **_said(visit),
    )
    return await _ask(visit, found)


# --- consents -----------------------------------------------------------------------------------------------------


async def consents(visit: Visit) -> web.StreamResponse:
    """The newest first; of one number, or in clear, where the form asks for it."""
    return await _list(visit, "consents", "contact.consent.list")


async def contracts(visit: Visit) -> web.StreamResponse:
    return await _list(visit, "contracts", "contact.contract.list")


async def _list(visit: Visit, tab: str, operation: str) -> web.StreamResponse:
    given: Mapping[str, str] = {} if visit.failure else visit.given  # of another form, where that went wrong
    number = given.get("number") or None
    said = {name: given.get(name) or None for name in ("reason", "case")}
    before = given.get("before") or visit.query("before") or None
    wanted = {"number": number} if number else {"before": before}
    shown, older = visit.paged(await visit.call(operation, limit=PAGE + 1, **wanted, **said), PAGE)
    return visit.page(
        f"contacts_{tab}.html",
        rows=shown,
        number=number or "",
        older=older,
        before=before or "",
        reason=said["reason"] or "",
        case=said["case"] or "",
        **_words(visit, tab),
    )


async def find_consents(visit: Visit) -> web.StreamResponse:
    return await _find(visit, "consents", "contact.consent.list")


async def find_contracts(visit: Visit) -> web.StreamResponse:
    return await _find(visit, "contracts", "contact.contract.list")


async def _find(visit: Visit, tab: str, operation: str) -> web.StreamResponse:
    if not visit.given.get("number") and not visit.given.get("reason"):
        raise Wrong("reason", N_("Say why: your reason is written down with your name."))
    return await _list(visit, tab, operation)


async def consent(visit: Visit) -> web.StreamResponse:
    """With its proof; in clear with a reason."""
    found = await visit.call("contact.consent.show", consent=visit.request.match_info["consent"], **_said(visit))
    return visit.page("contacts_consent.html", consent=found, **_words(visit, "consents"))


async def consent_in_clear(visit: Visit) -> web.StreamResponse:
    _needed(visit, reason=N_("Say why: your reason is written down with your name."))
    return await consent(visit)


async def consent_form(visit: Visit) -> web.StreamResponse:
    return visit.page("contacts_consent_new.html", **_words(visit, "consents"))


async def add_consent(visit: Visit) -> web.StreamResponse:
    given = visit.given
    _needed(
        visit,
        number=_NUMBER,
        collector=N_("Say who asked."),
        source=N_("Say where the proof is."),
        text_id=N_("Say which words were agreed to."),
        text_version=N_("Say in which version."),
    )
    if not given.get("words") and not given.get("text_sha256"):
        raise Wrong("words", N_("Give the words themselves, or the SHA-256 of their text or audio."))
    made = await visit.call(
        "contact.consent.add",
        number=given["number"],
        purpose=given.get("purpose", ""),
        channel=given.get("channel", ""),
        act=given.get("act", ""),
        collector=given["collector"],
        source=given["source"],
        text_id=given["text_id"],
        text_version=given["text_version"],
        text_sha256=given.get("text_sha256") or None,
        words=given.get("words") or None,
        language=given.get("language") or None,
        given_at=given.get("given_at") or None,
        expires_at=given.get("expires_at") or None,
        out_of_hours=given.get("out_of_hours") == "yes",
    )
    return visit.go(f"/contacts/consents/{made['id']}", visit._(N_("It is written down.")))


async def withdraw(visit: Visit) -> web.StreamResponse:
    named = visit.request.match_info["consent"]
    await visit.call("contact.consent.withdraw", what=named, by=visit.given.get("by", ""))
    return visit.go(f"/contacts/consents/{named}", visit._(N_("It is withdrawn. Nobody is contacted on it any more.")))


# --- contracts ----------------------------------------------------------------------------------------------------


async def add_contract(visit: Visit) -> web.StreamResponse:
    given = visit.given
    _needed(visit, number=_NUMBER, reference=N_("Give its number, or where it can be found."))
    kind = given.get("kind", "")
    if kind not in KINDS:
        raise Wrong("kind", N_("Choose one of the list."))
    await visit.call(
        "contact.contract.add",
        number=given["number"],
        reference=given["reference"],
        purpose=None if kind == "professional" else given.get("purpose", ""),
        professional=kind == "professional",
        customer=kind == "customer",
        since=given.get("since") or None,
        until=given.get("until") or None,
    )
    return visit.go("/contacts/contracts", visit._(N_("It is written down.")))


async def end_contract(visit: Visit) -> web.StreamResponse:
    await visit.call("contact.contract.end", contract=visit.request.match_info["contract"])
    return visit.go("/contacts/contracts", visit._(N_("It runs no more.")))


# --- who is to be left alone --------------------------------------------------------------------------------------


async def objections(visit: Visit) -> web.StreamResponse:
    return await _objections(visit)


async def _objections(visit: Visit, number: str | None = None) -> web.StreamResponse:
    before = visit.query("before") or None
    wanted = {"number": number} if number else {"before": before}
    shown, older = visit.paged(await visit.call("contact.suppress.list", limit=PAGE + 1, **wanted), PAGE)
    return visit.page(
        "contacts_objections.html",
        rows=shown,
        number=number or "",
        older=older,
        before=before or "",
        most_lines=number_imports.MOST_LINES,
        **_words(visit, "objections"),
    )


async def find_objections(visit: Visit) -> web.StreamResponse:
    """The list holds no number that could be read; whoever knows one can ask for it."""
    _needed(visit, number=_NUMBER)
    return await _objections(visit, visit.given["number"])


async def add_objection(visit: Visit) -> web.StreamResponse:
    given = visit.given
    _needed(visit, number=_NUMBER)
    await visit.call(
        "contact.suppress.add",
        number=given["number"],
        channel=given.get("channel", ""),
        reason_given=given.get("because", ""),
        source=given.get("source", ""),
        until=given.get("until") or None,
    )
    return visit.go("/contacts/objections", visit._(N_("They are left alone from now on.")))


async def lift(visit: Visit) -> web.StreamResponse:
    """Taken off the list: only with a reason, and the second factor."""
    _needed(visit, reason=N_("Say why: an objection holds until the person says otherwise."))
    await visit.call("contact.suppress.remove", what=visit.request.match_info["entry"], **_said(visit))
    return visit.go("/contacts/objections", visit._(N_("It is off the list.")))


async def bring_in(visit: Visit) -> web.StreamResponse:
    """A file, looked through as a whole before anything of it is entered; it is never on the disk."""
    given, file = visit.given, visit.files.get("file")
    if file is None or not file.body:
        raise Wrong("file", N_("Choose a file."))
    column = given.get("column") or "1"
    if not re.fullmatch(r"[0-9]{1,2}", column):
        raise Wrong("column", N_("Write a number, such as 1."))
    channel = given.get("channel", "")
    if channel not in SCOPES:
        raise Wrong("channel", N_("Choose one of the list."))
    try:
        numbers = await number_imports.read(file.body, int(column))
    except Failure as failure:
        raise Wrong("file", failure.what, failure.remedy) from None
    partial = given.get("partial") == "yes"

    async def entered(ask: number_imports.Ask) -> Any:
        return await number_imports.enter(numbers, channel, partial=partial, ask=ask)

    job = visit.begin_steps("contact.import", entered)
    return visit.go(f"/contacts/imports/{job.id}")


async def brought_in(visit: Visit) -> web.StreamResponse:
    job = visit.services.work.get(visit.request.match_info["job"])
    if job.about != "contact.import" or job.begun_by != visit.person.login:
        raise Failure("that is not there any more", "Begin it again", "not_found")
    if job.ended_at is None:
        back, label = "/contacts/objections", N_("Lines looked through")
        return visit.page(
            "contacts_importing.html", job=job, label=label, back=back, again=visit.request.path, again_s=AGAIN_S
        )
    if job.failure is not None:
        raise Failure(job.failure.what, job.failure.remedy, job.failure.code)
    return visit.page("contacts_imported.html", said=job.result, **_words(visit, "objections"))


# --- texts --------------------------------------------------------------------------------------------------------


async def optouts(visit: Visit) -> web.StreamResponse:
    return await _optouts(visit)


async def _optouts(visit: Visit, found: Any = None) -> web.StreamResponse:
    limit = 500 if visit.query("all") else PAGE
    rows = await visit.call("optout.list", limit=limit)
    return visit.page(
        "contacts_optouts.html", rows=rows, more=len(rows) == limit < 500, found=found, **_words(visit, "optouts")
    )


async def check_optout(visit: Visit) -> web.StreamResponse:
    _needed(visit, number=_NUMBER)
    return await _optouts(visit, await visit.call("optout.check", number=visit.given["number"]))


async def add_optout(visit: Visit) -> web.StreamResponse:
    given = visit.given
    _needed(visit, number=_NUMBER)
    await visit.call("optout.add", number=given["number"], scope=given.get("scope", ""), source=given.get("source", ""))
    return visit.go("/contacts/optouts", visit._(N_("They get no more advertising.")))


_CONSENT = "/contacts/consents/{consent:[0-9a-f]+}"
ROUTES = (
    Route(
        "GET",
        "/contacts",
        ask,
        "contacts.read",
        Menu("kept", N_("Permission to contact"), 50, N_("Who may be called or texted, on whose word, and who not.")),
    ),
    Route("POST", "/contacts", check, "contacts.read", again=ask),
    Route("GET", "/contacts/consents", consents, "contacts.read"),
    Route("POST", "/contacts/consents", find_consents, "contacts.read", again=consents),
    Route("GET", "/contacts/consents/new", consent_form, "contacts.manage"),
    Route("POST", "/contacts/consents/new", add_consent, "contacts.manage", again=consent_form),
    Route("GET", _CONSENT, consent, "contacts.read"),
    Route("POST", _CONSENT, consent_in_clear, "contacts.read", again=consent),
    Route("POST", _CONSENT + "/withdraw", withdraw, "contacts.manage", again=consent),
    Route("GET", "/contacts/contracts", contracts, "contacts.read"),
    Route("POST", "/contacts/contracts", find_contracts, "contacts.read", again=contracts),
    Route("POST", "/contacts/contracts/new", add_contract, "contacts.manage", again=contracts),
    Route("POST", "/contacts/contracts/{contract:[0-9a-f]+}/end", end_contract, "contacts.manage", again=contracts),
    Route("GET", "/contacts/objections", objections, "contacts.read"),
    Route("POST", "/contacts/objections", find_objections, "contacts.read", again=objections),
    Route("POST", "/contacts/objections/new", add_objection, "contacts.manage", again=objections),
    Route(
        "POST",
        "/contacts/objections/import",
        bring_in,
        "contacts.manage",
        again=objections,
        body_max=number_imports.MOST_BYTES,
    ),
    Route("POST", "/contacts/objections/{entry:[0-9a-f]+}/lift", lift, "contacts.manage", again=objections),
    Route("GET", "/contacts/imports/{job}", brought_in, "contacts.manage"),
    Route("GET", "/contacts/optouts", optouts, "contacts.read"),
    Route("POST", "/contacts/optouts", check_optout, "contacts.read", again=optouts),
    Route("POST", "/contacts/optouts/new", add_optout, "contacts.manage", again=optouts),
)
