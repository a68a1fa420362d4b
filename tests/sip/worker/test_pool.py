"""The pool with real workers: a zygote, forks, signals. What a test kills it has started itself."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sip.worker import pool as pool_module
from sip.worker import protocol as p
from sip.worker import zygote
from sip.worker.pool import NoWorker, Worker, WorkerPool
from tests.peers.ports import Ports
from tests.sip.worker.phones import EdgeSide
from tests.sip.worker.rig import Rig, Told, alive, config, parent, running, stopped, until

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534


async def filled(pool: WorkerPool, warm: int) -> list[int]:
    """Pids of the workers, once so many wait stopped."""
    await until(lambda: len(pool.worker_pids()) == warm and all(stopped(pid) for pid in pool.worker_pids()), 10)
    return pool.worker_pids()


def left(worker: Worker) -> asyncio.Event:
    """Set when the worker is gone, however."""
    event = asyncio.Event()
    worker.listen(lambda said: event.set() if isinstance(said, p.WorkerGone | p.Left) else None)
    return event


async def test_warm_workers_wait_stopped_and_are_given_in_order(tmp_path: Path, ports: Ports) -> None:
    told = Told()
    async with running(config(tmp_path, ports, warm=2, workers=4), told) as pool:
        first, second = await filled(pool, 2)
        assert set(told.ready) == set(pool.ports), "the edge is told of a worker before it is used"
        taken = await pool.acquire()
        assert taken.pid in (first, second) and not stopped(taken.pid)
        other = await pool.acquire()
        assert {taken.pid, other.pid} == {first, second}
        await until(lambda: sum(stopped(pid) for pid in pool.worker_pids()) == 2)
        assert len({worker.slot for worker in (taken, other)}) == 2


async def test_a_call_waits_for_the_ports_of_one_that_has_just_ended(tmp_path: Path, ports: Ports) -> None:
    """A worker lingers for a moment: at full load that is no reason to refuse the next call."""
    async with running(config(tmp_path, ports, warm=1, workers=2)) as pool:
        await filled(pool, 1)
        first, second = await pool.acquire(), await pool.acquire()
        first.send(p.Leave())
        second.send(p.Leave())
        again = await asyncio.gather(pool.acquire(), pool.acquire())
        assert {worker.pid for worker in again} & {first.pid, second.pid} == set()
        assert all(not worker.gone and not stopped(worker.pid) for worker in again)


async def test_a_worker_that_leaves_gives_its_ports_back(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SLOT_S", 0.05)
    told = Told()
    async with running(config(tmp_path, ports, warm=0, workers=1), told) as pool:
        assert pool.capacity == 1
        for _ in range(3):
            worker = await pool.acquire()
            with pytest.raises(NoWorker, match="ports"):
                await pool.acquire()
            gone = left(worker)
            worker.send(p.Leave())
            await asyncio.wait_for(gone.wait(), 5)
            await until(lambda worker=worker: worker.gone)
        assert sorted(told.gone) == sorted(told.ready)
        assert pool.crashes == 0 and pool.cpu_ms > 0


async def test_while_all_ports_are_used_the_pool_waits_quietly(
    tmp_path: Path, ports: Ports, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(config(tmp_path, ports, warm=2, workers=1)) as pool:
        (pid,) = await filled(pool, 1)
        worker = await pool.acquire()
        assert worker.pid == pid
        await asyncio.sleep(0.7)
        assert not caplog.records, "an office that uses all its lines is no error twice a second"
        worker.send(p.Leave())
        await until(lambda: pool.worker_pids() not in ([], [pid]))


async def test_calls_that_come_while_the_zygote_starts_share_it(tmp_path: Path, ports: Ports) -> None:
    async with running(config(tmp_path, ports, warm=1, workers=4)) as pool:
        workers = await asyncio.gather(*(pool.acquire() for _ in range(3)))
        zygote = pool.zygote_pid
        await asyncio.sleep(0.3)
        assert all(alive(worker.pid) and not worker.gone for worker in workers)
        assert {parent(worker.pid) for worker in workers} == {zygote}


async def test_who_gives_up_waiting_leaves_no_worker_behind(tmp_path: Path, ports: Ports) -> None:
    """The edge's connection may end while a call waits for its worker: that worker must not stay for ever."""
    entered, told = asyncio.Event(), Told()

    async def slow_edge(port: int) -> None:
        told.ready.append(port)
        entered.set()
        await asyncio.sleep(60)

    pool = WorkerPool(config(tmp_path, ports, warm=0, workers=1), on_ready=slow_edge, on_gone=told.gone.append)
    waiting = asyncio.get_running_loop().create_task(pool.acquire())  # noqa: TID251 - cancelled below
    await asyncio.wait_for(entered.wait(), 10)
    (pid,) = pool.worker_pids()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert pool.worker_pids() == [] and told.gone == told.ready
    await until(lambda: not alive(pid))
    assert pool.crashes == 0
    pool._on_ready = told.on_ready
    assert (await pool.acquire()).pid  # its ports are free again
    pool._close()


async def test_a_killed_zygote_is_replaced_and_calls_go_on(tmp_path: Path, ports: Ports) -> None:
    told = Told()
    async with running(config(tmp_path, ports, warm=2, workers=5), told) as pool:
        before = await filled(pool, 2)
        busy = await pool.acquire()
        rig = Rig(busy, EdgeSide())
        zygote = pool.zygote_pid
        os.kill(zygote, signal.SIGKILL)
        await until(lambda: pool.zygote_pid not in (0, zygote))
        worker = await asyncio.wait_for(pool.acquire(), 10)
        assert worker.pid not in before
        await until(lambda: sum(stopped(pid) and parent(pid) == pool.zygote_pid for pid in pool.worker_pids()) == 2, 10)
        assert alive(busy.pid) and not busy.gone and rig.said == []
        rig.send(p.SendDigit("zz", "1"))
        await rig.event(p.Trouble)  # it still does what it is told
        assert (await rig.leaves()).cpu_ms >= 0
        assert pool.crashes == 0


async def test_a_zygote_that_hangs_is_replaced_and_calls_go_on(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config(tmp_path, ports, warm=0, workers=4)) as pool:
        busy, zygote = await pool.acquire(), pool.zygote_pid
        rig = Rig(busy, EdgeSide())
        os.kill(zygote, signal.SIGSTOP)
        monkeypatch.setattr(pool_module, "READY_S", 0.5)
        with pytest.raises(NoWorker, match="in time"):
            await pool.acquire()
        monkeypatch.setattr(pool_module, "READY_S", 10.0)
        assert (await pool.acquire()).pid
        await until(lambda: not alive(zygote))
        assert pool.zygote_pid != zygote and not busy.gone
        rig.send(p.SendDigit("zz", "1"))
        await rig.event(p.Trouble)


async def test_a_worker_whose_loop_stands_still_ends_by_itself(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its call, and after the daemon's end the process itself, would stay for ever."""
    real = asyncio.create_subprocess_exec

    async def start(python: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        return await real(python, "-c", _ZYGOTE_WHOSE_WORKERS_HANG, arguments[-1], **options, cwd=ROOT)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with running(config(tmp_path, ports, warm=0)) as pool:
        worker = await pool.acquire()
        ended = left(worker)
        await asyncio.sleep(0.6)
        assert alive(worker.pid), "who waits for a call has no clock"
        worker.send(p.StopPlay("a"))
        await asyncio.wait_for(ended.wait(), 10)
        assert worker.gone and pool.crashes == 1


async def test_a_warm_worker_does_not_age(tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timer against hanging would run on while it is stopped, and end it when it is needed."""
    real = asyncio.create_subprocess_exec

    async def start(python: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        return await real(python, "-c", _ZYGOTE_IN_A_HURRY, arguments[-1], **options, cwd=ROOT)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with running(config(tmp_path, ports, warm=2, workers=4)) as pool:
        waiting = await filled(pool, 2)
        await asyncio.sleep(2.5)
        worker = await pool.acquire()
        assert worker.pid in waiting
        rig = Rig(worker, EdgeSide())
        rig.send(p.SendDigit("zz", "1"))
        await rig.event(p.Trouble)


_ZYGOTE_IN_A_HURRY = """
import time
from sip.worker import engine, zygote

real = engine.Engine._send

def send(self, event):
    real(self, event)
    time.sleep(0.1)  # whoever is told that this worker is there stops it now

engine.Engine._send = send
engine.HANGS_S = 2.0
zygote.main()
"""
_ZYGOTE_WHOSE_WORKERS_HANG = """
import time
from sip.worker import engine, zygote

engine.HANGS_S = 0.3
engine.Engine._command = lambda *arguments: time.sleep(60)
zygote.main()
"""


# --- two rates, and what is kept for emergencies ------------------------------------------------------------------


async def test_wideband_workers_wait_beside_the_others(tmp_path: Path, ports: Ports) -> None:
    settings = replace(config(tmp_path, ports, warm=1, workers=4), warm_wideband=1)
    async with running(settings) as pool:
        waiting = await filled(pool, 2)
        wide = await pool.acquire(wideband=True)
        narrow = await pool.acquire()
        assert (wide.clock_hz, narrow.clock_hz) == (16000, 8000)
        assert {wide.pid, narrow.pid} == set(waiting)


async def test_at_full_load_any_worker_carries_any_call(tmp_path: Path, ports: Ports) -> None:
    settings = replace(config(tmp_path, ports, warm=1, workers=2), warm_wideband=1)
    async with running(settings) as pool:
        await filled(pool, 2)
        first, second = await pool.acquire(), await pool.acquire()
        assert (first.clock_hz, second.clock_hz) == (8000, 16000)
    async with running(replace(settings, warm=2, warm_wideband=0)) as pool:
        await filled(pool, 2)
        assert (await pool.acquire(wideband=True)).clock_hz == 8000


async def test_a_wideband_call_that_finds_no_such_worker_warm_gets_a_new_one(tmp_path: Path, ports: Ports) -> None:
    async with running(config(tmp_path, ports, warm=1, workers=3)) as pool:
        await filled(pool, 1)
        assert (await pool.acquire(wideband=True)).clock_hz == 16000


async def test_what_is_reserved_is_never_an_ordinary_calls(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SLOT_S", 0.2)
    settings = replace(config(tmp_path, ports, warm=1, workers=3), reserve=1)
    async with running(settings) as pool:
        assert (pool.capacity, pool.ordinary_capacity) == (3, 2)
        await filled(pool, 1)
        ordinary = [await pool.acquire(), await pool.acquire()]
        with pytest.raises(NoWorker, match="ports"):
            await pool.acquire()
        emergency = await pool.acquire(reserved=True)
        with pytest.raises(NoWorker, match="ports"):
            await pool.acquire(reserved=True)
        gone = left(ordinary[0])
        ordinary[0].send(p.Leave())
        await asyncio.wait_for(gone.wait(), 5)
        await until(lambda: ordinary[0].gone)
        with pytest.raises(NoWorker, match="ports"):  # what came free is the reserve again
            await pool.acquire()
        assert (await pool.acquire(reserved=True)).slot == ordinary[0].slot
        assert not emergency.gone


async def test_a_reserve_leaves_a_small_system_its_only_line(tmp_path: Path, ports: Ports) -> None:
    settings = replace(config(tmp_path, ports, warm=0, workers=1), reserve=5)
    async with running(settings) as pool:
        assert pool.ordinary_capacity == 1 and (await pool.acquire()).pid


async def test_ports_rest_as_long_as_the_range_allows(tmp_path: Path, ports: Ports) -> None:
    """Whose call has just ended may go on sending for a while."""
    async with running(config(tmp_path, ports, warm=0, workers=4)) as pool:
        slots = []
        for _ in range(8):
            worker = await pool.acquire()
            slots.append(worker.slot)
            pool._discard(worker)
        assert slots == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_a_worker_that_dies_is_told_once(tmp_path: Path, ports: Ports, how: signal.Signals) -> None:
    told = Told()
    async with running(config(tmp_path, ports, warm=1, workers=2), told) as pool:
        await filled(pool, 1)
        worker = await pool.acquire()
        said: list[object] = []
        worker.listen(said.append)
        os.kill(worker.pid, how)
        await until(lambda: worker.gone)
        worker.send(p.Leave())  # whoever has not heard yet goes on talking: no harm
        worker.send(p.Answer("a", 200))
        await asyncio.sleep(0.1)
        assert said == [p.WorkerGone()]
        assert pool.crashes == 1 and told.gone.count(worker.port) == 1
        await until(lambda: not alive(worker.pid))
        await until(lambda: len(pool.worker_pids()) == 1)


async def test_an_early_end_is_told_to_who_listens_later(tmp_path: Path, ports: Ports) -> None:
    async with running(config(tmp_path, ports, warm=1, workers=2)) as pool:
        await filled(pool, 1)
        worker = await pool.acquire()
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: worker.gone)
        said: list[object] = []
        worker.listen(said.append)
        assert said == [p.WorkerGone()]


async def test_a_warm_worker_that_died_is_not_given(tmp_path: Path, ports: Ports) -> None:
    async with running(config(tmp_path, ports, warm=2, workers=4)) as pool:
        before = await filled(pool, 2)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for worker in pool._warm:  # their ends are there to be read, but the loop has had no turn
            select.select([worker.control], [], [], 5)
        worker = await pool.acquire()
        rig = Rig(worker, EdgeSide())
        assert worker.pid not in before
        assert (await rig.leaves()).cpu_ms >= 0
        await until(lambda: sum(stopped(pid) for pid in pool.worker_pids() if alive(pid)) == 2)


_ZYGOTE_THAT_CANNOT_FORK_TWICE = """
import errno, os
from sip.worker import zygote

real, times = os.fork, iter(range(1, 100))

def fork():
    if next(times) == 2:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return real()

zygote.os.fork = fork
zygote.main()
"""


async def test_a_zygote_without_room_for_processes_keeps_the_calls_it_has(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """fork may fail (TasksMax, memory): that call is refused, the running ones go on."""
    real = asyncio.create_subprocess_exec

    async def start(python: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        return await real(python, "-c", _ZYGOTE_THAT_CANNOT_FORK_TWICE, arguments[-1], **options, cwd=ROOT)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with running(config(tmp_path, ports, warm=0, workers=3)) as pool:
        busy, zygote = await pool.acquire(), pool.zygote_pid
        with pytest.raises(NoWorker):
            await pool.acquire()
        assert "no worker" in capfd.readouterr().err
        assert (await pool.acquire()).pid
        assert pool.zygote_pid == zygote and alive(busy.pid) and not busy.gone


async def test_a_packet_that_is_no_message_changes_nothing(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(config(tmp_path, ports, warm=0)) as pool:
        worker = await pool.acquire()
        gone = left(worker)
        real = p.decode
        spoilt = iter([b"{}"])
        monkeypatch.setattr(pool_module.p, "decode", lambda packet: real(next(spoilt, packet)))
        worker.send(p.StopCapture())
        await until(lambda: "not a worker message" in caplog.text)
        worker.send(p.Leave())
        await asyncio.wait_for(gone.wait(), 5)
        assert pool.crashes == 0


async def test_resize_up_fills_and_down_kills_nobody(tmp_path: Path, ports: Ports) -> None:
    async with running(config(tmp_path, ports, warm=0, workers=4)) as pool:
        pool.resize(2)
        pids = await filled(pool, 2)
        pool.resize(0)
        await asyncio.sleep(0.1)
        assert all(alive(pid) for pid in pids)


async def test_an_edge_that_cannot_be_told_does_not_end_the_pool(
    tmp_path: Path, ports: Ports, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([ValueError("a fault of ours")])

    async def on_ready(port: int) -> None:
        if (error := next(answers, None)) is not None:
            raise error

    pool = WorkerPool(config(tmp_path, ports, warm=1), on_ready=on_ready, on_gone=lambda port: None)
    task = asyncio.get_running_loop().create_task(pool.run())  # noqa: TID251 - cancelled below
    await filled(pool, 1)
    assert "cannot be kept" in caplog.text
    task.cancel()
    await asyncio.wait([task])


async def test_closing_ends_every_process(tmp_path: Path, ports: Ports) -> None:
    told = Told()
    async with running(config(tmp_path, ports, warm=2, workers=4), told) as pool:
        pids = await filled(pool, 2)
        busy = await pool.acquire()
        said: list[object] = []
        busy.listen(said.append)
        pids = [pool.zygote_pid, *pool.worker_pids()]
    await until(lambda: not any(alive(pid) for pid in pids), 2)
    assert pool.crashes == 0 and said == [] and told.gone == []


# --- when the daemon dies -----------------------------------------------------------------------------------------

_DAEMON = """
import asyncio, json, sys
from pathlib import Path
from sip.worker.pool import PoolConfig, WorkerPool

async def main() -> None:
    settings = json.loads(sys.argv[1])
    settings["run_dir"] = Path(settings["run_dir"])
    async def ready(port): pass
    pool = WorkerPool(PoolConfig(**settings), on_ready=ready, on_gone=lambda port: None)
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.run())
        busy = await pool.acquire()
        while len(pool.worker_pids()) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        print(json.dumps([pool.zygote_pid, *pool.worker_pids()]), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def spawn_daemon(tmp_path: Path, ports: Ports) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that holds a pool, with one worker in use and two warm: (it, pids of zygote and workers)."""
    settings = config(tmp_path, ports, warm=2, workers=4)
    plain: dict[str, Any] = {name: getattr(settings, name) for name in settings.__dataclass_fields__} | {
        "run_dir": str(tmp_path)
    }
    daemon = subprocess.Popen(
        [sys.executable, "-c", _DAEMON, json.dumps(plain)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert daemon.stdout is not None
    line = daemon.stdout.readline()
    assert line, "the daemon did not come up"
    return daemon, json.loads(line)


async def test_when_the_daemon_is_killed_all_its_children_end(tmp_path: Path, ports: Ports) -> None:
    daemon, pids = spawn_daemon(tmp_path, ports)
    try:
        assert len(pids) == 4 and all(alive(pid) for pid in pids)
        assert sum(stopped(pid) for pid in pids) == 2
        daemon.kill()
        daemon.wait()
        await until(lambda: not any(alive(pid) for pid in pids), 1)
    finally:
        daemon.kill()
        daemon.communicate()


async def test_nothing_dumps_core(tmp_path: Path, ports: Ports) -> None:
    """A core would hold audio. That the limit stands shows that `harden` has run in each of them."""
    async with running(config(tmp_path, ports, warm=1)) as pool:
        await filled(pool, 1)
        for pid in (pool.zygote_pid, *pool.worker_pids()):
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


def test_nobody_of_the_same_user_looks_into_a_hardened_process() -> None:
    """The captures of a call are descriptors of its worker: /proc must not hand them out, nor its memory; but the
    worker itself still opens them by name, as pjmedia has to."""
    identity = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="beffroi-nobody-") as name:
        Path(name).chmod(0o777)
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            os._exit(_hardened_child(theirs, Path(name)))
        try:
            theirs.close()
            looks = [["ls", f"/proc/{child}/fd"], ["head", "-c1", f"/proc/{child}/environ"]]
            assert ours.recv(1) == b"s"
            for look in looks:
                subprocess.run(look, check=True, capture_output=True, **identity)  # type: ignore[call-overload]
            ours.send(b"h")
            assert ours.recv(1) == b"h", "a hardened process cannot open its own descriptors by name"
            for look in looks:
                done = subprocess.run(look, capture_output=True, text=True, **identity)  # type: ignore[call-overload]
                assert "Permission denied" in done.stderr, done
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            ours.close()


def _hardened_child(talk: socket.socket, place: Path) -> int:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: changing user has cleared it
    talk.send(b"s")
    talk.recv(1)
    zygote.harden(signal.SIGKILL)
    held, alias = os.memfd_create("capture"), place / "x.wav"
    try:
        alias.symlink_to(f"/proc/self/fd/{held}")
        alias.write_bytes(b"RIFF")
        talk.send(b"h" if os.pread(held, 4, 0) == b"RIFF" else b"n")
    except OSError:
        talk.send(b"n")
    talk.recv(1)
    return 0


async def test_the_pool_keeps_its_slots_apart(tmp_path: Path, ports: Ports) -> None:
    settings = replace(config(tmp_path, ports, warm=0, workers=3), warm=3)
    async with running(settings) as pool:
        await filled(pool, 3)
        workers = [await pool.acquire() for _ in range(3)]
        assert sorted(worker.slot for worker in workers) == [0, 1, 2]
        letters = [json.loads(pool._birth_letter(worker)) for worker in workers]
        for letter in letters:
            assert settings.rtp_port_first <= letter["rtp_port_first"]
            assert letter["rtp_port_first"] + letter["rtp_port_count"] <= settings.rtp_port_last
