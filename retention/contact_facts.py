"""What the decision about a contact is made from, and what it answers: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retention.whereabouts import Whereabouts

Channel = Literal["voice", "sms"]
Target = Literal["consumer", "professional", "ask"]
Ground = Literal["allowed", "sector", "suppressed", "no_consent", "refused", "hours", "attempts", "caller", "no_rule"]
REFUSALS = frozenset({"refusal", "withdrawal"})  # reasons of a suppression that a new consent ends


@dataclass(frozen=True, slots=True)
class Consent:
    """`purpose`: the sector that it was given for. `out_of_hours`: express, for times that the law leaves out."""

    consent_id: str
    channel: str
    purpose: str
    given_at: datetime
    expires_at: datetime | None = None
    withdrawn_at: datetime | None = None
    out_of_hours: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands beside consent: a contract that runs, that somebody has bought something (`purpose`: the sector it is
    about), or that the number is a professional's (then `purpose` is nothing).

    A contract stands in for consent to calls (C. conso. L223-1), a customer for consent to texts (CPCE L34-5), and
    neither for the other: the one has to run, the other says that the person gave the number when buying, was told
    there, and could object. `since`: of a customer, the last purchase.
    """

    reference_id: str
    kind: Literal["contract", "customer", "professional"]
    purpose: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suppression:
    """`reason`: refusal and withdrawal hold until a new consent; objection, import and all others until taken away."""

    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What is known of one person and one line. `caller`: E.164 that would be shown, empty where nobody knows it; of
    texts the sender, as `sms.addresses` writes it. `hours_profile`: what the company has bound itself to; empty: the
    rules alone."""

    channel: Channel
    sector: str
    target: Target
    country: str | None
    where: Whereabouts
    consents: tuple[Consent, ...] = ()
    references: tuple[Reference, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    attempts: tuple[datetime, ...] = ()
    caller: str = ""
    hidden: bool = False
    hours_profile: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule`: id of the row that decided, of contact_rules.toml, or "suppression". `again_at`: the first moment at
    which the same facts would be allowed; None where that is never, or nobody can know. `evidence`: id of the consent
    or reference that it rests on, empty where none is needed."""

    allowed: bool
    ground: Ground
    rule: str
    why: str
    again_at: datetime | None = None
    evidence: str = ""
    basis: str = ""
    confidence: str = ""
