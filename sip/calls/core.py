"""What every part of a call's script stands on: its legs, its clock, its voice.

The parts (ringing, captures, the floor, transfers) are generators like the script itself and share one ``Core``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from retention.recording_decision import LegConsent
from sip.calls.acts import Act, HangUp, Happening, TimedOut, Wait
from sip.calls.legs import LegState, step
from sip.calls.plan import CallPlan, Outcome, Party, PromptFile, Target, TrunkTarget
from sip.worker import protocol as p

CALLER = "a"
MEDIA_S = 10.0  # from our 200 to media: ACK lost, or a phone without a working network
HANGUP_S = 5.0  # from our BYE to the phone's answer
MAX_LEGS = 4  # of the media engine (PJSUA_MAX_CALLS): one more would be refused
_EARLY_S = 0.001  # a timer may go off by so much before its time

T = TypeVar("T")
Step = Generator[Act, tuple[Happening, float] | None, T]


class Left(Exception):
    """A leg that the conversation cannot do without is down."""

    def __init__(self, leg: str) -> None:
        super().__init__(leg)
        self.leg = leg


class Ended(Exception):
    """The call must end now, with this cause."""

    def __init__(self, code: int, cause: str, text: str, *, told: bool = False, prompt: str = "") -> None:
        super().__init__(cause)
        self.code, self.cause, self.text = code, cause, text
        self.told = told  # whoever is left has been told already
        self.prompt = prompt  # says it better than that of the cause, where it can be had


class Core:
    """The legs of one call and what is known of them."""

    def __init__(self, plan: CallPlan, now_s: float) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self.legs: dict[str, LegState] = {}
        self.codes: dict[str, int] = {}  # status that ended each leg
        self.rung: set[str] = set()  # dialled legs that a provisional answer has come on
        self.media: set[str] = set()  # legs whose media is up
        self.held: set[str] = set()  # legs whose phone has put us on hold
        self.needed: set[str] = set()  # legs without which what goes on cannot go on
        self.parties: dict[str, Party] = {}  # who is, or may be, on a leg
        self.staff: set[str] = set()  # legs of staff: they have * codes instead of the bare objection key
        self.outside: set[str] = set()  # legs by a trunk: they may not transfer
        self.hidden: set[str] = set()  # legs that lead to somebody in another worker who withholds their number
        self.dialled: dict[str, Target | TrunkTarget] = {}  # what a dialled leg rings
        self.now_s = now_s
        self.hooks: list[Callable[[Happening], Step[None]]] = []  # told of every event
        self._alarms: dict[str, tuple[float, Callable[[], Step[None]]]] = {}
        self._hung_up: set[str] = set()
        self._plays = 0
        self.prompts = dict(plan.prompts)  # grows when somebody joins
        self.terms: list[LegConsent] = list(plan.recording.legs)  # grows when somebody joins
        self.letters: dict[str, str] = {}  # of legs whose terms go by another letter than their own

    # --- events -----------------------------------------------------------------------------------

    def next(self, seconds: float | None) -> Step[Happening]:
        """The next event, noted; TimedOut after ``seconds``. Raises Left or Ended when it ends what goes on."""
        until_s = None if seconds is None else self.now_s + max(0.0, seconds)
        while True:
            due_s = [at_s for at_s, _ in self._alarms.values()] + ([] if until_s is None else [until_s])
            arrived = yield Wait(max(0.0, min(due_s) - self.now_s) if due_s else None)
            assert arrived is not None
            event, self.now_s = arrived
            if not isinstance(event, TimedOut):
                yield from self._note(event)
                return event
            yield from self._ring_alarms()
            if until_s is not None and self.now_s >= until_s - _EARLY_S:
                return event

    def alarm(self, name: str, at_s: float, then: Callable[[], Step[None]]) -> None:
        """Do ``then`` at that time, whatever is being waited for; a later alarm of this name takes its place."""
        self._alarms[name] = (at_s, then)

    def no_alarm(self, *names: str) -> None:
        for name in names:
            self._alarms.pop(name, None)

    def no_alarms(self) -> None:
        self._alarms.clear()

    def _ring_alarms(self) -> Step[None]:
        for name, (at_s, then) in sorted(self._alarms.items(), key=lambda item: item[1][0]):
            if self.now_s >= at_s - _EARLY_S and name in self._alarms:
                del self._alarms[name]
                yield from then()

    def _note(self, event: Happening) -> Step[None]:
        match event:
            case p.Incoming(leg=leg) if leg not in self.legs:  # too late, whatever it was expected for
                yield p.Hangup(leg, 487, 0, "")
            case p.LegMedia(leg=leg, active=active, held=held):
                (self.media.add if active else self.media.discard)(leg)
                (self.held.add if held else self.held.discard)(leg)
            case p.LegRinging(leg=leg) | p.LegUp(leg=leg) if leg in self.legs:
                self.rung.add(leg)
                self.legs[leg] = step(self.legs[leg], event)
            case p.LegDown(leg=leg, code=code) if leg in self.legs:
                self.legs[leg] = step(self.legs[leg], event)
                self.codes[leg] = code
                self.media.discard(leg)
                self.held.discard(leg)
                if leg in self.needed:
                    raise Left(leg)
            case p.WorkerGone():
                self.legs = dict.fromkeys(self.legs, LegState.DOWN)
                raise Ended(500, "engine-lost", "")
            case HangUp(cause=cause, text=text, spoken=spoken, why=why):
                raise Ended(cause, why, text, told=not spoken)
        for hook in self.hooks:
            yield from hook(event)

    # --- legs -------------------------------------------------------------------------------------

    def hides(self, leg: str) -> bool:
        """Whether the party on a leg withholds its number (RFC 3323)."""
        return leg in self.hidden or (self.plan.caller_hidden and self.parties.get(leg) is self.plan.caller)

    def up(self, leg: str) -> bool:
        return self.legs.get(leg) is LegState.UP

    def down(self, leg: str) -> bool:
        return self.legs.get(leg, LegState.DOWN) is LegState.DOWN

    def answer(self, leg: str) -> Step[None]:
        """200 to whoever called; back when the media is up."""
        yield p.Answer(leg, 200, "OK")
        yield from self.wait_for_media(leg)

    def wait_for_media(self, leg: str) -> Step[None]:
        until_s = self.now_s + MEDIA_S
        while not (self.up(leg) and leg in self.media):
            event = yield from self.next(until_s - self.now_s)
            if isinstance(event, TimedOut):
                raise Ended(408, "no-media", "No acknowledgement or no media")

    def hang_up(self, leg: str, code: int, cause: int, text: str, *, phrase: str = "") -> Step[None]:
        """End a leg that is not down yet, once."""
        if leg in self._hung_up or self.down(leg):
            return
        self._hung_up.add(leg)
        yield p.Hangup(leg, code, cause, text, phrase)

    def slots(self) -> int:
        """How many legs more the engine can take."""
        return MAX_LEGS - sum(state is not LegState.DOWN for state in self.legs.values())

    def wait_for_slots(self, wanted: int) -> Step[None]:
        """Until the engine can take so many legs more: what was hung up is still one until it is down."""
        until_s = self.now_s + HANGUP_S
        while self.slots() < wanted:
            event = yield from self.next(until_s - self.now_s)
            if isinstance(event, TimedOut):
                return

    # --- speaking ---------------------------------------------------------------------------------

    def prompt(self, prompt_id: str | None, language: str) -> PromptFile | None:
        return None if prompt_id is None else self.prompts.get((prompt_id, language))

    def language(self, leg: str) -> str:
        """Spoken to a leg: that of its terms of recording, else its party's."""
        terms = self.terms_of(leg)
        return terms.language if terms is not None else self.parties[leg].language

    def terms_of(self, leg: str) -> LegConsent | None:
        """What a leg is asked. Where several may answer, the strictest of their terms holds for whoever does."""
        letter = self.letters.get(leg, leg[0])
        mine = [terms for terms in self.terms if terms.leg.startswith(letter)]
        return max(mine, key=lambda terms: terms.mode, default=None)

    def begin_saying(self, leg: str, prompt_id: str) -> Step[int | None]:
        """Start a prompt on a leg; its play id, or None if there is no such prompt."""
        prompt = self.prompt(prompt_id, self.language(leg))
        if prompt is None:
            return None
        self._plays += 1
        yield p.Play(leg, self._plays, str(prompt.path))
        return self._plays

    def seconds_of(self, leg: str, prompt_id: str) -> float:
        """How long that prompt lasts on that leg; 0 if there is none."""
        prompt = self.prompt(prompt_id, self.language(leg))
        return 0.0 if prompt is None else prompt.duration_ms / 1000

    def say(self, leg: str, prompt_id: str) -> Step[bool]:
        """Play a prompt to its end; whether it was heard."""
        play_id = yield from self.begin_saying(leg, prompt_id)
        if play_id is None:
            return False
        until_s = self.now_s + MEDIA_S + self.seconds_of(leg, prompt_id)
        while True:
            event = yield from self.next(until_s - self.now_s)
            match event:
                case p.PlayEnded(play_id=ended, heard=heard) if ended == play_id:
                    return heard
                case p.PlayFailed(play_id=failed) if failed == play_id:
                    return False
                case TimedOut():
                    yield p.StopPlay(leg)
                    return False
