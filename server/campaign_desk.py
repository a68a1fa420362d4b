"""Campaigns in the running daemon: how `sms.campaign_runner` makes its texts here, and from which settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from config import alerts as alert_data
from config.settings import Settings
from server.company import site_numbering
from server.services.context import Services
from server.text_writer import TextWriter, draft, new_text
from sms.campaign_runner import Alarm, CampaignRunner, Draft, Plan, Terms
from storage.keys import Kek
from storage.sms_sent import NewText
from storage.tx import Tx

ALERT = "many-opt-outs"


class CampaignMaker:
    """Fills `sms.campaign_runner.Maker`."""

    def __init__(self, writer: TextWriter, settings: Callable[[], Settings]) -> None:
        self._writer, self._settings = writer, settings

    async def ready(self, plan: Plan, now: datetime) -> Kek:
        return await self._writer.ready(plan.inbox, now)

    async def made(self, tx: Tx, ready: Kek, plan: Plan, drafts: Sequence[Draft], now: datetime) -> list[NewText]:
        return [await self._made(tx, ready, plan, one, now) for one in drafts]

    async def _made(self, tx: Tx, kek: Kek, plan: Plan, one: Draft, now: datetime) -> NewText:
        campaign = plan.campaign
        drafted = draft(
            one.words,
            campaign.message_class,
            transliterated=plan.transliterated,
            max_parts=self._settings().sms.max_parts,
        )
        text = new_text(
            drafted,
            inbox=plan.inbox,
            sender=plan.sender,
            recipient=one.recipient,
            author_id=campaign.created_by,
            now=now,
            evidence=one.evidence,
            campaign_id=campaign.id,
        )
        return await self._writer.sealed(tx, kek, text, now)

    def forget(self) -> None:
        self._writer.forget()


def terms(settings: Settings) -> Terms:
    """What the company has chosen, and who it is."""
    return Terms(settings.sms.hours_profile, settings.company.name, site_numbering(settings).country)


def alarm(settings: Settings) -> Alarm:
    """From when on somebody looks at how many say STOP. Raises DataError."""
    limits = alert_data.with_limits(alert_data.load(), settings.alerts.thresholds)[ALERT].limits
    return Alarm(limits["at_least"], limits["per_mille"])


def runner(
    services: Services,
    writer: TextWriter,
    *,
    sent: Callable[[], None],
    ended: Callable[[str, str], None],
    alarmed: Callable[[str], None],
) -> CampaignRunner:
    """One for the daemon: to be run beside the queue, and `look` called every minute or so."""
    return CampaignRunner(
        services.db,
        CampaignMaker(writer, lambda: services.settings),
        services.clock,
        terms=lambda: terms(services.settings),
        sent=sent,
        ended=ended,
        alarm=alarm(services.settings),
        alarmed=alarmed,
    )
