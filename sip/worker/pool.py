"""The daemon's side of the conversation workers: a few kept warm and stopped, one taken for each conversation.

A warm worker that polls costs about one per cent of a core; stopped with SIGSTOP it costs next to nothing and wakes
within a millisecond. Workers end with the daemon: each reads end of file on its control socket, and those that are
stopped are woken to do so by the end of the zygote (see ``sip.worker.zygote``). A zygote that dies or hangs is
replaced; conversations go on without it.

Audio with 16 kHz costs half as much again: only conversations that may be wideband get such a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sip.worker import protocol as p

log = logging.getLogger(__name__)

READY_S = 10.0
REFILL_AFTER_S = 0.1  # a fork costs some 20 ms of CPU: not while the call that took the last one is being set up
SLOT_S = 1.0  # for ports to come free: a worker lingers a moment after its call
LEAVE_S = 5.0  # from Leave to the end of the process
NARROWBAND_HZ = 8000
WIDEBAND_HZ = 16000
RTP_PORTS_PER_WORKER = 16  # four legs of RTP and RTCP, and room for a re-bind
_WAKE = b"\r\n\r\n"  # CRLF keep-alive, RFC 5626 section 4.4.1
_ZYGOTE_RETRY_S = 0.5
_ZYGOTE_END_S = 1.0  # it ends when its socket does


class NoWorker(Exception):
    """No worker could be had: the ports are used up, or the engine does not start."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Plain values from the settings."""

    warm: int  # narrowband workers kept waiting
    domain: str
    edge_port: int
    media_address: str
    rtp_port_first: int
    rtp_port_last: int
    run_dir: Path
    media_address6: str = ""  # the same for audio over IPv6; "": none
    warm_wideband: int = 1  # wideband workers kept waiting
    reserve: int = 0  # slices of RTP ports that ordinary calls never take


@dataclass(eq=False)
class Worker:
    """One conversation worker."""

    slot: int  # which slice of the RTP ports it has
    control: socket.socket
    clock_hz: int = NARROWBAND_HZ  # of its conference, and of what it captures
    pid: int = 0
    port: int = 0
    early: list[p.Event | p.WorkerGone] = field(default_factory=list)  # what came before anybody listened
    listener: Callable[[p.Event | p.WorkerGone], None] | None = None  # set by listen
    left: bool = False  # said Left: its end is no crash
    gone: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    waker: socket.socket | None = None

    def listen(self, listener: Callable[[p.Event | p.WorkerGone], None]) -> None:
        """From now on every event of this worker, also those that have already come."""
        self.listener = listener
        early, self.early = self.early, []
        for event in early:
            listener(event)

    def deliver(self, event: p.Event | p.WorkerGone) -> None:
        if self.listener is not None:
            self.listener(event)
        else:
            self.early.append(event)

    def send(self, command: p.Command, descriptors: Sequence[int] = ()) -> None:
        """Hand over one command and wake the worker's poll. A worker that is gone takes it silently: its end is
        already told."""
        try:
            socket.send_fds(self.control, [p.encode(command)], list(descriptors))
            if self.waker is not None:
                self.waker.sendto(_WAKE, ("127.0.0.1", self.port))
        except OSError:
            log.debug("worker %d does not take commands any more", self.pid)


class WorkerPool:
    """Keeps some workers ready; ``run`` is a task of the daemon."""

    def __init__(
        self,
        config: PoolConfig,
        *,
        on_ready: Callable[[int], Awaitable[None]],
        on_gone: Callable[[int], None],
    ) -> None:
        """``on_ready`` and ``on_gone`` are told the SIP port of each worker, so that the edge knows whom to trust:
        the first is awaited before the worker is used."""
        self._config = config
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._warm: list[Worker] = []
        self._all: set[Worker] = set()
        count = (config.rtp_port_last - config.rtp_port_first + 1) // RTP_PORTS_PER_WORKER
        self._slots = list(range(count))
        self._orders: socket.socket | None = None
        self._zygote: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()  # two zygotes at once would end the workers of the first
        self._wanted = asyncio.Event()
        self._freed = asyncio.Event()  # set when a slot has come free, or a warm worker is there
        self._waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._closing = False
        self.crashes = 0  # workers that ended without Left, for the metrics
        self.cpu_ms = 0  # of workers that have left

    @property
    def capacity(self) -> int:
        """How many conversations the RTP port range allows at once."""
        return (self._config.rtp_port_last - self._config.rtp_port_first + 1) // RTP_PORTS_PER_WORKER

    @property
    def ordinary_capacity(self) -> int:
        """How many of them may be ordinary calls."""
        return self.capacity - self._kept

    @property
    def full(self) -> bool:
        """Whether nothing is left, not even what is kept for emergencies."""
        return self._free == 0

    @property
    def ports(self) -> list[int]:
        """SIP ports of all living workers."""
        return [w.port for w in self._all if w.port]

    @property
    def zygote_pid(self) -> int:
        return self._zygote.pid if self._zygote is not None else 0

    def worker_pids(self) -> list[int]:
        return [w.pid for w in self._all if w.pid]

    def resize(self, warm: int) -> None:
        """Keep this many warm from now on; surplus ones are used up, not killed."""
        self._config = dataclasses.replace(self._config, warm=warm)
        self._wanted.set()

    async def run(self) -> None:
        """Keep the pool filled until cancelled. Starts the zygote, and again should it die."""
        try:
            while True:
                self._wanted.clear()
                try:
                    await self._fill()
                    await self._wanted.wait()
                    await asyncio.sleep(REFILL_AFTER_S)
                except (NoWorker, OSError) as error:
                    log.error("no warm worker: %s", error)
                    await asyncio.sleep(_ZYGOTE_RETRY_S)
                except Exception:  # the boundary of this task: calls fork their own workers meanwhile
                    if _cancelled():
                        raise  # else what went wrong while ending would keep the daemon from it
                    log.exception("the warm workers cannot be kept")
                    await asyncio.sleep(_ZYGOTE_RETRY_S)
        finally:
            zygote = self._zygote
            self._close()
            if zygote is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ZYGOTE_END_S):
                        await zygote.wait()

    async def acquire(self, *, wideband: bool = False, reserved: bool = False) -> Worker:
        """A running worker, warm if one waits, else forked now. Raises NoWorker.

        ``wideband``: with 16 kHz if it can be had at once; at full load a narrowband one carries the call as well.
        ``reserved``: may take the slices that are kept from ordinary calls.
        """
        clock_hz = WIDEBAND_HZ if wideband else NARROWBAND_HZ
        kept = 0 if reserved else self._kept
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLOT_S):
                while self._free <= kept:  # those of a call that has just ended come free in a moment
                    self._freed.clear()
                    await self._freed.wait()
        if self._free <= kept:
            raise NoWorker("all RTP ports are in use")
        worker = self._awake(clock_hz) or (None if self._slots else self._awake())
        if worker is None:
            worker = await self._spawn(clock_hz)
        self._wanted.set()
        return worker

    @property
    def _free(self) -> int:
        """Slices that no conversation has."""
        return len(self._slots) + len(self._warm)

    @property
    def _kept(self) -> int:
        """Slices that ordinary calls never take; one is always theirs."""
        return min(self._config.reserve, self.capacity - 1)

    def _awake(self, clock_hz: int = 0) -> Worker | None:
        """A warm worker of this rate (0: of any), running again; None if none waits."""
        for worker in [worker for worker in self._warm if clock_hz in (0, worker.clock_hz)]:
            if worker not in self._warm:
                continue  # read meanwhile
            self._warm.remove(worker)
            self._wanted.set()
            self._read(worker)  # if it has died meanwhile, this says so
            if not worker.gone and _signalled(worker, signal.SIGCONT):
                return worker
        return None

    def release(self, worker: Worker) -> None:
        """The conversation is over and the worker was told to leave: one that does not is ended."""
        if not worker.gone:
            asyncio.get_running_loop().call_later(LEAVE_S, self._evict, worker)

    def _evict(self, worker: Worker) -> None:
        if not worker.gone:
            log.error("worker %d does not leave and is ended", worker.pid)
            self.crashes += 1
            self._discard(worker)

    async def _fill(self) -> None:
        for clock_hz, wanted in ((NARROWBAND_HZ, self._config.warm), (WIDEBAND_HZ, self._config.warm_wideband)):
            while self._waiting(clock_hz) < wanted and self._slots:  # without: a worker that ends wakes us
                worker = await self._spawn(clock_hz)
                if _signalled(worker, signal.SIGSTOP):
                    self._warm.append(worker)
                    self._freed.set()

    def _waiting(self, clock_hz: int) -> int:
        return sum(worker.clock_hz == clock_hz for worker in self._warm)

    async def _ensure_zygote(self) -> socket.socket:
        async with self._starting:
            if self._zygote is not None and self._zygote.returncode is None and self._orders is not None:
                return self._orders
            return await self._start_zygote()

    async def _start_zygote(self) -> socket.socket:
        self._forget_zygote()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._zygote = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-m",
                "sip.worker.zygote",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,  # pjsip talks before it can be told not to
                start_new_session=True,
            )
        ours.setblocking(False)
        self._orders = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._zygote_ended, ours)
        return ours

    def _zygote_ended(self, orders: socket.socket) -> None:
        """It never says a word: what can be read is its end. Its warm workers have been woken by that; nobody would
        wake them again when we end, so they are not kept. Conversations go on."""
        if orders is not self._orders:
            return
        self._forget_zygote()
        log.error("the zygote has ended and is replaced")
        for worker in list(self._warm):
            self._discard(worker)
        self._wanted.set()

    def _replace_zygote(self) -> None:
        """It has not answered: nothing but its end is certain to bring one that does."""
        zygote, orders = self._zygote, self._orders
        if zygote is not None and zygote.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(zygote.pid, signal.SIGKILL)  # zygote.kill() would take its end from under the loop's watcher
        if orders is not None:
            self._zygote_ended(orders)

    async def _spawn(self, clock_hz: int = NARROWBAND_HZ) -> Worker:
        """One more worker, running. Raises NoWorker; whatever it raises, it leaves no process and no slot taken."""
        if not self._slots:
            raise NoWorker("all RTP ports are in use")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ordered: socket.socket | None = None
        worker = Worker(slot=self._slots.pop(0), control=ours, clock_hz=clock_hz)  # the one unused for longest
        self._all.add(worker)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read, worker)
        try:
            with theirs:
                ordered = await self._order(worker, theirs.fileno())
            async with asyncio.timeout(READY_S):
                await worker.ready.wait()
            if not worker.gone:
                worker.waker = self._waker
                await self._on_ready(worker.port)
        except BaseException as error:  # also when whoever waits for it is cancelled
            self._discard(worker)
            if isinstance(error, TimeoutError):
                if not worker.pid and ordered is self._orders:
                    self._replace_zygote()
                raise NoWorker("the media engine does not start in time") from error
            raise
        if worker.gone:
            raise NoWorker("the media engine does not start")
        return worker

    async def _order(self, worker: Worker, descriptor: int) -> socket.socket:
        """Have the zygote fork a worker; a zygote that turns out to be dead is replaced, once. The zygote's socket."""
        letter = self._birth_letter(worker)
        try:
            socket.send_fds(orders := await self._ensure_zygote(), [letter], [descriptor])
        except OSError:
            self._replace_zygote()
            try:
                socket.send_fds(orders := await self._ensure_zygote(), [letter], [descriptor])
            except OSError as error:
                self._replace_zygote()
                raise NoWorker(f"the zygote takes no orders ({error.strerror})") from error
        return orders

    def _birth_letter(self, worker: Worker) -> bytes:
        return json.dumps(
            {
                "domain": self._config.domain,
                "edge_port": self._config.edge_port,
                "media_address": self._config.media_address,
                "media_address6": self._config.media_address6,
                "rtp_port_first": self._config.rtp_port_first + worker.slot * RTP_PORTS_PER_WORKER,
                "rtp_port_count": RTP_PORTS_PER_WORKER - 1,
                "run_dir": str(self._config.run_dir),
                "clock_hz": worker.clock_hz,
            }
        ).encode()

    def _read(self, worker: Worker) -> None:
        """Everything that a worker has said."""
        while not worker.gone:
            try:
                packet = worker.control.recv(p.MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._lost(worker)
                return
            try:
                event = p.decode(packet)
            except p.ProtocolError as error:
                log.error("worker %d: %s", worker.pid, error)
                continue
            if isinstance(event, p.Ready):
                worker.pid, worker.port = event.pid, event.port
                worker.ready.set()
            elif not isinstance(event, p.Command):
                if isinstance(event, p.Left):
                    worker.left = True
                    self.cpu_ms += event.cpu_ms
                worker.deliver(event)

    def _lost(self, worker: Worker) -> None:
        """End of file on the worker's socket: the process has ended, in order or not."""
        if worker.gone:
            return
        worker.gone = True
        asyncio.get_running_loop().remove_reader(worker.control.fileno())
        worker.control.close()
        self._all.discard(worker)
        self._slots.append(worker.slot)
        if worker in self._warm:
            self._warm.remove(worker)
        if worker.port and not self._closing:  # at the end nobody is left to tell the edge; the next start does
            self._on_gone(worker.port)
        if not worker.left and not self._closing:
            self.crashes += 1
            log.warning("worker %d ended without a word", worker.pid)
            worker.deliver(p.WorkerGone())
        worker.ready.set()
        self._wanted.set()
        self._freed.set()

    def _forget_zygote(self) -> None:
        if self._orders is not None:
            asyncio.get_running_loop().remove_reader(self._orders.fileno())
            self._orders.close()
        self._orders = None
        self._zygote = None

    def _discard(self, worker: Worker) -> None:
        """End a worker that nobody will use."""
        worker.left = True  # no crash: its end is our doing
        if worker.pid:
            _signalled(worker, signal.SIGKILL)
        self._lost(worker)

    def _close(self) -> None:
        self._closing = True
        for worker in list(self._all):
            self._discard(worker)
        self._forget_zygote()
        self._waker.close()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _signalled(worker: Worker, number: signal.Signals) -> bool:
    """False if the process is gone already: its end of file has not been read yet."""
    try:
        os.kill(worker.pid, number)
    except ProcessLookupError:
        return False
    return True
