"""Calls through the edge: suspended, asked, handed to a worker or to devices, answered, refused, ended."""

from __future__ import annotations

import asyncio
import time

import pytest

from sip.edge.protocol import Answer, EdgeRequest, Reply, ToDevices, ToWorker
from tests.peers.sipclient import Phone, answer
from tests.sip.edge.calling import (
    SDP,
    SDP_KIND,
    backwards,
    cancel,
    dial,
    invite,
    phone_calls,
    request,
    sequel,
    worker_calls,
)
from tests.sip.edge.conftest import DOMAIN, Edge


async def alice(edge: Edge, proto: str = "udp") -> Phone:
    await edge.daemon.add("alice-k3f9", "alice")
    return await edge.phone(proto, "alice-k3f9", "alice")


async def bob(edge: Edge, proto: str = "udp", device: str = "bob-1") -> Phone:
    if device not in {known.auth_user for known in edge.daemon.devices}:
        await edge.daemon.add(device, "bob")
    phone = await edge.phone(proto, device, "bob")
    assert (await phone.register()).code == 200
    return phone


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_phone_calls(edge: Edge, proto: str) -> None:
    phone, worker = await alice(edge, proto), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    assert call.received["X-Beffroi-Leg"] == "leg1"
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.auth_user, asked.from_user, asked.request_user) == (
        "invite",
        "alice-k3f9",
        "alice",
        "bob",
    )
    assert asked.source == f"{proto}:127.0.0.1:{phone.endpoint.local[1]}"
    assert not asked.savp
    [dialog] = await edge.dialogs()
    assert (dialog.state, dialog.worker_port, dialog.began) == ("confirmed", worker.local[1], "phone")
    phone.endpoint.send(sequel(phone, "BYE", call.ok))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))
    assert (await phone.final()).code == 200


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_the_worker_ends_the_call_of_a_phone_behind_nat(edge: Edge, proto: str) -> None:
    phone, worker = await alice(edge, proto), await edge.worker()
    phone.contact = f"sip:alice@10.255.255.1:5999;transport={proto}"
    call = await phone_calls(edge, phone, worker)
    worker.send(backwards(worker, "BYE", call.received, "w1", user="bob"))
    phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_worker_rings_a_device(edge: Edge, proto: str) -> None:
    phone, worker = await bob(edge, proto), await edge.worker()
    phone.contact = f"sip:bob@10.255.255.1:5999;transport={proto}"
    assert (await phone.register()).code == 200
    call = await worker_calls(edge, phone, worker)
    assert not call.received["X-Beffroi-Leg"]
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.worker_port, asked.leg_token) == ("dial", worker.local[1], "leg1")
    [dialog] = await edge.dialogs()
    assert (dialog.state, dialog.worker_port, dialog.began) == ("confirmed", worker.local[1], "worker")
    worker.send(sequel(call.caller, "BYE", call.ok))
    phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
    assert (await call.caller.final()).code == 200


async def test_hold_and_digits_pass_inside_a_call(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    for method in ("INVITE", "INFO", "UPDATE"):
        phone.endpoint.send(sequel(phone, method, call.ok))
        worker.send(answer(await request(worker, method), 200, "OK", contact=f"sip:leg@127.0.0.1:{worker.local[1]}"))
        again = await phone.final()
        assert again.code == 200
        if method == "INVITE":
            phone.endpoint.send(sequel(phone, "ACK", again))
            await request(worker, "ACK")


KEYS_BY_INFO = [
    ("application/dtmf-relay", "Signal=5\r\nDuration=250\r\n", "5"),
    ("application/dtmf-relay", "Signal= *\r\nDuration= 160", "*"),
    ("application/dtmf-relay", "Signal=0", "0"),
    ("application/dtmf", "#", "#"),
    ("application/dtmf", "7\r\n", "7"),
]


async def test_a_key_by_info_reaches_the_worker_in_one_form(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    for kind, body, key in KEYS_BY_INFO:
        phone.endpoint.send(sequel(phone, "INFO", call.ok, headers=(f"Content-Type: {kind}",), body=body))
        info = await request(worker, "INFO")
        assert info.body == f"Signal={key}\r\nDuration=160\r\n".encode()
        assert info["Content-Type"] == "application/dtmf-relay" and len(info.all("Content-Type")) == 1
        worker.send(answer(info, 200, "OK"))
        assert (await phone.final()).code == 200


async def test_an_info_that_is_no_key_does_not_reach_the_worker(edge: Edge) -> None:
    """The media engine dies of some of them."""
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    for kind, body in [
        ("application/dtmf-relay", "Signal"),
        ("application/dtmf-relay", ""),
        ("application/dtmf-relay", "Duration=160\r\nSignal=5"),
        ("application/dtmf-relay", "Signal=\r\nDuration=1"),
        ("application/dtmf-relay", "Signal=12\r\nDuration=1"),
        ("APPLICATION/DTMF-RELAY", "x"),
        ("application/dtmf", "call me"),
        ("application/dtmf-more", "1"),
    ]:
        phone.endpoint.send(sequel(phone, "INFO", call.ok, headers=(f"Content-Type: {kind}",), body=body))
        assert (await phone.final()).code == 400, (kind, body)
    phone.endpoint.send(sequel(phone, "BYE", call.ok))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))


async def test_from_is_passed_on_as_claimed_beside_who_it_really_is(edge: Edge) -> None:
    phone = await alice(edge)
    phone.user = "ceo"
    await invite(phone, "bob")
    assert (await phone.final()).code == 404
    [asked] = edge.daemon.asked
    assert (asked.auth_user, asked.from_user) == ("alice-k3f9", "ceo")


async def test_srtp_is_seen_in_the_offer(edge: Edge) -> None:
    phone = await alice(edge, "tls")
    await invite(phone, "bob", profile="RTP/SAVP")
    assert (await phone.final()).code == 404
    assert edge.daemon.asked[0].savp


async def test_what_a_phone_must_not_say_does_not_reach_the_worker(edge: Edge) -> None:
    phone, worker, decoy = await alice(edge), await edge.worker(), await edge.worker(allowed=False)
    edge.daemon.decide = lambda request: ToWorker(worker.local[1], "real")
    headers = (f"Route: <sip:127.0.0.1:{decoy.local[1]};lr>", "X-Beffroi-Leg: forged", "x-beffroi-other: forged")
    await invite(phone, "bob", headers=headers)
    received = await request(worker, "INVITE")
    assert received.all("X-Beffroi-Leg") == ["real"]
    assert not received["X-Beffroi-Other"]
    assert not received["Route"]
    assert not received["Proxy-Authorization"]
    assert await decoy.silent()


async def test_a_stray_process_on_the_workers_socket_is_refused(edge: Edge) -> None:
    stray = await edge.worker(allowed=False)
    caller = await dial(edge, stray, ToDevices(("bob-1",), "plain"))
    assert (await caller.final()).code == 403
    assert edge.daemon.asked == []


async def test_a_call_goes_only_to_a_worker_that_is_known(edge: Edge) -> None:
    phone, stray = await alice(edge), await edge.worker(allowed=False)
    edge.daemon.decide = lambda request: ToWorker(stray.local[1], "leg1")
    await invite(phone, "bob")
    assert (await phone.final()).code == 503
    assert await stray.silent()


async def test_a_worker_that_does_not_answer_is_given_up(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    edge.daemon.decide = lambda request: ToWorker(worker.local[1], "leg1")
    await invite(phone, "bob")
    assert (await phone.final()).code == 503


async def test_a_daemon_that_does_not_answer_is_given_up(edge: Edge) -> None:
    async def never(request: EdgeRequest) -> Answer:
        await asyncio.sleep(60)
        return Reply(404, "Not Found")

    edge.daemon.decide = never
    phone = await alice(edge)
    await invite(phone, "bob")
    began = time.monotonic()
    reply = await phone.final()
    assert reply.code == 503
    assert reply["Retry-After"]
    assert 2.5 < time.monotonic() - began < 4.5


async def test_a_caller_may_give_up_while_the_daemon_thinks(edge: Edge) -> None:
    async def slow(request: EdgeRequest) -> Answer:
        await asyncio.sleep(0.5)
        return ToWorker(worker.local[1], "leg1")

    phone, worker = await alice(edge), await edge.worker()
    edge.daemon.decide = slow
    sent = await invite(phone, "bob")
    await asyncio.sleep(0.1)
    phone.endpoint.send(cancel(phone, sent))
    assert {(await phone.final()).code, (await phone.final()).code} == {200, 487}
    assert await worker.silent(0.8)


async def test_a_caller_may_give_up_while_it_rings(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    edge.daemon.decide = lambda request: ToWorker(worker.local[1], "leg1")
    sent = await invite(phone, "bob")
    received = await request(worker, "INVITE")
    worker.send(answer(received, 180, "Ringing", tag="w1"))
    await asyncio.sleep(0.1)
    phone.endpoint.send(cancel(phone, sent))
    worker.send(answer(await request(worker, "CANCEL"), 200, "OK"))
    worker.send(answer(received, 487, "Request Terminated", tag="w1"))
    assert {(await phone.final()).code, (await phone.final()).code} == {200, 487}


async def test_all_devices_ring_and_the_first_wins(edge: Edge) -> None:
    phones = [await bob(edge), await bob(edge, "tcp"), await bob(edge, device="bob-2")]
    by_tls = await bob(edge, "tls", "bob-3")
    worker = await edge.worker()
    caller = await dial(edge, worker, ToDevices(("absent-1", "bob-1", "bob-2", "bob-3"), "plain"))
    ringing = [await request(phone.endpoint, "INVITE") for phone in phones]
    for phone, received in zip(phones, ringing, strict=True):
        phone.endpoint.send(answer(received, 180, "Ringing", tag=f"t{phone.endpoint.local[1]}"))
    await asyncio.sleep(0.1)
    winner, received = phones[1], ringing[1]
    tag = f"t{winner.endpoint.local[1]}"
    winner.endpoint.send(answer(received, 200, "OK", tag=tag, contact=winner.contact_uri(), body=SDP))
    assert (await caller.final()).code == 200
    for loser in (phones[0], phones[2]):
        await request(loser.endpoint, "CANCEL")
    assert await by_tls.endpoint.silent(0.2)


async def test_by_tls_only_where_it_came_by_tls(edge: Edge) -> None:
    plain, by_tls = await bob(edge), await bob(edge, "tls")
    await dial(edge, await edge.worker(), ToDevices(("bob-1",), "tls"))
    await request(by_tls.endpoint, "INVITE")
    assert await plain.endpoint.silent(0.2)


@pytest.mark.parametrize(
    ("says", "is_heard"), [(486, 486), (603, 603), (401, 502), (407, 502), (302, 480), (488, 488), (480, 480)]
)
async def test_what_a_phone_refuses_with(edge: Edge, says: int, is_heard: int) -> None:
    phone = await bob(edge)
    caller = await dial(edge, await edge.worker(), ToDevices(("bob-1",), "plain"))
    received = await request(phone.endpoint, "INVITE")
    phone.endpoint.send(answer(received, says, "Whatever", tag="t1", contact="sip:evil@192.0.2.1"))
    reply = await caller.final()
    assert reply.code == is_heard
    assert "192.0.2.1" not in reply.text()
    assert not reply["Proxy-Authenticate"]


async def test_one_decline_for_all_ends_the_ringing_elsewhere(edge: Edge) -> None:
    first, second = await bob(edge), await bob(edge, device="bob-2")
    caller = await dial(edge, await edge.worker(), ToDevices(("bob-1", "bob-2"), "plain"))
    invites = [await request(phone.endpoint, "INVITE") for phone in (first, second)]
    second.endpoint.send(answer(invites[1], 180, "Ringing", tag="t2"))
    first.endpoint.send(answer(invites[0], 603, "Decline", tag="t1"))
    second.endpoint.send(answer(await request(second.endpoint, "CANCEL"), 200, "OK"))
    second.endpoint.send(answer(invites[1], 487, "Request Terminated", tag="t2"))
    assert (await caller.final()).code == 603


async def test_nobody_answers(edge: Edge) -> None:
    phone = await bob(edge)
    caller = await dial(edge, await edge.worker(), ToDevices(("bob-1",), "plain", ring_timeout_s=1))
    received = await request(phone.endpoint, "INVITE")
    phone.endpoint.send(answer(received, 180, "Ringing", tag="t1"))
    assert (await caller.final()).code == 408
    await request(phone.endpoint, "CANCEL")


async def test_nobody_is_registered(edge: Edge) -> None:
    await edge.daemon.add("bob-1", "bob")
    caller = await dial(edge, await edge.worker(), ToDevices(("bob-1",), "plain"))
    assert (await caller.final()).code == 480


async def test_an_answer_that_does_not_fit_is_an_error_and_no_hang(edge: Edge) -> None:
    edge.daemon.decide = lambda request: ToDevices(("bob 1\r\nX: y",), "plain")
    phone = await alice(edge)
    await invite(phone, "bob")
    assert (await phone.final()).code == 500


@pytest.mark.parametrize("method", ["REFER", "MESSAGE"])
async def test_a_transfer_or_a_text_inside_a_call_is_asked(edge: Edge, method: str) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    edge.daemon.decide = lambda request: Reply(202, "Accepted")
    headers = ("Refer-To: <sip:carol@test.lan>",) if method == "REFER" else ("Content-Type: text/plain",)
    phone.endpoint.send(sequel(phone, method, call.ok, headers=headers, body="" if method == "REFER" else 'Été "1"'))
    assert (await phone.final()).code == 202
    asked = edge.daemon.asked[-1]
    assert (asked.kind, asked.auth_user, asked.call_id) == (method.lower(), "alice-k3f9", phone.call_id)
    if method == "REFER":
        assert asked.refer_to == "sip:carol@test.lan"
    else:
        assert asked.body.decode() == 'Été "1"'
    assert await worker.silent(0.2)


async def test_a_text_is_asked(edge: Edge) -> None:
    phone = await alice(edge)
    edge.daemon.decide = lambda request: Reply(202, "Accepted")
    body = 'Ça va ? "oui" \\ 👍'
    reply = await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=("Content-Type: text/plain",), body=body)
    assert reply.code == 202
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.body.decode(), asked.content_type) == ("message", body, "text/plain")


async def test_an_attended_transfer_arrives_whole(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    edge.daemon.decide = lambda request: Reply(202, "Accepted")
    target = "sip:carol@test.lan?Replaces=other%40host%3Bto-tag%3Dt1%3Bfrom-tag%3Df1"
    phone.endpoint.send(sequel(phone, "REFER", call.ok, headers=(f"Refer-To: <{target}>",)))
    assert (await phone.final()).code == 202
    asked = edge.daemon.asked[-1]
    assert (asked.refer_to, asked.from_tag, asked.to_tag) == (target, phone.tag, "w1")
    assert await edge.daemon.control.dialog_tags(call.call_id) == (phone.tag, "w1")
    assert await edge.daemon.control.dialog_tags("no-such-call") is None


@pytest.mark.parametrize(
    ("audio", "g722", "ipv6"),
    [("IP4 127.0.0.1 9 8", True, False), ("IP4 127.0.0.1 8 19", False, False), ("IP6 ::1 8", False, True)],
)
async def test_what_is_offered_is_seen(edge: Edge, audio: str, g722: bool, ipv6: bool) -> None:
    phone = await alice(edge)
    family, host, *codecs = audio.split()
    uri = f"sip:bob@{DOMAIN}"
    body = f"v=0\r\nc=IN {family} {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {' '.join(codecs)}\r\n"
    await phone.authenticated("INVITE", uri, headers=("Privacy: id", "Content-Type: application/sdp"), body=body)
    [asked] = edge.daemon.asked
    assert (asked.g722, asked.ipv6, asked.private, asked.to_user) == (g722, ipv6, True, "bob")


async def test_a_leg_between_two_workers(edge: Edge) -> None:
    one, other = await edge.worker(), await edge.worker()
    edge.daemon.decide = lambda request: ToWorker(other.local[1], "join2")
    caller = Phone(one, DOMAIN, "alice", "", "")
    uri = f"sip:join@127.0.0.1:{edge.plan.worker_port}"
    one.send(caller.request("INVITE", uri, headers=("X-Beffroi-Leg: join1", SDP_KIND), body=SDP))
    received = await request(other, "INVITE")
    assert received.all("X-Beffroi-Leg") == ["join2"]
    contact = f"sip:leg@127.0.0.1:{other.local[1]}"
    other.send(answer(received, 200, "OK", contact=contact, body=SDP, tag="w2"))
    ok = await caller.final()
    assert ok.code == 200
    one.send(sequel(caller, "ACK", ok))
    await request(other, "ACK")
    [dialog] = await edge.dialogs()
    assert (dialog.worker_port, dialog.peer_port, dialog.began) == (other.local[1], one.local[1], "worker")
    other.send(backwards(other, "INFO", received, "w2", user="join"))
    one.send(answer(await request(one, "INFO"), 200, "OK"))
    assert (await Phone(other, DOMAIN, "x", "", "").final()).code == 200
    one.send(sequel(caller, "BYE", ok))
    other.send(answer(await request(other, "BYE"), 200, "OK"))
    assert (await caller.final()).code == 200


async def test_what_belongs_to_a_call_passes_both_ways(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    for n, method in enumerate(("NOTIFY", "UPDATE", "PRACK", "INFO")):
        worker.send(backwards(worker, method, call.received, "w1", user="bob", cseq=200 + n))
        phone.endpoint.send(answer(await request(phone.endpoint, method), 200, "OK"))
        assert (await Phone(worker, DOMAIN, "x", "", "").final()).code == 200
        phone.endpoint.send(sequel(phone, method, call.ok))
        worker.send(answer(await request(worker, method), 200, "OK"))
        assert (await phone.final()).code == 200
