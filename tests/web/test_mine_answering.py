"""Do not disturb, call waiting, forwards and the number shown: chosen by whose account it is, in both languages."""

from __future__ import annotations

import pytest

from storage import call_settings, numbers_owned
from storage.call_settings import CallSettings
from tests.web.mine_house import House

LANGUAGES = ["en", "fr"]
OUTSIDE = "+33612345678"


async def chosen(house: House, name: str = "alice") -> CallSettings:
    async with house.services.db.read() as tx:
        return await call_settings.get(tx, house.teams.accounts[name])


@pytest.mark.promise("2.14")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_is_chosen_and_shown_in_clear_to_whose_it_is(house: House, language: str) -> None:
    who, mine = house.sign_in("alice"), {"account": "alice"}
    quiet = await house.post("/answering/dnd", who, {**mine, "on": "yes"}, language)
    assert (quiet.status, quiet.went) == (303, "/answering?account=alice") and quiet.message
    await house.post("/answering/waiting", who, {**mine, "on": "no"}, language)
    forwards = {"always": "", "busy": "102", "no_answer": "06 12 34 56 78", "unregistered": "", "no_answer_s": "15"}
    assert (await house.post("/answering/forwards", who, {**mine, **forwards}, language)).status == 303
    await house.post("/answering/number", who, {**mine, "how": "hidden"}, language)
    now = await chosen(house)
    assert (now.dnd, now.call_waiting, now.hide_number) == (True, False, True)
    assert (now.forward_busy, now.forward_no_answer, now.no_answer_s) == ("102", OUTSIDE, 15)
    page = await house.get("/answering", who, language)
    assert f'value="{OUTSIDE}"' in page.html
    assert {"en": "Your phones stay silent.", "fr": "Vos téléphones restent silencieux."}[language] in page.text
    await house.post("/answering/forwards", who, {**mine, "no_answer_s": "15"}, language)
    assert (await chosen(house)).forward_busy is None, "what is empty is taken off"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_cannot_be_is_said_and_what_was_typed_stays(house: House, language: str) -> None:
    who, mine = house.sign_in("alice"), {"account": "alice"}
    for target in ("no such", "112", "101"):
        page = await house.post("/answering/forwards", who, {**mine, "always": target, "no_answer_s": "20"}, language)
        assert page.status == 422 and f'value="{target}"' in page.html, target
    assert (await chosen(house)).forward_always is None
    for shown in ("+33142000000", "not a number", ""):
        page = await house.post("/answering/number", who, {**mine, "how": "number", "number": shown}, language)
        assert page.status == 422 and 'aria-invalid="true"' in page.html, shown
    seconds = await house.post("/answering/forwards", who, {**mine, "no_answer_s": "many"}, language)
    assert seconds.status == 422


async def test_a_number_of_ones_own_is_shown(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await numbers_owned.add(tx, "+33142000000", account_id=house.teams.accounts["alice"])
    who = house.sign_in("alice")
    assert "Yours: +33142000000" in (await house.get("/answering", who)).text
    fields = {"account": "alice", "how": "number", "number": "+33 1 42 00 00 00"}
    assert (await house.post("/answering/number", who, fields)).status == 303
    assert (await chosen(house)).presented == "+33142000000"
    await house.post("/answering/number", who, {"account": "alice", "how": "default"})
    assert (await chosen(house)).presented is None


@pytest.mark.promise("0.4", "1.9")
async def test_anothers_settings_are_as_absent_as_what_there_is_not(house: House) -> None:
    who = house.sign_in("alice")
    for account in ("bob", "carol", "nobody"):
        assert (await house.get(f"/answering?account={account}", who)).status == 404
        assert (await house.post("/answering/dnd", who, {"account": account, "on": "yes"})).status == 404
    assert not (await chosen(house, "bob")).dnd


@pytest.mark.parametrize("language", LANGUAGES)
async def test_whoever_has_no_account_is_told(house: House, language: str) -> None:
    page = await house.get("/answering", house.sign_in("alice", own=frozenset()), language)
    assert page.status == 200
    assert {"en": "You have no account", "fr": "Vous n’avez pas de compte"}[language] in page.text
