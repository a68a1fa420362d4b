"""Who guesses passwords is turned away for a while; an office in which somebody has mistyped one is not. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_FORGET_ABOVE = 1000


@dataclass(frozen=True, slots=True)
class BanRule:
    """`wrong` passwords within `window_s` seconds: `ban_s` seconds without a connection."""

    wrong: int = 10
    window_s: float = 600.0
    ban_s: float = 900.0

    def __post_init__(self) -> None:
        if not 1 <= self.wrong <= 1000 or not 1 <= self.window_s <= 86400 or not 1 <= self.ban_s <= 7 * 86400:
            raise ValueError("a ban is for 1 to 1000 passwords within a day, and lasts a week at most")


class Bans:
    """By address; of IPv6 by its network of 64 bits, which is what one place has. Times: seconds that only grow."""

    def __init__(self, rule: BanRule) -> None:
        self._rule = rule
        self._wrong: dict[str, list[float]] = {}
        self._until: dict[str, float] = {}

    def wrong(self, peer: str, now: float) -> bool:
        """One more wrong password; whether that place is banned now."""
        place, begin = _place(peer), now - self._rule.window_s
        times = [at for at in self._wrong.get(place, []) if at > begin] + [now]
        self._wrong[place] = times
        if len(times) >= self._rule.wrong:
            del self._wrong[place]
            self._until[place] = now + self._rule.ban_s
        if len(self._wrong) > _FORGET_ABOVE:
            self._wrong = {one: at for one, at in self._wrong.items() if at[-1] > begin}
        if len(self._until) > _FORGET_ABOVE:
            self._until = {one: until for one, until in self._until.items() if until > now}
        return self.is_banned(peer, now)

    def right(self, peer: str) -> None:
        """Somebody there has signed in: what was mistyped before counts no more."""
        self._wrong.pop(_place(peer), None)

    def is_banned(self, peer: str, now: float) -> bool:
        return self._until.get(_place(peer), now) > now


def _place(peer: str) -> str:
    address = ipaddress.ip_address(peer)
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
