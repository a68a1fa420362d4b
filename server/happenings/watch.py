"""Looks on while somebody listens: which calls begin, are answered and end; which texts come and what becomes of them.

Calls that leave no record are told of to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from config.happenings import Kind
from server.happenings.hub import Happening, Hub
from sip.calls.control import LiveCall
from sms.inbound import Arrived
from storage import sms_sent
from storage.database import Database
from storage.errors import StorageError

log = logging.getLogger(__name__)

EVERY_S = 0.25
MAX_TEXTS = 5000  # whose state has changed and is not told yet
AT_ONCE = 200
TALKING = frozenset({"talking", "transferring", "ending"})


class Watch:
    """One for the daemon."""

    def __init__(
        self, hub: Hub, database: Database, live: Callable[[], Sequence[LiveCall]], clock: Callable[[], datetime]
    ) -> None:
        self._hub, self._database, self._live, self._clock = hub, database, live, clock
        self._known: dict[str, tuple[LiveCall, bool]] = {}  # call -> as seen last, whether it was answered
        self._texts: dict[str, None] = {}
        self._states: dict[str, str] = {}

    # --- told by others -----------------------------------------------------------------------------------------------

    def texts_changed(self, message_ids: Collection[str]) -> None:
        """Something may have become of these."""
        if len(self._hub) and len(self._texts) < MAX_TEXTS:
            self._texts |= dict.fromkeys(message_ids)

    def arrived(self, one: Arrived) -> None:
        self._hub.tell(Happening("text.in", self._clock(), one.received_id, one.state, "in", inbox_id=one.inbox_id))

    # --- looking ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For as long as the daemon lives."""
        while True:
            self._texts.clear()
            self._states.clear()
            await self._hub.wanted.wait()
            self._known = {call.call_id: (call, call.state in TALKING) for call in self._seen()}
            while self._hub.wanted.is_set():
                self.look()
                try:
                    await self.look_at_texts()
                except StorageError as error:
                    log.warning("texts are told of later: %s", error)
                await asyncio.sleep(EVERY_S)

    def _seen(self) -> Sequence[LiveCall]:
        return [call for call in self._live() if not call.private]

    def look(self) -> None:
        """What is different from the last look at calls."""
        now, every = self._clock(), {call.call_id: call for call in self._live()}
        going = {call_id: call for call_id, call in every.items() if not call.private}
        for call_id, (last, answered) in list(self._known.items()):
            if call_id in going:
                continue
            del self._known[call_id]
            if call_id not in every:  # one that has become private goes on, and nothing more is told of it
                self._hub.tell(_told("call.ended", now, last, "answered" if answered else "not answered"))
        for call_id, call in going.items():
            before = self._known.get(call_id)
            if before is None:
                self._hub.tell(_told("call.started", call.began_at, call, "ringing"))
            answered = call.state in TALKING
            if answered and not (before and before[1]):
                self._hub.tell(_told("call.answered", now, call, "talking"))
            everybody = call.accounts | (before[0].accounts if before else frozenset())
            self._known[call_id] = (replace(call, accounts=everybody), answered or bool(before and before[1]))

    async def look_at_texts(self) -> None:
        """Raises StorageError."""
        wanted = list(self._texts)[:AT_ONCE]
        if not wanted:
            return
        async with self._database.read() as tx:
            found = await sms_sent.brief(tx, wanted)
        for message_id in wanted:
            self._texts.pop(message_id, None)
            one = found.get(message_id)
            if one is None or self._states.get(message_id) == one.state:
                continue
            self._states[message_id] = one.state
            while len(self._states) > MAX_TEXTS:
                self._states.pop(next(iter(self._states)))
            told = Happening("text.out", self._clock(), message_id, one.state, "out", inbox_id=one.inbox_id)
            self._hub.tell(told)


def _told(kind: Kind, at: datetime, call: LiveCall, state: str) -> Happening:
    return Happening(kind, at, call.call_id, state, call.direction, call.accounts, call.line_id)
