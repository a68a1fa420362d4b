"""Who may do what with an inbox: asked by every service of texts, answered in one place.

Somebody who may do nothing with an inbox is told that there is none.
"""

from __future__ import annotations

from server.failure import Failure
from server.services.directory import person_by_login
from storage import inboxes, readers
from storage.errors import NotFound
from storage.inboxes import Inbox, Member, Sender
from storage.people import Person
from storage.tx import Tx


def none_such(name: str) -> Failure:
    return Failure(f"no inbox {name}", "Type: beffroi inbox list", "not_found")


async def inbox_by_name(tx: Tx, name: str) -> Inbox:
    """For whoever administers inboxes. Raises Failure."""
    try:
        return await inboxes.by_name(tx, name)
    except NotFound:
        raise none_such(name) from None


async def member_by_login(tx: Tx, login: str) -> Person:
    """Somebody in whose name something is done. Raises Failure."""
    person = await person_by_login(tx, login)
    if person.disabled_at is not None:
        raise Failure(f"{login} is disabled", "Somebody else of that inbox may do it", "denied")
    return person


async def membership(tx: Tx, person: Person, inbox: Inbox) -> Member | None:
    """What that person may do with it, besides reading."""
    theirs = await inboxes.members(tx, inbox_id=inbox.id, person_id=person.id)
    return theirs[0] if theirs else None


async def reads(tx: Tx, person: Person, inbox: Inbox) -> bool:
    """Whether they may read what came in."""
    return await readers.has_right(tx, person.id, inbox.purpose)


async def readable(tx: Tx, person: Person) -> list[Inbox]:
    """Those that they may read, by name."""
    held = await readers.purposes(tx, person.id)
    return [box for box in await inboxes.list_all(tx) if box.purpose in held]


async def to_send(tx: Tx, login: str, name: str) -> tuple[Person, Inbox]:
    """Who writes, and from which inbox. Raises Failure: as if it were not there, for whoever has no right to it."""
    person, inbox = await member_by_login(tx, login), await inbox_by_name(tx, name)
    theirs = await membership(tx, person, inbox)
    if theirs is None and not await reads(tx, person, inbox):
        raise none_such(name)
    if theirs is None or not theirs.sends:
        raise Failure(f"{login} may not write from {name}", "Type: beffroi inbox member", "denied")
    if inbox.disabled_at is not None:
        raise Failure(f"inbox {name} is closed", "Write from another one", "conflict")
    return person, inbox


async def to_read(tx: Tx, login: str, name: str) -> tuple[Person, Inbox]:
    """Who reads, and which inbox. Raises Failure: as if it were not there, for whoever has no right to it."""
    person, inbox = await member_by_login(tx, login), await inbox_by_name(tx, name)
    if not await reads(tx, person, inbox):
        if await membership(tx, person, inbox) is None:
            raise none_such(name)
        raise Failure(f"{login} may not read {name}", "Type: beffroi inbox member", "denied")
    return person, inbox


async def sender_of(tx: Tx, inbox: Inbox, message_class: str, wanted: str | None) -> Sender:
    """The address that it is sent from: the one that is wanted, else the only one that may send such texts. Raises
    Failure."""
    mine = [s for s in await inboxes.senders(tx, inbox_id=inbox.id) if s.disabled_at is None]
    fitting = [s for s in mine if message_class in s.classes and wanted in (None, s.address, s.address.lstrip("'"))]
    if wanted is not None and not any(wanted in (s.address, s.address.lstrip("'")) for s in mine):
        # Whose it is otherwise, nobody is told.
        raise Failure("that is no address of this inbox", "Type: beffroi inbox senders", "denied")
    if not fitting:
        raise Failure(
            f"{inbox.name} has no address that may send {message_class} texts",
            "Have one approved: beffroi inbox sender add",
            "denied",
        )
    if len(fitting) > 1:
        raise Failure(f"{inbox.name} has more than one such address", "Name one with --from", "invalid")
    return fitting[0]
