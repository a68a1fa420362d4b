"""Campaigns: written and listed by whoever may send from an inbox, approved by somebody else, started, stopped, seen.

Whoever may do nothing with the inbox of a campaign is told that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from config import packs
from config.contact_kinds import TARGETS
from server.campaign_desk import terms
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.consents import known_sector
from server.services.contact_times import moment
from server.services.context import Services
from server.services.inbox_rights import member_by_login, membership, reads, sender_of, to_send
from server.services.texts import became_another
from sms import addresses, campaigns
from sms.campaign_runner import figures, seal_of
from sms.campaign_words import UnstoppableError, Words, words_of
from sms.campaigns import Act, NotNowError, State
from sms.messages import CLASSES
from sms.text.templates import TemplateError
from storage import campaigns as stored
from storage import conversations, inboxes, sms_sent
from storage.campaigns import Campaign, Wording
from storage.conversations import Event
from storage.errors import NotFound
from storage.inboxes import Inbox, Sender
from storage.people import Person
from storage.tx import Tx

Class = Literal["marketing", "transactional"]
DPO = "dpo"
MAY = ("read", "change", "stop")
"""Read its list and what became of it, line by line; change it, submit and start it; pause and cancel it."""
LASTS = timedelta(days=7)  # where nobody says when it ends
LONGEST = timedelta(days=90)
MOST_PER_MINUTE = 60_000
_ONE_LOOK, _MOST_WATCHED = timedelta(minutes=5), 1000
_watched: dict[tuple[str, str], datetime] = {}  # session and campaign -> when its looking was written down
_LEDGER = {
    Act.SUBMIT: "move", Act.APPROVE: "approve", Act.START: "start", Act.PAUSE: "disable", Act.RESUME: "enable",
    Act.CANCEL: "stop",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CampaignView:
    """Fields: see `server.commands.campaigns.FIELDS`."""

    name: str
    id: str
    inbox: str
    sender: str
    message_class: str
    sector: str
    target: str
    language: str
    state: str
    why: str
    recipients: int
    per_minute: int
    starts_at: datetime
    ends_at: datetime
    created_by: str
    approved_by: str | None
    approved_sha256: str | None
    template: str | None
    transliterated: bool | None
    may: tuple[str, ...] | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StatsView:
    """Fields: see `server.commands.campaigns.STATS`."""

    name: str
    state: str
    why: str
    recipients: int
    waiting: int
    later: int
    refused: int
    cancelled: int
    queued: int
    sent: int
    delivered: int
    failed: int
    unknown: int
    replies: int
    opt_outs: int
    opt_out_per_mille: int | None
    by_ground: Mapping[str, int]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class FateView:
    """One line of the list. Fields: see `server.commands.campaigns.LINES`."""

    line: int
    state: str
    why: str
    due_at: datetime
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A campaign, and who asks for it. `may`: what they may do with it, in `MAY`."""

    campaign: Campaign
    inbox: Inbox
    sender: Sender
    person: Person
    may: tuple[str, ...] = ()


async def add(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str,
    name: str,
    template: str,
    message_class: Class = "marketing",
    sector: str = "other",
    target: str = "ask",
    sender: str | None = None,
    language: str | None = None,
    per_minute: int = 60,
    starts_at: str | None = None,
    ends_at: str | None = None,
    transliterated: bool | None = None,
) -> CampaignView:
    """A draft without a list. `sector`: what consents have to be for. Raises Failure."""
    now, settings = services.clock(), services.settings.sms
    begins, ends = _span(now, starts_at, ends_at)
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise Failure(f"{per_minute} a minute is no pace", f"Give --per-minute from 1 to {MOST_PER_MINUTE}", "invalid")
    if target not in TARGETS | {"ask"}:
        raise Failure(f"no target {target[:40]}", "Choose consumer, professional or ask", "invalid")
    async with services.db.transaction() as tx:
        person, box = await to_send(tx, login, inbox)
        chosen = await sender_of(tx, box, message_class, sender)
        wording = Wording(template, settings.transliterate if transliterated is None else transliterated)
        pack = packs.load()[CLASSES[message_class].pack]
        assert pack.retention is not None  # checked when it was read
        made = await stored.add(
            tx, now, wording, name=name, inbox_id=box.id, sender_id=chosen.id, message_class=message_class,
            sector=known_sector(sector), target=target, language=language or box.language, per_minute=per_minute,
            starts_at=begins, ends_at=ends, created_by=person.id, expires_at=pack.retention.after(ends),
        )  # fmt: skip
        found = Found(made, box, chosen, person, MAY)
        await _done(services, tx, actor, found, "add", now)
        return await _view(services, tx, found, wording)


async def edit(
    services: Services,
    actor: Actor,
    *,
    login: str,
    name: str,
    template: str,
    transliterated: bool | None = None,
) -> CampaignView:
    """Other words: it is a draft again. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="change")
        before = await stored.wording(tx, found.campaign.id)
        said = Wording(template, before.transliterated if transliterated is None else transliterated)
        await stored.set_wording(tx, found.campaign.id, said)
        await move(tx, found.campaign, Act.CHANGE, now)
        await _done(services, tx, actor, found, "change", now)
        return await _view(services, tx, await find(tx, login, name), said)


async def list_(
    services: Services, actor: Actor, *, login: str, state: str | None = None, limit: int = 50
) -> list[CampaignView]:
    """Of inboxes with which that person may do something, and what they have started and still goes on; the newest
    first. Raises Failure."""
    async with services.db.transaction() as tx:
        person = await member_by_login(tx, login)
        boxes = {box.id: box for box in await inboxes.list_all(tx)}
        seen = [box.id for box in boxes.values() if await _sees(tx, person, box)]
        states = (state,) if state else ()
        some = [*await stored.list_all(tx, inbox_ids=seen, states=states, limit=max(0, limit))]
        for goes_on in (State.RUNNING, State.PAUSED):
            if not state or state == goes_on:
                others = [one for one in await stored.list_all(tx, states=(goes_on,)) if one.inbox_id not in seen]
                some += [one for one in others if await _has_started(tx, one, person)]
        some = sorted(some, key=lambda one: one.created_at, reverse=True)[: max(0, limit)]
        senders = {one.id: one for one in await inboxes.senders(tx)}
        views = [
            await _view(services, tx, Found(one, boxes[one.inbox_id], senders[one.sender_id], person)) for one in some
        ]
        await note(services, tx, actor, "list", "campaign", person_id=person.id, count=len(views))
    return views


async def show(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """With its words. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="")
        said = await stored.wording(tx, found.campaign.id)
        await note(services, tx, actor, "show", "campaign", campaign_id=found.campaign.id, person_id=found.person.id)
        return await _view(services, tx, found, said)


async def submit(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """What was simulated is to be sent: a second person has to approve it, where the company wants one. Raises
    Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="change")
        await move(tx, found.campaign, Act.SUBMIT, now)
        if services.settings.sms.campaign_approval == "one":
            await _approve(tx, replaced(found.campaign, State.WAITING), found.person, now)
        await _done(services, tx, actor, found, Act.SUBMIT, now)
        return await _view(services, tx, await find(tx, login, name))


async def approve(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """By somebody who has written nothing of it: who may send from that inbox too, or a data protection officer. From
    now on nothing of it changes. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name)
        theirs = await membership(tx, found.person, found.inbox)
        if DPO not in found.person.roles and (theirs is None or not theirs.sends):
            remedy = "Somebody who may send from its inbox approves it, or a data protection officer"
            raise Failure(f"{login} may not approve {name}", remedy, "denied")
        wrote = {one.actor_id for one in await conversations.events(tx, found.campaign.id)} | {
            found.campaign.created_by
        }
        if found.person.id in wrote:
            raise Failure(f"{login} has worked on {name}", "Somebody else has to approve it", "denied")
        await _approve(tx, found.campaign, found.person, now)
        await _done(services, tx, actor, found, Act.APPROVE, now)
        return await _view(services, tx, await find(tx, login, name))


async def start(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """Raises Failure."""
    async with services.db.read() as tx:
        found = await find(tx, login, name, to="change")
    if found.campaign.ends_at <= services.clock():
        raise Failure(f"the time of {name} is over", "Cancel it, and make another one", "conflict")
    return await _act(services, actor, login, name, Act.START)


async def pause(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """What is queued already goes out. Whoever has started it may do it, whatever else they may do by now. Raises
    Failure."""
    return await _act(services, actor, login, name, Act.PAUSE, to="stop")


async def resume(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """Raises Failure."""
    return await _act(services, actor, login, name, Act.RESUME)


async def cancel(services: Services, actor: Actor, *, login: str, name: str) -> CampaignView:
    """Nobody else gets it; what is queued is not sent either. Allowed as `pause` is. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="stop")
        await move(tx, found.campaign, Act.CANCEL, now)
        await stored.end_recipients(tx, found.campaign.id, "cancelled", "")
        queued = await sms_sent.waiting_of(tx, found.campaign.id)
        await sms_sent.cancel(tx, campaign_id=found.campaign.id, now=now)
        await _done(services, tx, actor, found, Act.CANCEL, now)
        view = await _view(services, tx, await _as_it_is(tx, found))
    became_another(services, queued)
    _wake(services)
    return view


async def stats(services: Services, actor: Actor, *, login: str, name: str) -> StatsView:
    """As it stands now; they are sums, and name nobody. Who watches a page of them has looked once. Raises Failure."""
    async with services.db.read() as tx:
        found = await find(tx, login, name, to="")
        said = await figures(tx, found.campaign.id)
        next_at = await stored.next_due(tx, found.campaign.id)
    one, now = found.campaign, services.clock()
    if not _watches(actor, one.id, now):
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "show", "campaign", campaign_id=one.id, person_id=found.person.id)
        _looked(actor, one.id, now)
    values = {field: getattr(said, field) for field in campaigns.Figures.__slots__}
    return StatsView(
        name=one.name, state=one.state, why=one.why, opt_out_per_mille=said.opt_out_per_mille, next_at=next_at, **values
    )


async def lines(
    services: Services, actor: Actor, *, login: str, name: str, state: str | None = None, limit: int = 100
) -> list[FateView]:
    """What became of each line of the list; no number. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await find(tx, login, name)
        states = (state,) if state else ()
        some = await stored.fates(tx, found.campaign.id, states=states, limit=max(0, limit))
        await note(services, tx, actor, "list", "campaign", campaign_id=found.campaign.id,
                   person_id=found.person.id, count=len(some))  # fmt: skip
    return [FateView(one.line, one.state, one.why, one.due_at, one.message_id) for one in some]


# --- shared with the list and the simulation ------------------------------------------------------------------------


async def find(tx: Tx, login: str, name: str, *, to: str = "read") -> Found:
    """`to`: what they have to be allowed, of `MAY`; "": any of it. Raises Failure: as if it were not there, for whoever
    may do nothing with it."""
    person = await member_by_login(tx, login)
    none = Failure(f"no campaign {name[:40]}", "Type: beffroi campaign list", "not_found")
    try:
        campaign = await stored.by_name(tx, name)
    except NotFound:
        raise none from None
    inbox = await inboxes.get(tx, campaign.inbox_id)
    may = await _may(tx, campaign, inbox, person)
    if not may or (to == "read" and to not in may):
        raise none
    if to and to not in may:
        raise Failure(f"{login} may not write from {inbox.name}", "Type: beffroi inbox member", "denied")
    return Found(campaign, inbox, await inboxes.sender(tx, campaign.sender_id), person, may)


async def move(tx: Tx, campaign: Campaign, act: Act, now: datetime, **values: Any) -> State:
    """The state that it is in now. Raises Failure, Conflict."""
    try:
        state = campaigns.after(State(campaign.state), act)
    except NotNowError as error:
        raise Failure(f"{campaign.name}: {error}", f"Type: beffroi campaign show {campaign.name}", "conflict") from None
    await stored.move(tx, campaign.id, campaign.state, state, now, **values)
    return state


async def words_for(services: Services, tx: Tx, found: Found) -> tuple[Words, Wording]:
    """Its words, checked against the columns of its list. Raises Failure."""
    said, some = await stored.wording(tx, found.campaign.id), await stored.recipients(tx, found.campaign.id, limit=1)
    if not some:
        raise Failure(f"{found.campaign.name} has no list", "Type: beffroi campaign import", "conflict")
    company = terms(services.settings)
    try:
        words = words_of(
            said.template,
            some[0].fields,
            message_class=found.campaign.message_class,
            identity=company.identity,
            language=found.campaign.language,
            sender=addresses.of_text(found.sender.address),
            stop_code=found.sender.stop_code,
            country=company.country,
        )
    except TemplateError as error:
        raise Failure(f"its words: {error}", "Correct them: beffroi campaign edit", "invalid") from None
    except UnstoppableError as error:
        raise Failure(f"its sender: {error}", "Choose another sender, or have its code entered", "invalid") from None
    return words, said


async def worked_on(tx: Tx, found: Found, what: str, now: datetime) -> None:
    """Who has a hand in it does not approve it."""
    await conversations.note(tx, [Event(found.campaign.id, now, what, actor_id=found.person.id)])


def replaced(campaign: Campaign, state: State) -> Campaign:
    return replace(campaign, state=str(state))


def _watches(actor: Actor, campaign_id: str, now: datetime) -> bool:
    """Whether the same session has looked at the same figures just before, and that is written down."""
    before = None if actor.session is None else _watched.get((actor.session, campaign_id))
    return before is not None and before <= now < before + _ONE_LOOK


def _looked(actor: Actor, campaign_id: str, now: datetime) -> None:
    """It is written down."""
    if actor.session is None:
        return
    if len(_watched) >= _MOST_WATCHED:
        _watched.clear()
    _watched[actor.session, campaign_id] = now


async def _act(
    services: Services, actor: Actor, login: str, name: str, act: Act, *, to: str = "change"
) -> CampaignView:
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to=to)
        await move(tx, found.campaign, act, now, why="")
        await _done(services, tx, actor, found, act, now)
        view = await _view(services, tx, await _as_it_is(tx, found))
    _wake(services)
    return view


async def _approve(tx: Tx, campaign: Campaign, person: Person, now: datetime) -> None:
    sealed = await seal_of(tx, campaign)
    await move(tx, campaign, Act.APPROVE, now, approved_by=person.id, approved_sha256=sealed)


async def _done(services: Services, tx: Tx, actor: Actor, found: Found, act: Act | str, now: datetime) -> None:
    await worked_on(tx, found, str(act), now)
    action = _LEDGER[act] if isinstance(act, Act) else act
    await note(services, tx, actor, action, "campaign", campaign_id=found.campaign.id, inbox_id=found.inbox.id,
               person_id=found.person.id)  # fmt: skip


async def _sees(tx: Tx, person: Person, inbox: Inbox) -> bool:
    return DPO in person.roles or await membership(tx, person, inbox) is not None or await reads(tx, person, inbox)


async def _may(tx: Tx, campaign: Campaign, inbox: Inbox, person: Person) -> tuple[str, ...]:
    theirs = await membership(tx, person, inbox)
    if theirs is not None and theirs.sends:
        return MAY
    may = ("read",) if await _sees(tx, person, inbox) else ()
    return (*may, "stop") if await _has_started(tx, campaign, person) else may


async def _has_started(tx: Tx, campaign: Campaign, person: Person) -> bool:
    """Whether it goes out on their word: they have started it, or somebody else has what they have written."""
    started = [one.actor_id for one in await conversations.events(tx, campaign.id) if one.what == Act.START]
    return bool(started) and person.id in (campaign.created_by, *started)


async def _as_it_is(tx: Tx, found: Found) -> Found:
    return replace(found, campaign=await stored.get(tx, found.campaign.id))


def _wake(services: Services) -> None:
    if services.campaigns is not None:
        services.campaigns.wake()


def _span(now: datetime, starts_at: str | None, ends_at: str | None) -> tuple[datetime, datetime]:
    begins = moment(starts_at) if starts_at else now
    ends = moment(ends_at) if ends_at else begins + LASTS
    if not now < ends or not begins < ends <= begins + LONGEST:
        raise Failure(
            "that is no time for a campaign",
            f"It ends after it begins, after now, and within {LONGEST.days} days",
            "invalid",
        )
    return begins, ends


async def _view(services: Services, tx: Tx, found: Found, said: Wording | None = None) -> CampaignView:
    """With its words and what they may do with it where `said` is given."""
    one = found.campaign
    names = {field: getattr(one, field) for field in _SAME}
    return CampaignView(
        **names,
        inbox=found.inbox.name,
        sender=masking.number(found.sender.address)
        if found.sender.kind == "number"
        else found.sender.address.lstrip("'"),
        recipients=sum((await stored.counts(tx, one.id)).values()),
        template=said.template if said else None,
        transliterated=said.transliterated if said else None,
        may=found.may if said else None,
    )


_OWN = ("inbox", "sender", "recipients", "template", "transliterated", "may")
_SAME = tuple(name for name in CampaignView.__slots__ if name not in _OWN)
