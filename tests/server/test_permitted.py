"""One way in for persons: no rule, no right, no reach and no wrong argument gets past it; and a refusal is written."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from server.failure import Failure
from server.operation_rules import CLOSED
from server.rights import Identity, NotFresh, Reach
from server.services import permitted
from server.services.context import Services
from storage import ledger, people

WHERE = "192.0.2.7"


async def identity(services: Services, grants: dict[str, Reach], *, fresh: bool = False) -> Identity:
    async with services.db.read() as tx:
        person = (await people.list_all(tx))[0]
    until = services.clock() + timedelta(minutes=5) if fresh else None
    own = frozenset({"alice"})
    return Identity(person.id, person.login, "fr", grants, own, own, "s1", None, until)


async def refusal(services: Services, who: Identity, name: str, arguments: dict[str, object], **more: Any) -> Failure:
    with pytest.raises(Failure) as refused:
        await permitted.call(services, who, name, arguments, workstation=WHERE, **more)
    return refused.value


async def last_entry(services: Services) -> dict[str, Any]:
    async with services.db.read() as tx:
        entries = await ledger.entries(tx, "access")
    said: dict[str, Any] = json.loads(entries[-1].body)
    return said


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("name", [*sorted(CLOSED), "no.such", "__class__", ""])
async def test_what_has_no_rule_is_not_there(services: Services, name: str) -> None:
    refused = await refusal(services, await identity(services, {"people.read": Reach.ALL}, fresh=True), name, {})
    assert refused.code == "not_found"


@pytest.mark.promise("0.4")
async def test_denied_unless_granted_and_the_attempt_is_written_down(services: Services) -> None:
    who = await identity(services, {"calls.read": Reach.ALL})
    assert (await refusal(services, who, "person.list", {})).code == "denied"
    said = await last_entry(services)
    assert said["outcome"] == "denied"
    assert said["rule"] == "person.list"
    assert said["actor_id"] == who.person_id
    assert WHERE not in json.dumps(said)


async def test_whoever_may_not_is_told_nothing_of_what_they_sent(services: Services) -> None:
    refused = await refusal(services, await identity(services, {}), "person.add", {"nonsense": 1})
    assert refused.code == "denied"
    assert "nonsense" not in str(refused)


async def test_what_is_granted_is_done_in_the_persons_name(services: Services) -> None:
    who = await identity(services, {"people.read": Reach.ALL})
    found = await permitted.call(services, who, "person.list", {}, workstation=WHERE)
    assert isinstance(found, list)
    assert found
    assert (await last_entry(services))["actor_id"] == who.person_id


async def test_reason_and_case_reach_the_service(services: Services) -> None:
    who = await identity(services, {"calls.read": Reach.ALL})
    arguments: dict[str, object] = {"number": "+33100000000"}
    assert (await refusal(services, who, "calls.list", arguments, reason="  ")).code == "denied"
    assert await permitted.call(services, who, "calls.list", arguments, workstation=WHERE, reason="asked") == []
    assert "reason_id" in await last_entry(services)


@pytest.mark.promise("0.4")
@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("calls.list", {"limit": "many"}, "limit"),
        ("calls.list", {"limit": 0}, "limit"),
        ("calls.list", {"limit": 10**30}, "limit"),
        ("calls.list", {"line": ["a"]}, "line"),
        ("calls.list", {"line": "a\0b"}, "line"),
        ("calls.list", {"line": "\ud800"}, "line"),
        ("calls.list", {"actor": {"who": "system"}}, "actor"),
        ("calls.list", {"services": 1}, "services"),
        ("calls.list", {"_actor\n\x1b[2J": 1}, r"unknown: \?"),
        ("calls.show", {}, "call_id"),
        ("calls.show", {"call_id": None}, "call_id"),
        ("calls.transfer", {"call_id": "a" * 32, "to": "x", "leaves": "c"}, "leaves"),
        ("policy.show", {"number": 2**40}, "number"),
    ],
)
async def test_wrong_arguments_are_named(
    services: Services, name: str, arguments: dict[str, object], named: str
) -> None:
    rights = ("calls.read", "calls.live", "policy.read")
    who = await identity(services, dict.fromkeys(rights, Reach.ALL))
    refused = await refusal(services, who, name, arguments)
    assert refused.code == "invalid"
    assert re.search(named, refused.what)


async def test_what_is_wrong_is_said_before_a_second_factor_is_asked_for(services: Services) -> None:
    who = await identity(services, {"people.manage": Reach.ALL})
    assert (await refusal(services, who, "person.disable", {})).code == "invalid"
    assert isinstance(await refusal(services, who, "person.disable", {"login": "bob"}), NotFresh)


@pytest.mark.promise("1.9")
async def test_anothers_account_is_as_absent_as_one_that_there_is_not(services: Services) -> None:
    who = await identity(services, {"accounts.settings": Reach.OWN})
    there = await refusal(services, who, "account.dnd", {"name": "bob", "on": True})
    absent = await refusal(services, who, "account.dnd", {"name": "nobody", "on": True})
    assert (there.code, str(there)) == (absent.code, str(absent)) == ("not_found", str(absent))


async def test_a_login_that_is_sent_counts_for_nothing(services: Services) -> None:
    who = await identity(services, {"texts.use": Reach.OWN})
    for sent in ("mallory", 7, None):
        found = await permitted.call(services, who, "inbox.list", {"login": sent}, workstation=WHERE)
        assert found == await permitted.call(services, who, "inbox.list", {}, workstation=WHERE)
