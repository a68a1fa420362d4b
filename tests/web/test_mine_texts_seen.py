"""The pages of texts with something on them, in a browser: from the list of inboxes to a text that leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recording import keys as key_tools
from server.services.context import open_services
from server.services.texts import writer_of
from storage import conversations, inboxes, people, readers, sms_received
from storage.readers import ReaderKey
from storage.sms_received import NewReceived
from tests.web.browsing import Window
from tests.web.portal import Portal, Somebody

HIS, SHOWN = "+33612345678", "+33162000001"
TABS = ("talks", "in", "sent", "write", "away")


class Furnished(Portal):
    """The employee reads and writes for `support`, to which three texts have come."""

    async def _house(self) -> dict[str, Somebody]:
        made = await super()._house()
        async with open_services(self.product.data) as services:
            now = services.clock()
            async with services.db.transaction() as tx:
                person = await people.by_login(tx, made["employee"].login)
                await people.set_roles(tx, person.id, ["employee", "reader"])
                public, secret = key_tools.generate_reader()
                await readers.set_key(tx, ReaderKey(person.id, key_tools.algorithm(public), public, secret, now))
                box = await inboxes.add(tx, "support", "team", now)
                await inboxes.set_member(tx, box.id, person.id, sends=True, sees_sent=True, now=now)
                await readers.grant(tx, person.id, box.purpose, "test", now)
                sender = await inboxes.add_sender(
                    tx, box.id, SHOWN, "number", now, classes=["conversation"], approved_by="d" * 32
                )
            kek = await writer_of(services).ready(box, now)
            async with services.db.transaction() as tx:
                talk = await conversations.open_(tx, box.id, sender.id, HIS, now, kek.not_after)
                new = [
                    NewReceived(
                        id=state[0] * 32, inbox_id=box.id, carrier="one", sender=HIS, recipient=SHOWN,
                        body_sealed=b"x", kek_id=kek.id, purpose="SMS_REPLIES", legal_basis="x", stop=stop, sorting="",
                        rule="", state=state, parts=1, missing=0, received_at=now, expires_at=kek.not_after,
                        sender_id=sender.id, conversation_id=talk,
                    )
                    for state, stop in (("new", "none"), ("held", "ambiguous"), ("aside", "stop"))
                ]  # fmt: skip
                await sms_received.add_all(tx, new)
        return made


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Portal]:
    made = Furnished(tmp_path_factory.mktemp("texts-seen") / "product", product_seed)
    with made.product:
        made.wait_served()
        yield made


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_page_of_an_inbox_is_fit_to_be_seen(portal: Portal, window: Callable[..., Window], language: str) -> None:
    opened = window(portal.people["employee"], language)
    page = opened.open_page("/texts")
    opened.check()
    page.get_by_role("link", name="support", exact=True).click()
    for show in TABS:
        page = opened.open_page(f"/texts/support?show={show}")
        for more in page.locator("main details > summary").all():
            more.click()
        opened.check()


@pytest.mark.promise("P21", "P23")
def test_a_text_is_written_looked_at_and_found_among_the_sent_ones(
    portal: Portal, window: Callable[..., Window]
) -> None:
    opened = window(portal.people["employee"])
    page = opened.open_page("/texts/support?show=write")
    page.get_by_label("To", exact=True).fill("+33 6 12 34 56 78")
    page.get_by_label("Text", exact=True).fill("Hello, your parcel has come.")
    page.get_by_role("button", name="What does it take?").click()
    assert page.get_by_text("This takes 1 part.").is_visible()
    opened.check()
    page.get_by_role("button", name="Send it").click()
    assert page.get_by_text("It leaves now.").is_visible()
    page.get_by_role("link", name="Sent", exact=True).click()
    page.get_by_role("row").nth(1).get_by_role("link").click()
    assert page.get_by_role("heading", name="A text that was sent").is_visible()
    for more in page.locator("main details > summary").all():
        more.click()
    opened.check()
