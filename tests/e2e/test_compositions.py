"""Who is heard in which recording when a call is held, paused or passed on: each is opened and listened to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.office import Office
from tests.peers import tones

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PEOPLE = {office.HZ[name]: name for name in ("anna", "ben", "carl", "dora")}


@pytest.fixture(scope="module")
def crew(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office.office(tmp_path_factory.mktemp("crew"), product_seed) as made:
        scene.first_reader(made.product)
        made.product.add_line("quality", "790", members=["carl"], pack="REC_QUALITY", consent="opt-in")
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(crew: Office) -> Iterator[None]:
    yield
    crew.clear()


def recorded(crew: Office) -> tuple[int, int, set[str]]:
    """Anna calls the line, says yes, Carl takes it and is told: (her call, his call, recordings that were there)."""
    before = scene.rec_ids(crew.product)
    since = len(crew.carl.events)
    call = crew.anna.dial("790")
    crew.anna.established(call)
    scene.talk(0.5)
    crew.anna.press(call, "1")
    his = crew.carl.rung(since=since)
    crew.carl.answer(his)
    crew.carl.established(his)
    scene.until(lambda: any(c["recording"] for c in scene.live_calls(crew.product)), "recording", timeout_s=15)
    return call, his, before


def kept(crew: Office, before: set[str], count: int) -> list[dict[str, Any]]:
    """The recordings that have come, oldest first, once all are finished."""

    def found() -> list[dict[str, Any]]:
        new = [r for r in scene.recordings(crew.product) if r["id"] not in before]
        return new if len(new) == count and all(r["state"] != "recording" for r in new) else []

    return scene.until(found, f"{count} recordings", timeout_s=20, every_s=0.3)


def people_in(crew: Office, recording: dict[str, Any], place: Path) -> list[set[str]]:
    """Whose tone each channel holds."""
    opened = scene.by_escrow(crew.product, recording["id"], place)
    return [{PEOPLE[hz] for hz in tones.tones_in(opened[:, n], tuple(PEOPLE))} for n in (0, 1)]


@pytest.mark.promise("P4", "L1")
@pytest.mark.parametrize("agrees", [True, False])
def test_who_joins_by_a_blind_transfer_is_asked_and_recorded_apart(crew: Office, tmp_path: Path, agrees: bool) -> None:
    call, his, before = recorded(crew)
    scene.talk(1.5)
    since = len(crew.ben.events)
    crew.carl.refer(his, "702")
    crew.ben.wait("CALL_INCOMING", since=since)
    crew.ben.answer()
    crew.ben.wait("CALL_ESTABLISHED", since=since)
    if agrees:
        scene.until(lambda: any(c["recording"] for c in scene.live_calls(crew.product)), "recording", timeout_s=15)
    else:
        scene.talk(0.3)
        crew.ben.press("2")
    assert crew.carl.transferred(his).startswith("200")
    crew.carl.closed(his)
    scene.talk(3.0)
    crew.anna.hang_up(call)
    crew.quiet()
    found = kept(crew, before, 2 if agrees else 1)
    assert people_in(crew, found[0], tmp_path) == [{"anna"}, {"carl"}]
    if agrees:
        assert people_in(crew, found[1], tmp_path) == [{"anna"}, {"ben"}]
    legs = [e["leg_id"] for e in scene.entries(crew.product, "consent")][-3:]
    assert len(set(legs)) == 3, "each leg answers for itself"


@pytest.mark.promise("P4", "L1")
def test_who_joins_by_an_attended_transfer_is_asked_and_recorded_apart(crew: Office, tmp_path: Path) -> None:
    call, his, before = recorded(crew)
    scene.talk(1.0)
    crew.carl.hold(his)
    since = len(crew.ben.events)
    other = crew.carl.dial("702")
    crew.ben.wait("CALL_INCOMING", since=since)
    crew.ben.answer()
    crew.carl.established(other)
    scene.talk(1.0)
    crew.carl.attend(his, other)
    assert crew.carl.transferred(his).startswith("200")
    crew.carl.closed(his)
    crew.carl.closed(other)
    scene.until(lambda: sum(c["recording"] for c in scene.live_calls(crew.product)) == 1, "recording", timeout_s=15)
    scene.talk(2.0)
    crew.anna.hang_up(call)
    crew.ben.wait("CALL_CLOSED", since=since)
    crew.quiet()
    first, second = kept(crew, before, 2)
    assert people_in(crew, first, tmp_path) == [{"anna"}, {"carl"}], "what Carl and Ben said to each other is in none"
    assert people_in(crew, second, tmp_path) == [{"anna"}, {"ben"}]


@pytest.mark.parametrize("how", ["hold", "pause"])
def test_hold_and_pause_leave_silence_and_a_gap(crew: Office, tmp_path: Path, how: str) -> None:
    call, his, before = recorded(crew)
    scene.talk(1.5)
    if how == "hold":
        crew.carl.hold(his)
    else:
        crew.carl.press(his, "*7")
    scene.talk(2.0)
    if how == "hold":
        crew.carl.resume(his)
    else:
        crew.carl.press(his, "*7")
    scene.talk(1.5)
    crew.anna.hang_up(call)
    crew.quiet()
    (one,) = kept(crew, before, 1)
    opened = scene.by_escrow(crew.product, one["id"], tmp_path)
    with scene.database(crew.product) as db:
        row = db.execute("SELECT gaps FROM recordings WHERE id = ?", (one["id"],)).fetchone()
    ((start_ms, end_ms, why),) = json.loads(row["gaps"])
    assert why == how and 1500 < end_ms - start_ms < 6000
    spoken = [name for name in office.story(crew.anna.heard(call)) if name in ("paused", "resumed")]
    assert spoken == (["paused", "resumed"] if how == "pause" else [])
    middle = opened[8 * (start_ms + 400) : 8 * (end_ms - 400)]
    assert len(middle) > 4000 and not any(tones.tones_in(middle[:, n], tuple(PEOPLE)) for n in (0, 1))
    for n, who in ((0, "anna"), (1, "carl")):
        tail = opened[8 * (end_ms + 400) :, n]
        assert {PEOPLE[hz] for hz in tones.tones_in(tail, tuple(PEOPLE))} == {who}


@pytest.mark.promise("L5")
def test_private_from_here_on(crew: Office) -> None:
    call, his, before = recorded(crew)
    scene.talk(1.0)
    crew.carl.press(his, "*8")
    scene.until(lambda: not any(c["recording"] for c in scene.live_calls(crew.product)), "no recording")
    scene.talk(1.0)
    crew.anna.hang_up(call)
    crew.quiet()
    (one,) = kept(crew, before, 1)
    assert one["state"] == "destroyed"
