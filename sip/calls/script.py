"""The script of a call: what happens, in the order it happens.

``Script.run`` is a generator that owns no socket and no clock. It yields acts (``sip.calls.acts.Act``), and for each
``Wait`` it is sent ``(event, now_s)``: what happened, and when on a monotonic clock. So it can be read from top to
bottom like the call itself, and tested event by event without one. Call control (``sip.calls.control``) carries the
acts out.

Rules it keeps (docs/architecture.md, "Consent"): nobody is captured before every leg's condition is met; what fails or
is in doubt is not recorded; once the caller's leg has been answered by a prompt, a failure is spoken and ends in a BYE
with a Reason (RFC 3326); no wait is without an end.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from retention.recording_decision import LegConsent
from sip.calls import asking
from sip.calls.acts import (
    Act,
    DestroyRecording,
    HangUp,
    Happening,
    Note,
    RecordingCut,
    RecordingDestroyed,
    RecordingFailed,
    RecordingStarted,
    StartRecording,
    StopRecording,
    TimedOut,
    Wait,
)
from sip.calls.legs import LegState, best_refusal, step
from sip.calls.plan import CallPlan, Evidence, LineKind, Outcome, PromptFile, Target, TrunkTarget
from sip.worker import protocol as p

CALLER = "a"
INVITE_S = 4.0  # from our answer to the edge to the INVITE; none comes when the engine refuses its offer
MEDIA_S = 10.0  # from our 200 to media: ACK lost, or a phone without a working network
HANGUP_S = 5.0  # from our BYE to the phone's answer
RECORDER_S = 3.0  # from the last consent to a running capture
ECHO_MAX_S = 300.0
STAFF_CODE_S = 3.0  # within which the digit after a staff member's * must come

CAUSES = {
    486: "busy",
    600: "busy",
    603: "declined",
    403: "declined",
    480: "not-available",
    408: "no-answer",
    404: "unknown",
}
FAILURE_PROMPTS = {
    "busy": "PROMPT_BUSY",
    "declined": "PROMPT_DECLINED",
    "not-available": "PROMPT_NOT_AVAILABLE",
    "no-answer": "PROMPT_NO_ANSWER",
    "unknown": "PROMPT_UNKNOWN",
    "recording-refused": "PROMPT_MUST_END",
    "recording-failed": "PROMPT_MUST_END",
}
PHRASES = {480: "Temporarily Unavailable", 486: "Busy Here", 603: "Decline", 404: "Not Found", 408: "No Answer"}

T = TypeVar("T")
Step = Generator[Act, tuple[Happening, float] | None, T]


class _CallerLeft(Exception):
    """The caller's leg is down."""


class _CalleeLeft(Exception):
    """The answered leg of the callee is down."""


class _Ended(Exception):
    """The call must end now, with this cause."""

    def __init__(self, code: int, cause: str, text: str, *, told: bool = False) -> None:
        super().__init__(cause)
        self.code, self.cause, self.text = code, cause, text
        self.told = told  # the caller has been told already


class Script:
    """One call, from its INVITE to its end. ``outcome`` says at any moment how it went so far."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self._legs: dict[str, LegState] = {CALLER: LegState.ASKED}
        self._codes: dict[str, int] = {}  # status that ended each dialled leg
        self._active_media: set[str] = set()
        self._plays = 0
        self._now_s = 0.0
        self._recording = plan.recording.record  # still wanted
        # Some statutes leave no choice: a call that is not recorded may not go on.
        self._must_record = any(terms.on_refusal == "end_call" for terms in plan.recording.legs)
        self._hung_up: set[str] = set()
        self._capturing = False
        self._cut = False  # a recording came to an early end and was kept: it can still be objected to
        self._callee: str | None = None  # the leg that answered
        self._early: str | None = None  # dialled leg whose early media the caller hears
        self._ringing_targets = plan.stages[0].targets if plan.stages else ()
        self._star_at_s: float | None = None  # a staff member has pressed * at this time

    # --- the call ---------------------------------------------------------------------------------

    def run(self) -> Step[Outcome]:
        """The whole call."""
        try:
            yield from self._wait_for_invite()
            if self.plan.kind is LineKind.ECHO:
                yield from self._echo_test()
            else:
                yield from self._call()
        except _CallerLeft:
            self._ended(*(200, "caller-hung-up") if self._talked else (487, "cancelled"))
        except _CalleeLeft:
            self._ended(200, "callee-hung-up")
        except _Ended as end:
            self._ended(end.code, end.cause)
            yield from self._stop_capture()  # what the caller is told now is no conversation any more
            yield from self._tell_caller(end)
        yield from self._stop_capture()
        yield from self._end_all_legs()
        return self.outcome

    def _call(self) -> Step[None]:
        asked_first = self._recording and self._asks(CALLER)
        if asked_first:
            yield from self._answer_caller()
            yield from self._ask(CALLER)
        yield from self._dial()
        if self._recording and not asked_first:  # nothing to be heard: noted while it rings, not before
            yield from self._ask(CALLER)
        if self._recording:
            yield from self._ask(self._require_callee())
        yield from self._connect()
        yield from self._talk()

    def _wait_for_invite(self) -> Step[None]:
        """The edge relays the caller's INVITE as soon as it has our answer."""
        event = yield from self._next(INVITE_S)
        if not isinstance(event, p.Incoming):
            self._legs[CALLER] = LegState.DOWN  # there is no leg to be ended
            raise _Ended(487, "cancelled", "")

    def _echo_test(self) -> Step[None]:
        yield from self._answer_caller()
        yield from self._say(CALLER, "PROMPT_ECHO")
        if self._recording:
            yield from self._ask(CALLER)
        self._begin_talk()
        yield p.Echo(CALLER, True)
        yield from self._start_recording("")
        until_s = self._now_s + ECHO_MAX_S
        while True:
            event = yield from self._next(until_s - self._now_s)
            if isinstance(event, TimedOut):
                raise _Ended(200, "time-limit", "The echo test ends")
            if isinstance(event, p.Digit) and self._objects(event):
                yield from self._object(event)

    # --- asking -----------------------------------------------------------------------------------

    def _terms(self, side: str) -> LegConsent | None:
        """What a side is asked. Where several may answer, the strictest of their terms holds for whoever does."""
        mine = [terms for terms in self.plan.recording.legs if terms.leg.startswith(side)]
        return max(mine, key=lambda terms: terms.mode, default=None)

    def _asks(self, side: str) -> bool:
        terms = self._terms(side)
        return terms is not None and terms.prompt_id is not None

    def _ask(self, leg: str) -> Step[None]:
        """Ask (or tell) one leg; afterwards ``_recording`` says whether a recording is still wanted."""
        terms = self._terms(leg[0])
        if terms is None:
            self._recording = False  # nobody has said on which terms
            return
        try:
            verdict = yield from asking.ask(self, leg, terms)
        except (_CallerLeft, _CalleeLeft):
            self.outcome.recording = "hung-up"
            yield from self._note(self.evidence(leg, terms, "hangup", "", 0))
            raise
        if verdict.evidence is not None:
            yield from self._note(verdict.evidence)
        if verdict.accepted:
            return
        self._recording = False
        self.outcome.recording = verdict.why
        if terms.on_refusal == "end_call":
            raise _Ended(603, "recording-refused", "Recording refused", told=verdict.told and leg == CALLER)

    def _note(self, evidence: Evidence) -> Step[None]:
        self.outcome.evidence.append(evidence)
        yield Note(evidence)

    # --- the callee -------------------------------------------------------------------------------

    def _dial(self) -> Step[None]:
        """Ring everything; come back when somebody has answered. Raises _Ended when nobody does."""
        for target in self._ringing_targets:
            yield self._dial_command(target)
            self._legs[target.leg] = LegState.ASKED
        if self.outcome.caller_answered:
            yield p.Ringback(CALLER, True)
        until_s = self._now_s + self.plan.ring_timeout_s
        while self._callee is None:
            event = yield from self._next(until_s - self._now_s)
            match event:
                case TimedOut():
                    raise _Ended(480, "no-answer", "No answer")
                case p.LegRinging(leg=leg, media=media):
                    yield from self._pass_ringing(leg, media)
                case p.LegUp(leg=leg) if leg != CALLER:
                    self._callee = leg
                case p.LegDown() if self._all_targets_down():
                    code = best_refusal(list(self._codes.values()))
                    raise _Ended(code, CAUSES.get(code, "failed"), PHRASES.get(code, "Call failed"))
                case p.Digit() if event.leg == CALLER and self._objects(event):
                    yield from self._object(event)
        self.outcome.answered_leg = self._callee
        for target in self._ringing_targets:
            if target.leg != self._callee:
                yield from self._hang_up(target.leg, 0, 0, "")
        if self._early is not None:
            yield p.Bridge(CALLER, self._early, False)  # nobody talks while somebody is still to be asked
            if self.outcome.caller_answered:
                yield p.Ringback(CALLER, True)

    def _dial_command(self, target: Target | TrunkTarget) -> p.Dial:
        if isinstance(target, TrunkTarget):
            return p.Dial(
                target.leg,
                target.number,
                f"{self.plan.call_id}-{target.leg}",
                target.from_user,
                target.from_display,
                target.srtp,
                target.ipv6,
                dict(target.headers),
            )
        caller = self.plan.caller
        hidden = self.plan.caller_hidden
        return p.Dial(
            target.leg,
            self.plan.callee.number,
            f"{self.plan.call_id}-{target.leg}",
            "anonymous" if hidden else caller.number,
            "Anonymous" if hidden else caller.display,
            target.srtp,
            target.ipv6,
        )

    def _pass_ringing(self, leg: str, media: bool) -> Step[None]:
        """Let the caller hear what the callee's side sends, as far as the caller's leg allows."""
        if media and self._early is None:
            self._early = leg
            if self.outcome.caller_answered:
                yield p.Ringback(CALLER, False)
            else:
                yield p.Answer(CALLER, 183, "Session Progress")
            yield p.Bridge(CALLER, leg)
        elif self.outcome.caller_answered:
            return
        elif self._legs[CALLER] is LegState.ASKED:
            yield p.Answer(CALLER, 180, "Ringing")
            self._legs[CALLER] = LegState.RINGING

    def _all_targets_down(self) -> bool:
        return all(self._legs[target.leg] is LegState.DOWN for target in self._ringing_targets)

    def _connect(self) -> Step[None]:
        """Both sides are there and have been asked: join them, and record if every condition is met."""
        callee = self._require_callee()
        if not self.outcome.caller_answered:
            yield from self._answer_caller()
        yield p.Ringback(CALLER, False)
        self._begin_talk()
        if self._recording and self._must_record:
            yield from self._start_recording(callee)  # the pack allows no unrecorded word
        yield p.Bridge(CALLER, callee)
        if not self._capturing:
            yield from self._start_recording(callee)

    def _talk(self) -> Step[None]:
        """The conversation, until somebody hangs up."""
        callee = self._require_callee()
        until_s = self._now_s + self.plan.max_duration_s
        while True:
            event = yield from self._next(until_s - self._now_s)
            match event:
                case TimedOut():
                    raise _Ended(200, "time-limit", "Maximum duration reached")
                case p.Digit():
                    yield from self._digit(event, callee)
                case _:
                    pass

    def _digit(self, event: p.Digit, callee: str) -> Step[None]:
        """A key pressed in conversation: an objection, a staff code, or something for the other side."""
        other = callee if event.leg == CALLER else CALLER
        if self._objects(event):
            yield from self._object(event)
        elif event.leg == callee and event.digit == "*" and (self._capturing or self._cut):
            self._star_at_s = self._now_s
        else:
            if event.leg == callee and self._star_at_s is not None:
                self._star_at_s = None
                yield p.SendDigit(other, "*")
            yield p.SendDigit(other, event.digit)

    # --- recording --------------------------------------------------------------------------------

    def _start_recording(self, callee: str) -> Step[None]:
        """Begin, and wait for it only where the pack lets nobody speak unrecorded."""
        if not self._recording:
            return
        yield StartRecording(CALLER, callee)
        self._capturing = True
        self.outcome.recording = "failed"  # until it has begun
        if not self._must_record:
            return
        until_s = self._now_s + RECORDER_S
        while self._capturing and self.outcome.recording != "recorded":
            event = yield from self._next(until_s - self._now_s)
            if isinstance(event, TimedOut):
                self._no_recording("failed")
        if not self._capturing:
            raise _Ended(503, "recording-failed", "This call must be recorded and cannot be")

    def _stop_capture(self) -> Step[None]:
        """Keep what was recorded, if anything is."""
        if self._capturing:
            self._capturing = False
            yield StopRecording()

    def _objects(self, event: p.Digit) -> bool:
        """Whether this key, on this leg, now, is an objection (docs/architecture.md, "Keys")."""
        key = self.plan.recording.objection_key
        if key is None or not (self._recording or self._cut):
            return False
        if event.leg == CALLER:
            return event.digit == key
        starred = self._star_at_s is not None and self._now_s - self._star_at_s <= STAFF_CODE_S
        return starred and event.digit == key

    def _object(self, event: p.Digit) -> Step[None]:
        """Somebody objects: no recording from now on, and what was kept goes."""
        self._star_at_s = None
        self._recording = False
        self.outcome.recording = "objected"
        terms = self._terms(event.leg[0])
        yield from self._note(self.evidence(event.leg, terms, "objection", event.digit, event.media_ms))
        recorded = self._capturing or self._cut
        if recorded:
            self._capturing = self._cut = False
            yield DestroyRecording(event.leg) if self.plan.recording.destroy_on_objection else StopRecording()
        if terms is not None and terms.on_refusal == "end_call":
            raise _Ended(603, "recording-refused", "Recording refused")
        if not recorded:
            yield from self._begin_saying(event.leg, "PROMPT_REFUSED")

    def _say_that_it_is_gone(self) -> Step[None]:
        """To both sides, and not before it is so."""
        for leg in (CALLER, self._callee):
            if leg is not None and self._legs[leg] is LegState.UP:
                yield from self._begin_saying(leg, "PROMPT_STOPPED")

    def evidence(self, leg: str, terms: LegConsent | None, act: str, key: str, media_ms: int) -> Evidence:
        """An act of consent on this leg, with the prompt that it answers."""
        language = terms.language if terms is not None else self._language(leg)
        asked = terms.prompt_id if terms is not None else None
        prompt = self.prompt(asked, language)
        if prompt is None:  # none was needed, or there is no such file: the entry still names what should have been
            return Evidence(leg, act, asked or "", "", "", language, key, media_ms)
        return Evidence(leg, act, prompt.prompt_id, prompt.version, prompt.sha256, prompt.language, key, media_ms)

    # --- speaking ---------------------------------------------------------------------------------

    def prompt(self, prompt_id: str | None, language: str) -> PromptFile | None:
        return None if prompt_id is None else self.plan.prompts.get((prompt_id, language))

    def _language(self, leg: str) -> str:
        terms = self._terms(leg[0])
        if terms is not None:
            return terms.language
        return (self.plan.caller if leg == CALLER else self.plan.callee).language

    def _begin_saying(self, leg: str, prompt_id: str) -> Step[int | None]:
        """Start a prompt on a leg; its play id, or None if there is no such prompt."""
        prompt = self.prompt(prompt_id, self._language(leg))
        if prompt is None:
            return None
        self._plays += 1
        yield p.Play(leg, self._plays, str(prompt.path))
        return self._plays

    def seconds_of(self, leg: str, prompt_id: str) -> float:
        """How long that prompt lasts on that leg; 0 if there is none."""
        prompt = self.prompt(prompt_id, self._language(leg))
        return 0.0 if prompt is None else prompt.duration_ms / 1000

    def objection_elsewhere(self, leg: str, event: Happening) -> Step[bool]:
        """Whether somebody else than ``leg`` has objected while it is being asked; if so that is dealt with."""
        if isinstance(event, p.Digit) and event.leg != leg and self._objects(event):
            yield from self._object(event)
            return True
        return False

    def begin_saying(self, leg: str, prompt_id: str) -> Step[int | None]:
        """For the dialogue of consent (sip.calls.asking)."""
        return (yield from self._begin_saying(leg, prompt_id))

    def _say(self, leg: str, prompt_id: str) -> Step[bool]:
        """Play a prompt to its end; whether it was heard."""
        play_id = yield from self._begin_saying(leg, prompt_id)
        if play_id is None:
            return False
        until_s = self._now_s + MEDIA_S + self.seconds_of(leg, prompt_id)
        while True:
            event = yield from self._next(until_s - self._now_s)
            match event:
                case p.PlayEnded(play_id=ended, heard=heard) if ended == play_id:
                    return heard
                case p.PlayFailed(play_id=failed) if failed == play_id:
                    return False
                case TimedOut():
                    yield p.StopPlay(leg)
                    return False

    # --- the caller's leg -------------------------------------------------------------------------

    def _answer_caller(self) -> Step[None]:
        """200 to the caller; back when its media is up."""
        yield p.Answer(CALLER, 200, "OK")
        self.outcome.caller_answered = True
        until_s = self._now_s + MEDIA_S
        while not (self._legs[CALLER] is LegState.UP and CALLER in self._active_media):
            event = yield from self._next(until_s - self._now_s)
            if isinstance(event, TimedOut):
                raise _Ended(408, "no-media", "No acknowledgement or no media")

    def _tell_caller(self, end: _Ended) -> Step[None]:
        """Say why it ends, where there is somebody who can hear it, and hang up with the reason."""
        if self._legs[CALLER] is LegState.DOWN:
            return
        self._callee = None  # whose leg goes down while the caller is told: that is no hang-up
        try:
            if self._legs[CALLER] is LegState.UP and end.code != 200:
                yield p.Ringback(CALLER, False)
                for target in self._ringing_targets:
                    yield from self._hang_up(target.leg, 480, 0, "")
                if not end.told and CALLER in self._active_media:
                    yield from self._say(CALLER, FAILURE_PROMPTS.get(end.cause, "PROMPT_ERROR"))
            yield from self._hang_up(CALLER, end.code if end.code >= 300 else 480, end.code, end.text)
        except (_CallerLeft, _CalleeLeft, _Ended):
            return

    def _hang_up(self, leg: str, code: int, cause: int, text: str) -> Step[None]:
        """End a leg that is not down yet, once."""
        if leg in self._hung_up or self._legs.get(leg, LegState.DOWN) is LegState.DOWN:
            return
        self._hung_up.add(leg)
        yield p.Hangup(leg, code, cause, text)

    def _end_all_legs(self) -> Step[None]:
        """Hang up what is left and wait, not for ever, until it is."""
        for leg in list(self._legs):
            yield from self._hang_up(leg, *self._last_words())
        until_s = self._now_s + HANGUP_S
        while any(state is not LegState.DOWN for state in self._legs.values()):
            try:
                event = yield from self._next(until_s - self._now_s)
            except (_CallerLeft, _CalleeLeft, _Ended):
                continue
            if isinstance(event, TimedOut):
                break
        yield p.Leave()

    def _last_words(self) -> tuple[int, int, str]:
        """Status, Reason cause and text for a leg that is still there when the call ends."""
        code = self.outcome.code
        return (code if code >= 400 else 480), (0 if code in (200, 487) else code), PHRASES.get(code, "")

    # --- bookkeeping ------------------------------------------------------------------------------

    def next(self, seconds: float | None) -> Step[Happening]:
        """For the dialogue of consent (sip.calls.asking)."""
        return (yield from self._next(seconds))

    @property
    def now_s(self) -> float:
        return self._now_s

    def _next(self, seconds: float | None) -> Step[Happening]:
        """The next event, noted. Raises when it ends the call."""
        arrived = yield Wait(None if seconds is None else max(0.0, seconds))
        assert arrived is not None
        event, self._now_s = arrived
        match event:
            case p.LegMedia(leg=leg, active=active):
                (self._active_media.add if active else self._active_media.discard)(leg)
            case p.LegRinging(leg=leg) | p.LegUp(leg=leg):
                self._legs[leg] = step(self._legs[leg], event)
            case p.LegDown(leg=leg, code=code):
                self._leg_down(leg, code, event)
            case RecordingStarted():
                self.outcome.recording = "recorded"
            case RecordingFailed():
                self._no_recording("failed")
            case RecordingDestroyed():
                yield from self._say_that_it_is_gone()
            case RecordingCut() if self._capturing:
                self._no_recording("cut")
                self._cut = True
                yield StopRecording()
                if self._must_record:
                    raise _Ended(503, "recording-failed", "This call must be recorded and cannot be")
            case p.WorkerGone():
                self._legs = dict.fromkeys(self._legs, LegState.DOWN)
                raise _Ended(500, "engine-lost", "")
            case HangUp(cause=cause, text=text, spoken=spoken, why=why):
                raise _Ended(cause, why, text, told=not spoken)
            case _:
                pass
        return event

    def _leg_down(self, leg: str, code: int, event: p.Event) -> None:
        self._legs[leg] = step(self._legs[leg], event)
        self._codes[leg] = code
        self._active_media.discard(leg)
        if leg == CALLER:
            raise _CallerLeft
        if leg == self._callee:
            raise _CalleeLeft

    def _no_recording(self, why: str) -> None:
        """There is none, or no more."""
        if self._capturing and self.outcome.recording in ("recorded", "failed", "not-asked"):
            self.outcome.recording = why
        self._capturing = False
        self._recording = False

    def _require_callee(self) -> str:
        assert self._callee is not None
        return self._callee

    @property
    def _talked(self) -> bool:
        return self.outcome.talk_began_s is not None

    def _begin_talk(self) -> None:
        self.outcome.talk_began_s = self._now_s

    def _ended(self, code: int, cause: str) -> None:
        self.outcome.code, self.outcome.cause = code, cause
        if self._talked:
            self.outcome.talk_ended_s = self._now_s
