"""Who orders a destruction, and what stands against it; from which event a period runs; Art. 17 by pack."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from config import packs
from retention.art17 import MEANINGS, OVERRIDING, decide
from retention.due import minimum_until
from retention.gate import Hold, Item, Trigger, plan_destruction
from retention.orders import plan_order
from retention.start_events import EVENTS, day_of, expiry, moment_of, refusal

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PACKS = packs.load()
HELD = [Hold("h" * 32)]


def item(pack: str, *, began: datetime = NOW - DAY, event: date | None = None, days: int = 20) -> Item:
    happened = moment_of(event) if event else None
    return Item("r" * 32, "recording", f"{pack}@{PACKS[pack].version}", began, NOW + days * DAY, event_at=happened)


@pytest.mark.promise("L3", "2.12")
@pytest.mark.parametrize("trigger", [Trigger.CONSENT_WITHDRAWN, Trigger.NO_CONTRACT, Trigger.ADMIN_ORDER])
def test_a_hold_stops_every_order(trigger: Trigger) -> None:
    plan = plan_order(item("REC_CONTRACT"), trigger, HELD, PACKS, NOW)
    assert not plan.destroy and plan.rule == f"legal hold {'h' * 32}"


@pytest.mark.promise("L3", "2.12")
@pytest.mark.parametrize(
    ("pack", "trigger", "event", "rule"),
    [
        ("REC_QUALITY", Trigger.ADMIN_ORDER, None, ""),
        ("REC_QUALITY", Trigger.CONSENT_WITHDRAWN, None, ""),
        ("REC_QUALITY", Trigger.NO_CONTRACT, None, "not kept for a contract"),
        ("REC_CONTRACT", Trigger.NO_CONTRACT, None, ""),
        ("REC_CONTRACT", Trigger.NO_CONTRACT, date(2026, 11, 28), "contract_concluded is entered, on 2026-11-28"),
        ("REC_CONTRACT", Trigger.ADMIN_ORDER, date(2026, 11, 28), ""),
        ("REC_MIFID", Trigger.ADMIN_ORDER, None, "minimum period of REC_MIFID"),
        ("REC_MIFID", Trigger.CONSENT_WITHDRAWN, None, "minimum period of REC_MIFID"),
        ("REC_MIFID", Trigger.NO_CONTRACT, None, "not kept for a contract"),
        ("REC_INSURANCE_FR", Trigger.NO_CONTRACT, None, ""),
        ("REC_INSURANCE_FR", Trigger.ADMIN_ORDER, None, "from contract_signed on, which may still come"),
        ("REC_INSURANCE_FR", Trigger.CONSENT_WITHDRAWN, None, "legal duty"),
        ("REC_INSURANCE_FR", Trigger.ADMIN_ORDER, date(2026, 11, 28), "until 2028-11-29T00:00:00Z"),
        ("REC_INSURANCE_FR", Trigger.NO_CONTRACT, date(2026, 11, 28), "contract_signed is entered"),
        ("REC_EMERGENCY", Trigger.CONSENT_WITHDRAWN, None, "legal duty"),
        ("REC_EMERGENCY", Trigger.ADMIN_ORDER, None, ""),
        ("REC_WHISTLEBLOW", Trigger.CONSENT_WITHDRAWN, None, ""),
        ("REC_HEALTH", Trigger.CONSENT_WITHDRAWN, None, ""),
    ],
)
def test_an_order_goes_as_far_as_its_reason(pack: str, trigger: Trigger, event: date | None, rule: str) -> None:
    plan = plan_order(item(pack, event=event), trigger, [], PACKS, NOW)
    assert plan.destroy == (rule == "")
    assert rule in plan.rule


@pytest.mark.promise("L3")
def test_of_a_purpose_that_is_not_known_any_more_nothing_stands_against_an_order() -> None:
    gone = Item("r" * 32, "recording", "REC_OLD@1", NOW - DAY, NOW + DAY)
    assert plan_order(gone, Trigger.ADMIN_ORDER, [], PACKS, NOW).destroy


@pytest.mark.promise("3.3", "L3")
def test_the_minimum_runs_from_the_event_whoever_asks() -> None:
    signed = item("REC_INSURANCE_FR", event=date(2026, 11, 28))
    assert minimum_until(signed, PACKS) == datetime(2028, 11, 29, tzinfo=UTC)
    due = plan_destruction(signed, Trigger.RETENTION_EXPIRY, [], minimum_until(signed, PACKS), NOW + 400 * DAY)
    assert not due.destroy and "minimum period" in due.rule
    assert minimum_until(item("REC_INSURANCE_FR"), PACKS) is None


@pytest.mark.promise("3.3")
@pytest.mark.parametrize(
    ("pack", "event", "day", "why"),
    [
        ("REC_CONTRACT", "contract_concluded", date(2026, 11, 28), ""),
        ("REC_CONTRACT", "contract_concluded", date(2026, 11, 27), ""),
        ("REC_CONTRACT", "contract_concluded", date(2026, 11, 26), "before the recording"),
        ("REC_CONTRACT", "contract_concluded", date(2026, 11, 29), "in the future"),
        ("REC_CONTRACT", "contract_signed", date(2026, 11, 28), "runs from contract_concluded"),
        ("REC_INSURANCE_FR", "contract_signed", date(2026, 11, 28), ""),
        ("REC_WHISTLEBLOW", "case_closed", date(2026, 11, 28), ""),
        ("REC_QUALITY", "case_closed", date(2026, 11, 28), "from the end of the recording"),
        ("REC_MIFID", "contract_signed", date(2026, 11, 28), "from the end of the recording"),
    ],
)
def test_only_the_event_that_the_pack_names_and_on_a_day_that_can_be(
    pack: str, event: str, day: date, why: str
) -> None:
    said = refusal(PACKS[pack], event, day, NOW - DAY, NOW.date())
    assert why in said and bool(said) == bool(why)


@pytest.mark.promise("3.3")
@pytest.mark.parametrize(
    ("pack", "kept_for", "until"),
    [
        ("REC_CONTRACT", None, "2031-11-29"),
        ("REC_CONTRACT", "P1Y", "2027-11-29"),  # the company's own period, kept with the recording
        ("REC_CONTRACT", "P9Y", "2031-11-29"),  # never later than the maximum
        ("REC_INSURANCE_FR", None, "2028-11-29"),
        ("REC_INSURANCE_FR", "P1M", "2028-11-29"),  # never before the minimum
        ("REC_WHISTLEBLOW", None, "2027-01-29"),
        ("REC_HEALTH", "P0D", "2026-11-29"),
    ],
)
def test_the_period_runs_from_the_end_of_that_day(pack: str, kept_for: str | None, until: str) -> None:
    found = expiry(PACKS[pack], kept_for, date(2026, 11, 28))
    assert found == datetime.fromisoformat(f"{until}T00:00:00+00:00")


def test_every_pack_that_waits_for_an_event_waits_for_one_that_can_be_entered() -> None:
    waiting = {p.start_event for p in PACKS.values() if p.kind == "recording" and p.provisional is not None}
    assert waiting == set(EVENTS)
    assert day_of(moment_of(date(2028, 2, 29))) == date(2028, 2, 29)


@pytest.mark.promise("2.12")
def test_what_every_pack_says_of_article_17_is_understood() -> None:
    assert {pack.art17 for pack in PACKS.values()} <= set(MEANINGS)


@pytest.mark.promise("2.12", "L3")
@pytest.mark.parametrize(
    ("pack", "answer", "article"),
    [
        ("REC_QUALITY", "erase", "17(1)"),
        ("REC_MIFID", "keep", "17(3)(b)"),
        ("REC_INSURANCE_FR", "keep", "17(3)(b)"),
        ("REC_CONTRACT", "decide", "17(3)(e)"),
        ("REC_EMERGENCY", "decide", "17(3)"),
        ("REC_HEALTH", "decide", "17(3)(c)"),
        ("CDR_MINIMAL", "erase", "17(1)"),
        ("CDR_STANDARD", "decide", "17(1)(c), 21(1)"),
        ("CONSENT_EVIDENCE", "keep", "17(3)(e)"),
        ("SUPPRESSION_LIST", "keep", "21(3), 17(3)(b)"),
        ("VOICE_CANVASSING", "erase", "17(1)"),
    ],
)
def test_a_request_is_answered_by_the_pack(pack: str, answer: str, article: str) -> None:
    said = decide(item(pack), PACKS[pack].art17, [], PACKS, NOW)
    assert (said.answer, said.article) == (answer, article)
    assert said.plan.destroy == (answer == "erase")
    assert said.plan.trigger is Trigger.ART17_REQUEST


@pytest.mark.promise("2.12", "L3")
def test_a_request_gives_way_to_a_hold_a_minimum_and_to_what_nobody_has_weighed() -> None:
    quality = item("REC_QUALITY")
    held = decide(quality, "erase", HELD, PACKS, NOW)
    assert (held.answer, held.article, held.plan.destroy) == ("keep", "17(3)(e)", False)
    kept = decide(item("REC_MIFID"), "erase", [], PACKS, NOW)  # whatever the word says
    assert (kept.answer, kept.article, kept.plan.destroy) == ("keep", "17(3)(b)", False)
    strange = decide(quality, "something new", [], PACKS, NOW)
    assert (strange.answer, strange.plan.destroy) == ("decide", False)
    record = item("CDR_STANDARD")
    assert decide(record, OVERRIDING, [], PACKS, NOW, no_overriding_ground=True).plan.destroy
    assert not decide(record, OVERRIDING, HELD, PACKS, NOW, no_overriding_ground=True).plan.destroy
    weighed = decide(item("REC_CONTRACT"), PACKS["REC_CONTRACT"].art17, [], PACKS, NOW, no_overriding_ground=True)
    assert weighed.answer == "decide"  # another question than that one
    assert decide(quality, None, [], PACKS, NOW).answer == "erase"
