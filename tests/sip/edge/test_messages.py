"""Short messages of ours to phones."""

from __future__ import annotations

import asyncio

import pytest

from sip.edge.protocol import MESSAGE_MAX_BYTES
from tests.peers.sipclient import answer
from tests.sip.edge.calling import request
from tests.sip.edge.conftest import DOMAIN, Edge
from tests.sip.edge.test_calls import bob

TEXT = 'Appel d\'urgence : "poste 12"\r\nà 14:05 \\ 👍 $var(x) %s {"op":"ban"}'


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_message_reaches_every_contact_behind_nat_too(edge: Edge, proto: str) -> None:
    phones = [await bob(edge, proto), await bob(edge, "udp")]
    phones[0].contact = f"sip:bob@10.255.255.1:5999;transport={proto}"
    phones[0].call_id += "x"
    assert (await phones[0].register()).code == 200
    task = asyncio.ensure_future(edge.daemon.control.send_message("bob-1", TEXT))  # noqa: TID251
    for n, phone in enumerate(phones):
        received = await request(phone.endpoint, "MESSAGE")
        assert received.body.decode() == TEXT
        assert received["From"].startswith(f"<sip:beffroi@{DOMAIN}>")
        assert received["Content-Type"] == "text/plain;charset=UTF-8"
        phone.endpoint.send(answer(received, (200, 415)[n], "Whatever"))
    assert await task


async def test_a_message_that_nobody_takes(edge: Edge) -> None:
    assert not await edge.daemon.control.send_message("bob-1", TEXT)
    phone = await bob(edge)
    task = asyncio.ensure_future(edge.daemon.control.send_message("bob-1", TEXT))  # noqa: TID251
    phone.endpoint.send(answer(await request(phone.endpoint, "MESSAGE"), 415, "Unsupported Media Type"))
    assert not await task


async def test_a_message_that_is_too_long(edge: Edge) -> None:
    await bob(edge)
    with pytest.raises(ValueError, match="bytes at most"):
        await edge.daemon.control.send_message("bob-1", "x" * (MESSAGE_MAX_BYTES + 1))
