"""Which refusals are spoken: workers to spare, one at a time to an account, and not again and again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls.announcements import A_MINUTE, Announcements


def test_an_account_is_told_one_thing_at_a_time() -> None:
    made = Announcements()
    assert made.begin("alice", 0.0)
    assert not made.begin("alice", 1.0), "another phone of hers, or the same that redials"
    assert made.begin("bob", 1.0)
    made.end("alice")
    assert made.begin("alice", 2.0)


def test_a_phone_that_redials_is_told_a_few_times_a_minute() -> None:
    made = Announcements()
    told = []
    for second in range(120):
        if made.begin("alice", float(second)):
            told.append(second)
            made.end("alice")
    assert len([at for at in told if at < 60]) == A_MINUTE and len(told) == 2 * A_MINUTE
    assert made.begin("bob", 59.0), "others are not concerned"


def test_what_is_refused_does_not_count_against_the_minute() -> None:
    made = Announcements()
    assert made.begin("alice", 0.0)
    for second in range(50):
        assert not made.begin("alice", float(second))
    made.end("alice")
    assert made.begin("alice", 51.0)


@pytest.mark.parametrize(
    ("capacity", "taken", "room"),
    [
        (8, 1, True),
        (8, 4, True),
        (8, 5, False),
        (4, 1, True),
        (4, 2, True),
        (4, 3, False),
        (3, 1, False),
        (0, 0, False),
    ],
)
def test_half_of_the_machine_stays_free(capacity: int, taken: int, room: bool) -> None:
    assert Announcements().room(capacity, taken) is room


@given(st.integers(1, 60), st.lists(st.text("abc", min_size=1, max_size=2), max_size=80))
def test_never_more_than_one_call_in_four_is_an_announcement(capacity: int, accounts: list[str]) -> None:
    made = Announcements()
    running = 0
    for account in accounts:
        if made.room(capacity, running + 1) and made.begin(account, 0.0):
            running += 1
    assert running * 4 <= capacity


def test_what_was_made_long_ago_is_forgotten() -> None:
    made = Announcements()
    for number in range(50):
        made.begin(f"account {number}", float(number))
        made.end(f"account {number}")
    made.begin("alice", 1000.0)
    assert list(made._made) == ["alice"]
