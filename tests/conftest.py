"""Fixtures that every room's tests may use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.peers.ports import Ports
from tests.peers.product import Product, make_seed

# A machine that has much else to do is slow, not wrong.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

# A shell that is no terminal starts what runs in the background with Ctrl-C ignored, and every process that tests start
# would inherit that: those that are ended as by somebody at a terminal would stay.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ports() -> Iterator[Ports]:
    """A hundred loopback ports of this test's own."""
    block = Ports()
    yield block
    block.close()


@pytest.fixture(scope="session")
def product_seed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A data directory fresh from quickstart, and what quickstart showed; made once a test process, then copied."""
    return make_seed(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def product_files(tmp_path: Path, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Product]:
    """An instance that is not started yet: for tests that change its configuration or break its files first."""
    product = Product(tmp_path / "product", *product_seed)
    yield product
    product.abandon()


@pytest.fixture
def product(tmp_path: Path, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Product]:
    """A running instance of this test's own."""
    with Product(tmp_path / "product", *product_seed) as running:
        yield running


@pytest.fixture(scope="module")
def shared_product(
    tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]
) -> Iterator[Product]:
    """A running instance for all tests of a module; each makes accounts and devices of its own."""
    with Product(tmp_path_factory.mktemp("shared") / "product", *product_seed) as running:
        yield running


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Writes the promises that a test names into the results, where scripts/promises reads them."""
    if call.when == "setup":
        item.user_properties += [("promise", str(p)) for mark in item.iter_markers("promise") for p in mark.args]
