"""Every operation, asked for by somebody of every shipped role on a real instance: denied, absent or let in as the
rules say. And what is let in, with arguments that name nothing, ends in plain words and never in a fault of ours."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import pytest

from config import roles as shipped_roles
from server.failure import Failure
from server.operation_rules import CLOSED, RULES
from server.rights import Identity, Rule
from server.services import permitted, roles
from server.services.context import Services
from server.services.operations import OPERATIONS, find
from storage import accounts, ledger, people
from storage.people import ROLES

NAMES_NOTHING = "0" * 32


def value(kind: Any) -> object:
    """Something of that kind that names nothing there is."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return inner[0]
    if origin in (types.UnionType, typing.Union):
        return value(inner[0])
    if origin is tuple:
        return [value(one) for one in inner]
    if kind in (int, bool):
        return kind(1)
    if kind is date:
        return "2026-11-28"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [value(inner[0])]
    return NAMES_NOTHING


def required(name: str) -> dict[str, object]:
    function = find(name)
    hints = typing.get_type_hints(function)
    wanted = [one for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
    return {one.name: value(hints[one.name]) for one in wanted if one.default is one.empty}


async def somebody(services: Services, role: str) -> Identity:
    async with services.db.transaction() as tx:
        person = await people.add(tx, f"a-{role}", role, services.clock(), roles=[role])
        account = await accounts.add(tx, f"of-{role}", "7700", role, services.clock(), person_id=person.id)
    grants = await roles.of(services, person)
    own = frozenset({account.name})
    until = services.clock() + timedelta(hours=1)
    return Identity(person.id, person.login, "en", grants, own, own, "5" * 32, None, until)


async def ask(services: Services, who: Identity, name: str) -> str:
    """How the gate answers: denied, not_found, or let in."""
    try:
        await permitted.call(services, who, name, required(name), workstation="192.0.2.1", reason="asked", case="1")
    except Failure as failure:
        assert failure.what and failure.remedy and failure.code, name
        gate = {"you may not do that": "denied", "no such account": "not_found", "there is no such operation": "absent"}
        assert failure.code not in ("invalid", "misuse") or failure.what not in gate
        return gate.get(failure.what, "in")
    return "in"


def expected(name: str, rule: Rule, held: Mapping[str, str]) -> str:
    reach = held.get(rule.right)
    can_be_narrow = rule.login or rule.account or rule.narrow
    if name in CLOSED:
        return "absent"
    if reach is None or (reach != "all" and not can_be_narrow):
        return "denied"
    return "not_found" if rule.account and reach != "all" else "in"


@pytest.mark.promise("0.4", "1.17", "2.22")
@pytest.mark.parametrize("role", sorted(ROLES))
async def test_each_role_is_let_in_as_the_rules_say(services: Services, role: str) -> None:
    who, held = await somebody(services, role), shipped_roles.load()[role]
    async with services.db.read() as tx:
        before = len(await ledger.entries(tx, "access"))
    wrong, denied = {}, set()
    for name in sorted(RULES):
        said, want = await ask(services, who, name), expected(name, RULES[name], held)
        if said != want:
            wrong[name] = f"{said}, not {want}"
        if said == "denied":
            denied.add(name)
    assert wrong == {}
    async with services.db.read() as tx:
        entries = [json.loads(entry.body) for entry in (await ledger.entries(tx, "access"))[before:]]
    assert {one["rule"] for one in entries if (one["action"], one["object"]) == ("use", "right")} == denied
    assert {one["actor_id"] for one in entries if one["actor_id"] != "system"} == {who.person_id}


@pytest.mark.promise("0.4")
async def test_what_is_closed_is_closed_to_everybody(services: Services) -> None:
    who = await somebody(services, "admin")
    for name in sorted(OPERATIONS.keys() - RULES.keys()):
        assert await ask(services, who, name) == "absent"


@pytest.mark.promise("0.4")
async def test_somebody_without_a_role_may_do_nothing(services: Services) -> None:
    nobody = Identity("9" * 32, "nobody", "en", {})
    said = {name: await ask(services, nobody, name) for name in sorted(RULES)}
    assert set(said.values()) == {"denied"}
