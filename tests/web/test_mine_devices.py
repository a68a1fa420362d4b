"""One's own phones: a code that is good once, for ten minutes; what a phone fetches works; one is signed off alone."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from server.services import provisioning
from storage import devices, ledger
from tests.server.two_teams import NOW
from tests.web.mine_house import House, Page

LANGUAGES = ["en", "fr"]
XML = "{http://www.linphone.org/xsds/lpconfig.xsd}"


class Live:
    """The running daemon, as far as these pages ask it for anything."""

    async def end_device(self, auth_user: str) -> None: ...


@pytest.fixture
async def house(house: House) -> House:
    house.services.live = Live()  # type: ignore[assignment]
    return house


def link(page: Page) -> str:
    """The path that the code leads to."""
    found = re.search(r"https://localhost:8443(/phone/[A-Za-z0-9_-]+)", page.html)
    assert found, page.text
    return found[1]


def sections(page: Page) -> dict[str, dict[str, str]]:
    root = ElementTree.fromstring(page.html)  # noqa: S314 - our own
    return {
        str(section.get("name")): {str(entry.get("name")): entry.text or "" for entry in section}
        for section in root.findall(f"{XML}section")
    }


@pytest.mark.promise("P1", "P10", "L14", "3.15")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_phone_sets_itself_up_by_a_code(house: House, language: str) -> None:
    page = await house.post("/devices", house.sign_in("alice"), {"label": "mobile"}, language)
    assert page.status == 200
    assert {"en": "Set up mobile", "fr": "Installer mobile"}[language] in page.text
    password = re.search(r"auth_pass=([^;]+);outbound", page.text)
    assert password
    fetched = await house.get(link(page))  # by a phone, which has not signed in
    assert fetched.status == 200
    said = sections(fetched)
    user, domain = said["auth_info_0"]["username"], house.services.settings.sip.domain
    assert said["proxy_0"]["reg_identity"] == f"sip:{user}@{domain}"
    assert "transport=tls" in said["proxy_0"]["reg_proxy"] and said["sip"]["media_encryption_mandatory"] == "1"
    async with house.services.db.read() as tx:
        (known,) = [one for one in await devices.credentials(tx) if one.auth_user == user]
    assert said["auth_info_0"]["ha1"] == known.ha1, "it proves what the edge asks for"
    typed = hashlib.md5(f"{user}:{domain}:{password[1]}".encode(), usedforsecurity=False).hexdigest()
    assert typed == known.ha1, "and so does what is typed"
    assert password[1] not in fetched.html


@pytest.mark.promise("P10")
async def test_a_code_is_good_once_and_for_ten_minutes(house: House) -> None:
    who = house.sign_in("alice")
    first = link(await house.post("/devices", who, {"label": "one"}))
    assert (await house.get(first)).status == 200
    assert (await house.get(first)).status == 404
    late = link(await house.post("/devices", who, {"label": "two"}))
    house.services.clock = lambda: NOW + timedelta(seconds=provisioning.OFFER_S)
    assert (await house.get(late)).status == 404
    assert (await house.get("/phone/" + "A" * 43)).status == 404


@pytest.mark.promise("P1")
async def test_a_code_of_a_phone_that_was_signed_off_gives_nothing(house: House) -> None:
    who = house.sign_in("alice")
    code = link(await house.post("/devices", who, {"label": "lost"}))
    async with house.services.db.read() as tx:
        every = await devices.list_all(tx, house.teams.accounts["alice"])
    (lost,) = [one.auth_user for one in every if one.label == "lost"]
    assert (await house.post("/devices/revoke", who, {"user": lost})).went == "/devices"
    assert (await house.get(code)).status == 404


async def test_memory_holds_neither_token_nor_password_and_no_more_than_so_many(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = house.sign_in("alice")
    page = await house.post("/devices", who, {"label": "mobile"})
    token = link(page).rpartition("/")[2]
    held = repr([(key, one.sealed) for key, one in house.services.offers.items()])
    assert token not in held and "alice-" not in held and "ha1" not in held
    monkeypatch.setattr(provisioning, "MOST", 2)
    for label in ("two", "three"):
        await house.post("/devices", who, {"label": label})
    assert len(house.services.offers) == 2
    assert (await house.get(f"/phone/{token}")).status == 404, "the oldest made room"


@pytest.mark.promise("2.9")
async def test_what_is_fetched_is_written_down_without_a_secret(house: House) -> None:
    await house.get(link(await house.post("/devices", house.sign_in("alice"), {"label": "mobile"})))
    async with house.services.db.read() as tx:
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    added, used = entries[-2:]
    assert (added["action"], added["object"], used["action"], used["object"]) == ("add", "device", "use", "device")
    assert added["device_id"] == used["device_id"]


@pytest.mark.promise("P1", "0.4")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_phones_are_listed_and_one_is_signed_off_alone(house: House, language: str) -> None:
    who = house.sign_in("alice")
    await house.post("/devices", who, {"label": "<b>mobile</b>"}, language)
    page = await house.get("/devices", who, language)
    assert "<b>mobile" not in page.html and "<b>mobile</b>" in page.text
    assert "alice-phone" in page.text and "carol-phone" not in page.text and "bob-phone" not in page.text
    done = await house.post("/devices/revoke", who, {"user": "alice-phone"}, language)
    assert (done.status, done.went) == (303, "/devices")
    async with house.services.db.read() as tx:
        left = [one.auth_user for one in await devices.credentials(tx, house.teams.accounts["alice"])]
    assert len(left) == 1 and "alice-phone" not in left, "the other stays"
    after = await house.get("/devices", who, language)
    assert {"en": "Signed off on", "fr": "Désactivé le"}[language] in after.text and "mobile" in after.text
    assert (await house.post("/devices/revoke", who, {"user": "carol-phone"}, language)).status == 404


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_is_missing_is_said(house: House, language: str) -> None:
    who = house.sign_in("alice")
    nameless = await house.post("/devices", who, {"label": " "}, language)
    assert nameless.status == 422
    assert {"en": "Give the phone a name", "fr": "Donnez au téléphone un nom"}[language] in nameless.text
    assert (await house.post("/devices", who, {"label": "x", "account": "bob"}, language)).status == 404
    house.services.live = None
    assert (await house.post("/devices", who, {"label": "x"}, language)).status == 503
    homeless = await house.get("/devices", house.sign_in("alice", own=frozenset()), language)
    assert {"en": "You have no account", "fr": "Vous n’avez pas de compte"}[language] in homeless.text
