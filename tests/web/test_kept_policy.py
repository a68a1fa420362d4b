"""The policy's pages over HTTP, on both databases: drafted, changed, simulated, approved by whoever may."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest

from storage import ledger, policies
from tests.server.two_teams import NOW
from tests.web.mine_house import House

FRESH = NOW + timedelta(minutes=5)
RULE = {"name": "everything", "pack": "CDR_STANDARD", "retention": "P3M"}


@pytest.fixture
async def house(house: House) -> House:
    await house.appoint("dave", "dpo")
    return house


async def drafted(house: House, who: str, **rule: str) -> str:
    """The path of a draft with one rule and a date."""
    page = (await house.post("/policy/draft", who, {"of": "nothing"})).went
    assert (await house.post(f"{page}/rule", who, RULE | rule)).went == page
    assert (await house.post(f"{page}/date", who, {"from": "approval"})).went == page
    return page


async def test_no_policy(house: House) -> None:
    who = house.sign_in("dave", "dpo")
    page = await house.get("/policy", who)
    assert page.status == 200 and "There is no policy yet" in page.text and "No version is in force" in page.text
    assert "Il n’y a pas encore de politique" in (await house.get("/policy", who, "fr")).text
    assert "Nothing has become of it yet" in (await house.get("/policy/history", who)).text


async def test_whoever_has_no_right_finds_nothing(house: House) -> None:
    """Promise 0.4."""
    draft = await drafted(house, house.sign_in("dave", "dpo"))
    who = house.sign_in("alice")
    for path in ("/policy", draft, f"{draft}/simulate", f"{draft}/export", "/policy/history", "/policy/needs"):
        assert (await house.get(path, who)).status == 403, path
    auditor = house.sign_in("alice", "auditor")
    page = await house.get(draft, auditor)
    assert page.status == 200 and "Approve this version" not in page.text and "Add a rule" not in page.text
    assert (await house.post(f"{draft}/rule", auditor, RULE)).status == 403
    assert (await house.get("/policy/9", auditor)).status == 404 == (await house.get("/policy/9999999", auditor)).status


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_draft_says_what_stands_against_it_and_a_form_what_is_wrong(house: House, language: str) -> None:
    who = house.sign_in("dave", "dpo")
    draft = await drafted(house, who, pack="REC_QUALITY", line="sales", rate="3%")
    page = await house.get(draft, who, language)
    assert {"en": "line sales", "fr": "ligne sales"}[language] in page.text
    assert {"en": "kept for 3 months", "fr": "conservé 3 mois"}[language] in page.text
    assert {"en": "3 % of the calls", "fr": "3 % des appels"}[language] in page.text.replace("\xa0", " ")
    assert {"en": "nobody has entered", "fr": "personne n’a consigné"}[language] in page.text
    assert 'href="/policy/needs?pack=REC_QUALITY"' in page.html and "Approve it for good" not in page.html
    form = await house.get(f"{draft}/rule?name=everything", who, language)
    assert 'value="3%"' in form.html and 'value="P3M"' in form.html and 'value="sales"' in form.html
    wrong = await house.post(f"{draft}/rule", who, RULE | {"line": "nowhere", "statute": "kept"}, language)
    assert wrong.status == 422 and 'value="kept"' in wrong.html and "nowhere" in wrong.text
    assert (await house.post(f"{draft}/rule", who, {**RULE, "name": ""}, language)).status == 422


async def test_a_rule_is_changed_and_taken_away_and_a_draft_given_up(house: House) -> None:
    who = house.sign_in("dave", "dpo")
    draft = await drafted(house, who, direction="outbound", country="de")
    assert "country DE, outbound" in (await house.get(draft, who)).text
    await house.post(f"{draft}/rule", who, {**RULE, "retention": "P1M"})
    page = await house.get(draft, who)
    assert "kept for 1 month" in page.text and "every call" in page.text
    saved = await house.get(f"{draft}/export", who)
    assert '"retention": "P1M"' in saved.html
    assert (await house.post(f"{draft}/rule/remove", who, {"name": "everything"})).message
    assert "It has no rule" in (await house.get(draft, who)).text
    assert (await house.post(f"{draft}/discard", who)).went == "/policy"
    assert "was given up" in (await house.get("/policy/history", who)).text


@pytest.mark.promise("0.4", "L7")
async def test_an_approval_asks_for_the_role_and_a_fresh_second_factor(house: House) -> None:
    draft = await drafted(house, house.sign_in("dave", "dpo"))
    stale = house.sign_in("dave", "dpo", fresh_until=None)
    assert "Approve it for good" in (await house.get(draft, stale)).text
    assert (await house.post(f"{draft}/approve", stale)).asks_again
    async with house.services.db.read() as tx:
        assert (await policies.list_all(tx))[0].approvals == ()
    assert (await house.post(f"{draft}/approve", house.sign_in("alice", "auditor"))).status == 403
    fresh = house.sign_in("dave", "dpo", fresh_until=FRESH)
    done = await house.post(f"{draft}/approve", fresh)
    assert (done.went, done.message) == (draft, "Version 1 is approved.")
    async with house.services.db.read() as tx:
        [approval] = (await policies.list_all(tx))[0].approvals
        entries = [entry.body for entry in await ledger.entries(tx, "access") if '"approve"' in str(entry.body)]
    assert approval.person_id == house.teams.people["dave"] and len(entries) == 1
    assert "Version 1 is in force" in (await house.get("/policy", fresh)).text
    page = await house.get(draft, fresh)
    assert "Add a rule" not in page.text and "Give it up" not in page.text
    assert (await house.post(f"{draft}/rule", fresh, RULE)).status in (409, 422), "what is approved is never changed"
    assert (await house.post("/policy/verify", fresh)).message == "Bodies, signatures and access log agree."


async def test_what_was_done_beforehand_is_entered_and_withdrawn_with_a_reason(house: House) -> None:
    who = house.sign_in("dave", "dpo")
    page = await house.get("/policy/needs?pack=REC_QUALITY", who)
    assert page.html.count("Not entered") == 4
    entry = "/policy/needs/REC_QUALITY/dpia_signed"
    assert "signed" in (await house.get(entry, who)).text
    assert (await house.get("/policy/needs/REC_QUALITY/nothing", who)).status == 404
    given = {"evidence": "DPIA 2026-7", "done_by": "Dora", "done_on": f"{NOW:%Y-%m-%d}"}
    ahead = await house.post(entry, who, given | {"done_on": "2027-01-01"})
    assert ahead.status == 422 and "lies ahead" in ahead.text and 'value="DPIA 2026-7"' in ahead.html
    assert (await house.post(entry, who, given)).went == "/policy/needs"
    page = await house.get("/policy/needs?pack=REC_QUALITY", who)
    assert page.html.count("Not entered") == 3 and "It is done" in page.text and "DPIA 2026-7" not in page.html
    found = re.search(r'name="entry" value="([0-9a-f]+)"', page.html)
    assert found
    assert (await house.post("/policy/needs/withdraw", who, {"entry": found[1], "reason": ""})).status == 422
    assert (await house.post("/policy/needs/withdraw", who, {"entry": found[1], "reason": "it was not"})).message
    assert "Withdrawn" in (await house.get("/policy/needs?pack=REC_QUALITY", who)).text


@pytest.mark.promise("L7")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_simulation_is_begun_left_found_again_and_drawn(house: House, language: str) -> None:
    who = house.sign_in("dave", "dpo")
    draft = await drafted(house, who)
    begun = await house.post(f"{draft}/simulate", who, {"since": "", "until": "", "against": ""}, language)
    assert begun.status == 303 and begun.went.startswith("/policy/simulations/")
    page = await house.get(begun.went, who, language)
    assert '<meta http-equiv="refresh"' in page.html and "<progress" in page.html
    assert {"en": "Under way", "fr": "En cours"}[language] in (await house.get("/policy", who, language)).text
    assert (await house.get(begun.went, house.sign_in("alice"), language)).status == 403
    page = await house.when_done(begun.went, who, language)
    calls = len(house.teams.calls)
    assert {"en": "What version 1 would have done", "fr": "Ce que la version 1 aurait fait"}[language] in page.text
    assert f">{calls}<" in page.html, "all calls of the two teams"
    because = {
        "en": "not recorded: no rule of the policy is about it",
        "fr": "non enregistré : aucune règle de la politique ne s’y applique",
    }
    assert because[language] in page.text
    assert begun.went in (await house.get("/policy", who, language)).html
    drawn = await house.get(f"{begun.went}/picture", who, language)
    texts = " ".join(str(one.text) for one in ET.fromstring(drawn.html).iter())  # noqa: S314 - made by us
    assert {"en": "Calls recorded in each month", "fr": "Appels enregistrés chaque mois"}[language] in texts
    assert (await house.get("/policy/simulations/0123456789abcdef", who)).status == 404


async def test_a_simulation_that_fails_says_so_and_many_are_not_begun(house: House) -> None:
    who = house.sign_in("dave", "dpo")
    draft = await drafted(house, who)
    backwards = {"since": "2026-11-02", "until": "2026-11-01"}
    begun = [await house.post(f"{draft}/simulate", who, backwards) for _ in range(6)]
    assert [one.status for one in begun[:5]] == [303] * 5 and begun[5].status == 409, begun[5].text
    assert "others wait" in begun[5].text.lower()
    page = await house.when_done(begun[4].went, who, "en")
    assert page.status == 422 and "ends before it begins" in page.text
