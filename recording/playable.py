"""Forms in which an opened recording can be given out: the Ogg stream as it is, or WAV for players without Ogg."""

import io
import os
import struct
import threading
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

if TYPE_CHECKING:
    import av

Format = Literal["ogg", "wav"]
MEDIA_TYPES: Final[dict[Format, str]] = {"ogg": "audio/ogg", "wav": "audio/wav"}
_CHANNELS: Final = 2
_FRAME_BYTES: Final = 4
_HEADER_BYTES: Final = 44


class PlayableError(Exception):
    """Nothing in the recording that can be decoded."""


class Playable:
    """Random access for several threads to one form of a recording."""

    def __init__(self, source: BinaryIO | io.RawIOBase) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.size_bytes: Final = source.seek(0, io.SEEK_END)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """At most size_bytes from offset; empty at the end. Raises what the source raises."""
        with self._lock:
            self._source.seek(offset)
            return self._source.read(size_bytes) or b""


class PlayableFile(io.RawIOBase):
    """A file of its own over a Playable that others read too."""

    def __init__(self, playable: Playable) -> None:
        super().__init__()
        self._playable = playable
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._playable.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        data = self._playable.read_at(self._position, size if size >= 0 else self._playable.size_bytes)
        self._position += len(data)
        return data


def as_wav(ogg: io.RawIOBase, rate_hz: int) -> BinaryIO:
    """Decode a whole Ogg stream into memory (never to disk): 16-bit stereo, 115 MB an hour at 8 kHz.

    Raises PlayableError and what the stream raises. Takes about 3 s of processor an hour of audio.
    """
    import av  # 30 MB that only whoever listens needs

    wav = open(os.memfd_create("wav", os.MFD_CLOEXEC), "w+b")  # noqa: SIM115, PTH123  (handed to the caller; no path)
    wav.write(bytes(_HEADER_BYTES))
    ogg.seek(0)
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=rate_hz)
    try:
        with av.open(ogg, "r") as container:
            for frame in container.decode(audio=0):
                _write(wav, resampler.resample(frame))
        _write(wav, resampler.resample(None))
    except av.FFmpegError as error:
        wav.close()
        raise PlayableError(type(error).__name__) from None
    size_bytes = wav.tell()
    wav.seek(0)
    wav.write(_wav_header(size_bytes - _HEADER_BYTES, rate_hz))
    wav.seek(0)
    return wav


def _write(wav: BinaryIO, pieces: "list[av.AudioFrame]") -> None:
    for piece in pieces:
        wav.write(bytes(piece.planes[0])[: piece.samples * _FRAME_BYTES])


def _wav_header(data_bytes: int, rate_hz: int) -> bytes:
    data_bytes = min(data_bytes, 0xFFFFFFFF - _HEADER_BYTES)  # RIFF counts in 32 bits; longer files play all the same
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        data_bytes + _HEADER_BYTES - 8,
        b"WAVE",
        b"fmt ",
        16,
        1,
        _CHANNELS,
        rate_hz,
        rate_hz * _FRAME_BYTES,
        _FRAME_BYTES,
        16,
        b"data",
        data_bytes,
    )
