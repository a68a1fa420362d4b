"""Whoever was connected by an attended transfer passes the caller on again: each side is listened to before and after,
and every recording is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.office import Office
from tests.peers import tones
from tests.peers.deskphone import DeskPhone

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PEOPLE = {hz: name for name, hz in office.HZ.items()}


@pytest.fixture(scope="module")
def crew(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office.office(tmp_path_factory.mktemp("crew"), product_seed) as made:
        made.product.add_line("quality", "790", members=["carl"], pack="REC_QUALITY", consent="opt-in")
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(crew: Office) -> Iterator[None]:
    yield
    crew.clear()


def conversations(crew: Office, count: int, *, recorded: int = 0) -> None:
    """Until so many are left, and so many recordings run."""

    def so() -> bool:
        calls = scene.live_calls(crew.product)
        return len(calls) == count and sum(call["recording"] for call in calls) == recorded

    scene.until(so, f"{count} conversations, {recorded} of them recorded", timeout_s=20, every_s=0.2)


def consult(asks: DeskPhone, number: str, answers: Callable[[], None]) -> int:
    """One call more, to a colleague who answers it; its number."""
    call = asks.dial(number)
    answers()
    asks.established(call)
    return call


def by_desk(phone: DeskPhone, since: int, calls: list[int]) -> Callable[[], None]:
    def answer() -> None:
        calls.append(phone.rung(since=since))
        phone.answer(calls[-1])
        phone.established(calls[-1])

    return answer


def by_dora(crew: Office, since: int) -> Callable[[], None]:
    def answer() -> None:
        crew.dora.wait("CALL_INCOMING", since=since)
        crew.dora.answer()
        crew.dora.wait("CALL_ESTABLISHED", since=since)

    return answer


def ben_is_handed_to_carl(crew: Office) -> tuple[int, int]:
    """Ben calls Anna, who asks Carl and then connects the two: (where Ben's events begin, Carl's call)."""
    since, at = len(crew.ben.events), len(crew.anna.events)
    crew.ben.dial("701")
    first = crew.anna.rung(since=at)
    crew.anna.answer(first)
    crew.anna.established(first)
    crew.ben.wait("CALL_ESTABLISHED", since=since)
    scene.talk(0.8)
    crew.anna.hold(first)
    carls: list[int] = []
    second = consult(crew.anna, "703", by_desk(crew.carl, len(crew.carl.events), carls))
    scene.talk(0.6)
    crew.anna.attend(first, second)
    assert crew.anna.transferred(first).startswith("200")
    crew.anna.closed(first)
    crew.anna.closed(second)
    conversations(crew, 2)
    scene.talk(0.8)
    return since, carls[0]


# --- passed on ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1", "P4")
def test_whoever_was_consulted_passes_the_caller_on(crew: Office) -> None:
    """Anna has connected Ben with Carl. Carl holds, comes back, tries Anna, who is busy, and sends Ben to Dora."""
    with crew.listening(crew.ben, crew.dora) as heard:
        since, carls = ben_is_handed_to_carl(crew)
        crew.carl.hold(carls)
        scene.talk(1.8)
        crew.carl.resume(carls)
        scene.talk(0.8)
        at = len(crew.anna.events)
        crew.carl.refer(carls, "701")
        crew.anna.hang_up(crew.anna.rung(since=at), 486)
        assert crew.carl.transferred(carls).startswith("486")
        scene.talk(2.2)
        told, at = len(crew.carl.events), len(crew.dora.events)
        crew.carl.refer(carls, "704")
        assert "702" in crew.dora.wait("CALL_INCOMING", since=at)["peeruri"], "Ben's number, who waits"
        scene.talk(1.0)
        crew.dora.answer()
        crew.dora.wait("CALL_ESTABLISHED", since=at)
        assert crew.carl.wait("TRANSFER", carls, since=told, final=True)["param"].startswith("200")
        crew.carl.closed(carls)
        conversations(crew, 1)
        scene.talk(1.2)
        crew.ben.hang_up()
        crew.dora.wait("CALL_CLOSED", since=at)
        crew.ben.wait("CALL_CLOSED", since=since)
    crew.quiet()
    assert heard.by(crew.ben) == ["anna", "carl", "dora"]
    assert heard.by(crew.dora) == ["ben"]
    by_ben = heard.samples(crew.ben)
    assert office.sound_between(by_ben, "carl") > 1.0, "music while Carl held"
    assert scene.RINGBACK_HZ in tones.tones_in(by_ben, (scene.RINGBACK_HZ,)), "and ringback while Dora's phone rang"
    assert office.story(crew.carl.heard(carls))[-3:] == ["ben", "transfer_failed", "ben"]


@pytest.mark.promise("P1", "P4")
@pytest.mark.parametrize("refer_in", ["first", "second"])
def test_whoever_was_consulted_consults_somebody_else(crew: Office, refer_in: str) -> None:
    """Carl, to whom Ben was handed, asks Dora and connects the two; Dora sends Ben back to Anna."""
    with crew.listening(crew.ben, crew.dora) as heard:
        since, carls = ben_is_handed_to_carl(crew)
        crew.carl.hold(carls)
        doras = len(crew.dora.events)
        other = consult(crew.carl, "704", by_dora(crew, doras))
        scene.talk(0.8)
        kept, target = (carls, other) if refer_in == "first" else (other, carls)
        crew.carl.attend(kept, target)
        assert crew.carl.transferred(kept).startswith("200")
        crew.carl.closed(carls)
        crew.carl.closed(other)
        conversations(crew, 2)
        scene.talk(1.0)
        at = len(crew.anna.events)
        crew.dora.refer("701")
        last = crew.anna.rung(since=at)
        assert "702" in crew.anna.wait("CALL_INCOMING", last)["peer"]
        crew.anna.answer(last)
        crew.anna.established(last)
        crew.dora.wait("CALL_CLOSED", since=doras)
        scene.talk(1.2)
        crew.ben.hang_up()
        crew.anna.closed(last)
        crew.ben.wait("CALL_CLOSED", since=since)
    crew.quiet()
    assert heard.by(crew.ben) == ["anna", "carl", "dora", "anna"]
    assert heard.by(crew.dora) == ["carl", "ben"]
    assert office.story(crew.carl.heard(other)) == ["dora"]
    assert office.story(crew.anna.heard(last)) == ["ben"]


def test_the_caller_passes_on_whoever_is_behind_a_relay(crew: Office) -> None:
    """Ben, who called, sends Carl to Dora, who sees Carl."""
    with crew.listening(crew.ben, crew.dora) as heard:
        since, carls = ben_is_handed_to_carl(crew)
        at = len(crew.dora.events)
        crew.ben.refer("704")
        assert "703" in crew.dora.wait("CALL_INCOMING", since=at)["peeruri"]
        crew.dora.answer()
        crew.ben.wait("CALL_CLOSED", since=since)
        scene.talk(1.2)
        crew.carl.hang_up(carls)
        crew.dora.wait("CALL_CLOSED", since=at)
    crew.quiet()
    assert heard.by(crew.ben) == ["anna", "carl"] and heard.by(crew.dora) == ["carl"]
    assert office.story(crew.carl.heard(carls))[-2:] == ["ben", "dora"]


# --- recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P4", "L1")
def test_each_composition_of_a_chain_has_a_recording_of_its_own(crew: Office, tmp_path: Path) -> None:
    """Ben calls the recorded line and says yes. Carl asks Anna and hands him over; she asks Dora and does the same;
    Dora sends him back to Carl."""
    before, since = scene.rec_ids(crew.product), len(crew.ben.events)
    at = len(crew.carl.events)
    crew.ben.dial("790")
    crew.ben.wait("CALL_ESTABLISHED", since=since)
    scene.talk(0.5)
    crew.ben.press("1")
    carls = crew.carl.rung(since=at)
    crew.carl.answer(carls)
    crew.carl.established(carls)
    conversations(crew, 1, recorded=1)
    scene.talk(1.2)

    crew.carl.hold(carls)
    annas: list[int] = []
    second = consult(crew.carl, "701", by_desk(crew.anna, len(crew.anna.events), annas))
    scene.talk(0.6)
    crew.carl.attend(carls, second)
    crew.carl.closed(carls)
    crew.carl.closed(second)
    conversations(crew, 2, recorded=1)
    scene.talk(1.2)

    crew.anna.hold(annas[0])
    doras = len(crew.dora.events)
    third = consult(crew.anna, "704", by_dora(crew, doras))
    scene.talk(0.6)
    crew.anna.attend(annas[0], third)
    crew.anna.closed(annas[0])
    crew.anna.closed(third)
    conversations(crew, 2, recorded=1)
    scene.talk(1.2)

    at = len(crew.carl.events)
    crew.dora.refer("703")
    again = crew.carl.rung(since=at)
    crew.carl.answer(again)
    crew.carl.established(again)
    crew.dora.wait("CALL_CLOSED", since=doras)
    conversations(crew, 1, recorded=1)
    scene.talk(1.2)
    crew.ben.hang_up()
    crew.carl.closed(again)
    crew.quiet()

    def kept() -> list[dict[str, Any]]:
        new = [each for each in scene.recordings(crew.product) if each["id"] not in before]
        return new if len(new) == 4 and all(each["state"] != "recording" for each in new) else []

    found = scene.until(kept, "four recordings", timeout_s=20, every_s=0.3)
    people = []
    for each in found:
        opened = scene.by_escrow(crew.product, each["id"], tmp_path)
        people.append([{PEOPLE[hz] for hz in tones.tones_in(opened[:, n], tuple(PEOPLE))} for n in (0, 1)])
    assert people == [[{"ben"}, {who}] for who in ("carl", "anna", "dora", "carl")], "and nobody asks another in any"
    entries = scene.entries(crew.product, "consent")[-5:]
    assert len({entry["leg_id"] for entry in entries}) == 5, "each leg answers for itself, once"
