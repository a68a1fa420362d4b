"""/healthz and /metrics: what they say, and that they say nothing about anybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from aiohttp import web

from server import http
from tests.peers.ports import Ports


class Daemon:
    """What the pages ask."""

    def __init__(self) -> None:
        self.parts = {"edge": True, "workers": True, "recorder": True}
        self.calls = 1.0

    async def health(self) -> Mapping[str, bool]:
        return self.parts

    def counters(self) -> Mapping[str, float]:
        return {"calls_begun": self.calls}

    def gauges(self) -> Mapping[str, float]:
        return {"calls_live": 2.0}


@pytest.fixture
async def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
async def pages(daemon: Daemon, ports: Ports) -> AsyncIterator[str]:
    port = ports.take()
    runner = await http.start(http.application(daemon.health, daemon.counters, daemon.gauges), "127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        return answer.status, answer.content_type, await answer.text()


@pytest.mark.promise("P18")
async def test_health_names_each_part_and_is_503_while_one_is_missing(daemon: Daemon, pages: str) -> None:
    assert await get(f"{pages}/healthz") == (
        200, "application/json", '{"ok": true, "parts": {"edge": true, "workers": true, "recorder": true}}'
    )  # fmt: skip
    daemon.parts["recorder"] = False
    status, _, body = await get(f"{pages}/healthz")
    assert status == 503 and '"ok": false' in body and '"recorder": false' in body


@pytest.mark.promise("P18")
async def test_metrics_are_read_anew_at_each_scrape(daemon: Daemon, pages: str) -> None:
    status, kind, text = await get(f"{pages}/metrics")
    assert status == 200 and kind == "text/plain"
    assert "# TYPE beffroi_calls_begun_total counter" in text and "# TYPE beffroi_calls_live gauge" in text
    assert "beffroi_calls_begun_total 1.0" in text and "beffroi_calls_live 2.0" in text
    daemon.calls = 7.0
    assert "beffroi_calls_begun_total 7.0" in (await get(f"{pages}/metrics"))[2]


async def test_metrics_are_counts_only(pages: str) -> None:
    """No label: a label would name somebody sooner or later."""
    _, _, text = await get(f"{pages}/metrics")
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples and all(re.fullmatch(r"beffroi_[a-z_]+ [0-9.e+-]+", line) for line in samples)


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/x", "/../etc/passwd"])
async def test_there_is_nothing_else(pages: str, path: str) -> None:
    assert (await get(f"{pages}{path}"))[0] == 404


async def test_nothing_is_changed_from_here(pages: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await get(f"{pages}/metrics", method))[0] == 405


async def test_a_port_that_is_taken_is_an_error_and_not_silence(daemon: Daemon, pages: str) -> None:
    app = http.application(daemon.health, daemon.counters, daemon.gauges)
    with pytest.raises(OSError, match="in use"):
        await http.start(app, "127.0.0.1", int(pages.rpartition(":")[2]))


async def test_two_daemons_in_one_process_keep_their_figures_apart(daemon: Daemon) -> None:
    apps = [http.application(daemon.health, daemon.counters, daemon.gauges) for _ in range(2)]
    assert all(isinstance(app, web.Application) for app in apps)
