"""A recording that somebody brings for a prompt: read, measured, and made what is played.

Read by its header with the standard library alone. Nothing in the file is believed: what it says of its length is
compared with what there is, and size and length are looked at before a sample is.
"""

from __future__ import annotations

import io
import math
import struct
import wave
from dataclasses import dataclass, field

import numpy as np

from recording import prompt_audio
from recording.prompt_wav import BROUGHT_MAX_BYTES, RATE_HZ, AudioError

MAX_S, MIN_S = 40.0, 0.4
RATES_HZ = (8000, 16_000, 44_100, 48_000)

_FULL = 32_700  # from here on, of 32 767
_RUN = 3  # as many samples at full scale in a row are clipped, not loud
_FRAME_S = 0.02
_SILENT_DB = 30.0  # below what is spoken, however quiet that is


@dataclass(frozen=True, slots=True)
class Brought:
    """What was brought. Levels in dB under full scale: of what is spoken, and of the loudest sample.

    `voice`: all of it at 8 kHz, as loud as it came. `clipped_ms`: how much of it was too loud for its own recorder.
    `silent_ms`: how much says nothing, pauses included.
    """

    voice: prompt_audio.Samples = field(repr=False)
    rate_hz: int
    channels: int
    duration_ms: int
    level_dbfs: float
    peak_dbfs: float
    clipped_ms: int
    silent_ms: int


def read(content: bytes) -> Brought:
    """A WAV file: PCM, 16 bit, one or two channels (which are averaged), 8, 16, 44.1 or 48 kHz, 0.4 to 40 s.

    Raises AudioError for anything else, and for silence.
    """
    if len(content) > BROUGHT_MAX_BYTES:
        raise AudioError("is larger than %(size)s MB", size=BROUGHT_MAX_BYTES // 1_000_000)
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise AudioError("is no WAV file")
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            channels, width, rate_hz, count = (
                *(file.getnchannels(), file.getsampwidth()),
                *(file.getframerate(), file.getnframes()),
            )
            _check(channels, width, rate_hz, count)
            raw = file.readframes(count)
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError, struct.error) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError("cannot be read: save it as WAV, PCM, 16 bit") from None
    if len(raw) != count * channels * width:
        raise AudioError("is shorter than it says: it was cut off on the way")
    frames = np.frombuffer(raw, "<i2").reshape(-1, channels)
    samples = frames.astype(np.float64).mean(axis=1) / 32768
    voice = prompt_audio.resample(samples, rate_hz)
    level = prompt_audio.active_dbfs(voice - voice.mean())
    return Brought(
        voice,
        rate_hz,
        channels,
        round(count * 1000 / rate_hz),
        round(level, 1),
        round(prompt_audio.peak_dbfs(samples), 1),
        round(_clipped(frames) * 1000 / rate_hz),
        _silent_ms(voice, level),
    )


def _check(channels: int, width: int, rate_hz: int, count: int) -> None:
    """Raises AudioError."""
    if channels not in (1, 2):
        raise AudioError("has %(channels)s channels: one or two can be used", channels=channels)
    if width != 2:
        raise AudioError("has %(bits)s bit: 16 can be used", bits=width * 8)
    if rate_hz not in RATES_HZ:
        raise AudioError("has %(rate)s Hz: 8000, 16000, 44100 or 48000 can be used", rate=rate_hz)
    if not MIN_S <= count / rate_hz <= MAX_S:
        raise AudioError("lasts %(seconds)s s: %(least)s to %(most)s s can be used",
                         seconds=round(count / rate_hz, 1), least=MIN_S, most=int(MAX_S))  # fmt: skip


def made(brought: Brought) -> bytes:
    """The WAV file that is played: trimmed, at the level of the spoken prompts. Raises AudioError."""
    return prompt_audio.for_telephone(brought.voice, RATE_HZ, synthetic=False)


def small(brought: Brought) -> bytes:
    """The same recording as 8 kHz and one channel, its level as it was."""
    return prompt_audio.to_wav(brought.voice)


def levels(content: bytes) -> tuple[float, float]:
    """Of what is played: what is spoken, and the loudest sample. Raises AudioError."""
    samples = prompt_audio.read_prompt_wav(content)
    return round(prompt_audio.active_dbfs(samples), 1), round(prompt_audio.peak_dbfs(samples), 1)


def outline(content: bytes, columns: int = 120) -> list[int]:
    """The loudest sample of each span, 0 to 100, for a picture of what is played. Raises AudioError."""
    samples = np.abs(prompt_audio.read_prompt_wav(content))
    spans = np.array_split(samples, columns) if len(samples) >= columns else [samples]
    return [min(100, math.ceil(float(span.max(initial=0.0)) * 100)) for span in spans]


def _clipped(frames: np.ndarray[tuple[int, int], np.dtype[np.int16]]) -> int:
    """Samples at full scale of which several follow one another."""
    worst = 0
    for channel in frames.T:
        full = np.abs(channel.astype(np.int32)) >= _FULL
        edges = np.flatnonzero(np.diff(np.concatenate(([0], full.astype(np.int8), [0]))))
        runs = edges[1::2] - edges[::2]
        worst = max(worst, int(runs[runs >= _RUN].sum()))
    return worst


def _silent_ms(voice: prompt_audio.Samples, level_dbfs: float) -> int:
    size = int(RATE_HZ * _FRAME_S)
    whole = voice[: len(voice) // size * size].reshape(-1, size)
    quiet = np.square(whole).mean(axis=1) < 10 ** ((level_dbfs - _SILENT_DB) / 10)
    return int(quiet.sum()) * round(_FRAME_S * 1000)
