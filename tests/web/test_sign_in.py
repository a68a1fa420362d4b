"""The way in, as people go it: an invitation, a password, a second factor; what is lost, and what others try."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyotp
import pytest
from playwright.sync_api import Page, expect

from server import passwords
from server.services import sign_in as sign_in_service
from server.web.language import translations
from tests.web.browsing import Window
from tests.web.portal import SESSION, Portal, Somebody

NEW = "seven quiet herons cross"
OPENED = Callable[..., Window]


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Somebody:
    """Somebody of this module's own, who came by her link and holds an authenticator."""
    visitor = portal.visitor()
    link = portal.invite("anna", "employee")
    token = visitor.get(link).form_token
    assert visitor.post(link, {"password": NEW, "password_again": NEW}, token=token).to == "/enrol"
    page = visitor.get("/enrol")
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)
    assert secret
    made = Somebody("anna", NEW, secret[1])
    answer = visitor.post("/enrol/authenticator", {"code": made.code()}, token=page.form_token)
    assert answer.status == 200
    made.recovery = re.findall(r"<li><code>([^<]+)</code>", answer.text)
    made.session = visitor.cookies[SESSION]
    return made


def password(page: Page, who: Somebody, then: str = "/") -> None:
    page.goto(f"/sign-in?next={then}")
    page.get_by_label("Login").fill(who.login)
    page.get_by_label("Password").fill(who.password)
    page.get_by_role("button", name="Continue").click()


def sign_in(page: Page, who: Somebody, then: str = "/") -> None:
    """By a recovery code: an authenticator's comes every half a minute."""
    password(page, who, then)
    page.get_by_role("link", name="Phone lost?").click()
    page.get_by_label("Recovery code").fill(who.recovery.pop())
    page.get_by_role("button", name="Sign in").click()


def make_stale(portal: Portal, session: str) -> None:
    """As if it were ten minutes since the second factor was given."""
    with closing(sqlite3.connect(portal.product.data / "beffroi.sqlite3", timeout=10)) as database, database:
        digest = hashlib.sha256(session.encode()).digest()
        done = database.execute("UPDATE sessions SET fresh_until = NULL WHERE token_sha256 = ?", (digest,))
        assert done.rowcount == 1


def with_authenticator(window: Window) -> Any:
    """A device that keeps passkeys, and a finger on it."""
    devtools = window.context.new_cdp_session(window.page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return devtools, made["authenticatorId"]


@pytest.mark.promise("0.2")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_first_way_in_by_an_authenticator(portal: Portal, window: OPENED, language: str) -> None:
    """From the link to the first page, each page checked; the link is good for nothing afterwards.

    Whoever invited guessed the language wrong: that of the browser stays, also in the next browser.
    """
    french = language == "fr"
    login = f"berthe-{language}"
    link = portal.invite(login, "employee", "en" if french else "fr")
    opened = window(language=language)
    opened.context.clear_cookies()
    page = opened.open_page(link)
    opened.check()
    page.get_by_label("Mot de passe" if french else "Password").fill("short")
    page.get_by_label("Le même encore une fois" if french else "The same once more").fill("short")
    page.get_by_role("button", name="Continuer" if french else "Continue").click()
    expect(page.get_by_role("alert")).to_be_visible()
    opened.check()
    page.get_by_label("Mot de passe" if french else "Password").fill(NEW)
    page.get_by_label("Le même encore une fois" if french else "The same once more").fill(NEW)
    page.get_by_role("button", name="Continuer" if french else "Continue").click()
    page.wait_for_url("**/enrol")
    opened.check()
    assert SESSION not in {cookie["name"] for cookie in opened.context.cookies()}, "a password alone opens nothing"
    page.get_by_text("Le saisir à la main" if french else "Type it instead").click()
    secret = page.locator(".secret-value code").inner_text()
    page.get_by_label("Code de votre" if french else "Code of your").fill("000000")
    page.get_by_role("button", name="Continuer" if french else "Continue").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert page.locator(".secret-value code").text_content() == secret, "the same picture to scan"
    page.get_by_label("Code de votre" if french else "Code of your").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Continuer" if french else "Continue").click()
    assert page.locator(".codes li").count() == 10
    opened.check()
    page.get_by_role("link", name="Je les ai" if french else "I have them").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{'Bonjour' if french else 'Hello'}, {login.title()}")
    opened.check()
    cookies = opened.context.cookies()
    assert "__Host-look" not in {cookie["name"] for cookie in cookies}, "nothing of the browser's own decides"
    other = portal.visitor()
    other.cookies = {SESSION: next(cookie["value"] for cookie in cookies if cookie["name"] == SESSION)}
    assert f'<html lang="{language}"' in other.get("/").text
    late = window(language=language)
    late.open_page(link, status=404)
    late.check()


@pytest.mark.promise("0.2")
def test_the_first_way_in_by_a_passkey_and_the_next(portal: Portal, window: OPENED) -> None:
    link = portal.invite("chloe", "employee")
    opened = window()
    devtools, device = with_authenticator(opened)
    page = opened.open_page(link)
    page.get_by_label("Password").fill(NEW)
    page.get_by_label("The same once more").fill(NEW)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Make a passkey").click()
    expect(page.locator(".codes li")).to_have_count(10)
    assert len(devtools.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"]) == 1
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You have signed out.")

    password(page, Somebody("chloe", NEW, ""), "/account")
    opened.check()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/account")
    expect(page.get_by_role("cell", name="My first passkey")).to_be_visible()
    opened.check()

    page.get_by_text("Rename").first.click()
    page.get_by_label("What you call it").first.fill("Laptop <b>")
    page.locator("details[open]").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("cell", name="Laptop <b>")).to_be_visible()
    page.get_by_text("Remove", exact=True).click()
    page.get_by_role("button", name="Remove this passkey").click()
    expect(page.get_by_role("alert")).to_be_visible()  # the last second factor stays
    opened.check_quiet()


def test_without_a_script_all_but_passkeys_works(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window(java_script_enabled=False)
    sign_in(opened.page, anna)
    expect(opened.page.get_by_role("heading", level=1)).to_have_text("Hello, Anna")
    opened.open_page("/account")
    assert not opened.page.get_by_role("button", name="Add a passkey").is_visible()
    opened.page.get_by_role("button", name="Sign out", exact=True).click()
    expect(opened.page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.promise("0.2")
def test_a_recovery_code_counts_once(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    page, code = opened.page, anna.recovery.pop()
    left = len(anna.recovery)
    for attempt in range(2):
        password(page, anna)
        page.get_by_role("link", name="Phone lost?").click()
        if not attempt:
            opened.check()
        page.get_by_label("Recovery code").fill(f" {code.upper()} ")
        page.get_by_role("button", name="Sign in").click()
        if not attempt:
            expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Anna")
            opened.open_page("/account")
            expect(page.get_by_text(f"{left} left")).to_be_visible()
            page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert SESSION not in {cookie["name"] for cookie in opened.context.cookies()}


def test_unknown_and_wrong_are_answered_alike(portal: Portal, anna: Somebody) -> None:
    """Neither words nor status tell whether there is somebody of that name."""
    said = []
    for login, secret in ((anna.login, "wrong"), ("nobody-here", "wrong"), ("anna' OR 1=1 --", "wrong")):
        answer = portal.visitor().post("/sign-in", {"login": login, "password": secret})
        alert = re.search(r'role="alert"[^>]*>([^<]*)<', answer.text)
        said.append((answer.status, alert and alert[1], "value=" in answer.text))
    assert said[0] == said[1] == said[2]
    assert said[0][0] == 403


def test_a_wrong_code_is_told_and_a_used_one_does_not_count(portal: Portal) -> None:
    visitor, who = portal.visitor(), portal.people["quality"]
    code = who.code()
    for given, status in ((code, 303), (code, 403), ("123", 403)):
        answer = visitor.post("/sign-in", {"login": who.login, "password": who.password})
        assert answer.to == "/sign-in/second"
        done = visitor.post("/sign-in/second", {"code": given}, token=visitor.get("/sign-in/second").form_token)
        assert done.status == status
        visitor.cookies.pop(SESSION, None)


def test_a_session_of_before_is_worth_nothing_after(portal: Portal) -> None:
    """Whoever plants cookies learns nothing: each sign-in makes its own session (session fixation)."""
    visitor, who = portal.visitor(), portal.people["legal"]
    visitor.cookies = {SESSION: "planted", "__Host-visit": "planted-too"}
    token = visitor.get("/sign-in").form_token
    visitor.post("/sign-in", {"login": who.login, "password": who.password}, token=token)
    answer = visitor.post("/sign-in/second", {"code": who.code()}, token=visitor.get("/sign-in/second").form_token)
    assert answer.status == 303
    assert visitor.cookies[SESSION] != "planted"
    assert "__Host-visit" not in visitor.cookies
    assert visitor.get("/").status == 200
    thief = portal.visitor()
    thief.cookies = {SESSION: "planted"}
    assert thief.get("/").to == "/sign-in"
    assert visitor.post("/account/passkeys/x/remove", token=token).status == 403, "forms of before do not count either"


def test_cookies_are_ours_alone_and_no_script_reads_them(portal: Portal, anna: Somebody) -> None:
    visitor = portal.visitor()
    answer = visitor.post("/sign-in", {"login": anna.login, "password": anna.password})
    given = answer.headers.get_all("Set-Cookie") or []
    assert given
    for cookie in given:
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_sign_in_leads_nowhere_else(portal: Portal, anna: Somebody, then: str) -> None:
    visitor = portal.visitor(anna)
    assert visitor.get(f"/sign-in?next={quote(then)}").to == "/"
    token = visitor.get("/").form_token
    assert visitor.post("/look", {"next": then, "theme": ""}, token=token).to == "/"


def test_sign_in_leads_back_to_what_was_asked_for(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    opened.page.goto("/account")
    assert "/sign-in?next=" in opened.page.url
    sign_in(opened.page, anna, "/account%3Fa%3D1")
    assert opened.page.url.endswith("/account?a=1")
    opened.page.goto("/sign-in")
    assert opened.page.url == f"{portal.origin}/"


def test_another_browser_is_signed_out_from_here(portal: Portal, window: OPENED, anna: Somebody) -> None:
    here, there = window(), window()
    sign_in(here.page, anna)
    sign_in(there.page, anna)
    here.open_page("/account")
    row = here.page.get_by_role("row").filter(has=here.page.get_by_role("button", name="Sign out there"))
    for _ in range(row.count()):
        row.first.get_by_role("button", name="Sign out there").click()
    expect(here.page.get_by_text("this one")).to_be_visible()
    assert row.count() == 0
    there.page.goto("/account")
    assert "/sign-in" in there.page.url
    here.open_page("/account")
    here.check_quiet()


def test_password_and_codes_are_changed_after_one_more_proof(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    page = opened.page
    sign_in(page, anna, "/account")
    page.get_by_text("Make new ones").click()
    page.get_by_role("button", name="Make ten new codes").click()
    expect(page.locator(".codes li")).to_have_count(10)
    opened.check()
    fresh = page.locator(".codes li").all_inner_texts()
    assert set(fresh) & set(anna.recovery) == set()
    anna.recovery = fresh
    opened.open_page("/account/password")
    opened.check()
    anna.passphrase = "nine loud herons return"
    for label, value in (
        ("Password until now", NEW), ("New password", anna.passphrase), ("The same once more", anna.passphrase)
    ):  # fmt: skip
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("status")).to_have_text("Your password is changed.")
    again = window()
    sign_in(again.page, anna)
    expect(again.page.get_by_role("heading", level=1)).to_have_text("Hello, Anna")


def test_step_up_is_asked_for_and_leads_back(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    page = opened.page
    sign_in(page, anna)
    session = next(one["value"] for one in opened.context.cookies() if one["name"] == SESSION)
    make_stale(portal, session)
    opened.open_page("/account")
    page.get_by_role("link", name="Change the password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it still you?")
    opened.check()
    page.get_by_label("Code of your authenticator app").fill("000000")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Code of your authenticator app").fill(anna.code())
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change the password")
    make_stale(portal, session)
    visitor = portal.visitor()
    visitor.cookies[SESSION] = session
    token = visitor.get("/account").form_token
    for path in ("/account/recovery", "/account/password", "/account/authenticator", "/account/passkeys/x/remove"):
        came = {"Referer": f"{portal.origin}/account"}
        answer = visitor.post(path, {"code": "1", "password": NEW, "password_again": NEW}, token=token, **came)
        assert (answer.status, answer.to) == (303, "/step-up?next=%2Faccount"), path
    headers = {"Content-Type": "application/json", "X-Form-Token": token}
    asked = visitor.ask("POST", "/account/passkeys/request", "{}", headers)
    assert (asked.status, json.loads(asked.text)["step_up"]) == (403, True)


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("by", ["code", "passkey"])
def test_what_was_typed_goes_on_after_the_second_factor(portal: Portal, window: OPENED, by: str) -> None:
    """A hold takes longer to write than the factor counts: nothing of it is lost, and it is laid once."""
    who = portal.people["dpo"]
    opened = window(who) if by == "code" else window()
    if by == "code":
        portal.visitor(who).prove(who)
    else:
        with_authenticator(opened)
        page = opened.open_page(portal.invite("odile", "dpo"))
        for label in ("Password", "The same once more"):
            page.get_by_label(label).fill(NEW)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Make a passkey").click()
        expect(page.locator(".codes li")).to_have_count(10)
    page, case = opened.open_page("/holds/new"), f"<i>Müller & Fils</i> {by}"
    for label, value in (
        ("Which", "+33612345678"), ("Case", case), ("Why", "the court asks"), ("Asked for by", "a court"),
        ("To be looked at again", "2099-01-31"),
    ):  # fmt: skip
        page.get_by_label(label, exact=True).fill(value)
    make_stale(portal, next(one["value"] for one in opened.context.cookies() if one["name"] == SESSION))
    page.get_by_role("button", name="Lay the hold").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it still you?")
    opened.check()
    if by == "code":
        for code in ("000000", who.code()):
            page.get_by_label("Code of your authenticator app").fill(code)
            page.get_by_role("button", name="Continue").click()
    else:
        page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("status")).to_contain_text("held from now on")
    expect(page.get_by_role("main")).to_contain_text(case)
    opened.open_page("/holds")
    expect(page.get_by_text(case)).to_have_count(1)


def test_a_new_phone_takes_the_place_of_the_old(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    page = opened.page
    sign_in(page, anna, "/account")
    page.get_by_role("link", name="Take another phone").click()
    opened.check()
    page.get_by_text("Type it instead").click()
    new = Somebody(anna.login, anna.passphrase, page.locator(".secret-value code").inner_text())
    page.get_by_label("Code of your authenticator app").fill("000000")
    page.get_by_role("button", name="Use this app").click()
    expect(page.get_by_role("alert")).to_be_visible()
    opened.check()
    page.get_by_label("Code of your authenticator app").fill(new.code())
    page.get_by_role("button", name="Use this app").click()
    expect(page.get_by_role("status")).to_be_visible()
    anna.totp_secret, anna.used = new.totp_secret, new.used


def test_after_signing_out_nothing_comes_back(portal: Portal, window: OPENED, anna: Somebody) -> None:
    """Neither by the button Back nor with the cookie of before."""
    opened = window()
    page = opened.page
    sign_in(page, anna, "/account")
    expect(page.get_by_role("heading", level=1)).to_have_text("My account")
    session = next(one["value"] for one in opened.context.cookies() if one["name"] == SESSION)
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    visitor = portal.visitor()
    visitor.cookies[SESSION] = session
    assert visitor.get("/account").to.startswith("/sign-in")


def test_signing_out_clears_every_tab(portal: Portal, window: OPENED, anna: Somebody) -> None:
    opened = window()
    sign_in(opened.page, anna, "/account")
    other = opened.context.new_page()
    other.goto("/calls")
    expect(other.get_by_role("heading", level=1)).to_have_text("Calls")
    opened.page.get_by_role("button", name="Sign out", exact=True).click()
    expect(opened.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_fields_say_what_they_are_for(portal: Portal) -> None:
    """Password managers and phones fill them in (WCAG 1.3.5, 3.3.8)."""
    text = portal.visitor().get("/sign-in").text
    assert 'type="password" autocomplete="current-password"' in text
    assert 'autocomplete="username"' in text
    text = portal.visitor(portal.people["employee"]).get("/step-up").text
    assert 'autocomplete="one-time-code" inputmode="numeric"' in text


def test_every_refusal_at_the_door_is_said_in_french() -> None:
    """What the services of sign-in say to a person is in the catalogue, word for word."""
    services, known = Path(sign_in_service.__file__).parent, translations("fr")
    missing = set()
    for name in ("sign_in", "invitations", "second_factors", "sign_in_factors", "doorkeeper"):
        for call in ast.walk(ast.parse((services / f"{name}.py").read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Failure":
                texts = [one.value for one in call.args[:2] if isinstance(one, ast.Constant)]
                missing |= {text for text in texts if known.gettext(text) == text}
    weak = ["", "a" * 300, "\0" * 12, "a" * 12, "anna" * 3, "passwordpassword"]
    missing |= {why for why in (passwords.weakness(one, "anna") for one in weak) if known.gettext(why) == why}
    assert missing == set()


def test_language_theme_and_zone_are_the_browsers(portal: Portal, window: OPENED, anna: Somebody) -> None:
    """They are there before sign-in, and after it."""
    opened = window()
    page = opened.open_page("/sign-in")
    page.get_by_role("button", name="Français").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Se connecter")
    page.get_by_role("button", name="English").click()
    sign_in(page, anna, "/account")
    page.get_by_label("Theme").select_option("dark")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Keep").click()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    assert page.get_by_label("Time zone").input_value() == "Asia/Tokyo"
    assert page.get_by_role("heading", level=1).inner_text() == "My account"
    opened.check_quiet()


def test_every_answer_says_what_browsers_must_not_do(portal: Portal) -> None:
    """Clickjacking, sniffing, inline script, plain HTTP: refused by headers on pages, assets and errors alike."""
    visitor = portal.visitor(portal.people["employee"])
    asset = re.search(r'href="(/static/[^"]+\.css)"', visitor.get("/").text)
    assert asset
    for path in ("/", "/sign-in", asset[1], "/nothing-here", "/account/../../etc/passwd", "/static/..%2f..%2fetc"):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy, path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert "Python" not in headers.get("Server", ""), path
        if not path.startswith("/static/beffroi"):
            assert headers["Cache-Control"] == "no-store"


def test_another_name_is_told_the_right_one(portal: Portal) -> None:
    """DNS rebinding: whoever comes by another name gets no page with anything on it."""
    visitor = portal.visitor(portal.people["admin"])
    answer = visitor.get("/", Host="evil.example")
    assert answer.status == 421
    assert portal.origin in answer.text
    assert "admin-one" not in answer.text


@pytest.mark.promise("0.2")
def test_a_password_alone_opens_no_page(portal: Portal, anna: Somebody) -> None:
    visitor = portal.visitor()
    visitor.post("/sign-in", {"login": anna.login, "password": anna.password})
    assert "__Host-challenge" in visitor.cookies
    assert SESSION not in visitor.cookies
    visitor.cookies[SESSION] = visitor.cookies["__Host-challenge"]
    for path in ("/", "/account", "/step-up"):
        assert visitor.get(path).to.startswith("/sign-in"), path
