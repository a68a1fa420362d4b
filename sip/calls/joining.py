"""Transfers: somebody joins a conversation in the place of somebody who leaves (RFC 3515, RFC 5589).

Blind: the target is rung while whoever stays hears it ring. Attended: the party that joins is on the line already, in
another conversation, most often in another worker; a leg between the two workers joins them. That other conversation
becomes a relay: what is heard in it is asked about and recorded here.
"""

from __future__ import annotations

from functools import partial

from retention.metadata import MetadataClass, strictest_class
from sip.calls.acts import BecomeRelay, TimedOut, Transfer
from sip.calls.captures import Captures
from sip.calls.core import Core, Ended, Left, Step
from sip.calls.floor import Floor
from sip.calls.legs import LegState
from sip.calls.ringing import INVITE_S, PHRASES, Nobody, Ringing
from sip.worker import protocol as p

FAILED = "PROMPT_TRANSFER_FAILED"
REFERRER_S = 2.0  # for whoever asked for a transfer to hang up once it is done
JOINT_S = 5.0  # for the leg between two workers


class Joinings:
    """The transfers of one call."""

    def __init__(self, core: Core, captures: Captures, floor: Floor) -> None:
        self._core = core
        self._captures = captures
        self._floor = floor
        self.under_way = False
        self.relaying = False  # this conversation goes on in another one

    def transfer(self, order: Transfer, stays: str) -> Step[str | None]:
        """The leg that has joined; None if nobody did and the two are to talk on. Raises Ended when nobody did and
        the referrer has left, Left when whoever was to stay has."""
        core, referrer = self._core, order.referrer
        self.under_way = True
        core.needed = {stays}
        core.prompts |= {key: each for key, each in order.joining.prompts.items() if key[0] == FAILED}
        yield from self._tell(order, 100, "Trying")
        yield from self._floor.part()
        try:
            joined = yield from (self._reach(order) if order.joint else self._ring(order, stays))
        except Nobody as nobody:
            yield from self._nobody_joins(order, stays, nobody)
            return None
        except (Left, Ended):
            yield from self._tell(order, 487, "Request Terminated", final=True)
            raise
        finally:
            self.under_way = False
        yield from self._tell(order, 200, "OK", final=True)
        core.alarm("referrer", core.now_s + REFERRER_S, partial(core.hang_up, referrer, 480, 0, ""))
        if not order.notify:  # nobody waits for an answer
            yield from core.hang_up(referrer, 480, 0, "")
        self._take_in(order, joined)
        yield from self._captures.keep()
        return joined

    def _ring(self, order: Transfer, stays: str) -> Step[str]:
        core = self._core
        ringing = Ringing(
            core, order.joining.stages, waits=stays, shown=core.parties[stays], hidden=core.hides(stays), answered=True
        )
        return (yield from ringing.run(0, core.plan.ring_timeout_s))

    def _reach(self, order: Transfer) -> Step[str]:
        """The leg to the other worker: answered at once, or not at all."""
        core, joint = self._core, order.joint
        yield from core.wait_for_slots(1)
        core.legs[joint] = LegState.ASKED
        core.parties[joint] = caller = order.joining.callee
        yield p.Dial(joint, "joint", f"{core.plan.call_id}-{joint}", caller.number, caller.display, False)
        until_s = core.now_s + JOINT_S
        while True:
            event = yield from core.next(until_s - core.now_s)
            match event:
                case p.LegUp(leg=leg) if leg == joint:
                    return joint
                case p.LegDown(leg=leg) if leg == joint:
                    raise Nobody(503, "failed")
                case TimedOut():
                    yield from core.hang_up(joint, 480, 0, "")
                    raise Nobody(503, "failed")

    def _nobody_joins(self, order: Transfer, stays: str, nobody: Nobody) -> Step[None]:
        core, referrer = self._core, order.referrer
        yield from self._tell(order, nobody.code, PHRASES.get(nobody.code, "Failed"), final=True)
        if core.down(referrer):  # whoever was to be transferred is alone, and has dialled nothing of this
            raise Ended(nobody.code, nobody.cause, nobody.text, prompt=FAILED)
        if order.notify and referrer not in core.held:  # who holds hears nothing, and sees it when they come back
            yield from core.begin_saying(referrer, FAILED)
        core.needed = {stays, referrer}

    def _take_in(self, order: Transfer, joined: str) -> None:
        """What is known of the party that has joined."""
        core, joining = self._core, order.joining
        core.terms += joining.terms
        core.prompts.update(joining.prompts)
        if order.joint:
            for known, legs in (
                (order.joint_staff, core.staff),
                (order.joint_outside, core.outside),
                (order.joint_hidden, core.hidden),
            ):
                if known:
                    legs.add(joined)
            core.letters[joined] = joining.terms[0].leg[0] if joining.terms else joined
        outcome = core.outcome
        outcome.transferred = True
        classes = (outcome.metadata_class or core.plan.metadata_class, joining.metadata_class)
        outcome.metadata_class = str(strictest_class(MetadataClass.parse(each) for each in classes))

    def become_relay(self, order: BecomeRelay, stays: str) -> Step[str | None]:
        """The joint leg, when it has come and is up; None if it has not."""
        core, joint = self._core, order.joint
        core.legs[joint] = LegState.ASKED
        core.parties[joint] = order.party
        core.needed = {stays}
        self.under_way = True
        until_s = core.now_s + INVITE_S
        try:
            while not core.up(joint):
                event = yield from core.next(until_s - core.now_s)
                match event:
                    case p.Incoming(leg=leg) if leg == joint:
                        yield p.Answer(joint, 200, "OK")
                    case p.LegDown(leg=leg) if leg == joint:
                        break
                    case TimedOut():
                        yield from core.hang_up(joint, 480, 0, "")
                        break
        finally:
            self.under_way = False
        if not core.up(joint):
            self._no_relay(order, stays)
            return None
        yield from self._floor.part()
        yield from self._captures.keep()
        self._captures.wanted = False
        self.relaying = self._floor.relay = True
        core.outcome.transferred = True
        leave = partial(core.hang_up, order.leaves, 480, 0, "")
        if order.lingers:
            core.alarm("referrer", core.now_s + REFERRER_S, leave)
        else:
            yield from leave()
        return joint

    def _no_relay(self, order: BecomeRelay, stays: str) -> None:
        core = self._core
        if core.down(order.leaves):
            raise Ended(480, "failed", "The transfer failed")
        core.needed = {stays, order.leaves}

    def _tell(self, order: Transfer, code: int, reason: str, *, final: bool = False) -> Step[None]:
        """How the transfer goes, while there is somebody who waits for it."""
        if order.notify and (order.elsewhere or not self._core.down(order.referrer)):
            yield p.Notify(order.referrer, code, reason, final)
