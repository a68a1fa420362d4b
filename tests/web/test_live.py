"""Regions of pages that are kept up to date: made once for all who may see the same, and only while somebody looks."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from server.failure import Failure
from server.rights import Identity, Reach
from server.services import sign_in
from server.services.context import Services
from server.web import cookies, event_stream, live
from server.web.application import Portal
from server.web.routes import Topic
from server.web.site import Site
from server.web.visit import Visit
from tests.server.two_teams import TwoTeams
from tests.web.api import conftest as api_house
from tests.web.api.conftest import teams
from tests.web.api.house import portal

__all__ = ["teams"]


class House:
    """A portal with three regions; `people`: session -> who it is."""

    def __init__(self, teams: TwoTeams) -> None:
        rights = api_house.RIGHT_NAMES
        self.services = teams.services
        self.people: dict[str, Identity | None] = {
            "root": teams.identity("dave", Reach.ALL, rights),
            "other": teams.identity("carol", Reach.ALL, rights),
            "alice": teams.identity("alice", Reach.TEAM, rights),
            "bob": teams.identity("bob", Reach.TEAM, rights),
            "nobody": teams.identity("bob", Reach.ALL, ()),
        }
        self.shown = {"calls": "<p>none</p>"}
        self.made: list[tuple[str, str]] = []
        self.fails = False
        self.site = Site(
            (),
            {
                "calls": Topic("calls", self._calls, "calls.live", every_s=0.25),
                "mine": Topic("mine", self._mine, "texts.use", every_s=0.25),
                "system": Topic("system", self._calls, "system.manage", every_s=0.25),
            },
        )
        self.port, self.host = 0, ""

    async def _calls(self, visit: Visit) -> str:
        self.made.append(("calls", visit.person.login))
        if self.fails:
            raise Failure("not now", "wait", "unavailable")
        return self.shown["calls"]

    async def _mine(self, visit: Visit) -> str:
        return f"<p>{visit.person.login}</p>"

    def headers(self, session: str) -> dict[str, str]:
        return {"Host": self.host, "Cookie": f"{cookies.SESSION}={session}", "Accept": "text/event-stream"}

    def url(self, *topics: str) -> str:
        return f"http://127.0.0.1:{self.port}/events?" + "&".join(f"topic={one}" for one in topics)


@pytest.fixture
async def house(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:  # noqa: F811
    made = House(teams)
    monkeypatch.setattr(live, "LOOK_S", 0.3)
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.3)

    async def identify(services: Services, *, session_token: str, counts: bool = True) -> Identity | None:
        return made.people.get(session_token)

    monkeypatch.setattr(sign_in, "identify", identify)
    async with portal(Portal(made.services, made.site)) as (port, host):
        made.port, made.host = port, host
        yield made


class Stream:
    """What one browser has heard."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self, wait_s: float = 10.0) -> tuple[str, Any]:
        """The next event; ("", None) for a heartbeat; ("closed", None) at the end."""
        event, data = "", None
        async with asyncio.timeout(wait_s):
            while True:
                line = (await self._answer.content.readline()).decode()
                if not line:
                    return "closed", None
                if line.startswith("event: "):
                    event = line[7:].strip()
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                elif line == ":\n":
                    return "", None
                elif line == "\n" and event:
                    return event, data

    async def event(self) -> tuple[str, Any]:
        while True:
            found = await self.next()
            if found[0]:
                return found


async def test_a_region_comes_at_once_and_when_it_changes(house: House) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(house.url("calls"), headers=house.headers("root")) as got,
    ):
        assert got.status == 200
        assert got.headers["Content-Type"].startswith("text/event-stream")
        assert got.headers["Cache-Control"] == "no-store" and "Content-Security-Policy" in got.headers
        stream = Stream(got)
        assert await stream.event() == ("calls", "<p>none</p>")
        house.shown["calls"] = "<p>é\n1</p>"
        assert await stream.event() == ("calls", "<p>é\n1</p>")
        assert await stream.next() == ("", None)  # it beats while nothing changes


@pytest.mark.promise("0.4")
async def test_only_whoever_may_see_it_is_shown_it(house: House) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(house.url("calls", "system"), headers=house.headers("nobody")) as got:
            assert got.status == 404
        async with session.get(house.url("nonsense"), headers=house.headers("root")) as got:
            assert got.status == 404
        async with session.get(house.url("calls"), headers=house.headers("stranger")) as got:
            assert got.status == 401
        foreign = {**house.headers("root"), "Sec-Fetch-Site": "cross-site"}
        async with session.get(house.url("calls"), headers=foreign) as got:
            assert got.status == 401
    assert house.made == []


@pytest.mark.promise("0.4")
async def test_what_hangs_on_the_person_is_shared_with_nobody(house: House) -> None:
    async with aiohttp.ClientSession() as session:
        for who, login in (("root", "dave"), ("other", "carol")):
            async with session.get(house.url("mine"), headers=house.headers(who)) as got:
                assert await Stream(got).event() == ("mine", f"<p>{login}</p>")
        async with (
            session.get(house.url("calls"), headers=house.headers("alice")) as one,
            session.get(house.url("calls"), headers=house.headers("bob")) as other,
        ):
            await Stream(one).event()
            await Stream(other).event()
    assert {login for _, login in house.made} >= {"alice", "bob"}


@pytest.mark.promise("0.4")
async def test_a_stream_ends_with_the_session_and_when_rights_change(house: House) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(house.url("calls"), headers=house.headers("root")) as got:
            stream = Stream(got)
            assert (await stream.event())[0] == "calls"
            house.people["root"] = None
            assert (await stream.event())[0] == "end"
            assert (await stream.event())[0] == "closed"
        async with session.get(house.url("calls"), headers=house.headers("alice")) as got:
            stream = Stream(got)
            await stream.event()
            was = house.people["alice"]
            assert was is not None
            house.people["alice"] = replace(was, grants={"calls.live": Reach.OWN})
            assert (await stream.event())[0] == "end"


async def test_a_region_that_fails_does_not_end_the_stream(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.1)
    async with (
        aiohttp.ClientSession() as session,
        session.get(house.url("calls"), headers=house.headers("root")) as got,
    ):
        stream = Stream(got)
        await stream.event()
        house.fails = True
        assert await stream.next() == ("", None)
        house.fails, house.shown["calls"] = False, "<p>again</p>"
        assert await stream.event() == ("calls", "<p>again</p>")


async def test_what_fails_for_many_and_again_and_again_is_said_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.05)
    house.fails = True
    with caplog.at_level(logging.WARNING, live.__name__):
        async with aiohttp.ClientSession() as session, AsyncExitStack() as streams:
            for who in ("root", "alice", "bob") * 2:
                asked = session.get(house.url("calls"), headers=house.headers(who))
                stream = Stream(await streams.enter_async_context(asked))
            while len(house.made) < 20:
                assert await stream.next() == ("", None)
    assert [one.getMessage() for one in caplog.records] == ["the region calls is not made anew: Failure"]


@pytest.mark.promise("P16")
async def test_two_hundred_look_and_a_region_is_made_once_for_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_OF_ONE", 1000)
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 5.0)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        opened = [
            await session.get(house.url("calls"), headers=house.headers("root" if n % 2 else "other"))
            for n in range(200)
        ]
        streams = [Stream(one) for one in opened]
        for stream in streams:
            assert await stream.event() == ("calls", "<p>none</p>")
        began, made = time.monotonic(), len(house.made)
        house.shown["calls"] = "<p>new</p>"
        told = await asyncio.gather(*(stream.event() for stream in streams))
        assert set(told) == {("calls", "<p>new</p>")}
        took_s = time.monotonic() - began
        assert len(house.made) - made <= took_s / 0.25 + 2  # not two hundred times
        monkeypatch.setattr(live, "MAX_VIEWERS", 200)
        async with session.get(house.url("calls"), headers=house.headers("alice")) as one_more:
            assert one_more.status == 503 and int(one_more.headers["Retry-After"]) > 0
        for one in opened:
            one.close()


async def test_streams_take_turns_so_that_others_are_served_between() -> None:
    """A hundred are told of one event; what becomes ready meanwhile does not wait for all of them."""
    turns, order, loop = event_stream.Turns(at_once=8), list[str](), asyncio.get_running_loop()

    async def stream() -> None:
        await turns.mine()
        if not order:
            loop.call_soon(order.append, "a call")
        order.append("a stream")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stream()) for _ in range(100)]
        tasks[50].cancel()  # whoever leaves takes nobody's turn
    assert order.index("a call") <= 8 and order.count("a stream") == 99


def test_looks_of_streams_that_are_opened_together_are_spread() -> None:
    looks = event_stream.Looks()
    early = [looks.early() for _ in range(200)]
    assert all(0 <= one < 1 for one in early) and max(early.count(one) for one in early) <= 13
