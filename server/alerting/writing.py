"""An alert is written down in the transaction of whoever found it, with the ways by which it is to be told."""

from __future__ import annotations

from collections.abc import Collection

from config import alerts as alert_data
from config import packs
from server.alerting import channels
from server.alerting.raised import Raised
from server.services.context import Services
from storage import alerts
from storage.alerts import Alert
from storage.tx import Tx

KEPT_UNDER = "SECURITY_LOG"  # the pack: from the last time that it happened


async def write(services: Services, tx: Tx, one: Raised, *, but: Collection[str] = ()) -> Alert:
    """``but``: channels that have it already. Raises StorageError."""
    now = services.clock()
    kept = packs.load()[KEPT_UNDER].retention
    assert kept is not None
    return await alerts.happened(
        tx,
        one.kind,
        one.subject,
        alert_data.load()[one.kind].severity,
        now,
        kept_until=kept.after(now),
        channels=[name for name in channels.configured(services.settings.alerts) if name not in but],
        count=one.count,
        lasts=one.lasts,
    )
