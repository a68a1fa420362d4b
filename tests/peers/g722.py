"""ITU-T G.722 at 64 kbit/s, by FFmpeg (which is not ours): 16 kHz samples, one byte for two of them."""

from __future__ import annotations

import av
import numpy as np

from tests.peers.tones import Samples

RATE_HZ = 16000
_FRAME = 320  # 20 ms
QUIET = b"\xfa"


def encode(samples: Samples) -> bytes:
    codec = av.CodecContext.create("g722", "w")
    codec.sample_rate, codec.layout, codec.format = RATE_HZ, "mono", "s16"
    codec.open()
    out = bytearray()
    for start in range(0, len(samples) // _FRAME * _FRAME, _FRAME):
        part = np.ascontiguousarray(samples[start : start + _FRAME].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        out += b"".join(bytes(packet) for packet in codec.encode(frame))
    return bytes(out)


def decode(data: bytes) -> Samples:
    codec = av.CodecContext.create("g722", "r")
    codec.sample_rate, codec.layout = RATE_HZ, "mono"
    parts = [
        frame.to_ndarray().reshape(-1)
        for start in range(0, len(data) // 160 * 160, 160)
        for frame in codec.decode(av.Packet(data[start : start + 160]))
    ]
    return np.concatenate(parts).astype(np.int16) if parts else np.zeros(0, dtype=np.int16)
