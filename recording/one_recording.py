"""One recording inside the recorder: from key to sealed file. Single-threaded; nothing here waits."""

import logging
from pathlib import Path
from typing import Final, Literal

from recording.capture import Capture, CaptureError, interleave
from recording.encoder import Encoder, EncoderError
from recording.messages import Begin, Cut, Sealed
from recording.sealed_writer import SealedWriter

log = logging.getLogger(__name__)

# A leg that falls this far behind the other has stopped: its absence is written as silence, so that the other's audio
# is sealed in time and both stay aligned, within STALLED_SKEW_S, when it comes back.
SKEW_MAX_S: Final = 10
STALLED_SKEW_S: Final = 1
_STEP_S: Final = 10  # most audio taken at once: bounds memory after a long wait

State = Literal["running", "sealed", "cut"]
CutReason = Literal["disk", "encoder", "capture"]


class OneRecording:
    """running --finish--> sealed; running --any error--> cut; destroy from anywhere."""

    def __init__(
        self, begin: Begin, dek: bytes, captures: tuple[Capture, Capture], vault_dir: Path, bitrate_bps: int
    ) -> None:
        """Make the file and the encoder. Raises OSError, EncoderError, and leaves nothing behind."""
        self.rec_id: Final = begin.rec_id
        self.state: State = "running"
        self._rate_hz = begin.rate_hz
        self._captures = captures  # ours to close, from a successful start on
        self._stalled = False  # one leg has stopped; until it brings something again
        self._writer = SealedWriter(vault_dir, begin.rec_id, begin.purpose, dek)
        try:
            self._encoder = Encoder(
                self._writer, rate_hz=begin.rate_hz, bitrate_bps=bitrate_bps, lossless=begin.lossless
            )
        except EncoderError:
            self._writer.destroy()
            raise

    def step(self) -> Cut | None:
        """Encode and seal what both legs have; a Cut if that ended the recording."""
        return self._attempt(last=False)

    def finish(self) -> Sealed:
        """Take everything, pad the shorter leg, seal the end. Where that fails, or it was cut before: not complete."""
        if self.state == "running":
            self._attempt(last=True)
        writer = self._writer
        return Sealed(self.rec_id, writer.size_bytes, writer.sha256, self._encoder.duration_ms, self.state == "sealed")

    def destroy(self) -> None:
        """Unlink what was written and drop the rest. Raises OSError."""
        self._writer.destroy()
        if self.state == "running":
            self._release()
        self.state = "cut"

    def _attempt(self, *, last: bool) -> Cut | None:
        reason: CutReason
        try:
            self._drain(pad_all=last)
            if last:
                self._encoder.close()
                self._writer.finish()
            else:
                self._writer.sync_if_due()
        except EncoderError as error:
            reason, why = "encoder", str(error)
        except CaptureError as error:
            reason, why = "capture", str(error)
        except OSError as error:
            reason, why = "disk", str(error.strerror)
        else:
            if last:
                self.state = "sealed"
                self._release()
            return None
        log.error("recording %s cut: %s, %s", self.rec_id, reason, why)
        self._keep_what_is_sealed()
        return Cut(self.rec_id, reason)

    def _drain(self, *, pad_all: bool) -> None:
        """Feed the encoder: what both have, and beyond it where the shorter leg is to be padded."""
        left, right = self._captures
        ready = left.available(), right.available()
        self._stalled = self._stalled and min(ready) == 0
        skew_max_s = STALLED_SKEW_S if self._stalled else SKEW_MAX_S
        if max(ready) - min(ready) > skew_max_s * self._rate_hz:
            self._stalled = True
        todo = max(ready) if pad_all or self._stalled else min(ready)
        while todo:
            samples = min(todo, _STEP_S * self._rate_hz)
            self._encoder.feed(interleave(left.take(samples), right.take(samples)))
            todo -= samples

    def _keep_what_is_sealed(self) -> None:
        self.state = "cut"
        try:
            self._writer.cut()
        except OSError as error:
            log.error("recording %s keeps its .part: %s", self.rec_id, error.strerror)
        self._release()

    def _release(self) -> None:
        self._encoder.abandon()
        for capture in self._captures:
            capture.close()
