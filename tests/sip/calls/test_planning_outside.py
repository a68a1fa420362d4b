"""Calls out of the house and into it, emergencies, forwards, codes, transfers: the planner on a real directory."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config import rates
from retention.consent import ConsentMode
from retention.recording_decision import CompanyFacts
from sip.calls.house import EmptyHouse, RunningUse
from sip.calls.numbers import SiteNumbering
from sip.calls.plan import (
    CallPlan,
    Joining,
    LineKind,
    Party,
    PromptFile,
    Refusal,
    Target,
    TransferRequest,
    TrunkTarget,
)
from sip.calls.planning import DirectoryPlanner, OutsideHabits, Timing
from sip.edge.protocol import EdgeRequest
from sip.edge.state import Contact
from storage import accounts, call_settings, devices, emergency_calls, limits, lines, numbers_owned, trunks, usage
from storage.call_settings import CallSettings
from storage.database import Database
from storage.emergency_calls import EmergencyCall
from storage.limits import Limits
from storage.lines import Line
from storage.trunks import Trunk

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"), "https://acme.example/rights", "dpo@acme.example")
HABITS = OutsideHabits(
    SiteNumbering("FR", outside_prefix="0"),
    rates.load(),
    emergency_location={"default": "<https://acme.example/site.xml>", "bob": "<https://acme.example/bob.xml>"},
)
ALICE_DID, BOB_DID, MAIN, OFFICE_DID = "+33140000001", "+33140000002", "+33140000000", "+33140000003"


@dataclass
class Live(EmptyHouse):
    """What goes on, as the test says."""

    busy: set[str] = field(default_factory=set)
    rings: dict[str, str] = field(default_factory=dict)  # account id -> call id
    down: set[str] = field(default_factory=set)
    used: dict[str, int] = field(default_factory=dict)
    uses: dict[str, RunningUse] = field(default_factory=dict)

    def talks(self, account_id: str) -> bool:
        return account_id in self.busy

    def ringing(self, account_ids: Collection[str]) -> str | None:
        return next((self.rings[one] for one in sorted(account_ids) if one in self.rings), None)

    def trunk_up(self, trunk_id: str) -> bool | None:
        return trunk_id not in self.down

    def channels_in_use(self, trunk_id: str) -> int:
        return self.used.get(trunk_id, 0)

    def running(self, owner: str) -> RunningUse:
        return self.uses.get(owner, RunningUse())


class Registrations:
    """What the edge holds: every phone by TLS, unless a test takes it away."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    async def contacts(self, auth_user: str) -> Sequence[Contact]:
        if auth_user in self.away:
            return []
        return [Contact("tls", f"sip:{auth_user}@192.0.2.7:5061;transport=tls", "", "phone", 60)]


class Prompts:
    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        return PromptFile(prompt_id, "1", language, "ab" * 32, Path("/x.wav"), 1000)

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None:
        pass


class Office:
    """Alice, Bob and Carol with a phone each; two providers; numbers of their own."""

    def __init__(self, db: Database) -> None:
        self.db, self.live, self.registrations = db, Live(), Registrations()
        self.planner = DirectoryPlanner(
            db, self.registrations, Prompts(), COMPANY, Timing(60.0, 14400.0), habits=HABITS, house=self.live,
            music=Path("/music.wav"), chance=lambda: 0.5,
        )  # fmt: skip
        self.ids: dict[str, str] = {}
        self.trunks: dict[str, Trunk] = {}

    async def fill(self) -> None:
        async with self.db.transaction() as tx:
            for name, extension in (("alice", "201"), ("bob", "202"), ("carol", "203")):
                made = await accounts.add(tx, name, extension, name.title(), NOW)
                await devices.add(tx, made.id, "phone", f"{name}-1", "0" * 32, NOW)
                self.ids[name] = made.id
            for name, preference in (("first", 10), ("second", 20)):
                self.trunks[name] = await trunks.add(
                    tx, name, f"{name}.example", NOW, main_number=MAIN, preference=preference
                )
            for name, number in (("alice", ALICE_DID), ("bob", BOB_DID)):
                await numbers_owned.add(tx, number, account_id=self.ids[name])

    async def choose(self, name: str, **chosen: Any) -> None:
        async with self.db.transaction() as tx:
            settings = await call_settings.get(tx, self.ids[name])
            await call_settings.save(tx, replace(settings, **chosen))

    async def settings(self, name: str) -> CallSettings:
        async with self.db.read() as tx:
            return await call_settings.get(tx, self.ids[name])

    async def limit(self, owner: str, **said: Any) -> None:
        async with self.db.transaction() as tx:
            await limits.save(tx, Limits(owner, **said))

    async def line(self, number: str, *members: str, did: str = "", **facts: Any) -> Line:
        async with self.db.transaction() as tx:
            ids = [self.ids[name] for name in members]
            made = await lines.add(tx, f"line{number.strip('*#')}", number, NOW, members=ids, **facts)
            if did:
                await numbers_owned.add(tx, did, line_id=made.id)
            return made

    def request(self, dialled: str, **changes: Any) -> EdgeRequest:
        values: dict[str, Any] = {
            "kind": "invite", "transaction": (1, 2), "call_id": "x", "cseq": 1, "auth_user": "alice-1",
            "from_user": "alice", "request_user": dialled, "source": "tls:192.0.2.1:5061", "savp": True,
        }  # fmt: skip
        return EdgeRequest(**(values | changes))

    async def plan(self, dialled: str, **changes: Any) -> CallPlan:
        found = await self.planner.plan(self.request(dialled, **changes), NOW)
        assert isinstance(found, CallPlan), found
        return found

    async def refusal(self, dialled: str, **changes: Any) -> Refusal:
        found = await self.planner.plan(self.request(dialled, **changes), NOW)
        assert isinstance(found, Refusal), found
        return found

    async def incoming(self, number: str, caller: str = "+33199000000", **changes: Any) -> CallPlan | Refusal:
        changes = {"trunk": self.trunks["first"].id, "auth_user": "", "from_user": caller} | changes
        return await self.planner.plan(self.request(number, **changes), NOW)


@pytest.fixture
async def office(db: Database) -> Office:
    made = Office(db)
    await made.fill()
    return made


def ways(plan: CallPlan | Joining) -> list[TrunkTarget]:
    return [target for stage in plan.stages for target in stage.targets if isinstance(target, TrunkTarget)]


def rung(plan: CallPlan | Joining) -> list[str]:
    """Devices and trunks, in the order of the stages."""
    return [
        name
        for stage in plan.stages
        for target in stage.targets
        for name in (target.auth_users if isinstance(target, Target) else (target.trunk_id,))
    ]


# --- refusals -----------------------------------------------------------------------------------------------------


async def spoken(office: Office, dialled: str, **changes: Any) -> CallPlan | None:
    """What is said to the phone whose call is refused."""
    request = office.request(dialled, **changes)
    refusal = await office.planner.plan(request, NOW)
    assert isinstance(refusal, Refusal), refusal
    return await office.planner.plan_refusal(request, refusal, NOW)


@pytest.mark.promise("P13")
async def test_a_refusal_is_spoken_in_the_callers_language_and_leaves_no_trace(office: Office) -> None:
    async with office.db.transaction() as tx:
        dora = await accounts.add(tx, "dora", "204", "Dora", NOW, language="en")
        await devices.add(tx, dora.id, "phone", "dora-1", "0" * 32, NOW)
    for name, language in (("alice", "fr"), ("dora", "en")):
        plan = await spoken(office, "0004930123456", auth_user=f"{name}-1", from_user=name)
        assert plan is not None and plan.kind is LineKind.REFUSAL and plan.refusal is not None
        assert (plan.refusal.code, plan.refusal.cause) == (403, "not-permitted")
        assert list(plan.prompts) == [("PROMPT_NOT_PERMITTED", language)] and plan.caller.language == language
        assert plan.metadata_class == "none" and not plan.recording.record and plan.line_id is None
        assert not plan.stages and plan.ceiling is None and plan.callee.number == ""


@pytest.mark.parametrize(
    ("dialled", "prompt"),
    [("799", "PROMPT_UNKNOWN"), ("202", "PROMPT_LOOP"), ("0044205550100", "PROMPT_NOT_PERMITTED")],
)
async def test_each_refusal_has_its_words(office: Office, dialled: str, prompt: str) -> None:
    await office.choose("bob", forward_always="203")
    await office.choose("carol", forward_always="202")
    plan = await spoken(office, dialled)
    assert plan is not None and plan.service == prompt


async def test_a_limit_is_spoken_and_a_trunk_or_stranger_is_told_nothing(office: Office) -> None:
    await office.limit(limits.of_account(office.ids["alice"]), max_calls=1)
    office.live.uses = {limits.of_account(office.ids["alice"]): RunningUse(1, 9.0, 0)}
    plan = await spoken(office, "00123456789")
    assert plan is not None and plan.service == "PROMPT_LIMIT" and plan.refusal is not None and plan.refusal.code == 486
    refusal = await office.refusal("799")
    trunk = office.request("799", trunk=office.trunks["first"].id, auth_user="", from_user="+33199000000")
    assert await office.planner.plan_refusal(trunk, refusal, NOW) is None
    assert await office.planner.plan_refusal(office.request("799", auth_user=""), refusal, NOW) is None
    assert await office.planner.plan_refusal(office.request("799", auth_user="mallory-1"), refusal, NOW) is None


@pytest.mark.parametrize("state", ["busy", "dnd", "away", "revoked", "forged"])
async def test_what_phones_show_well_enough_or_what_is_nobodys_business_has_no_words(
    office: Office, state: str
) -> None:
    await office.choose("bob", dnd=state == "dnd", call_waiting=state != "busy")
    office.live.busy = {office.ids["bob"]} if state == "busy" else set()
    office.registrations.away = {"bob-1"} if state == "away" else set()
    if state == "revoked":
        async with office.db.transaction() as tx:
            await accounts.disable(tx, office.ids["alice"], NOW)
    assert await spoken(office, "202", **({"from_user": "bob"} if state == "forged" else {})) is None


async def test_where_somebody_elses_forward_leads_is_not_spoken_about(office: Office) -> None:
    """Who calls Bob has dialled nothing abroad, and has no business with what Bob may."""
    await office.choose("bob", forward_always="0004930123456")
    assert (await office.refusal("202")).cause == "not-permitted" and await spoken(office, "202") is None


# --- out ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P3", "P14")
async def test_a_call_out_tries_the_trunks_in_turn(office: Office) -> None:
    plan = await office.plan("00123456789")
    first, second = (office.trunks[name] for name in ("first", "second"))
    assert rung(plan) == [first.id, second.id]
    assert [(stage.parent, set(stage.after)) for stage in plan.stages] == [(-1, set()), (0, {"trunk-failed"})]
    assert {way.number for way in ways(plan)} == {"+33123456789"}
    assert [way.leg for way in ways(plan)] == ["b0", "b1"]
    assert (plan.direction, plan.staff, plan.line_id) == ("outbound", frozenset({"a"}), None)
    assert (plan.callee.number, plan.callee.account_id, plan.callee.country) == ("00123456789", None, "FR")
    assert plan.music == Path("/music.wav") and plan.ceiling is None and not plan.emergency
    way = ways(plan)[0]
    assert way.from_user == ALICE_DID and way.payer == office.ids["alice"]
    assert way.microeuros_per_minute == rates.load().by_class["national"].per_minute


@pytest.mark.promise("P3")
async def test_a_trunk_that_is_down_is_tried_last_and_a_full_or_disabled_one_not_at_all(office: Office) -> None:
    first, second = (office.trunks[name] for name in ("first", "second"))
    office.live.down = {first.id}
    assert rung(await office.plan("00123456789")) == [second.id, first.id]
    office.live.used = {first.id: first.max_channels}
    assert rung(await office.plan("00123456789")) == [second.id]
    async with office.db.transaction() as tx:
        await trunks.disable(tx, second.id)
    refusal = await office.refusal("00123456789")
    assert (refusal.code, refusal.cause, refusal.prompt) == (503, "trunk-failed", "PROMPT_LINES_BUSY")
    async with office.db.transaction() as tx:
        await trunks.disable(tx, first.id)
    refusal = await office.refusal("00123456789")
    assert (refusal.code, refusal.prompt) == (503, "PROMPT_TRUNK_FAILED")


@pytest.mark.promise("P13")
@pytest.mark.parametrize("dialled", ["0004930123456", "+4930123456", "00899123456", "0118712", "+870773111632"])
async def test_what_is_closed_is_refused_until_it_is_opened(office: Office, dialled: str) -> None:
    refusal = await office.refusal(dialled)
    assert (refusal.code, refusal.cause, refusal.prompt) == (403, "not-permitted", "PROMPT_NOT_PERMITTED")
    await office.limit(limits.of_account(office.ids["bob"]), international=True, premium=True)
    assert (await office.refusal(dialled)).cause == "not-permitted", "what is opened for Bob is not for Alice"
    await office.limit(limits.of_account(office.ids["alice"]), international=True, premium=True)
    assert ways(await office.plan(dialled))


@pytest.mark.promise("P13")
async def test_minutes_and_money_that_are_left_are_the_ceiling(office: Office) -> None:
    owner = limits.of_account(office.ids["alice"])
    await office.limit(owner, minutes_per_day=10)
    async with office.db.transaction() as tx:
        await usage.add(tx, owner, NOW.date(), 240, 0)
    office.live.uses = {owner: RunningUse(1, 60.0, 0)}
    plan = await office.plan("00123456789")
    assert plan.ceiling is not None and (plan.ceiling.talk_s, plan.ceiling.warn_s) == (300.0, (60.0,))
    assert ("PROMPT_CEILING", "fr") in plan.prompts and ("PROMPT_CEILING_END", "fr") in plan.prompts
    assert all(way.ceiling == plan.ceiling for way in ways(plan))
    async with office.db.transaction() as tx:
        await usage.add(tx, owner, NOW.date(), 300, 0)
    assert (await office.refusal("00123456789")).cause == "limit"
    assert rung(await office.plan("202")) == ["bob-1"], "within the house there is no limit"


@pytest.mark.promise("P13")
async def test_a_trunk_has_limits_of_its_own(office: Office) -> None:
    first, second = (office.trunks[name] for name in ("first", "second"))
    await office.limit(limits.of_trunk(first.id), minutes_per_month=1)
    async with office.db.transaction() as tx:
        await usage.add(tx, limits.of_trunk(first.id), NOW.date().replace(day=1), 60, 0)
    assert rung(await office.plan("00123456789")) == [second.id]
    await office.limit(limits.of_trunk(second.id), max_calls=1)
    office.live.uses = {limits.of_trunk(second.id): RunningUse(1, 5.0, 0)}
    assert (await office.refusal("00123456789")).cause == "limit"


@pytest.mark.promise("P3")
async def test_what_is_presented_is_the_accounts_own_unless_it_may_choose_another(office: Office) -> None:
    await office.line("300", "alice", did=OFFICE_DID)
    await office.choose("alice", presented=OFFICE_DID)
    assert {way.from_user for way in ways(await office.plan("00123456789"))} == {OFFICE_DID}
    await office.choose("alice", presented=BOB_DID)
    assert {way.from_user for way in ways(await office.plan("00123456789"))} == {ALICE_DID}
    carol = await office.plan("00123456789", auth_user="carol-1", from_user="carol")
    assert {way.from_user for way in ways(carol)} == {MAIN}


@pytest.mark.promise("P3")
@pytest.mark.parametrize("how", ["settings", "from", "privacy"])
async def test_who_hides_is_anonymous_to_all_but_the_provider(office: Office, how: str) -> None:
    changes: dict[str, Any] = {"from": {"from_user": "anonymous"}, "privacy": {"private": True}}.get(how, {})
    await office.choose("alice", hide_number=how == "settings")
    way = ways(await office.plan("00123456789", **changes))[0]
    assert (way.from_user, way.headers["Privacy"]) == ("anonymous", "id")
    assert ALICE_DID in way.headers["P-Asserted-Identity"]


@pytest.mark.promise("2.1", "L1")
async def test_outside_is_asked_where_the_call_is_made_on_behalf_of_a_recorded_line(office: Office) -> None:
    line = await office.line("300", "alice", did=OFFICE_DID, pack="REC_QUALITY")
    plain = await office.plan("00123456789")
    assert not plain.recording.record and plain.line_id is None
    await office.choose("alice", presented=OFFICE_DID)
    plan = await office.plan("00123456789")
    assert plan.recording.record and plan.line_id == line.id
    by_leg = {terms.leg: terms for terms in plan.recording.legs}
    assert by_leg["b"].mode is ConsentMode.OPT_OUT and by_leg["a"].prompt_id == "PROMPT_STAFF"
    for terms in plan.recording.legs:
        assert terms.prompt_id is None or (terms.prompt_id, terms.language) in plan.prompts
    await office.limit(limits.of_account(office.ids["alice"]), international=True)
    german = await office.plan("+4930123456")
    assert next(t for t in german.recording.legs if t.leg == "b").mode is ConsentMode.OPT_IN


@pytest.mark.promise("3.3", "L5")
async def test_a_help_line_is_not_recorded_leaves_no_trace_and_knows_no_limit(office: Office) -> None:
    await office.line("300", "alice", did=OFFICE_DID, pack="REC_QUALITY")
    await office.choose("alice", presented=OFFICE_DID)
    await office.limit(limits.of_account(office.ids["alice"]), max_calls=1, minutes_per_day=1)
    office.live.uses = {limits.of_account(office.ids["alice"]): RunningUse(9, 9e9, 0)}
    plan = await office.plan("3919")
    assert plan.metadata_class == "none" and not plan.recording.record and plan.line_id is None
    assert (await office.refusal("00123456789")).cause == "limit"


@pytest.mark.promise("P4")
async def test_wide_band_is_planned_where_it_is_offered(office: Office) -> None:
    assert (await office.plan("202", g722=True)).wideband and not (await office.plan("202")).wideband
    assert (await office.plan("00123456789", g722=True)).wideband


async def test_whatever_is_dialled_is_answered(office: Office) -> None:
    """By phones and by providers: digits, codes, signs, and what has no place in a number."""
    await office.line("*43", "bob", kind="echo")
    chance = random.Random(11)  # noqa: S311 - a draw, not a secret
    alphabet = "0123456789" * 3 + "*#+" * 4 + " -.;:@%<>\"'\\\x00\r\n\u0663éA"
    for _ in range(40):
        lead = chance.choice(["", "", "*", "**", "*72", "*8", "+33", "0", "00", "tel:", "112"])
        dialled = lead + "".join(chance.choices(alphabet, k=chance.randint(0, 14)))
        for found in (await office.planner.plan(office.request(dialled), NOW), await office.incoming(dialled, dialled)):
            assert isinstance(found, (CallPlan, Refusal))
            if isinstance(found, Refusal):
                assert re.fullmatch(r"[A-Za-z0-9 ,.'/()-]{1,80}", found.reason), "what the edge can send"
                continue
            for way in ways(found):
                assert re.fullmatch(r"\+?[0-9]{2,20}", way.number), "what the edge can dial"
            assert not re.search(r"[\x00-\x1f]", found.caller.number + found.callee.number)


# --- in -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P3", "P14")
@pytest.mark.parametrize(
    "sent",
    [
        {"request_user": "+33140000001"}, {"request_user": "33140000001"}, {"request_user": "0033140000001"},
        {"request_user": "0140000001"}, {"request_user": "company1", "to_user": "+33140000001"},
        {"request_user": "company1", "to_user": "0140000001"},
    ],
)  # fmt: skip
async def test_a_number_of_ours_rings_whose_it_is_however_it_is_written(office: Office, sent: dict[str, str]) -> None:
    plan = await office.incoming(sent["request_user"], to_user=sent.get("to_user", ""))
    assert isinstance(plan, CallPlan) and rung(plan) == ["alice-1"]
    assert (plan.direction, plan.staff, plan.trunk_id) == ("inbound", frozenset({"b"}), office.trunks["first"].id)
    assert plan.callee.account_id == office.ids["alice"]


@pytest.mark.promise("P3")
@pytest.mark.parametrize("number", ["+33149999999", "202", "alice", "", "112", "*43", "company1", MAIN])
async def test_a_number_that_is_none_of_ours_is_404(office: Office, number: str) -> None:
    found = await office.incoming(number)
    assert isinstance(found, Refusal) and found.code == 404


@pytest.mark.promise("P3")
@pytest.mark.parametrize(
    ("sent", "shown", "country"),
    [
        ({"caller": "+33199000000"}, "00199000000", "FR"),
        ({"caller": "0033199000000"}, "00199000000", "FR"),
        ({"caller": "0262301234"}, "00262301234", "RE"),
        ({"caller": "+4930123456"}, "+4930123456", "DE"),
        ({"caller": "x", "asserted": "+4930123456"}, "+4930123456", "DE"),
        ({"caller": "anonymous"}, "anonymous", None),
        ({"caller": "anonymous", "asserted": "+4930123456", "private": True}, "anonymous", "DE"),
    ],
)
async def test_the_caller_is_shown_as_the_phone_can_dial_it_back(
    office: Office, sent: dict[str, Any], shown: str, country: str | None
) -> None:
    plan = await office.incoming(ALICE_DID, **sent)
    assert isinstance(plan, CallPlan)
    assert (plan.caller.number, plan.caller.country, plan.caller.account_id) == (shown, country, None)
    assert plan.caller_hidden is (shown == "anonymous")


@pytest.mark.promise("P14")
async def test_a_canvasser_is_shown_as_one(office: Office) -> None:
    for caller, display in (("+33162123456", "Démarchage"), ("+33199000000", ""), ("anonymous", "Anonymous")):
        plan = await office.incoming(ALICE_DID, caller)
        assert isinstance(plan, CallPlan) and plan.caller.display == display


@pytest.mark.promise("2.1", "L1")
async def test_who_calls_a_recorded_line_is_asked_by_the_country_of_the_number(office: Office) -> None:
    line = await office.line("300", "alice", "bob", did=OFFICE_DID, pack="REC_QUALITY")
    for caller, mode in (
        ("+33199000000", ConsentMode.OPT_OUT), ("+4930123456", ConsentMode.OPT_IN), ("anonymous", ConsentMode.OPT_IN),
    ):  # fmt: skip
        plan = await office.incoming(OFFICE_DID, caller)
        assert isinstance(plan, CallPlan) and plan.line_id == line.id
        assert set(rung(plan)) == {"alice-1", "bob-1"}
        assert next(terms for terms in plan.recording.legs if terms.leg == "a").mode is mode


@pytest.mark.promise("P3")
async def test_a_number_of_one_provider_is_not_reached_by_another_or_a_disabled_one(office: Office) -> None:
    async with office.db.transaction() as tx:
        await numbers_owned.add(tx, OFFICE_DID, account_id=office.ids["alice"], trunk_id=office.trunks["second"].id)
    assert isinstance(await office.incoming(OFFICE_DID), Refusal)
    assert isinstance(await office.incoming(OFFICE_DID, trunk=office.trunks["second"].id), CallPlan)
    async with office.db.transaction() as tx:
        await trunks.disable(tx, office.trunks["second"].id)
    found = await office.incoming(OFFICE_DID, trunk=office.trunks["second"].id)
    assert isinstance(found, Refusal) and found.code == 403
    stranger = await office.incoming(OFFICE_DID, trunk="f" * 32)
    assert isinstance(stranger, Refusal) and stranger.code == 403


async def test_the_echo_test_is_not_for_the_world(office: Office) -> None:
    await office.line("*43", kind="echo", did=OFFICE_DID)
    assert isinstance(await office.incoming(OFFICE_DID), Refusal)


# --- emergency ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P12")
@pytest.mark.parametrize("dialled", ["112", "0112", "15", "+33112", "*8112", "1 1 2", "116000", "112%23"])
async def test_an_emergency_passes_everything(office: Office, dialled: str) -> None:
    nothing = {"international": False, "premium": False, "minutes_per_day": 1, "cents_per_day": 1, "max_calls": 1}
    for owner in (limits.DEFAULT, limits.of_account(office.ids["alice"]), limits.of_trunk(office.trunks["first"].id)):
        await office.limit(owner, **nothing)
        office.live.uses[owner] = RunningUse(9, 9e9, 10**9)
    first, second = (office.trunks[name] for name in ("first", "second"))
    office.live.used = {first.id: 999, second.id: 999}
    async with office.db.transaction() as tx:
        await accounts.disable(tx, office.ids["alice"], NOW)
    await office.choose("alice", hide_number=True)
    for changes in ({}, {"from_user": "mallory"}, {"savp": False}, {"auth_user": "mallory-1"}, {"auth_user": ""}):
        plan = await office.plan(dialled, **changes)
        assert plan.emergency and not plan.recording.record and plan.ceiling is None and plan.prompts == {}
        assert rung(plan)[:2] == [first.id, second.id]
        assert all("trunk-failed" in stage.after and "declined" in stage.after for stage in plan.stages[1:])
        for way in ways(plan):
            assert way.headers["Geolocation"] == "<https://acme.example/site.xml>" and way.ceiling is None
            assert "Privacy" not in way.headers and way.from_user in (ALICE_DID, MAIN)


@pytest.mark.promise("P12")
async def test_the_trunks_named_for_emergencies_come_first_and_each_account_has_its_place(office: Office) -> None:
    office.planner.habits = replace(HABITS, emergency_trunks=("second",))
    plan = await office.plan("112", auth_user="bob-1", from_user="bob")
    assert set(rung(plan)) == {office.trunks["second"].id} and len(plan.stages) == 2  # asked twice
    assert ways(plan)[0].headers["Geolocation"] == "<https://acme.example/bob.xml>"
    assert ways(plan)[0].from_user == BOB_DID and plan.caller.account_id == office.ids["bob"]


@pytest.mark.promise("P12")
async def test_an_emergency_is_recorded_only_where_a_statute_says_so(office: Office) -> None:
    await office.line("300", "alice", pack="REC_QUALITY")
    assert not (await office.plan("112")).recording.record
    await office.line("400", "alice", pack="REC_EMERGENCY", statute="SDIS: art. L742-11 CSI")
    plan = await office.plan("112")
    assert plan.recording.record and plan.recording.mode is ConsentMode.NONE
    assert not [terms for terms in plan.recording.legs if terms.prompt_id is not None]


@pytest.mark.promise("P12")
async def test_a_discreet_number_leaves_no_trace(office: Office) -> None:
    assert (await office.plan("119")).metadata_class == "none"
    assert (await office.plan("15")).metadata_class == "minimal"


@pytest.mark.promise("P12")
async def test_a_drill_never_leaves_the_machine(office: Office) -> None:
    plan = await office.plan("*112")
    assert plan.kind is LineKind.DRILL and plan.stages == () and not plan.emergency
    assert plan.service == "PROMPT_DRILL" and ("PROMPT_DRILL", "fr") in plan.prompts
    office.planner.habits = replace(HABITS, drill=True)
    plan = await office.plan("112")
    assert plan.kind is LineKind.DRILL and plan.stages == () and plan.service == "PROMPT_DRILL_SWITCHED_ON"


async def helped(office: Office, name: str, presented: str, ago_min: int = 10) -> None:
    async with office.db.transaction() as tx:
        at = NOW - timedelta(minutes=ago_min)
        call = EmergencyCall("c" * 32, at, office.ids[name], "112", None, False, "answered", ())
        await emergency_calls.add(tx, call, presented=presented)


@pytest.mark.promise("P12")
async def test_the_service_that_calls_back_reaches_who_called_for_help(office: Office) -> None:
    await office.choose("alice", dnd=True, forward_always="202")
    await helped(office, "alice", ALICE_DID)
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan) and rung(plan) == ["alice-1"]


@pytest.mark.promise("P12")
async def test_a_call_back_to_a_number_of_all_rings_who_called_for_help_along_with_the_others(office: Office) -> None:
    await office.line("300", "bob", did=MAIN)
    await office.choose("carol", dnd=True)
    await helped(office, "carol", MAIN)
    plan = await office.incoming(MAIN)
    assert isinstance(plan, CallPlan) and set(rung(plan)) == {"bob-1", "carol-1"} and len(plan.stages) == 1
    later = await office.planner.plan(
        office.request(MAIN, trunk=office.trunks["first"].id, auth_user=""), NOW + timedelta(hours=2)
    )
    assert isinstance(later, CallPlan) and rung(later) == ["bob-1"]


@pytest.mark.promise("P12")
async def test_a_call_back_to_a_number_that_leads_nowhere_else_rings_who_called_for_help(office: Office) -> None:
    async with office.db.transaction() as tx:
        await numbers_owned.add(tx, MAIN)
    assert isinstance(await office.incoming(MAIN), Refusal)
    await helped(office, "carol", MAIN)
    plan = await office.incoming(MAIN)
    assert isinstance(plan, CallPlan) and rung(plan) == ["carol-1"]


# --- forwards -----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P5", "P13")
async def test_a_forward_outside_goes_by_the_permission_and_the_number_of_who_forwards(office: Office) -> None:
    await office.choose("bob", forward_no_answer="0004930123456", no_answer_s=15)
    await office.limit(limits.of_account(office.ids["alice"]), international=True)  # no help to Bob
    assert rung(await office.plan("202")) == ["bob-1"]
    await office.limit(limits.of_account(office.ids["bob"]), international=True, minutes_per_day=5)
    plan = await office.plan("202")
    assert rung(plan) == ["bob-1", office.trunks["first"].id, office.trunks["second"].id]
    assert plan.stages[0].ring_s == 15.0 and plan.stages[1].after == {"no-answer"}
    way = ways(plan)[0]
    assert (way.payer, way.from_user) == (office.ids["bob"], BOB_DID)
    assert way.headers["Diversion"] == f"<sip:{BOB_DID}@first.example>;reason=no-answer"
    assert way.ceiling is not None and way.ceiling.talk_s == 300.0 and plan.ceiling is None
    assert ("PROMPT_CEILING", "fr") in plan.prompts


@pytest.mark.promise("P12", "P5")
@pytest.mark.parametrize("to", ["112", "0112", "15"])
async def test_nobody_forwards_to_an_emergency_number(office: Office, to: str) -> None:
    await office.choose("bob", forward_always=to)
    assert isinstance(await office.planner.plan(office.request("202"), NOW), Refusal)


@pytest.mark.promise("P5")
async def test_a_loop_of_forwards_is_482(office: Office) -> None:
    await office.choose("bob", forward_always="203")
    await office.choose("carol", forward_always="bob")
    refusal = await office.refusal("202")
    assert (refusal.code, refusal.cause) == (482, "loop")


@pytest.mark.promise("P5")
async def test_do_not_disturb_busy_and_unregistered_are_seen_by_the_caller(office: Office) -> None:
    await office.choose("bob", dnd=True)
    assert (await office.refusal("202")).code == 480
    await office.choose("bob", dnd=False, call_waiting=False)
    office.live.busy = {office.ids["bob"]}
    assert (await office.refusal("202")).code == 486
    await office.choose("bob", call_waiting=True)
    assert rung(await office.plan("202")) == ["bob-1"]
    office.registrations.away = {"bob-1"}
    await office.choose("bob", forward_unregistered="203")
    assert rung(await office.plan("202")) == ["carol-1"]


@pytest.mark.promise("P5", "P3")
async def test_an_incoming_call_follows_forwards_too(office: Office) -> None:
    await office.choose("alice", forward_always="00612345678")
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan) and plan.direction == "inbound"
    assert rung(plan) == [office.trunks["first"].id, office.trunks["second"].id]
    assert ways(plan)[0].number == "+33612345678" and ways(plan)[0].payer == office.ids["alice"]


# --- codes --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P5")
async def test_do_not_disturb_is_set_and_unset_by_phone(office: Office) -> None:
    plan = await office.plan("*78")
    assert (plan.kind, plan.service, plan.metadata_class) == (LineKind.SERVICE, "PROMPT_DND_ON", "none")
    assert ("PROMPT_DND_ON", "fr") in plan.prompts and plan.stages == ()
    assert (await office.settings("alice")).dnd
    assert (await office.plan("*79")).service == "PROMPT_DND_OFF" and not (await office.settings("alice")).dnd


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("on", "off", "name"),
    [
        ("*72", "*73", "forward_always"), ("*90", "*91", "forward_busy"),
        ("*52", "*53", "forward_no_answer"), ("*54", "*55", "forward_unregistered"),
    ],
)  # fmt: skip
async def test_forwards_are_set_and_unset_by_phone(office: Office, on: str, off: str, name: str) -> None:
    for to in ("202", "00612345678"):
        plan = await office.plan(f"{on}{to}")
        assert plan.service == "PROMPT_FORWARD_ON" and getattr(await office.settings("alice"), name) == to
        assert to not in plan.callee.number, "where somebody forwards to is not for the record"
    assert (await office.plan(off)).service == "PROMPT_FORWARD_OFF"
    assert getattr(await office.settings("alice"), name) is None


@pytest.mark.promise("P5", "P13")
@pytest.mark.parametrize("to", ["112", "999", "00899123456", "+4930123456", "201", "alice-9"])
async def test_a_forward_that_could_not_be_followed_is_not_set(office: Office, to: str) -> None:
    assert (await office.plan(f"*72{to}")).service == "PROMPT_FORWARD_REFUSED"
    assert (await office.settings("alice")).forward_always is None


@pytest.mark.promise("P5")
async def test_a_forward_that_would_come_back_is_not_set(office: Office) -> None:
    await office.choose("bob", forward_always="203")
    await office.choose("carol", forward_always="201")
    assert (await office.plan("*72202")).service == "PROMPT_FORWARD_REFUSED"


@pytest.mark.promise("P4")
async def test_only_members_of_a_common_line_pick_up_each_others_calls(office: Office) -> None:
    office.live.rings = {office.ids["bob"]: "r" * 32}
    failed = await office.plan("**202")
    assert (failed.kind, failed.service) == (LineKind.SERVICE, "PROMPT_PICKUP_FAILED")
    await office.line("300", "alice", "bob")
    plan = await office.plan("**202")
    assert plan.pickup == "r" * 32 and plan.kind is LineKind.RING
    assert (await office.plan("**300")).pickup == "r" * 32
    assert (await office.plan("**300", auth_user="carol-1", from_user="carol")).pickup is None
    office.live.rings = {}
    assert (await office.plan("**202")).service == "PROMPT_PICKUP_FAILED"


@pytest.mark.promise("L5")
async def test_a_private_call_is_neither_recorded_nor_kept(office: Office) -> None:
    await office.line("300", "bob", did=OFFICE_DID, pack="REC_QUALITY", metadata_class="standard")
    plan = await office.plan("*8300")
    assert plan.private and not plan.recording.record and plan.metadata_class == "none" and rung(plan) == ["bob-1"]
    out = await office.plan("*800123456789")
    assert out.private and out.metadata_class == "none" and ways(out)[0].number == "+33123456789"
    await office.line("400", "bob", pack="REC_MIFID", statute="Art. L533-10 CMF")
    assert (await office.refusal("*8400")).cause == "not-permitted"
    assert (await office.refusal("*8+4930123456")).cause == "not-permitted", "private is not without limits"


# --- transfers and click-to-call ----------------------------------------------------------------------------------


def transfer(office: Office, plan: CallPlan, target: str) -> TransferRequest:
    """Alice, who is called, passes her caller on."""
    alice = Party(office.ids["alice"], "201", "Alice", "fr", "FR")
    return TransferRequest(plan, alice, plan.caller, target)


@pytest.mark.promise("P4")
async def test_a_caller_is_passed_on_to_a_colleague(office: Office) -> None:
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan)
    joining = await office.planner.plan_transfer(transfer(office, plan, "202"), NOW)
    assert isinstance(joining, Joining) and rung(joining) == ["bob-1"]
    assert [t.leg for stage in joining.stages for t in stage.targets] == ["c0"]
    assert joining.callee.account_id == office.ids["bob"] and joining.terms == ()
    german = replace(plan, caller=replace(plan.caller, language="en"))
    told = await office.planner.plan_transfer(transfer(office, german, "202"), NOW)
    assert isinstance(told, Joining), "should it fail, both who stays and who asked for it may have to hear so"
    assert {key for key in told.prompts if key[0] == "PROMPT_TRANSFER_FAILED"} == {
        ("PROMPT_TRANSFER_FAILED", "en"),
        ("PROMPT_TRANSFER_FAILED", "fr"),
    }


@pytest.mark.promise("P4", "L1")
async def test_whoever_joins_a_recorded_call_is_asked(office: Office) -> None:
    await office.line("300", "alice", did=OFFICE_DID, pack="REC_QUALITY")
    plan = await office.incoming(OFFICE_DID)
    assert isinstance(plan, CallPlan)
    inside = await office.planner.plan_transfer(transfer(office, plan, "202"), NOW)
    assert isinstance(inside, Joining) and [terms.prompt_id for terms in inside.terms] == ["PROMPT_STAFF"]
    outside = await office.planner.plan_transfer(transfer(office, plan, "00123456789"), NOW)
    assert isinstance(outside, Joining) and outside.terms[0].mode is ConsentMode.OPT_OUT
    assert ("PROMPT_CEILING", "fr") in outside.prompts and ("PROMPT_CEILING", "fr") not in inside.prompts
    for joining in (inside, outside):
        for terms in joining.terms:
            assert terms.leg == "c" and (terms.prompt_id, terms.language) in joining.prompts
    attended = await office.planner.plan_joining(plan, plan.caller, Party(None, "00123456789", "", "fr", "FR"), NOW)
    assert attended.stages == () and [terms.leg for terms in attended.terms] == ["c"]


@pytest.mark.promise("P4", "L1")
async def test_where_the_newcomer_has_to_agree_and_the_other_was_not_asked_so_nothing_is_recorded(
    office: Office,
) -> None:
    await office.line("300", "alice", did=OFFICE_DID, pack="REC_QUALITY")
    plan = await office.incoming(OFFICE_DID)
    assert isinstance(plan, CallPlan) and plan.recording.mode is ConsentMode.OPT_OUT
    german = Party(None, "+4930123456", "", "en", "DE")
    assert (await office.planner.plan_joining(plan, plan.caller, german, NOW)).terms == ()
    strict = await office.incoming(OFFICE_DID, "+4930999999")
    assert isinstance(strict, CallPlan) and strict.recording.mode is ConsentMode.OPT_IN
    joined = await office.planner.plan_joining(strict, strict.caller, german, NOW)
    assert [terms.mode for terms in joined.terms] == [ConsentMode.OPT_IN]


@pytest.mark.promise("P13", "P4")
@pytest.mark.parametrize(
    ("target", "code"),
    [("0004930123456", 403), ("00899123456", 403), ("112", 403), ("999", 404), ("", 404), ("nobody", 404)],
)
async def test_a_transfer_to_nowhere_or_to_what_is_closed_is_refused(office: Office, target: str, code: int) -> None:
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan)
    found = await office.planner.plan_transfer(transfer(office, plan, target), NOW)
    assert isinstance(found, Refusal) and found.code == code


@pytest.mark.promise("P13")
async def test_somebody_outside_transfers_nobody(office: Office) -> None:
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan)
    alice = Party(office.ids["alice"], "201", "Alice", "fr", "FR")
    found = await office.planner.plan_transfer(TransferRequest(plan, plan.caller, alice, "202"), NOW)
    assert isinstance(found, Refusal) and found.code == 403
    order = TransferRequest(plan, plan.caller, alice, "202", by_operator=True)
    joining = await office.planner.plan_transfer(order, NOW)
    assert isinstance(joining, Joining) and rung(joining) == ["bob-1"]
    abroad = await office.planner.plan_transfer(replace(order, target="+4930123456"), NOW)
    assert isinstance(abroad, Refusal) and abroad.cause == "not-permitted"


async def test_a_transfer_makes_the_trace_as_small_as_the_strictest_asks(office: Office) -> None:
    async with office.db.transaction() as tx:
        made = await accounts.add(tx, "elected", "205", "Elected", NOW, metadata_class="none")
        await devices.add(tx, made.id, "phone", "elected-1", "0" * 32, NOW)
    plan = await office.incoming(ALICE_DID)
    assert isinstance(plan, CallPlan) and plan.metadata_class == "minimal"
    joining = await office.planner.plan_transfer(transfer(office, plan, "205"), NOW)
    assert isinstance(joining, Joining) and joining.metadata_class == "none"


@pytest.mark.promise("P4")
async def test_click_to_call_rings_the_own_phone_first(office: Office) -> None:
    inside = await office.planner.plan_origination("alice", "202", NOW)
    assert isinstance(inside, CallPlan) and inside.originated and rung(inside) == ["alice-1", "bob-1"]
    outside = await office.planner.plan_origination("alice", "00123456789", NOW)
    assert isinstance(outside, CallPlan) and outside.direction == "outbound"
    assert rung(outside) == ["alice-1", office.trunks["first"].id, office.trunks["second"].id]
    assert [stage.parent for stage in outside.stages] == [-1, -1, 1]
    assert len({t.leg for stage in outside.stages for t in stage.targets}) == 3
    for name, number, code in (("nobody", "202", 404), ("alice", "+4930123456", 403), ("alice", "112", 403)):
        found = await office.planner.plan_origination(name, number, NOW)
        assert isinstance(found, Refusal) and found.code == code
    office.registrations.away = {"alice-1"}
    assert isinstance(await office.planner.plan_origination("alice", "00123456789", NOW), Refusal)
