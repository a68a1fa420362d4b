"""Every page without parameters, opened in a browser: accessible, at every width, in light and dark, and quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.web.routes import OPEN
from tests.web.browsing import Window
from tests.web.portal import Portal
from tests.web.test_matrix import GETS, has

PAGES = [route for route in GETS if "{" not in route.path]
OFTEN = ("employee", "supervisor", "dpo", "admin", "security", "auditor")  # asked first; then whoever has the right


def somebody(portal: Portal, path: str) -> str:
    """A role that may open the page."""
    route = next(one for one in PAGES if one.path == path)
    return next(role for role in (*OFTEN, *sorted(portal.people)) if has(role, route))


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("path", [route.path for route in PAGES])
def test_every_page_is_fit_to_be_seen(portal: Portal, window: Callable[..., Window], path: str, language: str) -> None:
    """No violation that axe finds (WCAG 2.2 A, AA), no sideways scrolling, no policy violated, no other host asked."""
    is_open = next(route for route in PAGES if route.path == path).right == OPEN
    seen = window(None if is_open else portal.people[somebody(portal, path)], language)
    opened = seen.page.goto(path)
    assert opened is not None
    if not opened.headers.get("content-type", "").startswith("text/html"):
        return
    assert opened.status == 200
    assert seen.page.locator("h1").count() == 1
    seen.check()


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_fails_is_fit_to_be_seen(portal: Portal, window: Callable[..., Window], language: str) -> None:
    """What there is not, what is not open, a link that is over: in words, with a way on."""
    closed = next(route.path for route in PAGES if not has("circle", route))
    for who, path, status in (("circle", "/nothing-here", 404), ("circle", closed, 403), ("", "/invitation/x", 404)):
        opened = window(portal.people.get(who), language)
        page = opened.open_page(path, status)
        assert page.locator("main a.button").count() == 1, path
        opened.check()


@pytest.mark.promise("P23")
@pytest.mark.parametrize("role", OFTEN)
def test_the_menu_leads_to_pages(portal: Portal, window: Callable[..., Window], role: str) -> None:
    """On a phone, by the keyboard."""
    opened = window(portal.people[role], "fr")
    page = opened.open_page("/")
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("link", name="Menu", exact=True).click()
    menu = page.get_by_role("navigation", name="Pages")
    assert menu.is_visible()
    opened.check_quiet()
    hrefs = [link.get_attribute("href") for link in menu.get_by_role("link").all()]
    mine = {route.path for route in PAGES if route.menu and has(role, route)}
    assert {href for href in hrefs if href != "#main"} == {"/"} | mine
    assert menu.get_by_role("button", name="Se déconnecter", exact=True).is_visible()
    page.keyboard.press("Escape")
    assert not menu.is_visible()
