"""Runs Kamailio as a child: checked before it starts, unprivileged, its log made fit to keep, ended with us.

This is a process of its own (``beffroi edge``), so that the edge outlives the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import shutil
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sip.edge import daemonlog
from sip.edge.rpc import RpcClient, RpcError
from sip.edge.template import EdgePlan, Listen, registrations_dir, render, tls_path

logger = logging.getLogger(__name__)

_SHARED_MB: Final = 64  # and for each TLS connection (scripts/bench-edge); a page that is not used costs nothing
_SHARED_KB_A_CONNECTION: Final = 160
_PRIVATE_MB: Final = 8
_CHECK_TIMEOUT_S: Final = 20
_READY_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 2.0
_COMPLAINT_WAITS_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
# Tables of the module uac as its package ships them: empty. What is registered is pushed by the daemon into memory.
_NO_REGISTRATIONS: Final = (
    "id(int,auto) l_uuid(string) l_username(string) l_domain(string) r_username(string) r_domain(string) realm(string) "
    "auth_username(string) auth_password(string) auth_ha1(string) auth_proxy(string) expires(int) flags(int) "
    "reg_delay(int) contact_addr(string) socket(string) \n"
)
_TABLE_VERSIONS: Final = "id(int,auto) table_name(string) table_version(int) \n0:uacreg:5\n"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class EdgeError(Exception):
    """The edge cannot start or has died. The message says why and what to do, for the operator."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom Kamailio runs as when we are root."""

    uid: int
    gid: int


async def run_edge(
    plan: EdgePlan,
    *,
    identity: Identity | None = None,
    stop: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Starts the edge, calls `on_ready` once it serves, and returns after `stop` was set and it has ended.

    Must run in the main thread: the kernel ends Kamailio with the thread that started it. `identity` is taken only
    when we are root; None then keeps root. Raises EdgeError, also when Kamailio ends unasked; template.PlanError.
    """
    program = _program()
    _check_ports(plan)
    config = _write(plan, identity)
    await _check(program, config, identity)
    plan.rpc_socket.unlink(missing_ok=True)
    log = _Log()
    problem: EdgeError | None = None
    async with _kamailio(program, config, plan, identity) as process, asyncio.TaskGroup() as tasks:
        tasks.create_task(log.read(process), name="edge log")
        try:
            await _until_ready(plan, process)
            if log.start_warnings:
                raise EdgeError("Kamailio does not start cleanly")
            log.serving = True
            logger.info("the edge serves")
            on_ready()
            await _first(tasks, _exited(process.pid), stop.wait())
            if not stop.is_set():
                problem = EdgeError("Kamailio ended by itself")
        except EdgeError as error:
            problem = error
        finally:
            log.stopping = True
            await _end(process)
    if problem is not None:
        raise EdgeError(f"{problem}: {'; '.join(log.start_warnings) or log.first_error or 'it gave no reason'}")


def serve(plan: EdgePlan, *, identity: Identity | None = None, on_ready: Callable[[], None] = lambda: None) -> None:
    """run_edge() until SIGTERM or SIGINT. To be called in the main thread, outside any loop. Raises as it does."""

    async def until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_edge(plan, identity=identity, stop=stop, on_ready=on_ready)

    asyncio.run(until_signal())


def _program() -> str:
    path = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise EdgeError("kamailio is not installed: apt install kamailio kamailio-tls-modules kamailio-extra-modules")
    return path


def _check_ports(plan: EdgePlan) -> None:
    """Kamailio sets SO_REUSEADDR: two of them would share a UDP port in silence. So we look first."""
    taken = []
    for listen in (
        *plan.listens,
        Listen("udp", "127.0.0.1", plan.worker_port),
        Listen("tcp", "127.0.0.1", plan.control_port),
    ):
        if (problem := _port_problem(listen)) is not None:
            taken.append(f"{listen}: {problem}")
    if taken:
        raise EdgeError("the edge cannot listen on " + "; ".join(taken))


def _port_problem(listen: Listen) -> str | None:
    family = socket.AF_INET6 if ":" in listen.ip else socket.AF_INET
    kind = socket.SOCK_DGRAM if listen.proto == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections in TIME_WAIT are no clash
        try:
            probe.bind((listen.ip, listen.port))
        except OSError as error:
            return os.strerror(error.errno or 0)
    return None


def _write(plan: EdgePlan, identity: Identity | None) -> Path:
    """Writes the configuration, 0600, for the user that Kamailio will be."""
    rendered = render(plan)
    plan.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    tables = registrations_dir(plan)
    tables.mkdir(mode=0o700, exist_ok=True)
    if identity is not None and os.geteuid() == 0:
        os.chown(tables, identity.uid, identity.gid, follow_symlinks=False)
    config = plan.run_dir / "kamailio.cfg"
    for path, text in (
        (config, rendered.kamailio_cfg),
        (tls_path(plan), rendered.tls_cfg),
        (tables / "uacreg", _NO_REGISTRATIONS),
        (tables / "version", _TABLE_VERSIONS),
    ):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            if identity is not None and os.geteuid() == 0:  # the file: its name may be a link by now, to anything
                os.fchown(file.fileno(), identity.uid, identity.gid)
    if identity is not None and os.geteuid() == 0:
        os.chown(plan.run_dir, identity.uid, identity.gid)
    return config


def _as(identity: Identity | None) -> dict[str, Any]:
    if identity is None or os.geteuid() != 0:
        return {}
    return {"user": identity.uid, "group": identity.gid, "extra_groups": []}


def _before_exec() -> None:
    """In the child, between fork and exec: no core dump, no new privileges, ended when we are."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def _check(program: str, config: Path, identity: Identity | None) -> None:
    """Kamailio's own check of the configuration; a warning is an error. Raises EdgeError."""
    process = await asyncio.create_subprocess_exec(
        program, "-c", "-f", str(config),
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, preexec_fn=_before_exec, **_as(identity),
    )  # fmt: skip
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            _, output = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        raise EdgeError("Kamailio did not finish checking its configuration") from None
    lines = [daemonlog.parse(line) for line in output.decode(errors="replace").splitlines()]
    bad = [line for line in lines if line is not None and line.level >= logging.WARNING]
    if bad or process.returncode != 0:
        why = "; ".join(f"{line.module} {line.text}" for line in bad) or f"status {process.returncode}"
        raise EdgeError(f"Kamailio refuses its configuration: {why}")


@contextlib.asynccontextmanager
async def _kamailio(program: str, config: Path, plan: EdgePlan, identity: Identity | None) -> AsyncIterator[Process]:
    shared_mb = _SHARED_MB + plan.limits.connections_max * _SHARED_KB_A_CONNECTION // 1000
    process = await asyncio.create_subprocess_exec(
        program, "-DD", "-E", "-f", str(config), "-Y", str(plan.run_dir), "-m", str(shared_mb), "-M", str(_PRIVATE_MB),
        # Its own memory manager walks long lists: with it the certificates of all processes take many seconds to load.
        "-x", "fm",
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
        preexec_fn=_before_exec, start_new_session=True, **_as(identity),
    )  # fmt: skip
    try:
        yield process
    finally:
        await _end(process)
        plan.rpc_socket.unlink(missing_ok=True)


async def _until_ready(plan: EdgePlan, process: Process) -> None:
    """Waits until RPC answers. Raises EdgeError."""
    rpc = RpcClient(plan.rpc_socket, timeout_s=1.0)
    await rpc.open()
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while process.returncode is None:
                try:
                    await rpc.call("core.version")
                    return
                except RpcError:
                    await asyncio.sleep(0.02)
            raise EdgeError(f"Kamailio ended while starting ({process.returncode})")
    except TimeoutError:
        raise EdgeError("Kamailio has started but does not answer") from None
    finally:
        rpc.close()


async def _exited(pid: int) -> None:
    """Returns when that process is no more. (`Process.wait` waits for the end of its standard error as well, which
    Kamailio's children hold open: it would not notice the end of the first process alone.)"""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _first(tasks: asyncio.TaskGroup, *waits: Coroutine[None, None, object]) -> None:
    """Returns when one of them does; the others are cancelled."""
    running = [tasks.create_task(wait, name="edge wait") for wait in waits]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()


async def _end(process: Process) -> None:
    """Asks it to stop, asks all of its processes (a child that was just starting may have missed it), kills it."""
    # Not by process.send_signal(): that looks whether it lives, and takes its end from under the loop's own watcher.
    for ask, number in ((os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGKILL)):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            ask(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # nothing of its session may stay behind


class _Log:
    """Reads Kamailio's standard error to its end."""

    def __init__(self) -> None:
        self.serving = False  # set once messages of peers may appear in the log
        self.stopping = False  # set when it is asked to end
        self.start_warnings: list[str] = []  # complaints before it served: a start must have none
        self._throttle = daemonlog.Throttle()
        self.first_error = ""  # why it failed, as far as may be told

    async def read(self, process: Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                raw = await process.stderr.readline()
            except ValueError:  # a line beyond the reader's limit
                continue
            if not raw:
                return
            self._line(daemonlog.parse(raw.decode(errors="replace").rstrip()))

    def _line(self, line: daemonlog.DaemonLine | None) -> None:
        if line is None:
            return
        text = line.scrubbed() if self.serving else f"{line.module} {line.text}"
        if self.stopping:  # its processes notice each other's end and complain
            logger.debug("kamailio: %s", text)
            return
        if line.level >= logging.ERROR and not self.first_error:
            self.first_error = text
        if line.level >= logging.WARNING and not self.serving:
            self.start_warnings.append(text)
        if self.serving and line.level >= logging.ERROR:  # perhaps it is told to end, all of it at once, and we not yet
            asyncio.get_running_loop().call_later(_COMPLAINT_WAITS_S, self._tell, line.level, text)
        else:
            self._tell(line.level, text)

    def _tell(self, level: int, text: str) -> None:
        if self.stopping:
            level = logging.DEBUG
        elif self.serving:
            if not self._throttle.passes(text, time.monotonic()):
                return
            if self._throttle.last(text):
                text += " (and again: not told for a minute)"
        logger.log(level, "kamailio: %s", text)
