"""Tones to send, and the judgement of what was heard. Samples are 16-bit mono numpy arrays; times are in seconds.

Tones whose period is a whole number of samples at 8 kHz (400, 500, 800, 1000, 1600 Hz) repeat byte for byte, so their
marks can be looked for in any file: see `marks`.
"""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]

SILENCE = 0
"""What `labels` says of a window without sound."""
UNCLEAR = -1
"""What `labels` says of a window with sound that no single tone dominates (speech, a mixture, noise)."""

EXACT_HZ = (400, 500, 800, 1000, 1600)
"""Tones with a whole number of samples a period at 8 kHz."""


def tone(hz: float, seconds: float, *, rate: int = 8000, amplitude: int = 9000) -> Samples:
    """A sine, starting at phase 0."""
    t = np.arange(round(seconds * rate))
    return np.asarray(np.round(amplitude * np.sin(2 * np.pi * hz * t / rate)), dtype=np.int16)


def silence(seconds: float, *, rate: int = 8000) -> Samples:
    return np.zeros(round(seconds * rate), dtype=np.int16)


def bursts(hz: float, seconds: float, *, every: float = 10.0, length: float = 1.0, rate: int = 8000) -> Samples:
    """Silence with a tone of `length` at the start of each `every`: what alignment is measured by."""
    one = np.concatenate([tone(hz, length, rate=rate), silence(every - length, rate=rate)])
    return np.tile(one, int(np.ceil(seconds / every)))[: round(seconds * rate)]


def write_wav(path: Path, samples: Samples, *, rate: int = 8000) -> Path:
    """Mono, or several channels if `samples` has two dimensions (frame, channel)."""
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> tuple[Samples, int]:
    """(frames by channels, sample rate). The samples are all there even if a killed writer's header says 0 frames."""
    raw = path.read_bytes()
    if raw[:4] != b"RIFF":
        raise ValueError(f"{path} is no WAV file")
    channels, rate = int.from_bytes(raw[22:24], "little"), int.from_bytes(raw[24:28], "little")
    begin = raw.find(b"data") + 8
    data = raw[begin : begin + (len(raw) - begin) // (2 * channels) * 2 * channels]
    return np.frombuffer(data, dtype="<i2").reshape(-1, channels).astype(np.int16), rate


def decode(path: Path, *, rate: int = 8000) -> Samples:
    """Any audio file, by sox (which is not ours): frames by channels at `rate`."""
    info = subprocess.run(["soxi", "-c", path], capture_output=True, text=True, check=True)
    channels = int(info.stdout)
    raw = subprocess.run(
        ["sox", path, "-t", "raw", "-e", "signed", "-b", "16", "-r", str(rate), "-"], capture_output=True, check=True
    ).stdout
    return np.frombuffer(raw, dtype="<i2").reshape(-1, channels).astype(np.int16)


def labels(
    samples: Samples, hz: tuple[int, ...], *, rate: int = 8000, window: float = 0.1, share: float = 0.6, floor: int = 80
) -> NDArray[np.int64]:
    """For each window the tone that carries more than `share` of its energy, or SILENCE, or UNCLEAR."""
    n = round(window * rate)
    frames = samples[: len(samples) // n * n].astype(np.float64).reshape(-1, n)
    energy = (frames**2).sum(axis=1)
    out = np.full(len(frames), UNCLEAR, dtype=np.int64)
    for f in hz:
        turn = np.exp(-2j * np.pi * f * np.arange(n) / rate)
        power = np.abs(frames @ turn) ** 2 * 2 / n
        out[power > share * np.maximum(energy, 1)] = f
    out[energy < n * floor**2] = SILENCE
    return out


def shares(samples: Samples, hz: tuple[int, ...], *, rate: int = 8000, skip: float = 0.0) -> dict[int, float]:
    """The share of windows of each tone, of SILENCE and of UNCLEAR, after the first `skip` seconds."""
    found = labels(samples[round(skip * rate) :], hz, rate=rate)
    return {kind: float(np.mean(found == kind)) if len(found) else 0.0 for kind in (*hz, SILENCE, UNCLEAR)}


def tones_in(samples: Samples, hz: tuple[int, ...], *, rate: int = 8000) -> set[int]:
    """Every tone of `hz` that dominates at least one window."""
    return set(labels(samples, hz, rate=rate).tolist()) & set(hz)


def onsets(samples: Samples, hz: int, *, rate: int = 8000, step: float = 0.005) -> list[float]:
    """Times at which `hz` begins after at least 0.2 s without it, to within one `step`."""
    n = round(0.02 * rate)
    hop = round(step * rate)
    if len(samples) < n:
        return []
    x = samples.astype(np.float64) * np.exp(-2j * np.pi * hz * np.arange(len(samples)) / rate)
    total = np.concatenate([[0], np.cumsum(x)])
    level = np.abs(total[n::hop] - total[:-n:hop]) * 2 / n
    if level.max() < 200:
        return []
    on = level > level.max() / 2
    quiet = round(0.2 / step)
    # The window is half filled at the onset: that is its middle.
    return [
        (i * hop + n / 2) / rate for i in np.flatnonzero(on[1:] & ~on[:-1]) + 1 if not on[max(0, i - quiet) : i].any()
    ]


def drift(left: Samples, left_hz: int, right: Samples, right_hz: int, *, rate: int = 8000) -> list[float]:
    """How far the bursts of `right` lie behind those of `left`, pair by pair. Empty if either has none."""
    a, b = onsets(left, left_hz, rate=rate), onsets(right, right_hz, rate=rate)
    return [min(b, key=lambda t: abs(t - start)) - start for start in a] if b else []


# --- G.711 A-law, and marks that audio leaves behind ------------------------------------------------------------------


def alaw_encode(samples: Samples) -> bytes:
    """ITU-T G.711 A-law, one byte a sample, even bits inverted."""
    x = samples.astype(np.int32) >> 3
    sign = np.where(x >= 0, 0x80, 0)
    magnitude = np.minimum(np.where(x >= 0, x, -x - 1), 4095)
    exponent = np.zeros_like(magnitude)
    for bit in range(5, 12):
        exponent = np.where(magnitude >= (1 << bit), bit - 4, exponent)
    mantissa = np.where(exponent == 0, magnitude >> 1, magnitude >> np.maximum(exponent, 1)) & 0x0F
    return ((sign | (exponent << 4) | mantissa) ^ 0x55).astype(np.uint8).tobytes()


def alaw_decode(data: bytes) -> Samples:
    byte = np.frombuffer(data, dtype=np.uint8).astype(np.int32) ^ 0x55
    exponent, mantissa = (byte >> 4) & 7, byte & 0x0F
    magnitude = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(byte & 0x80, magnitude, -magnitude).astype(np.int16)


def marks(*hz: int, amplitude: int = 9000) -> dict[str, bytes]:
    """Byte strings that a file holding these tones in clear must contain: PCM as sent, A-law, PCM as heard, containers.

    Holds for EXACT_HZ tones at 8 kHz, wherever in the tone the file begins; three periods and at least 24 samples.
    """
    found = {"Ogg": b"OggS", "Opus": b"OpusHead", "WAV": b"WAVEfmt ", "FLAC": b"fLaC\x00\x00\x00\x22"}
    for f in hz:
        if 8000 % f:
            raise ValueError(f"{f} Hz does not repeat byte for byte at 8 kHz")
        period = 8000 // f
        part = tone(f, max(3 * period, 24) / 8000, amplitude=amplitude)
        found[f"{f} Hz PCM"] = part.astype("<i2").tobytes()
        found[f"{f} Hz A-law"] = alaw_encode(part)
        found[f"{f} Hz PCM from A-law"] = alaw_decode(alaw_encode(part)).astype("<i2").tobytes()
    return found


def traces(root: Path, wanted: dict[str, bytes], *, but: tuple[Path, ...] = ()) -> dict[str, list[Path]]:
    """Which of the `wanted` byte strings lie in which files below `root` (sockets and the files of `but` left out)."""
    out: dict[str, list[Path]] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not any(p.is_relative_to(b) for b in but)):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # a temporary file that went away while we looked
            continue
        for name, mark in wanted.items():
            if mark in data:
                out.setdefault(name, []).append(path)
    return out
