"""Drives the script of a call event by event: no socket, no clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retention.consent import ConsentMode
from retention.recording_decision import CompanyFacts, LinePolicy, decide
from retention.recording_decision import Party as PolicyParty
from sip.calls import acts
from sip.calls.plan import CallPlan, LineKind, Party, PromptFile, Stage, Target
from sip.calls.script import Script
from sip.worker import protocol as p

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"))
CALLEE = Party(None, "200", "recorded", "fr", "FR")
PROMPTS = [
    "PROMPT_OPTIN",
    "PROMPT_OPTOUT_QUALITY",
    "PROMPT_MIFID",
    "PROMPT_STAFF",
    "PROMPT_LONG",
    "PROMPT_REFUSED",
    "PROMPT_TIMEOUT",
    "PROMPT_STOPPED",
    "PROMPT_MUST_END",
    "PROMPT_BUSY",
    "PROMPT_NO_ANSWER",
    "PROMPT_NOT_AVAILABLE",
    "PROMPT_DECLINED",
    "PROMPT_UNKNOWN",
    "PROMPT_ERROR",
    "PROMPT_ECHO",
]


def plan(
    pack: str = "REC_QUALITY",
    consent: ConsentMode | None = ConsentMode.OPT_IN,
    *,
    statute: str = "",
    kind: LineKind = LineKind.RING,
    without: frozenset[str] = frozenset(),
    targets: tuple[Target, ...] = (Target("b0", ("bob-1",), True), Target("b1", ("bob-2",), False)),
) -> CallPlan:
    line = LinePolicy(pack, consent, statute)
    parties = [PolicyParty("a", "outside", "FR")]
    if kind is LineKind.RING:
        parties.append(PolicyParty("b", "staff", "FR"))
    prompts = {
        (each, "fr"): PromptFile(each, "1", "fr", "ab" * 32, Path(f"/prompts/{each}.wav"), 2000)
        for each in PROMPTS
        if each not in without
    }
    return CallPlan(
        call_id="0" * 32,
        line_id="1" * 32,
        kind=kind,
        caller=Party("c" * 32, "101", "Alice", "fr", "FR"),
        callee=CALLEE,
        stages=(Stage(targets, 60.0, CALLEE),) if kind is LineKind.RING else (),
        recording=decide(line, parties, COMPANY, NOW),
        metadata_class="minimal",
        prompts=prompts,
    )


class Call:
    """Drives a script: feeds it events, keeps what it does."""

    def __init__(self, call_plan: CallPlan) -> None:
        self.now_s = 100.0
        self.script = Script(call_plan, self.now_s)
        self.did: list[Any] = []  # acts since the last look
        self.all: list[Any] = []
        self.over = False
        self._generator: Generator[Any, Any, Any] = self.script.run()
        self._step(lambda: next(self._generator))

    def _step(self, resume: Callable[[], Any]) -> None:
        try:
            act = resume()
            while not isinstance(act, acts.Wait):
                self.did.append(act)
                self.all.append(act)
                act = self._generator.send(None)
            self.wait = act
        except StopIteration:
            self.over = True

    def feed(self, *events: Any) -> list[Any]:
        """What the script does on these events."""
        self.did = []
        for event in events:
            assert not self.over, f"the script is over before {event}"
            self.now_s += 0.01
            self._step(lambda event=event: self._generator.send((event, self.now_s)))
        return self.did

    def time_passes(self) -> list[Any]:
        """Until what the script waits for at most."""
        assert self.wait.seconds is not None, "waits for ever"
        self.now_s += self.wait.seconds
        return self.feed(acts.TimedOut())

    def play_id(self) -> int:
        return next(act.play_id for act in reversed(self.all) if isinstance(act, p.Play))

    def playing(self) -> str:
        return next(Path(act.path).stem for act in reversed(self.all) if isinstance(act, p.Play))

    def hears(self, leg: str = "a") -> list[Any]:
        """The leg has heard the prompt that is being played."""
        return self.feed(p.PlayEnded(leg, self.play_id(), 2000, True))

    def finish(self) -> None:
        """Let time pass until the script has ended."""
        for _ in range(200):
            if self.over:
                return
            self.time_passes()
        pytest.fail("the script hangs")


def kinds(did: list[Any]) -> list[str]:
    return [type(act).__name__ for act in did]


def asked(call_plan: CallPlan) -> Call:
    """A call whose caller has been answered and hears the question."""
    call = Call(call_plan)
    assert kinds(call.feed(p.Incoming("a", "x"))) == ["Answer"]
    call.feed(p.LegUp("a"), p.LegMedia("a", True))
    return call


def accepted(call_plan: CallPlan) -> Call:
    """The caller has said yes, the callee has answered and was told."""
    call = asked(call_plan)
    call.feed(p.Digit("a", "1", 900))
    call.feed(p.LegRinging("b0", 180, False), p.LegUp("b0"), p.LegMedia("b0", True))
    call.hears("b0")
    return call
