"""Conversations with their words in the browser: a message centre that is another program brings and takes them;
whoever reads the inbox unlocks once, reads, answers, and sees what comes; nothing of it lies anywhere in clear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from server.services.context import open_services
from storage import people
from tests.e2e import scene
from tests.e2e.scene import Reader
from tests.peers.message_centre import MessageCentre, connect
from tests.peers.product import run_cli
from tests.web.browsing import Window, chromium
from tests.web.portal import Portal, Somebody, enrolled

OURS, ALSO_OURS, CUSTOMER = "+33162000001", "+33162000002", "+33612345001"
QUESTION, ANSWER, MORE, RISKY = "Quetzalcoatlus", "Xylophonquartett", "Zwergpinscher", "Kugelschreiber"
FIRST, SECOND = "Drosselbart", "Rumpelstilz"
UNSENT, MEANWHILE = "Nachtigallenschlag", "Turteltaubenpaar"
AT_ONCE_MS = 10_000


@dataclass
class Post:
    portal: Portal
    who: Somebody
    key: Reader
    centre: MessageCentre

    def ask(self, *args: str) -> Any:
        done = run_cli(self.portal.product.data, *args, "--json")
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return json.loads(done.stdout)

    def brings(self, name: str, words: str) -> None:
        self.centre.brings(name, CUSTOMER, OURS, words)

    def given(self) -> list[bytes]:
        return self.centre.given().get(CUSTOMER, [])

    @property
    def conversation(self) -> str:
        [talk] = self.ask("inbox", "conversations", "sales", "--as", "reader")
        return f"/texts/sales/conversation/{talk['id']}"


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Post]:
    place = tmp_path_factory.mktemp("words")
    portal = Portal(place / "product", product_seed)
    product = portal.product

    async def prepared() -> Somebody:
        async with open_services(product.data) as services:
            async with services.db.transaction() as tx:
                person = await people.by_login(tx, "reader")
                await people.set_roles(tx, person.id, ["employee", "reader", "dpo"])
            return await enrolled(services, "reader")

    with MessageCentre(place / "journal") as centre:
        connect(product, centre)
        who = asyncio.run(prepared())
        with product:
            portal.wait_served()
            made = Post(portal, who, scene.first_reader(product), centre)
            scene.until(lambda: made.ask("carrier", "list")[0]["health"] == "up", "the carrier is up", 20)
            made.ask("inbox", "add", "sales")
            made.ask("inbox", "member", "sales", "reader", "--read", "--send", "--sent")
            for ours in (ALSO_OURS, OURS):
                made.ask("inbox", "sender", "add", "sales", ours, "--classes", "conversation", "--approved-by",
                         "reader")  # fmt: skip
            made.brings("q", f"Bonjour, {QUESTION} ?")
            scene.until(lambda: len(made.ask("inbox", "show", "sales", "--as", "reader")) == 1, "it is there", 20)
            yield made


@pytest.fixture(scope="module")
def browser(post: Post) -> Iterator[Browser]:
    with chromium(post.portal) as launched:
        yield launched


@pytest.fixture
def window(post: Post, browser: Browser) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_window(language: str = "en", **options: Any) -> Window:
        opened.append(Window(browser, post.portal, post.who, language, **options))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


def unlocked(page: Page, post: Post) -> None:
    """Where it is not yet."""
    if not page.get_by_role("button", name="Unlock").count():
        return
    page.get_by_label("Passphrase of your reader's key").fill(post.key.passphrase)
    page.get_by_label("Code of your authenticator for that key").fill(post.key.code())
    page.get_by_label("Why do you read?").fill("answering customers")
    page.get_by_role("button", name="Unlock").click()
    expect(page.get_by_role("log")).to_be_visible()


@pytest.mark.promise("0.1", "0.4", "0.6", "1.9", "1.14", "L16", "P21", "P23")
def test_whoever_reads_an_inbox_unlocks_once_reads_answers_and_sees_what_comes(
    post: Post, window: Callable[..., Window]
) -> None:
    opened = window()
    page = opened.open_page("/texts/sales?show=talks")
    page.get_by_role("link", name="+33").first.click()
    expect(page.get_by_role("heading", name="Read the words")).to_be_visible()
    assert QUESTION not in page.content()
    opened.check()
    unlocked(page, post)
    log = page.get_by_role("log", name="Conversation")
    expect(log.locator(".came .thread-words")).to_have_text(f"Bonjour, {QUESTION} ?")
    opened.check()

    page.get_by_label("Answer", exact=True).fill(f"Oui : {ANSWER} <b>14 h</b>")
    page.get_by_role("button", name="Send it").click()
    expect(log.locator(".ours .thread-words")).to_have_text(f"Oui : {ANSWER} <b>14 h</b>")
    scene.until(lambda: any(ANSWER.encode() in one for one in post.given()), "the network has the answer", 30)
    expect(log.locator(".ours .thread-when")).to_contain_text("arrived", timeout=AT_ONCE_MS * 2)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.get_by_label("Answer", exact=True).fill("what is typed stays")
    post.brings("m", f"Merci ! {MORE}")
    expect(log.locator(".came .thread-words")).to_have_text([f"Bonjour, {QUESTION} ?", f"Merci ! {MORE}"],
                                                            timeout=AT_ONCE_MS)  # fmt: skip
    assert set(asked) == {post.conversation}, "words come with the page, which asks for itself, and by no other way"
    expect(page.get_by_label("Answer", exact=True)).to_have_value("what is typed stays")
    opened.check()
    assert page.evaluate("fetch(location.pathname).then((answer) => answer.headers.get('Cache-Control'))") == "no-store"

    stranger = post.portal.visitor(post.portal.people["employee"])
    token = stranger.get("/").form_token
    assert stranger.get(post.conversation).status == 404
    for act in ("/unlock", "/reply"):
        sent = {"words": "x", "reason": "curiosity", "password": "x", "code": "1"}
        assert stranger.post(post.conversation + act, sent, token=token).status == 404, act
    shown = [
        one
        for one in scene.entries(post.portal.product, "access")
        if (one["action"], one["object"]) == ("show", "text")
    ]
    assert len(shown) == 3, "each text once, however often it is looked at"


def test_what_comes_while_a_change_is_taken_in_is_not_lost(post: Post, window: Callable[..., Window]) -> None:
    """The page is asked for anew, and its answer is a while on its way, is lost, or is an error: what came after it was
    made is shown all the same."""
    opened = window()
    page = opened.open_page(post.conversation)
    unlocked(page, post)
    with page.expect_response(lambda answer: answer.request.resource_type == "fetch"):  # once when it is opened
        page.reload()
    log, waiting = page.get_by_role("log"), list[Route]()
    meanwhile: list[Callable[[Route], None]] = [
        waiting.append,
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, body="later"),
    ]
    page.route(f"**{post.conversation}", lambda route: (meanwhile.pop(0) if meanwhile else Route.continue_)(route))
    post.brings("first", FIRST)
    for _ in range(400):
        if waiting:
            break
        page.wait_for_timeout(50)
    [route] = waiting
    answer = post.portal.visitor(post.who).get(post.conversation).text
    assert FIRST in answer and SECOND not in answer
    told = page.locator("[data-marker]").get_attribute("data-marker")
    post.brings("second", SECOND)
    expect(page.locator("[data-marker]")).not_to_have_attribute("data-marker", str(told))
    route.fulfill(body=answer, content_type="text/html; charset=utf-8")
    expect(log).to_contain_text(FIRST)
    expect(log).to_contain_text(SECOND, timeout=AT_ONCE_MS)
    assert not meanwhile
    opened.check()


@pytest.mark.promise("0.1", "L16")
def test_an_answer_outlives_the_lock_and_no_word_of_others_does(post: Post, window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.open_page(post.conversation)
    unlocked(page, post)
    log, answer = page.get_by_role("log"), page.get_by_label("Answer", exact=True)
    expect(log).to_contain_text(QUESTION)
    answer.fill(f"  {UNSENT} <i>é</i>")
    assert post.portal.visitor(post.who).post(f"{post.conversation}/lock").status == 303, "in another tab, say"
    post.brings("l", MEANWHILE)
    expect(page.get_by_text("What you have written stays here")).to_be_visible()
    expect(log.get_by_role("listitem")).to_have_count(0)
    expect(answer).to_have_value(f"  {UNSENT} <i>é</i>")
    opened.check()
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("Your answer has not been sent.")).to_be_visible()
    assert UNSENT.encode() not in b"".join(post.given())
    opened.check()
    unlocked(page, post)
    expect(answer).to_have_value(f"{UNSENT} <i>é</i>")
    expect(log).to_contain_text(MEANWHILE)
    page.get_by_role("button", name="Send it").click()
    expect(log.locator(".ours .thread-words").last).to_have_text(f"{UNSENT} <i>é</i>")


@pytest.mark.promise("1.14")
def test_what_is_risky_is_set_apart_and_opened_by_itself(post: Post, window: Callable[..., Window]) -> None:
    opened = window("fr")
    page = opened.open_page(post.conversation)
    if page.get_by_role("button", name="Déverrouiller").count():
        page.get_by_label("Pourquoi lisez-vous ?").fill("répondre aux clients")
        page.get_by_label("Phrase secrète de votre clé d’écoute").fill(post.key.passphrase)
        page.get_by_label("Code de votre application d’authentification pour cette clé").fill(post.key.code())
        page.get_by_role("button", name="Déverrouiller").click()
    expect(page.get_by_role("log")).to_contain_text(QUESTION)
    post.brings("r", f"Votre colis {RISKY} est bloque, payez 1,99 : https://bit.ly/2abcdef")
    scene.until(lambda: any(one["state"] == "held" for one in post.ask("inbox", "show", "sales", "--as", "reader")),
                "it is held, for it may be a STOP, too", 30)  # fmt: skip
    expect(page.get_by_text("1 message est mis à part.")).to_be_visible()
    expect(page.get_by_role("log")).not_to_contain_text(RISKY)
    opened.check()
    page.get_by_role("link", name="Voir ce qui est mis à part").click()
    expect(page.get_by_role("log")).to_contain_text(RISKY)
    expect(page.get_by_role("log").get_by_role("link")).to_have_count(0)
    opened.check()


@pytest.mark.promise("0.1", "L16")
def test_no_word_is_left_in_clear_and_the_room_goes_with_the_session(post: Post, window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.open_page(post.conversation)
    page.locator("form[action='/sign-out'] button").click()
    assert post.portal.visitor(post.who).get(post.conversation).to.startswith("/sign-in")
    post.centre.journal.unlink()  # of the centre, which is the outside world
    wanted = {one: one.encode() for one in (QUESTION, ANSWER, MORE, FIRST, SECOND, RISKY, UNSENT, MEANWHILE)}
    wanted |= {"the number": CUSTOMER[1:].encode()}
    assert post.portal.product.traces(wanted) == {}
