"""Whether a policy may be approved: every contradiction at once, each naming rule, value, limit and remedy. Pure.

The packs' floors and ceilings are data (`config/data/policy_packs.toml`); a policy chooses within them. What is wrong
between two rules is said of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.packs import Pack
from config.periods import Period
from retention.consent import ConsentMode
from retention.policy import Policy, Rule, share
from retention.policy_rules import KEPT_RECORDS, effective, sampling_of

CANVASSING, ALL_CALLS = "outbound_canvassing", "auto_all"


@dataclass(frozen=True, slots=True)
class Problem:
    """`rule`: its name, "" for the policy as a whole. `value` stands against `limit`."""

    rule: str
    key: str
    value: str
    limit: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class House:
    """What there is. Ids, with the names that people know them by. `canvassing`: lines that canvass."""

    lines: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Set[str]] = field(default_factory=dict)
    canvassing: Set[str] = frozenset()


def check(policy: Policy, packs: Mapping[str, Pack], house: House, now: datetime, newest: int = 0) -> list[Problem]:
    """Everything that stands against it at `now`. `newest`: number of the newest version that is approved."""
    found = list(_dates(policy, now, newest))
    if not policy.rules:
        found.append(
            Problem("", "rules", "0", "1", "it has no rule: nothing would be recorded", "Add one: beffroi policy set")
        )
    starts = policy.valid_from or now
    for rule in policy.rules:
        pack = packs.get(rule.pack)
        if pack is None or pack.kind not in ("recording", "call_record"):
            bound = sorted(one.id for one in packs.values() if one.kind == "recording" or one.id in KEPT_RECORDS)
            found.append(
                _problem(rule, "pack", rule.pack, "", "is no pack that a rule may bind", f"Choose {', '.join(bound)}")
            )
            continue
        found += _scope(rule, house)
        found += _pack(rule, pack, starts)
        found += _period(rule, pack)
        found += _stricter(rule, pack) if pack.kind == "recording" else _no_recording_values(rule)
        found += _sampling(rule, pack)
        found += _triggers(rule, pack, house)
    return [*found, *_between(policy, packs)]


def _problem(rule: Rule, key: str, value: object, limit: object, message: str, remedy: str) -> Problem:
    return Problem(rule.name, key, str(value), str(limit), message, remedy)


def _dates(policy: Policy, now: datetime, newest: int) -> Iterator[Problem]:
    again = (
        f"Give a day that lies ahead: beffroi policy set {policy.number} --from DAY (or draft --copy, once approved)"
    )
    if policy.valid_from is None and not policy.at_approval:
        yield Problem("", "valid_from", "", "", "has no date from which it is in force", again)
    elif policy.valid_from is not None and policy.valid_from < now:
        at, today = (moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") for moment in (policy.valid_from, now))
        yield Problem("", "valid_from", at, today, "its date is past", again)
    if newest > policy.number:
        remedy = f"Make a new draft of it: beffroi policy draft --copy {policy.number}"
        yield Problem("", "number", str(policy.number), str(newest), "a newer version is approved already", remedy)


def _scope(rule: Rule, house: House) -> Iterator[Problem]:
    scope = rule.scope
    for key, value, known in (
        ("line", scope.line, house.lines),
        ("account", scope.account, house.accounts),
        ("group", scope.group, house.lines),
    ):
        if value is not None and value not in known:
            where = "account" if key == "account" else "line"
            yield _problem(rule, key, value, "", f"no {key} of that name", f"Type: beffroi {where} list")
    if scope.group in house.lines and not house.members.get(scope.group or ""):
        named = house.lines[scope.group or ""]
        yield _problem(rule, "group", named, "", "that line has no members", "Give it some: beffroi line set")


def _pack(rule: Rule, pack: Pack, starts: datetime) -> Iterator[Problem]:
    if pack.kind == "call_record" and pack.id not in KEPT_RECORDS:
        yield _problem(rule, "pack", pack.id, "", "this release keeps no such records", "Choose CDR_STANDARD or less")
    if starts.date() < pack.valid_from:
        message = "the text that the pack rests on does not apply yet"
        yield _problem(rule, "pack", starts.date(), pack.valid_from, message, "Give a later date with --from")
    if pack.needs_statute and not rule.statute:
        message = "the pack rests on a legal duty, and the text that imposes it is not named"
        yield _problem(rule, "statute", "", pack.national, message, f"Name it: policy set --rule {rule.name} --statute")
    if rule.statute and not pack.needs_statute:
        yield _problem(rule, "statute", rule.statute, "", f"{pack.id} rests on no legal duty", "Leave the statute out")


def _period(rule: Rule, pack: Pack) -> Iterator[Problem]:
    chosen = rule.retention
    if chosen is None:
        return
    if pack.maximum is not None and not pack.maximum.at_least_as_long_as(chosen):
        remedy = f"Keep it for {pack.maximum} at most"
        yield _problem(rule, "retention", chosen, pack.maximum, f"longer than {pack.id} allows", remedy)
    elif pack.maximum is None and pack.retention is not None and not pack.retention.at_least_as_long_as(chosen):
        message = f"longer than {pack.id} says, and no text gives a maximum"
        yield _problem(rule, "retention", chosen, pack.retention, message, f"Keep it for {pack.retention} at most")
    if pack.minimum is not None and not chosen.at_least_as_long_as(pack.minimum):
        remedy = f"Keep it for {pack.minimum} at least"
        yield _problem(rule, "retention", chosen, pack.minimum, f"shorter than the law allows ({pack.id})", remedy)


def _stricter(rule: Rule, pack: Pack) -> Iterator[Problem]:
    least = ConsentMode.parse(pack.consent)
    if rule.consent is not None and rule.consent < least:
        message = f"laxer than {pack.id}, which asks for {least}"
        yield _problem(rule, "consent", rule.consent, least, message, f"Choose {least} or stricter, or leave it out")
    if pack.needs_statute and rule.consent is not None and rule.consent > ConsentMode.parse(pack.consent):
        message = f"a legal duty to record leaves no such choice ({pack.id})"
        yield _problem(rule, "consent", rule.consent, least, message, "Leave it out")


def _no_recording_values(rule: Rule) -> Iterator[Problem]:
    for key in ("consent", "per_mille", "window"):
        if getattr(rule, key) is not None:
            message = f"{rule.pack} is about call records, which nobody is asked about"
            yield _problem(rule, key, getattr(rule, key), "", message, "Leave it out")
    if rule.refuse_silence or rule.ask_staff:
        yield _problem(rule, "silence", "", "", f"{rule.pack} is about call records", "Leave it out")


def _sampling(rule: Rule, pack: Pack) -> Iterator[Problem]:
    sampling = sampling_of(rule, pack)
    if sampling is None:
        if pack.kind == "recording" and (rule.per_mille is not None or rule.window is not None):
            given = rule.window if rule.per_mille is None else share(rule.per_mille)
            yield _problem(rule, "rate", given, "", f"{pack.id} is not sampled", "Leave rate and window out")
        return
    if rule.per_mille is not None and rule.per_mille > sampling.ceiling:
        remedy = f"Record {share(sampling.ceiling)} at most: a sample is not every call"
        message = f"more than {pack.id} allows"
        yield _problem(rule, "rate", share(rule.per_mille), share(sampling.ceiling), message, remedy)
    if rule.per_mille == 0:
        yield _problem(rule, "rate", "0 %", "", "nothing would be recorded", "Bind REC_NONE instead")
    longest = Period.parse((pack.sampling or {})["window_max"])
    if rule.window is None:
        return
    if not longest.at_least_as_long_as(rule.window):
        message = "longer than the share may be counted over"
        yield _problem(rule, "window", rule.window, longest, message, f"Count over {longest} at most")
    elif rule.window.seconds or not rule.window.at_least_as_long_as(Period(days=1)):
        yield _problem(rule, "window", rule.window, "P1D", "no number of whole days", "Count over a day at least")


def _triggers(rule: Rule, pack: Pack, house: House) -> Iterator[Problem]:
    scope = rule.scope
    if CANVASSING in pack.forbidden_triggers and scope.direction in (None, "outbound"):
        lines = house.canvassing if scope.line is None else house.canvassing & {scope.line}
        for line in sorted(lines):
            message = f"{pack.id} does not record canvassing: whoever is canvassed is bound by a signature alone"
            remedy = "Narrow the rule to --direction inbound, or to another line"
            yield _problem(rule, "line", house.lines.get(line, line), CANVASSING, message, remedy)
    if ALL_CALLS in pack.forbidden_triggers and scope.line is scope.account is scope.group is None:
        message = f"{pack.id} may not record all calls by itself"
        yield _problem(rule, "scope", "every call", ALL_CALLS, message, "Name a line, an account or a group")


def _between(policy: Policy, packs: Mapping[str, Pack]) -> Iterator[Problem]:
    """Rules that contradict each other."""
    known = [rule for rule in policy.rules if rule.pack in packs]
    for position, one in enumerate(known):
        for two in known[position + 1 :]:
            if one.scope == two.scope and packs[one.pack].kind == packs[two.pack].kind:
                message = f"rules {one.name} and {two.name} are about the same calls"
                limit = f"{two.name}: {two.pack} {effective(two, packs[two.pack]).retention or ''}".strip()
                yield _problem(one, "scope", one.pack, limit, message, "Take one away, or narrow it")
    for guard in known:
        if guard.pack not in ("REC_NONE", "CDR_NONE_PROTECTED"):
            continue
        for rule in known:
            same_kind = packs[rule.pack].kind == packs[guard.pack].kind
            if rule is not guard and rule.scope != guard.scope and same_kind and guard.scope.holds(rule.scope):
                message = f"rule {rule.name} never applies: rule {guard.name} protects all its calls"
                yield _problem(rule, "scope", rule.pack, guard.pack, message, f"Narrow {guard.name}, or take one away")
