"""How loud each side of a recording is, piece by piece: what a picture of it is drawn from. Made in the room."""

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from recording.playable import Playable, PlayableError, PlayableFile
from recording.sealed_reader import SealError

if TYPE_CHECKING:
    import av
    import numpy.typing as npt

MOST_PIECES: Final = 2000
LEAST_PIECE_MS: Final = 50
_CHANNELS: Final = 2
_STEPS: Final = 255


@dataclass(frozen=True, slots=True)
class Waveform:
    """`left`, `right`: for each piece of `piece_ms` how loud it is at most, 0 to 255; as far as it has been looked."""

    piece_ms: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    complete: bool

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return {"piece_ms": self.piece_ms, "left": self.left, "right": self.right, "complete": self.complete}


class WaveformMaker:
    """Decodes in a thread of its own, so that listening does not wait: some 8 s of processor for an hour."""

    def __init__(self, playable: Playable, duration_ms: int) -> None:
        self.piece_ms: Final = max(LEAST_PIECE_MS, -(-duration_ms // MOST_PIECES))
        self._playable = playable
        self._sides: tuple[list[int], list[int]] = ([], [])
        self._lock = threading.Lock()
        self._complete = False
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="waveform", daemon=True).start()

    def look(self) -> Waveform:
        with self._lock:
            return Waveform(self.piece_ms, tuple(self._sides[0]), tuple(self._sides[1]), self._complete)

    def end(self) -> None:
        """It stops at the next frame."""
        self._ended.set()

    def _run(self) -> None:
        with contextlib.suppress(PlayableError, SealError, OSError, ValueError):  # what was seen until then is shown
            self._decode()
        with self._lock:
            self._complete = True

    def _decode(self) -> None:
        import av  # 30 MB that only whoever listens needs

        pieces: _Pieces | None = None
        try:
            with av.open(PlayableFile(self._playable), "r") as container:
                for frame in container.decode(audio=0):
                    if self._ended.is_set():
                        return
                    if pieces is None:
                        pieces = _Pieces(self.piece_ms * frame.sample_rate // 1000)
                    self._keep(pieces.feed(_sides(frame)))
        except av.FFmpegError as error:
            raise PlayableError(type(error).__name__) from None
        self._keep(pieces.rest() if pieces is not None else [])

    def _keep(self, found: "list[tuple[float, float]]") -> None:
        if not found:
            return
        with self._lock:
            for loudest in found:
                for side, value in zip(self._sides, loudest, strict=True):
                    side.append(min(_STEPS, int(value * _STEPS)))


class _Pieces:
    """Cuts what is decoded into pieces of so many samples, and takes the loudest of each side."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._have = 0  # of the piece that is being filled
        self._loudest = (0.0, 0.0)

    def feed(self, sides: "npt.NDArray[Any]") -> list[tuple[float, float]]:
        found, at, many = list[tuple[float, float]](), 0, sides.shape[1]
        while at < many:
            some = sides[:, at : at + self._samples - self._have]
            high, low = some.max(axis=1), some.min(axis=1)
            left, right = (max(float(high[side]), -float(low[side])) for side in range(_CHANNELS))
            self._loudest = max(self._loudest[0], left), max(self._loudest[1], right)
            self._have += some.shape[1]
            at += some.shape[1]
            if self._have == self._samples:
                found += self.rest()
        return found

    def rest(self) -> list[tuple[float, float]]:
        """The piece that is not full, if it has begun."""
        if not self._have:
            return []
        found, self._have, self._loudest = self._loudest, 0, (0.0, 0.0)
        return [found]


def _sides(frame: "av.AudioFrame") -> "npt.NDArray[Any]":
    """Two rows of samples, 1.0 at the loudest; of one channel the same twice."""
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype.kind == "i":
        samples = samples / (1 << (8 * samples.dtype.itemsize - 1))
    return samples[[0, min(1, channels - 1)]] if channels != _CHANNELS else samples
