"""May this recording be destroyed because somebody orders it, and why not: pure decisions that explain themselves.

A consent withdrawn (GDPR Art. 7(3)), no contract (R112-7 C. assur.; CNIL 25 April 2022), or an order of the controller.
In order: a legal hold; what the reason itself asks of the pack; a minimum period, or one that may still begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from config.packs import Pack
from retention.due import minimum_until
from retention.gate import Hold, Item, Plan, Trigger, plan_destruction
from retention.receipt import stamp
from retention.start_events import CONTRACTS, day_of

BECAUSE: Mapping[str, Trigger] = {
    "withdrawal": Trigger.CONSENT_WITHDRAWN,
    "no-contract": Trigger.NO_CONTRACT,
    "order": Trigger.ADMIN_ORDER,
}


def plan_order(item: Item, trigger: Trigger, holds: Sequence[Hold], packs: Mapping[str, Pack], now: datetime) -> Plan:
    """Decide at `now`. `holds`: those on the item; `packs`: by id, for minimum periods."""
    pack = packs.get(item.pack.partition("@")[0])
    plan = plan_destruction(item, trigger, holds, minimum_until(item, packs), now)
    if not plan.destroy or pack is None:
        return plan
    if why := _against(pack, item, trigger):
        return Plan(item, trigger, False, why)
    waits = pack.minimum is not None and pack.provisional is not None and item.event_at is None
    if waits and trigger is not Trigger.NO_CONTRACT and now < item.expires_at:
        rule = f"{pack.id} keeps it from {pack.start_event} on, which may still come until {stamp(item.expires_at)}"
        return Plan(item, trigger, False, rule, item.expires_at)
    return plan


def _against(pack: Pack, item: Item, trigger: Trigger) -> str:
    if trigger is Trigger.NO_CONTRACT:
        if pack.start_event not in CONTRACTS:
            return f"{pack.id} is not kept for a contract"
        if item.event_at is not None:
            return f"{pack.start_event} is entered, on {day_of(item.event_at)}"
    if trigger is Trigger.CONSENT_WITHDRAWN and pack.needs_statute and pack.consent != "opt-in":
        return f"{pack.id} rests on a legal duty (GDPR {pack.gdpr}), not on consent"
    return ""
