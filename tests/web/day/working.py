"""Somebody's working day in a browser: they click what is on the page, by its words, and each page is looked at."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect

from server.web.language import translations
from tests.e2e import scene
from tests.web.browsing import WIDTHS, Window, check_axe
from tests.web.day.company import ROLES, ROOT, Company, Newcomer
from tests.web.portal import Somebody
from tests.web.test_sign_in import with_authenticator

PASSWORD = "seven quiet herons cross"
SHOTS = ROOT / "build" / "test-results" / "day"
DESK = 1280
TYPED = "input:not([type=radio]):not([type=checkbox]), textarea"
CHOSEN = "input[type=radio], input[type=checkbox]"
_LOOKED_AT = set[tuple[str, str]]()
"""Pages of the menu that somebody of this language has looked at in this process."""


class Day:
    """`say` gives the words of the page in this person's language; all that is named by words takes them in English."""

    def __init__(self, company: Company, browser: Browser, who: Newcomer) -> None:
        self.company, self.who, self.language = company, who, who.language
        self.me = Somebody(who.login, PASSWORD, "")
        self.window = Window(browser, company, None, who.language)
        self.page: Page = self.window.page
        self._shots = SHOTS / who.language
        self._shots.mkdir(parents=True, exist_ok=True)
        self._seen = 0
        self._visited = set[str]()
        for old in self._shots.glob(f"{who.role}-*"):
            old.unlink()

    # --- words --------------------------------------------------------------------------------------------------------

    def say(self, text: str, **values: object) -> str:
        """What stands in the catalogue is what has to stand on the page."""
        if self.language != "en":
            catalogue = translations(self.language)
            assert text in catalogue._catalog, f"not translated: {text}"  # type: ignore[attr-defined]
            text = catalogue.gettext(text)
        return text % values if values else text

    def button(self, words: str, *, within: Locator | None = None, exact: bool = True, **values: object) -> Locator:
        return (within or self.page).get_by_role("button", name=self.say(words, **values), exact=exact)

    def field(self, words: str, kind: str = TYPED, *, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_label(self.say(words)).and_(self.page.locator(kind)).first

    def fact(self, words: str) -> str:
        """What stands beside this term."""
        term = self.page.locator("dt").get_by_text(self.say(words), exact=True)
        return self.page.locator("dl.facts > div").filter(has=term).locator("dd").first.inner_text().strip()

    # --- doing --------------------------------------------------------------------------------------------------------

    def go(self, words: str) -> None:
        """By the menu."""
        menu = self.page.get_by_role("navigation", name=self.say("Pages"))
        menu.get_by_role("link", name=self.say(words), exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    def link(self, words: str, *, within: Locator | None = None, **values: object) -> None:
        (within or self.page.locator("main")).get_by_role("link", name=self.say(words, **values)).first.click()

    def follow(self, name: str) -> None:
        """A link that is called the same in every language."""
        self.page.locator("main").get_by_role("link", name=name, exact=True).first.click()

    def write(self, words: str, value: str, *, within: Locator | None = None) -> None:
        self.field(words, within=within).fill(value)

    def choose(self, words: str, value: str, *, within: Locator | None = None) -> None:
        self.field(words, "select", within=within).select_option(value)

    def tick(self, words: str, *, within: Locator | None = None) -> None:
        self.field(words, CHOSEN, within=within).check()

    def press(
        self, words: str, *, within: Locator | None = None, exact: bool = True, nth: int = 0, **values: object
    ) -> None:
        self.button(words, within=within, exact=exact, **values).nth(nth).click()

    def unfold(self, words: str, *, within: Locator | None = None) -> None:
        (within or self.page).locator("summary", has_text=self.say(words)).first.click()

    def told(self, words: str, **values: object) -> None:
        """What the page says of what was done."""
        expect(self.page.get_by_role("status").first).to_contain_text(self.say(words, **values))

    def shows(self, words: str, **values: object) -> None:
        expect(self.page.locator("main").get_by_text(self.say(words, **values)).first).to_be_visible()

    def reads(self, text: str) -> None:
        """That this stands there, whatever the language."""
        expect(self.page.locator("main")).to_contain_text(text)

    def until(self, words: str, **values: object) -> None:
        """Loads the page again until it shows this."""
        self.until_there(self.page.locator("main").get_by_text(self.say(words, **values)))

    def until_there(self, found: Locator, times: int = 1) -> None:
        """So many of them, or more."""
        scene.until(lambda: found.count() >= times or not self.page.reload(), f"{found} is on the page", 30, 0.3)

    def verifies_the_ledger(self) -> None:
        """On its page."""
        self.press("Verify all of it")
        self.shows("All of it was read. Nobody has changed it.")

    # --- looking ------------------------------------------------------------------------------------------------------

    def look(self, name: str) -> None:
        """Accessible, nobody scrolls sideways, nothing strange happened; and a picture of it at each width."""
        self._seen += 1
        self._visited.add(urlsplit(self.page.url).path)
        _LOOKED_AT.add((self.language, urlsplit(self.page.url).path))
        check_axe(self.page, ("light",))
        for width, height in sorted(WIDTHS.items()):
            self.page.set_viewport_size({"width": width, "height": height})
            wide = self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{self.page.url} is {wide} wide at {width}"
            self.page.evaluate("scrollTo(0, 0)")
            place = self._shots / f"{self.who.role}-{self._seen:02}-{name}-{width}.jpg"
            self.page.screenshot(path=place, type="jpeg", quality=60, full_page=True)
        self.page.set_viewport_size({"width": DESK, "height": WIDTHS[DESK]})
        self.window.check_quiet()

    def glance(self) -> None:
        """Narrow enough for a telephone, and nothing strange happened."""
        self.page.set_viewport_size({"width": 360, "height": WIDTHS[360]})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= 360, self.page.url
        self.page.set_viewport_size({"width": DESK, "height": WIDTHS[DESK]})
        self.window.check_quiet()

    def rest_of_the_menu(self) -> None:
        """Each page of the menu that was not looked at yet. One that a colleague has looked at has a glance."""
        for path in self.menu():
            if path not in self._visited and not path.startswith("#"):
                menu = self.page.get_by_role("navigation", name=self.say("Pages"))
                menu.locator(f"a[href='{path}']").click()
                expect(self.page).to_have_url(f"{self.company.origin}{path}")
                if (self.language, path) in _LOOKED_AT:
                    self.glance()
                else:
                    self.look(path.strip("/").replace("/", "-") or "start")

    def menu(self) -> list[str]:
        """Where the menu leads."""
        links = self.page.get_by_role("navigation", name=self.say("Pages")).get_by_role("link")
        return [str(link.get_attribute("href")) for link in links.all()]

    # --- the way in ---------------------------------------------------------------------------------------------------

    def begin(self, *, by: str = "app") -> None:
        """From the link of the invitation to the first page. `by`: app or passkey. These pages are the same for all, so
        they are looked at on the employee's day."""
        look = self.look if self.who.role == "employee" else _not_at
        if by == "passkey":
            self.devtools, self.device = with_authenticator(self.window)
        self.page.goto(urlsplit(self.who.link).path)
        look("invitation")
        self.write("Password", PASSWORD)
        self.write("The same once more", PASSWORD)
        self.press("Continue")
        self.page.wait_for_url("**/enrol")
        look("second-proof")
        if by == "passkey":
            self.press("Make a passkey")
        else:
            self.unfold("Type it instead")
            self.me.totp_secret = self.page.locator(".secret-value code").inner_text()
            self.write("Code of your authenticator app", self.me.code())
            self.press("Continue")
        codes = self.page.locator(".codes li")
        expect(codes).to_have_count(10)
        self.me.recovery = codes.all_inner_texts()
        look("recovery-codes")
        self.link("I have them: go on")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(self.say("Hello, %(name)s", name=self.who.name))
        if self.who.role in ROLES:
            self.look("start")

    def sign_out(self) -> None:
        self.button("Sign out").first.click()
        self.told("You have signed out.")

    def sign_in(self, *, by: str = "app") -> None:
        """`by`: app, passkey or recovery."""
        self.write("Login", self.me.login)
        self.write("Password", self.me.password)
        self.press("Continue")
        if self.who.role == "employee" or by == "passkey":
            self.look("second-factor")
        if by == "passkey":
            self.press("Use a passkey")
        elif by == "recovery":
            self.link("Phone lost? Use a recovery code")
            self.write("Recovery code", self.me.recovery.pop())
            self.press("Sign in")
        else:
            self.write("Code of your authenticator app", self.me.code())
            self.press("Sign in")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(self.say("Hello, %(name)s", name=self.who.name))

    def close(self) -> None:
        self.window.close()


def _not_at(_name: str) -> None:
    """Looked at elsewhere."""
