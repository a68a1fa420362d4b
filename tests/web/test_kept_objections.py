"""Objections and one person's case over HTTP, on both databases: looked up, entered, lifted, erased."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from retention.art17 import MEANINGS
from server.operation_rules import RULES
from server.services import number_requests, objections, subject_cases
from server.services.actor import Actor
from server.services.subject_cases import SubjectCases
from server.services.text_requests import BEING_SENT, LISTED, SEALED_LIST, TO_LIST
from server.web.language import translations
from storage import consents, contact_attempts, ledger, lines, suppressions
from tests.server.test_large_house import statements
from tests.server.two_teams import NOW
from tests.web.mine_house import House
from tests.web.test_kept_holds import soon_over

FRESH = NOW + timedelta(minutes=5)
DAY = timedelta(days=1)
NUMBER = "+33612340099"
LOOK = {"number": "06 12 34 00 99", "reason": "letter of 3 November", "case": "R-5"}


@pytest.fixture
async def house(house: House) -> AsyncIterator[House]:
    await house.appoint("dave", "dpo")
    yield house


async def known(house: House) -> None:
    """A consent, an objection, an attempt and a call."""
    ends = NOW + 900 * DAY
    async with house.services.db.transaction() as tx:
        line = await lines.add(tx, "canvassing", "399", NOW)
        await consents.add(
            tx, NOW, number=NUMBER, channel="voice", purpose="telecom", act="checkbox", given_at=NOW - DAY,
            expires_at=ends, legal_basis="6(1)(a)", kept_until=ends, collector="us", source="form",
        )  # fmt: skip
        await contact_attempts.add(
            tx, NUMBER, line_id=line.id, channel="voice", at=NOW - DAY, evidence="", purpose="telecom",
            legal_basis="6(1)(c)", kept_until=NOW + DAY,
        )  # fmt: skip
        await suppressions.add(
            tx, NUMBER, NOW, channel="recording", reason="objection", source="call", since=NOW - DAY, until=None,
            purpose="objections", legal_basis="6(1)(c)", kept_until=ends,
        )  # fmt: skip
    await soon_over(house, NUMBER)


async def looks(house: House) -> int:
    """How often somebody has looked what is kept of a number."""
    async with house.services.db.read() as tx:
        said = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    return sum((one["action"], one["object"]) == ("test", "number") for one in said)


async def begun(house: House, who: str, **changed: str) -> str:
    page = await house.post("/objections", who, LOOK | changed)
    assert re.fullmatch(r"/objections/cases/[0-9a-f]{32}", page.went), page.text
    return page.went


@pytest.mark.promise("0.4")
async def test_whoever_has_no_right_finds_nothing(house: House) -> None:
    who = house.sign_in("alice")
    assert (await house.get("/objections", who)).status == 403
    assert (await house.post("/objections", who, LOOK)).status == 403
    mine = await begun(house, house.sign_in("dave", "dpo", fresh_until=FRESH))
    other = house.sign_in("carol", "dpo", fresh_until=FRESH)
    assert (await house.get(mine, other)).status == 404, "somebody else's case"
    assert (await house.post(f"{mine}/object", other, {})).status == 404
    auditor = await house.get("/objections", house.sign_in("carol", "auditor"))
    assert auditor.status == 200 and 'name="number"' not in auditor.html, "receipts alone"


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_nobody_has_objected(house: House, language: str) -> None:
    page = await house.get("/objections", house.sign_in("dave", "dpo"), language)
    assert {"en": "Nobody has objected yet", "fr": "Personne ne s’est encore opposé"}[language] in page.text
    assert {"en": "Nothing was destroyed for that", "fr": "Rien n’a été détruit"}[language] in page.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"number": ""}, "Give the number"),
        ({"number": "not a number"}, "This is no telephone number"),
        ({"reason": "x"}, "in a few words"),
    ],
)
async def test_what_cannot_be_looked_up_is_said_beside_its_field(
    house: House, wrong: dict[str, str], said: str
) -> None:
    page = await house.post("/objections", house.sign_in("dave", "dpo"), LOOK | wrong)
    assert page.status == 422 and 'aria-invalid="true"' in page.html
    assert said.lower() in page.text.lower()


@pytest.mark.promise("0.4", "2.12")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_number_is_looked_up_with_all_that_is_known(house: House, language: str) -> None:
    """Its number stands in no address; that somebody looked, and why, stands in the access log."""
    await known(house)
    stale = house.sign_in("dave", "dpo", fresh_until=None)
    mine = await begun(house, stale)
    assert "12340099" not in mine
    page = await house.get(mine, stale, language)
    assert NUMBER in page.text and {"en": "To be recorded Never", "fr": "Être enregistré Jamais"}[language] in page.text
    assert "telecom" in page.text and "R-5" in page.text
    assert (await house.get(f"{mine}/kept", stale)).went.startswith("/step-up?next=")
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    asked = await looks(house)
    page = await house.get(mine, who, language)
    assert {"en": "Show what is kept", "fr": "Afficher ce qui est gardé"}[language] in page.text
    assert await looks(house) == asked, "what may be much is looked up when it is asked for"
    page = await house.get(f"{mine}/kept", who, language)
    assert await looks(house) == asked + 1
    assert {"en": "Erase what can go", "fr": "Effacer ce qui peut partir"}[language] in page.text
    assert {"en": "it still counts", "fr": "il vaut encore"}[language] in page.text
    assert "beffroi contact" not in page.text, "commands are for who types them"
    async with house.services.db.read() as tx:
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    looked = [one for one in entries if one["object"] in ("consent", "contract", "suppression")]
    assert {one["object"] for one in looked} == {"consent", "contract", "suppression"}
    assert all(one.get("reason_id") for one in looked)
    reader = house.sign_in("bob", "legal")
    theirs = await house.get(await begun(house, reader), reader)
    assert "Erase what can go" not in theirs.text and "Enter an objection" not in theirs.text


@pytest.mark.promise("2.7", "2.12")
async def test_an_objection_is_entered_and_lifted_and_a_consent_withdrawn(house: House) -> None:
    await known(house)
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    mine = await begun(house, who)
    said = {"channel": "sms", "reason_given": "objection", "source": "letter"}
    assert "holds from now on" in (await house.post(f"{mine}/object", who, said)).message
    assert (await house.post(f"{mine}/object", who, said | {"channel": "everything"})).status == 422
    page = await house.get(mine, who)
    assert "Advertising by text No" in page.text
    async with house.services.db.read() as tx:
        [entry] = await suppressions.of_number(tx, NUMBER, "sms")
    assert (await house.post(f"{mine}/lift", who, {"entry": entry.id, "reason": ""})).status == 422
    stale = house.sign_in("dave", "dpo", fresh_until=None)
    again = await house.post(f"{mine}/lift", stale, {"entry": entry.id, "reason": "says otherwise"})
    assert again.asks_again
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    assert (
        "holds no more" in (await house.post(f"{mine}/lift", who, {"entry": entry.id, "reason": "their call"})).message
    )
    assert "1 consent is withdrawn" in (await house.post(f"{mine}/withdraw", who, {"by": "letter"})).message
    async with house.services.db.read() as tx:
        [consent] = await consents.of_number(tx, NUMBER)
        assert consent.withdrawn_by == "letter" and not await suppressions.of_number(tx, NUMBER, "sms")
    assert "Withdraw all consents" not in (await house.get(mine, who)).text


@pytest.mark.promise("L3", "2.12")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_is_kept_is_looked_at_and_erased_with_receipts(house: House, language: str) -> None:
    await known(house)
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    nameless = await begun(house, who, case="")
    assert (await house.get(f"{nameless}/erase", who)).status == 409, "an erasure belongs to a case"
    mine = await begun(house, who)
    stale = house.sign_in("dave", "dpo", fresh_until=None)
    assert (await house.get(f"{mine}/erase", stale)).went.startswith("/step-up?next=")
    assert (await house.post(f"{mine}/erase", stale, {"seen": "yes"})).asks_again
    who = house.sign_in("dave", "dpo", fresh_until=FRESH)
    page = await house.get(f"{mine}/erase", who, language)
    assert {"en": "Nothing has been touched yet", "fr": "Rien n’a encore été touché"}[language] in page.text
    assert "weighed=yes" in page.html
    assert (await house.post(f"{mine}/erase", who, {})).status == 422
    async with house.services.db.read() as tx:
        assert await contact_attempts.of_number(tx, NUMBER), "nothing went"
    went = (await house.post(f"{mine}/erase", who, {"seen": "yes", "weighed": "yes"})).went
    assert (await house.get(went, house.sign_in("carol", "dpo"))).status == 404, "somebody else's"
    assert 'http-equiv="refresh"' in (await house.get(went, who, language)).html
    done = await house.when_done(went, who, language)
    assert {"en": "What stays, and why", "fr": "Ce qui reste, et pourquoi"}[language] in done.text
    receipts = re.findall(r'href="(/receipts/[0-9a-f]+)"', done.html)
    assert len(receipts) == 2, done.text
    assert (await house.get(receipts[0], who)).status == 200
    async with house.services.db.read() as tx:
        assert not await contact_attempts.of_number(tx, NUMBER)
    listed = await house.get("/objections", who, language)
    assert {"en": "They asked for erasure", "fr": "Une demande d’effacement"}[language] in listed.text
    assert receipts[0] in listed.html and NUMBER not in listed.html


async def test_what_was_destroyed_is_listed_page_by_page(house: House) -> None:
    """Orders have no receipt yet and are not told; what lies further back than is looked at is asked for again."""
    me, services = Actor(house.teams.people["dave"], "test"), house.services
    async with services.db.transaction() as tx:
        for number, cause in enumerate(("objection", "expiry", "withdrawal", "objection")):
            said = {"action": "destroy", "object": "recording", "cause": cause, "receipt_id": f"{number:032x}"}
            await ledger.append(tx, "erasure", said, NOW)
        await ledger.append(tx, "erasure", {"action": "erase", "object": "recording", "cause": "request"}, NOW)
    found = await objections.destroyed(services, me)
    assert [(one.seq, one.cause) for one in found.destroyed] == [(4, "objection"), (3, "withdrawal"), (1, "objection")]
    assert found.older is None
    first = await objections.destroyed(services, me, last=2)
    assert [one.seq for one in first.destroyed] == [4] and first.older == 4
    rest = await objections.destroyed(services, me, last=2, before=first.older)
    assert [one.seq for one in rest.destroyed] == [3, 1] and rest.older is None
    objections_looked = objections.LOOKED_AT
    try:
        objections.LOOKED_AT = 2
        near = await objections.destroyed(services, me)
        assert [one.seq for one in near.destroyed] == [4] and near.older == 4
        assert [one.seq for one in (await objections.destroyed(services, me, before=4)).destroyed] == [3]
        assert (await objections.destroyed(services, me, before=2)).older is None
    finally:
        objections.LOOKED_AT = objections_looked
    assert RULES["retention.objections"].right == "ledger.read"


def test_a_case_is_ones_own_and_ends() -> None:
    cases = SubjectCases()
    made = cases.begin("p" * 32, NUMBER, "letter", None, NOW)
    assert cases.get(made.id, "p" * 32, NOW) == made and NUMBER not in repr(made)
    with pytest.raises(Exception, match="not there any more"):
        cases.get(made.id, "q" * 32, NOW)
    with pytest.raises(Exception, match="not there any more"):
        cases.get(made.id, "p" * 32, NOW + subject_cases.KEPT)
    for _ in range(subject_cases.MOST + 5):
        last = cases.begin("p" * 32, NUMBER, "letter", None, NOW)
    assert cases.get(last.id, "p" * 32, NOW) and len(cases._cases) == subject_cases.MOST
    with pytest.raises(Exception, match="not there any more"):
        cases.get(made.id, "p" * 32, NOW)


def test_many_cases_of_one_person_push_out_nobody_elses() -> None:
    cases = SubjectCases()
    theirs = [cases.begin("q" * 32, NUMBER, "letter", None, NOW) for _ in range(2)]
    mine = [cases.begin("p" * 32, NUMBER, "letter", None, NOW) for _ in range(subject_cases.MOST + 300)]
    assert [cases.get(one.id, "q" * 32, NOW) for one in theirs] == theirs
    for one in mine[-subject_cases.MOST :]:
        assert cases.get(one.id, "p" * 32, NOW) == one
    assert len(cases._cases) == subject_cases.MOST + 2


async def test_however_many_calls_there_are_it_takes_no_more_statements(house: House) -> None:
    """A number that has called twenty times is looked up as one that has called twice."""
    asked = []
    me = Actor(house.teams.people["dave"], "test", "their letter", "R-5")
    for calls in (2, 18):
        for _ in range(calls):
            await soon_over(house, NUMBER)
        with statements(house.services.db) as said:
            found = await number_requests.erase(house.services, me, number=NUMBER, dry_run=True)
        assert len([one for one in found.items if one.kind == "call_record"]) >= calls
        asked.append(len(said))
    assert asked[0] == asked[1]


def test_why_something_stays_has_its_french() -> None:
    french = translations("fr")
    parts = {part for one in MEANINGS.values() if one.answer != "erase" for part in one.why.split("; ")}
    for said in parts | {LISTED, TO_LIST, BEING_SENT} | set(SEALED_LIST.split("; ")):
        assert french.gettext(said) != said, said
