"""Which trunks an outside call tries, in which order, and what it shows there: pure decisions.

The number shown comes from a list that somebody allowed: the account's own numbers, those of its lines, shared ones, or
the trunk's main number; never what a phone sends. Who hides it is hidden by RFC 3323 and 3325: an anonymous From, the
number for the provider alone in P-Asserted-Identity, and ``Privacy: id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from config.rates import Rate
from sip.calls.numbers import Number, SiteNumbering, for_trunk, is_presentable
from sip.calls.plan import Ceiling, TrunkTarget
from storage.numbers_owned import OwnedNumber
from storage.trunks import Trunk

ANONYMOUS_USER = "anonymous"
ANONYMOUS_DISPLAY = "Anonymous"
# Words of RFC 5806 section 4 for why a call is diverted.
DIVERSION = {
    "always": "unconditional",
    "busy": "user-busy",
    "no_answer": "no-answer",
    "unregistered": "unavailable",
    "transfer": "deflection",
}


@dataclass(frozen=True, slots=True)
class TrunkState:
    """A trunk as it is now. ``healthy`` None: nobody knows, so it is tried."""

    trunk: Trunk
    healthy: bool | None = None
    busy_channels: int = 0

    @property
    def has_room(self) -> bool:
        return self.busy_channels < self.trunk.max_channels


def order(states: Iterable[TrunkState], chances: Sequence[float], *, emergency: bool = False) -> tuple[Trunk, ...]:
    """Enabled trunks with a free channel, the ones to try first in front.

    Healthy ones before those known to be down (which may be back: they are tried last); then by preference; among
    equals drawn by weight. ``chances``: random numbers from 0 to 1, one a trunk, missing ones count as 0.5. An
    emergency call is never kept away by full channels: an ordinary one gives way.
    """
    usable = [state for state in states if state.trunk.enabled and (emergency or state.has_room)]
    drawn = []
    for number, state in enumerate(usable):
        chance = chances[number] if number < len(chances) else 0.5
        # Weighted order without repetition: the largest chance ** (1 / weight) first (Efraimidis and Spirakis 2006).
        luck = min(max(chance, 1e-9), 1.0) ** (1.0 / state.trunk.weight)
        drawn.append((state.healthy is False, state.trunk.preference, -luck, state.trunk.name, state.trunk))
    return tuple(entry[-1] for entry in sorted(drawn, key=lambda entry: entry[:-1]))


def named_first(trunks: Sequence[Trunk], names: Sequence[str]) -> tuple[Trunk, ...]:
    """For emergency calls: the trunks named in the settings, in that order; all where none is named or none is left."""
    if not names:
        return tuple(trunks)
    by_name = {trunk.name: trunk for trunk in trunks}
    named = tuple(by_name[name] for name in names if name in by_name)
    return named or tuple(trunks)


Way = Literal["none", "strange", "disabled", "unknown", "down", "named", "any"]


def emergency_way(every: Sequence[tuple[str, bool, bool | None]], named: Sequence[str]) -> tuple[Way, tuple[str, ...]]:
    """Whether somebody who dials for help is heard by anybody, and the names of the trunks that this is about.

    ``every``: name, whether it is enabled, whether it is up (None: nobody knows). ``none``: there is no trunk;
    ``strange``: the settings name what is no trunk in use; ``unknown``, ``down``: of all that would serve;
    ``named``, ``any``: by those that the settings name, or by any, in this order.
    """
    if not every:
        return "none", ()
    up = {name: state for name, enabled, state in every if enabled}
    if strange := tuple(name for name in named if name not in up):
        return "strange", strange
    if not up:
        return "disabled", ()
    ways = tuple(named or up)
    states = [up[name] for name in ways]
    if all(state is False for state in states):
        return "down", ways
    if not any(states):
        return "unknown", ways
    return "named" if named else "any", ways


def allowed_numbers(
    owned: Iterable[OwnedNumber], account_id: str, line_ids: Iterable[str], trunk_id: str | None = None
) -> tuple[str, ...]:
    """What an account may present: its own, those of lines that it belongs to, shared ones; by that order.

    ``trunk_id``: only those that this provider knows.
    """
    lines = frozenset(line_ids)
    ranked = []
    for each in owned:
        if trunk_id is not None and each.trunk_id is not None and each.trunk_id != trunk_id:
            continue
        if not is_presentable(each.number):
            continue
        if each.account_id == account_id:
            ranked.append((0, each.number))
        elif each.line_id is not None and each.line_id in lines:
            ranked.append((1, each.number))
        elif each.shared:
            ranked.append((2, each.number))
    return tuple(number for _, number in sorted(ranked))


def own_or_main(chosen: str | None, own: Sequence[str], allowed: Sequence[str], trunk: Trunk) -> str | None:
    """What is shown by this trunk: the account's choice where it is allowed, else its own number, else the trunk's.

    None: the provider shows what it likes. A shared number or a line's is shown only where it was chosen.
    """
    if chosen is not None and (chosen in allowed or chosen == trunk.main_number):
        return chosen
    return own[0] if own else trunk.main_number


@dataclass(frozen=True, slots=True)
class Shown:
    """What the called person and the provider are to see."""

    display: str
    hidden: bool = False
    diverted_by: str = ""  # E.164 of whoever forwards
    diverted_why: str = ""  # key of DIVERSION
    location: str = ""  # Geolocation header, for an emergency


@dataclass(frozen=True, slots=True)
class Price:
    """Who pays, what, and for how long at most."""

    payer: str | None = None
    rate: Rate = Rate(0, 0)
    ceiling: Ceiling | None = None


def target(
    leg: str, trunk: Trunk, number: Number, number_shown: str | None, shown: Shown, site: SiteNumbering, price: Price
) -> TrunkTarget:
    """The INVITE to one provider."""
    written = for_trunk(number.number, trunk.international_format, site)
    own = for_trunk(number_shown, trunk.international_format, site) if number_shown else trunk.user
    hidden = shown.hidden or not own
    return TrunkTarget(
        leg=leg,
        trunk_id=trunk.id,
        number=written,
        from_user=ANONYMOUS_USER if hidden else own,
        from_display=ANONYMOUS_DISPLAY if hidden else shown.display,
        srtp=trunk.srtp,
        ipv6=trunk.ipv6,
        headers=_headers(trunk, own, shown, site),
        payer=price.payer,
        microeuros_per_minute=price.rate.per_minute,
        microeuros_per_call=price.rate.per_call,
        ceiling=price.ceiling,
    )


def _headers(trunk: Trunk, own: str, shown: Shown, site: SiteNumbering) -> Mapping[str, str]:
    headers = {}
    if own:
        headers["P-Asserted-Identity"] = f"<sip:{own}@{_host(trunk.domain)}>"
    if shown.hidden:
        headers["Privacy"] = "id"
    if shown.diverted_by:
        diverted = for_trunk(shown.diverted_by, trunk.international_format, site)
        privacy = ";privacy=full" if shown.hidden else ""
        why = DIVERSION.get(shown.diverted_why, "unknown")
        headers["Diversion"] = f"<sip:{diverted}@{_host(trunk.domain)}>;reason={why}{privacy}"
    if shown.location:
        headers["Geolocation"] = shown.location
        headers["Geolocation-Routing"] = "yes"
    return headers


def _host(domain: str) -> str:
    return f"[{domain}]" if ":" in domain else domain
