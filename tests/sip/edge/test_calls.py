"""Calls through the edge: suspended, asked, handed to a worker or to devices, and ended."""

from __future__ import annotations

import pytest

from sip.edge.protocol import ToDevices, ToWorker
from tests.peers.sipclient import Endpoint, Message, Phone, answer, credentials
from tests.sip.edge.conftest import DOMAIN, Edge

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 {} 8\r\n"


async def invite(phone: Phone, user: str, *, headers: tuple[str, ...] = (), profile: str = "RTP/AVP") -> str:
    """Sends an INVITE with credentials, after the challenge. Returns the request URI."""
    uri = f"sip:{user}@{DOMAIN}"
    body, kind = SDP.format(profile), "Content-Type: application/sdp"
    phone.endpoint.send(phone.request("INVITE", uri, headers=(*headers, kind), body=body))
    challenge = await phone.final()
    assert challenge.code == 407
    phone.endpoint.send(phone.ack(uri, challenge))
    value = credentials(challenge["Proxy-Authenticate"], phone.auth_user, phone.password, "INVITE", uri)
    phone.endpoint.send(
        phone.request("INVITE", uri, headers=(*headers, kind, f"Proxy-Authorization: {value}"), body=body)
    )
    return uri


async def request(endpoint: Endpoint, method: str) -> Message:
    while True:
        message = await endpoint.receive()
        if not message.code and message.method == method:
            return message


def sequel(phone: Phone, method: str, ok: Message) -> str:
    """A request inside the dialog that `ok` (a 200 to our INVITE) has made."""
    target = ok["Contact"].strip("<>")
    routes = tuple(f"Route: {route}" for route in reversed(ok.all("Record-Route")))
    cseq = int(ok["CSeq"].split()[0]) if method == "ACK" else None
    if cseq is None:
        phone.cseq += 1
        cseq = phone.cseq
    return phone.request(method, target, to=ok["To"], headers=routes, cseq=cseq)


async def test_an_invite_is_asked_and_handed_to_the_worker(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    worker = await edge.worker()
    edge.daemon.decide = lambda request: ToWorker(worker.local[1], "leg42")
    phone = await edge.phone("udp", "alice-k3f9", "alice")
    await invite(phone, "bob")
    received = await request(worker, "INVITE")
    assert received["X-Beffroi-Leg"] == "leg42"
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.auth_user, asked.from_user, asked.request_user) == (
        "invite",
        "alice-k3f9",
        "alice",
        "bob",
    )
    assert asked.source == f"udp:127.0.0.1:{phone.endpoint.local[1]}"
    assert not asked.savp
    worker.send(answer(received, 200, "OK", contact=f"sip:leg@127.0.0.1:{worker.local[1]}", body=SDP.format("RTP/AVP")))
    ok = await phone.final()
    assert ok.code == 200
    phone.endpoint.send(sequel(phone, "ACK", ok))
    assert (await request(worker, "ACK")).uri == f"sip:leg@127.0.0.1:{worker.local[1]}"
    [dialog] = await edge.daemon.control.dialogs()
    assert (dialog.state, dialog.worker_port, dialog.began) == ("confirmed", worker.local[1], "phone")
    phone.endpoint.send(sequel(phone, "BYE", ok))
    bye = await request(worker, "BYE")
    worker.send(answer(bye, 200, "OK"))
    assert (await phone.final()).code == 200


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_worker_rings_a_device(edge: Edge, proto: str) -> None:
    await edge.daemon.add("bob-1", "bob")
    phone = await edge.phone(proto, "bob-1", "bob")
    assert (await phone.register()).code == 200
    endpoint = await edge.worker()
    worker = Phone(endpoint, DOMAIN, "alice", "", "")
    edge.daemon.decide = lambda request: ToDevices(("bob-1",), "tls" if proto == "tls" else "plain")
    uri = f"sip:bob@127.0.0.1:{edge.plan.worker_port}"
    endpoint.send(worker.request("INVITE", uri, headers=("X-Beffroi-Leg: abc",), body=SDP.format("RTP/AVP")))
    ringing = await request(phone.endpoint, "INVITE")
    assert not ringing["X-Beffroi-Leg"]
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.worker_port, asked.leg_token) == ("dial", endpoint.local[1], "abc")
    phone.endpoint.send(answer(ringing, 180, "Ringing", tag="b1"))
    [dialog] = await edge.daemon.control.dialogs()
    assert (dialog.state, dialog.worker_port, dialog.began, dialog.cseq) == ("early", endpoint.local[1], "worker", 1)
    phone.endpoint.send(answer(ringing, 200, "OK", tag="b1", contact=phone.contact_uri(), body=SDP.format("RTP/AVP")))
    ok = await worker.final()
    assert ok.code == 200
    endpoint.send(sequel(worker, "ACK", ok))
    await request(phone.endpoint, "ACK")
    endpoint.send(sequel(worker, "BYE", ok))
    phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
    assert (await worker.final()).code == 200
