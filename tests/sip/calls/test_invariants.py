"""What holds whatever happens, in whatever order: a model of a worker feeds the script, and looks at what it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.consent import ConsentMode
from retention.recording_decision import LegConsent
from sip.calls import acts
from sip.calls.plan import CallPlan, Ceiling, Joining, LineKind, Party, PromptFile, Stage, Target, TrunkTarget
from sip.worker import protocol as p
from tests.sip.calls.drive import CALLEE, Call, plan

CAROL = Party("e" * 32, "103", "Carol", "fr", "FR")
JOIN = PromptFile("PROMPT_STAFF", "1", "fr", "cd" * 32, Path("/prompts/PROMPT_STAFF.wav"), 2000)
YES = ("key1", "heard", "statute")
ENGINE_LEGS = 4


def forwarded(**changes: Any) -> CallPlan:
    after = frozenset({"busy", "no-answer", "not-available", "trunk-failed"})
    stages = (
        Stage((Target("b0", ("bob-1",), True), Target("b1", ("bob-2",), False)), 20, CALLEE),
        Stage((TrunkTarget("b2", "t1", "+331", "101", "", False),), 20, CALLEE, 0, after),
        Stage((TrunkTarget("b3", "t2", "+331", "101", "", False, ceiling=Ceiling(50)),), 20, CALLEE, 1, after),
    )
    return replace(plan(), stages=stages, music=Path("/m.wav"), **changes)


PLANS = [
    forwarded(),
    forwarded(ceiling=Ceiling(100, (30, 10))),
    forwarded(),
    forwarded(staff=frozenset({"a"})),
    replace(plan("REC_MIFID", None, statute="x"), music=Path("/m.wav")),
    replace(plan("REC_EMERGENCY", None, statute="x"), emergency=True),
    plan(consent=None),
    plan("REC_NONE", None),
    plan(kind=LineKind.ECHO),
    replace(plan("REC_NONE", None), kind=LineKind.SERVICE, service="PROMPT_STOPPED"),
]
OWN = Stage((Target("a0", ("x",), False),), 20, CALLEE)
PLANS[2] = replace(
    PLANS[0], originated=True, stages=(OWN, *(replace(each, parent=each.parent + 1) for each in PLANS[0].stages))
)

# What may happen next. "leg" is the number of a leg among those that are there then.
HAPPENINGS = [
    *["go on"] * 25, *["code"] * 2, "objection",
    *["up"] * 4, *["media"] * 2, "hold", "resume", "ring", "early", "down", "refuse", *["digit"] * 4, *["heard"] * 3,
    "unheard", *["timeout"] * 2, *["started"] * 2, "failed", "cut", "destroyed", "gone", *["transfer"] * 2, "attended",
    "relay", "pickup", *["incoming"] * 2, "pause", "ceiling", "hangup",
]  # fmt: skip
EVENTS = st.tuples(
    st.sampled_from(HAPPENINGS),
    st.integers(0, 7),
    st.sampled_from("0125789*#**"),
    st.booleans(),
)


class World:
    """A worker, as far as it matters here: which legs there are, and what each may still do."""

    def __init__(self, call_plan: CallPlan) -> None:
        self.call = Call(call_plan)
        self.live: dict[str, str] = {}  # leg -> asked, up
        self.expected: list[str] = [] if call_plan.originated else ["a"]
        self.joinings = 0
        self.names = 0
        self.failed = False  # a recording has, by itself
        self._heard = 0  # prompt that was heard last
        self._seen = 0
        self.look()

    def look(self) -> None:
        """Take over what the script did, and check what must hold at once."""
        for act in self.call.all[self._seen :]:
            if isinstance(act, p.Dial):
                assert act.leg not in self.live
                self.live[act.leg] = "asked"
                assert len(self.live) <= ENGINE_LEGS + 1, "a leg more than the engine has, and one on its way out"
        self._seen = len(self.call.all)

    def feed(self, *events: Any) -> None:
        for event in events:
            if not self.call.over:
                self.call.feed(event)
                self.look()

    def happens(self, what: str, number: int, digit: str, yes: bool) -> None:
        call = self.call
        legs = sorted(self.live)
        leg = legs[number % len(legs)] if legs else ""
        match what:
            case "go on":
                self._go_on()
            case "timeout":
                self._time_passes()
            case "incoming" if self.expected and len(self.live) < ENGINE_LEGS:
                name = self.expected.pop(0)
                self.live[name] = "asked"
                self.feed(p.Incoming(name, "x"))
            case "up" if leg and self.live[leg] == "asked":
                self.live[leg] = "up"
                self.feed(p.LegUp(leg), p.LegMedia(leg, True))
            case "media" | "hold" | "resume" if leg and self.live[leg] == "up":
                self.feed(p.LegMedia(leg, what != "media" or yes, held=what == "hold"))
            case "ring" | "early" if leg and self.live[leg] == "asked":
                self.feed(p.LegRinging(leg, 183, what == "early"))
            case "down" | "refuse" if leg:
                del self.live[leg]
                self.feed(p.LegDown(leg, 200 if what == "down" else (486, 503, 408, 404, 480, 603)[number % 6]))
            case "digit" if leg and self.live[leg] == "up":
                self.feed(p.Digit(leg, digit, 1000))
            case "code" if (staff := [each for each in legs if each in call.script.core.staff]) and call.script.talking:
                at = staff[number % len(staff)]
                self.feed(p.Digit(at, "*", 1000), p.Digit(at, digit, 1000))
            case "objection" if leg and self.live[leg] == "up":
                self.feed(p.Digit(leg, "2", 1000))
            case "heard" | "unheard" if any(isinstance(act, p.Play) for act in call.all):
                play = next(act for act in reversed(call.all) if isinstance(act, p.Play))
                self.feed(p.PlayEnded(play.leg, play.play_id, 2000, what == "heard"))
            case "started":
                self.feed(acts.RecordingStarted())
            case "failed":
                self.failed = True
                self.feed(acts.RecordingFailed("x"))
            case "cut":
                self.feed(acts.RecordingCut("x"))
            case "destroyed":
                self.feed(acts.RecordingDestroyed())
            case "transfer" | "attended":
                self._transfer(what == "attended", yes, number)
            case "relay" if call.script.talking and call.script.far is not None:
                self.names += 1
                self.expected.append(f"j{self.names}")
                leaves = call.script.near if yes else call.script.far
                self.feed(acts.BecomeRelay(leaves, f"j{self.names}", CAROL, lingers=yes))
            case "pickup" if call.script.may_be_picked_up:
                self.names += 1
                self.expected.append(f"p{self.names}")
                self.feed(acts.PickUp(f"p{self.names}", CAROL))
            case "pause":
                self.feed(acts.Pause(yes))
            case "ceiling":
                self.feed(acts.NewCeiling(Ceiling(30, (10,)) if yes else None))
            case "hangup" if number == 0:
                self.feed(acts.HangUp(480, "x", spoken=yes))
            case "gone" if number == 0:
                self.live.clear()
                self.feed(p.WorkerGone())

    def _time_passes(self) -> None:
        """A leg that was told to end does so before anything else: a worker answers within milliseconds."""
        told = {act.leg for act in self.call.all if isinstance(act, p.Hangup)}
        leaving = [leg for leg in self.live if leg in told]
        if leaving:
            del self.live[leaving[0]]
            self.feed(p.LegDown(leaving[0], 487))
        elif self.call.wait.seconds is not None:
            self.call.time_passes()
            self.look()

    def _go_on(self) -> None:
        """What most likely happens next, where everything goes well."""
        asked = [leg for leg, state in self.live.items() if state == "asked"]
        plays = [act for act in self.call.all if isinstance(act, p.Play)]
        if self.expected and len(self.live) < ENGINE_LEGS:
            self.happens("incoming", 0, "", True)
        elif plays and not self.call.script.talking and plays[-1].play_id != self._heard:
            self._heard = plays[-1].play_id
            self.happens("heard", 0, "", True)
        elif answers := [act.leg for act in self.call.all if isinstance(act, p.Answer) and act.code == 200]:
            up = [leg for leg in asked if leg in answers or leg not in ("a", *(x for x in asked if x[0] in "pj"))]
            self._answer(up or asked)
        else:
            self._answer([leg for leg in asked if leg != "a"])
        if isinstance(self.call.all[-1], acts.StartRecording):
            self.feed(acts.RecordingStarted())

    def _answer(self, legs: list[str]) -> None:
        if legs:
            self.happens("up", sorted(self.live).index(legs[0]), "", True)

    def _transfer(self, attended: bool, asks: bool, number: int) -> None:
        """As call control does it: only while they talk, and under a letter of its own. Whoever leaves may be one that
        has joined before, by a leg to another worker."""
        script = self.call.script
        if not script.talking or script.far is None or script.joinings.relaying or self.joinings > 3:
            return
        letter = "cdef"[self.joinings]
        self.joinings += 1
        asked = (LegConsent(letter, ConsentMode.ANNOUNCE, "PROMPT_STAFF", "fr", "record", "continue"),) if asks else ()
        stages = () if attended else (Stage((Target(f"{letter}0", ("c",), False),), 20, CAROL),)
        joining = Joining(stages, CAROL, asked, {("PROMPT_STAFF", "fr"): JOIN}, "minimal")
        self.names += 1
        joint = f"j{self.names}" if attended else ""
        leaves = script.near if number % 4 == 0 else script.far
        elsewhere = attended and number % 3 == 0
        self.feed(acts.Transfer(leaves, joining, joint=joint, joint_staff=number % 2 == 0, elsewhere=elsewhere))

    def end(self) -> None:
        """Everybody hangs up when told, and time passes."""
        for _ in range(300):
            if self.call.over:
                return
            if self.call.wait.seconds is None or self.call.wait.seconds > 10000:
                self.feed(acts.HangUp(480, "the end"))
            else:
                self._time_passes()
        pytest.fail("the script hangs")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLANS), st.lists(EVENTS, max_size=60))
def test_whatever_happens(call_plan: CallPlan, events: list[tuple[str, int, str, bool]]) -> None:
    world = World(call_plan)
    world.happens("incoming", 0, "", True)
    for event in events:
        if world.call.over:
            break
        world.happens(*event)
    world.end()
    call = world.call
    ends_once_and_last(call.all)
    every_leg_that_is_there_was_hung_up(world)
    nobody_is_recorded_who_was_not_asked(call.all)
    every_recording_ends(world)
    silence_is_paired(call.all)
    every_transfer_is_told_once(call.all)


def every_transfer_is_told_once(did: list[Any]) -> None:
    """100 and then one last word, or nothing more to somebody who has gone; never two at once."""
    told = [act for act in did if isinstance(act, p.Notify)]
    assert all(act.final == (act.code >= 200) for act in told)
    for one, other in zip(told, told[1:], strict=False):
        assert other.code == 100 or (one.code == 100 and one.leg == other.leg), told


def ends_once_and_last(did: list[Any]) -> None:
    assert [type(act).__name__ for act in did].count("Leave") == 1 and isinstance(did[-1], p.Leave)


def every_leg_that_is_there_was_hung_up(world: World) -> None:
    told = {act.leg for act in world.call.all if isinstance(act, p.Hangup)}
    assert set(world.live) <= told, "nobody is left on a line that is dead"


def nobody_is_recorded_who_was_not_asked(did: list[Any]) -> None:
    yes: dict[str, bool] = {}
    bridged: set[frozenset[str]] = set()
    for act in did:
        match act:
            case acts.Note(evidence=evidence):
                yes[evidence.leg] = evidence.act in YES
            case acts.StartRecording(first=first, second=second):
                captured = [leg for leg in (first, second) if leg]
                assert all(yes.get(leg) for leg in captured), (captured, yes)
            case p.Bridge(a=a, b=b, on=True):
                bridged.add(frozenset((a, b)))


def every_recording_ends(world: World) -> None:
    running = False
    for act in world.call.all:
        match act:
            case acts.StartRecording():
                assert not running, "one at a time"
                running = True
            case acts.StopRecording(gaps=gaps):
                running = False
                assert all(start < end for start, end, _ in gaps)
                assert all(one[1] <= other[0] for one, other in zip(gaps, gaps[1:], strict=False))
            case acts.DestroyRecording():
                running = False
    assert not running or world.failed or world.call.script.outcome.recording == "failed"


def silence_is_paired(did: list[Any]) -> None:
    """Within one recording, silence is switched on and off in turn."""
    on = False
    for act in did:
        match act:
            case acts.StartRecording() | acts.StopRecording() | acts.DestroyRecording():
                on = False
            case p.PauseCapture(on=silent):
                assert silent != on
                on = silent


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b0"]), st.sampled_from("*278"), st.booleans()), max_size=20))
def test_a_code_of_staff_is_never_sent_on(presses: list[tuple[str, str, bool]]) -> None:
    """b0 is staff, a is not: whatever a presses besides, of b0's complete codes nothing arrives."""
    call = Call(plan("REC_NONE", None))
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True), p.LegUp("a"), p.LegMedia("a", True))
    expected, pending, private = "", False, False
    for leg, key, late in presses:
        if pending and late:
            call.time_passes()  # the star alone
            expected, pending = expected + "*", False
        call.now_s += 0.1  # twenty of them are less than the three seconds of a code
        call.feed(p.Digit(leg, key, 1))
        if leg != "b0":
            continue
        codes = "" if private else "8"
        if pending and key in codes:
            pending, private = False, True
        elif key == "*" and codes:
            expected, pending = expected + ("*" if pending else ""), True
        else:
            expected, pending = expected + ("*" if pending else "") + key, False
    arrived = "".join(act.digit for act in call.all if isinstance(act, p.SendDigit) and act.leg == "a")
    assert arrived == expected
