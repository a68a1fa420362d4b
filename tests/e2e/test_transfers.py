"""Passing a call on, blind and after a consultation. Each side is listened to before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.office import Office, anna_calls_ben, rings_carl
from tests.e2e.rawphone import raw_phone

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def crew(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office.office(tmp_path_factory.mktemp("crew"), product_seed) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(crew: Office) -> Iterator[None]:
    yield
    crew.clear()


# --- blind transfer ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
def test_a_caller_passes_the_callee_on(crew: Office):
    """Anna called Ben; she sends him to Carl."""
    with crew.listening(crew.ben) as heard:
        call, since = anna_calls_ben(crew)
        scene.talk(0.8)
        at = len(crew.carl.events)
        crew.anna.refer(call, "703")
        to_carl = crew.carl.rung(since=at)
        assert "702" in crew.carl.wait("CALL_INCOMING", to_carl)["peer"]
        crew.carl.answer(to_carl)
        assert crew.anna.transferred(call).startswith("200")
        crew.anna.closed(call)
        scene.talk(1.2)
        crew.carl.hang_up(to_carl)
        crew.carl.closed(to_carl)
        crew.ben.wait("CALL_CLOSED", since=since)
    assert office.story(crew.anna.heard(call)) == ["ben"]
    assert heard.by(crew.ben) == ["anna", "carl"]
    assert office.story(crew.carl.heard(to_carl)) == ["ben"]


def test_a_callee_passes_the_caller_on(crew: Office):
    """Anna called Ben, whose baresip sends her to Carl."""
    with crew.listening(crew.ben) as heard:
        call, since = anna_calls_ben(crew)
        scene.talk(0.8)
        at = len(crew.carl.events)
        crew.ben.refer("703")
        to_carl = crew.carl.rung(since=at)
        assert "701" in crew.carl.wait("CALL_INCOMING", to_carl)["peer"]
        crew.carl.answer(to_carl)
        crew.ben.wait("CALL_CLOSED", since=since)
        scene.talk(1.2)
        crew.anna.hang_up(call)
        crew.carl.closed(to_carl)
    assert office.story(crew.anna.heard(call)) == ["ben", "carl"]
    assert heard.by(crew.ben) == ["anna"]
    assert office.story(crew.carl.heard(to_carl)) == ["anna"]


@pytest.mark.parametrize(("target", "codes"), [("799", ("404",)), ("nobody@elsewhere.test", ("403", "404", "603"))])
def test_a_transfer_to_nowhere_leaves_the_two_talking(crew: Office, target: str, codes: tuple[str, ...]):
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(0.8)
        since = len(crew.anna.events)
        crew.anna.refer(call, target if "@" not in target else f"sip:{target}")

        def answered() -> str:
            for event in crew.anna.events[since:]:
                if event["type"] == "TSX" and event["method"] == "REFER" and event["code"] >= 300:
                    return str(event["code"])
                if event["type"] == "TRANSFER" and event["final"]:
                    return str(event["param"])
            return ""

        assert scene.until(answered, "an answer to the transfer", timeout_s=15).startswith(codes)
        scene.talk(1.0)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    assert office.story(crew.anna.heard(call)) == ["ben"] and heard.by(crew.ben) == ["anna"]


def test_a_transfer_to_somebody_busy_leaves_the_two_talking(crew: Office):
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(0.6)
        at = len(crew.carl.events)
        crew.anna.refer(call, "703")
        crew.carl.hang_up(crew.carl.rung(since=at), 486)
        assert crew.anna.transferred(call).startswith("486")
        scene.talk(1.0 + scene.PROMPT_S)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    assert "transfer_failed" in office.story(crew.anna.heard(call))
    assert "transfer_failed" not in office.story(heard.samples(crew.ben))
    assert office.story(crew.anna.heard(call)[-6400:]) == ["ben"]
    assert office.story(heard.samples(crew.ben)[-6400:]) == ["anna"]


def test_two_transfers_at_once(crew: Office):
    """Both want to send the other to somebody else: one of them is done, nothing hangs, nobody is lost in silence."""
    call, since = anna_calls_ben(crew)
    scene.talk(0.6)
    carl_at, dora_at = len(crew.carl.events), len(crew.dora.events)
    scene.in_parallel(lambda: crew.anna.refer(call, "703"), lambda: crew.ben.refer("704"))

    def rings() -> str:
        if any(e["type"] == "CALL_INCOMING" for e in crew.carl.events[carl_at:]):
            return "carl"
        return "dora" if any(e["type"] == "CALL_INCOMING" for e in crew.dora.events[dora_at:]) else ""

    if scene.until(rings, "one of the two rings") == "carl":
        to_carl = rings_carl(crew, carl_at)
        crew.anna.closed(call)
        scene.talk(1.0)
        crew.ben.hang_up()
        crew.carl.closed(to_carl)
        assert office.story(crew.carl.heard(to_carl)) == ["ben"]
    else:
        crew.dora.answer()
        crew.ben.wait("CALL_CLOSED", since=since)
        scene.talk(1.0)
        crew.anna.hang_up(call)
        crew.dora.wait("CALL_CLOSED", since=dora_at)


# --- attended transfer ------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
@pytest.mark.parametrize("second", ["outgoing", "incoming"])
@pytest.mark.parametrize("refer_in", ["first", "second"])
def test_an_attended_transfer(crew: Office, second: str, refer_in: str):
    """Anna talks to Ben, holds him, talks to Carl (whom she called, or who called her), and joins the two."""
    with crew.listening(crew.ben) as heard:
        first, since = anna_calls_ben(crew)
        scene.talk(0.8)
        crew.anna.hold(first)
        at = len(crew.carl.events)
        if second == "outgoing":
            other = crew.anna.dial("703")
            to_carl = rings_carl(crew, at)
        else:
            mine = len(crew.anna.events)
            to_carl = crew.carl.dial("701")
            other = crew.anna.rung(since=mine)
            crew.anna.answer(other)
            crew.carl.established(to_carl)
        crew.anna.established(other)
        scene.talk(1.0)
        kept, target = (first, other) if refer_in == "first" else (other, first)
        crew.anna.attend(kept, target)
        assert crew.anna.transferred(kept).startswith("200")
        crew.anna.closed(first)
        crew.anna.closed(other)
        scene.talk(1.5)
        crew.ben.hang_up()
        crew.carl.closed(to_carl)
        crew.ben.wait("CALL_CLOSED", since=since)
    assert office.story(crew.anna.heard(first)) == ["ben"]
    assert office.story(crew.anna.heard(other)) == ["carl"]
    assert heard.by(crew.ben) == ["anna", "carl"]
    assert office.story(crew.carl.heard(to_carl))[-2:] == ["anna", "ben"]


@pytest.mark.promise("P1")
async def test_nobody_takes_over_a_strangers_call(crew: Office):
    """REFER with Replaces of a call that the referrer has no part in: refused; both calls go on."""
    call, _ = anna_calls_ben(crew)
    crew.product.add_account("mallory", "731")
    async with raw_phone(crew.product, "mallory") as mallory:
        since = len(crew.dora.events)
        dialling = asyncio.create_task(mallory.call("704"))  # noqa: RUF006, TID251 - awaited below
        await asyncio.to_thread(crew.dora.wait, "CALL_INCOMING", since=since)
        await asyncio.to_thread(crew.dora.answer)
        ok = await dialling
        assert ok.code == 200
        victim = crew.anna.call_id(call)
        replaces = f"{victim}%3Bto-tag%3D1%3Bfrom-tag%3D2"
        refer = f"Refer-To: <sip:702@{crew.product.domain}?Replaces={replaces}>"
        mallory.endpoint.send(mallory.sequel("REFER", ok, headers=(refer,)))
        reply = await mallory.phone.final()
        assert reply.code in (403, 481), reply.start
        await mallory.hang_up(ok)
    await asyncio.to_thread(scene.talk, 0.8)
    crew.anna.hang_up(call)
    crew.anna.closed(call)
    assert office.story(crew.anna.heard(call)) == ["ben"]
