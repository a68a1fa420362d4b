"""What a person may do: each operation that is asked for from outside the machine goes through here.

Denied unless a rule and a right of theirs say otherwise. Arguments are looked at before anything is done with them:
what is no argument, of another kind, or more than a database holds is named, and nothing else of it is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from server.failure import Failure
from server.operation_rules import CLOSED, RULES
from server.rights import Allowed, Identity, Reach, Rule, allow
from server.services import identities, operations
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.failures import told
from storage import people

MOST_AT_ONCE = 1000
_LARGEST = 2**31 - 1
_MAX_SAID = 1000
_NAME = re.compile(r"[a-z_]{1,40}")


async def call(
    services: Services,
    identity: Identity,
    name: str,
    arguments: Mapping[str, object],
    *,
    workstation: str,
    reason: str | None = None,
    case: str | None = None,
) -> object:
    """Do it in this person's name; the answer as plain values.

    Raises Failure: not_found for what there is not or is beyond their reach, denied, invalid, step_up (NotFresh), and
    what the operation itself raises. `workstation`: an address or a host name.
    """
    actor, given = await entered(services, identity, name, arguments, workstation=workstation, reason=reason, case=case)
    return await operations.call(name, services, actor, given)


async def entered(
    services: Services,
    identity: Identity,
    name: str,
    arguments: Mapping[str, object],
    *,
    workstation: str,
    reason: str | None = None,
    case: str | None = None,
) -> tuple[Actor, Mapping[str, object]]:
    """As `call`, but it is not done: who acts and with what, for what gives out more than plain values. Raises
    Failure."""
    rule = RULES.get(name)
    if rule is None or name in CLOSED:
        raise Failure("there is no such operation", "Look at the list of operations", "not_found")
    actor = acting(identity, workstation=workstation, reason=reason, case=case)
    try:
        allowed = _allowed(services, identity, name, rule, arguments)
    except Failure as refused:
        if refused.code == "denied":
            await _note_denied(services, actor, name)
        raise
    audits = identity.reach("ledger.read") is Reach.ALL
    return replace(actor, within=allowed.within, own=identity.own, audits=audits), allowed.arguments


def acting(identity: Identity, *, workstation: str, reason: str | None = None, case: str | None = None) -> Actor:
    """Who is written down as having asked. Raises Failure."""
    return Actor(identity.person_id, workstation, _said(reason), _said(case), session=identity.session_id)


async def later(
    services: Services,
    identity: Identity,
    name: str,
    arguments: Mapping[str, object],
    *,
    workstation: str,
    reason: str | None = None,
    case: str | None = None,
) -> Callable[[], Awaitable[object]]:
    """As `call`, for what goes on after they asked: refused at once where it would be, and done when it is called.

    Who they are is asked again when it begins, and when it has ended: whoever was locked meanwhile, or lost the right,
    is given nothing of it. A second factor that was given counts until its end.
    """
    why: dict[str, Any] = {"workstation": workstation, "reason": reason, "case": case}
    await entered(services, identity, name, arguments, **why)
    proven = replace(identity, fresh_until=datetime.max.replace(tzinfo=UTC))

    async def done() -> object:
        result = await call(services, await as_now(services, proven), name, arguments, **why)
        _allowed(services, await as_now(services, proven), name, RULES[name], arguments)
        return result

    return done


async def as_now(services: Services, identity: Identity) -> Identity:
    """Who they are by now, with no more rights than they asked with. A second factor counts as long as it did then.
    Raises Failure."""
    with told():
        async with services.db.read() as tx:
            person = await people.get(tx, identity.person_id)
            if person.disabled_at is not None:
                raise Failure("whoever began it is locked", "Somebody else begins it again", "denied")
            now = await identities.read(tx, person, asked=identity.grants)
    held = {name: getattr(identity, name) for name in ("session_id", "token_id", "fresh_until")}
    return replace(now, **held)


def _allowed(services: Services, identity: Identity, name: str, rule: Rule, arguments: Mapping[str, object]) -> Allowed:
    given: Mapping[str, object] = arguments
    if identity.may(rule.right):  # whoever may not is told nothing of what they sent
        sent = {key: value for key, value in arguments.items() if key != rule.login}
        given = checked(name, sent, filled_in=(rule.login, rule.account))
    allowed = allow(identity, rule, given, services.clock())
    checked(name, allowed.arguments)
    return allowed


def checked(name: str, arguments: Mapping[str, object], filled_in: Collection[str | None] = ()) -> dict[str, Any]:
    """The arguments of an operation as its signature wants them. Raises Failure naming each that is wrong."""
    adapters, required = operations.signature(operations.find(name))
    unknown = sorted(key if _NAME.fullmatch(key) else "?" for key in arguments.keys() - adapters.keys())
    missing = sorted(required - arguments.keys() - set(filled_in))
    wrong, found = [], {}
    for key in sorted(arguments.keys() & adapters.keys()):
        try:
            found[key] = adapters[key].validate_python(arguments[key])
        except (ValidationError, RecursionError):
            wrong.append(key)
            continue
        if not _storable(found[key]) or (key == "limit" and not 1 <= found[key] <= MOST_AT_ONCE):
            wrong.append(key)
    said = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("wrong", wrong), ("unknown", unknown))
        if names
    ]
    if said:
        raise Failure("; ".join(said), "Give it as the description of the API says", "invalid")
    return found


def _storable(value: object) -> bool:
    """Text that every database takes, and numbers that fit into a column."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, int):
        return -_LARGEST <= value <= _LARGEST
    if isinstance(value, Mapping):
        return all(_storable(key) and _storable(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_storable(item) for item in value)
    return True


def _said(text: str | None) -> str | None:
    """Reason and case as the command line's are taken: cut, and none where they are blank. Raises Failure."""
    if text is None or not text.strip():
        return None
    if not _storable(text):
        raise Failure("wrong: reason or case", "Give it in words", "invalid")
    return text[:_MAX_SAID]


async def _note_denied(services: Services, actor: Actor, name: str) -> None:
    with told():
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "use", "right", outcome="denied", rule=name)
