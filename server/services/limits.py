"""What accounts and trunks may spend, and what they have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from server.company import limit_defaults
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name, trunk_by_name
from sip.calls.permission import Used, near, of_trunk
from sip.calls.permission import of_account as allowance_of
from storage import limits, usage
from storage.limits import Limits
from storage.tx import Tx

Field = Literal[
    "international",
    "premium",
    "countries",
    "minutes_per_day",
    "minutes_per_month",
    "cents_per_day",
    "cents_per_month",
    "max_calls",
]
_CENT = 10_000  # microeuros


@dataclass(frozen=True, slots=True)
class LimitsView:
    """Fields: see `server.commands.limits.FIELDS`."""

    owner: str
    international: bool | None
    premium: bool | None
    countries: tuple[str, ...]
    minutes_per_day: int | None
    minutes_per_month: int | None
    cents_per_day: int | None
    cents_per_month: int | None
    max_calls: int | None
    minutes_today: int
    minutes_this_month: int
    cents_today: int
    cents_this_month: int
    alerts: tuple[str, ...]


async def of_account(
    services: Services,
    actor: Actor,
    *,
    name: str,
    international: bool | None = None,
    premium: bool | None = None,
    countries: Sequence[str] | None = None,
    minutes_per_day: int | None = None,
    minutes_per_month: int | None = None,
    cents_per_day: int | None = None,
    cents_per_month: int | None = None,
    max_calls: int | None = None,
    inherit: Sequence[Field] = (),
) -> LimitsView:
    """Change what is given, or show what there is. `inherit`: as the default's again. Raises Failure."""
    given = _given(international, premium, countries, minutes_per_day, minutes_per_month, cents_per_day,
                   cents_per_month, max_calls)  # fmt: skip
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        owner = limits.of_account(account.id)
        changed = await _change(tx, owner, given, inherit)
        await note(services, tx, actor, "change" if changed else "show", "limits", account_id=account.id)
        view = await _view(services, tx, owner, f"account {account.name}")
    await _tell(services, changed=changed)
    return view


async def show(services: Services, actor: Actor, *, trunk: str | None = None) -> LimitsView:
    """The default, or a trunk's. Raises Failure."""
    return await set_(services, actor, trunk=trunk)


async def set_(
    services: Services,
    actor: Actor,
    *,
    trunk: str | None = None,
    international: bool | None = None,
    premium: bool | None = None,
    countries: Sequence[str] | None = None,
    minutes_per_day: int | None = None,
    minutes_per_month: int | None = None,
    cents_per_day: int | None = None,
    cents_per_month: int | None = None,
    max_calls: int | None = None,
    inherit: Sequence[Field] = (),
) -> LimitsView:
    """Of a trunk, or the default of all accounts. Raises Failure."""
    given = _given(international, premium, countries, minutes_per_day, minutes_per_month, cents_per_day,
                   cents_per_month, max_calls)  # fmt: skip
    async with services.db.transaction() as tx:
        found = await trunk_by_name(tx, trunk) if trunk else None
        owner = limits.of_trunk(found.id) if found else limits.DEFAULT
        changed = await _change(tx, owner, given, inherit)
        trunk_id = found.id if found else None
        await note(services, tx, actor, "change" if changed else "show", "limits", trunk_id=trunk_id)
        view = await _view(services, tx, owner, f"trunk {found.name}" if found else limits.DEFAULT)
    await _tell(services, changed=changed)
    return view


def _given(*values: object) -> dict[str, object]:
    names = ("international", "premium", "countries", "minutes_per_day", "minutes_per_month", "cents_per_day",
             "cents_per_month", "max_calls")  # fmt: skip
    given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if "countries" in given:
        given["countries"] = tuple(str(one).upper() for one in given["countries"])  # type: ignore[attr-defined]
    return given


async def _change(tx: Tx, owner: str, given: dict[str, object], inherit: Sequence[str]) -> bool:
    if both := sorted(given.keys() & set(inherit)):
        raise Failure(f"{', '.join(both)}: to be set and inherited at once", "Say one of them", "misuse")
    back: dict[str, object] = {name: () if name == "countries" else None for name in inherit}
    if not (given or back):
        return False
    before: Limits = await limits.get(tx, owner)
    await limits.save(tx, replace(before, **(given | back)))  # type: ignore[arg-type]
    return True


async def _tell(services: Services, *, changed: bool) -> None:
    if changed and services.live is not None:
        await services.live.settings_changed()


async def _view(services: Services, tx: Tx, owner: str, words: str) -> LimitsView:
    one, today = await limits.get(tx, owner), services.clock().date()
    day, month = await usage.of_day(tx, owner, today), await usage.of_month(tx, owner, today)
    money = (day.cost_microeuros, month.cost_microeuros)
    return LimitsView(
        owner=words,
        international=one.international,
        premium=one.premium,
        countries=one.countries,
        minutes_per_day=one.minutes_per_day,
        minutes_per_month=one.minutes_per_month,
        cents_per_day=one.cents_per_day,
        cents_per_month=one.cents_per_month,
        max_calls=one.max_calls,
        minutes_today=-(-day.seconds // 60),
        minutes_this_month=-(-month.seconds // 60),
        cents_today=-(-day.cost_microeuros // _CENT),
        cents_this_month=-(-month.cost_microeuros // _CENT),
        alerts=await _alerts(services, tx, one, Used(day.seconds, month.seconds, *money)),
    )


async def _alerts(services: Services, tx: Tx, one: Limits, used: Used) -> tuple[str, ...]:
    """Names of the limits that are nearly used up, those of the default included. The default itself uses nothing."""
    if one.owner == limits.DEFAULT:
        return ()
    defaults = limit_defaults(services.settings)
    if one.owner.startswith("trunk:"):
        allowance = of_trunk(one)
    else:
        allowance = allowance_of(one, await limits.get(tx, limits.DEFAULT), defaults)
    return tuple(near(allowance, used, defaults.alert_at_percent))
