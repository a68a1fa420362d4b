"""Texts that are sent: written by somebody for an inbox, looked at, cancelled, and what nobody knew settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config import packs
from server.company import site_numbering
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.contact_times import moment
from server.services.context import Services
from server.services.inbox_rights import member_by_login, none_such, sender_of, to_send
from server.text_writer import TextWriter, draft, new_text
from server.week_keys import WeekKeys
from sms import address_rules, addresses
from sms.addresses import Address
from sms.messages import OPEN, State
from sms.text.segments import Plan
from sms.words import one_time_codes
from storage import conversations, inboxes, sms_sent, suppressions
from storage.conversations import Event
from storage.errors import NotFound
from storage.inboxes import Inbox, Sender
from storage.people import Person
from storage.sms_sent import Part, Sent
from storage.tx import Tx

Class = Literal["conversation", "transactional", "marketing"]
Settled = Literal["delivered", "lost"]


@dataclass(frozen=True, slots=True)
class QuoteView:
    """Fields: see `server.commands.texts.QUOTE_FIELDS`."""

    id: str | None
    to: str
    sender: str
    message_class: str
    parts: int
    coding: str
    units: int
    forced: tuple[str, ...]
    changed: tuple[str, ...]
    carriers: tuple[str, ...]
    cost_microeuros: int
    due_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class TextView:
    """Fields: see `server.commands.texts.FIELDS`."""

    id: str
    inbox: str
    to: str
    sender: str
    message_class: str
    state: str
    why: str
    parts: int
    cost_microeuros: int
    created_at: datetime
    due_at: datetime
    updated_at: datetime
    author_id: str
    evidence: str
    purpose: str
    legal_basis: str
    content_until: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StepView:
    """One thing that happened to a text. Fields: see `server.commands.texts.STEP_FIELDS`."""

    at: datetime
    what: str
    part: int | None
    by: str
    detail: str


@dataclass(frozen=True, slots=True)
class HistoryView:
    """A text with all that is known of it."""

    text: TextView
    history: tuple[StepView, ...]


async def send(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str,
    to: str,
    words: str,
    message_class: Class = "conversation",
    sender: str | None = None,
    at: str | None = None,
    transliterated: bool | None = None,
    one_time: bool = False,
    dry_run: bool = False,
    carrier: str | None = None,
) -> QuoteView:
    """Written by `login` for an inbox. `dry_run`: what it would take. `carrier`: by that one alone. Raises
    Failure."""
    recipient, now, settings = recipient_of(services, to), services.clock(), services.settings.sms
    drafted = draft(
        words,
        message_class,
        transliterated=settings.transliterate if transliterated is None else transliterated,
        max_parts=settings.max_parts,
    )
    due_at = moment(at) if at else now
    secret = one_time or (message_class == "transactional" and one_time_codes.holds(words))
    if secret and due_at > now:
        raise Failure("a one-time code is not kept until later", "Send it now", "invalid")
    if secret and services.texts is None and not dry_run:
        raise Failure("a one-time code is sent by the running daemon alone", "Type: beffroi serve", "not_running")
    async with services.db.read() as tx:
        _, box = await to_send(tx, login, inbox)
    writer = writer_of(services)
    kek = await writer.ready(box, now)
    try:
        async with services.db.transaction() as tx:
            person, box = await to_send(tx, login, inbox)
            chosen = await sender_of(tx, box, message_class, sender)
            await respect(tx, recipient, message_class)
            text = new_text(
                drafted, inbox=box, sender=chosen, recipient=addresses.as_text(recipient), author_id=person.id, now=now,
                due_at=due_at, one_time=secret,
                conversation_id=None if dry_run
                else await conversation_with(tx, box, chosen, recipient, message_class, now),
            )  # fmt: skip
            if not dry_run:
                if services.texts is not None:
                    if secret:
                        services.texts.outbox.remember(text.id, text.texts)
                    if carrier is not None:
                        services.texts.outbox.only_by(text.id, carrier)
                await sms_sent.add_all(tx, [await writer.sealed(tx, kek, text, now)], now)
            await note(services, tx, actor, "test" if dry_run else "send", "text", person_id=person.id,
                       inbox_id=box.id, text_id=None if dry_run else text.id)  # fmt: skip
    except BaseException:
        writer.forget()
        raise
    if services.texts is not None and not dry_run:
        services.texts.outbox.wake()
    return _quote(services, None if dry_run else text.id, recipient, chosen, drafted.plan, message_class, due_at,
                  text.state)  # fmt: skip


async def list_(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str | None = None,
    states: Sequence[str] = (),
    number: str | None = None,
    limit: int = 50,
) -> list[TextView]:
    """Of inboxes whose sent texts that person may see, the newest first. Raises Failure."""
    wanted = addresses.as_text(recipient_of(services, number)) if number else None
    async with services.db.transaction() as tx:
        person = await member_by_login(tx, login)
        boxes = await visible(tx, person)
        if inbox is not None:
            boxes = [box for box in boxes if box.name == inbox]
            if not boxes:
                raise none_such(inbox)
        found = await sms_sent.list_all(
            tx, inbox_ids=[box.id for box in boxes], states=states, number=wanted, limit=max(0, limit)
        )
        views = await _views(tx, found, masked=actor.masked)
        await note(services, tx, actor, "list", "text", person_id=person.id, count=len(found))
    return views


async def show(services: Services, actor: Actor, *, login: str, text: str) -> HistoryView:
    """Its whole history. Raises Failure."""
    async with services.db.transaction() as tx:
        _, found = await _seen(tx, login, text)
        [view] = await _views(tx, [found], masked=actor.masked)
        parts = (await sms_sent.parts_of(tx, [found.id]))[found.id]
        events = await conversations.events(tx, found.id)
        await note(services, tx, actor, "show", "text", text_id=found.id)
    return HistoryView(view, _history(found, parts, events))


async def cancel(services: Services, actor: Actor, *, login: str, text: str) -> TextView:
    """One that has not left. Raises Failure."""
    async with services.db.transaction() as tx:
        person, found = await _seen(tx, login, text)
        if not await sms_sent.cancel(tx, message_id=found.id, now=services.clock()):
            raise Failure(f"that text is {found.state}", "Nothing calls back what has left", "conflict")
        await note(services, tx, actor, "stop", "text", text_id=found.id, person_id=person.id)
        [view] = await _views(tx, [await sms_sent.get(tx, found.id)], masked=actor.masked)
    became_another(services, [found.id])
    return view


async def settle(services: Services, actor: Actor, *, login: str, text: str, became: Settled) -> TextView:
    """A person says what became of a text of which nobody knew; it needs a reason. Nothing is sent. Raises Failure."""
    if actor.masked:
        raise Failure("how is that known?", "Say so with --reason", "denied")
    now = services.clock()
    state = State.DELIVERED if became == "delivered" else State.UNDELIVERED
    async with services.db.transaction() as tx:
        person, found = await _seen(tx, login, text)
        if found.state != State.UNKNOWN:
            raise Failure(f"that text is {found.state}", "Only what is unknown is settled by a person", "conflict")
        doubtful = [p for p in (await sms_sent.parts_of(tx, [found.id]))[found.id] if p.state == State.UNKNOWN]
        await sms_sent.part_states(tx, [(found.id, p.number, state, "by a person") for p in doubtful], now)
        await sms_sent.set_states(tx, [(found.id, state, "by a person")], now)
        await conversations.note(tx, [Event(found.id, now, "settled", None, person.id, became)])
        await note(services, tx, actor, "change", "text", text_id=found.id, person_id=person.id)
        [view] = await _views(tx, [await sms_sent.get(tx, found.id)], masked=actor.masked)
    became_another(services, [found.id])
    return view


# --- shared with the other ways in --------------------------------------------------------------------------------


def recipient_of(services: Services, text: str) -> Address:
    """Raises Failure, without the number."""
    regions = services.settings.sms.overseas
    try:
        return address_rules.recipient(text, site_numbering(services.settings).country, regions=regions)
    except address_rules.AddressError as error:
        remedy = "Write a number with + and its country, such as +33 6 12 34 56 78"
        raise Failure(f"this is no address of a text: {error}", remedy, "invalid") from None


def writer_of(services: Services) -> TextWriter:
    """The daemon's, or one of our own."""
    if services.texts is not None:
        return services.texts.writer
    return TextWriter(WeekKeys(services.db, services.keys.ledger, escrow_alone=True))


def became_another(services: Services, message_ids: Sequence[str]) -> None:
    """What a person has made of these is committed: whoever listens is told."""
    if services.texts is not None:
        services.texts.outbox.changed(message_ids)


async def respect(tx: Tx, recipient: Address, message_class: str) -> None:
    """Who has asked for no more of any kind gets none from a person either; service messages go on (GDPR 6(1)(b)), and
    advertising is asked about again when it leaves. Raises Failure."""
    number = addresses.as_text(recipient)
    if message_class == "transactional" or not addresses.can_be_answered(recipient):
        return
    listed = await suppressions.of_number(tx, number, "sms")
    standing = [one for one in listed if one.channel == "*" and one.reason in ("objection", "order")]
    if standing or (message_class == "marketing" and listed):
        raise Failure(
            f"they have asked not to be texted, on {min(one.since for one in listed):%Y-%m-%d}",
            "Only a service message may still be sent: --class transactional",
            "denied",
        )


async def visible(tx: Tx, person: Person) -> list[Inbox]:
    """Inboxes whose sent texts that person may see."""
    theirs = {m.inbox_id for m in await inboxes.members(tx, person_id=person.id) if m.sees_sent}
    return [box for box in await inboxes.list_all(tx) if box.id in theirs]


async def conversation_with(
    tx: Tx, box: Inbox, sender: Sender, recipient: Address, message_class: str, now: datetime
) -> str | None:
    """The one that goes on with them, or a new one; None where there is none to be had."""
    if message_class != "conversation" or not addresses.can_be_answered(recipient):
        return None
    pack = packs.load()["SMS_CONVERSATION"]
    assert pack.retention is not None
    until, remote = pack.retention.after(now), addresses.as_text(recipient)
    known = await conversations.find(tx, box.id, sender.id, remote)
    if known is None:
        return await conversations.open_(tx, box.id, sender.id, remote, now, until)
    await conversations.touched(tx, [known], now, until)
    return known


async def _seen(tx: Tx, login: str, text: str) -> tuple[Person, Sent]:
    """By its id or the beginning of it; one that they may not see is not there. Raises Failure."""
    person = await member_by_login(tx, login)
    boxes = {box.id for box in await visible(tx, person)}
    none = Failure("no such text", "Type: beffroi sms list", "not_found")
    try:
        found = await sms_sent.get(tx, text)
    except NotFound:
        some = await sms_sent.beginning_with(tx, text)
        if len(some) != 1:
            raise none from None
        found = some[0]
    if found.inbox_id not in boxes:
        raise none
    return person, found


async def _views(tx: Tx, found: Sequence[Sent], *, masked: bool) -> list[TextView]:
    recipients = await sms_sent.recipients(tx, [one.id for one in found])
    names = {box.id: box.name for box in await inboxes.list_all(tx)}
    senders = {sender.id: sender.address for sender in await inboxes.senders(tx)}
    return [
        TextView(
            id=one.id,
            inbox=names[one.inbox_id],
            to=masking.number(recipients[one.id]) if masked else recipients[one.id],
            sender=senders[one.sender_id].lstrip("'"),
            message_class=one.message_class,
            state=one.state,
            why=one.why,
            parts=one.parts,
            cost_microeuros=one.cost_microeuros,
            created_at=one.created_at,
            due_at=one.due_at,
            updated_at=one.updated_at,
            author_id=one.author_id,
            evidence=one.evidence,
            purpose=one.purpose,
            legal_basis=one.legal_basis,
            content_until=one.content_until,
            expires_at=one.expires_at,
        )
        for one in found
    ]


def _history(text: Sent, parts: Sequence[Part], events: Sequence[Event]) -> tuple[StepView, ...]:
    steps = [StepView(text.created_at, "written", None, text.author_id, text.message_class)]
    for part in parts:
        number = part.number if text.parts > 1 else None
        if part.handed_at is not None:
            steps.append(StepView(part.handed_at, "handed over", number, "", part.carrier or ""))
        if part.accepted_at is not None:
            steps.append(StepView(part.accepted_at, "accepted", number, "", part.network_id or ""))
        if part.done_at is not None:
            steps.append(StepView(part.done_at, part.state, number, "", part.code or ""))
    steps += [StepView(event.at, event.what, event.part, event.actor_id or "", event.detail) for event in events]
    if text.state not in OPEN and not any(step.what == text.state for step in steps):
        steps.append(StepView(text.updated_at, text.state, None, "", text.why))
    return tuple(sorted(steps, key=lambda step: (step.at, step.part or 0)))


def _quote(
    services: Services,
    text_id: str | None,
    recipient: Address,
    sender: Sender,
    plan: Plan,
    message_class: str,
    due_at: datetime,
    state: str,
) -> QuoteView:
    carriers: tuple[str, ...] = ()
    cost = 0
    if services.texts is not None:
        outbox = services.texts.outbox
        carriers = outbox.carriers_for(message_class, sender, addresses.of_text(sender.address), recipient)
        cost = len(plan.parts) * outbox.cost_microeuros(carriers[0]) if carriers else 0
    return QuoteView(
        id=text_id,
        to=masking.number(addresses.as_text(recipient)),
        sender=sender.address.lstrip("'"),
        message_class=message_class,
        parts=len(plan.parts),
        coding=str(plan.coding),
        units=plan.units,
        forced=plan.forced,
        changed=tuple(f"{change.before} -> {change.after}" for change in plan.changed),
        carriers=carriers,
        cost_microeuros=cost,
        due_at=due_at,
        state="" if text_id is None else state,
    )
