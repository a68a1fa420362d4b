"""Signing on: who may, as whom, and what an outsider can learn from trying."""

from __future__ import annotations

import pytest

from tests.sip.edge.conftest import Edge


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("user", ["alice-k3f9", "alice"])
async def test_a_device_signs_on_as_itself_or_as_its_account(edge: Edge, proto: str, user: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone(proto, "alice-k3f9", user)
    assert (await phone.register()).code == 200
    [contact] = await edge.daemon.control.contacts("alice-k3f9")
    assert contact.table == ("tls" if proto == "tls" else "plain")
    assert 0 < contact.expires_s <= 120
    assert f"{phone.endpoint.local[0]}:{phone.endpoint.local[1]}" in contact.received
    assert (await phone.register(expires_s=0)).code == 200
    assert await edge.daemon.control.registrations() == {}
