"""Forwards, do not disturb, ring groups: which stages come of them, and that every loop of forwards ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls.forwarding import (
    MAX_HOPS,
    Builder,
    Lead,
    Link,
    Outside,
    Place,
    Snapshot,
    ToAccount,
    ToLine,
    Way,
    forwards_of,
    merged,
)
from sip.calls.plan import Party, Refusal, Stage, Target, TrunkTarget
from storage.accounts import Account
from storage.call_settings import CallSettings
from storage.lines import Line

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NAMES = ("alice", "bob", "carol", "dave", "eve", "frank", "grace")


def way(name: str, *, srtp: bool = True, ipv6: bool = False) -> Way:
    return Way((f"{name}-1",), srtp, ipv6, {f"{name}-1@host": name})


def place(name: str, **changes: Any) -> Place:
    known = Account(name, name, f"2{NAMES.index(name)}", None, name.title(), "FR", "fr", None, NOW, None)
    ways = changes.pop("ways", (way(name),))
    talking = changes.pop("talking", False)
    return Place(known, CallSettings(name, **changes), ways, talking)


MOBILE = Outside(
    Party(None, "+33612345678", "", "fr", "FR"),
    (
        TrunkTarget("", "t1", "+33612345678", "+33140000001", "Bob", True),
        TrunkTarget("", "t2", "+33612345678", "+33140000001", "Bob", True),
    ),
)
LEADS: dict[str, Lead] = {name: ToAccount(name) for name in NAMES} | {"mobile": MOBILE}
LINE = Line("l", "office", "200", "ring", "REC_NONE", None, "minimal", None, None, ("bob", "carol"), False, NOW, None)


def snapshot(*places: Place, **leads: Lead) -> Snapshot:
    named: Mapping[str, Lead] = LEADS | leads
    found = {(one.account.id, field): named[to] for one in places for field, to in forwards_of(one.settings).items()}
    return Snapshot({one.account.id: one for one in places}, found)


def build(known: Snapshot, to: Lead = LEADS["bob"], caller: str = "alice") -> list[Stage] | Refusal:
    builder = Builder(known, caller, 60.0)
    refusal = builder.lead(to, Link())
    if refusal is not None:
        assert not builder.stages
        return refusal
    return builder.stages


def shape(stages: list[Stage] | Refusal) -> list[tuple[str, int, set[str]]]:
    """Who rings, after which stage, on what."""
    assert not isinstance(stages, Refusal), stages
    who = [
        [*t.auth_users] if isinstance(t, Target) else [t.trunk_id]
        for stage in stages
        for t in stage.targets[:1]
    ]  # fmt: skip
    return [(name[0].split("-")[0], s.parent, set(s.after)) for name, s in zip(who, stages, strict=True)]


@pytest.mark.promise("P5")
def test_without_forwards_the_devices_ring() -> None:
    stages = build(snapshot(place("bob", ways=(way("bob"), way("bob", srtp=False)))))
    assert not isinstance(stages, Refusal) and len(stages) == 1
    assert [t.leg for t in stages[0].targets] == ["b0", "b1"] and stages[0].callee.account_id == "bob"
    assert stages[0].parent == -1 and stages[0].ring_s == 60.0


@pytest.mark.promise("P5")
def test_forward_always_rings_the_other_and_not_the_own_phone() -> None:
    assert shape(build(snapshot(place("bob", forward_always="carol"), place("carol")))) == [("carol", -1, set())]


@pytest.mark.promise("P5")
def test_forward_on_busy_no_answer_and_not_registered_each_after_its_own_cause() -> None:
    bob = place("bob", forward_busy="carol", forward_no_answer="mobile", forward_unregistered="dave", no_answer_s=15)
    stages = build(snapshot(bob, place("carol"), place("dave")))
    assert shape(stages) == [
        ("bob", -1, set()),
        ("carol", 0, {"busy", "declined"}),
        ("t1", 0, {"no-answer"}),
        ("t2", 2, {"trunk-failed"}),
        ("dave", 0, {"not-available"}),
    ]
    assert not isinstance(stages, Refusal) and stages[0].ring_s == 15.0
    assert [t.leg for s in stages for t in s.targets] == ["b0", "b1", "b2", "b3", "b4"]


@pytest.mark.promise("P5")
def test_a_forward_is_followed_at_once_where_the_phone_cannot_ring() -> None:
    carol = place("carol")
    assert shape(build(snapshot(place("bob", ways=(), forward_unregistered="carol"), carol))) == [("carol", -1, set())]
    assert shape(build(snapshot(place("bob", dnd=True, forward_busy="carol"), carol))) == [("carol", -1, set())]
    busy = place("bob", talking=True, call_waiting=False, forward_busy="carol")
    assert shape(build(snapshot(busy, carol))) == [("carol", -1, set())]


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("changes", "code", "cause"),
    [
        ({"dnd": True}, 480, "not-available"),
        ({"ways": ()}, 480, "not-registered"),
        ({"talking": True, "call_waiting": False}, 486, "busy"),
        ({"dnd": True, "forward_no_answer": "carol"}, 480, "not-available"),
        ({"dnd": True, "forward_busy": "gone"}, 480, "not-available"),
    ],
)
def test_without_a_forward_the_call_ends_with_the_reason(changes: dict[str, Any], code: int, cause: str) -> None:
    gone = Refusal(404, "Not Found", "unknown")
    found = build(snapshot(place("bob", **changes), place("carol"), gone=gone))
    assert isinstance(found, Refusal) and (found.code, found.cause) == (code, cause)


@pytest.mark.promise("P4")
def test_call_waiting_rings_a_phone_that_talks() -> None:
    assert shape(build(snapshot(place("bob", talking=True)))) == [("bob", -1, set())]


@pytest.mark.promise("P5")
def test_chains_are_followed_with_their_causes() -> None:
    known = snapshot(
        place("bob", forward_no_answer="carol"), place("carol", forward_busy="dave"),
        place("dave", forward_always="eve"), place("eve"),
    )  # fmt: skip
    assert shape(build(known)) == [
        ("bob", -1, set()), ("carol", 0, {"no-answer"}), ("eve", 1, {"busy", "declined"}),
    ]  # fmt: skip


@pytest.mark.promise("P5")
def test_a_loop_of_forwards_ends_clearly() -> None:
    known = snapshot(place("bob", forward_always="carol"), place("carol", forward_always="bob"))
    found = build(known)
    assert isinstance(found, Refusal) and (found.code, found.cause) == (482, "loop")
    itself = build(snapshot(place("bob", forward_always="bob")))
    assert isinstance(itself, Refusal) and itself.cause == "loop"


@pytest.mark.promise("P5")
def test_a_loop_after_ringing_leaves_what_has_rung() -> None:
    known = snapshot(place("bob", forward_no_answer="carol"), place("carol", forward_always="bob"))
    assert shape(build(known)) == [("bob", -1, set())]


@pytest.mark.promise("P5")
def test_more_than_five_hops_are_too_many() -> None:
    chain = [place(name, forward_always=NAMES[n + 1]) for n, name in enumerate(NAMES[:-1])]
    known = snapshot(*chain, place("grace"))
    assert isinstance(build(known, LEADS["alice"], caller="x"), Refusal)  # six hops
    assert shape(build(known, LEADS["bob"], caller="x")) == [("grace", -1, set())]
    assert MAX_HOPS == 5


@pytest.mark.promise("P5")
@given(st.data())
def test_every_maze_of_forwards_ends(data: st.DataObject) -> None:
    targets = st.one_of(st.none(), st.sampled_from((*NAMES, "mobile")))
    places = [
        place(
            name,
            forward_always=data.draw(targets),
            forward_busy=data.draw(targets),
            forward_no_answer=data.draw(targets),
            forward_unregistered=data.draw(targets),
            dnd=data.draw(st.booleans()),
            ways=data.draw(st.sampled_from([(), (way(name),)])),
            talking=data.draw(st.booleans()),
            call_waiting=data.draw(st.booleans()),
        )
        for name in NAMES
    ]
    found = build(snapshot(*places))
    if isinstance(found, Refusal):
        assert found.code in (404, 480, 482, 486)
        return
    assert found[0].parent == -1
    legs = [target.leg for stage in found for target in stage.targets]
    assert len(set(legs)) == len(legs)
    for number, stage in enumerate(found[1:], 1):
        assert 0 <= stage.parent < number and stage.after and 1 <= len(stage.targets) <= 3
    seen: list[str] = []  # nobody rings twice on one way down
    for number in range(len(found)):
        at, seen = number, []
        while at != -1:
            account = found[at].callee.account_id
            assert account is None or account not in seen
            seen.append(account or "")
            at = found[at].parent


@pytest.mark.promise("P5")
def test_a_line_rings_all_at_once_one_invite_for_each_kind() -> None:
    bob, carol = place("bob"), place("carol", ways=(way("carol"), way("carol", srtp=False)))
    stages = build(snapshot(bob, carol), ToLine(LINE))
    assert not isinstance(stages, Refusal) and len(stages) == 1
    encrypted, plain = stages[0].targets
    assert isinstance(encrypted, Target) and isinstance(plain, Target)
    assert (encrypted.auth_users, plain.auth_users) == (("bob-1", "carol-1"), ("carol-1",))
    assert encrypted.owners == {"bob-1@host": "bob", "carol-1@host": "carol"}


@pytest.mark.promise("P5")
def test_a_line_rings_one_after_the_other() -> None:
    one_by_one = replace(LINE, strategy="sequential", member_ring_s=12)
    stages = build(snapshot(place("bob"), place("carol")), ToLine(one_by_one))
    not_taken = {"busy", "declined", "no-answer", "not-available", "unknown", "failed"}
    assert shape(stages) == [("bob", -1, set()), ("carol", 0, not_taken)]
    assert not isinstance(stages, Refusal) and stages[0].ring_s == 12.0


@pytest.mark.promise("P5")
def test_a_line_leaves_out_who_cannot_or_does_not_wish_to_take_it() -> None:
    carol = place("carol")
    for bob in (place("bob", dnd=True), place("bob", talking=True, call_waiting=False), place("bob", ways=())):
        assert shape(build(snapshot(bob, carol), ToLine(LINE))) == [("carol", -1, set())]
    assert shape(build(snapshot(place("bob"), carol), ToLine(LINE), caller="bob")) == [("carol", -1, set())]
    mine = replace(LINE, members=("alice",))
    found = build(snapshot(place("alice")), ToLine(mine))
    assert isinstance(found, Refusal) and (found.code, found.cause) == (480, "nobody")
    busy = build(snapshot(place("bob", talking=True, call_waiting=False), place("carol", ways=())), ToLine(LINE))
    assert isinstance(busy, Refusal) and busy.code == 486


def test_a_line_is_not_led_astray_by_a_members_forward() -> None:
    bob = place("bob", forward_always="dave", forward_no_answer="mobile")
    assert shape(build(snapshot(bob, place("dave")), ToLine(LINE))) == [("bob", -1, set())]


def test_nobody_calls_itself() -> None:
    found = build(snapshot(place("alice")), LEADS["alice"])
    assert isinstance(found, Refusal) and found.code == 404
    back = build(snapshot(place("bob", forward_always="alice"), place("alice")))
    assert isinstance(back, Refusal) and back.cause == "busy"


def test_never_more_than_three_legs_at_once() -> None:
    kinds = [(True, False), (True, True), (False, False), (False, True)]
    every = merged([[way(name, srtp=srtp, ipv6=ipv6) for srtp, ipv6 in reversed(kinds)] for name in ("bob", "carol")])
    assert [(w.srtp, w.ipv6) for w in every] == kinds
    stages = build(snapshot(place("bob", ways=every)))
    assert not isinstance(stages, Refusal) and len(stages[0].targets) == 3


@pytest.mark.promise("P12")
def test_who_called_for_help_is_called_back_past_everything() -> None:
    bob = place("bob", dnd=True, forward_always="mobile", talking=True, call_waiting=False)
    builder = Builder(snapshot(bob), None, 60.0)
    assert builder.only_devices(bob) is None
    assert shape(builder.stages) == [("bob", -1, set())]
