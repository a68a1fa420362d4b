"""A pool with a stand-in for the edge, one for all tests of a module, and a worker of it for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sip.worker import protocol as p
from sip.worker.pool import RTP_PORTS_PER_WORKER, WorkerPool
from tests.peers import tones
from tests.peers.ports import Ports
from tests.peers.tones import Samples
from tests.sip.worker.phones import Dialog, EdgeSide
from tests.sip.worker.rig import Rig, config, running

A_HZ, B_HZ, PROMPT_HZ = 400, 1000, 500


@dataclass
class Bench:
    """One pool and one stand-in for the edge, for all tests of a module."""

    pool: WorkerPool
    edge: EdgeSide
    directory: Path
    rtp_port_first: int

    def prompt(self, seconds: float = 0.3) -> str:
        path = self.directory / f"prompt-{seconds}.wav"
        if not path.exists():
            tones.write_wav(path, tones.tone(PROMPT_HZ, seconds))
        return str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    ports, edge, directory = Ports(200), await EdgeSide.open(), tmp_path_factory.mktemp("engine")
    settings = config(directory, ports, warm=1, workers=8, edge_port=edge.address[1])
    async with running(settings) as pool:
        yield Bench(pool, edge, directory, settings.rtp_port_first)
    edge.close()
    ports.close()


@pytest_asyncio.fixture(loop_scope="module")
async def rig(bench: Bench) -> AsyncIterator[Rig]:
    rig = Rig(await bench.pool.acquire(), bench.edge)
    rig.rtp_port = bench.rtp_port_first + RTP_PORTS_PER_WORKER * rig.worker.slot
    yield rig
    assert rig.none_of(p.WorkerGone), "no test of this module may crash its worker"
    bench.edge.forget()
    bench.pool._discard(rig.worker)


@dataclass
class Capture:
    """Two files in memory, as call control makes them."""

    fds: tuple[int, int]

    def wav(self, channel: int) -> bytes:
        size = os.fstat(self.fds[channel]).st_size
        return os.pread(self.fds[channel], size, 0)

    def samples(self, channel: int) -> Samples:
        path = Path(f"/proc/self/fd/{self.fds[channel]}")
        return tones.read_wav(path)[0][:, 0]


@pytest.fixture
def capture() -> Iterator[Capture]:
    fds = os.memfd_create("a", os.MFD_CLOEXEC), os.memfd_create("b", os.MFD_CLOEXEC)
    yield Capture(fds)
    for fd in fds:
        os.close(fd)


async def talking(rig: Rig) -> tuple[Dialog, Dialog]:
    """Caller and callee, bridged."""
    a = await rig.caller()
    b = await rig.callee()
    rig.send(p.Bridge("a", "b0"))
    return a, b
