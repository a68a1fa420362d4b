"""A way out of the house: whether the account may, by which trunks, showing what, for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from config.rates import Rates
from retention.contact_case import Contact
from retention.languages import choose_language
from sip.calls import planning_contact
from sip.calls.forwarding import Outside
from sip.calls.house import House
from sip.calls.numbers import Number, SiteNumbering, callable_back
from sip.calls.permission import (
    Allowance,
    Defaults,
    Permitted,
    Used,
    of_account,
    of_trunk,
    permit,
    strictest,
)
from sip.calls.plan import Ceiling, Party, Refusal, TrunkTarget
from sip.calls.trunk_choice import (
    Price,
    Shown,
    TrunkState,
    allowed_numbers,
    named_first,
    order,
    own_or_main,
    target,
)
from storage import call_settings, limits, lines, numbers_owned, trunks, usage
from storage.accounts import Account
from storage.lines import Line
from storage.numbers_owned import OwnedNumber
from storage.tx import Tx

log = logging.getLogger(__name__)

NO_TRUNK = Refusal(503, "No Trunk", "trunk-failed", "PROMPT_TRUNK_FAILED")
LINES_BUSY = Refusal(503, "All Channels Are In Use", "trunk-failed", "PROMPT_LINES_BUSY")


@dataclass(frozen=True, slots=True)
class OutsideHabits:
    """Plain values from the settings and the data directory."""

    site: SiteNumbering
    rates: Rates
    defaults: Defaults = Defaults()
    emergency_trunks: tuple[str, ...] = ()  # names, in order
    emergency_location: Mapping[str, str] = field(default_factory=dict)  # account name or "default" -> header
    callback_min: int = 60
    drill: bool = False


@dataclass(frozen=True, slots=True)
class WayOut:
    """A number outside that may be called. ``line``: the line on whose behalf, as its number is presented."""

    outside: Outside
    number: Number
    line: Line | None = None
    contact: Contact | None = None  # somebody whom a canvassing line calls: to be counted before it is dialled

    @property
    def ceiling(self) -> Ceiling | None:
        """The shortest of all ways: they differ only where a trunk has limits of its own."""
        found = [t.ceiling for t in self.outside.targets if t.ceiling is not None]
        return min(found, key=lambda ceiling: ceiling.talk_s, default=None)


class WaysOut:
    """Decides about calls to numbers outside."""

    def __init__(self, house: House, habits: OutsideHabits, chance: Callable[[], float]) -> None:
        """``chance``: random numbers from 0 to 1, for trunks that share calls by weight."""
        self.house = house
        self.habits = habits
        self._chance = chance

    async def way(
        self,
        tx: Tx,
        payer: Account,
        number: Number,
        now: datetime,
        languages: Sequence[str],
        *,
        hidden: bool = False,
        diverted_why: str = "",
    ) -> WayOut | Refusal:
        """The way for an account's call, or for its forward (``diverted_why``). Refusals: see ``permission.permit``,
        and ``planning_contact`` where it is made on behalf of a canvassing line."""
        permitted = await self._permitted(tx, payer, number, now)
        if isinstance(permitted, Refusal):
            return permitted
        settings = await call_settings.get(tx, payer.id)
        own_numbers = await numbers_owned.of_account(tx, payer.id)
        chosen, line = await self._chosen(tx, payer, settings.presented)
        owned = own_numbers if chosen is None else (*own_numbers, chosen)
        rate = self.habits.rates.of(number.number, number.country, number.class_.value)
        states = await self._states(tx)
        refusal = LINES_BUSY if states and not any(state.has_room for state in states) else NO_TRUNK
        found: list[TrunkTarget] = []
        showing: set[str] = set()
        for trunk in self._order(states):
            for_trunk = permit(
                number,
                of_trunk(await limits.get(tx, limits.of_trunk(trunk.id))),
                await self._used(tx, limits.of_trunk(trunk.id), now),
                rate,
                self.habits.defaults,
            )
            if isinstance(for_trunk, Refusal):
                refusal = for_trunk
                continue
            allowed = allowed_numbers(owned, payer.id, (line.id,) if line is not None else (), trunk.id)
            own = allowed_numbers(own_numbers, payer.id, (), trunk.id)
            shown = own_or_main(settings.presented, own, allowed, trunk)
            showing |= {shown} if shown else set()
            how = Shown(
                payer.display_name,
                hidden=hidden or settings.hide_number,
                diverted_by=shown or "" if diverted_why else "",
                diverted_why=diverted_why,
            )
            price = Price(payer.id, rate, strictest(permitted.ceiling, for_trunk.ceiling))
            found.append(target("", trunk, number, shown, how, self.habits.site, price))
        if not found:
            return refusal
        contact = None
        if not diverted_why:  # whoever forwards canvasses nobody
            said = planning_contact.Shown(showing, owned, hidden or settings.hide_number)
            contact = await planning_contact.contact_of(tx, number, said)
        not_now = await planning_contact.refusal_of(tx, contact, now) if contact is not None else None
        if not_now is not None:
            return not_now
        return WayOut(Outside(self.party(number, languages), tuple(found)), number, line, contact)

    async def emergency_targets(
        self, tx: Tx, caller: Account | None, number: Number, location: str
    ) -> tuple[TrunkTarget, ...]:
        """By every trunk that may serve, full ones too; the number shown is one that reaches back to the caller."""
        every = named_first(self._order(await self._states(tx), emergency=True), self.habits.emergency_trunks)
        owned = await numbers_owned.of_account(tx, caller.id) if caller is not None else ()
        found = []
        for trunk in every:
            own = allowed_numbers(owned, caller.id, (), trunk.id) if caller is not None else ()
            shown = Shown(caller.display_name if caller is not None else "", location=location)
            found.append(
                target("", trunk, number, own_or_main(None, own, own, trunk), shown, self.habits.site, Price())
            )
        return tuple(found)

    def party(self, number: Number, languages: Sequence[str]) -> Party:
        """Who is there: nobody knows more than the country of the number."""
        shown = callable_back(number.e164, self.habits.site) if number.e164 else number.number
        return Party(None, shown, "", choose_language(None, number.country, None, languages), number.country)

    # --- within -----------------------------------------------------------------------------------

    async def _chosen(self, tx: Tx, payer: Account, presented: str | None) -> tuple[OwnedNumber | None, Line | None]:
        """The number that the account has chosen to show, and the line that it belongs to where the account is one of
        its members: the call is made on that line's behalf."""
        number = await numbers_owned.by_number(tx, presented) if presented is not None else None
        if number is None or number.line_id is None:
            return number, None
        line = await lines.get(tx, number.line_id)
        return number, line if payer.id in line.members and line.disabled_at is None else None

    async def _permitted(self, tx: Tx, payer: Account, number: Number, now: datetime) -> Permitted | Refusal:
        owner = limits.of_account(payer.id)
        allowance: Allowance = of_account(
            await limits.get(tx, owner), await limits.get(tx, limits.DEFAULT), self.habits.defaults
        )
        rate = self.habits.rates.of(number.number, number.country, number.class_.value)
        return permit(number, allowance, await self._used(tx, owner, now), rate, self.habits.defaults)

    async def _used(self, tx: Tx, owner: str, now: datetime) -> Used:
        day, month = await usage.of_day(tx, owner, now.date()), await usage.of_month(tx, owner, now.date())
        running = self.house.running(owner)
        return Used(
            day_s=day.seconds + running.seconds,
            month_s=month.seconds + running.seconds,
            day_microeuros=day.cost_microeuros + running.microeuros,
            month_microeuros=month.cost_microeuros + running.microeuros,
            calls=running.calls,
        )

    async def _states(self, tx: Tx) -> list[TrunkState]:
        return [
            TrunkState(trunk, self.house.trunk_up(trunk.id), self.house.channels_in_use(trunk.id))
            for trunk in await trunks.list_all(tx, enabled_only=True)
        ]

    def _order(self, states: Sequence[TrunkState], *, emergency: bool = False) -> tuple[trunks.Trunk, ...]:
        return order(states, [self._chance() for _ in states], emergency=emergency)
