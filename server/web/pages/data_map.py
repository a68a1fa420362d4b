"""The data map: what is kept of whom, why, in which form, how long, who sees it, and who is sent anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from config.periods import Period
from server.failure import Failure
from server.services.register import GROUPS as ORDER
from server.web import csv_file, kept
from server.web.language import N_
from server.web.purposes import PURPOSES
from server.web.routes import Menu, Route
from server.web.visit import Visit

GROUPS: Mapping[str, str] = {
    "recordings": N_("Recordings"),
    "calls": N_("Calls"),
    "texts": N_("Texts"),
    "contacts": N_("Permission to contact"),
    "proof": N_("Proof and logs"),
    "staff": N_("Staff and signing in"),
}
FORMS: Mapping[str, str] = {
    "clear": N_("in clear"),
    "hashed": N_("as a keyed hash"),
    "sealed": N_("sealed"),
}
RECEIVERS: Mapping[str, str] = {
    "trunk": N_("Telephone provider"),
    "text_carrier": N_("Carrier of texts"),
    "mail_relay": N_("Mail relay"),
    "webhook": N_("Webhook"),
    "alert_webhook": N_("Webhook of alerts"),
    "syslog": N_("Syslog"),
    "database": N_("Database server"),
}
ROLES: Mapping[str, str] = {
    "employee": N_("employee"),
    "supervisor": N_("supervisor"),
    "reader": N_("reader"),
    "quality": N_("quality"),
    "legal": N_("legal"),
    "compliance": N_("compliance"),
    "dpo": N_("DPO"),
    "admin": N_("administrator"),
    "security": N_("security officer"),
    "auditor": N_("auditor"),
    "circle": N_("who calls whom"),
}
REACHES: Mapping[str, str] = {"own": N_("their own"), "team": N_("their team’s"), "all": N_("all")}

HEADS = (
    N_("Group"),
    N_("What"),
    N_("Where"),
    N_("About"),
    N_("Purpose"),
    N_("Legal basis"),
    N_("Form"),
    N_("Until"),
    N_("At most"),
    N_("Seen by"),
)
_DATE = re.compile(r"[a-z_]+\.(expires_at|kept_until)")
_PURPOSE = re.compile(r"[a-z_]+\.purpose")


def _seen_by(visit: Visit, told: Sequence[str]) -> str:
    """ "supervisor (team)" in words; roles with the same reach together, the widest first."""
    found: dict[str, list[str]] = {}
    for one in told:
        role, _, reach = one.rstrip(")").partition(" (")
        found.setdefault(reach, []).append(visit._(ROLES[role]) if role in ROLES else role)
    parts = [
        f"{', '.join(found[reach])} ({visit._(REACHES[reach])})" for reach in reversed(list(REACHES)) if reach in found
    ]
    return "; ".join(parts)


def _nobody(visit: Visit, why: str) -> str:
    return visit._("Nobody: %(why)s", why=visit._(why)) if why else visit._("Nobody")


def _entry(visit: Visit, one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "group": visit._(GROUPS[one["group"]]),
        "what": _capital(visit._(one["what"])),
        "subject": visit._(one["subject"]),
        "purpose": _plain(visit, one["purpose"]),
        "basis": one["basis"].replace("GDPR", visit._("GDPR")) or visit._("each row says its own"),
        "forms": ", ".join(visit._(FORMS[form]) for form in one["forms"]),
        "expiry": _plain(visit, one["expiry"]),
        "period": kept.period(visit, one["period"]),
        "unless": visit._(one["unless"]) if one["unless"] else "",
        "seen_by": _seen_by(visit, one["seen_by"]) or _nobody(visit, one["unseen"]),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _receiver(visit: Visit, one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "kind": visit._(RECEIVERS[one["kind"]]), "gets": visit._(one["gets"])}


def _plain(visit: Visit, text: str) -> str:
    """What names a column of the row itself, in words."""
    if _DATE.fullmatch(text):
        return visit._("the date that each row bears")
    if _PURPOSE.fullmatch(text):
        return visit._("its own purpose, row by row")
    return visit._(PURPOSES.get(text, text)) if text else ""


def _longest(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """The longest period of a group, as ISO 8601; None where each of its rows says its own."""
    told = [one["period"] for one in entries if one["period"]]
    return max(told, key=_days, default=None)


def _days(text: str) -> float:
    period = Period.parse(text)
    return period.months * 30.44 + period.days + period.seconds / 86400


async def _register(visit: Visit) -> tuple[Mapping[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    said = await visit.call("retention.register")
    entries = sorted(said["entries"], key=lambda one: ORDER.index(one["group"]))
    return said, [_entry(visit, one) for one in entries], [_receiver(visit, one) for one in said["receivers"]]


async def shown(visit: Visit) -> web.StreamResponse:
    said, entries, receivers = await _register(visit)
    groups = []
    for name in ORDER:
        here = [one for one in said["entries"] if one["group"] == name]
        words = visit._(GROUPS[name])
        groups.append(
            {
                "id": name,
                "words": words,
                "entries": [one for one in entries if one["group"] == words],
                "longest": kept.period(visit, _longest(here)),
            }
        )
    mail, web_ = visit.services.settings.mail.listen, visit.services.settings.web.listen
    sources = [
        (visit._("Phones of the house"), visit._("voices, numbers, texts")),
        (visit._("Telephone providers"), visit._("calls and texts from outside")),
        *([(visit._("Mail programs"), visit._("texts to send"))] if mail else []),
        *([(visit._("Browsers and programs"), visit._("who signs in, what they enter"))] if web_ else []),
    ]
    outside = [one for one in receivers if not one["here"]]
    return visit.page(
        "data_map.html",
        said=said,
        groups=groups,
        receivers=receivers,
        outside=outside,
        sources=sources,
        at=visit.now,
        opened=visit.query("open"),
    )


async def file(visit: Visit) -> web.StreamResponse:
    """The table for a spreadsheet; receivers stand below what is kept."""
    if visit.request.match_info["form"] != "csv":
        raise Failure("there is no such form", "Take the one that the page offers", "not_found")
    _, entries, receivers = await _register(visit)
    keys = ("group", "what", "where", "subject", "purpose", "basis", "forms", "expiry", "period", "seen_by")
    rows: list[list[object]] = [[one[key] for key in keys] for one in entries]
    for one in receivers:
        place = f"{one['host']}:{one['port']}" if one["port"] else one["host"]
        sent = visit._("encrypted on the way") if one["encrypted"] else visit._("not encrypted on the way")
        rows.append(
            [visit._("Receivers"), f"{one['kind']} {one['name']}", place, "", one["gets"], "", sent, "", "", ""]
        )
    return csv_file.answer("data-map", [visit._(head) for head in HEADS], rows)


ROUTES = (
    Route(
        "GET",
        "/data-map",
        shown,
        "retention.read",
        Menu(
            "kept",
            N_("Data map"),
            50,
            N_("What is kept of whom, why, how long, who sees it, and who is sent anything."),
        ),
    ),
    Route("GET", "/data-map/as/{form}", file, "retention.read"),
)
