"""How often somebody may ask: a bucket each, filled evenly. In memory: a restart fills them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` requests in `window_s`, in one burst or spread."""

    quota: int
    window_s: int


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    left: int
    wait_s: int  # until one more may be asked, where none is left; else until all may be

    def headers(self, limit: Limit, name: str) -> Mapping[str, str]:
        """draft-ietf-httpapi-ratelimit-headers-10, and Retry-After (RFC 9110)."""
        said = {
            "RateLimit-Policy": f'"{name}";q={limit.quota};w={limit.window_s}',
            "RateLimit": f'"{name}";r={self.left};t={self.wait_s}',
        }
        return said if self.allowed else {**said, "Retry-After": str(self.wait_s)}


class Rates:
    """`clock`: seconds that never go back; `name`: what programs are told that it is."""

    def __init__(self, limit: Limit, clock: Callable[[], float], name: str = "token") -> None:
        self.limit = limit
        self.name = name
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def ask(self, who: str, cost: int = 1) -> Verdict:
        """`cost` 0: whether one more may be asked, without asking it."""
        now, quota = self._clock(), self.limit.quota
        bucket = self._buckets.setdefault(who, _Bucket(quota, now))
        bucket.left = min(quota, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        if len(self._buckets) > MAX_BUCKETS:
            self._forget(now)
        wanted = max(cost, 1)
        if bucket.left < wanted:
            return Verdict(False, 0, max(1, math.ceil((wanted - bucket.left) / self._per_s)))
        bucket.left -= cost
        return Verdict(True, int(bucket.left), math.ceil((quota - bucket.left) / self._per_s))

    @property
    def _per_s(self) -> float:
        return self.limit.quota / self.limit.window_s

    def _forget(self, now: float) -> None:
        """Those that are full again."""
        full = [
            name for name, one in self._buckets.items() if one.left + (now - one.at) * self._per_s >= self.limit.quota
        ]
        for name in full:
            del self._buckets[name]
