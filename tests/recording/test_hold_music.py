"""Hold music: ours, quiet, as long as it says, and without a click where it begins again."""

from __future__ import annotations

import io
import math
import wave
from pathlib import Path

import numpy as np
import pytest

from recording import hold_melody, hold_music
from recording.prompt_audio import PEAK_DBFS


@pytest.fixture(scope="module")
def loop() -> hold_melody.Samples:
    return hold_melody.make()


def dbfs(samples: hold_melody.Samples) -> float:
    return 10 * math.log10(float(np.square(samples).mean()) + 1e-12)


@pytest.mark.promise("P4")
def test_length_level_and_peak(loop: hold_melody.Samples) -> None:
    assert len(loop) == 30 * 16000
    assert abs(dbfs(loop) - hold_melody.LEVEL_DBFS) < 1.0
    assert 20 * math.log10(np.abs(loop).max()) < PEAK_DBFS
    assert abs(loop.mean()) < 1e-3


def test_it_never_falls_silent_and_never_shouts(loop: hold_melody.Samples) -> None:
    seconds = [dbfs(second) for second in loop.reshape(30, -1)]
    assert min(seconds) > hold_melody.LEVEL_DBFS - 9 and max(seconds) < hold_melody.LEVEL_DBFS + 6


def test_it_goes_over_into_itself_without_a_click(loop: hold_melody.Samples) -> None:
    steps = np.abs(np.diff(np.concatenate((loop, loop))))
    seam = steps[len(loop) - 32 : len(loop) + 32].max()
    assert seam <= np.percentile(steps, 99.9)
    around = np.concatenate((loop[-1600:], loop[:1600]))
    assert abs(dbfs(around) - dbfs(loop)) < 9  # neither a hole nor a bang


def test_a_telephone_carries_all_of_it(loop: hold_melody.Samples) -> None:
    power = np.square(np.abs(np.fft.rfft(loop)))
    pitch_hz = np.fft.rfftfreq(len(loop), 1 / 16000)
    within = power[(pitch_hz > 150) & (pitch_hz < 3400)].sum()
    assert within / power.sum() > 0.98


def test_it_is_a_melody_and_no_tone(loop: hold_melody.Samples) -> None:
    peaks = set()
    for beat in loop[: 16 * 10_000].reshape(16, 10_000):
        spectrum = np.abs(np.fft.rfft(beat * np.hanning(len(beat))))
        peaks.add(round(float(np.argmax(spectrum)) * 16000 / 10_000 / 20))
    assert len(peaks) >= 4


def test_the_file_is_made_once(tmp_path: Path) -> None:
    path = hold_music.ensure(tmp_path)
    made = path.stat()
    assert made.st_mode & 0o777 == 0o600
    with wave.open(io.BytesIO(path.read_bytes())) as read:
        assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (16000, 1, 2)
        assert read.getnframes() == 480_000
    assert hold_music.ensure(tmp_path).stat().st_mtime_ns == made.st_mtime_ns
    assert [each.name for each in tmp_path.iterdir()] == [hold_music.NAME]
