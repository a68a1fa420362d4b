"""Past calls that are counted together say what each of them says by itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import packs as pack_data
from retention.policy import Policy, Rule, Scope
from retention.policy_rules import CallAbout, Governed, govern
from retention.recording_decision import CompanyFacts
from retention.simulation import ALL, Alike, Comparison, Happened, Row, Said, Side, compare
from server import past_calls
from server.past_calls import Tally, Who
from server.policy_desk import Known
from server.services import simulation
from server.services.context import Services
from server.services.simulation import House
from sip.calls import numbers
from storage import call_records, history
from storage.accounts import Account
from storage.call_records import CallRecord
from storage.history import PastCall
from storage.lines import Line

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
PACKS = pack_data.load()


def account(name: str, extension: str, metadata_class: str | None = None) -> Account:
    return Account(f"id-{name}", name, extension, None, name, "FR", "fr", metadata_class, NOW, None)


def line(name: str, pack: str, metadata_class: str = "standard", **changes: Any) -> Line:
    chosen: dict[str, Any] = {
        "consent_mode": None,
        "language": None,
        "statute": None,
        "members": (),
        "ask_staff": False,
    }
    return Line(
        id=f"id-{name}", name=name, number="300", kind="ring", pack=pack, metadata_class=metadata_class,
        created_at=NOW, disabled_at=None, **chosen | changes,
    )  # fmt: skip


STAFF = (account("emma", "101"), account("bob", "102"), account("zoe", "103", "none"), account("max", "104"))
LINES = (line("sales", "REC_QUALITY"), line("help", "REC_NONE", "minimal"), line("desk", "REC_MIFID", statute="L533"))
HOUSE = House(
    CompanyFacts("Company"),
    Known(groups={"id-sales": frozenset({"id-emma", "id-bob"})}),
    {one.id: one for one in LINES},
    {one.id: one for one in STAFF},
    frozenset({"id-emma", "id-bob", "id-zoe"}),
    {name: one.id for one in STAFF for name in (one.name, one.extension)},
)
WHO = Who("FR", HOUSE.by_number, HOUSE.told)

OUTSIDE = ("+33612345678", "+33140000000", "+4915112345678", "+41446681800", "+88213000000", "+9999999", "17", "anon")
PARTY = st.sampled_from((*(one.name for one in STAFF), *(one.extension for one in STAFF), *OUTSIDE))
CALL = st.builds(
    PastCall,
    st.integers(0, 400 * 86_400).map(lambda ago: history.microseconds(NOW - timedelta(seconds=ago))),
    st.sampled_from((None, "id-sales", "id-help", "id-desk", "of old")),
    st.sampled_from(("inbound", "outbound", "internal")),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "FR", "DE", "+49", "unknown", "internal", "unlisted")),
    st.dictionaries(st.sampled_from(("caller", "callee", "answered_by")), PARTY).map(
        lambda two: json.dumps(two).encode()
    ),
)
SCOPE = st.builds(
    Scope,
    line=st.sampled_from((None, None, "id-sales", "id-help", "id-desk")),
    account=st.sampled_from((None, None, None, "id-emma", "id-bob")),
    group=st.sampled_from((None, None, None, "id-sales")),
    direction=st.sampled_from((None, "inbound", "outbound", "internal")),
    country=st.sampled_from((None, None, "FR", "DE")),
)
RULE = st.builds(
    Rule,
    name=st.uuids().map(str),
    pack=st.sampled_from(sorted(pack for pack in PACKS if pack.startswith(("REC_", "CDR_")))),
    scope=SCOPE,
    per_mille=st.sampled_from((None, 10, 30, 100)),
)
POLICY = st.lists(RULE, max_size=6).map(lambda rules: Policy(1, "me", NOW, tuple(rules)))


def one_by_one(
    calls: Sequence[PastCall], before: Callable[[CallAbout], Governed], after: Callable[[CallAbout], Governed]
) -> tuple[Comparison, int]:
    """The slow way: each call is read, placed and decided by itself, and adds itself to each sum. And how many there
    are of which nobody is named."""
    whole, rows, nameless = Comparison(), dict[tuple[object, ...], Row](), 0
    for call in calls:
        parties: dict[str, str] = json.loads(call.numbers)
        nameless += not parties
        present = frozenset(HOUSE.by_number[one] for one in parties.values() if one in HOUSE.by_number)
        outside = [one for one in parties.values() if one not in HOUSE.by_number and one.startswith("+")]
        country = numbers.country_of(outside[-1]) if outside else call.peer if call.peer in ("FR", "DE") else None
        country = "FR" if call.direction == "internal" else country
        at = datetime.fromtimestamp(call.at_us / 1e6, UTC)
        direction: Any = call.direction
        alike = Alike(f"{at:%Y-%m}", call.line, direction, country, present & HOUSE.told)
        one, other = (simulation._said(HOUSE, alike, ask, NOW) for ask in (before, after))
        month = whole.months.setdefault(alike.month, (Happened(), Side(), Side()))
        kind = (call.line, direction, country, one, other)
        row = rows.setdefault(kind, Row(*kind))  # type: ignore[arg-type]
        for sums in (whole.happened, month[0], row.happened):
            sums.calls, sums.talked, sums.recorded = (
                sums.calls + 1, sums.talked + call.talked, sums.recorded + call.recorded,
            )  # fmt: skip
        for side, said in ((whole.before, one), (month[1], one), (whole.after, other), (month[2], other)):
            add(side, said, call)
    whole.rows = list(rows.values())
    return whole, nameless


def add(side: Side, said: Said, call: PastCall) -> None:
    side.classes[said.metadata_class] += 1
    if call.talked and said.per_mille:
        side.recorded += said.per_mille
        side.purposes[said.pack] += said.per_mille
        side.asked += said.per_mille if said.mode in ("opt-in", "opt-out") else 0
        side.may_end += said.ends_on_refusal


def by_kind(rows: Sequence[Row]) -> Mapping[tuple[object, ...], tuple[int, int, int]]:
    return {
        (row.line, row.direction, row.country, row.before, row.after): (
            row.happened.calls, row.happened.talked, row.happened.recorded,
        )
        for row in rows
    }  # fmt: skip


@pytest.mark.promise("L7")
@settings(max_examples=200, deadline=None)
@given(st.lists(CALL, max_size=60), POLICY, POLICY, st.integers(1, 4))
def test_together_they_say_what_each_says(calls: list[PastCall], one: Policy, two: Policy, programs: int) -> None:
    """Promise L7: grouped, remembered and counted in several programs, the answer is the slow one to the last call."""
    calls.sort(key=lambda call: call.at_us)
    before, after = (lambda about: govern(one, about, PACKS)), (lambda about: govern(two, about, PACKS))
    slow, nameless = one_by_one(calls, before, after)

    counted = past_calls.Counted({})
    for part in range(programs):
        tally = Tally(WHO)
        tally.add(calls[len(calls) * part // programs : len(calls) * (part + 1) // programs])
        counted.add(past_calls.read(past_calls.answer(tally.counted())))
    fast = compare(counted.calls, simulation._asked(HOUSE, before, NOW), simulation._asked(HOUSE, after, NOW))
    assert counted.unattributed == nameless
    assert (fast.happened, fast.before, fast.after) == (slow.happened, slow.before, slow.after)
    assert fast.months == slow.months and list(fast.months) == sorted(fast.months)
    assert by_kind(fast.rows) == by_kind(slow.rows) and len(fast.rows) == len(slow.rows)
    assert sum(row.happened.calls for row in fast.rows) == len(calls) and fast.before.recorded <= ALL * len(calls)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
async def test_no_record_is_left_out_or_read_twice_where_many_began_at_once(services: Services, at_once: int) -> None:
    """Records of class minimal begin at full hours, so a page of them ends within one moment."""
    kept = NOW + timedelta(days=90)
    began = [NOW - timedelta(days=10), *[NOW - timedelta(days=9)] * 25, *[NOW - timedelta(days=8)] * 5, NOW]
    async with services.db.transaction() as tx:
        for at in began:
            fields = {"direction": "inbound", "duration": "under_1m", "peer": "DE"}
            record = CallRecord(secrets.token_hex(16), None, "minimal", "p", "b", at, kept, fields, None)
            await call_records.add(tx, record, {})
    steps: list[int] = []
    found = await past_calls.count(
        services.db, WHO, NOW - timedelta(days=9), NOW, at_once=at_once, progress=steps.append
    )
    assert sum(happened.calls for happened in found.calls.values()) == 30 == sum(steps) == found.unattributed
    assert {alike.country for alike in found.calls} == {"DE"}
