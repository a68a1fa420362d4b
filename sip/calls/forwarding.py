"""What rings, and what rings next: an account's devices, its forwards, do not disturb, a line's members. Pure.

A snapshot of everybody concerned goes in; stages come out, or a refusal where nothing would ring at all. The rules:

- forward always comes before all else; then do not disturb, which counts as busy; then busy, where call waiting is off
  and the account talks; then not registered. Each leads on to its forward, or ends the call.
- after ringing: busy and declined lead to the forward on busy, no answer and not available to theirs.
- a line rings its members' phones, all at once or one after the other. Their own forwards do not concern the line; do
  not disturb and busy do.
- a chain of forwards has at most five hops and comes to nobody twice: else the call ends with 482 (RFC 3261 section
  16.3), cause "loop".
- a forward to a number outside goes by the permission of whoever forwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sip.calls.plan import Party, Refusal, Stage, Target, TrunkTarget
from storage.accounts import Account
from storage.call_settings import CallSettings
from storage.lines import Line

MAX_HOPS = 5
MAX_STAGES = 24  # a maze of forwards is not followed into every corner
MAX_LEGS_AT_ONCE = 3  # the engine holds four calls, and the caller is one of them
CAUSE_LOOP = "loop"
TRUNK_FAILED = frozenset({"trunk-failed"})
NOT_TAKEN = frozenset({"busy", "declined", "no-answer", "not-available", "unknown", "failed"})
# Forwards after ringing: field of CallSettings, why (for Diversion), causes that lead there.
_LATER = (
    ("forward_busy", "busy", frozenset({"busy", "declined"})),
    ("forward_no_answer", "no_answer", frozenset({"no-answer"})),
    ("forward_unregistered", "unregistered", frozenset({"not-available"})),
)
LOOP = Refusal(482, "Loop Of Forwards", CAUSE_LOOP, "PROMPT_LOOP")
NOBODY = Refusal(480, "Nobody Else Is On This Line", "nobody")
UNREGISTERED = Refusal(480, "Not Registered", "not-registered")
BUSY = Refusal(486, "Busy Here", "busy")
DISTURBED = Refusal(480, "Does Not Wish To Be Disturbed", "not-available")
UNKNOWN = Refusal(404, "Not Found", "unknown", "PROMPT_UNKNOWN")


@dataclass(frozen=True, slots=True)
class Way:
    """Registered contacts that one INVITE reaches: of one profile and one family of addresses."""

    auth_users: tuple[str, ...]
    srtp: bool
    ipv6: bool
    owners: Mapping[str, str]  # contact_key -> account id
    devices: Mapping[str, str] = field(default_factory=dict)  # contact_key -> auth user


@dataclass(frozen=True, slots=True)
class Place:
    """An account as it is now."""

    account: Account
    settings: CallSettings
    ways: tuple[Way, ...] = ()
    talking: bool = False

    @property
    def party(self) -> Party:
        one = self.account
        return Party(one.id, one.extension, one.display_name, one.language, one.country)

    @property
    def is_busy(self) -> bool:
        return self.talking and not self.settings.call_waiting


@dataclass(frozen=True, slots=True)
class Outside:
    """A number outside by one or more trunks, in order; the targets' legs are named later."""

    party: Party
    targets: tuple[TrunkTarget, ...]


@dataclass(frozen=True, slots=True)
class ToAccount:
    account_id: str


@dataclass(frozen=True, slots=True)
class ToLine:
    line: Line


Lead = ToAccount | ToLine | Outside | Refusal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everybody that the call may come to. ``leads``: where a forward goes, by account id and field of its settings."""

    places: Mapping[str, Place]
    leads: Mapping[tuple[str, str], Lead] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Where in the tree of stages something is to be put."""

    parent: int = -1
    after: frozenset[str] = frozenset()


@dataclass
class Builder:
    """Collects stages. ``letter``: of the legs ("b"; "c" for who joins after a transfer)."""

    snapshot: Snapshot
    caller_id: str | None
    ring_s: float
    letter: str = "b"
    stages: list[Stage] = field(default_factory=list)
    _legs: int = 0

    def lead(self, to: Lead, link: Link, path: tuple[str, ...] = ()) -> Refusal | None:
        """Put there what ``to`` leads to; why nothing would ring, where nothing would."""
        if isinstance(to, Refusal):
            return to
        if isinstance(to, Outside):
            return self._outside(to, link)
        if len(path) > MAX_HOPS:
            return LOOP
        if isinstance(to, ToLine):
            return self._line(to.line, link, path)
        place = self.snapshot.places.get(to.account_id)
        return UNKNOWN if place is None else self._account(place, link, path)

    def only_devices(self, place: Place) -> Refusal | None:
        """Ring them whatever is set: who called for help is called back."""
        if not place.ways:
            return UNREGISTERED
        self._add(self._targets(place.ways), Link(), self.ring_s, place.party)
        return None

    def one(self, target: TrunkTarget, link: Link, party: Party) -> int:
        """A single way out; the number of its stage."""
        return self._add((replace(target, leg=self._name()),), link, self.ring_s, party)

    def join_first(self, place: Place) -> None:
        """Ring these phones along with the first stage, as far as there are legs."""
        stage = self.stages[0]
        rung = [t for t in stage.targets if isinstance(t, Target)]
        every = merged([place.ways, [Way(t.auth_users, t.srtp, t.ipv6, t.owners, t.devices) for t in rung]])
        if len(rung) == len(stage.targets):
            self.stages[0] = replace(stage, targets=self._targets(every))
        else:  # a number outside: it is rung alone, after these
            self.stages = [replace(s, parent=s.parent + 1) if s.parent >= 0 else s for s in self.stages]
            self.stages[0] = replace(self.stages[0], parent=0, after=NOT_TAKEN)
            self.stages.insert(0, Stage(self._targets(place.ways), self.ring_s, place.party))

    # --- an account -------------------------------------------------------------------------------

    def _account(self, place: Place, link: Link, path: tuple[str, ...]) -> Refusal | None:
        one, settings = place.account, place.settings
        if one.id in path:
            return LOOP
        if one.disabled_at is not None:
            return UNKNOWN
        path = (*path, one.id)
        if settings.forward_always is not None:
            return self._forward(one.id, "forward_always", link, path)
        if one.id == self.caller_id:
            return replace(NOBODY, code=404) if len(path) == 1 else BUSY
        if settings.dnd:
            return self._forward_or(one.id, "forward_busy", link, path, DISTURBED)
        if place.is_busy:
            return self._forward_or(one.id, "forward_busy", link, path, BUSY)
        if not place.ways:
            return self._forward_or(one.id, "forward_unregistered", link, path, UNREGISTERED)
        waits = settings.forward_no_answer is not None
        ring_s = min(float(settings.no_answer_s), self.ring_s) if waits else self.ring_s
        stage = self._add(self._targets(place.ways), link, ring_s, place.party)
        for name, _, causes in _LATER:
            if getattr(settings, name) is not None and len(self.stages) < MAX_STAGES:
                self._forward(one.id, name, Link(stage, causes), path)  # where it leads nowhere, the first word stands
        return None

    def _forward(self, account_id: str, name: str, link: Link, path: tuple[str, ...]) -> Refusal | None:
        """What a forward comes to is not spoken about, but for a loop: whoever calls has dialled another number."""
        refusal = self.lead(self.snapshot.leads.get((account_id, name), UNKNOWN), link, path)
        return refusal if refusal is None or refusal is LOOP else replace(refusal, prompt="")

    def _forward_or(
        self, account_id: str, name: str, link: Link, path: tuple[str, ...], otherwise: Refusal
    ) -> Refusal | None:
        if (account_id, name) not in self.snapshot.leads:
            return otherwise
        refusal = self._forward(account_id, name, link, path)
        return refusal if refusal is None or refusal is LOOP else otherwise

    # --- a line -----------------------------------------------------------------------------------

    def _line(self, line: Line, link: Link, path: tuple[str, ...]) -> Refusal | None:
        if line.id in path:
            return LOOP
        if line.disabled_at is not None or line.kind != "ring":
            return UNKNOWN
        members = [
            place
            for account_id in line.members
            if (place := self.snapshot.places.get(account_id)) is not None
            and place.account.disabled_at is None
            and account_id != self.caller_id
        ]
        if not members:
            return NOBODY
        free = [place for place in members if place.ways and not place.settings.dnd and not place.is_busy]
        if not free:
            return BUSY if any(place.ways and not place.settings.dnd for place in members) else UNREGISTERED
        first = free[0].account
        called = Party(None, line.number, line.name, line.language or first.language, first.country)
        if line.strategy == "sequential":
            for place in free:
                stage = self._add(self._targets(place.ways), link, float(line.member_ring_s), place.party)
                link = Link(stage, NOT_TAKEN)
        else:
            self._add(self._targets(merged(place.ways for place in free)), link, self.ring_s, called)
        return None

    # --- outside ----------------------------------------------------------------------------------

    def _outside(self, to: Outside, link: Link) -> Refusal | None:
        for target in to.targets:
            stage = self._add((replace(target, leg=self._name()),), link, self.ring_s, to.party)
            link = Link(stage, TRUNK_FAILED)
        return None if to.targets else Refusal(503, "No Trunk", "trunk-failed")

    # --- putting together -------------------------------------------------------------------------

    def _targets(self, ways: Sequence[Way]) -> tuple[Target, ...]:
        return tuple(
            Target(self._name(), way.auth_users, way.srtp, way.owners, way.ipv6, way.devices)
            for way in ways[:MAX_LEGS_AT_ONCE]
        )

    def _name(self) -> str:
        self._legs += 1
        return f"{self.letter}{self._legs - 1}"

    def _add(self, targets: Sequence[Target | TrunkTarget], link: Link, ring_s: float, callee: Party) -> int:
        self.stages.append(Stage(tuple(targets), ring_s, callee, link.parent, link.after))
        return len(self.stages) - 1


def merged(each: Iterable[Sequence[Way]]) -> tuple[Way, ...]:
    """The phones of several accounts, one INVITE for each kind: encrypted before plain, IPv4 before IPv6."""
    kinds: dict[tuple[bool, bool], list[Way]] = {}
    for ways in each:
        for way in ways:
            kinds.setdefault((not way.srtp, way.ipv6), []).append(way)
    return tuple(
        Way(
            tuple(dict.fromkeys(user for way in same for user in way.auth_users)),
            same[0].srtp,
            same[0].ipv6,
            {contact: owner for way in same for contact, owner in way.owners.items()},
            {contact: user for way in same for contact, user in way.devices.items()},
        )
        for _, same in sorted(kinds.items(), key=lambda entry: entry[0])
    )


def forwards_of(settings: CallSettings) -> Mapping[str, str]:
    """Fields of its settings that name a place, with the place as it would be dialled."""
    names = ("forward_always", *(name for name, _, _ in _LATER))
    return {name: to for name in names if (to := getattr(settings, name)) is not None}


def why(name: str) -> str:
    """Key of ``trunk_choice.DIVERSION`` for a field of the settings."""
    return name.removeprefix("forward_")
