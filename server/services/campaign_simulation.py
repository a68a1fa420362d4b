"""What a campaign would do, before anybody pays: the same decisions, asked about the whole list. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from config import contact_rules
from config.contact_rules import ContactRules
from config.settings import Settings
from retention.contact_facts import ContactFacts, Decision, Target
from server.campaign_desk import terms
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.campaigns import Found, find, move, words_for, worked_on
from server.services.contact_times import moment
from server.services.context import Services
from server.services.texts import QuoteView, send
from server.text_carriers import route
from sms import addresses, permission
from sms.addresses import Number
from sms.campaign_runner import country_of, decide_others
from sms.campaign_simulation import Line, Simulation, by_ground
from sms.campaigns import Act
from sms.carriers.carrier import Health
from sms.messages import CLASSES
from sms.permission import About, Person
from sms.routing import ALL_CLASSES, Route, carriers_for
from sms.text.templates import TemplateError
from storage import campaigns as stored
from storage.campaigns import Recipient
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class SimulationView:
    """Fields: see `server.commands.campaigns.SIMULATION`."""

    name: str
    state: str
    at: datetime
    recipients: int
    at_once: int
    later: int
    never: int
    by_ground: Mapping[str, int]
    parts: int
    most_parts: int
    codings: Mapping[str, int]
    cost_microeuros: int
    without_carrier: int
    per_minute: int
    ends_at: datetime | None
    hours_profile: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class PreviewView:
    """One line of the list as it would be read. Fields: see `server.commands.campaigns.PREVIEW`."""

    line: int
    words: str | None
    problem: str | None


async def simulate(services: Services, actor: Actor, *, login: str, name: str, at: str | None = None) -> SimulationView:
    """As if it began `at` that moment (default: when it is to begin, or now). A draft is checked by it. Raises
    Failure."""
    now = services.clock()
    async with services.db.read() as tx:
        found = await find(tx, login, name)
        words, wording = await words_for(services, tx, found)
    campaign, settings = found.campaign, services.settings
    starts = moment(at) if at else max(now, campaign.starts_at)
    if starts >= campaign.ends_at:
        raise Failure(f"the time of {name} is over by then", "Give --at before its end", "invalid")
    rules = await asyncio.to_thread(contact_rules.load)
    simulation = Simulation(
        words, wording.transliterated, rules, starts, campaign.ends_at, campaign.per_minute, settings.sms.max_parts,
        _cost(settings, found),
    )  # fmt: skip
    # A transaction for each piece: the list is long, and nobody is to wait for it.
    last = 0
    while True:
        async with services.db.read() as tx:
            some = await stored.recipients(tx, campaign.id, after=last)
            if not some:
                break
            decided, facts = await _decide(tx, found, some, settings, rules, starts)
        await asyncio.to_thread(simulation.add, some, decided, facts)
        last = some[-1].line
    ends_at = await asyncio.to_thread(simulation.ends_at)
    async with services.db.transaction() as tx:
        found = await find(tx, login, name)
        state = found.campaign.state
        if state in ("draft", "checked") and not at:
            state = str(await move(tx, found.campaign, Act.CHECK, now))
        await worked_on(tx, found, "simulate", now)
        await note(services, tx, actor, "test", "campaign", campaign_id=campaign.id, person_id=found.person.id,
                   count=simulation.recipients)  # fmt: skip
    return SimulationView(
        name=name,
        state=state,
        at=starts,
        recipients=simulation.recipients,
        at_once=simulation.at_once,
        later=simulation.later,
        never=simulation.never,
        by_ground=by_ground(simulation.grounds),
        parts=simulation.parts,
        most_parts=simulation.most_parts,
        codings=by_ground(simulation.codings),
        cost_microeuros=simulation.cost_microeuros,
        without_carrier=simulation.without_carrier,
        per_minute=campaign.per_minute,
        ends_at=ends_at,
        hours_profile=settings.sms.hours_profile,
        lines=tuple(simulation.lines),
    )


async def preview(services: Services, actor: Actor, *, login: str, name: str, lines: int = 3) -> list[PreviewView]:
    """The first lines as they would be read; what the list says of persons only with a reason. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await find(tx, login, name)
        words, _ = await words_for(services, tx, found)
        some = await stored.recipients(tx, found.campaign.id, limit=max(0, min(lines, 20)))
        views = [_preview(words.text, one, masked=actor.masked) for one in some]
        await note(services, tx, actor, "show", "campaign", campaign_id=found.campaign.id,
                   person_id=found.person.id)  # fmt: skip
    return views


async def test(services: Services, actor: Actor, *, login: str, name: str, to: str, line: int = 0) -> QuoteView:
    """Sends one text of it, with the fields of one `line` (0: the first), to a telephone of one's own. It counts for
    nothing in the campaign; whoever gets it has agreed to it like everybody. Raises Failure."""
    async with services.db.read() as tx:
        found = await find(tx, login, name, to="change")
        words, wording = await words_for(services, tx, found)
        some = await stored.recipients(tx, found.campaign.id, after=max(0, line - 1), limit=1)
    if not some or (line and some[0].line != line):
        raise Failure(f"its list has no line {line}", "Leave --line out for the first one", "not_found")
    try:
        said = words.text(some[0].fields)
    except TemplateError as error:
        raise Failure(f"line {some[0].line}: {error}", "Try another line", "invalid") from None
    return await send(
        services, actor, login=login, inbox=found.inbox.name, to=to, words=said,
        message_class="marketing" if found.campaign.message_class == "marketing" else "transactional",
        sender=found.sender.address, transliterated=wording.transliterated,
    )  # fmt: skip


def routes(settings: Settings) -> tuple[Route, ...]:
    """Carriers as the company has set them up; a SIM advertises nothing, and shows its own number."""
    return tuple(
        route(name, one, carries=ALL_CLASSES - {"marketing"}, senders=frozenset({"number"}))
        if one.kind == "modem"
        else route(name, one)
        for name, one in settings.sms.carriers.items()
    )


async def _decide(
    tx: Tx, found: Found, some: Sequence[Recipient], settings: Settings, rules: ContactRules, at: datetime
) -> tuple[Sequence[Decision], Sequence[ContactFacts | None]]:
    campaign = found.campaign
    people = [Person(one.number, country_of(one.number)) for one in some]
    if not CLASSES[campaign.message_class].needs_permission:
        return await decide_others(tx, campaign.message_class, people, at), [None] * len(some)
    about = About(campaign.sector, cast(Target, campaign.target), found.sender.address, terms(settings).hours_profile)
    facts = await permission.facts_of(tx, people, about, rules, at)
    return await asyncio.to_thread(permission.decide_many, facts, rules, at), facts


def _cost(settings: Settings, found: Found) -> Callable[[str], int | None]:
    """Of one part, by the carrier that would be asked first if all were up."""
    known, sender = routes(settings), addresses.of_text(found.sender.address)
    price, up = {one.carrier: one.cost_microeuros for one in known}, {one.carrier: Health.UP for one in known}

    def cost(number: str) -> int | None:
        chosen = carriers_for(
            known, up, message_class=found.campaign.message_class, sender=sender, recipient=Number(number),
            only=found.sender.carriers,
        )  # fmt: skip
        return price[chosen[0]] if chosen else None

    return cost


def _preview(text: Callable[[Mapping[str, str]], str], one: Recipient, *, masked: bool) -> PreviewView:
    shown = {name: "…" for name in one.fields} if masked else one.fields
    try:
        return PreviewView(one.line, text(shown), None)
    except TemplateError as error:
        return PreviewView(one.line, None, str(error))
