"""The table of a leg's states, and what several refusals come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls.legs import NO_ANSWER, TRANSITIONS, LegState, best_refusal, step
from sip.worker import protocol as p

EVERY_EVENT = [
    p.Ready(1, 1),
    p.Incoming("a", "x"),
    p.LegRinging("a", 180, False),
    p.LegRinging("a", 183, True),
    p.LegUp("a"),
    p.LegDown("a", 200),
    p.LegDialled("a", "x"),
    p.LegMedia("a", True),
    p.LegNetwork("a", "private", "public", True, True),
    p.LegMedia("a", False),
    p.PlayEnded("a", 1, 0, True),
    p.PlayFailed("a", 1, "x"),
    p.Digit("a", "1", 0),
    p.Captured(),
    p.CaptureFailed("x"),
    p.CaptureStopped(),
    p.LegQuality("a", 0, 0, 0, 0, 0),
    p.Trouble("x", "y"),
    p.Left(0),
]
RING, EARLY, UP, DOWN = EVERY_EVENT[2], EVERY_EVENT[3], EVERY_EVENT[4], EVERY_EVENT[5]


def test_every_event_of_the_protocol_is_tried_here() -> None:
    assert {type(event) for event in EVERY_EVENT} == set(p.Event.__args__)


def test_every_state_is_listed_also_those_that_accept_nothing() -> None:
    assert set(TRANSITIONS) == set(LegState)
    assert TRANSITIONS[LegState.DOWN] == {}
    assert all(after in LegState for accepted in TRANSITIONS.values() for after in accepted.values())


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (LegState.ASKED, RING, LegState.RINGING),
        (LegState.ASKED, EARLY, LegState.EARLY),
        (LegState.ASKED, UP, LegState.UP),
        (LegState.ASKED, DOWN, LegState.DOWN),
        (LegState.RINGING, RING, LegState.RINGING),
        (LegState.RINGING, EARLY, LegState.EARLY),
        (LegState.RINGING, UP, LegState.UP),
        (LegState.EARLY, RING, LegState.EARLY),  # a 180 after the 183: media goes on
        (LegState.EARLY, UP, LegState.UP),
        (LegState.UP, RING, LegState.UP),
        (LegState.UP, DOWN, LegState.DOWN),
        (LegState.DOWN, UP, LegState.DOWN),  # a late 200
        (LegState.DOWN, DOWN, LegState.DOWN),
    ],
    ids=str,
)
def test_what_moves_a_leg(state: LegState, event: p.Event, after: LegState) -> None:
    assert step(state, event) is after


@given(st.sampled_from(LegState), st.sampled_from(EVERY_EVENT))
def test_what_the_table_does_not_name_changes_nothing(state: LegState, event: p.Event) -> None:
    moved = step(state, event)
    if moved is not state:
        assert isinstance(event, p.LegRinging | p.LegUp | p.LegDown)
        assert moved in TRANSITIONS[state].values()


@given(st.lists(st.sampled_from(EVERY_EVENT)))
def test_a_leg_that_is_down_stays_down(events: list[p.Event]) -> None:
    state, was_down = LegState.ASKED, False
    for event in events:
        state = step(state, event)
        assert not was_down or state is LegState.DOWN
        was_down = state is LegState.DOWN


# --- best_refusal -------------------------------------------------------------------------------------------------

CODES = st.lists(st.integers(100, 699), max_size=6)


@given(CODES)
def test_the_caller_gets_one_final_refusal(codes: list[int]) -> None:
    assert 300 <= best_refusal(codes) <= 699


@given(CODES)
def test_the_caller_is_never_asked_for_a_password_by_a_phone(codes: list[int]) -> None:
    """The caller's phone would answer with its own, again and again."""
    assert best_refusal([*codes, 401, 407]) not in (401, 407)


@given(CODES)
def test_the_order_in_which_phones_refuse_does_not_matter(codes: list[int]) -> None:
    assert best_refusal(codes) == best_refusal(codes[::-1]) == best_refusal(sorted(codes))


@given(CODES)
def test_the_answer_is_one_that_was_given_or_says_that_none_came(codes: list[int]) -> None:
    refused = [code for code in codes if code >= 300]
    seen = {502 if code in (401, 407) else code for code in refused}
    assert best_refusal(codes) in seen if refused else best_refusal(codes) == NO_ANSWER


@given(CODES)
def test_what_a_person_did_says_more_than_what_a_network_did(codes: list[int]) -> None:
    assert best_refusal([*codes, 603]) == 603
    if not {603, 600} & set(codes):
        assert best_refusal([*codes, 486]) == 486
