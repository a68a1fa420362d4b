"""May this be recorded? Each rule, and that doubt comes out as no."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import countries, packs, prompt_texts
from config.iso import COUNTRIES
from config.periods import Period
from config.shipped import read
from retention.consent import ConsentMode, strictest
from retention.prompt_values import prompt_values
from retention.recording_decision import (
    CompanyFacts,
    LegConsent,
    LinePolicy,
    Party,
    RecordingDecision,
    decide,
    expires_at,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPANY = CompanyFacts("Example", "FR", ("fr", "en"))
STAFF = Party("b", "staff")
STATUTE = "L533-10 CMF"


def outside(country: str | None = None, **more: Any) -> Party:
    return Party("a", "outside", country, **more)


def asked(pack: str, *parties: Party, company: CompanyFacts = COMPANY, **line: Any) -> RecordingDecision:
    return decide(LinePolicy(pack, **line), parties or (outside("FR"), STAFF), company, NOW)


def leg(decision: RecordingDecision, name: str) -> LegConsent:
    return next(found for found in decision.legs if found.leg == name)


def test_modes_in_order_of_strictness() -> None:
    ordered = [ConsentMode.parse(text) for text in ("none", "announce", "opt-out", "opt-in", "forbidden")]
    assert ordered == sorted(ordered) and strictest(ordered) is ConsentMode.FORBIDDEN
    assert [str(mode) for mode in ordered] == ["none", "announce", "opt-out", "opt-in", "forbidden"]
    with pytest.raises(ValueError, match="opt-in"):
        ConsentMode.parse("ask")
    with pytest.raises(ValueError, match="empty"):
        strictest([])


@pytest.mark.promise("2.1", "2.16")
@pytest.mark.parametrize("pack", ["", "REC_EVERYTHING", "CDR_STANDARD", "VOICEMAIL", "REC_NONE"])
def test_without_a_recording_purpose_nothing_is_recorded(pack: str) -> None:
    decision = asked(pack, statute=STATUTE, consent=ConsentMode.NONE)
    assert not decision.record and decision.legs == () and decision.rule.startswith("not recorded")


def test_a_french_caller_of_a_quality_line_is_told_and_may_refuse() -> None:
    decision = asked("REC_QUALITY")
    assert decision.record and decision.mode is ConsentMode.OPT_OUT
    assert leg(decision, "a") == LegConsent(
        "a", ConsentMode.OPT_OUT, "PROMPT_OPTOUT_QUALITY", "fr", "record", "continue"
    )
    assert leg(decision, "b") == LegConsent("b", ConsentMode.ANNOUNCE, "PROMPT_STAFF", "fr", "record", "continue")
    assert decision.objection_key == "2" and decision.destroy_on_objection and not decision.lossless
    assert decision.rule_id == "pack.REC_QUALITY" and decision.pack_version in decision.rule


@pytest.mark.parametrize(
    ("party", "mode", "rule_id"),
    [
        (outside(None), "opt-in", "country.unknown"),
        (outside("JP"), "opt-in", "country.unknown"),
        (outside("DE"), "opt-in", "country.DE"),
        (outside("DK"), "opt-in", "country.DK"),
        (outside("US"), "opt-in", "country.US-unknown"),
        (outside("US", us_state="CA"), "opt-in", "country.US-CA"),
        (outside("US", us_state="NY"), "opt-out", "pack.REC_QUALITY"),
        (outside("GB"), "opt-out", "pack.REC_QUALITY"),
        (outside("CH"), "opt-out", "pack.REC_QUALITY"),
    ],
)  # fmt: skip
def test_the_strictest_of_pack_and_countries_wins(party: Party, mode: str, rule_id: str) -> None:
    decision = asked("REC_QUALITY", party, STAFF)
    assert (str(decision.mode), decision.rule_id) == (mode, rule_id)
    if mode == "opt-in":
        assert leg(decision, "a").prompt_id == "PROMPT_OPTIN" and leg(decision, "a").silence == "do_not_record"


@pytest.mark.parametrize(("country", "silence"), [("FR", "record"), ("CH", "do_not_record"), ("IT", "record")])
def test_what_silence_means_is_the_countries_word(country: str, silence: str) -> None:
    assert leg(asked("REC_QUALITY", outside(country), STAFF), "a").silence == silence


def test_silence_is_a_no_as_soon_as_one_country_says_so() -> None:
    decision = asked("REC_QUALITY", outside("FR"), Party("b", "outside", "CH"))
    assert {found.silence for found in decision.legs} == {"do_not_record"}


def test_the_companys_own_country_counts_too() -> None:
    german = CompanyFacts("Beispiel", "DE", ("en",))
    decision = asked("REC_QUALITY", outside("FR"), Party("b", "staff", "FR"), company=german)
    assert decision.mode is ConsentMode.OPT_IN and "company" in decision.rule


@pytest.mark.parametrize("override", list(ConsentMode))
def test_a_line_can_only_be_stricter(override: ConsentMode) -> None:
    decision = asked("REC_QUALITY", consent=override)
    if override is ConsentMode.FORBIDDEN:
        assert not decision.record
    else:
        assert decision.mode is max(override, ConsentMode.OPT_OUT)


def test_a_line_that_asks_for_opt_in_asks_with_key_1() -> None:
    decision = asked("REC_QUALITY", consent=ConsentMode.OPT_IN)
    assert leg(decision, "a").prompt_id == "PROMPT_OPTIN" and decision.rule_id == "line"


@pytest.mark.promise("2.6")
@pytest.mark.parametrize("pack", ["REC_MIFID", "REC_INSURANCE_FR", "REC_EMERGENCY", "REC_WHISTLEBLOW"])
def test_a_pack_on_a_legal_duty_needs_its_text(pack: str) -> None:
    assert not asked(pack).record and "enter the text" in asked(pack).rule
    assert not asked(pack, statute="  ").record
    decision = asked(pack, statute=STATUTE)
    assert decision.record and STATUTE in decision.legal_basis


def test_a_statute_displaces_the_rule_of_its_own_country_only() -> None:
    at_home = asked("REC_MIFID", statute=STATUTE)
    assert at_home.mode is ConsentMode.ANNOUNCE and leg(at_home, "a").prompt_id == "PROMPT_MIFID"
    assert leg(at_home, "a").on_refusal == "end_call" and at_home.lossless and not at_home.destroy_on_objection
    assert "displaces" in at_home.rule
    for abroad in (outside("DE"), outside(None)):
        decision = asked("REC_MIFID", abroad, STAFF, statute=STATUTE)
        assert decision.mode is ConsentMode.OPT_IN
        assert leg(decision, "a").prompt_id == "PROMPT_OPTIN_OR_END"


@pytest.mark.promise("2.3")
def test_who_has_objected_for_good_is_neither_recorded_nor_asked_but_for_a_duty() -> None:
    decision = asked("REC_QUALITY", outside("FR", objects=True), STAFF)
    assert not decision.record and not decision.legs
    assert decision.rule_id == "objection" and "Art. 21" in decision.rule
    assert asked("REC_MIFID", outside("FR", objects=True), STAFF, statute="L533-10 CMF").record


def test_an_emergency_is_never_delayed_by_a_question() -> None:
    for party in (outside("FR"), outside("DE"), outside(None)):
        decision = asked("REC_EMERGENCY", party, STAFF, statute="CSP R6311-2")
        assert decision.record and decision.mode is ConsentMode.NONE and decision.objection_key is None
        assert {found.prompt_id for found in decision.legs} == {None}
    # Unless the line itself asks, which it may.
    assert asked("REC_EMERGENCY", statute="x", consent=ConsentMode.ANNOUNCE).mode is ConsentMode.ANNOUNCE


def test_only_a_statute_makes_mode_none() -> None:
    for pack in packs.load():
        for party in (outside("FR"), outside("GB"), outside(None)):
            decision = asked(pack, party, STAFF, consent=ConsentMode.NONE)
            assert not (decision.record and decision.mode is ConsentMode.NONE), pack


def test_a_country_that_forbids_wins_over_everything() -> None:
    rows = copy.deepcopy(read("recording_countries.toml"))
    rows["countries"]["GB"]["mode"] = "forbidden"
    rules = countries.build(rows, read("us_states.toml"))
    for pack in ("REC_QUALITY", "REC_EMERGENCY", "REC_MIFID"):
        line = LinePolicy(pack, statute=STATUTE)
        decision = decide(line, (outside("GB"), STAFF), COMPANY, NOW, countries=rules)
        assert not decision.record and "GB" in decision.rule and decision.rule_id == "country.GB"


def test_staff_informed_beforehand_are_told_not_asked() -> None:
    decision = asked("REC_QUALITY", outside(None), STAFF)
    assert leg(decision, "b").mode is ConsentMode.ANNOUNCE and leg(decision, "b").prompt_id == "PROMPT_STAFF"


@pytest.mark.promise("L5")
@pytest.mark.parametrize(
    ("staff", "line"),
    [(Party("b", "staff", "DE"), {}), (Party("b", "staff", "US"), {}), (STAFF, {"ask_staff": True})],
)
def test_staff_are_asked_where_their_country_or_the_line_says_so(staff: Party, line: dict[str, Any]) -> None:
    decision = asked("REC_QUALITY", outside(None), staff, **line)
    assert leg(decision, "b").mode is ConsentMode.OPT_IN and leg(decision, "b").prompt_id == "PROMPT_OPTIN"


def test_staff_not_informed_beforehand_are_asked_like_anybody() -> None:
    decision = asked("REC_HEALTH")
    assert "staff_informed" not in packs.load()["REC_HEALTH"].preconditions
    assert {found.mode for found in decision.legs} == {ConsentMode.OPT_IN}


@pytest.mark.parametrize(
    ("party", "line", "language"),
    [
        (outside("FR"), None, "fr"), (outside("GB"), None, "en"), (outside("DE"), None, "en"),
        (outside("CH"), None, "fr"), (outside("CH"), "en", "en"), (outside(None), None, "fr"),
        (outside(None), "en", "en"), (outside("FR", language="en"), None, "en"),
        (outside("FR", language="de"), "en", "fr"),
    ],
)  # fmt: skip
def test_the_language_is_the_partys_then_the_countrys_then_the_lines(
    party: Party, line: str | None, language: str
) -> None:
    assert leg(asked("REC_QUALITY", party, STAFF, language=line), "a").language == language


def test_a_company_of_one_language_speaks_it() -> None:
    company = CompanyFacts("Example", "FR", ("en",))
    assert {found.language for found in asked("REC_QUALITY", company=company).legs} == {"en"}


def test_nobody_to_ask_is_no_consent() -> None:
    assert not decide(LinePolicy("REC_QUALITY"), (), COMPANY, NOW).record


@pytest.mark.promise("2.5", "2.19")
@pytest.mark.parametrize(
    ("pack", "event", "expected"),
    [
        ("REC_QUALITY", None, datetime(2027, 2, 21, 12, tzinfo=UTC)),
        ("REC_MIFID", None, datetime(2031, 11, 21, 12, tzinfo=UTC)),
        ("REC_INSURANCE_FR", None, datetime(2026, 12, 21, 12, tzinfo=UTC)),
        ("REC_INSURANCE_FR", datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)),
        ("REC_CONTRACT", None, datetime(2026, 12, 5, 12, tzinfo=UTC)),
        ("REC_HEALTH", None, datetime(2026, 11, 28, 12, tzinfo=UTC)),
    ],
)
def test_every_recording_has_an_end(pack: str, event: datetime | None, expected: datetime) -> None:
    assert expires_at(asked(pack, statute=STATUTE), NOW, event) == expected


@pytest.mark.promise("2.4")
@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_prompt_that_a_decision_names_can_be_filled(language: str) -> None:
    texts = prompt_texts.load()
    for pack in packs.load():
        for consent in (None, *ConsentMode):
            for party in (outside("FR"), outside(None)):
                decision = asked(pack, party, STAFF, statute=STATUTE, consent=consent)
                named = {found.prompt_id for found in decision.legs if found.prompt_id}
                for prompt_id in named | ({"PROMPT_LONG"} if named else set()):
                    said = texts[prompt_id].render(language, prompt_values(decision, COMPANY, language))
                    assert "{" not in said


def test_the_period_that_is_said_is_the_one_that_is_kept() -> None:
    assert prompt_values(asked("REC_QUALITY"), COMPANY, "fr")["time"] == "trois mois"
    assert prompt_values(asked("REC_HEALTH"), COMPANY, "en")["time"] == "seven days"


parties = st.builds(
    Party,
    leg=st.sampled_from("ab"),
    role=st.sampled_from(["outside", "staff"]),
    country=st.none() | st.sampled_from(sorted(COUNTRIES)) | st.text(max_size=3),
    us_state=st.none() | st.sampled_from(["CA", "NY", "XX"]),
    language=st.none() | st.sampled_from(["fr", "en", "de", ""]),
)
lines = st.builds(
    LinePolicy,
    pack=st.sampled_from(sorted(packs.load())) | st.text(max_size=8),
    consent=st.none() | st.sampled_from(ConsentMode),
    statute=st.sampled_from(["", " ", STATUTE]),
    ask_staff=st.booleans(),
    language=st.none() | st.sampled_from(["fr", "en", "xx"]),
)


@given(lines, st.lists(parties, max_size=4))
def test_whatever_comes_nobody_is_recorded_with_less_than_is_due(line: LinePolicy, those: list[Party]) -> None:
    decision = decide(line, those, COMPANY, NOW)
    assert decision.rule and decision.rule_id
    if not decision.record:
        assert decision.legs == () and decision.retention == Period()
        return
    pack = packs.load()[line.pack]
    assert len(decision.legs) == len(those) > 0
    assert decision.mode >= ConsentMode.parse(pack.consent)
    assert line.consent is None or decision.mode >= line.consent
    for party, found in zip(those, decision.legs, strict=True):
        assert found.language in COMPANY.languages
        assert found.mode <= decision.mode
        if pack.country_rules == "all" and party.role == "outside":
            assert found.mode is decision.mode
            assert found.mode >= ConsentMode.parse(countries.load().for_party(party.country, party.us_state).mode)
        if found.mode is ConsentMode.OPT_IN:
            assert found.silence == "do_not_record"
        if found.mode is not ConsentMode.NONE:
            assert found.prompt_id in prompt_texts.load()
