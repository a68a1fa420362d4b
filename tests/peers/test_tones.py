import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.peers import tones


def test_a_tone_dominates_its_windows_and_nothing_else_does():
    heard = np.concatenate([tones.tone(400, 1), tones.silence(0.5), tones.tone(1000, 0.5)])
    found = tones.labels(heard, (400, 1000, 1600))
    assert found.tolist() == [400] * 10 + [tones.SILENCE] * 5 + [1000] * 5


def test_a_mixture_is_unclear():
    both = tones.tone(400, 1) + tones.tone(1000, 1)
    assert set(tones.labels(both, (400, 1000)).tolist()) == {tones.UNCLEAR}


def test_noise_is_no_tone():
    noise = np.random.default_rng(1).integers(-5000, 5000, 8000).astype(np.int16)
    assert tones.tones_in(noise, tones.EXACT_HZ) == set()


def test_alaw_is_what_sox_makes(tmp_path: Path):
    ramp = np.arange(-32768, 32768, 1).astype(np.int16)
    path = tones.write_wav(tmp_path / "ramp.wav", ramp)
    command = ["sox", "-D", path, "-t", "raw", "-e", "a-law", "-"]
    theirs = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, dtype=np.uint8)
    ours = np.frombuffer(tones.alaw_encode(ramp), dtype=np.uint8)
    # sox rounds where G.711's reference truncates: at most one step apart.
    assert np.abs(tones.alaw_decode(theirs.tobytes()).astype(int) - tones.alaw_decode(ours.tobytes())).max() <= 1024
    assert np.array_equal(tones.alaw_encode(tones.alaw_decode(ours.tobytes())), ours.tobytes())


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.1])
def test_drift_is_measured_to_ten_milliseconds(late_s: float):
    left = tones.bursts(400, 40)
    right = np.concatenate([tones.silence(late_s), tones.bursts(1000, 40)])
    found = tones.drift(left[4000:], 400, right[4000:], 1000)
    assert len(found) == 3
    assert all(abs(d - late_s) <= 0.01 for d in found)


@pytest.mark.parametrize("encoded", ["PCM", "A-law", "PCM from A-law"])
def test_a_tone_in_clear_is_found_wherever_it_begins(tmp_path: Path, encoded: str):
    audio = tones.tone(500, 1)[7:]
    data = {"PCM": audio.tobytes(), "A-law": tones.alaw_encode(audio)}
    data["PCM from A-law"] = tones.alaw_decode(tones.alaw_encode(audio)).tobytes()
    (tmp_path / "leak").write_bytes(b"x" * 333 + data[encoded])
    (tmp_path / "clean").write_bytes(bytes(np.random.default_rng(2).integers(0, 256, 100_000, dtype=np.uint8)))
    assert tones.traces(tmp_path, tones.marks(500, 1000)) == {f"500 Hz {encoded}": [tmp_path / "leak"]}
