"""Debian's Chromium, driven by Playwright: pages are opened, looked at by axe, and measured at three widths.

Playwright's synchronous way holds the event loop of its thread: modules that use the fixture `browser` hold no
asynchronous tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.web.portal import HOST, LOCAL, Portal, Somebody, kept

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).resolve().parents[1] / "peers" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 20_000  # a machine that has much else to do is slow, not wrong
WIDTHS = {360: 740, 768: 1024, 1280: 900}
_ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
_CONTRAST = {"type": "rule", "values": ["color-contrast"]}

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium(portal: Portal) -> Iterator[Browser]:
    """It knows one name, trusts the portal's certificate, and asks nobody else for anything."""
    certificate = x509.load_pem_x509_certificate((portal.product.data / "tls" / "server.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
    if CHROMIUM is None:
        pytest.skip("no Chromium here; Debian: apt-get install chromium, Ubuntu: snap install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-breakpad",
                f"--host-resolver-rules=MAP {HOST} {LOCAL}, MAP * ~NOTFOUND",
                f"--ignore-certificate-errors-spki-list={digest}",
            ],
        )
        try:
            yield launched
        finally:
            launched.close()


class Window:
    """One person's browser: pages with an eye on what they do. `quiet` fails if they did what they must not."""

    def __init__(
        self, browser: Browser, portal: Portal, who: Somebody | None = None, language: str = "en", **options: Any
    ) -> None:
        locale = {"en": "en-GB", "fr": "fr-FR"}[language]
        size = {"width": 1280, "height": WIDTHS[1280]}
        self.portal, self.language = portal, language
        self.context: BrowserContext = browser.new_context(
            base_url=portal.origin, locale=locale, viewport=size, reduced_motion="reduce", **options
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.strange: list[str] = []
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.strange.append(f"script: {error.error}"))
        self.context.on("request", self._request)
        for name, value in kept(who.session if who else "", language).items():
            self.context.add_cookies([{"name": name, "value": value, "url": portal.origin, "secure": True}])
        self.page: Page = self.context.new_page()

    def _console(self, message: ConsoleMessage) -> None:
        # A page that answers 4xx on purpose is said on the console as well.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.strange.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != self.portal.authority:
            self.strange.append(f"asked another host: {request.url}")

    def open_page(self, path: str, status: int = 200) -> Page:
        answer = self.page.goto(path)
        assert answer is not None and answer.status == status, (path, answer and answer.status)
        return self.page

    def check(self, page: Page | None = None) -> None:
        """All that holds for every page: accessible, at every width, in both themes, and quiet."""
        check_axe(page or self.page, ("dark", "light") if self.language == "en" else ("light",))
        check_widths(page or self.page)
        self.check_quiet()

    def check_quiet(self) -> None:
        """No policy was violated, no script failed, nobody else was asked for anything."""
        assert self.strange == []

    def close(self) -> None:
        self.context.close()


def check_axe(page: Page, themes: Sequence[Literal["dark", "light"]] = ("dark", "light")) -> None:
    """WCAG 2.2 A and AA as far as a program can tell; in the dark contrast alone."""
    page.evaluate(_axe())
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        rules = _CONTRAST if theme == "dark" else _ALL
        found = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules)
        said = [
            f"{one['id']} ({theme}): {node['html'][:200]} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]
        assert said == [], f"{page.url}\n" + "\n".join(said)


def check_widths(page: Page) -> None:
    """A phone, a tablet, a desk: nobody scrolls sideways."""
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} wide at {width}: {_widest(page, width)}"


def _widest(page: Page, width: int) -> str:
    script = """width => JSON.stringify([...document.querySelectorAll('main *, .top *')]
        .filter(e => e.getBoundingClientRect().right > width + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120)))"""
    return "; ".join(json.loads(page.evaluate(script, width)))


def _axe() -> str:
    assert AXE.exists(), "type: scripts/test --install-only"
    return AXE.read_text() + "; undefined"
