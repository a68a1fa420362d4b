"""Every storage test runs on SQLite and on PostgreSQL; a machine without PostgreSQL fails, it does not skip."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from storage.tables import metadata
from tests.peers import postgres

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
    """A cluster of our own, on a Unix socket in the returned directory."""
    if missing := postgres.why_not():
        pytest.fail(missing, pytrace=False)
    with postgres.cluster("fsync=off", "shared_buffers=16MB") as directory:
        yield directory


async def create_database(directory: Path) -> str:
    """Its name."""
    name = f"t{secrets.token_hex(8)}"
    await postgres.execute(directory, "postgres", f"CREATE DATABASE {name}")
    return name


async def emptied(directory: Path, name: str) -> str:
    """The URL of a migrated database, as it was right after its migration: much quicker than making another."""
    tables = [t for t in metadata.tables if t not in {"meta", "ledger_logs"}]
    await postgres.execute(
        directory,
        name,
        "SET session_replication_role = replica",  # no foreign keys meanwhile
        *(f"DELETE FROM {table}" for table in tables),  # noqa: S608
        "UPDATE ledger_logs SET state = ''",
    )
    return postgres.url(directory, name)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "beffroi.sqlite3")
    directory: Path = request.getfixturevalue("postgres_dir")
    return postgres.url(directory, await create_database(directory))


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
        await (await Database.open(postgres.url(directory, made_once["postgresql"]), field_keys)).close()
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
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.is_file())

    async def read(database: Database) -> bytes:
        if database.is_sqlite:
            return await asyncio.to_thread(files)
        async with database.read() as tx:
            names = await tx.conn.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            rows = [await tx.conn.exec_driver_sql(f'SELECT t::text FROM "{name}" t') for (name,) in names]  # noqa: S608
            return "\n".join(line for table in rows for (line,) in table).encode()

    return read
