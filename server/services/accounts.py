"""Accounts: what calls and is called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retention.gate import DestructionIncomplete
from server.failure import Failure
from server.services import call_settings, erasure, masking
from server.services import devices as device_service
from server.services.actor import Actor
from server.services.audit import note
from server.services.call_settings import SettingsView
from server.services.context import Services
from server.services.devices import DeviceView
from server.services.directory import account_by_name, person_by_login
from server.services.edge import drop_devices, push, refuse_devices
from server.services.phone_numbers import not_emergency
from storage import accounts, devices, holds, inboxes, numbers_owned, people
from storage.accounts import Account
from storage.errors import Unavailable
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class AccountView:
    """Fields: see `server.commands.accounts.FIELDS`."""

    id: str
    name: str
    extension: str
    display_name: str
    person: str | None
    country: str
    language: str
    metadata_class: str | None
    devices: int
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountDetail:
    """An account with its devices."""

    account: AccountView
    devices: tuple[DeviceView, ...]
    settings: SettingsView
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemovedView:
    """What was removed, and the receipt that proves it (ledger receipt)."""

    account: AccountView
    receipt: str


async def add(
    services: Services,
    actor: Actor,
    *,
    name: str,
    extension: str,
    display_name: str = "",
    person: str | None = None,
    country: str = "FR",
    language: str = "fr",
    metadata_class: str | None = None,
) -> AccountView:
    """`person`: login of whom it belongs to. Raises Duplicate, Invalid, Failure."""
    for dialled in (name, extension):
        not_emergency(services.settings, dialled)
    async with services.db.transaction() as tx:
        person_id = (await person_by_login(tx, person)).id if person else None
        account = await accounts.add(
            tx,
            name,
            extension,
            display_name or name.capitalize(),
            services.clock(),
            person_id=person_id,
            country=country,
            language=language,
            metadata_class=metadata_class,
        )
        await note(services, tx, actor, "add", "account", account_id=account.id)
        return await _view(tx, account, masked=False)


async def give(services: Services, actor: Actor, *, name: str, person: str, display_name: str = "") -> AccountView:
    """From now on it is this person's: their calls, phones and settings. What it did before stays nobody's.

    Only one that belongs to nobody: another's goes with them, or is handed over. `person`: their login.
    `display_name`: what others see; empty: the person's name. Raises Failure: not_found, conflict.
    """
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        whose, to = await _login(tx, account.person_id), await person_by_login(tx, person)
        if whose is not None:
            raise Failure(
                f"{name} belongs to {whose}",
                f"If {whose} leaves, hand it over: beffroi person leave {whose} --hand-over ACCOUNT; else add another",
                "conflict",
            )
        if to.disabled_at is not None:
            raise Failure(f"{person} is disabled", "Name somebody else, or unlock them", "conflict")
        account = await accounts.give(tx, account.id, to.id, display_name.strip() or to.display_name, services.clock())
        await note(services, tx, actor, "change", "account", account_id=account.id, person_id=to.id)
        return await _view(tx, account, masked=actor.masked)


async def list_(services: Services, actor: Actor) -> list[AccountView]:
    """By name. Display names are masked unless the actor gives a reason."""
    async with services.db.transaction() as tx:
        seen = [account for account in await accounts.list_all(tx) if actor.sees(account.name)]
        found = [await _view(tx, account, masked=actor.masks(account.name)) for account in seen]
        await note(services, tx, actor, "list", "account", count=len(found))
    return found


async def show(services: Services, actor: Actor, *, name: str) -> AccountDetail:
    """One account with its devices, and where they are registered now. Raises Failure."""
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        masked = actor.masks(account.name)
        view = await _view(tx, account, masked=masked)
        owned = await devices.list_all(tx, account.id)
        chosen = await call_settings.view(tx, account, masked=masked)
        reached = [one.number for one in await numbers_owned.of_account(tx, account.id)]
        await note(services, tx, actor, "show", "account", account_id=account.id)
    shown = [await device_service.view(services, device, account.name, masked=masked) for device in owned]
    numbers = tuple(masking.number(one) if masked else one for one in reached)
    return AccountDetail(view, tuple(shown), chosen, numbers)


async def disable(services: Services, actor: Actor, *, name: str) -> AccountView:
    """Calls nobody but emergency services, and is not called; its running calls end. Raises Failure."""
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        account = await accounts.disable(tx, account.id, services.clock())
        view = await _view(tx, account, masked=actor.masked)
        credentials = await devices.credentials(tx, account.id)
        await note(services, tx, actor, "disable", "account", account_id=account.id)
    await refuse_devices(services, [one.auth_user for one in credentials])
    return view


async def enable(services: Services, actor: Actor, *, name: str) -> AccountView:
    """Takes disable back; its phones sign on by themselves. Raises Failure."""
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        account = await accounts.enable(tx, account.id)
        view = await _view(tx, account, masked=actor.masked)
        credentials = await devices.credentials(tx, account.id)
        await note(services, tx, actor, "enable", "account", account_id=account.id)
    for credential in credentials:
        await push(services, credential)
    return view


async def remove(services: Services, actor: Actor, *, name: str) -> RemovedView:
    """The account with its devices and its place in lines, through the deletion gate; its inbox is closed, and what
    comes for it goes to the sealed box. Raises Failure."""
    async with services.erasing:
        await erasure.resume(services)
        return await _removed(services, actor, name)


async def _removed(services: Services, actor: Actor, name: str) -> RemovedView:
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        await holds.lock(tx)
        if account.id.encode() in await holds.standing(tx):
            raise Failure(
                "a legal hold lies on that account", "Disable it, or lift the hold: beffroi hold list", "conflict"
            )
        view = await _view(tx, account, masked=actor.masked)
        owned = [device.auth_user for device in await devices.list_all(tx, account.id)]
        await accounts.disable(tx, account.id, services.clock())
        for box in await inboxes.list_all(tx):
            if box.account_id == account.id and box.disabled_at is None:
                await inboxes.disable(tx, box.id, services.clock())
                await note(services, tx, actor, "disable", "inbox", inbox_id=box.id)
        await erasure.order(services, tx, actor, erasure.ACCOUNT, account.id)
        await note(services, tx, actor, "remove", "account", account_id=account.id)
    if services.texts is not None:
        services.texts.changed()
    try:
        receipt = await erasure.carry_out(services, actor, erasure.ACCOUNT, account.id)
    except (DestructionIncomplete, Unavailable) as error:
        what = f"account {account.name} is disabled, and not yet gone for good: {error}"
        remedy = "It is finished by the next account remove, or when the daemon starts"
        raise Failure(what, remedy, "unavailable") from error
    finally:
        await drop_devices(services, owned)
    return RemovedView(view, receipt.receipt_id)


async def _view(tx: Tx, account: Account, *, masked: bool) -> AccountView:
    owned = await devices.list_all(tx, account.id)
    return AccountView(
        id=account.id,
        name=account.name,
        extension=account.extension,
        display_name=masking.name(account.display_name) if masked else account.display_name,
        person=await _login(tx, account.person_id),
        country=account.country,
        language=account.language,
        metadata_class=account.metadata_class,
        devices=sum(1 for device in owned if device.revoked_at is None),
        created_at=account.created_at,
        disabled_at=account.disabled_at,
    )


async def _login(tx: Tx, person_id: str | None) -> str | None:
    if person_id is None:
        return None
    return (await people.get(tx, person_id)).login
