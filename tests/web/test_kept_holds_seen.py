"""Legal holds, expiry and receipts in a browser: with something in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.browsing import Window
from tests.web.portal import Portal

NUMBER = "+33612340017"


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_hold_is_seen(portal: Portal, window: Callable[..., Window], language: str) -> None:
    said = ("--reason", "claim", "--requested-by", "court", "--approved-by", portal.people["legal"].login)
    portal.product.cli("hold", "add", "number", NUMBER, "--case", f"A-{language}", *said, "--review", "2030-06-01")
    opened = window(portal.people["dpo"], language)
    page = opened.open_page("/holds")
    opened.check()
    page.get_by_role("link", name=f"A-{language}").click()
    page.get_by_text({"en": "Show in clear", "fr": "Afficher en clair"}[language]).first.click()
    opened.check()
    assert NUMBER not in page.content()


@pytest.mark.promise("P23")
def test_what_goes_when_is_seen(portal: Portal, window: Callable[..., Window]) -> None:
    portal.product.cli("retention", "sweep")
    opened = window(portal.people["dpo"], "fr")
    for path in ("/retention", "/retention/due", "/retention/forecast", "/receipts"):
        opened.open_page(path)
        opened.check()
