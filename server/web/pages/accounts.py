"""Accounts that telephone, and the phones of each."""

from __future__ import annotations

from aiohttp import web

from server.services.actor import is_reason
from server.web.language import LANGUAGES, N_, NAMES
from server.web.pages import limits
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong


async def _page(visit: Visit, *, clear: str | None = None) -> web.StreamResponse:
    found = await visit.call("account.list", reason=clear, case=visit.given.get("case"))
    return visit.page("accounts.html", accounts=found, clear=clear is not None)


async def every(visit: Visit) -> web.StreamResponse:
    return await _page(visit)


async def in_clear(visit: Visit) -> web.StreamResponse:
    reason = visit.given.get("reason")
    if not is_reason(reason):
        raise Wrong("reason", N_("Say why, in a few words."))
    return await _page(visit, clear=reason)


async def _people(visit: Visit) -> list[tuple[str, str]]:
    """To choose from: whoever may be given an account."""
    people = await visit.call("person.list") if visit.may("people.read") else []
    return [(one["login"], one["login"]) for one in people if one["disabled_at"] is None]


async def new(visit: Visit) -> web.StreamResponse:
    return visit.page(
        "accounts_new.html",
        people=await _people(visit),
        spoken=[(code, NAMES[code]) for code in LANGUAGES],
        country=visit.services.settings.company.country,
    )


async def add(visit: Visit) -> web.StreamResponse:
    name, extension = visit.given.get("name", "").lower(), visit.given.get("extension", "")
    if not name:
        raise Wrong("name", N_("Give it a short name."))
    if not extension:
        raise Wrong("extension", N_("Give it an extension, such as 101."))
    await visit.call(
        "account.add",
        name=name,
        extension=extension,
        display_name=visit.given.get("display_name", ""),
        person=visit.given.get("person") or None,
        country=visit.given.get("country", "").upper() or visit.services.settings.company.country,
        language=visit.given.get("language", "fr"),
    )
    return visit.go(f"/accounts/{name}", visit._("The account is there now. Next it needs a phone."))


async def one(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["name"]
    found = await visit.call("account.show", name=name)
    manages = visit.may("accounts.manage")
    held = await visit.call("account.limits", name=name) if manages else None
    return visit.page(
        "accounts_one.html",
        account=found["account"],
        devices=sorted(found["devices"], key=lambda one: (one["revoked_at"] is not None, one["created_at"])),
        settings=found["settings"],
        numbers=found["numbers"],
        people=await _people(visit) if manages and found["account"]["person"] is None else [],
        view=held,
        held=limits.shown(held) if held is not None else None,
        **limits.words(),
    )


async def add_device(visit: Visit) -> web.StreamResponse:
    """The password is shown on this page, once."""
    name = visit.request.match_info["name"]
    made = await visit.call("device.add", account=name, label=visit.given.get("label") or "phone")
    return visit.page("accounts_device.html", made=made, name=name)


async def revoke_device(visit: Visit) -> web.StreamResponse:
    await visit.call("device.revoke", user=visit.given.get("user", ""))
    return visit.go(_place(visit), visit._("The phone is revoked: it is signed off, and its calls end."))


async def change_limits(visit: Visit) -> web.StreamResponse:
    await visit.call("account.limits", name=visit.request.match_info["name"], **limits.wanted(visit))
    return visit.go(_place(visit), visit._("The limits are changed."))


async def give(visit: Visit) -> web.StreamResponse:
    person = visit.given.get("person", "")
    if not person:
        raise Wrong("person", N_("Choose somebody."))
    await visit.call("account.give", name=visit.request.match_info["name"], person=person)
    return visit.go(_place(visit), visit._("The account belongs to %(login)s now.", login=person))


async def disable(visit: Visit) -> web.StreamResponse:
    await visit.call("account.disable", name=visit.request.match_info["name"])
    return visit.go(_place(visit), visit._("The account is disabled: it calls nobody but help, and is not called."))


async def enable(visit: Visit) -> web.StreamResponse:
    await visit.call("account.enable", name=visit.request.match_info["name"])
    return visit.go(_place(visit), visit._("The account is enabled again. Its phones sign on by themselves."))


async def remove(visit: Visit) -> web.StreamResponse:
    name = visit.request.match_info["name"]
    gone = await visit.call("account.remove", name=name)
    message = visit._("%(name)s is gone for good. Receipt: %(receipt)s", name=name, receipt=gone["receipt"])
    return visit.go("/accounts", message)


def _place(visit: Visit) -> str:
    return f"/accounts/{visit.request.match_info['name']}"


_READS = frozenset({"people.contain"})
ROUTES = (
    Route(
        "GET",
        "/accounts",
        every,
        "accounts.manage",
        Menu("system", N_("Accounts and phones"), 25, N_("What telephones: extensions, phones, limits.")),
        also=_READS,
    ),
    Route("POST", "/accounts", in_clear, "accounts.manage", also=_READS, again=every),
    Route("GET", "/accounts/new", new, "accounts.manage"),
    Route("POST", "/accounts/new", add, "accounts.manage", again=new),
    Route("GET", "/accounts/{name}", one, "accounts.manage", also=_READS),
    Route("POST", "/accounts/{name}/phone", add_device, "devices.manage", again=one),
    Route("POST", "/accounts/{name}/phone/revoke", revoke_device, "devices.manage", again=one),
    Route("POST", "/accounts/{name}/limits", change_limits, "accounts.manage", again=one),
    Route("POST", "/accounts/{name}/give", give, "accounts.manage", again=one),
    Route("POST", "/accounts/{name}/disable", disable, "accounts.manage", again=one),
    Route("POST", "/accounts/{name}/enable", enable, "accounts.manage", again=one),
    Route("POST", "/accounts/{name}/remove", remove, "accounts.manage", again=one),
)
