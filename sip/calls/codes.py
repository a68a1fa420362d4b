"""Codes that a phone dials instead of a number: do not disturb, forwards, pick-up, a private call. Pure.

``*43`` (echo test) is a line with that number, and ``*112`` a drill (``sip.calls.emergency``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Deed = Literal["dnd", "forward", "pick-up", "private"]
# Code, field of CallSettings. What follows the first of each pair is where calls go.
_FORWARDS = {
    "*72": "forward_always",
    "*90": "forward_busy",
    "*52": "forward_no_answer",
    "*54": "forward_unregistered",
}
_NO_FORWARD = {
    "*73": "forward_always",
    "*91": "forward_busy",
    "*53": "forward_no_answer",
    "*55": "forward_unregistered",
}
PRIVATE = "*8"
PICK_UP = "**"


@dataclass(frozen=True, slots=True)
class Code:
    """What is asked. ``on``: for dnd and forwards. ``field``: of CallSettings, for forwards."""

    deed: Deed
    on: bool = True
    field: str = ""
    argument: str = ""  # what follows the code, as dialled


def read(dialled: str) -> Code | None:
    """The code in what was dialled; None where it is none, or lacks what has to follow."""
    if dialled.startswith(PICK_UP):
        return _with("pick-up", dialled.removeprefix(PICK_UP))
    if dialled in ("*78", "*79"):
        return Code("dnd", on=dialled == "*78")
    if dialled in _NO_FORWARD:
        return Code("forward", on=False, field=_NO_FORWARD[dialled])
    for code, field in _FORWARDS.items():
        if dialled.startswith(code):
            return _with("forward", dialled.removeprefix(code), field)
    if dialled.startswith(PRIVATE):
        return _with("private", dialled.removeprefix(PRIVATE))
    return None


def _with(deed: Deed, argument: str, field: str = "") -> Code | None:
    argument = argument.removesuffix("#") if deed != "private" else argument
    return Code(deed, field=field, argument=argument) if argument else None
