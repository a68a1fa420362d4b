"""A pool with real workers behind a stand-in for the edge, and one worker with everything it says."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sip.worker import protocol as p
from sip.worker.pool import PoolConfig, Worker, WorkerPool
from tests.peers.ports import Ports
from tests.sip.worker.phones import DOMAIN, Dialog, EdgeSide

E = TypeVar("E")


def config(run_dir: Path, ports: Ports, *, warm: int = 1, workers: int = 3, edge_port: int = 9) -> PoolConfig:
    first = ports.take(16 * workers, even=True)
    return PoolConfig(
        warm=warm,
        domain=DOMAIN,
        edge_port=edge_port,
        media_address="127.0.0.1",
        rtp_port_first=first,
        rtp_port_last=first + 16 * workers - 1,
        run_dir=run_dir,
        warm_wideband=0,
    )


@dataclass
class Told:
    """What a pool has told about its workers."""

    ready: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    async def on_ready(self, port: int) -> None:
        self.ready.append(port)


@asynccontextmanager
async def running(settings: PoolConfig, told: Told | None = None) -> AsyncIterator[WorkerPool]:
    """A pool at work, until the end of the block."""
    told = told or Told()
    pool = WorkerPool(settings, on_ready=told.on_ready, on_gone=told.gone.append)
    task = asyncio.get_running_loop().create_task(pool.run())  # noqa: TID251 - ended below
    try:
        yield pool
    finally:
        task.cancel()
        await asyncio.wait([task])


class Rig:
    """One worker, taken from a pool, and what it says."""

    def __init__(self, worker: Worker, edge: EdgeSide) -> None:
        self.worker, self.edge = worker, edge
        self.rtp_port = 0  # the first one of its slice, if it matters
        self.said: list[p.Event | p.WorkerGone] = []
        self._fresh: asyncio.Queue[p.Event | p.WorkerGone] = asyncio.Queue()
        worker.listen(self._heard)

    def _heard(self, event: p.Event | p.WorkerGone) -> None:
        self.said.append(event)
        self._fresh.put_nowait(event)

    def send(self, *commands: p.Command) -> None:
        for command in commands:
            self.worker.send(command)

    async def event(self, kind: type[E], timeout_s: float = 5.0, **facts: object) -> E:
        """The next event of this kind with these fields; what comes before it is passed over."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    event = await self._fresh.get()
                    if isinstance(event, kind) and all(getattr(event, k) == v for k, v in facts.items()):
                        return event
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} {facts}; the worker said {self.said}") from None

    async def told(self, kind: type[E], timeout_s: float = 10.0, **facts: object) -> E:
        """The first event of this kind with these fields, also one that has come already."""

        def found() -> list[E]:
            fitting = [event for event in self.said if isinstance(event, kind)]
            return [event for event in fitting if all(getattr(event, k) == v for k, v in facts.items())]

        try:
            await until(lambda: bool(found()), timeout_s)
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} {facts}; the worker said {self.said}") from None
        return found()[0]

    def none_of(self, kind: type[object]) -> bool:
        return not any(isinstance(event, kind) for event in self.said)

    async def caller(self, leg: str = "a", *, sdp: Callable[[Dialog], str] = Dialog.sdp) -> Dialog:
        """An incoming leg, answered, with media."""
        token = secrets.token_hex(16)
        dialog = await self.edge.caller(self.worker.port)
        self.send(p.Expect(token, leg))
        dialog.send_invite(token, sdp=sdp(dialog))
        await self.event(p.Incoming, leg=leg)
        self.send(p.Answer(leg, 200, "OK"))
        await dialog.established()
        await self.event(p.LegMedia, leg=leg, active=True)
        return dialog

    def dial(self, leg: str = "b0", *, srtp: bool = False) -> None:
        self.send(p.Dial(leg, "200", f"token-{leg}", "101", "Alice", srtp))

    async def callee(self, leg: str = "b0") -> Dialog:
        """A dialled leg that has answered, with media."""
        self.dial(leg)
        dialog = await self.edge.called()
        await dialog.pick_up()
        await self.event(p.LegUp, leg=leg)
        return dialog

    async def leaves(self) -> p.Left:
        """The worker is told to leave and does."""
        self.send(p.Leave())
        return await self.event(p.Left)


def _status(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name (proc(5)); empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    """Running, stopped or asleep; not ended and not waiting to be reaped."""
    return _status(pid)[:1] not in ([], ["Z"], ["X"])


def stopped(pid: int) -> bool:
    return _status(pid)[:1] == ["T"]


def parent(pid: int) -> int:
    return int(_status(pid)[1])


async def until(true: Callable[[], bool], patience_s: float = 5.0) -> None:
    """Until a condition holds."""
    async with asyncio.timeout(patience_s):
        while not true():  # noqa: ASYNC110 - it may become true outside of this process
            await asyncio.sleep(0.01)


def memfd() -> int:
    return os.memfd_create("capture", os.MFD_CLOEXEC)
