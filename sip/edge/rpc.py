"""JSON-RPC with Kamailio over its UNIX datagram socket.

Kamailio answers to the address that asked, so our end is bound to a path of its own beside Kamailio's. Whoever owns
the socket can read everything that the edge holds in memory, HA1s included: both sockets are 0600.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

Json = Mapping[str, object] | list[object] | str | int | float | bool | None

_RECEIVE_BUFFER_BYTES: Final = 1 << 20
_DATAGRAM_BYTES: Final = 1 << 20
_AT_ONCE: Final = 4  # the kernel queues only a few datagrams per socket
_QUEUE_FULL_PAUSE_S: Final = 0.005
_OWN_NAME: Final = re.compile(r"rpc-(\d+)-\d+\.sock")

_clients = itertools.count(1)


class RpcError(Exception):
    """The edge could not be asked, or refused. `code` is Kamailio's, 0 when nothing answered."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.method = method
        self.code = code


class RpcClient:
    """One socket to the edge. Many calls may be under way; answers are matched by id."""

    def __init__(self, server: Path, timeout_s: float = 5.0) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._own = server.with_name(f"rpc-{os.getpid()}-{next(_clients)}.sock")
        self._ids = itertools.count(1)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[int, asyncio.Future[Mapping[str, object]]] = {}
        self._socket: socket.socket | None = None  # open between open() and close()

    async def open(self) -> None:
        """Binds our end. The edge itself may come and go. Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self._own.unlink(missing_ok=True)
            _sweep(self._server.parent)
            _bind_private(sock, self._own)
            if os.geteuid() == 0 and self._server.parent.stat().st_uid != 0:
                owner = self._server.parent.stat()  # the edge has dropped root and must reach us
                # Never through a link: the directory is the edge's, and we are root.
                os.chown(self._own, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except OSError:
            sock.close()
            raise
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)
        self._socket = sock

    def close(self) -> None:
        """Gives up every call under way with RpcError."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._own.unlink(missing_ok=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RpcError("any", 0, "the connection was closed"))
        self._waiting.clear()

    async def call(self, method: str, *params: str | int) -> Json:
        """The result of one call. Raises RpcError, also when the edge is not there or stays silent."""
        if self._socket is None:
            raise RpcError(method, 0, "not connected")
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": number}
        future: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                await self._send(self._socket, json.dumps(request).encode())
                reply = await future
        except TimeoutError:
            raise RpcError(method, 0, "no answer") from None
        except OSError as error:
            raise RpcError(method, 0, f"the edge cannot be reached: {error.strerror}") from None
        finally:
            self._waiting.pop(number, None)
        return _result(method, reply)

    async def _send(self, sock: socket.socket, request: bytes) -> None:
        while True:
            try:
                sock.sendto(request, str(self._server))
                return
            except BlockingIOError:  # Kamailio's queue is full
                await asyncio.sleep(_QUEUE_FULL_PAUSE_S)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_DATAGRAM_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            logger.warning("reading from the edge's RPC socket failed: %s", error.strerror)
            return
        try:
            # A phone may have written anything into its headers: what is no UTF-8 must not cost the whole answer.
            reply = json.loads(data.decode(errors="replace"), strict=False)
        except ValueError:
            logger.warning("the edge gave an RPC answer of %d bytes that is no JSON", len(data))
            return
        number = reply.get("id") if isinstance(reply, dict) else None
        future = self._waiting.get(number) if isinstance(number, int) else None
        if future is not None and not future.done():
            future.set_result(reply)


def _sweep(directory: Path) -> None:
    """Removes the sockets of processes that were killed."""
    for path in directory.iterdir():
        match = _OWN_NAME.fullmatch(path.name)
        if match and not Path("/proc", match[1]).exists():
            path.unlink(missing_ok=True)


def _bind_private(sock: socket.socket, path: Path) -> None:
    """Bound with mode 0600 from its first moment."""
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)


def _result(method: str, reply: Mapping[str, object]) -> Json:
    error = reply.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        raise RpcError(method, code if isinstance(code, int) else 0, str(error.get("message", "")))
    return reply.get("result")  # type: ignore[return-value]  # straight from json.loads
