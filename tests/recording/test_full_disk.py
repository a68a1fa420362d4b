"""A disk that fills up while recording: what is sealed is kept, marked cut, and the daemon hears of it."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recording import vault
from recording.format import state_by_length
from recording.recorder_client import Cut, RecorderClient
from tests.recording.house import RATE_HZ, House, Leg, decoded, strength

LIMIT_BYTES = 100_000


async def small_files(house: House) -> RecorderClient:
    """A recorder that may let no file grow beyond the limit: a full disk that needs no privilege."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    try:
        return await house.recorder(min_free_mb=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k,mode=0700", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting needs root, and the right to mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def cut_by_a_full_disk(house: House, recorder: RecorderClient) -> None:
    begin = house.request(lossless=True)
    legs = Leg(440), Leg(1000)
    wrap = await recorder.begin(begin)
    await recorder.go(begin.rec_id, (legs[0].fd, legs[1].fd))
    for _ in range(100):
        for leg in legs:
            leg.grow(1)
        if house.events:
            break
        await asyncio.sleep(0.1)
    assert house.events == [Cut(begin.rec_id, "disk")]
    sealed = await recorder.stop(begin.rec_id)
    path = house.sealed(begin.rec_id)
    assert not sealed.complete and not house.growing(begin.rec_id).exists()
    assert (sealed.size_bytes, sealed.sha256) == (path.stat().st_size, vault.sha256_of(path))
    assert state_by_length(sealed.size_bytes) == "cut" and sealed.size_bytes > LIMIT_BYTES * 0.8
    left, right = decoded(house.ogg(begin.rec_id, wrap, tolerant=True))
    assert len(left) > 2 * RATE_HZ and strength(left, 440) > 6000 and strength(right, 1000) > 6000
    for leg in legs:
        leg.close()
    await recorder.close()


async def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    house = House(tmp_path / "vault")
    await cut_by_a_full_disk(house, await small_files(house))


async def test_a_disk_without_room(small_disk: Path) -> None:
    house = House(small_disk / "vault")
    await cut_by_a_full_disk(house, await house.recorder(min_free_mb=0))


async def test_the_others_go_on_and_a_cut_one_can_be_destroyed(tmp_path: Path) -> None:
    house = House(tmp_path / "vault")
    recorder = await small_files(house)
    loud, quiet = house.request(lossless=True), house.request()
    legs = [Leg(440), Leg(1000), Leg(440), Leg(1000)]
    for begin, (left, right) in ((loud, legs[:2]), (quiet, legs[2:])):
        await recorder.begin(begin)
        await recorder.go(begin.rec_id, (left.fd, right.fd))
    for leg in legs[:2]:
        leg.write(os.urandom(120_000))
    for leg in legs[2:]:
        leg.grow(2)
    for _ in range(100):
        if house.events:
            break
        await asyncio.sleep(0.05)
    assert house.events == [Cut(loud.rec_id, "disk")]
    await recorder.destroy(loud.rec_id)
    assert not house.sealed(loud.rec_id).exists() and not house.growing(loud.rec_id).exists()
    assert (await recorder.stop(quiet.rec_id)).complete
    for leg in legs:
        leg.close()
    await recorder.close()
