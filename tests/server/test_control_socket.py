"""The control socket: the running daemon is asked by the same commands, by its own user and root only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server import control_socket
from server.client import Asking, ask
from server.failure import Failure
from server.services import operations
from server.services.context import Services
from tests.peers.product import run_cli

# Ours may lie where nobody else may look.
OTHER_PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


@pytest.fixture
async def daemon(services: Services) -> AsyncIterator[Services]:
    """As much of the daemon as answers questions."""
    async with control_socket.serve(services):
        yield services


async def asked(services: Services, op: str, **arguments: object) -> Any:
    return await asyncio.to_thread(lambda: ask(Asking(services.paths.data), op, **arguments))


async def talk(services: Services, sent: bytes) -> bytes:
    """What comes back for these bytes, until the daemon hangs up or is silent."""
    reader, writer = await asyncio.open_unix_connection(str(services.paths.control_socket))
    writer.write(sent)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_the_command_line_asks_the_daemon(daemon: Services):
    done = await asyncio.to_thread(run_cli, daemon.paths.data, "account", "add", "carol", "103", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "carol"
    assert "carol" in {one["name"] for one in await asked(daemon, "account.list")}


async def test_the_same_answer_with_and_without_the_daemon(services: Services, data: Path):
    async with control_socket.serve(services):
        online = await asked(services, "line.list")
    await services.db.close()
    offline = await operations.call("line.list", services, _me(), {})
    assert online == offline


async def test_a_failure_crosses_the_socket_whole(daemon: Services):
    with pytest.raises(Failure, match="no account nobody") as failed:
        await asked(daemon, "account.show", name="nobody")
    assert (failed.value.code, failed.value.remedy) == ("not_found", "Type: beffroi account list")


@pytest.mark.parametrize(
    ("op", "arguments"),
    [("account.destroy", {}), ("account.add", {}), ("account.add", {"name": 5, "extension": "1"}),
     ("account.list", {"surprise": 1}), ("__class__", {}), ("people:add", {}), ("unlock", {"login": "reader"}),
     ("line.set", {"line": "200", "members": "alice"}), ("recordings.list", {"limit": "many"})],
)  # fmt: skip
async def test_what_is_no_operation_is_misuse(daemon: Services, op: str, arguments: dict[str, object]):
    with pytest.raises(Failure) as failed:
        await asked(daemon, op, **arguments)
    assert failed.value.code == "misuse"
    assert await asked(daemon, "status"), "and the daemon goes on"


@pytest.mark.parametrize(
    "sent", [b"", b"\n", b"GET / HTTP/1.0\r\n\r\n", b"[]\n", b"\xff" * 4096 + b"\n", b"[" * 100000 + b"\n"]
)
async def test_garbage_ends_that_connection_only(daemon: Services, sent: bytes):
    assert await talk(daemon, sent) == b""
    assert await asked(daemon, "status")


async def test_a_line_without_end_is_not_kept(daemon: Services):
    reader, writer = await asyncio.open_unix_connection(str(daemon.paths.control_socket))
    with pytest.raises(OSError):
        for _ in range(200):
            writer.write(b"x" * 65536)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
    writer.close()
    assert await asked(daemon, "status")


async def test_another_version_is_told_so(daemon: Services):
    answer = await talk(daemon, b'{"v": 2, "op": "status"}\n')
    assert json.loads(answer)["error"]["code"] == "misuse"


async def test_many_ask_at_once(daemon: Services):
    answers = await asyncio.gather(*(asked(daemon, "account.list") for _ in range(40)))
    assert all(len(answer) == 2 for answer in answers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_refused_even_where_the_files_would_let_him(daemon: Services):
    """The kernel's word counts (SO_PEERCRED), not only the modes of files."""
    path = daemon.paths.control_socket
    for place in path.parents:
        if place.stat().st_uid == os.geteuid() and not place.stat().st_mode & 0o001 and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o011)
    path.chmod(0o666)
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        's.sendall(b\'{"v": 1, "op": "account.list"}\\n\'); print(s.recv(4096).decode())'
    )
    done = await asyncio.to_thread(
        subprocess.run, [OTHER_PYTHON, "-c", code, path],
        capture_output=True, text=True, user=65534, group=65534, extra_groups=[])  # fmt: skip
    assert json.loads(done.stdout)["error"]["code"] == "denied", done.stderr


def test_the_socket_is_for_its_owner(tmp_path: Path):
    with control_socket._listening(str(tmp_path / "s")):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Failure, match="too long"):
        control_socket._listening(str(tmp_path / ("x" * 108)))


async def test_a_socket_left_behind_by_a_crash_is_replaced(services: Services):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(services.paths.control_socket))
    async with control_socket.serve(services):
        assert await asked(services, "status")
    assert not services.paths.control_socket.exists()


async def test_a_directory_that_is_held_is_named_with_its_holder(services: Services):
    """The lock is held (by this process) and nobody answers on the socket: a daemon that starts or stops."""
    from server.services.lock import DataLock

    with pytest.raises(Failure, match=f"process {os.getpid()} holds") as failed:
        DataLock(services.paths.lock)
    assert failed.value.code == "locked"


def _me() -> Any:
    from server.services.actor import Actor

    return Actor("os:0", "here")
