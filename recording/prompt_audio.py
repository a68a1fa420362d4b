"""Makes any voice fit for the telephone: one channel, 8 kHz, 16 bit, even level, no dead time at the ends."""

from __future__ import annotations

import io
import math
import wave

import numpy as np
import numpy.typing as npt

from recording.prompt_wav import RATE_HZ, AudioError, frames

Samples = npt.NDArray[np.float64]  # full scale is -1.0 to 1.0

TARGET_DBFS = -20.0  # RMS over the frames that hold speech
PEAK_DBFS = -3.0

_PASS_HZ, _STOP_HZ, _STOP_DB = 3600.0, 4000.0, 70.0
_FRAME_S = 0.02
_ACTIVE_DB = 30.0  # below the loudest frames: no speech any more
_HEAD_S, _TAIL_S = 0.06, 0.14
_LIMIT_S = 0.005


def resample(samples: Samples, rate_hz: int) -> Samples:
    """To 8 kHz, everything above 4 kHz at least 60 dB down (windowed sinc, Kaiser).

    Raises AudioError for less than 8 kHz, which would not be clearer for it, or more than 192 kHz.
    """
    if not RATE_HZ <= rate_hz <= 192_000:
        raise AudioError(f"{rate_hz} Hz: give 8000 to 192000 Hz")
    if rate_hz == RATE_HZ or len(samples) == 0:
        return samples
    beta = 0.1102 * (_STOP_DB - 8.7)
    half = math.ceil((_STOP_DB - 7.95) / (2.285 * 2 * math.pi * (_STOP_HZ - _PASS_HZ) / rate_hz) / 2)
    cut = (_PASS_HZ + _STOP_HZ) / rate_hz  # as a fraction of the Nyquist frequency
    common = math.gcd(rate_hz, RATE_HZ)
    ahead, phases = rate_hz // common, RATE_HZ // common  # output k lies at input k * ahead / phases
    padded = np.concatenate((np.zeros(half - 1), samples, np.zeros(half + ahead + 1)))
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    count = max(1, len(samples) * RATE_HZ // rate_hz)
    out = np.empty(count)
    for phase in range(min(phases, count)):  # outputs of one phase share their taps
        first, part = divmod(phase * ahead, phases)
        away = np.arange(-half + 1, half + 1) - part / phases
        window = np.i0(beta * np.sqrt(np.clip(1 - (away / half) ** 2, 0, 1))) / np.i0(beta)
        taps = cut * np.sinc(cut * away) * window
        wanted = len(range(phase, count, phases))
        out[phase::phases] = near[first::ahead][:wanted] @ taps
    return out


# The engine's voices hold up to 80 % of their energy under 300 Hz, which telephones do not carry, and little above
# 1 kHz, where words are told apart. Gains that bring them near the long-term spectrum of natural speech (Byrne et al.
# 1994) as a telephone sends it.
_SHAPE_HZ = (0.0, 100.0, 200.0, 300.0, 450.0, 1200.0, 3600.0, 4000.0)
_SHAPE_DB = (-40.0, -18.0, -7.0, -1.5, 0.0, 9.0, 9.0, -20.0)
_SHAPE_TAPS = 255


def shape(samples: Samples) -> Samples:
    """Make a synthetic voice (8 kHz) clear on the telephone: less below 300 Hz, more above 450. Keeps time."""
    grid = np.linspace(0, RATE_HZ / 2, 1025)
    gains = 10 ** (np.interp(grid, _SHAPE_HZ, _SHAPE_DB) / 20)
    ideal = np.roll(np.fft.irfft(gains), _SHAPE_TAPS // 2)[:_SHAPE_TAPS]
    shaped: Samples = np.convolve(samples, ideal * np.hanning(_SHAPE_TAPS + 2)[1:-1], mode="full")
    return shaped[_SHAPE_TAPS // 2 : _SHAPE_TAPS // 2 + len(samples)]


def _frame_levels(samples: Samples) -> Samples:
    """Mean square of each frame of 20 ms."""
    size = int(RATE_HZ * _FRAME_S)
    padded = np.concatenate((samples, np.zeros(-len(samples) % size)))
    levels: Samples = np.square(padded).reshape(-1, size).mean(axis=1)
    return levels


def _active(samples: Samples) -> npt.NDArray[np.bool_]:
    """Frames that hold speech. Raises AudioError where none does."""
    levels = _frame_levels(samples)
    loud = float(np.percentile(levels, 95)) if len(levels) else 0.0
    loud = max(loud, float(levels.max(initial=0.0)) / 10)
    if loud < 10 ** (-60 / 10):
        raise AudioError("holds no sound above -60 dBFS")
    return np.asarray(levels > loud * 10 ** (-_ACTIVE_DB / 10))


def trim(samples: Samples) -> Samples:
    """Cut the dead time at both ends down to a breath. Raises AudioError where all is silence."""
    active = np.flatnonzero(_active(samples))
    size = int(RATE_HZ * _FRAME_S)
    first = max(0, int(active[0]) * size - int(RATE_HZ * _HEAD_S))
    last = min(len(samples), (int(active[-1]) + 1) * size + int(RATE_HZ * _TAIL_S))
    return samples[first:last]


def normalise(samples: Samples) -> Samples:
    """Bring the speech to TARGET_DBFS; a limiter holds single peaks under PEAK_DBFS. Raises AudioError."""
    samples = samples - samples.mean()
    for _ in range(3):  # what the limiter takes is given back
        gained = samples * 10 ** ((TARGET_DBFS - active_dbfs(samples)) / 20)
        samples = _limit(gained)
        if abs(active_dbfs(samples) - TARGET_DBFS) < 0.1:
            break
    return samples


def _limit(samples: Samples) -> Samples:
    """Turn down around peaks, smoothly: the gain falls before the peak and rises after it."""
    ceiling = 10 ** ((PEAK_DBFS - 0.1) / 20)
    if np.abs(samples).max(initial=0.0) <= ceiling:
        return samples
    reach = int(RATE_HZ * _LIMIT_S)
    gain = ceiling / np.maximum(np.abs(samples), ceiling)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(gain, 2 * reach, mode="edge"), 2 * reach + 1)
    bell = np.hanning(2 * reach + 3)[1:-1]
    # The least gain within reach, then a weighted mean over the same reach: never above what a peak needs.
    smooth = np.convolve(windows.min(axis=1), bell / bell.sum(), mode="valid")
    return np.asarray(samples * smooth)


def active_dbfs(samples: Samples) -> float:
    """RMS level over the frames that hold speech, in dB under full scale. Raises AudioError for silence."""
    return 10 * math.log10(float(_frame_levels(samples)[_active(samples)].mean()))


def peak_dbfs(samples: Samples) -> float:
    """The largest sample, in dB under full scale."""
    return 20 * math.log10(max(float(np.abs(samples).max(initial=0.0)), 1e-9))


def for_telephone(samples: Samples, rate_hz: int, *, synthetic: bool) -> bytes:
    """A whole WAV file (8 kHz, mono, 16 bit). `synthetic`: shape the spectrum too. Raises AudioError."""
    voice = resample(samples, rate_hz)
    voice = normalise(trim(shape(voice) if synthetic else voice))
    fade = min(int(RATE_HZ * 0.005), len(voice) // 2)
    voice[:fade] *= np.linspace(0, 1, fade)
    voice[-fade:] *= np.linspace(1, 0, fade)
    return to_wav(voice)


def to_wav(samples: Samples) -> bytes:
    """8 kHz, mono, 16 bit."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes())
    return out.getvalue()


def read_prompt_wav(content: bytes) -> Samples:
    """A file that `for_telephone` made. Raises AudioError for anything else, a cut file included."""
    return np.frombuffer(frames(content), "<i2").astype(np.float64) / 32767


def read_any_wav(content: bytes) -> tuple[Samples, int]:
    """Mono samples and rate of any WAV file (PCM, float, A-law, mu-law; channels are averaged).

    Raises AudioError.
    """
    import av  # noqa: PLC0415 - 30 MB that only a custom prompt needs
    import av.error  # noqa: PLC0415

    if content[:4] not in (b"RIFF", b"RF64") or content[8:12] != b"WAVE":
        raise AudioError("is no WAV file")
    try:
        with av.open(io.BytesIO(content), mode="r", format="wav") as container:
            if not container.streams.audio:
                raise AudioError("holds no audio")
            resampler = av.AudioResampler(format="dblp")
            frames = [f for got in container.decode(audio=0) for f in resampler.resample(got)]
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"cannot be read: {error}") from None
    if not frames:
        raise AudioError("is empty")
    return np.concatenate([f.to_ndarray().mean(axis=0) for f in frames]), frames[0].sample_rate
