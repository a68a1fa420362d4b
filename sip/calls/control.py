"""Call control: the shell around the script of each call.

It answers the edge ("where to?"), takes a worker, carries out what the script asks, and leaves nothing behind: when a
worker dies its dialogs are ended at the edge, and a recording that was running is sealed as far as it came.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sip.calls import acts, preemption
from sip.calls.admission import Admission
from sip.calls.conversation import Conversation, Edge, Side
from sip.calls.core import CALLER
from sip.calls.duty import Duty, OutsideLeg
from sip.calls.observatory import Observatory
from sip.calls.plan import CallPlan, Ceiling, Refusal, Stage, Target, TrunkTarget
from sip.calls.ports import CallBook, Planner, Recordings
from sip.calls.script import PAUSE_MAX_S
from sip.calls.spoken_refusals import SpokenRefusals
from sip.calls.transfers import Transfers
from sip.edge.protocol import Answer, EdgeRequest, Reply, ToDevices, ToTrunk, ToWorker
from sip.edge.rpc import RpcError
from sip.worker import protocol as p
from sip.worker.pool import NoWorker, WorkerPool
from storage.errors import StorageError

log = logging.getLogger(__name__)

ANSWER_S = 2.5  # for an answer to the edge, which waits little longer
RING_MARGIN_S = 5  # the edge gives a ringing phone up later than the script does
STATISTICS = (
    "refused",
    "refusals_spoken",
    "begun",
    "answered",
    "recorded",
    "engine_lost",
    "recording_failed",
    "emergency",
    "preempted",
)


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that goes on. ``beffroi status`` shows nothing of it that is nominative."""

    call_id: str
    line_id: str | None
    began_at: datetime
    recording: bool
    worker_pid: int
    account_id: str | None = None  # of the member of staff who called, or was called
    state: str = "talking"  # beginning, ringing, connecting, talking, transferring, ending
    direction: str = "internal"
    held: bool = False  # one side has put the other on hold
    paused: bool = False  # staff let silence flow into the recording
    emergency: bool = False
    accounts: frozenset[str] = frozenset()  # ids of all of ours who take part or are rung
    private: bool = False  # nothing of it is kept
    state_since: datetime | None = None
    rung: frozenset[str] = frozenset()  # ids of accounts whose phones ring
    sides: tuple[Side, Side] | None = None  # who called, and who answered or is called
    metadata_class: str = "standard"


class CallControl:
    """All calls of this machine."""

    def __init__(
        self,
        *,
        edge: Edge,
        pool: WorkerPool,
        planner: Planner,
        recordings: Recordings,
        book: CallBook,
        max_concurrent: int,
        max_per_account: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_emergency: Callable[[EdgeRequest], bool] = lambda _: False,
        max_channels: Callable[[str], int | None] = lambda _: None,
        duty: Duty | None = None,
        observatory: Observatory | None = None,
        pause_max_s: float = PAUSE_MAX_S,
    ) -> None:
        """``is_emergency`` answers from memory; ``max_channels`` of a trunk by its id (None: as many as there are)."""
        self._edge = edge
        self._pool = pool
        self._planner = planner
        self._recordings = recordings
        self._book = book
        self.max_concurrent = max_concurrent
        self.max_per_account = max_per_account
        self._clock = clock
        self.pause_max_s = pause_max_s  # of a recording, until it goes on by itself
        self.transfers = Transfers(self)
        self._calls: dict[str, Conversation] = {}
        self._dials: dict[str, tuple[Conversation, Stage, Target | TrunkTarget]] = {}  # leg token -> who dials what
        self.admission = Admission(
            pool, seats=self.seats, preempt=self._preempt, is_emergency=is_emergency, max_channels=max_channels
        )
        self._refusals = SpokenRefusals(self)
        self._group: asyncio.TaskGroup | None = None
        self._draining = False
        self._idle = asyncio.Event()  # set while there is no call
        self._idle.set()
        self.duty = duty or Duty()
        self.observatory = observatory or Observatory()
        self.counters: Counter[str] = Counter(dict.fromkeys(STATISTICS, 0))

    async def run(self) -> None:
        """Own the tasks of all conversations until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    # --- the edge asks ----------------------------------------------------------------------------

    async def on_request(self, request: EdgeRequest) -> Answer:
        """Where to? Never raises: what goes wrong is an answer."""
        match request.kind:
            case "invite":
                return await self._on_invite(request)
            case "dial":
                return await self._on_dial(request)
            case "message":
                return Reply(405, "Method Not Allowed")
            case "refer":
                return await self.transfers.on_refer(request)

    async def _on_invite(self, request: EdgeRequest) -> Answer:
        if self._group is None:
            return Reply(503, "Shutting Down")
        if self.admission.is_emergency(request):
            return await self._in_time(request)
        refusal: Answer | None = self._no_room()
        if refusal is None:
            with self.admission.planning():
                refusal = await self._in_time(request)
        if isinstance(refusal, Reply):
            self.counters["refused"] += 1
        return refusal

    async def _in_time(self, request: EdgeRequest) -> Answer:
        """An answer while somebody still waits for it; what was begun for a call that is given up is taken back."""
        until_s = asyncio.get_running_loop().time() + ANSWER_S
        try:
            async with asyncio.timeout_at(until_s):
                return await self._begin(request, until_s)
        except TimeoutError:
            log.error("a call was refused: it was not planned within %.1f s", ANSWER_S)
        except (StorageError, RpcError) as error:
            log.error("a call was refused: %s", error)
        return Reply(503, "Try Again Later")

    def _no_room(self) -> Reply | None:
        if self._draining:
            return Reply(503, "Shutting Down")
        return self.admission.no_room(self.max_concurrent)

    def _too_many(self, plan: CallPlan) -> Refusal | None:
        calls = [call.plan for call in self._calls.values() if call.plan.refusal is None]
        mine = sum(one.caller.account_id == plan.caller.account_id for one in calls)
        return self.admission.too_many(plan, mine, self.max_per_account)

    async def _begin(self, request: EdgeRequest, until_s: float) -> Answer:
        began_at = self._clock()
        plan = await self._planner.plan(request, began_at)
        refusal = plan if isinstance(plan, Refusal) else self._too_many(plan)
        if refusal is not None:
            call_id = plan.call_id if isinstance(plan, CallPlan) else secrets.token_hex(16)
            log.info("call %s refused: %s", call_id, refusal.cause)
            self.observatory.refused(call_id, request, refusal, began_at)
            spoken = await self._refusals.speak(request, refusal, call_id, began_at, until_s)
            if spoken is None:
                return Reply(refusal.code, refusal.reason)
            self.counters["refused"] += 1
            self.counters["refusals_spoken"] += 1
            return self._expected(spoken, request)
        assert not isinstance(plan, Refusal)
        if plan.pickup is not None:
            return self._pick_up(plan, request)
        conversation = await self.start(plan, request, began_at)
        if isinstance(conversation, Refusal):
            return Reply(conversation.code, conversation.reason)
        return self._expected(conversation, request)

    def _expected(self, conversation: Conversation, request: EdgeRequest) -> ToWorker:
        """The caller's INVITE is on its way to our worker."""
        token = secrets.token_hex(16)
        conversation.worker.send(p.Expect(token, CALLER, request.ipv6))
        return ToWorker(conversation.worker.port, token)

    async def start(self, plan: CallPlan, request: EdgeRequest | None, began_at: datetime) -> Conversation | Refusal:
        """A worker for this call, and its script set going."""
        try:
            worker = await self.admission.worker(plan)
        except NoWorker as error:
            log.error("call %s refused: %s", plan.call_id, error)
            return Refusal(503, "No Media Engine", "failed")
        if self._draining and not plan.emergency:
            worker.send(p.Leave())
            return Refusal(503, "Shutting Down", "failed")
        conversation = Conversation(self, plan, worker, request, began_at)
        self._calls[plan.call_id] = conversation
        self._idle.clear()
        self.may_dial(conversation, plan.stages)
        assert self._group is not None
        self._group.create_task(self._converse(conversation), name=f"call {plan.call_id}")
        if plan.refusal is None:
            self.counters["begun"] += 1
            self.counters["emergency"] += plan.emergency
            self.duty.began(plan)
        return conversation

    def _pick_up(self, plan: CallPlan, request: EdgeRequest) -> Answer:
        """A colleague takes a call that rings: the INVITE goes into that call's worker."""
        call = self._calls.get(plan.pickup or "")
        if call is None:
            return Reply(404, "No Call To Pick Up")
        if not call.script.may_be_picked_up:
            return Reply(487, "Answered Already")
        token, leg = secrets.token_hex(16), call.next_name("p")
        call.worker.send(p.Expect(token, leg, request.ipv6))
        call.expect_pick_up(leg, plan.caller, request.auth_user)
        return ToWorker(call.worker.port, token)

    def may_dial(self, conversation: Conversation, stages: Iterable[Stage]) -> None:
        """The conversation's worker may dial these from now on, each once."""
        for stage in stages:
            for target in stage.targets:
                conversation.targets[target.leg] = target
                self._dials[f"{conversation.plan.call_id}-{target.leg}"] = (conversation, stage, target)

    async def _on_dial(self, request: EdgeRequest) -> Answer:
        """An INVITE of one of our workers: only what a plan names, only from the worker that has it, only once."""
        joint = self.transfers.joint(request.leg_token, request.worker_port)
        if joint is not None:
            return joint
        dialled = self._dials.get(request.leg_token)
        if dialled is None or dialled[0].worker.port != request.worker_port:
            log.warning("an INVITE on the workers' socket that no call asked for was refused")
            return Reply(403, "Not A Planned Leg")
        del self._dials[request.leg_token]
        conversation, stage, target = dialled
        ring_s = int(stage.ring_s) + RING_MARGIN_S
        if isinstance(target, TrunkTarget):
            if conversation.plan.emergency:
                await self.admission.emergency_channel(conversation.plan, target.trunk_id)
            elif self.admission.channel_taken(target.trunk_id):
                log.info("call %s: all channels of trunk %s are in use", conversation.plan.call_id, target.trunk_id)
                return Reply(503, "All Channels Are In Use")
            conversation.outside[target.leg] = OutsideLeg(
                conversation.plan.call_id, target.leg, target.trunk_id, target
            )
            return ToTrunk(target.trunk_id, target.number, ring_s)
        return ToDevices(target.auth_users, "tls" if target.srtp else "plain", ring_s)

    # --- running ----------------------------------------------------------------------------------

    async def _converse(self, conversation: Conversation) -> None:
        call_id = conversation.plan.call_id
        try:
            await conversation.run()
        except Exception:  # the boundary of one call: whatever it was, the others go on
            log.exception("call %s failed", call_id)
            conversation.worker.send(p.Leave())
            await conversation.clean_edge()
        finally:
            conversation.leave_trunks()
            self._pool.release(conversation.worker)
            self._calls.pop(call_id, None)
            self.observatory.forget(call_id)
            if conversation.plan.refusal is not None:
                self.admission.announcements.end(conversation.plan.caller.account_id or "")
            self.admission.freed()
            if not self._calls:
                self._idle.set()
            for leg in conversation.targets:
                self._dials.pop(f"{call_id}-{leg}", None)
            self.transfers.forget(conversation)

    def live(self) -> list[LiveCall]:
        """Calls that are going on."""
        return [
            LiveCall(
                call_id=call.plan.call_id,
                line_id=call.plan.line_id,
                began_at=call.began_at,
                recording=call.rec_id is not None,
                worker_pid=call.worker.pid,
                account_id=call.staff_account(),
                state=call.script.state,
                direction=call.plan.direction,
                held=call.script.floor.held,
                paused=call.script.floor.paused,
                emergency=call.plan.emergency,
                accounts=frozenset(call.accounts()),
                private=call.plan.private or call.script.outcome.private or call.metadata_class == "none",
                state_since=call.stands_since,
                rung=call.rung(),
                sides=call.sides(),
                metadata_class=call.metadata_class,
            )
            for call in self._calls.values()
        ]

    def talks(self, account_id: str) -> bool:
        """Whether the account has a call that goes on or rings."""
        return any(account_id in call.accounts() for call in self._calls.values())

    def ringing(self, account_ids: Collection[str]) -> str | None:
        """Id of a call that rings at one of these accounts and may be picked up; the one that rings longest."""
        ringing = (call for call in self._calls.values() if call.script.may_be_picked_up)
        return next((call.plan.call_id for call in ringing if call.rings_at(account_ids)), None)

    def outside(self) -> list[OutsideLeg]:
        """Every channel of a trunk that is in use, or being asked for."""
        return [leg for call in self._calls.values() for leg in call.outside.values()]

    def seats(self) -> list[preemption.Seat]:
        """What each call takes up."""
        return [call.seat() for call in self._calls.values()]

    def _preempt(self, call_id: str) -> None:
        """At once and without a word: somebody needs help now, or no more than what is said about a refusal ends."""
        call = self._calls[call_id]
        if call.plan.refusal is None:
            self.counters["preempted"] += 1
        call.arrive(acts.HangUp(503, "An emergency call needs the line", spoken=False, why=preemption.CAUSE))

    def worker_ports(self) -> set[int]:
        """SIP ports of the workers that have a call."""
        return {call.worker.port for call in self._calls.values()}

    def legs_up(self) -> dict[str, str]:
        """SIP Call-ID of every answered leg -> our call."""
        return {sip: call.plan.call_id for call in self._calls.values() for sip in call.answered_dialogs()}

    def hang_up(self, call_id: str, cause: int = 480, text: str = "Ended by the operator") -> bool:
        """End one call; False if there is none of that id."""
        call = self._calls.get(call_id)
        if call is not None:
            call.arrive(acts.HangUp(cause, text))
        return call is not None

    def end_device(self, auth_user: str) -> int:
        """A device was revoked: the calls that it takes part in end, and nobody else's. How many there were.

        Nobody is cut off from an emergency service.
        """
        concerned = [c for c in self._calls.values() if c.has_device(auth_user) and not c.plan.emergency]
        for call in concerned:
            call.arrive(acts.HangUp(403, "Device revoked", spoken=False, why="revoked"))
        return len(concerned)

    async def transfer(self, call_id: str, side: str, number: str) -> Refusal | None:
        """The party on ``side`` ("a" called, "b" was called) leaves, and the other is connected with ``number``, as if
        that party's phone had asked for it. None: it is being done."""
        call = self._calls.get(call_id)
        leg = None if call is None else call.script.near if side == "a" else call.script.far
        if call is None or leg is None:
            return Refusal(404, "No Such Call", "unknown")
        return await self.transfers.order(call, leg, number)

    async def originate(self, account_name: str, number: str) -> str | Refusal:
        """Ring the account's own phones, then call ``number``: the id of the call."""
        if self._group is None:
            return Refusal(503, "Shutting Down", "failed")
        no_room = self._no_room()
        if no_room is not None:
            return Refusal(no_room.code, no_room.reason, "limit")
        began_at = self._clock()
        with self.admission.planning():
            plan = await self._planner.plan_origination(account_name, number, began_at)
            refused = plan if isinstance(plan, Refusal) else self._too_many(plan)
            if refused is not None:
                return refused
            assert not isinstance(plan, Refusal)
            started = await self.start(plan, None, began_at)
        return started if isinstance(started, Refusal) else plan.call_id

    def pause(self, call_id: str, on: bool) -> bool:
        """Let silence flow into a recording, or end that; False where none runs."""
        call = self._calls.get(call_id)
        if call is None or call.rec_id is None:
            return False
        call.arrive(acts.Pause(on))
        return True

    def set_ceiling(self, call_id: str, ceiling: Ceiling | None) -> bool:
        """How long a call may go on from now; False if there is none of that id."""
        call = self._calls.get(call_id)
        if call is not None:
            call.arrive(acts.NewCeiling(ceiling))
        return call is not None

    def on_recorder_event(self, rec_id: str | None, why: str) -> None:
        """A recording was cut short (``rec_id``), or the recorder has died (None: all of them)."""
        for call in self._calls.values():
            if call.rec_id is not None and rec_id in (None, call.rec_id):
                self.counters["recording_failed"] += 1
                call.arrive(acts.RecordingCut(why))

    async def drain(self, seconds: float, emergency_s: float = 0.0) -> None:
        """Take no new call, end those that go on, and wait until they have ended. Emergency calls are taken and go on
        for so long still."""
        self._draining = True
        for call in list(self._calls.values()):
            if not call.plan.emergency:
                call.arrive(acts.HangUp(503, "The server is being stopped", spoken=False))
        if not await self._ended_within(seconds) and (helping := sum(seat.emergency for seat in self.seats())):
            log.warning("%d emergency calls go on: the server waits for them", helping)
            await self._ended_within(emergency_s)
        if self._calls:
            log.error("%d calls did not end in time", len(self._calls))

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # --- for conversations ------------------------------------------------------------------------

    def conversations(self) -> Iterable[Conversation]:
        return self._calls.values()

    @property
    def planner(self) -> Planner:
        return self._planner

    @property
    def edge(self) -> Edge:
        return self._edge

    @property
    def recordings(self) -> Recordings:
        return self._recordings

    @property
    def book(self) -> CallBook:
        return self._book

    def now(self) -> datetime:
        return self._clock()
