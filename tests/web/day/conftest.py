"""One company for each module of days, and a browser in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.browsing import chromium
from tests.web.day.company import Company
from tests.web.day.working import Day


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Company]:
    with Company(tmp_path_factory.mktemp("company") / "product", product_seed).open() as made:
        yield made


@pytest.fixture(scope="module")
def browser(company: Company) -> Iterator[Browser]:
    with chromium(company) as launched:
        yield launched


@pytest.fixture
def day(company: Company, browser: Browser) -> Iterator[Callable[[str, str], Day]]:
    """day(role, language): who begins their working day."""
    begun: list[Day] = []

    def begin(role: str, language: str) -> Day:
        begun.append(Day(company, browser, company.staff[role, language]))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()
