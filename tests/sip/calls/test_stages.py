"""Stages: forwards, phones that ring in turn, another trunk when one fails; all of it data of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from retention.recording_decision import CompanyFacts, LinePolicy, decide
from retention.recording_decision import Party as PolicyParty
from sip.calls import acts
from sip.calls.legs import LegState
from sip.calls.plan import CallPlan, LineKind, Party, Stage, Target, TrunkTarget
from sip.worker import protocol as p
from tests.sip.calls.drive import CALLEE, NOW, Call, kinds, plan

BOB = Party("b" * 32, "102", "Bob", "fr", "FR")
CAROL = Party("c" * 32, "103", "Carol", "fr", "FR")
OUTSIDE = Party(None, "+33123456789", "", "fr", "FR")
UNRECORDED = decide(
    LinePolicy("REC_NONE"), [PolicyParty("a", "outside", "FR")], CompanyFacts("Acme", "FR", ("fr",)), NOW
)


def device(leg: str, user: str = "bob-1") -> Target:
    return Target(leg, (user,), False)


def trunk(leg: str, trunk_id: str = "t1", **more: Any) -> TrunkTarget:
    return TrunkTarget(leg, trunk_id, "+33123456789", "+33187654321", "Acme", False, **more)


def staged(*stages: Stage, **changes: Any) -> CallPlan:
    return replace(plan("REC_NONE", None), stages=stages, recording=UNRECORDED, **changes)


def dialled(did: list[Any]) -> list[str]:
    return [act.leg for act in did if isinstance(act, p.Dial)]


def rings(call_plan: CallPlan) -> Call:
    call = Call(call_plan)
    call.feed(p.Incoming("a", "x"))
    return call


@pytest.mark.parametrize(("code", "forwarded"), [(486, True), (600, True), (603, False), (480, False), (404, False)])
def test_a_forward_on_busy_rings_somebody_else_on_busy_only(code: int, forwarded: bool) -> None:
    call = rings(
        staged(
            Stage((device("b0"),), 20, BOB),
            Stage((device("b1", "carol-1"),), 20, CAROL, 0, frozenset({"busy"})),
        )
    )
    did = call.feed(p.LegDown("b0", code))
    assert dialled(did) == (["b1"] if forwarded else [])
    if forwarded:
        dial = next(act for act in did if isinstance(act, p.Dial))
        assert (dial.user, dial.from_user) == ("103", "101")
        call.feed(p.LegUp("b1"))
        assert call.script.outcome.answered_leg == "b1"
    else:
        assert p.Hangup("a", code if code != 600 else 486, code, "") not in did
        assert any(isinstance(act, p.Hangup) and act.leg == "a" for act in did)


def test_a_forward_on_no_answer_waits_for_its_time_and_cancels_the_first() -> None:
    call = rings(
        staged(
            Stage((device("b0"),), 15, BOB),
            Stage((device("b1", "carol-1"),), 20, CAROL, 0, frozenset({"no-answer"})),
        )
    )
    call.feed(p.LegRinging("b0", 180, False))
    assert call.wait.seconds is not None and 14 < call.wait.seconds <= 15
    did = call.time_passes()
    assert did[0] == p.Hangup("b0", 0, 0, "") and dialled(did) == ["b1"]
    assert call.script.state == "ringing"


def test_phones_in_turn_each_ring_for_their_time_and_the_whole_call_has_one_too() -> None:
    after = frozenset({"busy", "declined", "not-available", "no-answer"})
    stages = [Stage((device(f"b{n}", f"m{n}"),), 25, BOB, n - 1, after if n else frozenset()) for n in range(4)]
    call = rings(staged(*stages, ring_timeout_s=60.0))
    rung = ["b0"]
    while not call.over and len(rung) < 9:
        did = call.time_passes()
        rung += dialled(did)
        for act in did:
            if isinstance(act, p.Hangup) and act.leg != "a" and not call.over:
                call.feed(p.LegDown(act.leg, 487))
        if any(isinstance(act, p.Hangup) and act.leg == "a" for act in did):
            break
    assert rung == ["b0", "b1", "b2"], "60 s are over before the fourth"
    assert call.script.outcome.cause == "no-answer"


@pytest.mark.parametrize("code", [302, 500, 502, 503, 504, 408])
def test_a_provider_that_fails_is_followed_by_the_next(code: int) -> None:
    call = rings(
        staged(
            Stage((trunk("b0"),), 60, OUTSIDE),
            Stage((trunk("b1", "t2"),), 60, OUTSIDE, 0, frozenset({"trunk-failed"})),
        )
    )
    assert dialled(call.feed(p.LegDown("b0", code))) == ["b1"]
    did = call.feed(p.LegDown("b1", code))
    assert p.Hangup("a", 503, 503, "Call failed") in did
    assert call.script.outcome.cause == "trunk-failed"


@pytest.mark.parametrize("code", [404, 480, 484, 486, 603])
def test_what_the_called_party_says_is_not_the_providers_failure(code: int) -> None:
    call = rings(
        staged(
            Stage((trunk("b0"),), 60, OUTSIDE),
            Stage((trunk("b1", "t2"),), 60, OUTSIDE, 0, frozenset({"trunk-failed"})),
        )
    )
    did = call.feed(p.LegDown("b0", code))
    assert dialled(did) == []
    assert any(isinstance(act, p.Hangup) and (act.leg, act.code) == ("a", code) for act in did)


def test_408_after_ringing_is_no_answer_and_before_any_is_the_providers_failure() -> None:
    call = rings(
        staged(
            Stage((trunk("b0"),), 60, OUTSIDE),
            Stage((trunk("b1", "t2"),), 60, OUTSIDE, 0, frozenset({"trunk-failed"})),
        )
    )
    call.feed(p.LegRinging("b0", 180, False))
    assert dialled(call.feed(p.LegDown("b0", 408))) == []
    assert call.script.outcome.cause == "no-answer"


def test_a_trunk_is_dialled_with_its_own_headers_and_number() -> None:
    target = trunk("b0", headers={"Privacy": "id"}, ipv6=True)
    call = Call(staged(Stage((target,), 60, OUTSIDE)))
    (dial,) = [act for act in call.feed(p.Incoming("a", "x")) if isinstance(act, p.Dial)]
    assert (dial.user, dial.from_user, dial.from_display) == ("+33123456789", "+33187654321", "Acme")
    assert dial.headers == {"Privacy": "id"} and dial.ipv6


def test_legs_that_are_not_down_yet_are_waited_for_before_more_are_dialled() -> None:
    """The engine holds four legs: a caller, two that were cancelled and two new ones would be five."""
    call = rings(
        staged(
            Stage((device("b0"), device("b1")), 15, BOB),
            Stage((device("b2"), device("b3")), 15, CAROL, 0, frozenset({"no-answer"})),
        )
    )
    assert dialled(call.time_passes()) == []
    assert dialled(call.feed(p.LegDown("b0", 487))) == ["b2", "b3"]


def test_early_media_of_a_second_stage_is_heard_too() -> None:
    call = rings(
        staged(
            Stage((trunk("b0"),), 60, OUTSIDE),
            Stage((trunk("b1", "t2"),), 60, OUTSIDE, 0, frozenset({"trunk-failed"})),
        )
    )
    assert kinds(call.feed(p.LegRinging("b0", 183, True))) == ["Answer", "Bridge"]
    call.feed(p.LegDown("b0", 503))
    assert call.feed(p.LegRinging("b1", 183, True)) == [p.Bridge("a", "b1")], "183 is sent once"


# --- pick-up --------------------------------------------------------------------------------------


def test_a_colleague_who_picks_up_wins_over_the_phones_that_ring() -> None:
    call = rings(staged(Stage((device("b0"),), 20, BOB)))
    assert call.script.may_be_picked_up
    assert call.feed(acts.PickUp("p0", CAROL)) == []
    assert call.feed(p.Incoming("p0", "y")) == [p.Answer("p0", 200, "OK")]
    did = call.feed(p.LegUp("p0"))
    assert did == [p.Hangup("b0", 0, 0, ""), p.Answer("a", 200, "OK")]
    assert p.Bridge("a", "p0") in call.feed(p.LegUp("a"), p.LegMedia("a", True))
    assert call.script.core.parties["p0"] == CAROL and not call.script.may_be_picked_up


def test_a_pick_up_that_comes_after_the_answer_is_refused() -> None:
    call = rings(staged(Stage((device("b0"),), 20, BOB)))
    call.feed(acts.PickUp("p0", CAROL), p.LegUp("b0"))
    assert p.Hangup("p0", 487, 0, "") in call.feed(p.Incoming("p0", "y"))
    assert call.script.far == "b0"


def test_a_pick_up_that_never_comes_changes_nothing() -> None:
    call = rings(staged(Stage((device("b0"),), 20, BOB)))
    call.feed(acts.PickUp("p0", CAROL))
    call.time_passes()
    assert call.script.may_be_picked_up
    call.feed(p.LegUp("b0"))
    assert call.script.far == "b0"


def test_who_picks_up_is_asked_as_the_staff_side() -> None:
    call = Call(plan())
    call.feed(p.Incoming("a", "x"), p.LegUp("a"), p.LegMedia("a", True), p.Digit("a", "1", 900))
    call.feed(acts.PickUp("p0", CAROL), p.Incoming("p0", "y"), p.LegUp("p0"), p.LegMedia("p0", True))
    assert call.playing() == "PROMPT_STAFF"
    did = call.hears("p0")
    assert [act.evidence.leg for act in did if isinstance(act, acts.Note)] == ["p0"]
    assert did[-1] == acts.StartRecording("a", "p0")


# --- calls that we begin, and services --------------------------------------------------------------


def test_click_to_call_rings_the_callers_own_phones_first() -> None:
    call = Call(staged(Stage((device("a0", "alice-1"),), 20, CALLEE), Stage((device("b0"),), 20, BOB), originated=True))
    (dial,) = call.all
    assert isinstance(dial, p.Dial) and (dial.leg, dial.from_user) == ("a0", CALLEE.number)
    call.feed(p.LegRinging("a0", 180, False))
    did = call.feed(p.LegUp("a0"), p.LegMedia("a0", True))
    assert dialled(did) == ["b0"] and did[-1] == p.Ringback("a0", True)
    dial = next(act for act in did if isinstance(act, p.Dial))
    assert (dial.user, dial.from_user) == ("102", "101")
    did = call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    assert p.Bridge("a0", "b0") in did
    call.feed(p.LegDown("a0", 200))
    call.finish()
    assert call.script.outcome.cause == "caller-hung-up"


def test_click_to_call_to_somebody_who_does_not_take_the_own_phone_up() -> None:
    call = Call(staged(Stage((device("a0", "alice-1"),), 20, CALLEE), Stage((device("b0"),), 20, BOB), originated=True))
    did = call.time_passes()
    assert p.Hangup("a0", 0, 0, "") in did
    call.feed(p.LegDown("a0", 487))
    assert call.over and call.script.outcome.cause == "no-answer"


def test_a_service_says_its_sentence_and_ends() -> None:
    call_plan = replace(plan("REC_NONE", None), kind=LineKind.SERVICE, stages=(), service="PROMPT_STOPPED")
    call = Call(call_plan)
    call.feed(p.Incoming("a", "x"), p.LegUp("a"), p.LegMedia("a", True))
    assert call.playing() == "PROMPT_STOPPED"
    did = call.hears()
    assert [act.leg for act in did if isinstance(act, p.Hangup)] == ["a"]
    call.feed(p.LegDown("a", 200))
    assert call.over and call.script.outcome.cause == "service"
    assert call.script.core.legs["a"] is LegState.DOWN
