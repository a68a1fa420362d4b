"""Permission for texts: by class, and for whole lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config import contact_rules
from retention.contact import may_contact
from retention.contact_facts import Consent, ContactFacts, Suppression
from retention.whereabouts import Whereabouts
from sms.permission import Entry, decide_many, decide_other

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
BEFORE = NOW - timedelta(days=3)
OBJECTION, ORDER = Entry("*", "objection", BEFORE), Entry("*", "order", BEFORE)
NO_ADVERTISING = Entry("sms", "objection", BEFORE)


def test_service_messages_go_on_after_an_objection_to_being_solicited() -> None:
    for entries in ((), (OBJECTION,), (NO_ADVERTISING,), (Entry("sms", "refusal", BEFORE),)):
        assert decide_other("transactional", entries, None, NOW).allowed
    no = decide_other("transactional", (ORDER,), None, NOW)
    assert (no.allowed, no.ground, no.rule) == (False, "suppressed", "suppression")


def test_who_has_objected_to_everything_is_answered_and_not_written_to() -> None:
    assert decide_other("conversation", (NO_ADVERTISING,), None, NOW).allowed
    assert not decide_other("conversation", (OBJECTION,), None, NOW).allowed
    assert not decide_other("conversation", (OBJECTION,), BEFORE - timedelta(days=1), NOW).allowed
    assert decide_other("conversation", (OBJECTION,), BEFORE + timedelta(minutes=1), NOW).allowed
    again = Entry("*", "objection", BEFORE + timedelta(hours=1))
    assert not decide_other("conversation", (OBJECTION, again), BEFORE + timedelta(minutes=1), NOW).allowed


def test_the_companys_own_people_and_entries_that_have_ended() -> None:
    assert decide_other("internal", (OBJECTION,), None, NOW).allowed
    assert not decide_other("internal", (ORDER,), None, NOW).allowed
    ended = Entry("*", "order", BEFORE, NOW - timedelta(hours=1))
    to_come = Entry("*", "order", NOW + timedelta(hours=1))
    assert decide_other("internal", (ended, to_come), None, NOW).allowed
    with pytest.raises(ValueError, match="whole decision"):
        decide_other("marketing", (), None, NOW)


def test_a_list_is_decided_as_each_alone() -> None:
    rules = contact_rules.load()
    kept = [
        ContactFacts(
            "sms",
            "telecom",
            "consumer",
            "FR",
            Whereabouts(("Europe/Paris",), ("FR",)),
            consents=(Consent(f"c{n}", "sms", "telecom", BEFORE),) if n % 3 else (),
            suppressions=(Suppression("objection", BEFORE),) if n % 4 == 0 else (),
            attempts=(BEFORE,) * (n % 6),
            hours_profile="prudent",
        )
        for n in range(60)
    ]
    for now in (NOW, NOW + timedelta(hours=12)):
        assert decide_many(kept, rules, now) == [may_contact(one, rules, now) for one in kept]
