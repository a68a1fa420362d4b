"""A real recorder process, fed by captures in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from recording import vault
from recording.keys import DEK_WRAP_BYTES
from recording.recorder_client import RecorderClient
from tests.recording.house import House, Leg, decoded, strength


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "vault")


@pytest.fixture
async def recorder(house: House) -> AsyncIterator[RecorderClient]:
    client = await house.recorder()
    yield client
    await client.close()


@pytest.fixture
def legs() -> Iterator[tuple[Leg, Leg]]:
    both = Leg(440), Leg(1000)
    yield both
    for leg in both:
        leg.close()


@pytest.mark.promise("0.1", "L9")
async def test_two_legs_become_two_channels(house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]) -> None:
    begin = house.request()
    wrap = await recorder.begin(begin)
    assert len(wrap) == DEK_WRAP_BYTES
    assert not list(house.vault_dir.rglob("*.*")), "nothing is written before the wrap is safe"
    await recorder.go(begin.rec_id, (legs[0].fd, legs[1].fd))
    for leg in legs:
        leg.grow(4)
    sealed = await recorder.stop(begin.rec_id)
    assert (sealed.complete, sealed.duration_ms) == (True, 4000)
    path = house.sealed(begin.rec_id)
    assert path.stat().st_size == sealed.size_bytes and vault.sha256_of(path) == sealed.sha256
    left, right = decoded(house.ogg(begin.rec_id, wrap))
    assert strength(left, 440) > 6000 and strength(left, 1000) < 80
    assert strength(right, 1000) > 6000 and strength(right, 440) < 80
