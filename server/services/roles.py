"""Roles: what each may do, as shipped (config/data/roles.toml) and as the company has changed it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from config import roles as shipped_roles
from server.failure import Failure
from server.operation_rules import RIGHTS, RULES
from server.rights import Reach, grants
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.separation import not_own_role
from storage import people, role_rights
from storage.people import ROLES, Person
from storage.tx import Tx

Granted = Literal["none", "own", "team", "all"]


@dataclass(frozen=True, slots=True)
class RoleView:
    """Fields: see `server.commands.roles.FIELDS`."""

    role: str
    people: int
    rights: int
    changed: int
    reach: Mapping[str, Granted]


@dataclass(frozen=True, slots=True)
class RightView:
    """Fields: see `server.commands.roles.RIGHT_FIELDS`."""

    right: str
    reach: Granted
    shipped: Granted
    operations: tuple[str, ...]
    narrow: bool


async def of(services: Services, person: Person) -> dict[str, Reach]:
    """What the roles of a person let them do. Raises StorageError."""
    async with services.db.read() as tx:
        return await granted(tx, person)


async def granted(tx: Tx, person: Person) -> dict[str, Reach]:
    """As `of`, in a transaction that there is."""
    return grants(person.roles, await effective(tx, person.roles))


async def effective(tx: Tx, wanted: Collection[str] = ROLES) -> dict[str, dict[str, Reach]]:
    """Role -> right -> how far. A right that no operation asks for any more grants nothing."""
    changed = await role_rights.changed(tx)
    found = {}
    for role in wanted:
        words = {**_shipped(role), **changed.get(role, {})}
        found[role] = {right: Reach.parse(word) for right, word in words.items() if word != role_rights.NONE}
    return found


async def list_(services: Services, actor: Actor) -> list[RoleView]:
    """By name; how many persons hold each, and how many of its rights are not as shipped."""
    async with services.db.transaction() as tx:
        every, changed = await effective(tx), await role_rights.changed(tx)
        holding = [one.roles for one in await people.list_all(tx) if one.disabled_at is None]
        await note(services, tx, actor, "list", "role", count=len(every))
    return [
        RoleView(
            role=role,
            people=sum(role in held for held in holding),
            rights=len(every[role]),
            changed=len(_different(role, changed)),
            reach=_reach({**_shipped(role), **changed.get(role, {})}),
        )
        for role in sorted(every)
    ]


async def show(services: Services, actor: Actor, *, role: str) -> list[RightView]:
    """Every right there is, with how far this role has it. Raises Failure."""
    _there(role)
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "show", "role", role=role)
        return await _views(tx, role)


async def set_(services: Services, actor: Actor, *, role: str, right: str, reach: Granted) -> RightView:
    """`none` takes the right away. Nobody changes a role that they hold. Raises Failure."""
    _there(role)
    if right not in RIGHTS:
        raise Failure(f"no right {right[:40]}", f"Type: beffroi role show {role}", "invalid")
    if reach in ("own", "team") and not _can_be_narrow(right):
        raise Failure(f"{right} is of nobody in particular", "Grant it with all, or take it with none", "invalid")
    await not_own_role(services, actor, role)
    async with services.db.transaction() as tx:
        await role_rights.put(tx, role, right, reach, services.clock())
        await note(services, tx, actor, "change", "role", role=role, rule=right, reach=reach)
        return next(view for view in await _views(tx, role) if view.right == right)


async def reset(services: Services, actor: Actor, *, role: str, right: str | None = None) -> list[RightView]:
    """One right, or the whole role, as shipped. Nobody changes a role that they hold. Raises Failure."""
    _there(role)
    if right is not None and right not in RIGHTS:
        raise Failure(f"no right {right[:40]}", f"Type: beffroi role show {role}", "invalid")
    await not_own_role(services, actor, role)
    async with services.db.transaction() as tx:
        await role_rights.take(tx, role, right)
        await note(services, tx, actor, "restore", "role", role=role, rule=right)
        return await _views(tx, role)


async def _views(tx: Tx, role: str) -> list[RightView]:
    shipped = _shipped(role)
    words = {**shipped, **(await role_rights.changed(tx)).get(role, {})}
    return [
        RightView(
            right, _word(words.get(right)), _word(shipped.get(right)), _operations()[right], _can_be_narrow(right)
        )  # fmt: skip
        for right in sorted(RIGHTS)
    ]


def _there(role: str) -> None:
    if role not in ROLES:
        raise Failure(f"no role {role[:40]}", f"Choose among {', '.join(sorted(ROLES))}", "not_found")


def _shipped(role: str) -> Mapping[str, str]:
    return shipped_roles.load().get(role, {})


def _different(role: str, changed: Mapping[str, Mapping[str, str]]) -> set[str]:
    return {right for right, word in changed.get(role, {}).items() if word != _word(_shipped(role).get(right))}


def _reach(words: Mapping[str, str]) -> Mapping[str, Granted]:
    return {right: _word(words.get(right)) for right in sorted(RIGHTS)}


def _word(said: str | None) -> Granted:
    match said:
        case "own" | "team" | "all":
            return said
        case _:
            return "none"


def _can_be_narrow(right: str) -> bool:
    """Whether some operation that asks for it says whose things are meant."""
    return any(rule.login or rule.account or rule.narrow for rule in RULES.values() if rule.right == right)


@functools.cache
def _operations() -> Mapping[str, tuple[str, ...]]:
    return {right: tuple(sorted(name for name, rule in RULES.items() if rule.right == right)) for right in RIGHTS}
