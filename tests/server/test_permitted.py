"""One way in for persons: no rule, no right, no reach and no wrong argument gets past it; and a refusal is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.failure import Failure
from server.operation_rules import CLOSED
from server.rights import Identity, NotFresh, Reach
from server.services import operations, permitted
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


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("what", ["right", "person", "nothing"])
async def test_what_goes_on_by_itself_asks_again_who_it_is_for(
    services: Services, monkeypatch: pytest.MonkeyPatch, when: str, what: str
) -> None:
    """Begun with a right, it gives nothing to whoever lost it, or was locked, before it began or before it ended."""
    async with services.db.transaction() as tx:
        person = await people.add(tx, "jo", "Jo", services.clock(), roles=["dpo"])
    who = Identity(person.id, "jo", "en", {"people.read": Reach.ALL})

    async def takes() -> None:
        async with services.db.transaction() as tx:
            if what == "right":
                await people.set_roles(tx, person.id, ["employee"])
            elif what == "person":
                await people.disable(tx, person.id, services.clock())

    with pytest.raises(Failure):
        await permitted.later(services, replace(who, grants={}), "person.list", {}, workstation=WHERE)
    done = await permitted.later(services, who, "person.list", {}, workstation=WHERE)
    if when == "before":
        await takes()
    else:
        does = operations.call

        async def slowly(*given: Any) -> object:
            result = await does(*given)
            await takes()
            return result

        monkeypatch.setattr(operations, "call", slowly)
    if what == "nothing":
        assert "jo" in [one["login"] for one in await done()]  # type: ignore[attr-defined]
        return
    with pytest.raises(Failure) as refused:
        await done()
    assert refused.value.code == "denied"


async def test_what_needs_a_second_factor_needs_it_when_it_is_begun(services: Services) -> None:
    async with services.db.transaction() as tx:
        person = await people.add(tx, "jo", "Jo", services.clock(), roles=["admin"])
    who = Identity(person.id, "jo", "en", {"people.contain": Reach.ALL}, session_id="s")
    lock = {"login": "jo"}
    with pytest.raises(NotFresh):
        await permitted.later(services, who, "person.lock", lock, workstation=WHERE)
    fresh = replace(who, fresh_until=services.clock() + timedelta(seconds=1))
    assert await permitted.later(services, fresh, "person.lock", lock, workstation=WHERE)


async def test_what_is_done_in_steps_needs_a_second_factor_at_each(services: Services) -> None:
    """Nobody has asked for it at the beginning: who they are by now has it for as long as it was given."""
    async with services.db.transaction() as tx:
        person = await people.add(tx, "jo", "Jo", services.clock(), roles=["admin"])
    who = Identity(person.id, "jo", "en", {"people.contain": Reach.ALL}, session_id="s")
    for until in (None, services.clock() - timedelta(seconds=1)):
        by_now = await permitted.as_now(services, replace(who, fresh_until=until))
        assert (await refusal(services, by_now, "person.lock", {"login": "jo"})).code == "step_up"
    fresh = await permitted.as_now(services, replace(who, fresh_until=services.clock() + timedelta(minutes=5)))
    await permitted.call(services, fresh, "person.lock", {"login": "jo"}, workstation=WHERE, reason="they have left us")
    with pytest.raises(Failure, match="locked"):
        await permitted.as_now(services, fresh)


@pytest.mark.promise("0.4")
def test_whatever_goes_on_by_itself_is_begun_in_one_place() -> None:
    """So that it asks again: nobody hands the queue something that has asked only once."""
    root = Path(__file__).resolve().parents[2] / "server"
    begins = {path.name for path in root.rglob("*.py") if "work.begin(" in path.read_text()}
    assert begins == {"visit.py"}
