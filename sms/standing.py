"""What stands against a text at the moment in which it is about to leave. Asked in the transaction that hands it over,
so that a STOP which was committed before is heard, and an hour that has passed meanwhile counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from config import contact_rules
from retention.contact_facts import Target
from sms import permission
from sms.campaign_runner import country_of
from sms.outbound import Stay
from sms.permission import About, Person
from storage import campaigns, inboxes, sms_received
from storage.errors import NotFound
from storage.numbers import digests
from storage.sms_sent import Queued
from storage.tx import Tx

NO_CAMPAIGN = About("other", "ask", "")  # advertising that belongs to none: by the strictest that there is


class Standing:
    """Fills `sms.outbound.Permission`. How often somebody was written to was asked when the text was made: here the
    text itself would count."""

    def __init__(self, hours_profile: Callable[[], str]) -> None:
        self._hours_profile = hours_profile

    async def stays(self, tx: Tx, texts: Sequence[Queued], now: datetime) -> Mapping[str, Stay]:
        """Of advertising alone."""
        advertising = [one for one in texts if one.sent.message_class == "marketing"]
        if not advertising:
            return {}
        found = await self._doubtful(tx, advertising)
        groups: dict[tuple[str | None, str], list[Queued]] = {}
        for one in advertising:
            groups.setdefault((one.sent.campaign_id, one.sent.sender_id), []).append(one)
        rules = await asyncio.to_thread(contact_rules.load)
        for (campaign_id, sender_id), some in groups.items():
            about = await self._about(tx, campaign_id, sender_id)
            people = [Person(one.recipient, country_of(one.recipient)) for one in some]
            facts = await permission.facts_of(tx, people, about, rules, now)
            decided = permission.decide_many([replace(one, attempts=()) for one in facts], rules, now)
            for one, decision in zip(some, decided, strict=True):
                if not decision.allowed:
                    found.setdefault(one.sent.id, Stay(decision.why, decision.again_at))
        return found

    async def _doubtful(self, tx: Tx, texts: Sequence[Queued]) -> dict[str, Stay]:
        """Of people who may have asked for no more: somebody has to read it first."""
        index = {one.recipient: await digests(tx, one.recipient) for one in texts}
        doubtful = await sms_received.undecided(tx, [each for some in index.values() for each in some])
        stay = Stay("they may have asked for no more: somebody has to read it")
        return {one.sent.id: stay for one in texts if doubtful.intersection(index[one.recipient])}

    async def _about(self, tx: Tx, campaign_id: str | None, sender_id: str) -> About:
        sender = (await inboxes.sender(tx, sender_id)).address
        about = replace(NO_CAMPAIGN, sender=sender, hours_profile=self._hours_profile())
        if campaign_id is None:
            return about
        try:
            campaign = await campaigns.get(tx, campaign_id)
        except NotFound:
            return about
        return replace(about, sector=campaign.sector, target=cast(Target, campaign.target))
