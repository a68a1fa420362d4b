"""How many connections, and how many texts in a time. Pure: the clock is handed in, in seconds of any origin."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_FORGET_ABOVE = 1000  # senders, before those that have all their tokens back are forgotten


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` texts at once, then one every `every_s` seconds."""

    burst: int = 20
    every_s: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.burst <= 100000 or not 0.001 <= self.every_s <= 86400:
            raise ValueError("a rate has 1 to 100000 at once, and one every 0.001 to 86400 seconds")


class Buckets:
    """A bucket of tokens for each sender."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at: dict[str, float] = {}  # when the last token will be back

    def wait_s(self, sender: str, now: float) -> float:
        """How long until one may be taken; 0: now. Seconds."""
        room = self._rate.every_s * (self._rate.burst - 1)
        return max(0.0, self._full_at.get(sender, now) - now - room)

    def take(self, sender: str, now: float) -> bool:
        """One token, if there is one."""
        # A token that is back but for the rounding of a sum is back.
        if self.wait_s(sender, now) > self._rate.every_s / 1e6:
            return False
        self._full_at[sender] = max(self._full_at.get(sender, now), now) + self._rate.every_s
        if len(self._full_at) > _FORGET_ABOVE:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        return True


class Places:
    """Connections that are open, in all and from one address."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._of: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._of.total()

    def enter(self, peer: str) -> bool:
        """Whether there is room. Whoever entered leaves."""
        if self._of.total() >= self._most or self._of[peer] >= self._most_each:
            return False
        self._of[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        self._of[peer] -= 1
        if self._of[peer] <= 0:
            del self._of[peer]
