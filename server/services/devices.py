"""Devices: one credential each, shown once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.credentials import ha1, new_auth_user, new_secret
from server.services.directory import account_by_name
from server.services.edge import drop_devices, push
from server.services.forgetting import forget
from sip.edge.rpc import RpcError
from storage import accounts, devices
from storage.accounts import Account
from storage.devices import Credential, Device
from storage.errors import NotFound
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class DeviceView:
    """Fields: see `server.commands.devices.FIELDS`."""

    id: str
    account: str
    label: str
    user: str
    registered: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What is typed into the phone. The password exists nowhere else: the directory keeps its digest, sealed."""

    device: DeviceView
    domain: str
    password: str = field(repr=False)


async def add(services: Services, actor: Actor, *, account: str, label: str = "phone") -> NewDevice:
    """Raises Failure where there is no such account."""
    password, domain = new_secret(), services.settings.sip.domain
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account)
        auth_user = new_auth_user(owner.name)
        digest = ha1(auth_user, domain, password)
        device = await devices.add(tx, owner.id, label, auth_user, digest, services.clock())
        refused = owner.disabled_at is not None
        await note(services, tx, actor, "add", "device", device_id=device.id, account_id=owner.id)
    await push(services, Credential(auth_user, owner.name, digest, only_emergency=refused, account_id=owner.id))
    return NewDevice(await view(services, device, owner.name, masked=False), domain, password)


async def list_(services: Services, actor: Actor, *, account: str | None = None) -> list[DeviceView]:
    """Of one account or of all, by user name."""
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account, actor) if account else None
        names = {one.id: one.name for one in await accounts.list_all(tx)}
        every = await devices.list_all(tx, owner.id if owner else None)
        found = [one for one in every if actor.sees(names[one.account_id])]
        account_id = owner.id if owner else None
        await note(services, tx, actor, "list", "device", count=len(found), account_id=account_id)
    return [
        await view(services, device, names[device.account_id], masked=actor.masks(names[device.account_id]))
        for device in found
    ]


async def revoke(services: Services, actor: Actor, *, user: str) -> DeviceView:
    """Signs the phone off, ends its calls and forgets its digest for good; the account's other devices stay.

    Raises Failure.
    """
    async with services.db.transaction() as tx:
        device, account = await _found(tx, actor, user)
        device = await devices.revoke(tx, device.id, services.clock())
        await note(services, tx, actor, "revoke", "device", device_id=device.id, account_id=account.id)
    await forget(services)
    await drop_devices(services, [device.auth_user])
    return await view(services, device, account.name, masked=actor.masks(account.name))


async def _found(tx: Tx, actor: Actor, user: str) -> tuple[Device, Account]:
    try:
        device = await devices.by_auth_user(tx, user)
        account = await accounts.get(tx, device.account_id)
    except NotFound:
        account = None
    if account is None or not actor.sees(account.name):
        raise Failure(f"no device with user name {user}", "Type: beffroi device list", "not_found")
    return device, account


async def view(services: Services, device: Device, account: str, *, masked: bool) -> DeviceView:
    """With where it is registered now; None there when nobody can tell."""
    return DeviceView(
        id=device.id,
        account=account,
        label=masking.name(device.label) if masked else device.label,
        user=device.auth_user,
        registered=await _registered(services, device.auth_user, masked=masked),
        created_at=device.created_at,
        revoked_at=device.revoked_at,
    )


async def _registered(services: Services, auth_user: str, *, masked: bool) -> tuple[str, ...] | None:
    if services.edge is None:
        return None
    try:
        contacts = await services.edge.contacts(auth_user)
    except RpcError:
        return None
    return tuple(f"{one.table} {where(one.received or one.uri, masked=masked)}" for one in contacts)


def where(uri: str, *, masked: bool) -> str:
    """Host and port of a contact (RFC 3261 section 19.1), as far as it names them."""
    place = uri.removeprefix("sip:").partition(";")[0].rpartition("@")[2]
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal():  # no port: `192.0.2.7`, `[2001:db8::1]`
        host, colon, port = place, "", ""
    return f"{masking.address(host.strip('[]')) if masked else host}{colon}{port}"
