"""What happens when one is called, and what others see when one calls: chosen for each account of one's own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from server.failure import Failure
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

WHICH = ("always", "busy", "no_answer", "unregistered")


async def answering(visit: Visit) -> web.StreamResponse:
    own = sorted(visit.person.own)
    asked = visit.given.get("account") or visit.query("account")
    account = asked or next(iter(own), "")
    if not account:
        return visit.page("answering.html", own=own, account="", chosen={}, numbers=[])
    chosen: dict[str, Any] = await visit.call("account.forward", name=account)
    numbers: list[str] = []
    if visit.may("accounts.read"):
        numbers = (await visit.call("account.show", name=account))["numbers"]
    return visit.page("answering.html", own=own, account=account, chosen=chosen, numbers=numbers)


async def dnd(visit: Visit) -> web.StreamResponse:
    on = visit.given.get("on") == "yes"
    await visit.call("account.dnd", name=_account(visit), on=on)
    return _done(visit, N_("Your phones stay silent.") if on else N_("Your phones ring again."))


async def waiting(visit: Visit) -> web.StreamResponse:
    on = visit.given.get("on") == "yes"
    await visit.call("account.call-waiting", name=_account(visit), on=on)
    return _done(
        visit,
        N_("A second call is announced while you talk.") if on else N_("Whoever calls while you talk hears busy."),
    )


async def forwards(visit: Visit) -> web.StreamResponse:
    """What is left empty is taken off."""
    given = {which: visit.given.get(which, "") for which in WHICH}
    changes: dict[str, Any] = {which: target for which, target in given.items() if target}
    off = [which.replace("_", "-") for which, target in given.items() if not target]
    if visit.given.get("no_answer_s"):
        changes["no_answer_s"] = visit.given["no_answer_s"]
    await visit.call("account.forward", name=_account(visit), off=off, **changes)
    return _done(visit, N_("Your forwards are as you wish."))


async def number(visit: Visit) -> web.StreamResponse:
    how, wanted = visit.given.get("how", ""), visit.given.get("number", "")
    if how == "number" and not wanted:
        raise Wrong("number", N_("Say which number is to be shown."))
    shown: dict[str, dict[str, Any]] = {"hidden": {"hidden": True}, "number": {"number": wanted}}
    try:
        await visit.call("account.present", name=_account(visit), **shown.get(how, {}))
    except Failure as failure:
        if failure.code not in ("denied", "invalid"):
            raise
        what = N_("This number cannot be shown: choose one of your own, of a line of yours, or a shared one.")
        raise Wrong("number", what, N_("A mobile's number is never shown")) from failure
    return _done(visit, N_("What others see is as you wish."))


def _account(visit: Visit) -> str:
    return visit.given.get("account", "")


def _done(visit: Visit, said: str) -> web.StreamResponse:
    return visit.go(f"/answering?account={_account(visit)}", visit._(said))


ROUTES = (
    Route(
        "GET",
        "/answering",
        answering,
        "accounts.settings",
        Menu("mine", N_("When I am called"), 30, N_("Do not disturb, forwards, and the number that others see.")),
    ),
    Route("POST", "/answering/dnd", dnd, "accounts.settings", again=answering),
    Route("POST", "/answering/waiting", waiting, "accounts.settings", again=answering),
    Route("POST", "/answering/forwards", forwards, "accounts.settings", again=answering),
    Route("POST", "/answering/number", number, "accounts.settings", again=answering),
)
