"""What people do with a call: hold it, take two at once, press keys, offer anew. Each side is listened to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.office import Office, anna_calls_ben, rings_carl
from tests.peers import tones
from tests.peers.deskphone import G722, PCMA

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def crew(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office.office(tmp_path_factory.mktemp("crew"), product_seed) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(crew: Office) -> Iterator[None]:
    yield
    crew.clear()


@pytest.mark.promise("P1")
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_who_is_put_on_hold_hears_music_and_then_the_other_again(crew: Office, who: str):
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(1.2)
        if who == "caller":
            crew.anna.hold(call)
        else:
            crew.ben.hold()
        scene.talk(2.5)
        if who == "caller":
            crew.anna.resume(call)
        else:
            crew.ben.resume()
        scene.talk(1.5)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    by_anna, by_ben = crew.anna.heard(call), heard.samples(crew.ben)
    assert office.story(by_anna) == ["ben"] and office.story(by_ben) == ["anna"]
    if who == "caller":
        assert office.sound_between(by_ben, "anna") > 1.0
    else:
        assert office.sound_between(by_anna, "ben") > 1.0


def test_both_hold_and_both_come_back(crew: Office):
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(0.8)
        crew.anna.hold(call)
        scene.talk(0.5)
        crew.ben.hold()
        scene.talk(0.8)
        crew.ben.resume()
        scene.talk(0.5)
        crew.anna.resume(call)
        scene.talk(1.2)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    tail_a, tail_b = crew.anna.heard(call)[-6400:], heard.samples(crew.ben)[-6400:]
    assert office.story(tail_a) == ["ben"] and office.story(tail_b) == ["anna"]


def test_digits_by_info_reach_the_other_side_and_no_log(crew: Office):
    call, since = anna_calls_ben(crew)
    scene.talk(0.5)
    for digit in "97":
        crew.anna.press(call, digit, info=True)
        scene.talk(0.5)
    crew.anna.press(call, "4")

    def arrived() -> list[str]:
        found = [e["param"] for e in crew.ben.events[since:] if e["type"] == "CALL_DTMF_START"]
        return found if len(found) >= 3 else []

    assert scene.until(arrived, "digits at the other side") == ["9", "7", "4"]
    crew.anna.hang_up(call)
    crew.anna.closed(call)
    assert '"9"' not in crew.product.logs(last=10**6) and "Signal=" not in crew.product.logs(last=10**6)


def test_wide_band_stays_wide(crew: Office):
    """5 kHz passes through no narrow-band codec."""
    product = crew.product
    product.add_account("wilma", "711", language="fr")
    product.add_account("walter", "712", language="fr")
    wide = tones.tone(5000, 30, rate=16000, amplitude=office.QUIET)
    options: dict[str, Any] = {"rate": 16000, "codecs": (G722, PCMA), "says": wide}
    wilma, walter = product.desk("wilma", "wilma", **options), product.desk("walter", "walter", **options)
    with wilma, walter:
        wilma.registered()
        walter.registered()
        call = wilma.dial("712")
        other = walter.rung()
        walter.answer(other)
        wilma.established(call)
        scene.talk(1.5)
        wilma.hang_up(call)
        walter.closed(other)
    for phone, number in ((wilma, call), (walter, other)):
        assert tones.shares(phone.heard(number), (5000,), rate=16000, skip=0.5)[5000] > 0.6


@pytest.mark.parametrize("options", [{"prack": True}, {"timer_s": 90}], ids=["100rel", "timer"])
def test_phones_that_want_reliable_replies_or_timers(crew: Office, options: dict[str, Any]):
    name, number = ("patrick", "721") if "prack" in options else ("tim", "722")
    crew.product.add_account(name, number, language="fr")
    phone = crew.product.desk(name, name, says=office.voice(400), **options)
    since = len(crew.ben.events)
    with phone, crew.listening(crew.ben) as heard:
        phone.registered()
        call = phone.dial("702")
        crew.ben.wait("CALL_INCOMING", since=since)
        phone.wait("CALL_RINGING", call)
        crew.ben.answer()
        phone.established(call)
        scene.talk(1.0)
        since = len(crew.ben.events)
        crew.ben.hang_up()
        phone.closed(call)
        back = len(phone.events)
        crew.ben.dial(name)
        incoming = phone.rung(since=back)
        phone.answer(incoming)
        phone.established(incoming)
        scene.talk(1.0)
        phone.hang_up(incoming)
        phone.closed(incoming)
    crew.quiet()
    assert office.story(phone.heard(call)) == office.story(phone.heard(incoming)) == ["ben"]
    assert heard.by(crew.ben) == ["anna", "anna"]


def test_offers_in_a_call_change_nothing_that_is_heard(crew: Office):
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(0.8)
        since = len(crew.anna.events)
        crew.anna.ask("reinvite", call=call)
        scene.talk(0.8)
        crew.anna.ask("update", call=call)
        assert crew.anna.wait("TSX", call, method="UPDATE", since=since)["code"] == 200
        scene.talk(0.8)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    assert office.story(crew.anna.heard(call)) == ["ben"] and heard.by(crew.ben) == ["anna"]


def test_both_offer_at_once(crew: Office):
    """RFC 3261 section 14.1: one of them gets 491 and tries again; both hear each other in the end."""
    with crew.listening(crew.ben) as heard:
        call, _ = anna_calls_ben(crew)
        scene.talk(0.5)
        for _ in range(3):
            scene.in_parallel(lambda: crew.anna.hold(call), crew.ben.hold)
            scene.talk(0.6)
            scene.in_parallel(lambda: crew.anna.resume(call), crew.ben.resume)
            scene.talk(0.6)
        scene.talk(3)
        crew.anna.hang_up(call)
        crew.anna.closed(call)
    crew.quiet()
    assert office.story(crew.anna.heard(call)[-6400:]) == ["ben"]
    assert office.story(heard.samples(crew.ben)[-6400:]) == ["anna"]


def test_a_second_call_waits_and_is_taken(crew: Office):
    """Ben rings Anna while she talks to Carl: she holds Carl, takes Ben, and comes back."""
    at = len(crew.carl.events)
    first = crew.anna.dial("703")
    to_carl = rings_carl(crew, at)
    crew.anna.established(first)
    scene.talk(0.8)
    mine, since = len(crew.anna.events), len(crew.ben.events)
    with crew.listening(crew.ben) as heard:
        crew.ben.dial("701")
        second = crew.anna.rung(since=mine)
        crew.anna.hold(first)
        crew.anna.answer(second)
        crew.ben.wait("CALL_ESTABLISHED", since=since)
        scene.talk(1.0)
        crew.anna.hang_up(second)
        crew.ben.wait("CALL_CLOSED", since=since)
    crew.anna.resume(first)
    scene.talk(1.0)
    crew.anna.hang_up(first)
    crew.carl.closed(to_carl)
    assert office.story(crew.anna.heard(first)) == ["carl"]
    assert office.story(crew.anna.heard(second)) == ["ben"] and heard.by(crew.ben) == ["anna"]
    assert office.story(crew.carl.heard(to_carl)) == ["anna"]


@pytest.mark.promise("P1")
def test_one_phone_is_revoked_in_its_call_and_the_other_talks_on(crew: Office):
    product = crew.product
    product.add_account("rosa", "741", language="fr")
    mobile, desk = product.login("rosa"), product.login("rosa")
    lost, kept = (
        product.desk("lost", mobile, says=office.voice(400)),
        product.desk("kept", desk, says=office.voice(400)),
    )
    with lost, kept:
        lost.registered()
        kept.registered()
        at = len(crew.carl.events)
        talking = kept.dial("703")
        to_carl = rings_carl(crew, at)
        since = len(crew.ben.events)
        ending = lost.dial("702")
        crew.ben.wait("CALL_INCOMING", since=since)
        crew.ben.answer()
        lost.established(ending)
        scene.talk(0.5)
        device = mobile.auth_user or mobile.user
        product.cli("device", "revoke", device)
        crew.ben.wait("CALL_CLOSED", since=since)
        scene.talk(1.5)
        kept.hang_up(talking)
        crew.carl.closed(to_carl)
        heard = crew.carl.heard(to_carl)
    assert office.story(heard) == ["anna"] and len(heard) / 8000 > 1.5
