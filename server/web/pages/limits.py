"""What may be spent: by every account, by one, by a trunk. And what has been."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

_MOST = 10**6
COUNTS: Mapping[str, str] = {
    "minutes_per_day": N_("Minutes a day"),
    "minutes_per_month": N_("Minutes a month"),
    "max_calls": N_("Calls at once"),
}
SUMS: Mapping[str, str] = {"cents_per_day": N_("Euros a day"), "cents_per_month": N_("Euros a month")}
SWITCHES: Mapping[str, str] = {
    "international": N_("Calls abroad"),
    "premium": N_("Premium numbers"),
}


def wanted(visit: Visit) -> dict[str, Any]:
    """What the form says, as the operations take it: what is left empty is inherited. Raises Wrong."""
    given, inherit = visit.given, []
    found: dict[str, Any] = {}
    for name in SWITCHES:
        if given.get(name) in ("yes", "no"):
            found[name] = given[name] == "yes"
        else:
            inherit.append(name)
    for name in (*COUNTS, *SUMS):
        text = given.get(name, "")
        if text:
            found[name] = _cents(name, text) if name in SUMS else _count(name, text)
        else:
            inherit.append(name)
    countries = given.get("countries", "").replace(",", " ").split()
    if countries:
        found["countries"] = countries
    else:
        inherit.append("countries")
    return {**found, "inherit": inherit}


def shown(view: Mapping[str, Any]) -> dict[str, str]:
    """As the form holds it."""
    found = {name: {True: "yes", False: "no", None: ""}[view[name]] for name in SWITCHES}
    found |= {name: "" if view[name] is None else str(view[name]) for name in COUNTS}
    found |= {name: "" if view[name] is None else f"{Decimal(view[name]) / 100:.2f}" for name in SUMS}
    return {**found, "countries": " ".join(view["countries"])}


def words() -> dict[str, Any]:
    return {"counts": COUNTS, "sums": SUMS, "switches": SWITCHES}


async def limits(visit: Visit) -> web.StreamResponse:
    trunk = visit.query("trunk") or visit.given.get("trunk") or None
    view = await visit.call("limits.show", trunk=trunk)
    trunks = [one["name"] for one in await visit.call("trunk.list")]
    return visit.page("limits.html", view=view, held=shown(view), trunk=trunk, trunks=trunks, **words())


async def change(visit: Visit) -> web.StreamResponse:
    trunk = visit.given.get("trunk") or None
    await visit.call("limits.set", trunk=trunk, **wanted(visit))
    return visit.go(f"/limits?trunk={trunk}" if trunk else "/limits", visit._("The limits are changed."))


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _MOST:
        raise Wrong(name, N_("Write a whole number."))
    return int(text)


def _cents(name: str, text: str) -> int:
    try:
        euros = Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise Wrong(name, N_("Write an amount, such as 12.50.")) from None
    if not euros.is_finite() or not 0 <= euros <= _MOST:
        raise Wrong(name, N_("Write an amount, such as 12.50."))
    return int((euros * 100).to_integral_value())


ROUTES = (
    Route(
        "GET",
        "/limits",
        limits,
        "switchboard.read",
        Menu("system", N_("Limits"), 45, N_("What may be spent on calls, and what has been.")),
    ),
    Route("POST", "/limits", change, "switchboard.manage", again=limits),
)
