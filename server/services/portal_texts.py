"""Conversations with their words, in the browser: for who may read that inbox, once their room is unlocked.

The words are opened in the room of the session (`recording.reader_room`, as recordings are) and pass through the
daemon's memory to the browser; they are kept nowhere. Before the first time that a text is shown in a room an entry for
it is committed, with the reason that was given when the room was unlocked for texts. What is not shown is not opened
either: what is older than the newest so many, and what this reader has no key for, stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from recording.reader_room_client import RoomGone, RoomRefused, SealedText
from server.failure import Failure
from server.reader_rooms import ReaderRoom
from server.rights import Identity
from server.services import permitted, portal_listening
from server.services.actor import Actor, is_reason
from server.services.audit import MAX_REASON_CHARS, note
from server.services.context import Services
from server.services.failures import told
from server.services.inbox_rights import membership, readable, to_read
from server.services.texts import visible
from sms import sealing
from storage import conversations, inboxes, people, sms_keys, sms_received, sms_sent
from storage.conversations import Conversation
from storage.errors import NotFound
from storage.inboxes import Inbox, Sender
from storage.people import Person
from storage.tx import Tx

BY_RIGHT = "inbox.list"  # the operation whose rule counts here
CLASS = "conversation"  # of an answer
MOST = 200  # texts that are shown of a conversation: the newest
AT_ONCE = 5  # texts in one request to the room


@dataclass(frozen=True, slots=True)
class TextView:
    """`ours`: it was sent from here. `words` None: this reader's key does not open it, or they are kept no longer."""

    id: str
    at: datetime
    ours: bool
    state: str
    stop: str
    missing: int
    words: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Thread:
    """The oldest text first. `apart`: how many were set aside as risky; theirs are the `texts` where that was asked.

    `sends`: this person may write from this inbox. `can_answer`: answers may leave from the address that it is with.
    """

    inbox: str
    remote: str = field(repr=False)
    texts: tuple[TextView, ...] = field(repr=False)
    apart: int
    sends: bool
    can_answer: bool
    closed_at: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation that this person may open. `ours`: the address of ours that it is with."""

    person: Person
    box: Inbox
    conversation: Conversation
    ours: Sender
    remote: str = field(repr=False)
    sends: bool

    @property
    def can_answer(self) -> bool:
        return self.ours.disabled_at is None and CLASS in self.ours.classes


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What is shown of a conversation: what stands beside the words, the oldest first; and of those that this reader
    has a key for, what is sealed."""

    views: Sequence[TextView] = field(repr=False)
    sealed: Sequence[SealedText] = field(repr=False)
    wraps: Mapping[str, bytes] = field(repr=False)
    apart: int


async def may_open(services: Services, identity: Identity, *, workstation: str, inbox: str, conversation: str) -> bool:
    """Whether the session's room is open, and a reason was given. Raises Failure where there is no such conversation
    for this person."""
    await _talk(services, identity, workstation, inbox, conversation)
    room = services.reader_rooms.of(identity.session_id, services.clock())
    return room is not None and bool(room.reason)


async def unlock(
    services: Services, identity: Identity, *, workstation: str, passphrase: str, code: str, reason: str
) -> None:
    """The session's room, for texts; one that is open needs the reason alone. Raises Failure: also for a reason that
    the access log would not keep whole."""
    said = reason.strip()
    if not is_reason(said):
        raise Failure("reading needs a reason", "Say why, in a few words", "invalid")
    if len(said) > MAX_REASON_CHARS:
        raise Failure("the reason is too long", "Say why in 500 characters at most", "invalid")
    permitted.acting(identity, workstation=workstation, reason=said)
    if services.reader_rooms.of(identity.session_id, services.clock()) is None:
        await portal_listening.unlock(
            services, identity, workstation=workstation, passphrase=passphrase, code=code, by=BY_RIGHT
        )
    room = services.reader_rooms.of(identity.session_id, services.clock())
    if room is not None:
        room.reason = said


async def thread(
    services: Services, identity: Identity, *, workstation: str, inbox: str, conversation: str, apart: bool = False
) -> Thread:
    """With its words; `apart`: those that were set aside, and nothing else. Raises Failure."""
    talk = await _talk(services, identity, workstation, inbox, conversation)
    room = _room(services, identity)
    shelf = await _shelf(services, talk, apart=apart)
    actor = Actor(identity.person_id, workstation, room.reason, session=identity.session_id)
    await _note(services, actor, room, talk, shelf)
    words = await _words(services, room, shelf)
    await _mark_read(services, shelf, words)
    return Thread(
        talk.box.name, talk.remote, tuple(replace(one, words=words.get(one.id)) for one in shelf.views), shelf.apart,
        talk.sends, talk.can_answer, talk.conversation.closed_at, room.until,
    )  # fmt: skip


async def reply(
    services: Services, identity: Identity, *, workstation: str, inbox: str, conversation: str, words: str
) -> None:
    """To whom the conversation is with, from the address that it is with, whichever others the inbox has. Nothing of it
    is opened. Raises Failure, and what `sms.send` raises."""
    talk = await _talk(services, identity, workstation, inbox, conversation)
    _room(services, identity)
    if talk.conversation.closed_at is not None:
        raise Failure("the conversation is closed", "Write to them anew", "conflict")
    if not talk.can_answer:
        remedy = "Write to them from another address"
        raise Failure("from the address of this conversation nothing may be sent any more", remedy, "conflict")
    arguments = {"inbox": talk.box.name, "to": talk.remote, "words": words, "message_class": CLASS,
                 "sender": talk.ours.address}  # fmt: skip
    await permitted.call(services, identity, "sms.send", arguments, workstation=workstation)


async def marker(services: Services, identity: Identity, *, conversation: str) -> str:
    """Changes when something has come, left or become of any text of it. Says nothing. Raises Failure where there is no
    such conversation for this person."""
    with told():
        async with services.db.read() as tx:
            person = await people.get(tx, identity.person_id)
            boxes = {one.id for one in await readable(tx, person)}
            found = await _found(tx, conversation)
            if found is None or found.inbox_id not in boxes:
                raise _none_such()
            seen = [await sms_received.of_conversation(tx, found.id)]
            if found.inbox_id in {one.id for one in await visible(tx, person)}:
                seen.append(await sms_sent.of_conversation(tx, found.id))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


# --- within -----------------------------------------------------------------------------------------------------------


def _room(services: Services, identity: Identity) -> ReaderRoom:
    """This session's, open for texts. Raises Failure."""
    room = services.reader_rooms.of(identity.session_id, services.clock())
    if room is None or room.person_id != identity.person_id or not room.reason:
        raise Failure("your room is locked", "Unlock it first", "conflict")
    return room


async def _talk(services: Services, identity: Identity, workstation: str, inbox: str, conversation: str) -> _Talk:
    """Raises Failure: as if it were not there, for whoever may not read it."""
    await permitted.entered(services, identity, BY_RIGHT, {}, workstation=workstation)
    with told():
        async with services.db.read() as tx:
            person, box = await to_read(tx, identity.login, inbox)
            found = await _found(tx, conversation)
            if found is None or found.inbox_id != box.id:
                raise _none_such()
            theirs = await membership(tx, person, box)
            ours = await inboxes.sender(tx, found.sender_id)
            remote = (await conversations.remote(tx, found.id)).lstrip("'")
    sends = theirs is not None and theirs.sends and box.disabled_at is None
    return _Talk(person, box, found, ours, remote, sends)


async def _found(tx: Tx, conversation: str) -> Conversation | None:
    try:
        return await conversations.get(tx, conversation)
    except NotFound:
        return None


def _none_such() -> Failure:
    return Failure("there is no such conversation", "Go to your texts", "not_found")


async def _shelf(services: Services, talk: _Talk, *, apart: bool) -> _Shelf:
    box, talk_id = talk.box, talk.conversation.id
    with told():
        async with services.db.read() as tx:
            came = await sms_received.list_all(
                tx, inbox_ids=[box.id], conversation_id=talk_id, set_aside=apart, limit=MOST
            )
            views = [TextView(one.id, one.received_at, False, one.state, one.stop, one.missing, None) for one in came]
            if not apart and box.id in {one.id for one in await visible(tx, talk.person)}:
                sent = await sms_sent.list_all(tx, inbox_ids=[box.id], conversation_id=talk_id, limit=MOST)
                views += [TextView(one.id, one.created_at, True, one.state, "none", 0, None) for one in sent]
            views = sorted(views, key=lambda one: (one.at, one.id))[-MOST:]
            bodies = await sms_received.bodies(tx, [one.id for one in views if not one.ours])
            sealed = [SealedText(one.id, box.purpose, one.kek_id, one.body_sealed) for one in bodies]
            sealed += [
                SealedText(one.id, one.purpose, one.kek_id, one.body_sealed, one.key_id, one.wrap)
                for one in await sms_keys.bodies(tx, [one.id for one in views if one.ours])
            ]
            wraps = await sms_keys.kek_wraps(tx, sorted({one.kek_id for one in sealed}), talk.person.id)
            waiting = await sms_received.set_aside(tx, talk_id)  # also one that may be a STOP, and is held for it
    return _Shelf(views, [one for one in sealed if one.kek_id in wraps], wraps, waiting)


async def _note(services: Services, actor: Actor, room: ReaderRoom, talk: _Talk, shelf: _Shelf) -> None:
    """Committed before a word is opened; once for each text and room."""
    new = [one.id for one in shelf.sealed if one.id not in room.shown]
    if not new:
        return
    with told():
        async with services.db.transaction() as tx:
            for text_id in new:
                await note(services, tx, actor, "show", "text", text_id=text_id, person_id=talk.person.id,
                           inbox_id=talk.box.id)  # fmt: skip
    room.shown.update(new)


async def _mark_read(services: Services, shelf: _Shelf, words: Mapping[str, str]) -> None:
    """Those that are new, and have been opened."""
    new = [one.id for one in shelf.views if not one.ours and one.state == "new" and one.id in words]
    if not new:
        return
    with told():
        async with services.db.transaction() as tx:
            await sms_received.mark_read(tx, new)


async def _words(services: Services, room: ReaderRoom, shelf: _Shelf) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        for at in range(0, len(shelf.sealed), AT_ONCE):
            some = shelf.sealed[at : at + AT_ONCE]
            wraps = {one.kek_id: shelf.wraps[one.kek_id] for one in some}
            for one, opened in zip(some, await room.client.texts(wraps, some), strict=True):
                if opened is not None:
                    found[one.id] = sealing.said(opened.encode())
    except RoomGone:
        await services.reader_rooms.end(room.session_id)
        raise Failure("your room is locked", "Unlock it first", "conflict") from None
    except (RoomRefused, ValueError, KeyError):
        raise Failure("the texts cannot be opened", "Lock the room, and unlock it once more", "conflict") from None
    return found
