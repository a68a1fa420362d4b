"""Who may do what, to whose things: roles are sets of rights, each with its reach; whatever is not granted is refused.

Pure: who asks and what is asked go in, the arguments that may be used come out. What is beyond somebody's reach is
answered as if it were not there, so that nobody learns of it (promises 0.4, 1.9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from server.failure import Failure


class Reach(IntEnum):
    """Whose things. Each includes those before it."""

    OWN = 1  # the person's own accounts
    TEAM = 2  # accounts that share a line with one of theirs
    ALL = 3

    @classmethod
    def parse(cls, word: str) -> Reach:
        """Raises Failure."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise Failure(f"no reach {word[:20]}", "Write own, team or all", "invalid") from None

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rule:
    """What an operation asks of whoever calls it as a person.

    `login`: the argument in whose name it is done; always the person who asks, whatever is sent.
    `account`: the argument that names an account; within the person's reach.
    `narrow`: the operation itself shows no more than `Actor.within`. Where none of the three says whose things are
    meant, the right has to reach all.
    `fresh`: the person has to have proved who they are a few minutes ago (step-up).
    """

    right: str
    login: str | None = None
    account: str | None = None
    narrow: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who is signed in, or a token that acts for one."""

    person_id: str
    login: str
    language: str
    grants: Mapping[str, Reach]  # right -> how far
    own: frozenset[str] = frozenset()  # names of their accounts
    team: frozenset[str] = frozenset()  # names of accounts that share a line with those, their own included
    session_id: str | None = None
    token_id: str | None = None
    fresh_until: datetime | None = None  # until then step-up is not asked for again
    source: str = "portal"  # the address that asks now, where it is known
    name: str = field(default="", repr=False)  # for people

    def reach(self, right: str) -> Reach | None:
        return self.grants.get(right)

    def may(self, right: str) -> bool:
        return right in self.grants

    def same_as(self, other: Identity | None) -> bool:
        """Whether it is the same person, who may do the same over the same things."""
        if other is None:
            return False
        mine, theirs = [(one.person_id, dict(one.grants), one.own, one.team) for one in (self, other)]
        return mine == theirs


@dataclass(frozen=True, slots=True)
class Allowed:
    """`arguments` to call it with; `within`: names of the accounts whose things may be seen, None: all."""

    arguments: Mapping[str, object]
    within: frozenset[str] | None = field(default=None)


class NotFresh(Failure):
    """The right is there; the person has to prove once more who they are."""

    def __init__(self) -> None:
        super().__init__("prove who you are once more", "Give your second factor and ask again", "step_up")


def grants(held: Iterable[str], roles: Mapping[str, Mapping[str, Reach]]) -> dict[str, Reach]:
    """The widest reach of each right over all roles that somebody holds. A role that nobody defined grants nothing."""
    found: dict[str, Reach] = {}
    for role in held:
        for right, reach in roles.get(role, {}).items():
            found[right] = max(reach, found.get(right, reach))
    return found


def narrowed(theirs: Mapping[str, Reach], asked: Mapping[str, Reach]) -> dict[str, Reach]:
    """What a token may do: never more than its person may now."""
    return {right: min(reach, theirs[right]) for right, reach in asked.items() if right in theirs}


def allow(identity: Identity, rule: Rule, arguments: Mapping[str, object], now: datetime) -> Allowed:
    """Raises Failure: denied, or not_found for what is beyond the person's reach; NotFresh."""
    reach = identity.reach(rule.right)
    if reach is None or (reach is not Reach.ALL and not (rule.login or rule.account or rule.narrow)):
        raise Failure("you may not do that", "Ask whoever administers roles", "denied")
    within = {Reach.OWN: identity.own, Reach.TEAM: identity.own | identity.team, Reach.ALL: None}[reach]
    given = dict(arguments)
    if rule.login is not None:
        given[rule.login] = identity.login
    if rule.account is not None and within is not None:
        named = given.get(rule.account)
        if named is None and len(identity.own) == 1:
            given[rule.account] = next(iter(identity.own))
        elif named not in within:
            raise Failure("no such account", "Look at your accounts", "not_found")
    if rule.fresh and identity.token_id is None and not _is_fresh(identity, now):
        raise NotFresh
    return Allowed(given, within)


def _is_fresh(identity: Identity, now: datetime) -> bool:
    return identity.fresh_until is not None and now < identity.fresh_until
