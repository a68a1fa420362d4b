"""Alerts with their runbook and verdict, and what can be stopped at once."""

from __future__ import annotations

import pytest

from server.alerting import writing
from server.alerting.raised import Raised
from server.services.context import utc_now
from sip.calls.control import LiveCall
from storage import alerts, people, trunks
from tests.server.duty_house import add_trunk
from tests.web.admin_house import House

SCRIPT = "<script>alert(1)</script>"


async def raised(place: House, kind: str, subject: str = "", count: int = 1) -> str:
    async with place.services.db.transaction() as tx:
        return (await writing.write(place.services, tx, Raised(kind, subject, count))).id


class Calls:
    """Call control with one call that goes on, and one for help."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def live(self) -> list[LiveCall]:
        return [
            LiveCall("1" * 32, None, utc_now(), True, 1),
            LiveCall("2" * 32, None, utc_now(), False, 2, emergency=True),
        ]

    def hang_up(self, call_id: str) -> bool:
        self.ended.append(call_id)
        return True


async def test_no_alert(place: House) -> None:
    who = await place.person("auditor")
    assert "No alert is open" in (await place.get("/alerts", who)).text
    assert "Aucune alerte en cours" in (await place.get("/alerts", who, "fr")).text
    assert "There has been no alert yet" in (await place.get("/alerts?all=1", who)).text


@pytest.mark.promise("P10")
async def test_an_alert_is_read_with_its_runbook_and_judged(place: House) -> None:
    who = await place.person("security")
    alert = await raised(place, "disk-low")
    listed = await place.get("/alerts", who)
    assert f'href="/alerts/{alert}"' in listed.html
    page = await place.get(f"/alerts/{alert}", who)
    assert "What to do" in page.text and "Look at it" not in page.text
    assert page.html.count("<li>") >= 1
    french = await place.get(f"/alerts/{alert}", who, "fr")
    assert "La place sur le disque diminue" in french.text
    nothing = await place.post(f"/alerts/{alert}", who, {"note": "kept"})
    assert nothing.status == 422
    assert "Say what it was." in nothing.text and ">kept</textarea>" in nothing.html
    done = await place.post(f"/alerts/{alert}", who, {"verdict": "real_danger", "note": SCRIPT})
    assert (done.status, done.went, done.message) == (303, f"/alerts/{alert}", "Noted.")
    async with place.services.db.read() as tx:
        judged = await alerts.get(tx, alert)
    assert (judged.state, judged.verdict, judged.note) == ("acknowledged", "real_danger", SCRIPT)
    page = await place.get(f"/alerts/{alert}", who)
    assert SCRIPT not in page.html and "Real danger" in page.text
    assert "Real danger" in (await place.get("/alerts?all=1", who)).text
    assert "No alert is open" in (await place.get("/alerts", who)).text


async def test_who_may_only_read_judges_nothing(place: House) -> None:
    alert, who = await raised(place, "disk-low"), await place.person("auditor")
    page = await place.get(f"/alerts/{alert}", who)
    assert page.status == 200 and "Save the verdict" not in page.text
    assert (await place.post(f"/alerts/{alert}", who, {"verdict": "misuse"})).status == 403
    async with place.services.db.read() as tx:
        assert (await alerts.get(tx, alert)).verdict is None


async def test_an_alert_that_there_is_not(place: House) -> None:
    who = await place.person("admin")
    assert (await place.get("/alerts/0123456789", who)).status == 404
    assert (await place.get("/alerts/%3Cscript%3E", who)).status == 404


async def test_a_test_alert(place: House) -> None:
    done = await place.post("/alerts/test", await place.person("admin"))
    assert done.status == 303 and done.message.startswith("A test alert")
    assert (await place.post("/alerts/test", await place.person("auditor"))).status == 403


@pytest.mark.promise("P10")
async def test_a_person_is_locked_and_given_back(place: House) -> None:
    who = await place.person("security")
    await place.person("employee", login="rita")
    empty = await place.post("/containment/lock", who, {"login": "rita"})
    assert empty.status == 422 and "Say why, in a few words." in empty.text
    done = await place.post("/containment/lock", who, {"login": "rita", "reason": "stolen phone"})
    assert (done.status, done.went) == (303, "/containment") and "rita is locked" in done.message
    async with place.services.db.read() as tx:
        assert (await people.by_login(tx, "rita")).disabled_at is not None
    page = await place.get("/containment", who)
    assert "Who is locked" in page.text
    back = await place.post("/containment/unlock", who, {"login": "rita", "reason": "found again"})
    assert "rita is unlocked" in back.message
    async with place.services.db.read() as tx:
        assert (await people.by_login(tx, "rita")).disabled_at is None
    absent = await place.post("/containment/lock", who, {"login": "nobody", "reason": "stolen phone"})
    assert absent.status == 404


async def test_the_second_factor_is_asked_for_before_somebody_is_locked(place: House) -> None:
    who = await place.person("security", fresh=False)
    await place.person("employee", login="rita")
    done = await place.post("/containment/lock", who, {"login": "rita", "reason": "stolen phone"})
    assert done.asks_again
    async with place.services.db.read() as tx:
        assert (await people.by_login(tx, "rita")).disabled_at is None


@pytest.mark.promise("P10")
async def test_a_call_is_ended_but_never_one_for_help(place: House) -> None:
    who, calls = await place.person("admin"), Calls()
    assert "The server does not run: there are no calls" in (await place.get("/containment", who)).text
    place.services.calls = calls  # type: ignore[assignment]
    page = await place.get("/containment", who)
    assert "/containment/calls/" + "1" * 32 in page.html and "/containment/calls/" + "2" * 32 not in page.html
    assert "Emergency call" in page.text
    done = await place.post(f"/containment/calls/{'1' * 32}/end", who)
    assert done.message == "The call is ended." and calls.ended == ["1" * 32]
    assert (await place.post(f"/containment/calls/{'2' * 32}/end", who)).status == 403
    assert calls.ended == ["1" * 32]


@pytest.mark.promise("P10")
async def test_a_trunk_is_cut_and_used_again(place: House) -> None:
    who, trunk = await place.person("admin"), await add_trunk(place.services.db)
    done = await place.post("/containment/trunks/provider/cut", who, {"hang_up": "yes"})
    assert done.message.startswith("Trunk provider is cut.")
    assert "No emergency call leaves any more" in done.message
    async with place.services.db.read() as tx:
        assert not next(one for one in await trunks.list_all(tx) if one.id == trunk.id).enabled
    assert "Use again" in (await place.get("/containment", who)).text
    back = await place.post("/containment/trunks/provider/use", who, language="fr")
    assert back.message == "Le tronc provider sert à nouveau."


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", ["employee", "supervisor", "auditor", "dpo"])
async def test_others_stop_nothing(place: House, role: str) -> None:
    who = await place.person(role)
    assert (await place.get("/containment", who)).status == 403
    assert (await place.post("/containment/lock", who, {"login": "x", "reason": "because"})).status == 403


async def test_the_security_officer_is_offered_no_trunk(place: House) -> None:
    await add_trunk(place.services.db)
    page = await place.get("/containment", await place.person("security"))
    assert page.status == 200 and "provider" not in page.text
