"""How a person is reached: forwards, do not disturb, pick-up, several phones and people in turn or at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.office import Office

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def crew(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office.office(tmp_path_factory.mktemp("reach"), product_seed) as made:
        yield made


@pytest.fixture(autouse=True)
def as_before(crew: Office) -> Iterator[None]:
    yield
    try:
        crew.clear()
    finally:
        crew.product.cli("account", "forward", "ben", "--off", "all")
        crew.product.cli("account", "dnd", "ben", "off")


def code(crew: Office, dialled: str) -> list[str]:
    """Carl dials a code and hears what is said about it; the call ends by itself."""
    call = crew.carl.dial(dialled)
    crew.carl.closed(call, timeout=20)
    return office.story(crew.carl.heard(call))


def anna_reaches_carl(crew: Office, number: str = "702") -> None:
    """Anna dials this number; Carl's phone rings, shows her number, is answered; both hear each other."""
    at = len(crew.carl.events)
    call = crew.anna.dial(number)
    to_carl = crew.carl.rung(since=at, timeout=25)
    assert "701" in crew.carl.wait("CALL_INCOMING", to_carl)["peer"]
    crew.carl.answer(to_carl)
    crew.anna.established(call)
    scene.talk(1.0)
    crew.anna.hang_up(call)
    crew.carl.closed(to_carl)
    assert office.story(crew.anna.heard(call)) == ["carl"]
    assert office.story(crew.carl.heard(to_carl)) == ["anna"]


# --- forwards ---------------------------------------------------------------------------------------------------------


def test_forwarded_always(crew: Office):
    since = len(crew.ben.events)
    crew.product.cli("account", "forward", "ben", "--always", "703")
    anna_reaches_carl(crew)
    assert [e for e in crew.ben.events[since:] if e["type"] == "CALL_INCOMING"] == []


def test_forwarded_when_busy(crew: Office):
    crew.product.cli("account", "forward", "ben", "--busy", "703")
    since = len(crew.ben.events)

    def decline() -> None:
        crew.ben.wait("CALL_INCOMING", since=since, timeout=20)
        crew.ben.hang_up()

    scene.in_parallel(decline, lambda: anna_reaches_carl(crew))


def test_forwarded_when_nobody_answers(crew: Office):
    crew.product.cli("account", "forward", "ben", "--no-answer", "703", "--no-answer-after", "2")
    since = len(crew.ben.events)
    anna_reaches_carl(crew)
    crew.ben.wait("CALL_CLOSED", since=since)


def test_forwarded_when_no_phone_is_registered(crew: Office):
    crew.product.add_account("away", "721", language="fr")
    crew.product.cli("account", "forward", "away", "--unregistered", "703")
    anna_reaches_carl(crew, "721")


def test_forwards_that_go_round_in_a_circle_end_clearly(crew: Office):
    product = crew.product
    product.add_account("ring1", "731")
    product.add_account("ring2", "732")
    product.cli("account", "forward", "ring1", "--always", "732")
    with contextlib.suppress(AssertionError):  # who tells it when it is set is right as well
        product.cli("account", "forward", "ring2", "--always", "731")
    call = crew.anna.dial("731")
    status = crew.anna.closed(call, timeout=25)
    assert not status.startswith("200") or "loop" in office.story(crew.anna.heard(call))


def test_a_phone_sets_its_own_forward_by_code(crew: Office):
    assert code(crew, "*72704") == ["forward_on"]
    since = len(crew.dora.events)
    call = crew.anna.dial("703")
    crew.dora.wait("CALL_INCOMING", since=since)
    crew.anna.hang_up(call)
    crew.anna.closed(call)
    assert code(crew, "*73") == ["forward_off"]
    at = len(crew.carl.events)
    call = crew.anna.dial("703")
    crew.carl.rung(since=at)
    crew.anna.hang_up(call)
    crew.anna.closed(call)


# --- do not disturb ---------------------------------------------------------------------------------------------------


def test_do_not_disturb_by_code(crew: Office):
    assert code(crew, "*78") == ["dnd_on"]
    at = len(crew.carl.events)
    call = crew.anna.dial("703")
    assert not crew.anna.closed(call, timeout=25).startswith("200")
    assert [e for e in crew.carl.events[at:] if e["type"] == "CALL_INCOMING"] == []
    assert code(crew, "*79") == ["dnd_off"]
    anna_reaches_carl(crew, "703")


# --- pick-up ----------------------------------------------------------------------------------------------------------


def test_where_nothing_rings_there_is_nothing_to_pick_up(crew: Office):
    call = crew.carl.dial("**704")
    status = crew.carl.closed(call, timeout=20)
    assert not status.startswith("200") or office.story(crew.carl.heard(call)) == ["pickup_failed"]


@pytest.mark.promise("P4")
def test_a_colleague_of_the_same_line_takes_a_call_that_rings(crew: Office):
    crew.line("ben", "carl")
    since = len(crew.ben.events)
    call = crew.anna.dial("702")
    crew.ben.wait("CALL_INCOMING", since=since)
    taking = crew.carl.dial("**702")
    crew.carl.established(taking)
    crew.anna.established(call)
    crew.ben.wait("CALL_CLOSED", since=since)
    scene.talk(1.0)
    crew.anna.hang_up(call)
    crew.carl.closed(taking)
    assert office.story(crew.anna.heard(call)) == ["carl"]
    assert office.story(crew.carl.heard(taking)) == ["anna"]


# --- several ----------------------------------------------------------------------------------------------------------


def test_a_line_rings_everybody_and_the_first_has_it(crew: Office):
    number = crew.line("ben", "carl")
    at, since = len(crew.carl.events), len(crew.ben.events)
    call = crew.anna.dial(number)
    crew.ben.wait("CALL_INCOMING", since=since)
    to_carl = crew.carl.rung(since=at)
    crew.ben.answer()
    crew.anna.established(call)
    crew.carl.closed(to_carl)
    scene.talk(0.8)
    crew.anna.hang_up(call)
    crew.ben.wait("CALL_CLOSED", since=since)
    assert office.story(crew.anna.heard(call)) == ["ben"]


def test_a_line_rings_one_after_the_other(crew: Office):
    number = crew.line("ben", "carl", strategy="sequential", member_ring="2")
    at, since = len(crew.carl.events), len(crew.ben.events)
    call = crew.anna.dial(number)
    first = crew.ben.wait("CALL_INCOMING", since=since)
    to_carl = crew.carl.rung(since=at, timeout=20)
    rung = crew.carl.wait("CALL_INCOMING", to_carl)
    assert rung["at"] - first["at"] > 1.5
    crew.ben.wait("CALL_CLOSED", since=since)
    crew.carl.answer(to_carl)
    crew.anna.established(call)
    scene.talk(0.8)
    crew.anna.hang_up(call)
    crew.carl.closed(to_carl)
    assert office.story(crew.anna.heard(call)) == ["carl"]


def test_two_phones_of_one_person_ring_and_the_first_has_it(crew: Office):
    product = crew.product
    product.add_account("paul", "741", language="fr")
    desk, mobile = (product.desk(name, "paul", says=office.voice(500)) for name in ("desk", "mobile"))
    with desk, mobile:
        desk.registered()
        mobile.registered()
        call = crew.anna.dial("741")
        on_desk, on_mobile = desk.rung(), mobile.rung()
        mobile.answer(on_mobile)
        crew.anna.established(call)
        desk.closed(on_desk)
        scene.talk(0.8)
        mobile.hang_up(on_mobile)
        crew.anna.closed(call)
    assert office.story(crew.anna.heard(call)) == ["ben"]
