"""What is still to be done when somebody leaves, and what stays: pure, but for one look at the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from storage import (
    accounts,
    call_records,
    call_settings,
    devices,
    emergency_calls,
    holds,
    inboxes,
    keys,
    lines,
    mail_logins,
    numbers_owned,
    people,
    person_locks,
    readers,
    recordings,
)
from storage.accounts import Account
from storage.call_settings import FORWARDS, CallSettings
from storage.devices import Device
from storage.errors import NotFound
from storage.inboxes import Inbox
from storage.lines import Line
from storage.mail_logins import MailLogin
from storage.numbers_owned import OwnedNumber
from storage.people import Person
from storage.readers import ESCROW
from storage.tx import Tx

FIRST = frozenset({"person", "device", "mail login", "roles"})  # what lets somebody in
NEEDED = ("admin", "dpo")  # without the one nobody is told of trouble, without the other no policy is approved


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to be done. `what`: person, device, mail login, roles, right, reader key, inbox left, inbox closed,
    line, forward to them, number, own settings, account handed over, account kept. `named`: an internal name. `id`:
    opaque, or a purpose."""

    what: str
    named: str
    id: str

    @property
    def first(self) -> bool:
        return self.what in FIRST


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays: how many, the last day on which any of it is still there, and why."""

    what: str
    count: int
    until: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Leaver:
    """Everything of a person that leaving touches, as it is now."""

    person: Person
    to: Account | None
    accounts: tuple[Account, ...]
    devices: tuple[Device, ...]
    mail_logins: tuple[MailLogin, ...]
    settings: tuple[CallSettings, ...]  # of every account
    lines: tuple[Line, ...]
    numbers: tuple[OwnedNumber, ...]
    member_of: tuple[Inbox, ...]  # inboxes that they write from, or whose sent texts they see
    inboxes: tuple[Inbox, ...]  # of their accounts, that are open
    purposes: tuple[str, ...]
    has_key: bool
    locked: bool
    only_they_open: int
    others_with: frozenset[str]  # roles that somebody else has who is not disabled
    names: dict[str, str]  # account id -> name

    @property
    def account_ids(self) -> frozenset[str]:
        return frozenset(one.id for one in self.accounts)

    @property
    def auth_users(self) -> list[str]:
        return [one.auth_user for one in self.devices]

    @property
    def dialled(self) -> frozenset[str]:
        """Whatever reaches their accounts."""
        plain = {text for one in self.accounts for text in (one.name, one.extension)}
        return frozenset(plain | {one.number for one in self.numbers})


async def read(tx: Tx, person: Person, to: Account | None) -> Leaver:
    every = await accounts.list_all(tx)
    mine = tuple(one for one in every if one.person_id == person.id)
    ids = {one.id for one in mine}
    try:
        await readers.get_key(tx, person.id)
        has_key = True
    except NotFound:
        has_key = False
    boxes = await inboxes.list_all(tx)
    member_of = {member.inbox_id for member in await inboxes.members(tx, person_id=person.id)}
    others = [one for one in await people.list_all(tx) if one.id != person.id and one.disabled_at is None]
    return Leaver(
        person=person,
        to=to,
        accounts=mine,
        devices=tuple(one for one in await devices.list_all(tx) if one.account_id in ids),
        mail_logins=tuple(one for one in await mail_logins.list_all(tx) if one.account_id in ids),
        settings=await call_settings.list_all(tx),
        lines=tuple(one for one in await lines.list_all(tx) if ids & set(one.members)),
        numbers=tuple(one for one in await numbers_owned.list_all(tx) if one.account_id in ids),
        member_of=tuple(one for one in boxes if one.id in member_of),
        inboxes=tuple(one for one in boxes if one.account_id in ids and one.disabled_at is None),
        purposes=tuple(right.purpose for right in await readers.rights(tx, person.id)),
        has_key=has_key,
        locked=await person_locks.get(tx, person.id) is not None,
        only_they_open=await keys.only_opened_by(tx, person.id, ESCROW),
        others_with=frozenset(role for one in others for role in one.roles),
        names={one.id: one.name for one in every},
    )


def acts_for(leaver: Leaver) -> list[Act]:
    """In the order in which they are done; empty where nothing is left."""
    return list(_acts(leaver))


def _acts(leaver: Leaver) -> Iterator[Act]:
    person = leaver.person
    if person.disabled_at is None or leaver.locked:
        yield Act("person", person.login, person.id)
    for device in leaver.devices:
        if device.revoked_at is None:
            yield Act("device", device.auth_user, device.id)
    for login in leaver.mail_logins:
        if login.revoked_at is None:
            yield Act("mail login", login.login, login.id)
    if person.roles:
        yield Act("roles", ",".join(sorted(person.roles)), person.id)
    for purpose in leaver.purposes:
        yield Act("right", purpose, purpose)
    if leaver.has_key:
        yield Act("reader key", person.login, person.id)
    for inbox in leaver.member_of:
        yield Act("inbox left", inbox.name, inbox.id)
    for inbox in leaver.inboxes if leaver.to is None else ():
        yield Act("inbox closed", inbox.name, inbox.id)
    for line in leaver.lines:
        yield Act("line", line.name, line.id)
    for held in leaver.settings:
        points = {getattr(held, name) for name in FORWARDS} & leaver.dialled
        if points and held.account_id not in leaver.account_ids:
            yield Act("forward to them", leaver.names[held.account_id], held.account_id)
    yield from _of_accounts(leaver)


def _of_accounts(leaver: Leaver) -> Iterator[Act]:
    chosen = {held.account_id: held for held in leaver.settings}
    for account in leaver.accounts:
        if leaver.to is not None:
            for number in leaver.numbers:
                if number.account_id == account.id:
                    yield Act("number", f"a number of {account.name}", number.id)
        always = leaver.to.extension if leaver.to is not None else None
        wanted = CallSettings(account.id, forward_always=always)
        if chosen.get(account.id, CallSettings(account.id)) != wanted:
            yield Act("own settings", account.name, account.id)
        if leaver.to is not None:
            yield Act("account handed over", account.name, account.id)
        elif account.disabled_at is None:
            yield Act("account kept", account.name, account.id)


def warnings_for(leaver: Leaver, notified: Iterable[str]) -> Iterator[str]:
    """What somebody has to see to."""
    if leaver.only_they_open:
        yield (f"{leaver.only_they_open} recordings were wrapped to nobody else: escrow alone opens them from now on, "
               "there is no re-wrapping yet")  # fmt: skip
    for role in NEEDED:
        if role in leaver.person.roles and role not in leaver.others_with:
            yield f"no other person has the role {role}: give it to somebody (person role)"
    for name in sorted({one.name for one in leaver.accounts} & set(notified)):
        yield f"emergency.notify still names {name}: write who is to be told of emergency calls instead"
    for inbox in leaver.inboxes if leaver.to is not None else ():
        yield f"inbox {inbox.name} goes with the account: give whoever takes over the right to read it (inbox member)"
    if not leaver.accounts:
        yield "no account belongs to this person (any more)"


async def kept_of(tx: Tx, leaver: Leaver, now: datetime) -> tuple[Kept, ...]:
    """Under its own purpose, until its own date; nothing of it goes with the person."""
    spoken = {text for one in leaver.accounts for text in (one.name, one.extension)}
    heard = {one.id: one for text in spoken for one in await recordings.with_number(tx, text)}
    called = {one.id: one for text in spoken for one in await call_records.with_number(tx, text)}
    helped = [one for one in await emergency_calls.list_all(tx) if one.account_id in leaver.account_ids]
    standing = await holds.standing(tx)
    held = {hold_id for one in leaver.accounts for hold_id in standing.get(one.id.encode(), ())}
    found = [one for one in heard.values() if one.state != "destroyed"]
    kept = [
        Kept("recording", len(found), max((one.expires_at for one in found), default=None),
             "the purpose of its line; destroyed when it expires"),
        Kept("call record", len(called), max((one.expires_at for one in called.values()), default=None),
             "the class of its line; destroyed when it expires"),
        Kept("emergency call", len(helped), None, "the list of emergency calls, for its own period"),
        Kept("hold", len(held), None, "a legal hold on their account: what lies under it stays until it is lifted"),
    ]  # fmt: skip
    if leaver.to is None:
        kept.append(Kept("number", len(leaver.numbers), None, "leads to the disabled account: nobody answers there"))
    return (*(one for one in kept if one.count), Kept("ledger", 1, None, "what was done in their name, by opaque id"))
