"""Carriers of texts: how each is, and a text by one alone to see that it arrives."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

HEALTH: Mapping[str, tuple[str, str]] = {
    "": ("unknown", N_("The server does not run.")),
    "up": ("good", N_("It takes texts.")),
    "connecting": ("note", N_("It is not connected, and tries again by itself.")),
    "refused": ("bad", N_("It refuses our sign-in: somebody has to look at it.")),
    "off": ("unknown", N_("It is switched off.")),
}
BECAME: Mapping[str, str] = {
    "held": N_("The text waits: it is held."),
    "queued": N_("The text still waits to be sent."),
    "sending": N_("The text is being sent; nothing was heard yet."),
    "sent": N_("The network has the text."),
    "delivered": N_("The text has arrived."),
    "undelivered": N_("The network has given the text up."),
    "expired": N_("The text’s time was over."),
    "rejected": N_("The network did not take the text."),
    "failed": N_("Nothing left: the carrier could not be had."),
    "refused": N_("Nothing left: it was refused by law, by right or by its addressee."),
    "cancelled": N_("Somebody has cancelled the text."),
    "unknown": N_("Nobody knows whether the text was sent."),
}
_WELL = frozenset({"sent", "delivered"})


async def every(visit: Visit) -> web.StreamResponse:
    return visit.page("carriers.html", carriers=await visit.call("carrier.list"), health=HEALTH)


async def test(visit: Visit) -> web.StreamResponse:
    for name, words in (("inbox", N_("Say from which inbox.")), ("to", N_("Say to which number."))):
        if not visit.given.get(name):
            raise Wrong(name, words)
    done = await visit.call(
        "carrier.test",
        carrier=visit.request.match_info["carrier"],
        inbox=visit.given["inbox"],
        to=visit.given["to"],
        sender=visit.given.get("sender") or None,
    )
    words = visit._(BECAME[done["state"]]) if done["state"] in BECAME else done["state"]
    return visit.go("/carriers", words, "good" if done["state"] in _WELL else "bad")


ROUTES = (
    Route(
        "GET",
        "/carriers",
        every,
        "switchboard.read",
        Menu("system", N_("Carriers of texts"), 40, N_("Who carries texts, and how each is.")),
    ),
    Route("POST", "/carriers/{carrier}/test", test, "switchboard.manage", again=every),
)
