"""Whether the clock may be believed when it says that something has expired. Pure.

A clock that is ahead would destroy everything early, and nothing brings it back. So a sweep looks at what the clock
said before, and at a second clock that nobody can set (monotonic). In doubt it waits for somebody's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

BACK = timedelta(minutes=5)  # NTP moves less
AHEAD = timedelta(hours=1)  # beyond what the other clock has counted
AWAY = timedelta(days=30)  # a server that was off for longer is rare, and somebody switches it on


@dataclass(frozen=True, slots=True)
class Look:
    """What the clock said at some moment, and what the monotonic clock of this process said then (seconds; None: it was
    another process)."""

    at: datetime
    monotonic_s: float | None = None


def doubt(last: Look | None, now: datetime, monotonic_s: float) -> str:
    """Why ``now`` is not to be believed; "" where it is. ``last``: the newest trustworthy look."""
    if last is None:
        return ""
    if now < last.at - BACK:
        return f"the clock has gone back by {_span(last.at - now)}"
    if last.monotonic_s is not None:
        ahead = (now - last.at) - timedelta(seconds=monotonic_s - last.monotonic_s)
        return f"the clock has jumped ahead by {_span(ahead)}" if ahead > AHEAD else ""
    return (
        f"nothing was written for {_span(now - last.at)}: was this server off, or is its clock ahead?"
        if (now - last.at > AWAY)
        else ""
    )


def _span(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
