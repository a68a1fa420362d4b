"""A PostgreSQL cluster of a test's own, on a Unix socket in a directory; superuser "beffroi", no password."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg


def why_not() -> str:
    """What is missing; empty if nothing is."""
    found = _binaries()
    if found is None or not (found / "initdb").exists():
        return "PostgreSQL is missing: apt-get install postgresql (or run scripts/test, which does)"
    return ""


def _binaries() -> Path | None:
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextmanager
def cluster(*options: str) -> Iterator[Path]:
    """The directory that holds its socket. `options`: settings of the server, "name=value".

    Raises CalledProcessError.
    """
    binaries = _binaries()
    assert binaries is not None, why_not()
    run_as: dict[str, Any] = {}
    # Short: a Unix socket's path holds 107 bytes. Not under pytest's own directory, which postgres may not enter.
    directory = Path(tempfile.mkdtemp(prefix="beffroi-pg-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        run_as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(directory, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", str(directory / "data"), *arguments]
        with (directory / "output").open("ab") as output:
            subprocess.run(command, check=True, cwd="/", stdout=output, stderr=output, **run_as)

    try:
        run("initdb", "-U", "beffroi", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        settings = ("listen_addresses=", f"unix_socket_directories={directory}", *options)
        run("pg_ctl", "-w", "-o", " ".join(f"-c {setting}" for setting in settings), "start")
        try:
            yield directory
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def execute(directory: Path, database: str, *statements: str) -> None:
    connection = await asyncpg.connect(host=str(directory), user="beffroi", database=database)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def url(directory: Path, database: str) -> str:
    """As the setting `storage.url` takes it."""
    return f"postgresql://beffroi@/{database}?host={directory}"
