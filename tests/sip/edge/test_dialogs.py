"""What becomes of calls whose worker or daemon is gone, who may speak inside a call, and what is left of it."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from sip.edge.protocol import ToDevices, ToWorker
from sip.edge.rpc import RpcClient, RpcError
from tests.peers.sipclient import answer
from tests.sip.edge.calling import dial, invite, phone_calls, request, sequel, worker_calls
from tests.sip.edge.conftest import DOMAIN, Edge
from tests.sip.edge.test_calls import alice, bob


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_an_answered_call_is_ended_on_both_sides(edge: Edge, proto: str) -> None:
    phone, worker = await alice(edge, proto), await edge.worker()
    phone.contact = f"sip:alice@10.255.255.1:5999;transport={proto}"
    call = await phone_calls(edge, phone, worker)
    assert await edge.daemon.control.end_dialog(call.call_id, cause=503, text="Call interrupted")
    for side in (phone.endpoint, worker):
        bye = await request(side, "BYE")
        assert bye["Reason"] == 'SIP;cause=503;text="Call interrupted"'
        side.send(answer(bye, 200, "OK"))
    assert not await edge.daemon.control.end_dialog("no-such-call")


@pytest.mark.parametrize("proto", ["udp", "tls"])
async def test_a_dialled_phone_behind_nat_hears_that_the_call_is_over(edge: Edge, proto: str) -> None:
    phone, worker = await bob(edge, proto), await edge.worker()
    phone.contact = f"sip:bob@10.255.255.1:5999;transport={proto}"
    call = await worker_calls(edge, phone, worker)
    worker.close()
    assert await edge.daemon.control.end_dialog(call.call_id)
    phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))


async def test_ringing_phones_are_cancelled(edge: Edge) -> None:
    phones = [await bob(edge), await bob(edge, "tls", "bob-1")]
    worker = await edge.worker()
    caller = await dial(edge, worker, ToDevices(("bob-1",), "plain"))
    received = await request(phones[0].endpoint, "INVITE")
    phones[0].endpoint.send(answer(received, 180, "Ringing", tag="p1"))
    await asyncio.sleep(0.1)
    [dialog] = await edge.dialogs()
    assert (dialog.state, dialog.began, dialog.worker_port) == ("early", "worker", worker.local[1])
    assert await edge.daemon.control.cancel(caller.call_id)
    await request(phones[0].endpoint, "CANCEL")


async def test_a_waiting_caller_is_answered_in_place_of_a_dead_worker(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    edge.daemon.decide = lambda asked: ToWorker(worker.local[1], "leg1")
    await invite(phone, "bob")
    worker.send(answer(await request(worker, "INVITE"), 180, "Ringing", tag="w1"))
    await asyncio.sleep(0.1)
    worker.close()
    assert await edge.daemon.control.reply_pending(phone.call_id, 503, "Service Unavailable")
    assert (await phone.final()).code == 503
    assert not await edge.daemon.control.reply_pending("no-such-call", 503, "Service Unavailable")


async def test_a_daemon_that_comes_back_clears_every_call_of_its_dead_workers(edge: Edge) -> None:
    """All four kinds: phone or worker began, ringing or answered. Nothing but what the edge itself tells is used."""
    callers = [await edge.phone("udp", "alice-k3f9", "alice"), await edge.phone("tls", "alice-k3f9", "alice")]
    await edge.daemon.add("alice-k3f9", "alice")
    callees = [await bob(edge, "tcp"), await bob(edge, "udp", "bob-2")]
    workers = [await edge.worker() for _ in range(4)]
    await phone_calls(edge, callers[0], workers[0])
    edge.daemon.decide = lambda asked: ToWorker(workers[1].local[1], "leg2")
    await invite(callers[1], "bob")
    workers[1].send(answer(await request(workers[1], "INVITE"), 180, "Ringing", tag="w2"))
    await worker_calls(edge, callees[0], workers[2])
    await dial(edge, workers[3], ToDevices(("bob-2",), "plain"))
    callees[1].endpoint.send(answer(await request(callees[1].endpoint, "INVITE"), 180, "Ringing", tag="p2"))
    await asyncio.sleep(0.1)

    await edge.daemon.stop()
    for worker in workers:
        worker.close()
    edge.daemon.workers.clear()
    edge.daemon.asked.clear()
    await edge.daemon.start()
    began = time.monotonic()
    dialogs = await edge.dialogs()
    assert len(dialogs) == 4
    assert all([await edge.daemon.control.clear(dialog) for dialog in dialogs])
    await request(callers[0].endpoint, "BYE")
    assert (await callers[1].final()).code == 503
    await request(callees[0].endpoint, "BYE")
    await request(callees[1].endpoint, "CANCEL")
    assert time.monotonic() - began < 2
    assert await edge.daemon.control.registrations() != {}


async def all_that_rpc_shows(edge: Edge) -> str:
    rpc = RpcClient(edge.plan.rpc_socket)
    await rpc.open()
    shown = []
    try:
        for method in ("dlg.list_ctx", "dlg.briefing", "tm.list", "ul.dump", "stats.fetch all", "pike.top"):
            name, *params = method.split()
            shown.append(json.dumps(await rpc.call(name, *params)))
        for table in ("dev", "wk", "ctl", "beat", "ban", "fail", "rate", "live"):
            shown.append(json.dumps(await rpc.call("htable.dump", table)))
    except RpcError as error:
        raise AssertionError(str(error)) from None
    finally:
        rpc.close()
    return "\n".join(shown)


@pytest.mark.promise("L11")
async def test_nothing_of_a_call_is_shown_after_it(edge: Edge) -> None:
    number = "0612345678"
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker, user=number)
    assert number in await all_that_rpc_shows(edge)  # while it lasts, it is no secret from whoever holds the socket
    phone.endpoint.send(sequel(phone, "BYE", call.ok))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))
    await phone.final()
    phone.call_id += "x"
    edge.daemon.decide = lambda asked: ToWorker(worker.local[1], "leg1")
    await invite(phone, number)
    worker.send(answer(await request(worker, "INVITE"), 486, "Busy Here", tag="w9"))
    assert (await phone.final()).code == 486
    for _ in range(60):
        shown = await all_that_rpc_shows(edge)
        if number not in shown and call.call_id not in shown:
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"still shown: {shown[:2000]}")


async def test_only_calls_that_the_edge_has_set_up_are_relayed(edge: Edge) -> None:
    """A To tag and a Route to us must not make us a relay to anywhere (RFC 3261 section 16.4)."""
    phone, target = await alice(edge), await edge.worker(allowed=False)
    host, port = edge.address("udp")
    for method in ("BYE", "INFO", "MESSAGE", "INVITE", "REFER"):
        text = phone.request(
            method,
            f"sip:x@127.0.0.1:{target.local[1]}",
            to=f"<sip:x@{DOMAIN}>;tag=1",
            headers=(f"Route: <sip:{host}:{port};lr>", f"Route: <sip:127.0.0.1:{target.local[1]};lr>"),
        )
        phone.endpoint.send(text)
        assert (await phone.final()).code == 481
    assert await target.silent(0.2)


async def test_inside_a_call_a_phone_reaches_its_worker_and_nothing_else(edge: Edge) -> None:
    phone, worker, target = await alice(edge), await edge.worker(), await edge.worker(allowed=False)
    call = await phone_calls(edge, phone, worker)
    call.ok.headers = [
        (name, f"<sip:x@127.0.0.1:{target.local[1]}>" if name == "Contact" else value)
        for name, value in call.ok.headers
    ]
    phone.endpoint.send(sequel(phone, "INFO", call.ok))
    await request(worker, "INFO")
    assert await target.silent(0.2)


async def test_from_elsewhere_a_call_is_not_ended_without_proof(edge: Edge) -> None:
    phone, worker = await alice(edge), await edge.worker()
    call = await phone_calls(edge, phone, worker)
    await edge.daemon.add("mallory-1", "mallory")
    for device, is_let in (("mallory-1", False), ("alice-k3f9", True)):
        other = await edge.phone("udp", device, "alice", local_ip="127.0.0.2")
        other.call_id, other.tag, other.cseq = phone.call_id, phone.tag, phone.cseq + 10
        routes = tuple(f"Route: {route}" for route in reversed(call.ok.all("Record-Route")))
        task = asyncio.ensure_future(  # noqa: TID251
            other.authenticated("BYE", call.ok["Contact"].strip("<>"), to=call.ok["To"], headers=routes)
        )
        if is_let:
            worker.send(answer(await request(worker, "BYE"), 200, "OK"))
            assert (await task).code == 200
        else:
            assert (await task).code == 403
            assert await worker.silent(0.2)


async def test_the_ack_of_a_busy_call_is_not_lost(edge: Edge) -> None:
    phone = await bob(edge)
    worker = await edge.worker()
    caller = await dial(edge, worker, ToDevices(("bob-1",), "plain"))
    received = await request(phone.endpoint, "INVITE")
    phone.endpoint.send(answer(received, 486, "Busy Here", tag="p1"))
    await request(phone.endpoint, "ACK")
    assert (await caller.final()).code == 486
