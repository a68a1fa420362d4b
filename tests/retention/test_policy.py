"""The company's policy: what it says of a call, what may stand in it, which version is in force. All pure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import packs as pack_data
from config.periods import Period
from retention.consent import ConsentMode
from retention.metadata import MetadataClass
from retention.policy import Policy, PolicyError, Rule, Scope, body, moment, plain_rule, rate, read, sha256, share
from retention.policy_check import House, check
from retention.policy_rules import CallAbout, govern, longest_kept
from retention.policy_versions import (
    Approval,
    Precondition,
    State,
    Version,
    altered_since,
    in_force,
    in_force_since,
    missing,
    next_change,
    state,
    suspended,
)

PACKS = pack_data.load()
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
LATER = NOW + timedelta(days=10)
SALES, TRADING, ALICE, BOB = "1" * 32, "2" * 32, "a" * 32, "b" * 32
HOUSE = House({SALES: "sales", TRADING: "trading"}, {ALICE: "alice", BOB: "bob"}, {SALES: {ALICE, BOB}})
STATUTE = "L533-10 CMF"
QUALITY = Rule("sales", "REC_QUALITY", Scope(line=SALES))


def policy(*rules: Rule, number: int = 1, **changes: Any) -> Policy:
    return replace(Policy(number, "c" * 32, NOW, rules, LATER), **changes)


def about(**changes: Any) -> CallAbout:
    return replace(CallAbout(SALES, frozenset({ALICE}), frozenset({SALES}), "inbound", frozenset({"FR"})), **changes)


def problems(*rules: Rule, **changes: Any) -> list[tuple[str, str]]:
    return [(one.rule, one.key) for one in check(policy(*rules, **changes), PACKS, HOUSE, NOW)]


# --- what it says of a call -------------------------------------------------------------------------------------------


@pytest.mark.promise("2.1", "3.3")
def test_a_call_that_no_rule_is_about_is_not_recorded_and_leaves_little() -> None:
    said = govern(policy(QUALITY), about(line=TRADING), PACKS)
    assert said.recording is None and said.metadata_class is MetadataClass.MINIMAL
    assert said.why == "no rule of the policy is about it" and said.policy == 1


@pytest.mark.promise("2.27")
@pytest.mark.parametrize("direction", ["internal", "inbound", "outbound"])
def test_a_rule_holds_both_ways_unless_it_says_otherwise(direction: Any) -> None:
    assert govern(policy(QUALITY), about(direction=direction), PACKS).recording is not None
    one_way = replace(QUALITY, scope=replace(QUALITY.scope, direction="inbound"))
    assert (govern(policy(one_way), about(direction=direction), PACKS).recording is not None) is (
        direction == "inbound"
    )


@pytest.mark.promise("2.5", "2.18")
def test_the_companys_own_values_hold() -> None:
    rule = replace(QUALITY, retention=Period.parse("P1M"), consent=ConsentMode.OPT_IN, per_mille=20)
    said = govern(policy(rule), about(), PACKS)
    assert said.recording is not None and str(said.recording.retention) == "P1M"
    assert (said.consent, said.rule) == (ConsentMode.OPT_IN, "sales")
    assert said.sampling is not None and (said.sampling.per_mille, said.sampling.ceiling) == (20, 100)


def test_the_most_narrow_rule_holds() -> None:
    wide = Rule("all", "CDR_STANDARD")
    line = Rule("line", "CDR_MINIMAL", Scope(line=SALES))
    abroad = Rule("abroad", "CDR_STANDARD", Scope(line=SALES, country="DE"), Period.parse("P1M"))
    every = policy(wide, line, abroad)
    assert govern(every, about(line=None), PACKS).records_rule == "all"
    assert govern(every, about(), PACKS).records_rule == "line"
    german = govern(every, about(countries=frozenset({"DE"})), PACKS)
    assert (german.records_rule, str(german.records.retention)) == ("abroad", "P1M")
    assert govern(every, about(countries=frozenset({None})), PACKS).records_rule == "line"


@pytest.mark.promise("L5")
@pytest.mark.parametrize("scope", [Scope(), Scope(account=ALICE), Scope(group=SALES), Scope(country="FR")])
def test_protection_wins_over_every_other_rule(scope: Scope) -> None:
    narrow = Scope(line=SALES, account=ALICE, group=SALES, direction="inbound", country="FR")
    rules = (
        Rule("shield", "REC_NONE", scope), Rule("no-trace", "CDR_NONE_PROTECTED", scope),
        Rule("rec", "REC_MIFID", narrow, statute=STATUTE), Rule("cdr", "CDR_STANDARD", narrow),
    )  # fmt: skip
    said = govern(policy(*rules), about(), PACKS)
    assert said.recording is None and "shield" in said.why
    assert said.metadata_class is MetadataClass.NONE


@pytest.mark.promise("2.6")
def test_a_legal_duty_wins_over_a_wish_that_is_more_narrow() -> None:
    duty = Rule("duty", "REC_MIFID", Scope(line=SALES), statute=STATUTE)
    wish = Rule("wish", "REC_QUALITY", Scope(line=SALES, account=ALICE))
    said = govern(policy(duty, wish), about(), PACKS)
    assert said.recording is not None and said.recording.id == "REC_MIFID" and said.sampling is None
    assert said.statute == STATUTE


def test_two_sides_with_different_purposes_are_not_recorded() -> None:
    one, two = Rule("a", "REC_QUALITY", Scope(account=ALICE)), Rule("b", "REC_HEALTH", Scope(account=BOB))
    said = govern(policy(one, two), about(line=None, accounts=frozenset({ALICE, BOB})), PACKS)
    assert said.recording is None and "two purposes" in said.why


def test_of_two_duties_the_one_that_is_kept_longer_holds() -> None:
    one = Rule("a", "REC_INSURANCE_FR", Scope(account=ALICE), statute="R112-7")
    two = Rule("b", "REC_MIFID", Scope(account=BOB), statute=STATUTE)
    said = govern(policy(one, two), about(accounts=frozenset({ALICE, BOB})), PACKS)
    assert said.recording is not None and said.recording.id == "REC_MIFID"


def test_whistle_blowing_leaves_no_trace_whatever_else_is_said() -> None:
    rules = (Rule("alert", "REC_WHISTLEBLOW", Scope(line=SALES), statute="law 2022-401"), Rule("cdr", "CDR_STANDARD"))
    said = govern(policy(*rules), about(), PACKS)
    assert said.recording is not None and said.metadata_class is MetadataClass.NONE


def test_a_rule_that_waits_for_a_precondition_records_nothing_and_gives_no_way() -> None:
    wide = Rule("wide", "REC_QUALITY")
    said = govern(policy(QUALITY, wide), about(), PACKS, {"sales": "dpia_signed"})
    assert said.recording is None and said.why == "rule sales waits for dpia_signed"


RULES = st.builds(
    Rule,
    name=st.just("x"),
    pack=st.sampled_from(["REC_QUALITY", "REC_HEALTH", "REC_MIFID", "REC_NONE", "CDR_STANDARD", "CDR_MINIMAL"]),
    scope=st.builds(
        Scope,
        line=st.sampled_from([None, SALES, TRADING]),
        account=st.sampled_from([None, ALICE, BOB]),
        group=st.sampled_from([None, SALES]),
        direction=st.sampled_from([None, "inbound", "outbound"]),
        country=st.sampled_from([None, "FR", "DE"]),
    ),
    retention=st.sampled_from([None, *map(Period.parse, ("P1D", "P30D", "P3M", "P6M", "P1Y", "P5Y", "P7Y", "P9Y"))]),
    consent=st.sampled_from([None, *ConsentMode]),
    per_mille=st.sampled_from([None, 0, 10, 100, 101, 1000]),
    statute=st.sampled_from(["", STATUTE]),
)
CALLS = st.builds(
    CallAbout,
    line=st.sampled_from([None, SALES, TRADING]),
    accounts=st.frozensets(st.sampled_from([ALICE, BOB])),
    groups=st.frozensets(st.sampled_from([SALES])),
    direction=st.sampled_from(["internal", "inbound", "outbound"]),
    countries=st.frozensets(st.sampled_from([None, "FR", "DE"]), max_size=1),
)


@pytest.mark.promise("2.5", "2.6", "L5")
@given(st.lists(RULES, max_size=6), CALLS)
def test_no_policy_that_passes_its_check_loosens_a_floor_or_passes_a_ceiling(
    rules: list[Rule], call: CallAbout
) -> None:
    named = [replace(rule, name=f"r{position}") for position, rule in enumerate(rules)]
    every = policy(*named)
    if check(every, PACKS, HOUSE, NOW):
        return
    said = govern(every, call, PACKS)
    for pack in filter(None, (said.recording, said.records)):
        shipped = PACKS[pack.id]
        assert pack.retention is not None
        assert shipped.maximum is None or shipped.maximum.at_least_as_long_as(pack.retention)
        assert shipped.minimum is None or pack.retention.at_least_as_long_as(shipped.minimum)
        assert pack.consent == shipped.consent and pack.minimum == shipped.minimum
    if said.recording is not None:
        assert said.consent is None or said.consent >= ConsentMode.parse(said.recording.consent)
        assert (said.sampling is not None) is (said.recording.id == "REC_QUALITY")
        assert said.sampling is None or said.sampling.per_mille <= 100


@given(st.lists(RULES, max_size=6), CALLS, st.randoms())
def test_the_order_in_which_rules_are_written_says_nothing(rules: list[Rule], call: CallAbout, chance: Any) -> None:
    named = [replace(rule, name=f"r{position}") for position, rule in enumerate(rules)]
    one = policy(*named)
    chance.shuffle(named)
    two = policy(*named)
    assert body(one) == body(two)
    read_one, read_two = (read(json.loads(body(each))) for each in (one, two))
    assert govern(read_one, call, PACKS) == govern(read_two, call, PACKS)
    assert read_one.rules == tuple(sorted(one.rules, key=lambda rule: rule.name))


@given(st.lists(RULES, max_size=6), CALLS)
def test_protection_that_is_added_never_records_more(rules: list[Rule], call: CallAbout) -> None:
    named = [replace(rule, name=f"r{position}") for position, rule in enumerate(rules)]
    shield = Rule("shield", "REC_NONE", Scope(account=ALICE))
    said = govern(policy(*named, shield), call, PACKS)
    assert not (ALICE in call.accounts and said.recording is not None)
    if ALICE not in call.accounts:
        assert said == govern(policy(*named), call, PACKS)


# --- what may stand in it ---------------------------------------------------------------------------------------------


def test_a_sound_policy_has_no_problem() -> None:
    assert problems(QUALITY, Rule("records", "CDR_STANDARD", retention=Period.parse("P3M"))) == []


@pytest.mark.promise("2.5", "2.6", "2.18")
@pytest.mark.parametrize(
    ("rule", "key"),
    [
        (replace(QUALITY, retention=Period.parse("P1Y")), "retention"),
        (Rule("x", "REC_MIFID", Scope(line=SALES), Period.parse("P1Y"), statute=STATUTE), "retention"),
        (Rule("x", "REC_EMERGENCY", Scope(line=SALES), Period.parse("P3M"), statute="sector text"), "retention"),
        (replace(QUALITY, consent=ConsentMode.ANNOUNCE), "consent"),
        (Rule("x", "REC_MIFID", Scope(line=SALES), consent=ConsentMode.OPT_IN, statute=STATUTE), "consent"),
        (replace(QUALITY, per_mille=101), "rate"),
        (replace(QUALITY, per_mille=0), "rate"),
        (replace(QUALITY, window=Period.parse("P4M")), "window"),
        (replace(QUALITY, window=Period.parse("PT1H")), "window"),
        (Rule("x", "REC_HEALTH", Scope(line=SALES), per_mille=10), "rate"),
        (Rule("x", "REC_MIFID", Scope(line=SALES)), "statute"),
        (replace(QUALITY, statute=STATUTE), "statute"),
        (Rule("x", "REC_CONTRACT"), "scope"),
        (Rule("x", "REC_QUALITY", Scope(line="9" * 32)), "line"),
        (Rule("x", "REC_QUALITY", Scope(account="9" * 32)), "account"),
        (Rule("x", "REC_QUALITY", Scope(group=TRADING)), "group"),
        (Rule("x", "CDR_OPERATOR", statute="decree"), "pack"),
        (Rule("x", "VOICEMAIL"), "pack"),
        (Rule("x", "REC_EVERYTHING"), "pack"),
        (Rule("x", "CDR_STANDARD", consent=ConsentMode.OPT_IN), "consent"),
        (Rule("x", "CDR_STANDARD", ask_staff=True), "silence"),
    ],
    ids=lambda value: value.pack if isinstance(value, Rule) else value,
)  # fmt: skip
def test_what_passes_a_limit_is_named_with_its_rule_and_remedy(rule: Rule, key: str) -> None:
    found = check(policy(rule), PACKS, HOUSE, NOW)
    assert [(one.rule, one.key) for one in found] == [(rule.name, key)]
    assert found[0].message and found[0].remedy


def test_all_that_is_wrong_is_said_at_once() -> None:
    rules = (
        replace(QUALITY, retention=Period.parse("P1Y"), per_mille=200, consent=ConsentMode.NONE),
        Rule("x", "REC_MIFID", Scope(line="9" * 32)),
    )
    assert problems(*rules, valid_from=NOW - timedelta(days=1)) == [
        ("", "valid_from"), ("sales", "retention"), ("sales", "consent"), ("sales", "rate"), ("x", "line"),
        ("x", "statute"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"valid_from": None}, "valid_from"), ({"valid_from": NOW - timedelta(seconds=1)}, "valid_from")],
)
def test_a_policy_needs_a_date_that_lies_ahead(changes: dict[str, Any], key: str) -> None:
    assert problems(QUALITY, **changes) == [("", key)]
    assert problems(QUALITY, valid_from=None, at_approval=True) == []
    assert problems(QUALITY, valid_from=NOW) == []


def test_a_pack_is_not_bound_before_its_text_applies() -> None:
    packs = {**PACKS, "REC_QUALITY": replace(PACKS["REC_QUALITY"], valid_from=LATER.date() + timedelta(days=1))}
    found = check(policy(QUALITY), packs, HOUSE, NOW)
    assert [(one.rule, one.limit) for one in found] == [("sales", "2026-12-12")]
    assert check(policy(QUALITY, valid_from=LATER + timedelta(days=2)), packs, HOUSE, NOW) == []


def test_rules_that_contradict_each_other_are_both_named() -> None:
    other = Rule("other", "REC_HEALTH", Scope(line=SALES))
    found = check(policy(QUALITY, other), PACKS, HOUSE, NOW)
    assert len(found) == 1 and "sales" in found[0].message and "other" in found[0].message
    shield = Rule("shield", "REC_NONE")
    found = check(policy(QUALITY, shield), PACKS, HOUSE, NOW)
    assert len(found) == 1 and "sales never applies" in found[0].message and "shield" in found[0].message


def test_proof_of_contract_does_not_record_canvassing() -> None:
    house = replace(HOUSE, canvassing=frozenset({SALES}))
    proof = Rule("proof", "REC_CONTRACT", Scope(line=SALES))
    assert [one.limit for one in check(policy(proof), PACKS, house, NOW)] == ["outbound_canvassing"]
    inbound = replace(proof, scope=replace(proof.scope, direction="inbound"))
    assert check(policy(inbound), PACKS, house, NOW) == []


def test_a_newer_version_that_is_approved_stands_in_the_way_of_an_older_draft() -> None:
    assert [one.key for one in check(policy(QUALITY), PACKS, HOUSE, NOW, newest=2)] == ["number"]


# --- as it is kept ----------------------------------------------------------------------------------------------------


def test_a_body_is_read_back_and_its_hash_follows_every_value() -> None:
    rule = Rule("sales", "REC_QUALITY", Scope(SALES, ALICE, SALES, "inbound", "DE"), Period.parse("P1M"),
                ConsentMode.OPT_IN, True, True, 25, Period.parse("P1M"), "text")  # fmt: skip
    whole = policy(rule)
    assert read(json.loads(body(whole))) == whole
    changed = [
        replace(whole, rules=(replace(rule, per_mille=26),)), replace(whole, valid_from=NOW),
        replace(whole, at_approval=True), replace(whole, author="d" * 32), replace(whole, number=2),
    ]  # fmt: skip
    assert len({sha256(body(one)) for one in (whole, *changed)}) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Sales!"}, {"pack": None}, {"line": 3}, {"direction": "sideways"}, {"country": "UK"},
        {"retention": "3 months"}, {"consent": "perhaps"}, {"silence": "record"}, {"per_mille": 1.5}, {"extra": 1},
        {"per_mille": 1001},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_rule_is_refused_by_name(changes: dict[str, Any]) -> None:
    said = {"format": "beffroi-policy/1", "number": 1, "author": "x", "created_at": NOW.isoformat(),
            "valid_from": None, "rules": [plain_rule(QUALITY) | changes]}  # fmt: skip
    with pytest.raises(PolicyError) as refused:
        read(said)
    assert refused.value.where in ("sales", "name") and refused.value.remedy


def test_two_rules_of_one_name_and_another_format_are_refused() -> None:
    said = json.loads(body(policy(QUALITY)))
    with pytest.raises(PolicyError, match="two rules"):
        read({**said, "rules": said["rules"] * 2})
    for wrong in ({"format": "x"}, {"number": 0}, {"surprise": 1}, {"valid_from": "soon"}, {"rules": "none"}):
        with pytest.raises(PolicyError):
            read({**said, **wrong})


def test_shares_and_days_are_read_as_people_write_them() -> None:
    assert [rate(text) for text in ("3%", "2.5 %", "100%", "0%")] == [30, 25, 1000, 0]
    assert (share(30), share(25)) == ("3 %", "2.5 %")
    for wrong in ("3", "0.03", "101%", "2.55%", "", "x%"):
        with pytest.raises(PolicyError):
            rate(wrong)
    assert moment("x", "2027-01-01") == datetime(2027, 1, 1, tzinfo=UTC)
    assert moment("x", "2027-01-01T08:00+01:00") == datetime(2027, 1, 1, 7, tzinfo=UTC)
    with pytest.raises(PolicyError, match="no zone"):
        moment("x", "2027-01-01T08:00")


# --- which version is in force ----------------------------------------------------------------------------------------


def version(number: int = 1, *rules: Rule, approved: datetime | None = NOW, **changes: Any) -> Version:
    said = policy(*(rules or (Rule("records", "CDR_STANDARD"),)), number=number, **changes)
    found = sha256(body(said))
    return Version(said, found, (Approval("p" * 32, approved, found, 1),) if approved is not None else ())


NEEDED = PACKS["REC_QUALITY"].preconditions


def entries(*kinds: str, at: datetime = NOW, **changes: Any) -> list[Precondition]:
    return [replace(Precondition(kind, kind, "REC_QUALITY", None, at), **changes) for kind in kinds]


def test_a_version_comes_into_force_at_its_date_and_supersedes_the_one_before() -> None:
    first, second = version(1, valid_from=NOW), version(2, valid_from=LATER)
    both, soon = [first, second], LATER - timedelta(microseconds=1)
    assert in_force(both, PACKS, [], NOW - timedelta(microseconds=1)) is None
    assert in_force(both, PACKS, [], soon) is first and next_change(both, soon) == LATER
    assert in_force(both, PACKS, [], LATER) is second and next_change(both, LATER) is None
    states = [state(one, both, PACKS, [], at) for at in (soon, LATER) for one in both]
    assert states == [State.IN_FORCE, State.WAITING, State.SUPERSEDED, State.IN_FORCE]


def test_the_newest_number_holds_even_where_an_older_one_has_a_later_date() -> None:
    older, newer = version(1, valid_from=LATER), version(2, valid_from=NOW)
    assert in_force([older, newer], PACKS, [], LATER) is newer


def test_a_draft_and_one_approval_of_two_are_not_in_force() -> None:
    draft = version(approved=None, valid_from=NOW)
    half = replace(draft, approvals=(Approval("p" * 32, NOW, draft.sha256, 2),))
    twice = replace(draft, approvals=half.approvals * 2)
    other = Approval("q" * 32, LATER, draft.sha256, 2)
    whole = replace(draft, approvals=(*half.approvals, other))
    assert [state(one, [one], PACKS, [], LATER) for one in (draft, half, twice, whole)] == [
        State.DRAFT, State.DRAFT, State.DRAFT, State.IN_FORCE,
    ]  # fmt: skip
    assert whole.starts == LATER  # not before the second has approved, whatever date it names


def test_what_was_changed_after_its_approval_is_never_in_force() -> None:
    sound, newer = version(1, valid_from=NOW), version(2, valid_from=NOW)
    for altered in (
        replace(newer, sha256="0" * 64),
        replace(newer, approvals=(replace(newer.approvals[0], genuine=False),)),
    ):
        both = [sound, altered]
        assert state(altered, both, PACKS, [], LATER) is State.BROKEN
        assert altered_since(both, in_force(both, PACKS, [], LATER)) == 2
    assert altered_since([sound, newer], newer) is None


@pytest.mark.promise("2.18")
def test_a_version_waits_until_all_that_its_packs_require_is_entered() -> None:
    waits = version(1, QUALITY, valid_from=NOW)
    assert [one.kind for one in missing(waits.policy, PACKS, [], NOW)] == list(NEEDED)
    assert state(waits, [waits], PACKS, entries(*NEEDED[1:]), LATER) is State.WAITING
    late = [*entries(*NEEDED[1:]), *entries(NEEDED[0], at=LATER)]
    assert in_force_since(waits, PACKS, late, LATER - timedelta(microseconds=1)) is None
    assert in_force_since(waits, PACKS, late, LATER + timedelta(days=1)) == LATER


def test_an_entry_counts_for_its_pack_and_line_until_it_is_withdrawn() -> None:
    said = policy(QUALITY)
    assert missing(said, PACKS, entries(*NEEDED), NOW) == []
    assert missing(said, PACKS, entries(*NEEDED, line=SALES), NOW) == []
    assert missing(said, PACKS, entries(*NEEDED, pack="*"), NOW) == []
    for wrong in ({"line": TRADING}, {"pack": "REC_HEALTH"}, {"at": LATER}, {"withdrawn_at": NOW}):
        assert len(missing(said, PACKS, entries(*NEEDED, **wrong), NOW)) == len(NEEDED)


def test_a_withdrawal_stops_recording_and_does_not_bring_an_older_version_back() -> None:
    older, newer = version(1, valid_from=NOW), version(2, QUALITY, valid_from=NOW)
    known = [*entries(*NEEDED[1:]), *entries(NEEDED[0], withdrawn_at=LATER)]
    assert in_force([older, newer], PACKS, known, LATER) is newer
    assert suspended(newer.policy, PACKS, known, LATER) == {"sales": NEEDED[0]}
    assert suspended(newer.policy, PACKS, known, NOW) == {}


# --- how long at most -------------------------------------------------------------------------------------------------


def test_the_longest_period_of_a_pack_is_what_anything_of_it_is_kept_for() -> None:
    rules = (
        Rule("a", "REC_QUALITY", Scope(line=SALES), Period.parse("P1M")),
        Rule("b", "REC_QUALITY", Scope(line=TRADING), Period.parse("P2M")),
        Rule("c", "CDR_MINIMAL", Scope(line=SALES), Period.parse("P7D")),
    )
    found = longest_kept(policy(*rules), PACKS)
    assert {key: str(value) for key, value in found.items()} == {"REC_QUALITY": "P2M", "CDR_MINIMAL": "P30D"}
    everywhere = Rule("d", "CDR_MINIMAL", retention=Period.parse("P14D"))
    assert str(longest_kept(policy(*rules, everywhere), PACKS)["CDR_MINIMAL"]) == "P14D"
