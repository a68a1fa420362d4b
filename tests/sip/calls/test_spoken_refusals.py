"""Refusals spoken by real workers: who hears them, who gets the plain status, and who is never kept waiting by one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sip.calls import control as control_module
from sip.calls import spoken_refusals
from sip.calls.announcements import A_MINUTE
from sip.calls.plan import CallPlan, LineKind, PromptFile, Refusal
from sip.edge.protocol import Reply, ToWorker
from sip.worker.pool import WorkerPool
from storage.errors import Unavailable
from tests.peers import tones
from tests.peers.ports import Ports
from tests.sip.calls.stage import House, at_work, plan_for, workers
from tests.sip.worker.phones import Dialog, EdgeSide
from tests.sip.worker.rig import alive, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSED = Refusal(403, "Calls Abroad Are Not Permitted", "not-permitted", "PROMPT_NOT_PERMITTED")
PLAIN = Reply(403, "Calls Abroad Are Not Permitted")
HELP = "112"
PROMPT_HZ, PROMPT_S = 900, 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[WorkerPool, EdgeSide]]:
    ports = Ports(200)
    async with workers(tmp_path_factory.mktemp("workers"), ports, count=4) as both:
        yield both
    ports.close()


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("prompts")
    tones.write_wav(place / "short.wav", tones.tone(PROMPT_HZ, PROMPT_S))
    tones.write_wav(place / "long.wav", tones.tone(PROMPT_HZ, 60.0))
    return place


def said(path: Path, account: str = "alice", seconds: float = 60.0) -> CallPlan:
    prompt = PromptFile(CLOSED.prompt, "1", "fr", "ab" * 32, path, int(seconds * 1000))
    return replace(
        plan_for(account=account),
        kind=LineKind.REFUSAL,
        stages=(),
        metadata_class="none",
        prompts={(CLOSED.prompt, "fr"): prompt},
        refusal=CLOSED,
    )


@asynccontextmanager
async def house(engines: tuple[WorkerPool, EdgeSide], prompt: Path, **limits: int) -> AsyncIterator[House]:
    """Every call is refused; what is said lasts as long as the file."""
    async with at_work(House(*engines, **limits)) as made:
        made.planner.plan_ = CLOSED
        made.planner.speaks = said(prompt)
        made.control.admission.is_emergency = lambda request: request.request_user == HELP
        yield made


async def hears(made: House, **facts: Any) -> Dialog:
    """A phone calls and is told why that cannot be; it hears it now."""
    request = made.request(**facts)
    answer = await made.control.on_request(request)
    assert isinstance(answer, ToWorker), answer
    caller = await made.phones.caller(answer.port)
    del made.phones.dialogs[caller.call_id]
    caller.call_id = request.call_id
    made.phones.dialogs[caller.call_id] = caller
    caller.send_invite(answer.token)
    caller._hear(await caller.provisional(183))
    return caller


async def refused(caller: Dialog) -> None:
    """The status that comes in the end; acknowledged."""
    final = await caller.reply("INVITE", 10.0)
    assert final.start == "SIP/2.0 403 Calls Abroad Are Not Permitted"
    assert final["Reason"] == 'SIP;cause=403;text="Calls Abroad Are Not Permitted"'


@pytest.mark.promise("P13")
async def test_the_phone_hears_why_and_is_not_answered(engines: tuple[WorkerPool, EdgeSide], prompts: Path) -> None:
    async with house(engines, prompts / "short.wav") as made:
        caller = await hears(made)
        await refused(caller)
        await until(lambda: not made.control.live())
        assert PROMPT_HZ in tones.tones_in(caller.rtp.samples(), (PROMPT_HZ, 440))
        counters = made.control.counters
        assert (counters["refused"], counters["refusals_spoken"]) == (1, 1)
        assert counters["begun"] == counters["answered"] == 0
        assert made.book.noted == [] and made.book.closed == [] and made.desk.did == [] and made.cleaning.did == []


async def test_an_operator_who_ends_it_sends_the_status_at_once(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav") as made:
        caller = await hears(made)
        (call,) = made.control.live()
        assert made.control.hang_up(call.call_id)
        await refused(caller)
        await until(lambda: not made.control.live() and not alive(call.worker_pid))


# --- the plain status ---------------------------------------------------------------------------------------------


async def test_trunks_calls_for_help_and_what_has_no_words_get_the_status_alone(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "short.wav") as made:
        assert await made.control.on_request(made.request(trunk="t1", auth_user="")) == PLAIN
        assert await made.control.on_request(made.request(request_user=HELP)) == PLAIN
        made.planner.plan_ = replace(CLOSED, prompt="")
        assert await made.control.on_request(made.request()) == PLAIN
        made.planner.plan_, made.planner.speaks = CLOSED, None
        assert await made.control.on_request(made.request()) == PLAIN
        assert made.control.live() == [] and made.control.counters["refusals_spoken"] == 0
        assert made.control.counters["refused"] >= 3


async def test_words_that_cannot_be_had_in_time_are_not_waited_for(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is not lost over them: no 503 in its place, and nobody is kept from hearing the next one."""
    assert spoken_refusals.PLANNED_S + spoken_refusals.SPARE_S < control_module.ANSWER_S
    monkeypatch.setattr(spoken_refusals, "PLANNED_S", 0.2)

    async def locked() -> None:
        raise Unavailable("locked")

    async def slow() -> None:
        await asyncio.sleep(60)

    async def at_once() -> None:
        pass

    async with house(engines, prompts / "short.wav") as made:
        for before in (locked, slow):
            made.planner.before_speaking = before
            assert await made.control.on_request(made.request()) == PLAIN
        made.planner.before_speaking = at_once
        await refused(await hears(made))


async def test_a_plan_that_took_long_leaves_time_for_the_status(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "ANSWER_S", 1.0)
    monkeypatch.setattr(spoken_refusals, "SPARE_S", 0.9)

    async def a_while() -> None:
        await asyncio.sleep(0.2)

    async with house(engines, prompts / "short.wav") as made:
        made.planner.before = a_while
        made.planner.before_speaking = a_while
        assert await made.control.on_request(made.request()) == PLAIN


async def test_a_phone_that_redials_takes_one_worker_and_not_for_ever(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav") as made:
        caller = await hears(made)
        for _ in range(10):
            assert await made.control.on_request(made.request()) == PLAIN
        assert len(made.control.live()) == 1
        made.control.hang_up(made.control.live()[0].call_id)
        await refused(caller)
        await until(lambda: not made.control.live())
        for _ in range(A_MINUTE - 1):
            caller = await hears(made)
            made.control.hang_up(made.control.live()[0].call_id)
            await refused(caller)
            await until(lambda: not made.control.live())
        assert await made.control.on_request(made.request()) == PLAIN


async def test_workers_that_are_scarce_are_for_those_who_talk(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "short.wav") as made:
        made.planner.plan_ = plan_for(account="bob")
        for _ in range(2):
            await made.place()
        made.planner.plan_ = CLOSED
        assert await made.control.on_request(made.request()) == PLAIN, "with it less than half would be free"
    async with house(engines, prompts / "short.wav", max_concurrent=3) as made:
        assert await made.control.on_request(made.request()) == PLAIN, "one in four would be more than one"


async def test_an_edge_that_goes_away_leaves_the_account_free(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(engines, prompts / "short.wav") as made:
        acquire = made.control.admission.worker

        async def never(plan: CallPlan) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(made.control.admission, "worker", never)
        asking = asyncio.get_running_loop().create_task(made.control.on_request(made.request()))  # noqa: TID251
        await until(lambda: bool(made.control.admission.announcements._running))
        asking.cancel()
        await asyncio.wait([asking])
        monkeypatch.setattr(made.control.admission, "worker", acquire)
        assert made.control.live() == []
        await refused(await hears(made))


# --- it stands in nobody's way --------------------------------------------------------------------------------------


async def test_it_counts_neither_against_the_account_nor_against_the_calls_at_once(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav", max_concurrent=4, max_per_account=1) as made:
        caller = await hears(made)
        made.planner.plan_ = plan_for()
        await made.talk()
        assert await made.control.on_request(made.request()) == Reply(486, "Limit Of 1 Calls Reached")
        for account in ("bob", "carol", "dave"):
            made.planner.plan_ = plan_for(account=account)
            await made.place()
        await refused(caller)
        made.planner.plan_ = plan_for(account="erin")
        answer = await made.control.on_request(made.request())
        assert isinstance(answer, Reply) and answer.code == 503
        assert made.control.counters["preempted"] == 0


@pytest.mark.promise("P12")
async def test_a_call_for_help_ends_it_before_any_conversation(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav") as made:
        caller = await hears(made)
        for account in ("bob", "carol", "dave"):
            made.planner.plan_ = plan_for(account=account)
            await made.place()
        await until(lambda: made.pool.full)
        made.planner.plan_ = replace(plan_for(account="erin"), emergency=True)
        placed = made.control.on_request(made.request(request_user=HELP))
        answer, _ = await asyncio.gather(placed, refused(caller))
        assert isinstance(answer, ToWorker)
        assert made.control.counters["preempted"] == 0 and made.control.counters["emergency"] == 1
        assert len([call for call in made.control.live() if not call.emergency]) == 3


async def test_a_server_that_is_stopped_does_not_wait_for_it(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav") as made:
        caller = await hears(made)
        await asyncio.gather(made.control.drain(5), refused(caller))
        assert made.control.live() == []


async def test_the_phone_of_a_worker_that_dies_gets_the_status(
    engines: tuple[WorkerPool, EdgeSide], prompts: Path
) -> None:
    async with house(engines, prompts / "long.wav") as made:
        replies = []
        cleaning = made.cleaning.reply_pending

        async def reply(call_id: str, code: int, reason: str) -> bool:
            replies.append((call_id, code, reason))
            return await cleaning(call_id, code, reason)

        made.cleaning.reply_pending = reply  # type: ignore[method-assign]
        caller = await hears(made)
        os.kill(made.control.live()[0].worker_pid, signal.SIGKILL)
        await until(lambda: not made.control.live())
        assert replies == [(caller.call_id, 403, "Calls Abroad Are Not Permitted")]
