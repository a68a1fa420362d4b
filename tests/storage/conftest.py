"""Every storage test runs on SQLite and on PostgreSQL; a machine without PostgreSQL fails, it does not skip."""

import asyncio
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from storage.tables import metadata

NOW = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def field_keys() -> FieldKeys:
    return FieldKeys.generate()


@pytest.fixture(scope="session")
def ledger_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def postgres_dir() -> Iterator[Path]:
    """A cluster of our own, on a Unix socket in the returned directory; superuser "beffroi", no password."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or not (binaries[-1] / "initdb").exists():
        pytest.fail(
            "PostgreSQL is missing: apt-get install postgresql (or run scripts/test, which does)", pytrace=False
        )
    run_as: dict[str, Any] = {}
    # Short: a Unix socket's path holds 107 bytes. Not under pytest's own directory, which postgres may not enter.
    directory = Path(tempfile.mkdtemp(prefix="beffroi-pg-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        run_as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(directory, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries[-1] / program), "-D", str(directory / "data"), *arguments]
        with (directory / "output").open("ab") as output:
            subprocess.run(command, check=True, cwd="/", stdout=output, stderr=output, **run_as)

    try:
        run("initdb", "-U", "beffroi", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off -c shared_buffers=16MB"
        run("pg_ctl", "-w", "-o", options, "start")
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


async def create_database(directory: Path) -> str:
    """Its name."""
    name = f"t{secrets.token_hex(8)}"
    await execute(directory, "postgres", f"CREATE DATABASE {name}")
    return name


def postgres_url(directory: Path, name: str) -> str:
    return f"postgresql://beffroi@/{name}?host={directory}"


async def emptied(directory: Path, name: str) -> str:
    """The URL of a migrated database, as it was right after its migration: much quicker than making another."""
    tables = [t for t in metadata.tables if t not in {"meta", "ledger_logs"}]
    await execute(
        directory,
        name,
        "SET session_replication_role = replica",  # no foreign keys meanwhile
        *(f"DELETE FROM {table}" for table in tables),  # noqa: S608
        "UPDATE ledger_logs SET state = ''",
    )
    return postgres_url(directory, name)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "beffroi.sqlite3")
    directory: Path = request.getfixturevalue("postgres_dir")
    return postgres_url(directory, await create_database(directory))


@pytest.fixture(scope="session")
def made_once() -> dict[str, str]:
    """Migrated databases, by engine: a file to copy, the name of a database to empty."""
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
async def fresh_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    made_once: dict[str, str],
    field_keys: FieldKeys,
) -> str:
    """Of a migrated database without rows; migrated once, since that takes its time."""
    if request.param == "sqlite":
        if "sqlite" not in made_once:
            made_once["sqlite"] = str(tmp_path_factory.mktemp("template") / "template.sqlite3")
            await (await Database.open(sqlite_url(Path(made_once["sqlite"])), field_keys)).close()
        shutil.copy(made_once["sqlite"], tmp_path / "beffroi.sqlite3")
        return sqlite_url(tmp_path / "beffroi.sqlite3")
    directory: Path = request.getfixturevalue("postgres_dir")
    if "postgresql" not in made_once:
        made_once["postgresql"] = await create_database(directory)
        await (await Database.open(postgres_url(directory, made_once["postgresql"]), field_keys)).close()
    return await emptied(directory, made_once["postgresql"])


@pytest.fixture
async def db(fresh_url: str, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey) -> AsyncIterator[Database]:
    database = await Database.open(fresh_url, field_keys, ledger_key)
    yield database
    await database.close()


@pytest.fixture
def raw(tmp_path: Path) -> Callable[[Database], Awaitable[bytes]]:
    """Everything that a database has written, as bytes: SQLite's files, or PostgreSQL's rows as text."""

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))

    async def read(database: Database) -> bytes:
        if database.is_sqlite:
            return await asyncio.to_thread(files)
        async with database.read() as tx:
            names = await tx.conn.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            rows = [await tx.conn.exec_driver_sql(f'SELECT t::text FROM "{name}" t') for (name,) in names]  # noqa: S608
            return "\n".join(line for table in rows for (line,) in table).encode()

    return read
