"""Calls to and from outside, over a provider that is another program, with everything that providers do wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import (
    BENS,
    BY_ADDRESS,
    DORIS,
    DORIS_DIALLED,
    DORIS_HZ,
    MAIN,
    Outside,
    add_trunk,
    from_doris,
    outside,
    to_doris,
)
from tests.peers import sipp
from tests.peers.ports import Ports
from tests.peers.provider import DOMAIN, Provider
from tests.peers.sipp import Sipp

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("trunk"), product_seed) as made:
        yield made


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "out" in request.fixturenames:
        made = request.getfixturevalue("out")
        made.provider.behave_well()
        made.anna.ask("hang_up_all")
        made.quiet()


# --- out and in -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
def test_out_and_in_by_registration(out: Outside):
    call, before = to_doris(out)
    assert office.story(out.anna.heard(call)) == ["dora"]  # Doris' tone
    assert out.doris_heard(before) == ["anna"]
    assert from_doris(out) == ["ben"]


@pytest.mark.promise("P1")
def test_out_and_in_by_address(product_seed: Any, tmp_path: Path):
    with outside(tmp_path, product_seed, register=False) as out:
        call, before = to_doris(out)
        assert office.story(out.anna.heard(call)) == ["dora"] and out.doris_heard(before) == ["anna"]
        assert from_doris(out) == ["ben"]
        out.quiet()


@pytest.mark.promise("P1")
def test_out_and_in_over_tls_with_srtp(product_seed: Any, tmp_path: Path):
    """The provider's certificate is checked: it is vouched for by the authority that was put into tls/providers.pem."""
    with outside(tmp_path, product_seed, transport="tls", register=False) as out:
        call, before = to_doris(out)
        assert office.story(out.anna.heard(call)) == ["dora"] and out.doris_heard(before) == ["anna"]
        [*_, sent] = out.provider.seen("INVITE", number=DORIS)
        assert sent["Via"].startswith("SIP/2.0/TLS") and b"RTP/SAVP" in sent.body
        assert from_doris(out) == ["ben"]
        out.quiet()


# --- what is shown ----------------------------------------------------------------------------------------------------


def last_invite(out: Outside) -> Any:
    return out.provider.seen("INVITE")[-1]


def test_the_number_that_is_shown(out: Outside):
    out.product.cli("account", "present", "anna", MAIN)
    to_doris(out, talk_s=0.3)
    shown = last_invite(out)
    assert f"sip:{MAIN}@" in shown["From"] or f"sip:{MAIN}@" in shown["P-Asserted-Identity"]
    everywhere = shown["From"] + shown["P-Asserted-Identity"] + shown["Contact"]
    named = re.findall(r'"([^"]*)"', everywhere) + re.findall(r"sips?:([^@>]*)@", everywhere)
    assert MAIN in named and "701" not in named  # a port or a tag may hold these digits


def test_who_wants_to_be_unknown_is_unknown_outside(out: Outside):
    """RFC 3323, RFC 3325: the provider knows who pays, the called person does not."""
    out.product.cli("account", "present", "anna", "--hidden")
    try:
        to_doris(out, talk_s=0.3)
    finally:
        out.product.cli("account", "present", "anna", "--default")
    shown = last_invite(out)
    assert "anonymous" in shown["From"].lower() and MAIN not in shown["From"]
    assert "id" in shown["Privacy"]
    assert MAIN in shown["P-Asserted-Identity"]


def test_a_forward_to_the_outside_says_from_whom(out: Outside):
    """RFC 5806: Diversion names whoever was called; the shown number is ours."""
    out.product.cli("account", "forward", "ben", "--always", DORIS_DIALLED)
    try:
        before, since = len(out.doris.recordings()), len(out.doris.events)
        call = out.anna.dial("702")
        out.doris.wait("CALL_INCOMING", since=since, timeout=20)
        out.doris.answer()
        out.anna.established(call)
        scene.talk(2)
        out.anna.hang_up(call)
        out.doris.wait("CALL_CLOSED", since=since)
    finally:
        out.product.cli("account", "forward", "ben", "--off", "all")
    assert out.doris_heard(before) == ["anna"]
    assert BENS in last_invite(out)["Diversion"]


# --- what providers do wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["503", "redirect", "challenge", "silent"])
def test_the_next_trunk_takes_over(out: Outside, tmp_path: Path, what: str):
    ports = Ports(100)
    with Provider(tmp_path / "second", ports, digest=False, address=BY_ADDRESS) as second:
        add_trunk(out.product, f"second{what}", second, "--preference", "20", register=False)
        emma = second.phone("emma", DORIS, also=("0033612345678", "0612345678"), says=office.voice(DORIS_HZ))
        with emma:
            out.provider.behave(INVITE=what)
            began = time.monotonic()
            call = out.anna.dial(DORIS_DIALLED)
            emma.wait("CALL_INCOMING", timeout=30)
            assert time.monotonic() - began < 20
            emma.answer()
            out.anna.established(call)
            scene.talk(2)
            out.anna.hang_up(call)
            emma.wait("CALL_CLOSED")
            assert office.story(out.anna.heard(call)) == ["dora"]
        out.product.cli("trunk", "remove", f"second{what}")
    ports.close()
    attempts = out.provider.seen("INVITE")
    assert len(attempts) < 40


@pytest.mark.parametrize("what", ["503", "challenge", "redirect"])
def test_the_only_trunk_fails_and_the_caller_is_told(out: Outside, what: str):
    since = len(out.provider.seen("INVITE"))
    out.provider.behave(INVITE=what)
    call = out.anna.dial(DORIS_DIALLED)
    status = out.anna.closed(call, timeout=30)
    assert status.startswith(("5", "480", "200"))  # a proxy turns 503 into 500 (RFC 3261 section 16.7)
    if status.startswith("200"):
        assert "trunk_failed" in office.story(out.anna.heard(call))
    assert len(out.provider.seen("INVITE")) - since <= 4


def test_a_late_answer_is_still_an_answer(out: Outside):
    out.provider.behave(INVITE="late", late_s=3)
    call, before = to_doris(out)
    assert office.story(out.anna.heard(call)) == ["dora"] and out.doris_heard(before) == ["anna"]


@pytest.mark.parametrize(
    ("what", "heard"),
    [("early", True), ("huge", True), ("elsewhere", True), ("deaf", True), ("gone", True), ("codec", False)],
)
def test_a_subscriber_that_is_odd(out: Outside, tmp_path: Path, what: str, heard: bool):
    """Early media then silence, a huge answer, audio from another address, a lost BYE, a codec that nobody offered."""
    audio = sipp.write_audio(tmp_path / "tone.alaw", DORIS_HZ)
    scenarios = {
        "early": sipp.early_media(audio, sound_ms=1500),
        "huge": sipp.answering(audio, sipp.huge(sipp.SDP, 6_000)),
        "elsewhere": sipp.answering(audio, sipp.ELSEWHERE),
        "deaf": sipp.answering(audio, gone="deaf"),
        "gone": sipp.answering(audio, gone="before-bye", talk_ms=1000),
        "codec": sipp.answering(None, sipp.OPUS_ONLY),
    }
    address = "127.0.0.2" if what == "elsewhere" else "127.0.0.1"
    odd = Sipp(tmp_path / what, out.provider.ports, scenarios[what], media_address=address, timeout_s=60)
    number = "+3361000000" + str(list(scenarios).index(what))
    out.provider.route(number, f"sip:odd@127.0.0.1:{odd.sip_port}")
    with odd:
        call = out.anna.dial("0" + number[3:])
        if what == "early":
            scene.talk(4)
            out.anna.hang_up(call)
            out.anna.closed(call)
        elif what == "codec":
            assert not out.anna.closed(call, timeout=30).startswith("200")
        else:
            out.anna.established(call)
            scene.talk(3)
            if what == "gone":
                odd.finish(check=False)
            out.anna.hang_up(call)
            out.anna.closed(call)
    assert (office.story(out.anna.heard(call)) == ["dora"]) is heard


def test_an_offer_that_we_cannot_speak_is_refused(out: Outside, tmp_path: Path):
    """Doris' provider offers G.729 alone."""
    us = sipp.Caller(DORIS, DOMAIN, "", "", BENS)
    scenario = sipp.caller(None, talk_ms=100, challenged=0).replace(sipp.SDP, sipp.G729_ONLY)
    ports = out.provider.ports
    call = Sipp(tmp_path / "g729", ports, scenario, out.provider.server(), callers=[us], timeout_s=20, trace=True)
    out.provider.lets_call(call.sip_port)
    with call:
        assert call.finish(check=False).failed == 1
    assert (
        "488" in (call.directory / "messages.log").read_text() or "606" in (call.directory / "messages.log").read_text()
    )


def test_a_stranger_is_no_trunk(out: Outside, tmp_path: Path):
    """Somebody else who sends an INVITE for our number, without credentials: challenged like any stranger."""
    us = sipp.Caller("+33699999999", "127.0.0.1", "", "", BENS)
    scenario = sipp.caller(None, talk_ms=100, challenged=0)
    since = len(out.ben.events)
    call = Sipp(tmp_path / "s", out.provider.ports, scenario, out.product.server("udp"), callers=[us], timeout_s=10)
    with call:
        assert call.finish(check=False).failed == 1
    assert [e for e in out.ben.events[since:] if e["type"] == "CALL_INCOMING"] == []


# --- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P15", "L13")
@pytest.mark.parametrize(
    ("behaviour", "verdict"), [("503", "trunk-refused"), ("challenge", "trunk-credentials"), ("486", "busy")]
)
def test_why_a_call_outside_did_not_come_about(out: Outside, behaviour: str, verdict: str):
    before = {one["id"] for one in out.product.json("calls", "why", "--limit", "1000")}
    out.provider.behave(INVITE=behaviour)
    call = out.anna.dial(DORIS_DIALLED)
    out.anna.closed(call)

    def told() -> list[dict[str, Any]]:
        return [one for one in out.product.json("calls", "why", "--limit", "1000") if one["id"] not in before]

    [one] = scene.until(told, "it is written down", 15, every_s=0.2)
    said = out.product.json("calls", "why", one["id"])
    assert said["verdict"] == verdict
    assert ("Beffroi", "trunk B0", "INVITE") in [(r["sender"], r["receiver"], r["what"]) for r in said["ladder"]]
    assert not [number for number in (DORIS_DIALLED, DORIS[1:], MAIN[1:]) if number in json.dumps(said)]
