"""Texts that are sent: a row for each, a row for each of its parts, many at a time.

What a part has gone through is written before and after it is handed to a carrier, never in between: whoever finds a
part in `sending` after a crash knows that nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, and_, bindparam, delete, func, insert, or_, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.numbers import digests, digests_of_many, indexer
from storage.tx import Tx

_T, _PARTS, _RECEIPTS = tables.sms_sent, tables.sms_parts, tables.sms_receipts
IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class NewText:
    """`recipient`: as `sms.addresses.as_text` writes it. `texts`: what stands in each part. `reference`: 0..65535.

    `one_time`: nothing of its text is written anywhere; whoever adds it keeps it in memory until it is sent.
    """

    inbox_id: str
    sender_id: str
    author_id: str
    recipient: str = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    coding: str
    reference: int
    message_class: str
    purpose: str
    legal_basis: str
    due_at: datetime
    valid_until: datetime
    content_until: datetime | None
    expires_at: datetime
    state: str = "queued"
    why: str = ""
    evidence: str = ""
    campaign_id: str | None = None
    conversation_id: str | None = None
    one_time: bool = False
    key_id: str | None = None
    body_sealed: bytes | None = field(default=None, repr=False)
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of one text. The recipient is opened by `recipient_of`, the words by a reader."""

    id: str
    inbox_id: str
    sender_id: str
    author_id: str
    campaign_id: str | None
    conversation_id: str | None
    message_class: str
    purpose: str
    legal_basis: str
    evidence: str
    state: str
    why: str
    coding: str
    parts: int
    reference: int
    cost_microeuros: int
    created_at: datetime
    due_at: datetime
    valid_until: datetime
    updated_at: datetime
    one_time: bool
    key_id: str | None
    content_until: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    message_id: str
    number: int
    state: str
    carrier: str | None
    network_id: str | None
    code: str | None
    handed_at: datetime | None
    accepted_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Brief:
    """How a text is doing."""

    inbox_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Queued:
    """One that waits, with what is to be sent. `texts` None: they were in the memory of a process that is gone."""

    sent: Sent
    recipient: str = field(repr=False)
    texts: tuple[str, ...] | None = field(repr=False)


async def add_all(tx: Tx, new: Sequence[NewText], now: datetime) -> None:
    """Raises `Conflict` for an inbox or sender that is not there, `Duplicate`."""
    index = await indexer(tx)
    seal = tx.keys.seal
    rows, parts = [], []
    for one in new:
        queued = None if one.one_time else seal("sms_sent", "queued", one.id, json.dumps(one.texts).encode())
        rows.append(
            {
                "id": one.id,
                "inbox_id": one.inbox_id,
                "sender_id": one.sender_id,
                "author_id": one.author_id,
                "campaign_id": one.campaign_id,
                "conversation_id": one.conversation_id,
                "message_class": one.message_class,
                "purpose": one.purpose,
                "legal_basis": one.legal_basis,
                "evidence": one.evidence,
                "recipient_sealed": seal("sms_sent", "recipient", one.id, one.recipient.encode()),
                "digest": index(one.recipient),
                "state": one.state,
                "why": one.why,
                "coding": one.coding,
                "parts": len(one.texts),
                "reference": one.reference,
                "cost_microeuros": 0,
                "created_at": now,
                "due_at": one.due_at,
                "valid_until": one.valid_until,
                "updated_at": now,
                "one_time": one.one_time,
                "queued_sealed": queued,
                "body_sealed": one.body_sealed,
                "key_id": one.key_id,
                "content_until": one.content_until,
                "expires_at": one.expires_at,
            }
        )
        parts += [{"message_id": one.id, "number": n, "state": "queued"} for n in range(1, len(one.texts) + 1)]
    await tx.write_each(insert(_T), rows)
    await tx.write_each(insert(_PARTS), parts)


async def get(tx: Tx, message_id: str) -> Sent:
    """Raises `NotFound`."""
    row = await tx.row(select(*_PLAIN).where(_T.c.id == message_id))
    if row is None:
        raise NotFound("text", message_id)
    return _sent(row)


async def brief(tx: Tx, message_ids: Sequence[str]) -> dict[str, Brief]:
    """Of these, those that there are."""
    rows = await tx.rows(select(_T.c.id, _T.c.inbox_id, _T.c.state).where(_T.c.id.in_(message_ids)))
    return {row["id"]: Brief(row["inbox_id"], row["state"]) for row in rows}


async def beginning_with(tx: Tx, beginning: str) -> tuple[Sent, ...]:
    """At most two whose id begins so; none for less than four characters."""
    if len(beginning) < 4 or not beginning.isalnum():
        return ()
    wanted = select(*_PLAIN).where(_T.c.id.startswith(beginning, autoescape=True)).limit(2)
    return tuple(_sent(row) for row in await tx.rows(wanted))


async def recipients(tx: Tx, message_ids: Sequence[str]) -> dict[str, str]:
    """In clear: for whoever has the right to know."""
    found: dict[str, str] = {}
    opened = tx.keys.opener("sms_sent", "recipient")
    for some in _pieces(message_ids):
        for row in await tx.tuples(select(_T.c.id, _T.c.recipient_sealed).where(_T.c.id.in_(some))):
            found[row[0]] = opened(row[0], row[1]).decode()
    return found


async def parts_of(tx: Tx, message_ids: Sequence[str]) -> dict[str, tuple[Part, ...]]:
    """By message, in order."""
    found: dict[str, list[Part]] = {message_id: [] for message_id in message_ids}
    for some in _pieces(message_ids):
        wanted = select(_PARTS).where(_PARTS.c.message_id.in_(some)).order_by(_PARTS.c.message_id, _PARTS.c.number)
        for row in await tx.rows(wanted):
            found[row["message_id"]].append(Part(**row))
    return {message_id: tuple(parts) for message_id, parts in found.items()}


async def list_all(
    tx: Tx,
    *,
    inbox_ids: Sequence[str] | None = None,
    campaign_id: str | None = None,
    conversation_id: str | None = None,
    states: Iterable[str] = (),
    number: str | None = None,
    limit: int = 100,
) -> tuple[Sent, ...]:
    """The newest first. `inbox_ids` None: of all."""
    wanted = select(*_PLAIN).order_by(_T.c.created_at.desc(), _T.c.id).limit(limit)
    if inbox_ids is not None:
        wanted = wanted.where(_T.c.inbox_id.in_(list(inbox_ids)))
    if campaign_id is not None:
        wanted = wanted.where(_T.c.campaign_id == campaign_id)
    if conversation_id is not None:
        wanted = wanted.where(_T.c.conversation_id == conversation_id)
    if chosen := tuple(states):
        wanted = wanted.where(_T.c.state.in_(chosen))
    if number is not None:
        wanted = wanted.where(_T.c.digest.in_(await digests(tx, number)))
    return tuple(_sent(row) for row in await tx.rows(wanted))


async def of_conversation(tx: Tx, conversation_id: str) -> tuple[tuple[str, int, datetime], ...]:
    """(state, how many, when the last of them changed): another one whenever a text is written, goes or becomes
    something else."""
    wanted = select(_T.c.state, func.count(), func.max(_T.c.updated_at)).where(_T.c.conversation_id == conversation_id)
    rows = await tx.tuples(wanted.group_by(_T.c.state).order_by(_T.c.state))
    return tuple((state, many, last) for state, many, last in rows)


async def due(tx: Tx, now: datetime, *, limit: int) -> tuple[Queued, ...]:
    """Those that may be handed to a carrier now, the longest waiting first; nobody else is given them until the
    transaction ends."""
    wanted = (
        select(*_PLAIN, _T.c.recipient_sealed, _T.c.queued_sealed)
        .where(_T.c.state == "queued", _T.c.due_at <= now)
        .order_by(_T.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    recipient, queued = tx.keys.opener("sms_sent", "recipient"), tx.keys.opener("sms_sent", "queued")
    found = []
    for row in await tx.rows(wanted):
        sealed = row["queued_sealed"]
        texts = None if sealed is None else tuple(json.loads(queued(row["id"], sealed)))
        found.append(Queued(_sent(row), recipient(row["id"], row["recipient_sealed"]).decode(), texts))
    return tuple(found)


async def next_due(tx: Tx) -> datetime | None:
    """When the next of those that wait may be handed over."""
    row = await tx.row(select(func.min(_T.c.due_at).label("at")).where(_T.c.state.in_(("queued", "held"))))
    return None if row is None else row["at"]


_HANDED = (
    update(_PARTS)
    .where(_PARTS.c.message_id == bindparam("m"), _PARTS.c.number == bindparam("n"))
    .values(state="sending", carrier=bindparam("c"), handed_at=bindparam("t"))
)
_SET_STATE = (
    update(_T)
    .where(_T.c.id == bindparam("m"))
    .values(state=bindparam("s"), why=bindparam("w"), updated_at=bindparam("t"))
)
_ACCEPTED = (
    update(_PARTS)
    .where(_PARTS.c.message_id == bindparam("m"), _PARTS.c.number == bindparam("n"))
    .values(state="sent", network_id=bindparam("i"), accepted_at=bindparam("t"))
)
_PART_STATE = (
    update(_PARTS)
    .where(_PARTS.c.message_id == bindparam("m"), _PARTS.c.number == bindparam("n"))
    .values(state=bindparam("s"), code=bindparam("k"), done_at=bindparam("t"))
)
_LEFT = (
    update(_T)
    .where(_T.c.id == bindparam("m"))
    .values(
        state=bindparam("s"),
        why=bindparam("w"),
        updated_at=bindparam("t"),
        cost_microeuros=bindparam("e"),
        queued_sealed=None,
    )
)
_LATER = (
    update(_T)
    .where(_T.c.id == bindparam("m"))
    .values(state=bindparam("s"), why=bindparam("w"), due_at=bindparam("d"), updated_at=bindparam("t"))
)


async def hand_over(tx: Tx, carrier_of: Mapping[tuple[str, int], str], now: datetime) -> None:
    """Commit this before the first byte of any of them leaves. By (message, part), the carrier that is to take it."""
    parts = [{"m": m, "n": n, "c": carrier, "t": now} for (m, n), carrier in carrier_of.items()]
    messages = [{"m": m, "s": "sending", "w": "", "t": now} for m in dict.fromkeys(m for m, _ in carrier_of)]
    await tx.write_each(_HANDED, parts)
    await tx.write_each(_SET_STATE, messages)


async def accepted(tx: Tx, taken: Sequence[tuple[str, int, str]], now: datetime) -> None:
    """(message, part, the network's id) of parts that the network has."""
    await tx.write_each(_ACCEPTED, [{"m": m, "n": n, "i": i, "t": now} for m, n, i in taken])


async def part_states(tx: Tx, states: Sequence[tuple[str, int, str, str]], now: datetime) -> None:
    """(message, part, state, code): refused, unknown, delivered, back to queued..."""
    await tx.write_each(_PART_STATE, [{"m": m, "n": n, "s": s, "k": k, "t": now} for m, n, s, k in states])


async def left(tx: Tx, ended: Sequence[tuple[str, str, str, int]], now: datetime) -> None:
    """(message, state, why, millionths of a euro) of texts that wait no more: what waited of their words goes."""
    await tx.write_each(_LEFT, [{"m": m, "s": s, "w": w, "e": e, "t": now} for m, s, w, e in ended])


async def set_states(tx: Tx, states: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """(message, state, why)."""
    await tx.write_each(_SET_STATE, [{"m": m, "s": s, "w": w, "t": now} for m, s, w in states])


async def later(tx: Tx, waiting: Sequence[tuple[str, str, str, datetime]], now: datetime) -> None:
    """(message, state, why, when) of texts that are to be tried then."""
    await tx.write_each(_LATER, [{"m": m, "s": s, "w": w, "d": d, "t": now} for m, s, w, d in waiting])


@dataclass(frozen=True, slots=True)
class Named:
    """A part that a network has given an id. `of`: how many parts its message has."""

    message_id: str
    number: int
    of: int
    network_id: str
    state: str
    accepted_at: datetime | None


async def by_network_id(tx: Tx, carrier: str, network_ids: Sequence[str]) -> dict[str, Named]:
    """Of the parts that this carrier's network named so, the newest: networks begin again at some number."""
    found: dict[str, Named] = {}
    columns = (_PARTS.c.message_id, _PARTS.c.number, _T.c.parts, _PARTS.c.network_id, _PARTS.c.state)
    for some in _pieces(list(network_ids)):
        same = and_(_PARTS.c.carrier == carrier, _PARTS.c.network_id.in_(some))
        wanted = select(*columns, _PARTS.c.accepted_at).join(_T, _T.c.id == _PARTS.c.message_id).where(same)
        for row in await tx.tuples(wanted.order_by(_PARTS.c.accepted_at)):
            found[row[3]] = Named(*row)
    return found


async def doubtful(tx: Tx, carrier: str, recipient: str, since: datetime) -> tuple[Part, ...]:
    """Parts to that recipient of which nobody knows whether this carrier's network has them."""
    wanted = (
        select(_PARTS)
        .join(_T, _T.c.id == _PARTS.c.message_id)
        .where(
            _T.c.digest.in_(await digests(tx, recipient)),
            _T.c.created_at >= since,
            _PARTS.c.carrier == carrier,
            _PARTS.c.state.in_(("unknown", "sending")),
        )
        .order_by(_PARTS.c.handed_at, _PARTS.c.message_id, _PARTS.c.number)
    )
    return tuple(Part(**row) for row in await tx.rows(wanted))


async def in_flight(tx: Tx) -> tuple[Part, ...]:
    """Parts that were being handed over: at a start, those of which nobody knows what became."""
    return tuple(Part(**row) for row in await tx.rows(select(_PARTS).where(_PARTS.c.state == "sending")))


async def release(tx: Tx, now: datetime) -> int:
    """Those that were held until now wait to be sent. How many."""
    ready = and_(_T.c.state == "held", _T.c.due_at <= now)
    return await tx.write(update(_T).where(ready).values(state="queued", updated_at=now))


async def expire(tx: Tx, now: datetime) -> int:
    """Those that waited longer than they are good for. How many."""
    over = and_(_T.c.state.in_(("queued", "held")), _T.c.valid_until <= now)
    gone = {"state": "expired", "why": "its time was over before it could be sent", "updated_at": now}
    return await tx.write(update(_T).where(over).values(**gone, queued_sealed=None))


async def keep_receipts(tx: Tx, receipts: Sequence[Mapping[str, Any]]) -> None:
    """Of ids that nobody knows yet: carrier, network_id, delivery, code, at, expires_at."""
    await tx.write_each(insert(_RECEIPTS), [{"id": new_id(), **one} for one in receipts])


@dataclass(frozen=True, slots=True)
class Early:
    """A receipt that was kept until its message is known."""

    id: str
    carrier: str
    network_id: str
    delivery: str
    code: str
    at: datetime
    expires_at: datetime


async def early_receipts(tx: Tx, carrier: str, network_ids: Sequence[str]) -> tuple[Early, ...]:
    """Kept ones of these ids, the oldest first."""
    found: list[Early] = []
    for some in _pieces(list(network_ids)):
        same = and_(_RECEIPTS.c.carrier == carrier, _RECEIPTS.c.network_id.in_(some))
        rows = await tx.rows(select(_RECEIPTS).where(same).order_by(_RECEIPTS.c.at, _RECEIPTS.c.id))
        found += [Early(**row) for row in rows]
    return tuple(found)


async def claimed(tx: Tx, receipt_ids: Sequence[str]) -> None:
    """Their messages are known by now: what they say stands there."""
    for some in _pieces(receipt_ids):
        await tx.write(delete(_RECEIPTS).where(_RECEIPTS.c.id.in_(some)))


async def forget_receipts(tx: Tx, now: datetime) -> int:
    """Those whose message has not come to be known. How many."""
    return await tx.write(delete(_RECEIPTS).where(_RECEIPTS.c.expires_at <= now))


async def early_ids(tx: Tx) -> frozenset[tuple[str, str]]:
    """(carrier, network id) of every receipt that nobody has claimed."""
    rows = await tx.tuples(select(_RECEIPTS.c.carrier, _RECEIPTS.c.network_id))
    return frozenset((row[0], row[1]) for row in rows)


async def counts(tx: Tx, campaign_id: str) -> dict[str, int]:
    """Texts of a campaign by state."""
    rows = await tx.rows(
        select(_T.c.state, func.count().label("n")).where(_T.c.campaign_id == campaign_id).group_by(_T.c.state)
    )
    return {row["state"]: row["n"] for row in rows}


async def campaign_since(tx: Tx, campaign_id: str, since: datetime) -> int:
    """How many texts of a campaign were made since then."""
    row = await tx.row(select(func.count().label("n")).where(_T.c.campaign_id == campaign_id, _T.c.created_at > since))
    return 0 if row is None else row["n"]


async def marketing_since(tx: Tx, index: Sequence[bytes], since: datetime) -> dict[bytes, list[datetime]]:
    """When advertising was sent, or is about to be, to the numbers with these digests: what a ceiling counts."""
    found: dict[bytes, list[datetime]] = {}
    for at in range(0, len(index), IN_ONE):
        wanted = select(_T.c.digest, _T.c.created_at).where(
            _T.c.digest.in_(list(index[at : at + IN_ONE])),
            _T.c.created_at >= since,
            _T.c.message_class == "marketing",
            _T.c.state.not_in(("refused", "cancelled", "failed")),
        )
        for digest, created_at in await tx.tuples(wanted):
            found.setdefault(digest, []).append(created_at)
    return found


@dataclass(frozen=True, slots=True)
class Wrote:
    """Which inbox wrote to somebody, from which of our addresses, and when last."""

    message_id: str
    inbox_id: str
    sender_id: str
    campaign_id: str | None
    conversation_id: str | None
    created_at: datetime


async def wrote_to(tx: Tx, pairs: Iterable[tuple[str, str]], since: datetime) -> dict[tuple[str, str], list[Wrote]]:
    """By (number, sender), what a reply from that number to that sender may be a reply to: the newest first, a hundred
    at most."""
    wanted = set(pairs)
    numbers, senders = sorted({number for number, _ in wanted}), {sender for _, sender in wanted}
    found: dict[tuple[str, str], list[Wrote]] = {}
    for some in _pieces(numbers):
        by_digest = await digests_of_many(tx, some)
        for row in await tx.tuples(_wrote(list(by_digest), senders, since)):
            pair = by_digest[bytes(row[0])], row[3]
            if pair in wanted:
                found.setdefault(pair, []).append(Wrote(*row[1:7]))
    return found


def _wrote(index: list[bytes], senders: Collection[str], since: datetime) -> Select[Any]:
    columns = (_T.c.digest, _T.c.id, _T.c.inbox_id, _T.c.sender_id, _T.c.campaign_id, _T.c.conversation_id)
    newest = func.row_number().over(partition_by=(_T.c.digest, _T.c.sender_id), order_by=_T.c.created_at.desc())
    lately = (
        select(*columns, _T.c.created_at, newest.label("nth"))
        .where(
            _T.c.digest.in_(index),
            _T.c.created_at >= since,
            _T.c.sender_id.in_(list(senders)),
            _T.c.state.not_in(("refused", "cancelled", "held", "queued", "failed")),
        )
        .subquery()
    )
    return select(lately).where(lately.c.nth <= 100).order_by(lately.c.created_at.desc(), lately.c.id)


async def waiting(tx: Tx) -> dict[str, int]:
    """By state, those whose fate is open: held, queued, sending, unknown."""
    open_states = ("held", "queued", "sending", "unknown")
    rows = await tx.rows(
        select(_T.c.state, func.count().label("n")).where(_T.c.state.in_(open_states)).group_by(_T.c.state)
    )
    return {row["state"]: row["n"] for row in rows}


async def cancel(tx: Tx, *, campaign_id: str | None = None, message_id: str | None = None, now: datetime) -> int:
    """Those that wait are not sent. How many."""
    which = [or_(_T.c.state == "queued", _T.c.state == "held")]
    if campaign_id is not None:
        which.append(_T.c.campaign_id == campaign_id)
    if message_id is not None:
        which.append(_T.c.id == message_id)
    gone = {"state": "cancelled", "why": "", "updated_at": now, "queued_sealed": None}
    return await tx.write(update(_T).where(*which).values(**gone))


async def waiting_of(tx: Tx, campaign_id: str) -> tuple[str, ...]:
    """Ids of its texts that `cancel` would keep from leaving."""
    waits = _T.c.state.in_(("queued", "held")), _T.c.campaign_id == campaign_id
    return tuple(row[0] for row in await tx.tuples(select(_T.c.id).where(*waits)))


async def cancel_marketing(tx: Tx, number: str, now: datetime) -> int:
    """Advertising to that number that has not left is not sent. How many."""
    waits = _T.c.state.in_(("queued", "held")), _T.c.message_class == "marketing"
    gone = {"state": "refused", "why": "they have asked for no more", "updated_at": now, "queued_sealed": None}
    return await tx.write(update(_T).where(_T.c.digest.in_(await digests(tx, number)), *waits).values(**gone))


async def answered_since(tx: Tx, answers: Iterable[tuple[str, str]], since: datetime) -> frozenset[tuple[str, str]]:
    """Of these (number, author), those where such an answer, which nobody wrote, went there lately."""
    wanted = set(answers)
    numbers, authors = sorted({number for number, _ in wanted}), {author for _, author in wanted}
    found = set()
    for some in _pieces(numbers):
        by_digest = await digests_of_many(tx, some)
        same = _T.c.digest.in_(list(by_digest)), _T.c.author_id.in_(list(authors)), _T.c.created_at >= since
        for index, author in await tx.tuples(select(_T.c.digest, _T.c.author_id).where(*same).distinct()):
            found.add((by_digest[bytes(index)], author))
    return frozenset(found & wanted)


_SEALED = ("recipient_sealed", "digest", "queued_sealed", "body_sealed")
_PLAIN = tuple(column for column in _T.c if column.name not in _SEALED)
_NAMES = tuple(column.name for column in _PLAIN)


def _sent(row: RowMapping) -> Sent:
    return Sent(**{name: row[name] for name in _NAMES})


def _pieces(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + IN_ONE]) for start in range(0, len(ids), IN_ONE)]
