"""The pages of inboxes: made, given to people, addresses approved and removed, closed; never what texts say."""

from __future__ import annotations

import pytest

from server.services import inboxes
from server.services.actor import Actor
from storage import inboxes as stored
from storage import people
from tests.web.mine_house import House

ME = Actor("os:1000", "desk-7")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
async def house(house: House) -> House:
    """dave administers."""
    await house.appoint("dave", "admin")
    await inboxes.add(house.services, ME, name="support")
    return house


@pytest.mark.promise("0.4", "1.9")
async def test_only_whoever_administers_sees_them(house: House) -> None:
    for role in ("employee", "supervisor", "dpo", "auditor"):
        who = house.sign_in("alice", role)
        assert (await house.get("/inboxes", who)).status == 403
        assert (await house.post("/inboxes/support/close", who)).status == 403
    admin = house.sign_in("dave", "admin")
    assert (await house.get("/inboxes/nowhere", admin)).status == 404
    for path in ("/members", "/close", "/senders"):
        fields = {"login": "alice", "sending": "yes", "address": "+33162000009", "classes": "conversation"}
        assert (await house.post(f"/inboxes/nowhere{path}", admin, fields)).status == 404, path


@pytest.mark.promise("1.5", "1.9", "1.10")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_an_inbox_from_its_making_to_its_close(house: House, language: str) -> None:
    who = house.sign_in("dave", "admin")
    assert (
        await house.post("/inboxes", who, {"name": "care", "kind": "team", "language": "fr"}, language)
    ).status == 303
    page = await house.get("/inboxes/care", who, language)
    assert {"en": "Nobody has a right to it", "fr": "Personne n’y a de droit"}[language] in page.text
    given = await house.post("/inboxes/care/members", who, {"login": "alice", "sending": "yes"}, language)
    assert given.status == 303
    reading = await house.post("/inboxes/care/members", who, {"login": "bob", "reading": "yes"}, language)
    assert reading.status == 409, "bob is no reader"
    async with house.services.db.transaction() as tx:
        await people.set_roles(tx, house.teams.people["bob"], ["employee", "reader"])
    assert (await house.post("/inboxes/care/members", who, {"login": "bob", "reading": "yes"}, language)).status == 303
    [box] = [one for one in await inboxes.every(house.services, ME) if one.name == "care"]
    assert (box.sends, box.reads) == (("alice",), ("bob",))
    sender = {"address": "+33 1 62 00 00 02", "classes": "conversation"}
    assert (await house.post("/inboxes/care/senders", who, sender, language)).status == 303
    page = await house.get("/inboxes/care", who, language)
    assert "+33162000002" in page.text and "alice" in page.text
    named = {"address": "Beffroi", "classes": "marketing"}
    refused = await house.post("/inboxes/care/senders", who, named, language)
    assert refused.status == 422 and {"en": "STOP to a name", "fr": "STOP à un nom"}[language] in refused.text
    assert (await house.post("/inboxes/care/senders", who, named | {"stop_code": "36180"}, language)).status == 303
    gone = await house.post("/inboxes/care/senders/remove", who, {"address": "+33162000002"}, language)
    assert gone.status == 303
    assert (await house.post("/inboxes/care/members", who, {"login": "alice"}, language)).status == 303
    assert (await house.post("/inboxes/care/close", who, None, language)).status == 303
    page = await house.get("/inboxes/care", who, language)
    assert {"en": "Open it again", "fr": "Rouvrir"}[language] in page.text
    async with house.services.db.read() as tx:
        made = await stored.by_name(tx, "care")
        senders = await stored.senders(tx, inbox_id=made.id)
    assert made.disabled_at is not None
    approver = house.teams.people["dave"]
    assert {(one.address.lstrip("'"), one.disabled_at is None, one.approved_by) for one in senders} == {
        ("+33162000002", False, approver), ("Beffroi", True, approver)
    }  # fmt: skip
    assert (await house.post("/inboxes/care/close", who, {"reopen": "yes"}, language)).status == 303


@pytest.mark.promise("1.5")
async def test_nobody_without_the_role_approves_an_address(house: House) -> None:
    who = house.sign_in("alice", "admin")  # the right, and not the role
    sender = {"address": "+33162000003", "classes": "conversation"}
    assert (await house.post("/inboxes/support/senders", who, sender)).status == 403


async def test_script_in_every_field_is_text(house: House) -> None:
    who = house.sign_in("dave", "admin")
    forms: dict[str, dict[str, object]] = {
        "": {"name": "other", "kind": "person", "account": "alice", "language": "fr"},
        "/support/members": {"login": "alice", "reading": "", "sending": "yes", "sent": ""},
        "/support/senders": {"address": "Beffroi", "classes": "marketing", "stop_code": "36180", "carriers": ""},
        "/support/senders/remove": {"address": "Beffroi"},
        "/support/close": {"reopen": "yes"},
    }
    for path, fields in forms.items():
        for name in fields:
            page = await house.post(f"/inboxes{path}", who, fields | {name: SCRIPT})
            assert page.status in (303, 404, 409, 422, 403), (path, name, page.status)
            assert SCRIPT not in page.html, (path, name)
    for path in ("", "/support"):
        assert SCRIPT not in (await house.get(f"/inboxes{path}", who)).html
