"""The ceiling of a call: a spoken warning before it, the cut at it, and one that changes while the call goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sip.calls import acts
from sip.calls.plan import Ceiling, LineKind, PromptFile, Stage, TrunkTarget
from sip.worker import protocol as p
from tests.sip.calls.drive import CALLEE, Call, plan

pytestmark = pytest.mark.promise("P13")

SPOKEN = {
    (each, "fr"): PromptFile(each, "1", "fr", "ab" * 32, Path(f"/prompts/{each}.wav"), 2000)
    for each in ("PROMPT_CEILING", "PROMPT_CEILING_END")
}


def outside(ceiling: Ceiling | None = None, *, of_way: Ceiling | None = None, emergency: bool = False) -> Call:
    """A member of staff talks to somebody outside."""
    way = TrunkTarget("b0", "t1", "+33123456789", "+33100000001", "", srtp=False, ceiling=of_way)
    made = replace(
        plan("REC_NONE", None, kind=LineKind.RING),
        stages=(Stage((way,), 60.0, CALLEE),),
        direction="outbound",
        staff=frozenset({"a"}),
        prompts=SPOKEN,
        ceiling=ceiling,
        emergency=emergency,
    )
    call = Call(made)
    call.feed(p.Incoming("a", "x"))
    call.feed(p.LegRinging("b0", 180, False), p.LegUp("b0"), p.LegMedia("b0", True))
    call.feed(p.LegUp("a"), p.LegMedia("a", True))
    assert call.script.talking
    return call


def spoken(did: list[Any]) -> list[str]:
    return [f"{act.leg} {Path(act.path).stem}" for act in did if isinstance(act, p.Play)]


def talks_s(call: Call) -> float:
    began_s = call.script.outcome.talk_began_s
    assert began_s is not None
    return call.now_s - began_s


def test_staff_are_warned_and_then_the_call_is_cut() -> None:
    call = outside(Ceiling(120.0, (60.0,)))
    assert spoken(call.time_passes()) == ["a PROMPT_CEILING"]
    assert 59 < talks_s(call) < 62
    call.hears()
    call.time_passes()
    assert 119 < talks_s(call) < 122
    call.finish()
    assert call.script.outcome.cause == "ceiling"


def test_the_tighter_of_call_and_way_holds() -> None:
    call = outside(Ceiling(500.0), of_way=Ceiling(30.0))
    call.time_passes()
    assert 29 < talks_s(call) < 32
    call.finish()
    assert call.script.outcome.cause == "ceiling"


def test_a_new_ceiling_takes_the_place_of_the_old() -> None:
    call = outside(Ceiling(600.0, (60.0,)))
    call.feed(acts.NewCeiling(Ceiling(20.0, (10.0,))))
    assert spoken(call.time_passes()) == ["a PROMPT_CEILING"]
    assert 9 < talks_s(call) < 12
    call.feed(acts.NewCeiling(None))
    call.hears()
    assert call.wait.seconds is not None and call.wait.seconds > 1000, "only the longest call is in the way now"


def test_a_ceiling_that_is_reached_already_cuts_at_once() -> None:
    call = outside()
    call.feed(acts.NewCeiling(Ceiling(0.0)))
    call.time_passes()
    call.finish()
    assert call.script.outcome.cause == "ceiling"


@pytest.mark.promise("P12")
def test_nothing_cuts_an_emergency_call() -> None:
    call = outside(Ceiling(1.0), emergency=True)
    call.feed(acts.NewCeiling(Ceiling(0.0)))
    assert call.wait.seconds is None
