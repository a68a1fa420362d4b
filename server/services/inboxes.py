"""Inboxes: who may read, who may write, from which address; what came in, by counts; and what becomes of it.

Words are opened in `server.services.text_rooms` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from retention import contact_case
from server.company import site_numbering
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.contact_times import moment
from server.services.context import Services
from server.services.directory import account_by_name, person_by_login
from server.services.inbox_rights import inbox_by_name, member_by_login, none_such, readable, reads, to_read, to_send
from server.services.people import readers_changed
from sms import address_rules, addresses
from sms.routing import kind_of
from storage import consents, conversations, inboxes, people, readers, sms_received, sms_sent, suppressions
from storage.conversations import Conversation, Event
from storage.inboxes import Away, Inbox, Member, Sender
from storage.people import Person
from storage.sms_received import Received, Request
from storage.tx import Tx

Kind = Literal["team", "person"]
Class = Literal["conversation", "transactional", "marketing"]
Decision = Literal["stop", "no-stop"]
LONGEST_AWAY = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class InboxView:
    """Fields: see `server.commands.inboxes.FIELDS`."""

    id: str
    name: str
    kind: str
    account: str | None
    language: str
    new: int
    held: int
    aside: int
    reads: tuple[str, ...]
    sends: tuple[str, ...]
    sees_sent: tuple[str, ...]
    senders: tuple[str, ...]
    away_until: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SenderView:
    """Fields: see `server.commands.inboxes.SENDER_FIELDS`."""

    id: str
    inbox: str
    address: str
    kind: str
    classes: tuple[str, ...]
    stop_code: str | None
    carriers: tuple[str, ...]
    approved_by: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReceivedView:
    """A text that came in, without its words. Fields: see `server.commands.inboxes.RECEIVED_FIELDS`."""

    id: str
    inbox: str
    sender: str
    state: str
    stop: str
    sorting: str
    rule: str
    parts: int
    missing: int
    received_at: datetime
    sent_at: datetime | None
    in_reply_to: str | None
    campaign_id: str | None
    conversation_id: str | None
    purpose: str
    legal_basis: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RequestView:
    """Fields: see `server.commands.inboxes.REQUEST_FIELDS`."""

    id: str
    kind: str
    inbox: str
    received_id: str
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConversationView:
    """Fields: see `server.commands.inboxes.CONVERSATION_FIELDS`."""

    id: str
    inbox: str
    remote: str
    assigned_to: str | None
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None


# --- for whoever administers -----------------------------------------------------------------------------------------


async def add(
    services: Services,
    actor: Actor,
    *,
    name: str,
    kind: Kind = "team",
    account: str | None = None,
    language: str = "fr",
) -> InboxView:
    """A person's needs the account whose phones belong to it. Raises Failure, Duplicate, Invalid."""
    async with services.db.transaction() as tx:
        account_id = None if account is None else (await account_by_name(tx, account)).id
        made = await inboxes.add(tx, name, kind, services.clock(), language=language, account_id=account_id)
        await note(services, tx, actor, "add", "inbox", inbox_id=made.id)
        [view] = await _views(tx, [made])
    _changed(services)
    return view


async def list_(services: Services, actor: Actor, *, login: str | None = None) -> list[InboxView]:
    """By name. With `login` those alone that this person may do something with. Raises Failure."""
    async with services.db.transaction() as tx:
        every = list(await inboxes.list_all(tx))
        if login is not None:
            person = await member_by_login(tx, login)
            theirs = {m.inbox_id for m in await inboxes.members(tx, person_id=person.id)}
            theirs |= {box.id for box in await readable(tx, person)}
            every = [box for box in every if box.id in theirs]
        views = await _views(tx, every)
        await note(services, tx, actor, "list", "inbox", count=len(views))
    return views


async def every(services: Services, actor: Actor) -> list[InboxView]:
    """All there are, by name, for whoever administers them: who may do what, and how many texts; never what they say.
    Raises Failure."""
    return await list_(services, actor)


async def member(
    services: Services,
    actor: Actor,
    *,
    inbox: str,
    login: str,
    reading: bool | None = None,
    sending: bool | None = None,
    sent: bool | None = None,
) -> InboxView:
    """Give or take rights: to read what comes in, to write, to see what was sent. What is not named stays. Raises
    Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        box, person = await inbox_by_name(tx, inbox), await person_by_login(tx, login)
        theirs = await inboxes.members(tx, inbox_id=box.id, person_id=person.id)
        before = theirs[0] if theirs else None
        await inboxes.set_member(
            tx,
            box.id,
            person.id,
            sends=sending if sending is not None else before is not None and before.sends,
            sees_sent=sent if sent is not None else before is not None and before.sees_sent,
            now=now,
        )
        if True in (reading, sent) and "reader" not in person.roles:
            roles = ",".join(sorted(person.roles | {"reader"}))
            raise Failure(f"{login} is no reader", f"Type: beffroi person role {login} {roles}", "conflict")
        for wanted, purpose in ((reading, box.purpose), (sent, box.sent_purpose)):
            if wanted:
                await readers.grant(tx, person.id, purpose, ledger_id(actor.who, services.keys.ledger), now)
            elif wanted is False and await readers.has_right(tx, person.id, purpose):
                await readers.revoke(tx, person.id, purpose)
        revoked = False in (reading, sending, sent)
        await note(services, tx, actor, "revoke" if revoked else "grant", "inbox", inbox_id=box.id,
                   person_id=person.id)  # fmt: skip
        [view] = await _views(tx, [box])
    await readers_changed(services)
    _changed(services)
    return view


async def close(services: Services, actor: Actor, *, inbox: str, reopen: bool = False) -> InboxView:
    """Nothing is sent from it; what comes for it goes to the sealed box. Raises Failure."""
    async with services.db.transaction() as tx:
        box = await inbox_by_name(tx, inbox)
        if box.kind == "sealed":
            raise Failure("the sealed box stays open", "It takes what belongs to nobody else", "conflict")
        await inboxes.disable(tx, box.id, None if reopen else services.clock())
        await note(services, tx, actor, "enable" if reopen else "disable", "inbox", inbox_id=box.id)
        [view] = await _views(tx, [await inboxes.get(tx, box.id)])
    _changed(services)
    return view


async def add_sender(
    services: Services,
    actor: Actor,
    *,
    inbox: str,
    address: str,
    classes: Sequence[Class] = ("conversation",),
    stop_code: str | None = None,
    carriers: Sequence[str] = (),
    approved_by: str,
) -> SenderView:
    """An address that texts are sent from, approved by a person with the role dpo or admin. Raises Failure."""
    said = _sender_address(services, address)
    kind = kind_of(said)
    if "marketing" in classes and kind == "name" and not stop_code:
        raise Failure(
            "nobody can answer STOP to a name", "Say where STOP is sent to, with --stop-code 36xxx", "invalid"
        )
    if unknown := sorted(set(carriers) - services.settings.sms.carriers.keys()):
        raise Failure(f"no carrier {unknown[0]}", "Type: beffroi carrier list", "not_found")
    async with services.db.transaction() as tx:
        box, person = await inbox_by_name(tx, inbox), await person_by_login(tx, approved_by)
        if not person.roles & {"admin", "dpo"} or person.disabled_at is not None:
            raise Failure(f"{approved_by} may approve no sender", "Somebody with the role dpo or admin may", "denied")
        made = await inboxes.add_sender(
            tx,
            box.id,
            addresses.as_text(said),
            kind,
            services.clock(),
            classes=classes,
            approved_by=person.id,
            stop_code=stop_code,
            carriers=carriers,
        )
        await note(services, tx, actor, "add", "sender", sender_id=made.id, inbox_id=box.id, person_id=person.id)
    _changed(services)
    return _sender_view(made, box.name)


async def senders(services: Services, actor: Actor, *, inbox: str | None = None) -> list[SenderView]:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        box = None if inbox is None else await inbox_by_name(tx, inbox)
        found = await inboxes.senders(tx, inbox_id=None if box is None else box.id)
        names = {one.id: one.name for one in await inboxes.list_all(tx)}
        await note(services, tx, actor, "list", "sender", count=len(found))
    return [_sender_view(one, names[one.inbox_id]) for one in found]


async def remove_sender(services: Services, actor: Actor, *, address: str) -> SenderView:
    """Nothing is sent from it any more; what is written to it still comes to its inbox. Raises Failure."""
    said = addresses.as_text(_sender_address(services, address))
    async with services.db.transaction() as tx:
        found = await inboxes.sender_by_address(tx, said)
        if found is None:
            raise Failure("nothing is sent from that address", "Type: beffroi inbox senders", "not_found")
        await inboxes.disable_sender(tx, found.id, services.clock())
        await note(services, tx, actor, "disable", "sender", sender_id=found.id)
        found, box = await inboxes.sender(tx, found.id), await inboxes.get(tx, found.inbox_id)
    _changed(services)
    return _sender_view(found, box.name)


# --- for whoever reads and answers -----------------------------------------------------------------------------------


async def received(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str,
    states: Sequence[str] = (),
    limit: int = 50,
) -> list[ReceivedView]:
    """What came in, the newest first, without its words. Raises Failure."""
    async with services.db.transaction() as tx:
        person, box = await to_read(tx, login, inbox)
        found = await sms_received.list_all(tx, inbox_ids=[box.id], states=states, limit=max(0, limit))
        views = await _received(tx, found, masked=actor.masked)
        await note(services, tx, actor, "list", "inbox", inbox_id=box.id, person_id=person.id, count=len(found))
    return views


async def handled(services: Services, actor: Actor, *, login: str, text: str) -> ReceivedView:
    """Somebody has seen to it. Raises Failure."""
    async with services.db.transaction() as tx:
        person, found = await text_of(tx, login, text)
        await sms_received.set_state(tx, found.id, "handled", person.id, services.clock())
        await note(services, tx, actor, "change", "text", text_id=found.id, person_id=person.id)
        [view] = await _received(tx, [await sms_received.get(tx, found.id)], masked=actor.masked)
    return view


async def decide(services: Services, actor: Actor, *, login: str, text: str, is_: Decision) -> ReceivedView:
    """A person says whether a doubtful text meant STOP. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        person, found = await text_of(tx, login, text)
        if found.state != "held":
            raise Failure("nothing is in doubt about that text", "Type: beffroi inbox list", "conflict")
        if is_ == "stop":
            remote, _ = (await sms_received.addresses(tx, [found.id]))[found.id]
            await stop(tx, remote, "sms", now)
        await sms_received.decided(tx, found.id, "stop" if is_ == "stop" else "none", person.id, now)
        await note(services, tx, actor, "change", "text", text_id=found.id, person_id=person.id)
        [view] = await _received(tx, [await sms_received.get(tx, found.id)], masked=actor.masked)
    return view


async def set_away(
    services: Services, actor: Actor, *, login: str, inbox: str, words: str | None = None, until: str | None = None
) -> InboxView:
    """The out-of-office answer, by whoever may write from that inbox; without words there is none. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        person, box = await to_send(tx, login, inbox)
        away = None
        if words:
            ends = moment(until) if until else now + timedelta(days=14)
            if not now < ends <= now + LONGEST_AWAY:
                raise Failure("until when?", "Name a day ahead, within a year, with --until", "invalid")
            away = Away(words, ends)
        await inboxes.set_away(tx, box.id, away)
        await note(services, tx, actor, "change", "inbox", inbox_id=box.id, person_id=person.id)
        [view] = await _views(tx, [await inboxes.get(tx, box.id)])
    _changed(services)
    return view


async def requests(services: Services, actor: Actor, *, login: str) -> list[RequestView]:
    """What texts ask for and nobody has done yet, in inboxes that this person reads; all of them for a dpo. Raises
    Failure."""
    async with services.db.transaction() as tx:
        person = await member_by_login(tx, login)
        boxes = await inboxes.list_all(tx) if "dpo" in person.roles else await readable(tx, person)
        every = {box.id: box.name for box in boxes}
        found = await sms_received.requests(tx, inbox_ids=list(every))
        await note(services, tx, actor, "list", "request", person_id=person.id, count=len(found))
    return [_request(one, every[one.inbox_id]) for one in found]


async def close_request(services: Services, actor: Actor, *, login: str, request: str) -> RequestView:
    """It is done; it needs a reason that says how. Raises Failure, NotFound, Conflict."""
    if actor.masked:
        raise Failure("what was done?", "Say so with --reason", "denied")
    async with services.db.transaction() as tx:
        person = await member_by_login(tx, login)
        boxes = await inboxes.list_all(tx) if "dpo" in person.roles else await readable(tx, person)
        names = {box.id: box.name for box in boxes}
        found = [one for one in await sms_received.requests(tx) if one.id.startswith(request) and len(request) >= 4]
        mine = [one for one in found if one.inbox_id in names]
        if len(mine) != 1:
            raise Failure("no such request", "Type: beffroi inbox requests", "not_found")
        await sms_received.close_request(tx, mine[0].id, person.id, services.clock())
        await note(services, tx, actor, "change", "request", request_id=mine[0].id, person_id=person.id)
    return _request(mine[0], names[mine[0].inbox_id])


async def list_conversations(
    services: Services, actor: Actor, *, login: str, inbox: str, limit: int = 50
) -> list[ConversationView]:
    """Open ones, the newest first. Raises Failure."""
    async with services.db.transaction() as tx:
        person, box = await to_read(tx, login, inbox)
        found = await conversations.list_all(tx, [box.id], limit=max(0, limit))
        views = await _conversations(tx, found, box.name, masked=actor.masked)
        await note(services, tx, actor, "list", "conversation", inbox_id=box.id, person_id=person.id, count=len(found))
    return views


async def hand_over(
    services: Services, actor: Actor, *, login: str, conversation: str, to: str | None = None, close: bool = False
) -> ConversationView:
    """To another reader of the same inbox (nobody: whoever comes), with a trace; or close it. Raises Failure."""
    now = services.clock()
    async with services.db.transaction() as tx:
        person = await member_by_login(tx, login)
        found, box = await _conversation_of(tx, person, conversation)
        target = None if to is None else await member_by_login(tx, to)
        if target is not None and not await reads(tx, target, box):
            raise Failure(f"{to} does not read {box.name}", "Hand it to one of its readers", "denied")
        if close:
            await conversations.close(tx, found.id, now)
        else:
            await conversations.assign(tx, found.id, None if target is None else target.id)
        what, whom = ("closed", "") if close else ("handed over", "" if target is None else target.id)
        await conversations.note(tx, [Event(found.id, now, what, None, person.id, whom)])
        await note(services, tx, actor, "change", "conversation", conversation_id=found.id, person_id=person.id)
        [view] = await _conversations(tx, [await conversations.get(tx, found.id)], box.name, masked=actor.masked)
    return view


# --- shared ----------------------------------------------------------------------------------------------------------


async def text_of(tx: Tx, login: str, text: str) -> tuple[Person, Received]:
    """By its id or the beginning of it; one that they may not read is not there. Raises Failure."""
    person = await member_by_login(tx, login)
    none = Failure("no such text", "Type: beffroi inbox list", "not_found")
    found = await sms_received.beginning_with(tx, text)
    if len(found) != 1 or not await reads(tx, person, await inboxes.get(tx, found[0].inbox_id)):
        raise none
    return person, found[0]


async def stop(tx: Tx, remote: str, channel: str, now: datetime) -> None:
    """Somebody wants no more, as a person has read it: the same as when the words were plain."""
    pack = contact_case.pack_of(contact_case.SUPPRESSION_PACK)
    await suppressions.add(
        tx, remote, now, channel=channel, reason="withdrawal", source="sms", since=now, until=None,
        purpose=pack.purpose, legal_basis=pack.legal_basis,
        kept_until=contact_case.kept_until(contact_case.SUPPRESSION_PACK, now),
    )  # fmt: skip
    proof = contact_case.kept_until(contact_case.EVIDENCE_PACK, now)
    for consent in await consents.of_number(tx, remote):
        if consent.withdrawn_at is None and consent.channel == "sms":
            await consents.withdraw(tx, consent.id, "sms", now, proof)
    await sms_sent.cancel_marketing(tx, remote, now)


def _changed(services: Services) -> None:
    if services.texts is not None:
        services.texts.changed()


def _sender_address(services: Services, text: str) -> addresses.Address:
    try:
        return address_rules.sender(text, site_numbering(services.settings).country)
    except address_rules.AddressError as error:
        remedy = "Write a number, a short code, or a name of 3 to 11 letters and digits"
        raise Failure(f"nothing can be sent from there: {error}", remedy, "invalid") from None


async def _views(tx: Tx, found: Sequence[Inbox]) -> list[InboxView]:
    counts = await sms_received.counts(tx, [box.id for box in found])
    logins = await people.logins(tx)
    members, senders_of, readers_of = dict[str, list[Member]](), dict[str, list[Sender]](), dict[str, set[str]]()
    for member in await inboxes.members(tx):
        members.setdefault(member.inbox_id, []).append(member)
    for sender in await inboxes.senders(tx):
        senders_of.setdefault(sender.inbox_id, []).append(sender)
    for right in await readers.rights(tx):
        readers_of.setdefault(right.purpose, set()).add(right.person_id)
    views = []
    for box in found:
        of_box = members.get(box.id, [])
        views.append(
            InboxView(
                id=box.id,
                name=box.name,
                kind=box.kind,
                account=box.account_id,
                language=box.language,
                new=counts[box.id].get("new", 0),
                held=counts[box.id].get("held", 0),
                aside=counts[box.id].get("aside", 0),
                reads=tuple(sorted(logins[one] for one in readers_of.get(box.purpose, ()))),
                sends=tuple(sorted(logins[m.person_id] for m in of_box if m.sends)),
                sees_sent=tuple(sorted(logins[m.person_id] for m in of_box if m.sees_sent)),
                senders=tuple(one.address.lstrip("'") for one in senders_of.get(box.id, ()) if one.disabled_at is None),
                away_until=None if box.away is None else box.away.until,
                disabled_at=box.disabled_at,
            )
        )
    return views


def _sender_view(one: inboxes.Sender, inbox: str) -> SenderView:
    return SenderView(
        one.id, inbox, one.address.lstrip("'"), one.kind, one.classes, one.stop_code, one.carriers, one.approved_by,
        one.created_at, one.disabled_at,
    )  # fmt: skip


async def _received(tx: Tx, found: Sequence[Received], *, masked: bool) -> list[ReceivedView]:
    remotes = await sms_received.addresses(tx, [one.id for one in found])
    names = {box.id: box.name for box in await inboxes.list_all(tx)}
    return [
        ReceivedView(
            id=one.id,
            inbox=names[one.inbox_id],
            sender=masking.number(remotes[one.id][0]) if masked else remotes[one.id][0].lstrip("'"),
            state=one.state,
            stop=one.stop,
            sorting=one.sorting,
            rule=one.rule,
            parts=one.parts,
            missing=one.missing,
            received_at=one.received_at,
            sent_at=one.sent_at,
            in_reply_to=one.in_reply_to,
            campaign_id=one.campaign_id,
            conversation_id=one.conversation_id,
            purpose=one.purpose,
            legal_basis=one.legal_basis,
            expires_at=one.expires_at,
        )
        for one in found
    ]


def _request(one: Request, inbox: str) -> RequestView:
    return RequestView(one.id, one.kind, inbox, one.received_id, one.opened_at, one.due_at, one.closed_at)


async def _conversation_of(tx: Tx, person: Person, beginning: str) -> tuple[Conversation, Inbox]:
    boxes = {box.id: box for box in await readable(tx, person)}
    found = await conversations.beginning_with(tx, beginning, list(boxes))
    if len(found) == 1:
        return found[0], boxes[found[0].inbox_id]
    raise Failure("no such conversation", "Type: beffroi inbox conversations", "not_found")


async def _conversations(tx: Tx, found: Sequence[Conversation], inbox: str, *, masked: bool) -> list[ConversationView]:
    remotes = await conversations.remotes(tx, [one.id for one in found])
    logins = await people.logins(tx) if any(one.assigned_to for one in found) else {}
    return [
        ConversationView(
            id=one.id,
            inbox=inbox,
            remote=masking.number(remotes[one.id]) if masked else remotes[one.id],
            assigned_to=None if one.assigned_to is None else logins.get(one.assigned_to, one.assigned_to),
            opened_at=one.opened_at,
            last_at=one.last_at,
            closed_at=one.closed_at,
        )
        for one in found
    ]


__all__ = [
    "add", "add_sender", "close", "close_request", "decide", "every", "hand_over", "handled",
    "list_", "list_conversations",
    "member", "none_such", "received", "remove_sender", "requests", "senders", "set_away", "text_of",
]  # fmt: skip
