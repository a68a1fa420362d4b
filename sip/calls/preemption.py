"""Who gives way when an emergency call finds everything taken. Pure.

What is only said about a refused call goes first; then the newest ordinary call: whoever has talked longest is
disturbed last. An emergency call never gives way, to another one neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

CAUSE = "emergency-preempted"  # Outcome.cause of a call that gave way


@dataclass(frozen=True, slots=True)
class Seat:
    """What a call that goes on takes up."""

    call_id: str
    began_at: datetime
    emergency: bool = False
    trunks: tuple[str, ...] = ()  # ids of trunks that it holds a channel of, one entry a channel
    leaving: bool = False  # it is being ended already: what it holds comes free by itself
    announcement: bool = False  # no call: a refusal is spoken


def gives_way(calls: Iterable[Seat], trunk: str | None = None) -> str | None:
    """Id of the call to be ended for an emergency call; None if there is none that may be.

    ``trunk``: a channel of this one is wanted. None: a worker, a port, a place among the calls at once.
    """
    ordinary = [one for one in calls if not one.emergency and not one.leaving]
    if trunk is not None:
        ordinary = [one for one in ordinary if trunk in one.trunks]
    newest = max(ordinary, key=lambda one: (one.announcement, one.began_at, one.call_id), default=None)
    return newest.call_id if newest is not None else None


def channels(calls: Iterable[Seat]) -> dict[str, int]:
    """Channels in use of each trunk that has any."""
    used: dict[str, int] = {}
    for call in calls:
        for trunk in call.trunks:
            used[trunk] = used.get(trunk, 0) + 1
    return used
