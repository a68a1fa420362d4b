"""A real Kamailio from our template on free loopback ports, and a daemon's end that decides as the test tells it."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sip.edge.control import EdgeControl
from sip.edge.process import Identity, run_edge
from sip.edge.protocol import Answer, EdgeEvent, EdgeRequest, Reply
from sip.edge.state import Device
from sip.edge.template import EdgeLimits, EdgePlan, EdgeTimers, Listen
from tests.peers.ports import Ports
from tests.peers.sipclient import Endpoint, Phone, ha1

DOMAIN = "test.lan"
PASSWORD = "secret"
NOBODY = Identity(65534, 65534)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the unprivileged Kamailio can reach: pytest's own are closed to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="beffroi-edge-") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A throwaway certificate and its key, as text."""
    home = tmp_path_factory.mktemp("tls")
    pem, key = home / "server.pem", home / "server.key"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={DOMAIN}"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    return pem.read_text(), key.read_text()


@pytest.fixture
def plan(place: Path, ports: Ports, certificate: tuple[str, str]) -> EdgePlan:
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
async def edge(running: EdgePlan) -> AsyncIterator[Edge]:
    daemon = Daemon(running)
    await daemon.start()
    edge = Edge(running, daemon)
    yield edge
    await edge.close()


def bent(plan: EdgePlan, **limits: int) -> EdgePlan:
    """The same plan with other limits."""
    return replace(plan, limits=replace(plan.limits, **limits))
