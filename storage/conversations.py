"""Conversations: one of our addresses and one telephone, in one inbox; and what happened to texts, as events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.numbers import digests_of_many, indexer
from storage.tx import Tx

_T, _EVENTS = tables.conversations, tables.sms_events
_IN_ONE = 200  # numbers or ids in one statement


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    inbox_id: str
    sender_id: str
    assigned_to: str | None  # person
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """`detail`: codes, ids; never words of a person, never a number."""

    about: str
    at: datetime
    what: str
    part: int | None = None
    actor_id: str | None = None
    detail: str = ""


Place = tuple[str, str, str]  # inbox, sender, the number on the other side


async def find(tx: Tx, inbox_id: str, sender_id: str, remote: str) -> str | None:
    """The open one; its id."""
    return (await find_each(tx, [(inbox_id, sender_id, remote)])).get((inbox_id, sender_id, remote))


async def find_each(tx: Tx, places: Iterable[Place]) -> dict[Place, str]:
    """The open one of each, where there is one; its id."""
    wanted = set(places)
    numbers = sorted({number for _, _, number in wanted})
    found: dict[Place, str] = {}
    for start in range(0, len(numbers), _IN_ONE):
        by_digest = await digests_of_many(tx, numbers[start : start + _IN_ONE])
        open_ones = (
            select(_T.c.inbox_id, _T.c.sender_id, _T.c.digest, _T.c.id)
            .where(_T.c.digest.in_(list(by_digest)), _T.c.closed_at.is_(None))
            .order_by(_T.c.last_at.desc(), _T.c.id)
        )
        for inbox_id, sender_id, index, conversation_id in await tx.tuples(open_ones):
            place = inbox_id, sender_id, by_digest[bytes(index)]
            if place in wanted:
                found.setdefault(place, conversation_id)
    return found


async def open_(tx: Tx, inbox_id: str, sender_id: str, remote: str, now: datetime, expires_at: datetime) -> str:
    """A new one; its id. Raises `Conflict` for an inbox or sender that is not there."""
    [conversation_id] = (await open_each(tx, [(inbox_id, sender_id, remote)], now, expires_at)).values()
    return conversation_id


async def open_each(tx: Tx, places: Iterable[Place], now: datetime, expires_at: datetime) -> dict[Place, str]:
    """A new one for each; their ids. Raises `Conflict` for an inbox or sender that is not there."""
    index = await indexer(tx)
    opened = {place: new_id() for place in places}
    rows = [
        {
            "id": conversation_id,
            "inbox_id": inbox_id,
            "sender_id": sender_id,
            "remote_sealed": tx.keys.seal_text("conversations", "remote", conversation_id, remote),
            "digest": index(remote),
            "opened_at": now,
            "last_at": now,
            "expires_at": expires_at,
        }
        for (inbox_id, sender_id, remote), conversation_id in opened.items()
    ]
    await tx.write_each(insert(_T), rows)
    return opened


async def touched(tx: Tx, conversation_ids: Collection[str], now: datetime, expires_at: datetime) -> None:
    """Something was said in them: they are kept from now on."""
    ids = sorted(conversation_ids)
    for start in range(0, len(ids), _IN_ONE):
        some = _T.c.id.in_(ids[start : start + _IN_ONE])
        await tx.write(update(_T).where(some).values(last_at=now, expires_at=expires_at))


async def get(tx: Tx, conversation_id: str) -> Conversation:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == conversation_id))
    if row is None:
        raise NotFound("conversation", conversation_id)
    return _conversation(row)


async def beginning_with(tx: Tx, beginning: str, inbox_ids: Sequence[str]) -> tuple[Conversation, ...]:
    """At most two open ones of these inboxes whose id begins so; none for less than four characters."""
    if len(beginning) < 4 or not beginning.isalnum():
        return ()
    wanted = select(_T).where(_T.c.id.startswith(beginning, autoescape=True), _T.c.closed_at.is_(None))
    rows = await tx.rows(wanted.where(_T.c.inbox_id.in_(list(inbox_ids))).limit(2))
    return tuple(_conversation(row) for row in rows)


async def remote(tx: Tx, conversation_id: str) -> str:
    """With whom, in clear. Raises `NotFound`."""
    found = await remotes(tx, [conversation_id])
    if conversation_id not in found:
        raise NotFound("conversation", conversation_id)
    return found[conversation_id]


async def remotes(tx: Tx, conversation_ids: Sequence[str]) -> dict[str, str]:
    """`remote` of many, those that there are."""
    found: dict[str, str] = {}
    opened = tx.keys.opener("conversations", "remote")
    for start in range(0, len(conversation_ids), _IN_ONE):
        some = _T.c.id.in_(list(conversation_ids[start : start + _IN_ONE]))
        for conversation_id, sealed in await tx.tuples(select(_T.c.id, _T.c.remote_sealed).where(some)):
            found[conversation_id] = opened(conversation_id, sealed).decode()
    return found


async def list_all(tx: Tx, inbox_ids: Sequence[str], *, limit: int = 100) -> tuple[Conversation, ...]:
    """Open ones, the newest first."""
    wanted = select(_T).where(_T.c.inbox_id.in_(list(inbox_ids)), _T.c.closed_at.is_(None))
    rows = await tx.rows(wanted.order_by(_T.c.last_at.desc(), _T.c.id).limit(limit))
    return tuple(_conversation(row) for row in rows)


async def assign(tx: Tx, conversation_id: str, person_id: str | None) -> None:
    """Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == conversation_id).values(assigned_to=person_id)):
        raise NotFound("conversation", conversation_id)


async def close(tx: Tx, conversation_id: str, now: datetime) -> None:
    """Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == conversation_id).values(closed_at=now)):
        raise NotFound("conversation", conversation_id)


async def note(tx: Tx, events: Sequence[Event]) -> None:
    """What happened to texts, conversations and campaigns."""
    rows = [{"id": new_id(), **{name: getattr(one, name) for name in Event.__slots__}} for one in events]
    await tx.write_each(insert(_EVENTS), rows)


async def events(tx: Tx, about: str) -> tuple[Event, ...]:
    """The oldest first."""
    wanted = select(_EVENTS).where(_EVENTS.c.about == about).order_by(_EVENTS.c.at, _EVENTS.c.id)
    return tuple(Event(**{name: row[name] for name in Event.__slots__}) for row in await tx.rows(wanted))


def _conversation(row: RowMapping) -> Conversation:
    return Conversation(**{name: row[name] for name in Conversation.__slots__})
