"""The recorder dies or hangs, the disk is full: what is recorded then, and what becomes of the call."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ, PROMPT_S
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]

MAY = {"pack": "REC_QUALITY", "consent": "opt-in"}
MUST = {"pack": "REC_MIFID", "statute": "L533-10 CMF"}
"""A statute that allows no unrecorded word."""


@dataclass
class Desk:
    """An instance with a caller, somebody who is called, and two lines: one may record, one must."""

    product: Product
    caller: Phone
    callee: Phone
    reader: scene.Reader

    @contextmanager
    def call(self, line: str) -> Iterator[Call]:
        """Dials "may" or "must" and consents; at the end both phones have hung up."""
        call = Call(
            self,
            len(self.caller.events),
            len(self.callee.events),
            len(self.caller.recordings()),
            scene.rec_ids(self.product),
            self.product.metric("beffroi_calls_recorded_total"),
        )
        self.caller.dial({"may": "301", "must": "302"}[line])
        call.caller("CALL_ESTABLISHED")
        time.sleep(PROMPT_S / 2)
        if line == "may":
            self.caller.press("1")
        yield call
        call.end()


@dataclass
class Call:
    desk: Desk
    caller_from: int
    callee_from: int
    heard: int
    known: set[str]
    recorded: float

    def caller(self, kind: str, timeout: float = 15) -> dict[str, Any]:
        return self.desk.caller.wait(kind, since=self.caller_from, timeout=timeout)

    def callee(self, kind: str, timeout: float = 15) -> dict[str, Any]:
        return self.desk.callee.wait(kind, since=self.callee_from, timeout=timeout)

    def connected(self) -> None:
        """The staff announcement, if any, has been heard."""
        self.callee("CALL_ESTABLISHED")
        time.sleep(PROMPT_S + 0.5)

    def recording_began(self) -> None:
        scene.until(lambda: self.desk.product.metric("beffroi_calls_recorded_total") > self.recorded, "a recording")

    def over(self) -> bool:
        return any(e["type"] == "CALL_CLOSED" for e in self.desk.caller.events[self.caller_from :])

    def end(self) -> None:
        if not self.over():
            self.desk.caller.hang_up()
        self.caller("CALL_CLOSED")
        if any(e["type"] == "CALL_ESTABLISHED" for e in self.desk.callee.events[self.callee_from :]):
            self.callee("CALL_CLOSED")
        scene.until(lambda: not scene.live_calls(self.desk.product), "the call is over", 15, every_s=0.3)

    def story(self) -> list[str]:
        time.sleep(0.2)  # the phone closes its file
        files = self.desk.caller.recordings()[self.heard :]
        told = [name for path in files for name in scene.story(tones.read_wav(path)[0][:, 0])]
        return [name for name in told if name != "ringback"]

    def record(self) -> dict[str, Any]:
        """What the call record says: cause and recording."""
        return dict(self.desk.product.json("calls", "list", "--limit", "1")[0]["fields"])

    def new_recordings(self) -> list[dict[str, Any]]:
        return [one for one in scene.recordings(self.desk.product) if one["id"] not in self.known]

    def judged(self) -> dict[str, Any]:
        """The one recording of this call, once it runs no more: what is owed to the database is tried again."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.new_recordings() if one["state"] != "recording"]

        [recording] = scene.until(found, "the recording is judged", 15, every_s=0.5)
        return recording


def open_desk(product: Product) -> Iterator[Desk]:
    scene.speak_in_tones(product)
    with product:
        product.cli("person", "grant", "reader", "REC_MIFID")
        product.add_account("guest", "311", language="fr")
        product.add_account("staff", "312", language="fr")
        product.add_line("may", "301", members=["staff"], class_="standard", **MAY)
        product.add_line("must", "302", members=["staff"], class_="standard", **MUST)
        caller = product.phone("guest", "guest", "udp", says=tones.tone(CALLER_HZ, 60))
        callee = product.phone("staff", "staff", "tls", says=tones.tone(CALLEE_HZ, 60), answer="auto")
        with caller, callee:
            scene.registered(caller, callee)
            yield Desk(product, caller, callee, scene.first_reader(product))


@pytest.fixture(scope="module")
def desk(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from open_desk(Product(tmp_path_factory.mktemp("trouble") / "product", *product_seed))


# --- the recorder -----------------------------------------------------------------------------------------------------


@contextmanager
def no_recorder(product: Product) -> Iterator[None]:
    """Every recorder is killed as soon as it is there."""
    ended = threading.Event()

    def hunt() -> None:
        while not ended.wait(0.05):
            for pid in scene.recorder_pids(product):
                os.kill(pid, signal.SIGKILL)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    scene.until(lambda: product.health()[0] != 200, "the daemon knows that there is no recorder")
    try:
        yield
    finally:
        ended.set()
        hunter.join()
        scene.until(lambda: product.health()[0] == 200, "there is a recorder again")


@contextmanager
def frozen_recorder(product: Product) -> Iterator[None]:
    [pid] = scene.recorder_pids(product)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # ended, because it did not answer
            os.kill(pid, signal.SIGCONT)


def check_a_call_is_recorded(desk: Desk, place: Path) -> None:
    """Whatever was wrong is over."""
    with desk.call("may") as call:
        call.recording_began()
        scene.talk(1)
    [recording] = call.new_recordings()
    assert recording["state"] == "whole"
    channels = scene.by_escrow(desk.product, recording["id"], place)
    assert scene.heard_in(channels[:, 0]) == {"caller"} and scene.heard_in(channels[:, 1]) == {"callee"}
    scene.assert_in_order(desk.product)


@pytest.mark.promise("2.3", "L1")
def test_without_a_recorder_a_call_goes_on_unrecorded(desk: Desk, tmp_path: Path):
    with no_recorder(desk.product):
        with desk.call("may") as call:
            call.connected()
            scene.talk(1)
            assert not call.over()
        assert call.story() == ["optin", "callee"]
        assert call.record()["recording"] == "failed"
        assert call.new_recordings() == []
    check_a_call_is_recorded(desk, tmp_path)


@pytest.mark.promise("2.6")
def test_without_a_recorder_a_call_that_must_be_recorded_ends(desk: Desk, tmp_path: Path):
    with no_recorder(desk.product):
        with desk.call("must") as call:
            call.caller("CALL_CLOSED")
        assert call.story() == ["mifid", "must_end"]
        assert call.record()["cause"] == "recording-failed"
        assert call.new_recordings() == []
    scene.assert_in_order(desk.product)


@pytest.mark.promise("L9", "2.11")
def test_a_recorder_that_dies_in_a_call_leaves_what_it_had_sealed(desk: Desk, tmp_path: Path):
    with desk.call("may") as call:
        call.recording_began()
        scene.talk(9)
        with no_recorder(desk.product):
            scene.talk(1)
            assert not call.over()
    assert call.record()["recording"] == "cut"
    [recording] = call.new_recordings()
    assert recording["state"] == "cut"
    channels = desk.reader.export(desk.product, recording["id"], tmp_path)
    assert 4 < len(channels) / 8000 < 10
    assert scene.heard_in(channels[:, 0]) == {"caller"} and scene.heard_in(channels[:, 1]) == {"callee"}
    check_a_call_is_recorded(desk, tmp_path)


@pytest.mark.promise("2.6", "L9")
def test_a_recorder_that_dies_ends_a_call_that_must_be_recorded(desk: Desk, tmp_path: Path):
    with desk.call("must") as call:
        call.recording_began()
        scene.talk(4)
        for pid in scene.recorder_pids(desk.product):
            os.kill(pid, signal.SIGKILL)
        call.caller("CALL_CLOSED", timeout=5)
    assert call.story()[-1] == "must_end"
    assert call.record()["cause"] == "recording-failed"
    scene.until(lambda: desk.product.health()[0] == 200, "there is a recorder again")
    recording = call.judged()
    assert recording["state"] == "cut"
    channels = scene.by_escrow(desk.product, recording["id"], tmp_path, cut=True)
    assert scene.heard_in(channels[:, 0]) == {"caller"}
    scene.assert_in_order(desk.product)


@pytest.mark.promise("2.3")
def test_a_recorder_that_hangs_holds_up_nobody(desk: Desk, tmp_path: Path):
    with frozen_recorder(desk.product), desk.call("must") as strict:
        strict.caller("CALL_CLOSED", timeout=8)
        assert strict.story() == ["mifid", "must_end"]
        with desk.call("may") as call:
            call.connected()
            scene.talk(1)
            assert not call.over()
        assert call.story() == ["optin", "callee"]
    scene.until(
        lambda: not [r for r in scene.recordings(desk.product) if r["state"] == "recording"],
        "no recording runs",
        every_s=0.5,
    )
    check_a_call_is_recorded(desk, tmp_path)


@pytest.mark.promise("2.3")
def test_a_recorder_that_hangs_in_a_call_holds_up_nobody(desk: Desk, tmp_path: Path):
    with desk.call("may") as call:
        call.recording_began()
        scene.talk(2)
        with frozen_recorder(desk.product):
            scene.talk(1)
            call.end()
    assert call.judged()["state"] in ("whole", "cut")
    check_a_call_is_recorded(desk, tmp_path)


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_desk(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An instance whose whole data directory is on a small disk of its own."""
    product = Product(tmp_path_factory.mktemp("small") / "product", *product_seed)
    original = product.data.rename(product.directory / "original")
    product.data.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs", str(product.data)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        product.abandon()
        pytest.skip(f"mounting a small disk needs root, and the right to mount: {done.stderr.strip()}")
    try:
        shutil.copytree(original, product.data, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(original)
        product.configure(recording__min_free_mb=10)
        yield from open_desk(product)
    finally:
        subprocess.run(["umount", "--lazy", str(product.data)], check=True)


@contextmanager
def disk_full(product: Product, *, left_mb: int = 0) -> Iterator[None]:
    """Not a byte more fits on it (or so many megabytes)."""
    filler = product.data / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while shutil.disk_usage(product.data).free > left_mb << 20:
                file.write(bytes(1 << 12))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.promise("2.3", "L10")
def test_a_disk_without_room_begins_no_recording(small_desk: Desk, tmp_path: Path):
    with disk_full(small_desk.product, left_mb=5):
        with small_desk.call("may") as call:
            call.connected()
            assert not call.over()
        assert call.story() == ["optin", "callee"]
        assert call.record()["recording"] == "failed"
        assert call.new_recordings() == []
        with small_desk.call("must") as strict:
            strict.caller("CALL_CLOSED")
        assert strict.story() == ["mifid", "must_end"]
    check_a_call_is_recorded(small_desk, tmp_path)


@pytest.mark.promise("L9", "2.11", "L10")
def test_a_disk_that_fills_up_cuts_the_recording_and_not_the_call(small_desk: Desk, tmp_path: Path):
    with small_desk.call("may") as call:
        call.recording_began()
        scene.talk(6)
        with disk_full(small_desk.product):
            scene.until(
                lambda: small_desk.product.metric("beffroi_calls_recording_failed_total") > 0, "it is noticed", 15
            )
            assert not call.over()
            scene.talk(1)
            assert not call.over()
    assert call.story() == ["optin", "callee"]
    recording = call.judged()
    assert recording["state"] == "cut"
    channels = scene.by_escrow(small_desk.product, recording["id"], tmp_path, cut=True)
    assert scene.heard_in(channels[:, 0]) == {"caller"} and scene.heard_in(channels[:, 1]) == {"callee"}
    check_a_call_is_recorded(small_desk, tmp_path)


@pytest.mark.promise("L1", "2.3")
def test_what_cannot_be_written_down_is_not_recorded_and_the_call_goes_on(small_desk: Desk, tmp_path: Path):
    """Not even the evidence finds room: no evidence, no recording."""
    with disk_full(small_desk.product):
        with small_desk.call("may") as call:
            call.connected()
            scene.talk(1)
            assert not call.over()
        assert call.story() == ["optin", "callee"]
    assert call.new_recordings() == []
    check_a_call_is_recorded(small_desk, tmp_path)


@pytest.mark.promise("2.3", "L1", "L3")
def test_an_objection_on_a_full_disk_still_stops_the_recording(small_desk: Desk, tmp_path: Path):
    with small_desk.call("may") as call:
        call.recording_began()
        scene.talk(3)
        with disk_full(small_desk.product):
            small_desk.caller.press("2")
            scene.talk(2)
            assert not call.over()
    assert call.story() == ["optin", "callee", "stopped", "callee"] or call.story() == ["optin", "callee"]
    recording = call.judged()
    assert recording["state"] in ("destroyed", "failed")
    assert list(small_desk.product.data.rglob(f"{recording['id']}*")) == []
    check_a_call_is_recorded(small_desk, tmp_path)
