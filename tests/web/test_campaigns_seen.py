"""A whole campaign in a browser, from its words to its figures, over a message centre that is another program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import scene
from tests.peers.message_centre import MessageCentre
from tests.web.browsing import Window
from tests.web.portal import Portal
from tests.web.selling_house import AGREED, NOBODY, SENDER, selling

OFFER = "Xylophonquartett"
SCRIPT = "<script>document.title='taken'</script>"
ROWS = [*((number, f"Zéphyrine{n}") for n, number in enumerate(AGREED)), (NOBODY, SCRIPT)]
WRONG = [(AGREED[0], "again"), ("112", "x"), ("", "=HYPERLINK(1)"), ("twelve", "+1+1")]


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]
) -> Iterator[tuple[Portal, MessageCentre]]:
    with selling(tmp_path_factory.mktemp("campaigns-seen"), product_seed) as made:
        yield made


@pytest.fixture(scope="module")
def portal(house: tuple[Portal, MessageCentre]) -> Portal:
    return house[0]


def csv(rows: list[tuple[str, str]]) -> dict[str, Any]:
    """As French Excel writes it."""
    text = "Mobile;Prénom\r\n" + "".join(f"{number};{name}\r\n" for number, name in rows)
    return {"name": "<b>list</b>.csv", "mimeType": "text/csv", "buffer": text.encode("cp1252")}


def written(opened: Window, name: str, per_minute: int = 6000) -> Page:
    page = opened.open_page("/campaigns")
    page.get_by_role("link", name="New campaign").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("What consents have to be for").select_option("telecom")
    page.get_by_label("Messages a minute at most").fill(str(per_minute))
    page.get_by_label("Text", exact=True).fill(f"Bonjour {{Prénom}}, {OFFER} ce soir.")
    expect(page.get_by_text("1 part each")).to_be_visible()
    expect(page.locator(".measured mark").last).to_contain_text("STOP")
    page.get_by_role("button", name="Write it down").click()
    expect(page.get_by_text("Now give it its list.")).to_be_visible()
    return page


def listed(opened: Window, page: Page, rows: list[tuple[str, str]]) -> None:
    page.get_by_label("File").set_input_files(files=[csv(rows)])
    page.get_by_role("button", name="Send and look").click()
    expect(page.get_by_role("heading", name="What was understood")).to_be_visible()


@pytest.mark.promise("1.1", "1.4", "1.7", "1.15", "0.16", "P22", "P23")
def test_a_campaign_from_its_words_to_its_figures(
    house: tuple[Portal, MessageCentre], window: Callable[..., Window]
) -> None:
    """Written and listed by one person, approved by another, and gone out to those alone who have agreed."""
    portal, centre = house
    opened = window(portal.people["supervisor"])
    page = written(opened, "summer")
    listed(opened, page, [*ROWS, *WRONG])
    expect(page.get_by_text("the same number as in line 2")).to_be_visible()
    opened.check()
    expect(page.get_by_text("the number is missing")).to_be_visible()
    assert AGREED[0] not in page.content() and "twelve" not in page.content()
    page.get_by_role("button", name="Take 6 lines").click()
    expect(page.get_by_text("or say that they are left out").first).to_be_visible()
    page.get_by_label("Leave out 4 lines that cannot be used").check()
    page.get_by_role("button", name="Take 6 lines").click()
    expect(page.get_by_text("Now simulate it.")).to_be_visible()

    page.get_by_role("button", name="Simulate it").click()
    expect(page.get_by_role("heading", name="Of 6 recipients")).to_be_visible()
    expect(page.get_by_text("No consent of theirs is known").first).to_be_visible()
    opened.check()
    page.get_by_role("link", name="To the campaign").click()
    page.get_by_role("button", name="Submit it for approval").click()
    expect(page.get_by_text("you cannot approve it").first).to_be_visible()

    other = window(portal.people["dpo"], "fr")
    theirs = other.open_page("/campaigns/summer")
    other.check()
    assert OFFER in theirs.content() and AGREED[0] not in theirs.content() and "Zéphyrine0" not in theirs.content()
    theirs.get_by_role("button", name="Approuver").click()
    expect(theirs.get_by_text("Plus rien n’en change").first).to_be_visible()
    other.check()

    page.reload()
    page.get_by_role("button", name="Start it").click()
    scene.until(lambda: len(centre.given()) == len(AGREED), "the network has all of them", timeout_s=60)
    assert set(centre.given()) == set(AGREED)
    assert all(len(texts) == 1 and b"STOP" in texts[0] for texts in centre.given().values())
    centre.brings("r1", AGREED[0], SENDER, "oui")
    centre.brings("r2", AGREED[1], SENDER, "STOP")
    scene.until(lambda: _figures(page) == ["6", "5", "0", "2", "1"], "the figures are there", timeout_s=60)
    opened.check()
    page.get_by_role("link", name="Line by line").click()
    assert page.get_by_text("gets nothing").count() >= 1
    opened.check()
    opened.open_page("/campaigns")
    opened.check()
    assert page.title() != "taken"


def _figures(page: Page) -> list[str]:
    page.goto("/campaigns/summer")
    return [each.inner_text() for each in page.locator(".figure-value").all()]


@pytest.mark.promise("P22", "P23")
def test_a_running_campaign_is_followed_while_it_is_looked_at(
    house: tuple[Portal, MessageCentre], window: Callable[..., Window]
) -> None:
    """Nothing is loaded anew; it is held, goes on, and is ended for good."""
    portal, _ = house
    opened = window(portal.people["supervisor"])
    page = written(opened, "slow", 20)
    page.set_viewport_size({"width": 360, "height": 740})
    listed(opened, page, ROWS)
    page.get_by_role("button", name="Take 6 lines").click()
    page.get_by_role("button", name="Simulate it").click()
    page.get_by_role("link", name="To the campaign").click()
    page.get_by_role("button", name="Submit it for approval").click()
    theirs = window(portal.people["dpo"]).open_page("/campaigns/slow")
    theirs.locator("summary", has_text="Show in clear").click()
    theirs.get_by_label("Why do you need it in clear?").fill("approving it")
    theirs.get_by_role("button", name="Show in clear").click()
    expect(theirs.get_by_text("Bonjour Zéphyrine0").first).to_be_visible()
    theirs.get_by_role("button", name="Approve it").click()
    page.reload()
    page.get_by_role("button", name="Start it").click()
    expect(page.locator("[data-live]")).to_have_count(1)
    expect(page.locator("[data-live]").get_by_text("have it", exact=False).first).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_role("button", name="Let it run on")).to_be_visible()
    opened.check()


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_is_not_understood_is_said(portal: Portal, window: Callable[..., Window], language: str) -> None:
    """No list at all, no column with numbers, a spreadsheet: beside the field, and nothing is kept of it."""
    opened = window(portal.people["supervisor"], language)
    name = f"wrong-{language}"
    page = opened.open_page("/campaigns/_new")
    page.locator("#f-name").fill(name)
    page.locator("#f-template").fill("Salut {x}")
    page.locator("button[value=save]").click()
    for body, said in (
        (b"A;B\n1;2\n", {"en": "No column is named", "fr": "Aucune colonne ne porte"}),
        (b"PK\x03\x04" + b"0" * 100, {"en": "This is a spreadsheet", "fr": "C’est un classeur"}),
        (b"\0\0\0", {"en": "The file is no text", "fr": "Le fichier n’est pas du texte"}),
    ):
        page.locator("#f-file").set_input_files(files=[{"name": "x.csv", "mimeType": "text/csv", "buffer": body}])
        page.locator("main form[enctype] button").click()
        expect(page.locator("#failure")).to_contain_text(said[language])
    opened.check()
