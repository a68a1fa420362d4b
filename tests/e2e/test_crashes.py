"""A worker, the daemon, the edge are killed, or stopped in order, while people talk: who hears of it, what is kept."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.rawphone import raw_phone
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]

HEARS_OF_A_WORKER_S = 1.0
HEARS_OF_A_DAEMON_S = 5.0


@dataclass
class Pair:
    """Somebody who calls a line that records, and somebody who is rung by it."""

    product: Product
    number: str
    caller: Phone
    callee: Phone
    caller_from: int = 0
    callee_from: int = 0
    heard: int = 0
    worker: int = 0
    """Process of the call that `talk` has begun."""

    def dial(self) -> None:
        known = {call["call_id"] for call in scene.live_calls(self.product)}
        self.caller_from, self.callee_from = len(self.caller.events), len(self.callee.events)
        self.heard = len(self.caller.recordings())
        self.caller.dial(self.number)
        self.on_caller("CALL_ESTABLISHED")
        self.caller.press("1")
        self.on_callee("CALL_INCOMING")
        [self.worker] = [c["worker_pid"] for c in scene.live_calls(self.product) if c["call_id"] not in known]

    def talk(self, seconds: float) -> None:
        """Rings, answers, is recorded for that long."""
        recorded = self.product.metric("beffroi_calls_recorded_total")
        self.dial()
        self.callee.answer()
        self.on_callee("CALL_ESTABLISHED")
        scene.until(lambda: self.product.metric("beffroi_calls_recorded_total") > recorded, "it is recorded")
        scene.talk(seconds)

    def on_caller(self, kind: str, timeout: float = 15) -> dict[str, Any]:
        return self.caller.wait(kind, since=self.caller_from, timeout=timeout)

    def on_callee(self, kind: str, timeout: float = 15) -> dict[str, Any]:
        return self.callee.wait(kind, since=self.callee_from, timeout=timeout)

    def closed_after(self, moment: float, timeout: float) -> float:
        """Seconds from that moment until both phones had heard that it is over."""
        ends = [self.on_caller("CALL_CLOSED", timeout)["at"], self.on_callee("CALL_CLOSED", timeout)["at"]]
        assert min(ends) > moment
        return float(max(ends)) - moment

    def is_over(self) -> bool:
        return any(e["type"] == "CALL_CLOSED" for e in self.caller.events[self.caller_from :])

    def hang_up(self) -> None:
        self.caller.hang_up()
        self.on_caller("CALL_CLOSED")
        self.on_callee("CALL_CLOSED")

    def check_it_can_call(self) -> None:
        """A call with audio both ways, by the registrations that are there."""
        assert self.caller.count("REGISTER_FAIL") == self.callee.count("REGISTER_FAIL") == 0
        self.talk(1)
        self.hang_up()
        time.sleep(0.2)
        heard = tones.read_wav(self.caller.recordings()[-1])[0][:, 0]
        assert "callee" in scene.story(heard)


@pytest.fixture(scope="module")
def pairs(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pair]]:
    product = Product(tmp_path_factory.mktemp("crashes") / "product", *product_seed)
    scene.speak_in_tones(product)
    made: list[Pair] = []
    with product:
        for n in (1, 2):
            for who in ("guest", "staff"):
                product.add_account(f"{who}{n}", f"90{n}{len(who) + (who == 'staff')}", language="fr")
            product.add_line(
                f"line{n}", f"91{n}", members=[f"staff{n}"], pack="REC_QUALITY", consent="opt-in", class_="standard"
            )
            caller = product.phone(f"guest{n}", f"guest{n}", "udp", says=tones.tone(CALLER_HZ, 90), refresh_s=600)
            callee = product.phone(f"staff{n}", f"staff{n}", "tls", says=tones.tone(CALLEE_HZ, 90), refresh_s=600)
            made.append(Pair(product, f"91{n}", caller, callee))
            scene.registered(caller.start(), callee.start())
        yield made


def nothing_is_left(product: Product) -> None:
    """No call, no growing recording, ledger and vault in order."""
    scene.until(lambda: not scene.live_calls(product), "no call goes on", 15, every_s=0.3)
    scene.until(
        lambda: not [r for r in scene.recordings(product) if r["state"] == "recording"],
        "no recording runs",
        15,
        every_s=0.3,
    )
    scene.assert_in_order(product)


def check_recording(product: Product, known: set[str], at_least_s: float, place: Path) -> dict[str, Any]:
    """The one new recording opens, and holds both sides for at least so long."""
    [recording] = [r for r in scene.recordings(product) if r["id"] not in known]
    assert recording["state"] in ("whole", "cut")
    channels = scene.by_escrow(product, recording["id"], place, cut=recording["state"] == "cut")
    assert len(channels) / 8000 >= at_least_s
    assert scene.heard_in(channels[:, 0]) == {"caller"} and scene.heard_in(channels[:, 1]) == {"callee"}
    return recording


# --- a worker ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P19", "L9")
def test_a_dead_worker_ends_its_own_conversation_and_no_other(pairs: list[Pair], tmp_path: Path):
    unlucky, other = pairs
    product = unlucky.product
    other.talk(0)
    known = scene.rec_ids(product)
    unlucky.talk(4)
    died_at = time.monotonic()
    os.kill(unlucky.worker, signal.SIGKILL)
    assert unlucky.closed_after(died_at, 5) < HEARS_OF_A_WORKER_S
    scene.talk(1)
    assert not other.is_over()
    assert product.health()[0] == 200
    other.hang_up()
    nothing_is_left(product)
    # The recorder has everything up to the end; what the worker had not handed over yet is a quarter of a second.
    check_recording(product, known, 3.0, tmp_path)
    record = next(r for r in product.json("calls", "list") if r["line"] == "line1")
    assert record["fields"]["cause"] == "engine-lost"
    unlucky.check_it_can_call()


@pytest.mark.promise("P19")
def test_a_worker_that_dies_while_it_rings_rings_no_more(pairs: list[Pair]):
    pair = pairs[0]
    pair.dial()
    died_at = time.monotonic()
    os.kill(pair.worker, signal.SIGKILL)
    assert pair.closed_after(died_at, 5) < HEARS_OF_A_WORKER_S
    nothing_is_left(pair.product)


@pytest.mark.promise("P19")
async def test_a_caller_who_was_not_answered_yet_gets_503(pairs: list[Pair]):
    product, callee = pairs[1].product, pairs[1].callee
    since = len(callee.events)
    async with raw_phone(product, "guest1") as caller:
        await caller.dial("staff2")
        callee.wait("CALL_INCOMING", since=since)
        [call] = scene.live_calls(product)
        os.kill(call["worker_pid"], signal.SIGKILL)
        assert (await caller.phone.final(2)).code == 503
    callee.wait("CALL_CLOSED", since=since)


@pytest.mark.promise("P19")
def test_without_its_zygote_the_pool_is_filled_again(pairs: list[Pair]):
    product = pairs[0].product
    before = scene.processes(product)["zygote"]
    os.kill(before, signal.SIGKILL)
    scene.until(lambda: scene.processes(product)["zygote"] not in (0, before), "a new zygote", every_s=0.3)
    scene.until(lambda: product.health()[0] == 200, "all parts work")
    pairs[0].check_it_can_call()


# --- the daemon -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P19", "L9", "2.11")
def test_a_killed_daemon_comes_back_to_phones_that_hear_of_it(pairs: list[Pair], tmp_path: Path):
    talking, ringing = pairs
    product = talking.product
    known = scene.rec_ids(product)
    talking.talk(6)
    ringing.dial()
    product.kill_daemon()
    # Zygote and workers die with it; the recorder finishes what it has and goes; the edge stays.
    scene.until(
        lambda: not [c for c in scene.survivors(product) if "python" in c and " edge" not in c], "the rest ends"
    )
    assert not talking.is_over()  # nobody is there to tell
    back_at = time.monotonic()
    product.start_daemon(wait=False)
    assert talking.closed_after(back_at, 10) < HEARS_OF_A_DAEMON_S
    assert ringing.closed_after(back_at, 10) < HEARS_OF_A_DAEMON_S
    product.wait_ready()
    registrations = [phone.count("REGISTER_OK") for pair in pairs for phone in (pair.caller, pair.callee)]
    for pair in pairs:
        pair.check_it_can_call()
    # Nobody had to register again.
    assert registrations == [phone.count("REGISTER_OK") for pair in pairs for phone in (pair.caller, pair.callee)]
    nothing_is_left(product)
    [recording, *_] = [r for r in scene.recordings(product) if r["id"] not in known]
    later = {r["id"] for r in scene.recordings(product)} - {recording["id"]}
    check_recording(product, later, 4.0, tmp_path)


@pytest.mark.promise("P19", "L9")
async def test_a_daemon_that_is_stopped_says_good_bye(pairs: list[Pair], tmp_path: Path):
    """SIGTERM: BYE with a Reason to both, the recording is whole, status 0."""
    pair = pairs[0]
    product = pair.product
    known = scene.rec_ids(product)
    pair.talk(3)
    async with raw_phone(product, "guest2") as caller:
        since = len(pairs[1].callee.events)
        sent = await caller.dial("staff2")
        pairs[1].callee.wait("CALL_INCOMING", since=since)
        pairs[1].callee.answer()
        ok = await caller.phone.final()
        assert ok.code == 200
        caller.endpoint.send(caller.sequel("ACK", ok))
        stopped_at = time.monotonic()
        assert product.daemon is not None
        product.daemon.terminate()
        bye = await caller.ended()
        assert bye["Reason"].startswith("SIP;cause=503;text=")
        assert bye["Call-ID"] == sent["Call-ID"]
        assert pair.closed_after(stopped_at, 10) < 10
        pairs[1].callee.wait("CALL_CLOSED", since=since)
    assert product.daemon.wait(15) == 0
    product.start_daemon()
    recording = check_recording(product, known, 2.5, tmp_path)
    assert recording["state"] == "whole"
    pair.check_it_can_call()
    nothing_is_left(product)


# --- the edge ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P19")
def test_an_edge_that_is_started_again_is_told_all_and_calls_go_on_being_made(pairs: list[Pair], tmp_path: Path):
    pair = pairs[0]
    product = pair.product
    known = scene.rec_ids(product)
    pair.talk(3)
    product.kill_edge()
    scene.until(lambda: product.health()[0] == 503, "the daemon misses the edge")
    product.start_edge()
    product.wait_ready()
    # The new edge knows nothing of the conversation: it cannot be ended by the phones, so it is ended by us.
    nothing_is_left(product)
    check_recording(product, known, 2.5, tmp_path)
    for phone in (pair.caller, pair.callee):
        phone.stop()
        phone.events.clear()
        scene.registered(phone.start())
    pair.check_it_can_call()


# --- phones -----------------------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.timeout(240)
@pytest.mark.promise("P19", "L9")
@pytest.mark.parametrize("gone", ["caller", "callee", "both"])
def test_phones_that_vanish_are_missed_and_their_call_ends(pairs: list[Pair], gone: str, tmp_path: Path):
    """No BYE comes from a phone without power: the edge asks every half minute, and twice in vain is enough."""
    pair = pairs[0]
    product = pair.product
    known = scene.rec_ids(product)
    pair.talk(3)
    vanished = [pair.caller] * (gone != "callee") + [pair.callee] * (gone != "caller")
    left = [phone for phone in (pair.caller, pair.callee) if phone not in vanished]
    for phone in vanished:
        phone.kill()
    scene.until(lambda: not scene.live_calls(product), "the call has ended", 120, every_s=2)
    for phone in left:
        assert phone.count("CALL_CLOSED") == phone.count("CALL_ESTABLISHED")
    nothing_is_left(product)
    assert check_recording(product, known, 3, tmp_path)["state"] == "whole"
    for phone in vanished:
        phone.stop()
        phone.events.clear()
        scene.registered(phone.start())
