"""What a policy says of one call: which rule governs it, with which pack and values. Pure, and it explains itself.

Two answers for each call, apart from each other: may it be recorded and how (rules whose pack is of the kind
"recording"), and what is kept of it (rules whose pack is of the kind "call_record"). In order:

1. A rule of protection (REC_NONE, CDR_NONE_PROTECTED) that matches wins over all others, however narrow they are.
2. A legal duty (a pack that needs a statute) wins over what the company merely wishes.
3. The most narrow scope wins: account, then line, group, country, direction (`Scope.weight`).
4. Two that are equally narrow (both sides have a rule of their own): where they bind the same pack the strictest of
   their values holds; where they do not, there is no single purpose, and nothing is recorded.
5. No rule: not recorded, CDR_MINIMAL.

A rule whose preconditions are not all entered records nothing; it does not give way to a laxer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.packs import Pack
from config.periods import Period
from retention.consent import ConsentMode
from retention.metadata import Direction, MetadataClass, class_of, pack_of, strictest_class
from retention.policy import Policy, Rule
from retention.sampling import Sampling

PROTECTED_RECORD = "CDR_NONE_PROTECTED"
DEFAULT_RECORD = "CDR_MINIMAL"
ALL = 1000


@dataclass(frozen=True, slots=True)
class CallAbout:
    """The facts of a call that a policy looks at. Ids are opaque.

    `line`: that it comes by, or is made on behalf of. `accounts`: of the house, on either side. `groups`: lines that
    one of these is a member of. `countries`: of the other party; None among them: not known.
    """

    line: str | None
    accounts: frozenset[str]
    groups: frozenset[str]
    direction: Direction
    countries: frozenset[str | None] = frozenset()


@dataclass(frozen=True, slots=True)
class Governed:
    """What holds for one call under version `policy`.

    `recording`: the pack with the company's own values, None where nothing is recorded (`why` says which rule).
    `sampling` None: every call. `records`: what is kept of the call, under which pack and for how long.
    """

    policy: int
    recording: Pack | None
    why: str
    records: Pack
    rule: str = ""
    records_rule: str = ""
    consent: ConsentMode | None = None
    refuse_silence: bool = False
    ask_staff: bool = False
    statute: str = ""
    sampling: Sampling | None = None
    names: tuple[str, ...] = field(default=())

    @property
    def metadata_class(self) -> MetadataClass:
        return class_of(self.records.id)


def govern(
    policy: Policy, about: CallAbout, packs: Mapping[str, Pack], suspended: Mapping[str, str] | None = None
) -> Governed:
    """Decide for one call. `suspended`: rules whose preconditions are not met any more, by name, and which are missing.

    Never raises on what a policy names: an unknown pack records nothing.
    """
    matching = [rule for rule in policy.rules if matches(rule, about)]
    recorded = _recording(policy, matching, packs, suspended or {})
    records, records_rule = _records(matching, packs)
    if recorded.recording is not None and recorded.recording.call_records:
        records = _stricter(records, packs[recorded.recording.call_records])
    return replace(recorded, records=records, records_rule=records_rule)


def matches(rule: Rule, about: CallAbout) -> bool:
    """Whether the call is in the rule's scope."""
    scope = rule.scope
    return (
        scope.line in (None, about.line)
        and (scope.account is None or scope.account in about.accounts)
        and (scope.group is None or scope.group in about.groups)
        and scope.direction in (None, about.direction)
        and (scope.country is None or scope.country in about.countries)
    )


def effective(rule: Rule, pack: Pack) -> Pack:
    """The pack with the rule's own period."""
    return pack if rule.retention is None else replace(pack, retention=rule.retention)


def _recording(policy: Policy, matching: Sequence[Rule], packs: Mapping[str, Pack], off: Mapping[str, str]) -> Governed:
    found = [rule for rule in matching if rule.pack not in packs or packs[rule.pack].kind == "recording"]
    nothing = Governed(policy.number, None, "no rule of the policy is about it", packs[DEFAULT_RECORD])
    if not found:
        return nothing
    protecting = [rule for rule in found if rule.pack in packs and packs[rule.pack].never_records]
    if protecting:
        first = protecting[0]
        return replace(nothing, rule=first.name, why=f"rule {first.name} protects it ({first.pack})")
    if unknown := [rule for rule in found if rule.pack not in packs]:
        return replace(nothing, rule=unknown[0].name, why=f"rule {unknown[0].name} names an unknown pack")
    duties = [rule for rule in found if packs[rule.pack].needs_statute]
    widest = max(rule.scope.weight for rule in duties or found)
    best = [rule for rule in duties or found if rule.scope.weight == widest]
    names = ", ".join(rule.name for rule in best)
    bound = {rule.pack for rule in best}
    if len(bound) > 1 and not duties:
        return replace(
            nothing, rule=best[0].name, why=f"rules {names} give it two purposes ({', '.join(sorted(bound))})"
        )
    if len(bound) > 1:  # two duties at once: the one that has to be kept longer fulfils both as far as one purpose can
        best = _longest(best, packs)
    if missing := [(rule.name, off[rule.name]) for rule in best if rule.name in off]:
        name, what = missing[0]
        return replace(nothing, rule=name, why=f"rule {name} waits for {what}")
    return _merged(nothing, best, packs)


def _longest(rules: Sequence[Rule], packs: Mapping[str, Pack]) -> list[Rule]:
    kept = sorted(rules, key=lambda rule: (rule.pack, rule.name))
    first = kept[0]
    for rule in kept[1:]:
        longer, other = packs[rule.pack].minimum or Period(), packs[first.pack].minimum or Period()
        if longer != other and longer.at_least_as_long_as(other):
            first = rule
    return [rule for rule in kept if rule.pack == first.pack]


def _merged(nothing: Governed, rules: Sequence[Rule], packs: Mapping[str, Pack]) -> Governed:
    """One pack, of several rules the strictest values."""
    pack = packs[rules[0].pack]
    kept = [effective(rule, pack) for rule in rules]
    modes = [rule.consent for rule in rules if rule.consent is not None]
    samples = [found for rule in rules if (found := sampling_of(rule, pack)) is not None]
    names = ", ".join(rule.name for rule in rules)
    return replace(
        nothing,
        recording=shortest(kept),
        rule=rules[0].name,
        names=tuple(rule.name for rule in rules),
        why=f"policy {nothing.policy}, rule{'s' if len(rules) > 1 else ''} {names}",
        consent=max(modes, default=None),
        refuse_silence=any(rule.refuse_silence for rule in rules),
        ask_staff=any(rule.ask_staff for rule in rules),
        statute="; ".join(dict.fromkeys(rule.statute for rule in rules if rule.statute)),
        sampling=min(samples, key=lambda one: (one.per_mille, one.ceiling), default=None),
    )


def sampling_of(rule: Rule, pack: Pack) -> Sampling | None:
    """How the rule samples; None where the pack's calls are all recorded."""
    if pack.sampling is None:
        return None
    ceiling = round(pack.sampling["max_rate"] * ALL)
    chosen = round(pack.sampling["default_rate"] * ALL) if rule.per_mille is None else rule.per_mille
    longest = Period.parse(pack.sampling["window_max"])
    return Sampling(min(chosen, ceiling), ceiling, rule.window or longest)


def shortest(kept: Sequence[Pack]) -> Pack:
    """Of the same pack with several periods the one that is gone first."""
    first = kept[0]
    for pack in kept[1:]:
        if first.retention is not None and pack.retention is not None:
            first = first if pack.retention.at_least_as_long_as(first.retention) else pack
    return first


def _records(matching: Sequence[Rule], packs: Mapping[str, Pack]) -> tuple[Pack, str]:
    found = [rule for rule in matching if rule.pack in packs and packs[rule.pack].kind == "call_record"]
    found = [rule for rule in found if rule.pack in KEPT_RECORDS]
    if not found:
        return packs[DEFAULT_RECORD], ""
    protecting = [rule for rule in found if rule.pack == PROTECTED_RECORD]
    widest = max(rule.scope.weight for rule in found)
    best = protecting or [rule for rule in found if rule.scope.weight == widest]
    strict = strictest_class(class_of(rule.pack) for rule in best)
    same = [rule for rule in best if class_of(rule.pack) is strict]
    return shortest([effective(rule, packs[rule.pack]) for rule in same]), same[0].name


KEPT_RECORDS = frozenset(pack_of(each) for each in MetadataClass)


def _stricter(one: Pack, other: Pack) -> Pack:
    if class_of(one.id) == class_of(other.id):
        return shortest([one, other])
    return max(one, other, key=lambda pack: class_of(pack.id))


def longest_kept(policy: Policy, packs: Mapping[str, Pack]) -> dict[str, Period]:
    """How long anything of a pack is kept at most under this policy, for packs that it gives periods of its own; a call
    record that no rule is about is kept as CDR_MINIMAL says."""
    found: dict[str, list[Period]] = {}
    for rule in policy.rules:
        pack = packs.get(rule.pack)
        if pack is not None and (period := effective(rule, pack).retention) is not None:
            found.setdefault(pack.id, []).append(period)
    everywhere = any(rule.pack in KEPT_RECORDS and rule.scope.weight == 0 for rule in policy.rules)
    default = packs[DEFAULT_RECORD].retention
    if DEFAULT_RECORD in found and not everywhere and default is not None:
        found[DEFAULT_RECORD].append(default)
    return {pack_id: _max(periods) for pack_id, periods in found.items()}


def _max(periods: Iterable[Period]) -> Period:
    longest = Period()
    for period in periods:
        longest = period if period.at_least_as_long_as(longest) else longest
    return longest
