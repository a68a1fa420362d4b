"""RFC 4475 against the edge: nothing falls, nothing is learned, the next good request is served."""

from __future__ import annotations

import asyncio
import itertools
import re

import pytest

from sip.edge.rpc import RpcClient
from tests.peers.sipclient import Message
from tests.sip.edge.conftest import DOMAIN, Edge
from tests.sip.edge.test_malformed import stands
from tests.sip.edge.torture import TORTURE, message

pytestmark = pytest.mark.promise("4.1")
numbers = itertools.count(1)


def test_the_whole_document_is_there() -> None:
    sections = {name.split()[0] for name in TORTURE}
    wanted = {f"3.1.1.{n}" for n in range(1, 14)} | {f"3.1.2.{n}" for n in range(1, 20)} | {"3.2.1", "3.4.1"}
    assert sections == wanted | {f"3.3.{n}" for n in range(1, 16)}


def answers(endpoint_inbox: asyncio.Queue[Message]) -> list[Message]:
    found = []
    while not endpoint_inbox.empty():
        found.append(endpoint_inbox.get_nowait())
    return found


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_no_message_of_the_document_breaks_the_edge(edge: Edge, proto: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    endpoints = {}
    for n, name in enumerate(TORTURE):
        endpoint = await edge.endpoint(proto, f"127.0.3.{n % 250 + 1}")
        via = f"{endpoint.local[0]}:{endpoint.local[1]}".encode()
        data = message(name, next(numbers)).replace(b"192.0.2.1;", via + b";rport;")
        endpoint.send(data)
        endpoints[name] = endpoint
        if n % 10 == 9:
            assert await stands(edge), name
    await asyncio.sleep(0.5)
    assert await stands(edge)
    assert edge.daemon.asked == [], "nobody has proven to be anybody"
    said = {name: answers(endpoint.inbox) for name, endpoint in endpoints.items()}
    for name, replies in said.items():
        for reply in replies:
            assert reply.code in {100, 200, 400, 401, 403, 404, 405, 407, 416, 420, 483, 500, 503, 505, 513}, (
                name,
                reply.start,
            )
            assert not re.search(r"alice|kamailio|Unsupported-By", reply.text(), re.I), name
    if proto == "udp":
        assert [reply.code for reply in said["3.3.11 zeromf, Max-Forwards of zero"]] == [483]
        assert [reply.code for reply in said["3.1.1.9 semiuri, semicolon-separated parameters in the user part"]] == [
            200
        ]


async def test_the_same_is_said_of_who_exists_and_who_does_not(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    for name in TORTURE:
        if "user@{host}" not in TORTURE[name]:
            continue
        heard = []
        for who in (b"alice", b"alice-k3f9", b"nobody"):
            endpoint = await edge.endpoint("udp", f"127.0.4.{next(numbers) % 250 + 1}")
            via = f"{endpoint.local[0]}:{endpoint.local[1]}".encode()
            data = message(name, next(numbers)).replace(b"192.0.2.1;", via + b";rport;")
            endpoint.send(data.replace(b"user@" + DOMAIN.encode(), who + b"@" + DOMAIN.encode()))
            try:
                heard.append((await endpoint.receive(0.15)).code)
            except TimeoutError:
                heard.append(0)
        assert len(set(heard)) == 1, (name, heard)


@pytest.mark.full  # transactions are remembered for a while
async def test_the_memory_of_the_edge_does_not_grow_by_rubbish(edge: Edge) -> None:
    rpc = RpcClient(edge.plan.rpc_socket)
    await rpc.open()

    async def used() -> int:
        answer = await rpc.call("core.shmmem")
        assert isinstance(answer, dict)
        return int(answer["used"])

    async def all_of_it(times: int) -> None:
        endpoint = await edge.endpoint("udp", f"127.0.5.{next(numbers) % 250 + 1}")
        for _ in range(times):
            for name in TORTURE:
                endpoint.send(message(name, next(numbers)))
            await asyncio.sleep(0.1)

    await all_of_it(2)
    await asyncio.sleep(0.5)
    before = await used()
    for _ in range(5):
        await all_of_it(2)
    await asyncio.sleep(6)  # transactions live for 5 s
    grown = await used() - before
    rpc.close()
    assert grown < 2_000_000, grown
