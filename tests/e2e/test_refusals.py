"""Calls that are refused: whoever called from a phone of the house hears why, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import BENS, DORIS_DIALLED, DORIS_HZ, Outside, outside
from tests.peers import tones
from tests.peers.deskphone import DeskPhone

pytestmark = [pytest.mark.e2e]

ABROAD = "00493012345678"
NOBODY = "+33170000009"
ENGLISH_HZ = 2750
NAMES = {**office.NAMES, ENGLISH_HZ: "not_permitted in English"}


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("refusals"), product_seed) as made:
        english = made.product.data / "prompts" / "custom" / "PROMPT_NOT_PERMITTED.en.wav"
        tones.write_wav(english, tones.tone(ENGLISH_HZ, scene.PROMPT_S))
        yield made


@pytest.fixture(scope="module")
def carl(out: Outside) -> Iterator[DeskPhone]:
    """He reads English, and his phone wants 183 acknowledged (RFC 3262)."""
    out.product.add_account("carl", "703", language="en", display_name="Carl")
    with out.product.desk("carl", "carl", says=office.voice(office.HZ["carl"]), prack=True) as phone:
        phone.registered()
        yield phone


@pytest.fixture(autouse=True)
def nothing_is_left(out: Outside) -> Iterator[None]:
    yield
    out.anna.ask("hang_up_all")
    out.quiet()


def refused(phone: DeskPhone, number: str) -> tuple[str, list[str]]:
    """What the phone showed at the end, and what was heard before; nothing was answered."""
    call = phone.dial(number)
    shown = phone.closed(call, timeout=25)
    assert not [e for e in phone.events if e["type"] == "CALL_ESTABLISHED" and e.get("call") == call]
    return shown, office.story(phone.heard(call), NAMES)


WRITTEN = ("call_records", "recordings", "rec_keys", "call_totals", "usage")


def written(out: Outside) -> dict[str, Any]:
    """What a call may leave behind: rows, and sums."""
    with scene.database(out.product) as db:
        return {each: [tuple(row) for row in db.execute(f"SELECT * FROM {each}")] for each in WRITTEN}  # noqa: S608


@contextmanager
def limited(out: Outside, name: str, *options: str) -> Iterator[None]:
    out.product.cli("account", "limits", name, *options)
    try:
        yield
    finally:
        out.product.cli("account", "limits", name, "--inherit", options[0].removeprefix("--"))


@pytest.mark.promise("P13", "P15")
def test_a_desk_phone_hears_that_a_number_is_closed_and_shows_the_status(out: Outside):
    before, left = written(out), len(out.provider.seen("INVITE"))
    consents = len(scene.entries(out.product, "consent"))
    assert refused(out.anna, ABROAD) == ("403 Calls Abroad Are Not Permitted", ["not_permitted"])
    out.quiet()
    assert written(out) == before and len(scene.entries(out.product, "consent")) == consents
    assert len(out.provider.seen("INVITE")) == left
    newest = scene.until(lambda: out.product.json("calls", "why"), "the refusal is listed")[0]
    why = out.product.json("calls", "why", newest["id"], "--language", "en")
    assert [verdict["id"] for verdict in why["verdicts"]] == ["not-permitted"], why


@pytest.mark.promise("P13")
def test_a_phone_over_tls_hears_it_too(out: Outside):
    since, before = len(out.ben.events), len(out.ben.recordings())
    out.ben.dial(ABROAD)
    closed = out.ben.wait("CALL_CLOSED", since=since, timeout=25)
    assert "403" in str(closed["param"])
    assert not [e for e in out.ben.events[since:] if e["type"] == "CALL_ESTABLISHED"]
    assert office.Heard({"ben": before}).by(out.ben) == ["not_permitted"]


def test_it_is_said_in_the_language_of_whoever_calls(out: Outside, carl: DeskPhone):
    assert refused(carl, ABROAD) == ("403 Calls Abroad Are Not Permitted", ["not_permitted in English"])


def test_a_number_that_nobody_has_is_said_to_be_none(out: Outside):
    assert refused(out.anna, "799") == ("404 Not Found", ["unknown"])


@pytest.mark.promise("P13")
def test_money_that_is_used_up_is_said(out: Outside):
    with limited(out, "ben", "--euros-per-day", "0.01"):  # a minute to a mobile phone costs more
        since, before = len(out.ben.events), len(out.ben.recordings())
        out.ben.dial(DORIS_DIALLED)
        closed = out.ben.wait("CALL_CLOSED", since=since, timeout=25)
        assert "403" in str(closed["param"])
        assert office.Heard({"ben": before}).by(out.ben) == ["limit"]


@pytest.mark.promise("P13")
def test_one_call_too_many_is_said_and_the_first_goes_on(out: Outside):
    since = len(out.doris.events)
    with limited(out, "anna", "--max-calls", "1"):
        first = out.anna.dial(DORIS_DIALLED)
        out.doris.wait("CALL_INCOMING", since=since, timeout=20)
        out.doris.answer()
        out.anna.established(first)
        assert refused(out.anna, DORIS_DIALLED) == ("486 Limit Of 1 Calls Reached", ["limit"])
        scene.talk(1.0)
        assert len(scene.live_calls(out.product)) == 1
        out.anna.hang_up(first)
        out.doris.wait("CALL_CLOSED", since=since)
    assert "doris" in office.story(out.anna.heard(first), {**NAMES, DORIS_HZ: "doris"})


@contextmanager
def going_round(out: Outside) -> Iterator[None]:
    """Ben's calls go to Carl, and Carl's to Ben."""
    out.product.cli("account", "forward", "ben", "--always", "703")
    out.product.cli("account", "forward", "carl", "--always", "702")
    try:
        yield
    finally:
        for name in ("ben", "carl"):
            out.product.cli("account", "forward", name, "--off", "all")


def test_forwards_that_go_round_are_said_to(out: Outside, carl: DeskPhone):
    with going_round(out):
        assert refused(out.anna, "702") == ("482 Loop Of Forwards", ["loop"])


def test_a_provider_gets_the_plain_status_and_nothing_to_hear(out: Outside, carl: DeskPhone):
    spoken = out.product.metric("beffroi_calls_refusals_spoken_total")
    with going_round(out):
        for number, status in ((NOBODY, "404"), (BENS, "482")):
            since, before, at = len(out.doris.events), len(out.doris.recordings()), len(out.provider.messages())
            out.doris.dial(number)
            closed = out.doris.wait("CALL_CLOSED", since=since, timeout=20)
            assert status in str(closed["param"])

            def replies(at: int = at) -> list[int]:
                return [m.code for m in out.provider.messages()[at:] if m.code >= 180 and m.method == "INVITE"]

            assert scene.until(replies, "an answer")[0] == int(status), "neither ringing nor early media"
            assert out.doris_heard(before) == []
    assert out.product.metric("beffroi_calls_refusals_spoken_total") == spoken


def test_without_the_words_there_is_the_status(out: Outside):
    scene.break_prompt(out.product, "PROMPT_UNKNOWN", "fr")
    try:
        assert refused(out.anna, "799") == ("404 Not Found", [])
    finally:
        scene.speak_in_tones(out.product)


def test_who_hangs_up_before_the_end_is_let_go(out: Outside, carl: DeskPhone):
    call = carl.dial(ABROAD)
    scene.until(lambda: scene.live_calls(out.product), "it is being said")
    carl.hang_up(call)
    assert carl.closed(call).startswith("487")
    out.quiet()
