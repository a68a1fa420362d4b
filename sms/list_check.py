"""A list between reading and writing: which lines can be used, once their numbers were looked through.

Pure: somebody else looks through the numbers, some at a time, and tells what was found.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from sms.lists import LineError, Sheet

Row = tuple[int, str, dict[str, str]]
SAME = "the same number as in line"
MOST_TOLD = 100  # lines of numbers that cannot be entered


def entering(
    numbers: Sequence[tuple[int, str]], at_once: int, *, partial: bool
) -> Generator[tuple[Sequence[tuple[int, str]], bool], Mapping[str, Any] | None, dict[str, Any]]:
    """Numbers onto a list: all are entered, or none; with `partial` those that can be used.

    `numbers`: line of the file, and what stands there. Yields some of them and whether they are to be written, first
    all to be looked through only; is sent what was said of them: added, known and wrong, as counts, and errors. Returns
    the sums, with the first of the errors: nothing was added where some are wrong and not left out.
    """
    sums: dict[str, Any] = {}
    for write in (False, True):
        if write and sums["wrong"] and not partial:
            return {**sums, "added": 0}
        sums = {"added": 0, "known": 0, "wrong": 0, "errors": []}
        for at in range(0, len(numbers), at_once):
            said = yield numbers[at : at + at_once], write
            assert said is not None  # who asks answers
            sums = {name: sums[name] + (list(said[name]) if name == "errors" else said[name]) for name in sums}
            sums["errors"] = sums["errors"][:MOST_TOLD]
    return sums


class Check:
    """Of one sheet. No number stands twice: the first line that has it keeps it."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._errors = list(sheet.errors)
        self._numbers: dict[int, str] = {}  # by line, in international form
        self._lines: dict[str, int] = {}  # by number

    def pieces(self, at_once: int) -> Iterator[list[tuple[int, str]]]:
        """Line and what stands there, to be looked through."""
        entries = self._sheet.entries
        for at in range(0, len(entries), at_once):
            yield [(one.line, one.number) for one in entries[at : at + at_once]]

    def looked(self, numbers: Sequence[tuple[int, str]], errors: Sequence[tuple[int, str, str]]) -> None:
        """Line and number of those that can be used; line, problem and remedy of the others."""
        column = self._sheet.number_column
        self._errors += [LineError(line, column, problem, remedy) for line, problem, remedy in errors]
        for line, number in numbers:
            first = self._lines.setdefault(number, line)
            if first == line:
                self._numbers[line] = number
            else:
                self._errors.append(LineError(line, column, f"{SAME} {first}", "Take one of them out"))

    @property
    def errors(self) -> list[LineError]:
        return sorted(self._errors, key=lambda one: one.line)

    def refuses(self, *, skip: bool) -> bool:
        """All lines are taken, or none; with `skip` those that can be used."""
        return bool(self._errors) and not skip

    @property
    def usable(self) -> int:
        return len(self._numbers)

    def rows(self, at_once: int) -> Iterator[list[Row]]:
        """Those that can be used, as they are written."""
        good = [
            (one.line, self._numbers[one.line], one.fields) for one in self._sheet.entries if one.line in self._numbers
        ]
        for at in range(0, len(good), at_once):
            yield good[at : at + at_once]
