"""Texts that came in: sealed to the readers of their inbox, found by whoever has the number."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, func, insert, select, update

from storage import tables
from storage.errors import Conflict, NotFound
from storage.ids import new_id, require_in
from storage.numbers import digests, indexer
from storage.tx import Tx

STATES = frozenset({"new", "read", "handled", "aside", "held"})
STOPS = frozenset({"stop", "start", "help", "ambiguous", "none"})
REQUESTS = frozenset({"rectification", "erasure", "access", "objection"})
_T, _DELIVERIES, _FRAGMENTS = tables.sms_received, tables.sms_deliveries, tables.sms_fragments
_WAITING, _REQUESTS, _ACCOUNTS = tables.sms_waiting, tables.sms_requests, tables.accounts
_IN_ONE = 400


@dataclass(frozen=True, slots=True)
class NewReceived:
    """`sender`, `recipient`: as `sms.addresses.as_text` writes them. `body_sealed`: to the KEK named."""

    id: str
    inbox_id: str
    carrier: str
    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    body_sealed: bytes = field(repr=False)
    kek_id: str
    purpose: str
    legal_basis: str
    stop: str
    sorting: str
    rule: str
    state: str
    parts: int
    missing: int
    received_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    sender_id: str | None = None
    conversation_id: str | None = None
    campaign_id: str | None = None
    in_reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """All but the words; `addresses` opens from and to."""

    id: str
    inbox_id: str
    sender_id: str | None
    conversation_id: str | None
    campaign_id: str | None
    in_reply_to: str | None
    carrier: str
    kek_id: str
    purpose: str
    legal_basis: str
    stop: str
    sorting: str
    rule: str
    state: str
    parts: int
    missing: int
    received_at: datetime
    sent_at: datetime | None
    handled_by: str | None
    handled_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a reader opens."""

    id: str
    inbox_id: str
    kek_id: str
    body_sealed: bytes = field(repr=False)


async def add_all(tx: Tx, new: Sequence[NewReceived]) -> None:
    """Raises `Duplicate("id")`, `Conflict` for an inbox, sender or KEK that is not there."""
    index = await indexer(tx)
    rows = []
    for one in new:
        require_in("state", one.state, STATES)
        require_in("stop", one.stop, STOPS)
        said = {name: getattr(one, name) for name in NewReceived.__slots__ if name not in ("sender", "recipient")}
        both = json.dumps([one.sender, one.recipient]).encode()
        addresses = tx.keys.seal("sms_received", "addresses", one.id, both)
        rows.append({**said, "addresses_sealed": addresses, "digest": index(one.sender)})
    await tx.write_each(insert(_T), rows)


async def get(tx: Tx, received_id: str) -> Received:
    """Raises `NotFound`."""
    row = await tx.row(select(*_PLAIN).where(_T.c.id == received_id))
    if row is None:
        raise NotFound("text", received_id)
    return _received(row)


async def beginning_with(tx: Tx, beginning: str) -> tuple[Received, ...]:
    """At most two whose id begins so; none for less than four characters."""
    if len(beginning) < 4 or not beginning.isalnum():
        return ()
    wanted = select(*_PLAIN).where(_T.c.id.startswith(beginning, autoescape=True)).limit(2)
    return tuple(_received(row) for row in await tx.rows(wanted))


async def list_all(
    tx: Tx,
    *,
    inbox_ids: Sequence[str] | None = None,
    states: Iterable[str] = (),
    number: str | None = None,
    conversation_id: str | None = None,
    set_aside: bool | None = None,
    limit: int = 100,
) -> tuple[Received, ...]:
    """The newest first. `inbox_ids` None: of all. `set_aside`: those alone that were, or were not."""
    wanted = select(*_PLAIN).order_by(_T.c.received_at.desc(), _T.c.id).limit(limit)
    if inbox_ids is not None:
        wanted = wanted.where(_T.c.inbox_id.in_(list(inbox_ids)))
    if chosen := tuple(states):
        wanted = wanted.where(_T.c.state.in_(chosen))
    if number is not None:
        wanted = wanted.where(_T.c.digest.in_(await digests(tx, number)))
    if conversation_id is not None:
        wanted = wanted.where(_T.c.conversation_id == conversation_id)
    if set_aside is not None:
        wanted = wanted.where(_T.c.sorting != "" if set_aside else _T.c.sorting == "")
    return tuple(_received(row) for row in await tx.rows(wanted))


async def set_aside(tx: Tx, conversation_id: str) -> int:
    """How many texts of a conversation were: as risky, or not asked for."""
    wanted = select(func.count().label("n")).where(_T.c.conversation_id == conversation_id, _T.c.sorting != "")
    row = await tx.row(wanted)
    return 0 if row is None else int(row["n"])


async def of_conversation(tx: Tx, conversation_id: str) -> tuple[tuple[str, int, datetime], ...]:
    """(state, how many, when the last of them came): another one whenever a text comes, goes or changes its state."""
    wanted = select(_T.c.state, func.count(), func.max(_T.c.received_at)).where(_T.c.conversation_id == conversation_id)
    rows = await tx.tuples(wanted.group_by(_T.c.state).order_by(_T.c.state))
    return tuple((state, many, last) for state, many, last in rows)


async def addresses(tx: Tx, received_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """From and to, in clear: for whoever has the right to know."""
    found: dict[str, tuple[str, str]] = {}
    opened = tx.keys.opener("sms_received", "addresses")
    for at in range(0, len(received_ids), _IN_ONE):
        some = list(received_ids[at : at + _IN_ONE])
        for row in await tx.tuples(select(_T.c.id, _T.c.addresses_sealed).where(_T.c.id.in_(some))):
            sender, recipient = json.loads(opened(row[0], row[1]))
            found[row[0]] = (sender, recipient)
    return found


async def bodies(tx: Tx, received_ids: Sequence[str]) -> tuple[Sealed, ...]:
    """In the order asked for; those that are not there are left out."""
    found: dict[str, Sealed] = {}
    for at in range(0, len(received_ids), _IN_ONE):
        some = list(received_ids[at : at + _IN_ONE])
        wanted = select(_T.c.id, _T.c.inbox_id, _T.c.kek_id, _T.c.body_sealed).where(_T.c.id.in_(some))
        found |= {row[0]: Sealed(*row) for row in await tx.tuples(wanted)}
    return tuple(found[one] for one in received_ids if one in found)


async def set_state(tx: Tx, received_id: str, state: str, by: str | None, now: datetime) -> None:
    """Raises `NotFound`."""
    require_in("state", state, STATES)
    who = {"handled_by": by, "handled_at": now} if state == "handled" else {}
    if not await tx.write(update(_T).where(_T.c.id == received_id).values(state=state, **who)):
        raise NotFound("text", received_id)


async def decided(tx: Tx, received_id: str, stop: str, by: str, now: datetime) -> None:
    """A person has said what a doubtful one means. Raises `NotFound`."""
    require_in("stop", stop, STOPS)
    values = {"stop": stop, "state": "handled", "handled_by": by, "handled_at": now}
    if not await tx.write(update(_T).where(_T.c.id == received_id).values(**values)):
        raise NotFound("text", received_id)


async def undecided(tx: Tx, index: Sequence[bytes]) -> frozenset[bytes]:
    """Of these digests, those of people who may have asked for no more, which nobody has read yet."""
    found: set[bytes] = set()
    for at in range(0, len(index), _IN_ONE):
        held = _T.c.digest.in_(list(index[at : at + _IN_ONE])), _T.c.state == "held", _T.c.stop == "ambiguous"
        found |= {bytes(row[0]) for row in await tx.tuples(select(_T.c.digest).where(*held).distinct())}
    return frozenset(found)


async def mark_read(tx: Tx, received_ids: Sequence[str]) -> None:
    """Of these, the new ones."""
    for at in range(0, len(received_ids), _IN_ONE):
        some = list(received_ids[at : at + _IN_ONE])
        await tx.write(update(_T).where(_T.c.id.in_(some), _T.c.state == "new").values(state="read"))


async def move(tx: Tx, received_id: str, inbox_id: str, kek_id: str, body_sealed: bytes) -> None:
    """Into another inbox, sealed anew to its readers by somebody who could open it. Raises `NotFound`."""
    values = {"inbox_id": inbox_id, "kek_id": kek_id, "body_sealed": body_sealed, "conversation_id": None}
    if not await tx.write(update(_T).where(_T.c.id == received_id).values(**values)):
        raise NotFound("text", received_id)


async def counts(tx: Tx, inbox_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Inbox -> state -> how many."""
    found: dict[str, dict[str, int]] = {inbox_id: {} for inbox_id in inbox_ids}
    wanted = select(_T.c.inbox_id, _T.c.state, func.count().label("n")).group_by(_T.c.inbox_id, _T.c.state)
    for row in await tx.rows(wanted.where(_T.c.inbox_id.in_(list(inbox_ids)))):
        found[row["inbox_id"]][row["state"]] = row["n"]
    return found


async def of_campaign(tx: Tx, campaign_id: str) -> dict[str, int]:
    """Replies to a campaign by what they say of being contacted."""
    rows = await tx.rows(
        select(_T.c.stop, func.count().label("n")).where(_T.c.campaign_id == campaign_id).group_by(_T.c.stop)
    )
    return {row["stop"]: row["n"] for row in rows}


# --- deliveries, and parts of long texts --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    delivery: str
    link: str
    at: datetime


async def deliveries(tx: Tx, fingerprints: Sequence[bytes]) -> dict[bytes, Delivery]:
    """What is known of those that look the same."""
    wanted = select(_DELIVERIES).where(_DELIVERIES.c.fingerprint.in_(list(fingerprints)))
    return {bytes(r["fingerprint"]): Delivery(r["delivery"], r["link"], r["at"]) for r in await tx.rows(wanted)}


async def remember(tx: Tx, came: Mapping[bytes, Delivery], *, known: Container[bytes]) -> None:
    """They came in; the newest delivery of the same counts. `known`: fingerprints that are remembered already."""
    fresh = [_delivery(print_, one) for print_, one in came.items() if print_ not in known]
    again = [
        {"f": print_, "d": one.delivery, "l": one.link, "t": one.at} for print_, one in came.items() if print_ in known
    ]
    await tx.write_each(insert(_DELIVERIES), fresh)
    await tx.write_each(_CAME_AGAIN, again)


def _delivery(fingerprint: bytes, one: Delivery) -> dict[str, Any]:
    return {"fingerprint": fingerprint, "delivery": one.delivery, "link": one.link, "at": one.at}


_CAME_AGAIN = (
    update(_DELIVERIES)
    .where(_DELIVERIES.c.fingerprint == bindparam("f"))
    .values(delivery=bindparam("d"), link=bindparam("l"), at=bindparam("t"))
)


async def forget_deliveries(tx: Tx, before: datetime) -> int:
    """Digests of what came in before then are of no more use."""
    return await tx.write(delete(_DELIVERIES).where(_DELIVERIES.c.at < before))


async def keep_fragment(tx: Tx, whole: bytes, number: int, part: bytes, now: datetime) -> dict[int, bytes]:
    """One part more of a long text; all that are there by now. One that is there already is kept as it is."""
    there = {row["number"]: _fragment(tx, whole, row) for row in await _fragments(tx, whole)}
    if number not in there:
        sealed = tx.keys.seal("sms_fragments", "part", f"{whole.hex()}.{number}", part)
        await tx.write(insert(_FRAGMENTS).values(whole=whole, number=number, part_sealed=sealed, at=now))
        there[number] = part
    return there


async def join(tx: Tx, whole: bytes) -> None:
    """Its parts have become a text, which is kept sealed to its readers: here they go."""
    await tx.write(delete(_FRAGMENTS).where(_FRAGMENTS.c.whole == whole))


async def unfinished(tx: Tx, before: datetime) -> dict[bytes, dict[int, bytes]]:
    """Long texts of which no part has come since then, with the parts that are there."""
    last = select(_FRAGMENTS.c.whole).group_by(_FRAGMENTS.c.whole).having(func.max(_FRAGMENTS.c.at) < before)
    found: dict[bytes, dict[int, bytes]] = {}
    for row in await tx.rows(select(_FRAGMENTS).where(_FRAGMENTS.c.whole.in_(last))):
        whole = bytes(row["whole"])
        found.setdefault(whole, {})[row["number"]] = _fragment(tx, whole, row)
    return found


async def _fragments(tx: Tx, whole: bytes) -> Sequence[RowMapping]:
    return await tx.rows(select(_FRAGMENTS).where(_FRAGMENTS.c.whole == whole))


def _fragment(tx: Tx, whole: bytes, row: RowMapping) -> bytes:
    return tx.keys.open("sms_fragments", "part", f"{whole.hex()}.{row['number']}", row["part_sealed"])


# --- copies that wait for a person's phones -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """`text`: JSON, as whoever put it there writes it."""

    id: str
    account_id: str
    text: str = field(repr=False)
    created_at: datetime
    expires_at: datetime


async def wait(
    tx: Tx, account_id: str, text: str, now: datetime, until: datetime, *, waiting_id: str | None = None
) -> str:
    """A copy for the phones of an account; its id. Raises `Conflict` for an account that is not there, `Duplicate`."""
    waiting_id = waiting_id or new_id()
    sealed = tx.keys.seal_text("sms_waiting", "text", waiting_id, text)
    row = {"id": waiting_id, "account_id": account_id, "text_sealed": sealed, "created_at": now, "expires_at": until}
    await tx.write(insert(_WAITING).values(**row))
    return waiting_id


async def wait_each(tx: Tx, copies: Sequence[tuple[str, str]], now: datetime, until: datetime) -> frozenset[str]:
    """(account, text) as `wait`; an account that is being removed gets none. Those that have one."""
    named = {account_id for account_id, _ in copies}
    # Its row stays until this transaction ends: on PostgreSQL an insert that fails would take all the others with it.
    there = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id.in_(sorted(named))).with_for_update(read=True, key_share=True)
    accounts = frozenset(row[0] for row in await tx.tuples(there)) if named else frozenset()
    rows = []
    for account_id, text in copies:
        if account_id in accounts:
            waiting_id = new_id()
            sealed = tx.keys.seal_text("sms_waiting", "text", waiting_id, text)
            row = {"id": waiting_id, "account_id": account_id, "text_sealed": sealed}
            rows.append({**row, "created_at": now, "expires_at": until})
    await tx.write_each(insert(_WAITING), rows)
    return accounts


async def waiting(tx: Tx, account_id: str | None = None, *, limit: int = 100) -> tuple[Waiting, ...]:
    """In the order in which they came."""
    wanted = select(_WAITING).order_by(_WAITING.c.created_at, _WAITING.c.id).limit(limit)
    if account_id is not None:
        wanted = wanted.where(_WAITING.c.account_id == account_id)
    names = ("id", "account_id", "created_at", "expires_at")
    return tuple(
        Waiting(
            text=tx.keys.open_text("sms_waiting", "text", row["id"], row["text_sealed"]),
            **{name: row[name] for name in names},
        )
        for row in await tx.rows(wanted)
    )


async def taken(tx: Tx, waiting_id: str) -> None:
    """A phone has it: the copy is of no more use. The text itself stands in its inbox."""
    await tx.write(delete(_WAITING).where(_WAITING.c.id == waiting_id))


# --- what a text asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    id: str
    kind: str  # of REQUESTS
    received_id: str
    inbox_id: str
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    expires_at: datetime


async def open_request(
    tx: Tx, kind: str, received_id: str, inbox_id: str, now: datetime, *, due_at: datetime, expires_at: datetime
) -> Request:
    """Raises `Conflict` for an inbox that is not there."""
    require_in("kind", kind, REQUESTS)
    made = Request(new_id(), kind, received_id, inbox_id, now, due_at, None, None, expires_at)
    await tx.write(insert(_REQUESTS).values(**{name: getattr(made, name) for name in Request.__slots__}))
    return made


async def requests(tx: Tx, *, inbox_ids: Sequence[str] | None = None, open_only: bool = True) -> tuple[Request, ...]:
    """What is due first comes first."""
    wanted = select(_REQUESTS).order_by(_REQUESTS.c.due_at, _REQUESTS.c.id)
    if inbox_ids is not None:
        wanted = wanted.where(_REQUESTS.c.inbox_id.in_(list(inbox_ids)))
    if open_only:
        wanted = wanted.where(_REQUESTS.c.closed_at.is_(None))
    return tuple(Request(**row) for row in await tx.rows(wanted))


async def close_request(tx: Tx, request_id: str, by: str, now: datetime) -> None:
    """Raises `NotFound`, `Conflict`."""
    still = _REQUESTS.c.id == request_id, _REQUESTS.c.closed_at.is_(None)
    if not await tx.write(update(_REQUESTS).where(*still).values(closed_at=now, closed_by=by)):
        row = await tx.row(select(_REQUESTS.c.id).where(_REQUESTS.c.id == request_id))
        raise NotFound("request", request_id) if row is None else Conflict("that request was closed before")


_SEALED = ("addresses_sealed", "digest", "body_sealed")
_PLAIN = tuple(column for column in _T.c if column.name not in _SEALED)
_NAMES = tuple(column.name for column in _PLAIN)


def _received(row: Mapping[str, Any] | RowMapping) -> Received:
    return Received(**{name: row[name] for name in _NAMES})
