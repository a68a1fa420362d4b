"""Draining of one leg's capture: a WAV file in memory (memfd) that another process makes longer.

pjsua2's AudioMediaRecorder writes 16-bit mono from byte 44 and rewrites the header (page 0) when it closes, so page 0
stays; every whole page behind it is given back to the system as soon as it has been read.
"""

import ctypes
import os
import stat
from typing import Final

WAV_HEADER_BYTES: Final = 44
SAMPLE_BYTES: Final = 2
_PAGE_BYTES: Final = 4096
_KEEP_SIZE_PUNCH_HOLE: Final = 0x01 | 0x02  # linux/falloc.h

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class CaptureError(Exception):
    """A descriptor that is no capture, or a capture that cannot be read."""


class Capture:
    """Owns the descriptor. Positions are samples since the capture began."""

    def __init__(self, fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CaptureError("a capture is a file in memory")
        self._fd = fd
        self._read_bytes = WAV_HEADER_BYTES  # offset of the first byte not yet taken
        self._freed_bytes = _PAGE_BYTES  # offset up to which pages were given back (page 0 never is)

    def available(self) -> int:
        """Samples that can be taken now."""
        return max(0, os.fstat(self._fd).st_size - self._read_bytes) // SAMPLE_BYTES

    def take(self, samples: int) -> bytes:
        """The next samples, 16-bit little-endian; silence at their end where the capture has fewer."""
        wanted = samples * SAMPLE_BYTES
        try:
            data = os.pread(self._fd, wanted, self._read_bytes)
        except OSError as error:
            raise CaptureError("the capture cannot be read") from error
        self._read_bytes += len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        self._give_back()
        return data[: len(data) // SAMPLE_BYTES * SAMPLE_BYTES].ljust(wanted, b"\0")

    def close(self) -> None:
        """Close the descriptor; the memory goes when the writer's is closed too."""
        os.close(self._fd)

    def _give_back(self) -> None:
        end = self._read_bytes // _PAGE_BYTES * _PAGE_BYTES
        if end <= self._freed_bytes:
            return
        # A file system without holes only costs memory: not an error.
        if _libc.fallocate(self._fd, _KEEP_SIZE_PUNCH_HOLE, self._freed_bytes, end - self._freed_bytes) == 0:
            self._freed_bytes = end


def interleave(left: bytes, right: bytes) -> bytes:
    """Two mono blocks of equal length to one of stereo frames."""
    frames = bytearray(len(left) + len(right))
    view = memoryview(frames).cast("h")
    view[0::2] = memoryview(left).cast("h")
    view[1::2] = memoryview(right).cast("h")
    return bytes(frames)
