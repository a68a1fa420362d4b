"""Which calls of a sampled purpose are recorded: a share, drawn so that nobody foresees it, and capped by count.

A sample may not become all calls (CNIL, SAN-2024-014). Two things decide, both pure: a keyed hash of the call's id
against the rate, and a count: of the conversations that were held in the running window, with this one not more than
the ceiling of the pack are recorded. So the share really recorded never passes the ceiling, at any moment of a window,
for few calls neither. What is drawn is taken at once; what came to nothing is given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from config.periods import Period

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Sampling:
    """Shares in thousandths. `window`: how long is counted before counting begins anew."""

    per_mille: int
    ceiling: int
    window: Period


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one line in one window. `held`: conversations. `taken`: recorded, or being decided."""

    held: int = 0
    taken: int = 0


def falls(digest: bytes, per_mille: int) -> bool:
    """Whether a call is among that share, by a keyed hash of its id: the same call always falls the same way."""
    drawn = int.from_bytes(digest[:_DIGEST_BYTES], "big")
    return drawn * 1000 < per_mille << (8 * _DIGEST_BYTES)


def room(sampling: Sampling, counts: Counts) -> bool:
    """Whether one more leaves the share at or below the ceiling, were no other conversation ever held."""
    return (counts.taken + 1) * 1000 <= sampling.ceiling * counts.held


def window_start(anchor: datetime, window: Period, now: datetime) -> date:
    """Day on which the running window began. Windows follow on each other from `anchor`, the policy's first day: a new
    policy begins a new one, so that each by itself is within the ceiling and so is their sum."""
    begin = anchor
    while (after := window.after(begin)) <= now:
        if after <= begin:
            raise ValueError("a window of no length")
        begin = after
    return begin.date()
