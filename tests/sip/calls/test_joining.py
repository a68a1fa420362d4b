"""Transfers, blind and attended, event by event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retention.consent import ConsentMode
from retention.recording_decision import LegConsent, OnRefusal
from sip.calls import acts
from sip.calls.plan import Ceiling, Joining, Party, PromptFile, Stage, Target, TrunkTarget
from sip.worker import protocol as p
from tests.sip.calls.drive import Call, accepted, kinds, plan

CAROL = Party("e" * 32, "103", "Carol", "en", "FR")
JOIN = PromptFile("PROMPT_STAFF", "1", "en", "cd" * 32, Path("/prompts/PROMPT_STAFF.wav"), 2000)


def terms(letter: str = "c", on_refusal: OnRefusal = "continue") -> LegConsent:
    return LegConsent(letter, ConsentMode.ANNOUNCE, "PROMPT_STAFF", "en", "record", on_refusal)


def joining(*asked: LegConsent, letter: str = "c", target: Target | TrunkTarget | None = None) -> Joining:
    rung = target or Target(f"{letter}0", ("carol-1",), False)
    return Joining((Stage((rung,), 20, CAROL),), CAROL, asked, {("PROMPT_STAFF", "en"): JOIN}, "minimal")


def blind(referrer: str = "b0", *asked: LegConsent, letter: str = "c", **more: Any) -> acts.Transfer:
    return acts.Transfer(referrer, joining(*asked, letter=letter), **more)


def talking() -> Call:
    """Unrecorded."""
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True), p.LegDown("b1", 487))
    call.feed(p.LegUp("a"), p.LegMedia("a", True))
    assert call.script.talking
    return call


def recorded() -> Call:
    call = accepted(plan())
    call.feed(p.LegDown("b1", 487), acts.RecordingStarted())
    return call


# --- blind ----------------------------------------------------------------------------------------


def test_a_blind_transfer_rings_the_target_and_joins_whoever_stays() -> None:
    call = talking()
    did = call.feed(blind("b0"))
    assert did == [
        p.Notify("b0", 100, "Trying"),
        p.Bridge("a", "b0", False),
        p.Dial("c0", "103", f"{'0' * 32}-c0", "101", "Alice", False),
        p.Ringback("a", True),
    ]
    assert call.script.state == "transferring"
    call.feed(p.LegRinging("c0", 180, False))
    did = call.feed(p.LegUp("c0"))
    assert did == [p.Notify("b0", 200, "OK", True), p.Ringback("a", False), p.Bridge("a", "c0")]
    assert call.script.outcome.transferred and call.script.talking
    assert call.feed(p.Digit("a", "5", 1)) == [p.SendDigit("c0", "5")]
    call.feed(p.LegDown("b0", 200))
    call.feed(p.LegDown("c0", 200))
    call.finish()
    assert call.script.outcome.cause == "callee-hung-up"


def test_the_caller_may_transfer_too_and_the_target_sees_the_callee() -> None:
    call = talking()
    did = call.feed(blind("a"))
    dial = next(act for act in did if isinstance(act, p.Dial))
    assert (dial.from_user, dial.from_display) == ("200", "recorded")
    call.feed(p.LegUp("c0"), p.LegDown("a", 200))
    assert (call.script.near, call.script.far) == ("c0", "b0")


def test_a_referrer_who_does_not_hang_up_is_hung_up() -> None:
    call = talking()
    call.feed(blind("b0"), p.LegUp("c0"))
    assert call.wait.seconds == pytest.approx(2)
    assert call.time_passes() == [p.Hangup("b0", 480, 0, "")]


def test_a_referrer_who_hangs_up_at_once_does_not_end_it() -> None:
    call = talking()
    call.feed(blind("b0"), p.LegDown("b0", 200))
    did = call.feed(p.LegUp("c0"))
    assert did == [p.Ringback("a", False), p.Bridge("a", "c0")]


@pytest.mark.parametrize("code", [486, 480, 404, 603])
def test_a_target_that_refuses_and_the_two_talk_on(code: int) -> None:
    call = talking()
    call.feed(blind("b0"))
    did = call.feed(p.LegDown("c0", code))
    assert [(n.code, n.final) for n in did if isinstance(n, p.Notify)] == [(code, True)]
    assert did[-2:] == [p.Ringback("a", False), p.Bridge("a", "b0")]
    assert call.script.talking and not call.script.outcome.transferred
    assert call.feed(p.Digit("a", "5", 1)) == [p.SendDigit("b0", "5")]


def test_a_target_that_does_not_answer_is_given_up() -> None:
    call = talking()
    call.feed(blind("b0"))
    did = call.time_passes()
    assert p.Hangup("c0", 0, 0, "") in did and p.Notify("b0", 480, "Temporarily Unavailable", True) in did
    assert did[-1] == p.Bridge("a", "b0")


def test_a_transfer_that_fails_once_the_referrer_has_gone_is_told_to_whoever_is_left() -> None:
    call = talking()
    call.feed(blind("a"), p.LegDown("a", 200))
    did = call.feed(p.LegDown("c0", 486))
    assert Path(next(act.path for act in did if isinstance(act, p.Play))).stem == "PROMPT_BUSY"
    assert [act.leg for act in did if isinstance(act, p.Play)] == ["b0"]
    did = call.hears("b0")
    assert p.Hangup("b0", 486, 486, "Busy Here") in did


def saying_so(*languages: str) -> Joining:
    """Where the words for a transfer that fails can be had."""
    failed = PromptFile(
        "PROMPT_TRANSFER_FAILED", "1", "fr", "ef" * 32, Path("/prompts/PROMPT_TRANSFER_FAILED.wav"), 900
    )
    return replace(joining(), prompts={(failed.prompt_id, language): failed for language in languages})


def played(did: list[Any]) -> list[tuple[str, str]]:
    return [(act.leg, Path(act.path).stem) for act in did if isinstance(act, p.Play)]


def test_whoever_is_left_alone_hears_that_the_transfer_failed_and_not_of_somebody_else() -> None:
    call = talking()
    call.feed(acts.Transfer("a", saying_so("fr")), p.LegDown("a", 200))
    assert played(call.feed(p.LegDown("c0", 486))) == [("b0", "PROMPT_TRANSFER_FAILED")]
    assert p.Hangup("b0", 486, 486, "Busy Here") in call.hears("b0")


def test_a_referrer_who_listens_hears_that_it_failed_and_they_talk_on() -> None:
    call = talking()
    call.feed(acts.Transfer("b0", saying_so("fr")))
    did = call.feed(p.LegDown("c0", 486))
    assert played(did) == [("b0", "PROMPT_TRANSFER_FAILED")] and did[-1] == p.Bridge("a", "b0")
    assert call.hears("b0") == [] and call.script.talking


@pytest.mark.parametrize("how", ["held", "operator", "language"])
def test_who_holds_or_has_not_asked_for_it_is_not_told(how: str) -> None:
    call = talking()
    if how == "held":
        call.feed(p.LegMedia("b0", True, held=True))
    call.feed(acts.Transfer("b0", saying_so("en" if how == "language" else "fr"), notify=how != "operator"))
    assert played(call.feed(p.LegDown("c0", 486))) == []


def test_whoever_was_to_stay_hangs_up_and_the_target_is_cancelled() -> None:
    call = talking()
    call.feed(blind("b0"), p.LegRinging("c0", 180, False))
    did = call.feed(p.LegDown("a", 200))
    assert p.Notify("b0", 487, "Request Terminated", True) in did
    assert {act.leg for act in did if isinstance(act, p.Hangup)} == {"b0", "c0"}


def test_early_media_of_the_target_is_heard_by_whoever_stays() -> None:
    call = talking()
    call.feed(blind("b0"))
    assert call.feed(p.LegRinging("c0", 183, True)) == [p.Ringback("a", False), p.Bridge("a", "c0")]


def test_an_operator_transfers_without_telling_and_the_leg_goes() -> None:
    call = talking()
    assert not any(isinstance(act, p.Notify) for act in call.feed(blind("b0", notify=False)))
    did = call.feed(p.LegUp("c0"))
    assert p.Hangup("b0", 480, 0, "") in did and not any(isinstance(act, p.Notify) for act in did)


def test_a_second_transfer_after_the_first() -> None:
    call = talking()
    call.feed(blind("b0"), p.LegUp("c0"), p.LegDown("b0", 200))
    did = call.feed(blind("c0", letter="d"))
    assert [act.leg for act in did if isinstance(act, p.Dial)] == ["d0"]
    assert call.feed(p.LegUp("d0"))[-1] == p.Bridge("a", "d0")


def test_held_music_stops_when_the_transfer_begins_and_comes_back_when_it_fails() -> None:
    call = Call(replace(plan("REC_NONE", None), music=Path("/music.wav")))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True), p.LegDown("b1", 487))
    call.feed(p.LegUp("a"), p.LegMedia("a", True), p.LegMedia("b0", True, held=True))
    assert p.Music("a", False) in call.feed(blind("b0"))
    assert call.feed(p.LegDown("c0", 486))[-1] == p.Music("a", True, "/music.wav")


# --- consent and recordings -----------------------------------------------------------------------


@pytest.mark.promise("L1", "2.3")
def test_whoever_joins_is_asked_before_a_new_recording_and_the_first_is_kept() -> None:
    call = recorded()
    did = call.feed(blind("b0", terms()))
    assert p.PauseCapture(True) in did and "StopRecording" not in kinds(did), "it goes on if nobody joins"
    did = call.feed(p.LegUp("c0"), p.LegMedia("c0", True))
    assert "StopRecording" in kinds(did) and p.Notify("b0", 200, "OK", True) in did
    assert call.playing() == "PROMPT_STAFF" and "Bridge" not in kinds(did)
    assert call.script.state == "connecting"
    did = call.hears("c0")
    assert call.script.state == "talking"
    (note,) = [act for act in did if isinstance(act, acts.Note)]
    assert (note.evidence.leg, note.evidence.act, note.evidence.prompt_sha256) == ("c0", "heard", "cd" * 32)
    assert did[-1] == acts.StartRecording("a", "c0")
    assert call.feed(acts.RecordingStarted()) == [], "silence ended with the transfer"


def test_when_the_callee_is_the_one_who_stays_the_channels_stay_in_order() -> None:
    call = recorded()
    call.feed(blind("a", terms()), p.LegUp("c0"), p.LegMedia("c0", True))
    assert call.hears("c0")[-1] == acts.StartRecording("c0", "b0")


@pytest.mark.promise("L1")
def test_whoever_joins_and_refuses_is_not_recorded_and_the_conversation_goes_on() -> None:
    call = recorded()
    call.feed(blind("b0", terms()), p.LegUp("c0"), p.LegMedia("c0", True))
    call.feed(p.Digit("c0", "2", 500))
    while "Bridge" not in kinds(call.did):
        call.hears("c0")
    assert kinds(call.all).count("StartRecording") == 1
    assert call.script.outcome.recording == "recorded", "the first was kept"


def test_without_terms_for_whoever_joins_nothing_is_recorded_any_more() -> None:
    call = recorded()
    did = call.feed(blind("b0"), p.LegUp("c0"), p.LegMedia("c0", True))
    assert did[-1] == p.Bridge("a", "c0") and kinds(call.all).count("StartRecording") == 1


def test_a_pack_that_must_record_ends_the_call_when_whoever_joins_refuses() -> None:
    call = recorded()
    call.feed(blind("b0", terms(on_refusal="end_call")), p.LegUp("c0"), p.LegMedia("c0", True))
    call.feed(p.Digit("c0", "2", 500))
    for _ in range(5):
        if call.script.outcome.cause == "recording-refused":
            break
        call.hears("c0")
    assert call.script.outcome.cause == "recording-refused" and "Bridge" not in kinds(call.did)


def test_a_transfer_that_fails_lets_the_recording_go_on_with_a_gap() -> None:
    call = recorded()
    call.feed(blind("b0", terms()))
    call.now_s += 4
    did = call.feed(p.LegDown("c0", 486))
    assert p.PauseCapture(False) in did
    (stop,) = [act for act in call.feed(p.LegDown("a", 200)) if isinstance(act, acts.StopRecording)]
    assert [why for _, _, why in stop.gaps] == ["hold"] and stop.gaps[0][1] - stop.gaps[0][0] >= 4000


@pytest.mark.promise("L1", "2.3")
def test_an_objection_destroys_every_recording_that_the_objector_is_heard_on() -> None:
    call = recorded()
    call.feed(blind("b0", terms()), p.LegUp("c0"), p.LegMedia("c0", True))
    call.hears("c0")
    call.feed(acts.RecordingStarted())
    assert acts.DestroyRecording("a") in call.feed(p.Digit("a", "2", 9000))
    call.feed(p.Digit("c0", "*", 1))
    assert call.feed(p.Digit("c0", "2", 1))[-1] == p.SendDigit("a", "2"), "nothing is left to object to"


def test_the_strictest_class_of_all_who_took_part_is_kept() -> None:
    call = Call(replace(plan("REC_NONE", None), metadata_class="standard"))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True), p.LegUp("a"), p.LegMedia("a", True))
    call.feed(acts.Transfer("b0", replace(joining(), metadata_class="none")), p.LegUp("c0"))
    assert call.script.outcome.metadata_class == "none"


def test_a_ceiling_of_the_new_way_holds_from_then_on() -> None:
    way = TrunkTarget("c0", "t1", "+33123456789", "+33187654321", "", False, ceiling=Ceiling(60.0))
    call = talking()
    call.feed(acts.Transfer("b0", joining(target=way)), p.LegUp("c0"), p.LegDown("b0", 200))
    call.time_passes()  # the referrer has gone already
    assert call.wait.seconds == pytest.approx(58, abs=1)
    call.time_passes()
    call.finish()
    assert call.script.outcome.cause == "ceiling"


# --- attended -------------------------------------------------------------------------------------


def attended(*asked: LegConsent) -> acts.Transfer:
    return acts.Transfer("b0", replace(joining(*asked), stages=()), joint="j0", joint_staff=True)


def test_the_joint_is_dialled_and_told_within_the_same_step_as_its_answer() -> None:
    call = talking()
    did = call.feed(attended())
    assert [(act.leg, act.token) for act in did if isinstance(act, p.Dial)] == [("j0", f"{'0' * 32}-j0")]
    assert call.feed(p.LegUp("j0")) == [
        p.Notify("b0", 200, "OK", True),
        p.Ringback("a", False),
        p.Bridge("a", "j0"),
    ]


@pytest.mark.promise("L1")
def test_the_party_behind_the_joint_is_asked_through_it() -> None:
    call = recorded()
    call.feed(attended(terms()), p.LegUp("j0"), p.LegMedia("j0", True))
    assert call.playing() == "PROMPT_STAFF" and call.all[-1].leg == "j0"
    did = call.hears("j0")
    assert [act.evidence.leg for act in did if isinstance(act, acts.Note)] == ["j0"]
    assert did[-1] == acts.StartRecording("a", "j0")


@pytest.mark.parametrize("how", ["refused", "late"])
def test_a_joint_that_does_not_come_up_leaves_the_two_talking(how: str) -> None:
    call = talking()
    call.feed(attended())
    did = call.feed(p.LegDown("j0", 403)) if how == "refused" else call.time_passes()
    assert [(n.code, n.final) for n in did if isinstance(n, p.Notify)] == [(503, True)]
    assert did[-1] == p.Bridge("a", "b0")


def test_the_other_conversation_becomes_a_relay() -> None:
    call = recorded()
    assert call.feed(acts.BecomeRelay("a", "j0", CAROL)) == []
    assert call.feed(p.Incoming("j0", "z")) == [p.Answer("j0", 200, "OK")]
    did = call.feed(p.LegUp("j0"))
    assert "StopRecording" in kinds(did) and p.Hangup("a", 480, 0, "") in did
    assert did[-1] == p.Bridge("j0", "b0")
    call.feed(p.LegDown("a", 200))
    did = call.feed(p.Digit("b0", "*", 1), p.Digit("b0", "7", 1))
    assert did == [p.SendDigit("j0", "*"), p.SendDigit("j0", "7")], "understood where the recording is"
    call.feed(p.LegMedia("b0", True, held=True))
    assert "Music" not in kinds(call.did)
    call.feed(p.LegDown("j0", 200))
    call.finish()
    assert call.script.outcome.cause == "transferred" and kinds(call.all).count("StartRecording") == 1


def test_a_relay_whose_joint_never_comes_stays_what_it_was() -> None:
    call = recorded()
    call.feed(acts.BecomeRelay("a", "j0", CAROL))
    call.time_passes()
    assert call.script.talking and call.script.captures.running and not call.script.joinings.relaying
    assert call.feed(p.Digit("b0", "5", 1)) == [p.SendDigit("a", "5")]


def test_a_referrer_who_hangs_up_both_calls_at_once_does_not_break_the_joint() -> None:
    call = talking()
    call.feed(acts.BecomeRelay("a", "j0", CAROL), p.LegDown("a", 200), p.Incoming("j0", "z"))
    assert call.feed(p.LegUp("j0"))[-1] == p.Bridge("j0", "b0")


# --- a phone behind a relay -----------------------------------------------------------------------


def joined_by_a_joint() -> Call:
    """Bob has joined Alice and Carol, who is heard by j0."""
    call = talking()
    call.feed(attended(), p.LegUp("j0"), p.LegMedia("j0", True), p.LegDown("b0", 200))
    return call


def test_a_joint_that_leaves_is_told_like_a_phone_and_hung_up_after_a_while() -> None:
    call = joined_by_a_joint()
    did = call.feed(blind("j0", letter="d"))
    assert did[:2] == [p.Notify("j0", 100, "Trying"), p.Bridge("a", "j0", False)]
    assert call.feed(p.LegUp("d0")) == [
        p.Notify("j0", 200, "OK", True),
        p.Ringback("a", False),
        p.Bridge("a", "d0"),
    ]
    assert call.time_passes() == [p.Hangup("j0", 480, 0, "")], "with it the relay ends, and hangs its phone up"


def test_whoever_waits_by_a_joint_hears_it_ring_and_is_shown() -> None:
    call = joined_by_a_joint()
    did = call.feed(blind("a", letter="d"))
    dial = next(act for act in did if isinstance(act, p.Dial))
    assert (dial.from_user, dial.from_display) == ("103", "Carol") and p.Ringback("j0", True) in did
    assert call.feed(p.LegUp("d0"))[-1] == p.Bridge("d0", "j0")


@pytest.mark.promise("L1")
def test_a_joint_in_the_place_of_a_joint_is_asked_too() -> None:
    call = recorded()
    call.feed(attended(terms()), p.LegUp("j0"), p.LegMedia("j0", True))
    call.hears("j0")
    call.feed(acts.RecordingStarted(), p.LegDown("b0", 200))
    order = replace(attended(terms("d")), referrer="j0", joint="j1")
    did = call.feed(order, p.LegUp("j1"), p.LegMedia("j1", True))
    assert "StopRecording" in kinds(did) and "StartRecording" not in kinds(did)
    did = call.hears("j1")
    assert [act.evidence.leg for act in did if isinstance(act, acts.Note)] == ["j1"]
    assert did[-1] == acts.StartRecording("a", "j1")


def test_a_party_that_withholds_its_number_does_so_behind_a_joint() -> None:
    call = talking()
    call.feed(replace(attended(), joint_hidden=True), p.LegUp("j0"), p.LegDown("b0", 200))
    dial = next(act for act in call.feed(blind("a", letter="d")) if isinstance(act, p.Dial))
    assert (dial.from_user, dial.from_display) == ("anonymous", "Anonymous")


@pytest.mark.parametrize("outside", [True, False])
def test_whether_the_party_behind_a_joint_is_outside_is_known(outside: bool) -> None:
    call = talking()
    call.feed(replace(attended(), joint_staff=False, joint_outside=outside), p.LegUp("j0"))
    assert ("j0" in call.script.core.outside) is outside and "j0" not in call.script.core.staff


# --- asked for in the conversation that becomes the relay ------------------------------------------


@pytest.mark.parametrize("refused", [True, False])
def test_a_phone_in_the_other_conversation_is_told_though_this_leg_is_down(refused: bool) -> None:
    call = talking()
    call.feed(replace(attended(), elsewhere=True), p.LegDown("b0", 200))
    did = call.feed(p.LegDown("j0", 403) if refused else p.LegUp("j0"))
    assert [(n.code, n.final) for n in did if isinstance(n, p.Notify)] == [(503 if refused else 200, True)]


def test_a_phone_that_is_to_hear_how_it_went_is_not_hung_up_at_once() -> None:
    call = recorded()
    call.feed(acts.BecomeRelay("a", "j0", CAROL, lingers=True), p.Incoming("j0", "z"))
    did = call.feed(p.LegUp("j0"))
    assert did[-1] == p.Bridge("j0", "b0") and "Hangup" not in kinds(did)
    assert call.feed(p.Digit("a", "5", 1)) == [], "it is in this conversation no more"
    assert call.time_passes() == [p.Hangup("a", 480, 0, "")]


def test_a_phone_that_lingers_and_hangs_up_by_itself() -> None:
    call = recorded()
    call.feed(acts.BecomeRelay("a", "j0", CAROL, lingers=True), p.Incoming("j0", "z"), p.LegUp("j0"))
    assert call.feed(p.LegDown("a", 200)) == []
    assert call.time_passes() == [] and call.script.talking


@pytest.mark.promise("L1", "2.3")
@pytest.mark.parametrize(("stays", "keys"), [("a", "2"), ("b0", "*2"), ("b0", "*8")])
def test_whoever_objects_behind_a_relay_objects_to_what_was_recorded_before_it_was_one(stays: str, keys: str) -> None:
    """And the key goes on, for what is recorded where the conversation is held."""
    call = recorded()
    leaves = "b0" if stays == "a" else "a"
    call.feed(acts.BecomeRelay(leaves, "j0", CAROL), p.Incoming("j0", "z"), p.LegUp("j0"), p.LegDown(leaves, 200))
    did = call.feed(*(p.Digit(stays, key, 5000) for key in keys))
    assert [act.digit for act in did if isinstance(act, p.SendDigit) and act.leg == "j0"] == list(keys)
    assert acts.DestroyRecording(stays) in did
    assert [act.evidence.act for act in did if isinstance(act, acts.Note)] == ["objection"]
    assert call.script.talking
    assert call.feed(p.Digit(stays, "2", 1)) == [p.SendDigit("j0", "2")], "once"


def test_keys_from_the_other_side_of_a_relay_object_to_nothing_here() -> None:
    call = recorded()
    call.feed(acts.BecomeRelay("b0", "j0", CAROL), p.Incoming("j0", "z"), p.LegUp("j0"), p.LegDown("b0", 200))
    assert call.feed(p.Digit("j0", "2", 1)) == [p.SendDigit("a", "2")]
