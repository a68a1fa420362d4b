"""Call control with real workers: what it admits, what a call leaves, and what no failure around it may do to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from sip.calls import control as control_module
from sip.calls import conversation as conversation_module
from sip.calls import tape as tape_module
from sip.calls.plan import Refusal
from sip.calls.ports import RecordingUnavailable
from sip.edge.protocol import Reply, ToDevices, ToWorker
from sip.edge.rpc import RpcError
from sip.worker import protocol as p
from sip.worker.pool import WorkerPool
from storage.errors import Unavailable
from tests.sip.calls.stage import RECORDED, House, at_work, plan_for
from tests.sip.worker.phones import Dialog, EdgeSide
from tests.sip.worker.rig import alive, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def raising(error: BaseException) -> Callable[[], object]:
    async def fail() -> None:
        raise error

    return fail


def lasting(seconds: float) -> Callable[[], object]:
    async def wait() -> None:
        await asyncio.sleep(seconds)

    return wait


async def both_hear_of_it(caller: Dialog, callee: Dialog) -> None:
    await asyncio.gather(caller.request("BYE"), callee.request("BYE"))


# --- a call from end to end ---------------------------------------------------------------------------------------


async def test_a_call_from_invite_to_record(stage: House) -> None:
    caller, callee = await stage.talk()
    assert [call.recording for call in stage.control.live()] == [False]
    await asyncio.sleep(0.2)
    callee.send("BYE")
    await caller.request("BYE")
    closed = await stage.over()
    assert closed is not None and closed.outcome.cause == "callee-hung-up"
    assert 0.1 < closed.talk_s < 3 and closed.rec_id is None
    assert stage.control.counters["begun"] == stage.control.counters["answered"] == 1
    assert stage.desk.did == [] and stage.cleaning.did == []


async def test_a_call_nobody_answers_ends_the_ringing(stage: House) -> None:
    placed = await stage.place()
    callee = await stage.rung()
    callee.ring()
    await placed.caller.provisional(180)
    (call,) = stage.control.live()
    assert stage.control.hang_up(call.call_id)
    await callee.request("CANCEL")
    callee.refuse(487, "Request Terminated")
    assert (await placed.caller.reply("INVITE")).code == 480
    assert (await stage.over()) is not None


async def test_an_operator_ends_a_call_and_only_one_that_is_there(stage: House) -> None:
    caller, callee = await stage.talk()
    (call,) = stage.control.live()
    assert not stage.control.hang_up("0" * 32)
    assert stage.control.hang_up(call.call_id, 480, "Ended by the operator")
    await both_hear_of_it(caller, callee)
    closed = await stage.over()
    assert closed is not None and closed.outcome.cause == "ended-by-us"


# --- who may dial -------------------------------------------------------------------------------------------------


async def test_a_worker_dials_what_its_plan_names_once_and_nothing_else(stage: House) -> None:
    await stage.place()
    dialog = await stage.phones.called()
    assert dialog.invite is not None
    token, port = dialog.invite["X-Beffroi-Leg"], dialog.worker[1]
    for wrong_token, wrong_port in ((token[:-1], port), ("", port), (token, port + 1), (token, 0)):
        assert await stage.dial(wrong_token, wrong_port) == Reply(403, "Not A Planned Leg")
    answer = await stage.dial(token, port)
    assert isinstance(answer, ToDevices)
    assert (answer.auth_users, answer.profile) == (("bob-1",), "plain")
    assert answer.ring_timeout_s > 20, "the script gives up first, and says so"
    assert isinstance(await stage.dial(token, port), Reply)


async def test_a_token_dies_with_its_call(stage: House) -> None:
    caller, callee = await stage.talk()
    assert callee.invite is not None
    caller.send("BYE")
    await callee.request("BYE")
    await stage.over()
    assert stage.control._dials == {}
    assert isinstance(await stage.dial(callee.invite["X-Beffroi-Leg"], callee.worker[1]), Reply)


@pytest.mark.parametrize(("kind", "code"), [("message", 405), ("refer", 481)])
async def test_what_is_not_there_yet_is_refused(stage: House, kind: str, code: int) -> None:
    answer = await stage.control.on_request(stage.request(kind))
    assert isinstance(answer, Reply) and answer.code == code


# --- limits -------------------------------------------------------------------------------------------------------


async def test_limits_are_refused_with_what_they_are(engines: tuple[WorkerPool, EdgeSide]) -> None:
    async with at_work(House(*engines, max_concurrent=3, max_per_account=2)) as stage:
        await stage.place()
        await stage.place()
        answer = await stage.control.on_request(stage.request())
        assert answer == Reply(486, "Limit Of 2 Calls Reached")
        stage.planner.plan_ = plan_for(account="carol")
        await stage.place()
        stage.planner.plan_ = plan_for(account="dave")
        answer = await stage.control.on_request(stage.request())
        assert isinstance(answer, Reply) and answer.code == 503 and "3" in answer.reason
        assert stage.control.counters["refused"] == 2


async def test_calls_that_come_at_once_do_not_pass_a_limit_together(engines: tuple[WorkerPool, EdgeSide]) -> None:
    for limits in ({"max_concurrent": 2, "max_per_account": 9}, {"max_concurrent": 9, "max_per_account": 2}):
        async with at_work(House(*engines, **limits)) as stage:
            stage.planner.before = lasting(0.05)  # type: ignore[assignment]
            answers = await asyncio.gather(*(stage.control.on_request(stage.request()) for _ in range(5)))
            assert sum(isinstance(answer, ToWorker) for answer in answers) == 2
            assert stage.control.admission.beginning == 0 and not +stage.control.admission.waiting


async def test_a_refusal_is_passed_on_and_costs_no_worker(stage: House) -> None:
    stage.planner.plan_ = Refusal(404, "Not Found", "unknown")
    before = len(stage.pool.worker_pids())
    assert await stage.control.on_request(stage.request()) == Reply(404, "Not Found")
    assert len(stage.pool.worker_pids()) == before and stage.control.live() == []


async def test_who_cancels_before_the_worker_is_reached_leaves_nothing(
    stage: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.calls.script.INVITE_S", 0.2)
    assert isinstance(await stage.control.on_request(stage.request()), ToWorker)
    (call,) = stage.control.live()
    await stage.over(2)
    assert stage.cleaning.did == [], "there is nothing at the edge to be cleaned"
    await until(lambda: not alive(call.worker_pid), 2)


# --- an answer in time, or none that costs anything ---------------------------------------------------------------


@pytest.mark.parametrize("error", [Unavailable("locked"), RpcError("ul.lookup", 0, "no answer")])
async def test_a_directory_that_fails_refuses_the_call(stage: House, error: Exception) -> None:
    stage.planner.before = raising(error)  # type: ignore[assignment]
    answer = await stage.control.on_request(stage.request())
    assert isinstance(answer, Reply) and answer.code == 503
    stage.planner.before = lasting(0)  # type: ignore[assignment]
    await stage.talk()


async def test_a_slow_plan_is_given_up_before_the_edge_gives_up(stage: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge waits 3 s. A call planned after that would hold a worker for nobody."""
    assert control_module.ANSWER_S < 3
    monkeypatch.setattr(control_module, "ANSWER_S", 0.2)
    stage.planner.before = lasting(60)  # type: ignore[assignment]
    answer = await asyncio.wait_for(stage.control.on_request(stage.request()), 1)
    assert isinstance(answer, Reply) and answer.code == 503
    assert stage.control.live() == [] and stage.control.admission.beginning == 0


async def test_an_edge_that_goes_away_while_it_asks_leaves_nothing(stage: House) -> None:
    stage.planner.before = lasting(60)  # type: ignore[assignment]
    asking = asyncio.get_running_loop().create_task(stage.control.on_request(stage.request()))  # noqa: TID251
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait([asking])
    assert stage.control.live() == [] and stage.control.admission.beginning == 0


# --- stopping -----------------------------------------------------------------------------------------------------


async def test_draining_ends_what_goes_on_and_takes_nothing_new(stage: House) -> None:
    caller, callee = await stage.talk()
    draining = asyncio.get_running_loop().create_task(stage.control.drain(5))  # noqa: TID251
    bye, _ = await asyncio.gather(caller.request("BYE"), callee.request("BYE"))
    assert "cause=503" in bye["Reason"]
    await asyncio.wait_for(draining, 2)
    assert stage.control.live() == []
    assert await stage.control.on_request(stage.request()) == Reply(503, "Shutting Down")


async def test_a_call_that_was_being_planned_while_draining_began_does_not_begin(stage: House) -> None:
    stage.planner.before = lasting(0.1)  # type: ignore[assignment]
    asking = asyncio.get_running_loop().create_task(stage.control.on_request(stage.request()))  # noqa: TID251
    await asyncio.sleep(0.03)
    await stage.control.drain(1)
    assert await asking == Reply(503, "Shutting Down")
    assert stage.control.live() == []


@pytest.mark.parametrize(
    ("where", "limit"), [("note", "NOTE_S"), ("begin", "BEGIN_S"), ("close", "CLOSE_S")], ids=["note", "begin", "close"]
)
async def test_a_database_that_does_not_answer_holds_up_nobody(
    stage: House, monkeypatch: pytest.MonkeyPatch, where: str, limit: str
) -> None:
    """Another process may hold SQLite's lock for minutes; each of our writers waits its turn behind the others."""
    monkeypatch.setattr((conversation_module if where == "close" else tape_module), limit, 0.2)
    monkeypatch.setattr(conversation_module, "CLOSE_S", 0.2)
    monkeypatch.setattr(tape_module, "CLOSE_S", 0.2)
    (stage.desk if where == "begin" else stage.book).before[where] = lasting(60)  # type: ignore[assignment]
    stage.planner.plan_ = plan_for(RECORDED)
    caller, callee = await stage.talk()
    (call,) = stage.control._calls.values()
    if where != "close":
        await until(lambda: call._script.outcome.recording == "failed", 2)
    await hangs_up(caller, callee)
    await stage.over(3)
    assert call._script.outcome.cause == "caller-hung-up"


async def test_draining_does_not_wait_for_ever(stage: House) -> None:
    caller, _ = await stage.talk()
    stage.book.before["close"] = lasting(60)  # type: ignore[assignment]
    await asyncio.wait_for(stage.control.drain(0.3), 2)
    assert len(stage.control.live()) == 1
    await caller.request("BYE")


# --- a worker dies, or hangs --------------------------------------------------------------------------------------


async def test_phones_of_a_dead_worker_hear_of_it_at_once_whatever_the_recorder_does(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    stage.desk.before["finish"] = lasting(60)  # type: ignore[assignment]
    caller, callee = await stage.talk()
    (call,) = stage.control.live()
    await until(lambda: stage.control._calls[call.call_id]._tape._captured.is_set())
    os.kill(call.worker_pid, signal.SIGKILL)
    await until(lambda: len(stage.cleaning.did) == 2, 1)
    assert set(stage.cleaning.did) == {("end", caller.call_id), ("end", callee.call_id)}
    assert stage.control.counters["engine_lost"] == 1
    assert stage.desk.names == ["begin", "finish"], "what was heard until then is kept"


async def test_phones_of_a_worker_that_dies_while_one_rings(stage: House) -> None:
    placed = await stage.place()
    callee = await stage.rung()
    callee.ring()
    await placed.caller.provisional(180)
    (call,) = stage.control.live()
    os.kill(call.worker_pid, signal.SIGKILL)
    closed = await stage.over()
    assert set(stage.cleaning.did) == {("reply", placed.caller.call_id), ("cancel", callee.call_id)}
    assert closed is not None and closed.outcome.cause == "engine-lost"


async def test_a_worker_that_hangs_is_ended_and_its_phones_hear_of_it(
    stage: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.calls.script.HANGUP_S", 0.3)
    monkeypatch.setattr("sip.worker.pool.LEAVE_S", 0.3)
    caller, callee = await stage.talk()
    (call,) = stage.control.live()
    os.kill(call.worker_pid, signal.SIGSTOP)
    stage.control.hang_up(call.call_id)
    await stage.over(3)
    assert set(stage.cleaning.did) == {("end", caller.call_id), ("end", callee.call_id)}
    await until(lambda: not alive(call.worker_pid), 2)


@pytest.mark.parametrize("error", [RpcError("dlg.end_dlg", 0, "no answer"), OSError("gone"), ValueError("a fault")])
async def test_an_edge_that_takes_no_orders_ends_nothing_else(stage: House, error: Exception) -> None:
    first = await stage.talk()
    second = await stage.talk()
    stage.cleaning.error = error
    os.kill(stage.control.live()[0].worker_pid, signal.SIGKILL)
    await until(lambda: len(stage.control.live()) == 1)
    assert len(stage.cleaning.did) == 2, "the second leg is tried although the first failed"
    assert first[0].inbox.empty()
    second[0].send("BYE")
    await second[1].request("BYE")
    await stage.over()


# --- recording ----------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(stage: House) -> House:
    stage.planner.plan_ = plan_for(RECORDED)
    return stage


async def hangs_up(caller: Dialog, callee: Dialog) -> None:
    caller.send("BYE")
    await callee.request("BYE")


async def capturing(stage: House) -> None:
    (call,) = stage.control._calls.values()
    await until(lambda: call._script.outcome.recording == "recorded")


async def test_a_recorded_call_begins_and_is_kept(recorded: House) -> None:
    caller, callee = await recorded.talk()
    await capturing(recorded)
    assert [call.recording for call in recorded.control.live()] == [True]
    assert recorded.desk.order.ledger_seqs == (1, 2), "an act of consent, or what stands for it, for each leg"
    await asyncio.sleep(0.3)
    await hangs_up(caller, callee)
    closed = await recorded.over()
    assert recorded.desk.names == ["begin", "finish"]
    assert closed is not None and closed.rec_id == recorded.desk.did[0][1]
    assert recorded.desk.fds is not None and os.fstat(recorded.desk.fds[0]).st_size > 2000


@pytest.mark.promise("L1")
async def test_evidence_that_cannot_be_written_means_no_recording_and_the_call_goes_on(recorded: House) -> None:
    recorded.book.before["note"] = raising(Unavailable("locked"))  # type: ignore[assignment]
    caller, callee = await recorded.talk()
    await asyncio.sleep(0.1)
    assert recorded.desk.did == []
    await hangs_up(caller, callee)
    closed = await recorded.over()
    assert closed is not None and closed.outcome.recording == "failed" and closed.outcome.cause == "caller-hung-up"


@pytest.mark.parametrize(
    "error", [RecordingUnavailable("disk"), Unavailable("locked"), OSError("x"), KeyError("fault")]
)
@pytest.mark.parametrize("where", ["begin", "finish"])
async def test_no_failure_of_a_recording_ends_the_call(recorded: House, where: str, error: Exception) -> None:
    recorded.desk.before[where] = raising(error)  # type: ignore[assignment]
    caller, callee = await recorded.talk()
    await until(lambda: where == "finish" or "begin" in recorded.desk.names)
    if where == "finish":
        await capturing(recorded)
        recorded.control.on_recorder_event(None, "recorder")  # a cut: finish is asked while they talk
        await until(lambda: "finish" in recorded.desk.names)
    await asyncio.sleep(0.1)
    assert len(recorded.control.live()) == 1
    assert caller.inbox.empty() and callee.inbox.empty()
    await hangs_up(caller, callee)
    closed = await recorded.over()
    assert closed is not None and closed.outcome.cause == "caller-hung-up"
    assert closed.rec_id is None or where == "finish"


async def test_who_hangs_up_before_the_recorder_is_ready_leaves_no_recording(recorded: House) -> None:
    recorded.desk.before["begin"] = lasting(0.6)  # type: ignore[assignment]
    caller, callee = await recorded.talk()
    await hangs_up(caller, callee)
    closed = await recorded.over()
    assert recorded.desk.names == ["begin", "discard"], "nothing was captured, so nothing is kept"
    assert closed is not None and closed.rec_id is None
    assert recorded.desk.did[0][1] == recorded.desk.did[1][1]


async def test_a_capture_that_the_worker_refuses_is_taken_back_at_once(recorded: House) -> None:
    await recorded.talk()
    await capturing(recorded)
    (call,) = recorded.control._calls.values()
    call.arrive(p.CaptureFailed("no memory"))
    await until(lambda: recorded.desk.names == ["begin", "discard"])
    assert [live.recording for live in recorded.control.live()] == [False]


async def test_a_phone_that_provokes_the_engine_does_not_fill_the_log(
    stage: House, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.talk()
    (call,) = stage.control._calls.values()
    for _ in range(100):
        call.arrive(p.Trouble("command", "PJ_ETOOMANY"))
    assert caplog.text.count("the media engine refused") == conversation_module.TROUBLES_LOGGED


async def test_a_cut_reaches_only_its_own_call(recorded: House) -> None:
    await recorded.talk()
    await recorded.talk()
    await until(lambda: [call.recording for call in recorded.control.live()] == [True, True])
    first, second = recorded.control._calls.values()
    recorded.control.on_recorder_event(first.rec_id, "disk")
    await until(lambda: first.rec_id is None)
    assert second.rec_id is not None
    recorded.control.on_recorder_event("0" * 32, "disk")
    recorded.control.on_recorder_event(None, "recorder")
    await until(lambda: second.rec_id is None)
    assert recorded.control.counters["recording_failed"] == 2


async def test_a_recording_that_never_ends_being_begun_does_not_keep_the_phones(recorded: House) -> None:
    recorded.desk.before["begin"] = lasting(60)  # type: ignore[assignment]
    caller, callee = await recorded.talk()
    caller.send("BYE")
    await callee.request("BYE", 2)


async def idle(pool: WorkerPool) -> int:
    """Nobody calls and the warm workers are there again; how many descriptors this process then has."""
    await until(lambda: len(pool._all) == len(pool._warm) == 2, 8)
    await asyncio.sleep(0.05)  # transports close in the loop's next turns
    return len(os.listdir("/proc/self/fd"))


async def test_descriptors_of_a_capture_are_not_kept(recorded: House) -> None:
    before = await idle(recorded.pool)
    for _ in range(3):
        caller, callee = await recorded.talk()
        await capturing(recorded)
        await hangs_up(caller, callee)
        await recorded.over()
        recorded.phones.forget()
    assert await idle(recorded.pool) <= before + 2, "those of the last are the desk's"


async def test_a_record_that_cannot_be_written_ends_no_other_call(stage: House) -> None:
    first = await stage.talk()
    second = await stage.talk()
    stage.book.before["close"] = raising(Unavailable("locked"))  # type: ignore[assignment]
    await hangs_up(*first)
    await until(lambda: len(stage.control.live()) == 1)
    stage.book.before["close"] = raising(KeyError("a fault"))  # type: ignore[assignment]
    await hangs_up(*second)
    await stage.over()
    stage.book.before.clear()
    await stage.talk()


# --- all of it at once --------------------------------------------------------------------------------------------

ENDINGS = ["caller", "callee", "operator", "cancel", "busy", "killed", "cut", "never"]


async def one_call(stage: House, ending: str) -> None:
    """One call that ends so."""
    if ending == "never":
        assert isinstance(await stage.control.on_request(stage.request()), ToWorker)
        return
    placed = await stage.place()
    callee = await stage.rung_by(placed.answer.port)
    if ending == "busy":
        callee.refuse(486, "Busy Here")
        assert (await placed.caller.reply("INVITE")).code == 486
        return
    if ending == "cancel":
        callee.ring()
        ringing = await placed.caller.provisional(180)
        placed.caller.send_cancel(ringing["Via"].split("branch=")[1].split(";")[0])
        await callee.request("CANCEL")
        callee.refuse(487, "Request Terminated")
        return
    await callee.pick_up()
    await placed.caller.established()
    (call,) = [c for c in stage.control._calls.values() if c.worker.port == placed.answer.port]
    await until(lambda: call._script.outcome.talk_began_s is not None)
    await asyncio.sleep(0.1)
    match ending:
        case "caller":
            await hangs_up(placed.caller, callee)
        case "callee":
            await hangs_up(callee, placed.caller)
        case "operator":
            stage.control.hang_up(call.plan.call_id)
            await both_hear_of_it(placed.caller, callee)
        case "killed":
            os.kill(call.worker.pid, signal.SIGKILL)
        case "cut":
            stage.control.on_recorder_event(call.rec_id, "disk")
            await hangs_up(placed.caller, callee)


async def test_an_evening_of_calls_leaves_nothing(
    engines: tuple[WorkerPool, EdgeSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.calls.script.INVITE_S", 0.5)
    pool, phones = engines
    descriptors = await idle(pool)
    tasks = len(asyncio.all_tasks())
    async with at_work(House(pool, phones)) as stage:
        stage.planner.plan_ = plan_for(RECORDED)
        for wave in range(3):
            endings = ENDINGS[wave:] + ENDINGS[:wave]
            for four in (endings[:4], endings[4:]):
                await asyncio.gather(*(one_call(stage, ending) for ending in four))
                await stage.over()
        assert len(stage.book.closed) == 24
        assert stage.control._dials == {} and stage.control.admission.beginning == 0
        begun = [rec_id for name, rec_id in stage.desk.did if name == "begin"]
        ended = [rec_id for name, rec_id in stage.desk.did if name != "begin"]
        assert sorted(begun) == sorted(ended), "each recording that was begun was ended, once"
    for fd in stage.desk.fds or ():
        os.close(fd)
    assert await idle(pool) <= descriptors
    assert sorted(pool._slots + [worker.slot for worker in pool._all]) == list(range(pool.capacity))
    assert len(asyncio.all_tasks()) == tasks
