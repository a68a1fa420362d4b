"""Fixtures that every room's tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.ports import Ports


@pytest.fixture
def ports() -> Iterator[Ports]:
    """A hundred loopback ports of this test's own."""
    block = Ports()
    yield block
    block.close()


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Writes the promises that a test names into the results, where scripts/promises reads them."""
    if call.when == "setup":
        for mark in item.iter_markers("promise"):
            for promise in mark.args:
                item.user_properties.append(("promise", str(promise)))
