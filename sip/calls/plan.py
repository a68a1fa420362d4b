"""What the daemon has decided about a call before it begins, as plain frozen values.

A ``CallPlan`` is the whole input of the call's script: who calls, who rings, what may be recorded and how that is
asked, which prompts exist, how long things may take.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Literal

from config.periods import Period
from retention.recording_decision import LegConsent, RecordingDecision

_CONTACT = re.compile(r"sips?:([^;>?]+)")


class LineKind(Enum):
    """What answers on a dialled number."""

    RING = "ring"  # devices of one or more accounts
    ECHO = "echo"  # the caller's own voice
    SERVICE = "service"  # one sentence, after a deed that the planner has done: a forward set, for instance
    DRILL = "drill"  # an emergency call that never leaves this machine
    REFUSAL = "refusal"  # one sentence about why there is no call; nothing is answered


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt as it is played: the evidence of consent names all of this."""

    prompt_id: str
    version: str
    language: str
    sha256: str  # of the audio, hex
    path: Path
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a call. Numbers and names are personal data: never logged."""

    account_id: str | None
    number: str  # what is dialled to reach it
    display: str
    language: str
    country: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """One INVITE to the callee: all devices of one kind, forked by the edge."""

    leg: str  # "b0", "b1"
    auth_users: tuple[str, ...]  # device credentials that ring
    srtp: bool  # True: contacts that came by TLS, RTP/SAVP; False: the others, RTP/AVP
    owners: Mapping[str, str] = field(default_factory=dict)  # contact_key -> account id, to tell who answered
    ipv6: bool = False
    devices: Mapping[str, str] = field(default_factory=dict)  # contact_key -> auth user, to tell which phone answered


@dataclass(frozen=True, slots=True)
class TrunkTarget:
    """One INVITE to a provider."""

    leg: str
    trunk_id: str
    number: str  # what the provider is asked for: "+33123456789", "3631", "112"
    from_user: str  # number presented; "anonymous" where it is hidden
    from_display: str
    srtp: bool
    ipv6: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)  # P-Asserted-Identity, Privacy, Diversion, Geolocation
    payer: str | None = None  # account whose limits the call counts against: the caller's, or whoever forwards
    microeuros_per_minute: int = 0
    microeuros_per_call: int = 0
    ceiling: Ceiling | None = None  # of this way alone, over that of the plan: holds once this leg has answered


@dataclass(frozen=True, slots=True)
class Stage:
    """What rings at once, and when it is its turn.

    The first stage (``parent`` -1) rings first. A later one rings when the stage ``parent`` was tried last of its own
    chain and ended with a cause in ``after`` (words of ``Outcome.cause``: busy, declined, not-available, no-answer,
    unknown, failed; and trunk-failed, when a provider did not take the call).
    """

    targets: tuple[Target | TrunkTarget, ...]
    ring_s: float
    callee: Party
    parent: int = -1
    after: frozenset[str] = frozenset()


Direction = Literal["internal", "outbound", "inbound"]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How long may be talked. A spoken warning comes at each of ``warn_s`` seconds before the end."""

    talk_s: float
    warn_s: tuple[float, ...] = ()


def contact_key(uri: str) -> str:
    """user@host:port of a Contact, by which the one that answered is known again; "" if there is none in it."""
    found = _CONTACT.search(uri)
    return found[1] if found is not None else ""


@dataclass(frozen=True, slots=True)
class ContactMade:
    """A contact that the law lets be made. ``evidence``: id of a consent or a reference, "" where none is needed."""

    attempt_id: str
    rule: str  # row of contact_rules.toml
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A call of a sampled line: whose count it belongs to, of which day, and whether it was drawn."""

    subject: str
    day: date
    drawn: bool


@dataclass(frozen=True, slots=True)
class PolicyMark:
    """Under which version of the company's policy a call was planned, and what that says of its record."""

    version: int
    records: str  # id of the pack that call records are kept under
    records_kept: Period | None  # the policy's own period of that pack
    sample: Sample | None = None  # None: the call is not one of a sampled purpose


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call that may go ahead."""

    call_id: str  # opaque, ours
    line_id: str | None  # None: an ordinary call between two accounts
    kind: LineKind
    caller: Party
    callee: Party
    stages: tuple[Stage, ...]
    recording: RecordingDecision
    metadata_class: str  # none, minimal, standard
    prompts: Mapping[tuple[str, str], PromptFile]  # (prompt id, language)
    ring_timeout_s: float = 60.0
    max_duration_s: float = 14400.0
    caller_hidden: bool = False  # RFC 3323: the callee is shown "anonymous"
    direction: Direction = "internal"
    staff: frozenset[str] = frozenset({"b"})  # sides that have * codes instead of the bare objection key
    emergency: bool = False  # never refused, never cut, no prompts; recorded only where a statute's pack says so
    private: bool = False  # dialled with the private code: neither recorded nor listed
    ceiling: Ceiling | None = None
    trunk_id: str | None = None  # trunk that it came in by
    originated: bool = False  # click-to-call: leg "a" is dialled by us, stages[0] is the caller's own devices
    music: Path | None = None  # WAV for whoever waits
    service: str = ""  # LineKind.SERVICE and REFUSAL: id of the prompt that is spoken
    refusal: Refusal | None = None  # LineKind.REFUSAL: what is spoken about, and the status that follows
    wideband: bool = False  # takes a 16 kHz worker
    pickup: str | None = None  # call id of the ringing conversation that is picked up
    contact: ContactMade | None = None  # made on behalf of a canvassing line: by which rule, on which evidence
    policy: PolicyMark | None = None  # None: no policy is in force, the line's own settings hold

    def targets(self) -> Iterator[tuple[Stage, Target | TrunkTarget]]:
        """Everything that may be dialled, with the stage it belongs to."""
        for stage in self.stages:
            for target in stage.targets:
                yield stage, target

    def leg_id(self, leg: str) -> str:
        """The opaque id under which ledger and recordings know a leg of this call."""
        return hashlib.sha256(f"{self.call_id}/{leg}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that may not go ahead: the SIP answer and, for our own records, why."""

    code: int
    reason: str  # phrase for the phone's display
    cause: str  # for metrics and records: "unknown", "not-registered", "limit" ...
    prompt: str = ""  # id of what a phone of the house hears before the status; "" where the status says it all


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Somebody in a call wants the other side to be connected elsewhere (RFC 3515)."""

    plan: CallPlan
    referrer: Party
    stays: Party
    target: str  # user part of Refer-To, as sent
    by_operator: bool = False  # from the command line: then somebody outside may be the one who leaves


@dataclass(frozen=True, slots=True)
class Joining:
    """Who joins a conversation that goes on, and on which terms. Legs are named c0, c1 ... (d, e at further transfers);
    ``terms`` speak of any leg of that letter. No terms: the conversation is not recorded from then on.
    """

    stages: tuple[Stage, ...]
    callee: Party
    terms: tuple[LegConsent, ...]
    prompts: Mapping[tuple[str, str], PromptFile]
    metadata_class: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One act of consent on one leg (GDPR art. 7(1)): becomes an entry of the consent ledger."""

    leg: str
    act: str  # heard, key, refused, silent, failed, objected
    prompt_id: str
    prompt_version: str
    prompt_sha256: str
    language: str
    key: str  # "" when no key was pressed
    media_ms: int  # since the leg's media came up


@dataclass
class Outcome:
    """How a call went: filled by the script as things happen, read for the call record."""

    code: int = 487  # SIP status that tells the end; 200 for a conversation that ended by BYE
    cause: str = "cancelled"
    answered_leg: str | None = None
    caller_answered: bool = False  # the caller's leg was answered, be it only by a prompt
    talk_began_s: float | None = None  # on the script's clock
    talk_ended_s: float | None = None
    recording: str = "not-asked"  # not-asked, refused, silent, failed, recorded, cut, objected
    evidence: list[Evidence] = field(default_factory=list)
    transferred: bool = False  # somebody joined in place of one of the first two
    private: bool = False  # from some moment on it was nobody's business
    metadata_class: str = ""  # where it has become stricter than the plan's
