"""Prompts in a browser: heard, written, brought, approved by somebody else, taken back; and files that are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from config import prompt_texts
from server.web.pages.prompt_places import GROUPS, PLACES
from tests.peers import tones
from tests.web.browsing import Window
from tests.web.portal import Portal

QUALITY = "/prompts/PROMPT_OPTOUT_QUALITY/en"
SCRIPT = "<script>alert(1)</script> is busy."


def plays(page: Page, name: str) -> float:
    """How long what is played lasts; fails where the browser cannot play it, or cannot go to its middle."""
    return float(
        page.get_by_label(name, exact=True)
        .and_(page.locator("audio"))
        .first.evaluate(
            """async audio => {
                audio.muted = true; audio.preload = 'auto'; audio.load();
                await audio.play();
                const there = new Promise(done => audio.addEventListener('seeked', done, {once: true}));
                audio.currentTime = audio.duration / 2;
                await there;
                audio.pause();
                return audio.duration;
            }"""
        )
    )


def test_every_spoken_prompt_has_a_name_a_place_and_a_group() -> None:
    spoken = {text.prompt_id: text for text in prompt_texts.load().values() if text.mode != "written"}
    assert PLACES.keys() == spoken.keys()
    assert {"informs" if text.informs else text.mode for text in spoken.values()} == GROUPS.keys()


@pytest.mark.promise("P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_list_is_read_and_each_is_heard(portal: Portal, window: Callable[..., Window], language: str) -> None:
    opened = window(portal.people["compliance"], language)
    page = opened.open_page("/prompts?language=fr")
    assert page.get_by_role("link", name={"en": "No such number", "fr": "Numéro inconnu"}[language]).is_visible()
    opened.check()
    page.get_by_role("link", name={"en": "No such number", "fr": "Numéro inconnu"}[language]).click()
    assert page.get_by_text("Ce numéro n'est pas attribué.").first.is_visible()
    assert 2 < plays(page, {"en": "What is heard now", "fr": "Ce qu’on entend maintenant"}[language]) < 8
    assert page.locator("form[action^='/prompts']").count() == 0, "who only reads changes nothing"
    opened.check()


def test_own_words_are_heard_before_they_count(portal: Portal, window: Callable[..., Window]) -> None:
    opened = window(portal.people["admin"])
    page = opened.open_page("/prompts/PROMPT_BUSY/en")
    before = plays(page, "What is heard now")
    words = page.locator("#f-text")
    words.fill("{org} is busy.")
    page.get_by_role("button", name="Make a draft of it").first.click()
    assert page.get_by_text("{org} is no placeholder of this prompt.").is_visible()
    assert words.input_value() == "{org} is busy."
    words.fill(SCRIPT)
    page.get_by_role("button", name="Make a draft of it").first.click()
    page.get_by_text("The draft is there.").wait_for()
    assert page.get_by_text(SCRIPT).first.is_visible()
    assert plays(page, "Draft") < before
    opened.check()
    page.get_by_role("button", name="Use it from the next call on").click()
    page.get_by_text("It counts from the next call on.").wait_for()
    assert plays(page, "What is heard now") < before
    assert page.get_by_role("cell", name="In force").is_visible()
    assert portal.product.json("prompt", "show", "PROMPT_BUSY", "en")["words"] == SCRIPT
    page.locator("summary", has_text="Back to the text of the product").click()
    page.get_by_role("button", name="Say the text of the product again").click()
    page.get_by_text("The text of the product is said again").wait_for()
    assert plays(page, "What is heard now") == pytest.approx(before)
    assert plays(page, "Version 1") < before, "what was said can still be heard"
    opened.check()


@pytest.mark.promise("2.4")
def test_what_a_consent_rests_on_is_approved_by_another_person(portal: Portal, window: Callable[..., Window]) -> None:
    opened = window(portal.people["admin"])
    page = opened.open_page(QUALITY)
    words = page.locator("#f-text")
    words.fill("{org} may record this call. To refuse, press 2.")
    page.get_by_role("button", name="Make a draft of it").first.click()
    assert page.get_by_text("{time} has to be said, outside square brackets.").is_visible()
    assert page.get_by_text("It has to say one of: press 0").is_visible()
    opened.check()
    words.fill("Good day, {org} speaking. We may record this, and erase it after {time}. No: press 2. More: press 0.")
    page.get_by_role("button", name="Make a draft of it").first.click()
    page.get_by_text("The draft is there.").wait_for()
    assert page.get_by_role("button", name="Use it").count() == 0
    refused = portal.visitor(portal.people["admin"]).post(f"{QUALITY}/approve", {"number": "1"})
    assert refused.status == 403
    portal.visitor(portal.people["dpo"]).prove(portal.people["dpo"])
    office = window(portal.people["dpo"])
    hers = office.open_page("/prompts?language=en")
    hers.get_by_role("link", name="May refuse: quality and training").first.click()
    assert plays(hers, "Draft") > 3
    office.check()
    hers.locator("summary", has_text="Approve it").click()
    hers.get_by_role("button", name="Approve these words").click()
    hers.get_by_text("It is approved, and counts from the next call on.").wait_for()
    assert hers.get_by_text("Good day,").first.is_visible()
    shown = portal.product.json("prompt", "show", "PROMPT_OPTOUT_QUALITY", "en")
    assert (shown["version"], shown["source"]) == ("1.1", "words")
    assert shown["history"][0]["approved_by"] == portal.people["dpo"].login
    office.check()


def test_a_recording_is_brought_and_files_that_are_none_are_refused(
    portal: Portal, window: Callable[..., Window], tmp_path: Path
) -> None:
    opened = window(portal.people["admin"])
    page = opened.open_page("/prompts/PROMPT_UNKNOWN/en")
    bad = {
        "text.wav": (b"this is no sound", "is no WAV file"),
        "song.wav": (b"ID3" + bytes(2000), "is no WAV file"),
        "cut.wav": (b"RIFF\x24\x00\x00\x00WAVE", "cannot be read"),
    }
    for name, (content, why) in bad.items():
        (tmp_path / name).write_bytes(content)
        page.locator("#f-audio").set_input_files(tmp_path / name)
        page.get_by_role("button", name="Make a draft of it").last.click()
        assert re.search(why, page.get_by_role("alert").inner_text())
    tones.write_wav(tmp_path / "long.wav", tones.tone(400, 41.0))
    page.locator("#f-audio").set_input_files(tmp_path / "long.wav")
    page.get_by_role("button", name="Make a draft of it").last.click()
    assert "lasts 41 s" in page.get_by_role("alert").inner_text()
    opened.check()
    (tmp_path / "bomb.wav").write_bytes(b"RIFF" + bytes(9_000_000))
    page.locator("#f-audio").set_input_files(tmp_path / "bomb.wav")
    with page.expect_navigation() as gone:
        page.get_by_role("button", name="Make a draft of it").last.click()
    assert gone.value.status == 413
    page = opened.open_page("/prompts/PROMPT_UNKNOWN/en")
    loud = tones.tone(400, 3.0, rate=44_100, amplitude=30_000).astype(int) * 3
    tones.write_wav(tmp_path / "own.wav", loud.clip(-32_768, 32_767).astype("<i2"), rate=44_100)
    page.locator("#f-audio").set_input_files(tmp_path / "own.wav")
    page.get_by_role("button", name="Make a draft of it").last.click()
    said = page.get_by_role("status").inner_text()
    assert "clipped" in said and "−20 dB" in said
    assert 2.9 < plays(page, "Draft") < 3.2
    page.locator("summary", has_text="Give it up").click()
    page.get_by_role("button", name="Give this draft up").click()
    page.get_by_text("The draft is given up.").wait_for()
    opened.check_quiet()


def test_the_audio_is_given_by_ranges_and_to_nobody_else(portal: Portal) -> None:
    where = "/prompts/PROMPT_ERROR/fr/audio"
    visitor = portal.visitor(portal.people["dpo"])
    whole = visitor.get(where)
    size = int(whole.headers["Content-Length"])
    assert (whole.status, whole.headers["Content-Type"], whole.headers["Cache-Control"]) == (
        200,
        "audio/wav",
        "no-store",
    )
    assert "media-src 'self'" in whole.headers["Content-Security-Policy"]
    part = visitor.get(where, Range="bytes=100-199")
    assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 100-199/{size}")
    assert visitor.get(where, Range=f"bytes={size}-").status == 416
    assert visitor.get(f"{where}?version=77").status == 404 and visitor.get(f"{where}?version=x").status == 404
    assert visitor.get(f"{where}?of=draft").status == 404
    assert visitor.get("/prompts/NOTICE_STAFF/fr").status == 404 and visitor.get("/prompts/..%2fx/fr").status == 404
    assert portal.visitor(portal.people["employee"]).get(where).status == 403
    assert portal.visitor().get(where).status == 303
