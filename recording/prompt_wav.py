"""The file of a prompt: WAV, 8 kHz, one channel, 16 bit. Read without numpy, which only making one needs."""

from __future__ import annotations

import io
import wave

RATE_HZ = 8000
BROUGHT_MAX_BYTES = 8_000_000  # of a recording that somebody brings (`prompt_upload`)
VERSION = 1  # part of what a cached prompt is known by: raise it with any change of the sound


class AudioError(ValueError):
    """The audio cannot be used: empty, silent, or nothing that we can read. `what`: why not, with the names of `values`
    as %(name)s."""

    def __init__(self, what: str, **values: int | float) -> None:
        super().__init__(what % values if values else what)
        self.what = what
        self.values = values


def frames(content: bytes) -> bytes:
    """The samples of a file that `prompt_audio.for_telephone` made. Raises AudioError for anything else, a cut file
    included."""
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            count, found = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise AudioError(f"is no WAV file: {error}") from None
    if shape != (1, 2, RATE_HZ) or count == 0 or len(found) != 2 * count:
        raise AudioError("is not a whole WAV file of 8 kHz, one channel, 16 bit")
    return found


def duration_ms(content: bytes) -> int:
    """Of such a file. Raises AudioError."""
    return len(frames(content)) // 2 * 1000 // RATE_HZ
