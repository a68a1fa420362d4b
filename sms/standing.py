"""What stands against a text at the moment in which it is about to leave. Asked in the transaction that hands it over,
so that a STOP which was committed before is heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sms.outbound import Stay
from storage import sms_received, suppressions
from storage.numbers import digests
from storage.sms_sent import Queued
from storage.tx import Tx


class Standing:
    """Fills `sms.outbound.Permission`."""

    async def stays(self, tx: Tx, texts: Sequence[Queued], now: datetime) -> Mapping[str, Stay]:
        advertising = [one for one in texts if one.sent.message_class == "marketing"]
        if not advertising:
            return {}
        numbers = list(dict.fromkeys(one.recipient for one in advertising))
        index = {number: await digests(tx, number) for number in numbers}
        doubtful = await sms_received.undecided(tx, [each for some in index.values() for each in some])
        found: dict[str, Stay] = {}
        for one in advertising:
            if await suppressions.of_number(tx, one.recipient, "sms"):
                found[one.sent.id] = Stay("they have asked for no more")
            elif doubtful.intersection(index[one.recipient]):
                found[one.sent.id] = Stay("they may have asked for no more: somebody has to read it")
        return found
