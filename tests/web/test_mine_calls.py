"""The page of calls: by reach, in both languages, empty, long and failing; numbers in clear; click-to-call."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from config import verdicts
from sip.calls.plan import Refusal
from storage import call_records, ledger
from storage.call_records import CallRecord
from tests.server.two_teams import NOW, OUTSIDE
from tests.web.mine_house import House, Page

MASKED = OUTSIDE[:3] + "•••••••" + OUTSIDE[-2:]
LANGUAGES = ["en", "fr"]


def listed(house: House, page: Page) -> set[str]:
    """Which of the teams' calls it leads to."""
    named = {call_id: what for what, call_id in house.teams.calls.items()}
    return {named[one] for one in re.findall(r"/calls/([0-9a-f]{32})", page.html) if one in named}


@pytest.mark.promise("0.4", "1.9")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_employee_finds_their_own_calls_with_the_numbers(house: House, language: str) -> None:
    page = await house.get("/calls", house.sign_in("alice"), language)
    assert page.status == 200
    assert listed(house, page) == {"outside alice", "keyed alice", "between"}
    assert f"101 → {OUTSIDE}" in page.text
    assert {"en": "Who called whom", "fr": "Qui a appelé qui"}[language] in page.text


@pytest.mark.promise("0.4", "1.9")
async def test_a_supervisor_finds_the_teams_masked_and_in_clear_with_a_reason(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    page = await house.get("/calls", who)
    ours = {"outside alice", "keyed alice", "between", "outside bob", "keyed bob", "line sales"}
    assert listed(house, page) == ours
    assert f"102 → {MASKED}" in page.text and f"102 → {OUTSIDE}" not in page.text
    assert f"101 → {OUTSIDE}" in page.text, "the supervisor's own"
    refused = await house.post("/calls", who, {"reason": " "})
    assert refused.status == 422 and f"102 → {MASKED}" in refused.text
    clear = await house.post("/calls", who, {"reason": "a complaint", "case": "T-1"})
    assert clear.status == 200 and f"102 → {OUTSIDE}" in clear.text
    async with house.services.db.read() as tx:
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    assert "reason_id" in entries[-2] or "reason_id" in entries[-1], "it is written down"


async def test_a_line_and_a_number_are_looked_for(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    assert listed(house, await house.get("/calls?line=sales", who)) == {"line sales"}
    assert (await house.get("/calls?line=support", who)).status == 404, "as absent as one that there is not"
    page = await house.post("/calls", who, {"number": "+33 6 12 34 56 78", "reason": "a complaint"})
    assert "between" not in listed(house, page) and "outside bob" in listed(house, page)
    for typed in ("06 12 34 56 78", "06.12.34.56.78", "0033612345678", "+33\u00a06\u202f12\u202f34\u202f56\u202f78"):
        again = await house.post("/calls", who, {"number": typed, "reason": "a complaint"})
        assert listed(house, again) == listed(house, page), typed
    none = await house.post("/calls", who, {"number": "+33600000000", "reason": "a complaint"})
    assert none.status == 200 and "No call with this number" in none.text


async def test_a_long_list_is_gone_through_page_by_page(house: House) -> None:
    async with house.services.db.transaction() as tx:
        for number in range(60):
            at = NOW - timedelta(days=2, minutes=number // 2)  # two at the same moment each
            record = CallRecord(
                f"{number:032x}", None, "standard", "CDR_STANDARD", "6(1)(f)", at, NOW + timedelta(days=300),
                {"direction": "inbound", "duration_s": 3700, "cause": "no-answer"}, None,
            )  # fmt: skip
            await call_records.add(tx, record, {"caller": OUTSIDE, "callee": "101"})
    who, path, seen = house.sign_in("alice"), "/calls", list[str]()
    for _ in range(5):
        page = await house.get(path, who)
        seen += dict.fromkeys(re.findall(r'href="/calls/([0-9a-f]{32})"><time', page.html))
        further = re.search(r'rel="next" href="([^"]+)"', page.html)
        if further is None:
            break
        path = further[1]
    assert len(seen) == 63 and len(set(seen)) == 63, "each once"
    assert "1:01:40" in page.text or "1:01:40" in (await house.get("/calls", who)).text
    supervisor, found = house.sign_in("alice", "supervisor"), list[str]()
    fields: dict[str, str] = {"number": OUTSIDE, "reason": "a complaint"}
    for _ in range(5):
        page = await house.post("/calls", supervisor, fields)
        found += dict.fromkeys(re.findall(r'href="/calls/([0-9a-f]{32})"><time', page.html))
        older = re.search(r'name="before" value="([0-9a-f]{32})"', page.html)
        if older is None:
            break
        fields["before"] = older[1]
    assert len(found) == len(set(found)) > 60, "what is looked for goes on as well"
    gone = await house.get("/calls?before=" + "f" * 32, who)
    assert gone.status == 404


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nobody_has_called_yet(house: House, language: str) -> None:
    who = house.sign_in("alice", own=frozenset(), team=frozenset())
    page = await house.get("/calls", who, language)
    assert page.status == 200
    assert {"en": "No calls", "fr": "Aucun appel"}[language] in page.text
    assert "/calls/make" not in page.html, "nothing to call with"


@pytest.mark.promise("P15")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_call_tells_why_somebody_could_not_hear(house: House, language: str) -> None:
    who = house.sign_in("alice")
    page = await house.get(f"/calls/{house.teams.calls['outside alice']}", who, language)
    assert page.status == 200
    said = verdicts.load()
    assert said.says("worker-crashed", language, {}, "") in page.text
    assert said.remedy("worker-crashed", language) in page.text
    assert OUTSIDE in page.text and "6(1)(f)" in page.text
    wrong = await house.get("/calls?show=wrong", who, language)
    assert said.says("worker-crashed", language, {}, "") in wrong.text


@pytest.mark.promise("0.4", "1.9")
async def test_anothers_call_is_as_absent_as_what_there_is_not(house: House) -> None:
    who = house.sign_in("alice")
    for what in ("outside bob", "outside carol", "predecessor alice", "line sales"):
        page = await house.get(f"/calls/{house.teams.calls[what]}", who)
        absent = await house.get("/calls/" + "0123456789abcdef" * 2, who)
        assert (page.status, page.text) == (absent.status, absent.text) == (404, absent.text)


@pytest.mark.promise("P16")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_click_to_call_rings_ones_own_phone_first(house: House, language: str) -> None:
    asked: list[tuple[str, str]] = []

    class Control:
        def live(self) -> list[object]:
            return []

        async def originate(self, account: str, number: str) -> str | Refusal:
            asked.append((account, number))
            return Refusal(480, "Not Registered", "not-registered") if number == "102" else "c" * 32

    house.services.calls = Control()  # type: ignore[assignment]
    who = house.sign_in("alice")
    done = await house.post("/calls/make", who, {"call": OUTSIDE}, language)
    assert (done.status, done.went) == (303, "/calls")
    assert {"en": "Your phone rings", "fr": "Votre téléphone sonne"}[language] in done.message
    nobody = await house.post("/calls/make", who, {"call": "102"}, language)
    assert nobody.status == 422
    assert {"en": "None of your phones is on", "fr": "Aucun de vos téléphones"}[language] in nobody.text
    assert 'value="102"' in nobody.html, "what was typed stands there again"
    assert asked == [("alice", OUTSIDE), ("alice", "102")]
    others = await house.post("/calls/make", who, {"call": OUTSIDE, "account": "bob"}, language)
    assert others.status == 404
    assert (await house.post("/calls/make", who, {"call": ""}, language)).status == 422
    assert len(asked) == 2


async def test_without_the_daemon_it_is_said(house: House) -> None:
    house.services.calls = None
    who = house.sign_in("alice")
    assert (await house.get("/calls", who)).status == 200
    page = await house.post("/calls/make", who, {"call": "102"})
    assert page.status == 503 and "not running" in page.text


@pytest.mark.promise("0.4")
async def test_whoever_may_not_read_calls_has_no_page_of_them(house: House) -> None:
    assert (await house.get("/calls", house.sign_in("alice", "auditor", grants={}))).status == 403
    assert (await house.get("/calls")).status == 303
