"""Whatever route is asked for whatever is another team's: it is not there, and nothing of it is said or touched."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from server.rights import Identity, Reach
from server.web.api import serving
from server.web.api.rates import Limit
from server.web.api.routes import Route, routes
from server.web.api.signatures import Field, fields, is_paged
from tests.server.test_every_operation import required
from tests.server.test_narrow_property import foreign
from tests.server.two_teams import TwoTeams
from tests.web.api.house import Said, served

pytestmark = pytest.mark.promise("0.4", "1.9", "P16")

NARROW = [route for route in routes() if route.rule.narrow or route.rule.account]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PER_CALLER", "PER_SOURCE"):
        monkeypatch.setattr(serving, name, Limit(100_000, 60))


def path_of(route: Route, value: str) -> str:
    path = route.path
    for part in route.parts:
        path = path.replace(f"{{{part}}}", quote(value, safe=""))
    return path


def filled(route: Route, value: str) -> dict[str, object]:
    """What has to be in a body or a query; `value` where a text is wanted."""
    needed = {key: value if isinstance(one, str) and len(one) == 32 else one for key, one in required(
        route.operation).items()}  # fmt: skip
    return {one.name: needed[one.argument] for one in fields(route) if one.place != "path" and one.required}


def in_query(route: Route) -> bool:
    return route.method in ("GET", "DELETE")


def named_by(route: Route) -> Iterator[Field]:
    """Fields that name an account of whoever it is about."""
    return (one for one in fields(route) if one.argument == route.rule.account)


async def test_each_thing_of_another_team_is_not_there(teams: TwoTeams, holders: dict[str, Identity]) -> None:
    gone = foreign(teams, Reach.TEAM)
    wrong: list[str] = []
    asked = 0
    async with served(teams.services, "alice") as program:
        for route in NARROW:
            if not route.parts:
                continue
            for value in sorted(one for one in gone if len(one) >= 6 or route.rule.account):
                given = filled(route, value)
                query, body = (given, None) if in_query(route) else (None, given or None)
                for reason in (None, "to see it") if route.reads else (None,):
                    said = await program.ask(route.method, path_of(route, value), body, query=query, reason=reason)
                    asked += 1
                    if said.status != 404 or said.code != "not_found" or leaks(said, gone - {value}):
                        wrong.append(f"{route.operation} {value[:8]}: {said.status} {said.body[:200]!r}")
    assert wrong == []
    assert asked > 300
    assert teams.services.calls.touched == []  # type: ignore[union-attr]


async def test_an_account_of_another_team_is_not_there_in_a_body_either(
    teams: TwoTeams, holders: dict[str, Identity]
) -> None:
    wrong = []
    async with served(teams.services, "alice") as program:
        for route in NARROW:
            for field in named_by(route):
                if field.place == "path":
                    continue
                for value in ("carol", "dave"):
                    given = {**filled(route, "101"), field.name: value}
                    query, body = (given, None) if in_query(route) else (None, given)
                    said = await program.ask(route.method, path_of(route, value), body, query=query)
                    if said.status != 404:
                        wrong.append(f"{route.operation}: {said.status} {said.body[:200]!r}")
    assert wrong == []


async def test_lists_say_nothing_of_another_team(teams: TwoTeams, holders: dict[str, Identity]) -> None:
    gone = foreign(teams, Reach.TEAM)
    async with served(teams.services, "alice") as program:
        for route in routes():
            if not is_paged(route) or route.parts:
                continue
            for reason in (None, "to see it"):
                said = await program.ask("GET", route.path, query={"limit": "200"}, reason=reason)
                assert said.status in (200, 400, 403, 503), (route.operation, said)
                assert leaks(said, gone) == set(), route.operation
        for path in ("/calls", "/recordings", "/devices", "/accounts", "/live-calls", "/mail-logins", "/call-verdicts"):
            assert (await program.get(path)).json["items"], path


async def test_what_is_of_the_whole_company_is_denied_to_a_team(teams: TwoTeams, holders: dict[str, Identity]) -> None:
    async with served(teams.services, "alice") as program:
        for route in routes():
            if route.rule.narrow or route.rule.account or route.rule.login:
                continue
            given = filled(route, "sales")
            query, body = (given, None) if in_query(route) else (None, given or None)
            said = await program.ask(route.method, path_of(route, "sales"), body, query=query)
            assert (said.status, said.code) in {(403, "denied"), (400, "misuse")}, (route.operation, said)


def leaks(said: Said, gone: set[str]) -> set[str]:
    text = said.body.decode()
    return {one for one in gone if len(one) > 3 and f'"{one}"' in text}
