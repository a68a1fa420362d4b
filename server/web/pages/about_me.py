"""What is kept about me: on what it rests, until when, and who has listened and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.purposes import purpose
from server.web.routes import Menu, Route
from server.web.visit import Visit

CLASSES: Mapping[str, str] = {
    "standard": N_("Calls with numbers and times"),
    "minimal": N_("Calls without numbers"),
    "received": N_("Texts that came for you"),
    "sent": N_("Texts that you wrote"),
}
THINGS: Mapping[str, tuple[str, str]] = {
    "people": (
        N_("Your name, login, language and roles"),
        N_("As long as you work here; afterwards until the access log that names you is pruned"),
    ),
    "accounts": (N_("Your accounts, with forwards and settings"), N_("Until the account is removed")),
    "devices": (N_("Your phones and what they prove themselves with"), N_("Until the account is removed")),
    "mail_logins": (N_("Programs that send texts by mail for you"), N_("Until the account is removed")),
    "sessions": (
        N_("Where you are signed in, and from which address"),
        N_("Seven days at most, or until you sign out"),
    ),
}
ACTS: Mapping[str, str] = {
    "heard": N_("you heard the announcement"),
    "key0": N_("you asked for more (0)"),
    "key1": N_("you agreed (1)"),
    "key2": N_("you refused (2)"),
    "objection": N_("you objected"),
    "timeout": N_("you did not answer the question"),
    "hangup": N_("you hung up at the question"),
    "prompt_failed": N_("the announcement could not be played"),
    "statute": N_("a law demands it"),
    "withdrawn": N_("you withdrew your consent"),
    "given": N_("you gave your consent"),
}
ACTIONS: Mapping[str, str] = {
    "open": N_("opened it"),
    "listen": N_("listened"),
    "export": N_("took a copy"),
}
STATES: Mapping[str, str] = {
    "recording": N_("being recorded"),
    "whole": N_("whole"),
    "cut": N_("cut short"),
    "failed": N_("failed"),
}


async def kept(visit: Visit) -> web.StreamResponse:
    found: dict[str, Any] = await visit.call("person.kept")
    company = visit.services.settings.company
    return visit.page(
        "about_me.html",
        kept=found,
        listened=sum(len(one["openings"]) for one in found["recordings"]),
        calls=sum(one["count"] for one in found["calls"]),
        texts=sum(one["count"] for one in found["texts"]),
        contact=company.dpo_contact,
        rights=company.rights_url,
        purpose=purpose,
        classes=CLASSES,
        things=THINGS,
        acts=ACTS,
        actions=ACTIONS,
        states=STATES,
    )


ROUTES = (
    Route(
        "GET",
        "/kept",
        kept,
        "kept.read",
        Menu("mine", N_("What is kept about me"), 60, N_("Until when, on what it rests, and who listened and why.")),
    ),
)
