"""Call control with real workers, and phones where the edge would stand. What lies behind its ports is told by a test
to be slow, to refuse, or to fail."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from retention.recording_decision import CompanyFacts, LegConsent, LinePolicy, decide
from retention.recording_decision import Party as PolicyParty
from sip.calls.acts import Gap
from sip.calls.control import CallControl
from sip.calls.plan import CallPlan, Evidence, Joining, LineKind, Party, Refusal, Stage, Target, TransferRequest
from sip.calls.ports import ClosedCall, RecordingOrder
from sip.edge.protocol import EdgeRequest, Reply, ToDevices, ToWorker
from sip.worker.pool import WorkerPool
from tests.peers.ports import Ports
from tests.peers.sipclient import Message
from tests.sip.worker.phones import Dialog, EdgeSide
from tests.sip.worker.rig import config, running, until

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"))
UNRECORDED = LinePolicy("REC_NONE", None, "")
RECORDED = LinePolicy("REC_EMERGENCY", None, "CSP art. L6311-1")  # without a word: nobody has to be asked first


BOB = Party("bob", "102", "Bob", "fr", "FR")


def plan_for(policy: LinePolicy = UNRECORDED, *, account: str = "alice") -> CallPlan:
    parties = [PolicyParty("a", "outside", "FR"), PolicyParty("b", "staff", "FR")]
    return CallPlan(
        call_id=secrets.token_hex(16),
        line_id=None,
        kind=LineKind.RING,
        caller=Party(account, "101", "Alice", "fr", "FR"),
        callee=BOB,
        stages=(Stage((Target("b0", ("bob-1",), False),), 20.0, BOB),),
        recording=decide(policy, parties, COMPANY, NOW),
        metadata_class="minimal",
        prompts={},
        ring_timeout_s=20.0,
    )


CAROL = Party("carol", "103", "Carol", "fr", "FR")


def joining_for(terms: tuple[LegConsent, ...]) -> Joining:
    return Joining((Stage((Target("c0", ("carol-1",), False),), 20.0, CAROL),), CAROL, terms, {}, "minimal")


async def nothing() -> None:
    """What is done where a test asks for nothing else."""


@dataclass
class Planner:
    """Gives the plan that the test has made; `before` comes first, and may take its time or raise."""

    plan_: CallPlan | Refusal = field(default_factory=plan_for)
    before: Callable[[], Awaitable[None]] = nothing
    speaks: CallPlan | None = None  # what is planned for a refusal that has a prompt
    before_speaking: Callable[[], Awaitable[None]] = nothing
    joining: Joining | Refusal = field(default_factory=lambda: joining_for(()))
    transfers: list[TransferRequest] = field(default_factory=list)

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        await self.before()
        if isinstance(self.plan_, Refusal):
            return self.plan_
        return replace(self.plan_, call_id=secrets.token_hex(16))

    async def plan_refusal(self, request: EdgeRequest, refusal: Refusal, now: datetime) -> CallPlan | None:
        await self.before_speaking()
        return None if self.speaks is None else replace(self.speaks, refusal=refusal)

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        self.transfers.append(transfer)
        return self.joining

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        assert isinstance(self.joining, Joining)
        return replace(self.joining, stages=(), callee=joins)

    async def plan_origination(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        return self.plan_ if isinstance(self.plan_, Refusal) else replace(self.plan_, call_id=secrets.token_hex(16))


@dataclass
class Desk:
    """What is asked about recordings, in order; `before[name]` comes first, and may take its time or raise."""

    did: list[tuple[str, str]] = field(default_factory=list)
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    fds: tuple[int, int] | None = None  # of the capture that was begun last: whoever looks at them closes them

    async def _do(self, name: str, rec_id: str) -> None:
        self.did.append((name, rec_id))
        await self.before.get(name, nothing)()

    async def begin(self, order: RecordingOrder, fds: tuple[int, int], now: datetime) -> None:
        for fd in self.fds or ():
            os.close(fd)
        self.fds = (os.dup(fds[0]), os.dup(fds[1]))
        self.order = order
        await self._do("begin", order.rec_id)

    async def finish(self, rec_id: str, now: datetime, gaps: tuple[Gap, ...] = ()) -> bool:
        self.gaps = gaps
        await self._do("finish", rec_id)
        return True

    async def discard(self, rec_id: str, now: datetime) -> None:
        await self._do("discard", rec_id)

    async def destroy(self, rec_id: str, ledger_seq: int | None, now: datetime) -> bool:
        self.ledger_seq = ledger_seq
        await self._do("destroy", rec_id)
        return True

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.did]


@dataclass
class Book:
    """What is written down."""

    noted: list[tuple[Evidence, str | None]] = field(default_factory=list)
    closed: list[ClosedCall] = field(default_factory=list)
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    async def note(self, plan: CallPlan, evidence: Evidence, now: datetime, rec_id: str | None) -> int:
        await self.before.get("note", nothing)()
        self.noted.append((evidence, rec_id))
        return len(self.noted)

    async def close(self, closed: ClosedCall) -> None:
        await self.before.get("close", nothing)()
        self.closed.append(closed)


@dataclass
class Cleaning:
    """What the edge is asked to end in place of a worker."""

    did: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None
    tags: dict[str, tuple[str, str]] = field(default_factory=dict)  # by SIP Call-ID

    def _do(self, what: str, call_id: str) -> bool:
        self.did.append((what, call_id))
        if self.error is not None:
            raise self.error
        return True

    async def end_dialog(self, call_id: str) -> bool:
        return self._do("end", call_id)

    async def cancel(self, call_id: str) -> bool:
        return self._do("cancel", call_id)

    async def reply_pending(self, call_id: str, code: int, reason: str) -> bool:
        return self._do("reply", call_id)

    async def dialog_tags(self, call_id: str) -> tuple[str, str] | None:
        return self.tags.get(call_id)


class Relay:
    """A leg between two workers, as the edge relays it: every message goes to the other one, under our Via."""

    def __init__(self, phones: EdgeSide, first: tuple[str, int], second: tuple[str, int]) -> None:
        self._phones, self._first, self._second = phones, first, second
        self.inbox = self  # where messages of this Call-ID are put

    def put_nowait(self, message: Message, extra: tuple[tuple[str, str], ...] = ()) -> None:
        if message.code:
            vias = message.all("Via")
            to = ("127.0.0.1", int(vias[1].split(";")[0].rsplit(":", 1)[1]))
            at = next(n for n, (name, _) in enumerate(message.headers) if name == "Via")
            headers = [*message.headers[:at], *message.headers[at + 1 :]]
        else:
            port = int(message["Via"].split(";")[0].rsplit(":", 1)[1])
            to = self._second if port == self._first[1] else self._first
            branch = "z9hG4bK" + hashlib.sha256(message["Via"].encode()).hexdigest()[:16]
            host, ours = self._phones.address
            kept = [(name, value) for name, value in message.headers if name not in {each for each, _ in extra}]
            headers = [("Via", f"SIP/2.0/UDP {host}:{ours};branch={branch};rport"), *kept, *extra]
        self._phones.send(Message(message.start, headers, message.body).text(), to)


@dataclass
class Placed:
    """A call whose INVITE has reached its worker."""

    caller: Dialog
    answer: ToWorker


class House:
    """Everything around call control."""

    def __init__(self, pool: WorkerPool, phones: EdgeSide, **limits: int) -> None:
        self.pool, self.phones = pool, phones
        self.planner, self.desk, self.book, self.cleaning = Planner(), Desk(), Book(), Cleaning()
        self.control = CallControl(
            edge=self.cleaning,
            pool=pool,
            planner=self.planner,
            recordings=self.desk,
            book=self.book,
            max_concurrent=limits.get("max_concurrent", 5),
            max_per_account=limits.get("max_per_account", 5),
        )

    def request(self, kind: str = "invite", **facts: object) -> EdgeRequest:
        values: dict[str, object] = {
            "kind": kind,
            "transaction": (1, 2),
            "call_id": secrets.token_hex(8),
            "cseq": 1,
            "auth_user": "alice-1",
            "from_user": "alice",
            "request_user": "bob",
            "source": "udp:192.0.2.1:5060",
            "savp": False,
        }
        return EdgeRequest(**(values | facts))  # type: ignore[arg-type]

    async def place(self) -> Placed:
        """A phone calls: the edge asks, and relays the INVITE to the worker that it is told."""
        request = self.request()
        answer = await self.control.on_request(request)
        assert isinstance(answer, ToWorker), answer
        caller = await self.phones.caller(answer.port)
        del self.phones.dialogs[caller.call_id]
        caller.call_id = request.call_id
        self.phones.dialogs[caller.call_id] = caller
        caller.send_invite(answer.token)
        return Placed(caller, answer)

    async def rung(self) -> Dialog:
        """Whom the worker has dialled; the edge has asked whether that leg was planned."""
        dialog = await self.phones.called()
        assert dialog.invite is not None
        answer = await self.dial(dialog.invite["X-Beffroi-Leg"], dialog.worker[1])
        assert isinstance(answer, ToDevices), answer
        return dialog

    async def rung_by(self, port: int) -> Dialog:
        """As `rung`, where several workers dial at once: whom this one has dialled."""
        await until(lambda: any(d.worker[1] == port and d.invite for d in self.phones.dialogs.values()))
        dialog = next(d for d in self.phones.dialogs.values() if d.worker[1] == port and d.invite)
        await self.phones.give_audio(dialog)
        assert dialog.invite is not None
        answer = await self.dial(dialog.invite["X-Beffroi-Leg"], port)
        assert isinstance(answer, ToDevices), answer
        return dialog

    async def dial(self, token: str, port: int) -> object:
        return await self.control.on_request(self.request("dial", leg_token=token, worker_port=port, auth_user=""))

    async def joint(self) -> None:
        """A worker has dialled another one: the edge asks, and relays."""
        dialog = await self.phones.called()
        assert dialog.invite is not None
        answer = await self.dial(dialog.invite["X-Beffroi-Leg"], dialog.worker[1])
        assert isinstance(answer, ToWorker), answer
        relay = Relay(self.phones, dialog.worker, ("127.0.0.1", answer.port))
        self.phones.dialogs[dialog.call_id] = relay  # type: ignore[assignment]
        relay.put_nowait(dialog.invite, (("X-Beffroi-Leg", answer.token),))

    async def refer(self, dialog: Dialog, refer_to: str) -> Reply:
        """A phone sends REFER in its dialog; the edge asks."""
        answer = await self.control.on_request(self.request("refer", call_id=dialog.call_id, refer_to=refer_to))
        assert isinstance(answer, Reply)
        return answer

    async def talk(self) -> tuple[Dialog, Dialog]:
        """A call in conversation: (caller, callee)."""
        placed = await self.place()
        callee = await self.rung()
        await callee.pick_up()
        await placed.caller.established()
        call = next(iter(reversed(self.control._calls.values())))
        await until(lambda: call._script.outcome.talk_began_s is not None)
        return placed.caller, callee

    async def over(self, patience_s: float = 8.0) -> ClosedCall | None:
        """Until no call is left; the last record."""
        await until(lambda: not self.control.live(), patience_s)
        return self.book.closed[-1] if self.book.closed else None


@asynccontextmanager
async def workers(
    directory: Path, ports: Ports, *, count: int = 8, reserve: int = 0
) -> AsyncIterator[tuple[WorkerPool, EdgeSide]]:
    phones = await EdgeSide.open()
    settings = config(directory, ports, warm=2, workers=count, edge_port=phones.address[1])
    async with running(replace(settings, reserve=reserve)) as pool:
        yield pool, phones
    phones.close()


@asynccontextmanager
async def at_work(stage: House) -> AsyncIterator[House]:
    """Call control runs until the end of the block."""
    task = asyncio.get_running_loop().create_task(stage.control.run())  # noqa: TID251 - ended below
    await asyncio.sleep(0)
    try:
        yield stage
    finally:
        task.cancel()
        await asyncio.wait([task])
        stage.phones.forget()
        for worker in list(stage.pool._all - set(stage.pool._warm)):
            stage.pool._discard(worker)
