"""Whatever is asked, by whatever operation that is narrow: nothing of another team comes back, nor is it touched."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.failure import Failure
from server.rights import Reach
from server.services import permitted
from server.services.operations import find
from tests.server.test_narrow import NARROW, OWN, RIGHTS, TEAM, teams
from tests.server.two_teams import EXTENSIONS, NUMBERS, OUTSIDE, TEAMS, TwoTeams
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir", "teams"]
LIVE = {Reach.OWN: {"alice"}, Reach.TEAM: {"alice", "bob", "ringing"}}
HEARD = {Reach.OWN: {"alice"}, Reach.TEAM: {"alice", "bob", "line sales"}}


def others(known: Mapping[str, str], theirs: Collection[str]) -> set[str]:
    return {value for what, value in known.items() if what not in theirs}


def foreign(made: TwoTeams, reach: Reach) -> set[str]:
    """Ids and names of what alice may not learn of."""
    accounts = {"alice"} if reach is Reach.OWN else set(TEAMS["sales"])
    calls = (OWN if reach is Reach.OWN else TEAM)["alice"]
    return (
        others(made.calls, calls)
        | others(made.recordings, HEARD[reach])
        | others(made.live, LIVE[reach])
        | others(made.accounts, accounts)
        | others(made.devices, accounts)
        | others(made.mail, accounts)
        | (EXTENSIONS.keys() - accounts)
    )


def words(made: TwoTeams) -> st.SearchStrategy[str]:
    """Everything that there is, whole or in part, and some that there is not."""
    ids = [*made.calls.values(), *made.recordings.values(), *made.live.values(), *made.accounts.values()]
    names = [*made.devices.values(), *made.mail.values(), *EXTENSIONS, *EXTENSIONS.values(), *TEAMS, *NUMBERS.values()]
    some = [*ids, *names, OUTSIDE, "support", "%", "_" * 6, "*"]
    return st.one_of(
        st.sampled_from(some),
        st.builds(lambda one, end: one[:end], st.sampled_from(ids), st.integers(0, 12)),
        st.text(),
    )


def asked(draw: st.DrawFn, made: TwoTeams, name: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in inspect.signature(find(name)).parameters.values():
        if one.kind is not one.KEYWORD_ONLY or (one.default is not one.empty and draw(st.booleans())):
            continue
        kind = typing.get_type_hints(find(name))[one.name]
        if one.name == "states":
            found[one.name] = draw(st.lists(st.sampled_from(["recording", "whole", "destroyed", "nonsense"])))
        elif one.name == "limit":
            found[one.name] = draw(st.integers(-1, 100))
        elif one.name == "call" and draw(st.booleans()):
            found[one.name] = draw(st.sampled_from(sorted(made.calls.values())))
        elif "Literal" in str(kind):
            found[one.name] = draw(st.sampled_from(typing.get_args(kind)))
        else:
            found[one.name] = draw(st.booleans() if kind is bool else words(made))
    return found


@pytest.mark.promise("0.4", "1.9")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
async def test_nothing_of_another_team_ever_comes_back(teams: TwoTeams, data: Any) -> None:  # noqa: F811
    name = data.draw(st.sampled_from(sorted(NARROW)))
    reach = data.draw(st.sampled_from([Reach.OWN, Reach.TEAM]))
    arguments = data.draw(st.composite(lambda draw: asked(draw, teams, name))())
    reason = data.draw(st.sampled_from([None, "asked"]))
    marks = foreign(teams, reach)
    who = teams.identity("alice", reach, RIGHTS)
    touched: list[str] = teams.services.calls.touched  # type: ignore[union-attr]
    touched.clear()
    try:
        answer = await permitted.call(teams.services, who, name, arguments, workstation="192.0.2.1", reason=reason)
    except Failure as failure:
        said = str(failure)
        for sent in sorted((one for one in arguments.values() if isinstance(one, str) and one), key=len, reverse=True):
            said = said.replace(sent, "").replace(sent[:32], "")
    else:
        said = json.dumps(answer)
    assert [mark for mark in marks if mark in said] == []
    assert marks.isdisjoint(touched)
