"""What is remembered of a call: event in, history out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from sip.calls import acts, diagnosis, watch
from sip.calls.history import CallHistory
from sip.calls.plan import Joining, Outcome, Refusal, Stage, Target
from sip.calls.watch import Watch
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p
from tests.sip.calls.drive import CALLEE, plan

pytestmark = pytest.mark.promise("P15")

REQUEST = EdgeRequest("invite", (1, 2), "sip-call-id", 1, "alice-1", "alice", "102", "tls:198.51.100.7:40312", True)


class Call:
    """A watch with a clock."""

    def __init__(self, request: EdgeRequest | None = REQUEST) -> None:
        self.now_s = 100.0
        self.watch = Watch(plan(targets=(Target("b0", ("bob-1",), True),)), request, self.now_s)

    def after(self, seconds: float) -> Call:
        self.now_s += seconds
        return self

    def asked(self, *commands: object) -> Call:
        for command in commands:
            self.watch.asked(command, self.now_s)
        return self

    def happened(self, *events: object) -> Call:
        for event in events:
            self.watch.happened(event, self.now_s)
        return self

    def talk(self) -> Call:
        self.happened(p.Incoming("a", "x")).asked(p.Dial("b0", "102", "t", "101", "Alice", True))
        self.after(0.2).happened(p.LegRinging("b0", 180, False)).asked(p.Answer("a", 180))
        self.after(1).happened(p.LegMedia("b0", True, "PCMA/8000", True), p.LegUp("b0", "sip:bob@198.51.100.9"))
        self.asked(p.Answer("a", 200)).happened(p.LegMedia("a", True, "PCMA", True), p.LegUp("a"))
        return self

    def history(self, cause: str = "caller-hung-up", talked: bool = True) -> CallHistory:
        outcome = Outcome(200, cause, talk_began_s=1.0 if talked else None)
        return self.watch.history(self.now_s, outcome)


def quality(leg: str, rx: int, *, lost: int = 0, final: bool = True) -> p.LegQuality:
    return p.LegQuality(leg, rx, lost, 500, rx, 9000, codec="PCMA", final=final)


def ladder(history: CallHistory) -> list[str]:
    return [f"{s.leg} {'>' if s.inward else '<'} {s.what}" for s in history.ladder]


def test_a_conversation_and_its_ladder() -> None:
    call = Call().talk().after(10).happened(quality("a", 500), p.LegDown("a", 200))
    call.asked(p.Hangup("b0")).happened(quality("b0", 499), p.LegDown("b0", 200))
    history = call.history()
    assert ladder(history) == [
        "a > INVITE", "b0 < INVITE", "b0 > 180", "a < 180", "b0 > 200", "b0 < ACK", "a < 200", "a > ACK",
        "a > BYE", "b0 < BYE", "b0 > 200",
    ]  # fmt: skip
    a, b = history.legs
    assert (a.inward, a.transport, a.signalling, a.srtp_asked, a.srtp, a.codec) == (
        True, "tls", "public", True, True, "PCMA",
    )  # fmt: skip
    assert (a.ended_by, b.ended_by, b.rang_ms, b.up_ms) == ("phone", "us", 200, 1200)
    assert [(s.since, s.length_ms, s.figures.rx_packets) for s in a.stretches] == [("start", 10_000, 500)]
    assert [v.id for v in diagnosis.judge(history).verdicts] == ["good"]


def test_nothing_that_names_anybody_is_remembered() -> None:
    call = Call().talk().happened(p.Digit("a", "7", 100), p.Trouble("rewire", "sip:bob@198.51.100.9 (PJ_EINVAL)"))
    kept = json.dumps(asdict(call.history()))
    for personal in ("198.51", "alice", "Alice", "bob", "101", "102", "sip", '"7"'):
        assert personal not in kept
    assert call.history().troubles == (("rewire", "PJ_EINVAL"),)


def test_hold_resume_and_what_came_between() -> None:
    call = Call().talk().after(10).happened(p.LegMedia("b0", True, "PCMA", True, held=True))
    assert call.watch.unsettled() == ["b0"]
    call.happened(quality("b0", 500, final=False))
    assert call.watch.unsettled() == []
    call.after(30).happened(p.LegMedia("b0", True, "PCMA", True, held=False), quality("b0", 500, final=False))
    call.after(20).happened(quality("b0", 503), p.LegDown("b0", 200), quality("a", 3000), p.LegDown("a", 200))
    history = call.history()
    assert [(s.since, s.held, s.length_ms, s.figures.rx_packets) for s in history.legs[1].stretches] == [
        ("start", False, 10_000, 500),
        ("hold", True, 30_000, 0),
        ("resume", False, 20_000, 3),
    ]
    assert [r for r in ladder(history) if "re-INVITE" in r] == ["b0 > re-INVITE (hold)", "b0 > re-INVITE (resume)"]
    assert [(v.id, v.leg) for v in diagnosis.judge(history).verdicts] == [("one-way-since-hold", "b0")]


def test_one_way_since_a_transfer() -> None:
    call = Call().talk().after(10)
    joining = Joining((Stage((Target("c0", ("carol-1",), True),), 20.0, CALLEE),), CALLEE, (), {}, "minimal")
    call.watch.referred("b0", 202, call.now_s)
    call.happened(acts.Transfer("b0", joining), quality("a", 500, final=False), quality("b0", 500, final=False))
    call.asked(p.Notify("b0", 100, "Trying"), p.Dial("c0", "103", "t", "101", "Alice", True))
    call.after(8).happened(p.LegMedia("c0", True), p.LegUp("c0"))
    call.asked(p.Notify("b0", 200, "OK", True)).happened(quality("b0", 900), p.LegDown("b0", 200)).after(4)
    call.happened(quality("a", 500), p.LegDown("a", 200), quality("c0", 200), p.LegDown("c0", 200))
    history = call.history()
    assert history.transfers == 1
    assert [r for r in ladder(history) if r.startswith("b0")][-5:] == [
        "b0 > REFER", "b0 < 202", "b0 < NOTIFY 100", "b0 < NOTIFY 200", "b0 > BYE",
    ]  # fmt: skip
    assert ("one-way-since-transfer", "a") in [(v.id, v.leg) for v in diagnosis.judge(history).verdicts]


def test_a_pick_up_and_a_relay_come_in() -> None:
    call = Call().happened(p.Incoming("a", "x"), p.Incoming("p0", "y")).asked(p.Answer("p0", 200))
    call.happened(p.LegUp("p0"), acts.BecomeRelay("p0", "j0", CALLEE), p.Incoming("j0", "z"))
    assert ladder(call.history())[1:] == ["p0 > INVITE", "p0 < 200", "p0 > ACK", "j0 > INVITE"]


def test_a_telephone_that_vanished_between_two_looks() -> None:
    call = Call().talk().after(60).happened(quality("a", 3000, final=False), quality("b0", 3000, final=False))
    call.after(60).happened(quality("a", 6000, final=False), quality("b0", 3500, final=False))
    call.after(10).happened(quality("a", 6500), quality("b0", 3500), p.LegDown("b0", 200), p.LegDown("a", 200))
    [verdict] = diagnosis.judge(call.history()).verdicts
    assert (verdict.id, verdict.leg) == ("vanished", "b0") and 55 <= verdict.values["seconds"] <= 65


def test_a_telephone_that_sends_nothing_while_nobody_speaks_has_not_vanished() -> None:
    call = Call().talk()
    for minute in range(1, 4):
        call.after(60).happened(quality("b0", 900 * minute, final=False))
    call.after(40).happened(quality("b0", 2900), p.LegDown("b0", 200), quality("a", 11_000), p.LegDown("a", 200))
    assert [v.id for v in diagnosis.judge(call.history()).verdicts] == ["good"]


def test_a_live_call_can_be_looked_at() -> None:
    call = Call().talk().after(5).happened(quality("a", 250, final=False), quality("b0", 0, final=False))
    assert call.watch.legs_up() == ["a", "b0"]
    live = diagnosis.judge(call.watch.history(call.now_s))
    assert [(v.id, v.leg) for v in live.verdicts] == [("no-packets", "b0")]


def test_cancelled_refused_and_crashed() -> None:
    call = Call().happened(p.Incoming("a", "x")).asked(p.Dial("b0", "102", "t", "101", "A", True))
    call.after(3).happened(p.LegDown("a", 487)).asked(p.Hangup("b0")).happened(p.LegDown("b0", 487))
    history = call.history("cancelled", talked=False)
    assert ladder(history) == ["a > INVITE", "b0 < INVITE", "a > CANCEL", "b0 < CANCEL", "b0 > 487"]

    call = Call().happened(p.Incoming("a", "x")).asked(p.Dial("b0", "102", "t", "101", "A", True))
    call.happened(p.LegDown("b0", 488)).asked(p.Hangup("a", 488)).happened(p.LegDown("a", 488))
    history = call.history("failed", talked=False)
    assert ladder(history)[-3:] == ["b0 > 488", "a < 488", "a > ACK"]
    assert [v.id for v in diagnosis.judge(history).verdicts] == ["callee-refused-srtp"]

    history = Call().talk().after(4).happened(p.WorkerGone()).history("engine-lost")
    assert diagnosis.judge(history).verdicts[0].id == "worker-crashed"


def test_a_call_that_was_refused_before_it_began() -> None:
    history = watch.refused(replace(REQUEST, savp=False), Refusal(488, "SRTP Is Required Over TLS", "no-srtp"))
    assert ladder(history) == ["a > INVITE", "a < 488"]
    assert [v.id for v in diagnosis.judge(history).verdicts] == ["srtp-required"]


def test_what_is_kept_is_bounded() -> None:
    call = Call().talk()
    for n in range(500):
        call.after(5).happened(quality("b0", 100), p.LegMedia("b0", True, held=n % 2 == 0), p.Trouble(f"w{n}", "PJ_EX"))
        call.asked(p.Dial(f"c{n}", "1", "t", "1", "", False))
    history = call.history()
    assert len(history.ladder) == watch.FIRST_STEPS + watch.LAST_STEPS and history.left_out > 100
    assert history.ladder[0].what == "INVITE"
    assert max(len(leg.stretches) for leg in history.legs) <= watch.STRETCHES
    assert len(history.legs) <= watch.LEGS and len(history.troubles) <= watch.TROUBLES


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("tls:198.51.100.7:40312", "public"),
        ("udp:10.1.2.3:5060", "private"),
        ("udp:100.64.3.4:5060", "private"),
        ("tcp:127.0.0.1:9", "loopback"),
        ("tls:[2001:4860::1]:5061", "public"),
        ("tls:[fd00::1]:5061", "private"),
        ("tls:::1:5061", "loopback"),
        ("", ""),
    ],
)
def test_kinds_of_addresses(source: str, kind: str) -> None:
    assert watch.address_kind(source) == kind


def test_one_that_sends_little_in_a_short_call_has_not_vanished_either() -> None:
    call = Call().talk().after(50).happened(quality("b0", 800), p.LegDown("b0", 200), quality("a", 2500))
    assert [v.id for v in diagnosis.judge(call.history()).verdicts] == ["good"]


def test_one_that_vanished_in_the_first_seconds() -> None:
    call = Call().talk().after(10).happened(quality("a", 500, final=False), quality("b0", 200, final=False))
    call.after(60).happened(quality("b0", 200, final=False)).after(10)
    call.happened(quality("b0", 200), p.LegDown("b0", 200), quality("a", 4000), p.LegDown("a", 200))
    [verdict] = diagnosis.judge(call.history()).verdicts
    assert (verdict.id, verdict.leg) == ("vanished", "b0") and verdict.values["seconds"] > 60
