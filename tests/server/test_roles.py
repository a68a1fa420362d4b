"""Roles: as shipped until the company says otherwise; and nobody widens what they may do themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from config import roles as shipped_roles
from config import settings as configuration
from config.paths import Paths
from server.failure import Failure
from server.rights import Identity, NotFresh, Reach
from server.services import permitted, roles
from server.services.context import ServerKeys, Services
from storage import ledger, people
from storage.database import Database
from storage.people import ROLES, Person
from tests.server.conftest import Ran
from tests.server.two_teams import NOW
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
pytestmark = pytest.mark.promise("0.4")


class House:
    """An admin, a second one who is an employee as well, and an employee."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.persons: dict[str, Person] = {}

    async def make(self) -> None:
        async with self.services.db.transaction() as tx:
            for login, held in {"ada": ["admin"], "ben": ["admin", "employee"], "eve": ["employee"]}.items():
                self.persons[login] = await people.add(tx, login, login, NOW, roles=held)

    async def identity(self, login: str, *, fresh: bool = True) -> Identity:
        async with self.services.db.read() as tx:
            person = await people.get(tx, self.persons[login].id)
        grants = await roles.of(self.services, person)
        until = NOW + timedelta(minutes=5) if fresh else None
        return Identity(person.id, login, "en", grants, session_id="s" * 32, fresh_until=until)

    async def ask(self, who_asks: str, name: str, /, *, fresh: bool = True, **arguments: object) -> Any:
        who = await self.identity(who_asks, fresh=fresh)
        return await permitted.call(self.services, who, name, arguments, workstation="192.0.2.1")

    async def refused(self, who_asks: str, name: str, /, **arguments: object) -> str:
        with pytest.raises(Failure) as refused:
            await self.ask(who_asks, name, **arguments)
        return refused.value.code

    async def last(self) -> dict[str, Any]:
        async with self.services.db.read() as tx:
            said: dict[str, Any] = json.loads((await ledger.entries(tx, "access"))[-1].body)
        return said


@pytest.fixture
async def house(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Any) -> AsyncIterator[House]:  # noqa: F811
    keys = ServerKeys(field_keys, ledger_key, ledger_key)
    made = House(Services(db, Paths(tmp_path / "data"), configuration.parse(""), keys, clock=lambda: NOW))
    await made.make()
    yield made


async def test_as_shipped(house: House) -> None:
    for role in sorted(ROLES):
        async with house.services.db.transaction() as tx:
            await people.set_roles(tx, house.persons["eve"].id, [role])
            eve = await people.get(tx, house.persons["eve"].id)
        said = {right: str(reach) for right, reach in (await roles.of(house.services, eve)).items()}
        assert said == shipped_roles.load()[role]


async def test_the_widest_of_several_roles(house: House) -> None:
    both = await roles.of(house.services, house.persons["ben"])
    assert both["devices.manage"] is Reach.ALL
    assert both["calls.make"] is Reach.OWN


async def test_a_change_holds_from_the_next_request_on_and_is_taken_back(house: House) -> None:
    assert await house.refused("eve", "person.list") == "denied"
    said = await house.ask("ada", "role.set", role="employee", right="people.read", reach="all")
    assert (said["reach"], said["shipped"]) == ("all", "none")
    entry = await house.last()
    assert (entry["action"], entry["object"], entry["role"]) == ("change", "role", "employee")
    assert (entry["rule"], entry["reach"]) == ("people.read", "all")
    assert len(await house.ask("eve", "person.list")) == 3
    (employee,) = [one for one in await house.ask("ada", "role.list") if one["role"] == "employee"]
    assert (employee["people"], employee["changed"]) == (2, 1)
    shown = await house.ask("ada", "role.show", role="employee")
    assert employee["reach"] == {one["right"]: one["reach"] for one in shown} and shown
    assert employee["rights"] == sum(reach != "none" for reach in employee["reach"].values())
    found = await house.ask("ada", "role.reset", role="employee", right="people.read")
    assert all(one["reach"] == one["shipped"] for one in found)
    assert await house.refused("eve", "person.list") == "denied"


async def test_none_takes_a_shipped_right_and_a_reset_gives_all_back(house: House) -> None:
    for right in ("calls.read", "texts.use"):
        await house.ask("ada", "role.set", role="employee", right=right, reach="none")
    assert await house.refused("eve", "calls.list") == "denied"
    assert await house.refused("eve", "inbox.list") == "denied"
    await house.ask("ada", "role.reset", role="employee")
    assert await house.ask("eve", "calls.list") == []
    assert await house.ask("eve", "inbox.list") == []


@pytest.mark.promise("2.22")
async def test_nobody_changes_a_role_that_they_hold_or_roles_and_rights_of_their_own(house: House) -> None:
    for right in ("policy.approve", "recordings.read", "people.rights"):
        assert await house.refused("ada", "role.set", role="admin", right=right, reach="all") == "denied"
    said = await house.last()
    assert (said["outcome"], said["role"]) == ("denied", "admin")
    assert await house.refused("ben", "role.set", role="employee", right="calls.read", reach="all") == "denied"
    assert await house.refused("ben", "role.reset", role="employee") == "denied"
    assert await house.refused("ada", "person.role", login="ada", roles=["admin", "dpo"]) == "denied"
    assert (await house.last())["person_id"] == house.persons["ada"].id
    assert await house.refused("ada", "person.grant", login="ada", purpose="REC_QUALITY") == "denied"
    assert (await house.ask("ben", "person.role", login="ada", roles=["admin", "dpo"]))["roles"] == ["admin", "dpo"]


async def test_changes_ask_for_a_second_factor_and_looks_do_not(house: House) -> None:
    for name, more in {"role.set": {"right": "calls.read", "reach": "all"}, "role.reset": {}}.items():
        with pytest.raises(NotFresh):
            await house.ask("ada", name, fresh=False, role="employee", **more)
    assert len(await house.ask("ada", "role.list", fresh=False)) == len(ROLES)
    assert await house.refused("eve", "role.list") == "denied"


@pytest.mark.parametrize(
    ("role", "right", "reach", "code"),
    [
        ("emperor", "calls.read", "all", "not_found"),
        ("employee", "calls.all", "all", "invalid"),
        ("employee", "calls.read", "galaxy", "invalid"),
        ("employee", "switchboard.manage\0", "all", "invalid"),
        ("employee", "policy.approve", "team", None),  # done in the name of who asks
        ("employee", "people.read", "own", "invalid"),  # nobody's in particular
    ],
)
async def test_what_cannot_be_is_refused(house: House, role: str, right: str, reach: str, code: str | None) -> None:
    asked = {"role": role, "right": right, "reach": reach}
    if code is None:
        assert (await house.ask("ada", "role.set", **asked))["reach"] == reach
    else:
        assert await house.refused("ada", "role.set", **asked) == code


def test_by_command(beffroi: Callable[..., Ran]) -> None:
    """Whoever owns the machine may change every role."""
    assert {one["role"] for one in beffroi("role", "list", "--json").json} == ROLES
    said = beffroi("role", "set", "admin", "ledger.read", "all", "--json").json
    assert said["reach"] == "all"
    (shown,) = [one for one in beffroi("role", "show", "admin", "--json").json if one["right"] == "ledger.read"]
    assert (shown["reach"], shown["shipped"]) == ("all", "none")
    assert "ledger.show" in shown["operations"]
    beffroi("role", "reset", "admin")
    assert all(one["changed"] == 0 for one in beffroi("role", "list", "--json").json)
    assert beffroi("role", "set", "nobody", "ledger.read", "all").status != 0
