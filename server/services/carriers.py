"""Carriers of texts: how they are, and whether one takes a text now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.texts import QuoteView, send
from sms.messages import State
from sms.routing import Route
from storage import sms_sent

TEST_WORDS = "Beffroi: test"
WAIT_S = 45.0


@dataclass(frozen=True, slots=True)
class CarrierView:
    """Fields: see `server.commands.carriers.FIELDS`."""

    name: str
    kind: str
    health: str
    since: datetime | None
    why: str
    in_flight: int
    prefixes: tuple[str, ...]
    classes: tuple[str, ...]
    part_cost_microeuros: int
    preference: int


async def list_(services: Services, actor: Actor) -> list[CarrierView]:
    """As the configuration has them, and how they are where the daemon runs. Raises Failure."""
    chosen = services.settings.sms.carriers
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "list", "carrier", count=len(chosen))
    routes: dict[str, Route] = {}
    states = {}
    if services.texts is not None:
        routes = {carrier.name: route for carrier, route in services.texts.carriers}
        states = {carrier.name: carrier.state() for carrier, _ in services.texts.carriers}
    views = []
    for name, carrier in chosen.items():
        state, route = states.get(name), routes.get(name)
        views.append(
            CarrierView(
                name=name,
                kind=carrier.kind,
                health="" if state is None else str(state.health),
                since=None if state is None else state.since,
                why="" if state is None else state.why,
                in_flight=0 if state is None else state.in_flight,
                prefixes=tuple(carrier.prefixes),
                classes=tuple(carrier.classes) if route is None else tuple(sorted(route.classes)),
                part_cost_microeuros=carrier.part_cost_microeuros,
                preference=carrier.preference,
            )
        )
    return views


async def test(
    services: Services, actor: Actor, *, carrier: str, login: str, inbox: str, to: str, sender: str | None = None
) -> QuoteView:
    """Send a service text of a few words by that carrier alone; returns what became of it within 45 s. Raises
    Failure."""
    if services.texts is None:
        raise Failure("the daemon is not running", "Type: beffroi serve", "not_running")
    outbox = services.texts.outbox
    if carrier not in outbox.states():
        raise Failure(f"no carrier {carrier}", "Type: beffroi carrier list", "not_found")
    quote = await send(
        services, actor, login=login, inbox=inbox, to=to, words=TEST_WORDS, message_class="transactional",
        sender=sender, carrier=carrier,
    )  # fmt: skip
    assert quote.id is not None
    state = quote.state
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                async with services.db.read() as tx:
                    state = (await sms_sent.get(tx, quote.id)).state
                if state not in (State.QUEUED, State.HELD, State.SENDING):
                    break
                await asyncio.sleep(0.2)
    except TimeoutError:
        pass
    return QuoteView(**{name: getattr(quote, name) for name in QuoteView.__slots__} | {"state": state})
