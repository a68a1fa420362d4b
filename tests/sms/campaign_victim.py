"""Runs campaigns in a process of its own until somebody kills it: `python -m tests.sms.campaign_victim` with the
database, its field keys and the time as JSON on standard input. Says "." for each round that was committed."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timedelta

from sms import campaign_runner
from sms.campaign_runner import CampaignRunner, Terms
from storage import keys
from storage.database import Database
from storage.field_crypto import FieldKeys
from storage.keys import Kek
from tests.sms.conftest import OwnKeks
from tests.sms.test_campaign_runner import Maker


class Known(OwnKeks):
    """The KEK that a process before this one has made."""

    async def current(self, purpose: str, now: datetime) -> Kek:
        async with self.database.read() as tx:
            known = await keys.current_kek(tx, purpose, now)
        return known if known is not None else await super().current(purpose, now)


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    now = [datetime.fromisoformat(told["now"])]
    campaign_runner.AT_ONCE = 3
    database = await Database.open(told["url"], FieldKeys.from_json(told["keys"].encode()))
    runner = CampaignRunner(
        database, Maker(Known(database)), lambda: now[0], terms=lambda: Terms("prudent", "Beffroi", "FR")
    )
    while await runner.due() < 5:
        sys.stdout.write(".")
        sys.stdout.flush()
        now[0] += timedelta(milliseconds=50)
    await database.close()


asyncio.run(main())
