"""A trunk as a carrier of texts: what each answer of a provider is worth, and what is never sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from server.sip_carrier import SipCarrier, outcome
from server.trunks_desk import TrunkView
from sip.calls.numbers import SiteNumbering
from sip.edge.messages import Answered, NotSent, Sent, Silent
from sip.edge.rpc import RpcError
from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers import carrier as c

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
UP = TrunkView("t1", None, True, 0, 30)
OURS, THEIRS = Number("+33170000001"), Number("+33612345678")


@dataclass
class Edge:
    answer: Sent | Exception = field(default_factory=lambda: Answered(202))
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def send_text_by_trunk(self, trunk_id: str, to: str, sender: str, text: str) -> Sent:
        self.asked.append((trunk_id, to, sender, text))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def carrier(
    edge: Edge,
    written: str = "plus",
    view: Callable[[], TrunkView | None] = lambda: UP,
    clock: Callable[[], datetime] = lambda: NOW,
) -> c.Carrier:
    site = SiteNumbering("FR")
    return SipCarrier("main", "t1", edge, international_format=written, site=lambda: site, view=view, clock=clock)


def part(sender: Address = OURS, recipient: Address = THEIRS, number: int = 1, total: int = 1) -> c.OutboundPart:
    return c.OutboundPart("p1", sender, recipient, "Bonjour", c.Coding.GSM7, number=number, total=total)


@pytest.mark.parametrize(
    ("sent", "worth"),
    [
        (Answered(200), c.Accepted("")),
        (Answered(202), c.Accepted("")),
        (NotSent(), c.NotSent()),
        (Silent(), c.Unknown("the provider did not answer")),
        (Answered(408), c.Unknown("SIP 408")),
        (Answered(504), c.Unknown("SIP 504")),
        (Answered(503), c.Throttled(5.0)),
        (Answered(429), c.Throttled(5.0)),
        (Answered(404), c.Refused(c.Because.ADDRESS, True, "404")),
        (Answered(484), c.Refused(c.Because.ADDRESS, True, "484")),
        (Answered(415), c.Refused(c.Because.CONTENT, True, "415")),
        (Answered(513), c.Refused(c.Because.CONTENT, True, "513")),
        (Answered(405), c.Refused(c.Because.CLASS, True, "405")),
        (Answered(402), c.Refused(c.Because.CREDIT, False, "402")),
        (Answered(403), c.Refused(c.Because.OTHER, True, "403")),
        (Answered(407), c.Refused(c.Because.OTHER, False, "407")),
        (Answered(302), c.Refused(c.Because.OTHER, False, "302")),
        (Answered(480), c.Refused(c.Because.TEMPORARY, False, "480")),
        (Answered(500), c.Refused(c.Because.TEMPORARY, False, "500")),
        (Answered(603), c.Refused(c.Because.OTHER, True, "603")),
    ],
)
def test_what_an_answer_is_worth(sent: Sent, worth: c.Submitted) -> None:
    assert outcome(sent) == worth


@pytest.mark.parametrize(
    ("written", "to", "sender"),
    [
        ("plus", "+33612345678", "+33170000001"),
        ("00", "0033612345678", "0033170000001"),
        ("national", "0612345678", "0170000001"),
    ],
)
async def test_numbers_are_written_as_the_provider_wants_them(written: str, to: str, sender: str) -> None:
    edge = Edge()
    assert await carrier(edge, written).submit(part()) == c.Accepted("")
    assert edge.asked == [("t1", to, sender, "Bonjour")]


async def test_parts_are_numbered_and_a_short_code_stays_one() -> None:
    edge = Edge()
    await carrier(edge).submit(part(recipient=ShortCode("36180", "FR"), number=2, total=3))
    assert edge.asked == [("t1", "36180", "+33170000001", "(2/3) Bonjour")]


@pytest.mark.parametrize(
    ("bent", "because"),
    [(part(sender=SenderName("ACME")), c.Because.SENDER), (part(recipient=SenderName("ACME")), c.Because.ADDRESS)],
)
async def test_a_name_of_letters_neither_sends_nor_is_sent_to(bent: c.OutboundPart, because: c.Because) -> None:
    edge = Edge()
    assert await carrier(edge).submit(bent) == c.Refused(because, permanent=True)
    assert edge.asked == []


@pytest.mark.parametrize("view", [None, TrunkView("t1", False, True, 0, 30), TrunkView("t1", None, False, 0, 30)])
async def test_a_trunk_that_is_down_is_not_tried(view: TrunkView | None) -> None:
    edge = Edge()
    assert await carrier(edge, view=lambda: view).submit(part()) == c.NotSent()
    assert edge.asked == []


async def test_what_the_edge_does_wrong_is_nothing_that_may_be_sent_again() -> None:
    assert isinstance(await carrier(Edge(RpcError("x", 0, "away"))).submit(part()), c.Unknown)
    refused = await carrier(Edge(ValueError("too long"))).submit(part())
    assert refused == c.Refused(c.Because.CONTENT, permanent=True)


def test_how_it_does_and_since_when() -> None:
    views: list[TrunkView | None] = [UP, UP, TrunkView("t1", None, False, 0, 30), None]
    times = iter(NOW + timedelta(minutes=n) for n in range(9))
    one = carrier(Edge(), view=lambda: views.pop(0), clock=lambda: next(times))
    states = [one.state() for _ in range(4)]
    assert [state.health for state in states] == [c.Health.UP, c.Health.UP, c.Health.CONNECTING, c.Health.OFF]
    assert states[0].since == states[1].since < states[2].since < states[3].since
    wrong = TrunkView("t1", None, False, 0, 30, wrong_name=True)
    assert carrier(Edge(), view=lambda: wrong).state().health is c.Health.REFUSED
