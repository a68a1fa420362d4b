"""Who ordered a text by mail: found when it fails, forgotten when it arrives."""

from __future__ import annotations

from datetime import datetime

import pytest

from storage import mail_orders, sms_sent
from storage.database import Database
from storage.mail_orders import Ordered
from tests.storage.test_text_expiry import house, sent

WHO = Ordered("login-1", "alice@company.example", "<7@company.example>", "0612345678", "fr")


@pytest.mark.promise("P21")
async def test_failed_texts_are_found_with_who_ordered_them(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        box, sender, _ = await house(tx, now)
        bad, good, waits = (sent(box, sender, now, recipient=f"+3361234567{n}") for n in range(3))
        await sms_sent.add_all(tx, [bad, good, waits], now)
        for text_id in (bad.id, good.id, waits.id, "f" * 32):
            await mail_orders.add(tx, text_id, WHO, now)
        assert await mail_orders.failed(tx, 9) == ()
        await sms_sent.left(tx, [(bad.id, "rejected", "x", 0), (good.id, "delivered", "x", 0)], now)
        [found] = await mail_orders.failed(tx, 9)
        assert (found.text_id, found.state, found.ordered, found.arrived_at) == (bad.id, "rejected", WHO, now)
        assert await mail_orders.failed(tx, 9, besides=[bad.id]) == ()
        over = await mail_orders.over(tx, 9)
        assert sorted(over) == sorted([good.id, "f" * 32]), "what has arrived, and what is gone"
        await mail_orders.settle(tx, [*over, bad.id])
        assert (await mail_orders.failed(tx, 9), await mail_orders.over(tx, 9)) == ((), ())
