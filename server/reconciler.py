"""Zero orphans: once a night every row and every file is compared, both ways, and what has no owner, no purpose, no
expiry or no other half is written down. Nothing is removed here, ever.

Read only, in batches with pauses, so that calls do not notice and memory stays flat. What somebody changes meanwhile is
looked at twice before it is called an orphan.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from config.places import DATABASE, GROWING, LEFT_OVER, SEALED, place_of
from recording import vault
from server.data_files import DataFile, files
from server.services.context import Services
from server.sweeper import KINDS, access_log_of, count_due, plans_for
from storage import orphans, reconciliation, recordings
from storage.errors import StorageError
from storage.inventory import TABLES
from storage.orphans import Look

log = logging.getLogger(__name__)

FIRST_S = 300.0  # after the start: phones first, then what is overdue
EVERY_S = 600.0
NIGHT = (1, 5)  # hours, UTC
LATE = timedelta(hours=26)  # after which no night is waited for
PAUSE_S = 0.02
BATCH = 500
OVERDUE = timedelta(days=2)
UNATTENDED = timedelta(hours=1)
_ONE_LOOK = 0x6265666F  # PostgreSQL advisory lock


def is_time(last: datetime | None, now: datetime) -> bool:
    """Whether to look now: once a night; at any hour where there was no look for more than a day."""
    if last is None or now - last > LATE or last > now:
        return True
    return NIGHT[0] <= now.hour < NIGHT[1] and now - last > timedelta(hours=NIGHT[1] - NIGHT[0])


@dataclass
class _Tally:
    rows: int = 0
    files: int = 0


class Reconciler:
    """One for the daemon; a command that finds no daemon makes its own."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Lock()
        self._found: Counter[str] = Counter()
        self.newest: Look | None = None

    async def run(self) -> None:
        """For as long as the daemon lives."""
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                async with self._services.db.read() as tx:
                    self.newest = await orphans.newest_look(tx)
                if is_time(self.newest.ended_at if self.newest is not None else None, self._services.clock()):
                    await self.look()
            except (StorageError, OSError) as error:
                log.error("the look for orphans broke off and is begun again: %s", error)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> Look | None:
        """All of it, now; None where another node is at it. Raises StorageError, OSError: nothing is concluded then."""
        async with self._turn, self._services.db.alone(_ONE_LOOK) as alone:
            if not alone:
                return None
            began_at, began_s = self._services.clock(), time.monotonic()
            self._found, tally = Counter(), _Tally()
            await self._rows(began_at, tally)
            await self._overdue(began_at)
            await self._proofs(began_at)
            await self._recordings(began_at)
            await self._files(began_at, tally)
            # By the monotonic clock: ours may be set meanwhile.
            ended_at = began_at + timedelta(seconds=time.monotonic() - began_s)
            look = Look(began_at, ended_at, tally.rows, tally.files, dict(self._found))
            async with self._services.db.transaction() as tx:
                await orphans.close(tx, look)
            self.newest = look
        if look.found:
            log.error("orphans: %s (see: beffroi retention orphans --last)",
                      ", ".join(f"{n} {kind}" for kind, n in sorted(look.found.items())))  # fmt: skip
        else:
            log.info("no orphans among %d rows and %d files", look.rows, look.files)
        return look

    def count(self) -> int | None:
        """How many the newest look found; None before the first."""
        return None if self.newest is None else sum(self.newest.found.values())

    def gauges(self) -> dict[str, float]:
        return {"orphans": float(self.count() or 0), "orphans_looked_at_seconds": float(self._looked_at())}

    def _looked_at(self) -> float:
        return self.newest.ended_at.timestamp() if self.newest is not None else 0.0

    async def _say(self, kind: str, items: Iterable[str], now: datetime, count: int | None = None) -> None:
        """`count`: how many there are, where they are more than are listed."""
        listed = list(items)
        kept = listed[: max(0, reconciliation.MOST - self._found[kind])]
        self._found[kind] += len(listed) if count is None else count
        if not self._found[kind]:
            del self._found[kind]
        if kept:
            async with self._services.db.transaction() as tx:
                await orphans.seen(tx, kind, kept, now)
        await asyncio.sleep(PAUSE_S)

    # --- rows -------------------------------------------------------------------------------------

    async def _rows(self, now: datetime, tally: _Tally) -> None:
        async with self._services.db.read() as tx:
            counts = await reconciliation.counts(tx)
        tally.rows = sum(count for name, count in counts.items() if TABLES[name].kept.personal)
        for kind in reconciliation.CHECKS:
            async with self._services.db.read() as tx:
                items, count = await reconciliation.run(tx, kind, now)
            await self._say(kind, items, now, count)

    async def _overdue(self, now: datetime) -> None:
        """What has expired and is there, and no hold and no minimum says why."""
        moment, access_log = now - OVERDUE, access_log_of(self._services)
        for kind in KINDS:
            async with self._services.db.read() as tx:
                many = await count_due(tx, kind, moment, access_log)
            for skip in range(0, many, BATCH):
                async with self._services.db.read() as tx:
                    plans = await plans_for(tx, kind, moment, limit=BATCH, skip=skip, access_log=access_log)
                late = [plan.item.item_id for plan in plans if plan.destroy]
                await self._say("overdue", [f"{kind}:{item}" for item in late], now)

    async def _proofs(self, now: datetime) -> None:
        """Entries of the ledger and what they name."""
        for log_name, key, entry, row in (
            ("access", "reason_id", "entry_without_reason", "reason_without_entry"),
            ("erasure", "receipt_id", "entry_without_receipt", "receipt_without_entry"),
        ):
            batch: dict[str, list[str]] = {entry: [], row: []}
            async with aclosing(reconciliation.unmatched(self._services.db, log_name, key)) as found:
                async for of_entry, item in found:
                    kind = entry if of_entry else row
                    batch[kind].append(item)
                    if len(batch[kind]) >= BATCH:
                        await self._say(kind, batch[kind], now)
                        batch[kind] = []
            for kind, items in batch.items():
                await self._say(kind, items, now)

    async def _recordings(self, now: datetime) -> None:
        """Each recording has its file, and the consent that it rests on."""
        after = ""
        while True:
            async with self._services.db.read() as tx:
                some = await reconciliation.kept_recordings(tx, after=after, limit=BATCH)
                refs = sorted({seq for _, _, seqs in some for seq in seqs})
                there = await reconciliation.entries_there(tx, "consent", refs)
            if not some:
                return
            after = some[-1][0]
            await self._say("consent_missing", [one for one, _, seqs in some if set(seqs) - there], now)
            absent = await asyncio.to_thread(
                self._without_file, [one for one, state, _ in some if state != "recording"]
            )
            if absent:
                async with self._services.db.read() as tx:
                    again = await recordings.states(tx, absent)
                absent = [one for one in absent if again.get(one) in ("whole", "cut")]
                await self._say("row_without_file", await asyncio.to_thread(self._without_file, absent), now)

    def _without_file(self, rec_ids: Iterable[str]) -> list[str]:
        place = self._services.paths.vault
        return [
            one
            for one in rec_ids
            if not vault.sealed_path(place, one).exists() and not vault.growing_path(place, one).exists()
        ]

    # --- files ------------------------------------------------------------------------------------

    async def _files(self, now: datetime, tally: _Tally) -> None:
        walk: Iterator[DataFile] = files(self._services.paths.data)
        while some := await asyncio.to_thread(lambda: list(islice(walk, BATCH))):
            tally.files += len(some)
            sealed: list[DataFile] = []
            for one in some:
                place = place_of(one.path) if one.regular else None
                if place is None or (place.kept is DATABASE and not self._services.db.is_sqlite):
                    await self._say("unknown_file", [one.path], now)
                elif place.kept in (SEALED, GROWING):
                    sealed.append(one)
                elif place.passing and now - one.changed_at > LEFT_OVER:
                    await self._say("leftover", [one.path], now)
            await self._sealed(sealed, now)
            await asyncio.sleep(PAUSE_S)

    async def _sealed(self, some: list[DataFile], now: datetime) -> None:
        """Files of the vault against their rows."""
        if not some:
            return
        async with self._services.db.read() as tx:
            states = await recordings.states(tx, [Path(one.path).stem for one in some])
        data = self._services.paths.data
        for one in some:
            rec_id = Path(one.path).stem
            state = states.get(rec_id, "")
            if not await asyncio.to_thread((data / one.path).exists):
                continue  # renamed or destroyed meanwhile
            if state not in ("recording", "whole", "cut"):
                await self._say("file_without_row", [one.path], now)
            elif state == "recording" and now - one.changed_at > UNATTENDED:
                busy = await asyncio.to_thread(vault.is_being_written, self._services.paths.vault, rec_id)
                if not busy and await asyncio.to_thread((data / one.path).exists):
                    await self._say("part_unattended", [one.path], now)
