"""Who acts, from where, and why."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SYSTEM = "system"
MIN_REASON_CHARS = 5  # whoever is asked why says it in a word at least
QUICKSTART = "quickstart"


@dataclass(frozen=True, slots=True)
class Actor:
    """`who`: a person's id, "os:<uid>" for somebody on this machine, "system" or "quickstart".

    `workstation` is a host name or an address: it is never stored, the ledger holds a keyed hash.
    `reason`: why numbers and names are wanted in clear; without it they are shown masked. `case`: what it belongs to.
    """

    who: str
    workstation: str
    reason: str | None = None
    case: str | None = None
    within: frozenset[str] | None = None  # names of the accounts whose things are shown; None: all (server.rights)
    own: frozenset[str] = frozenset()  # names of the accounts that are this person's own
    session: str | None = None  # in which a person asks
    audits: bool = False  # has the right to the ledger

    @property
    def is_person(self) -> bool:
        """Not somebody at the machine itself."""
        return ":" not in self.who and self.who not in (SYSTEM, QUICKSTART)

    def sees(self, *accounts: str | None) -> bool:
        """Whether something that belongs to any of these accounts may be shown."""
        return self.within is None or any(name in self.within for name in accounts if name)

    @property
    def masked(self) -> bool:
        """Whether this actor is shown numbers and names masked."""
        return not (self.reason and self.reason.strip())

    @property
    def says_why(self) -> bool:
        """Whether there is a reason that says something."""
        return is_reason(self.reason)

    @property
    def reads_reasons(self) -> bool:
        """Whether this actor is shown what others typed when they looked, as in the ledger: with a reason, by right or
        by owning the machine."""
        return not self.masked and (self.audits or self.who.startswith("os:"))

    def masks(self, account: str) -> bool:
        """Whether what belongs to this account is shown masked: never to whose account it is."""
        return self.masked and account not in self.own


def is_reason(text: str | None) -> bool:
    """Whether what was typed is long enough to say why."""
    return len((text or "").strip()) >= MIN_REASON_CHARS


def os_actor_id(uid: int, key: Ed25519PrivateKey) -> str:
    """How the ledger names a user of this machine: 32 hexadecimal digits, the same for ever under one ledger key."""
    return _keyed(key, f"os:{uid}")[:32]


def ledger_id(who: str, key: Ed25519PrivateKey) -> str:
    """What the ledger calls `who`."""
    kind, _, uid = who.partition(":")
    return os_actor_id(int(uid), key) if kind == "os" else who


def workstation_id(workstation: str, key: Ed25519PrivateKey) -> str:
    """What the ledger calls a workstation: 64 hexadecimal digits."""
    return _keyed(key, f"workstation:{workstation}")


def _keyed(key: Ed25519PrivateKey, text: str) -> str:
    secret = hashlib.sha256(b"beffroi/ledger-names/1\0" + key.private_bytes_raw()).digest()
    return hmac.digest(secret, text.encode(), hashlib.sha256).hex()
