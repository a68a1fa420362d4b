"""Emergency calls that the edge has relayed while the daemon was away or silent: written down, told, then forgotten.

The edge keeps each until it is written down and everybody named was told (``sip.edge.relayed``), so that a daemon which
dies in between tells the rest when it is back, and nobody twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from config import emergency as numbers
from server.directory_memory import DirectoryMemory
from server.emergency_planner import EmergencyPlanner
from server.emergency_reports import RELAYED, RUNNING, EmergencyReports
from sip.edge.rpc import RpcError
from sip.edge.state import RelayedCall
from storage.emergency_calls import EmergencyCall
from storage.errors import StorageError

log = logging.getLogger(__name__)

LOOK_S = 20.0  # an event may be lost, and the edge may have been away
AGAIN_S = 1.0  # while there is one that is not settled
_OUTCOMES = {"": RUNNING, "ended": RELAYED, "failed": "trunk-failed", "cancelled": "cancelled"}


class RelayEdge(Protocol):
    """What is asked of the edge."""

    async def relayed_calls(self) -> Sequence[RelayedCall]: ...

    async def forget_relayed(self, key: str) -> None: ...


class RelayedCalls:
    """Looks when it is told to, and now and then."""

    def __init__(
        self,
        edge: RelayEdge,
        memory: DirectoryMemory,
        planner: EmergencyPlanner,
        reports: EmergencyReports,
        clock: Callable[[], datetime],
    ) -> None:
        self._edge = edge
        self._memory = memory
        self._planner = planner
        self._reports = reports
        self._clock = clock
        self._soon = asyncio.Event()
        self._open: dict[str, str] = {}  # the edge's key -> id, of those that are not settled

    def look_soon(self) -> None:
        """The edge is back, or has told of one."""
        self._soon.set()

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S if self._open else LOOK_S):
                    await self._soon.wait()
            self._soon.clear()
            await self.look()

    async def look(self) -> None:
        """Once. An edge or a database that does not answer is asked again."""
        try:
            held = await self._edge.relayed_calls()
            if held:
                await self._memory.refresh()
            for call in held:
                await self._take(call)
            for key in self._open.keys() - {call.key for call in held}:
                self._reports.lost(self._open.pop(key))
        except RpcError as error:
            log.debug("the edge was not asked for emergency calls: %s", error)
        except StorageError as error:
            log.error("emergency calls that the edge relayed are not written down yet: %s", error)

    async def _take(self, call: RelayedCall) -> None:
        if self._discreet(call.number):  # it was told otherwise when the call began
            await self._edge.forget_relayed(call.key)
            return
        known = self._memory.now
        account = known.accounts.get(call.account_id) or known.of_device(call.device)
        call_id = self._open.get(call.key) or self._planner.id_of(call.key) or _id(call)
        self._open[call.key] = call_id
        settled = await self._reports.relayed(
            EmergencyCall(
                call_id,
                call.at,
                account.id if account is not None else None,
                call.number,
                call.trunk_id,
                drill=False,
                outcome=_OUTCOMES[call.how],
                reported_to=(),
            ),
            presented=self._planner.presented_alone(call.trunk_id),
            late=(self._clock() - call.at).total_seconds() > LOOK_S,
        )
        if settled and call.how:
            await self._edge.forget_relayed(call.key)
            del self._open[call.key]

    def _discreet(self, number: str) -> bool:
        known = numbers.load().of(self._planner.site().country).get(number)
        return known is not None and known.discreet


def _id(call: RelayedCall) -> str:
    """The same at every look, also of the next daemon; another when a phone uses its Call-ID again."""
    return hashlib.sha256(f"{call.key}:{call.at.timestamp():.0f}".encode()).hexdigest()[:32]
