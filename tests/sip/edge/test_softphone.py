"""A softphone that is not ours signs on, calls and is rung: our challenge is our own, so it must suit others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sip.edge.protocol import ToDevices
from tests.peers import baresip, tones
from tests.peers.ports import Ports
from tests.sip.edge.calling import dial, sequel
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Edge


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_baresip_signs_on_calls_and_is_rung(edge: Edge, tmp_path: Path, ports: Ports, proto: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    host, port = edge.address(proto)
    login = baresip.Login("alice", DOMAIN, PASSWORD, auth_user="alice-k3f9")
    phone = baresip.Phone(tmp_path / "alice", ports, login, f"{host}:{port}", proto, says=tones.silence(5), srtp=False)
    await asyncio.to_thread(phone.start)
    try:
        await asyncio.to_thread(phone.registered)
        [contact] = await edge.daemon.control.contacts("alice-k3f9")
        assert contact.table == ("tls" if proto == "tls" else "plain")
        assert "baresip" in contact.user_agent
        phone.dial("bob")
        assert "404" in await asyncio.to_thread(phone.closed)
        [asked] = edge.daemon.asked
        assert (asked.kind, asked.auth_user, asked.from_user) == ("invite", "alice-k3f9", "alice")
        worker = await edge.worker()
        caller = await dial(edge, worker, ToDevices(("alice-k3f9",), contact.table))
        await asyncio.to_thread(phone.wait, "CALL_INCOMING")
        phone.answer()
        ok = await caller.final()
        assert ok.code == 200
        worker.send(sequel(caller, "ACK", ok))
        await asyncio.to_thread(phone.established)
        assert await edge.daemon.control.end_dialog(caller.call_id)
        await asyncio.to_thread(phone.wait, "CALL_CLOSED", since=phone.count("CALL_CLOSED"))
    finally:
        await asyncio.to_thread(phone.stop)
