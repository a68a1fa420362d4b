"""Which refusals are spoken. Pure.

Speaking is a courtesy and takes a worker for some seconds. So it is done while most of the machine is free, to one
phone of an account at a time, and not again and again: a phone that redials all day gets the plain status, and leaves
the workers to those who talk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

A_MINUTE = 5  # of one account
MINUTE_S = 60.0
MOST = 4  # a share of the machine's calls: at most one in four of them is an announcement
FREE = 2  # and with it one in two is still free


@dataclass
class Announcements:
    """Those that are made, and those of the last minute."""

    _running: set[str] = field(default_factory=set)  # account ids
    _made: dict[str, list[float]] = field(default_factory=dict)  # account id -> when, on the monotonic clock

    def room(self, capacity: int, taken: int) -> bool:
        """Whether there are workers to spare. ``taken``: of ``capacity``, this one included."""
        return (len(self._running) + 1) * MOST <= capacity and taken * FREE <= capacity

    def begin(self, account_id: str, now_s: float) -> bool:
        """Whether this account is spoken to now; if so, ``end`` follows."""
        self._made = {one: left for one, at in self._made.items() if (left := _last_minute(at, now_s))}
        made = self._made.get(account_id, [])
        if account_id in self._running or len(made) >= A_MINUTE:
            return False
        self._made[account_id] = [*made, now_s]
        self._running.add(account_id)
        return True

    def end(self, account_id: str) -> None:
        """It is over, or could not be made."""
        self._running.discard(account_id)


def _last_minute(each: list[float], now_s: float) -> list[float]:
    return [at_s for at_s in each if now_s - at_s < MINUTE_S]
