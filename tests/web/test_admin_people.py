"""People through the portal: added, given roles, locked out of their own rights, leaving."""

from __future__ import annotations

import re

import pytest

from server.services.context import Services
from storage import accounts, ledger, people
from storage.people import Person
from tests.web.admin_house import House

SCRIPT = '"><script>alert(1)</script>'


async def of(services: Services, login: str) -> Person:
    async with services.db.read() as tx:
        return await people.by_login(tx, login)


async def test_a_person_is_added_with_roles(place: House) -> None:
    who = await place.person("admin")
    assert "Add a person" in (await place.get("/people", who)).text
    page = await place.get("/people/new", who, "fr")
    assert "Responsable de la sécurité" in page.text
    done = await place.post("/people/new", who, {"login": "Nina", "name": SCRIPT, "roles": "quality", "language": "en"})
    assert (done.status, done.went) == (303, "/people/nina")
    nina = await of(place.services, "nina")
    assert (nina.display_name, nina.roles, nina.language) == (SCRIPT, {"quality"}, "en")
    page = await place.get("/people/nina", who)
    assert page.status == 200 and SCRIPT not in page.html and "Quality" in page.text


@pytest.mark.parametrize(("fields", "status"), [({}, 422), ({"login": "a b"}, 422)])
async def test_what_is_wrong_is_said_and_the_form_keeps_what_was_typed(
    place: House, fields: dict[str, object], status: int
) -> None:
    page = await place.post("/people/new", await place.person("admin"), {**fields, "name": "Nina", "roles": "legal"})
    assert page.status == status
    assert 'value="Nina"' in page.html and 'role="alert"' in page.html
    assert 'value="legal" checked' in page.html and 'value="employee" checked' not in page.html


async def test_somebody_with_that_login_is_there_already(place: House) -> None:
    who = await place.person("admin", login="nina")
    assert (await place.post("/people/new", who, {"login": "nina", "roles": "employee"})).status == 409


@pytest.mark.promise("2.22")
async def test_names_stand_masked_until_somebody_says_why(place: House) -> None:
    who = await place.person("admin")
    async with place.services.db.transaction() as tx:
        await people.add(tx, "nina", "Nina Simone", place.services.clock())
    assert "Nina Simone" not in (await place.get("/people", who)).text
    refused = await place.post("/people", who, {"reason": ""})
    assert refused.status == 422 and "Nina Simone" not in refused.text
    shown = await place.post("/people", who, {"reason": "call her back"})
    assert "Nina Simone" in shown.text
    async with place.services.db.read() as tx:
        newest = (await ledger.entries(tx, "access"))[-1]
    assert b"reason_id" in newest.body


@pytest.mark.promise("0.4")
async def test_roles_are_changed_but_nobody_changes_their_own(place: House) -> None:
    who = await place.person("admin", login="boss")
    await place.person("employee", login="nina")
    done = await place.post("/people/nina/roles", who, {"roles": "supervisor"})
    assert done.message == "The roles are changed."
    assert (await of(place.services, "nina")).roles == {"supervisor"}
    assert "Save the roles" not in (await place.get("/people/boss", who)).text
    own = await place.post("/people/boss/roles", who, {"roles": "auditor"})
    assert own.status in (403, 409, 422)
    assert (await of(place.services, "boss")).roles == {"admin"}


async def test_the_right_to_listen_is_given_and_taken(place: House) -> None:
    who = await place.person("admin")
    await place.person("reader", login="nina")
    page = await place.get("/people/nina", who)
    assert "Let this person listen" in page.text and 'value="REC_QUALITY"' in page.html
    done = await place.post("/people/nina/grant", who, {"purpose": "REC_QUALITY"})
    assert done.status == 303
    assert "<code>REC_QUALITY</code>" in (await place.get("/people/nina", who)).html
    done = await place.post("/people/nina/revoke", who, {"purpose": "REC_QUALITY"})
    assert done.message == "The right is taken."
    assert (await place.post("/people/nina/grant", who, {"purpose": "nothing"})).status == 422


@pytest.mark.promise("P10")
async def test_somebody_leaves_after_it_was_shown_what_would_be_done(place: House) -> None:
    who = await place.person("admin")
    await place.person("employee", login="nina")
    now = place.services.clock()
    async with place.services.db.transaction() as tx:
        nina = await people.by_login(tx, "nina")
        await accounts.add(tx, "nina-desk", "771", "Nina", now, person_id=nina.id)
        await accounts.add(tx, "the-other", "772", "Other", now)
    page = await place.get("/people/nina/leave", who)
    assert 'value="the-other"' in page.html and 'value="nina-desk"' not in page.html
    assert (await place.post("/people/nina/leave", who, {})).status == 422
    both = await place.post("/people/nina/leave", who, {"hand_over": "the-other", "keep": "yes"})
    assert both.status == 422
    plan = await place.post("/people/nina/leave", who, {"keep": "yes"})
    assert plan.status == 200
    assert "Account disabled, and kept: nina-desk" in plan.text and "Do all this now" in plan.text
    assert (await of(place.services, "nina")).disabled_at is None
    done = await place.post("/people/nina/leave", who, {"keep": "yes", "sure": "yes"})
    assert (done.status, done.message) == (303, "nina has left.")
    assert (await of(place.services, "nina")).disabled_at is not None


async def test_a_person_is_disabled(place: House) -> None:
    who = await place.person("admin")
    await place.person("employee", login="nina")
    assert (await place.post("/people/nina/disable", who)).status == 303
    assert (await of(place.services, "nina")).disabled_at is not None
    assert "Disabled" in (await place.get("/people/nina", who)).text


async def test_who_is_not_there_is_not_there(place: House) -> None:
    who = await place.person("admin")
    assert (await place.get("/people/nobody", who)).status == 404
    assert (await place.post("/people/nobody/disable", who)).status == 404


@pytest.mark.promise("0.4")
@pytest.mark.parametrize(("role", "status"), [("employee", 403), ("supervisor", 403), ("auditor", 403), ("dpo", 200)])
async def test_who_may_look(place: House, role: str, status: int) -> None:
    who = await place.person(role)
    assert (await place.get("/people", who)).status == status
    assert (await place.get("/people/new", who)).status == 403
    assert (await place.post("/people/x/roles", who, {"roles": "admin"})).status == 403


@pytest.mark.promise("0.2")
async def test_the_link_for_the_first_sign_in_is_shown_once(place: House) -> None:
    who = await place.person("admin")
    await place.person("employee", login="nina")
    assert "Make a link for the first sign-in" in (await place.get("/people/nina", who)).text
    shown = await place.post("/people/nina/invite", who)
    link = re.search(r"<code>(https://[^<]+/invitation/[^<]+)</code>", shown.html)
    assert shown.status == 200 and link is not None and shown.headers["Cache-Control"] == "no-store"
    assert link[1] not in (await place.get("/people/nina", who)).html
    opened = await place.get(link[1].removeprefix(place.services.settings.web.origin))
    assert opened.status == 200
    stale = await place.person("admin", login="stale", fresh=False)
    assert (await place.post("/people/nina/invite", stale)).asks_again
    assert (await place.post("/people/nina/invite", await place.person("security"))).status == 403
