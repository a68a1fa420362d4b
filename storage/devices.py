"""Devices: one credential each, revocable alone. HA1 (RFC 7616 §3.4.2, MD5 form) is sealed; one function reads it."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import ACCOUNT_NAME, new_id, require
from storage.tx import Tx

_T = tables.devices


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    account_id: str
    label: str
    auth_user: str  # digest user name, shape of ids.ACCOUNT_NAME
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """What the edge needs to authenticate one device; lives in memory only."""

    auth_user: str
    account: str  # account name
    ha1: str = field(repr=False)  # 32 hexadecimal characters
    only_emergency: bool = False  # the account is disabled: it is known, and may call emergency services
    account_id: str = ""


async def add(tx: Tx, account_id: str, label: str, auth_user: str, ha1: str, now: datetime) -> Device:
    """Raises `Duplicate("auth_user")`, `Invalid`, `Conflict` if there is no such account."""
    device_id = new_id()
    await tx.write(
        insert(_T).values(
            id=device_id,
            account_id=account_id,
            label_sealed=tx.keys.seal_text("devices", "label", device_id, label),
            auth_user=require("auth_user", auth_user, ACCOUNT_NAME),
            ha1_sealed=tx.keys.seal_text("devices", "ha1", device_id, ha1),
            created_at=now,
        )
    )
    return await get(tx, device_id)


async def get(tx: Tx, device_id: str) -> Device:
    """Revoked ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == device_id))
    if row is None:
        raise NotFound("device", device_id)
    return _device(tx, row)


async def by_auth_user(tx: Tx, auth_user: str) -> Device:
    """Revoked ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.auth_user == auth_user))
    if row is None:
        raise NotFound("device")
    return _device(tx, row)


async def list_all(tx: Tx, account_id: str | None = None) -> tuple[Device, ...]:
    """By auth_user, revoked ones included; of one account or of all."""
    wanted = select(_T).order_by(_T.c.auth_user)
    if account_id is not None:
        wanted = wanted.where(_T.c.account_id == account_id)
    return tuple(_device(tx, row) for row in await tx.rows(wanted))


async def revoke(tx: Tx, device_id: str, now: datetime) -> Device:
    """Forgets the HA1 for good. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == device_id).values(revoked_at=now, ha1_sealed=None)):
        raise NotFound("device", device_id)
    return await get(tx, device_id)


async def remove_of(tx: Tx, account_id: str) -> None:
    """All of an account that goes, credentials first of all."""
    await tx.write(delete(_T).where(_T.c.account_id == account_id))


async def credentials(tx: Tx, account_id: str | None = None) -> list[Credential]:
    """Of every device that is not revoked, those of disabled accounts flagged: for the edge, and for nobody else."""
    accounts = tables.accounts
    wanted = (
        select(_T.c.id, _T.c.auth_user, _T.c.account_id, _T.c.ha1_sealed, accounts.c.name, accounts.c.disabled_at)
        .join(accounts, accounts.c.id == _T.c.account_id)
        .where(_T.c.revoked_at.is_(None), _T.c.ha1_sealed.is_not(None))
        .order_by(_T.c.auth_user)
    )
    if account_id is not None:
        wanted = wanted.where(_T.c.account_id == account_id)
    return [
        Credential(
            auth_user=row["auth_user"],
            account=row["name"],
            ha1=tx.keys.open_text("devices", "ha1", row["id"], row["ha1_sealed"]),
            only_emergency=row["disabled_at"] is not None,
            account_id=row["account_id"],
        )
        for row in await tx.rows(wanted)
    ]


def _device(tx: Tx, row: RowMapping) -> Device:
    return Device(
        id=row["id"],
        account_id=row["account_id"],
        label=tx.keys.open_text("devices", "label", row["id"], row["label_sealed"]),
        auth_user=row["auth_user"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
