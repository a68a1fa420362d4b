"""A phone that vanishes in a call says no BYE: the edge asks it now and then, and ends the call when nothing comes."""

from __future__ import annotations

import pytest

from tests.peers.sipclient import answer
from tests.sip.edge.calling import Call, phone_calls, request, sequel, worker_calls
from tests.sip.edge.conftest import Edge
from tests.sip.edge.test_calls import alice, bob

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]  # Kamailio asks every 30 s at the most


async def call(edge: Edge, side: str) -> Call:
    """A call in which the phone is the caller, or the one who is called."""
    worker = await edge.worker()
    if side == "caller":
        return await phone_calls(edge, await alice(edge), worker)
    return await worker_calls(edge, await bob(edge), worker)


@pytest.mark.parametrize("side", ["caller", "callee"])
async def test_a_phone_that_answers_nothing_is_gone_and_the_worker_hears_of_it(edge: Edge, side: str) -> None:
    made = await call(edge, side)
    await request(made.phone.endpoint, "OPTIONS", 45)
    bye = await request(made.worker, "BYE", 90)
    assert bye["Call-ID"] == made.call_id


@pytest.mark.parametrize("side", ["caller", "callee"])
async def test_a_phone_that_answers_keeps_its_call_and_hears_its_end_from_the_worker(edge: Edge, side: str) -> None:
    """Also in the order of numbers: a request of the worker is not older than the edge's own (RFC 3261 12.2.2)."""
    made = await call(edge, side)
    seen = []
    for _ in range(3):
        asked = await request(made.phone.endpoint, "OPTIONS", 45)
        made.phone.endpoint.send(answer(asked, 200, "OK"))
        seen.append(int(asked["CSeq"].split()[0]))
    assert not made.worker.inbox.qsize()
    if side == "callee":
        made.worker.send(sequel(made.caller, "BYE", made.ok))
        bye = await request(made.phone.endpoint, "BYE")
        assert int(bye["CSeq"].split()[0]) > max(seen)
