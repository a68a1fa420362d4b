"""Calls under a company's policy: the planner on a real directory, and what the policy in force says of each call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from config import packs as pack_data
from config.periods import Period
from retention.consent import ConsentMode
from retention.policy import Policy, Rule, Scope
from retention.policy_rules import CallAbout, Governed, govern
from sip.calls.plan import Sample
from sip.calls.planning import DirectoryPlanner
from storage.database import Database
from tests.sip.calls.test_planning import COMPANY, NOW, TIMING, House

STATUTE = "L533-10 CMF"


class InForce:
    """Fills ``Policies`` with one version, or none."""

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] | None = None
        self.groups: dict[str, frozenset[str]] = {}
        self.draws = True
        self.asked: list[str] = []

    async def govern(self, about: CallAbout, now: datetime) -> Governed | None:
        if self.rules is None:
            return None
        groups = frozenset(line for line, ids in self.groups.items() if ids & about.accounts)
        about = replace(about, groups=groups)
        return govern(Policy(4, "x", NOW, self.rules, NOW), about, pack_data.load())

    async def draw(self, governed: Governed, about: CallAbout, call_id: str, now: datetime) -> Sample:
        self.asked.append(call_id)
        return Sample(about.line or "direct", now.date(), self.draws)

    async def every_rule(self, now: datetime) -> Sequence[Governed]:
        return ()


class Ruled(House):
    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.policies = InForce()
        self.planner = DirectoryPlanner(db, self.registrations, self.prompts, COMPANY, TIMING, policies=self.policies)

    def rule(self, *rules: Rule) -> None:
        self.policies.rules = rules


@pytest.fixture
async def house(db: Database) -> Ruled:
    house = Ruled(db)
    await house.person("alice", "101")
    await house.person("bob", "102")
    await house.person("carol", "103", country="DE")
    house.registrations.tls = {"alice-1", "bob-1", "carol-1"}
    return house


def quality(line: str | None, **changes: Any) -> Rule:
    return replace(Rule("quality", "REC_QUALITY", Scope(line=line)), **changes)


@pytest.mark.promise("3.5")
async def test_a_policy_that_comes_into_force_changes_the_next_call_and_no_line_does(house: Ruled) -> None:
    line = await house.line("200", "bob", pack="REC_QUALITY", metadata_class="standard")
    before = await house.plan(request_user="200")
    assert before.recording.record and before.recording.policy is None and before.policy is None
    house.rule()
    plan = await house.plan(request_user="200")
    assert not plan.recording.record and "no rule of the policy" in plan.recording.rule
    assert (plan.metadata_class, plan.recording.policy, plan.recording.legs) == ("minimal", 4, ())
    house.rule(quality(line.id), Rule("records", "CDR_STANDARD", retention=Period.parse("P1M")))
    plan = await house.plan(request_user="200")
    assert plan.recording.record and plan.recording.policy == 4 and "policy 4, rule quality" in plan.recording.rule
    assert plan.metadata_class == "standard" and plan.policy is not None
    assert (plan.policy.records, str(plan.policy.records_kept)) == ("CDR_STANDARD", "P1M")


@pytest.mark.promise("2.5", "2.18")
async def test_the_period_that_is_announced_is_the_policys_own(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.rule(quality(line.id, retention=Period.parse("P1M"), consent=ConsentMode.OPT_IN, ask_staff=True))
    plan = await house.plan(request_user="200")
    assert (str(plan.recording.retention), plan.recording.mode) == ("P1M", ConsentMode.OPT_IN)
    assert {leg.mode for leg in plan.recording.legs} == {ConsentMode.OPT_IN}


@pytest.mark.promise("L5")
async def test_a_call_that_is_not_drawn_is_neither_recorded_nor_asked_and_says_why(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.rule(quality(line.id, per_mille=30))
    drawn = await house.plan(request_user="200")
    assert drawn.recording.record and drawn.policy is not None and drawn.policy.sample is not None
    assert drawn.policy.sample.drawn and house.policies.asked == [drawn.call_id]
    house.policies.draws = False
    house.prompts.asked.clear()
    plan = await house.plan(request_user="200")
    assert not plan.recording.record and plan.recording.legs == () and house.prompts.asked == set()
    assert "not drawn: 3 % of the calls of this line" in plan.recording.rule
    assert (plan.recording.rule_id, plan.recording.pack) == ("sampling", "REC_QUALITY")
    assert plan.policy is not None and plan.policy.sample == Sample(line.id, NOW.date(), False)


async def test_what_may_not_be_recorded_anyway_is_not_drawn(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.rule(quality(line.id, consent=ConsentMode.FORBIDDEN))
    assert not (await house.plan(request_user="200")).recording.record and house.policies.asked == []


async def test_a_lines_own_choice_counts_where_it_is_stricter(house: Ruled) -> None:
    line = await house.line("200", "bob", consent_mode="opt_in", metadata_class="none")
    house.rule(quality(line.id), Rule("records", "CDR_STANDARD"))
    plan = await house.plan(request_user="200")
    assert plan.recording.mode is ConsentMode.OPT_IN and plan.metadata_class == "none"


@pytest.mark.promise("2.27")
async def test_a_rule_about_an_account_holds_for_calls_by_no_line(house: Ruled) -> None:
    house.rule(Rule("trader", "REC_MIFID", Scope(account=house.ids["bob"]), statute=STATUTE))
    for caller, to in (("alice", "102"), ("bob", "101")):
        plan = await house.plan(auth_user=f"{caller}-1", from_user=caller, request_user=to)
        assert plan.recording.record and plan.recording.pack == "REC_MIFID" and plan.line_id is None
        assert plan.recording.legal_basis.endswith(f"statute: {STATUTE}")
    plan = await house.plan(request_user="103")
    assert not plan.recording.record


async def test_a_rule_about_a_group_holds_whatever_the_line(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.policies.groups = {line.id: frozenset(line.members)}
    house.rule(Rule("team", "CDR_STANDARD", Scope(group=line.id)))
    assert (await house.plan(request_user="102")).metadata_class == "standard"
    assert (await house.plan(request_user="103")).metadata_class == "minimal"


@pytest.mark.promise("L5")
async def test_a_protected_account_is_recorded_on_no_line(house: Ruled) -> None:
    line = await house.line("200", "bob", "carol")
    protected = Scope(account=house.ids["bob"])
    house.rule(quality(line.id), Rule("shield", "REC_NONE", protected),
               Rule("no-trace", "CDR_NONE_PROTECTED", protected))  # fmt: skip
    plan = await house.plan(request_user="200")
    assert not plan.recording.record and plan.metadata_class == "none" and "shield" in plan.recording.rule


@pytest.mark.promise("L5")
async def test_a_private_call_is_private_but_for_a_legal_duty(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.rule(quality(line.id))
    plan = await house.plan(request_user="*8200")
    assert plan.private and not plan.recording.record and plan.metadata_class == "none" and house.policies.asked == []
    house.rule(Rule("duty", "REC_MIFID", Scope(line=line.id), statute=STATUTE))
    assert (await house.refusal(request_user="*8200")).reason == "This Line Must Be Recorded"


async def test_a_country_and_a_direction_narrow_a_rule(house: Ruled) -> None:
    house.rule(Rule("abroad", "CDR_STANDARD", Scope(country="DE", direction="internal")))
    assert (await house.plan(request_user="103")).metadata_class == "standard"
    assert (await house.plan(request_user="102")).metadata_class == "minimal"


async def test_whoever_joins_does_not_change_the_purpose_and_protection_ends_it(house: Ruled) -> None:
    line = await house.line("200", "bob")
    house.rule(quality(line.id))
    plan = await house.plan(request_user="200")
    stays = replace(plan.callee, account_id=house.ids["bob"], number="102")
    joins = replace(stays, account_id=house.ids["carol"], number="103")
    joining = await house.planner.plan_joining(plan, stays, joins, NOW)
    asked = len(house.policies.asked)
    assert joining.terms == () or {terms.leg for terms in joining.terms} == {"c"}
    shield = Rule("shield", "REC_NONE", Scope(account=house.ids["carol"]))
    house.rule(quality(line.id), shield, Rule("n", "CDR_NONE_PROTECTED", Scope(account=house.ids["carol"])))
    joining = await house.planner.plan_joining(plan, stays, joins, NOW)
    assert joining.terms == () and joining.metadata_class == "none"
    house.rule(Rule("other", "REC_HEALTH", Scope(line=line.id)))
    assert (await house.planner.plan_joining(plan, stays, joins, NOW)).terms == ()
    assert len(house.policies.asked) == asked, "it is not drawn a second time"
