"""How fast parts may be offered: an agreed rate, and what a centre that says "too fast" makes of it. Pure: `now` in s.

Such an answer stops everything for a while, which doubles for as long as nothing is taken, and cuts the rate; each
second in which parts are taken gives a little of it back, so that it comes to rest just under what the centre bears.
"""

from __future__ import annotations

PAUSE_S, PAUSE_MOST_S = 1.0, 60.0
_CUT, _RAISE = 0.7, 0.02  # of the rate at a cut; of the best rate, a second
_LOWEST = 0.5  # parts a second
_FREE = 10_000.0  # parts a second that no centre takes: from here on there is no limit


class Pace:
    """`per_s`: the agreed parts a second; None: none was agreed, and only the centre's answers limit it."""

    def __init__(self, per_s: float | None) -> None:
        self._agreed = per_s
        self._rate = per_s
        self._best = per_s or 0.0
        self._next = 0.0
        self._held_until = float("-inf")
        self._cut_at = float("-inf")
        self._pause = PAUSE_S
        self._counted = 0
        self._counting_since = float("-inf")
        self._seen = 0.0

    @property
    def rate(self) -> float | None:
        """Parts a second at present; None: no limit."""
        return self._rate

    def held(self, now: float) -> float:
        """Seconds for which nothing is to be offered at all."""
        return max(0.0, self._held_until - now)

    def turn(self, now: float) -> float:
        """Take a place in the row: seconds to wait before this part may go."""
        if self._rate is None:
            return 0.0
        at = max(now, self._next)
        self._next = at + 1 / self._rate
        return at - now

    def taken(self, sent_at: float, now: float) -> None:
        """The centre took a part that was sent at `sent_at`."""
        elapsed = now - self._counting_since
        if elapsed >= 1:
            self._seen = self._counted / elapsed if elapsed < 10 else 0.0
            self._counted, self._counting_since = 0, now
            if self._rate is not None and self._rate != self._agreed:
                self._rate += _RAISE * self._best * min(elapsed, 2.0)
                self._rate = self._bounded(self._rate)
        self._counted += 1
        if sent_at > self._cut_at:
            self._pause = PAUSE_S

    def throttled(self, sent_at: float, now: float) -> float:
        """The centre did not take it. Returns seconds after which something may be offered again.

        Of parts that were on their way together, the first cuts the rate and the others change nothing.
        """
        if sent_at <= self._cut_at:
            return max(self.held(now), 0.1)
        seen = max(self._seen, float(self._counted))
        current = min(self._rate, max(seen, 1.0)) if self._rate is not None else max(seen, 1.0)
        self._best = self._agreed or max(self._best * 0.9, current)
        self._rate = max(_LOWEST, current * _CUT)
        self._cut_at = now
        self._held_until = now + self._pause
        self._next = self._held_until
        self._pause = min(self._pause * 2, PAUSE_MOST_S)
        return self.held(now)

    def _bounded(self, rate: float) -> float | None:
        if self._agreed is not None:
            return min(rate, self._agreed)
        return rate if rate < _FREE else None
