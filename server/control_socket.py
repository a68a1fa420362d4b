"""The socket on which the command line asks the running daemon: JSON lines over run/control.sock.

    -> {"v": 1, "op": "account.list", "args": {}, "actor": {"workstation": "...", "reason": null, "case": null}}
    <- {"ok": ...}    or    {"error": {"code": "...", "message": "...", "remedy": "..."}}

Who asks is what the kernel says of the connection (SO_PEERCRED): the daemon's own user or root. Only workstation,
reason and case are taken from the asker. After `unlock`, `secure` or `read` is answered with {"ok": {"go": true}} the
connection belongs to a listening or reading room: what is typed there never passes through the daemon.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.failure import Failure
from server.services import listening, operations, securing, text_rooms
from server.services.actor import Actor
from server.services.context import Services
from server.services.failures import told
from server.services.origin import login_uid

logger = logging.getLogger(__name__)

VERSION = 1
MAX_LINE_BYTES = 1 << 20
MAX_CONNECTIONS = 32
IDLE_S = 60.0
MAX_PATH_BYTES = 107  # sun_path, unix(7)


@dataclass(frozen=True, slots=True)
class _Peer:
    """What the kernel says of the asker."""

    pid: int
    uid: int


class _Ended(Exception):
    """The asker hung up, kept silent, or does not speak our language."""


class ControlServer:
    """Answers until cancelled. The data directory's lock must be held: a socket left behind is replaced."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._path = services.paths.control_socket
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def run(self, *, ready: asyncio.Event | None = None) -> None:
        """Serve; sets `ready` once it can be asked. Raises Failure where the path is too long, OSError."""
        loop = asyncio.get_running_loop()
        with _listening(str(self._path)) as listener:
            if ready is not None:
                ready.set()
            try:
                async with asyncio.TaskGroup() as tasks:
                    while True:
                        await self._free.acquire()
                        connection, _ = await loop.sock_accept(listener)
                        tasks.create_task(self._serve(connection), name="control connection")
            finally:
                self._path.unlink(missing_ok=True)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await _Conversation(self._services, connection, _peer(connection)).run()
        except (_Ended, OSError):
            return
        except Exception:  # task boundary: one asker must not end the daemon
            logger.exception("a request on the control socket failed")
        finally:
            connection.close()
            self._free.release()


class _Conversation:
    """One connection, one request after the other."""

    def __init__(self, services: Services, connection: socket.socket, peer: _Peer) -> None:
        self._services = services
        self._connection = connection
        self._peer = peer
        self._buffer = b""

    async def run(self) -> None:
        while True:
            request = await self._receive()
            # Only now: closing with the request unread would take the answer away from the asker.
            if self._peer.uid not in (0, os.geteuid()):
                await self._send(_error(Failure("not your daemon", "Use the service's user, or root", "denied")))
                return
            try:
                actor = _actor(self._peer, request)
                if (op := request.get("op")) in ("unlock", "secure"):
                    await self._unlock(actor, str(op), _arguments(request))
                    return
                if op == "read":
                    await self._read(actor, _arguments(request))
                    return
                answer = await operations.call(str(request.get("op")), self._services, actor, _arguments(request))
            except Failure as failure:
                await self._send(_error(failure))
            except Exception:  # task boundary: the asker is told, the log has the rest
                logger.exception("an operation failed")
                await self._send(_error(Failure("the daemon failed", "See its log for the traceback", "failed")))
            else:
                await self._send({"ok": answer})

    async def _unlock(self, actor: Actor, op: str, arguments: Mapping[str, object]) -> None:
        permit = securing.permit if op == "secure" else listening.permit
        checked = operations.check_arguments(permit, op, arguments)
        with told():
            granted = await permit(self._services, actor, **checked)
        if self._buffer:
            raise _Ended
        await self._send({"ok": {"go": True, "rec_id": granted.rec_id}})
        await listening.serve(self._services, actor, granted, self._connection.fileno())

    async def _read(self, actor: Actor, arguments: Mapping[str, object]) -> None:
        checked = operations.check_arguments(text_rooms.permit, "read", arguments)
        with told():
            granted = await text_rooms.permit(self._services, actor, **checked)
        if self._buffer:
            raise _Ended
        await self._send({"ok": {"go": True, "inbox_id": granted.inbox.id}})
        await text_rooms.serve(self._services, actor, granted, self._connection.fileno())

    async def _receive(self) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(IDLE_S):
                while b"\n" not in self._buffer:
                    data = await loop.sock_recv(self._connection, 65536)
                    if not data or len(self._buffer) > MAX_LINE_BYTES:
                        raise _Ended
                    self._buffer += data
        except TimeoutError:
            raise _Ended from None
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            request = json.loads(line)
        except ValueError:
            raise _Ended from None
        if not isinstance(request, dict):
            raise _Ended
        return request

    async def _send(self, message: Mapping[str, object]) -> None:
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        await asyncio.get_running_loop().sock_sendall(self._connection, line)


def _listening(path: str) -> socket.socket:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise Failure(
            f"the path {path} is too long for a socket", "Use a data directory with a shorter path", "invalid"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        Path(path).unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serve(services: Services) -> AsyncIterator[None]:
    """Answer on the control socket for as long as the block runs."""
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(ControlServer(services).run(ready=ready), name="control socket")
        await ready.wait()
        try:
            yield
        finally:
            server.cancel()


def _peer(connection: socket.socket) -> _Peer:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", raw)
    return _Peer(pid, uid)


def _actor(peer: _Peer, request: Mapping[str, object]) -> Actor:
    if request.get("v") != VERSION:
        raise Failure("the command line and the daemon differ in version", "Restart the daemon", "misuse")
    said = request.get("actor")
    claims: Mapping[str, object] = said if isinstance(said, dict) else {}
    uid = login_uid(peer.pid)
    return Actor(
        who=f"os:{peer.uid if uid is None else uid}",
        workstation=_text(claims, "workstation") or "unknown",
        reason=_text(claims, "reason"),
        case=_text(claims, "case"),
    )


def _text(claims: Mapping[str, object], key: str) -> str | None:
    value = claims.get(key)
    return value[:1000] if isinstance(value, str) and value.strip() else None


def _arguments(request: Mapping[str, object]) -> Mapping[str, object]:
    arguments = request.get("args")
    return arguments if isinstance(arguments, dict) else {}


def _error(failure: Failure) -> dict[str, object]:
    return {"error": {"code": failure.code, "message": failure.what, "remedy": failure.remedy}}
