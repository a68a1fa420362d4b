"""Verdicts: a history in, what is said about it out."""

from dataclasses import replace
from typing import Any

import pytest

from sip.calls.diagnosis import ECHO_PROMPTS, echo_result, judge
from sip.calls.history import CallHistory, Figures, LegHistory, Stretch

pytestmark = pytest.mark.promise("P15", "L13")

FINE = Figures(rx_packets=500, rx_jitter_us=900, tx_packets=500, tx_jitter_us=800, rtt_us=12_000)
NOTHING = Figures(tx_packets=500)


def stretch(figures: Figures = FINE, since: str = "start", **more: Any) -> Stretch:
    return Stretch(since, more.pop("length_ms", 10_000), figures, **more)


def leg(name: str, *stretches: Stretch, **more: Any) -> LegHistory:
    given = {"inward": name == "a", "codec": "PCMA", "up_ms": 900, "status": 200, **more}
    return LegHistory(name, stretches=stretches or (stretch(),), **given)


def call(*legs: LegHistory, **more: Any) -> CallHistory:
    given = {"kind": "ring", "cause": "caller-hung-up", "code": 200, "length_ms": 11_000, "talked": True, **more}
    return CallHistory(legs=legs, **given)


def said(*legs: LegHistory, **more: Any) -> list[tuple[str, str]]:
    return [(verdict.id, verdict.leg) for verdict in judge(call(*legs, **more)).verdicts]


def dialled(status: int, **more: Any) -> LegHistory:
    return LegHistory("b0", status=status, ended_by="phone", **more)


# --- audio ------------------------------------------------------------------------------------------------------------


def test_a_good_call() -> None:
    diagnosis = judge(call(leg("a"), leg("b0")))
    assert [verdict.id for verdict in diagnosis.verdicts] == ["good"]
    assert diagnosis.mos_centi is not None and diagnosis.mos_centi > 430
    assert not diagnosis.one_way


def test_a_telephone_without_rtcp_cannot_confirm_what_it_heard() -> None:
    deaf = Figures(rx_packets=500, tx_packets=500)
    diagnosis = judge(call(leg("a"), leg("b0", stretch(deaf))))
    assert [verdict.id for verdict in diagnosis.verdicts] == ["unconfirmed"]
    assert diagnosis.legs[1].mos_out_centi is None and diagnosis.legs[1].mos_in_centi is not None


def test_nothing_comes() -> None:
    assert said(leg("a", stretch(NOTHING)), leg("b0")) == [("no-packets", "a")]
    assert judge(call(leg("a", stretch(NOTHING)), leg("b0"))).one_way


@pytest.mark.parametrize(
    ("signalled", "signalling", "verdict"),
    [
        ("private", "public", "no-packets-private"),
        ("none", "public", "no-packets-private"),
        ("public", "private", "no-packets-rewritten"),
        ("private", "private", "no-packets"),
        ("", "public", "no-packets"),
    ],
)
def test_why_nothing_comes(signalled: Any, signalling: Any, verdict: str) -> None:
    silent = leg("a", stretch(NOTHING), signalled=signalled, signalling=signalling)
    assert said(silent, leg("b0")) == [(verdict, "a")]


def test_where_the_audio_came_from_is_a_note_when_it_came() -> None:
    moved = leg("a", signalled="private", source="public", moved=True)
    assert said(moved, leg("b0")) == [("good", ""), ("private-address", "a")]
    moved = leg("a", signalled="public", source="public", moved=True)
    assert said(moved, leg("b0")) == [("good", ""), ("rewritten-address", "a")]
    here = leg("a", signalled="public", source="loopback", moved=True)
    assert said(here, leg("b0")) == [("good", "")], "no router lies between this machine and itself"


def test_only_silence() -> None:
    assert said(leg("a", stretch(peak=2)), leg("b0", stretch(peak=90))) == [("only-silence", "a")]
    assert said(leg("a", stretch(peak=-1)), leg("b0")) == [("good", "")]


@pytest.mark.parametrize("what", ["hold", "transfer"])
def test_one_way_from_some_moment_on(what: str) -> None:
    held = stretch(NOTHING, "hold", held=True)
    after = stretch(NOTHING, "transfer" if what == "transfer" else "resume")
    assert said(leg("a"), leg("b0", stretch(), held, after)) == [(f"one-way-since-{what}", "b0")]


def test_a_hold_is_no_fault_and_a_resume_ends_it() -> None:
    held = stretch(NOTHING, "hold", held=True)
    assert said(leg("a"), leg("b0", stretch(), held)) == [("good", "")]
    assert said(leg("a"), leg("b0", stretch(), held, stretch(FINE, "resume"))) == [("good", "")]


def test_a_telephone_that_vanished() -> None:
    gone = leg("b0", stretch(quiet_ms=65_000, length_ms=80_000))
    assert said(leg("a"), gone) == [("vanished", "b0")]
    assert judge(call(leg("a"), gone)).verdicts[0].values == {"seconds": 65}


def test_loss_is_told_by_direction_and_in_percent() -> None:
    lossy = replace(FINE, rx_packets=450, rx_lost=50)
    diagnosis = judge(call(leg("a", stretch(lossy)), leg("b0", stretch(replace(FINE, tx_lost=25)))))
    assert [(v.id, v.leg, dict(v.values)) for v in diagnosis.verdicts] == [
        ("loss-in", "a", {"percent": 10}),
        ("loss-out", "b0", {"percent": 5}),
    ]
    assert diagnosis.legs[0].loss_in_permille == 100 and diagnosis.legs[1].loss_out_permille == 50
    assert diagnosis.mos_centi == diagnosis.legs[0].mos_in_centi and 300 < diagnosis.mos_centi < 360


def test_losses_of_all_stretches_count_together() -> None:
    parts = (stretch(replace(FINE, rx_lost=20)), stretch(replace(FINE, rx_lost=0), "resume"))
    assert judge(call(leg("a", *parts), leg("b0"))).legs[0].loss_in_permille == 20


def test_jitter_and_delay() -> None:
    uneven = leg("a", stretch(replace(FINE, rx_jitter_us=45_000, rtt_us=420_000)))
    assert said(uneven, leg("b0")) == [("jitter-in", "a"), ("delay", "a")]


def test_the_worst_comes_first() -> None:
    legs = leg("a", stretch(NOTHING)), leg("b0", stretch(replace(FINE, rx_lost=80)))
    assert said(*legs, crashed=True) == [("worker-crashed", ""), ("no-packets", "a"), ("loss-in", "b0")]


def test_too_short_to_be_measured() -> None:
    short = stretch(Figures(rx_packets=10, tx_packets=12), length_ms=240)
    assert said(leg("a", short), leg("b0", short)) == [("too-short", "")]


def test_a_call_that_goes_on_is_judged_by_what_has_come_so_far() -> None:
    assert said(leg("a"), leg("b0", stretch(NOTHING)), cause="", code=0, talked=False) == [("no-packets", "b0")]


# --- calls that did not come about ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "verdict"),
    [
        ("no-srtp", "srtp-required"),
        ("srtp-without-tls", "srtp-without-tls"),
        ("no-codec", "no-common-codec"),
        ("not-registered", "not-registered"),
        ("not-permitted", "not-permitted"),
        ("unknown", "unknown-number"),
        ("no-media", "no-acknowledgement"),
        ("trunk-failed", "no-trunk"),
        ("service", "served"),
        ("something new", "failed"),
    ],
)
def test_a_refusal(cause: str, verdict: str) -> None:
    assert said(talked=False, cause=cause, code=488) == [(verdict, "")]


@pytest.mark.parametrize(
    ("leg_", "verdict"),
    [
        (dialled(488, srtp_asked=True), "callee-refused-srtp"),
        (dialled(488, srtp_asked=False), "callee-refused-offer"),
        (dialled(502, trunk=True), "trunk-credentials"),
        (dialled(403, trunk=True), "trunk-forbidden"),
        (dialled(408, trunk=True), "trunk-silent"),
        (dialled(503, trunk=True), "trunk-refused"),
    ],
)
def test_who_refused(leg_: LegHistory, verdict: str) -> None:
    assert said(leg_, talked=False, cause="failed", code=488) == [(verdict, "b0")]


def test_busy_behind_a_trunk_is_busy() -> None:
    assert said(dialled(486, trunk=True), talked=False, cause="busy", code=486) == [("busy", "")]


def test_ringing_and_never_rung() -> None:
    assert said(dialled(487, rang_ms=400), talked=False, cause="no-answer") == [("no-answer", "")]
    assert said(dialled(408), talked=False, cause="no-answer") == [("never-rang", "")]


def test_given_up_before_it_began() -> None:
    assert said(talked=False, cause="cancelled", reached=False) == [("not-begun", "")]
    refused = (("take", "PJMEDIA_SDPNEG_ENOMEDIA"),)
    assert said(talked=False, cause="cancelled", reached=False, troubles=refused) == [("no-common-codec", "")]


# --- the echo test ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "peak", "prompt"),
    [
        (FINE, 60, "GOOD"),
        (FINE, -1, "GOOD"),
        (Figures(rx_packets=500, tx_packets=500), 60, "UNCONFIRMED"),
        (NOTHING, -1, "SILENT"),
        (FINE, 1, "MUTE"),
        (replace(FINE, rx_lost=15), 60, "LOSS_LITTLE"),
        (replace(FINE, rx_lost=50), 60, "LOSS"),
        (replace(FINE, rx_lost=200), 60, "LOSS_HEAVY"),
        (replace(FINE, tx_lost=50), 60, "LOSS_BACK"),
        (replace(FINE, rx_jitter_us=50_000), 60, "UNEVEN"),
    ],
)
def test_what_the_echo_test_says(figures: Figures, peak: int, prompt: str) -> None:
    assert echo_result(leg("a", stretch(figures, peak=peak))) == f"PROMPT_ECHO_{prompt}"
    assert f"PROMPT_ECHO_{prompt}" in ECHO_PROMPTS
