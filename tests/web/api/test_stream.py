"""What happens, as it happens: told to whoever may know of it, without a number or a word of a text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from server.happenings import hub as hubs
from server.happenings.hub import BACKLOG, Happening, Hub
from server.happenings.watch import Watch
from server.rights import Identity
from server.web.api import stream as streams
from sip.calls.control import LiveCall
from storage import ledger
from tests.server.two_teams import NOW, TwoTeams
from tests.web.api.house import Program, served
from tests.web.test_live import Stream

pytestmark = pytest.mark.promise("P16")


class House:
    """Calls that a test begins and ends."""

    def __init__(self, teams: TwoTeams) -> None:
        self.teams = teams
        self.calls: dict[str, LiveCall] = {}
        self.hub = Hub()
        self.watch = Watch(self.hub, teams.services.db, lambda: list(self.calls.values()), lambda: NOW)
        teams.services.happenings = self.hub

    def call(self, call_id: str, *names: str, state: str = "ringing", line: str | None = None, **more: Any) -> None:
        accounts = frozenset(self.teams.accounts[name] for name in names)
        self.calls[call_id] = LiveCall(
            call_id, self.teams.lines[line] if line else None, NOW, False, 1, state=state, accounts=accounts, **more
        )


@pytest.fixture
def house(teams: TwoTeams, holders: dict[str, Identity], monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(streams, "LOOK_S", 0.3)
    return House(teams)


@asynccontextmanager
async def listening(program: Program, token: str, query: str = "", last: str = "") -> AsyncIterator[Stream]:
    headers = {"Host": program.host, "Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
    url = f"http://127.0.0.1:{program.port}/api/v1/events{query}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield Stream(answer)


async def listeners(house: House, count: int) -> None:
    for _ in range(500):
        if len(house.hub) >= count:
            break
        await asyncio.sleep(0.02)
    assert len(house.hub) == count
    await asyncio.sleep(0.05)


async def test_a_call_is_told_from_its_beginning_to_its_end(house: House) -> None:
    async with served(house.teams.services) as program, listening(program, "root") as one:
        await listeners(house, 1)
        house.call("c" * 32, "alice", line="sales", direction="inbound")
        house.watch.look()
        house.call("c" * 32, "alice", "bob", state="talking", line="sales", direction="inbound")
        house.watch.look()
        house.watch.look()
        del house.calls["c" * 32]
        house.watch.look()
        told = [await one.event() for _ in range(3)]
    assert [kind for kind, _ in told] == ["call.started", "call.answered", "call.ended"]
    assert [said["state"] for _, said in told] == ["ringing", "talking", "answered"]
    assert {said["call"] for _, said in told} == {"c" * 32}
    assert told[2][1]["accounts"] == ["alice", "bob"] and told[0][1]["line"] == "sales"
    assert told[0][1].keys() == {"kind", "at", "call", "state", "direction", "accounts", "line"}


@pytest.mark.promise("0.4", "1.9")
async def test_nobody_is_told_of_another_team(house: House) -> None:
    async with (
        served(house.teams.services) as program,
        listening(program, "alice") as team,
        listening(program, "own") as own,
        listening(program, "nobody") as nobody,
    ):
        await listeners(house, 3)
        house.call("1" * 32, "carol")
        house.call("2" * 32, "carol", line="support")
        house.call("3" * 32, "bob")
        house.call("4" * 32, "alice", "carol")
        house.watch.look()
        seen = [await team.event() for _ in range(2)]
        assert {said["call"][0]: said["accounts"] for _, said in seen} == {"3": ["bob"], "4": ["alice"]}
        assert (await own.event())[1]["call"] == "4" * 32
        with pytest.raises(TimeoutError):
            await nobody.next(1)


async def test_a_call_that_leaves_no_record_is_told_to_nobody(house: House) -> None:
    async with served(house.teams.services) as program, listening(program, "root") as one:
        await listeners(house, 1)
        house.call("1" * 32, "alice", private=True)
        house.call("2" * 32, "alice")
        house.watch.look()
        assert (await one.event())[1]["call"] == "2" * 32


async def test_of_a_call_that_becomes_private_nothing_more_is_told(house: House) -> None:
    """Not even that it ended: it goes on, and that somebody pressed a key is nobody's affair."""
    async with served(house.teams.services) as program, listening(program, "root") as one:
        await listeners(house, 1)
        house.call("1" * 32, "alice")
        house.watch.look()
        assert (await one.event())[0] == "call.started"
        house.calls.clear()
        house.call("1" * 32, "alice", private=True)
        house.watch.look()
        house.calls.clear()
        house.watch.look()
        with pytest.raises(TimeoutError):
            await one.next(1)


async def test_whoever_comes_again_hears_what_they_have_missed(house: House) -> None:
    async with served(house.teams.services) as program, listening(program, "root"):
        await listeners(house, 1)
        for n in range(3):
            house.hub.tell(Happening("call.started", NOW, str(n) * 32))
        ids = [one.id for one in house.hub._last]
        async with listening(program, "root", last=ids[0]) as again:
            assert [(await again.event())[1]["call"][0] for _ in range(2)] == ["1", "2"]
        async with listening(program, "root", last="abcdef01-7") as stranger:
            assert (await stranger.event())[0] == "missed"


async def test_only_what_is_asked_for(house: House) -> None:
    async with served(house.teams.services, "root") as program:
        async with listening(program, "root", "?kind=call.ended") as one:
            await listeners(house, 1)
            house.hub.tell(Happening("call.started", NOW, "1" * 32))
            house.hub.tell(Happening("call.ended", NOW, "2" * 32))
            assert (await one.event())[1]["call"] == "2" * 32
        assert (await program.get("/events", query={"kind": "nonsense"})).code == "misuse"
        assert (await program.get("/events", query={"strange": "1"})).code == "misuse"


async def test_a_stream_ends_when_the_token_does(house: House, holders: dict[str, Identity]) -> None:
    async with served(house.teams.services) as program, listening(program, "root") as one:
        await listeners(house, 1)
        del holders["root"]
        assert (await one.event())[0] == "end"
        assert (await one.event())[0] == "closed"


@pytest.mark.promise("0.6")
async def test_that_somebody_listens_is_written_down_with_what_to(house: House) -> None:
    async def entries() -> list[dict[str, Any]]:
        async with house.teams.services.db.read() as tx:
            found = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
        return [one for one in found if one["action"] == "listen"]

    async with served(house.teams.services) as program:
        async with listening(program, "root", "?kind=call.ended&kind=text.in&kind=call.started"):
            said = await entries()
        async with listening(program, "alice"):
            more = (await entries())[len(said) :]
        async with listening(program, "nobody"):
            assert len(await entries()) == len(said) + len(more)
        refused = await program.ask(
            "GET", "/events", query={"kind": "nonsense"}, headers={"Authorization": "Bearer own"}
        )
        assert refused.code == "misuse" and len(await entries()) == len(said) + len(more)
    assert [(one["object"], one["kinds"]) for one in said] == [
        ("call", ["call.started", "call.ended"]),
        ("text", ["text.in"]),
    ]
    assert [(one["object"], one["kinds"]) for one in more] == [
        ("call", ["call.started", "call.answered", "call.ended"]),
        ("text", ["text.in", "text.out"]),
    ]
    people = house.teams.people
    assert {one["actor_id"] for one in said} == {people["dave"]} and {one["actor_id"] for one in more} == {
        people["alice"]
    }
    assert all(one["outcome"] == "done" and one["workstation"] for one in said)


async def test_streams_are_bounded_and_the_daemon_does_not_wait_for_them(
    house: House, holders: dict[str, Identity]
) -> None:
    async with served(house.teams.services, "root") as program:
        async with aiohttp.ClientSession() as session:
            headers = {"Host": program.host, "Authorization": "Bearer root"}
            url = f"http://127.0.0.1:{program.port}/api/v1/events"
            opened = [await session.get(url, headers=headers) for _ in range(streams.MAX_OF_ONE)]
            assert {one.status for one in opened} == {200}
            assert (await program.get("/events")).code == "too_many"
            holders["more"] = replace(holders["root"], token_id="another")
            assert (await program.ask("GET", "/events", headers={"Authorization": "Bearer more"})).code == "too_many"
            holders["other"] = replace(holders["root"], token_id="a third", person_id=house.teams.people["carol"])
            async with listening(program, "other"):
                pass
            for one in opened:
                one.close()
        house.teams.services.happenings = None
        holders["root"] = replace(holders["root"], person_id=house.teams.people["carol"])
        assert (await program.get("/events")).code == "not_running"


async def test_a_listener_that_does_not_take_them_holds_nobody_up() -> None:
    hub = Hub()
    hub.tell(Happening("call.started", NOW, "unheard"))
    assert hub.told == 0
    with hub.listening() as slow:
        for n in range(BACKLOG + 5):
            hub.tell(Happening("call.started", NOW, str(n)))
        assert slow.missed and slow.queue.qsize() == BACKLOG
        with hub.listening(since="nothing") as other:
            assert other.missed
            hub.tell(Happening("call.started", NOW, "after"))
            assert await other.next() is None
            assert [one and one.subject for one in [await other.next()]] == ["after"]
        taken = [await slow.next() for _ in range(BACKLOG + 1)]
        assert [one and one.subject for one in taken] == [*(str(n) for n in range(BACKLOG)), None]
        assert slow.queue.empty() and not slow.missed
    assert not hub.wanted.is_set()


async def test_what_was_missed_is_told_where_it_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks anew on `missed` would else ask too early, and never hear of what came between."""
    monkeypatch.setattr(hubs, "BACKLOG", 3)
    tell = house.hub.tell
    with house.hub.listening() as slow:
        for n in range(9):
            tell(Happening("call.ended", NOW, str(n)))
        taken = [await slow.next()]
        tell(Happening("call.ended", NOW, "9"))  # there is room again, before the others are taken
        taken += [await slow.next() for _ in range(4)]
        assert [one and one.subject for one in taken] == ["0", "1", "2", None, "9"]
    async with served(house.teams.services) as program, listening(program, "root", "?kind=call.ended") as one:
        await listeners(house, 1)
        for n in range(9):
            tell(Happening("call.ended", NOW, str(n) * 32))
        told = [await one.event() for _ in range(4)]
        tell(Happening("call.ended", NOW, "9" * 32))
        told.append(await one.event())
        with pytest.raises(TimeoutError):
            await one.next(1)
    assert [kind for kind, _ in told] == [*["call.ended"] * 3, "missed", "call.ended"]
    assert [said.get("call", "")[:1] for _, said in told] == ["0", "1", "2", "", "9"]


async def test_the_watch_looks_only_while_somebody_listens(house: House) -> None:
    looked = 0
    real = house.watch.look

    def look() -> None:
        nonlocal looked
        looked += 1
        real()

    house.watch.look = look  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(house.watch.run())
        await asyncio.sleep(0.6)
        assert looked == 0
        house.call("0" * 32, "alice")  # goes on before anybody listens
        with house.hub.listening() as one:
            await asyncio.sleep(0.3)
            house.call("1" * 32, "alice", state="talking")
            async with asyncio.timeout(5):
                told = [await one.next() for _ in range(2)]
        assert {each and each.subject for each in told} == {"1" * 32}
        running.cancel()


@pytest.mark.promise("P16")
async def test_what_happened_together_is_told_in_one_piece_and_in_order(house: House) -> None:
    async with served(house.teams.services) as program, listening(program, "root", "?kind=call.started") as one:
        await listeners(house, 1)
        for n in range(120):
            house.hub.tell(Happening("call.started" if n % 2 else "call.ended", NOW, f"{n:032d}"))
        told = [await one.event() for _ in range(60)]
    assert [int(said["call"]) for _, said in told] == list(range(1, 120, 2))
