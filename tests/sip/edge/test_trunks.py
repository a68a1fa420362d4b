"""Calls out by a provider and in from one: a second Kamailio that knows nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge.protocol import ToTrunk, ToWorker
from sip.edge.template import EdgePlan, Listen
from sip.edge.trunks import Trunk, TrunkState, check
from tests.peers.ports import Ports
from tests.peers.provider import DOMAIN as PROVIDER_DOMAIN
from tests.peers.provider import PASSWORD, REALM, USER, Provider, Transport
from tests.peers.sipclient import Endpoint, Message, Phone, answer, ha1
from tests.sip.edge.calling import SDP, SDP_KIND, Call, backwards, request, sequel
from tests.sip.edge.conftest import DOMAIN, Daemon, Edge, run, until

NUMBER = "+33612345678"
HA1 = ha1(USER, REALM, PASSWORD)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    ports = Ports()
    with Provider(tmp_path_factory.mktemp("provider") / "p", ports) as running:
        yield running
    ports.close()


def trunk(provider: Provider, transport: Transport = "udp", *, register: bool = False, **bent: object) -> Trunk:
    values: dict[str, object] = {
        "id": "t1",
        "uri": f"sip:{provider.server(transport)};transport={transport}",
        "domain": PROVIDER_DOMAIN,
        "register": register,
        "user": USER,
        "realm": REALM,
        "ha1": HA1,
        "sources": (),
    }
    return Trunk(**(values | bent))  # type: ignore[arg-type]


@pytest.fixture
async def line(edge: Edge, provider: Provider) -> AsyncIterator[Edge]:
    """The edge with one trunk, and its provider in its right mind."""
    provider.behave_well()
    await edge.daemon.control.replace_trunks([trunk(provider)])
    yield edge
    await edge.daemon.control.replace_trunks([])


def subscriber(provider: Provider, endpoint: Endpoint, number: str = NUMBER) -> None:
    """A UDP endpoint behind the provider, reached by this number, that may call the customer."""
    host, port = endpoint.local
    provider.route(number, f"sip:doris@{host}:{port}")
    provider.lets_call(port)


async def doris(edge: Edge, provider: Provider) -> Endpoint:
    endpoint = await Endpoint.connect("udp", (provider.address, provider.port()))
    edge.endpoints.append(endpoint)
    subscriber(provider, endpoint)
    return endpoint


async def dial(edge: Edge, worker: Endpoint, *, headers: tuple[str, ...] = (), ring_s: int = 30) -> Phone:
    """A worker dials the number by the trunk, as pjsua would: a preloaded route, our domain in From and To."""
    edge.daemon.decide = lambda asked: ToTrunk("t1", NUMBER, ring_s)
    caller = Phone(worker, DOMAIN, "+33170000001", "", "")
    host, port = worker.local
    caller.contact = f"sip:leg@{host}:{port}"
    route = f"Route: <sip:127.0.0.1:{edge.plan.worker_port};lr>"
    more = (route, "X-Beffroi-Leg: leg1", "User-Agent: inside", SDP_KIND, *headers)
    worker.send(caller.request("INVITE", f"sip:x@{DOMAIN}", headers=more, body=SDP))
    return caller


def nothing_of_ours(message: Message, edge: Edge, worker: Endpoint) -> None:
    """What a provider must not see: where workers are, what they are called, headers between us."""
    text = message.text()
    for secret in (f":{worker.local[1]}", f":{edge.plan.worker_port}", "X-Beffroi", "inside", DOMAIN, "own="):
        assert secret not in text.replace(SDP, ""), (secret, text)


async def answered(edge: Edge, provider: Provider, far: Endpoint, worker: Endpoint) -> Call:
    caller = await dial(edge, worker)
    received = await request(far, "INVITE")
    far.send(answer(received, 180, "Ringing", tag="d1"))
    contact = "sip:doris@{}:{}".format(*far.local)
    far.send(answer(received, 200, "OK", contact=contact, body=SDP, tag="d1"))
    ok = await caller.final()
    assert ok.code == 200, ok.start
    assert len(ok.all("Via")) == 1
    worker.send(sequel(caller, "ACK", ok))
    await request(far, "ACK")
    return Call(Phone(far, DOMAIN, "doris", "", ""), worker, caller, received, ok, "d1")


@pytest.mark.parametrize("headers", [(), ("Privacy: id", "P-Asserted-Identity: <sip:+33170000001@sip.provider.test>")])
async def test_a_call_goes_out_and_either_side_ends_it(
    line: Edge, provider: Provider, headers: tuple[str, ...]
) -> None:
    far, worker = await doris(line, provider), await line.worker()
    for ends in ("worker", "provider"):
        before = len(provider.seen("INVITE", number=NUMBER))
        call = await answered(line, provider, far, worker)
        tries = await asyncio.to_thread(provider.wait_seen, "INVITE", before + 2, number=NUMBER)
        challenged, proven = tries[before:]
        assert proven["Proxy-Authorization"] and not challenged["Proxy-Authorization"]
        assert int(proven["CSeq"].split()[0]) == int(challenged["CSeq"].split()[0]) + 1
        assert proven.uri == f"sip:{NUMBER}@{PROVIDER_DOMAIN}"
        assert proven["From"].startswith(f"<sip:+33170000001@{PROVIDER_DOMAIN}>")
        assert proven["To"] == f"<sip:{NUMBER}@{PROVIDER_DOMAIN}>"
        assert not proven["Record-Route"]
        for message in provider.messages():
            if message["Call-ID"] == call.call_id and not message.code:
                nothing_of_ours(message, line, worker)
        [dialog] = await line.dialogs()
        assert (dialog.state, dialog.worker_port, dialog.began) == ("confirmed", worker.local[1], "worker")
        if ends == "worker":
            worker.send(sequel(call.caller, "BYE", call.ok))
            far.send(answer(await request(far, "BYE"), 200, "OK"))
            assert (await call.caller.final()).code == 200
        else:
            far.send(backwards(far, "BYE", call.received, "d1", user="doris"))
            worker.send(answer(await request(worker, "BYE"), 200, "OK"))
            assert (await call.phone.final()).code == 200


async def test_inside_a_call_both_sides_may_change_it(line: Edge, provider: Provider) -> None:
    far, worker = await doris(line, provider), await line.worker()
    call = await answered(line, provider, far, worker)
    for method in ("INVITE", "UPDATE", "INFO"):
        body = SDP if method != "INFO" else ""
        worker.send(sequel(call.caller, method, call.ok, headers=(SDP_KIND,) if body else (), body=body))
        received = await request(far, method)
        nothing_of_ours(received, line, worker)
        far.send(answer(received, 200, "OK", contact="sip:doris@{}:{}".format(*far.local), body=body))
        reply = await call.caller.final()
        assert (reply.code, len(reply.all("Via")), reply["CSeq"]) == (200, 1, f"{call.caller.cseq} {method}")
        if method == "INVITE":
            worker.send(sequel(call.caller, "ACK", reply))
            await request(far, "ACK")
    for n, method in enumerate(("INVITE", "UPDATE", "INFO")):
        far.send(backwards(far, method, call.received, "d1", user="doris", cseq=100 + n))
        received = await request(worker, method)
        worker.send(answer(received, 200, "OK", contact=call.caller.contact, body=SDP if method != "INFO" else ""))
        reply = await call.phone.final()
        assert reply.code == 200
        nothing_of_ours(reply, line, worker)
        if method == "INVITE":
            far.send(backwards(far, "ACK", call.received, "d1", user="doris", cseq=100))
            await request(worker, "ACK")
    for method in ("REFER", "MESSAGE"):
        far.send(backwards(far, method, call.received, "d1", user="doris", cseq=110))
        assert (await call.phone.final()).code == 403
    assert await worker.silent(0.2)


@pytest.mark.parametrize(
    ("does", "is_heard"), [("503", 503), ("challenge", 502), ("redirect", 502), ("486", 486), ("silent", 408)]
)
async def test_what_a_provider_does_wrong(line: Edge, provider: Provider, does: str, is_heard: int) -> None:
    worker = await line.worker()
    provider.behave(INVITE=does, redirect="sip:elsewhere@127.0.0.1:9")
    before = len(provider.seen("INVITE", number=NUMBER))
    caller = await dial(line, worker)
    reply = await caller.final(12)
    assert reply.code == is_heard
    assert not reply["Contact"] and not reply["Proxy-Authenticate"]
    wanted = 2 if does in ("challenge",) else 1
    tries = await asyncio.to_thread(provider.wait_seen, "INVITE", before + wanted, number=NUMBER)
    await asyncio.sleep(0.3)
    assert len(provider.seen("INVITE", number=NUMBER)) == before + wanted == len(tries)


async def test_a_call_that_nobody_wants_any_more_is_cancelled(line: Edge, provider: Provider) -> None:
    far, worker = await doris(line, provider), await line.worker()
    caller = await dial(line, worker)
    received = await request(far, "INVITE")
    far.send(answer(received, 180, "Ringing", tag="d1"))
    await asyncio.sleep(0.2)
    assert await line.daemon.control.cancel(caller.call_id)
    far.send(answer(await request(far, "CANCEL"), 200, "OK"))
    far.send(answer(received, 487, "Request Terminated", tag="d1"))
    assert (await caller.final()).code == 487


async def test_nobody_picks_up_at_the_provider(line: Edge, provider: Provider) -> None:
    far, worker = await doris(line, provider), await line.worker()
    caller = await dial(line, worker, ring_s=1)
    far.send(answer(await request(far, "INVITE"), 183, "Progress", tag="d1", body=SDP))
    assert (await caller.final()).code == 408
    await request(far, "CANCEL")


async def test_the_daemon_ends_a_call_on_both_sides(line: Edge, provider: Provider) -> None:
    far, worker = await doris(line, provider), await line.worker()
    call = await answered(line, provider, far, worker)
    assert await line.daemon.control.end_dialog(call.call_id)
    for side in (far, worker):
        bye = await request(side, "BYE")
        assert bye["Reason"]
        side.send(answer(bye, 200, "OK"))
    await until(lambda: any(bye["Call-ID"] == call.call_id for bye in provider.seen("BYE")))
    [sent] = [bye for bye in provider.seen("BYE") if bye["Call-ID"] == call.call_id]
    assert int(sent["CSeq"].split()[0]) > 2  # the provider has seen the INVITE twice
    assert "P-K" not in sent.text() and str(worker.local[1]) not in sent.text()


async def called(edge: Edge, provider: Provider, far: Endpoint, *, headers: tuple[str, ...] = ()) -> Phone:
    """A subscriber calls the customer."""
    caller = Phone(far, PROVIDER_DOMAIN, NUMBER, "", "")
    uri = f"sip:+33170000001@{PROVIDER_DOMAIN}"
    far.send(caller.request("INVITE", uri, headers=(*headers, SDP_KIND), body=SDP))
    return caller


@pytest.mark.parametrize("how", ["address", "network", "registration"])
async def test_a_call_comes_in_and_either_side_ends_it(edge: Edge, provider: Provider, how: str) -> None:
    provider.behave_well()
    bent: dict[str, object] = {"sources": ("127.0.0.0/30",)} if how == "network" else {}
    await edge.daemon.control.replace_trunks([trunk(provider, register=how == "registration", **bent)])
    far, worker = await doris(edge, provider), await edge.worker()
    if how == "registration":
        await asyncio.to_thread(provider.wait_registered)
        provider.calls_by_registration()
    else:
        provider.calls_by_address("{}:{}".format(*edge.address("udp")))
    edge.daemon.decide = lambda asked: ToWorker(worker.local[1], "leg1")
    for n, ends in enumerate(("worker", "provider")):
        pai = ("P-Asserted-Identity: <sip:+33699999999@sip.provider.test>", "Privacy: id", "X-Beffroi-Leg: forged")
        caller = await called(edge, provider, far, headers=pai)
        received = await request(worker, "INVITE")
        assert received.all("X-Beffroi-Leg") == ["leg1"]
        asked = edge.daemon.asked[n]
        assert (asked.kind, asked.trunk, asked.auth_user) == ("invite", "t1", "")
        assert (asked.from_user, asked.to_user, asked.asserted) == (NUMBER, "+33170000001", "+33699999999")
        assert asked.private and asked.from_tag == caller.tag
        worker.send(answer(received, 180, "Ringing", tag="w1"))
        contact = "sip:leg@{}:{}".format(*worker.local)
        worker.send(answer(received, 200, "OK", contact=contact, body=SDP, tag="w1"))
        ok = await caller.final()
        assert ok.code == 200
        nothing_of_ours(ok, edge, worker)
        far.send(sequel(caller, "ACK", ok))
        await request(worker, "ACK")
        [dialog] = [one for one in await edge.dialogs() if one.call_id == caller.call_id]
        assert (dialog.state, dialog.worker_port, dialog.began) == ("confirmed", worker.local[1], "phone")
        if ends == "worker":
            worker.send(backwards(worker, "BYE", received, "w1", user="leg"))
            bye = await request(far, "BYE")
            nothing_of_ours(bye, edge, worker)
            far.send(answer(bye, 200, "OK"))
            assert (await Phone(worker, DOMAIN, "leg", "", "").final()).code == 200
        else:
            far.send(sequel(caller, "BYE", ok))
            worker.send(answer(await request(worker, "BYE"), 200, "OK"))
            assert (await caller.final()).code == 200
    await edge.daemon.control.replace_trunks([])


async def test_a_stranger_is_no_provider(line: Edge) -> None:
    stranger = await line.phone("udp", "x", local_ip="127.0.0.3")
    stranger.endpoint.send(stranger.request("INVITE", f"sip:+33170000001@{DOMAIN}", headers=(SDP_KIND,), body=SDP))
    assert (await stranger.final()).code == 407
    assert line.daemon.asked == []


async def test_a_call_is_not_touched_from_elsewhere(line: Edge, provider: Provider) -> None:
    """Who has overheard Call-ID and tags still has to come from the provider."""
    far, worker = await doris(line, provider), await line.worker()
    call = await answered(line, provider, far, worker)
    [dialog] = await line.dialogs()
    thief = await line.endpoint("udp", "127.0.0.3")
    phone = Phone(thief, DOMAIN, "x", "", "", call_id=call.call_id, tag="d1")
    to = f"<sip:+33170000001@{DOMAIN}>;tag={dialog.tags[0]}"
    assert dialog.tags == (call.caller.tag, "d1")
    assert await line.daemon.control.dialog_tags(call.call_id) == dialog.tags
    thief.send(phone.request("BYE", "sip:t@{}:{}".format(*line.address("udp")), to=to))
    assert (await phone.final()).code == 403
    assert await worker.silent(0.2)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_registration_and_health_are_known(edge: Edge, provider: Provider, transport: Transport) -> None:
    provider.behave_well()
    provider.forget_registrations()
    control = edge.daemon.control
    await control.replace_trunks([trunk(provider, transport, register=True)])
    await asyncio.to_thread(provider.wait_registered)
    async with asyncio.timeout(10):
        while (await control.trunk_states())["t1"] != TrunkState(registered=True, reachable=True):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    registered = -1
    while registered != (registered := len(provider.seen("REGISTER"))):  # noqa: ASYNC110 - it writes late
        await asyncio.sleep(0.5)
    await control.replace_trunks([trunk(provider, transport, register=True)])  # as after a new attach
    await asyncio.sleep(0.5)
    assert len(provider.seen("REGISTER")) == registered, "what has not changed goes on"
    await control.drop_trunk("t1")
    assert await control.trunk_states() == {}
    await until(lambda: not provider.contacts())


async def test_a_wrong_password_is_known_and_not_told(edge: Edge, provider: Provider) -> None:
    provider.behave_well()
    await edge.daemon.control.replace_trunks([trunk(provider, register=True, ha1="0" * 32)])
    await asyncio.to_thread(provider.wait_seen, "REGISTER", 2)
    assert (await edge.daemon.control.trunk_states())["t1"].registered is False
    await edge.daemon.control.replace_trunks([])


def test_what_the_edge_cannot_carry_is_refused(provider: Provider) -> None:
    for bent in ({"id": "a b"}, {"domain": 'x"'}, {"user": 'a"b'}, {"uri": "tel:1"}, {"ha1": "x"}, {"sources": ("x",)}):
        with pytest.raises(ValueError):
            check(trunk(provider, **bent))
    assert HA1 not in repr(trunk(provider))


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_provider_by_tls_has_to_prove_itself(plan: EdgePlan, provider: Provider, trusted: bool) -> None:
    provider.behave_well()
    bent = replace(plan, trunk_ca=own_copy(plan, provider.ca) if trusted else None)
    async with run(bent):
        daemon = Daemon(bent)
        await daemon.start()
        edge = Edge(bent, daemon)
        await daemon.control.replace_trunks([trunk(provider, "tls")])
        far, worker = await doris(edge, provider), await edge.worker()
        if trusted:
            await reachable(daemon)
            call = await answered(edge, provider, far, worker)
            worker.send(sequel(call.caller, "BYE", call.ok))
            far.send(answer(await request(far, "BYE"), 200, "OK"))
            assert (await call.caller.final()).code == 200
        else:
            caller = await dial(edge, worker)
            assert (await caller.final(12)).code in (408, 503)
            assert await far.silent(0.2)
        await edge.close()


async def reachable(daemon: Daemon, trunk_id: str = "t1") -> None:
    """Waits until the edge has heard from that provider, by TLS also that it is the right one."""
    async with asyncio.timeout(30):
        while not (await daemon.control.trunk_states())[trunk_id].reachable:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def own_copy(plan: EdgePlan, *certificates: Path) -> Path:
    """The unprivileged Kamailio cannot look into pytest's directories."""
    copy = plan.run_dir.parent / "trunk-ca.pem"
    copy.write_bytes(b"".join(certificate.read_bytes() for certificate in certificates))
    copy.chmod(0o644)
    return copy


async def test_a_provider_by_ipv6(plan: EdgePlan, tmp_path: Path, ports: Ports) -> None:
    six = Listen("udp", "::1", plan.listens[0].port)
    bent = replace(plan, listens=(*plan.listens, six))
    with Provider(tmp_path / "provider6", ports, address="::1") as provider:
        async with run(bent):
            daemon = Daemon(bent)
            await daemon.start()
            edge = Edge(bent, daemon)
            await daemon.control.replace_trunks([trunk(provider)])
            far, worker = await Endpoint.connect("udp", ("::1", provider.port()), ("::1", 0)), await edge.worker()
            edge.endpoints.append(far)
            far.local = ("[::1]", far.local[1])
            subscriber(provider, far)
            call = await answered(edge, provider, far, worker)
            far.send(backwards(far, "BYE", call.received, "d1", user="doris"))
            worker.send(answer(await request(worker, "BYE"), 200, "OK"))
            assert (await call.phone.final()).code == 200
            await edge.close()
