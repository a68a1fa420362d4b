"""Reads the access log as it grows. What an entry raises is written in the transaction that moves the cursor past it:
each entry counts once, whenever the daemon was killed, and whoever wrote it, a command without a daemon too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from config.alerts import Kind
from server.alerting import access_rules, writing
from server.alerting.access_rules import AccessRules, Looked
from server.alerting.raised import Raised, together
from server.services.context import Services
from storage import accounts, alerts, ledger, recordings
from storage.errors import NotFound
from storage.tx import Tx

LOG = "access"
BATCH = 500  # entries that are read at once
REMEMBERED = 5000  # entries before the cursor that may still count after a restart


class LogReader:
    """One for the daemon. Begins with the entries that come after it was first started."""

    def __init__(self, services: Services, kinds: Callable[[], Mapping[str, Kind]]) -> None:
        self._services, self._kinds = services, kinds
        self._rules: AccessRules | None = None
        self.raised = 0

    def forget(self) -> None:
        """Other thresholds, or a transaction that failed: the rules are filled anew from the log."""
        self._rules = None

    async def read_on(self) -> tuple[int, bool]:
        """How many alerts were written, and whether there is more to be read. Raises StorageError: then `forget`."""
        services = self._services
        async with services.db.read() as tx:
            cursor = await alerts.cursor(tx, LOG)
            newest = next(head.entries for head in await ledger.heads(tx) if head.log == LOG)
            at = newest if cursor is None else cursor
            if self._rules is None:
                self._rules = await self._remembering(tx, at)
            fresh = await ledger.entries(tx, LOG, after_seq=at, limit=BATCH) if newest > at else ()
        if not fresh and cursor is not None:
            return 0, False
        raised: list[Raised] = []
        async with services.db.transaction() as tx:
            for entry in fresh:
                one = _parsed(entry.body)
                if one is not None:
                    raised += self._rules.feed(one, took_part=one.opens and await _took_part(tx, one))
            found = together(raised)
            for each in found:
                await writing.write(services, tx, each)
            await alerts.move_cursor(tx, LOG, cursor, fresh[-1].seq if fresh else at)
        self.raised += len(raised)
        return len(found), len(fresh) == BATCH

    async def _remembering(self, tx: Tx, cursor: int) -> AccessRules:
        """Rules that know what was within their windows before a restart."""
        kinds = self._kinds()
        rules, since = AccessRules(kinds), self._services.clock() - access_rules.longest(kinds)
        after = max(0, cursor - REMEMBERED)
        for entry in await ledger.entries(tx, LOG, after_seq=after, limit=cursor - after):
            one = _parsed(entry.body)
            if one is not None and one.at > since:
                rules.feed(one)
        return rules


def _parsed(body: bytes) -> Looked | None:
    """None: what stands there is no entry; the verification of the ledger says so."""
    try:
        return access_rules.looked(body)
    except (ValueError, KeyError, TypeError):
        return None


async def _took_part(tx: Tx, one: Looked) -> bool:
    """Whether who opens a recording is heard in it."""
    try:
        for party in await recordings.parties(tx, one.rec_id):
            if party.account_id and (await accounts.get(tx, party.account_id)).person_id == one.person_id:
                return True
    except NotFound:
        return False  # destroyed meanwhile
    return False
