"""Whoever has objected to being recorded, in no call ever again (GDPR Art. 21): asked before the first ring.

Kept on the suppression list, channel "recording": a keyed index without a number. Where nobody can tell, it is as if
they had: nothing is recorded, and the call goes on.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sip.calls import numbers
from sip.calls.numbers import SiteNumbering
from storage import suppressions
from storage.database import Database
from storage.errors import StorageError

log = logging.getLogger(__name__)


async def objects(database: Database, number: str, site: SiteNumbering, now: datetime) -> bool:
    """`number`: in whatever form it is known; one that is withheld or none has no entry."""
    e164 = numbers.caller(number, site) if number else ""
    if not e164:
        return False
    try:
        async with database.read() as tx:
            found = await suppressions.of_number(tx, e164, suppressions.RECORDING)
    except StorageError as error:
        log.warning("a call is not recorded, because nobody can tell whether its party has objected: %s", error)
        return True
    return any(one.until is None or one.until > now for one in found)
