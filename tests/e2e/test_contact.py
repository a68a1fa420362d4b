"""A line that canvasses, with real phones and a provider, in what does not depend on the hour: who has objected is not
called and the caller hears so; who has agreed to any hour is; ordinary calls and calls for help know nothing of it.

What depends on the clock is tried by `tests/sip/calls/test_planning_contact.py` and by `contact check --at`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import DORIS, DORIS_DIALLED, Outside, outside
from tests.peers.baresip import Phone

pytestmark = [pytest.mark.e2e, pytest.mark.promise("L4")]

SALES = "+33162000001"
CONSENT = ("--act", "checkbox", "--collector", "us", "--source", "form 1", "--text-id", "offers", "--text-version", "1",
           "--text-sha256", "ab" * 32, "--given-at", "2026-09-01T10:00")  # fmt: skip


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("contact"), product_seed) as made:
        product = made.product
        product.cli("line", "add", "sales", "300", "--members", "anna", "--class", "standard")
        product.cli("number", "add", SALES, "--line", "sales")
        product.cli("line", "set", "sales", "--canvassing", "telecom", "--target", "consumer")
        product.cli("account", "present", "anna", SALES)
        yield made


@pytest.fixture(scope="module")
def centre(out: Outside) -> Iterator[Phone]:
    """Who answers 112; takes calls by itself."""
    with out.provider.phone(
        "centre", "112", also=("+33112",), says=office.voice(office.HZ["carl"]), answer="auto"
    ) as it:
        yield it


@pytest.fixture(autouse=True)
def nothing_is_left(out: Outside) -> Iterator[None]:
    yield
    out.anna.ask("hang_up_all")
    out.quiet()


def refused(out: Outside) -> str:
    """What Anna's phone showed; she heard a sentence before, and Doris' phone nothing."""
    invites = len(out.provider.seen("INVITE"))
    call = out.anna.dial(DORIS_DIALLED)
    shown = out.anna.closed(call, timeout=25)
    assert not [e for e in out.anna.events if e["type"] == "CALL_ESTABLISHED" and e.get("call") == call]
    spoken_s = sum(seconds for kind, seconds in office.runs(out.anna.heard(call)) if kind == office.SOUND)
    assert spoken_s > 1.0, "a sentence, spoken by this machine"
    assert len(out.provider.seen("INVITE")) == invites
    return shown


def test_who_has_agreed_to_nothing_is_not_called(out: Outside):
    assert refused(out) == "403 No Consent To Be Called"
    newest = scene.until(lambda: out.product.json("calls", "why"), "the refusal is listed")[0]
    why = out.product.json("calls", "why", newest["id"], "--language", "en")
    assert [verdict["id"] for verdict in why["verdicts"]] == ["contact-not-permitted"], why


def test_who_has_agreed_to_any_hour_is_called_and_the_record_says_on_what(out: Outside):
    consent = out.product.json("contact", "consent", "add", DORIS, "--line", "sales", *CONSENT, "--out-of-hours")
    since = len(out.doris.events)
    call = out.anna.dial(DORIS_DIALLED)
    out.doris.wait("CALL_INCOMING", since=since, timeout=20)
    out.doris.answer()
    out.anna.established(call)
    out.anna.hang_up(call)
    out.doris.wait("CALL_CLOSED", since=since)
    record = scene.until(lambda: out.product.json("calls", "list", "--line", "sales"), "the record is written")[0]
    assert record["fields"]["contact_evidence"] == consent["id"]
    assert record["fields"]["contact_rule"] == "FR.consumers"
    with scene.database(out.product) as db:
        [attempt] = db.execute("SELECT outcome, evidence FROM contact_attempts").fetchall()
    assert tuple(attempt) == ("answered", consent["id"])
    assert SALES in out.provider.seen("INVITE")[-1]["P-Asserted-Identity"]


@pytest.mark.promise("2.7", "2.15", "P12")
def test_who_has_objected_is_not_called_whatever_was_agreed_and_all_other_calls_go_on(out: Outside, centre: Phone):
    entry = out.product.json("contact", "suppress", "add", DORIS, "--source", "letter")
    try:
        assert refused(out) == "403 Does Not Want To Be Called"
        said = out.product.json("contact", "check", DORIS, "--line", "sales")
        assert (said["allowed"], said["ground"], said["again_at"]) == (False, "suppressed", None)
        since = len(out.doris.events)
        out.ben.dial(DORIS_DIALLED)  # he shows a number of his own: an ordinary call
        out.doris.wait("CALL_INCOMING", since=since, timeout=20)
        out.doris.answer()
        out.doris.wait("CALL_ESTABLISHED", since=since)
        out.ben.hang_up()
        out.doris.wait("CALL_CLOSED", since=since)
        since = len(centre.events)
        call = out.anna.dial("112")
        out.anna.established(call, timeout=20)
        out.anna.hang_up(call)
        centre.wait("CALL_CLOSED", since=since)
    finally:
        out.product.cli("contact", "suppress", "remove", entry["id"], "--reason", "the test is over")


def test_no_number_is_in_the_database_or_in_what_the_programs_say(out: Outside):
    product = out.product
    logs = list(product.directory.glob("*.log"))
    assert {log.name for log in logs} >= {"serve.log", "edge.log"}
    for path in [*logs, *product.data.rglob("*")]:
        if path.is_file() and path.suffix != ".wav":
            assert DORIS[1:].encode() not in path.read_bytes(), path
