"""Phones behind routers, an edge behind a router, and IPv6."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from sip.edge.template import EdgePlan, Listen
from tests.peers.sipclient import Endpoint, Phone, answer
from tests.sip.edge.calling import SDP, backwards, phone_calls, request, sequel, worker_calls
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Daemon, Edge, run

PUBLIC, FAR = "127.9.9.9", "127.0.0.99"


@asynccontextmanager
async def edge_of(plan: EdgePlan) -> AsyncIterator[Edge]:
    async with run(plan):
        daemon = Daemon(plan)
        await daemon.start()
        edge = Edge(plan, daemon)
        try:
            yield edge
        finally:
            await edge.close()


@pytest.fixture
async def behind(plan: EdgePlan) -> AsyncIterator[Edge]:
    """An edge whose router gives it another address outside."""
    bent = replace(plan, media_address="127.0.0.1", public_address=PUBLIC, local_networks=("127.0.0.0/28",))
    async with edge_of(bent) as edge:
        yield edge


def shows(text: str, address: str) -> bool:
    other = "127.0.0.1" if address == PUBLIC else PUBLIC
    return f"IN IP4 {address}" in text and f"IN IP4 {other}" not in text


@pytest.mark.parametrize(("where", "shown"), [("127.0.0.1", "127.0.0.1"), (FAR, PUBLIC)])
async def test_who_calls_from_outside_is_told_the_public_address(behind: Edge, where: str, shown: str) -> None:
    await behind.daemon.add("alice-k3f9", "alice")
    phone = await behind.phone("udp", "alice-k3f9", "alice", local_ip=where)
    worker = await behind.worker()
    call = await phone_calls(behind, phone, worker)
    assert shows(call.ok.text(), shown)
    outside = call.ok.all("Record-Route")[-1]
    assert outside.startswith(f"<sip:{shown}:")
    worker.send(
        backwards(worker, "INVITE", call.received, "w1", user="bob").replace("Content-Length: 0", "").rstrip()
        + f"\r\nContent-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"
    )
    again = await request(phone.endpoint, "INVITE")
    assert shows(again.text(), shown)
    assert again["Via"].startswith(f"SIP/2.0/UDP {shown}:")
    phone.endpoint.send(answer(again, 200, "OK", contact=phone.contact_uri(), body=SDP))
    assert (await Phone(worker, DOMAIN, "x", "", "").final()).code == 200
    phone.endpoint.send(sequel(phone, "BYE", call.ok))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))
    assert (await phone.final()).code == 200


@pytest.mark.parametrize(("where", "shown"), [("127.0.0.1", "127.0.0.1"), (FAR, PUBLIC)])
async def test_who_is_called_outside_is_told_the_public_address(behind: Edge, where: str, shown: str) -> None:
    await behind.daemon.add("bob-1", "bob")
    phone = await behind.phone("udp", "bob-1", "bob", local_ip=where)
    assert (await phone.register()).code == 200
    worker = await behind.worker()
    call = await worker_calls(behind, phone, worker)
    assert shows(call.received.text(), shown)
    assert call.received["Via"].startswith(f"SIP/2.0/UDP {shown}:")
    assert call.received["Record-Route"].startswith(f"<sip:{shown}:")
    phone.endpoint.send(backwards(phone.endpoint, "BYE", call.received, "p1", user="bob"))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))
    assert (await Phone(phone.endpoint, DOMAIN, "x", "", "").final()).code == 200


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_phone_that_speaks_ipv6(plan: EdgePlan, proto: str) -> None:
    """Its worker does not: edge and workers meet on 127.0.0.1."""
    six = replace(plan, listens=tuple(Listen(one.proto, "::1", one.port) for one in plan.listens))
    async with edge_of(six) as edge:
        await edge.daemon.add("bob-1", "bob")
        endpoint = await Endpoint.connect(proto, edge.address(proto), ("::1", 0))
        edge.endpoints.append(endpoint)
        endpoint.local = ("[::1]", endpoint.local[1])  # as it is written in a Via
        phone = Phone(endpoint, DOMAIN, "bob", "bob-1", PASSWORD)
        phone.contact = f"sip:bob@[2001:db8::99]:5999;transport={proto}"
        assert (await phone.register()).code == 200
        [contact] = await edge.daemon.control.contacts("bob-1")
        assert "[::1]" in contact.received
        worker = await edge.worker()
        call = await phone_calls(edge, phone, worker, user="carol")
        assert edge.daemon.asked[-1].source.startswith(f"{proto}:")
        worker.send(backwards(worker, "BYE", call.received, "w1", user="carol"))
        endpoint.send(answer(await request(endpoint, "BYE"), 200, "OK"))
        assert (await Phone(worker, DOMAIN, "x", "", "").final()).code == 200
        call = await worker_calls(edge, phone, worker)
        worker.send(sequel(call.caller, "BYE", call.ok))
        endpoint.send(answer(await request(endpoint, "BYE"), 200, "OK"))
        assert (await call.caller.final()).code == 200


async def test_a_phone_behind_a_router_is_kept_reachable(plan: EdgePlan) -> None:
    quick = replace(plan, timers=replace(plan.timers, nat_ping_s=1))
    async with edge_of(quick) as edge:
        phones = {}
        for name in ("behind", "open"):
            await edge.daemon.add(f"{name}-1", name)
            phones[name] = await edge.phone("udp", f"{name}-1", name)
        endpoint = phones["behind"].endpoint
        endpoint.local = ("10.255.255.1", 5999)  # as it knows itself
        for phone in phones.values():
            assert (await phone.register()).code == 200
        assert (await endpoint.receive(10)).start == "\0\0\0\0"
        assert await phones["open"].endpoint.silent(1.5)
