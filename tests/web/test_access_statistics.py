"""Access statistics, on both databases: each entry counted once, by week, person, purpose and missing right."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config import settings as configuration
from server import access_figures
from server.access_figures import AccessFigures, begins, week_of
from server.services import access_statistics
from server.services.actor import Actor
from storage import ledger
from tests.server.two_teams import NOW
from tests.web.mine_house import House

WEEK = timedelta(weeks=1)


async def write(house: House, who: str, at_weeks_ago: int, times: int, **said: str) -> None:
    entry = {"actor_id": house.teams.people[who], "action": "open", "object": "recording", "outcome": "done"} | said
    at = NOW - at_weeks_ago * WEEK
    async with house.services.db.transaction() as tx:
        await ledger.append_all(tx, "access", [entry] * times, at)


async def statistics(house: House) -> access_statistics.StatisticsView:
    return await access_statistics.statistics(house.services, Actor(house.teams.people["dave"], "test"))


@pytest.mark.promise("0.4")
async def test_whoever_has_no_right_finds_nothing(house: House) -> None:
    assert (await house.get("/access-statistics", house.sign_in("alice"))).status == 403
    for role in ("dpo", "auditor", "security"):
        assert (await house.get("/access-statistics", house.sign_in("dave", role))).status == 200, role


@pytest.mark.promise("2.10", "3.11")
async def test_each_entry_is_counted_once(house: House) -> None:
    await write(house, "bob", 30, 5, purpose="REC_QUALITY")
    for weeks_ago in range(6, 0, -1):
        await write(house, "bob", weeks_ago, 2, purpose="REC_QUALITY")
    await write(house, "bob", 0, 12, purpose="REC_QUALITY")
    await write(house, "alice", 0, 12, purpose="REC_CONTRACT")
    await write(house, "alice", 0, 3, action="use", object="right", outcome="denied", rule="ledger.show")
    await write(house, "alice", 0, 1, action="search", object="call")
    await write(house, "alice", 0, 2, action="show", object="call", reason_id="a" * 32)
    said = await statistics(house)
    again = await statistics(house)
    assert said.whole and again.weeks[-1].opened == said.weeks[-1].opened == 24
    assert len(said.weeks) == 13 and said.weeks[-1].week == "2026-11-23" and said.since == begins(house.services)
    assert [one.opened for one in said.weeks] == [0] * 6 + [2] * 6 + [24], "what lies before the period does not count"
    people = {one.who: one for one in said.people}
    assert (people["bob"].opened, people["bob"].median, people["bob"].newest) == (24, 2.0, 12)
    assert people["bob"].unusual and said.people[0].who == "bob"
    alice = people["alice"]
    assert (alice.opened, alice.searched, alice.clear, alice.refused, alice.unusual) == (12, 1, 2, 3, False)
    purposes = {one.purpose: one.opened for one in said.purposes}
    assert purposes == {"REC_QUALITY": 24, "REC_CONTRACT": 12}
    assert [(one.right, one.refused) for one in said.refusals] == [("ledger.read", 3)]


@pytest.mark.promise("2.10")
async def test_what_was_not_opened_is_not_counted_as_opened(house: House) -> None:
    """Neither a damaged file, nor a wrong code; and what is exported beside recordings belongs to no purpose."""
    await write(house, "bob", 0, 1, purpose="REC_QUALITY")
    await write(house, "bob", 0, 2, purpose="REC_QUALITY", outcome="failed")
    await write(house, "bob", 0, 3, purpose="REC_QUALITY", action="export", outcome="failed")
    await write(house, "bob", 0, 4, purpose="REC_CONTRACT", outcome="wrong")
    await write(house, "bob", 0, 5, action="export", object="policy")
    await write(house, "bob", 0, 6, action="verify", object="ledger", outcome="failed")  # done: it found something
    (bob,) = [one for one in (await statistics(house)).people if one.who == "bob"]
    assert (bob.opened, bob.exported, bob.refused, bob.changed, bob.newest) == (1, 5, 9, 6, 6)
    said = await statistics(house)
    assert [(one.purpose, one.opened, one.exported) for one in said.purposes] == [("REC_QUALITY", 1, 0)]
    assert [(one.right, one.refused) for one in said.refusals] == [("", 9)]
    page = await house.get("/access-statistics", house.sign_in("dave", "dpo"))
    assert "another cause: a wrong code, a limit, a state, a damaged file" in page.text


async def test_it_never_goes_back_further_than_the_log_is_kept(house: House) -> None:
    house.services.settings = configuration.parse('[retention]\naccess_log = "P6M"\n')
    assert begins(house.services) == NOW.replace(hour=0, day=31, month=8)
    await write(house, "bob", 12, 1)
    await statistics(house)
    house.services.clock = lambda: NOW + 2 * WEEK
    assert week_of(begins(house.services)) == "2026-09-14"
    said = await statistics(house)
    assert said.weeks[0].week == "2026-09-14" and not any(one.opened for one in said.weeks)


async def test_the_daemon_reads_a_few_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page never waits for a long log: it says how far the figures go back."""
    monkeypatch.setattr(access_figures, "BATCH", 10)
    await write(house, "bob", 5, 15)
    await write(house, "bob", 0, 15)
    house.services.live = object()  # type: ignore[assignment]
    who = house.sign_in("dave", "dpo")
    page = await house.get("/access-statistics", who, "fr")
    assert "encore en cours de comptage" in page.text
    figures: AccessFigures = house.services.access_figures
    for _ in range(20):
        if not await figures.read_on(house.services):
            break
    assert figures.whole
    await write(house, "bob", 0, 3)
    assert await figures.read_on(house.services) and not await figures.read_on(house.services)
    counted = [sum(count for (_, what, _), count in week.items() if what == "opened") for week in
               figures.by_week().values()]  # fmt: skip
    assert sorted(counted) == [15, 18]
    counted_all = (await house.get("/access-statistics", who, "fr")).text
    assert "encore en cours de comptage" not in counted_all
    assert "non dit 33 0" in counted_all, "thirty-three, for no purpose that is said"


@pytest.mark.parametrize(
    ("counts", "usual", "unusual"),
    [
        ((), 0, False),
        ((50,), 0, False),
        ((0, 0, 1, 2, 2, 50), 2, False),  # three weeks alone since the first
        ((1, 2, 2, 3, 9), 2, False),  # less than ten
        ((3, 4, 4, 5, 12), 4, False),  # not more than three times
        ((3, 4, 4, 5, 13), 4, True),
        ((1, 0, 0, 0, 10), 0, True),
    ],
)
def test_somebody_is_compared_with_themself(counts: tuple[int, ...], usual: float, unusual: bool) -> None:
    assert access_statistics.compared(counts) == (usual, unusual)


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_the_page_says_it(house: House, language: str) -> None:
    who = house.sign_in("dave", "security")
    empty = await house.get("/access-statistics", who, language)
    assert {"en": "Nobody has looked", "fr": "Personne n’a encore"}[language] in empty.text
    for weeks_ago in range(6, 0, -1):
        await write(house, "bob", weeks_ago, 1, purpose="REC_QUALITY")
    await write(house, "bob", 0, 12, purpose="REC_QUALITY")
    page = await house.get("/access-statistics", who, language)
    assert {"en": "Unusual", "fr": "Inhabituel"}[language] in page.text and "bob" in page.text
    assert page.html.count('<figure class="chart">') == 3
    assert {"en": "Recordings opened 18", "fr": "Enregistrements ouverts 18"}[language] in page.text
    assert {"en": "Newest week", "fr": "Dernière semaine"}[language] in page.text
