"""Whoever is there by an attended transfer is transferred again, with real workers: what a phone behind a relay asks
for is carried out where its conversation is held."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from sip.calls.chains import Place, depth
from sip.calls.plan import CallPlan, Joining, Party, Stage, Target
from sip.edge.protocol import Reply
from tests.sip.calls.stage import BOB, CAROL, RECORDED, House, joining_for, plan_for
from tests.sip.calls.talks import hear_each_other, notified, replaces, two_calls
from tests.sip.worker.phones import Dialog
from tests.sip.worker.rig import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAVE = Party("dave", "104", "Dave", "fr", "FR")
ERIN = Party("erin", "105", "Erin", "fr", "FR")
ACCEPTED = Reply(202, "Accepted")


def call_of(caller: Party, callee: Party) -> CallPlan:
    stages = (Stage((Target("b0", (f"{callee.account_id}-1",), False),), 20.0, callee),)
    return replace(plan_for(), caller=caller, callee=callee, stages=stages)


async def settled(stage: House, count: int) -> None:
    """So many conversations are left, and in each somebody talks."""
    await until(lambda: [call.state for call in stage.control.live()] == ["talking"] * count, 8)


async def joined(stage: House, phone: Dialog, other: Dialog, *, left: int) -> None:
    """The phone has REFER sent in one of its calls, with Replaces of the other, and is out of both."""
    assert await stage.refer(phone, replaces(stage, other)) == ACCEPTED
    await stage.joint()
    assert [line.split()[1] for line, _ in await notified(phone)] == ["100", "200"]
    phone.send("BYE")
    await other.request("BYE", 8)
    await settled(stage, left)


async def relayed(stage: House, second: str = "out") -> tuple[Dialog, Dialog]:
    """Bob has joined Alice and Carol, who is behind a relay: (alice, carol)."""
    alice, bob1, bob2, carol = await two_calls(stage, second)
    await joined(stage, bob1, bob2, left=2)
    return alice, carol


async def consulted(stage: House, asks: Party, whom: Party) -> tuple[Dialog, Dialog]:
    """Somebody calls a colleague: (own leg, the colleague's)."""
    stage.planner.plan_ = call_of(asks, whom)
    return await stage.talk()


# --- blind ----------------------------------------------------------------------------------------


@pytest.mark.promise("P4")
@pytest.mark.parametrize("second", ["out", "in"])
async def test_a_party_behind_a_relay_passes_the_other_on(stage: House, second: str) -> None:
    alice, carol = await relayed(stage, second)
    assert await stage.refer(carol, "<sip:103@test.lan>") == ACCEPTED
    asked = stage.planner.transfers[-1]
    assert (asked.referrer.account_id, asked.stays.account_id) == ("carol", "alice")
    target = await stage.rung()
    assert target.invite is not None and "101" in target.invite["From"], "of whoever waits, and not of a joint"
    await target.pick_up()
    assert [line.split()[1] for line, _ in await notified(carol)] == ["100", "200"]
    await carol.request("BYE", 8)
    await settled(stage, 1)
    await hear_each_other(alice, target)
    target.send("BYE")
    await alice.request("BYE")
    await stage.over()
    relay, first = (closed.outcome for closed in stage.book.closed)
    assert (relay.cause, first.cause) == ("transferred", "callee-hung-up")
    assert relay.transferred and first.transferred


async def test_a_target_that_is_busy_leaves_them_talking_and_it_can_be_tried_again(stage: House) -> None:
    alice, carol = await relayed(stage)
    for _ in range(2):
        assert await stage.refer(carol, "sip:103@test.lan") == ACCEPTED
        (await stage.rung()).refuse(486, "Busy Here")
        assert (await notified(carol))[-1][0] == "SIP/2.0 486 Busy Here"
        await hear_each_other(alice, carol)
    assert len(stage.control.live()) == 2


async def test_a_phone_behind_a_relay_that_hangs_up_at_once(stage: House) -> None:
    alice, carol = await relayed(stage)
    await stage.refer(carol, "sip:103@test.lan")
    target = await stage.rung()
    carol.send("BYE")
    await until(lambda: len(stage.control.live()) == 1)
    await target.pick_up()
    await hear_each_other(alice, target)


async def test_the_one_at_the_other_end_passes_on_the_party_behind_the_relay(stage: House) -> None:
    alice, carol = await relayed(stage)
    assert await stage.refer(alice, "sip:104@test.lan") == ACCEPTED
    target = await stage.rung()
    assert target.invite is not None and "103" in target.invite["From"], "Carol's"
    await target.pick_up()
    await notified(alice)
    alice.send("BYE")
    await hear_each_other(carol, target)


@pytest.mark.parametrize("first", ["alice", "carol"])
async def test_two_transfers_at_once_from_both_ends(stage: House, first: str) -> None:
    alice, carol = await relayed(stage)
    order = (alice, carol) if first == "alice" else (carol, alice)
    both = await asyncio.gather(*(stage.refer(phone, "sip:103@test.lan") for phone in order))
    assert [answer.code for answer in both] == [202, 491]
    await stage.rung()
    assert [(await stage.refer(phone, "sip:103@test.lan")).code for phone in order] == [491, 491]


# --- who may --------------------------------------------------------------------------------------


async def test_whoever_is_behind_a_relay_by_a_trunk_transfers_nobody(stage: House) -> None:
    """And is transferred by the one at the other end."""
    alice, bob1 = await stage.talk()
    carol = Party(None, "+33123456789", "", "fr", "FR")
    stage.planner.plan_ = replace(call_of(carol, BOB), trunk_id="t1", direction="inbound")
    outside, bob2 = await stage.talk()
    await joined(stage, bob1, bob2, left=2)
    assert (await stage.refer(outside, "sip:103@test.lan")).code == 403
    assert await stage.refer(alice, "sip:103@test.lan") == ACCEPTED
    await stage.rung()


async def test_whoever_has_left_transfers_nobody_any_more(stage: House) -> None:
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    await stage.refer(bob1, replaces(stage, bob2))
    await stage.joint()
    await notified(bob1)
    await until(lambda: all(call.state == "talking" for call in stage.control.live()))
    assert {(await stage.refer(bob, "sip:103@test.lan")).code for bob in (bob1, bob2)} == {481}
    await hear_each_other(alice, carol)


async def test_an_emergency_call_is_not_joined_with_what_is_behind_a_relay(stage: House) -> None:
    _, carol = await relayed(stage)
    stage.planner.plan_ = replace(call_of(CAROL, DAVE), emergency=True)
    again, help_ = await stage.talk()
    assert (await stage.refer(carol, replaces(stage, again))).code == 403
    assert (await stage.refer(again, replaces(stage, carol))).code == 403
    await hear_each_other(again, help_)
    again.send("BYE")
    await help_.request("BYE")


async def test_a_call_behind_a_relay_is_not_taken_by_somebody_else(stage: House) -> None:
    alice, carol = await relayed(stage)
    dave, erin = await consulted(stage, DAVE, ERIN)
    assert await stage.refer(dave, replaces(stage, carol)) == Reply(403, "Not Your Call")
    assert await stage.refer(carol, replaces(stage, dave)) == Reply(403, "Not Your Call")
    await hear_each_other(alice, carol)
    await hear_each_other(dave, erin)


async def test_both_ends_of_one_conversation_are_not_joined_with_each_other(stage: House) -> None:
    """Both phones are of one account: it would be a loop."""
    alice, bob1 = await stage.talk()
    bob2, again = await consulted(stage, BOB, replace(CAROL, account_id="alice"))
    await joined(stage, bob1, bob2, left=2)
    assert (await stage.refer(again, replaces(stage, alice))).code == 481
    assert (await stage.refer(alice, replaces(stage, again))).code == 481
    await hear_each_other(alice, again)


# --- attended -------------------------------------------------------------------------------------


@pytest.mark.promise("P4")
@pytest.mark.parametrize("asked_in", ["relay", "second"])
async def test_a_party_behind_a_relay_joins_the_other_with_somebody_else(stage: House, asked_in: str) -> None:
    alice, carol = await relayed(stage)
    again, dave = await consulted(stage, CAROL, DAVE)
    kept, other = (carol, again) if asked_in == "relay" else (again, carol)
    await joined(stage, kept, other, left=2)
    await hear_each_other(alice, dave)
    held = next(call for call in stage.control.conversations() if call.link is None)
    await dave.reinvite("sendonly")
    await until(lambda: held.script.floor.held)
    await dave.reinvite("sendrecv")
    await hear_each_other(alice, dave)
    alice.send("BYE")
    await dave.request("BYE")
    await stage.over()
    causes = sorted(closed.outcome.cause for closed in stage.book.closed)
    assert causes == ["caller-hung-up", "transferred", "transferred"]
    assert stage.control.transfers._joints == {}


@pytest.mark.parametrize(("asked_in", "workers_left"), [("first", (2, 2, 2, 2)), ("second", (2, 3, 3, 3))])
async def test_many_times_in_a_row_and_the_chain_grows_no_longer(
    stage: House, asked_in: str, workers_left: tuple[int, ...]
) -> None:
    alice, here = await relayed(stage)
    who = CAROL
    for whom, left in zip((DAVE, ERIN, replace(BOB, account_id="frank"), DAVE), workers_left, strict=True):
        again, there = await consulted(stage, who, whom)
        await joined(stage, *((here, again) if asked_in == "first" else (again, here)), left=left)
        await hear_each_other(alice, there)
        here, who = there, whom
    assert await stage.refer(here, "sip:103@test.lan") == ACCEPTED
    target = await stage.rung()
    await target.pick_up()
    await notified(here)
    await here.request("BYE", 8)
    await settled(stage, workers_left[-1] - 1)
    await hear_each_other(alice, target)


async def test_a_relay_between_two_relays(stage: House) -> None:
    """Alice joins Carol and Dave, each of whom was handed to her by Bob: neither is in the worker that holds them."""
    alice, carol = await relayed(stage)
    stage.planner.plan_ = plan_for()
    alice2, bob1 = await stage.talk()
    bob2, dave = await consulted(stage, BOB, DAVE)
    await joined(stage, bob1, bob2, left=4)
    await joined(stage, alice, alice2, left=4)
    await hear_each_other(carol, dave)
    calls = tuple(stage.control.conversations())
    held = next(call for call in calls if call.link is None)
    ends = [Place(held, str(leg)) for leg in (held.script.near, held.script.far)]
    assert [depth(end, calls) for end in ends] in ([1, 2], [2, 1])
    assert sorted(str(end.party.account_id) for end in ends) == ["carol", "dave"]
    await dave.reinvite("sendonly")
    await until(lambda: held.script.floor.held)
    await dave.reinvite("sendrecv")
    for referrer, stays, shown in ((dave, carol, "103"), (carol, dave, "104")):
        await stage.refer(referrer, "sip:105@test.lan")
        target = await stage.rung()
        assert target.invite is not None and shown in target.invite["From"]
        target.refuse(486, "Busy Here")
        assert (await notified(referrer))[-1][0] == "SIP/2.0 486 Busy Here"
        await hear_each_other(referrer, stays)
    await stage.refer(dave, "sip:105@test.lan")
    target = await stage.rung()
    await target.pick_up()
    await notified(dave)
    await dave.request("BYE", 8)
    await settled(stage, 2)
    await hear_each_other(carol, target)


async def test_two_attended_transfers_of_the_same_calls_at_once(stage: House) -> None:
    """Each would make a relay of the other."""
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    both = await asyncio.gather(
        stage.refer(bob1, replaces(stage, bob2)),
        stage.refer(bob2, replaces(stage, bob1)),
    )
    assert [answer.code for answer in both] == [202, 491]
    await stage.joint()
    await notified(bob1)
    await settled(stage, 2)
    assert [call.link is not None for call in stage.control.conversations()] == [False, True]
    await hear_each_other(alice, carol)


async def test_while_a_second_call_is_looked_up_it_takes_part_in_no_other_transfer(stage: House) -> None:
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    looking, go_on = asyncio.Event(), asyncio.Event()
    tags_of = stage.cleaning.dialog_tags

    async def slowly(call_id: str) -> tuple[str, str] | None:
        looking.set()
        await go_on.wait()
        return await tags_of(call_id)

    stage.cleaning.dialog_tags = slowly  # type: ignore[method-assign]
    refer_to = replaces(stage, bob2, wrong=True)
    asking = asyncio.ensure_future(stage.refer(bob1, refer_to))  # noqa: TID251 - awaited below
    await looking.wait()
    assert (await stage.refer(carol, "sip:104@test.lan")).code == 491
    assert (await stage.refer(alice, "sip:104@test.lan")).code == 491
    go_on.set()
    assert (await asking).code == 481
    assert await stage.refer(carol, "sip:104@test.lan") == ACCEPTED, "it was let go"
    await stage.rung()


# --- consent and recordings -----------------------------------------------------------------------


@pytest.mark.promise("L1", "2.3")
async def test_each_composition_of_a_chain_has_its_own_recording_and_proof(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    terms = stage.planner.plan_.recording.legs[1]
    stage.planner.joining = joining_for((replace(terms, leg="c"),))
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    first = next(iter(stage.control.conversations()))
    await until(lambda: first.script.outcome.recording == "recorded")
    await joined(stage, bob1, bob2, left=2)
    await until(lambda: stage.desk.names == ["begin", "finish", "begin"] and first.rec_id is not None)
    await hear_each_other(alice, carol)
    again, dave = await consulted(stage, CAROL, DAVE)
    await joined(stage, carol, again, left=2)
    await until(lambda: stage.desk.names == ["begin", "finish"] * 2 + ["begin"] and first.rec_id is not None)
    assert stage.desk.order.legs == ("a", "j1")
    assert [party.account_id for party in stage.desk.order.parties] == ["alice", "dave"]
    await hear_each_other(alice, dave)
    await stage.refer(dave, "sip:103@test.lan")
    target = await stage.rung()
    await target.pick_up()
    await until(lambda: stage.desk.names == ["begin", "finish"] * 3 + ["begin"] and first.rec_id is not None)
    assert stage.desk.order.legs[0] == "a" and stage.desk.order.legs[1][1:] == "0"
    legs = [evidence.leg for evidence, _ in stage.book.noted]
    assert legs[:2] == ["a", "b0"] and legs[2:4] == ["j0", "j1"] and len(legs) == 5, "each was asked when it came"
    assert stage.desk.order.ledger_seqs == (1, 5)


@pytest.mark.promise("L1")
async def test_a_recording_goes_on_where_nobody_answers(stage: House) -> None:
    stage.planner.plan_ = plan_for(RECORDED)
    terms = stage.planner.plan_.recording.legs[1]
    stage.planner.joining = joining_for((replace(terms, leg="c"),))
    alice, bob1, bob2, carol = await two_calls(stage, "out")
    first = next(iter(stage.control.conversations()))
    await until(lambda: first.script.outcome.recording == "recorded")
    await joined(stage, bob1, bob2, left=2)
    await until(lambda: stage.desk.names == ["begin", "finish", "begin"] and first.rec_id is not None)
    running = first.rec_id
    await stage.refer(carol, "sip:104@test.lan")
    (await stage.rung()).refuse(480, "Temporarily Unavailable")
    await notified(carol)
    await hear_each_other(alice, carol)
    assert first.rec_id == running and stage.desk.names == ["begin", "finish", "begin"]
    carol.send("BYE")
    await alice.request("BYE")
    await stage.over()
    assert [why for _, _, why in stage.desk.gaps] == ["hold"] and stage.desk.names[-1] == "finish"


# --- who is seen ----------------------------------------------------------------------------------


async def test_a_number_that_was_withheld_is_withheld_behind_a_relay_too(stage: House) -> None:
    stage.planner.plan_ = replace(call_of(CAROL, BOB), caller_hidden=True)
    carol, bob2 = await stage.talk()
    stage.planner.plan_ = plan_for()
    alice, bob1 = await stage.talk()
    await joined(stage, bob1, bob2, left=2)
    await stage.refer(alice, "sip:104@test.lan")
    target = await stage.rung()
    assert target.invite is not None and "anonymous" in target.invite["From"] and "103" not in target.invite["From"]
    await target.pick_up()
    await notified(alice)
    alice.send("BYE")
    await hear_each_other(carol, target)


async def test_whoever_has_left_is_free_and_whoever_has_joined_is_not(stage: House) -> None:
    def talking() -> set[str]:
        return {name for name in ("alice", "bob", "carol", "dave") if stage.control.talks(name)}

    alice, carol = await relayed(stage)
    await until(lambda: talking() == {"alice", "carol"})
    assert [call.account_id for call in stage.control.live()] == ["alice", "carol"]
    again, dave = await consulted(stage, replace(CAROL, account_id="alice"), DAVE)
    await joined(stage, alice, again, left=3)
    await hear_each_other(carol, dave)
    await until(lambda: talking() == {"carol", "dave"})


@pytest.mark.parametrize("side", ["a", "b"])
async def test_an_operator_transfers_by_the_id_of_a_relay(stage: House, side: str) -> None:
    """Carol was called in it, so she is side b; side a is whoever is at the other end."""
    alice, carol = await relayed(stage)
    _, relay = stage.control.live()
    assert await stage.control.transfer(relay.call_id, side, "105") is None
    target = await stage.rung()
    await target.pick_up()
    leaves, stays = (alice, carol) if side == "a" else (carol, alice)
    await leaves.request("BYE")
    await hear_each_other(stays, target)


async def test_what_the_planner_answers_too_late_for_a_chain_changes_nothing(stage: House) -> None:
    """Carol hangs up while her second transfer is being planned."""
    alice, carol = await relayed(stage)
    again, dave = await consulted(stage, CAROL, DAVE)
    planned, go_on = asyncio.Event(), asyncio.Event()
    plan_joining = stage.planner.plan_joining

    async def slowly(first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        planned.set()
        await go_on.wait()
        return await plan_joining(first, stays, joins, now)

    stage.planner.plan_joining = slowly  # type: ignore[method-assign]
    refer_to = replaces(stage, again)
    asking = asyncio.ensure_future(stage.refer(carol, refer_to))  # noqa: TID251 - awaited below
    await planned.wait()
    carol.send("BYE")
    await alice.request("BYE")
    go_on.set()
    assert (await asking).code == 481
    await settled(stage, 1)
    await hear_each_other(again, dave)


async def test_a_call_that_is_transferred_too_often(stage: House) -> None:
    """Each that joins, or was to, has a letter of its own, and none is used twice."""
    alice, _ = await relayed(stage)
    (held,) = [call for call in stage.control.conversations() if call.link is None]
    letters = [held.next_letter() for _ in range(25)]
    used = "".join(letters)
    assert len(set(used)) == len(used) == 21 and not set(used) & set("abcjp")
    answer = await stage.refer(alice, "sip:104@test.lan")
    assert answer == Reply(403, "Transferred Too Often")
