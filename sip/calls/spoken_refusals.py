"""Refusals that a phone of the house is told in words, as call control sees them: whether, and by which worker.

A trunk and a stranger never are: nothing is answered, and nothing is learned. Nor is a call for help: it does not wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sip.calls.admission import Admission
from sip.calls.conversation import Conversation
from sip.calls.plan import CallPlan, Refusal
from sip.calls.ports import Planner
from sip.edge.protocol import EdgeRequest
from storage.errors import StorageError

log = logging.getLogger(__name__)

PLANNED_S = 1.0  # at most; then the status has to do
SPARE_S = 0.3  # for that status to be sent before the edge gives up


class Calls(Protocol):
    """What is needed of call control."""

    admission: Admission
    max_concurrent: int

    @property
    def planner(self) -> Planner: ...

    async def start(
        self, plan: CallPlan, request: EdgeRequest | None, began_at: datetime
    ) -> Conversation | Refusal: ...


class SpokenRefusals:
    """Has refusals spoken where that does no harm."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def speak(
        self, request: EdgeRequest, refusal: Refusal, call_id: str, began_at: datetime, until_s: float
    ) -> Conversation | None:
        """The conversation in which it is said; None where the status has to do. Raises nothing, and is back in time
        for ``until_s`` on the loop's clock."""
        calls, announcements = self._calls, self._calls.admission.announcements
        if not refusal.prompt or request.trunk or calls.admission.is_emergency(request):
            return None
        if not calls.admission.may_announce(calls.max_concurrent):
            return None
        until_s = min(until_s - SPARE_S, asyncio.get_running_loop().time() + PLANNED_S)
        account_id: str | None = None
        started: Conversation | Refusal | None = None
        try:
            async with asyncio.timeout_at(until_s):
                plan = await calls.planner.plan_refusal(request, refusal, began_at)
                if plan is None or not announcements.begin(plan.caller.account_id or "", time.monotonic()):
                    return None
                account_id = plan.caller.account_id or ""
                started = await calls.start(replace(plan, call_id=call_id), request, began_at)
        except (TimeoutError, StorageError) as error:
            log.warning("call %s: the refusal is not spoken: %s", call_id, str(error) or "not in time")
        finally:
            if account_id is not None and not isinstance(started, Conversation):
                announcements.end(account_id)
        return started if isinstance(started, Conversation) else None
