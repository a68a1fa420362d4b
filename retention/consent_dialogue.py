"""Asking one leg whether it may be recorded: a table-driven machine without clock, socket or sound.

`begin` gives the first command; `step` takes what happened and gives the next ones. Only the table moves the state.

    asking ──ended──▶ waiting ──timeout──▶ (by mode) ──▶ closing ──▶ done
      │ ▲                │
      0 └──ended── more ◀┘ 0                 a key decides at once, from asking, waiting or more

Each Play and Wait carries a `turn`; its end is told with the same turn, so that the late end of something that was
interrupted is never taken for the end of the question. A Play or a Wait replaces what was going on before it.

Consent needs an act that is clear and provable (GDPR Art. 4(11), 7(1)): here only key 1 on this leg, or, where the mode
does not ask for more, the question heard to its end on this leg. Everything else is "not recorded".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from retention.consent import ConsentMode
from retention.recording_decision import LegConsent

WAIT_OPT_IN_S = 8.0  # after the question's end
GRACE_OPT_OUT_S = 3.0  # after the information's end, to reach the key
MORE_MAX = 2  # times that key 0 gives the long notice

PROMPT_MORE = "PROMPT_LONG"
PROMPT_REFUSED = "PROMPT_REFUSED"
PROMPT_TIMEOUT = "PROMPT_TIMEOUT"
PROMPT_MUST_END = "PROMPT_MUST_END"


# --- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """The Play of this turn was heard to its end on the leg."""

    turn: int


@dataclass(frozen=True, slots=True)
class PromptFailed:
    """The Play of this turn could not be played, or not to its end."""

    turn: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The Wait of this turn is over."""

    turn: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key pressed on this leg: 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class LegGone:
    """The leg was hung up or its worker died."""


Event = PromptEnded | PromptFailed | TimedOut | Key | LegGone


# --- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Play:
    """Play this prompt on the leg, in the leg's language; tell PromptEnded or PromptFailed with `turn`."""

    prompt_id: str
    turn: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is played; tell TimedOut with `turn` after `seconds`."""

    seconds: float
    turn: int


Command = Play | Wait


# --- what comes of it -----------------------------------------------------------------------------


class Outcome(Enum):
    """Only ACCEPTED lets a recording begin."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENT = "silent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """How the leg answered, with what the consent log needs.

    `act`: heard | key1 | key2 | timeout | prompt_failed | hangup | statute. `key`: the digit, "" for none.
    `prompt_id`: the question, None where nothing had to be heard. `heard_to_end`: the question was.
    `more`: how often the long notice was played. `end_call`: the pack allows no unrecorded call.
    """

    outcome: Outcome
    act: str
    key: str
    prompt_id: str | None
    language: str
    heard_to_end: bool
    more: int
    end_call: bool

    @property
    def accepted(self) -> bool:
        """This leg's condition is met."""
        return self.outcome is Outcome.ACCEPTED


class State(Enum):
    """Where the dialogue stands."""

    ASKING = auto()  # the question is being played
    WAITING = auto()  # the question was heard to its end; time to press a key
    MORE = auto()  # the long notice is being played
    CLOSING = auto()  # decided; the last words are being played
    DONE = auto()  # nothing more to do


class Input(Enum):
    """The kinds of events that the table tells apart."""

    ENDED = auto()
    FAILED = auto()
    TIMEOUT = auto()
    GONE = auto()
    KEY_1 = auto()
    KEY_2 = auto()
    KEY_0 = auto()
    KEY_OTHER = auto()


class Move(Enum):
    """What the table can say."""

    STAY = auto()
    ASK = auto()  # play the question (again)
    AWAIT = auto()  # the question is over: wait for a key
    TELL_MORE = auto()  # play the long notice, at most MORE_MAX times
    ACCEPT_KEY = auto()
    ACCEPT_HEARD = auto()
    REFUSE = auto()
    LAPSE = auto()  # no key: not recorded
    BY_SILENCE = auto()  # no key: what the rule says that silence means
    FAIL = auto()
    HANG_UP = auto()
    FINISH = auto()


_DECIDED: Mapping[State, Mapping[Input, Move]] = {
    State.CLOSING: {
        Input.ENDED: Move.FINISH,
        Input.FAILED: Move.FINISH,
        Input.TIMEOUT: Move.STAY,
        Input.GONE: Move.FINISH,
        Input.KEY_1: Move.STAY,  # a decision is not turned round while it is being said
        Input.KEY_2: Move.STAY,
        Input.KEY_0: Move.STAY,
        Input.KEY_OTHER: Move.STAY,
    },
    State.DONE: dict.fromkeys(Input, Move.STAY),
}
_ALWAYS = {Input.FAILED: Move.FAIL, Input.GONE: Move.HANG_UP, Input.KEY_OTHER: Move.STAY}
_KEYS = {**_ALWAYS, Input.KEY_1: Move.ACCEPT_KEY, Input.KEY_2: Move.REFUSE, Input.KEY_0: Move.TELL_MORE}
_IN_MORE = {**_KEYS, Input.ENDED: Move.ASK, Input.TIMEOUT: Move.STAY, Input.KEY_0: Move.STAY}

TABLE: Mapping[ConsentMode, Mapping[State, Mapping[Input, Move]]] = {
    ConsentMode.OPT_IN: {
        State.ASKING: {**_KEYS, Input.ENDED: Move.AWAIT, Input.TIMEOUT: Move.STAY},
        State.WAITING: {**_KEYS, Input.ENDED: Move.STAY, Input.TIMEOUT: Move.LAPSE},
        State.MORE: _IN_MORE,
        **_DECIDED,
    },
    ConsentMode.OPT_OUT: {
        State.ASKING: {**_KEYS, Input.ENDED: Move.AWAIT, Input.TIMEOUT: Move.STAY},
        State.WAITING: {**_KEYS, Input.ENDED: Move.STAY, Input.TIMEOUT: Move.BY_SILENCE},
        State.MORE: _IN_MORE,
        **_DECIDED,
    },
    # An announcement offers no 1 and no 0: it is heard, or refused.
    ConsentMode.ANNOUNCE: {
        State.ASKING: {
            **_ALWAYS,
            Input.ENDED: Move.ACCEPT_HEARD,
            Input.TIMEOUT: Move.STAY,
            Input.KEY_1: Move.STAY,
            Input.KEY_2: Move.REFUSE,
            Input.KEY_0: Move.STAY,
        },
        State.WAITING: dict.fromkeys(Input, Move.FAIL),  # never reached
        State.MORE: dict.fromkeys(Input, Move.FAIL),  # never reached
        **_DECIDED,
    },
}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The dialogue with one leg at one moment. `result` is there as soon as the answer is; `finished` once the
    last words have been said as well."""

    leg: LegConsent
    state: State
    turn: int = 0
    heard_to_end: bool = False
    more: int = 0
    result: Result | None = None

    @property
    def finished(self) -> bool:
        """Nothing more is to be played or waited for."""
        return self.state is State.DONE


def begin(leg: LegConsent) -> tuple[Dialogue, tuple[Command, ...]]:
    """Start asking. Raises ValueError where the leg must not be asked at all (forbidden, or no question)."""
    if leg.mode is ConsentMode.NONE:
        dialogue = Dialogue(leg, State.DONE)
        return replace(dialogue, result=_result(dialogue, Outcome.ACCEPTED, "statute")), ()
    if leg.mode not in TABLE or leg.prompt_id is None:
        raise ValueError(f"a leg in mode {leg.mode} is not asked")
    return _play(Dialogue(leg, State.ASKING), State.ASKING, leg.prompt_id)


def step(dialogue: Dialogue, event: Event) -> tuple[Dialogue, tuple[Command, ...]]:
    """What this event makes of the dialogue, and what is to be done now."""
    if isinstance(event, (PromptEnded, PromptFailed, TimedOut)) and event.turn != dialogue.turn:
        return dialogue, ()  # of something that was interrupted
    if dialogue.leg.mode not in TABLE:
        return dialogue, ()
    return _apply(dialogue, TABLE[dialogue.leg.mode][dialogue.state][_input(event)], event)


def _input(event: Event) -> Input:
    match event:
        case PromptEnded():
            return Input.ENDED
        case PromptFailed():
            return Input.FAILED
        case TimedOut():
            return Input.TIMEOUT
        case LegGone():
            return Input.GONE
        case Key(digit=digit):
            return {"1": Input.KEY_1, "2": Input.KEY_2, "0": Input.KEY_0}.get(digit, Input.KEY_OTHER)


def _apply(dialogue: Dialogue, move: Move, event: Event) -> tuple[Dialogue, tuple[Command, ...]]:
    key = event.digit if isinstance(event, Key) else ""
    match move:
        case Move.STAY:
            return dialogue, ()
        case Move.ASK:
            return _play(dialogue, State.ASKING, dialogue.leg.prompt_id or "")
        case Move.AWAIT:
            return _await(replace(dialogue, heard_to_end=True))
        case Move.TELL_MORE:
            if dialogue.more >= MORE_MAX:
                return dialogue, ()
            return _play(replace(dialogue, more=dialogue.more + 1), State.MORE, PROMPT_MORE)
        case Move.ACCEPT_KEY:
            return _done(dialogue, Outcome.ACCEPTED, "key1", key)
        case Move.ACCEPT_HEARD:
            return _done(replace(dialogue, heard_to_end=True), Outcome.ACCEPTED, "heard")
        case Move.REFUSE:
            return _close(dialogue, Outcome.REFUSED, "key2", PROMPT_REFUSED, key)
        case Move.LAPSE:
            return _close(dialogue, Outcome.SILENT, "timeout", PROMPT_TIMEOUT)
        case Move.BY_SILENCE:
            if dialogue.leg.silence == "record" and dialogue.heard_to_end:
                return _done(dialogue, Outcome.ACCEPTED, "heard")
            return _close(dialogue, Outcome.SILENT, "timeout", PROMPT_TIMEOUT)
        case Move.FAIL:
            return _close(dialogue, Outcome.FAILED, "prompt_failed", "")
        case Move.HANG_UP:
            return _done(dialogue, Outcome.FAILED, "hangup")
        case Move.FINISH:
            return replace(dialogue, state=State.DONE), ()


def _play(dialogue: Dialogue, state: State, prompt_id: str) -> tuple[Dialogue, tuple[Command, ...]]:
    turn = dialogue.turn + 1
    return replace(dialogue, state=state, turn=turn), (Play(prompt_id, turn),)


def _await(dialogue: Dialogue) -> tuple[Dialogue, tuple[Command, ...]]:
    seconds = WAIT_OPT_IN_S if dialogue.leg.mode is ConsentMode.OPT_IN else GRACE_OPT_OUT_S
    turn = dialogue.turn + 1
    return replace(dialogue, state=State.WAITING, turn=turn), (Wait(seconds, turn),)


def _done(dialogue: Dialogue, outcome: Outcome, act: str, key: str = "") -> tuple[Dialogue, tuple[Command, ...]]:
    return replace(dialogue, state=State.DONE, result=_result(dialogue, outcome, act, key)), ()


def _close(
    dialogue: Dialogue, outcome: Outcome, act: str, last_words: str, key: str = ""
) -> tuple[Dialogue, tuple[Command, ...]]:
    """Decided against recording: say so, or that the call must end; after a failed prompt only the latter."""
    result = _result(dialogue, outcome, act, key)
    if result.end_call:
        last_words = PROMPT_MUST_END
    if not last_words:
        return replace(dialogue, state=State.DONE, result=result), ()
    return _play(replace(dialogue, result=result), State.CLOSING, last_words)


def _result(dialogue: Dialogue, outcome: Outcome, act: str, key: str = "") -> Result:
    leg = dialogue.leg
    return Result(
        outcome=outcome,
        act=act,
        key=key,
        prompt_id=leg.prompt_id,
        language=leg.language,
        heard_to_end=dialogue.heard_to_end,
        more=dialogue.more,
        end_call=leg.on_refusal == "end_call" and outcome is not Outcome.ACCEPTED,
    )
