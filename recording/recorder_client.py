"""The daemon's end of the recorder process (recording.recorder).

The process must outlive a crash of the daemon, to finish what it has open; so it is a plain subprocess in a session of
its own, which ends when its socket does. asyncio's own subprocess transport would kill it with the loop.
"""

import array
import asyncio
import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from recording.messages import (
    MAX_BYTES,
    Begin,
    Configure,
    Cut,
    RecorderGone,
    RecorderRefused,
    Sealed,
    decode,
    encode,
    raw_bytes,
)

__all__ = ["Begin", "Cut", "RecorderClient", "RecorderGone", "RecorderRefused", "Sealed"]

log = logging.getLogger(__name__)

Event = Cut | RecorderGone
START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 10.0  # a recorder that hangs is as good as dead, and holds up whoever waits for it


class RecorderClient:
    """One recorder process. All methods raise RecorderGone once it is gone; a new client starts a new one."""

    def __init__(
        self, sock: socket.socket, process: subprocess.Popen[bytes], on_event: Callable[[Event], None]
    ) -> None:
        self._sock = sock  # non-blocking SEQPACKET; closed by _lose
        self._process = process
        self._on_event = on_event
        self._settings: Configure | None = None  # what the recorder has been told
        self._loop = asyncio.get_running_loop()
        self._seq = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}  # seq -> the answer to come
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()  # what the socket's buffer had no room for
        self._gone = False  # set by _lose, for ever
        self._closing = False  # set by close: the end of the process is then no event
        self._loop.add_reader(sock, self._readable)

    @classmethod
    async def start(
        cls,
        vault_dir: Path,
        proof_public: bytes,
        kek_signing_public: bytes,
        bitrate_bps: int,
        on_event: Callable[[Event], None],
        *,
        min_free_mb: int = 500,
    ) -> Self:
        """Start a recorder and wait until it listens. Raises RecorderGone, RecorderRefused, TimeoutError.

        The public keys are Ed25519, 32 raw bytes: whose proofs and whose KEKs are believed.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = _spawn(theirs)
        ours.setblocking(False)
        client = cls(ours, process, on_event)
        configure = Configure(vault_dir, proof_public, kek_signing_public, bitrate_bps, min_free_mb)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await client._configure(configure)
        except BaseException:  # cancelled too: a recorder that nobody speaks to must not stay
            client._closing = True
            client._lose()
            raise
        return client

    @property
    def pid(self) -> int:
        """Of the recorder process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False as soon as the socket has ended."""
        return not self._gone

    async def use(self, *, bitrate_bps: int, min_free_mb: int) -> None:
        """What recordings that begin from now on go by. Raises RecorderRefused, RecorderGone."""
        assert self._settings is not None
        await self._configure(replace(self._settings, bitrate_bps=bitrate_bps, min_free_mb=min_free_mb))

    async def _configure(self, settings: Configure) -> None:
        await self._ask("configure", settings.to_wire())
        self._settings = settings

    async def begin(self, request: Begin) -> bytes:
        """Make a key, return its wrap (to be committed before go). Raises RecorderRefused, RecorderGone."""
        answer = await self._ask("begin", request.to_wire())
        return raw_bytes(answer["dek_wrap"])

    async def go(self, rec_id: str, fds: tuple[int, int]) -> None:
        """Start writing from two growing WAV files (16 bit mono), left and right; the descriptors stay the caller's."""
        await self._ask("go", {"rec_id": rec_id}, fds)

    async def stop(self, rec_id: str) -> Sealed:
        """Drain, seal, rename. The captures must have been flushed before. Raises RecorderRefused, RecorderGone."""
        return Sealed(**await self._ask("stop", {"rec_id": rec_id}))

    async def destroy(self, rec_id: str) -> None:
        """Forget the key and unlink what was written; also right after begin, or after a Cut."""
        await self._ask("destroy", {"rec_id": rec_id})

    async def close(self, timeout_s: float = 30.0) -> None:
        """Let the recorder finish what it has open, and wait for its end.

        Raises TimeoutError, and leaves it finishing.
        """
        self._closing = True
        self._lose()
        try:
            await asyncio.to_thread(self._process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError("the recorder is still finishing") from None

    async def _ask(self, op: str, body: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        if self._gone:
            raise RecorderGone("the recorder is gone")
        self._seq += 1
        seq = self._seq
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting[seq] = future
        self._outbox.append((encode({"seq": seq, "op": op} | body), tuple(fds)))
        self._flush()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await future
        except TimeoutError:
            log.error("recorder %d does not answer: it is ended, and what it has sealed is kept", self.pid)
            self._process.kill()
            self._lose()
            raise RecorderGone("the recorder did not answer") from None
        finally:
            self._waiting.pop(seq, None)
        if "refused" in answer:
            raise RecorderRefused(answer["refused"], str(answer.get("why", "")))
        return dict(answer["ok"])

    def _flush(self) -> None:
        while self._outbox and not self._gone:
            data, fds = self._outbox[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                self._sock.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                self._lose()
                return
            self._outbox.popleft()
        if not self._gone:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            datagram = self._sock.recv(MAX_BYTES)
        except BlockingIOError:
            return
        except OSError:
            datagram = b""
        if not datagram:
            self._lose()
            return
        message = decode(datagram)
        if message.get("event") == "cut":
            self._on_event(Cut(message["rec_id"], message["reason"]))
            return
        future = self._waiting.get(message["seq"])
        if future is not None and not future.done():
            future.set_result(message)

    def _lose(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RecorderGone("the recorder is gone"))
        if not self._closing:
            log.error("recorder %d is gone, status %s", self._process.pid, self._process.poll())
            self._on_event(RecorderGone("the recorder is gone"))


def _spawn(control: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "recording.recorder"]
    return subprocess.Popen(command, stdin=control.fileno(), start_new_session=True, cwd="/")  # noqa: S603
