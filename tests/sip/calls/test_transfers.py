"""Transfers, pick-up and click-to-call with real workers; phones, and between two workers a relay, stand where the edge
would."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sip.calls.plan import CallPlan, Refusal, Stage, Target
from sip.edge.protocol import Reply, ToWorker
from tests.sip.calls.stage import BOB, CAROL, RECORDED, House, joining_for, plan_for
from tests.sip.calls.talks import hear_each_other, notified, replaces, two_calls
from tests.sip.worker.rig import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- blind ----------------------------------------------------------------------------------------


async def test_a_blind_transfer_from_refer_to_record(stage: House) -> None:
    caller, callee = await stage.talk()
    assert await stage.refer(callee, "<sip:103@test.lan>") == Reply(202, "Accepted")
    assert stage.planner.transfers[0].target == "103" and stage.planner.transfers[0].stays.number == "101"
    target = await stage.rung()
    assert target.invite is not None and "101" in target.invite["From"]
    (live,) = stage.control.live()
    assert live.state == "transferring"
    await target.pick_up()
    said = await notified(callee)
    assert [line.split()[1] for line, _ in said] == ["100", "200"]
    await hear_each_other(caller, target)
    await callee.request("BYE", 4)  # it did not hang up by itself
    target.send("BYE")
    await caller.request("BYE")
    closed = await stage.over()
    assert closed is not None and closed.outcome.transferred and closed.outcome.cause == "callee-hung-up"


async def test_a_target_that_is_busy_and_the_two_talk_on(stage: House) -> None:
    caller, callee = await stage.talk()
    await stage.refer(callee, "sip:103@test.lan")
    target = await stage.rung()
    target.refuse(486, "Busy Here")
    assert (await notified(callee))[-1][0] == "SIP/2.0 486 Busy Here"
    await hear_each_other(caller, callee)


async def test_two_transfers_at_once(stage: House) -> None:
    caller, callee = await stage.talk()
    both = await asyncio.gather(stage.refer(callee, "sip:103@test.lan"), stage.refer(caller, "sip:103@test.lan"))
    assert [answer.code for answer in both] == [202, 491]
    await stage.rung()
    assert (await stage.refer(caller, "sip:103@test.lan")).code == 491


async def test_a_refer_to_nowhere(stage: House) -> None:
    stage.planner.joining = Refusal(404, "Not Found", "unknown")
    caller, callee = await stage.talk()
    for to in ("sip:test.lan", "", "tel:103", "sip:103@x?Replaces=abc", "sip:103@x?Replaces=a%3Bto-tag%3D1"):
        assert (await stage.refer(callee, to)).code == 400, to
    assert (await stage.refer(callee, "sip:9@x")).code == 404
    await hear_each_other(caller, callee)


async def test_what_the_planner_forbids_is_answered_so(stage: House) -> None:
    stage.planner.joining = Refusal(403, "Premium Numbers Are Closed", "not-permitted")
    _, callee = await stage.talk()
    assert await stage.refer(callee, "sip:0899@test.lan") == Reply(403, "Premium Numbers Are Closed")


async def test_a_call_that_came_in_by_a_trunk_is_not_passed_on_by_the_outside_party(stage: House) -> None:
    stage.planner.plan_ = replace(plan_for(), trunk_id="t1", direction="inbound")
    caller, callee = await stage.talk()
    assert (await stage.refer(caller, "sip:103@test.lan")).code == 403
    assert (await stage.refer(callee, "sip:103@test.lan")).code == 202
    await stage.rung()  # else the next test would find it


async def test_a_refer_before_the_answer_or_of_no_call_of_ours(stage: House) -> None:
    placed = await stage.place()
    await stage.rung()
    assert (await stage.refer(placed.caller, "sip:103@test.lan")).code == 491
    placed.caller.call_id = "stranger"
    assert (await stage.refer(placed.caller, "sip:103@test.lan")).code == 481


async def test_an_operator_transfers(stage: House) -> None:
    caller, callee = await stage.talk()
    (live,) = stage.control.live()
    assert await stage.control.transfer(live.call_id, "b", "103") is None
    target = await stage.rung()
    await target.pick_up()
    await callee.request("BYE")
    await hear_each_other(caller, target)
    refused = await stage.control.transfer("0" * 32, "b", "103")
    assert isinstance(refused, Refusal) and refused.code == 404


@pytest.mark.promise("L1")
async def test_each_composition_of_parties_has_its_own_recording(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    terms = stage.planner.plan_.recording.legs[1]
    stage.planner.joining = joining_for((replace(terms, leg="c"),))
    caller, callee = await stage.talk()
    (call,) = stage.control._calls.values()
    await until(lambda: call._script.outcome.recording == "recorded")
    await stage.refer(callee, "sip:103@test.lan")
    target = await stage.rung()
    await target.pick_up()
    await until(lambda: stage.desk.names == ["begin", "finish", "begin"])
    assert stage.desk.order.legs == ("a", "c0") and stage.desk.order.parties[1] == CAROL
    assert stage.desk.order.ledger_seqs == (1, 3), "of the caller, and of whoever joined"
    assert [why for _, _, why in stage.desk.gaps] == ["hold"]
    await until(lambda: call.rec_id is not None)
    await asyncio.sleep(0.3)
    caller.send("BYE")
    await asyncio.gather(callee.request("BYE"), target.request("BYE"))
    closed = await stage.over()
    assert closed is not None and len(closed.rec_ids) == 2 and stage.desk.names[-1] == "finish"


# --- attended -------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["out", "in"])
@pytest.mark.parametrize("ends", ["alice", "carol"])
async def test_an_attended_transfer_joins_two_workers(stage: House, second: str, ends: str) -> None:
    alice, bob1, bob2, carol = await two_calls(stage, second)
    assert await stage.refer(bob1, replaces(stage, bob2)) == Reply(202, "Accepted")
    await stage.joint()
    said = await notified(bob1)
    assert [line.split()[1] for line, _ in said] == ["100", "200"]
    await bob2.request("BYE")
    bob1.send("BYE")
    await hear_each_other(alice, carol)
    digits: list[bytes] = []
    carol.rtp.other = lambda kind, payload: digits.append(payload[:1]) if kind == 101 else None
    alice.rtp.press("7")
    await until(lambda: b"\x07" in digits)
    leaves, stays = (alice, carol) if ends == "alice" else (carol, alice)
    leaves.send("BYE")
    await stays.request("BYE")
    await stage.over()
    causes = sorted(closed.outcome.cause for closed in stage.book.closed[-2:])
    assert causes == ["callee-hung-up" if ends == "carol" else "caller-hung-up", "transferred"]
    assert all(closed.outcome.transferred for closed in stage.book.closed[-2:])
    assert stage.control.transfers._joints == {} and stage.control._dials == {}


async def test_a_chain_of_transfers_over_three_workers(stage: House) -> None:
    """Bob joined Alice and Carol; now Alice consults Dave, and joins Carol and Dave. Carol holds, Dave waits."""
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    await stage.refer(bob1, replaces(stage, bob2))
    await stage.joint()
    await notified(bob1)
    bob1.send("BYE")
    await bob2.request("BYE")
    stage.planner.plan_ = plan_for()  # by Alice
    again, dave = await stage.talk()
    await until(lambda: all(call.state == "talking" for call in stage.control.live()))
    assert await stage.refer(again, replaces(stage, alice)) == Reply(202, "Accepted")
    await stage.joint()
    assert (await notified(again))[-1][0].split()[1] == "200"
    await alice.request("BYE")
    await hear_each_other(carol, dave)
    await carol.reinvite("sendonly")
    await until(lambda: [call.held for call in stage.control.live()] == [True, True, False])
    await carol.reinvite("sendrecv")
    await hear_each_other(carol, dave)
    dave.send("BYE")
    await carol.request("BYE")
    await stage.over()


async def test_whoever_holds_in_the_second_conversation_is_on_hold_in_the_first(stage: House) -> None:
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    await stage.refer(bob1, replaces(stage, bob2))
    await stage.joint()
    await notified(bob1)
    await hear_each_other(alice, carol)
    await carol.reinvite("sendonly")
    await until(lambda: sorted(call.held for call in stage.control.live()) == [True, True])
    await carol.reinvite("sendrecv")
    await until(lambda: not any(call.held for call in stage.control.live()))
    await hear_each_other(alice, carol)


@pytest.mark.promise("L1")
async def test_the_second_call_is_recorded_no_more_and_the_joined_party_is_asked(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    terms = stage.planner.plan_.recording.legs[1]
    stage.planner.joining = joining_for((replace(terms, leg="c"),))
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    first, _ = stage.control._calls.values()
    await until(lambda: first._script.outcome.recording == "recorded")
    await stage.refer(bob1, replaces(stage, bob2))
    await stage.joint()
    await until(lambda: stage.desk.names == ["begin", "finish", "begin"])
    assert stage.desk.order.legs == ("a", "j0") and stage.desk.order.parties[1].account_id == "carol"
    assert [evidence.leg for evidence, _ in stage.book.noted] == ["a", "b0", "j0"]


async def test_a_call_of_somebody_else_is_not_taken(stage: House) -> None:
    alice, bob1 = await stage.talk()
    stage.planner.plan_ = replace(plan_for(account="dave"), callee=CAROL)
    stage.planner.plan_ = replace(
        stage.planner.plan_, stages=(Stage((Target("b0", ("carol-1",), False),), 20.0, CAROL),)
    )
    dave, carol = await stage.talk()
    for theirs in (dave, carol):
        assert await stage.refer(bob1, replaces(stage, theirs)) == Reply(403, "Not Your Call")
    await hear_each_other(alice, bob1)
    await hear_each_other(dave, carol)


async def test_tags_that_do_not_fit_and_calls_that_are_not_there(stage: House) -> None:
    _, bob1, bob2, _ = await two_calls(stage, "out")
    assert (await stage.refer(bob1, replaces(stage, bob2, wrong=True))).code == 481
    assert (await stage.refer(bob1, replaces(stage, bob1))).code == 481
    gone = "<sip:103@test.lan?Replaces=nobody%3Bto-tag%3Da%3Bfrom-tag%3Db>"
    assert (await stage.refer(bob1, gone)).code == 481
    early = replaces(stage, bob2).replace(">", "%3Bearly-only>")
    assert (await stage.refer(bob1, early)).code == 481


async def test_a_second_call_that_still_rings_is_told_so(stage: House) -> None:
    _, bob1 = await stage.talk()
    stage.planner.plan_ = replace(plan_for(account="bob"), caller=BOB)
    placed = await stage.place()
    await stage.rung()
    answer = await stage.refer(bob1, replaces(stage, placed.caller))
    assert answer == Reply(481, "The Second Call Is Not Answered")


async def test_a_joint_is_dialled_once_and_by_its_own_worker(stage: House) -> None:
    _, bob1, bob2, _ = await two_calls(stage, "out")
    await stage.refer(bob1, replaces(stage, bob2))
    dialog = await stage.phones.called()
    assert dialog.invite is not None
    token = dialog.invite["X-Beffroi-Leg"]
    assert isinstance(await stage.dial(token, dialog.worker[1] + 1), Reply)
    assert isinstance(await stage.dial(token, dialog.worker[1]), ToWorker)
    assert isinstance(await stage.dial(token, dialog.worker[1]), Reply)


# --- pick-up, click-to-call, devices ----------------------------------------------------------------


def picking_up(call_id: str) -> CallPlan:
    return replace(plan_for(account="carol"), caller=CAROL, stages=(), pickup=call_id)


async def test_a_colleague_picks_up(stage: House) -> None:
    placed = await stage.place()
    rung = await stage.rung()
    rung.ring()
    await placed.caller.provisional(180)
    assert stage.control.ringing({"bob"}) is None, "a target without owners belongs to nobody"
    (live,) = stage.control.live()
    assert live.state == "ringing"
    stage.planner.plan_ = picking_up(live.call_id)
    carol = await stage.place()
    assert carol.answer.port == placed.answer.port
    await asyncio.gather(carol.caller.established(), placed.caller.established(), rung.request("CANCEL"))
    rung.refuse(487, "Request Terminated")
    await hear_each_other(placed.caller, carol.caller)
    assert isinstance(await stage.control.on_request(stage.request()), Reply), "answered already"


async def test_a_pick_up_of_nothing(stage: House) -> None:
    stage.planner.plan_ = picking_up("0" * 32)
    assert await stage.control.on_request(stage.request()) == Reply(404, "No Call To Pick Up")
    stage.planner.plan_ = plan_for()
    await stage.talk()
    (live,) = stage.control.live()
    stage.planner.plan_ = picking_up(live.call_id)
    assert await stage.control.on_request(stage.request()) == Reply(487, "Answered Already")


async def test_click_to_call(stage: House) -> None:
    own = Stage((Target("a0", ("alice-1",), False),), 20.0, BOB)
    plan = plan_for()
    stage.planner.plan_ = replace(plan, stages=(own, *plan.stages), originated=True)
    call_id = await stage.control.originate("alice", "102")
    assert isinstance(call_id, str)
    alice = await stage.rung()
    assert alice.invite is not None and "102" in alice.invite["From"]
    await alice.pick_up()
    bob = await stage.rung()
    await bob.pick_up()
    await hear_each_other(alice, bob)
    assert stage.control.hang_up(call_id)
    await asyncio.gather(alice.request("BYE"), bob.request("BYE"))
    await stage.over()


@pytest.mark.promise("L5", "L11")
async def test_whoever_joins_may_make_the_call_nobodys_business(stage: House) -> None:
    """What is seen of a call that goes on follows the class that its record will have, not the one it began with."""
    caller, callee = await stage.talk()
    (live,) = stage.control.live()
    assert (live.private, live.metadata_class) == (False, "minimal")
    stage.planner.joining = replace(joining_for(()), metadata_class="none")
    await stage.refer(callee, "<sip:103@test.lan>")
    target = await stage.rung()
    await target.pick_up()
    await hear_each_other(caller, target)
    (live,) = stage.control.live()
    assert (live.private, live.metadata_class) == (True, "none")
    target.send("BYE")
    closed = await stage.over()
    assert closed is not None and closed.outcome.metadata_class == "none"


async def test_what_an_operator_sees_and_pauses(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    caller, callee = await stage.talk()
    (live,) = stage.control.live()
    assert (live.state, live.account_id, live.direction) == ("talking", "alice", "internal")
    assert stage.control.talks("alice") and stage.control.talks("bob") and not stage.control.talks("carol")
    await until(lambda: all(call.recording for call in stage.control.live()))
    assert stage.control.pause(live.call_id, True)
    await until(lambda: all(call.paused for call in stage.control.live()))
    await asyncio.sleep(0.3)
    assert stage.control.pause(live.call_id, False)
    await until(lambda: not any(call.paused for call in stage.control.live()))
    caller.send("BYE")
    await callee.request("BYE")
    await stage.over()
    ((start_ms, end_ms, why),) = stage.desk.gaps
    assert why == "pause" and end_ms - start_ms >= 200  # in media time, which is counted in frames
    assert not stage.control.pause(live.call_id, True)


async def test_a_revoked_device_ends_its_own_calls_only(stage: House) -> None:
    alice, bob = await stage.talk()
    stage.planner.plan_ = replace(
        plan_for(account="carol"), stages=(Stage((Target("b0", ("dave-1",), False),), 20.0, BOB),)
    )
    placed = await stage.control.on_request(stage.request(auth_user="carol-1"))
    assert isinstance(placed, ToWorker)
    stage.control.end_device("bob-2")
    assert len(stage.control.live()) == 2
    stage.control.end_device("bob-1")
    await asyncio.gather(alice.request("BYE"), bob.request("BYE"))
    await until(lambda: len(stage.control.live()) == 1)
    assert stage.book.closed[-1].outcome.cause == "revoked"
