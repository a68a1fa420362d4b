"""The policy in force, from memory: for calls that must not read all of it from a database.

Read at the first call, when it is told that something has changed, and now and then, because another node may have
changed it. Which version is in force follows from what was read and the time of the call, so a date that comes needs no
restart. What cannot be told is not recorded: an altered version, a sample that cannot be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config import packs as pack_data
from retention.policy import Policy, PolicyError, decode, sha256
from retention.policy_rules import CallAbout, Governed, govern
from retention.policy_versions import (
    Approval,
    Precondition,
    Version,
    altered_since,
    in_force,
    in_force_since,
    next_change,
    suspended,
)
from retention.sampling import Counts, falls, room, window_start
from server.unbroken import unbroken
from sip.calls.plan import Sample
from storage import lines, policies, policy_samples
from storage.database import Database
from storage.errors import StorageError
from storage.policies import StoredPolicy, StoredPrecondition
from storage.tx import Tx

log = logging.getLogger(__name__)

REFRESH_S = 30.0
SAMPLE_INDEX = "policy sample"
UNREADABLE = Policy(1, "", datetime.fromisoformat("1970-01-01T00:00:00+00:00"))


@dataclass(frozen=True, slots=True)
class Known:
    """What was read. `groups`: line id -> ids of its members."""

    versions: tuple[Version, ...] = ()
    entries: tuple[Precondition, ...] = ()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)


class PolicyDesk:
    """Fills ``sip.calls.policies.Policies``."""

    def __init__(
        self,
        database: Database,
        ledger_public: Ed25519PublicKey,
        clock: Callable[[], datetime],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_change``: another version is in force, or will be."""
        self._database = database
        self._public = ledger_public
        self._clock = clock
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._known: Known | None = None
        self._told: tuple[int | None, int] = (None, 0)
        self.version = 0  # in force when it was last looked, for the metrics; 0: none

    async def refresh(self) -> Known:
        """Read it anew. Raises StorageError; then what was known stays."""
        async with self._database.read() as tx:
            known = await read(tx, self._public)
        self._known = known
        self._look(known)
        return known

    def _look(self, known: Known) -> None:
        holds = in_force(known.versions, pack_data.load(), known.entries, self._clock())
        self.version = holds.policy.number if holds is not None else 0
        newest = max((one.policy.number for one in known.versions if one.starts is not None), default=0)
        if (self.version, newest) != self._told:
            self._told = (self.version, newest)
            log.info("policy: %s in force", f"version {self.version}" if self.version else "none")
            self._on_change()

    def changed(self) -> None:
        """Do not wait for the next time."""
        self._changed.set()

    async def run(self) -> None:
        """For as long as the daemon lives: look again when a date comes, when told, and now and then."""
        while True:
            wait_s = REFRESH_S
            try:
                known = await unbroken(self.refresh())
                now = self._clock()
                coming = next_change(known.versions, now)
                if coming is not None:
                    wait_s = min(wait_s, max(0.05, (coming - now).total_seconds()))
            except StorageError as error:
                log.warning("the policy stays as it was read: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            self._changed.clear()

    # --- for calls --------------------------------------------------------------------------------

    async def govern(self, about: CallAbout, now: datetime) -> Governed | None:
        known = self._known or await self.refresh()
        members = frozenset(line for line, ids in known.groups.items() if ids & about.accounts)
        return governed(known, replace(about, groups=members), now)

    async def draw(self, governed: Governed, about: CallAbout, call_id: str, now: datetime) -> Sample:
        subject, day = about.line or policy_samples.DIRECT, now.date()
        sampling, known = governed.sampling, self._known
        nobody = Sample(subject, day, False)
        if sampling is None or known is None:
            return nobody
        since = self._window(known, governed, now)
        try:
            async with self._database.transaction() as tx:
                if not falls(tx.keys.blind_index(SAMPLE_INDEX, call_id)[2:], sampling.per_mille):
                    return nobody
                await policy_samples.lock(tx, subject, day)
                held, taken = await policy_samples.counts(tx, subject, since)
                if not room(sampling, Counts(held, taken)):
                    return nobody
                await policy_samples.add(tx, subject, day, taken=1)
        except StorageError as error:
            log.warning("a call is not recorded, because it could not be counted: %s", error)
            return nobody
        return Sample(subject, day, True)

    def _window(self, known: Known, governed: Governed, now: datetime) -> date:
        version = next(one for one in known.versions if one.policy.number == governed.policy)
        anchor = in_force_since(version, pack_data.load(), known.entries, now) or now
        assert governed.sampling is not None
        return window_start(anchor, governed.sampling.window, now)

    async def every_rule(self, now: datetime) -> Sequence[Governed]:
        return every_rule(self._known or await self.refresh(), now)

    async def obliged(self, pack: str, every: Collection[str], now: datetime) -> frozenset[str] | None:
        """Ids of accounts that a rule binding ``pack`` is about, among ``every``; None where no policy is in force.
        Raises StorageError."""
        known = self._known or await self.refresh()
        holds = in_force(known.versions, pack_data.load(), known.entries, now)
        if holds is None:
            return None
        found: set[str] = set()
        for scope in (rule.scope for rule in holds.policy.rules if rule.pack == pack):
            members = known.groups.get(scope.line or scope.group or "", frozenset())
            named = frozenset(filter(None, (scope.account,)))
            found |= named or (members if scope.line or scope.group else frozenset(every))
        return frozenset(found)

    def gauges(self) -> dict[str, float]:
        return {"policy_version": float(self.version)}


def every_rule(known: Known, now: datetime) -> list[Governed]:
    """Each rule of what is in force, and of what will be, as if it were the only one. Pure."""
    holds = in_force(known.versions, pack_data.load(), known.entries, now)
    after = holds.policy.number if holds is not None else 0
    coming = [one for one in known.versions if one.starts is not None and one.policy.number >= after]
    return [alone(one.policy, rule.name) for one in coming for rule in one.policy.rules]


def alone(policy: Policy, name: str) -> Governed:
    """What one rule says where it is the only one that is about a call."""
    rule = policy.rule(name)
    assert rule is not None
    scope = rule.scope
    about = CallAbout(
        scope.line,
        frozenset(filter(None, (scope.account,))),
        frozenset(filter(None, (scope.group,))),
        scope.direction or "internal",
        frozenset({scope.country}),
    )
    return govern(replace(policy, rules=(rule,)), about, pack_data.load())


def governed(known: Known, about: CallAbout, now: datetime) -> Governed | None:
    """What is in force says of a call. Pure. None before the first version."""
    packs = pack_data.load()
    holds = in_force(known.versions, packs, known.entries, now)
    altered = altered_since(known.versions, holds)
    if holds is None and altered is None:
        return None
    off = suspended(holds.policy, packs, known.entries, now) if holds is not None else {}
    said = govern(holds.policy if holds is not None else UNREADABLE, about, packs, off)
    if altered is None:
        return said
    why = f"policy {altered} was altered after it had been approved (type: beffroi policy verify)"
    return replace(said, recording=None, sampling=None, why=why)


async def read(tx: Tx, ledger_public: Ed25519PublicKey) -> Known:
    """Versions with their approvals checked, the register, and who is a member of what."""
    stored = await policies.list_all(tx)
    entries = await policies.preconditions(tx)
    every = await lines.list_all(tx)
    return Known(
        tuple(version_of(one, ledger_public) for one in stored),
        tuple(precondition_of(one) for one in entries),
        {line.id: frozenset(line.members) for line in every if line.members},
    )


def version_of(stored: StoredPolicy, ledger_public: Ed25519PublicKey) -> Version:
    """As it is kept, with every signature checked. One whose body cannot be read counts as altered."""
    try:
        policy, found = decode(stored.body), sha256(stored.body)
    except PolicyError:
        policy, found = replace(UNREADABLE, number=stored.number), ""
    if policy.number != stored.number:
        policy, found = replace(policy, number=stored.number), ""
    approvals = tuple(
        Approval(one.person_id, one.at, one.sha256, one.needed, _genuine(stored, one, ledger_public))
        for one in stored.approvals
    )
    return Version(policy, found, approvals, stored.discarded_at)


def _genuine(stored: StoredPolicy, approval: policies.StoredApproval, ledger_public: Ed25519PublicKey) -> bool:
    said = policies.statement(
        stored.id, stored.number, approval.person_id, approval.at, approval.sha256, approval.needed
    )
    try:
        ledger_public.verify(approval.signature, said)
    except InvalidSignature:
        return False
    return True


def precondition_of(stored: StoredPrecondition) -> Precondition:
    return Precondition(stored.id, stored.kind, stored.pack, stored.line_id, stored.entered_at, stored.withdrawn_at)
