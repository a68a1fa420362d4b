"""Trunks: the providers that calls go out by, how each is, and a test in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.pages.system import opens
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

# state in the words of the operation -> (how grave, ours)
STATES: Mapping[str | None, tuple[str, str]] = {
    None: ("unknown", N_("Nobody knows yet.")),
    "not known yet": ("unknown", N_("Nobody knows yet.")),
    "disabled": ("off", N_("Cut: no call uses it.")),
    "shows a certificate of another name": ("bad", N_("It shows a certificate of another name.")),
    "does not answer": ("bad", N_("It does not answer.")),
    "not registered": ("bad", N_("It does not take our registration.")),
    "registered": ("good", N_("It has registered us.")),
    "answers": ("good", N_("It answers.")),
}
WARNINGS: Mapping[str, str] = {
    "its calls are not taken: name the addresses that they come from with --source": N_(
        "Its calls are not taken: name the addresses that they come from."
    ),
    "who calls whom is not encrypted on the way": N_("Who calls whom is not encrypted on the way."),
    "the keys of the audio are sent in clear": N_("The keys of the audio are sent in clear."),
    "audio is not encrypted on the way": N_("Audio is not encrypted on the way."),
}
CHECKS: Mapping[str, str] = {
    "answer": N_("Answer"),
    "password": N_("Password"),
    "edge": N_("Edge"),
    "trunk": N_("Trunk"),
}
VERDICTS: Mapping[str, str] = {"ok": "good", "note": "note", "wrong": "bad"}
FORMATS: Mapping[str, str] = {"plus": "+33…", "00": "0033…", "national": "01…"}
_NUMBERS = ("port", "preference", "weight", "channels")
_TEXTS = ("host", "domain", "user", "realm", "main_number")


async def every(visit: Visit) -> web.StreamResponse:
    return visit.page("trunks.html", trunks=await visit.call("trunk.list"), states=STATES, warnings=WARNINGS)


async def _one(visit: Visit) -> Mapping[str, Any]:
    name = visit.request.match_info["trunk"]
    found = next((one for one in await visit.call("trunk.list") if one["name"] == name), None)
    if found is None:
        raise web.HTTPNotFound
    return found  # type: ignore[no-any-return]


async def one(visit: Visit) -> web.StreamResponse:
    return visit.page(
        "trunks_one.html",
        trunk=await _one(visit),
        states=STATES,
        warnings=WARNINGS,
        formats=FORMATS,
        contains=opens(visit, "/containment"),
    )


async def new(visit: Visit) -> web.StreamResponse:
    return visit.page("trunks_new.html", formats=FORMATS)


async def add(visit: Visit) -> web.StreamResponse:
    name, host = visit.given.get("name", "").lower(), visit.given.get("host", "")
    if not name:
        raise Wrong("name", N_("Give it a short name."))
    if not host:
        raise Wrong("host", N_("Say where the provider is."))
    await visit.call("trunk.add", name=name, **_form(visit))
    return visit.go(f"/trunks/{name}", visit._("The trunk is there now. Test it before somebody calls."))


async def change(visit: Visit) -> web.StreamResponse:
    """What stands empty stays as it was; user and main number are shown masked, and are typed anew to be changed."""
    name = visit.request.match_info["trunk"]
    await visit.call("trunk.set", trunk=name, **_form(visit))
    return visit.go(f"/trunks/{name}", visit._("The trunk is changed."))


async def test(visit: Visit) -> web.StreamResponse:
    tested = await visit.call("trunk.test", trunk=visit.request.match_info["trunk"])
    return visit.page("trunks_test.html", tested=tested, checks=CHECKS, verdicts=VERDICTS)


async def remove(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["trunk"]
    await visit.call("trunk.remove", trunk=name)
    return visit.go("/trunks", visit._("Trunk %(name)s is removed.", name=name))


def _form(visit: Visit) -> dict[str, Any]:
    given = visit.given
    found: dict[str, Any] = {name: given[name] for name in (*_TEXTS, "transport", "format") if given.get(name)}
    for name in _NUMBERS:
        text = given.get(name, "")
        if text and not (text.isascii() and text.isdecimal() and len(text) < 7):
            raise Wrong(name, N_("Write a whole number."))
        if text:
            found[name] = int(text)
    if given.get("password"):
        found["password"] = given["password"]
    if given.get("sources"):
        found["sources"] = given["sources"].replace(",", " ").split()
    found["srtp"] = given.get("srtp") == "yes"
    return found


ROUTES = (
    Route(
        "GET",
        "/trunks",
        every,
        "switchboard.read",
        Menu("system", N_("Trunks"), 35, N_("Providers that calls go out by, and how each is.")),
    ),
    Route("GET", "/trunks/new", new, "switchboard.manage"),
    Route("POST", "/trunks/new", add, "switchboard.manage", again=new),
    Route("GET", "/trunks/{trunk}", one, "switchboard.read"),
    Route("POST", "/trunks/{trunk}", change, "switchboard.manage", again=one),
    Route("POST", "/trunks/{trunk}/test", test, "switchboard.manage", again=one),
    Route("POST", "/trunks/{trunk}/remove", remove, "switchboard.manage", again=one),
)
