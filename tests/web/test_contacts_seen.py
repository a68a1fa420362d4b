"""Permission to contact, and the administration of inboxes, in a browser: with something in them, and asked about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.browsing import Window
from tests.web.portal import Portal

SPOKEN = ["en", "fr"]


def furnished(portal: Portal, language: str) -> str:
    """A number of which everything is known."""
    number = {"en": "+33612345001", "fr": "+33612345002"}[language]
    proof = ("--act", "checkbox", "--collector", "us", "--source", "form 1", "--text-id", "T1", "--text-version", "1",
             "--text-sha256", "ab" * 32)  # fmt: skip
    portal.product.cli("contact", "consent", "add", number, "--purpose", "telecom", *proof)
    portal.product.cli("contact", "contract", "add", number, "--ref", "A-1", "--purpose", "telecom")
    portal.product.cli("contact", "suppress", "add", number, "--channel", "recording", "--source", "letter")
    portal.product.cli("optout", "add", number, "--source", "call")
    return number


@pytest.mark.promise("2.15", "2.16", "P23")
@pytest.mark.parametrize("language", SPOKEN)
def test_permission_to_contact_is_seen(portal: Portal, window: Callable[..., Window], language: str) -> None:
    number = furnished(portal, language)
    opened = window(portal.people["compliance"], language)
    for path in ("/contacts/contracts", "/contacts/objections", "/contacts/optouts", "/contacts/consents"):
        page = opened.open_page(path)
        for more in page.locator("main details > summary").all():
            more.click()
        opened.check()
        assert number not in page.content()
    page.locator("main td a").first.click()
    opened.check()
    page = opened.open_page("/contacts/objections")
    page.locator("#search-number").fill(number)
    page.locator("form.filters button").click()
    expect(page.locator(".note.warn")).to_be_visible()
    page = opened.open_page("/contacts/optouts")
    page.locator("#search-number").fill(number)
    page.locator("form.filters button").click()
    expect(page.locator(".verdict")).to_be_visible()
    opened.check()


@pytest.mark.promise("2.7", "P23")
def test_a_list_is_brought_in(portal: Portal, window: Callable[..., Window]) -> None:
    opened = window(portal.people["dpo"])
    page = opened.open_page("/contacts/objections")
    body = b"0612345011\n0612345012\nnobody\n"
    page.get_by_label("File").set_input_files(files=[{"name": "b.csv", "mimeType": "text/csv", "buffer": body}])
    page.get_by_role("button", name="Bring it in").click()
    expect(page.get_by_text("Nothing was entered")).to_be_visible()
    opened.check()
    page.get_by_role("link", name="To the list").click()
    page.get_by_label("File").set_input_files(files=[{"name": "b.csv", "mimeType": "text/csv", "buffer": body}])
    page.get_by_label("Enter those that can be used, even if others cannot").check()
    page.get_by_role("button", name="Bring it in").click()
    expect(page.locator(".figure-value").first).to_have_text("2")


@pytest.mark.promise("1.5", "1.9", "P23")
@pytest.mark.parametrize("language", SPOKEN)
def test_an_inbox_is_administered(portal: Portal, window: Callable[..., Window], language: str) -> None:
    name, address = {"en": ("help-en", "+33162000011"), "fr": ("help-fr", "+33162000012")}[language]
    opened = window(portal.people["admin"], language)
    page = opened.open_page("/inboxes")
    page.locator("#f-name").fill(name)
    page.locator("main form button").last.click()
    page.locator("#f-login").fill(portal.people["employee"].login)
    page.locator("section[aria-labelledby=more] input[name=sending]").check()
    page.locator("section[aria-labelledby=more] button").click()
    page.locator("#f-address").fill(address)
    page.locator("input[name=classes][value=conversation]").check()
    page.locator("section[aria-labelledby=approve] button").click()
    expect(page.locator("section[aria-labelledby=senders]")).to_contain_text(address)
    for more in page.locator("main details > summary").all():
        more.click()
    opened.check()
    page = opened.open_page("/inboxes")
    expect(page.locator("main")).to_contain_text(address)
    opened.check()
    theirs = window(portal.people["employee"], language).open_page("/texts")
    expect(theirs.get_by_role("link", name=name, exact=True)).to_be_visible()
