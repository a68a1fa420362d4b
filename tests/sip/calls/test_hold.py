"""Hold, pause, and the codes of staff, event by event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls import acts
from sip.calls.captures import MAX_GAPS
from sip.calls.keys import Codes
from sip.calls.plan import PromptFile
from sip.worker import protocol as p
from tests.sip.calls.drive import Call, accepted, kinds, plan

MUSIC = Path("/music.wav")


def held(leg: str, on: bool = True) -> p.LegMedia:
    return p.LegMedia(leg, True, held=on)


def recorded(**changes: Any) -> Call:
    """A conversation that is being recorded since 1 s."""
    call = accepted(replace(plan(), music=MUSIC, **changes))
    call.feed(acts.RecordingStarted())
    call.now_s += 1
    return call


def press(call: Call, leg: str, keys: str) -> list[Any]:
    did: list[Any] = []
    for key in keys:
        did += call.feed(p.Digit(leg, key, 1000))
    return did


# --- hold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("holds", "waits"), [("a", "b0"), ("b0", "a")])
def test_whoever_is_held_hears_music_and_silence_flows_into_the_recording(holds: str, waits: str) -> None:
    call = recorded()
    assert call.feed(held(holds)) == [
        p.Bridge("a", "b0", False),
        p.Music(waits, True, str(MUSIC)),
        p.PauseCapture(True),
    ]
    call.now_s += 2
    assert call.feed(held(holds, False)) == [
        p.Music(waits, False),
        p.Bridge("a", "b0", True),
        p.PauseCapture(False),
    ]
    did = call.feed(p.LegDown("a", 200))
    (stop,) = [act for act in did if isinstance(act, acts.StopRecording)]
    ((start_ms, end_ms, why),) = stop.gaps
    assert why == "hold" and 1000 <= start_ms < 1100 and 2000 <= end_ms - start_ms < 2100


def test_both_may_hold_and_nobody_hears_music_then() -> None:
    call = recorded()
    call.feed(held("a"))
    assert call.feed(held("b0")) == [p.Music("b0", False)]
    assert call.feed(held("a", False)) == [p.Music("a", True, str(MUSIC))]
    assert call.feed(held("b0", False)) == [p.Music("a", False), p.Bridge("a", "b0", True), p.PauseCapture(False)]


def test_without_music_hold_is_silence() -> None:
    call = accepted(plan())
    assert call.feed(held("a")) == [p.Bridge("a", "b0", False)]
    assert call.feed(held("a", False)) == [p.Bridge("a", "b0", True)]


def test_who_holds_before_the_conversation_begins_is_held_when_it_does() -> None:
    call = Call(replace(plan("REC_NONE", None), music=MUSIC))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"))
    did = call.feed(p.LegUp("a"), held("a"))
    assert p.Music("b0", True, str(MUSIC)) in did and not any(isinstance(act, p.Bridge) and act.on for act in did)
    assert p.Bridge("a", "b0") in call.feed(held("a", False))


def test_a_call_that_ends_while_held_closes_its_gap() -> None:
    call = recorded()
    call.feed(held("b0"))
    call.now_s += 5
    did = call.feed(p.LegDown("b0", 200))
    (stop,) = [act for act in did if isinstance(act, acts.StopRecording)]
    assert [why for _, _, why in stop.gaps] == ["hold"] and stop.gaps[0][1] >= 6000


def test_a_recording_that_begins_while_somebody_holds_begins_silent() -> None:
    call = accepted(replace(plan(), music=MUSIC))
    call.feed(held("b0"))
    assert call.feed(acts.RecordingStarted()) == [p.PauseCapture(True)]


def test_a_phone_that_holds_all_day_long_leaves_no_end_of_gaps() -> None:
    call = recorded()
    for _ in range(1200):
        call.feed(held("a"), held("a", False))
    (stop,) = [act for act in call.feed(p.LegDown("a", 200)) if isinstance(act, acts.StopRecording)]
    assert len(stop.gaps) == MAX_GAPS
    assert all(first[1] <= second[0] for first, second in zip(stop.gaps, stop.gaps[1:], strict=False))


# --- pause ----------------------------------------------------------------------------------------


def test_staff_pause_and_resume_and_the_other_side_hears_no_code() -> None:
    call = recorded()
    assert press(call, "b0", "*7") == [p.PauseCapture(True), p.Tone("b0", "done")]
    call.now_s += 3
    assert press(call, "b0", "*7") == [p.PauseCapture(False), p.Tone("b0", "done")]
    did = call.feed(p.LegDown("a", 200))
    (stop,) = [act for act in did if isinstance(act, acts.StopRecording)]
    assert [why for _, _, why in stop.gaps] == ["pause"]


def test_a_pause_ends_by_itself() -> None:
    call = recorded()
    press(call, "b0", "*7")
    assert call.wait.seconds == pytest.approx(120)
    assert call.time_passes() == [p.PauseCapture(False)]


def test_an_operator_pauses_too() -> None:
    call = recorded()
    assert call.feed(acts.Pause(True)) == [p.PauseCapture(True)]
    assert call.feed(acts.Pause(False)) == [p.PauseCapture(False)]


def told() -> Call:
    """A recorded call for which the words can be had."""
    words = {
        (name, "fr"): PromptFile(name, "1", "fr", "ab" * 32, Path(f"/prompts/{name}.wav"), 1000)
        for name in ("PROMPT_PAUSED", "PROMPT_RESUMED")
    }
    made = plan()
    call = accepted(replace(made, prompts={**made.prompts, **words}))
    call.feed(p.LegDown("b1", 487), acts.RecordingStarted())
    return call


def played(did: list[Any]) -> list[tuple[str, str]]:
    return [(act.leg, Path(act.path).stem) for act in did if isinstance(act, p.Play)]


def test_whoever_is_recorded_hears_that_it_pauses_and_that_it_goes_on() -> None:
    call = told()
    assert played(press(call, "b0", "*7")) == [("a", "PROMPT_PAUSED")]
    assert played(press(call, "b0", "*7")) == [("a", "PROMPT_RESUMED")]
    press(call, "b0", "*7")
    assert played(call.time_passes()) == [("a", "PROMPT_RESUMED"), ("b0", "PROMPT_RESUMED")], "nobody pressed anything"


def test_what_is_as_it_was_is_not_said_again_and_who_holds_hears_nothing() -> None:
    call = told()
    assert played(call.feed(acts.Pause(True))) == [("a", "PROMPT_PAUSED"), ("b0", "PROMPT_PAUSED")]
    assert played(call.feed(acts.Pause(True))) == []
    call.feed(held("b0"))
    assert played(call.feed(acts.Pause(False))) == [("a", "PROMPT_RESUMED")]


def test_a_pause_that_ends_when_nothing_is_recorded_any_more_is_not_spoken_about() -> None:
    call = told()
    press(call, "b0", "*7")
    call.feed(p.Digit("a", "2", 100), acts.RecordingDestroyed())
    call.now_s += 120
    assert played(call.feed(acts.TimedOut())) == []


def test_hold_within_a_pause_leaves_gaps_that_do_not_overlap() -> None:
    call = recorded()
    press(call, "b0", "*7")
    for event in (held("a"), held("a", False)):
        call.now_s += 1
        assert not any(isinstance(act, p.PauseCapture) for act in call.feed(event))
    call.now_s += 1
    press(call, "b0", "*7")
    (stop,) = [act for act in call.feed(p.LegDown("a", 200)) if isinstance(act, acts.StopRecording)]
    assert [why for _, _, why in stop.gaps] == ["pause", "hold", "pause"]
    assert all(first[1] == second[0] for first, second in zip(stop.gaps, stop.gaps[1:], strict=False))


def test_the_caller_cannot_pause() -> None:
    call = recorded()
    assert press(call, "a", "*7") == [p.SendDigit("b0", "*"), p.SendDigit("b0", "7")]


# --- codes ----------------------------------------------------------------------------------------


@pytest.mark.promise("L5")
def test_private_from_here_on_destroys_what_was_kept_and_leaves_no_record() -> None:
    call = recorded()
    did = press(call, "b0", "*8")
    assert kinds(did) == ["Tone", "Note", "DestroyRecording"] and did[0] == p.Tone("b0", "done")
    assert call.script.outcome.metadata_class == "none" and not call.script.captures.wanted
    assert press(call, "b0", "*8") == [p.SendDigit("a", "*"), p.SendDigit("a", "8")], "there is no such code any more"


def test_private_is_refused_where_the_law_wants_the_recording() -> None:
    call = accepted_mifid()
    assert press(call, "b0", "*8") == [p.Tone("b0", "refused")]
    assert call.script.captures.running and call.script.outcome.metadata_class == ""


def accepted_mifid() -> Call:
    call = Call(plan("REC_MIFID", None, statute="art. L533-10 CMF"))
    call.feed(p.Incoming("a", "x"), p.LegUp("a"), p.LegMedia("a", True))
    call.hears()
    call.feed(p.LegUp("b0"), p.LegMedia("b0", True))
    call.hears("b0")
    call.feed(acts.RecordingStarted())
    return call


def test_a_private_call_is_never_recorded() -> None:
    call = Call(replace(plan(), private=True))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True), p.LegUp("a"), p.LegMedia("a", True))
    assert "Bridge" in kinds(call.all)
    assert not {"StartRecording", "Note", "Play"} & set(kinds(call.all))


def test_a_star_that_nothing_comes_after_reaches_the_other_side() -> None:
    call = recorded()
    assert press(call, "b0", "*") == []
    assert call.wait.seconds == pytest.approx(3)
    assert call.time_passes() == [p.SendDigit("a", "*")]
    assert press(call, "b0", "2") == [p.SendDigit("a", "2")], "not an objection: it came too late"


def test_in_a_call_out_the_caller_has_the_codes_and_the_callee_the_bare_key() -> None:
    call = recorded(staff=frozenset({"a"}))
    call.script.core.staff.discard("b0")  # as by a trunk
    assert press(call, "a", "2") == [p.SendDigit("b0", "2")]
    assert press(call, "a", "*7") == [p.PauseCapture(True), p.Tone("a", "done")]
    assert kinds(press(call, "b0", "2")) == ["Note", "DestroyRecording"]


@given(st.lists(st.tuples(st.sampled_from("0123456789*#"), st.floats(0.01, 5)), max_size=30))
def test_what_is_no_code_arrives_in_order_and_a_code_never_does(presses: list[tuple[str, float]]) -> None:
    codes, now_s = Codes(), 0.0
    arrived, expected = "", ""
    star_s: float | None = None
    for key, after_s in presses:
        if star_s is not None and after_s > 3:
            arrived += codes.give_up()
        now_s += after_s
        code, passed = codes.press(key, "278", now_s)
        arrived += passed
        star = star_s is not None and now_s - star_s <= 3
        if star and key in "278":
            assert code == key
            expected = expected[:-1]  # nor the star
        else:
            assert code == ""
            expected += key
        star_s = now_s if key == "*" else None
    assert arrived + codes.give_up() == expected


def test_codes_of_both_sides_do_not_mix() -> None:
    call = recorded(staff=frozenset({"a", "b"}))
    assert press(call, "a", "*") == []
    assert press(call, "b0", "7") == [p.SendDigit("a", "7")]
    assert press(call, "a", "7") == [p.PauseCapture(True), p.Tone("a", "done")]
