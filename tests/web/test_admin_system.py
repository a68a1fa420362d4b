"""The system at a glance: what is well, what is not, and who may look."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.sections import Emergency
from server import checks
from server.alerting import writing
from server.alerting.conditions import Sensed
from server.alerting.raised import Raised
from server.services import overview
from server.web.language import translations
from server.web.pages import check, system
from storage import sweeps
from storage import trunks as trunk_rows
from storage.sweeps import Sweep
from tests.server.duty_house import add_trunk
from tests.web.admin_house import House
from tests.web.test_live import Stream

ALIKE = frozenset({"Conversations"})  # what both languages say with the same words

WELL = Sensed(
    edge=True,
    recorder=True,
    trunks={},
    carriers={},
    free_mb=80_000,
    needed_mb=500,
    certificate_until=datetime(2039, 1, 1, tzinfo=UTC),
    ledger_sound=True,
)


class Live:
    """What a daemon says of itself."""

    def __init__(self) -> None:
        self.workers, self.recorder = [11, 12], 10

    async def status(self) -> dict[str, Any]:
        return {
            "calls": [{"call_id": "1" * 32}],
            "processes": {"recorder": self.recorder, "workers": self.workers},
            "capacity": 20,
            "texts": {"carriers": {}, "waiting": 3},
        }


class Edge:
    """An edge that is there, with two phones; or that is not."""

    def __init__(self) -> None:
        self.here = True

    @property
    def attached(self) -> Edge:
        return self

    def is_set(self) -> bool:
        return self.here

    async def registrations(self) -> dict[str, list[object]]:
        return {"a": [], "b": []}

    async def trunk_states(self) -> dict[str, object]:
        return {}


@dataclass
class Desk:
    sensed: Sensed | None


async def running(place: House, sensed: Sensed | None) -> tuple[Live, Edge]:
    live, edge = Live(), Edge()
    place.services.live, place.services.edge = live, edge  # type: ignore[assignment]
    place.services.alerts = Desk(sensed)  # type: ignore[assignment]
    now = place.services.clock()
    async with place.services.db.transaction() as tx:
        await sweeps.add(tx, Sweep(now, now, destroyed={"call_record": 1204}))
    return live, edge


@pytest.mark.promise("P10")
async def test_all_is_well(place: House) -> None:
    trunk = await add_trunk(place.services.db)
    await running(place, replace(WELL, trunks={trunk.id: True}))
    page = await place.get("/system", await place.person("admin"))
    assert page.status == 200
    assert "All is well." in page.text
    assert "Calls now 1 room for 20" in page.text
    assert "Phones registered 2" in page.text
    assert "Texts that wait 3" in page.text
    assert "They leave by any trunk, the preferred first: provider" in page.text
    assert "1,204 erased" in page.text
    assert "Not well" not in page.text and "Not known" not in page.text
    french = await place.get("/system", await place.person("admin", login="other"), "fr")
    assert "Tout va bien." in french.text
    assert "1 204 effacés" in french.text.replace(" ", " ").replace(" ", " ")


@pytest.mark.promise("P10")
async def test_what_is_not_well_comes_first_in_words(place: House) -> None:
    trunk = await add_trunk(place.services.db, "the-provider-with-the-long-name")
    soon = place.services.clock() + timedelta(days=5)
    live, edge = await running(
        place,
        replace(
            WELL,
            trunks={trunk.id: False},
            free_mb=100,
            certificate_until=soon,
            ledger_sound=False,
            orphans=2,
            holds_overdue=frozenset({"1"}),
        ),
    )
    live.workers, live.recorder, edge.here = [], 0, False
    async with place.services.db.transaction() as tx:
        await writing.write(place.services, tx, Raised("disk-full"))
    page = await place.get("/system", await place.person("security"))
    said = page.text
    assert "All is well" not in said
    for words in (
        "None leaves the house now: no trunk for them is up. Keep another telephone.",
        "It does not answer: no phone can register or call.",
        "None is ready: no call can begin.",
        "It does not run: nothing is recorded.",
        "1 of 1 are down: the-provider-with-the-long-name",
        "100 MB free: nothing is recorded below 500 MB.",
        "It does not verify",
        "1 open",
        "2 were found.",
        "1 want to be looked at again.",
    ):
        assert words in said, words
    assert "It expires on" in said
    assert said.index("Not well") < said.index("Look at it") < said.index("✓ Well")
    assert "11 things want your attention." in said


async def test_what_nobody_knows_yet_is_said_so(place: House) -> None:
    await add_trunk(place.services.db)
    await running(place, None)
    said = (await place.get("/system", await place.person("admin"))).text
    assert said.count("Nobody knows yet") == 2
    assert said.count("Nobody has looked yet.") == 2
    assert "Not known" in said


@pytest.mark.parametrize(
    ("sensed", "state", "what"),
    [({}, "unknown", "unknown"), ({"sim": True}, "unknown", "up"), ({"sim": True, "smsc": True}, "good", "up"),
     ({"sim": True, "smsc": False}, "bad", "down")],
)  # fmt: skip
def test_a_carrier_that_nobody_has_asked_yet_is_not_well(sensed: dict[str, bool], state: str, what: str) -> None:
    services: Any = SimpleNamespace(settings=SimpleNamespace(sms=SimpleNamespace(carriers={"sim": 1, "smsc": 2})))
    part = overview._carriers(services, replace(WELL, carriers=sensed))
    assert (part.state, part.says) == (state, what)


@pytest.mark.promise("P10")
@pytest.mark.parametrize(
    ("trunks", "settings", "state", "says"),
    [
        ({}, {}, "note", "none"),
        ({"north": None}, {}, "bad", "disabled"),
        ({"north": True}, {"drill": True}, "bad", "drilled"),
        ({}, {"drill": True}, "bad", "drilled"),
        ({"north": True}, {"trunks": ["south"]}, "bad", "strange"),
        ({"north": True, "south": None}, {"trunks": ["south"]}, "bad", "strange"),
        ({"north": False, "south": False}, {}, "bad", "down"),
        ({"north": True, "south": False}, {"trunks": ["south"]}, "bad", "down"),
        ({"north": True, "south": False}, {"trunks": ["south", "north"]}, "good", "named"),
        ({"north": True, "south": False}, {}, "good", "any"),
    ],
)
async def test_whether_an_emergency_call_finds_a_way_is_said(
    place: House, trunks: dict[str, bool | None], settings: dict[str, Any], state: str, says: str
) -> None:
    """`trunks`: whether each is up; None: it is disabled."""
    made = {name: await add_trunk(place.services.db, name) for name in trunks}
    async with place.services.db.transaction() as tx:
        for name, up in trunks.items():
            if up is None:
                await trunk_rows.disable(tx, made[name].id)
        every = await trunk_rows.list_all(tx)
    sensed = replace(WELL, trunks={made[name].id: up for name, up in trunks.items() if up is not None})
    part = overview._emergency(every, sensed, Emergency(**settings))
    assert (part.state, part.says) == (state, says)
    assert overview._emergency(every, replace(WELL, trunks=None), Emergency(**settings)).state != "good"


async def test_without_a_daemon_it_says_so(place: House) -> None:
    said = (await place.get("/system", await place.person("admin"))).text
    assert "The server does not run." in said
    assert "Phones registered –" in said


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", ["employee", "supervisor", "legal", "reader"])
async def test_others_do_not_see_it(place: House, role: str) -> None:
    page = await place.get("/system", await place.person(role))
    assert page.status == 403
    assert "Recorder" not in page.text


async def test_whoever_has_not_signed_in_is_sent_to_do_so(place: House) -> None:
    page = await place.get("/system", "nobody")
    assert (page.status, page.went) == (303, "/sign-in?next=%2Fsystem")


def region(html: str) -> str:
    """What stands in the live region of a page, without its figures, which go on."""
    inner = html.partition('data-live="system"')[2].partition(">")[2].partition("</section>")[0]
    return bare(inner)


def bare(html: str) -> str:
    return re.sub(r"[0-9]+", "0", " ".join(html.split()))


@pytest.mark.promise("P10")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_is_sent_to_those_who_watch_is_what_the_page_holds(place: House, language: str) -> None:
    """The live region is the page's own, in the reader's language, and made anew when something changes."""
    away = escape(translations(language).gettext(system.SAYS["edge", "away"]))
    _, edge = await running(place, WELL)
    admin = await place.person("admin")
    page = await place.get("/system", admin, language)
    async with place.client.get("/events?topic=system", headers=place.headers(admin, language)) as answer:
        assert answer.status == 200
        stream = Stream(answer)  # type: ignore[arg-type]
        topic, html = await stream.event()
        assert topic == "system" and len(region(page.html)) > 1000 and bare(html) == region(page.html)
        assert away not in html
        edge.here = False
        topic, html = await stream.event()
    assert topic == "system" and away in html
    assert bare(html) == region((await place.get("/system", admin, language)).html)


@pytest.mark.promise("0.4")
async def test_who_may_not_see_it_is_sent_nothing(place: House) -> None:
    await running(place, WELL)
    employee = await place.person("employee")
    async with place.client.get("/events?topic=system", headers=place.headers(employee)) as answer:
        assert answer.status == 404


def found() -> set[tuple[str, str]]:
    """Each (part, says) that the service may come to, read from its code: the first and the third of each `Part`."""
    calls = [one for one in ast.walk(ast.parse(inspect.getsource(overview))) if isinstance(one, ast.Call)]
    parts = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "Part"]
    assert len(parts) > 20

    def words(node: ast.expr) -> list[str]:
        if isinstance(node, ast.IfExp):
            return words(node.body) + words(node.orelse)
        assert isinstance(node, ast.Constant) and isinstance(node.value, str), ast.dump(node)
        return [node.value]

    return {(part, says) for one in parts for part in words(one.args[0]) for says in words(one.args[2])}


def test_every_part_has_its_words() -> None:
    """In both languages, with values for all that they want; and there are no words that nothing comes to."""
    assert found() == set(system.SAYS)
    assert {part for part, _ in found()} == set(system.TITLES) >= set(system._PLACES)
    values = dict.fromkeys(("count", "of", "names", "size", "needed", "day", "when"), "X")
    for words in (*system.TITLES.values(), *system.SAYS.values()):
        french = translations("fr").gettext(words)
        assert french != words or words in ALIKE, words
        assert "%" not in words % values and "%" not in french % values
        assert (words % values).count("X") == (french % values).count("X"), words


def test_every_finding_has_its_words() -> None:
    """Of what the sources of the checks name."""
    named = {
        call.args[0].value
        for path in Path(checks.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("ok", "note", "wrong")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert {"clock", "rates"} <= named <= set(check.CHECKS)
