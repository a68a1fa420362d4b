"""Keys pressed in conversation: what is a staff member's code, and what goes to the other side. Pure.

A staff member's ``*`` begins a code; the digit after it must come within three seconds. A complete code never reaches
the other side; what turns out to be none does, in the order in which it was pressed.
"""

from __future__ import annotations

CODE_S = 3.0  # within which the digit after a staff member's * must come


class Codes:
    """The keys of one leg of staff."""

    def __init__(self) -> None:
        self._star_at_s: float | None = None  # when a * was pressed that is not complete yet

    def press(self, digit: str, codes: str, now_s: float) -> tuple[str, str]:
        """``(code, passed)``: the digit of a complete code, or "", and what goes to the other side.

        ``codes``: digits that make a code with a star now.
        """
        starred = self._star_at_s is not None and now_s - self._star_at_s <= CODE_S
        late = "*" if self._star_at_s is not None else ""
        self._star_at_s = None
        if starred and digit in codes:
            return digit, ""
        if digit == "*" and codes:
            self._star_at_s = now_s
            return "", late
        return "", late + digit

    def give_up(self) -> str:
        """What goes to the other side because nothing came after it."""
        pending, self._star_at_s = self._star_at_s, None
        return "" if pending is None else "*"

    @property
    def waits(self) -> bool:
        """Whether a * has been pressed and its digit has not."""
        return self._star_at_s is not None
