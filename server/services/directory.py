"""Look-ups by the names that people type. A login, account or line name is internal: it may be said back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from server.failure import Failure
from server.services.actor import Actor
from storage import accounts, lines, people, trunks
from storage.accounts import Account
from storage.errors import NotFound
from storage.lines import Line
from storage.people import Person
from storage.trunks import Trunk
from storage.tx import Tx


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Identified)


async def person_by_login(tx: Tx, login: str) -> Person:
    """Disabled ones too. Raises Failure."""
    try:
        return await people.by_login(tx, login)
    except NotFound:
        raise Failure(f"no person with login {login}", "Type: beffroi person list", "not_found") from None


async def account_by_name(tx: Tx, name: str, actor: Actor | None = None) -> Account:
    """By name or extension, disabled ones too; of those that the actor sees. Raises Failure."""
    for account in await accounts.list_all(tx):
        if name in (account.name, account.extension) and (actor is None or actor.sees(account.name)):
            return account
    raise Failure(f"no account {name}", "Type: beffroi account list", "not_found")


async def line_by_name(tx: Tx, name: str) -> Line:
    """By name or number, disabled ones too. Raises Failure."""
    for line in await lines.list_all(tx):
        if name in (line.name, line.number):
            return line
    raise no_line(name)


def no_line(name: str) -> Failure:
    return Failure(f"no line {name}", "Type: beffroi line list", "not_found")


async def trunk_by_name(tx: Tx, name: str) -> Trunk:
    """Disabled ones too. Raises Failure."""
    try:
        return await trunks.by_name(tx, name)
    except NotFound:
        raise Failure(f"no trunk {name}", "Type: beffroi trunk list", "not_found") from None


def by_beginning(some: Sequence[T], text: str, failure: Failure) -> T:
    """The one whose id begins so. Raises the failure where none or several do."""
    matching = [one for one in some if text and one.id.startswith(text)]
    if len(matching) != 1:
        raise failure
    return matching[0]
