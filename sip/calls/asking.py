"""Asking one leg: runs the pure dialogue of consent (``retention.consent_dialogue``) inside the script of a call.

It plays what the dialogue wants played, tells it what happened on that leg, and brings its answer back as evidence.
Keys on any other leg are no answer; an objection there ends the asking.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from retention import consent_dialogue as dialogue
from retention.recording_decision import LegConsent
from sip.calls.acts import Act, Happening, TimedOut
from sip.calls.plan import Evidence
from sip.worker import protocol as p

PLAY_MARGIN_S = 10.0  # beyond a prompt's own length before it counts as failed

T = TypeVar("T")
Step = Generator[Act, tuple[Happening, float] | None, T]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of asking. ``why`` is one of the words of ``Outcome.recording``."""

    accepted: bool
    why: str
    evidence: Evidence | None  # None: already noted
    told: bool  # the last words have been said on the leg


class Asker(Protocol):
    """What is needed of the script."""

    @property
    def now_s(self) -> float: ...

    def next(self, seconds: float | None) -> Step[Happening]: ...

    def begin_saying(self, leg: str, prompt_id: str) -> Step[int | None]: ...

    def seconds_of(self, leg: str, prompt_id: str) -> float: ...

    def objection_elsewhere(self, leg: str, event: Happening) -> Step[bool]: ...

    def evidence(self, leg: str, terms: LegConsent | None, act: str, key: str, media_ms: int) -> Evidence: ...


@dataclass
class _Going:
    """What is being played or waited for."""

    turn: int = 0
    play_id: int | None = None
    until_s: float | None = None


def ask(script: Asker, leg: str, terms: LegConsent) -> Step[Verdict]:
    """Run the dialogue to its end. Raises what the script raises when the leg or the call ends meanwhile."""
    state, commands = dialogue.begin(terms)
    going = _Going()
    media_ms = 0
    decided_ms = 0
    while True:
        failed = yield from _carry_out(script, leg, commands, going)
        if state.finished:
            break
        if failed:
            happened: dialogue.Event | None = dialogue.PromptFailed(going.turn)
        else:
            left_s = None if going.until_s is None else going.until_s - script.now_s
            event = yield from script.next(left_s)
            if (yield from script.objection_elsewhere(leg, event)):
                return Verdict(False, "objected", None, told=True)
            media_ms = getattr(event, "media_ms", media_ms) if getattr(event, "leg", None) == leg else media_ms
            happened = _translate(event, leg, going)
        commands = ()
        if happened is not None:
            undecided = state.result is None
            state, commands = dialogue.step(state, happened)
            if undecided and state.result is not None:
                decided_ms = media_ms
    yield p.StopPlay(leg)
    result = state.result
    assert result is not None
    evidence = script.evidence(leg, terms, result.act, result.key, decided_ms)
    why = {dialogue.Outcome.REFUSED: "refused", dialogue.Outcome.SILENT: "silent"}.get(result.outcome, "failed")
    return Verdict(result.accepted, why, evidence, told=result.end_call)


def _carry_out(script: Asker, leg: str, commands: tuple[dialogue.Command, ...], going: _Going) -> Step[bool]:
    """True if a prompt could not even be begun."""
    for command in commands:
        going.turn = command.turn
        match command:
            case dialogue.Play(prompt_id=prompt_id):
                going.play_id = yield from script.begin_saying(leg, prompt_id)
                if going.play_id is None:
                    return True
                going.until_s = script.now_s + script.seconds_of(leg, prompt_id) + PLAY_MARGIN_S
            case dialogue.Wait(seconds=seconds):
                yield p.StopPlay(leg)
                going.play_id = None
                going.until_s = script.now_s + seconds
    return False


def _translate(event: Happening, leg: str, going: _Going) -> dialogue.Event | None:
    match event:
        case p.PlayEnded(play_id=play_id, heard=heard) if play_id == going.play_id:
            return dialogue.PromptEnded(going.turn) if heard else dialogue.PromptFailed(going.turn)
        case p.PlayFailed(play_id=play_id) if play_id == going.play_id:
            return dialogue.PromptFailed(going.turn)
        case p.Digit(leg=pressed_on, digit=digit) if pressed_on == leg:
            return dialogue.Key(digit)
        case TimedOut() if going.play_id is None:
            return dialogue.TimedOut(going.turn)
        case TimedOut():
            return dialogue.PromptFailed(going.turn)
        case _:
            return None
