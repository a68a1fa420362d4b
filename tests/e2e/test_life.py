"""Starting again, and changing the configuration under a call that goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import scene
from tests.e2e.rawphone import raw_phone
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]

SECOND_START_S = 3.0


@pytest.mark.promise("P19")
def test_a_second_start_is_ready_in_three_seconds(product_files: Product):
    """Edge and daemon together, from nothing. The best of three: others use this machine too."""
    product = product_files
    with product:
        took = []
        for _ in range(3):
            assert product.stop_daemon() == 0
            product.edge.terminate()
            product.edge.wait(10)
            began = time.monotonic()
            product.start_edge()
            product.start_daemon()
            took.append(time.monotonic() - began)
            if took[-1] < SECOND_START_S:
                break
        assert min(took) < SECOND_START_S
        with product.phone("alice", "alice", says=tones.silence(5)) as phone:
            phone.registered()


@pytest.mark.promise("P19")
def test_when_it_has_stopped_no_process_of_it_is_left(product_files: Product):
    with product_files as product:
        kinds = scene.survivors(product)
        for part in ("serve", "edge", "kamailio", "recording.recorder", "sip.worker.zygote"):
            assert [command for command in kinds if part in command], part
    assert scene.survivors(product_files) == []


@pytest.fixture(scope="module")
def talking(shared_product: Product) -> Iterator[tuple[Phone, Phone]]:
    """Two phones that are in a call from the first test of this part to the last."""
    product = shared_product
    alice = product.phone("alice", "alice", "udp", says=tones.tone(400, 120))
    bob = product.phone("bob", "bob", "tls", says=tones.tone(500, 120), answer="auto")
    with alice, bob:
        scene.registered(alice, bob)
        alice.dial("102")
        alice.established()
        yield alice, bob
        assert alice.count("CALL_CLOSED") == bob.count("CALL_CLOSED") == 0
        alice.hang_up()
        bob.closed()
    # Not a moment of silence in all that time.
    for phone, hz in ((alice, 500), (bob, 400)):
        assert tones.shares(phone.heard(), (400, 500), skip=0.5)[hz] > 0.97


@contextmanager
def changed(product: Product, **values: object) -> Iterator[None]:
    """The configuration file with these keys, as it was afterwards."""
    path = product.data / "beffroi.toml"
    before = path.read_text()
    product.configure(**values)
    try:
        yield
    finally:
        path.write_text(before)


def reloads(product: Product) -> int:
    """How many have been written down."""
    return sum(e["action"] == "reload" for e in scene.entries(product, "access"))


@pytest.mark.promise("P19", "3.5")
@pytest.mark.parametrize("how", ["beffroi reload", "SIGHUP"])
async def test_a_good_reload_takes_effect_and_drops_no_call(
    shared_product: Product, talking: tuple[Phone, Phone], how: str
):
    product = shared_product
    with changed(product, calls__max_concurrent=1, calls__max_per_account=1):
        before = reloads(product)
        if how == "SIGHUP":
            product.reload()
        else:
            said = product.json("reload")
            assert set(said["applied"]) == {"calls.max_concurrent", "calls.max_per_account"}
            assert said["need_restart"] == []
        scene.until(lambda: reloads(product) > before, "the reload is written down", every_s=0.3)
        async with raw_phone(product, "bob") as phone:
            assert (await phone.call("101")).start == "SIP/2.0 503 All 1 Lines Are In Use"
    product.cli("reload")
    async with raw_phone(product, "bob") as phone:
        assert (await phone.call("999")).code == 404  # not refused for want of room any more
    assert len(scene.live_calls(product)) == 1


@pytest.mark.promise("P19")
@pytest.mark.parametrize("how", ["beffroi reload", "SIGHUP"])
def test_a_bad_reload_says_all_that_is_wrong_and_keeps_the_old(
    shared_product: Product, talking: tuple[Phone, Phone], how: str
):
    product = shared_product
    before = reloads(product)
    with changed(product, calls__max_concurrent=-3, log__level="shout", calls__ring_timeout_s=7):
        if how == "SIGHUP":
            product.reload()
            wanted = ("calls.max_concurrent", "log.level")
            log = product.directory / "serve.log"
            scene.until(lambda: all(key in log.read_text() for key in wanted), "the log says what is wrong")
        else:
            said = scene.refused(product, "reload")
            for part in ("calls.max_concurrent", "-3", "log.level", "shout"):
                assert part in said
    assert product.health()[0] == 200
    assert reloads(product) == before
    assert product.json("reload")["applied"] == []  # not even the good key of the bad file was taken


@pytest.mark.promise("P19", "3.5")
def test_what_is_said_to_be_in_use_is_in_use(shared_product: Product, talking: tuple[Phone, Phone]):
    """A limit that another process goes by."""
    product = shared_product
    failed = product.metric("beffroi_calls_recording_failed_total")
    caller = product.phone("carl", "bob", "udp", says=tones.silence(20))
    with changed(product, recording__min_free_mb=1000000), caller:
        assert product.json("reload")["applied"] == ["recording.min_free_mb"]
        caller.registered()
        caller.dial("*43")
        caller.established()

        def refused() -> bool:
            caller.press("1")  # counts once the question is put
            return product.metric("beffroi_calls_recording_failed_total") > failed

        scene.until(refused, "no recording begins", 20, every_s=0.5)
        caller.hang_up()
        caller.closed()
    product.cli("reload")


@pytest.mark.promise("P19")
def test_what_needs_a_restart_is_named_and_waits(shared_product: Product, talking: tuple[Phone, Phone]):
    product = shared_product
    with changed(product, http__listen="127.0.0.1:9", recording__bitrate_bps=64000):
        said = product.json("reload")
    assert "http.listen" in said["need_restart"]
    assert product.health()[0] == 200
    product.cli("reload")


@pytest.mark.promise("P18", "0.13")
def test_health_metrics_and_logs_are_as_documented(shared_product: Product, talking: tuple[Phone, Phone]):
    product = shared_product
    status, body = product.health()
    assert status == 200 and json.loads(body)["parts"] == {"edge": True, "workers": True, "recorder": True}
    assert product.metric("beffroi_calls_live") == 1
    for path in sorted(Path(product.directory).glob("*.log")):
        for line in path.read_text().splitlines():
            assert {"at", "level", "from", "message"} <= json.loads(line).keys()
