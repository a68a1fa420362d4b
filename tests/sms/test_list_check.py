"""Numbers onto a list: as a whole, or those that can be used, asked about some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sms.list_check import MOST_TOLD, entering

Numbers = Sequence[tuple[int, str]]


def entered(numbers: Numbers, wrong: set[int], *, partial: bool) -> tuple[dict[str, Any], list[tuple[int, bool]]]:
    """What came of it where these lines cannot be used; how many were asked about each time, and whether to write."""
    steps, asked, said = entering(numbers, 100, partial=partial), list[tuple[int, bool]](), None
    while True:
        try:
            some, write = steps.send(said)
        except StopIteration as end:
            return end.value, asked
        asked.append((len(some), write))
        bad = [{"line": line} for line, _ in some if line in wrong]
        said = {"added": len(some) - len(bad), "known": 0, "wrong": len(bad), "errors": bad}


NUMBERS = [(line, f"06{line:08d}") for line in range(1, 251)]
LOOKED, WRITTEN = [(100, False), (100, False), (50, False)], [(100, True), (100, True), (50, True)]


def test_all_are_looked_through_before_one_is_entered() -> None:
    assert entered(NUMBERS, set(), partial=False) == (
        {"added": 250, "known": 0, "wrong": 0, "errors": []},
        LOOKED + WRITTEN,
    )


@pytest.mark.parametrize(("partial", "added", "asked"), [(False, 0, LOOKED), (True, 249, LOOKED + WRITTEN)])
def test_one_wrong_line_keeps_all_out_unless_it_is_left_out(
    partial: bool, added: int, asked: list[tuple[int, bool]]
) -> None:
    sums, steps = entered(NUMBERS, {250}, partial=partial)
    assert (sums["added"], sums["wrong"], sums["errors"], steps) == (added, 1, [{"line": 250}], asked)


def test_the_first_lines_that_are_wrong_are_named() -> None:
    sums, _ = entered(NUMBERS, set(range(20, 240)), partial=True)
    assert (sums["added"], sums["wrong"]) == (30, 220)
    assert [one["line"] for one in sums["errors"]] == list(range(20, 20 + MOST_TOLD))
