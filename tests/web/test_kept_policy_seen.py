"""The policy in a browser: from the first draft to the picture of what it would have done."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.web.browsing import Window
from tests.web.portal import Portal


@pytest.mark.promise("L7", "P23")
def test_a_draft_is_written_changed_and_simulated(portal: Portal, window: Callable[..., Window]) -> None:
    portal.product.cli("line", "add", "policy-line", "345", "--pack", "REC_QUALITY")
    opened = window(portal.people["dpo"])
    page = opened.open_page("/policy")
    page.get_by_role("button", name="Begin a draft").click()
    page.get_by_role("link", name="Add a rule").click()
    opened.check()
    page.get_by_label("Name", exact=True).fill("germany")
    page.get_by_label("Country of the other side").fill("DE")
    page.get_by_label("How long it is kept").fill("P1M")
    page.get_by_role("button", name="Save the rule").click()
    assert page.get_by_role("status").inner_text() == "The rule germany is changed."
    assert page.get_by_text("country DE").is_visible() and page.get_by_text("kept for 1 month").is_visible()
    opened.check()
    page.get_by_role("link", name="See what it would have done").click()
    opened.check()
    page.get_by_role("button", name="Begin", exact=True).click()
    page.get_by_role("heading", name=re.compile("What version .* would have done")).wait_for()
    drawn = page.get_by_role("img", name=re.compile("Columns for each month"))
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0, "the picture is drawn"
    opened.check()


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_must_be_done_is_entered(portal: Portal, window: Callable[..., Window], language: str) -> None:
    opened = window(portal.people["dpo"], language)
    page = opened.open_page("/policy/needs?pack=REC_MIFID")
    opened.check()
    page.get_by_role(
        "link", name={"en": "Enter that it was done", "fr": "Consigner que c’est fait"}[language]
    ).first.click()
    opened.check()
