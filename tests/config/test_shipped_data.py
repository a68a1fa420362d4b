"""The shipped data is what the product says, and a mistake in it is found when it is read."""

from __future__ import annotations

import copy
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config import countries, packs, preconditions, prompt_texts
from config.periods import Period
from config.prompt_texts import PlaceholderError
from config.shipped import DataError, read

TODAY = date(2026, 11, 21)


def test_every_pack_of_this_stage_is_there() -> None:
    assert set(packs.load()) == {
        "REC_QUALITY", "REC_CONTRACT", "REC_MIFID", "REC_INSURANCE_FR", "REC_EMERGENCY", "REC_HEALTH",
        "REC_WHISTLEBLOW", "REC_NONE", "VOICEMAIL", "TRANSCRIPTION", "CDR_STANDARD", "CDR_MINIMAL",
        "CDR_NONE_PROTECTED", "CDR_OPERATOR", "USAGE_SUMS", "EMERGENCY_LIST",
        "AUDIT_LOG", "SECURITY_LOG", "CONSENT_EVIDENCE", "ERASURE_LEDGER", "LEGAL_HOLD",
        "VOICE_CANVASSING", "SUPPRESSION_LIST",
        "SMS_TRANSACTIONAL", "SMS_MARKETING", "SMS_CONVERSATION", "SMS_INTERNAL", "SMS_REPLIES",
    }  # fmt: skip


@pytest.mark.promise("2.5", "2.6")
@pytest.mark.parametrize(
    ("pack", "consent", "retention", "minimum", "maximum"),
    [
        ("REC_QUALITY", "opt-out", "P3M", None, "P6M"),
        ("REC_MIFID", "announce", "P5Y", "P5Y", "P7Y"),
        ("REC_INSURANCE_FR", "announce", "P2Y", "P2Y", "P2Y"),
        ("REC_EMERGENCY", "none", "P2M", None, None),
        ("REC_HEALTH", "opt-in", "P0D", None, "P20Y"),
        ("CDR_STANDARD", "none", "P6M", None, "P1Y"),
        ("CDR_MINIMAL", "none", "P30D", None, "P90D"),
        ("AUDIT_LOG", "none", "P1Y", "P6M", "P3Y"),
    ],
)
def test_the_figures_of_the_packs(
    pack: str, consent: str, retention: str, minimum: str | None, maximum: str | None
) -> None:
    found = packs.load()[pack]
    assert found.consent == consent and str(found.retention) == str(Period.parse(retention))
    assert found.minimum == (Period.parse(minimum) if minimum else None)
    assert found.maximum == (Period.parse(maximum) if maximum else None)


def test_no_pack_lets_a_system_administrator_listen() -> None:
    assert not [
        p.id for p in packs.load().values() if p.kind == "recording" and {"admin", "telecom_admin"} & set(p.listen)
    ]


@pytest.mark.promise("2.1")
def test_a_pack_on_a_legal_duty_is_not_used_without_its_text() -> None:
    for pack in packs.load().values():
        if pack.needs_statute:
            assert "enter the text" in pack.problem("  ", TODAY)
            assert pack.problem("Art. L533-10 CMF", TODAY) == ""
    assert {p.id for p in packs.load().values() if p.needs_statute and p.kind == "recording"} == {
        "REC_MIFID", "REC_INSURANCE_FR", "REC_EMERGENCY", "REC_WHISTLEBLOW",
    }  # fmt: skip


def test_a_pack_is_not_used_before_its_text_applies() -> None:
    pack = packs.load()["REC_CONTRACT"]
    assert pack.problem("", date(2022, 4, 24)) and not pack.problem("", date(2022, 4, 25))


def changed(index: int, **keys: Any) -> dict[str, Any]:
    data = copy.deepcopy(read("policy_packs.toml"))
    entry = data["pack"][index]
    for key, value in keys.items():
        if value is None:
            entry.pop(key)
        else:
            entry[key] = value
    return data


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"retention": "3 months"}, "ISO 8601"),
        ({"retention": None}, "how long"),
        ({"retention": "P7M"}, "P6M is shorter than P7M"),
        ({"minimum": "P4M"}, "shorter"),
        ({"consent": "ask"}, "not one of"),
        ({"consent": "none"}, "needs a statute"),
        ({"country_rules": "foreign"}, "only a statute"),
        ({"gdpr": None}, "missing gdpr"),
        ({"colour": "red"}, "unknown colour"),
        ({"start_event": "contract_signed"}, "nothing says when it expires"),
        ({"spoken": None}, "spoken words"),
        ({"id": "REC_CONTRACT"}, "twice"),
        ({"valid_from": "2018"}, "date without quotes"),
    ],
)
def test_a_mistake_in_a_pack_is_found(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        packs.build(changed(0, **keys))


def test_country_rows_as_documented() -> None:
    rules = countries.load()
    modes = {code: rule.mode for code, rule in rules.countries.items()}
    assert {c for c, m in modes.items() if m == "opt-in"} == {"DE", "AT", "BE", "PT", "DK"}
    assert {c for c, m in modes.items() if m == "announce"} == {"GB", "US"}
    assert modes["NO"] == "opt-out" and len(modes) == 20
    silent = {c for c, r in rules.countries.items() if r.silence == "record"}
    assert silent == {"FR", "NL", "IT", "ES", "IE", "GB", "SE", "FI", "US"}


@pytest.mark.parametrize(
    ("country", "state", "mode"),
    [
        (None, None, "opt-in"), ("", None, "opt-in"), ("JP", None, "opt-in"), ("US", None, "opt-in"),
        ("US", "CA", "opt-in"),
        ("US", "OR", "opt-in"), ("US", "NY", "announce"), ("US", "XX", "opt-in"), ("FR", None, "opt-out"),
        ("DE", "NY", "opt-in"),
    ],
)  # fmt: skip
def test_what_is_not_known_asks_for_opt_in(country: str | None, state: str | None, mode: str) -> None:
    assert countries.load().for_party(country, state).mode == mode


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, s: c["unknown"].update(mode="announce"), "must ask"),
        (lambda c, s: c["countries"].update(ZZ=c["countries"]["FR"]), "no such country"),
        (lambda c, s: c["countries"]["DE"].update(no_answer="record_after_prompt"), "silence is no opt-in"),
        (lambda c, s: c["countries"]["DE"].update(mode="opt_in"), "not one of"),
        (lambda c, s: c["countries"]["DE"].update(confidence="sure"), "not one of"),
        (lambda c, s: c["countries"]["DE"].pop("basis"), "missing basis"),
        (lambda c, s: s["mixed"].append("ZZ"), "no such State"),
    ],
)
def test_a_mistake_in_a_country_is_found(change: Any, message: str) -> None:
    rows, states = copy.deepcopy(read("recording_countries.toml")), copy.deepcopy(read("us_states.toml"))
    change(rows, states)
    with pytest.raises(DataError, match=message):
        countries.build(rows, states)


def test_every_prompt_has_somebody_who_plays_it() -> None:
    """In the code, or in a pack of data."""
    root = Path(prompt_texts.__file__).parents[1]
    rooms = [
        path for room in ("config", "retention", "recording", "sip", "server") for path in (root / room).rglob("*")
    ]
    said = "".join(
        path.read_text() for path in rooms if path.suffix in (".py", ".toml") and "prompt_texts" not in path.name
    )
    named = set(re.findall(r"\b(?:PROMPT|NOTICE)_[A-Z_]+\b", said))
    assert set(prompt_texts.load()) - named == set()


def test_every_prompt_speaks_both_languages_with_the_same_placeholders() -> None:
    texts = prompt_texts.load()
    assert {
        "PROMPT_OPTIN",
        "PROMPT_LONG",
        "PROMPT_STAFF",
        "PROMPT_ECHO",
        "PROMPT_BUSY",
        "PROMPT_STOPPED",
    } <= texts.keys()
    for text in texts.values():
        assert set(text.texts) == {"fr", "en"} and text.texts["fr"] != text.texts["en"]
        values = dict.fromkeys(text.placeholders, "x")
        assert "{" not in text.render("fr", values) and "[" not in text.render("en", values)


@pytest.mark.promise("2.4", "4.4")
def test_each_question_says_who_and_why() -> None:
    for text in prompt_texts.load().values():
        if text.mode in {"opt-in", "opt-out"} and text.prompt_id != "PROMPT_TRANSCRIPT":
            assert "org" in text.placeholders
            assert "purpose" in text.placeholders or text.prompt_id == "PROMPT_OPTOUT_QUALITY"
            assert "1" in text.texts["fr"] or "2" in text.texts["fr"]
    assert {"org", "purpose", "basis", "recipients", "time"} <= prompt_texts.load()["PROMPT_LONG"].placeholders


def test_an_optional_part_goes_with_its_placeholder() -> None:
    text = prompt_texts.load()["PROMPT_ANNOUNCE"]
    values = {"org": "Example", "purpose": "training", "time": "six months", "url": ""}
    assert text.render("en", values).endswith("kept for six months.")
    assert text.render("en", values | {"url": "x"}).endswith("six months. Your rights: x.")


def test_a_missing_or_empty_value_is_named() -> None:
    text = prompt_texts.load()["PROMPT_OPTIN"]
    with pytest.raises(PlaceholderError, match="{org}") as caught:
        text.render("fr", {"purpose": "la formation"})
    assert caught.value.names == ("org",)
    with pytest.raises(PlaceholderError, match="{purpose}"):
        text.render("fr", {"org": "Exemple", "purpose": " "})


def test_values_are_not_read_as_placeholders() -> None:
    text = prompt_texts.load()["PROMPT_STAFF"]
    assert text.render("en", {"purpose": "{org} [x]"}) == "Call recorded for {org} [x]."


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"version": 1, "mode": "opt-in", "fr": "{org} ?"}, "missing en"),
        ({"version": 1, "mode": "opt-in", "fr": "{org} ?", "en": "{name}?"}, "differ"),
        ({"version": 0, "mode": "opt-in", "fr": "a", "en": "b"}, "version"),
        ({"version": 1, "mode": "ask", "fr": "a", "en": "b"}, "not one of"),
        ({"version": 1, "mode": "opt-in", "fr": "{org", "en": "b"}, "bracket"),
        ({"version": 1, "mode": "opt-in", "fr": "", "en": "b"}, "empty"),
    ],
)
def test_a_mistake_in_a_text_is_found(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prompt_texts.build({"PROMPT_X": entry})


# --- preconditions ----------------------------------------------------------------------------------------------------


def test_every_precondition_of_a_pack_is_explained_in_both_languages() -> None:
    known = preconditions.load()
    asked = {kind for pack in packs.load().values() for kind in pack.preconditions}
    assert asked == set(known)
    assert all(set(said) == {"fr", "en"} for said in known.values())


@pytest.mark.parametrize("change", [{"fr": None}, {"de": {"what": "x", "evidence": "y"}}, {"en": {"what": "x"}}])
def test_a_precondition_without_words_is_found_when_it_is_read(change: dict[str, Any]) -> None:
    data = copy.deepcopy(read("preconditions.toml"))
    entry = data["precondition"]["dpia_signed"] | change
    data["precondition"]["dpia_signed"] = {key: value for key, value in entry.items() if value is not None}
    with pytest.raises(DataError):
        preconditions.build(data)
