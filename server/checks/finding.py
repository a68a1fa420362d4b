"""One thing that was looked at, in plain words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`note`: it works, but somebody should know. `remedy` is empty only where the verdict is ok."""

    check: str
    verdict: Verdict
    what: str
    remedy: str = ""

    def plain(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def note(check: str, what: str, remedy: str) -> Finding:
    return Finding(check, "note", what, remedy)


def wrong(check: str, what: str, remedy: str) -> Finding:
    return Finding(check, "wrong", what, remedy)
