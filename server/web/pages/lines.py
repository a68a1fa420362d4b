"""Lines: numbers with a purpose, who rings, and which numbers from outside lead there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from config import packs
from server.failure import Failure
from server.services.actor import is_reason
from server.web.language import LANGUAGES, N_, NAMES
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

STRATEGIES: Mapping[str, str] = {
    "simultaneous": N_("All ring at once"),
    "sequential": N_("One after the other"),
}
CONSENTS: Mapping[str, str] = {
    "": N_("As purpose and country say"),
    "none": N_("Nothing is said"),
    "announce": N_("It is announced"),
    "opt-out": N_("Whoever objects is not recorded"),
    "opt-in": N_("Only who agrees is recorded"),
    "forbidden": N_("Never recorded"),
}
CLASSES: Mapping[str, str] = {
    "none": N_("Nothing"),
    "minimal": N_("The least: no exact time"),
    "standard": N_("Who, when and how long"),
}
KINDS: Mapping[str, str] = {"ring": N_("Rings its members"), "echo": N_("Plays back what one says")}
_TEXTS = ("number", "pack", "consent", "metadata_class", "statute", "strategy", "language")


def _purposes() -> list[tuple[str, str]]:
    return [
        (one.id, one.id) for one in sorted(packs.load().values(), key=lambda one: one.id) if one.kind == "recording"
    ]


def _words() -> dict[str, Any]:
    return {
        "strategies": STRATEGIES,
        "consents": CONSENTS,
        "classes": CLASSES,
        "kinds": KINDS,
        "purposes": _purposes(),
        "spoken": [("", "–"), *((code, NAMES[code]) for code in LANGUAGES)],
    }


async def every(visit: Visit) -> web.StreamResponse:
    return visit.page("lines.html", lines=await visit.call("line.list"), **_words())


async def _one(visit: Visit) -> Mapping[str, Any]:
    name = visit.request.match_info["line"]
    found = next((one for one in await visit.call("line.list") if one["name"] == name), None)
    if found is None:
        raise web.HTTPNotFound
    return found  # type: ignore[no-any-return]


async def one(visit: Visit) -> web.StreamResponse:
    return visit.page("lines_one.html", line=await _one(visit), **_words())


async def new(visit: Visit) -> web.StreamResponse:
    return visit.page("lines_new.html", **_words())


async def add(visit: Visit) -> web.StreamResponse:
    name = visit.given.get("name", "").lower()
    if not name:
        raise Wrong("name", N_("Give it a short name."))
    if not visit.given.get("number"):
        raise Wrong("number", N_("Say what is dialled."))
    form = {key: value for key, value in _form(visit).items() if value != ""}
    await _asked(visit, "line.add", name=name, kind=visit.given.get("kind", "ring"), **form)
    return visit.go(f"/lines/{name}", visit._("The line is there now."))


async def change(visit: Visit) -> web.StreamResponse:
    """Only what is another than before is asked for: a policy in force binds what it speaks of."""
    before = await _one(visit)
    now = {**_form(visit), "disabled": visit.given.get("disabled") == "yes"}
    held = {**before, "disabled": before["disabled_at"] is not None}
    changed = {key: value for key, value in now.items() if value != (held[key] if held[key] is not None else "")}
    if changed:
        await _asked(visit, "line.set", line=before["name"], **changed)
    return visit.go(f"/lines/{before['name']}", visit._("The line is changed."))


async def _asked(visit: Visit, operation: str, **arguments: Any) -> None:
    """Where a member is nobody, it is said beside the members. Raises Failure."""
    try:
        await visit.call(operation, **arguments)
    except Failure as failure:
        if failure.code == "not_found" and arguments.get("members"):
            raise Wrong("members", N_("One of these is no account.")) from None
        raise


def _form(visit: Visit) -> dict[str, Any]:
    given = visit.given
    found: dict[str, Any] = {name: given.get(name, "") for name in _TEXTS}
    found["members"] = given.get("members", "").replace(",", " ").split()
    found["ask_staff"] = given.get("ask_staff") == "yes"
    seconds = given.get("member_ring_s", "") or "20"
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 5):
        raise Wrong("member_ring_s", N_("Write a whole number."))
    found["member_ring_s"] = int(seconds)
    return found


# --- numbers ----------------------------------------------------------------------------------------------------------


async def _numbers(visit: Visit, *, clear: str | None = None) -> web.StreamResponse:
    accounts = await visit.call("account.list") if visit.may("accounts.read") else []
    return visit.page(
        "numbers.html",
        numbers=await visit.call("number.list", reason=clear, case=visit.given.get("case")),
        clear=clear is not None,
        lines=[(one["name"], one["name"]) for one in await visit.call("line.list")],
        accounts=[(one["name"], one["name"]) for one in accounts],
        trunks=[(one["name"], one["name"]) for one in await visit.call("trunk.list")],
    )


async def numbers(visit: Visit) -> web.StreamResponse:
    return await _numbers(visit)


async def in_clear(visit: Visit) -> web.StreamResponse:
    reason = visit.given.get("reason")
    if not is_reason(reason):
        raise Wrong("reason", N_("Say why, in a few words."))
    return await _numbers(visit, clear=reason)


async def add_number(visit: Visit) -> web.StreamResponse:
    given = visit.given
    if not given.get("number"):
        raise Wrong("number", N_("Say which number."))
    await visit.call(
        "number.add",
        number=given["number"],
        account=given.get("account") or None,
        line=given.get("line") or None,
        trunk=given.get("trunk") or None,
        shared=given.get("shared") == "yes",
    )
    return visit.go("/numbers", visit._("The number leads there now."))


async def remove_number(visit: Visit) -> web.StreamResponse:
    if not visit.given.get("gone"):
        raise Wrong("gone", N_("Say which number."))
    await visit.call("number.remove", number=visit.given["gone"])
    return visit.go("/numbers", visit._("The number leads nowhere any more, and nobody shows it."))


ROUTES = (
    Route(
        "GET",
        "/lines",
        every,
        "switchboard.read",
        Menu("system", N_("Lines"), 30, N_("Numbers with a purpose, and who rings.")),
    ),
    Route("GET", "/lines/new", new, "switchboard.manage"),
    Route("POST", "/lines/new", add, "switchboard.manage", again=new),
    Route("GET", "/lines/{line}", one, "switchboard.read"),
    Route("POST", "/lines/{line}", change, "switchboard.manage", again=one),
    Route(
        "GET",
        "/numbers",
        numbers,
        "switchboard.read",
        Menu("system", N_("Own numbers"), 32, N_("Where calls from outside lead, and which number is shown.")),
    ),
    Route("POST", "/numbers", in_clear, "switchboard.read", again=numbers),
    Route("POST", "/numbers/new", add_number, "switchboard.manage", again=numbers),
    Route("POST", "/numbers/remove", remove_number, "switchboard.manage", again=numbers),
)
