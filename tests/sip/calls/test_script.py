"""The script of a call, event by event: no socket, no clock. Each test reads like the drawing of the call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.recording_decision import LinePolicy, decide
from retention.recording_decision import Party as PolicyParty
from sip.calls import acts
from sip.calls.plan import CallPlan, LineKind, Target
from sip.worker import protocol as p
from tests.sip.calls.drive import COMPANY, NOW, Call, accepted, asked, kinds, plan


@pytest.mark.promise("L1", "2.2")
def test_opt_in_key_1_then_the_callee_is_told_then_recorded() -> None:
    call = asked(plan())
    assert call.playing() == "PROMPT_OPTIN"
    did = call.feed(p.Digit("a", "1", 900))
    assert kinds(did) == ["StopPlay", "Note", "Dial", "Dial", "Ringback"]
    assert did[1].evidence.act == "key1" and did[1].evidence.media_ms == 900
    assert [d.srtp for d in did if isinstance(d, p.Dial)] == [True, False]
    did = call.feed(p.LegRinging("b1", 180, False), p.LegUp("b1"))
    assert p.Hangup("b0", 0, 0, "") in did  # the first answer wins, the rest get CANCEL
    assert call.playing() == "PROMPT_STAFF"
    assert "StartRecording" not in kinds(call.all)
    did = call.hears("b1")
    assert kinds(did) == ["StopPlay", "Note", "Ringback", "Bridge", "StartRecording"]
    assert did[-1] == acts.StartRecording("a", "b1")
    call.feed(acts.RecordingStarted())
    did = call.feed(p.LegDown("b1", 200, "Normal"))
    assert kinds(did)[0] == "StopRecording"
    call.finish()
    outcome = call.script.outcome
    assert (outcome.cause, outcome.recording, outcome.answered_leg) == ("callee-hung-up", "recorded", "b1")


@pytest.mark.promise("0.4", "P23")
def test_an_answered_call_is_being_connected_until_the_two_talk() -> None:
    call = asked(plan())
    assert call.script.state == "beginning"
    call.feed(p.Digit("a", "1", 900))
    assert call.script.state == "ringing", "the phones are asked to"
    call.feed(p.LegRinging("b1", 180, False))
    assert call.script.state == "ringing"
    call.feed(p.LegUp("b1"))
    assert call.playing() == "PROMPT_STAFF"
    assert (call.script.state, call.script.may_be_picked_up) == ("connecting", False)
    call.hears("b1")
    assert call.script.state == "talking"
    call.feed(p.LegDown("b1", 200, "Normal"))
    assert call.script.state == "ending"


@pytest.mark.promise("2.3")
@pytest.mark.parametrize(
    "key, why, last_words", [("2", "refused", "PROMPT_REFUSED"), (None, "silent", "PROMPT_TIMEOUT")]
)
def test_opt_in_without_a_yes_goes_on_unrecorded(key: str | None, why: str, last_words: str) -> None:
    call = asked(plan())
    if key:
        call.feed(p.Digit("a", key, 900))
    else:
        call.hears()
        call.time_passes()
    assert call.playing() == last_words
    did = call.hears()
    assert "Dial" in kinds(did)
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    assert "Bridge" in kinds(call.all)
    assert "StartRecording" not in kinds(call.all)
    assert call.script.outcome.recording == why


@pytest.mark.promise("L1")
@pytest.mark.parametrize("prompt", ["PROMPT_OPTIN", "PROMPT_STAFF"])
def test_a_missing_prompt_means_not_recorded(prompt: str) -> None:
    call = asked(plan(without=frozenset({prompt})))
    if prompt == "PROMPT_STAFF":
        call.feed(p.Digit("a", "1", 900))
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    assert "Bridge" in kinds(call.all) and "StartRecording" not in kinds(call.all)
    assert call.script.outcome.recording == "failed"
    assert call.script.outcome.evidence[-1].act == "prompt_failed"


def test_a_prompt_that_was_not_heard_means_not_recorded() -> None:
    """Opt-out records on silence, but never after an announcement whose media was on hold."""
    call = asked(plan(consent=None))
    assert call.playing() == "PROMPT_OPTOUT_QUALITY"
    call.feed(p.PlayEnded("a", call.play_id(), 2000, False))
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    assert "StartRecording" not in kinds(call.all)


def test_opt_out_heard_to_the_end_is_recorded() -> None:
    call = asked(plan(consent=None))
    call.hears()
    call.time_passes()
    assert call.script.outcome.evidence[0].act == "heard"
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    call.hears("b0")
    assert "StartRecording" in kinds(call.all)


@pytest.mark.promise("2.3", "L1")
def test_objection_in_conversation_destroys_and_is_said_to_both() -> None:
    call = accepted(plan())
    call.feed(acts.RecordingStarted())
    did = call.feed(p.Digit("a", "2", 7000))
    assert kinds(did) == ["Note", "DestroyRecording"]
    assert call.script.outcome.recording == "objected"
    assert kinds(call.feed(acts.RecordingDestroyed())) == ["Play", "Play"]  # said when it is so, and not before
    assert call.playing() == "PROMPT_STOPPED"
    assert kinds(call.feed(p.Digit("a", "2", 8000))) == ["SendDigit"]  # nothing to object to any more


def test_a_staff_member_objects_with_star_2() -> None:
    call = accepted(plan())
    call.feed(acts.RecordingStarted())
    assert kinds(call.feed(p.Digit("b0", "*", 7000))) == []
    assert "DestroyRecording" in kinds(call.feed(p.Digit("b0", "2", 7300)))


def test_other_digits_go_to_the_other_side_and_a_bare_2_of_staff_too() -> None:
    call = accepted(plan())
    assert call.feed(p.Digit("a", "5", 1)) == [p.SendDigit("b0", "5")]
    assert call.feed(p.Digit("b0", "2", 1)) == [p.SendDigit("a", "2")]
    call.feed(p.Digit("b0", "*", 1))
    assert call.feed(p.Digit("b0", "9", 1)) == [p.SendDigit("a", "*"), p.SendDigit("a", "9")]


def test_the_caller_objects_while_the_callee_is_told() -> None:
    call = asked(plan())
    call.feed(p.Digit("a", "1", 900), p.LegUp("b0"), p.LegMedia("b0", True))
    call.feed(p.Digit("a", "2", 5000))
    assert "StartRecording" not in kinds(call.all)
    assert "Bridge" in kinds(call.all)
    assert call.script.outcome.recording == "objected"


def test_hanging_up_during_the_question_leaves_evidence_and_no_call() -> None:
    call = asked(plan())
    did = call.feed(p.LegDown("a", 200, "bye"))
    assert kinds(did) == ["Note", "Leave"]
    assert did[0].evidence.act == "hangup"
    assert call.over and "Dial" not in kinds(call.all)


def test_a_statutory_call_that_is_refused_ends() -> None:
    call = asked(plan("REC_MIFID", None, statute="art. L533-10 CMF"))
    assert call.playing() == "PROMPT_MIFID"
    call.feed(p.Digit("a", "2", 900))
    assert call.playing() == "PROMPT_MUST_END"
    did = call.hears()
    assert [d for d in did if isinstance(d, p.Hangup)] == [p.Hangup("a", 603, 603, "Recording refused")]
    assert "Dial" not in kinds(call.all)


def test_a_statutory_call_waits_for_its_recorder_and_ends_without_it() -> None:
    call = asked(plan("REC_MIFID", None, statute="art. L533-10 CMF"))
    call.hears()
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    call.hears("b0")
    assert kinds(call.all)[-1] == "StartRecording" and "Bridge" not in kinds(call.all)
    call.feed(acts.RecordingFailed("disk"))
    assert call.playing() == "PROMPT_MUST_END"
    assert "Bridge" not in kinds(call.all)


def test_mode_none_records_without_a_word_and_notes_the_statute() -> None:
    call = Call(plan("REC_EMERGENCY", None, statute="CSP art. L6311-1"))
    assert kinds(call.feed(p.Incoming("a", "x"))) == ["Dial", "Dial"]
    did = call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    assert [act.evidence.leg for act in did if isinstance(act, acts.Note)] == ["a", "b0"]
    assert {act.evidence.act for act in did if isinstance(act, acts.Note)} == {"statute"}
    did = call.feed(p.LegUp("a"), p.LegMedia("a", True))
    assert acts.StartRecording("a", "b0") in did


def test_without_recording_the_caller_is_answered_when_the_callee_is() -> None:
    call = Call(plan("REC_NONE", None))
    did = call.feed(p.Incoming("a", "x"))
    assert kinds(did) == ["Dial", "Dial"]
    assert call.feed(p.LegRinging("b0", 180, False)) == [p.Answer("a", 180, "Ringing")]
    assert call.feed(p.LegRinging("b1", 180, False)) == []
    did = call.feed(p.LegUp("b0"))
    assert did == [p.Hangup("b1", 0, 0, ""), p.Answer("a", 200, "OK")]
    assert p.Bridge("a", "b0") in call.feed(p.LegUp("a"), p.LegMedia("a", True))


def test_early_media_is_passed_to_the_caller() -> None:
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"))
    assert call.feed(p.LegRinging("b0", 183, True)) == [p.Answer("a", 183, "Session Progress"), p.Bridge("a", "b0")]


@pytest.mark.parametrize(
    "codes, sent", [((486, 480), 486), ((480, 603), 603), ((404, 480), 480), ((401, 480), 480), ((503, 500), 500)]
)
def test_a_failure_before_the_answer_is_one_status(codes: tuple[int, int], sent: int) -> None:
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"))
    did = call.feed(p.LegDown("b0", codes[0], ""), p.LegDown("b1", codes[1], ""))
    hangup = next(d for d in did if isinstance(d, p.Hangup))
    assert (hangup.leg, hangup.code) == ("a", sent)


@pytest.mark.parametrize(
    "code, prompt", [(486, "PROMPT_BUSY"), (603, "PROMPT_DECLINED"), (480, "PROMPT_NOT_AVAILABLE")]
)
def test_a_failure_after_the_answer_is_spoken_and_ends_with_a_reason(code: int, prompt: str) -> None:
    call = asked(plan())
    call.feed(p.Digit("a", "1", 900))
    call.feed(p.LegDown("b0", code, ""), p.LegDown("b1", 480, ""))
    assert call.playing() == prompt and call.script.state == "ending"
    did = call.hears()
    hangup = next(d for d in did if isinstance(d, p.Hangup))
    assert hangup.leg == "a" and hangup.cause == code


def test_nobody_answers() -> None:
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"), p.LegRinging("b0", 180, False))
    did = call.time_passes()
    assert {(d.leg, d.code) for d in did if isinstance(d, p.Hangup)} == {("a", 480), ("b0", 0), ("b1", 0)}
    call.finish()
    assert call.script.outcome.cause == "no-answer"


def test_cancel_while_ringing() -> None:
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"), p.LegRinging("b0", 180, False))
    did = call.feed(p.LegDown("a", 487, ""))
    assert {d.leg for d in did if isinstance(d, p.Hangup)} == {"b0", "b1"}
    call.finish()
    assert call.script.outcome.cause == "cancelled"


def test_a_dead_worker_ends_the_script_at_once() -> None:
    call = accepted(plan())
    call.feed(acts.RecordingStarted())
    did = call.feed(p.WorkerGone())
    assert kinds(did) == ["StopRecording", "Leave"] and call.over
    assert call.script.outcome.cause == "engine-lost"


def test_a_recording_that_is_cut_leaves_the_call_alone() -> None:
    call = accepted(plan())
    call.feed(acts.RecordingStarted())
    assert call.feed(acts.RecordingCut("disk")) == [acts.StopRecording()]
    assert call.script.outcome.recording == "cut"
    assert call.feed(p.Digit("a", "5", 1)) == [p.SendDigit("b0", "5")]


@pytest.mark.promise("2.3", "L1")
@pytest.mark.parametrize("keys", ["a2", "b*b2"])
def test_what_was_kept_of_a_recording_that_was_cut_can_be_objected_to(keys: str) -> None:
    call = accepted(plan())
    call.feed(acts.RecordingStarted(), acts.RecordingCut("disk"))
    did: list[Any] = []
    for leg, digit in zip(keys[::2], keys[1::2], strict=True):
        did = call.feed(p.Digit({"a": "a", "b": "b0"}[leg], digit, 9000))
    assert kinds(did) == ["Note", "DestroyRecording"]
    assert call.script.outcome.recording == "objected"
    assert kinds(call.feed(p.Digit("a", "2", 9500))) == ["SendDigit"]


def test_a_call_that_ends_before_its_recorder_is_ready_says_that_there_is_no_recording() -> None:
    call = accepted(plan())
    call.feed(p.LegDown("a", 200, ""))
    call.finish()
    assert call.script.outcome.recording == "failed"


def test_a_caller_who_never_comes_costs_no_more_than_the_wait() -> None:
    """CANCEL while the edge asked: there is no leg, so nothing is hung up and nobody's answer is waited for."""
    call = Call(plan())
    assert kinds(call.time_passes()) == ["Leave"]
    assert call.over and call.script.outcome.cause == "cancelled"


def test_an_operator_ends_a_call() -> None:
    call = accepted(plan())
    did = call.feed(acts.HangUp(480, "Ended by the operator"))
    assert "StopRecording" in kinds(did) or "Play" in kinds(did)
    call.finish()
    assert call.script.outcome.cause == "ended-by-us"


def test_when_the_server_stops_there_is_no_time_for_words() -> None:
    call = accepted(plan())
    did = call.feed(acts.HangUp(503, "The server is being stopped", spoken=False))
    assert "Play" not in kinds(did)
    assert p.Hangup("a", 503, 503, "The server is being stopped") in did


def test_the_echo_test_asks_and_records_one_leg() -> None:
    call = asked(plan(kind=LineKind.ECHO))
    assert call.playing() == "PROMPT_ECHO"
    call.hears()
    assert call.playing() == "PROMPT_OPTIN"
    did = call.feed(p.Digit("a", "1", 900))
    assert kinds(did) == ["StopPlay", "Note", "Echo", "StartRecording"]
    assert did[-1] == acts.StartRecording("a", "")


# --- whatever happens, in whatever order ----------------------------------------------------------

_LEGS = st.sampled_from(["a", "b0", "b1"])
_EVENTS = st.one_of(
    st.builds(p.LegUp, _LEGS),
    st.builds(p.LegDown, _LEGS, st.sampled_from([200, 401, 404, 480, 486, 487, 503, 603])),
    st.builds(p.LegRinging, st.sampled_from(["b0", "b1"]), st.just(183), st.booleans()),
    st.builds(p.LegMedia, _LEGS, st.booleans()),
    st.builds(p.Digit, _LEGS, st.sampled_from("0129*"), st.integers(0, 9000)),
    st.builds(p.PlayEnded, _LEGS, st.integers(1, 6), st.just(1), st.booleans()),
    st.builds(p.PlayFailed, _LEGS, st.integers(1, 6), st.just("x")),
    st.just(acts.TimedOut()),
    st.just(acts.RecordingStarted()),
    st.just(acts.RecordingFailed("x")),
    st.just(acts.RecordingCut("x")),
    st.just(p.WorkerGone()),
)
_PLANS = st.sampled_from(
    [
        plan(),
        plan(consent=None),
        plan("REC_NONE", None),
        plan("REC_MIFID", None, statute="x"),
        plan("REC_EMERGENCY", None, statute="x"),
        plan(kind=LineKind.ECHO),
        plan(targets=(Target("b0", ("bob-1",), False),)),
    ]
)


@settings(max_examples=400, deadline=None)
@given(_PLANS, st.lists(_EVENTS, max_size=25))
def test_any_order_of_events_ends_and_never_records_without_evidence(call_plan: CallPlan, events: list[Any]) -> None:
    """No order of events makes the script hang, record before each leg's condition is met, or leave a leg behind."""
    call = Call(call_plan)
    call.feed(p.Incoming("a", "x"))
    for event in events:
        if call.over:
            break
        if isinstance(event, acts.TimedOut):
            call.time_passes() if call.wait.seconds is not None else None
        elif getattr(event, "leg", "a") in ("a", *(t.leg for _, t in call_plan.targets())) and _can_be(call, event):
            call.feed(event)
    call.finish()
    assert isinstance(call.all[-1], p.Leave)
    for at, act in enumerate(call.all):
        if isinstance(act, acts.StartRecording):
            noted = {n.evidence.leg: n.evidence.act for n in call.all[:at] if isinstance(n, acts.Note)}
            captured = [leg for leg in (act.first, act.second) if leg]
            assert all(noted.get(leg) in ("key1", "heard", "statute") for leg in captured), noted
    starts = kinds(call.all).count("StartRecording")
    stops, destroys = (kinds(call.all).count(kind) for kind in ("StopRecording", "DestroyRecording"))
    assert stops <= starts and destroys <= starts
    assert stops + destroys >= starts or (starts == 1 and call.script.outcome.recording == "failed")
    assert not destroys or call.script.outcome.recording == "objected"


def _can_be(call: Call, event: Any) -> bool:
    """Only what the worker could send: nothing of a leg that is not dialled or is down already."""
    leg = getattr(event, "leg", None)
    state = call.script.core.legs.get(leg) if leg is not None else None
    return leg is None or (state is not None and state.value != "down")


def test_silence_means_no_where_the_country_says_so() -> None:
    """A Swiss caller (opt-out, but silence is no consent) is not recorded when nothing is pressed."""
    swiss = decide(
        LinePolicy("REC_QUALITY", None),
        [PolicyParty("a", "outside", "CH"), PolicyParty("b", "staff", "FR")],
        COMPANY,
        NOW,
    )
    call = asked(replace(plan(consent=None), recording=swiss))
    call.hears()
    call.time_passes()
    assert call.script.outcome.evidence == [] or call.script.outcome.evidence[-1].act == "timeout"
