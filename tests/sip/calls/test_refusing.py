"""A refusal that is spoken, event by event: early media, then the status; whatever happens, the same status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sip.calls import acts, preemption
from sip.calls.plan import CallPlan, LineKind, PromptFile, Refusal
from sip.worker import protocol as p
from tests.sip.calls.drive import Call, kinds, plan

CLOSED = Refusal(403, "Calls Abroad Are Not Permitted", "not-permitted", "PROMPT_NOT_PERMITTED")
PROMPT = PromptFile("PROMPT_NOT_PERMITTED", "1", "fr", "ab" * 32, Path("/prompts/PROMPT_NOT_PERMITTED.wav"), 4000)
STATUS = p.Hangup("a", 403, 403, "Calls Abroad Are Not Permitted", "Calls Abroad Are Not Permitted")
AFTER = ["Hangup", "Leave"]


def refused(**changes: Any) -> CallPlan:
    made = replace(
        plan("REC_NONE", None, kind=LineKind.REFUSAL),
        line_id=None,
        prompts={("PROMPT_NOT_PERMITTED", "fr"): PROMPT},
        refusal=CLOSED,
        service=CLOSED.prompt,
    )
    return replace(made, **changes)


def speaking() -> Call:
    call = Call(refused())
    assert call.feed(p.Incoming("a", "x")) == [p.Answer("a", 183, "Session Progress")]
    assert call.feed(p.LegMedia("a", True)) == [p.Play("a", 1, str(PROMPT.path))]
    return call


def ends(call: Call) -> None:
    call.feed(p.LegDown("a", 403))
    call.finish()
    assert not [act for act in call.all if isinstance(act, p.Answer) and act.code >= 200], "nothing was answered"
    noted = {"Note", "StartRecording", "Capture", "Dial", "Bridge"}
    assert noted.isdisjoint(kinds(call.all)), "nothing is asked, recorded or dialled"


@pytest.mark.promise("P13")
def test_it_is_said_in_early_media_and_the_status_follows() -> None:
    call = speaking()
    assert call.hears("a") == [STATUS]
    ends(call)
    outcome = call.script.outcome
    assert (outcome.code, outcome.cause, outcome.caller_answered) == (403, "not-permitted", False)
    assert outcome.talk_began_s is None and outcome.evidence == [] and outcome.recording == "not-asked"


def test_a_phone_that_gives_up_before_the_end_is_let_go() -> None:
    call = speaking()
    call.feed(p.LegDown("a", 487))
    call.finish()
    assert (call.script.outcome.code, call.script.outcome.cause) == (487, "cancelled")
    assert "Hangup" not in kinds(call.all)


@pytest.mark.parametrize(
    "event",
    [
        p.PlayFailed("a", 1, "no such file"),
        p.PlayEnded("a", 1, 10, False),
        acts.HangUp(503, "An emergency call needs the line", spoken=False, why=preemption.CAUSE),
        acts.HangUp(503, "The server is being stopped", spoken=False),
        acts.HangUp(403, "Device revoked", spoken=False, why="revoked"),
    ],
    ids=["prompt", "unheard", "emergency", "stop", "revoked"],
)
def test_whatever_ends_it_the_status_is_that_of_the_refusal(event: Any) -> None:
    call = speaking()
    assert call.feed(event) == [STATUS]
    ends(call)
    assert call.script.outcome.cause == "not-permitted"


def test_audio_that_does_not_come_up_is_not_waited_for_long() -> None:
    call = Call(refused())
    call.feed(p.Incoming("a", "x"))
    assert call.wait.seconds == pytest.approx(2.0)
    assert call.time_passes() == [STATUS]
    ends(call)


def test_a_prompt_that_never_ends_does_not_hold_the_worker() -> None:
    call = speaking()
    assert call.wait.seconds == pytest.approx(9.0, abs=0.1)
    assert call.time_passes() == [STATUS]
    ends(call)


def test_keys_and_requests_for_transfers_are_nobodys_business() -> None:
    call = speaking()
    for event in (p.Digit("a", "2", 100), p.Digit("a", "*", 200), p.LegNetwork("a", "private", "public", True, True)):
        assert call.feed(event) == []
    assert call.hears("a") == [STATUS]


def test_a_worker_that_dies_is_noticed_as_such() -> None:
    call = speaking()
    call.feed(p.WorkerGone())
    call.finish()
    assert call.script.outcome.cause == "engine-lost"


def test_an_invite_that_never_comes_leaves_nothing() -> None:
    call = Call(refused())
    call.time_passes()
    call.finish()
    assert kinds(call.all) == ["Leave"]
