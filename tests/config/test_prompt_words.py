"""Own words for a prompt: what they may leave out and what not."""

from __future__ import annotations

import pytest

from config import prompt_texts, prompt_words
from config.prompt_words import Flaw, flaws, flaws_recorded

TEXTS = prompt_texts.load()
SPOKEN = [text for text in TEXTS.values() if text.mode != "written"]
GOOD = "Bonjour, ici {org}. Nous enregistrons nos appels pour {purpose}, pendant {time}.[ Plus : {url}.]"


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_shipped_text_may_be_said(language: str) -> None:
    assert {text.prompt_id: flaws(text, language, text.texts[language]) for text in SPOKEN if
            flaws(text, language, text.texts[language])} == {}  # fmt: skip


@pytest.mark.promise("2.4")
def test_what_informs_says_something_of_its_own_in_both_languages() -> None:
    assert {text.prompt_id for text in SPOKEN if text.informs and not (text.must["fr"] and text.must["en"])} == set()
    assert TEXTS["PROMPT_LONG"].informs and not TEXTS["PROMPT_BUSY"].informs


@pytest.mark.promise("2.4")
@pytest.mark.parametrize("text", [text for text in SPOKEN if text.informs], ids=lambda text: text.prompt_id)
@pytest.mark.parametrize("language", ["fr", "en"])
def test_no_placeholder_and_no_key_can_be_left_out(text: prompt_texts.PromptText, language: str) -> None:
    words = text.texts[language]
    for name in prompt_words.required(text, language):
        assert Flaw("missing", f"{{{name}}}") in flaws(text, language, words.replace(f"{{{name}}}", "X"))
        assert Flaw("missing", f"{{{name}}}") in flaws(text, language, words.replace(f"{{{name}}}", f"[{{{name}}}]"))
    only = " ".join(f"{{{name}}}" for name in prompt_words.required(text, language)) or "X"
    assert len([one for one in flaws(text, language, only) if one.what == "unsaid"]) == len(text.must[language])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (GOOD, []),
        (" ", ["empty"]),
        (GOOD + "x" * 800, ["long"]),
        (GOOD + "\x07", ["characters"]),
        (GOOD + " [", ["brackets"]),
        (GOOD + " {org", ["brackets"]),
        (GOOD + " [Plus : {url]", ["brackets"]),
        (GOOD + " [Plus : url}]", ["brackets"]),
        (GOOD + " [Plus : {Url}]", ["brackets"]),
        (GOOD + " [Plus : {}]", ["brackets"]),
        (GOOD + " [Plus [ou moins] : {url}]", ["brackets"]),
        (GOOD + " {[org]}", ["brackets"]),
        (GOOD + " ]Plus[", ["brackets"]),
        (GOOD + " [Plus : {urls}]", ["unknown"]),
        (GOOD + " {name}", ["unknown"]),
        (GOOD + " {url}", ["optional"]),
        (GOOD + " [{dpo_contact}]", []),
        (GOOD + " {basis}", []),
        (GOOD.replace("enregistrons", "gardons"), ["unsaid"]),
        (GOOD.replace("{time}", "longtemps"), ["missing"]),
    ],
)
def test_each_flaw_is_named(words: str, found: list[str]) -> None:
    seen = flaws(TEXTS["PROMPT_ANNOUNCE"], "fr", words)
    assert [one.what for one in seen] == found
    assert all(str(one) and "{" not in str(one).replace(one.name, "") for one in seen)


def test_a_key_is_that_key_and_a_result_fills_nothing_in() -> None:
    optin = TEXTS["PROMPT_OPTIN"]
    assert flaws(optin, "en", "May {org} record this for {purpose}? Press 12.") != ()
    assert flaws(optin, "en", "May {org} record this for {purpose}? PRESS 1.") == ()
    assert [one.what for one in flaws(TEXTS["PROMPT_BUSY"], "en", "{org} is busy.")] == ["unknown"]


@pytest.mark.promise("2.4")
def test_a_recording_says_what_the_placeholders_stand_for() -> None:
    said = {"org": "Exemple SARL", "purpose": "améliorer son service", "time": "6 mois"}
    words = "Exemple SARL enregistre cet appel pour améliorer son service ; c’est gardé 6 mois."
    announce = TEXTS["PROMPT_ANNOUNCE"]
    assert flaws_recorded(announce, "fr", words, said) == ()
    assert flaws_recorded(announce, "fr", words.replace("6 mois", "un an"), said) == (Flaw("unsaid", "6 mois"),)
    assert Flaw("fixed", "{org}") in flaws_recorded(announce, "fr", words + " {org}", said)
