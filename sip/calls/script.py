"""The script of a call: what happens, in the order it happens.

``Script.run`` is a generator that owns no socket and no clock. It yields acts (``sip.calls.acts.Act``), and for each
``Wait`` it is sent ``(event, now_s)``: what happened, and when on a monotonic clock. So it can be read from top to
bottom like the call itself, and tested event by event without one. Call control (``sip.calls.control``) carries the
acts out.

Rules it keeps (docs/architecture.md, "Consent"): nobody is captured before every leg's condition is met; what fails or
is in doubt is not recorded; once the caller's leg has been answered by a prompt, a failure is spoken and ends in a BYE
with a Reason (RFC 3326); no wait is without an end.

Its parts: ``core`` (legs, clock, voice), ``ringing``, ``captures``, ``floor`` (who hears whom), ``keys``, ``joining``
(transfers).
"""

from __future__ import annotations

from functools import partial

from sip.calls import echo, refusing
from sip.calls.acts import BecomeRelay, Happening, NewCeiling, Pause, TimedOut, Transfer
from sip.calls.captures import Captures
from sip.calls.core import CALLER, HANGUP_S, Core, Ended, Left, Step
from sip.calls.floor import Floor
from sip.calls.joining import Joinings
from sip.calls.keys import CODE_S, Codes
from sip.calls.legs import LegState
from sip.calls.plan import CallPlan, Ceiling, LineKind, Outcome, TrunkTarget
from sip.calls.ringing import INVITE_S, PHRASES, Nobody, Ringing
from sip.worker import protocol as p

PAUSE_MAX_S = 120.0  # a recording that staff have paused goes on by itself

FAILURE_PROMPTS = {
    "busy": "PROMPT_BUSY",
    "declined": "PROMPT_DECLINED",
    "not-available": "PROMPT_NOT_AVAILABLE",
    "no-answer": "PROMPT_NO_ANSWER",
    "unknown": "PROMPT_UNKNOWN",
    "recording-refused": "PROMPT_MUST_END",
    "recording-failed": "PROMPT_MUST_END",
    "trunk-failed": "PROMPT_TRUNK_FAILED",
    "ceiling": "PROMPT_CEILING_END",
}


class Script:
    """One call, from its INVITE to its end. ``outcome`` says at any moment how it went so far."""

    def __init__(self, plan: CallPlan, now_s: float, *, pause_max_s: float = PAUSE_MAX_S) -> None:
        """``now_s``: when it begins, on the clock of its events."""
        self.plan = plan
        self.core = Core(plan, now_s)
        self.outcome: Outcome = self.core.outcome
        self.captures = Captures(self.core)
        self.floor = Floor(self.core, self.captures)
        self.joinings = Joinings(self.core, self.captures, self.floor)
        self.near = CALLER  # who called, or joined in their place: left channel of a recording
        self.far: str | None = None  # who answered, or joined in their place
        self.talking = False  # a conversation goes on, or an echo test, and nothing else
        self._over = False  # how it ended is known; what is still said, or left to be hung up, changes nothing
        self._pause_max_s = pause_max_s
        self._ringing: Ringing | None = None
        self._codes: dict[str, Codes] = {}
        self._warned_s: tuple[float, ...] = ()  # before the ceiling
        self.core.hooks.append(self._always)

    # --- what call control asks -------------------------------------------------------------------

    @property
    def may_be_picked_up(self) -> bool:
        return self._ringing is not None and self._ringing.open and self.core.slots() > 0

    @property
    def state(self) -> str:
        """In one word, for whoever looks at the calls that go on."""
        if self.joinings.under_way:
            return "transferring"
        if self.talking:
            return "talking"
        if self._over:
            return "ending"
        if self.far is not None:
            return "connecting"
        return "beginning" if self._ringing is None else "ringing"

    def other(self, leg: str) -> str | None:
        """Whoever is in conversation with that leg."""
        if self.far is None or leg not in (self.near, self.far):
            return None
        return self.far if leg == self.near else self.near

    # --- the call ---------------------------------------------------------------------------------

    def run(self) -> Step[Outcome]:
        """The whole call."""
        try:
            yield from self._begin()
            match self.plan.kind:
                case LineKind.ECHO:
                    yield from self._echo_test()
                case LineKind.RING:
                    yield from self._call()
                case LineKind.REFUSAL:
                    yield from refusing.run(self.core, self.near)
                case _:
                    yield from self._service()
        except Left as left:
            if left.leg == self.near and not self._talked:
                self._ended(487, "cancelled")
            else:
                self._ended(200, "callee-hung-up" if left.leg == self.far else "caller-hung-up")
        except Ended as end:
            self._ended(end.code, end.cause)
            self.core.no_alarms()
            yield from self.captures.keep()  # what is said now is no conversation any more
            yield from self._tell(end)
        self.core.no_alarms()
        yield from self.captures.keep()
        yield from self._end_all_legs()
        return self.outcome

    def _begin(self) -> Step[None]:
        core = self.core
        core.parties[CALLER] = self.plan.caller
        if self.plan.originated:
            return
        if "a" in self.plan.staff:
            core.staff.add(CALLER)
        if self.plan.trunk_id is not None:
            core.outside.add(CALLER)
        core.legs[CALLER] = LegState.ASKED
        core.needed = {CALLER}
        event = yield from core.next(INVITE_S)  # the edge relays the caller's INVITE as soon as it has our answer
        if not isinstance(event, p.Incoming):
            del core.legs[CALLER]  # there is no leg to be ended
            core.needed = set()
            raise Ended(487, "cancelled", "")

    def _call(self) -> Step[None]:
        captures = self.captures
        first = 0
        if self.plan.originated:
            yield from self._ring_the_caller()
            first = 1
        asked_first = captures.asks(self.near)
        if asked_first:
            yield from self._answer_caller()
            yield from captures.ask(self.near)
        yield from self._dial(first)
        assert self.far is not None
        if not asked_first:  # nothing to be heard: noted while it rings, not before
            yield from captures.ask(self.near)
        yield from captures.ask(self.far)
        yield from self._connect(self.far)
        yield from self._talk()

    def _ring_the_caller(self) -> Step[None]:
        """Click-to-call: the caller's own phones ring first, and show who will be called."""
        own = self.plan.stages[:1]
        ringing = Ringing(self.core, own, waits="", shown=self.plan.callee, hidden=False, answered=False)
        try:
            self.near = yield from ringing.run(0, self.plan.ring_timeout_s)
        except Nobody as nobody:
            raise Ended(nobody.code, nobody.cause, nobody.text) from None
        self.core.needed = {self.near}
        self.core.parties[self.near] = self.plan.caller
        self.core.letters[self.near] = "a"
        if "a" not in self.plan.staff:
            self.core.staff.discard(self.near)
        self.outcome.caller_answered = True
        yield from self.core.wait_for_media(self.near)

    def _echo_test(self) -> Step[None]:
        yield from self._answer_caller()
        yield from self.core.say(self.near, "PROMPT_ECHO")
        yield from self.captures.ask(self.near)
        self._begin_talk()
        self.talking = True
        yield p.Echo(self.near, True)
        yield from self.captures.start(self.near, "")
        yield from echo.run(self.core, self.near, self._echo_key)

    def _echo_key(self, event: p.Digit) -> Step[None]:
        if self.captures.objects(event.leg, event.digit):
            yield from self.captures.object(event.leg, event.digit, event.media_ms)

    def _service(self) -> Step[None]:
        """The deed is done: say so."""
        yield from self._answer_caller()
        yield from self.core.say(self.near, self.plan.service)
        raise Ended(200, "service", "Done", told=True)

    # --- the callee -------------------------------------------------------------------------------

    def _dial(self, first: int) -> Step[None]:
        """Ring; come back when somebody has answered. Raises Ended when nobody does."""
        if first >= len(self.plan.stages):
            raise Ended(480, "not-available", PHRASES[480])
        self._ringing = Ringing(
            self.core,
            self.plan.stages,
            waits=self.near,
            shown=self.plan.caller,
            hidden=self.plan.caller_hidden,
            answered=self.outcome.caller_answered,
            otherwise=self._while_ringing,
        )
        try:
            self.far = yield from self._ringing.run(first, self.plan.ring_timeout_s)
        except Nobody as nobody:
            raise Ended(nobody.code, nobody.cause, nobody.text) from None
        finally:
            self._ringing = None
        self.core.needed.add(self.far)
        self.outcome.answered_leg = self.far

    def _while_ringing(self, event: Happening) -> Step[None]:
        if not isinstance(event, p.Digit) or event.leg != self.near or event.leg in self.core.staff:
            return
        if self.captures.objects(event.leg, event.digit):
            yield from self.captures.object(event.leg, event.digit, event.media_ms)

    def _connect(self, far: str) -> Step[None]:
        """Both sides are there and have been asked: join them, and record if every condition is met."""
        if not self.outcome.caller_answered:
            yield from self._answer_caller()
        yield p.Ringback(self.near, False)
        self._begin_talk()
        yield from self._join(far)

    def _join(self, far: str) -> Step[None]:
        if self.captures.must:
            yield from self.captures.silence("")
            yield from self.captures.start(self.near, far)  # the pack allows no unrecorded word
        yield from self.floor.join(self.near, far)
        yield from self.captures.start(self.near, far)

    # --- the conversation -------------------------------------------------------------------------

    def _talk(self) -> Step[None]:
        """The conversation, until somebody hangs up."""
        until_s = self.core.now_s + self.plan.max_duration_s
        self._watch_ceiling()
        while True:
            self.talking = True
            event = yield from self.core.next(None if self.plan.emergency else until_s - self.core.now_s)
            match event:
                case TimedOut():
                    raise Ended(200, "time-limit", "Maximum duration reached")
                case p.Digit(leg=leg) if leg in (self.near, self.far):
                    yield from self._digit(event)
                case Transfer(referrer=referrer) if (stays := self.other(referrer)) is not None:
                    self.talking = False
                    joined = yield from self.joinings.transfer(event, stays)
                    yield from self._take_over(referrer, stays, joined)
                case BecomeRelay(leaves=leaves) if (stays := self.other(leaves)) is not None:
                    self.talking = False
                    joined = yield from self.joinings.become_relay(event, stays)
                    yield from self._take_over(leaves, stays, joined)

    def _take_over(self, leaves: str, stays: str, joined: str | None) -> Step[None]:
        """Somebody has joined in the place of ``leaves``; None: nobody has, and the two talk on."""
        assert self.far is not None
        if joined is not None:
            if leaves == self.near:
                self.near = joined
            else:
                self.far = joined
            self.core.needed = {stays, joined}
            if isinstance(target := self.core.dialled.get(joined), TrunkTarget) and target.ceiling is not None:
                self._set_ceiling(target.ceiling)
            yield from self.captures.ask(joined)
        if not self.core.down(stays):
            yield p.Ringback(stays, False)
        yield from self._join(self.far)

    def _watch_ceiling(self) -> None:
        """Warn before, and cut at, the ceiling of what may be talked: of the call, or of the way that it took."""
        taken = (target for _, target in self.plan.targets() if target.leg == self.far)
        ceilings = [self.plan.ceiling, *(each.ceiling for each in taken if isinstance(each, TrunkTarget))]
        self._set_ceiling(min((each for each in ceilings if each is not None), key=lambda c: c.talk_s, default=None))

    def _set_ceiling(self, ceiling: Ceiling | None) -> None:
        """From now on."""
        self.core.no_alarm("ceiling", *(f"warning {before_s}" for before_s in self._warned_s))
        if ceiling is None or self.plan.emergency:
            return

        def cut() -> Step[None]:
            raise Ended(200, "ceiling", "Ceiling reached")
            yield

        self._warned_s = ceiling.warn_s
        self.core.alarm("ceiling", self.core.now_s + ceiling.talk_s, cut)
        for before_s in ceiling.warn_s:
            at_s = self.core.now_s + ceiling.talk_s - before_s
            if at_s > self.core.now_s:
                self.core.alarm(f"warning {before_s}", at_s, self._warn)

    def _always(self, event: Happening) -> Step[None]:
        """What holds at any moment of the conversation."""
        match event:
            case NewCeiling(ceiling=ceiling) if self._talked:
                self._set_ceiling(ceiling)
            case Pause(on=on) if self.captures.running:
                yield from self.pause(on)

    def _warn(self) -> Step[None]:
        staff = [leg for leg in (self.near, self.far) if leg in self.core.staff]
        for leg in staff or [self.near]:
            if leg is not None and self.core.up(leg):
                yield from self.core.begin_saying(leg, "PROMPT_CEILING")

    # --- keys -------------------------------------------------------------------------------------

    def _digit(self, event: p.Digit) -> Step[None]:
        """A key pressed in conversation: an objection, a staff code, or something for the other side."""
        leg, other = event.leg, self.other(event.leg)
        assert other is not None
        if self.joinings.relaying:
            yield p.SendDigit(other, event.digit)
            yield from self._object_in_relay(event)
        elif leg in self.core.staff:
            codes = self._codes.setdefault(leg, Codes())
            code, passed = codes.press(event.digit, self._codes_of(leg), self.core.now_s)
            for digit in passed:
                yield p.SendDigit(other, digit)
            if codes.waits:
                self.core.alarm(f"code {leg}", self.core.now_s + CODE_S, partial(self._give_up, leg))
            else:
                self.core.no_alarm(f"code {leg}")
            if code:
                yield from self._obey(leg, code, event.media_ms)
        elif self.captures.objects(leg, event.digit):
            yield from self.captures.object(leg, event.digit, event.media_ms)
        else:
            yield p.SendDigit(other, event.digit)

    def _object_in_relay(self, event: p.Digit) -> Step[None]:
        """A key means what it means where the conversation is held. What was recorded here before is here: whoever is
        heard on that objects to it with the same key."""
        leg, code = event.leg, event.digit
        if not self.captures.concerns(leg):
            return
        if leg in self.core.staff:
            codes = self._codes.setdefault(leg, Codes())
            code, _ = codes.press(event.digit, (self.plan.recording.objection_key or "") + "8", self.core.now_s)
        if code and code == self.plan.recording.objection_key:
            yield from self.captures.object(leg, code, event.media_ms)
        elif code == "8" and leg in self.core.staff:
            yield from self._go_private(leg, event.media_ms)

    def _codes_of(self, leg: str) -> str:
        """Which digits make a code with a star now: without a recording nothing can be paused or objected to."""
        concerned = self.captures.concerns(leg)
        objection = self.plan.recording.objection_key if concerned else None
        return (objection or "") + ("7" if self.captures.running else "") + ("" if self.outcome.private else "8")

    def _give_up(self, leg: str) -> Step[None]:
        """A star that nothing came after was meant for the other side."""
        other = self.other(leg)
        for digit in self._codes[leg].give_up():
            if other is not None and not self.core.down(other):
                yield p.SendDigit(other, digit)

    def _obey(self, leg: str, code: str, media_ms: int) -> Step[None]:
        match code:
            case "7":
                yield from self.pause(not self.floor.paused, by=leg)
                yield p.Tone(leg, "done")
            case "8":
                yield from self._go_private(leg, media_ms)
            case _:
                yield from self.captures.object(leg, code, media_ms)

    def pause(self, on: bool, *, by: str = "") -> Step[None]:
        """Let silence flow into the recording; it goes on by itself after a while. Both are told which it is, but for
        whoever did it (``by``)."""
        tell, self.floor.paused = self.captures.running and on is not self.floor.paused, on
        self.core.no_alarm("pause")
        if on:
            self.core.alarm("pause", self.core.now_s + self._pause_max_s, partial(self.pause, False))
        yield from self.floor.arrange()
        for leg in (self.near, self.far):
            if tell and leg not in (None, by) and self.core.up(leg) and leg not in self.core.held:
                yield from self.core.begin_saying(leg, "PROMPT_PAUSED" if on else "PROMPT_RESUMED")

    def _go_private(self, leg: str, media_ms: int) -> Step[None]:
        """From here on this call is nobody's business, unless the law says that it must be recorded."""
        if self.captures.must:
            yield p.Tone(leg, "refused")
            return
        self.outcome.private = True
        self.outcome.metadata_class = "none"
        yield p.Tone(leg, "done")
        if self.captures.concerns(leg):
            yield from self.captures.object(leg, "*8", media_ms, private=True)

    # --- the end ----------------------------------------------------------------------------------

    def _answer_caller(self) -> Step[None]:
        """200 to the caller; back when its media is up."""
        if self.outcome.caller_answered:
            return
        self.outcome.caller_answered = True
        yield from self.core.answer(self.near)

    def _tell(self, end: Ended) -> Step[None]:
        """Say why it ends, where there is somebody who can hear it, and hang up with the reason."""
        core = self.core
        leg = self.near
        if core.down(leg) and self.far is not None:
            leg = self.far
        core.needed = {leg}  # whose leg goes down while somebody is told: that is no hang-up
        if core.down(leg):
            return
        try:
            if core.up(leg) and end.code != 200 or end.cause == "ceiling":
                yield from self.floor.part()
                yield p.Ringback(leg, False)
                for each in list(core.legs):
                    if each != leg:
                        yield from core.hang_up(each, 480, 0, "")
                if not end.told and leg in core.media:
                    better = core.prompt(end.prompt, core.language(leg)) is not None
                    yield from core.say(leg, end.prompt if better else FAILURE_PROMPTS.get(end.cause, "PROMPT_ERROR"))
            phrase = end.text if self.plan.refusal is not None else ""
            yield from core.hang_up(leg, end.code if end.code >= 300 else 480, end.code, end.text, phrase=phrase)
        except (Left, Ended):
            return

    def _end_all_legs(self) -> Step[None]:
        """Hang up what is left and wait, not for ever, until it is."""
        core = self.core
        core.needed = set()
        for leg in list(core.legs):
            yield from core.hang_up(leg, *self._last_words())
        until_s = core.now_s + HANGUP_S
        while any(state is not LegState.DOWN for state in core.legs.values()):
            try:
                event = yield from core.next(until_s - core.now_s)
            except (Left, Ended):
                continue
            if isinstance(event, TimedOut):
                break
        yield p.Leave()

    def _last_words(self) -> tuple[int, int, str]:
        """Status, Reason cause and text for a leg that is still there when the call ends."""
        code = self.outcome.code
        return (code if code >= 400 else 480), (0 if code in (200, 487) else code), PHRASES.get(code, "")

    # --- bookkeeping ------------------------------------------------------------------------------

    @property
    def _talked(self) -> bool:
        return self.outcome.talk_began_s is not None

    def _begin_talk(self) -> None:
        self.outcome.talk_began_s = self.core.now_s

    def _ended(self, code: int, cause: str) -> None:
        self.talking, self._over = False, True
        if self.joinings.relaying:
            cause = "transferred"
        self.outcome.code, self.outcome.cause = code, cause
        if self._talked:
            self.outcome.talk_ended_s = self.core.now_s
