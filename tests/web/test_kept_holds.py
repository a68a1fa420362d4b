"""Legal holds, expiry and receipts over HTTP, on both databases."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

import pytest

from server.sweeper import Sweeper
from storage import call_records, holds
from storage.call_records import CallRecord
from tests.server.two_teams import NOW, OUTSIDE
from tests.web.mine_house import House

FRESH = NOW + timedelta(minutes=5)
HOLD = {"scope": "number", "named": OUTSIDE, "case": "A-17", "reason": "claim of 3 November", "requested_by": "court"}
LATER = {"review": f"{NOW + timedelta(days=90):%Y-%m-%d}"}


@pytest.fixture
async def house(house: House) -> House:
    await house.appoint("dave", "dpo")
    return house


async def test_whoever_has_no_right_finds_nothing(house: House) -> None:
    """Promise 0.4."""
    who = house.sign_in("alice")
    for path in ("/holds", "/holds/new", "/retention", "/retention/due", "/retention/forecast", "/receipts"):
        assert (await house.get(path, who)).status == 403, path
    for path in ("/holds/new", "/retention/sweep"):
        assert (await house.post(path, who, HOLD | LATER)).status == 403, path


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_nothing_is_held(house: House, language: str) -> None:
    page = await house.get("/holds", house.sign_in("dave", "dpo"), language)
    assert {"en": "Nothing is held", "fr": "Rien n’est gelé"}[language] in page.text


@pytest.mark.promise("0.4")
async def test_a_hold_is_laid_shown_masked_and_lifted(house: House) -> None:
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    stale = house.sign_in("dave", "legal", fresh_until=None)
    assert (await house.get("/holds/new", stale)).went.startswith("/step-up?next="), "before a form is filled in"
    asked = await house.post("/holds/new", stale, HOLD | LATER)
    assert asked.asks_again and asked.headers["Cache-Control"] == "no-store"
    wrong = await house.post("/holds/new", who, HOLD | {"review": ""})
    assert wrong.status == 422 and f'value="{OUTSIDE}"' in wrong.html and 'aria-invalid="true"' in wrong.html
    past = await house.post("/holds/new", who, HOLD | {"review": "2026-11-01"})
    assert past.status == 422 and "does not lie ahead" in past.text
    laid = await house.post("/holds/new", who, HOLD | LATER)
    assert laid.went.startswith("/holds/") and "held from now on" in laid.message
    async with house.services.db.read() as tx:
        [hold] = await holds.list_all(tx)
    assert (hold.about.case, hold.about.approved_by) == ("A-17", "dave")
    listed, page = await house.get("/holds", who), await house.get(laid.went, who)
    assert "A-17" in listed.text and OUTSIDE not in listed.html and OUTSIDE not in page.html
    clear = await house.post(laid.went, who, {"show_reason": "the court asks"})
    assert OUTSIDE in clear.text
    assert (await house.post(f"{laid.went}/lift", who, {"reason": ""})).status == 422
    assert "is lifted" in (await house.post(f"{laid.went}/lift", who, {"reason": "judgment of 2 May"})).message
    assert "Nothing is held" in (await house.get("/holds", who)).text
    assert "Lifted" in (await house.get("/holds?all=1", who)).text
    assert (await house.get("/holds/ffff", who)).status == 404


async def soon_over(house: House, number: str) -> str:
    """A call whose record goes tomorrow."""
    call_id, tomorrow = secrets.token_hex(16), NOW + timedelta(days=1)
    record = CallRecord(
        call_id, None, "standard", "CDR_STANDARD", "6(1)(f)", NOW - timedelta(days=1), tomorrow,
        {"direction": "outbound", "duration_s": 5}, None,
    )  # fmt: skip
    async with house.services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": "101", "callee": number})
    return call_id


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_is_due_goes_and_leaves_a_receipt(house: House, language: str) -> None:
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    assert {"en": "Nothing was swept yet", "fr": "Aucun passage n’a encore eu lieu"}[language] in (
        await house.get("/retention", who, language)
    ).text
    assert (await house.get("/receipts", who, language)).status == 200
    held, other = await soon_over(house, OUTSIDE), await soon_over(house, "+33600000000")
    await house.post("/holds/new", who, HOLD | LATER)
    house.services.clock = lambda: NOW + timedelta(days=2)
    due = await house.get("/retention/due", who, language)
    assert {"en": "It stays for now", "fr": "Reste pour l’instant"}[language] in due.text and "legal hold" in due.text
    assert {"en": "It goes with the next sweep", "fr": "Part au prochain passage"}[language] in due.text
    ahead = await house.get("/retention/forecast", who, language)
    assert {"en": "Call records", "fr": "Relevés d’appel"}[language] in ahead.text
    assert {"en": "Counted at", "fr": "Compté à"}[language] in ahead.text
    assert (await Sweeper(house.services).sweep(clock_is_right=True)) is not None
    counted = house.services.forecast
    assert (await house.get("/retention/forecast", who, language)).status == 200
    assert house.services.forecast is counted, "a million calls are not counted for each who looks"
    await house.get("/retention/forecast?again=yes", who, language)
    assert counted is not None and house.services.forecast is not None and house.services.forecast[1] != counted[1]
    counted, house.services.clock = house.services.forecast, lambda: NOW + timedelta(days=2, minutes=6)
    await house.get("/retention/forecast", who, language)
    assert house.services.forecast is not counted
    swept = await house.get("/retention", who, language)
    assert {"en": "Were destroyed", "fr": "Détruits"}[language] in swept.text
    listed = await house.get("/receipts", who, language)
    found = re.search(r'href="(/receipts/[0-9a-f]+)"', listed.html)
    assert found, listed.text
    page = await house.get(found[1], who, language)
    assert {"en": "The signature holds", "fr": "La signature est valable"}[language] in page.text
    assert {"en": "it is out of the index", "fr": "il ne figure plus dans l’index"}[language] in page.text
    assert not re.search("[a-z]_[a-z]", page.text.split("Seen to be gone")[-1].split("Constaté absent")[-1]), "no codes"
    assert '"signature"' in (await house.get(f"{found[1]}/file", who, language)).html
    assert (await house.get("/receipts/0000", who, language)).status == 404
    async with house.services.db.read() as tx:
        left = {record.id for record in await call_records.list_all(tx)}
    assert held in left and other not in left
