"""Calls on behalf of a canvassing line: let through, refused and counted by a clock that the test has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sip.calls.plan import CallPlan, Joining, Refusal
from sip.calls.planning_contact import CAUSE
from storage import (
    consents,
    contact_attempts,
    contact_references,
    expiry,
    limits,
    lines,
    numbers_owned,
    suppressions,
    trunks,
)
from storage.database import Database
from storage.errors import Unavailable
from storage.lines import Line
from storage.tx import Tx
from tests.sip.calls.test_planning_outside import ALICE_DID, MAIN, NOW, OFFICE_DID, Office, transfer

DORIS, DORIS_DIALLED = "+33142123456", "00142123456"
PARIS = ZoneInfo("Europe/Paris")
YEAR = timedelta(days=365)


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


TUESDAY_11 = paris("2026-11-24T11:00")


@pytest.fixture
async def office(db: Database) -> Office:
    """Alice calls on behalf of a line that sells telephones; Bob shows a number of his own."""
    made = Office(db)
    await made.fill()
    line = await made.line("300", "alice", did=OFFICE_DID)
    async with db.transaction() as tx:
        await lines.save(tx, replace(line, canvassing="telecom", canvassing_target="consumer"))
    await made.choose("alice", presented=OFFICE_DID)
    return made


async def sales(office: Office) -> Line:
    async with office.db.read() as tx:
        found = await lines.by_number(tx, "300")
    assert found is not None
    return found


async def agrees(office: Office, given_at: datetime = NOW - YEAR, **more: Any) -> consents.Consent:
    said: dict[str, Any] = {
        "number": DORIS, "channel": "voice", "purpose": "telecom", "act": "checkbox", "given_at": given_at,
        "expires_at": given_at + 3 * YEAR, "legal_basis": "GDPR 6(1)(a)", "kept_until": given_at + 3 * YEAR,
        "collector": "us", "source": "form",
    }  # fmt: skip
    async with office.db.transaction() as tx:
        return await consents.add(tx, NOW, **(said | more))


async def objects(office: Office) -> None:
    async with office.db.transaction() as tx:
        await suppressions.add(
            tx, DORIS, NOW, channel="*", reason="objection", source="cli", since=NOW - YEAR, until=None,
            purpose="objections", legal_basis="GDPR 21(3)", kept_until=NOW + YEAR,
        )  # fmt: skip


async def dial(office: Office, now: datetime, dialled: str = DORIS_DIALLED, **changes: Any) -> CallPlan | Refusal:
    return await office.planner.plan(office.request(dialled, **changes), now)


async def attempts(office: Office) -> list[str]:
    async with office.db.read() as tx:
        return [one.evidence for one in await contact_attempts.of_number(tx, DORIS)]


def refused(found: object, prompt: str) -> bool:
    assert isinstance(found, Refusal), found
    return (found.code, found.cause, found.prompt) == (403, CAUSE, prompt)


@pytest.mark.promise("L4", "2.16")
async def test_at_night_and_on_a_holiday_no_and_at_eleven_yes_on_evidence(office: Office) -> None:
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_CONSENT")
    consent = await agrees(office)
    assert refused(await dial(office, paris("2026-11-24T21:00")), "PROMPT_CONTACT_HOURS")
    assert refused(await dial(office, paris("2027-07-14T11:00")), "PROMPT_CONTACT_HOURS")
    assert await attempts(office) == []
    plan = await dial(office, TUESDAY_11)
    assert isinstance(plan, CallPlan) and plan.contact is not None
    assert (plan.contact.evidence, plan.contact.rule) == (consent.id, "FR.consumers")
    assert await attempts(office) == [consent.id]
    async with office.db.read() as tx:
        kept = (await consents.get(tx, consent.id)).kept_until
    assert kept == paris("2031-11-24T11:00"), "the proof is kept for five years from each use"


@pytest.mark.promise("L4", "2.7")
async def test_whoever_objected_is_not_called(office: Office) -> None:
    await agrees(office)
    await objects(office)
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_SUPPRESSED")
    spoken = await office.planner.plan_refusal(
        office.request(DORIS_DIALLED), await must_refuse(office, TUESDAY_11), TUESDAY_11
    )
    assert spoken is not None and list(spoken.prompts) == [("PROMPT_CONTACT_SUPPRESSED", "fr")]


async def must_refuse(office: Office, now: datetime) -> Refusal:
    found = await dial(office, now)
    assert isinstance(found, Refusal)
    return found


@pytest.mark.promise("L4")
async def test_four_attempts_and_not_a_fifth(office: Office) -> None:
    await agrees(office)
    for day in range(4):
        assert isinstance(await dial(office, TUESDAY_11 + timedelta(days=day)), CallPlan)
    assert refused(await dial(office, paris("2026-12-01T11:00")), "PROMPT_CONTACT_ATTEMPTS")
    assert len(await attempts(office)) == 4
    assert isinstance(await dial(office, paris("2026-12-24T11:00")), CallPlan)
    async with office.db.read() as tx:
        due = await expiry.until(tx, "contact_attempt", paris("2026-12-25T11:00"), limit=9)
    assert len(due) == 1, "the first is deleted when it cannot count any more"


@pytest.mark.promise("L4", "P12")
async def test_ordinary_calls_and_emergencies_are_none_of_its_business(office: Office) -> None:
    await objects(office)
    night = paris("2026-11-22T23:30")  # a Sunday
    as_bob = {"auth_user": "bob-1", "from_user": "bob"}
    plan = await dial(office, night, **as_bob)
    assert isinstance(plan, CallPlan) and plan.contact is None
    for dialled in ("112", "015", "202", "03919"):
        plan = await dial(office, night, dialled)
        assert isinstance(plan, CallPlan) and plan.contact is None, dialled
    await office.choose("alice", presented=ALICE_DID)
    plan = await dial(office, night)
    assert isinstance(plan, CallPlan) and plan.contact is None, "her own number: an ordinary call"
    assert await attempts(office) == []


@pytest.mark.promise("L4")
@pytest.mark.parametrize("code", ["", "*8"])
async def test_hiding_the_number_or_calling_privately_is_no_way_around_it(office: Office, code: str) -> None:
    assert refused(await dial(office, TUESDAY_11, f"{code}{DORIS_DIALLED}"), "PROMPT_CONTACT_CONSENT")
    await agrees(office)
    assert isinstance(await dial(office, TUESDAY_11, f"{code}{DORIS_DIALLED}"), CallPlan)
    found = await dial(office, TUESDAY_11, f"{code}{DORIS_DIALLED}", from_user="anonymous")
    assert refused(found, "PROMPT_CONTACT_REFUSED")


async def test_whoever_shows_the_lines_number_without_being_a_member_calls_on_its_behalf_too(office: Office) -> None:
    async with office.db.transaction() as tx:
        owned = await numbers_owned.by_number(tx, OFFICE_DID)
        assert owned is not None
        await numbers_owned.remove(tx, owned.id)
        await numbers_owned.add(tx, OFFICE_DID, line_id=owned.line_id, shared=True)
    await office.choose("bob", presented=OFFICE_DID)
    found = await dial(office, TUESDAY_11, auth_user="bob-1", from_user="bob")
    assert refused(found, "PROMPT_CONTACT_CONSENT")


async def test_a_trunks_main_number_that_is_the_lines_counts_as_well(office: Office) -> None:
    async with office.db.transaction() as tx:
        await numbers_owned.add(tx, MAIN, line_id=(await lines.by_number(tx, "300")).id)  # type: ignore[union-attr]
    found = await dial(office, TUESDAY_11, auth_user="carol-1", from_user="carol")  # she has no number of her own
    assert refused(found, "PROMPT_CONTACT_CONSENT")


async def test_click_to_call_transfer_and_forward(office: Office) -> None:
    found = await office.planner.plan_origination("alice", DORIS_DIALLED, TUESDAY_11)
    assert refused(found, "PROMPT_CONTACT_CONSENT")
    first = await office.plan("202")
    found = await office.planner.plan_transfer(transfer(office, first, DORIS_DIALLED), TUESDAY_11)
    assert refused(found, "PROMPT_CONTACT_CONSENT")
    await agrees(office)
    found = await office.planner.plan_transfer(transfer(office, first, DORIS_DIALLED), TUESDAY_11)
    assert isinstance(found, Joining) and len(await attempts(office)) == 1
    await objects(office)
    await office.choose("alice", forward_always=DORIS_DIALLED)
    plan = await dial(office, TUESDAY_11, "201", auth_user="bob-1", from_user="bob")
    assert isinstance(plan, CallPlan) and plan.contact is None, "a forward canvasses nobody"


@pytest.mark.promise("L4")
async def test_a_forbidden_trade_calls_under_a_contract_only(office: Office) -> None:
    line = await sales(office)
    async with office.db.transaction() as tx:
        await lines.save(tx, replace(line, canvassing="energy_renovation", canvassing_target="professional"))
    await agrees(office, purpose="energy_renovation")
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_REFUSED")
    async with office.db.transaction() as tx:
        made = await contact_references.add(
            tx, number=DORIS, kind="contract", purpose="energy_renovation", reference="C-1", since=NOW - YEAR,
            until=NOW + YEAR, legal_basis="6(1)(b)", kept_until=NOW + YEAR,
        )  # fmt: skip
    plan = await dial(office, TUESDAY_11)
    assert isinstance(plan, CallPlan) and plan.contact is not None and plan.contact.evidence == made.id


@pytest.mark.promise("L4")
async def test_what_cannot_be_counted_is_not_called_and_ordinary_calls_go_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agrees(office)

    @asynccontextmanager
    async def locked() -> AsyncIterator[Tx]:
        raise Unavailable("somebody holds the database")
        yield

    monkeypatch.setattr(office.db, "transaction", locked)
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_REFUSED")
    assert isinstance(await dial(office, TUESDAY_11, auth_user="bob-1", from_user="bob"), CallPlan)
    assert isinstance(await dial(office, TUESDAY_11, "112"), CallPlan)


async def test_a_list_that_cannot_be_read_refuses_canvassing_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> tuple[()]:
        raise Unavailable("a table is damaged")

    await agrees(office)
    monkeypatch.setattr(suppressions, "of_number", broken)
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_REFUSED")
    assert isinstance(await dial(office, TUESDAY_11, auth_user="bob-1", from_user="bob"), CallPlan)


async def test_limits_are_asked_first_and_a_number_abroad_is_held_to_the_strictest(office: Office) -> None:
    belgium = "0003225551234"
    found = await dial(office, TUESDAY_11, belgium)
    assert isinstance(found, Refusal) and found.cause == "not-permitted"
    await office.limit(limits.of_account(office.ids["alice"]), international=True)
    assert refused(await dial(office, TUESDAY_11, belgium), "PROMPT_CONTACT_CONSENT")


async def test_a_mobiles_number_is_not_shown_by_who_canvasses(office: Office) -> None:
    await agrees(office)
    async with office.db.transaction() as tx:
        mobile = await trunks.add(tx, "third", "third.example", NOW, main_number="+33612345678", preference=5)
    await office.choose("alice", presented=None)
    async with office.db.transaction() as tx:
        own = await numbers_owned.by_number(tx, ALICE_DID)
        assert own is not None
        await numbers_owned.remove(tx, own.id)
        await numbers_owned.add(tx, "+33612345678", line_id=(await sales_in(tx)).id)
        await numbers_owned.add(tx, MAIN, line_id=(await sales_in(tx)).id)
    assert mobile.main_number == "+33612345678"
    assert refused(await dial(office, TUESDAY_11), "PROMPT_CONTACT_REFUSED")


async def sales_in(tx: Tx) -> Line:
    found = await lines.by_number(tx, "300")
    assert found is not None
    return found
