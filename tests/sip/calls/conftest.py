"""A directory on a real SQLite database; real workers, one pool for each module, and call control on top of them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sip.worker.pool import WorkerPool
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from tests.peers.ports import Ports
from tests.sip.calls.stage import House, at_work, workers
from tests.sip.worker.phones import EdgeSide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def field_keys() -> FieldKeys:
    return FieldKeys.generate()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a migrated database lies once somebody needed one: migrating takes its time."""
    return tmp_path_factory.mktemp("template") / "template.sqlite3"


@pytest.fixture
async def db(tmp_path: Path, template: Path, field_keys: FieldKeys) -> AsyncIterator[Database]:
    if not template.exists():  # noqa: ASYNC240
        await (await Database.open(sqlite_url(template), field_keys)).close()
    shutil.copy(template, tmp_path / "beffroi.sqlite3")
    database = await Database.open(sqlite_url(tmp_path / "beffroi.sqlite3"), field_keys, Ed25519PrivateKey.generate())
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[WorkerPool, EdgeSide]]:
    ports = Ports(200)
    async with workers(tmp_path_factory.mktemp("workers"), ports) as both:
        yield both
    ports.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(engines: tuple[WorkerPool, EdgeSide]) -> AsyncIterator[House]:
    async with at_work(House(*engines)) as stage:
        yield stage
