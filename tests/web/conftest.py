"""One running portal for each test process, and one Chromium for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.browsing import Window, chromium
from tests.web.portal import Portal, Somebody


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
