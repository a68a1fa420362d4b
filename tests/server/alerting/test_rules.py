"""What raises an alert, entry by entry and look by look: pure, with thresholds out of the shipped data."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import alerts as alert_data
from server.alerting.access_rules import AccessRules, Looked, longest, looked
from server.alerting.conditions import COUNTED, Conditions, Sensed
from server.alerting.raised import MAX_PIECES, MAX_SUBJECTS, Raised, Windows, together

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ME, YOU = "a" * 32, "b" * 32
KINDS = alert_data.load()


def entry(action: str, subject: str = "recording", *, at: datetime = NOW, **more: object) -> Looked:
    said: dict[str, object] = {"at": at.isoformat().replace("+00:00", "Z"), "actor_id": ME, "action": action,
                               "object": subject, "log": "access", "seq": 1}  # fmt: skip
    return looked(json.dumps(said | more).encode())


def opening(at: datetime = NOW, who: str = ME) -> Looked:
    return entry("open", at=at, person_id=who, rec_id="c" * 32)


# --- the access log ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.22")
def test_many_recordings_opened_in_a_short_time():
    rules, limit = AccessRules(KINDS), KINDS["bulk-listening"].limits["count"]
    said = [rules.feed(opening(NOW + timedelta(seconds=second))) for second in range(limit + 2)]
    assert said[: limit - 1] == [[]] * (limit - 1)
    assert said[limit - 1] == [Raised("bulk-listening", ME, limit)]
    assert said[limit:] == [[Raised("bulk-listening", ME, 1)]] * 2, "each further one counts"


@pytest.mark.promise("2.22")
def test_the_same_number_over_a_day_is_nobodys_business():
    rules, limit = AccessRules(KINDS), KINDS["bulk-listening"].limits["count"]
    apart = timedelta(minutes=KINDS["bulk-listening"].limits["within_min"])
    assert not any(rules.feed(opening(NOW + n * apart)) for n in range(3 * limit))


@pytest.mark.promise("2.22")
@pytest.mark.parametrize(("action", "outcome"), [("wrap", "wrong"), ("unlock", "denied")])
def test_somebody_guesses_at_a_hold(action: str, outcome: str):
    rules, limit = AccessRules(KINDS), KINDS["unlock-guessing"].limits["count"]
    said = [rules.feed(entry(action, "hold", outcome=outcome, person_id=YOU)) for _ in range(limit)]
    assert said == [[]] * (limit - 1) + [[Raised("unlock-guessing", YOU, limit)]]
    assert rules.feed(entry("unlock", "hold", outcome="failed", person_id=YOU)) == [], "nothing waits to be secured"


@pytest.mark.promise("0.2")
@pytest.mark.parametrize(
    ("subject", "kind"),
    [("session", "sign-in-guessing"), ("totp", "second-factor-guessing"), ("recovery", "second-factor-guessing"),
     ("passkey", "second-factor-guessing")],
)  # fmt: skip
def test_somebody_guesses_at_a_sign_in(subject: str, kind: str):
    rules, limit = AccessRules(KINDS), KINDS[kind].limits["count"]
    wrong = entry("sign_in", subject, outcome="wrong", person_id=YOU)
    assert [rules.feed(wrong) for _ in range(limit)] == [[]] * (limit - 1) + [[Raised(kind, YOU, limit)]]
    assert rules.feed(entry("sign_in", "session", outcome="done", person_id=YOU)) == []
    nobody = AccessRules(KINDS)
    assert not any(nobody.feed(entry("sign_in", subject, outcome="wrong")) for _ in range(3 * limit)), "no such login"


@pytest.mark.promise("0.2")
@pytest.mark.parametrize("subject", ["totp", "passkey"])
def test_somebody_guesses_within_a_session(subject: str):
    rules, limit = AccessRules(KINDS), KINDS["second-factor-guessing"].limits["count"]
    wrong = entry("verify", subject, outcome="wrong", person_id=YOU)
    said = [rules.feed(wrong) for _ in range(limit)]
    assert said == [[]] * (limit - 1) + [[Raised("second-factor-guessing", YOU, limit)]]
    for other in ("recording", "ledger"):
        checked = entry("verify", other, outcome="wrong", person_id=YOU)
        assert not any(rules.feed(checked) for _ in range(limit)), "a check that found something is no guess"


@pytest.mark.promise("0.2")
def test_a_link_for_somebody_who_signs_in_already():
    assert AccessRules(KINDS).feed(entry("add", "invitation", person_id=YOU)) == []
    assert AccessRules(KINDS).feed(entry("restore", "invitation", person_id=YOU)) == [Raised("sign-in-reset", YOU)]


def test_two_persons_are_not_added_up():
    rules, limit = AccessRules(KINDS), KINDS["bulk-listening"].limits["count"]
    assert not any(rules.feed(opening(who=who)) for _ in range(limit - 1) for who in (ME, YOU))


@pytest.mark.promise("2.22")
def test_who_listens_to_a_call_of_their_own():
    assert AccessRules(KINDS).feed(opening(), took_part=True) == [Raised("own-call-listening", ME)]


@pytest.mark.promise("2.22")
@pytest.mark.parametrize(("action", "outcome"), [("unlock", "denied"), ("open", "wrong"), ("open", "replayed"),
                                                 ("unlock", "locked"), ("export", "wrong")])  # fmt: skip
def test_somebody_guesses(action: str, outcome: str):
    rules, limit = AccessRules(KINDS), KINDS["unlock-guessing"].limits["count"]
    said = [rules.feed(entry(action, outcome=outcome, person_id=YOU)) for _ in range(limit)]
    assert said == [[]] * (limit - 1) + [[Raised("unlock-guessing", YOU, limit)]]


@pytest.mark.promise("0.17", "2.22")
@pytest.mark.parametrize("subject", ["call", "recording", "number", "consent", "account", "person"])
def test_many_numbers_in_clear(subject: str):
    rules, limit = AccessRules(KINDS), KINDS["bulk-numbers"].limits["count"]
    reason = {"reason_id": "d" * 32}
    assert rules.feed(entry("list", subject, count=limit - 1, **reason)) == []
    assert rules.feed(entry("search", subject, count=5, **reason)) == [Raised("bulk-numbers", ME, limit + 4)]


@pytest.mark.promise("0.17")
def test_what_is_masked_or_only_opaque_raises_nothing():
    rules = AccessRules(KINDS)
    assert rules.feed(entry("list", "call", count=100_000)) == [], "without a reason it was masked"
    assert rules.feed(entry("show", "ledger", count=100_000, reason_id="d" * 32)) == []


@pytest.mark.promise("0.17")
def test_who_is_refused_more_numbers_is_told_of():
    assert AccessRules(KINDS).feed(entry("list", "call", outcome="denied", reason_id="d" * 32)) == [
        Raised("numbers-refused", ME)
    ]


def test_who_lacks_the_right_to_ask_has_reached_no_limit():
    asked = entry("search", "call", outcome="denied", reason_id="d" * 32, purpose="circle", person_id=YOU)
    assert AccessRules(KINDS).feed(asked) == []


def test_a_right_that_is_given_is_seen():
    assert AccessRules(KINDS).feed(entry("grant", "right", person_id=YOU)) == [Raised("right-given", YOU)]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 50)), max_size=80))
def test_a_window_never_forgets_what_lies_within_it(pieces: list[tuple[int, int]]):
    """What is counted once the threshold is reached is at least what lies in the window, and nothing below it."""
    window, count, within = Windows(60, timedelta(seconds=600)), 60, timedelta(seconds=600)
    seen: list[tuple[datetime, int]] = []
    for second, much in sorted(pieces):
        at = NOW + timedelta(seconds=second)
        seen.append((at, much))
        inside = sum(piece for moment, piece in seen if moment > at - within)
        assert bool(window.add(ME, at, much)) == (inside >= count)


@pytest.mark.promise("2.22")
def test_a_storm_takes_little_memory_and_is_one_alert():
    """10,000 openings by 10,000 persons, then by one: bounded subjects, bounded pieces, one row to write."""
    rules = AccessRules(KINDS)
    tracemalloc.start()
    for n in range(10_000):
        rules.feed(opening(NOW + timedelta(milliseconds=n), who=f"{n:032x}"))
    raised = [one for n in range(10_000) for one in rules.feed(opening(NOW + timedelta(milliseconds=n)))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rules._openings) <= MAX_SUBJECTS and MAX_PIECES < 10_000
    assert peak < 8_000_000
    assert together(raised) == [Raised("bulk-listening", ME, 10_000)]


def test_how_far_back_entries_count_follows_the_thresholds():
    assert longest(KINDS) == timedelta(hours=1)
    chosen = alert_data.with_limits(KINDS, {"ban-wave.within_min": 180, "bulk-listening.count": 2})
    assert longest(chosen) == timedelta(hours=3)
    rules = AccessRules(chosen)
    assert [rules.feed(opening()), rules.feed(opening())] == [[], [Raised("bulk-listening", ME, 2)]]


# --- the house --------------------------------------------------------------------------------------------------------

WELL = Sensed(edge=True, recorder=True, trunks={"t1": True, "t2": True}, free_mb=9000, needed_mb=500,
              certificate_until=NOW + timedelta(days=200), sweep="", orphans=0, ledger_sound=True,
              holds_overdue=frozenset(), rules_overdue=False)  # fmt: skip


def after(seconds: float, sensed: Sensed, standing: tuple[tuple[str, str], ...] = ()) -> list[tuple[str, str]]:
    """What is raised by a house that has been so for as long, seen each second."""
    conditions = Conditions(KINDS, standing)
    found = []
    for second in range(int(seconds) + 1):
        found += conditions.look(sensed, NOW + timedelta(seconds=second), float(second)).raised
    return [(one.kind, one.subject) for one in found]


def test_a_house_that_is_well_raises_nothing():
    assert after(120, WELL) == []
    assert after(120, Sensed()) == [], "nor one of which nothing is known"


@pytest.mark.promise("2.22")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ledger_sound": False}, ("ledger-broken", "")),
        ({"sweep": "missed"}, ("expiry-missed", "")),
        ({"orphans": 1}, ("orphans-found", "")),
        ({"sweep": "clock"}, ("clock-doubted", "")),
        ({"free_mb": 499}, ("disk-full", "")),
        ({"free_mb": 1999}, ("disk-low", "")),
        ({"certificate_until": NOW + timedelta(days=29)}, ("certificate-soon", "")),
        ({"certificate_until": NOW + timedelta(days=6)}, ("certificate-urgent", "")),
        ({"certificate_until": NOW - timedelta(days=1)}, ("certificate-urgent", "")),
        ({"holds_overdue": frozenset({"h1"})}, ("hold-overdue", "h1")),
        ({"rules_overdue": True}, ("rules-overdue", "")),
        ({"database_silent_s": 20.0}, ("database-silent", "")),
        ({"near": ("t1",)}, ("limit-near", "t1")),
        ({"opt_outs": ("c1",)}, ("many-opt-outs", "c1")),
        ({"counts": {"relayed": 1}}, ("emergency-alone", "")),
        ({"counts": {"without_a_way": 1}}, ("emergency-failed", "")),
        ({"counts": {"reports_missed": 1}}, ("emergency-failed", "")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_raised_at_the_first_look(changes: Mapping[str, object], expected: tuple[str, str]):
    found = Conditions(KINDS).look(replace(WELL, **changes), NOW, 0.0)  # type: ignore[arg-type]
    assert [(one.kind, one.subject) for one in found.raised] == [expected]


@pytest.mark.promise("2.22")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"edge": False}, ("edge-away", "")),
        ({"recorder": False}, ("recorder-down", "")),
        ({"trunks": {"t1": True, "t2": False}}, ("trunk-down", "t2")),
        ({"webhooks": {"crm": False, "other": True}}, ("webhook-down", "crm")),
    ],
)
def test_what_may_pass_is_raised_once_it_lasts(changes: Mapping[str, object], expected: tuple[str, str]):
    sick = replace(WELL, **changes)  # type: ignore[arg-type]
    limit = KINDS[expected[0]].limits["after_s"]
    assert after(limit - 1, sick) == []
    assert after(3 * limit, sick) == [expected], "once, however long it lasts"
    assert after(3 * limit, sick, (expected,)) == [], "nor again by a daemon that was restarted meanwhile"


@pytest.mark.promise("2.22")
def test_no_trunk_at_all_that_answers():
    assert ("all-trunks-down", "") in after(30, replace(WELL, trunks={"t1": False, "t2": False}))
    assert ("all-trunks-down", "") not in after(90, replace(WELL, trunks={"t1": False, "t2": None}))
    assert after(90, replace(WELL, trunks={})) == [], "a house without trunks"


@pytest.mark.promise("2.22")
def test_a_webhook_that_is_configured_no_more_is_down_no_more():
    standing = Conditions(KINDS, [("webhook-down", "crm"), ("webhook-down", "other")])
    assert standing.look(replace(WELL, webhooks={"crm": None, "other": None}), NOW, 0.0).over == ()
    assert standing.look(replace(WELL, webhooks={"other": False}), NOW, 1.0).over == (("webhook-down", "crm"),)
    assert standing.look(replace(WELL, webhooks={"other": True}), NOW, 2.0).over == (("webhook-down", "other"),)


def test_what_is_over_may_come_again():
    conditions = Conditions(KINDS)
    sick = replace(WELL, ledger_sound=False)
    assert conditions.look(sick, NOW, 0).raised and not conditions.look(sick, NOW, 5).raised
    assert conditions.look(replace(WELL, ledger_sound=None), NOW, 10).over == (), "nobody could tell"
    assert conditions.look(WELL, NOW, 15).over == (("ledger-broken", ""),)
    assert [one.kind for one in conditions.look(sick, NOW, 20).raised] == ["ledger-broken"]


def test_a_trunk_that_was_taken_away_is_down_no_more():
    conditions = Conditions(KINDS, [("trunk-down", "t2")])
    assert conditions.look(replace(WELL, trunks=None), NOW, 0).over == (), "not known yet"
    assert conditions.look(replace(WELL, trunks={"t1": True}), NOW, 1).over == (("trunk-down", "t2"),)


@pytest.mark.promise("2.22")
@pytest.mark.parametrize(("counter", "kind"), [("bans", "ban-wave"), ("worker_deaths", "worker-deaths")])
def test_a_wave_is_counted_within_its_window(counter: str, kind: str):
    limits = KINDS[kind].limits
    conditions, raised = Conditions(KINDS), []
    for n in range(limits["count"]):
        found = conditions.look(replace(WELL, counts={counter: n + 1}), NOW + timedelta(seconds=n), n)
        raised.append([(one.kind, one.count) for one in found.raised])
    assert raised == [[]] * (limits["count"] - 1) + [[(kind, limits["count"])]]
    slow = Conditions(KINDS)
    for n in range(3 * limits["count"]):
        at = NOW + n * timedelta(minutes=limits["within_min"])
        assert slow.look(replace(WELL, counts={counter: n + 1}), at, n).raised == ()


def test_other_thresholds_count_at_once_and_forget_nothing():
    conditions = Conditions(KINDS)
    conditions.look(replace(WELL, ledger_sound=False), NOW, 0)
    conditions.apply(alert_data.with_limits(KINDS, {"ban-wave.count": 1}))
    found = conditions.look(replace(WELL, ledger_sound=False, counts={"bans": 1}), NOW, 1)
    assert [one.kind for one in found.raised] == ["ban-wave"]


def test_every_kind_has_something_that_raises_it():
    """Else an entry of the data would be a promise that nothing keeps."""
    by_entry = {"bulk-listening", "own-call-listening", "unlock-guessing", "bulk-numbers", "numbers-refused",
                "right-given", "sign-in-guessing", "second-factor-guessing", "sign-in-reset"}  # fmt: skip
    by_look = {
        kind for kind, _ in Conditions(KINDS)._holding(
            replace(WELL, trunks={"t": False}, holds_overdue=frozenset({"h"}), carriers={"one": False},
                        webhooks={"one": False}), NOW
        )
    }  # fmt: skip
    assert by_entry | by_look | set(COUNTED.values()) | {"limit-near", "many-opt-outs", "test"} == set(KINDS)
