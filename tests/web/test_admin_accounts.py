"""Accounts, their phones and limits through the portal."""

from __future__ import annotations

import re

import pytest

from storage import accounts, devices, limits, people
from tests.server.duty_house import add_trunk
from tests.web.admin_house import House


async def test_an_account_with_a_phone_whose_password_is_shown_once(place: House) -> None:
    who = await place.person("admin")
    await place.person("employee", login="nina")
    added = {"name": "Nina-Desk", "extension": "771", "display_name": "Nina", "person": "nina", "country": "be"}
    done = await place.post("/accounts/new", who, added)
    assert (done.status, done.went) == (303, "/accounts/nina-desk")
    assert "No phone yet" in (await place.get("/accounts/nina-desk", who)).text
    shown = await place.post("/accounts/nina-desk/phone", who, {"label": "kitchen"})
    assert shown.status == 200 and shown.headers["Cache-Control"] == "no-store"
    user, password = re.findall(r"<code>([^<]+)</code>", shown.html)[1:3]
    page = await place.get("/accounts/nina-desk", who)
    assert user in page.html and password not in page.html
    async with place.services.db.read() as tx:
        assert (await devices.by_auth_user(tx, user)).label == "kitchen"
        assert next(one for one in await accounts.list_all(tx) if one.name == "nina-desk").country == "BE"
    done = await place.post("/accounts/nina-desk/phone/revoke", who, {"user": user})
    assert "revoked" in done.message
    assert "Revoked" in (await place.get("/accounts/nina-desk", who)).text


async def test_an_account_that_is_nobodys_is_given_to_somebody_once(place: House) -> None:
    who = await place.person("admin")
    for login in ("nina", "otto"):
        await place.person("employee", login=login)
    await place.post("/accounts/new", who, {"name": "desk", "extension": "771"})
    assert "Give it to somebody" in (await place.get("/accounts/desk", who)).text
    page = await place.post("/accounts/desk/give", who, {"person": ""})
    assert page.status == 422 and "Choose somebody." in page.text
    done = await place.post("/accounts/desk/give", who, {"person": "nina"})
    assert (done.went, done.message) == ("/accounts/desk", "The account belongs to nina now.")
    assert "Give it to somebody" not in (await place.get("/accounts/desk", who)).text
    again = await place.post("/accounts/desk/give", who, {"person": "otto"})
    assert again.status == 409 and "Desk belongs to nina" in again.text and "--hand-over" in again.text
    async with place.services.db.read() as tx:
        desk = next(one for one in await accounts.list_all(tx) if one.name == "desk")
        assert desk.person_id == (await people.by_login(tx, "nina")).id
        assert desk.display_name == (await people.get(tx, desk.person_id)).display_name
        assert desk.given_at == desk.theirs_since > desk.created_at


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"extension": "771"}, "Give it a short name."),
        ({"name": "nina"}, "Give it an extension, such as 101."),
        ({"name": "nina", "extension": "112"}, "112"),
        ({"name": "a b", "extension": "771"}, "name"),
    ],
)
async def test_what_is_wrong_about_a_new_account_is_said(place: House, fields: dict[str, object], said: str) -> None:
    page = await place.post("/accounts/new", await place.person("admin"), fields)
    assert page.status in (409, 422) and said in page.text


async def test_an_account_is_disabled_enabled_and_removed_with_a_receipt(place: House) -> None:
    who = await place.person("admin")
    await place.post("/accounts/new", who, {"name": "nina", "extension": "771"})
    assert "disabled" in (await place.post("/accounts/nina/disable", who)).message
    assert "Enable again" in (await place.get("/accounts/nina", who)).text
    assert "enabled again" in (await place.post("/accounts/nina/enable", who)).message
    done = await place.post("/accounts/nina/remove", who)
    assert done.went == "/accounts" and "Receipt:" in done.message
    assert (await place.get("/accounts/nina", who)).status == 404


async def test_limits_of_an_account_and_of_all(place: House) -> None:
    who = await place.person("admin")
    await place.post("/accounts/new", who, {"name": "nina", "extension": "771"})
    chosen = {"international": "no", "minutes_per_day": "30", "cents_per_month": "12,50", "countries": "be, ch"}
    assert (await place.post("/accounts/nina/limits", who, chosen)).message == "The limits are changed."
    async with place.services.db.read() as tx:
        nina = next(one for one in await accounts.list_all(tx) if one.name == "nina")
        held = await limits.get(tx, limits.of_account(nina.id))
    assert (held.international, held.minutes_per_day, held.cents_per_month) == (False, 30, 1250)
    assert (held.countries, held.premium, held.max_calls) == (("BE", "CH"), None, None)
    page = await place.get("/accounts/nina", who)
    assert 'value="12.50"' in page.html and 'value="BE CH"' in page.html
    assert (await place.post("/accounts/nina/limits", who, {})).status == 303
    async with place.services.db.read() as tx:
        assert (await limits.get(tx, limits.of_account(nina.id))).minutes_per_day is None
    assert (await place.post("/limits", who, {"max_calls": "3"})).went == "/limits"
    async with place.services.db.read() as tx:
        assert (await limits.get(tx, limits.DEFAULT)).max_calls == 3


async def test_limits_of_a_trunk(place: House) -> None:
    who, trunk = await place.person("admin"), await add_trunk(place.services.db)
    page = await place.get("/limits?trunk=provider", who)
    assert "Trunk provider" in page.text and "Minutes today 0" in page.text
    assert (await place.post("/limits", who, {"trunk": "provider", "cents_per_day": "5"})).status == 303
    async with place.services.db.read() as tx:
        assert (await limits.get(tx, limits.of_trunk(trunk.id))).cents_per_day == 500
    assert (await place.get("/limits?trunk=nobody", who)).status == 404
    french = await place.get("/limits", await place.person("auditor"), "fr")
    assert french.status == 200 and "Enregistrer les plafonds" not in french.text and "Plafonds" in french.text


@pytest.mark.parametrize(
    "fields", [{"minutes_per_day": "many"}, {"cents_per_day": "NaN"}, {"cents_per_day": "-1"}, {"max_calls": "9" * 30}]
)
async def test_amounts_that_are_none(place: House, fields: dict[str, str]) -> None:
    page = await place.post("/limits", await place.person("admin"), fields)
    assert page.status == 422 and "Write a" in page.text
    assert f'value="{next(iter(fields.values()))}"' in page.html


@pytest.mark.promise("0.4")
@pytest.mark.parametrize(("role", "status"), [("employee", 403), ("auditor", 403), ("security", 200)])
async def test_who_may_look_at_accounts(place: House, role: str, status: int) -> None:
    await place.post("/accounts/new", await place.person("admin"), {"name": "nina", "extension": "771"})
    who = await place.person(role)
    assert (await place.get("/accounts", who)).status == status
    assert (await place.get("/accounts/nina", who)).status == status
    assert (await place.post("/accounts/nina/phone", who)).status in (403, 404)
    assert (await place.post("/accounts/nina/remove", who)).status == 403
