"""What an outside call costs, and how long those of one account may still go on. Pure.

Money is counted in millionths of a euro, as whole numbers. A provider charges each unit (a minute, a second) as soon
as it has begun.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_S = 86_400  # nobody asks for more


@dataclass(frozen=True, slots=True)
class Charge:
    """How a provider charges a number."""

    per_unit_microeuros: int = 0
    unit_s: int = 60  # 60: each minute begun; 1: each second begun
    setup_microeuros: int = 0  # once, when it is answered

    def cost(self, talk_s: float) -> int:
        """Microeuros for a conversation of this length; 0 for one that was not answered."""
        if talk_s <= 0:
            return 0
        return self.setup_microeuros + math.ceil(talk_s / self.unit_s) * self.per_unit_microeuros


@dataclass(frozen=True, slots=True)
class Running:
    """One outside conversation that goes on."""

    talk_s: float  # so far
    charge: Charge

    def more(self, seconds: float) -> int:
        """Microeuros that so many seconds more will cost."""
        return self.charge.cost(self.talk_s + seconds) - self.charge.cost(self.talk_s)


@dataclass(frozen=True, slots=True)
class Left:
    """What an account, or a trunk, has left, with all that its running calls have used until now taken off.

    None: no ceiling.
    """

    seconds: float | None = None
    microeuros: int | None = None


def share_s(left: Left, running: Sequence[Running]) -> float | None:
    """Seconds that each of these calls may still go on, if all of them do: parallel calls share what is left.

    None: no ceiling stands in the way. Never negative. In whole seconds where money is the limit.
    """
    if not running:
        return None
    limits: list[float] = []
    if left.seconds is not None:
        limits.append(max(0.0, left.seconds / len(running)))
    if left.microeuros is not None and any(one.charge.per_unit_microeuros for one in running):
        limits.append(float(_affordable_s(left.microeuros, running)))
    return min(limits, default=None)


def _affordable_s(microeuros: int, running: Sequence[Running]) -> int:
    """The most seconds that can be paid for: the price only rises with time, so they are found by halving."""
    few, many = 0, LONGEST_S
    while few < many:
        middle = (few + many + 1) // 2
        if sum(one.more(middle) for one in running) <= microeuros:
            few = middle
        else:
            many = middle - 1
    return few
