"""A real Kamailio from our template on free loopback ports, and a daemon's end that decides as the test tells it."""

from __future__ import annotations

import asyncio
import os
import pickle
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sip.edge.control import EdgeControl
from sip.edge.process import Identity, run_edge
from sip.edge.protocol import Answer, EdgeEvent, EdgeRequest, Reply
from sip.edge.rpc import RpcClient
from sip.edge.state import Device, Dialog
from sip.edge.template import EdgeLimits, EdgePlan, EdgeTimers, Listen
from tests.peers.ports import Ports
from tests.peers.sipclient import Endpoint, Phone, ha1

DOMAIN = "test.lan"
PASSWORD = "secret"
NOBODY = Identity(65534, 65534)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A throwaway certificate and its key, as text."""
    home = tmp_path_factory.mktemp("tls")
    pem, key = home / "server.pem", home / "server.key"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={DOMAIN}"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    return pem.read_text(), key.read_text()


def make_plan(place: Path, ports: Ports, certificate: tuple[str, str]) -> EdgePlan:
    """A plan on free ports, with its files in `place`."""
    place.chmod(0o711)  # the unprivileged Kamailio must get through
    run_dir, pem, key = place / "run", place / "server.pem", place / "server.key"
    run_dir.mkdir(mode=0o700)
    for path, text in zip((pem, key), certificate, strict=True):
        path.write_text(text)
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, NOBODY.uid, NOBODY.gid)
    outside, tls, worker, control = (ports.take() for _ in range(4))
    return EdgePlan(
        domain=DOMAIN,
        listens=(
            Listen("udp", "127.0.0.1", outside),
            Listen("tcp", "127.0.0.1", outside),
            Listen("tls", "127.0.0.1", tls),
        ),
        worker_port=worker,
        control_port=control,
        control_secret=secrets.token_hex(16),
        run_dir=run_dir,
        rpc_socket=run_dir / "rpc.sock",
        tls_certificate=pem,
        tls_key=key,
        limits=EdgeLimits(auth_failures_per_source=6, ban_s=60, requests_per_connection_per_s=60),
        timers=EdgeTimers(worker_silence_ms=1500, device_silence_ms=1500),
    )


@pytest.fixture
def plan(ports: Ports, certificate: tuple[str, str]) -> Iterator[EdgePlan]:
    """A plan of this test's own. (pytest's own directories are closed to all but their owner.)"""
    with tempfile.TemporaryDirectory(prefix="beffroi-edge-") as name:
        yield make_plan(Path(name), ports, certificate)


SUPERVISE = """
import pickle, sys
from sip.edge.process import serve
plan, identity = pickle.loads(bytes.fromhex(sys.argv[1]))
serve(plan, identity=identity, on_ready=lambda: print("ready", flush=True))
"""


def supervised(plan: EdgePlan) -> subprocess.Popen[bytes]:
    """The edge in a process of its own, as in service. Its first line of output says that it is ready."""
    argument = pickle.dumps((plan, identity())).hex()
    return subprocess.Popen([sys.executable, "-c", SUPERVISE, argument], stdout=subprocess.PIPE, cwd=Path.cwd())


@pytest.fixture(scope="session")
def shared(certificate: tuple[str, str]) -> Iterator[tuple[EdgePlan, subprocess.Popen[bytes]]]:
    """One edge for all tests that do not need one of their own: it must stand through all of them."""
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix="beffroi-edge-") as name:
        plan = make_plan(Path(name), ports, certificate)
        child = supervised(plan)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield plan, child
        child.terminate()
        assert child.wait(10) == 0
        child.stdout.close()
    ports.close()


@dataclass
class Daemon:
    """The daemon's end of the edge, with the tests' accounts."""

    plan: EdgePlan
    decide: Callable[[EdgeRequest], Awaitable[Answer] | Answer] = lambda request: Reply(404, "Not Found")
    asked: list[EdgeRequest] = field(default_factory=list)
    events: list[EdgeEvent] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    attaches: int = 0
    control: EdgeControl = field(init=False)
    _task: asyncio.Task[None] | None = None

    def make_control(self) -> EdgeControl:
        return EdgeControl(
            control_port=self.plan.control_port,
            control_secret=self.plan.control_secret,
            rpc_socket=self.plan.rpc_socket,
            on_request=self._on_request,
            on_event=self.events.append,
            on_attach=self._on_attach,
        )

    async def _on_request(self, request: EdgeRequest) -> Answer:
        self.asked.append(request)
        answer = self.decide(request)
        return await answer if isinstance(answer, Awaitable) else answer

    async def _on_attach(self) -> None:
        self.attaches += 1
        await self.control.replace_devices(self.devices)
        await self.control.replace_workers(self.workers)

    async def start(self) -> None:
        self.control = self.make_control()
        self._task = asyncio.get_running_loop().create_task(self.control.run())  # noqa: TID251 - owned by stop()
        async with asyncio.timeout(10):
            await self.control.attached.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def add(self, auth_user: str, account: str, password: str | None = None) -> None:
        device = Device(auth_user, account, ha1(auth_user, DOMAIN, password or PASSWORD))
        self.devices.append(device)
        await self.control.push_device(device.auth_user, device.account, device.ha1)


@dataclass
class Edge:
    """A running edge, its daemon, and the peers that a test makes."""

    plan: EdgePlan
    daemon: Daemon
    endpoints: list[Endpoint] = field(default_factory=list)
    earlier: set[str] = field(default_factory=set)  # calls that other tests have left behind

    async def dialogs(self) -> list[Dialog]:
        """The calls of this test."""
        return [dialog for dialog in await self.daemon.control.dialogs() if dialog.call_id not in self.earlier]

    def address(self, proto: str) -> tuple[str, int]:
        listen = next(listen for listen in self.plan.listens if listen.proto == proto)
        return listen.ip, listen.port

    async def endpoint(self, proto: str, local_ip: str = "127.0.0.1") -> Endpoint:
        endpoint = await Endpoint.connect(proto, self.address(proto), (local_ip, 0))
        self.endpoints.append(endpoint)
        return endpoint

    async def phone(
        self, proto: str, auth_user: str, user: str = "", password: str | None = None, local_ip: str = "127.0.0.1"
    ) -> Phone:
        return Phone(await self.endpoint(proto, local_ip), DOMAIN, user or auth_user, auth_user, password or PASSWORD)

    async def worker(self, *, allowed: bool = True) -> Endpoint:
        """A UDP endpoint on the workers' side."""
        endpoint = await Endpoint.connect("udp", ("127.0.0.1", self.plan.worker_port))
        self.endpoints.append(endpoint)
        if allowed:
            self.daemon.workers.add(endpoint.local[1])
            await self.daemon.control.allow_worker(endpoint.local[1])
        return endpoint

    async def close(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()
        await self.daemon.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 6.0) -> None:
    """Waits for what nobody announces."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def identity() -> Identity | None:
    """As root, Kamailio is run as nobody."""
    return NOBODY if os.geteuid() == 0 else None


@asynccontextmanager
async def run(plan: EdgePlan) -> AsyncIterator[None]:
    """Kamailio, until the end of the block."""
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    task = loop.create_task(run_edge(plan, identity=identity(), stop=stop, on_ready=ready.set))  # noqa: TID251
    waiter = loop.create_task(ready.wait())  # noqa: TID251
    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if task.done():
        task.result()
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture
async def running(plan: EdgePlan) -> AsyncIterator[EdgePlan]:
    """Kamailio, and nobody attached to it."""
    async with run(plan):
        yield plan


@pytest.fixture
async def own_edge(running: EdgePlan) -> AsyncIterator[Edge]:
    """An edge of this test's own, run by this process."""
    daemon = Daemon(running)
    await daemon.start()
    edge = Edge(running, daemon)
    yield edge
    await edge.close()


@pytest.fixture
async def edge(shared: tuple[EdgePlan, subprocess.Popen[bytes]]) -> AsyncIterator[Edge]:
    """The shared edge, without devices, workers, bans, counters or calls relayed of earlier tests."""
    plan, child = shared
    rpc = RpcClient(plan.rpc_socket)
    await rpc.open()
    for table in ("ban", "fail", "rate", "live", "alone"):
        await rpc.call("htable.flush", table)
    rpc.close()
    daemon = Daemon(plan)
    await daemon.start()
    edge = Edge(plan, daemon, earlier={dialog.call_id for dialog in await daemon.control.dialogs()})
    yield edge
    await edge.close()
    assert child.poll() is None, "the edge has died"


def bent(plan: EdgePlan, **limits: int) -> EdgePlan:
    """The same plan with other limits."""
    return replace(plan, limits=replace(plan.limits, **limits))
