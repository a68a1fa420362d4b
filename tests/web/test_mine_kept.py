"""The page "What is kept about me": in both languages, full and empty; who listened and why, without script."""

from __future__ import annotations

import pytest

from server.services.actor import Actor
from server.services.audit import note
from server.web.pages import about_me
from storage import kept_about, people
from tests.server.two_teams import NOW
from tests.web.mine_house import House

LANGUAGES = ["en", "fr"]


@pytest.mark.promise("L5", "2.14", "2.19")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_it_says_what_until_when_and_who_listened_and_why(house: House, language: str) -> None:
    carol = house.teams.people["carol"]
    async with house.services.db.transaction() as tx:
        actor = Actor(carol, "192.0.2.1", "<script>alert(1)</script>")
        rec_id = house.teams.recordings["alice"]
        await note(house.services, tx, actor, "open", "recording", rec_id=rec_id, person_id=carol)
    page = await house.get("/kept", house.sign_in("alice"), language)
    assert page.status == 200
    words = {
        "en": ("carol opened it", "Recording: quality and training", "Calls with numbers and times", "26 Feb 2027"),
        "fr": ("carol l’a ouvert", "Enregistrement : qualité et formation", "Appels avec numéros et heures"),
    }[language]
    assert all(one in page.text for one in words), page.text
    assert "<script>alert" not in page.html and "<script>alert(1)</script>" in page.text
    assert "6(1)(f)" in page.text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_of_somebody_new_there_is_nearly_nothing(house: House, language: str) -> None:
    async with house.services.db.transaction() as tx:
        new = await people.add(tx, "newcomer", "New Comer", NOW)
    who = house.sign_in("alice", person_id=new.id, login="newcomer", own=frozenset(), team=frozenset())
    page = await house.get("/kept", who, language)
    assert page.status == 200
    words = {"en": ("No recording of you", "No texts"), "fr": ("Aucun enregistrement de vous", "Aucun SMS")}
    assert all(one in page.text for one in words[language])
    assert "alice" not in page.text


@pytest.mark.promise("2.14")
async def test_every_role_has_the_page(house: House) -> None:
    for role in ("employee", "quality", "auditor", "admin"):
        assert (await house.get("/kept", house.sign_in("bob", role))).status == 200, role


def test_every_table_that_is_told_of_has_its_words() -> None:
    assert set(about_me.THINGS) == set(kept_about.FOUND)
