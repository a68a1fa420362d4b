"""Music for whoever waits: a quiet melody that we make ourselves, so that nobody's rights are touched.

Twelve bars over four chords, plucked by additive synthesis, 30 s, that go over into themselves: what rings on at the
end is folded back to the beginning. Everything stays between 200 Hz and 3.4 kHz, which a telephone carries; the level
is some way below that of the prompts. Sixteen kHz, one channel, 16 bit; an engine at 8 kHz resamples it.
"""

from __future__ import annotations

import io
import wave

import numpy as np

from recording.prompt_audio import PEAK_DBFS, TARGET_DBFS, Samples

RATE_HZ = 16000
DURATION_S = 30.0
LEVEL_DBFS = TARGET_DBFS - 6.0  # RMS over the whole: below a voice, since it plays for minutes

_BARS = 12
_BEATS = 4
_BEAT_S = DURATION_S / (_BARS * _BEATS)
# Semitones from A (220 Hz). C, A minor, F, G in the middle of the keyboard, and a melody of chord notes over them.
_CHORDS = ((3, 7, 10), (0, 3, 7), (-4, 0, 3), (-2, 2, 5))
_MELODY = (
    *(15, 12, 10, 12), *(12, 10, 7, 10), *(8, 12, 10, 8), *(10, 7, 5, 7),
    *(15, 19, 17, 15), *(12, 15, 12, 10), *(12, 8, 12, 15), *(14, 10, 14, 17),
    *(19, 15, 17, 19), *(15, 12, 10, 12), *(8, 12, 15, 12), *(10, 14, 12, 10),
)  # fmt: skip
_PARTIALS = (1.0, 0.5, 0.22, 0.1, 0.04)
_TOP_HZ = 3300.0
_CHORD_GAIN, _MELODY_GAIN = 0.35, 1.0
_DECAY_S, _ATTACK_S = 0.9, 0.012


def make() -> Samples:
    """One loop, full scale -1 to 1: its end goes over into its beginning."""
    length = round(DURATION_S * RATE_HZ)
    loop = np.zeros(length)
    for beat, semitone in enumerate(_MELODY):
        _add(loop, beat * _BEAT_S, semitone, 2 * _BEAT_S, _MELODY_GAIN)
    for bar in range(_BARS):
        for voice, semitone in enumerate(_CHORDS[bar % len(_CHORDS)]):
            for half in (0, 2):
                at_s = (bar * _BEATS + half) * _BEAT_S + voice * 0.03
                _add(loop, at_s, semitone, 4 * _BEAT_S, _CHORD_GAIN)
    loop -= loop.mean()
    loop *= 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.square(loop).mean())
    ceiling = 10 ** (PEAK_DBFS / 20)
    return np.asarray(np.tanh(loop / ceiling) * ceiling)  # no peak comes near: it only makes sure


def _add(loop: Samples, at_s: float, semitone: int, lasts_s: float, gain: float) -> None:
    """Pluck one note into the loop; what reaches over the end rings at the beginning."""
    note = _note(220.0 * 2 ** (semitone / 12), lasts_s) * gain
    places = (round(at_s * RATE_HZ) + np.arange(len(note))) % len(loop)
    np.add.at(loop, places, note)


def _note(pitch_hz: float, lasts_s: float) -> Samples:
    times_s = np.arange(round(lasts_s * RATE_HZ)) / RATE_HZ
    tone = np.zeros(len(times_s))
    for number, strength in enumerate(_PARTIALS, 1):
        if pitch_hz * number < _TOP_HZ:
            tone += strength * np.exp(-times_s * number / _DECAY_S) * np.sin(2 * np.pi * pitch_hz * number * times_s)
    attack = np.minimum(1.0, times_s / _ATTACK_S)
    release = np.minimum(1.0, (lasts_s - times_s) / 0.15)
    return np.asarray(tone * attack * np.clip(release, 0.0, 1.0))


def to_wav(samples: Samples) -> bytes:
    """16 kHz, mono, 16 bit."""
    out = io.BytesIO()
    with wave.open(out, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE_HZ)
        written.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return out.getvalue()
