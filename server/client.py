"""The command line's way to the operations: the running daemon, or the same functions here when it is not running."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.failure import Failure
from server.services.origin import login_uid, workstation_here

_ANSWER_S = 120.0
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf: what the command line knows of the person at it."""

    data: Path
    reason: str | None = None
    case: str | None = None


def ask(asking: Asking, op: str, /, **arguments: object) -> Any:
    """The answer as plain values. Raises Failure."""
    with connected(asking.data) as connection:
        if connection is not None:
            return send_request(connection, asking, op, arguments)
    return _here(asking, op, arguments)


@contextmanager
def connected(data: Path) -> Iterator[socket.socket | None]:
    """A connection to the daemon of this data directory; None when it is not running. Raises Failure."""
    path = data / "run" / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            yield None
            return
        except PermissionError:
            raise Failure(
                f"{path} may not be used", "Run this as the user of the service, or as root", "denied"
            ) from None
        except OSError as error:
            raise Failure(f"{path}: {error.strerror or error}", "Type: beffroi doctor", "unavailable") from None
        yield connection


def send_request(connection: socket.socket, asking: Asking, op: str, arguments: Mapping[str, object]) -> Any:
    """One request, one answer, and not a byte read beyond it. Raises Failure."""
    request = {"v": 1, "op": op, "args": dict(arguments), "actor": _claims(asking)}
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(_line(connection))
    except (OSError, ValueError):
        raise Failure(
            "the daemon went away while it was asked", "Type: beffroi status, then try again", "unavailable"
        ) from None
    if "error" in answer:
        error = answer["error"]
        raise Failure(error["message"], error["remedy"], error["code"])
    return answer["ok"]


def _line(connection: socket.socket) -> bytes:
    """Peeks, so that what a listening room sends right after the answer stays in the socket."""
    line = b""
    while True:
        seen = connection.recv(65536, socket.MSG_PEEK)
        if not seen:
            raise OSError("closed")
        end = seen.find(b"\n")
        line += connection.recv(len(seen) if end < 0 else end + 1)
        if end >= 0:
            return line


def _claims(asking: Asking) -> dict[str, str | None]:
    return {"workstation": workstation_here(), "reason": asking.reason, "case": asking.case}


def _here(asking: Asking, op: str, arguments: Mapping[str, object]) -> Any:
    """Without the daemon: take the lock, open the database, call the same function."""
    import asyncio

    from server.services import operations
    from server.services.context import open_services
    from server.services.failures import told

    async def run() -> Any:
        with told():
            async with open_services(asking.data, wait_s=_WAIT_S) as services:
                return await operations.call(op, services, actor_here(asking), arguments)

    return asyncio.run(run())


def actor_here(asking: Asking) -> Any:
    """Who is at this terminal, for the ledger."""
    from server.services.actor import Actor

    uid = login_uid()
    return Actor(f"os:{os.getuid() if uid is None else uid}", workstation_here(), asking.reason, asking.case)
