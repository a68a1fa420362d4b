"""Ringing: one stage after the other, until somebody answers.

A stage that ends with a cause in another's ``after`` is followed by that one: so a forward on busy, phones that ring
one after the other, and another trunk when a provider does not take the call, are all data of the plan.
"""

from __future__ import annotations

from collections.abc import Callable

from sip.calls.acts import Happening, PickUp, TimedOut
from sip.calls.core import Core, Step
from sip.calls.legs import LegState, best_refusal
from sip.calls.plan import Party, Stage, Target, TrunkTarget
from sip.worker import protocol as p

CAUSES = {
    486: "busy",
    600: "busy",
    603: "declined",
    403: "declined",
    480: "not-available",
    408: "no-answer",
    404: "unknown",
    484: "unknown",
}
PHRASES = {480: "Temporarily Unavailable", 486: "Busy Here", 603: "Decline", 404: "Not Found", 408: "No Answer"}
# The provider's own trouble, and not what the called party answered (RFC 3261 sections 21.3 and 21.5).
TRUNK_FAILURES = frozenset({500, 502, 503, 504, *range(300, 400)})
INVITE_S = 4.0  # from our answer to the edge to the INVITE; none comes when the engine refuses its offer


class Nobody(Exception):
    """Nobody has answered: the status that says most about it, and the word for it."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code, self.cause = code, cause
        self.text = "No answer" if cause == "no-answer" and code == 480 else PHRASES.get(code, "Call failed")


class Ringing:
    """Rings for one leg that waits: the caller, or whoever stays when the other is transferred."""

    def __init__(
        self,
        core: Core,
        stages: tuple[Stage, ...],
        *,
        waits: str,
        shown: Party,
        hidden: bool,
        answered: bool,
        otherwise: Callable[[Happening], Step[None]] | None = None,
    ) -> None:
        """``waits`` "": nobody does. ``shown`` is who calls, unless ``hidden``. ``answered``: the leg that waits is up
        and hears our tone. ``otherwise`` is told of each event."""
        self._core = core
        self._stages = stages
        self._waits = waits
        self._shown = shown
        self._hidden = hidden
        self._answered = answered
        self._otherwise = otherwise
        self._dialled: list[str] = []
        self._early: str | None = None  # dialled leg whose early media the leg that waits hears
        self._picks_up: str | None = None  # leg of a colleague who takes the call
        self.open = False  # a colleague may pick this up now

    def run(self, first: int, seconds: float | None) -> Step[str]:
        """Ring from stage ``first``; the leg that has answered, with all others hung up. Raises Nobody."""
        until_s = None if seconds is None else self._core.now_s + seconds
        at = first
        while True:
            answered = yield from self._ring(self._stages[at], until_s)
            if isinstance(answered, str):
                yield from self._silence()
                return answered
            following = self._next_stage(at, answered.cause)
            if following is None or (until_s is not None and self._core.now_s >= until_s):
                break
            at = following
        yield from self._hang_up_all("")
        self._expect_no_more()
        raise answered

    def _next_stage(self, parent: int, cause: str) -> int | None:
        following = (n for n, stage in enumerate(self._stages) if stage.parent == parent and cause in stage.after)
        return next(following, None)

    def _ring(self, stage: Stage, until_s: float | None) -> Step[str | Nobody]:
        yield from self._hang_up_all("")
        if self._early is not None:
            if not self._core.down(self._early):
                yield p.Bridge(self._waits, self._early, False)
            self._early = None
        yield from self._core.wait_for_slots(len(stage.targets))
        for target in stage.targets:
            yield self._dial(stage, target)
            self._core.legs[target.leg] = LegState.ASKED
            self._core.parties[target.leg] = stage.callee
            self._core.dialled[target.leg] = target
            self._dialled.append(target.leg)
            (self._core.staff if isinstance(target, Target) else self._core.outside).add(target.leg)
        if self._answered and self._early is None:
            yield p.Ringback(self._waits, True)
        stage_until_s = self._core.now_s + stage.ring_s
        if until_s is not None:
            stage_until_s = min(stage_until_s, until_s)
        self.open = True
        try:
            return (yield from self._wait(stage, stage_until_s))
        finally:
            self.open = False

    def _wait(self, stage: Stage, until_s: float) -> Step[str | Nobody]:
        while True:
            event = yield from self._core.next(until_s - self._core.now_s)
            match event:
                case TimedOut():
                    return Nobody(480, "no-answer")
                case p.LegRinging(leg=leg, media=media) if leg in self._dialled:
                    yield from self._pass_ringing(leg, media)
                case p.LegUp(leg=leg) if leg in self._dialled and not self._core.down(leg):
                    yield from self._hang_up_all(leg)
                    self._expect_no_more()
                    return leg
                case p.LegDown(leg=leg):
                    if leg == self._early:
                        self._early = None
                    if leg == self._picks_up:
                        self._picks_up = None
                    if self._picks_up is None and all(self._core.down(target.leg) for target in stage.targets):
                        return self._what_came(stage)
                case PickUp(leg=leg, party=party) if self._picks_up is None:
                    self._expect(leg, party)
                case p.Incoming(leg=leg) if leg == self._picks_up:
                    self._core.no_alarm("pick-up")
                    self._dialled.append(leg)
                    yield p.Answer(leg, 200, "OK")
            if self._otherwise is not None:
                yield from self._otherwise(event)

    def _expect(self, leg: str, party: Party) -> None:
        """A colleague's INVITE comes in; if it does not, everything goes on as it was."""
        self._picks_up = leg
        self._core.legs[leg] = LegState.ASKED
        self._core.parties[leg] = party
        self._core.staff.add(leg)
        self._core.letters[leg] = "b"

        def forget() -> Step[None]:
            self._expect_no_more()
            yield from ()

        self._core.alarm("pick-up", self._core.now_s + INVITE_S, forget)

    def _expect_no_more(self) -> None:
        """Should the colleague's INVITE come now it is refused."""
        self._core.no_alarm("pick-up")
        if self._picks_up is not None and self._picks_up not in self._dialled:
            del self._core.legs[self._picks_up]
        self._picks_up = None

    def _what_came(self, stage: Stage) -> Nobody:
        """What the refusals of a stage come to."""
        codes = [self._core.codes[target.leg] for target in stage.targets if target.leg in self._core.codes]
        failed = [target for target in stage.targets if self._failed(target)]
        if failed and len(failed) == len(stage.targets):
            return Nobody(503, "trunk-failed")
        telling = [self._core.codes[t.leg] for t in stage.targets if t not in failed and t.leg in self._core.codes]
        code = best_refusal(telling or codes)
        return Nobody(code, CAUSES.get(code, "failed"))

    def _failed(self, target: Target | TrunkTarget) -> bool:
        """Whether a provider did not take the call: nothing is known of the called party then."""
        code = self._core.codes.get(target.leg, 0)
        if not isinstance(target, TrunkTarget):
            return False
        return code in TRUNK_FAILURES or (code == 408 and target.leg not in self._core.rung)

    def _dial(self, stage: Stage, target: Target | TrunkTarget) -> p.Dial:
        token = f"{self._core.plan.call_id}-{target.leg}"
        if isinstance(target, TrunkTarget):
            return p.Dial(
                target.leg,
                target.number,
                token,
                target.from_user,
                target.from_display,
                target.srtp,
                target.ipv6,
                dict(target.headers),
            )
        number = "anonymous" if self._hidden else self._shown.number
        display = "Anonymous" if self._hidden else self._shown.display
        return p.Dial(target.leg, stage.callee.number, token, number, display, target.srtp, target.ipv6)

    def _pass_ringing(self, leg: str, media: bool) -> Step[None]:
        """Let who waits hear what the other side sends, as far as their leg allows."""
        waits = self._waits
        if not waits:
            return
        if media and self._early is None:
            self._early = leg
            if self._answered:
                yield p.Ringback(waits, False)
            elif self._core.legs[waits] is not LegState.EARLY:
                yield p.Answer(waits, 183, "Session Progress")
                self._core.legs[waits] = LegState.EARLY
            yield p.Bridge(waits, leg)
        elif self._answered:
            return
        elif self._core.legs[waits] is LegState.ASKED:
            yield p.Answer(waits, 180, "Ringing")
            self._core.legs[waits] = LegState.RINGING

    def _silence(self) -> Step[None]:
        """Nobody talks while somebody is still to be asked."""
        if self._early is not None:
            if not self._core.down(self._early):
                yield p.Bridge(self._waits, self._early, False)
            if self._answered:
                yield p.Ringback(self._waits, True)

    def _hang_up_all(self, but: str) -> Step[None]:
        for leg in self._dialled:
            if leg != but:
                yield from self._core.hang_up(leg, 0, 0, "")
