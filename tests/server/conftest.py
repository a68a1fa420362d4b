"""An instance set up once by the real command; each test works on a copy of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.cli import main
from server.services.context import Services, open_services
from tests.peers.product import make_seed


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Seed:
    data: Path
    shown: dict[str, Any]


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seed]:
    data, shown = make_seed(tmp_path_factory.mktemp("seed"))
    yield Seed(data, shown)


@pytest.fixture
def shown(seed: Seed) -> dict[str, Any]:
    """What quickstart showed once."""
    return seed.shown


@pytest.fixture
def data(seed: Seed, tmp_path: Path) -> Path:
    """A copy of the instance."""
    return Path(shutil.copytree(seed.data, tmp_path / "data"))


@pytest.fixture
def beffroi(data: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line on the copy, within this process."""

    def run(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            status = main(["--data", str(data), *argv])
        except SystemExit as end:  # argparse's own way out
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.fixture
async def services(data: Path) -> AsyncIterator[Services]:
    """The services of the copy, as without a daemon."""
    async with open_services(data) as opened:
        yield opened
