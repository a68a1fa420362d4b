"""Alerts and containment in a running house: a webhook that hears of it, a call that ends, one for help that stays."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import Outside, outside
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product
from tests.peers.sipclient import Endpoint
from tests.peers.sipclient import Phone as RawPhone

pytestmark = [pytest.mark.e2e]

SECRET = b"a word that only two know"


@dataclass
class Hook:
    """A webhook on loopback: what it was told, of genuine signature."""

    url: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    deaf: bool = False

    def kinds(self) -> set[str]:
        return {str(one["kind"]) for one in self.told}


@contextmanager
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", self.headers["Beffroi-Signature"])
            assert found is not None
            genuine = hmac.new(SECRET, found[1].encode() + b"." + body, hashlib.sha256).hexdigest() == found[2]
            self.send_response(204 if genuine and not made.deaf else 503)
            self.end_headers()
            if genuine and not made.deaf:
                made.told.append(json.loads(body))
                made.bodies.append(body)

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/alerts"
    thread = threading.Thread(target=server.serve_forever, name="webhook")
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tell(product: Product, hooked: Hook, **thresholds: int) -> None:
    """The webhook and these thresholds in the configuration, before the start."""
    secret = product.data / "keys" / "webhook.secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    product.configure(alerts__webhook=hooked.url)
    path = product.data / "beffroi.toml"
    inline = ", ".join(
        f'"{name.replace("__", ".").replace("_k_", "-")}" = {value}' for name, value in thresholds.items()
    )
    path.write_text(path.read_text().replace("thresholds = {}", f"thresholds = {{ {inline} }}"))


@pytest.mark.promise("2.22", "1.20", "2.23", "0.15")
def test_two_recordings_opened_are_known_at_the_webhook(product_files: Product, tmp_path: Path):
    """From the telephone to the verdict; and what is told while the webhook is deaf is told by the next daemon."""
    product = product_files
    with hook() as hooked:
        tell(product, hooked, bulk_k_listening__count=2)
        scene.speak_in_tones(product)
        product.start()
        caller = product.phone("alice", "alice", "udp", says=tones.tone(CALLER_HZ, 30))
        callee = product.phone("bob", "bob", "tls", says=tones.tone(CALLEE_HZ, 30), answer="auto")
        with caller, callee:
            scene.registered(caller, callee)
            caller.dial("200")
            caller.established()
            caller.press("1")
            scene.until(lambda: product.metric("beffroi_calls_recorded_total") > 0, "it is recorded", 20)
            scene.talk(1)
            caller.hang_up()
            callee.closed()
        rec_id = str(scene.one_recording(product)["id"])
        reader = scene.first_reader(product)
        for _ in range(2):
            reader.export(product, rec_id, tmp_path)
        scene.until(lambda: "bulk-listening" in hooked.kinds(), "the webhook is told", 30)
        [said] = [one for one in hooked.told if one["kind"] == "bulk-listening"]
        assert said["severity"] == "critical"
        for word in (rec_id, "alice", reader.login, "200"):
            assert word.encode() not in b"".join(hooked.bodies).replace(said["id"].encode(), b"")

        [listed] = [one for one in product.json("alert", "list") if one["kind"] == "bulk-listening"]
        assert listed["id"] == said["id"] and product.json("status")["alerts"]["critical"] >= 1
        scene.until(lambda: product.metric("beffroi_alerts_open") >= 1, "the metric has it", 30)
        shown = product.json("alert", "show", said["id"])
        assert shown["named"] == reader.login
        assert "1. " in product.cli("alert", "show", said["id"]), "with its runbook"
        product.cli("alert", "ack", said["id"], "--verdict", "false_alarm", "--note", "a test")

        hooked.deaf = True
        reader.export(product, rec_id, tmp_path)
        scene.until(
            lambda: [one for one in product.json("alert", "list") if one["id"] == said["id"]], "it is open again", 30
        )
        product.kill_daemon()
        hooked.deaf = False
        product.start_daemon()
        scene.until(lambda: [one for one in hooked.told if one["id"] == said["id"] and one["again"]], "told again", 30)
        assert product.json("ledger", "verify")["sound"]


# --- containment ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("containment"), product_seed, "--channels", "4") as made:
        yield made


@pytest.fixture(scope="module")
def centre(out: Outside) -> Iterator[Phone]:
    """Who answers 112; takes calls by itself."""
    says = office.voice(office.HZ["carl"])
    with out.provider.phone("centre", "112", also=("15", "+33112"), says=says, answer="auto") as phone:
        yield phone


def person(product: Product, login: str, *accounts: tuple[str, str]) -> None:
    product.cli("person", "add", login, login.title())
    for name, extension in accounts:
        product.cli("account", "add", name, extension, "--person", login, "--language", "fr")


@pytest.mark.promise("2.24", "P12", "P1")
def test_a_lock_ends_the_persons_call_and_not_the_call_for_help(out: Outside, centre: Phone):
    product = out.product
    person(product, "gina", ("gina-a", "731"), ("gina-b", "732"))
    talking = product.desk("gina-a", "gina-a", says=office.voice(400))
    helped = product.desk("gina-b", "gina-b", says=office.voice(650))
    with talking, helped:
        talking.registered()
        helped.registered()
        since, at_centre = len(out.ben.events), len(centre.events)
        call = talking.dial("702")
        out.ben.wait("CALL_INCOMING", since=since)
        out.ben.answer()
        talking.established(call)
        help_call = helped.dial("112")
        helped.established(help_call, timeout=20)
        said = product.json("person", "lock", "gina", "--reason", "a test")
        assert (said["accounts"], said["devices"]) == (2, 2)
        talking.closed(call)
        out.ben.wait("CALL_CLOSED", since=since)
        assert [one["emergency"] for one in product.json("calls", "live")] == [True]
        assert not [event for event in centre.events[at_centre:] if event["type"] == "CALL_CLOSED"]
        refused = talking.dial("702")
        assert talking.closed(refused).startswith("403")
        helped.hang_up(help_call)
        centre.wait("CALL_CLOSED", since=at_centre)
        out.quiet()
        again = talking.dial("112")
        talking.established(again, timeout=20)
        talking.hang_up(again)
        out.quiet()
        product.cli("person", "unlock", "gina", "--reason", "a test")
        since = len(out.ben.events)
        call = talking.dial("702")
        out.ben.wait("CALL_INCOMING", since=since)
        talking.hang_up(call)
        out.quiet()


@pytest.mark.promise("2.24", "P12")
def test_a_trunk_is_cut_under_a_call_and_help_is_still_talking(out: Outside, centre: Phone):
    product = out.product
    at_centre, at_doris = len(centre.events), len(out.doris.events)
    help_call = out.anna.dial("112")
    out.anna.established(help_call, timeout=20)
    since = len(out.ben.events)
    out.ben.dial("0612345678")
    out.doris.wait("CALL_INCOMING", since=at_doris, timeout=20)
    out.doris.answer()
    out.ben.wait("CALL_ESTABLISHED", since=since)
    said = product.json("trunk", "disable", "main", "--hang-up")
    assert said["ended"] == 1 and "last way" in said["warning"]
    out.doris.wait("CALL_CLOSED", since=at_doris)
    out.ben.wait("CALL_CLOSED", since=since)
    scene.talk(1)
    assert [one["emergency"] for one in product.json("calls", "live")] == [True]
    out.anna.hang_up(help_call)
    centre.wait("CALL_CLOSED", since=at_centre)
    out.quiet()
    product.cli("trunk", "enable", "main")
    out.provider.wait_registered()


@pytest.mark.promise("3.8", "L14")
def test_who_has_left_registers_no_more_and_is_answered_by_who_took_over(out: Outside):
    product = out.product
    person(product, "hugo", ("hugo-a", "741"))
    login = product.login("hugo-a")
    host, _, port = product.server("udp").rpartition(":")

    async def register() -> int:
        endpoint = await Endpoint.connect("udp", (host, int(port)))
        try:
            return (await RawPhone(endpoint, product.domain, login.user, login.user, login.password).register()).code
        finally:
            endpoint.close()

    assert asyncio.run(register()) == 200
    planned = product.json("person", "leave", "hugo", "--hand-over", "ben", "--dry-run")
    assert not planned["done"] and asyncio.run(register()) == 200
    done = product.json("person", "leave", "hugo", "--hand-over", "ben")
    assert [act["what"] for act in done["acts"]] == [act["what"] for act in planned["acts"]]
    assert asyncio.run(register()) in (401, 403)
    since = len(out.ben.events)
    call = out.anna.dial("741")
    out.ben.wait("CALL_INCOMING", since=since)
    out.anna.hang_up(call)
    out.ben.wait("CALL_CLOSED", since=since)
    assert product.json("person", "leave", "hugo", "--hand-over", "ben")["acts"] == []
    assert product.json("ledger", "verify")["sound"]
