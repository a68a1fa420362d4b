"""Transfers as call control sees them: who may, whom it leads to, and which conversations take part.

A REFER is decided here before its phone is answered (RFC 3515 section 2.4.2); how it goes is told by the script of the
call with NOTIFY. Replaces (RFC 3891) is resolved in call control's own map of Call-IDs, and a call that is not the
referrer's own is never touched. What a phone behind a relay asks for is carried out where its conversation is held
(``sip.calls.chains``).
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
from sip.calls.chains import Place, depth, held_at
from sip.calls.conversation import Conversation, Edge, Link
from sip.calls.plan import Joining, Party, Refusal, Stage, Target, TransferRequest, TrunkTarget
from sip.calls.ports import Planner
from sip.edge.protocol import EdgeRequest, Reply, ToWorker
from sip.edge.rpc import RpcError
from sip.worker import protocol as p
from storage.errors import StorageError

log = logging.getLogger(__name__)

PLANNED_S = 2.5  # for the answer to the edge, which waits little longer

_LATER = Refusal(503, "Try Again Later", "failed")
_NOBODY = Refusal(481, "Not In This Conversation", "unknown")
_ENDED = Refusal(481, "The Call Has Ended", "unknown")
_TOO_OFTEN = Refusal(403, "Transferred Too Often", "not-permitted")


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
        phone = self._find(request.call_id)
        if phone is None:
            return Reply(481, "Call Does Not Exist")
        wanted = refer_to.parse(request.refer_to)
        if wanted is None:
            return Reply(400, "Refer-To Names Nobody")
        refusal = _may(phone) or await self._one_at_a_time(_Order(phone, held_at(phone)), wanted)
        phone.conversation.referred(phone.leg, 202 if refusal is None else refusal.code)
        return Reply(202, "Accepted") if refusal is None else Reply(refusal.code, refusal.reason)

    async def order(self, conversation: Conversation, leg: str, number: str) -> Refusal | None:
        """An operator has the party on ``leg`` leave in favour of ``number``; None: it is being done."""
        asked = Place(conversation, leg)
        leaves: Place | None = held_at(asked)
        if conversation.link is not None and leaves == asked:  # the leg to the other worker: whoever is there is meant
            leaves = asked.opposite and held_at(asked.opposite).opposite
        if leaves is None:
            return _NOBODY
        refusal = _may(leaves, by_operator=True)
        return refusal or await self._one_at_a_time(_Order(leaves, leaves, by_operator=True), refer_to.ReferTo(number))

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

    def _find(self, sip_call_id: str) -> Place | None:
        for conversation in self._calls.conversations():
            leg = conversation.leg_of(sip_call_id)
            if leg is not None:
                return Place(conversation, leg)
        return None

    async def _one_at_a_time(self, order: _Order, wanted: refer_to.ReferTo) -> Refusal | None:
        """Planned while somebody waits for the answer, and while no other transfer of this conversation may begin."""
        conversation = order.leaves.conversation
        refusal: Refusal | None = _LATER
        conversation.transfer_asked = True
        try:
            async with asyncio.timeout(PLANNED_S):
                if wanted.replaces is not None:
                    refusal = await self._attended(order, wanted.replaces)
                else:
                    refusal = await self._blind(order, wanted.user)
        except TimeoutError:
            log.error("call %s: a transfer was refused: it was not planned in time", conversation.plan.call_id)
        except (StorageError, RpcError) as error:
            log.error("call %s: a transfer was refused: %s", conversation.plan.call_id, error)
        finally:
            conversation.transfer_asked = refusal is None
        return refusal

    # --- blind ------------------------------------------------------------------------------------

    async def _blind(self, order: _Order, user: str) -> Refusal | None:
        conversation, leaves = order.leaves.conversation, order.leaves.leg
        stays = conversation.script.other(leaves)
        assert stays is not None
        asked = TransferRequest(
            conversation.plan, order.referrer, conversation.party(stays), user, by_operator=order.by_operator
        )
        joining = await self._calls.planner.plan_transfer(asked, self._calls.now())
        if isinstance(joining, Refusal):
            log.info("call %s: a transfer was refused: %s", conversation.plan.call_id, joining.cause)
            return joining
        if not joining.stages:
            return Refusal(480, "Nobody There", "not-available")
        if not _goes_on(order.leaves, stays):
            return _ENDED
        letter = conversation.next_letter()
        if not letter:
            return _TOO_OFTEN
        joining = _lettered(joining, letter)
        self._calls.may_dial(conversation, joining.stages)
        conversation.tells(leaves, order.phone.conversation, order.phone.leg)
        conversation.arrive(acts.Transfer(leaves, joining, notify=not order.by_operator))
        return None

    # --- attended ---------------------------------------------------------------------------------

    async def _attended(self, order: _Order, replaces: refer_to.Replaces) -> Refusal | None:
        """The parties of two conversations are joined; the phone that has asked was in both."""
        phone = self._find(replaces.call_id)
        refusal = _may_replace(order, phone, replaces)
        if refusal is not None:
            return refusal
        assert phone is not None
        other, joined = held_at(phone), False
        other.conversation.transfer_asked = True
        try:
            tags = await self._calls.edge.dialog_tags(replaces.call_id)
            if tags is None or frozenset(tags) != replaces.tags:
                return Refusal(481, "No Such Dialog", "unknown")
            refusal = await self._bring_together(order, other)
            joined = refusal is None
        finally:
            other.conversation.transfer_asked = joined
        return refusal

    async def _bring_together(self, order: _Order, other: Place) -> Refusal | None:
        """Plan it, and tell both scripts.

        The conversation in which it was asked for goes on and the other becomes a relay; the other way round where
        whoever stays in the second is further away: a relay that leads to another relay is one worker more, and a
        call that is passed on and on would gather them.
        """
        first, second = order.leaves, other
        if first.opposite is None or second.opposite is None:
            return _ENDED
        known = tuple(self._calls.conversations())
        if depth(first.opposite, known) < depth(second.opposite, known):
            first, second = second, first
        stays, joins = first.opposite, second.opposite
        assert stays is not None and joins is not None
        joining = await self._calls.planner.plan_joining(
            first.conversation.plan, stays.party, joins.party, self._calls.now()
        )
        if not _goes_on(first, stays.leg) or not _goes_on(second, joins.leg):
            return _ENDED
        letter = first.conversation.next_letter()
        if not letter:
            return _TOO_OFTEN
        joining = _lettered(joining, letter)
        joining = replace(joining, metadata_class=_strictest(joining.metadata_class, second.conversation))
        self._join(order, first, second, joining)
        return None

    def _join(self, order: _Order, first: Place, second: Place, joining: Joining) -> None:
        """Both scripts are told, and the leg between their workers is expected before it is dialled."""
        stays, joins = first.opposite, second.opposite
        assert stays is not None and joins is not None
        holder, relay = first.conversation, second.conversation
        outward, inward = holder.next_name("j"), relay.next_name("j")
        token = secrets.token_hex(16)
        self._joints[f"{holder.plan.call_id}-{outward}"] = (holder, ToWorker(relay.worker.port, token))
        relay.worker.send(p.Expect(token, inward))
        relay.arrive(acts.BecomeRelay(second.leg, inward, stays.party, lingers=order.leaves == second))
        relay.relays_to(Link(holder, outward, inward))
        holder.tells(first.leg, order.phone.conversation, order.phone.leg)
        core = relay.script.core
        holder.arrive(
            acts.Transfer(
                first.leg,
                joining,
                joint=outward,
                joint_staff=joins.leg in core.staff,
                joint_outside=joins.leg in core.outside,
                joint_hidden=core.hides(joins.leg),
                elsewhere=order.leaves == second,
            )
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """A transfer that was asked for."""

    phone: Place  # whose it is
    leaves: Place  # what stands for that phone where its conversation is held
    by_operator: bool = False

    @property
    def referrer(self) -> Party:
        return self.phone.party


def _may(phone: Place, *, by_operator: bool = False) -> Refusal | None:
    """Whether the party on this leg may be transferred away now."""
    leaves = held_at(phone)
    script = leaves.conversation.script
    if leaves.conversation.transfer_asked or script.joinings.under_way or not script.talking:
        return Refusal(491, "Request Pending", "busy")
    if leaves.opposite is None or leaves.conversation.link is not None:
        return _NOBODY
    if leaves.conversation.plan.emergency:
        return Refusal(403, "This Call Cannot Be Transferred", "not-permitted")
    if phone.leg in phone.conversation.script.core.outside and not by_operator:
        return Refusal(403, "Not Permitted", "not-permitted")
    return None


def _may_replace(order: _Order, phone: Place | None, replaces: refer_to.Replaces) -> Refusal | None:
    """Whether the call that Replaces names is another one of whoever asked, and may be transferred."""
    if phone is None or phone.leg not in phone.conversation.script.core.parties:
        return Refusal(481, "No Such Call To Replace", "unknown")
    if held_at(phone).conversation is order.leaves.conversation:
        return Refusal(481, "The Same Conversation", "unknown")
    account_id = order.referrer.account_id
    if account_id is None or phone.party.account_id != account_id:
        log.warning("call %s: a transfer named a call of somebody else", order.phone.conversation.plan.call_id)
        return Refusal(403, "Not Your Call", "not-permitted")
    if replaces.early_only or not phone.conversation.script.talking:
        return Refusal(481, "The Second Call Is Not Answered", "unknown")
    return _may(phone)


def _goes_on(place: Place, other: str) -> bool:
    """Whether these two still talk, and nothing else has come between."""
    script = place.conversation.script
    return script.talking and script.other(place.leg) == other


def _strictest(class_: str, second: Conversation) -> str:
    both = (class_, second.metadata_class)
    return str(strictest_class(MetadataClass.parse(each) for each in both))


def _lettered(joining: Joining, letter: str) -> Joining:
    """Its legs under a letter that no leg of this call has had: c at the first transfer, then d ..."""

    def renamed(target: Target | TrunkTarget) -> Target | TrunkTarget:
        return dataclasses.replace(target, leg=letter + target.leg[1:])

    stages = tuple(replace(stage, targets=tuple(map(renamed, stage.targets))) for stage in joining.stages)
    terms = tuple(replace(each, leg=letter + each.leg[1:]) for each in joining.terms)
    return replace(joining, stages=stages, terms=terms)
