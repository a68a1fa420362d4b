"""The check of the machine, roles and the ledger through the portal."""

from __future__ import annotations

import re

import pytest

from server import control_socket
from server.operation_rules import RIGHTS
from server.web.language import translations
from server.web.pages import ledger as ledger_page
from server.web.pages.people import ROLE_NAMES
from server.web.pages.roles import GROUPS, VERBS
from storage import ledger, ledger_payload, role_rights
from storage.people import ROLES
from tests.web.admin_house import House


async def changed(place: House) -> dict[str, dict[str, str]]:
    async with place.services.db.read() as tx:
        return {role: dict(rights) for role, rights in (await role_rights.changed(tx)).items()}


@pytest.mark.promise("P15")
async def test_the_machine_is_looked_at(place: House) -> None:
    who = await place.person("auditor")
    assert "Nothing was looked at yet" in (await place.get("/check", who)).text
    stopped = await place.post("/check", who)
    assert stopped.status == 503 and "The daemon is not running" in stopped.text
    (place.services.paths.data / "beffroi.toml").chmod(0o644)
    async with control_socket.serve(place.services):
        page = await place.post("/check", who, language="fr")
    assert page.status == 200
    assert "Configuration sound ✓ En ordre" in page.text
    assert page.text.index("En défaut") < page.text.index("En ordre")
    assert "others may look into" in page.text
    assert "Relire la configuration" not in page.text


async def test_the_configuration_is_read_again_by_admins_alone(place: House) -> None:
    assert (await place.post("/check/reload", await place.person("auditor"))).status == 403
    page = await place.post("/check/reload", await place.person("admin"))
    assert page.status == 503 and "The daemon is not running" in page.text


def test_each_role_and_each_right_has_its_words() -> None:
    assert set(ROLE_NAMES) == ROLES
    for right in RIGHTS:
        group, _, verb = right.partition(".")
        assert group in GROUPS and verb in VERBS, right


@pytest.mark.promise("0.4")
async def test_a_roles_rights_are_changed_and_put_back(place: House) -> None:
    who = await place.person("admin")
    page = await place.get("/roles", who)
    assert "Security officer" in page.text and "Calls: look" in page.text
    one = await place.get("/roles/supervisor", who)
    options = re.search(r'name="calls.read">(.*?)</select>', one.html, re.DOTALL)
    assert options is not None and 'value="team" selected' in options[1]
    narrowless = re.search(r'name="system.read">(.*?)</select>', one.html, re.DOTALL)
    assert narrowless is not None and 'value="team"' not in narrowless[1]
    sent = {"calls.read": "own", "alerts.read": "all", "calls.live": "team", "nonsense": "all"}
    done = await place.post("/roles/supervisor", who, sent)
    assert done.message == "2 rights are changed."
    assert await changed(place) == {"supervisor": {"calls.read": "own", "alerts.read": "all"}}
    assert "2 changed ones" in (await place.get("/roles", who)).text
    assert (await place.post("/roles/supervisor", who, {"calls.read": "everything"})).message == "Nothing was changed."
    back = await place.post("/roles/supervisor/reset", who, language="fr")
    assert back.message == "Le rôle est de nouveau comme livré."
    assert await changed(place) == {}
    assert (await place.get("/roles/emperor", who)).status == 404


@pytest.mark.promise("0.4")
async def test_nobody_changes_a_role_that_they_hold(place: House) -> None:
    who = await place.person("admin")
    page = await place.post("/roles/admin", who, {"calls.read": "all"})
    assert page.status in (403, 409, 422) and await changed(place) == {}
    stale = await place.person("admin", login="stale", fresh=False)
    assert "prove first who you are" in (await place.get("/roles/legal", stale)).text
    asked = await place.post("/roles/legal", stale, {"calls.read": "all"})
    assert asked.asks_again
    for role in ("security", "employee", "dpo"):
        assert (await place.get("/roles", await place.person(role))).status == 403


def test_everything_that_the_ledger_may_say_has_words_in_both_languages() -> None:
    assert set(ledger_page.ACTIONS) == ledger_payload.ACTIONS | ledger_payload.ACTS
    assert set(ledger_page.OBJECTS) == ledger_payload.OBJECTS
    assert set(ledger_page.OUTCOMES) == ledger_payload.OUTCOMES
    french = translations("fr")._catalog  # type: ignore[attr-defined]
    for words in (ledger_page.ACTIONS, ledger_page.OBJECTS, ledger_page.OUTCOMES):
        assert len(set(words.values())) == len(words), "each says something else"
        assert set(words.values()) <= french.keys()


@pytest.mark.promise("2.12")
async def test_who_did_what_is_said_by_login_and_in_words(place: House) -> None:
    who = await place.person("dpo", login="dora")
    await place.get("/limits", who)
    page = await place.get("/ledger", who)
    assert "dora Was shown: limits Done" in page.text
    french = await place.get("/ledger", who, "fr")
    assert "dora Consulté : plafonds Terminé" in french.text.replace("\u202f", " ").replace("\xa0", " ")
    async with place.services.db.transaction() as tx:
        entry = {"actor_id": "system", "action": "destroy", "object": "recording"}
        await ledger.append(tx, "access", entry, place.services.clock())
    assert "Le système Détruit" in (await place.get("/ledger", who, "fr")).text


@pytest.mark.promise("2.12")
async def test_the_ledger_is_read_page_by_page_and_verified(place: House) -> None:
    who = await place.person("auditor")
    async with place.services.db.transaction() as tx:
        for _ in range(120):
            entry = {"actor_id": "system", "action": "list", "object": "line", "outcome": "done"}
            await ledger.append(tx, "access", entry, place.services.clock())
    seen: list[int] = []
    path = "/ledger"
    for _ in range(10):
        page = await place.get(path, who)
        assert page.status == 200
        seen += [
            int(one.replace(",", ""))
            for one in re.findall(r'data-label="Entry"><div class="cell">([\d,]+)<', page.html)
        ]
        older = re.search(r'rel="next" href="([^"]+)"', page.html)
        if older is None:
            break
        path = older[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) >= 120 and seen == sorted(seen, reverse=True) and seen[-1] == 1
    async with place.services.db.read() as tx:
        assert [one.seq for one in await ledger.entries_before(tx, "access", 10, limit=3)] == [7, 8, 9]
        assert await ledger.entries_before(tx, "access", 1, limit=3) == ()
    assert 'rel="next"' not in (await place.get("/ledger?before=2", who)).html, "there is nothing before the first"
    verified = await place.post("/ledger/verify", who, language="fr")
    assert "Personne ne l’a modifié." in verified.text
    assert re.search(r"<code>\d+:[0-9a-f]{64}</code>", verified.html)
    for query in ("log=x", "before=-1", "before=0", "before=99999999", "before=%00"):
        assert (await place.get(f"/ledger?{query}", who)).status == 200
    assert (await place.get("/ledger", await place.person("admin"))).status == 403
