"""The state of one leg of a conversation, as a table.

A leg is one SIP dialog between a worker and a phone (RFC 3261 section 12). Every state is listed, also those that
accept nothing; whatever the table does not name changes nothing. The diagram in docs/architecture.md is this table.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from sip.worker import protocol as p


class LegState(Enum):
    """Where a leg stands."""

    ASKED = "asked"  # its INVITE has been sent or received
    RINGING = "ringing"  # a provisional answer without media has passed
    EARLY = "early"  # media flows before the answer (183)
    UP = "up"  # 200 and ACK have passed
    DOWN = "down"  # over, for whatever reason


_RING = "ring"  # LegRinging without media
_MEDIA = "media"  # LegRinging with media
_UP = "up"
_DOWN = "down"

TRANSITIONS: Final[dict[LegState, dict[str, LegState]]] = {
    LegState.ASKED: {
        _RING: LegState.RINGING,
        _MEDIA: LegState.EARLY,
        _UP: LegState.UP,
        _DOWN: LegState.DOWN,
    },
    LegState.RINGING: {_MEDIA: LegState.EARLY, _UP: LegState.UP, _DOWN: LegState.DOWN},
    LegState.EARLY: {_UP: LegState.UP, _DOWN: LegState.DOWN},
    LegState.UP: {_DOWN: LegState.DOWN},
    LegState.DOWN: {},
}


def step(state: LegState, event: p.Event) -> LegState:
    """The state after ``event``, an event of that leg."""
    match event:
        case p.LegRinging(media=media):
            name = _MEDIA if media else _RING
        case p.LegUp():
            name = _UP
        case p.LegDown():
            name = _DOWN
        case _:
            return state
    return TRANSITIONS[state].get(name, state)


# --- what several refusals come to ----------------------------------------------------------------

# When all that was dialled has refused, one answer goes to the caller: the one that says most about the person
# called (RFC 3261 section 16.7 step 6 leaves the choice among 4xx to us).
_TELLING: Final = (603, 600, 486, 480, 404, 408)
NO_ANSWER: Final = 480


def best_refusal(codes: list[int]) -> int:
    """One SIP status for the caller out of those of all dialled legs; 480 if none came.

    401 and 407 are between the edge and a phone and never passed on: a caller's phone would answer them with its own
    password, again and again.
    """
    seen = [502 if code in (401, 407) else code for code in codes if code >= 300]
    for code in _TELLING:
        if code in seen:
            return code
    return min(seen, default=NO_ANSWER)
