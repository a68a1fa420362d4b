"""`Idempotency-Key`: what is sent twice is done once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.failure import Failure
from server.rights import Identity
from server.services import permitted
from server.sweeper import Sweeper
from server.web.api import serving
from server.web.api.document import document
from server.web.api.repeats import SHOWN_ONCE
from server.web.api.routes import LOOKS, routes
from storage.tables import metadata
from tests.server.two_teams import NOW, OUTSIDE, TwoTeams
from tests.web.api.house import Program

pytestmark = pytest.mark.promise("P16")

KEY = {"Idempotency-Key": "order-1041"}
STOP = {"number": OUTSIDE}


class Counted:
    """Stands before what is asked for, and counts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.fails: Failure | None = None
        self.wait = asyncio.Event()
        self.wait.set()
        real = permitted.call

        async def call(services: Any, who: Any, name: str, arguments: Any, **more: Any) -> object:
            self.asked.append(name)
            await self.wait.wait()
            if self.fails is not None:
                raise self.fails
            return await real(services, who, name, arguments, **more)

        monkeypatch.setattr(serving.permitted, "call", call)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


async def test_the_same_request_is_done_once_and_answered_alike(program: Program, counted: Counted) -> None:
    first = await program.post("/opt-outs", STOP, headers=KEY)
    again = await program.post("/opt-outs", STOP, headers=KEY)
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body and again.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    assert counted.asked == ["optout.add"]
    await program.post("/opt-outs", STOP, headers={"Idempotency-Key": "another"})
    await program.post("/opt-outs", STOP)
    assert len(counted.asked) == 3


async def test_a_refusal_is_remembered_too(program: Program, counted: Counted) -> None:
    said = [await program.ask("DELETE", "/trunks/nothing", headers=KEY) for _ in range(2)]
    assert [one.status for one in said] == [404, 404] and said[0].body == said[1].body
    assert said[1].code == "not_found" and len(counted.asked) == 1


async def test_a_key_belongs_to_one_request_and_one_token(
    program: Program, counted: Counted, holders: dict[str, Identity]
) -> None:
    await program.post("/opt-outs", STOP, headers=KEY)
    for path, body, more in (
        ("/opt-outs", {"number": "+33612345679"}, {}),
        ("/opt-outs", STOP, {"X-Reason": "because"}),
        ("/suppressions", STOP, {}),
    ):
        assert (await program.post(path, body, headers={**KEY, **more})).code == "key_reused"
    holders["other"] = replace(holders["root"], token_id="another token")
    program.token = "other"
    assert (await program.post("/opt-outs", STOP, headers=KEY)).status == 200
    assert len(counted.asked) == 2


async def test_what_goes_on_is_not_begun_again(program: Program, counted: Counted) -> None:
    counted.wait.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(program.post("/opt-outs", STOP, headers=KEY))
        async with asyncio.timeout(10):
            while not counted.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        second = await program.post("/opt-outs", STOP, headers=KEY)
        assert (second.status, second.code) == (409, "in_progress") and second.headers["Retry-After"]
        counted.wait.set()
    assert first.result().status == 200 and len(counted.asked) == 1


async def test_what_could_not_be_done_may_be_asked_again(program: Program, counted: Counted) -> None:
    counted.fails = Failure("not now", "wait", "not_running")
    assert (await program.post("/opt-outs", STOP, headers=KEY)).status == 503
    counted.fails = None
    assert (await program.post("/opt-outs", STOP, headers=KEY)).status == 200


async def test_what_is_shown_once_is_not_kept(program: Program, teams: TwoTeams) -> None:
    """promise 0.2: a password of a phone."""
    body = {"account": "alice", "label": "desk"}
    first = await program.post("/devices", body, headers=KEY)
    assert first.status == 200, first
    again = await program.post("/devices", body, headers=KEY)
    assert again.code == "conflict"
    assert {"device.add", "device.offer", "mail.login.add", "person.invite", "token.create"} <= SHOWN_ONCE
    found = (await program.get("/devices", query={"account": "alice"})).json["items"]
    assert len(found) == 2  # the one that she had, and this


@pytest.mark.promise("1.9")
async def test_what_is_kept_is_sealed_and_gone_after_a_day(program: Program, teams: TwoTeams) -> None:
    await program.post("/opt-outs", STOP, reason="they ask", headers=KEY)
    services = teams.services
    async with services.db.read() as tx:
        rows = await tx.rows(metadata.tables["api_answers"].select())
    [row] = rows
    assert OUTSIDE not in str(dict(row)) and OUTSIDE[-6:].encode() not in row["answer_sealed"]
    later = NOW + timedelta(hours=24)
    services.clock = lambda: later
    assert (await program.post("/opt-outs", STOP, headers=KEY)).status == 200  # without the reason: another
    services.clock = lambda: later + timedelta(hours=25)
    await Sweeper(services).sweep(clock_is_right=True)
    async with services.db.read() as tx:
        assert await tx.rows(metadata.tables["api_answers"].select()) == []


@pytest.mark.parametrize("key", ["", " ", "two words", "é", "x" * 256])
async def test_what_is_no_key_is_refused(program: Program, key: str) -> None:
    said = await program.post("/opt-outs", STOP, headers={"Idempotency-Key": key})
    assert said.code == "misuse"


@pytest.mark.promise("P18")
async def test_a_look_is_made_anew_though_it_is_sent_by_post(
    program: Program, counted: Counted, teams: TwoTeams
) -> None:
    """Whether a number may be called is asked now, and not as it was this morning."""
    before = await program.post("/opt-outs/check", STOP, headers=KEY)
    assert (before.status, before.json["advertising"]) == (200, True)
    assert (await program.post("/opt-outs", STOP, headers=KEY)).status == 200  # the key was not used up by a look
    after = await program.post("/opt-outs/check", STOP, headers=KEY)
    assert (after.status, after.json["advertising"]) == (200, False)
    assert "Idempotency-Replayed" not in after.headers
    assert counted.asked == ["optout.check", "optout.add", "optout.check"]
    async with teams.services.db.read() as tx:
        assert len(await tx.rows(metadata.tables["api_answers"].select())) == 1  # of the one write


def test_what_only_looks_is_named_once_and_says_so() -> None:
    posted = {route.operation: route for route in routes() if not route.reads}
    assert posted.keys() > LOOKS
    for route in routes():
        taken = document()["paths"][route.path][route.method.lower()]["parameters"]
        takes_key = {"$ref": "#/components/parameters/key"} in taken
        assert takes_key is not (route.reads or route.operation in LOOKS), route
    assert {name for name in posted if name.endswith((".check", ".look", ".simulate", ".verify"))} <= LOOKS
    assert "campaign.measure" in LOOKS and "emergency.drill" in posted.keys() - LOOKS  # a drill is told to those named


async def test_a_read_knows_no_key(program: Program) -> None:
    one, two = [await program.get("/lines", headers=KEY) for _ in range(2)]
    assert one.status == two.status == 200 and "Idempotency-Replayed" not in two.headers
