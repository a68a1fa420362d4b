"""The system at a glance in a browser: what happens is seen without a reload, and the page does without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.browsing import Window
from tests.web.portal import Portal

WAIT_MS = 40_000


@pytest.mark.promise("P10")
def test_what_happens_is_seen_without_a_reload(portal: Portal, window: Callable[..., Window]) -> None:
    """A real instance; an alert that is raised on the machine, then judged in another window."""
    opened = window(portal.people["admin"], "en")
    page = opened.open_page("/system")
    region = page.locator("[data-live=system]")
    expect(region.get_by_text("Phones register and call.")).to_be_visible()
    looked = region.locator("p time").inner_text()
    expect(region.locator("p time")).not_to_have_text(looked, timeout=WAIT_MS)
    alerts = region.locator("li", has_text="Alerts")
    before = alerts.inner_text()
    portal.product.cli("alert", "test")
    expect(alerts).not_to_have_text(before, timeout=WAIT_MS)
    expect(region).not_to_have_attribute("data-stale", "")
    opened.check_quiet()

    other = window(portal.people["security"], "fr")
    judged = other.open_page("/alerts")
    judged.get_by_role("link", name="Ceci est un essai").click()
    judged.get_by_label("Fausse alerte").check()
    judged.get_by_role("button", name="Enregistrer le verdict").click()
    expect(judged.get_by_role("status")).to_have_text("C’est noté.")
    other.check()
    expect(alerts).to_contain_text("None is open.", timeout=WAIT_MS)


def test_without_a_script_the_page_is_whole(portal: Portal, window: Callable[..., Window]) -> None:
    opened = window(portal.people["auditor"], "fr", java_script_enabled=False)
    page = opened.open_page("/system")
    expect(page.get_by_text("Les téléphones s’enregistrent et appellent.")).to_be_visible()
    page.goto("/check")
    page.get_by_role("button", name="Regarder maintenant").click()
    expect(page.get_by_role("heading", name="Configuration", exact=True)).to_be_visible()
