"""Asking one leg, told as it happens on the telephone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.consent import ConsentMode
from retention.consent_dialogue import (
    TABLE,
    Command,
    Dialogue,
    Event,
    Input,
    Key,
    LegGone,
    Outcome,
    Play,
    PromptEnded,
    PromptFailed,
    State,
    TimedOut,
    Wait,
    begin,
    step,
)
from retention.recording_decision import LegConsent

QUESTION = {
    ConsentMode.ANNOUNCE: "PROMPT_ANNOUNCE",
    ConsentMode.OPT_OUT: "PROMPT_OPTOUT",
    ConsentMode.OPT_IN: "PROMPT_OPTIN",
}


def terms(mode: ConsentMode, **more: Any) -> LegConsent:
    silence = "do_not_record" if mode is ConsentMode.OPT_IN else "record"
    values: dict[str, Any] = {
        "leg": "a", "mode": mode, "prompt_id": QUESTION.get(mode), "language": "fr", "silence": silence,
        "on_refusal": "continue",
    }  # fmt: skip
    return LegConsent(**(values | more))


class Phone:
    """The other end: does what is asked of it, and writes down the call flow."""

    def __init__(self, leg: LegConsent) -> None:
        self.flow: list[str] = []
        self.turn = 0
        self.dialogue, commands = begin(leg)
        self._take(commands)

    def _take(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case Play(prompt_id=prompt_id, turn=turn):
                    self.flow.append(prompt_id)
                    self.turn = turn
                case Wait(seconds=seconds, turn=turn):
                    self.flow.append(f"wait {seconds:g}")
                    self.turn = turn

    def _tell(self, event: Event) -> Phone:
        self.dialogue, commands = step(self.dialogue, event)
        self._take(commands)
        return self

    def heard(self) -> Phone:
        return self._tell(PromptEnded(self.turn))

    def failed(self) -> Phone:
        return self._tell(PromptFailed(self.turn))

    def waited(self) -> Phone:
        return self._tell(TimedOut(self.turn))

    def key(self, digit: str) -> Phone:
        return self._tell(Key(digit))

    def hangs_up(self) -> Phone:
        return self._tell(LegGone())

    def late_end(self, turn: int) -> Phone:
        return self._tell(PromptEnded(turn))

    @property
    def answer(self) -> tuple[str, str, bool]:
        result = self.dialogue.result
        assert result is not None
        return result.outcome.value, result.act, self.dialogue.finished


def opt_in(**more: Any) -> Phone:
    return Phone(terms(ConsentMode.OPT_IN, **more))


def opt_out(**more: Any) -> Phone:
    return Phone(terms(ConsentMode.OPT_OUT, **more))


def announce(**more: Any) -> Phone:
    return Phone(terms(ConsentMode.ANNOUNCE, **more))


# --- opt-in ---------------------------------------------------------------------------------------


@pytest.mark.promise("L1", "2.2")
def test_opt_in_1_after_the_question() -> None:
    phone = opt_in().heard().key("1")
    assert phone.flow == ["PROMPT_OPTIN", "wait 8"] and phone.answer == ("accepted", "key1", True)
    assert phone.dialogue.result is not None
    assert phone.dialogue.result.key == "1" and phone.dialogue.result.heard_to_end


def test_opt_in_1_during_the_question() -> None:
    phone = opt_in().key("1")
    assert phone.answer == ("accepted", "key1", True)
    assert phone.dialogue.result is not None and not phone.dialogue.result.heard_to_end


@pytest.mark.parametrize("heard", [False, True])
def test_opt_in_2_refuses_and_is_told_so(heard: bool) -> None:
    phone = opt_in().heard() if heard else opt_in()
    phone.key("2")
    assert phone.flow[-1] == "PROMPT_REFUSED" and phone.answer == ("refused", "key2", False)
    assert phone.heard().answer == ("refused", "key2", True)


def test_opt_in_silence_is_a_no() -> None:
    phone = opt_in().heard().waited()
    assert phone.flow == ["PROMPT_OPTIN", "wait 8", "PROMPT_TIMEOUT"] and phone.answer == ("silent", "timeout", False)
    assert phone.heard().answer == ("silent", "timeout", True)


def test_opt_in_silence_is_a_no_even_if_the_rule_were_wrong() -> None:
    assert opt_in(silence="record").heard().waited().answer[0] == "silent"


def test_opt_in_0_tells_more_and_asks_again() -> None:
    phone = opt_in().key("0").heard().heard().key("1")
    assert phone.flow == ["PROMPT_OPTIN", "PROMPT_LONG", "PROMPT_OPTIN", "wait 8"]
    assert phone.answer[0] == "accepted" and phone.dialogue.result is not None and phone.dialogue.result.more == 1


def test_opt_in_0_tells_more_twice_at_most() -> None:
    phone = opt_in().key("0").heard().heard().key("0").heard().heard().key("0").key("0")
    assert phone.flow.count("PROMPT_LONG") == 2 and phone.dialogue.state is State.WAITING
    assert phone.waited().answer[0] == "silent"


def test_opt_in_a_key_during_the_long_notice_counts() -> None:
    assert opt_in().key("0").key("1").answer == ("accepted", "key1", True)
    assert opt_in().key("0").key("2").answer == ("refused", "key2", False)


@pytest.mark.parametrize("digit", list("3456789*#ABCD") + [""])
def test_other_keys_say_nothing(digit: str) -> None:
    phone = opt_in().key(digit).heard().key(digit)
    assert phone.dialogue.result is None and phone.dialogue.state is State.WAITING


# --- opt-out --------------------------------------------------------------------------------------


def test_opt_out_heard_to_the_end_and_silent() -> None:
    phone = opt_out().heard().waited()
    assert phone.flow == ["PROMPT_OPTOUT", "wait 3"] and phone.answer == ("accepted", "heard", True)


def test_opt_out_silence_is_a_no_where_the_country_says_so() -> None:
    phone = opt_out(silence="do_not_record").heard().waited()
    assert phone.flow[-1] == "PROMPT_TIMEOUT" and phone.answer == ("silent", "timeout", False)


@pytest.mark.promise("2.3")
@pytest.mark.parametrize("before", [0, 1])
def test_opt_out_2_refuses_during_the_prompt_and_after(before: int) -> None:
    phone = opt_out()
    for _ in range(before):
        phone.heard()
    assert phone.key("2").heard().answer == ("refused", "key2", True)


def test_opt_out_1_accepts_at_once() -> None:
    assert opt_out(silence="do_not_record").key("1").answer == ("accepted", "key1", True)


def test_opt_out_0_tells_more_and_informs_again_before_silence_counts() -> None:
    phone = opt_out().key("0").heard()
    assert phone.dialogue.result is None
    phone.heard().waited()
    assert phone.flow == ["PROMPT_OPTOUT", "PROMPT_LONG", "PROMPT_OPTOUT", "wait 3"]
    assert phone.answer == ("accepted", "heard", True)


# --- announcement ---------------------------------------------------------------------------------


def test_announce_heard_to_the_end() -> None:
    phone = announce().heard()
    assert phone.flow == ["PROMPT_ANNOUNCE"] and phone.answer == ("accepted", "heard", True)


@pytest.mark.parametrize("digit", list("013456789*#"))
def test_announce_no_key_cuts_it_short(digit: str) -> None:
    assert announce().key(digit).dialogue.result is None


def test_announce_2_refuses() -> None:
    assert announce().key("2").heard().answer == ("refused", "key2", True)


@pytest.mark.parametrize("mode", [ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, ConsentMode.OPT_IN])
def test_a_refusal_ends_the_call_where_the_pack_says_so(mode: ConsentMode) -> None:
    phone = Phone(terms(mode, on_refusal="end_call")).key("2")
    assert phone.flow[-1] == "PROMPT_MUST_END"
    assert phone.dialogue.result is not None and phone.dialogue.result.end_call


def test_silence_ends_the_call_too_where_nothing_unrecorded_is_allowed() -> None:
    phone = opt_in(on_refusal="end_call").heard().waited()
    assert phone.flow[-1] == "PROMPT_MUST_END" and phone.dialogue.result is not None and phone.dialogue.result.end_call


# --- statute --------------------------------------------------------------------------------------


def test_a_statute_asks_nothing() -> None:
    phone = Phone(terms(ConsentMode.NONE, prompt_id=None))
    assert phone.flow == [] and phone.answer == ("accepted", "statute", True)
    assert phone.key("2").heard().answer == ("accepted", "statute", True)


@pytest.mark.parametrize("mode", list(ConsentMode)[1:])
def test_no_question_no_dialogue(mode: ConsentMode) -> None:
    with pytest.raises(ValueError, match="not asked"):
        begin(terms(mode, prompt_id=None))


def test_what_is_forbidden_is_not_asked() -> None:
    with pytest.raises(ValueError, match="not asked"):
        begin(terms(ConsentMode.FORBIDDEN, prompt_id="PROMPT_OPTIN"))


# --- every mode -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(QUESTION))
def test_a_failed_prompt_is_no_consent(mode: ConsentMode) -> None:
    phone = Phone(terms(mode)).failed()
    assert phone.answer == ("failed", "prompt_failed", True) and len(phone.flow) == 1


@pytest.mark.parametrize("mode", [ConsentMode.OPT_OUT, ConsentMode.OPT_IN])
def test_a_failed_long_notice_is_no_consent(mode: ConsentMode) -> None:
    assert Phone(terms(mode)).key("0").failed().answer[0] == "failed"


@pytest.mark.parametrize("mode", list(QUESTION))
@pytest.mark.parametrize("moment", ["at once", "after the question", "while closing"])
def test_hanging_up_is_no_consent(mode: ConsentMode, moment: str) -> None:
    phone = Phone(terms(mode))
    if moment == "after the question" and mode is not ConsentMode.ANNOUNCE:
        phone.heard()
    if moment == "while closing":
        phone.key("2")
    outcome, act, finished = phone.hangs_up().answer
    assert finished and (outcome, act) == (("refused", "key2") if moment == "while closing" else ("failed", "hangup"))


@pytest.mark.parametrize("mode", list(QUESTION))
def test_last_words_that_fail_change_nothing(mode: ConsentMode) -> None:
    assert Phone(terms(mode)).key("2").failed().answer == ("refused", "key2", True)


def test_a_decision_is_not_turned_round_while_it_is_said() -> None:
    assert opt_in().key("2").key("1").heard().key("1").answer == ("refused", "key2", True)


def test_the_late_end_of_an_interrupted_prompt_is_not_the_end_of_the_question() -> None:
    phone = announce()
    first = phone.turn
    assert phone.key("2").late_end(first).answer == ("refused", "key2", False)
    phone = opt_out()
    first = phone.turn
    phone.key("0").heard()  # the question begins again
    assert phone.late_end(first).dialogue.state is State.ASKING


@pytest.mark.parametrize("mode", list(QUESTION))
def test_every_state_lists_every_input(mode: ConsentMode) -> None:
    assert set(TABLE[mode]) == set(State)
    assert all(set(row) == set(Input) for row in TABLE[mode].values())


inputs = st.lists(
    st.one_of(
        st.sampled_from(["end", "fail", "time", "gone"]),
        st.sampled_from(list("0123#*")).map(Key),
        st.integers(0, 12).map(PromptEnded),
        st.integers(0, 12).map(TimedOut),
        st.integers(0, 12).map(PromptFailed),
    ),
    max_size=20,
)


@pytest.mark.promise("L1")
@given(
    st.sampled_from(list(QUESTION)),
    st.sampled_from(["record", "do_not_record"]),
    st.sampled_from(["continue", "end_call"]),
    inputs,
)
def test_nobody_accepts_who_neither_heard_the_question_nor_pressed_1(
    mode: ConsentMode, silence: str, on_refusal: str, happenings: list[Any]
) -> None:
    dialogue, commands = begin(terms(mode, silence=silence, on_refusal=on_refusal))
    playing: dict[int, str] = {}
    turn, heard, pressed, result = 0, False, False, None
    for happening in [None, *happenings]:
        if happening is not None:
            named = {"end": PromptEnded(turn), "fail": PromptFailed(turn), "time": TimedOut(turn), "gone": LegGone()}
            event: Event = named[happening] if isinstance(happening, str) else happening
            heard |= isinstance(event, PromptEnded) and event.turn == turn and playing.get(turn) == QUESTION[mode]
            pressed |= event == Key("1")
            dialogue, commands = step(dialogue, event)
        for command in commands:
            turn = command.turn
            if isinstance(command, Play):
                playing[turn] = command.prompt_id
        if result is not None:
            assert dialogue.result == result  # decided once
        result = dialogue.result
    if result is not None and result.outcome is Outcome.ACCEPTED:
        assert not result.end_call
        assert (result.act == "key1" and pressed) or (result.act == "heard" and heard and result.heard_to_end)
        if mode is ConsentMode.OPT_IN:
            assert pressed and result.act == "key1"
        if mode is ConsentMode.OPT_OUT and silence == "do_not_record":
            assert result.act == "key1"
    if dialogue.finished:
        assert isinstance(dialogue, Dialogue) and result is not None
