"""The pages of texts: only inboxes of one's own, each right by itself, both languages, empty and failing; writing."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from recording import keys as key_tools
from storage import conversations, inboxes, ledger, readers, sms_received, sms_sent, suppressions
from storage import people as stored_people
from storage.readers import EscrowKey, ReaderKey
from storage.sms_received import NewReceived
from tests.server.two_teams import NOW, OUTSIDE
from tests.web.mine_house import House

MASKED = OUTSIDE[:3] + "•••••••" + OUTSIDE[-2:]
LANGUAGES = ["en", "fr"]
ADDRESSES = {"support": "+33162000001", "care": "+33162000002"}


@pytest.fixture
async def house(house: House) -> House:
    """alice reads and writes for support and sees what it sent; bob only writes for it; care is carol's."""
    people = house.teams.people
    async with house.services.db.transaction() as tx:
        public, _ = key_tools.generate_reader()
        await readers.set_escrow(tx, EscrowKey(key_tools.algorithm(public), public, NOW))
        for name, address in ADDRESSES.items():
            box = await inboxes.add(tx, name, "team", NOW)
            reader = people["alice" if name == "support" else "carol"]
            await inboxes.set_member(tx, box.id, reader, sends=True, sees_sent=True, now=NOW)
            await stored_people.set_roles(tx, reader, ["employee", "reader"])
            public, _ = key_tools.generate_reader()
            await readers.set_key(tx, ReaderKey(reader, key_tools.algorithm(public), public, b"x", NOW))
            await readers.grant(tx, reader, box.purpose, "test", NOW)
            classes = ["conversation", "transactional"]
            await inboxes.add_sender(tx, box.id, address, "number", NOW, classes=classes, approved_by="d" * 32)
        support = await inboxes.by_name(tx, "support")
        await inboxes.set_member(tx, support.id, people["bob"], sends=True, sees_sent=False, now=NOW)
    return house


async def came(house: House, inbox: str, text_id: str, **more: Any) -> str:
    """Something came in; its conversation."""
    async with house.services.db.transaction() as tx:
        box = await inboxes.by_name(tx, inbox)
        [sender] = await inboxes.senders(tx, inbox_id=box.id)
        talk = await conversations.open_(tx, box.id, sender.id, OUTSIDE, NOW, NOW + timedelta(days=90))
        values: dict[str, Any] = {
            "id": text_id, "inbox_id": box.id, "carrier": "one", "sender": OUTSIDE, "recipient": ADDRESSES[inbox],
            "body_sealed": b"x", "kek_id": "k" * 32, "purpose": "SMS_REPLIES", "legal_basis": "x", "stop": "none",
            "sorting": "", "rule": "", "state": "new", "parts": 1, "missing": 0, "received_at": NOW,
            "expires_at": NOW + timedelta(days=90), "sender_id": sender.id, "conversation_id": talk,
        }  # fmt: skip
        await sms_received.add_all(tx, [NewReceived(**{**values, **more})])
    return talk


@pytest.mark.promise("0.4", "1.9", "L16")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_only_ones_own_inboxes_are_there(house: House, language: str) -> None:
    await came(house, "support", "a" * 32)
    await came(house, "care", "b" * 32)
    page = await house.get("/texts", house.sign_in("alice"), language)
    assert page.status == 200
    assert "/texts/support" in page.html and "care" not in page.text
    assert {"en": "read it, write from it, see what was sent", "fr": "lire, écrire, voir les envois"}[
        language
    ] in page.text
    nobody = await house.get("/texts", house.sign_in("dave"), language)
    assert {"en": "You have no inbox", "fr": "Vous n’avez pas de boîte"}[language] in nobody.text


@pytest.mark.promise("0.4", "1.9", "L16")
async def test_another_teams_inbox_is_as_absent_as_one_that_there_is_not(house: House) -> None:
    await came(house, "care", "b" * 32)
    who = house.sign_in("alice")
    for path in ("", "?show=in", "?show=sent", "?show=write", "?show=away", "/sent/" + "b" * 32):
        theirs, none = await house.get(f"/texts/care{path}", who), await house.get(f"/texts/nowhere{path}", who)
        assert (theirs.status, theirs.text.replace("care", "nowhere")) == (404, none.text)
    for path in ("", "/write", "/away", f"/in/{'b' * 32}/done", f"/in/{'b' * 32}/decide", f"/sent/{'b' * 32}/cancel"):
        sent = await house.post(f"/texts/care{path}", who, {"reason": "curious", "to": OUTSIDE, "words": "hi"})
        assert sent.status == 404, path
    async with house.services.db.read() as tx:
        assert (await sms_received.get(tx, "b" * 32)).state == "new"
        assert await sms_sent.list_all(tx) == ()


@pytest.mark.promise("1.9")
async def test_whoever_only_writes_sees_nothing_else(house: House) -> None:
    await came(house, "support", "a" * 32)
    who = house.sign_in("bob")
    page = await house.get("/texts/support", who)
    assert page.status == 200 and 'name="words"' in page.html
    assert "?show=in" not in page.html and "?show=sent" not in page.html and "?show=talks" not in page.html
    for show in ("talks", "in", "sent", "none"):
        assert (await house.get(f"/texts/support?show={show}", who)).status == 404
    assert (await house.post(f"/texts/support/in/{'a' * 32}/done", who)).status == 404


async def test_whoever_has_the_right_and_no_key_is_told(house: House) -> None:
    async with house.services.db.transaction() as tx:
        await readers.grant(tx, house.teams.people["bob"], "inbox.support", "test", NOW)
    page = await house.get("/texts/support?show=in", house.sign_in("bob"))
    assert page.status == 200 and "no key of your own yet" in page.text


@pytest.mark.promise("0.4", "1.9")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_came_in_stands_without_words_and_masked_until_somebody_says_why(
    house: House, language: str
) -> None:
    await came(house, "support", "a" * 32)
    who = house.sign_in("alice")
    for show in ("in", "talks"):
        page = await house.get(f"/texts/support?show={show}", who, language)
        assert page.status == 200 and MASKED in page.text and OUTSIDE not in page.html
        refused = await house.post("/texts/support", who, {"show": show, "reason": " "}, language)
        assert refused.status == 422 and OUTSIDE not in refused.html
        clear = await house.post("/texts/support", who, {"show": show, "reason": "they rang"}, language)
        assert clear.status == 200 and OUTSIDE in clear.text
    async with house.services.db.read() as tx:
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    assert sum("reason_id" in entry for entry in entries) >= 2, "each is written down"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_came_and_nothing_was_sent(house: House, language: str) -> None:
    who = house.sign_in("alice")
    said = {
        "talks": ("No conversation", "Aucune conversation"),
        "in": ("Nothing came in", "Rien n’est arrivé"),
        "sent": ("Nothing was sent", "Rien n’a été envoyé"),
    }
    for show, words in said.items():
        page = await house.get(f"/texts/support?show={show}", who, language)
        assert page.status == 200 and words[LANGUAGES.index(language)] in page.text


async def test_a_text_is_done_with_and_one_in_doubt_is_decided(house: House) -> None:
    await came(house, "support", "a" * 32)
    await came(house, "support", "b" * 32, state="held", stop="ambiguous")
    who = house.sign_in("alice")
    assert "Was it STOP?" in (await house.get("/texts/support?show=in", who)).text
    done = await house.post(f"/texts/support/in/{'a' * 32}/done", who)
    assert (done.status, done.went) == (303, "/texts/support?show=in")
    decided = await house.post(f"/texts/support/in/{'b' * 32}/decide", who, {"is": "stop"})
    assert decided.message == "They get no more advertising."
    async with house.services.db.read() as tx:
        assert {(await sms_received.get(tx, one * 32)).state for one in "ab"} == {"handled"}
        assert [one.channel for one in await suppressions.of_number(tx, OUTSIDE, "sms")] == ["sms"]
    again = await house.post(f"/texts/support/in/{'b' * 32}/decide", who, {"is": "stop"})
    assert again.status == 409 and "Nothing is in doubt" in again.text


async def test_a_conversation_is_handed_over_and_closed(house: House) -> None:
    talk = await came(house, "support", "a" * 32)
    who, path = house.sign_in("alice"), f"/texts/support/conversation/{talk}"
    assert (await house.post(path, who, {"to": "alice"})).status == 303
    assert "alice" in (await house.get("/texts/support?show=talks", who)).text
    refused = await house.post(path, who, {"to": "carol"})
    assert refused.status == 403 and "does not read" in refused.text
    assert (await house.post(path, who, {"close": "yes"})).message == "The conversation is closed."
    assert "No conversation" in (await house.get("/texts/support?show=talks", who)).text


@pytest.mark.promise("P21")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_text_is_looked_at_then_written_then_taken_back(house: House, language: str) -> None:
    who, words = house.sign_in("alice"), "Bonjour, votre colis est là. " * 8
    form = {"to": "+33 6 12 34 56 78", "words": words, "message_class": "conversation", "step": "look"}
    looked = await house.post("/texts/support/write", who, form, language)
    assert looked.status == 200
    assert {"en": "This takes 2 parts.", "fr": "Il faut 2 parties."}[language] in looked.text
    assert words.strip() in looked.text, "what was written stands there again"
    async with house.services.db.read() as tx:
        assert await sms_sent.list_all(tx) == ()
    sent = await house.post("/texts/support/write", who, {**form, "step": "send"}, language)
    assert (sent.status, sent.went) == (303, "/texts/support?show=write")
    listed = await house.get("/texts/support?show=sent", who, language)
    assert MASKED in listed.text and OUTSIDE not in listed.html and "colis" not in listed.text
    found = re.search(r'href="(/texts/support/sent/[0-9a-f]{32})"', listed.html)
    assert found is not None
    one = await house.get(found[1], who, language)
    assert one.status == 200 and MASKED in one.text and "colis" not in one.text
    assert OUTSIDE in (await house.post(found[1], who, {"reason": "they rang"}, language)).text
    gone = await house.post(f"{found[1]}/cancel", who, {}, language)
    assert gone.message == {"en": "It does not leave.", "fr": "Il ne part pas."}[language]
    async with house.services.db.read() as tx:
        assert [text.state for text in await sms_sent.list_all(tx)] == ["cancelled"]
    late = await house.post(f"{found[1]}/cancel", who, {}, language)
    assert late.status == 409


async def test_what_is_wrong_stands_beside_the_form(house: House) -> None:
    who = house.sign_in("alice")
    empty = await house.post("/texts/support/write", who, {"to": "", "words": "hello"})
    assert empty.status == 422 and "Say to whom." in empty.text and "hello" in empty.text
    strange = await house.post("/texts/support/write", who, {"to": "12", "words": "hello", "step": "send"})
    assert strange.status == 422 and "hello" in strange.text
    unapproved = {"to": OUTSIDE, "words": "hello", "step": "send", "message_class": "marketing"}
    assert (await house.post("/texts/support/write", who, unapproved)).status == 403
    kind = await house.post("/texts/support/write", who, {**unapproved, "message_class": "<script>"})
    assert kind.status == 422 and "<script>hello" not in kind.html
    async with house.services.db.read() as tx:
        assert await sms_sent.list_all(tx) == ()


async def test_what_nobody_knew_is_settled_with_a_reason(house: House) -> None:
    who = house.sign_in("alice")
    await house.post("/texts/support/write", who, {"to": OUTSIDE, "words": "hello", "step": "send"})
    async with house.services.db.transaction() as tx:
        [text] = await sms_sent.list_all(tx)
        await sms_sent.set_states(tx, [(text.id, "unknown", "the line broke")], NOW)
    path = f"/texts/support/sent/{text.id}"
    assert "Say what became of it" in (await house.get(path, who)).text
    assert (await house.post(f"{path}/settle", who, {"became": "lost"})).status == 422
    done = await house.post(f"{path}/settle", who, {"became": "lost", "reason": "they never got it"})
    assert done.status == 303
    assert "did not arrive" in (await house.get(path, who)).text


async def test_away_answers_until_a_day(house: House) -> None:
    who = house.sign_in("bob")
    assert (await house.post("/texts/support/away", who, {"words": ""})).status == 422
    day = f"{NOW + timedelta(days=3):%Y-%m-%d}"
    assert (await house.post("/texts/support/away", who, {"words": "Back soon", "until": day})).status == 303
    assert "Answer nothing any more" in (await house.get("/texts/support?show=away", who)).text
    past = await house.post("/texts/support/away", who, {"words": "Back soon", "until": "2020-01-01"})
    assert past.status == 422
    assert (await house.post("/texts/support/away", who, {"off": "yes"})).status == 303
    async with house.services.db.read() as tx:
        assert (await inboxes.by_name(tx, "support")).away is None


@pytest.mark.promise("0.4")
async def test_whoever_may_not_use_texts_has_no_page_of_them(house: House) -> None:
    assert (await house.get("/texts", house.sign_in("alice", "auditor", grants={}))).status == 403
    assert (await house.get("/texts")).status == 303
