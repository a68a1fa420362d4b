"""The working days of those who look after the company: its policy, its people, its telephones, and each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.e2e.rawphone import raw_phone
from tests.peers.baresip import Login
from tests.peers.product import Product
from tests.web.day.company import Company, Newcomer
from tests.web.day.working import Day

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
DAY = Callable[[str, str], Day]


# --- the data protection officer --------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "2.3", "2.11", "P23", "L7")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_a_data_protection_officer(company: Company, day: DAY, language: str) -> None:
    """A period is changed with its consequences before one's eyes, another approves it, and what was destroyed has a
    receipt."""
    me, others = day("dpo", language), [day(name, language) for name in ("deputy", "second")]
    me.begin(by="passkey")
    for other in others:
        other.begin()
    company.an_objection()
    drafts(me)
    approve(me, others)
    me.go("Expiry")
    me.press("Sweep now")
    me.link("The coming month")
    me.look("forecast")
    me.go("Receipts")
    me.page.locator("tbody a").first.click()
    me.shows("The signature holds, and the erasure log names exactly this receipt.")
    me.look("receipt")
    me.rest_of_the_menu()
    me.sign_out()
    me.sign_in(by="passkey")


def drafts(me: Day) -> None:
    me.go("Policy")
    me.choose("Begin with", "nothing")
    me.press("Begin a draft")
    me.link("Add a rule")
    me.look("new-rule")
    me.write("Name", "everything")
    me.choose("Pack", "CDR_STANDARD")
    me.write("How long it is kept", "P3M")
    me.press("Save the rule")
    me.press("Set the date")
    me.look("draft")
    me.link("See what it would have done")
    me.press("Begin")
    expect(me.page.get_by_role("img")).to_be_visible()
    assert me.page.get_by_role("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    me.look("simulated")


def approve(me: Day, others: Sequence[Day]) -> None:
    """Nobody approves what they wrote: two others have to."""
    me.go("Policy")
    me.page.locator("tbody a").first.click()
    me.shows("You wrote it, so others have to approve it.")
    for other in others:
        other.go("Policy")
        other.page.locator("tbody a").first.click()
        other.unfold("Approve this version")
        other.look("approval")
        other.press("Approve it for good")
    me.page.reload()
    me.shows("In force since")
    me.go("Policy")
    me.look("policy")
    me.link("History")
    me.press("Was anything altered?")
    me.look("history")


# --- an administrator -------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "P1", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_an_administrator(company: Company, day: DAY, language: str) -> None:
    """Somebody new with a telephone and a line; then whether all is well."""
    me = day("admin", language)
    me.begin()
    me.go("How it is")
    me.look("dashboard")
    somebody_new(company, me, day)
    an_account(me, language)
    a_line(me, language)
    me.go("Trunks")
    me.look("trunks")
    me.follow("main")
    me.look("trunk")
    me.press("Test it")
    me.shows("Nothing was found that keeps calls from passing.")
    me.look("trunk-tested")
    me.go("Registrations")
    me.reads("clara")
    me.look("registrations")
    me.go("Check")
    me.press("Look now")
    me.look("checked")
    me.go("Limits")
    me.look("limits")
    me.rest_of_the_menu()


def somebody_new(company: Company, me: Day, day: DAY) -> None:
    login = f"nora-{me.language}"
    me.go("People")
    me.look("people")
    me.link("Add a person")
    me.look("new-person")
    me.write("Login", login)
    me.write("Name", "Nora New")
    me.press("Add")
    me.look("person")
    me.unfold("Make a link for the first sign-in")
    me.press("Make the link")
    me.look("link")
    link = me.page.locator(".secret-value code").inner_text()
    company.staff["nora", me.language] = Newcomer("nora", me.language, "Nora New", link)
    day("nora", me.language).begin()


def an_account(me: Day, language: str) -> None:
    me.go("Accounts and phones")
    me.look("accounts")
    me.link("Add an account")
    me.look("new-account")
    me.write("Account", f"nora-{language}")
    me.write("Extension", {"en": "761", "fr": "762"}[language])
    me.choose("Belongs to", f"nora-{language}")
    me.press("Add")
    me.write("Name of a new phone", "desk")
    me.press("Add a phone")
    assert me.page.locator(".secret-value code").count() == 3
    me.look("phone")
    me.link("Done")
    me.look("account")


def a_line(me: Day, language: str) -> None:
    me.go("Lines")
    me.look("lines")
    me.link("Add a line")
    me.look("new-line")
    me.write("Name", f"reception-{language}")
    me.write("What is dialled", {"en": "861", "fr": "862"}[language])
    me.write("Who rings", f"nora-{language}")
    me.press("Add")
    me.look("line")


# --- security ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "2.22", "4.1", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_a_security_officer(company: Company, day: DAY, language: str) -> None:
    """Who guesses is banned; who must not go on is locked, and that ends at once; an alert is judged."""
    me, victim = day("security", language), day("victim", language)
    me.begin(by="passkey")
    victim.begin()
    source = {"en": "127.0.0.21", "fr": "127.0.0.22"}[language]
    ThreadPoolExecutor(1).submit(asyncio.run, guesses(company.product, source)).result(60)
    me.go("Bans")
    me.reads(source)
    me.look("bans")
    banned = me.page.get_by_role("row").filter(has_text=source)
    for more in reversed(range(banned.count())):  # the address, and the one port that it guessed from
        me.unfold("Lift", within=banned)
        me.press("Listen to it again", within=banned)
        expect(banned).to_have_count(more)
    me.go("Stop now")
    me.look("stop")
    me.choose("Who", victim.me.login)
    me.write("Why", "the phone was stolen")
    me.press("Lock now")
    me.shows("Who is locked")
    me.look("locked")
    victim.page.reload()
    expect(victim.page).to_have_url(f"{company.origin}/sign-in")
    me.unfold("Unlock")
    me.write("Why", "it was found", within=me.page.locator("details[open]"))
    me.press("Unlock")
    an_alert(me)
    me.rest_of_the_menu()


async def guesses(product: Product, source: str) -> None:
    """A stranger at the edge, until nobody answers."""
    wrong = Login(f"clara-{source[-2:]}", product.domain, "not the password")
    async with raw_phone(product, wrong, address=source) as stranger:
        for _ in range(40):
            try:
                reply = await stranger.fresh().register(60)
            except TimeoutError:
                return
            assert reply.code == 401
    raise AssertionError("nobody has banned them")


def an_alert(me: Day) -> None:
    me.go("Alerts")
    me.press("Raise a test alert")
    me.go("Alerts")
    me.look("alerts")
    me.page.locator("tbody a").first.click()
    me.shows("What to do")
    me.look("alert")
    me.page.locator("input[name=verdict]").first.check()
    me.write("Note", "looked at")
    me.press("Save the verdict")
    me.look("judged")


# --- an auditor, and compliance ---------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "0.4", "2.11", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_an_auditor(day: DAY, language: str) -> None:
    """The system, and the proof that nobody has changed what was written down; nothing of what people said."""
    me = day("auditor", language)
    me.begin()
    me.go("Ledger")
    me.look("ledger")
    me.verifies_the_ledger()
    me.look("verified")
    me.rest_of_the_menu()
    for path in ("/calls", "/texts", "/recordings", "/recordings/room", "/people", "/containment", "/devices"):
        assert path not in me.menu()
        answer = me.page.goto(path)
        assert answer is not None and answer.status in (403, 404), path
    me.look("closed")


@pytest.mark.promise("0.2", "0.4", "2.11", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_compliance(day: DAY, language: str) -> None:
    me = day("compliance", language)
    me.begin()
    me.go("Policy")
    me.look("policy")
    me.link("What must be done beforehand")
    me.look("needs")
    assert not me.page.get_by_role("link", name=me.say("Enter that it was done")).count(), "that is for others"
    me.go("Ledger")
    me.verifies_the_ledger()
    me.rest_of_the_menu()
