"""The echo test: whoever calls hears the own voice, and is told how the own connection is.

The result is spoken after a while, and whenever # is pressed; somebody of whom nothing arrives is told so at once.
While it is spoken there is no echo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sip.calls.acts import TimedOut
from sip.calls.core import Core, Ended, Step
from sip.calls.diagnosis import ECHO_PROMPTS, echo_result
from sip.calls.history import LegHistory, Stretch
from sip.calls.watch import figures_of
from sip.worker import protocol as p

HEARD_S = 8.0  # within which something must have arrived
RESULT_S = 30.0  # after which the result is spoken unasked
MAX_S = 300.0
MEASURE_S = 1.5  # for the worker to tell the figures
TELLINGS = 3  # of "we do not hear you", unasked
RESULT_KEY = "#"
PROMPTS: Final = ("PROMPT_ECHO", *ECHO_PROMPTS)


def run(core: Core, leg: str, other_key: Callable[[p.Digit], Step[None]]) -> Step[None]:
    """Until somebody hangs up (Left) or the time is over (Ended). Echo is on already."""
    began_s = core.now_s
    until_s, due_s = began_s + MAX_S, began_s + HEARD_S
    told = 0
    while True:
        event = yield from core.next(min(due_s, until_s) - core.now_s)
        match event:
            case p.Digit(digit=digit) if event.leg == leg and digit == RESULT_KEY:
                yield from _tell(core, leg, (yield from _measure(core, leg)))
            case p.Digit():
                yield from other_key(event)
            case TimedOut() if core.now_s >= until_s - 0.01:
                raise Ended(200, "time-limit", "The echo test ends")
            case TimedOut():
                quality = yield from _measure(core, leg)
                if quality is not None and not quality.rx_packets and told < TELLINGS:
                    told += 1
                    yield from _tell(core, leg, quality)
                    due_s = core.now_s + HEARD_S
                elif core.now_s < began_s + RESULT_S:
                    due_s = began_s + RESULT_S
                else:
                    yield from _tell(core, leg, quality)
                    due_s = until_s


def _measure(core: Core, leg: str) -> Step[p.LegQuality | None]:
    """The leg's figures; None if the worker does not tell them."""
    yield p.Measure(leg)
    until_s = core.now_s + MEASURE_S
    while True:
        event = yield from core.next(until_s - core.now_s)
        match event:
            case p.LegQuality(leg=measured) if measured == leg:
                return event
            case TimedOut():
                return None


def _tell(core: Core, leg: str, quality: p.LegQuality | None) -> Step[None]:
    if quality is None:
        return
    stretch = Stretch("start", 0, figures_of(quality), peak=quality.level)
    yield p.Echo(leg, False)
    yield from core.say(leg, echo_result(LegHistory(leg, codec=quality.codec, stretches=(stretch,))))
    yield p.Echo(leg, True)
