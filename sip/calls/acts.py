"""What the script of a call asks of the world, and what the world tells it, beyond a worker's own messages."""

from __future__ import annotations

from dataclasses import dataclass

from sip.calls.plan import Evidence
from sip.worker import protocol as p


@dataclass(frozen=True, slots=True)
class Wait:
    """Give me the next event; TimedOut if none comes within ``seconds`` (None: for ever)."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Commit this act of consent to the ledger before anything that I ask next."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record what is heard from these legs; answered by RecordingStarted or RecordingFailed."""

    first: str
    second: str  # "" for none


@dataclass(frozen=True, slots=True)
class StopRecording:
    """End the recording and keep it."""


@dataclass(frozen=True, slots=True)
class DestroyRecording:
    """End the recording and destroy all of it through the deletion gate; RecordingDestroyed when that is done."""

    leg: str  # whose objection it was


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nothing came within the time that was waited."""


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    pass


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """There is no recording: recorder gone, disk full, ledger not writable. What then, the pack says."""

    why: str


@dataclass(frozen=True, slots=True)
class RecordingCut:
    """A running recording came to an early end; what was sealed until then is kept and marked cut."""

    why: str


@dataclass(frozen=True, slots=True)
class RecordingDestroyed:
    """What had been recorded is gone, and its absence was verified: now it may be said."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody with the right to it (or the end of the daemon) ends the call. ``spoken``: there is time to say so."""

    cause: int
    text: str
    spoken: bool = True
    why: str = "ended-by-us"  # Outcome.cause


Act = p.Command | Wait | Note | StartRecording | StopRecording | DestroyRecording
Happening = (
    p.Event | p.WorkerGone | TimedOut | RecordingStarted | RecordingFailed | RecordingCut | RecordingDestroyed | HangUp
)
