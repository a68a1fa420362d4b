"""A list of recipients between reading and writing: which lines can be used, once their numbers were looked through.

Pure: somebody else looks through the numbers, some at a time, and tells what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sms.lists import LineError, Sheet

Row = tuple[int, str, dict[str, str]]
SAME = "the same number as in line"


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
