"""Campaigns and their lists: a row for each recipient, many at a time; one message each, whatever happens in between.

A recipient is taken in the transaction that writes the message, under a lock on the campaign's row: whoever pauses or
cancels waits for it, or is waited for.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, select, update

from storage import tables
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import LANGUAGE, new_id, require
from storage.numbers import digests, indexer
from storage.tx import Tx

_T, _R, _RECEIVED = tables.campaigns, tables.campaign_recipients, tables.sms_received
OPEN = ("waiting", "later")
_NAME, _LONGEST_NAME, _MANY_DIGITS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), 40, re.compile(r"[0-9]{6}")
AT_ONCE = 2000  # recipients that are read in one go


@dataclass(frozen=True, slots=True)
class Campaign:
    id: str
    name: str
    inbox_id: str
    sender_id: str
    message_class: str
    sector: str
    target: str
    language: str
    state: str
    why: str
    per_minute: int
    starts_at: datetime
    ends_at: datetime
    created_by: str
    approved_by: str | None
    approved_sha256: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Wording:
    """`transliterated`: what the GSM alphabet lacks is replaced."""

    template: str = field(repr=False)
    transliterated: bool = False


@dataclass(frozen=True, slots=True)
class Recipient:
    """`line`: of the list that was imported. `number`: E.164. `fields`: what the template fills in."""

    line: int
    number: str = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Fate:
    """What has become of a recipient; no number."""

    line: int
    state: str  # waiting, later, taken, refused, cancelled
    why: str
    due_at: datetime
    message_id: str | None


_PLAIN = tuple(_T.c[name] for name in Campaign.__slots__)


async def add(tx: Tx, now: datetime, wording: Wording, **said: Any) -> Campaign:
    """Fields: those of `Campaign` but id, state, why, approval, created_at and updated_at. Raises `Invalid`,
    `Duplicate` ("name"), `Conflict` for an inbox or sender that is not there."""
    require("name", said["name"], _NAME)
    if len(said["name"]) > _LONGEST_NAME or _MANY_DIGITS.search(said["name"]):
        raise Invalid("name", f"has at most {_LONGEST_NAME} characters and fewer than six digits in a row")
    require("language", said["language"], LANGUAGE)
    made = Campaign(id=new_id(), state="draft", why="", approved_by=None, approved_sha256=None, created_at=now,
                    updated_at=now, **said)  # fmt: skip
    row = {name: getattr(made, name) for name in Campaign.__slots__}
    await tx.write(insert(_T).values(**row, template_sealed=_seal(tx, made.id, wording)))
    return made


async def get(tx: Tx, campaign_id: str) -> Campaign:
    """Raises `NotFound`."""
    return await _one(tx, _T.c.id == campaign_id, campaign_id)


async def by_name(tx: Tx, name: str) -> Campaign:
    """Raises `NotFound`."""
    return await _one(tx, _T.c.name == name, name)


async def list_all(
    tx: Tx, *, inbox_ids: Sequence[str] | None = None, states: Sequence[str] = (), limit: int = 1000
) -> tuple[Campaign, ...]:
    """The newest first. `inbox_ids` None: of all."""
    wanted = select(*_PLAIN).order_by(_T.c.created_at.desc(), _T.c.id).limit(limit)
    if inbox_ids is not None:
        wanted = wanted.where(_T.c.inbox_id.in_(list(inbox_ids)))
    if states:
        wanted = wanted.where(_T.c.state.in_(list(states)))
    return tuple(Campaign(**row) for row in await tx.rows(wanted))


async def wording(tx: Tx, campaign_id: str) -> Wording:
    """Raises `NotFound`."""
    row = await tx.row(select(_T.c.template_sealed).where(_T.c.id == campaign_id))
    if row is None:
        raise NotFound("campaign", campaign_id)
    template, transliterated = json.loads(tx.keys.open("campaigns", "template", campaign_id, row["template_sealed"]))
    return Wording(template, transliterated)


async def set_wording(tx: Tx, campaign_id: str, said: Wording) -> None:
    """Whether it may be changed the caller has looked up in this transaction. Raises `NotFound`."""
    sealed = _seal(tx, campaign_id, said)
    if not await tx.write(update(_T).where(_T.c.id == campaign_id).values(template_sealed=sealed)):
        raise NotFound("campaign", campaign_id)


async def move(tx: Tx, campaign_id: str, before: str, state: str, now: datetime, **values: Any) -> None:
    """To another state, unless somebody else was quicker. `values`: why, approved_by, approved_sha256, starts_at.
    Raises `Conflict`."""
    here = (_T.c.id == campaign_id) & (_T.c.state == before)
    if not await tx.write(update(_T).where(here).values(state=state, updated_at=now, **values)):
        raise Conflict("this campaign has changed meanwhile")


async def hold_still(tx: Tx, campaign_id: str, state: str, now: datetime) -> bool:
    """Nobody moves it before this transaction ends; False where it is in another state."""
    here = (_T.c.id == campaign_id) & (_T.c.state == state)
    return bool(await tx.write(update(_T).where(here).values(updated_at=now)))


# --- the list -----------------------------------------------------------------------------------------------------


async def add_recipients(tx: Tx, campaign_id: str, some: Sequence[Recipient], due_at: datetime) -> None:
    """Raises `Duplicate` or `Conflict` where a line or a number stands there already."""
    index, seal = await indexer(tx), tx.keys.seal
    rows = []
    for one in some:
        row_id = f"{campaign_id}.{one.line}"
        rows.append(
            {
                "campaign_id": campaign_id,
                "line": one.line,
                "number_sealed": seal("campaign_recipients", "number", row_id, one.number.encode()),
                "digest": index(one.number),
                "fields_sealed": seal("campaign_recipients", "fields", row_id, _fields(one.fields)),
                "state": "waiting",
                "why": "",
                "due_at": due_at,
            }
        )
    await tx.write_each(insert(_R), rows)


async def recipients(tx: Tx, campaign_id: str, *, after: int = 0, limit: int = AT_ONCE) -> tuple[Recipient, ...]:
    """In the order of the list, those behind line `after`."""
    wanted = select(_R.c.line, _R.c.number_sealed, _R.c.fields_sealed)
    wanted = wanted.where(_R.c.campaign_id == campaign_id, _R.c.line > after).order_by(_R.c.line).limit(limit)
    return _recipients(tx, campaign_id, await tx.tuples(wanted))


async def every_recipient(tx: Tx, campaign_id: str) -> AsyncIterator[tuple[Recipient, ...]]:
    """Some at a time, in the order of the list."""
    last = 0
    while some := await recipients(tx, campaign_id, after=last):
        yield some
        last = some[-1].line


async def due(tx: Tx, campaign_id: str, now: datetime, *, limit: int) -> tuple[Recipient, ...]:
    """Whose turn it is, the longest waiting first."""
    wanted = (
        select(_R.c.line, _R.c.number_sealed, _R.c.fields_sealed)
        .where(_R.c.campaign_id == campaign_id, _R.c.state.in_(OPEN), _R.c.due_at <= now)
        .order_by(_R.c.due_at, _R.c.line)
        .limit(limit)
    )
    return _recipients(tx, campaign_id, await tx.tuples(wanted))


async def next_due(tx: Tx, campaign_id: str) -> datetime | None:
    """When it is the next one's turn; None: nobody is left."""
    wanted = select(func.min(_R.c.due_at).label("at"))
    row = await tx.row(wanted.where(_R.c.campaign_id == campaign_id, _R.c.state.in_(OPEN)))
    return None if row is None else row["at"]


_HERE = (_R.c.campaign_id == bindparam("c")) & (_R.c.line == bindparam("l"))
_TAKEN = update(_R).where(_HERE).values(state="taken", why="", message_id=bindparam("m"))
_LATER = update(_R).where(_HERE).values(state="later", why=bindparam("w"), due_at=bindparam("d"))
_REFUSED = update(_R).where(_HERE).values(state="refused", why=bindparam("w"))


async def take(tx: Tx, campaign_id: str, taken: Sequence[tuple[int, str]]) -> None:
    """(line, message id), in the transaction that writes the messages."""
    await tx.write_each(_TAKEN, [{"c": campaign_id, "l": line, "m": m} for line, m in taken])


async def put_off(tx: Tx, campaign_id: str, later: Sequence[tuple[int, str, datetime]]) -> None:
    """(line, ground, when)."""
    await tx.write_each(_LATER, [{"c": campaign_id, "l": line, "w": why, "d": at} for line, why, at in later])


async def refuse(tx: Tx, campaign_id: str, refused: Sequence[tuple[int, str]]) -> None:
    """(line, ground)."""
    await tx.write_each(_REFUSED, [{"c": campaign_id, "l": line, "w": why} for line, why in refused])


async def end_recipients(tx: Tx, campaign_id: str, state: str, why: str) -> int:
    """All that still wait are refused or cancelled. How many."""
    here = (_R.c.campaign_id == campaign_id) & _R.c.state.in_(OPEN)
    return await tx.write(update(_R).where(here).values(state=state, why=why))


async def fates(
    tx: Tx, campaign_id: str, *, states: Iterable[str] = (), number: str | None = None, limit: int = 1000
) -> tuple[Fate, ...]:
    """In the order of the list."""
    wanted = select(_R.c.line, _R.c.state, _R.c.why, _R.c.due_at, _R.c.message_id)
    wanted = wanted.where(_R.c.campaign_id == campaign_id).order_by(_R.c.line).limit(limit)
    if chosen := tuple(states):
        wanted = wanted.where(_R.c.state.in_(chosen))
    if number is not None:
        wanted = wanted.where(_R.c.digest.in_(await digests(tx, number)))
    return tuple(Fate(*row) for row in await tx.tuples(wanted))


async def counts(tx: Tx, campaign_id: str) -> dict[str, int]:
    """Recipients by state."""
    return await _count(tx, _R.c.state, _R.c.campaign_id == campaign_id)


async def grounds(tx: Tx, campaign_id: str) -> dict[str, int]:
    """Why those who get nothing, or not now, do not."""
    return await _count(tx, _R.c.why, (_R.c.campaign_id == campaign_id) & (_R.c.why != ""))


async def replies(tx: Tx, campaign_id: str) -> dict[str, int]:
    """Texts that came in answer, by what they say of being contacted ("" : nothing)."""
    return await _count(tx, _RECEIVED.c.stop, _RECEIVED.c.campaign_id == campaign_id)


async def _count(tx: Tx, by: Any, where: Any) -> dict[str, int]:
    return {key: n for key, n in await tx.tuples(select(by, func.count()).where(where).group_by(by))}


async def _one(tx: Tx, which: Any, named: str) -> Campaign:
    row: RowMapping | None = await tx.row(select(*_PLAIN).where(which))
    if row is None:
        raise NotFound("campaign", named)
    return Campaign(**row)


def _recipients(tx: Tx, campaign_id: str, rows: Sequence[Sequence[Any]]) -> tuple[Recipient, ...]:
    number, fields = tx.keys.opener("campaign_recipients", "number"), tx.keys.opener("campaign_recipients", "fields")
    found = []
    for line, number_sealed, fields_sealed in rows:
        row_id = f"{campaign_id}.{line}"
        said = json.loads(fields(row_id, fields_sealed))
        found.append(Recipient(line, number(row_id, number_sealed).decode(), said))
    return tuple(found)


def _fields(fields: Mapping[str, str]) -> bytes:
    return json.dumps(dict(fields), ensure_ascii=False).encode()


def _seal(tx: Tx, campaign_id: str, said: Wording) -> bytes:
    raw = json.dumps([said.template, said.transliterated], ensure_ascii=False).encode()
    return tx.keys.seal("campaigns", "template", campaign_id, raw)
