"""A running portal for each test process, a Chromium for each module, and houses whose pages are asked for by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir
from tests.web import admin_house
from tests.web.browsing import Window, chromium
from tests.web.mine_house import House, mine_house
from tests.web.portal import Portal, Somebody

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]


@pytest.fixture
async def house(
    db: Any,  # noqa: F811
    field_keys: Any,  # noqa: F811
    ledger_key: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:
    """Two teams, on each database."""
    async with mine_house(db, (field_keys, ledger_key), tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
async def place(tmp_path: Path, product_seed: tuple[Path, dict[str, Any]]) -> AsyncIterator[admin_house.House]:
    """What quickstart makes, and nobody in it yet."""
    async with admin_house.a_house(tmp_path, product_seed[0]) as made:
        yield made


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Portal]:
    made = Portal(tmp_path_factory.mktemp("portal") / "product", product_seed)
    with made.product:
        made.wait_served()
        yield made


@pytest.fixture(scope="module")
def browser(portal: Portal) -> Iterator[Browser]:
    with chromium(portal) as launched:
        yield launched


@pytest.fixture
def window(portal: Portal, browser: Browser) -> Iterator[Callable[..., Window]]:
    """window(who, language): a browser of this person's; without `who` of somebody who has not signed in."""
    opened: list[Window] = []

    def open_window(who: Somebody | None = None, language: str = "en", **options: Any) -> Window:
        opened.append(Window(browser, portal, who, language, **options))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()
