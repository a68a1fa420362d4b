"""A policy that keeps things for less than was announced counts for what is kept already; one that keeps longer does
not.

Done once for each version that comes into force, before a sweep looks for what is due. Recordings whose period runs
from a later event (a contract signed) stay as they are: what was announced of them is no length from their end.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from config import packs as pack_data
from config.packs import Pack
from config.periods import Period
from retention.due import shortened
from retention.metadata import class_of
from retention.policy_rules import KEPT_RECORDS, longest_kept
from retention.policy_versions import in_force
from server.policy_desk import Known
from storage import shortening
from storage.database import Database

log = logging.getLogger(__name__)

ROUND = 500  # rows in one transaction: calls wait for no more than that
DAY = timedelta(days=1)


async def shorten(database: Database, known: Known, now: datetime) -> tuple[int, int]:
    """Number of the version in force (0: none), and how many items go earlier now. Raises StorageError."""
    packs = pack_data.load()
    holds = in_force(known.versions, packs, known.entries, now)
    if holds is None:
        return 0, 0
    changed = 0
    for pack_id, period in longest_kept(holds.policy, packs).items():
        pack = packs[pack_id]
        if pack.kind == "recording" and pack.start_event == "recording_end":
            changed += await _kind(database, "recording", pack_id, period, pack, timedelta())
        elif pack_id in KEPT_RECORDS:
            # The start of a call stands for its end, to the hour: a day more is never less than was promised.
            changed += await _kind(database, "call_record", str(class_of(pack_id)), period, pack, DAY)
    if changed:
        log.info("policy %d: %d item(s) are kept for less than was announced", holds.policy.number, changed)
    return holds.policy.number, changed


async def _kind(database: Database, kind: str, label: str, period: Period, pack: Pack, grace: timedelta) -> int:
    length = timedelta(days=period.months * 31 + period.days, seconds=period.seconds) + max(grace, timedelta(hours=1))
    changed = 0
    while True:
        async with database.transaction() as tx:
            found = await shortening.longer_than(tx, kind, label, length, limit=ROUND)
            sooner = {one.item_id: shortened(one.began + grace, one.expires_at, period, pack.minimum) for one in found}
            done = await shortening.shorten(tx, kind, sooner)
        changed += done
        if len(found) < ROUND or not done:
            return changed
