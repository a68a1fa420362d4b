"""Transfers as call control sees them: who may, whom it leads to, and which conversations take part.

A REFER is decided here before its phone is answered (RFC 3515 section 2.4.2); how it goes is told by the script of the
call with NOTIFY. Replaces (RFC 3891) is resolved in call control's own map of Call-IDs, and a call that is not the
referrer's own is never touched.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from retention.metadata import MetadataClass, strictest_class
from sip.calls import acts, refer_to
from sip.calls.conversation import Conversation, Edge
from sip.calls.plan import Joining, Refusal, Stage, Target, TransferRequest, TrunkTarget
from sip.calls.ports import Planner
from sip.edge.protocol import EdgeRequest, Reply, ToWorker
from sip.edge.rpc import RpcError
from sip.worker import protocol as p
from storage.errors import StorageError

log = logging.getLogger(__name__)

PLANNED_S = 2.5  # for the answer to the edge, which waits little longer


class Calls(Protocol):
    """What is needed of call control."""

    @property
    def edge(self) -> Edge: ...

    @property
    def planner(self) -> Planner: ...

    def now(self) -> datetime: ...

    def conversations(self) -> Iterable[Conversation]: ...

    def may_dial(self, conversation: Conversation, stages: Iterable[Stage]) -> None:
        """The conversation's worker may dial these from now on."""


class Transfers:
    """Decides about transfers and sets them going."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._joints: dict[str, tuple[Conversation, ToWorker]] = {}  # leg token -> the worker it leads to

    async def on_refer(self, request: EdgeRequest) -> Reply:
        """A phone in a call asks to leave it in favour of somebody else."""
        conversation, leg = self._find(request.call_id)
        if conversation is None:
            return Reply(481, "Call Does Not Exist")
        wanted = refer_to.parse(request.refer_to)
        if wanted is None:
            return Reply(400, "Refer-To Names Nobody")
        refusal = self._may(conversation, leg)
        if refusal is None:
            conversation.transfer_asked = True
            refusal = await self._in_time(conversation, leg, wanted)
            conversation.transfer_asked = refusal is None
        conversation.referred(leg, 202 if refusal is None else refusal.code)
        return Reply(202, "Accepted") if refusal is None else Reply(refusal.code, refusal.reason)

    async def order(self, conversation: Conversation, leg: str, number: str) -> Refusal | None:
        """An operator has the party on ``leg`` leave in favour of ``number``; None: it is being done."""
        refusal = self._may(conversation, leg, by_operator=True)
        if refusal is not None:
            return refusal
        conversation.transfer_asked = True
        refusal = await self._in_time(conversation, leg, refer_to.ReferTo(number), notify=False)
        conversation.transfer_asked = refusal is None
        return refusal

    def joint(self, token: str, worker_port: int) -> ToWorker | None:
        """Where the leg between two workers leads; once, and only for the worker that was to dial it."""
        conversation, answer = self._joints.get(token, (None, None))
        if conversation is None or conversation.worker.port != worker_port:
            return None
        del self._joints[token]
        return answer

    def forget(self, conversation: Conversation) -> None:
        """It is over."""
        for token in [token for token, (whose, _) in self._joints.items() if whose is conversation]:
            del self._joints[token]

    # --- may they ---------------------------------------------------------------------------------

    def _find(self, sip_call_id: str) -> tuple[Conversation | None, str]:
        for conversation in self._calls.conversations():
            leg = conversation.leg_of(sip_call_id)
            if leg is not None:
                return conversation, leg
        return None, ""

    def _may(self, conversation: Conversation, leg: str, *, by_operator: bool = False) -> Refusal | None:
        script = conversation.script
        if conversation.transfer_asked or script.joinings.under_way or not script.talking:
            return Refusal(491, "Request Pending", "busy")
        if script.other(leg) is None:
            return Refusal(481, "Not In This Conversation", "unknown")
        if conversation.plan.emergency or script.joinings.relaying:
            return Refusal(403, "This Call Cannot Be Transferred", "not-permitted")
        if leg in script.core.outside and not by_operator:
            return Refusal(403, "Not Permitted", "not-permitted")
        return None

    async def _in_time(
        self, conversation: Conversation, leg: str, wanted: refer_to.ReferTo, *, notify: bool = True
    ) -> Refusal | None:
        try:
            async with asyncio.timeout(PLANNED_S):
                if wanted.replaces is not None:
                    return await self._attended(conversation, leg, wanted.replaces)
                return await self._blind(conversation, leg, wanted.user, notify=notify)
        except TimeoutError:
            log.error("call %s: a transfer was refused: it was not planned in time", conversation.plan.call_id)
        except (StorageError, RpcError) as error:
            log.error("call %s: a transfer was refused: %s", conversation.plan.call_id, error)
        return Refusal(503, "Try Again Later", "failed")

    # --- blind ------------------------------------------------------------------------------------

    async def _blind(self, conversation: Conversation, leg: str, user: str, *, notify: bool) -> Refusal | None:
        stays = conversation.script.other(leg)
        assert stays is not None
        asked = TransferRequest(
            conversation.plan, conversation.party(leg), conversation.party(stays), user, by_operator=not notify
        )
        joining = await self._calls.planner.plan_transfer(asked, self._calls.now())
        if isinstance(joining, Refusal):
            log.info("call %s: a transfer was refused: %s", conversation.plan.call_id, joining.cause)
            return joining
        if not joining.stages:
            return Refusal(480, "Nobody There", "not-available")
        if not conversation.script.talking:
            return Refusal(481, "The Call Has Ended", "unknown")
        joining = _lettered(joining, conversation.next_letter())
        self._calls.may_dial(conversation, joining.stages)
        conversation.arrive(acts.Transfer(leg, joining, notify=notify))
        return None

    # --- attended ---------------------------------------------------------------------------------

    async def _attended(self, first: Conversation, leg: str, replaces: refer_to.Replaces) -> Refusal | None:
        """The party behind ``replaces`` joins the conversation ``first`` in the place of ``leg``."""
        second, replaced = self._find(replaces.call_id)
        refusal = await self._may_replace(first, leg, second, replaced, replaces)
        if refusal is not None:
            return refusal
        assert second is not None
        stays, joins = first.script.other(leg), second.script.other(replaced)
        assert stays is not None and joins is not None
        joining = await self._calls.planner.plan_joining(
            first.plan, first.party(stays), second.party(joins), self._calls.now()
        )
        if not first.script.talking or not second.script.talking or second.script.other(replaced) != joins:
            return Refusal(481, "The Call Has Ended", "unknown")
        joining = replace(
            _lettered(joining, first.next_letter()), metadata_class=_strictest(joining.metadata_class, second)
        )
        self._join(first, leg, second, replaced, joining, staff=joins in second.script.core.staff)
        return None

    async def _may_replace(
        self,
        first: Conversation,
        leg: str,
        second: Conversation | None,
        replaced: str,
        replaces: refer_to.Replaces,
    ) -> Refusal | None:
        if second is None or second is first:
            return Refusal(481, "No Such Call To Replace", "unknown")
        account_id = first.party(leg).account_id
        if account_id is None or second.party(replaced).account_id != account_id:
            log.warning("call %s: a transfer named a call of somebody else", first.plan.call_id)
            return Refusal(403, "Not Your Call", "not-permitted")
        if replaces.early_only or not second.script.talking:
            return Refusal(481, "The Second Call Is Not Answered", "unknown")
        refusal = self._may(second, replaced)
        if refusal is not None:
            return refusal
        tags = await self._calls.edge.dialog_tags(replaces.call_id)
        if tags is None or frozenset(tags) != replaces.tags:
            return Refusal(481, "No Such Dialog", "unknown")
        return None

    def _join(
        self, first: Conversation, leg: str, second: Conversation, replaced: str, joining: Joining, *, staff: bool
    ) -> None:
        """Both scripts are told, and the leg between their workers is expected before it is dialled."""
        outward, inward = first.next_name("j"), second.next_name("j")
        token = secrets.token_hex(16)
        self._joints[f"{first.plan.call_id}-{outward}"] = (first, ToWorker(second.worker.port, token))
        second.worker.send(p.Expect(token, inward))
        second.transfer_asked = True
        second.arrive(acts.BecomeRelay(replaced, inward))
        second.relays_to(first, outward, inward)
        first.arrive(acts.Transfer(leg, joining, joint=outward, joint_staff=staff))


def _strictest(class_: str, second: Conversation) -> str:
    both = (class_, second.script.outcome.metadata_class or second.plan.metadata_class)
    return str(strictest_class(MetadataClass.parse(each) for each in both))


def _lettered(joining: Joining, letter: str) -> Joining:
    """Its legs under a letter that no leg of this call has had: c at the first transfer, then d ..."""

    def renamed(target: Target | TrunkTarget) -> Target | TrunkTarget:
        return dataclasses.replace(target, leg=letter + target.leg[1:])

    stages = tuple(replace(stage, targets=tuple(map(renamed, stage.targets))) for stage in joining.stages)
    terms = tuple(replace(each, leg=letter + each.leg[1:]) for each in joining.terms)
    return replace(joining, stages=stages, terms=terms)
