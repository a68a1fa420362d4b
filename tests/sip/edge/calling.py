"""What a test needs to bring a call into a state: a phone that calls, a worker that answers, and the reverse."""

from __future__ import annotations

from dataclasses import dataclass

from sip.edge.protocol import ToDevices, ToWorker
from tests.peers.sipclient import Endpoint, Message, Phone, answer, credentials, parse
from tests.sip.edge.conftest import DOMAIN, Edge

_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 {} 8\r\n"
SDP = _SDP.format("RTP/AVP")
SDP_KIND = "Content-Type: application/sdp"


async def invite(phone: Phone, user: str, *, headers: tuple[str, ...] = (), profile: str = "RTP/AVP") -> Message:
    """Sends an INVITE with credentials, after the challenge. Returns the request as the phone sent it."""
    uri = f"sip:{user}@{DOMAIN}"
    body = _SDP.format(profile)
    phone.endpoint.send(phone.request("INVITE", uri, headers=(*headers, SDP_KIND), body=body))
    challenge = await phone.final()
    assert challenge.code == 407, challenge.start
    phone.endpoint.send(phone.ack(uri, challenge))
    value = credentials(challenge["Proxy-Authenticate"], phone.auth_user, phone.password, "INVITE", uri)
    text = phone.request("INVITE", uri, headers=(*headers, SDP_KIND, f"Proxy-Authorization: {value}"), body=body)
    phone.endpoint.send(text)
    return parse(text.encode())


def cancel(phone: Phone, sent: Message) -> str:
    """CANCEL of a request that was sent (RFC 3261 section 9.1)."""
    lines = [f"CANCEL {sent.uri} SIP/2.0", f"Via: {sent['Via']}", f"From: {sent['From']}", f"To: {sent['To']}"]
    lines += [f"Call-ID: {sent['Call-ID']}", f"CSeq: {sent['CSeq'].split()[0]} CANCEL", "Max-Forwards: 70"]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""])


async def request(endpoint: Endpoint, method: str, timeout_s: float = 3.0) -> Message:
    """The next request of this method."""
    while True:
        message = await endpoint.receive(timeout_s)
        if not message.code and message.method == method:
            return message


def sequel(phone: Phone, method: str, ok: Message, *, headers: tuple[str, ...] = (), body: str = "") -> str:
    """A request of the caller inside the dialog that `ok` (a 200 to the INVITE) has made."""
    routes = tuple(f"Route: {route}" for route in reversed(ok.all("Record-Route")))
    cseq = int(ok["CSeq"].split()[0]) if method == "ACK" else None
    target = ok["Contact"].strip("<>")
    return phone.request(method, target, to=ok["To"], headers=(*routes, *headers), cseq=cseq, body=body)


def backwards(endpoint: Endpoint, method: str, received: Message, to_tag: str, *, user: str, cseq: int = 100) -> str:
    """A request of the callee inside the dialog of an INVITE that it received and answered with `to_tag`."""
    phone = Phone(endpoint, DOMAIN, user, "", "", call_id=received["Call-ID"], tag=to_tag)
    routes = tuple(f"Route: {route}" for route in received.all("Record-Route"))
    text = phone.request(method, received["Contact"].strip("<>"), to=received["From"], headers=routes, cseq=cseq)
    own = received["To"].split("<")[1].split(">")[0]
    return text.replace(f"From: <sip:{user}@{DOMAIN}>", f"From: <{own}>")


@dataclass
class Call:
    """An answered call between a phone and a worker."""

    phone: Phone
    worker: Endpoint
    caller: Phone  # who sent the INVITE: the phone itself, or the worker's own sender
    received: Message  # the INVITE as the callee saw it
    ok: Message  # the 200 as the caller saw it
    tag: str

    @property
    def call_id(self) -> str:
        return self.caller.call_id


async def phone_calls(edge: Edge, phone: Phone, worker: Endpoint, user: str = "bob", token: str = "leg1") -> Call:  # noqa: S107
    """The phone calls and the worker has answered."""
    edge.daemon.decide = lambda request: ToWorker(worker.local[1], token)
    await invite(phone, user)
    received = await request(worker, "INVITE")
    contact = f"sip:leg@127.0.0.1:{worker.local[1]}"
    worker.send(answer(received, 200, "OK", contact=contact, body=SDP, tag="w1"))
    ok = await phone.final()
    assert ok.code == 200, ok.start
    phone.endpoint.send(sequel(phone, "ACK", ok))
    await request(worker, "ACK")
    return Call(phone, worker, phone, received, ok, "w1")


async def dial(edge: Edge, worker: Endpoint, answer_with: ToDevices, *, token: str = "leg1") -> Phone:  # noqa: S107
    """The worker sends an INVITE; the edge is told to ring these devices. Returns the worker as a caller."""
    edge.daemon.decide = lambda request: answer_with
    caller = Phone(worker, DOMAIN, "alice", "", "")
    uri = f"sip:bob@127.0.0.1:{edge.plan.worker_port}"
    worker.send(caller.request("INVITE", uri, headers=(f"X-Beffroi-Leg: {token}", SDP_KIND), body=SDP))
    return caller


async def worker_calls(edge: Edge, phone: Phone, worker: Endpoint) -> Call:
    """A worker dials and this registered phone has answered."""
    profile = "tls" if phone.endpoint.proto == "tls" else "plain"
    caller = await dial(edge, worker, ToDevices((phone.auth_user,), profile))
    received = await request(phone.endpoint, "INVITE")
    phone.endpoint.send(answer(received, 200, "OK", contact=phone.contact_uri(), body=SDP, tag="p1"))
    ok = await caller.final()
    assert ok.code == 200, ok.start
    worker.send(sequel(caller, "ACK", ok))
    await request(phone.endpoint, "ACK")
    return Call(phone, worker, caller, received, ok, "p1")
