"""Logins for ordering texts by mail: made for one mail client or one program, shown once, revoked alone."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field
from datetime import datetime

from config.alert_section import is_mail
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.credentials import new_auth_user, new_secret, proves, verifier
from server.services.directory import account_by_name
from server.services.forgetting import forget
from sms.mail.desk import Sender
from storage import accounts, mail_logins
from storage.accounts import Account
from storage.errors import NotFound
from storage.mail_logins import MailLogin
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class MailLoginView:
    """Fields: see `server.commands.mail.FIELDS`."""

    id: str
    account: str
    label: str
    login: str
    senders: tuple[str, ...]
    automatic: bool
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewMailLogin:
    """What is typed into the mail program. The password exists nowhere else."""

    login: MailLoginView
    password: str = field(repr=False)


async def add(services: Services, actor: Actor, *, account: str, senders: list[str], label: str = "mail",
              automatic: bool = False) -> NewMailLogin:  # fmt: skip
    """Raises Failure: no such account, no mail address, an address that another login has."""
    wrong = [number for number, address in enumerate(senders, 1) if not is_mail(address)]
    if wrong or not senders:
        raise Failure(
            "that is no list of mail addresses", "Write --from alice@example.org,sales@example.org", "invalid"
        )
    password = new_secret()
    check = await asyncio.to_thread(verifier, password)
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account)
        made = await mail_logins.add(tx, owner.id, label, new_auth_user(owner.name), check, senders, services.clock(),
                                     automatic=automatic)  # fmt: skip
        await note(services, tx, actor, "add", "mail_login", login_id=made.id, account_id=owner.id)
    return NewMailLogin(_view(made, owner.name, masked=False), password)


async def list_(services: Services, actor: Actor, *, account: str | None = None) -> list[MailLoginView]:
    """Of one account or of all, by login."""
    async with services.db.transaction() as tx:
        owner = await account_by_name(tx, account, actor) if account else None
        names = {one.id: one.name for one in await accounts.list_all(tx)}
        every = await mail_logins.list_all(tx, owner.id if owner else None)
        found = [one for one in every if actor.sees(names[one.account_id])]
        account_id = owner.id if owner else None
        await note(services, tx, actor, "list", "mail_login", count=len(found), account_id=account_id)
    return [_view(one, names[one.account_id], masked=actor.masked) for one in found]


async def revoke(services: Services, actor: Actor, *, login: str) -> MailLoginView:
    """Forgets its password and its senders for good. Raises Failure."""
    async with services.db.transaction() as tx:
        found, account = await _found(tx, actor, login)
        found = await mail_logins.revoke(tx, found.id, services.clock())
        await note(services, tx, actor, "revoke", "mail_login", login_id=found.id, account_id=account.id)
    await forget(services)
    return _view(found, account.name, masked=actor.masked)


async def _found(tx: Tx, actor: Actor, login: str) -> tuple[MailLogin, Account]:
    try:
        found = await mail_logins.by_login(tx, login)
        account = await accounts.get(tx, found.account_id)
    except NotFound:
        account = None
    if account is None or not actor.sees(account.name):
        raise Failure(f"no mail login {login}", "Type: beffroi mail login list", "not_found")
    return found, account


# --- asked by the listener (`sms.mail.desk.Desk`) ---------------------------------------------------------------------


async def authenticate(services: Services, login: str, password: str) -> Sender | None:
    """Who that is; None for a wrong password, and as late for a login that there is not. Raises `Unavailable`."""
    async with services.db.read() as tx:
        held = await mail_logins.held(tx, login)
    known = held.verifier if held else await asyncio.to_thread(_nobody)
    right = await asyncio.to_thread(proves, password, known)
    return Sender(held.login.id, held.login.automatic) if held and right else None


async def may_send_as(services: Services, sender: Sender, address: str) -> bool:
    """Whether this address is among the login's senders. Raises `Unavailable`."""
    async with services.db.read() as tx:
        found = await mail_logins.by_address(tx, address)
    return found is not None and found.id == sender.id


async def relayed(services: Services, mail_from: str) -> Sender | None:
    """The login that has this sender's address: a relay has asked who it is. Raises `Unavailable`."""
    async with services.db.read() as tx:
        found = await mail_logins.by_address(tx, mail_from)
    return None if found is None else Sender(found.id, found.automatic)


@functools.cache
def _nobody() -> bytes:
    """For logins that there are not, so that the time does not tell which there are."""
    return verifier(new_secret())


def _view(one: MailLogin, account: str, *, masked: bool) -> MailLoginView:
    return MailLoginView(
        id=one.id,
        account=account,
        label=masking.name(one.label) if masked else one.label,
        login=one.login,
        senders=tuple(masking.mail(address) if masked else address for address in one.addresses),
        automatic=one.automatic,
        created_at=one.created_at,
        revoked_at=one.revoked_at,
    )
