"""The form with an index that players take: the same packets at the same moments, whatever span is asked for."""

from __future__ import annotations

import io
import random
import struct

import av
import numpy as np
import pytest

from recording.encoder import Encoder
from recording.playable import Playable
from recording.webm import CLUSTER_MS, NoWebm, Webm
from tests.peers import tones

SECONDS = 23


class Kept(io.BytesIO):
    """A sink that never seeks."""


def recorded(*, lossless: bool = False, rate_hz: int = 8000, seconds: float = SECONDS) -> bytes:
    """By the recorder's own encoder: two sides that take turns."""
    sink = Kept()
    encoder = Encoder(sink, rate_hz=rate_hz, bitrate_bps=48000, lossless=lossless)
    voice = tones.tone(440, seconds, rate=rate_hz)
    turn = (np.arange(len(voice)) // rate_hz) % 2 == 0
    pcm = np.stack([voice * turn, voice * ~turn], axis=1).astype("<i2").tobytes()
    step = rate_hz // 50 * 4
    for at in range(0, len(pcm), step):
        encoder.feed(pcm[at : at + step])
    encoder.close()
    return sink.getvalue()


@pytest.fixture(scope="module")
def ogg() -> bytes:
    return recorded()


def whole(webm: Webm) -> bytes:
    found = bytearray()
    while block := webm.read_at(len(found), 65536):
        found += block
    assert len(found) == webm.size_bytes
    return bytes(found)


def packets(data: bytes) -> list[tuple[bytes, float]]:
    with av.open(io.BytesIO(data)) as container:
        return [(bytes(one), float(one.pts * one.time_base)) for one in container.demux(audio=0) if one.size]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_it_holds_the_same_packets_at_the_same_moments(rate_hz: int) -> None:
    data = recorded(rate_hz=rate_hz)
    made = whole(Webm(Playable(io.BytesIO(data))))
    before, after = packets(data), packets(made)
    assert len(before) == len(after) > SECONDS * 16
    assert all(one == other and abs(at - then) < 0.002 for (one, at), (other, then) in zip(before, after, strict=True))
    with av.open(io.BytesIO(made)) as container:
        assert abs(container.duration / 1e6 - SECONDS) < 0.1
        assert container.streams.audio[0].codec_context.name.endswith("opus")
        assert len(container.streams.audio[0].codec_context.layout.channels) == 2


def test_any_span_is_what_it_is_in_the_whole(ogg: bytes) -> None:
    made, draw = whole(Webm(Playable(io.BytesIO(ogg)))), random.Random(3)  # noqa: S311
    webm = Webm(Playable(io.BytesIO(ogg)))
    for _ in range(300):
        at, size = draw.randrange(len(made) + 10), draw.randrange(1, 20_000)
        found = webm.read_at(at, size)
        assert found == made[at : at + len(found)]
        assert found or at >= len(made)


def test_its_index_leads_to_clusters_of_some_seconds(ogg: bytes) -> None:
    """Each cue names a moment and where its cluster begins; between two there are five seconds at most."""
    made = whole(Webm(Playable(io.BytesIO(ogg))))
    segment = made.index(bytes.fromhex("18538067")) + 12
    moments = []
    at = made.index(bytes.fromhex("1c53bb6b"))
    while (at := made.find(b"\xb3\x88", at + 1)) >= 0 and at < made.index(bytes.fromhex("1f43b675")):
        moment = struct.unpack(">Q", made[at + 2 : at + 10])[0]
        place = segment + struct.unpack(">Q", made[made.index(b"\xf1\x88", at) + 2 :][:8])[0]
        assert made[place : place + 4] == bytes.fromhex("1f43b675")
        assert struct.unpack(">I", made[place + 14 : place + 18])[0] == moment
        moments.append(moment)
    assert moments[0] == 0 and len(moments) >= SECONDS * 1000 // CLUSTER_MS
    assert all(0 < later - one <= CLUSTER_MS for one, later in zip(moments, moments[1:], strict=False))


def test_a_moment_is_found_and_sounds(ogg: bytes) -> None:
    made = whole(Webm(Playable(io.BytesIO(ogg))))
    with av.open(io.BytesIO(made)) as container:
        for second in (17, 4, 12, 1):
            container.seek(int((second + 0.3) * 1e6))
            for frame in container.decode(audio=0):
                if frame.time is not None and frame.time >= second + 0.3:
                    break
            left, right = (float(np.abs(side).max()) for side in frame.to_ndarray())
            assert (left > 0.1 > right) if second % 2 == 0 else (right > 0.1 > left), second


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.999])
def test_of_a_cut_stream_it_holds_the_pages_that_are_whole(ogg: bytes, share: float) -> None:
    cut = ogg[: int(len(ogg) * share)]
    try:
        made = packets(whole(Webm(Playable(io.BytesIO(cut)))))
    except NoWebm:
        assert share == 0.001, "nothing but its head"
        return
    assert made == [
        (one, at) for (one, at), _ in zip(packets(whole(Webm(Playable(io.BytesIO(ogg))))), made, strict=False)
    ]


def test_a_stream_of_another_kind_has_no_such_form() -> None:
    for data in (recorded(lossless=True, seconds=2), b"", b"OggS", bytes(1000), b"RIFF" + bytes(100)):
        with pytest.raises(NoWebm):
            Webm(Playable(io.BytesIO(data)))


def test_bytes_that_somebody_made_end_it_and_nothing_else(ogg: bytes) -> None:
    """Whatever stands in the pages: another form is given out, or what can be read of it."""
    draw = random.Random(5)  # noqa: S311
    for _ in range(200):
        bent = bytearray(ogg[:20_000])
        for _ in range(draw.randrange(1, 6)):
            bent[draw.randrange(len(bent))] = draw.randrange(256)
        try:
            webm = Webm(Playable(io.BytesIO(bytes(bent))))
        except NoWebm:
            continue
        assert len(whole(webm)) == webm.size_bytes
