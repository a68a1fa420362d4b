"""Recording, as the script of a call sees it: who is asked, what runs, what is kept, what somebody objects to.

There is one recording for each composition of parties. When somebody joins, the running one ends and is kept; once the
new party has been asked another begins. So no recording holds a leg that was not asked, and an objection destroys all
recordings that the objector is heard on. Hold and pause let silence flow into the same recording: a gap, noted.
"""

from __future__ import annotations

from retention.recording_decision import LegConsent
from sip.calls import asking
from sip.calls.acts import (
    DestroyRecording,
    Gap,
    Happening,
    Note,
    RecordingCut,
    RecordingDestroyed,
    RecordingFailed,
    RecordingStarted,
    StartRecording,
    StopRecording,
    TimedOut,
)
from sip.calls.core import Core, Ended, Left, Step
from sip.calls.plan import Evidence
from sip.worker import protocol as p

MAX_GAPS = 500  # of one recording
RECORDER_S = 3.0  # from the last consent to a running capture
MUST = "This call must be recorded and cannot be"


class Captures:
    """The recordings of one call."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.wanted = core.plan.recording.record and not core.plan.private
        # Some statutes leave no choice: a call that is not recorded may not go on.
        self.must = self.wanted and any(terms.on_refusal == "end_call" for terms in core.plan.recording.legs)
        self.running = False  # asked for, and not ended
        self._began_s: float | None = None  # the capture runs since then
        self._legs: tuple[str, ...] = ()  # of the one that runs
        self._kept: list[tuple[str, ...]] = []  # legs of those that were kept: they can still be objected to
        self._silent = ""  # why silence flows: "hold", "pause"; "" if it does not
        self._silent_since_s = 0.0
        self._gaps: list[Gap] = []
        core.hooks.append(self._note)

    # --- asking -----------------------------------------------------------------------------------

    def asks(self, leg: str) -> bool:
        """Whether this leg hears something before it is recorded."""
        terms = self._core.terms_of(leg)
        return self.wanted and terms is not None and terms.prompt_id is not None

    def ask(self, leg: str) -> Step[None]:
        """Ask (or tell) one leg; afterwards ``wanted`` says whether a recording is still wanted."""
        if not self.wanted:
            return
        terms = self._core.terms_of(leg)
        if terms is None:
            self.wanted = False  # nobody has said on which terms
            return
        try:
            verdict = yield from asking.ask(self, leg, terms)
        except Left:
            self._say_how("hung-up")
            yield from self._write(self.evidence(leg, terms, "hangup", "", 0))
            raise
        if verdict.evidence is not None:
            yield from self._write(verdict.evidence)
        if verdict.accepted:
            return
        self.wanted = False
        self._say_how(verdict.why)
        if terms.on_refusal == "end_call":
            raise Ended(603, "recording-refused", "Recording refused", told=verdict.told and leg == "a")

    def evidence(self, leg: str, terms: LegConsent | None, act: str, key: str, media_ms: int) -> Evidence:
        """An act of consent on this leg, with the prompt that it answers."""
        language = terms.language if terms is not None else self._core.language(leg)
        asked = terms.prompt_id if terms is not None else None
        prompt = self._core.prompt(asked, language)
        if prompt is None:  # none was needed, or there is no such file: the entry still names what should have been
            return Evidence(leg, act, asked or "", "", "", language, key, media_ms)
        return Evidence(leg, act, prompt.prompt_id, prompt.version, prompt.sha256, prompt.language, key, media_ms)

    def _write(self, evidence: Evidence) -> Step[None]:
        self._core.outcome.evidence.append(evidence)
        yield Note(evidence)

    # --- for the dialogue of consent (sip.calls.asking) -------------------------------------------

    @property
    def now_s(self) -> float:
        return self._core.now_s

    def next(self, seconds: float | None) -> Step[Happening]:
        return (yield from self._core.next(seconds))

    def begin_saying(self, leg: str, prompt_id: str) -> Step[int | None]:
        return (yield from self._core.begin_saying(leg, prompt_id))

    def seconds_of(self, leg: str, prompt_id: str) -> float:
        return self._core.seconds_of(leg, prompt_id)

    def objection_elsewhere(self, leg: str, event: Happening) -> Step[bool]:
        """Whether somebody else than ``leg``, from outside, has objected while it is being asked; if so that is dealt
        with."""
        if not isinstance(event, p.Digit) or event.leg == leg or not self.objects(event.leg, event.digit):
            return False
        if event.leg in self._core.staff:
            return False
        yield from self.object(event.leg, event.digit, event.media_ms)
        return True

    # --- running ----------------------------------------------------------------------------------

    def start(self, first: str, second: str) -> Step[None]:
        """Begin, and wait for it only where the pack lets nobody speak unrecorded."""
        if not self.wanted or self.running:
            return
        yield StartRecording(first, second)
        self.running, self._began_s = True, None
        self._legs = tuple(leg for leg in (first, second) if leg)
        self._gaps = []
        self._say_how("failed")  # until it has begun
        if not self.must:
            return
        until_s = self._core.now_s + RECORDER_S
        while self.running and self._began_s is None:
            event = yield from self._core.next(until_s - self._core.now_s)
            if isinstance(event, TimedOut):
                self._none("failed")
        if not self.running:
            raise Ended(503, "recording-failed", MUST)

    def keep(self) -> Step[None]:
        """End what runs, and keep it."""
        if self.running:
            self.running = False
            if self._began_s is not None:
                self._kept.append(self._legs)
            yield StopRecording(self._close_gap())

    def silence(self, why: str) -> Step[None]:
        """Let silence flow, because of a "hold" or a "pause"; "" when there is sound again."""
        if why == self._silent:
            return
        was, since_s = self._silent, self._silent_since_s
        self._silent, self._silent_since_s = why, self._core.now_s
        if not self.running or self._began_s is None:
            return
        if was:
            self._add_gap(since_s, was)
        if bool(was) != bool(why):
            yield p.PauseCapture(bool(why))

    def _add_gap(self, since_s: float, why: str) -> None:
        """Whoever holds and resumes all day long fills no table: the last gap grows then."""
        assert self._began_s is not None
        began_ms = round(1000 * max(0.0, since_s - self._began_s))
        ended_ms = round(1000 * (self._core.now_s - self._began_s))
        if len(self._gaps) >= MAX_GAPS:
            began_ms, _, why = self._gaps.pop()
        if ended_ms > began_ms:
            self._gaps.append((began_ms, ended_ms, why))

    def _close_gap(self) -> tuple[Gap, ...]:
        if self._silent and self._began_s is not None:
            self._add_gap(self._silent_since_s, self._silent)
        return tuple(self._gaps)

    # --- objecting --------------------------------------------------------------------------------

    def concerns(self, leg: str) -> bool:
        """Whether something of this leg is, will be or was recorded."""
        return self.wanted or self.running or any(leg in legs for legs in self._kept)

    def objects(self, leg: str, digit: str) -> bool:
        """Whether this key is an objection (docs/architecture.md, "Keys"). Staff press it after a star."""
        return digit == self._core.plan.recording.objection_key and self.concerns(leg)

    def object(self, leg: str, key: str, media_ms: int, *, private: bool = False) -> Step[None]:
        """Somebody objects: no recording from now on, and what was kept of them goes."""
        self.wanted = False
        self._core.outcome.recording = "objected"
        terms = self._core.terms_of(leg)
        yield from self._write(self.evidence(leg, terms, "objection", key, media_ms))
        heard_on = self.running or any(leg in legs for legs in self._kept)
        if heard_on:
            running, self.running = self.running, False
            if private or self._core.plan.recording.destroy_on_objection:
                self._kept = [legs for legs in self._kept if leg not in legs]
                yield DestroyRecording(leg)
            elif running:
                self._kept.append(self._legs)
                yield StopRecording(self._close_gap())
        if terms is not None and terms.on_refusal == "end_call" and not private:
            raise Ended(603, "recording-refused", "Recording refused")
        if not heard_on and not private:
            yield from self._core.begin_saying(leg, "PROMPT_REFUSED")

    def _say_that_it_is_gone(self) -> Step[None]:
        """To all who are there, and not before it is so."""
        for leg in sorted(self._core.needed):
            if self._core.up(leg):
                yield from self._core.begin_saying(leg, "PROMPT_STOPPED")

    # --- what happens to them ---------------------------------------------------------------------

    def _note(self, event: Happening) -> Step[None]:
        match event:
            case RecordingStarted() if self.running and self._began_s is None:
                self._began_s = self._core.now_s
                self._core.outcome.recording = "recorded"
                if self._silent:
                    self._silent_since_s = self._core.now_s
                    yield p.PauseCapture(True)
            case RecordingFailed():
                self._none("failed")
            case RecordingDestroyed():
                yield from self._say_that_it_is_gone()
            case RecordingCut() if self.running:
                self._none("cut")
                self._kept.append(self._legs)
                yield StopRecording(self._close_gap())
                if self.must:
                    raise Ended(503, "recording-failed", MUST)

    def _none(self, why: str) -> None:
        """There is none, or no more."""
        if self.running and self._core.outcome.recording in ("recorded", "failed", "not-asked"):
            self._core.outcome.recording = why
        self.running = self.wanted = False

    def _say_how(self, why: str) -> None:
        """What the call's record says of its recording: of several, that one was kept."""
        if not self._kept:
            self._core.outcome.recording = why
