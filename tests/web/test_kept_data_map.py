"""The data map over HTTP, on both databases: what is kept, who sees it, and who is sent anything, as it really is."""

from __future__ import annotations

import csv
import io

import pytest

from config import settings as configuration
from server.services import register
from server.services.actor import Actor
from server.web import csv_file
from server.web.language import translations
from server.web.pages.data_map import RECEIVERS
from server.web.purposes import PURPOSES
from storage import role_rights, trunks
from storage.inventory import TABLES
from tests.server.two_teams import NOW
from tests.web.mine_house import House

PLACES = """
[sms.carriers.centre]
host = "smpp.example.net"
system_id = "us"
[sms.carriers.sim]
kind = "modem"
device = "/dev/ttyUSB0"
number = "+33612345699"
classes = ["conversation"]
[alerts]
mail_relay = "mail.example.org:587"
mail_from = "a@example.org"
mail_to = { dpo = ["dpo@example.org"] }
webhook = "https://alerts.example.org/in"
syslog = "udp://192.0.2.7:514"
[web.webhooks.crm]
url = "https://crm.example.org/calls"
login = "alice"
numbers = true
"""


async def furnished(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await trunks.add(tx, "provider", "sip.example.net", NOW)
        await trunks.add(tx, "plain", "192.0.2.9", NOW, transport="udp", srtp=False, port=5060)
        await trunks.add(tx, "near", "127.0.0.1", NOW)
    house.services.settings = configuration.parse(PLACES)


@pytest.mark.promise("0.4")
async def test_whoever_has_no_right_finds_nothing(house: House) -> None:
    for path in ("/data-map", "/data-map/as/csv"):
        assert (await house.get(path, house.sign_in("alice"))).status == 403
        assert (await house.get(path, house.sign_in("carol", "auditor"))).status == 200


@pytest.mark.promise("0.10", "0.11", "L8")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_who_is_sent_anything_comes_from_the_settings(house: House, language: str) -> None:
    who = house.sign_in("dave", "dpo")
    empty = await house.get("/data-map", who, language)
    assert {"en": "Nobody is sent anything", "fr": "Rien n’est envoyé à personne"}[language] in empty.text
    await furnished(house)
    page = await house.get("/data-map?open=all", who, language)
    for place in ("sip.example.net:5061", "192.0.2.9:5060", "smpp.example.net:2775", "/dev/ttyUSB0", "192.0.2.7:514",
                  "mail.example.org:587", "alerts.example.org:443", "crm.example.org:443"):  # fmt: skip
        assert place in page.text, place
    assert page.html.count("<details") == page.html.count(" open><summary><h2") == len(register.GROUPS)
    assert {"en": "numbers of calls that have ended", "fr": "numéros des appels terminés"}[language] in page.text


@pytest.mark.promise("0.11")
async def test_the_register_says_what_is_kept_and_who_sees_it(house: House) -> None:
    await furnished(house)
    said = await register.register(house.services, Actor(house.teams.people["dave"], "test"))
    entries = {one.where: one for one in said.entries}
    assert entries.keys() >= {name for name, one in TABLES.items() if one.kept.personal} | {"vault/*.rec"}
    records = entries["call_records"]
    assert records.seen_by == ("dpo (all)", "employee (own)", "quality (team)", "supervisor (team)")
    assert records.forms == ("clear", "sealed") and records.group == "calls"
    assert entries["usage"].period == "P1Y1M" and entries["access_reasons"].period == "P1Y"
    assert (entries["key_slots"].seen_by, entries["key_slots"].unseen) == ((), "it only opens or finds something else")
    assert "employee (own)" in entries["passkeys"].seen_by and entries["passkeys"].unseen == ""
    plain = {one.name: one for one in said.receivers}
    assert (plain["plain"].encrypted, plain["provider"].encrypted, plain["near"].here) == (False, True, True)
    async with house.services.db.transaction() as tx:
        await role_rights.put(tx, "quality", "calls.read", "none", NOW)
    house.services.settings = configuration.parse('[retention]\naccess_log = "P6M"\n')
    said = await register.register(house.services, Actor(house.teams.people["dave"], "test"))
    entries = {one.where: one for one in said.entries}
    assert "quality (team)" not in entries["call_records"].seen_by
    assert entries["access_reasons"].period == "P6M"


async def test_the_file_is_a_table_without_formulas(house: House) -> None:
    await furnished(house)
    assert (await house.get("/data-map/as/xls", house.sign_in("dave", "dpo"))).status == 404
    answer = await house.get("/data-map/as/csv", house.sign_in("dave", "dpo"), "fr")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="data-map.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.html.removeprefix("\ufeff"))))
    assert len({len(row) for row in rows}) == 1 and rows[0][:3] == ["Groupe", "Quoi", "Où"]
    assert any("sip.example.net:5061" in row for row in rows)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


@pytest.mark.parametrize("typed", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\uff1d1", "\r=1"])
def test_no_cell_is_a_formula(typed: str) -> None:
    assert csv_file.cell(typed) == "'" + typed
    assert csv_file.cell("Emma") == "Emma" and csv_file.cell(5) == "5"


def test_everything_that_is_said_has_its_french() -> None:
    french = translations("fr")
    texts = {
        text
        for one in TABLES.values()
        if one.kept.personal
        for text in (one.kept.what, one.kept.subject, one.kept.purpose, one.kept.expiry, one.kept.unless)
        if text and text not in PURPOSES
    }
    texts |= set(register.SEEN_BY_NOBODY.values())
    technical = {text for text in texts if text.endswith((".expires_at", ".kept_until", ".purpose"))}
    assert len(texts - technical) > 100
    assert {text for text in texts - technical if french.gettext(text) == text} <= {"reconciliation"}
    assert RECEIVERS.keys() == {
        *("trunk", "text_carrier", "mail_relay", "webhook", "alert_webhook", "syslog", "database")
    }
