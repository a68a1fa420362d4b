"""Who may call whom, what rings, on which terms: pure decisions, and the planner on a real directory."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.consent import ConsentMode
from retention.metadata import MetadataClass
from retention.recording_decision import CompanyFacts
from sip.calls.forwarding import merged
from sip.calls.plan import CallPlan, LineKind, PromptFile, Refusal, Target, contact_key
from sip.calls.planning import DirectoryPlanner, Timing, check_identity, check_media
from sip.calls.planning_directory import is_ipv6, ways
from sip.calls.planning_terms import metadata_class
from sip.edge.protocol import EdgeRequest
from sip.edge.state import Contact
from storage import accounts, devices, lines
from storage.accounts import Account
from storage.database import Database
from storage.devices import Device
from storage.errors import StorageError
from storage.lines import Line

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"), "https://acme.example/rights", "dpo@acme.example")
TIMING = Timing(60.0, 14400.0)


def request(**changes: Any) -> EdgeRequest:
    values: dict[str, Any] = {
        "kind": "invite",
        "transaction": (1, 2),
        "call_id": "x",
        "cseq": 1,
        "auth_user": "alice-1",
        "from_user": "alice",
        "request_user": "bob",
        "source": "tls:192.0.2.1:5061",
        "savp": True,
    }
    return EdgeRequest(**(values | changes))


def account(name: str, **changes: Any) -> Account:
    known = Account(f"id-{name}", name, f"20{len(name)}", None, name.title(), "FR", "fr", None, NOW, None)
    return replace(known, **changes)


def device(owner: Account, number: int = 1) -> Device:
    return Device(f"d-{owner.name}-{number}", owner.id, "phone", f"{owner.name}-{number}", NOW, None)


def contact(user: str, table: Any = "tls", host: str = "192.0.2.7") -> Contact:
    return Contact(table, f"sip:{user}@{host}:5060;transport=tls", "", "phone/1", 60)


LINE = Line("l" * 32, "office", "200", "ring", "REC_NONE", None, "minimal", None, None, (), False, NOW, None)
ALICE, BOB, CAROL = account("alice"), account("bob"), account("carol")


# --- pure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_user", ["alice", "alice-1", "205", "anonymous", ""])
def test_a_device_may_name_itself_its_account_its_extension_or_nobody(from_user: str) -> None:
    assert check_identity(request(from_user=from_user), device(ALICE), ALICE) is None


@given(st.text(max_size=20))
def test_every_other_from_is_refused(from_user: str) -> None:
    refusal = check_identity(request(from_user=from_user), device(ALICE), ALICE)
    own = from_user in ("alice", "alice-1", ALICE.extension, "anonymous", "")
    assert (refusal is None) is own
    if refusal is not None:
        assert refusal.code == 403 and (not from_user or from_user not in refusal.reason or len(from_user) < 5)


@pytest.mark.parametrize(
    ("source", "savp", "code"),
    [
        ("tls:192.0.2.1:5061", True, None),
        ("udp:192.0.2.1:5060", False, None),
        ("tcp:192.0.2.1:5060", False, None),
        ("tls:192.0.2.1:5061", False, 488),  # would be heard in clear behind an encrypted signal
        ("udp:192.0.2.1:5060", True, 488),  # its keys have passed in clear
        ("tcp:192.0.2.1:5060", True, 488),
    ],
)
def test_keys_and_audio_are_both_encrypted_or_neither(source: str, savp: bool, code: int | None) -> None:
    refusal = check_media(request(source=source, savp=savp))
    assert (refusal.code if refusal else None) == code


def test_contacts_by_tls_and_others_ring_apart() -> None:
    found = ways(BOB.id, {"bob-1": [contact("bob-1")], "bob-2": [contact("bob-2", "plain")], "bob-3": []})
    assert [(way.auth_users, way.srtp, way.ipv6) for way in found] == [
        (("bob-1",), True, False), (("bob-2",), False, False),
    ]  # fmt: skip


def test_a_device_registered_both_ways_rings_both_ways() -> None:
    found = ways(BOB.id, {"bob-1": [contact("bob-1"), contact("bob-1", "plain")]})
    assert [way.srtp for way in found] == [True, False]


@pytest.mark.promise("P1")
def test_a_phone_that_is_there_by_ipv6_alone_is_offered_ipv6() -> None:
    six = replace(contact("bob-2"), received="sip:[2001:db8::7]:40000;transport=tls")
    found = ways(BOB.id, {"bob-1": [contact("bob-1"), six], "bob-2": [six]})
    assert [(way.auth_users, way.ipv6) for way in found] == [(("bob-1",), False), (("bob-2",), True)]
    assert is_ipv6(contact("x", host="[::1]")) and not is_ipv6(contact("x")) and not is_ipv6(contact("x", host="pbx"))


def test_the_account_that_answers_is_known_by_its_contact() -> None:
    bob = ways(BOB.id, {"bob-1": [contact("bob-1")]})
    carol = ways(CAROL.id, {"carol-1": [contact("carol-1")], "carol-2": [contact("carol-2", "plain")]})
    encrypted, plain = merged([bob, carol])
    assert encrypted.owners[contact_key("<sip:bob-1@192.0.2.7:5060;transport=tls;ob>")] == BOB.id
    assert encrypted.owners[contact_key("sip:carol-1@192.0.2.7:5060")] == CAROL.id
    assert plain.owners == {contact_key("sip:carol-2@192.0.2.7:5060"): CAROL.id}
    assert plain.owners.get(contact_key("sip:mallory@192.0.2.66:5060")) is None


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("<sip:bob@192.0.2.1:5060;transport=tls>;expires=60", "bob@192.0.2.1:5060"),
        ('"Bob" <sips:bob@[2001:db8::1]:5061>', "bob@[2001:db8::1]:5061"),
        ("sip:192.0.2.1", "192.0.2.1"),
        ("sip:bob@host?Replaces=x", "bob@host"),
        ("tel:+33123", ""),
        ("", ""),
    ],
)
def test_a_contact_is_known_again_without_its_parameters(uri: str, key: str) -> None:
    assert contact_key(uri) == key


@given(
    st.dictionaries(
        st.sampled_from([f"bob-{n}" for n in range(4)]), st.lists(st.sampled_from(["tls", "plain"]), max_size=3)
    )
)
def test_what_rings_is_registered(registered: dict[str, list[str]]) -> None:
    found = ways(BOB.id, {user: [contact(user, table) for table in tables] for user, tables in registered.items()})
    expected = {(user, table) for user, tables in registered.items() for table in tables}
    assert {(user, "tls" if way.srtp else "plain") for way in found for user in way.auth_users} == expected


# --- the planner --------------------------------------------------------------------------------------------------


@dataclass
class Registrations:
    """What the edge holds."""

    tls: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)

    async def contacts(self, auth_user: str) -> Sequence[Contact]:
        tables = (("tls", self.tls), ("plain", self.plain))
        return [contact(auth_user, table) for table, users in tables if auth_user in users]


class Prompts:
    """Every prompt there is, but those that a test takes away."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, str]] = set()
        self.missing: set[str] = set()

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        self.asked.add((prompt_id, language))
        if prompt_id in self.missing:
            return None
        return PromptFile(prompt_id, "1", language, "ab" * 32, Path("/x.wav"), 1000)

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None:
        self.asked.add((prompt_id, language))


class House:
    """A directory with alice, bob and carol, each with one device, and a planner."""

    def __init__(self, db: Database) -> None:
        self.db, self.registrations, self.prompts = db, Registrations(), Prompts()
        self.planner = DirectoryPlanner(db, self.registrations, self.prompts, COMPANY, TIMING)
        self.ids: dict[str, str] = {}

    async def person(self, name: str, extension: str, **facts: Any) -> None:
        async with self.db.transaction() as tx:
            made = await accounts.add(tx, name, extension, name.title(), NOW, **facts)
            await devices.add(tx, made.id, "phone", f"{name}-1", "0" * 32, NOW)
        self.ids[name] = made.id

    async def line(self, number: str, *members: str, **facts: Any) -> Line:
        async with self.db.transaction() as tx:
            ids = [self.ids[name] for name in members]
            return await lines.add(tx, f"line{number.strip('*#')}", number, NOW, members=ids, **facts)

    async def plan(self, **changes: Any) -> CallPlan:
        plan = await self.planner.plan(request(**changes), NOW)
        assert isinstance(plan, CallPlan), plan
        return plan

    async def refusal(self, **changes: Any) -> Refusal:
        refusal = await self.planner.plan(request(**changes), NOW)
        assert isinstance(refusal, Refusal), refusal
        return refusal


@pytest.fixture
async def house(db: Database) -> House:
    house = House(db)
    await house.person("alice", "101")
    await house.person("bob", "102", language="en")
    await house.person("carol", "103", country="DE", language="de")
    house.registrations.tls = {"alice-1", "bob-1", "carol-1"}
    return house


@pytest.mark.parametrize("dialled", ["bob", "102"])
async def test_a_call_between_two_accounts(house: House, dialled: str) -> None:
    plan = await house.plan(request_user=dialled)
    contact = "bob-1@192.0.2.7:5060"
    owners, devices = {contact: house.ids["bob"]}, {contact: "bob-1"}
    assert plan.stages[0].targets == (Target("b0", ("bob-1",), True, owners, devices=devices),)
    assert (plan.line_id, plan.kind, plan.metadata_class) == (None, LineKind.RING, "minimal")
    assert not plan.recording.record and plan.prompts == {} and house.prompts.asked == set()
    assert (plan.caller.account_id, plan.caller.number) == (house.ids["alice"], "101")
    assert (plan.callee.account_id, plan.callee.number) == (house.ids["bob"], "102")
    assert (plan.ring_timeout_s, plan.max_duration_s) == (60.0, 14400.0)


async def test_each_call_has_an_id_that_tells_nothing(house: House) -> None:
    first, second = await house.plan(), await house.plan()
    assert first.call_id != second.call_id and len(first.call_id) == 32
    assert first.leg_id("a") != first.leg_id("b0") != second.leg_id("b0")


@pytest.mark.parametrize(
    "number",
    ["999", "nobody", "", "alice-1", "0033", "*43", "*8", "**", "*72", "bob@evil", "\0", "é" * 200],
)
async def test_an_unknown_number_is_404(house: House, number: str) -> None:
    refusal = await house.refusal(request_user=number)
    assert (refusal.code, refusal.cause) == (404, "unknown")
    assert number not in refusal.reason or not number


async def test_who_is_not_registered_is_480(house: House) -> None:
    house.registrations.tls.discard("bob-1")
    assert (await house.refusal()).code == 480


@pytest.mark.promise("P1")
async def test_a_revoked_device_neither_calls_nor_rings(house: House) -> None:
    async with house.db.transaction() as tx:
        await devices.revoke(tx, (await devices.by_auth_user(tx, "alice-1")).id, NOW)
        await devices.revoke(tx, (await devices.by_auth_user(tx, "bob-1")).id, NOW)
    assert (await house.refusal()).cause == "revoked"
    assert (await house.refusal(auth_user="carol-1", from_user="carol")).code == 480  # bob has no device that rings


async def test_a_disabled_account_neither_calls_nor_is_called(house: House) -> None:
    line = await house.line("200", "bob", "carol")
    async with house.db.transaction() as tx:
        await accounts.disable(tx, house.ids["bob"], NOW)
    assert (await house.refusal(auth_user="bob-1", from_user="bob", request_user="alice")).cause == "revoked"
    assert (await house.refusal()).code == 404
    plan = await house.plan(request_user="200")
    assert plan.line_id == line.id and plan.stages[0].targets[0].auth_users == ("carol-1",)


async def test_a_device_that_the_directory_does_not_know_is_refused(house: House) -> None:
    assert (await house.refusal(auth_user="mallory-1")).code == 403


async def test_a_forged_from_is_refused_before_anything_is_looked_up(house: House) -> None:
    refusal = await house.refusal(from_user="bob", request_user="nobody")
    assert (refusal.code, refusal.cause) == (403, "forged-from")


@pytest.mark.parametrize("from_user", ["anonymous", ""])
async def test_an_anonymous_caller_is_shown_as_such_and_known_to_us(house: House, from_user: str) -> None:
    """RFC 3323: the callee is not shown who calls; the record knows."""
    plan = await house.plan(from_user=from_user)
    assert plan.caller_hidden and plan.caller.account_id == house.ids["alice"]
    assert not (await house.plan()).caller_hidden


async def test_a_line_rings_all_its_members_but_the_caller(house: House) -> None:
    line = await house.line("200", "alice", "bob", "carol")
    house.registrations.plain = {"carol-1"}
    plan = await house.plan(request_user="200")
    assert plan.line_id == line.id and plan.callee.account_id is None and plan.callee.number == "200"
    assert [t.auth_users for t in plan.stages[0].targets] == [("bob-1", "carol-1"), ("carol-1",)]


async def test_a_number_with_a_hash_is_found_as_phones_send_it(house: House) -> None:
    """# may not stand in a SIP URI: phones send %23 (RFC 3261 section 19.1.2)."""
    line = await house.line("#31", "bob")
    assert (await house.plan(request_user="%2331")).line_id == line.id
    assert (await house.plan(request_user="#31")).line_id == line.id
    star = await house.line("*21", "bob")
    assert (await house.plan(request_user="%2A21")).line_id == star.id
    assert (await house.plan(request_user="%2A21")).callee.number == "*21"


async def test_a_disabled_line_is_unknown(house: House) -> None:
    line = await house.line("200", "bob")
    async with house.db.transaction() as tx:
        await lines.disable(tx, line.id, NOW)
    assert (await house.refusal(request_user="200")).code == 404


async def test_a_line_without_members_refuses(house: House) -> None:
    await house.line("200")
    assert (await house.refusal(request_user="200")).code == 480


# --- terms --------------------------------------------------------------------------------------------------------


def mode_of(plan: CallPlan, side: str) -> ConsentMode:
    return max(terms.mode for terms in plan.recording.legs if terms.leg.startswith(side))


@pytest.mark.promise("2.1")
async def test_the_purpose_and_the_countries_decide_how_is_asked(house: House) -> None:
    await house.line("200", "bob", pack="REC_QUALITY")
    plan = await house.plan(request_user="200")
    assert plan.recording.record and mode_of(plan, "a") is ConsentMode.OPT_OUT
    assert ("PROMPT_OPTOUT_QUALITY", "fr") in plan.prompts and ("PROMPT_STAFF", "en") in plan.prompts


async def test_members_in_several_countries_the_strictest_counts_for_all(house: House) -> None:
    """Who of them will answer is not known when the caller is asked. Germany: everybody must agree (StGB 201)."""
    await house.line("200", "bob", "carol", pack="REC_QUALITY")
    plan = await house.plan(request_user="200")
    assert mode_of(plan, "a") is ConsentMode.OPT_IN
    assert mode_of(plan, "b") is ConsentMode.OPT_IN
    for terms in plan.recording.legs:
        assert terms.prompt_id is None or (terms.prompt_id, terms.language) in plan.prompts
    alone = await house.plan(auth_user="carol-1", from_user="carol", request_user="200")
    assert mode_of(alone, "a") is ConsentMode.OPT_IN, "carol calls: her own country counts"


async def test_a_caller_of_an_unknown_country_is_asked(house: House) -> None:
    async with house.db.transaction() as tx:
        made = await accounts.add(tx, "dora", "104", "Dora", NOW, country="ZZ")
        await devices.add(tx, made.id, "phone", "dora-1", "0" * 32, NOW)
    await house.line("200", "bob", pack="REC_QUALITY")
    plan = await house.plan(auth_user="dora-1", from_user="dora", request_user="200")
    assert mode_of(plan, "a") is ConsentMode.OPT_IN


@pytest.mark.promise("L1")
async def test_a_prompt_that_cannot_be_had_is_not_in_the_plan(house: House) -> None:
    house.prompts.missing = {"PROMPT_OPTIN"}
    await house.line("200", "bob", pack="REC_QUALITY", consent_mode="opt_in")
    plan = await house.plan(request_user="200")
    assert plan.recording.record and ("PROMPT_OPTIN", "fr") not in plan.prompts
    assert ("PROMPT_TIMEOUT", "fr") in plan.prompts


async def test_the_echo_line_rings_nobody_and_speaks(house: House) -> None:
    await house.line("*43", kind="echo", pack="REC_QUALITY", consent_mode="opt_in")
    house.registrations.tls = {"alice-1"}
    plan = await house.plan(request_user="*43")
    assert plan.kind is LineKind.ECHO and plan.stages == ()
    assert ("PROMPT_ECHO", "fr") in plan.prompts and ("PROMPT_OPTIN", "fr") in plan.prompts
    assert [terms.leg for terms in plan.recording.legs] == ["a"]


CLASSES = [None, "none", "minimal", "standard"]


@pytest.mark.promise("3.3")
@pytest.mark.parametrize("of_line", [None, "standard", "minimal", "none"])
def test_the_strictest_metadata_class_wins(of_line: str | None) -> None:
    """None: an account that asks for nothing, or a call by no line."""
    for caller in CLASSES:
        for callee in CLASSES:
            line = None if of_line is None else replace(LINE, metadata_class=of_line)
            members = (replace(BOB, metadata_class=callee), CAROL)
            kept = metadata_class([replace(ALICE, metadata_class=caller), *members], line)
            asked = [each for each in (caller, callee, of_line or "minimal") if each is not None]
            assert kept == str(max(MetadataClass.parse(each) for each in asked)), (caller, callee)


async def test_a_protected_account_leaves_no_trace_on_any_line(house: House) -> None:
    await house.person("elected", "105", metadata_class="none")
    house.registrations.tls.add("elected-1")
    await house.line("200", "bob", "elected", metadata_class="standard")
    assert (await house.plan(request_user="200")).metadata_class == "none"
    assert (await house.plan(request_user="elected")).metadata_class == "none"
    assert (await house.plan(auth_user="elected-1", from_user="elected")).metadata_class == "none"


async def test_calls_to_a_line_for_reports_leave_no_trace_whatever_the_line_says(house: House) -> None:
    statute = "law 2022-401"
    await house.line("200", "bob", pack="REC_WHISTLEBLOW", statute=statute, metadata_class="standard")
    assert (await house.plan(request_user="200")).metadata_class == "none"


async def test_warming_up_asks_for_every_prompt_that_a_call_could_need(house: House) -> None:
    await house.line("200", "bob", "carol", pack="REC_QUALITY")
    await house.line("*43", kind="echo", pack="REC_QUALITY", consent_mode="opt_in")
    off = await house.line("300", "bob", pack="REC_CONTRACT")
    async with house.db.transaction() as tx:
        await lines.disable(tx, off.id, NOW)
    await house.planner.warm_up(NOW)
    ready, house.prompts.asked = house.prompts.asked, set()
    for caller in ("alice", "bob", "carol"):
        for number in ("200", "*43"):
            await house.plan(auth_user=f"{caller}-1", from_user=caller, request_user=number)
    assert house.prompts.asked and house.prompts.asked <= ready


async def test_an_error_of_the_directory_names_no_number(house: House, tmp_path: Path) -> None:
    """What is looked up stands in the statement that failed; the log shows the whole chain of errors."""
    with sqlite3.connect(tmp_path / "beffroi.sqlite3") as raw:
        raw.execute("DROP TABLE line_members")
        raw.execute("DROP TABLE lines")
    number = "061234" + "5678"  # in two parts: a traceback shows this line
    with pytest.raises(StorageError) as failure:
        await house.plan(request_user=number)
    assert number not in "".join(traceback.format_exception(failure.value))
