"""The daemon without an edge: it waits for one, stops in order, and no part that fails takes the others down."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from server import daemon as module
from server.daemon import Daemon
from server.services import system
from server.services.context import Services
from server.web import listener
from sip.edge.rpc import RpcError
from sip.edge.state import Dialog
from storage import devices
from storage.errors import Unavailable
from tests.peers.ports import Ports
from tests.sip.worker.rig import alive, until


@pytest.fixture
def daemon(services: Services, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    monkeypatch.setattr(module, "RESTART_S", 0.05)
    old, rtp = services.settings, ports.take(32, even=True)
    services.settings = old.model_copy(
        update={
            "http": old.http.model_copy(update={"listen": f"127.0.0.1:{ports.take()}"}),
            "media": old.media.model_copy(update={"rtp_port_first": rtp, "rtp_port_last": rtp + 31}),
            "sip": old.sip.model_copy(update={"control_port": ports.take(), "worker_port": ports.take()}),
            "calls": old.calls.model_copy(update={"warm_workers": 1}),
        }
    )
    daemon = Daemon(services)
    services.live = daemon
    return daemon


@asynccontextmanager
async def serving(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    """Until the end of the block, where it stops in order."""
    stop = asyncio.Event()
    task = asyncio.get_running_loop().create_task(daemon.run(stop))  # noqa: TID251 - awaited below
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


async def works(daemon: Daemon, task: asyncio.Task[None]) -> None:
    """Everything but the edge, which is not there."""
    await until(lambda: task.done() or (daemon.pool.zygote_pid != 0 and daemon.desk.recorder_pid != 0), 10)
    await until(lambda: task.done() or bool(daemon.pool.worker_pids()), 10)
    assert not task.done(), task
    assert await daemon.health() == {"edge": False, "workers": True, "recorder": True}


def failing(times: int, real: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """Raises so many times, then does what it should."""
    left = iter(range(times))

    async def part(*arguments: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return await real(*arguments)

    return part


@pytest.mark.promise("P19")
async def test_without_an_edge_it_waits_and_stops_in_order(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(daemon) as task:
        await works(daemon, task)
        children = [daemon.pool.zygote_pid, daemon.desk.recorder_pid, *daemon.pool.worker_pids()]
    await until(lambda: not any(alive(pid) for pid in children), 2)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_stopped_while_a_worker_is_made_known_to_the_edge_it_ends_at_once(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool gives the worker up in the middle of its own end; that may not keep it alive."""
    asked = asyncio.Event()

    async def never(_: int) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(daemon.edge, "allow_worker", never)
    async with serving(daemon):
        await asyncio.wait_for(asked.wait(), 10)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("error", [KeyError("a fault"), Unavailable("locked"), OSError(28, "No space left on device")])
async def test_a_part_that_fails_is_begun_again_and_the_others_go_on(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    for owner, name in (
        (daemon.planner, "warm_up"),
        (daemon.desk, "run"),
        (daemon.edge, "run"),
        (daemon.desk, "recover"),
    ):
        monkeypatch.setattr(owner, name, failing(2, getattr(owner, name), error))
    async with serving(daemon) as task:
        await works(daemon, task)
        await until(lambda: "prompts failed" in caplog.text)
    failed = [record.getMessage() for record in caplog.records if record.getMessage().endswith(" failed")]
    assert {
        name: failed.count(f"{name} failed") for name in ("prompts", "recorder", "edge", "recovery")
    } == dict.fromkeys(("prompts", "recorder", "edge", "recovery"), 2)


async def test_what_is_loaded_is_set_aside_once_and_not_with_what_a_fallen_portal_leaves(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []

    def freeze() -> None:
        real()
        frozen.append(gc.get_freeze_count())

    real, falls, fell = gc.freeze, 3, asyncio.Event()

    async def run(_: Services) -> None:
        nonlocal falls
        falls -= 1
        if falls == 0:
            fell.set()
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(gc, "freeze", freeze)
    monkeypatch.setattr(listener, "run", run)
    monkeypatch.setattr(module, "PORTAL_WAIT_S", 0.05)
    settings = daemon._services.settings
    web = settings.web.model_copy(update={"listen": "127.0.0.1:1"})
    daemon._services.settings = settings.model_copy(update={"web": web})
    try:
        async with serving(daemon):
            await asyncio.wait_for(fell.wait(), 20)
        assert len(frozen) == 1 and frozen[0] > 10_000
    finally:
        gc.unfreeze()


async def test_what_a_crash_left_holds_up_the_start_only_so_long(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder of the last daemon that still finishes is waited for, but not by the phones."""
    done = asyncio.Event()
    monkeypatch.setattr(module, "RECOVERY_S", 0.2)
    monkeypatch.setattr(daemon.desk, "recover", done.wait)
    async with serving(daemon) as task:
        await works(daemon, task)
        done.set()


@pytest.mark.parametrize("error", [Unavailable("locked"), KeyError("a fault"), OSError("gone")])
async def test_a_reload_that_fails_keeps_the_old_and_the_daemon(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr(system, "reload", failing(1, system.reload, error))
    async with serving(daemon) as task:
        await works(daemon, task)
        daemon.request_reload()
        await until(lambda: "the old one stays" in caplog.text)
        await works(daemon, task)


# --- attaching to an edge -----------------------------------------------------------------------------------------


@dataclass
class Edge:
    """An edge that holds these dialogs; `meanwhile` happens while it is asked for them."""

    held: list[Dialog] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    cleared: list[str] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    async def replace_trunks(self, _: object) -> None: ...

    async def push_emergency(self, *_: object, **__: object) -> None: ...

    async def replace_devices(self, _: object) -> None: ...

    async def replace_workers(self, _: object) -> None: ...

    async def dialogs(self) -> list[Dialog]:
        self.meanwhile()
        return self.held

    async def clear(self, dialog: Dialog) -> bool:
        self.cleared.append(dialog.call_id)
        return True

    async def forget_worker(self, port: int) -> None:
        self.forgotten.append(port)


def dialog(call_id: str, port: int) -> Dialog:
    return Dialog(call_id, "confirmed", port, "phone", 1, (1, 1), 1)


async def test_dialogs_whose_worker_is_gone_are_ended_at_the_edge(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = Edge([dialog("ours", 4001), dialog("left", 4002)])
    monkeypatch.setattr(daemon, "edge", edge)
    monkeypatch.setattr(daemon.calls, "worker_ports", lambda: {4001})
    await daemon._on_attach()
    assert edge.cleared == ["left"]


async def test_a_call_that_begins_while_the_edge_is_asked_is_neither_ended_nor_missed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: set[int] = set()
    up: dict[str, str] = {}
    ended: list[str] = []

    def begins() -> None:
        ports.add(4001)
        up["late"] = "call"

    edge = Edge([dialog("new", 4001)], begins)
    monkeypatch.setattr(daemon, "edge", edge)
    monkeypatch.setattr(daemon.calls, "worker_ports", lambda: set(ports))
    monkeypatch.setattr(daemon.calls, "legs_up", lambda: dict(up))
    monkeypatch.setattr(daemon.calls, "hang_up", lambda call_id, *_: ended.append(call_id))
    await daemon._on_attach()
    assert edge.cleared == [] and ended == []


@pytest.mark.parametrize(("known", "ended"), [(set(), ["call"]), ({"one"}, ["call"]), ({"one", "two"}, [])])
async def test_a_call_that_the_edge_has_lost_is_ended_after_two_looks(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, known: set[str], ended: list[str]
) -> None:
    """A worker that hangs does not notice that its phones have gone: nobody else would, until the longest duration."""
    looks: list[int] = []
    edge = Edge([dialog(call_id, 4001) for call_id in sorted(known)], lambda: looks.append(len(seen)))
    seen: list[str] = []
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(daemon, "edge", edge)
    monkeypatch.setattr(daemon.calls, "legs_up", lambda: {} if seen else {"one": "call", "two": "call"})
    monkeypatch.setattr(daemon.calls, "hang_up", lambda call_id, *_: seen.append(call_id))
    task = asyncio.get_running_loop().create_task(daemon._compare())  # noqa: TID251 - cancelled below
    await until(lambda: bool(seen) or len(looks) > 4)
    task.cancel()
    assert seen == ended and looks[:2] == [0, 0], "one look is not enough: a dialog may just be coming up"


async def test_an_edge_that_does_not_answer_has_lost_nobody(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Silent(Edge):
        async def dialogs(self) -> list[Dialog]:
            asked.append(1)
            raise RpcError("dlg.briefing", 0, "no answer")

    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(daemon, "edge", Silent())
    monkeypatch.setattr(daemon.calls, "legs_up", lambda: {"one": "call"})
    monkeypatch.setattr(daemon.calls, "hang_up", lambda *_: pytest.fail("nobody knows"))
    task = asyncio.get_running_loop().create_task(daemon._compare())  # noqa: TID251 - cancelled below
    await until(lambda: len(asked) > 3)
    assert not task.done()
    task.cancel()


async def test_a_directory_that_cannot_be_read_leaves_the_edge_for_another_try(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(*_: object) -> None:
        raise Unavailable("locked")

    monkeypatch.setattr(devices, "credentials", locked)
    with pytest.raises(RpcError):
        await daemon._on_attach()


async def test_a_port_that_another_worker_has_got_meanwhile_stays_trusted(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = Edge()
    monkeypatch.setattr(daemon, "edge", edge)
    monkeypatch.setattr(type(daemon.pool), "ports", property(lambda _: [4001]))
    for port in (4001, 4002):
        daemon._on_worker_gone(port)
    task = asyncio.get_running_loop().create_task(daemon._forget_workers())  # noqa: TID251 - ended below
    await until(lambda: edge.forgotten == [4002], 2)
    task.cancel()
