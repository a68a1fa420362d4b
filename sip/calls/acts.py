"""What the script of a call asks of the world, and what the world tells it, beyond a worker's own messages."""

from __future__ import annotations

from dataclasses import dataclass

from sip.calls.plan import Ceiling, Evidence, Joining, Party
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


Gap = tuple[int, int, str]  # from and to in milliseconds of the recording; "hold" or "pause"


@dataclass(frozen=True, slots=True)
class StopRecording:
    """End the recording and keep it. ``gaps``: where it holds silence because nobody was to be heard."""

    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class DestroyRecording:
    """End the recording and destroy it through the deletion gate, with every other one of this call that the leg is
    heard on; RecordingDestroyed when that is done."""

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


@dataclass(frozen=True, slots=True)
class Transfer:
    """``referrer`` is to leave, and somebody else joins whoever stays. The joining legs have names of their own.

    ``joint``: the party that joins is on the line already, in another worker: this leg leads there. ``notify``: the
    referrer is told how it goes (RFC 3515); not where an operator asked. ``elsewhere``: the phone that is told is not
    on that leg but in another conversation, and may wait for it when that leg is down.
    """

    referrer: str
    joining: Joining
    joint: str = ""
    joint_staff: bool = False  # the party behind the joint is staff
    joint_outside: bool = False  # it is there by a trunk
    joint_hidden: bool = False  # it withholds its number (RFC 3323)
    notify: bool = True
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class BecomeRelay:
    """Whoever stays goes on in another conversation: the leg ``joint`` comes in from there and takes the place of
    ``leaves``. ``lingers``: the phone behind that leg has asked for it, and is to hear how it went before it goes."""

    leaves: str
    joint: str
    party: Party  # who is heard by the joint now
    lingers: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Staff let silence flow into the recording, or end that."""

    on: bool


@dataclass(frozen=True, slots=True)
class PickUp:
    """A colleague takes this ringing call: the leg ``leg`` comes in."""

    leg: str
    party: Party


@dataclass(frozen=True, slots=True)
class NewCeiling:
    """The conversation may go on for so long from now: calls beside it have used up what it was promised, or somebody
    has changed a limit. ``ceiling`` None: as long as it likes."""

    ceiling: Ceiling | None


Act = p.Command | Wait | Note | StartRecording | StopRecording | DestroyRecording
Happening = (
    p.Event
    | p.WorkerGone
    | TimedOut
    | RecordingStarted
    | RecordingFailed
    | RecordingCut
    | RecordingDestroyed
    | HangUp
    | Transfer
    | BecomeRelay
    | PickUp
    | Pause
    | NewCeiling
)
