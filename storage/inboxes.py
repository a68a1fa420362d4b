"""Inboxes: whose texts are whose. Who may read one is a right to its purpose (`storage.readers`); who may write from
it, and who may see what was sent from it, are members with that right."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import Invalid, NotFound
from storage.ids import LANGUAGE, new_id, require, require_in
from storage.numbers import digest, digests, digests_of_many
from storage.tx import Tx

KINDS = frozenset({"team", "person", "sealed"})
SENDER_KINDS = frozenset({"number", "short", "name"})
CLASSES = frozenset({"transactional", "marketing", "conversation", "internal"})
SEALED = "sealed"  # the name of the one box for what belongs to nobody else
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_IN_ONE = 200  # addresses in one statement
_LONGEST_NAME, _MANY_DIGITS = 40, re.compile(r"[0-9]{6}")
_T, _MEMBERS, _SENDERS = tables.inboxes, tables.inbox_members, tables.sms_senders


@dataclass(frozen=True, slots=True)
class Away:
    """An answer that goes out by itself until then."""

    text: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class Inbox:
    id: str
    name: str
    kind: str  # of KINDS
    account_id: str | None
    language: str
    away: Away | None
    created_at: datetime
    disabled_at: datetime | None

    @property
    def purpose(self) -> str:
        """Of what comes in."""
        return f"inbox.{self.name}"

    @property
    def sent_purpose(self) -> str:
        """Of what is sent from it: another store, another right, another key."""
        return f"inbox.{self.name}.sent"


@dataclass(frozen=True, slots=True)
class Member:
    inbox_id: str
    person_id: str
    sends: bool
    sees_sent: bool
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Sender:
    """`address`: as `sms.addresses.as_text` writes it."""

    id: str
    inbox_id: str
    address: str = field(repr=False)
    kind: str  # of SENDER_KINDS
    classes: tuple[str, ...]
    stop_code: str | None
    carriers: tuple[str, ...]
    approved_by: str
    created_at: datetime
    disabled_at: datetime | None


async def add(
    tx: Tx, name: str, kind: str, now: datetime, *, language: str = "fr", account_id: str | None = None
) -> Inbox:
    """Raises `Invalid`, `Duplicate` ("name"), `Conflict` for an account that is not there."""
    require("name", name, _NAME)
    if len(name) > _LONGEST_NAME or _MANY_DIGITS.search(name):
        raise Invalid("name", f"has at most {_LONGEST_NAME} characters and fewer than six digits in a row")
    require_in("kind", kind, KINDS)
    require("language", language, LANGUAGE)
    if (kind == "person") != (account_id is not None):
        raise Invalid("account", "a person's inbox belongs to an account, and no other does")
    made = Inbox(new_id(), name, kind, account_id, language, None, now, None)
    row = {"id": made.id, "name": name, "kind": kind, "account_id": account_id, "language": language}
    await tx.write(insert(_T).values(**row, created_at=now))
    return made


async def sealed_box(tx: Tx, now: datetime) -> Inbox:
    """The box for what belongs to nobody else; made where there is none yet."""
    try:
        return await by_name(tx, SEALED)
    except NotFound:
        return await add(tx, SEALED, "sealed", now)


async def get(tx: Tx, inbox_id: str) -> Inbox:
    """Raises `NotFound`."""
    return await _one(tx, _T.c.id == inbox_id, inbox_id)


async def by_name(tx: Tx, name: str) -> Inbox:
    """Raises `NotFound`."""
    return await _one(tx, _T.c.name == name, name)


async def of_account(tx: Tx, account_id: str) -> Inbox | None:
    """The person's own, where there is one."""
    row = await tx.row(select(_T).where(_T.c.account_id == account_id, _T.c.disabled_at.is_(None)).limit(1))
    return None if row is None else _inbox(tx, row)


async def list_all(tx: Tx) -> tuple[Inbox, ...]:
    """By name."""
    return tuple(_inbox(tx, row) for row in await tx.rows(select(_T).order_by(_T.c.name)))


async def set_away(tx: Tx, inbox_id: str, away: Away | None) -> None:
    """The out-of-office answer; None: there is none. Raises `NotFound`."""
    sealed = None
    if away is not None:
        said = json.dumps([away.text, away.until.isoformat()]).encode()
        sealed = tx.keys.seal("inboxes", "away", inbox_id, said)
    await _change(tx, inbox_id, away_sealed=sealed)


async def disable(tx: Tx, inbox_id: str, now: datetime | None) -> None:
    """None: enable it again. Raises `NotFound`."""
    await _change(tx, inbox_id, disabled_at=now)


async def release(tx: Tx, account_id: str) -> None:
    """Those of an account that goes are nobody's, and answer nothing by themselves."""
    await tx.write(update(_T).where(_T.c.account_id == account_id).values(account_id=None, away_sealed=None))


# --- members ------------------------------------------------------------------------------------------------------


async def set_member(tx: Tx, inbox_id: str, person_id: str, *, sends: bool, sees_sent: bool, now: datetime) -> None:
    """Neither right: no member any more. Raises `Conflict` for whoever is not there."""
    both = (_MEMBERS.c.inbox_id == inbox_id, _MEMBERS.c.person_id == person_id)
    await tx.write(delete(_MEMBERS).where(*both))
    if sends or sees_sent:
        row = {"inbox_id": inbox_id, "person_id": person_id, "sends": sends, "sees_sent": sees_sent}
        await tx.write(insert(_MEMBERS).values(**row, granted_at=now))


async def members(tx: Tx, *, inbox_id: str | None = None, person_id: str | None = None) -> tuple[Member, ...]:
    """Of one inbox, of one person, or all."""
    wanted = select(_MEMBERS).order_by(_MEMBERS.c.inbox_id, _MEMBERS.c.person_id)
    if inbox_id is not None:
        wanted = wanted.where(_MEMBERS.c.inbox_id == inbox_id)
    if person_id is not None:
        wanted = wanted.where(_MEMBERS.c.person_id == person_id)
    return tuple(Member(**row) for row in await tx.rows(wanted))


# --- senders ------------------------------------------------------------------------------------------------------


async def add_sender(
    tx: Tx,
    inbox_id: str,
    address: str,
    kind: str,
    now: datetime,
    *,
    classes: Sequence[str],
    approved_by: str,
    stop_code: str | None = None,
    carriers: Sequence[str] = (),
) -> Sender:
    """Raises `Duplicate` for an address that an inbox has already, `Invalid`, `Conflict`."""
    require_in("kind", kind, SENDER_KINDS)
    for each in classes:
        require_in("classes", each, CLASSES)
    made = Sender(
        new_id(), inbox_id, address, kind, tuple(sorted(classes)), stop_code, tuple(carriers), approved_by, now, None
    )
    await tx.write(
        insert(_SENDERS).values(
            id=made.id,
            inbox_id=inbox_id,
            address_sealed=tx.keys.seal_text("sms_senders", "address", made.id, address),
            digest=await digest(tx, address),
            kind=kind,
            classes=list(made.classes),
            stop_code=stop_code,
            carriers=list(carriers),
            approved_by=approved_by,
            created_at=now,
        )
    )
    return made


async def sender(tx: Tx, sender_id: str) -> Sender:
    """Raises `NotFound`."""
    row = await tx.row(select(_SENDERS).where(_SENDERS.c.id == sender_id))
    if row is None:
        raise NotFound("sender", sender_id)
    return _sender(tx, row)


async def sender_by_address(tx: Tx, address: str) -> Sender | None:
    """Disabled ones too: what is written to them still belongs somewhere."""
    row = await tx.row(select(_SENDERS).where(_SENDERS.c.digest.in_(await digests(tx, address))))
    return None if row is None else _sender(tx, row)


async def senders_by_address(tx: Tx, addresses: Collection[str]) -> dict[str, Sender]:
    """As `sender_by_address`, for many: by address, those that are one of ours."""
    found: dict[str, Sender] = {}
    for start in range(0, len(ours := sorted(addresses)), _IN_ONE):
        by_digest = await digests_of_many(tx, ours[start : start + _IN_ONE])
        for row in await tx.rows(select(_SENDERS).where(_SENDERS.c.digest.in_(list(by_digest)))):
            found[by_digest[bytes(row["digest"])]] = _sender(tx, row)
    return found


async def senders(tx: Tx, *, inbox_id: str | None = None) -> tuple[Sender, ...]:
    """The oldest first."""
    wanted = select(_SENDERS).order_by(_SENDERS.c.created_at, _SENDERS.c.id)
    if inbox_id is not None:
        wanted = wanted.where(_SENDERS.c.inbox_id == inbox_id)
    return tuple(_sender(tx, row) for row in await tx.rows(wanted))


async def disable_sender(tx: Tx, sender_id: str, now: datetime) -> None:
    """Nothing is sent from it any more. Raises `NotFound`."""
    if not await tx.write(update(_SENDERS).where(_SENDERS.c.id == sender_id).values(disabled_at=now)):
        raise NotFound("sender", sender_id)


async def _one(tx: Tx, which: Any, named: str) -> Inbox:
    row = await tx.row(select(_T).where(which))
    if row is None:
        raise NotFound("inbox", named)
    return _inbox(tx, row)


async def _change(tx: Tx, inbox_id: str, **values: Any) -> None:
    if not await tx.write(update(_T).where(_T.c.id == inbox_id).values(**values)):
        raise NotFound("inbox", inbox_id)


def _inbox(tx: Tx, row: RowMapping) -> Inbox:
    away = None
    if row["away_sealed"] is not None:
        text, until = json.loads(tx.keys.open("inboxes", "away", row["id"], row["away_sealed"]))
        away = Away(text, datetime.fromisoformat(until))
    names = ("id", "name", "kind", "account_id", "language", "created_at", "disabled_at")
    return Inbox(**{name: row[name] for name in names}, away=away)


def _sender(tx: Tx, row: RowMapping) -> Sender:
    return Sender(
        id=row["id"],
        inbox_id=row["inbox_id"],
        address=tx.keys.open_text("sms_senders", "address", row["id"], row["address_sealed"]),
        kind=row["kind"],
        classes=tuple(row["classes"]),
        stop_code=row["stop_code"],
        carriers=tuple(row["carriers"]),
        approved_by=row["approved_by"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )
