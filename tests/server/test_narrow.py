"""Operations that show no more than whose things somebody may see: the rest is as absent as what there is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from server.failure import Failure
from server.operation_rules import RULES
from server.rights import Reach
from server.services import kept_about, permitted
from server.services.actor import Actor
from server.services.context import ServerKeys, Services
from storage import accounts, lines, people
from storage.database import Database
from tests.server.two_teams import EXTENSIONS, NOW, OUTSIDE, TwoTeams
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
pytestmark = pytest.mark.promise("0.4", "1.9")

NARROW = {name: rule for name, rule in RULES.items() if rule.narrow}
RIGHTS = tuple({rule.right for rule in NARROW.values()})
GONE = "0123456789abcdef0123456789abcdef"  # an id that nothing has
OWN = {"alice": {"outside alice", "keyed alice", "between"}, "carol": {"outside carol", "keyed carol", "between"}}
TEAM = {
    "alice": {*OWN["alice"], "outside bob", "keyed bob", "line sales"},
    "carol": {*OWN["carol"], "outside dave", "keyed dave", "line support"},
}


@pytest.fixture
async def teams(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Any) -> AsyncIterator[TwoTeams]:  # noqa: F811
    keys = ServerKeys(field_keys, ledger_key, ledger_key)
    services = Services(db, Paths(tmp_path / "data"), configuration.parse(""), keys, clock=lambda: NOW)
    made = TwoTeams(services)
    await made.make()
    yield made


async def ask(
    teams: TwoTeams, who: str, reach: Reach, name: str, reason: str | None = None, **arguments: object
) -> Any:
    identity = teams.identity(who, reach, RIGHTS)
    return await permitted.call(
        teams.services, identity, name, arguments, workstation="192.0.2.1", reason=reason, case=reason and "C-1"
    )


def named(known: dict[str, str], found: list[dict[str, Any]], field: str = "id") -> set[str]:
    names = {value: key for key, value in known.items()}
    return {names[one[field]] for one in found}


@pytest.mark.parametrize("who", ["alice", "carol"])
@pytest.mark.parametrize("reach", [Reach.OWN, Reach.TEAM])
async def test_lists_hold_just_theirs(teams: TwoTeams, who: str, reach: Reach) -> None:
    team = {"alice": {"alice", "bob"}, "carol": {"carol", "dave"}}[who]
    names = {who} if reach is Reach.OWN else team
    calls = (OWN if reach is Reach.OWN else TEAM)[who]
    assert named(teams.calls, await ask(teams, who, reach, "calls.list")) == calls
    assert named(teams.calls, await ask(teams, who, reach, "calls.list", reason="asked", number=OUTSIDE)) == (
        calls - {"between"}
    )
    assert named(teams.calls, await ask(teams, who, reach, "calls.whys")) == calls
    assert {one["name"] for one in await ask(teams, who, reach, "account.list")} == names
    assert {one["account"] for one in await ask(teams, who, reach, "device.list")} == names
    assert {one["account"] for one in await ask(teams, who, reach, "mail.login.list")} == names
    live = {"alice": {"alice"}, "carol": {"carol"}}[who]
    if reach is Reach.TEAM:
        live = {"alice": {"alice", "bob", "ringing"}, "carol": {"carol", "dave", "line"}}[who]
    assert named(teams.live, await ask(teams, who, reach, "calls.live")) == live
    heard = {"alice": {"alice"}, "carol": {"carol", "passed on"}}[who]
    if reach is Reach.TEAM:
        heard |= {"alice": {"bob", "line sales"}, "carol": {"dave", "line support"}}[who]
    assert named(teams.recordings, await ask(teams, who, reach, "recordings.list")) == heard


async def test_who_sees_all_sees_all(teams: TwoTeams) -> None:
    assert named(teams.calls, await ask(teams, "alice", Reach.ALL, "calls.list")) == teams.calls.keys()
    assert named(teams.live, await ask(teams, "alice", Reach.ALL, "calls.live")) == teams.live.keys()
    found = await ask(teams, "alice", Reach.ALL, "recordings.list")
    assert named(teams.recordings, found) == teams.recordings.keys()
    shown = await ask(teams, "alice", Reach.ALL, "calls.show", call_id=teams.calls["outside alice"])
    assert len(shown["recordings"]) == 2


@pytest.mark.parametrize("reach", [Reach.OWN, Reach.TEAM])
async def test_the_newest_first_and_no_more_than_asked_for(teams: TwoTeams, reach: Reach) -> None:
    whole = await ask(teams, "alice", reach, "calls.list")
    assert [one["at"] for one in whole] == sorted((one["at"] for one in whole), reverse=True)
    for limit in range(1, len(whole) + 1):
        assert await ask(teams, "alice", reach, "calls.list", limit=limit) == whole[:limit]
        assert len(await ask(teams, "alice", reach, "calls.whys", limit=limit)) == limit


async def test_a_line_narrows_further_and_a_strange_line_is_not_there(teams: TwoTeams) -> None:
    assert named(teams.calls, await ask(teams, "alice", Reach.TEAM, "calls.list", line="sales")) == {"line sales"}
    assert await ask(teams, "alice", Reach.OWN, "calls.list", line="sales") == []
    await same_as_absent(teams, "alice", Reach.TEAM, "calls.list", "line", "support", "supporp")


async def test_parts_of_a_call_that_was_passed_on_stay_with_those_who_are_heard(teams: TwoTeams) -> None:
    shown = await ask(teams, "alice", Reach.TEAM, "calls.show", call_id=teams.calls["outside alice"])
    assert named(teams.recordings, shown["recordings"]) == {"alice"}
    assert shown["recording_id"] is None, "the call names the other part"
    (part,) = await ask(teams, "alice", Reach.TEAM, "recordings.list", call=teams.calls["outside alice"])
    assert part["parts"] == [teams.recordings["alice"]]


async def test_a_predecessors_calls_are_nobodys(teams: TwoTeams) -> None:
    """Alice's extension was somebody else's before."""
    for reach in (Reach.OWN, Reach.TEAM):
        await same_as_absent(teams, "alice", reach, "calls.show", "call_id", teams.calls["predecessor alice"], GONE)


@pytest.mark.parametrize("minutes", [30, -1])
async def test_what_an_account_did_for_somebody_else_is_not_theirs(teams: TwoTeams, minutes: int) -> None:
    """Alice's account is another's since half an hour, or since now: calls, recordings, and a line of one's own."""
    async with teams.services.db.transaction() as tx:
        line = await lines.get(tx, teams.lines["sales"])
        await lines.save(tx, replace(line, members=(teams.accounts["alice"],)))
        eve = await people.add(tx, "eve", "Eve", NOW)
        await accounts.give(tx, teams.accounts["alice"], eve.id, "Eve", NOW - timedelta(minutes=minutes))
    newest = {"between", "line sales"} if minutes > 0 else set()
    assert named(teams.calls, await ask(teams, "alice", Reach.OWN, "calls.list")) == newest
    heard = {"alice", "line sales"} if minutes > 0 else set()
    assert named(teams.recordings, await ask(teams, "alice", Reach.OWN, "recordings.list")) == heard
    about = await kept_about.kept(teams.services, Actor("os:1", "here"), login="eve")
    assert sum(one.count for one in about.calls) == len(newest)
    assert len(about.recordings) == len(heard)
    assert "outside alice" in named(teams.calls, await ask(teams, "bob", Reach.TEAM, "calls.list")), "the team's still"


async def test_what_belongs_to_another_team_is_as_absent_as_what_there_is_not(teams: TwoTeams) -> None:
    beyond: list[tuple[str, str, str, dict[str, object]]] = [
        ("device.revoke", "user", "carol-phone", {}),
        ("device.list", "account", "carol", {}),
        ("device.list", "account", EXTENSIONS["carol"], {}),
        ("mail.login.list", "account", "carol", {}),
        ("mail.login.revoke", "login", "carol-mail", {}),
        *(("calls.show", "call_id", teams.calls[what], {}) for what in teams.calls.keys() - TEAM["alice"]),
        *(("calls.why", "call_id", teams.calls[what], {}) for what in teams.calls.keys() - TEAM["alice"]),
        ("calls.why", "call_id", teams.calls["outside carol"][:8], {}),
    ]
    for what in ("carol", "dave", "help", "line"):
        for call_id in (teams.live[what], teams.live[what][:8]):
            beyond.append(("calls.hangup", "call_id", call_id, {}))
            beyond.append(("calls.transfer", "call_id", call_id, {"to": "102"}))
            beyond.append(("calls.pause", "call_id", call_id, {}))
    for what in ("carol", "dave", "passed on", "line support"):
        for rec_id in (teams.recordings[what], teams.recordings[what][:8]):
            beyond.append(("recordings.show", "rec_id", rec_id, {}))
            beyond.append(("recordings.openings", "rec_id", rec_id, {}))
            beyond.append(("recordings.request", "rec_id", rec_id, {"reason": "a complaint"}))
            beyond.append(("recordings.list", "older_than", rec_id, {}))
    for reach in (Reach.OWN, Reach.TEAM):
        for name, argument, value, more in beyond:
            absent = GONE[: len(value)] if name.startswith(("calls", "recordings")) else "nobody-" + GONE[:4]
            await same_as_absent(teams, "alice", reach, name, argument, value, absent, **more)
    assert teams.services.calls.touched == []  # type: ignore[union-attr]
    assert not any(one["revoked_at"] for one in await ask(teams, "carol", Reach.ALL, "device.list"))


async def test_their_own_is_theirs_to_change(teams: TwoTeams) -> None:
    await ask(teams, "alice", Reach.OWN, "calls.pause", call_id=teams.live["alice"][:8])
    await ask(teams, "alice", Reach.OWN, "calls.hangup", call_id=teams.live["alice"])
    await ask(teams, "alice", Reach.TEAM, "calls.transfer", call_id=teams.live["bob"], to="101")
    touched = [teams.live["alice"], teams.live["alice"], teams.live["bob"]]
    assert teams.services.calls.touched == touched  # type: ignore[union-attr]
    assert (await ask(teams, "alice", Reach.OWN, "device.revoke", user="alice-phone"))["revoked_at"]
    assert (await ask(teams, "alice", Reach.TEAM, "mail.login.revoke", login="bob-mail"))["revoked_at"]
    why = await ask(teams, "alice", Reach.OWN, "calls.why", call_id=teams.calls["outside alice"][:8])
    assert why["id"] == teams.calls["outside alice"]


async def same_as_absent(
    teams: TwoTeams, who: str, reach: Reach, name: str, argument: str, value: str, absent: str, **more: object
) -> None:
    said = []
    for one in (value, absent):
        with pytest.raises(Failure) as refused:
            await ask(teams, who, reach, name, **{argument: one}, **more)
        assert refused.value.code == "not_found", (name, one)
        said.append(json.dumps([str(refused.value)]).replace(one, "*"))
    assert said[0] == said[1], name


def test_each_narrow_operation_is_looked_at_here() -> None:
    """A new one is added to the tests above, and then here."""
    assert NARROW.keys() == {
        "account.list", "device.list", "device.revoke", "mail.login.list", "mail.login.revoke", "calls.list",
        "calls.show", "calls.why", "calls.whys", "calls.live", "calls.hangup", "calls.transfer", "calls.pause",
        "recordings.list", "recordings.show", "recordings.openings", "recordings.request", "recordings.requests",
        "recordings.decide",
    }  # fmt: skip
