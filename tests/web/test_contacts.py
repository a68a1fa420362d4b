"""The pages of permission to contact: asked as a call would be, with proof, masked, rights, both languages."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from server.services import consents, lines, number_imports
from server.services import suppressions as suppressions_service
from server.services.actor import Actor
from storage import consents as stored_consents
from storage import ledger, suppressions
from tests.server.two_teams import NOW
from tests.web.mine_house import House, Page

ME = Actor("os:1000", "desk-7")
DORIS, HERS = "+33612340017", "06 12 34 00 17"
SCRIPT = "<script>alert(1)</script>"
CONSENT = {"number": HERS, "channel": "voice", "purpose": "telecom", "act": "checkbox", "collector": "Shop of Lyon",
           "source": "form 12", "text_id": "offers", "text_version": "2", "words": "Yes, call me."}  # fmt: skip


@pytest.fixture
async def house(house: House) -> House:
    """The line `sales` canvasses for telecom."""
    await lines.set_(house.services, ME, line="sales", canvassing="telecom", target="consumer")
    return house


async def agreed(house: House, number: str = DORIS, **more: Any) -> str:
    values = {"purpose": "telecom", "act": "checkbox", "collector": "Shop of Lyon", "source": "form 12",
              "text_id": "offers", "text_version": "1", "text_sha256": "ab" * 32}  # fmt: skip
    return (await consents.add(house.services, ME, number=number, **{**values, **more})).id


@pytest.mark.promise("2.15", "2.16", "1.1")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_whether_they_may_be_called_and_if_not_why_and_when(house: House, language: str) -> None:
    who = house.sign_in("alice", "supervisor")
    asked = {"number": HERS, "line": "sales", "channel": "voice", "at": "2026-12-01T10:30"}
    no = await house.post("/contacts", who, asked, language)
    said = {"en": "No consent of theirs is known", "fr": "Aucun consentement connu"}[language]
    assert no.status == 200 and said in no.text and DORIS not in no.html.replace(HERS, "")
    await agreed(house)
    yes = await house.post("/contacts", who, asked, language)
    assert {"en": "Yes, they may be contacted", "fr": "Oui, le contact est permis"}[language] in yes.text
    late = await house.post("/contacts", who, asked | {"at": "2026-12-01T22:30"}, language)
    assert {"en": "Not at this hour", "fr": "Pas à cette heure"}[language] in late.text
    assert "2026, 10:00" in late.text or "2 Dec 2026" in late.text or "2 déc. 2026" in late.text
    clear = await house.post("/contacts", who, asked | {"reason": "they rang"}, language)
    assert DORIS in clear.text
    for wrong in ({"number": "", "line": "sales"}, {"number": HERS, "line": ""}, {"number": "x", "line": "sales"}):
        assert (await house.post("/contacts", who, wrong, language)).status == 422


@pytest.mark.promise("1.2", "2.16")
async def test_a_consent_with_its_proof_from_its_day_to_its_withdrawal(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    assert "No consent" in (await house.get("/contacts/consents", who)).text
    for name in ("number", "collector", "source", "text_id", "text_version", "words"):
        assert (await house.post("/contacts/consents/new", who, {**CONSENT, name: ""})).status == 422, name
    made = await house.post("/contacts/consents/new", who, CONSENT)
    assert made.status == 303
    shown = await house.get(made.went, who)
    assert "given" in shown.text and DORIS not in shown.html and "Shop of Lyon" not in shown.html
    assert hashlib.sha256(b"Yes, call me.").hexdigest() in shown.text, "of the words that were sent"
    clear = await house.post(made.went, who, {"reason": "a complaint"})
    assert DORIS in clear.text and "Shop of Lyon" in clear.text and "form 12" in clear.text
    listed = await house.post("/contacts/consents", who, {"number": HERS})
    assert listed.status == 200 and "telecom" in listed.text and DORIS not in listed.html
    assert (await house.post("/contacts/consents", who, {"reason": " "})).status == 422
    gone = await house.post(f"{made.went}/withdraw", who, {"by": "letter"})
    assert gone.status == 303 and "withdrawn" in (await house.get(made.went, who)).text
    async with house.services.db.read() as tx:
        assert [one.reason for one in await suppressions.of_number(tx, DORIS)] == ["withdrawal"]
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    assert any("reason_id" in one and one["object"] == "consent" for one in entries)


async def test_the_proof_is_the_same_however_its_words_were_sent(house: House) -> None:
    who, words = house.sign_in("carol", "compliance"), "Oui,\nappelez-moi."
    digest = hashlib.sha256(words.encode()).hexdigest()

    async def shown(**said: str) -> Page:
        made = await house.post("/contacts/consents/new", who, {**CONSENT, "words": "", **said})
        return await house.get(made.went, who) if made.status == 303 else made

    as_browsers_do = {"words": words.replace("\n", "\r\n")}
    for said in (as_browsers_do, {"text_sha256": digest.upper()}, {**as_browsers_do, "text_sha256": f" {digest} "}):
        assert digest in (await shown(**said)).text, said
    for wrong, why in (
        ({"text_sha256": digest[:-1]}, "That is no SHA-256"),
        ({"words": "Non.", "text_sha256": digest}, "not that of these words"),
        ({}, "Give the words themselves"),
    ):
        refused = await shown(**wrong)
        assert refused.status == 422 and why in refused.text, refused.text


@pytest.mark.promise("0.4")
async def test_whoever_only_reads_changes_nothing(house: House) -> None:
    made, who = await agreed(house), house.sign_in("alice", "supervisor")
    for path in ("", "/consents", f"/consents/{made}", "/contracts", "/objections", "/optouts"):
        page = await house.get(f"/contacts{path}", who)
        assert page.status == 200 and "/new" not in page.html and "/withdraw" not in page.html, path
        assert DORIS not in page.html
    assert (await house.get("/contacts/consents/new", who)).status == 403
    for path in ("/consents/new", f"/consents/{made}/withdraw", "/contracts/new", "/objections/new", "/optouts/new",
                 f"/objections/{'0' * 32}/lift", "/objections/import"):  # fmt: skip
        assert (await house.post(f"/contacts{path}", who, {**CONSENT, "reason": "x"})).status == 403, path
    employee = house.sign_in("alice")
    assert (await house.get("/contacts", employee)).status == 403
    async with house.services.db.read() as tx:
        assert await suppressions.list_all(tx) == ()


async def test_a_long_list_is_read_page_by_page(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    for number in range(60):
        at = (NOW - timedelta(days=number + 1)).isoformat()
        await agreed(house, f"+3361234{number:04d}", given_at=at)
    seen: list[str] = []
    page = await house.get("/contacts/consents", who)
    for _ in range(4):
        seen += re.findall(r'href="/contacts/consents/([0-9a-f]{32})"', page.html)
        further = re.search(r'rel="next" href="([^"]+)"', page.html)
        if further is None:
            break
        page = await house.get(further[1], who)
    async with house.services.db.read() as tx:
        assert seen == [one.id for one in await stored_consents.list_all(tx)]
    clear = await house.post("/contacts/consents", who, {"reason": "to see them", "before": seen[24]})
    assert "+33612340025" in clear.text and "+33612340024" not in clear.text
    assert (await house.get(f"/contacts/consents?before={'0' * 32}", who)).status == 404


async def test_contracts_are_written_down_and_end(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    said = {"number": HERS, "reference": "A-77", "kind": "contract", "purpose": "telecom", "since": "2026-11-01"}
    assert (await house.post("/contacts/contracts/new", who, said)).status == 303
    for wrong in ({"number": ""}, {"reference": ""}, {"kind": "x"}, {"purpose": "x"}, {"number": "twelve"}):
        refused = await house.post("/contacts/contracts/new", who, said | wrong)
        assert refused.status == 422 and "Write one down" in refused.text, wrong
    listed = await house.get("/contacts/contracts", who)
    assert "A contract that runs" in listed.text and "A-77" not in listed.text and DORIS not in listed.html
    assert "A-77" in (await house.post("/contacts/contracts", who, {"number": HERS, "reason": "asked"})).text
    ends = re.search(r'action="(/contacts/contracts/[0-9a-f]+/end)"', listed.html)
    assert ends and (await house.post(ends[1], who)).status == 303
    assert "over" in (await house.get("/contacts/contracts", who)).text


@pytest.mark.promise("2.7", "2.15")
async def test_whoever_objects_is_left_alone_until_somebody_says_why_not(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    said = {"number": HERS, "channel": "all", "because": "objection", "source": "letter"}
    assert (await house.post("/contacts/objections/new", who, said)).status == 303
    page = await house.post("/contacts/objections", who, {"number": HERS})
    assert "It stands there, with 1 entry." in page.text and "They objected" in page.text
    assert "does not stand there" in (await house.post("/contacts/objections", who, {"number": "0612340018"})).text
    action = re.search(r'action="(/contacts/objections/[0-9a-f]+/lift)"', page.html)
    assert action
    assert (await house.post(action[1], who, {"reason": " "})).status == 422
    stale = house.sign_in("carol", "compliance", fresh_until=NOW - timedelta(minutes=1))
    assert (await house.post(action[1], stale, {"reason": "they called"})).asks_again
    who = house.sign_in("carol", "compliance")
    assert (await house.post(action[1], who, {"reason": "they called"})).status == 303
    assert "Nobody stands there" in (await house.get("/contacts/objections", who)).text


@pytest.mark.promise("2.7")
async def test_a_list_is_brought_in_as_a_whole_or_not_at_all(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    await house.appoint("carol", "compliance")  # what goes on by itself asks for their roles once more
    rows = b"Number;x\n0612340001;=1+1\n0612340002;a\ntwelve;<script>\n0612340001;a\n"

    async def sent(**more: object) -> Page:
        fields = {"file": io.BytesIO(rows), "column": "1", "channel": "voice", **more}
        return await house.post("/contacts/objections/import", who, fields)

    begun = await sent()
    nothing = await house.when_done(begun.went, who)
    assert "Nothing was entered" in nothing.text and "this is no telephone number" in nothing.text
    assert "twelve" not in nothing.html
    async with house.services.db.read() as tx:
        assert await suppressions.list_all(tx) == ()
    some = await house.when_done((await sent(partial="yes")).went, who)
    assert "Entered 2" in some.text
    assert (await house.get(begun.went, house.sign_in("dave", "dpo"))).status == 404, "it is whose it is"
    for body in (b"", b"\0\0", b"\n\n", b"1\n" * 100_001):
        refused = await house.post(
            "/contacts/objections/import", who, {"file": io.BytesIO(body), "channel": "all", "column": "1"}
        )
        assert refused.status == 422 and "Bring in a list" in refused.text


async def test_a_line_without_a_number_is_named_as_in_other_lists(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    await house.appoint("carol", "compliance")
    sent = {"file": io.BytesIO(b"Name;Number\nAl;0612340001\nBo;\n"), "column": "2", "channel": "all"}
    begun = await house.post("/contacts/objections/import", who, sent)
    page = await house.when_done(begun.went, who)
    assert "the number is missing" in page.text and "Fill it in, or take the line out" in page.text


async def test_nobody_waits_while_the_longest_list_is_read(house: House) -> None:
    """Neither its lines nor its numbers are looked through where everybody is answered."""
    longest = b"".join(b"06%08d\n" % number for number in range(number_imports.MOST_LINES))

    async def held(work: Awaitable[Any]) -> tuple[float, Any]:
        """How much of the processor's time it took from those who are answered here; and what came of it."""
        here_s, all_s = time.thread_time(), time.process_time()
        said = await work
        return (time.thread_time() - here_s) / (time.process_time() - all_s), said

    reading, numbers = await held(number_imports.read(longest, 1))
    wrong = [(line, f"x{number}") for line, number in numbers[: suppressions_service.MOST_LINES]]
    looking, looked = await held(suppressions_service.import_(house.services, ME, numbers=wrong))
    assert len(numbers) == number_imports.MOST_LINES and looked.wrong == suppressions_service.MOST_LINES
    assert reading < 0.3 and looking < 0.3, (reading, looking)


@pytest.mark.promise("1.3")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_who_has_opted_out_of_texts(house: House, language: str) -> None:
    who = house.sign_in("carol", "compliance")
    empty = await house.get("/contacts/optouts", who, language)
    assert {"en": "Nobody has opted out", "fr": "Personne ne s’est désinscrit"}[language] in empty.text
    free = await house.post("/contacts/optouts", who, {"number": HERS}, language)
    assert {"en": "They have not opted out", "fr": "Pas de désinscription"}[language] in free.text
    added = await house.post("/contacts/optouts/new", who, {"number": HERS, "scope": "sms", "source": "call"}, language)
    assert added.status == 303
    out = await house.post("/contacts/optouts", who, {"number": HERS}, language)
    assert {"en": "They get no advertising", "fr": "Aucune publicité pour ce numéro"}[language] in out.text
    all_ = {"number": "0612340018", "scope": "all", "source": "letter"}
    assert (await house.post("/contacts/optouts/new", who, all_, language)).status == 303
    listed = await house.get("/contacts/optouts", who, language)
    whole = {"en": "calls and texts", "fr": "appels et SMS"}[language]
    assert re.search(rf"<td data-label[^>]*>{whole}</td>", listed.html) and "<td>*" not in listed.text, listed.text


async def test_script_in_every_field_is_text(house: House) -> None:
    who = house.sign_in("carol", "compliance")
    named = await agreed(house)
    forms: dict[str, dict[str, object]] = {
        "": {"number": HERS, "line": "sales", "channel": "voice", "at": "", "reason": "x"},
        "/consents": {"number": HERS, "reason": "x", "case": "1"},
        "/consents/new": {**CONSENT, "language": "fr", "given_at": "", "expires_at": "", "text_sha256": ""},
        f"/consents/{named}/withdraw": {"by": "agent"},
        "/contracts/new": {"number": HERS, "reference": "A", "kind": "contract", "purpose": "telecom", "since": ""},
        "/objections": {"number": HERS},
        "/objections/new": {"number": HERS, "channel": "all", "because": "objection", "source": "call", "until": ""},
        "/optouts/new": {"number": HERS, "scope": "sms", "source": "call"},
    }
    for path, fields in forms.items():
        for name in fields:
            page = await house.post(f"/contacts{path}", who, fields | {name: SCRIPT})
            assert page.status in (200, 303, 404, 409, 422), (path, name, page.status)
            assert SCRIPT not in page.html, (path, name)
    for path in ("/consents", "/contracts", "/objections", "/optouts"):
        assert SCRIPT not in (await house.get(f"/contacts{path}", who)).html
