"""How somebody is asked before being recorded."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ConsentMode(IntEnum):
    """In order of strictness: a larger value asks for more, so the strictest of several is their maximum."""

    NONE = 0  # recorded without asking: only where a statute says so
    ANNOUNCE = 1  # told, to the end, before anything is captured
    OPT_OUT = 2  # told, and may refuse with a key now or at any time
    OPT_IN = 3  # recorded only after saying yes with a key
    FORBIDDEN = 4  # not recorded at all

    @classmethod
    def parse(cls, text: str) -> ConsentMode:
        """From the words of the data files and the command line (`opt-in`). Raises ValueError."""
        for mode in cls:
            if str(mode) == text.strip().lower().replace("_", "-"):
                return mode
        raise ValueError(f"{text!r} is not one of {', '.join(str(mode) for mode in cls)}")

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


def strictest(modes: Iterable[ConsentMode]) -> ConsentMode:
    """The strictest of the modes. Raises ValueError where there is none: nobody asked is not consent."""
    return max(modes)
