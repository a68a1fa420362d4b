"""Recordings that somebody brings: what is taken, what is said of it, and what is played."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from recording import prompt_upload
from recording.prompt_upload import levels, made, outline, read
from recording.prompt_wav import AudioError


def voice(seconds: float, rate_hz: int, amplitude: float = 0.2) -> np.ndarray:
    """Something that rises and falls as speech does, with a pause at each end."""
    moments = np.arange(int(seconds * rate_hz)) / rate_hz
    spoken = amplitude * np.sin(2 * np.pi * 300 * moments) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * moments))
    spoken[: rate_hz // 4] = spoken[-rate_hz // 4 :] = 0
    return spoken


def wav(samples: np.ndarray, rate_hz: int, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        whole = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2")
        file.writeframes(np.repeat(whole, channels).tobytes() if width == 2 else bytes(len(whole) * width * channels))
    return out.getvalue()


@pytest.mark.parametrize("rate_hz", prompt_upload.RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("amplitude", [0.01, 0.9])
def test_whatever_is_brought_is_played_at_one_level(rate_hz: int, channels: int, amplitude: float) -> None:
    brought = read(wav(voice(2, rate_hz, amplitude), rate_hz, channels))
    assert (brought.rate_hz, brought.channels, brought.duration_ms) == (rate_hz, channels, 2000)
    played = made(brought)
    level, peak = levels(played)
    assert abs(level - -20) < 0.3 and peak <= -3
    with wave.open(io.BytesIO(played)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert 1.4 < file.getnframes() / 8000 < 1.9, "the pauses at its ends are cut to a breath"
    assert max(outline(played)) > 10 and len(outline(played)) == 120


def test_what_is_wrong_with_its_sound_is_told() -> None:
    fine, loud = read(wav(voice(2, 16_000), 16_000)), read(wav(voice(2, 16_000) * 20, 16_000))
    assert fine.clipped_ms == 0 and loud.clipped_ms > 300 and loud.peak_dbfs > -0.1
    assert 450 <= fine.silent_ms <= 600
    soft = read(wav(voice(2, 16_000, 0.02), 16_000))
    assert soft.level_dbfs < fine.level_dbfs - 15
    assert abs(soft.silent_ms - fine.silent_ms) <= 60, "spoken softly is no silence"


GOOD = wav(voice(1, 8000), 8000)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no WAV"),
        (b"ID3\x03" + bytes(100), "no WAV"),
        (b"RIFF\x24\0\0\0WAVE", "cannot be read"),
        (GOOD[:-1000], "shorter than it says"),
        (GOOD[:40] + struct.pack("<I", 0xFFFFFFF0) + GOOD[44:], "lasts|shorter"),
        (wav(np.zeros(8000), 8000), "no sound"),
        (wav(voice(1, 22_050), 22_050), "22050 Hz"),
        (wav(voice(1, 8000), 8000, width=1), "8 bit"),
        (wav(voice(1, 8000), 8000, width=4), "32 bit"),
        (wav(voice(1, 8000), 8000, channels=6), "6 channels"),
        (wav(voice(0.6, 8000)[:1600], 8000), "lasts 0.2 s"),
        (wav(voice(41, 8000), 8000), "lasts 41.0 s"),
        (GOOD[:20] + struct.pack("<H", 6) + GOOD[22:], "cannot be read"),
        (b"RIFF" + bytes(9_000_000), "larger than 8 MB"),
    ],
)
def test_what_cannot_be_played_is_refused_in_words(content: bytes, why: str) -> None:
    with pytest.raises(AudioError, match=why):
        read(content)


def test_no_byte_that_is_changed_does_more_than_be_refused() -> None:
    for place in range(48):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
            try:
                made(read(changed))
            except AudioError as refused:
                assert str(refused)


def test_it_is_made_small_before_it_is_sent_and_is_as_loud_as_it_was() -> None:
    large = wav(voice(3, 48_000, 0.05), 48_000, 2)
    brought = read(large)
    small = prompt_upload.small(brought)
    assert len(small) < len(large) / 10
    assert abs(read(small).level_dbfs - brought.level_dbfs) < 0.2
