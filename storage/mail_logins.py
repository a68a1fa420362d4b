"""Logins of those who order texts by mail: a password each, revocable alone, and the senders that they may write.

What a password is checked against is made and compared by the caller; here it lies sealed. Addresses are sealed too,
and found by a keyed index: no list of them is in clear anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, delete, insert, select, update

from storage import tables
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import ACCOUNT_NAME, new_id, require
from storage.tx import Tx

_T = tables.mail_logins
_A = tables.mail_addresses
_O = tables.mail_orders
_PURPOSE = "mail"
MAX_ADDRESSES = 20


@dataclass(frozen=True, slots=True)
class MailLogin:
    """`addresses`: in lower case, sorted; none once it is revoked. `automatic`: a program, whose mails may say so."""

    id: str
    account_id: str
    label: str = field(repr=False)
    login: str  # shape of ids.ACCOUNT_NAME
    addresses: tuple[str, ...] = field(repr=False)
    automatic: bool
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """What a password is compared with."""

    login: MailLogin
    verifier: bytes = field(repr=False)


async def add(tx: Tx, account_id: str, label: str, login: str, verifier: bytes, addresses: Sequence[str], now: datetime,
              *, automatic: bool = False) -> MailLogin:  # fmt: skip
    """Raises `Duplicate("login")`, `Invalid`, `Conflict` where an address is another's or there is no such account."""
    wanted = sorted({address.lower() for address in addresses})
    if not 1 <= len(wanted) <= MAX_ADDRESSES:
        raise Invalid("addresses", f"must be 1 to {MAX_ADDRESSES}")
    login_id = new_id()
    await tx.write(
        insert(_T).values(
            id=login_id,
            account_id=account_id,
            label_sealed=tx.keys.seal_text("mail_logins", "label", login_id, label),
            login=require("login", login, ACCOUNT_NAME),
            verifier_sealed=tx.keys.seal("mail_logins", "verifier", login_id, verifier),
            automatic=automatic,
            created_at=now,
        )
    )
    for address in wanted:
        await _allow(tx, login_id, address)
    return await get(tx, login_id)


async def _allow(tx: Tx, login_id: str, address: str) -> None:
    if await _of_address(tx, address) is not None:
        raise Conflict("an address that belongs to another login")
    address_id = new_id()
    await tx.write(
        insert(_A).values(
            id=address_id,
            login_id=login_id,
            digest=tx.keys.blind_index(_PURPOSE, address),
            address_sealed=tx.keys.seal_text("mail_addresses", "address", address_id, address),
        )
    )


async def get(tx: Tx, login_id: str) -> MailLogin:
    """Revoked ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == login_id))
    if row is None:
        raise NotFound("mail login", login_id)
    return (await _read(tx, [row]))[0]


async def by_login(tx: Tx, login: str) -> MailLogin:
    """Revoked ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.login == login))
    if row is None:
        raise NotFound("mail login")
    return (await _read(tx, [row]))[0]


async def held(tx: Tx, login: str) -> Held | None:
    """None for one that may not sign in: unknown, revoked, or its account disabled."""
    row = await tx.row(_usable().where(_T.c.login == login))
    if row is None:
        return None
    [found] = await _read(tx, [row])
    return Held(found, tx.keys.open("mail_logins", "verifier", found.id, row["verifier_sealed"]))


async def by_address(tx: Tx, address: str) -> MailLogin | None:
    """The login that may write this sender, where it may sign in."""
    login_id = await _of_address(tx, address.lower())
    row = None if login_id is None else await tx.row(_usable().where(_T.c.id == login_id))
    return None if row is None else (await _read(tx, [row]))[0]


async def list_all(tx: Tx, account_id: str | None = None) -> tuple[MailLogin, ...]:
    """By login, revoked ones included; of one account or of all."""
    wanted = select(_T).order_by(_T.c.login)
    if account_id is not None:
        wanted = wanted.where(_T.c.account_id == account_id)
    return await _read(tx, await tx.rows(wanted))


async def revoke(tx: Tx, login_id: str, now: datetime) -> MailLogin:
    """Forgets password and addresses for good, so that another login may have these. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == login_id).values(revoked_at=now, verifier_sealed=None)):
        raise NotFound("mail login", login_id)
    await tx.write(delete(_A).where(_A.c.login_id == login_id))
    return await get(tx, login_id)


async def remove_of(tx: Tx, account_id: str) -> None:
    """All of an account that goes, with what its mails have ordered."""
    mine = select(_T.c.id).where(_T.c.account_id == account_id)
    await tx.write(delete(_A).where(_A.c.login_id.in_(mine)))
    await tx.write(delete(_O).where(_O.c.login_id.in_(mine)))
    await tx.write(delete(_T).where(_T.c.account_id == account_id))


def _usable() -> Select[Any]:
    accounts = tables.accounts
    joined = select(_T).join(accounts, accounts.c.id == _T.c.account_id)
    return joined.where(_T.c.revoked_at.is_(None), _T.c.verifier_sealed.is_not(None), accounts.c.disabled_at.is_(None))


async def _of_address(tx: Tx, address: str) -> str | None:
    digests = tx.keys.blind_index_all_versions(_PURPOSE, address)
    row = await tx.row(select(_A.c.login_id).where(_A.c.digest.in_(digests)))
    return None if row is None else str(row["login_id"])


async def _read(tx: Tx, rows: Sequence[RowMapping]) -> tuple[MailLogin, ...]:
    if not rows:
        return ()
    addresses: dict[str, list[str]] = {}
    wanted = select(_A)
    if len(rows) == 1:
        wanted = wanted.where(_A.c.login_id == rows[0]["id"])
    for one in await tx.rows(wanted):
        clear = tx.keys.open_text("mail_addresses", "address", one["id"], one["address_sealed"])
        addresses.setdefault(one["login_id"], []).append(clear)
    return tuple(
        MailLogin(
            id=row["id"],
            account_id=row["account_id"],
            label=tx.keys.open_text("mail_logins", "label", row["id"], row["label_sealed"]),
            login=row["login"],
            addresses=tuple(sorted(addresses.get(row["id"], ()))),
            automatic=row["automatic"],
            created_at=row["created_at"],
            revoked_at=row["revoked_at"],
        )
        for row in rows
    )
