"""Why there is no call, said to the phone that wanted it: in early media (RFC 3960 section 3.1), so that nothing is
answered and nothing is billed; then the status comes, as if nothing had been said.

Whatever goes wrong, and whoever ends it before its time, the status is the same.
"""

from __future__ import annotations

from typing import Final, NoReturn

from sip.calls.acts import TimedOut
from sip.calls.core import Core, Ended, Step
from sip.calls.legs import LegState
from sip.calls.plan import Refusal
from sip.worker import protocol as p

EARLY_S = 2.0  # from our 183 to media
SPARE_S = 3.0  # over the length of the sentence, until the status comes in any case
LOST: Final = "engine-lost"


def run(core: Core, leg: str) -> Step[NoReturn]:
    """Raises Ended with the refusal, Left if the phone hangs up before."""
    refusal = core.plan.refusal
    assert refusal is not None
    try:
        yield from _say(core, leg, refusal)
    except Ended as end:
        if end.cause == LOST:
            raise
    raise _end(refusal)


def _say(core: Core, leg: str, refusal: Refusal) -> Step[None]:
    def enough() -> Step[None]:
        raise _end(refusal)
        yield

    core.alarm("refusal", core.now_s + EARLY_S + core.seconds_of(leg, refusal.prompt) + SPARE_S, enough)
    yield p.Answer(leg, 183, "Session Progress")
    core.legs[leg] = LegState.EARLY
    until_s = core.now_s + EARLY_S
    while leg not in core.media:
        event = yield from core.next(until_s - core.now_s)
        if isinstance(event, TimedOut):
            return
    yield from core.say(leg, refusal.prompt)


def _end(refusal: Refusal) -> Ended:
    return Ended(refusal.code, refusal.cause, refusal.reason, told=True)
