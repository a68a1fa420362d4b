"""The live board over real calls: seen within two seconds, as they change, ended from the page; by nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from server.services.context import open_services
from storage import accounts, people
from tests.e2e import scene
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.web.browsing import Window, chromium
from tests.web.portal import Portal, Somebody, enrolled

SOON_MS = 2000  # from when a call is so until the board shows it
SIP_MS = 20_000  # for the telephones, and what is said before a conversation
WATCH = """() => {
  window.seen = [];
  const region = document.querySelector("[data-live=live-calls]");
  new MutationObserver(() => {
    const [badge, since] = ["tbody .badge", "tbody [data-since]"].map((what) => region.querySelector(what));
    if (badge && since) window.seen.push([badge.textContent, Date.now(), Number(since.dataset.since)]);
  }).observe(region, { childList: true });
}"""
LINE = "790"


@dataclass
class Floor:
    """`lead` is responsible for the line `desk`, on which bob is too; `other` is of another team."""

    portal: Portal
    lead: Somebody
    other: Somebody
    caller: Phone
    bob: Phone


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Floor]:
    portal = Portal(tmp_path_factory.mktemp("floor") / "product", product_seed)
    product = portal.product
    scene.speak_in_tones(product)

    async def prepared() -> Somebody:
        async with open_services(product.data) as services:
            async with services.db.transaction() as tx:
                person = await people.add(tx, "other-one", "Other One", services.clock(), roles=["supervisor"])
                await accounts.add(tx, "of-other", "750", "of-other", services.clock(), person_id=person.id)
            return await enrolled(services, "other-one")

    other = asyncio.run(prepared())
    with product:
        portal.wait_served()
        product.add_line("desk", LINE, members=["of-supervisor", "bob"], pack="REC_QUALITY", language="fr")
        caller = product.phone("caller", "alice", "udp", says=tones.tone(scene.CALLER_HZ, 60))
        bob = product.phone("bob", "bob", "tls", says=tones.tone(scene.CALLEE_HZ, 60))
        with caller, bob:
            scene.registered(caller, bob)
            yield Floor(portal, portal.people["supervisor"], other, caller, bob)


@pytest.fixture(scope="module")
def browser(floor: Floor) -> Iterator[Browser]:
    with chromium(floor.portal) as launched:
        yield launched


@pytest.fixture
def window(floor: Floor, browser: Browser) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_window(who: Somebody, language: str = "en", **options: Any) -> Window:
        opened.append(Window(browser, floor.portal, who, language, **options))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


def rows(page: Any) -> Locator:
    return page.locator("[data-live=live-calls] tbody tr")  # type: ignore[no-any-return]


@pytest.mark.promise("P7", "P23", "0.4")
def test_a_call_is_seen_changes_and_is_ended_from_the_page(floor: Floor, window: Callable[..., Window]) -> None:
    lead, other = window(floor.lead), window(floor.other)
    page, theirs = lead.open_page("/live"), other.open_page("/live")
    expect(page.get_by_text("Nobody is calling")).to_be_visible()
    lead.check()
    page.evaluate(WATCH)
    asked: list[str] = []
    since = len(floor.bob.events)
    floor.caller.dial(LINE)
    floor.caller.established()
    began = time.monotonic()
    floor.caller.press("1")  # agrees to be recorded
    floor.bob.wait("CALL_INCOMING", since=since)
    row = rows(page)
    expect(row).to_contain_text("rings at bob", timeout=SIP_MS)
    expect(row).to_contain_text("Ringing", timeout=SIP_MS)
    expect(row).to_contain_text("alice")
    lead.context.on("request", lambda request: asked.append(request.url))
    ticking = row.locator("[data-since]").inner_text()
    expect(row.locator("[data-since]")).not_to_have_text(ticking, timeout=SIP_MS)
    assert ":" in ticking and asked == [], "counted in the browser"

    floor.bob.answer()
    expect(row).to_contain_text("Talking", timeout=SIP_MS)
    scene.until(lambda: any(one["recording"] for one in scene.live_calls(floor.portal.product)), "recorded", 15)
    expect(row.get_by_text("recorded", exact=True)).to_be_visible(timeout=SIP_MS)
    floor.bob.hold()
    expect(row).to_contain_text("On hold", timeout=SIP_MS)
    floor.bob.resume()
    expect(row).to_contain_text("Talking", timeout=SIP_MS)
    expect(page.locator("[data-said]")).to_contain_text("1 call now, 0 wait")  # not oftener than every ten seconds
    lead.check()

    path = str(row.get_by_role("link", name="Act").get_attribute("href"))
    stranger = floor.portal.visitor(floor.other)
    token = stranger.get("/").form_token
    assert stranger.get(path).status == 404
    for act in ("/end", "/pause", "/transfer"):
        assert stranger.post(path + act, {"to": "702", "on": "yes"}, token=token).status == 404, act
    expect(rows(theirs)).to_have_count(0)
    assert "alice" not in theirs.content()

    acting = window(floor.lead)
    call = acting.open_page(path)
    acting.check()
    call.get_by_role("button", name="Pause the recording").click()
    expect(call.get_by_role("status").first).to_contain_text("is paused")
    expect(row).to_contain_text("recording paused", timeout=SIP_MS)
    call.get_by_role("button", name="Let it go on").click()
    expect(row.get_by_text("recorded", exact=True)).to_be_visible(timeout=SIP_MS)
    call.locator("summary", has_text="End the call").click()
    call.get_by_role("button", name="End it now").click()
    expect(call.get_by_role("status").first).to_contain_text("The call is ended.")
    floor.caller.closed()
    floor.bob.closed()
    expect(rows(page)).to_have_count(0, timeout=SIP_MS)
    assert time.monotonic() - began < 120
    shown_in_time(page.evaluate("window.seen"))
    lead.check_quiet()


def shown_in_time(seen: list[tuple[str, int, int]]) -> None:
    """Each state that the board has shown, from the browser's clock and the daemon's, which are one here."""
    first: dict[tuple[str, int], int] = {}
    for badge, at_ms, since_ms in seen:
        first.setdefault((badge, since_ms), at_ms)
    late = {badge: at_ms - since_ms for (badge, since_ms), at_ms in first.items() if at_ms - since_ms > SOON_MS}
    assert late == {}, seen
    order = [badge for badge, _ in first]
    assert {"Ringing", "Talking", "On hold"} <= set(order), order
    assert "Beginning" not in order[order.index("Ringing") :], order


@pytest.mark.promise("P4", "P23")
def test_a_call_is_passed_on_from_the_page_and_without_a_script(floor: Floor, window: Callable[..., Window]) -> None:
    product = floor.portal.product
    with product.phone("third", "of-supervisor", "udp", answer="auto") as third:
        scene.registered(third)
        since = len(floor.bob.events)
        floor.caller.dial("bob")
        floor.bob.wait("CALL_INCOMING", since=since)
        floor.bob.answer()
        floor.caller.established()
        opened = window(floor.lead, "fr", java_script_enabled=False)
        page = opened.open_page("/live")
        row = page.locator("tbody tr", has_text="alice")
        expect(row).to_contain_text("En conversation")
        expect(row).to_contain_text("depuis ")
        row.get_by_role("link", name="Agir").click()
        page.get_by_label("Avec qui").fill("nobody-there")
        page.get_by_role("button", name="Transférer").click()
        expect(page.locator(".error")).to_be_visible()
        page.get_by_label("Avec qui").fill("of-supervisor")
        page.get_by_role("button", name="Transférer").click()
        expect(page.get_by_role("status").first).to_contain_text("L’appel est en cours de transfert.")
        third.established()
        floor.bob.closed()
        floor.caller.hang_up()
        third.closed()
