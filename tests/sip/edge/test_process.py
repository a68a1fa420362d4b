"""Starting, stopping and logging of the real thing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge import process
from sip.edge.process import EdgeError, run_edge
from sip.edge.template import EdgePlan, Listen, render
from tests.peers.sipclient import Phone, answer
from tests.sip.edge.calling import backwards, phone_calls, request
from tests.sip.edge.conftest import DOMAIN, Daemon, Edge, identity, run, supervised, until
from tests.sip.edge.test_calls import alice
from tests.sip.edge.test_malformed import TORTURE


def children(pid: int) -> list[int]:
    """In order of birth. From /proc alone: a bare system has no ps."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def modes(directory: Path) -> dict[str, int]:
    """Of every file, and of every directory as if it were a file."""
    return {path.name: path.stat().st_mode & (0o077 if path.is_dir() else 0o777) for path in directory.rglob("*")}


def main_kamailio(plan: EdgePlan) -> int:
    """Of this plan: other tests of this process may have one of their own."""
    config = str(plan.run_dir).encode()
    [pid] = [pid for pid in children(os.getpid()) if config in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return pid


async def test_it_starts_without_a_warning(plan: EdgePlan, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "sip.edge"):
        async with run(plan):
            await asyncio.sleep(0.2)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert any("the edge serves" in r.getMessage() for r in caplog.records)


async def test_it_runs_unprivileged_and_leaves_nothing(plan: EdgePlan) -> None:
    async with run(plan):
        pid = main_kamailio(plan)
        status = proc(pid, "status")
        if os.geteuid() == 0:
            assert re.search(r"^Uid:\s+65534\s+65534\s+65534\s+65534$", status, re.M)
            assert re.search(r"^Gid:\s+65534\s+65534\s+65534\s+65534$", status, re.M)
            assert re.search(r"^Groups:\s*$", status, re.M)
            assert re.search(r"^CapEff:\s+0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        assert re.search(r"^Max core file size\s+0\s+0", proc(pid, "limits"), re.M)
        everyone = [pid, *children(pid)]
        assert set(modes(plan.run_dir).values()) == {0o600, 0}
    assert not any(lives(child) for child in everyone)
    assert not plan.rpc_socket.exists()


async def test_a_port_in_use_is_named(plan: EdgePlan) -> None:
    udp, tls = plan.listens[0].port, plan.listens[2].port
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket() as other, socket.socket() as control:
        one.bind(("127.0.0.1", udp))
        for sock, port in ((other, tls), (control, plan.control_port)):
            sock.bind(("127.0.0.1", port))
            sock.listen()
        with pytest.raises(EdgeError) as error:
            await run_edge(plan, identity=identity(), stop=asyncio.Event())
    for name in (f"udp:127.0.0.1:{udp}", f"tls:127.0.0.1:{tls}", f"tcp:127.0.0.1:{plan.control_port}"):
        assert name in str(error.value)
    assert f":{plan.worker_port}:" not in str(error.value)


async def test_a_second_edge_on_the_same_ports_is_refused(running: EdgePlan, tmp_path: Path) -> None:
    """Kamailio alone would share the UDP port in silence."""
    other = replace(running, run_dir=tmp_path / "run2", rpc_socket=tmp_path / "run2" / "rpc.sock")
    with pytest.raises(EdgeError, match=f"udp:127.0.0.1:{running.worker_port}"):
        await run_edge(other, identity=identity(), stop=asyncio.Event())


async def test_a_certificate_that_cannot_be_read_is_a_clear_error(plan: EdgePlan) -> None:
    plan.tls_key.unlink()
    with pytest.raises(EdgeError, match=re.escape(str(plan.tls_key))):
        await run_edge(plan, identity=identity(), stop=asyncio.Event())


@pytest.mark.parametrize("victim", ["first", "child"])
async def test_a_kamailio_that_dies_is_reported(plan: EdgePlan, victim: str) -> None:
    ready = asyncio.Event()
    task = asyncio.ensure_future(  # noqa: TID251
        run_edge(plan, identity=identity(), stop=asyncio.Event(), on_ready=ready.set)
    )
    await asyncio.wait_for(ready.wait(), 10)
    first = main_kamailio(plan)
    left = [first, *children(first)]
    os.kill(first if victim == "first" else left[4], signal.SIGKILL)
    with pytest.raises(EdgeError, match="by itself"):
        await asyncio.wait_for(task, 10)


async def test_any_warning_of_the_check_stops_the_start(plan: EdgePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure route that does not exist is only a warning to Kamailio, and no failure is ever handled."""
    rendered = render(plan)
    broken = replace(rendered, kamailio_cfg=rendered.kamailio_cfg.replace("failure_route[SILENCE]", "route[SILENCE]"))
    assert broken != rendered
    monkeypatch.setattr(process, "render", lambda _: broken)
    with pytest.raises(EdgeError):
        await run_edge(plan, identity=identity(), stop=asyncio.Event())


async def test_it_ends_with_its_supervisor(plan: EdgePlan) -> None:
    """kill -9 of the supervisor: no Kamailio is left that holds the ports."""
    child = supervised(plan)
    assert child.stdout is not None
    try:
        assert await asyncio.to_thread(child.stdout.readline) == b"ready\n"
        [kamailio] = children(child.pid)
        everyone = [kamailio, *children(kamailio)]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    await until(lambda: not any(lives(pid) for pid in everyone), 20)  # its own last resort included (exit_timeout)


async def test_sigterm_ends_it_gracefully(plan: EdgePlan) -> None:
    child = supervised(plan)
    assert child.stdout is not None
    assert await asyncio.to_thread(child.stdout.readline) == b"ready\n"
    child.terminate()
    assert await asyncio.to_thread(child.wait, 8) == 0
    child.stdout.close()


async def test_no_word_of_a_peer_gets_into_the_log(own_edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    edge = own_edge
    number, name = "0612345678", f"zebulon{secrets.token_hex(4)}"
    with caplog.at_level(logging.DEBUG):
        phone, worker = await alice(edge), await edge.worker()
        phone.call_id = name
        await phone_calls(edge, phone, worker, user=number)
        bad = await edge.phone("udp", name, password="guess")
        for _ in range(8):
            bad.endpoint.send(bad.request("REGISTER", f"sip:{number}@x"))
        for n, message in enumerate(TORTURE.values()):
            text = message.replace(b"sip:b@", b"sip:%b@" % number.encode()).replace(b"{user}", number.encode())
            text = text.replace(b"{call_id}", name.encode()).replace(b"sip:a@", b"sip:%b@" % name.encode())
            text = text.replace(b"{method}", b"INVITE")
            for proto in ("udp", "tcp"):
                (await edge.endpoint(proto, f"127.0.3.{n + 1}")).send(text)
        await asyncio.sleep(0.4)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sip.edge")]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) > 20, "the torture should have made Kamailio complain"
    assert len(told) < 60, "which is no fault of ours, and must not fill the log"
    text = "\n".join(lines)
    for secret in (number, number[2:8], name, "alice", "sip:", edge.plan.control_secret):
        assert secret not in text
    assert any("parse" in line for line in lines)  # what happened is kept


async def test_ipv6_works_too(plan: EdgePlan) -> None:
    both = replace(plan, listens=(*plan.listens, Listen("udp", "::1", plan.listens[0].port)))
    async with run(both):
        pass


async def test_told_to_end_all_at_once_it_complains_of_nothing(
    plan: EdgePlan, caplog: pytest.LogCaptureFixture
) -> None:
    """As systemd does: every process of the unit gets its SIGTERM, and its supervisor a moment later."""
    with caplog.at_level(logging.DEBUG, "sip.edge"):
        stop, ready = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(run_edge(plan, identity=identity(), stop=stop, on_ready=ready.set))  # noqa: TID251
        await asyncio.wait_for(ready.wait(), 10)
        os.killpg(main_kamailio(plan), signal.SIGTERM)
        await asyncio.sleep(0.05)
        stop.set()
        with contextlib.suppress(EdgeError):
            await task
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_after_a_restart_a_phone_still_hears_that_its_call_has_ended(plan: EdgePlan) -> None:
    daemon = Daemon(plan)
    async with run(plan):
        await daemon.start()
        edge = Edge(plan, daemon)
        phone, worker = await alice(edge), await edge.worker()
        phone.contact = "sip:alice@10.255.255.1:5999"
        call = await phone_calls(edge, phone, worker)
    async with run(plan):
        await until(lambda: daemon.attaches == 2, 15)
        await until(daemon.control.attached.is_set)
        worker.send(backwards(worker, "BYE", call.received, "w1", user="bob"))
        phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
        reply = await Phone(worker, DOMAIN, "x", "", "").final()
        assert (reply.code, len(reply.all("Via"))) == (200, 1)
        await edge.close()
