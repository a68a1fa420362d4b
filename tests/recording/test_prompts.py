"""Spoken prompts: clear, level, short enough, made once, replaced by a company's own audio, never half written."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
import stat
import sys
import time
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from config import packs, prompt_texts
from config.prompt_texts import PlaceholderError
from recording import prompt_audio, speech
from recording.prompt_audio import AudioError, active_dbfs, peak_dbfs, read_prompt_wav, resample
from recording.prompts import Prompt, PromptError, PromptStore

QUESTIONS = ["PROMPT_OPTIN", "PROMPT_OPTIN_OR_END", "PROMPT_OPTOUT", "PROMPT_OPTOUT_QUALITY", "PROMPT_ANNOUNCE"]
TOLD = ["PROMPT_STAFF", "PROMPT_REFUSED", "PROMPT_BUSY"]


def values(language: str) -> Mapping[str, str]:
    spoken = (packs.load()["REC_QUALITY"].spoken or {})[language]
    return {
        "org": {"fr": "Société Exemple", "en": "Example Company"}[language],
        "purpose": spoken.purpose,
        "basis": spoken.basis,
        "recipients": spoken.recipients,
        "time": {"fr": "trois mois", "en": "three months"}[language],
        "url": "https://www.example.org/droits",
        "dpo_contact": "dpo@example.org",
    }


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Prompt]:
    """Really spoken by the engine, once for the module."""
    store = PromptStore(tmp_path_factory.mktemp("prompts"))
    wanted = [(prompt_id, language) for prompt_id in QUESTIONS + TOLD for language in ("fr", "en")]
    return asyncio.run(store.get_all(wanted, {"fr": values("fr"), "en": values("en")}))


def samples(prompt: Prompt) -> prompt_audio.Samples:
    return read_prompt_wav(prompt.path.read_bytes())


def spectrum(voice: prompt_audio.Samples) -> tuple[prompt_audio.Samples, prompt_audio.Samples]:
    power = np.abs(np.fft.rfft(voice * np.hanning(len(voice)))) ** 2
    return power, np.fft.rfftfreq(len(voice), 1 / 8000)


# --- as it sounds ---------------------------------------------------------------------------------


def test_every_prompt_has_the_same_level(spoken: dict[tuple[str, str], Prompt]) -> None:
    for key, prompt in spoken.items():
        voice = samples(prompt)
        assert abs(active_dbfs(voice) + 20) < 0.5, key
        assert peak_dbfs(voice) <= -3, key
        assert abs(voice.mean()) < 0.001, key


@pytest.mark.parametrize("language", ["fr", "en"])
def test_questions_are_short_enough_to_be_listened_to(spoken: dict[tuple[str, str], Prompt], language: str) -> None:
    for prompt_id in QUESTIONS:
        assert 5_000 < spoken[prompt_id, language].duration_ms < 15_000
    assert spoken["PROMPT_STAFF", language].duration_ms < 4_000


def test_no_dead_time_at_the_ends(spoken: dict[tuple[str, str], Prompt]) -> None:
    for key, prompt in spoken.items():
        loud = np.flatnonzero(np.abs(samples(prompt)) > 0.02)
        assert loud[0] / 8000 < 0.15 and (len(samples(prompt)) - loud[-1]) / 8000 < 0.4, key


def test_it_is_a_voice(spoken: dict[tuple[str, str], Prompt]) -> None:
    """Energy where speech has it, over a span that a tone or a click has not, coming and going in syllables."""
    for key, prompt in spoken.items():
        power, frequency = spectrum(samples(prompt))
        share = power / power.sum()
        assert share[(frequency > 300) & (frequency < 3400)].sum() > 0.5, key  # what a telephone carries
        assert share[(frequency > 1000) & (frequency < 3400)].sum() > 0.04, key  # what tells words apart
        assert share[frequency < 100].sum() < 0.001, key
        assert share.max() < 0.1, key
        levels = np.sqrt(np.square(samples(prompt)[: len(samples(prompt)) // 400 * 400]).reshape(-1, 400).mean(axis=1))
        assert levels.std() / levels.mean() > 0.4, key


def test_french_and_english_are_not_the_same(spoken: dict[tuple[str, str], Prompt]) -> None:
    assert len({prompt.sha256 for prompt in spoken.values()}) == len(spoken)
    for prompt_id in QUESTIONS + TOLD:
        assert spoken[prompt_id, "fr"].language == "fr" and spoken[prompt_id, "en"].language == "en"


def test_the_engine_says_different_words_differently_and_the_same_words_the_same() -> None:
    one, again, other = (speech.speak(text, "fr-FR") for text in ("Appuyez sur 1.", "Appuyez sur 1.", "Appuyez sur 2."))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert np.abs(one).max() < 0.99  # not clipped


# --- the evidence ---------------------------------------------------------------------------------


def test_a_prompt_names_what_is_heard(spoken: dict[tuple[str, str], Prompt]) -> None:
    for (prompt_id, language), prompt in spoken.items():
        content = prompt.path.read_bytes()
        assert prompt.sha256 == hashlib.sha256(content).hexdigest()
        assert (prompt.prompt_id, prompt.language) == (prompt_id, language) and not prompt.custom
        assert prompt.version == str(prompt_texts.load()[prompt_id].version)
        with wave.open(io.BytesIO(content)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
            assert prompt.duration_ms == file.getnframes() * 1000 // 8000


# --- kept and made again --------------------------------------------------------------------------


class Voice:
    """A tone for every text, its pitch from the text: fast, and tells how often it was asked."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, text: str, voice: str) -> speech.Samples:
        self.said.append(text)
        pitch = 300 + int.from_bytes(hashlib.sha256((text + voice).encode()).digest()[:2], "big") % 2000
        return 0.3 * np.sin(2 * np.pi * pitch * np.arange(16_000) / 16_000)


def names(directory: Path) -> list[str]:
    return [place.name for place in directory.iterdir()]


async def test_a_prompt_is_made_once(tmp_path: Path) -> None:
    voice = Voice()
    first = await PromptStore(tmp_path, speak=voice).get("PROMPT_OPTIN", "fr", values("fr"))
    again = await PromptStore(tmp_path, speak=voice).get("PROMPT_OPTIN", "fr", values("fr"))
    assert first == again and len(voice.said) == 1
    assert names(tmp_path) == [first.path.name]
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600


async def test_any_change_of_what_is_said_is_another_prompt(tmp_path: Path) -> None:
    store = PromptStore(tmp_path, speak=Voice())
    french, english = values("fr"), values("en")
    found = [
        await store.get("PROMPT_OPTIN", "fr", french),
        await store.get("PROMPT_OPTIN", "fr", {**french, "org": "Autre"}),
        await store.get("PROMPT_OPTIN", "en", english),
        await PromptStore(tmp_path, speak=Voice(), voices={"en": "en-US"}).get("PROMPT_OPTIN", "en", english),
    ]
    assert len({prompt.path for prompt in found}) == len({prompt.sha256 for prompt in found}) == 4


async def test_a_prompt_that_was_cut_or_deleted_is_made_again(tmp_path: Path) -> None:
    store = PromptStore(tmp_path, speak=Voice())
    prompt = await store.get("PROMPT_BUSY", "fr", {})
    whole = prompt.path.read_bytes()
    for damaged in (whole[:1000], b"", b"RIFF"):
        prompt.path.write_bytes(damaged)
        assert await store.get("PROMPT_BUSY", "fr", {}) == prompt
        assert prompt.path.read_bytes() == whole
    prompt.path.unlink()
    assert (await store.get("PROMPT_BUSY", "fr", {})).path.exists()


async def test_evidence_follows_the_file_if_somebody_changes_it(tmp_path: Path) -> None:
    store = PromptStore(tmp_path, speak=Voice())
    prompt = await store.get("PROMPT_BUSY", "fr", {})
    other = prompt_audio.to_wav(0.1 * np.sin(np.arange(9000) / 5))
    prompt.path.write_bytes(other)
    assert (await store.get("PROMPT_BUSY", "fr", {})).sha256 == hashlib.sha256(other).hexdigest()


async def test_a_missing_value_is_named_before_anything_is_spoken(tmp_path: Path) -> None:
    voice = Voice()
    with pytest.raises(PlaceholderError, match="{purpose}"):
        await PromptStore(tmp_path, speak=voice).get("PROMPT_OPTIN", "fr", {"org": "Exemple"})
    with pytest.raises(PlaceholderError, match="{org}"):
        await PromptStore(tmp_path, speak=voice).get_all([("PROMPT_OPTIN", "fr")], {"fr": {"purpose": "x"}})
    assert voice.said == [] and names(tmp_path) == []


@pytest.mark.parametrize(("prompt_id", "language"), [("PROMPT_X", "fr"), ("PROMPT_BUSY", "de"), ("NOTICE_STAFF", "fr")])
async def test_what_is_no_spoken_prompt(tmp_path: Path, prompt_id: str, language: str) -> None:
    with pytest.raises(PromptError, match="no spoken prompt"):
        await PromptStore(tmp_path, speak=Voice()).get(prompt_id, language, {})


async def test_a_voice_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def silent(text: str, voice: str) -> speech.Samples:
        return np.zeros(16_000)

    def broken(text: str, voice: str) -> speech.Samples:
        raise speech.SpeechError("engine gone")

    for speak, why in ((silent, "no sound"), (broken, "engine gone")):
        with pytest.raises(PromptError, match=why):
            await PromptStore(tmp_path, speak=speak).get("PROMPT_BUSY", "fr", {})
    assert names(tmp_path) == []


def test_an_engine_that_dies_is_an_error_with_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(speech.SpeechError, match="ended with 1"):
        speech.speak("Bonjour.", "xx-XX")
    with pytest.raises(speech.SpeechError, match="characters"):
        speech.speak(" ", "fr-FR")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(speech.SpeechError, match="did not run"):
        speech.speak("Bonjour.", "fr-FR")


async def test_speaking_does_not_hold_up_the_daemon(tmp_path: Path) -> None:
    store = PromptStore(tmp_path)
    longest, running = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while running:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before - 0.005)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        await store.get_all([("PROMPT_OPTIN", "fr"), ("PROMPT_OPTIN", "en")], {"fr": values("fr"), "en": values("en")})
        running = False
    assert longest < 0.15


# --- a company's own audio ------------------------------------------------------------------------


def tone_wav(rate_hz: int, *, level: float = 0.05, width: int = 2, channels: int = 1, seconds: float = 1.0) -> bytes:
    wave_form = level * np.sin(2 * np.pi * 1000 * np.arange(int(rate_hz * seconds)) / rate_hz)
    scaled = np.repeat(np.rint(wave_form * (2 ** (8 * width - 1) - 1)).astype(np.int64), channels)
    raw = (scaled + 128).astype(np.uint8).tobytes() if width == 1 else b""
    if width > 1:
        raw = scaled.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(raw)
    return out.getvalue()


def custom(directory: Path, content: bytes) -> Path:
    place = directory / "custom" / "PROMPT_OPTIN.fr.wav"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    return place


@pytest.mark.parametrize(
    ("rate_hz", "width", "channels"),
    [(8000, 2, 1), (16_000, 2, 1), (44_100, 2, 2), (48_000, 3, 2), (22_050, 4, 1), (11_025, 1, 1)],
)
async def test_own_audio_of_any_shape_takes_the_place_of_the_text(
    tmp_path: Path, rate_hz: int, width: int, channels: int
) -> None:
    custom(tmp_path, tone_wav(rate_hz, width=width, channels=channels))
    voice = Voice()
    prompt = await PromptStore(tmp_path, speak=voice).get("PROMPT_OPTIN", "fr", {})
    heard = samples(prompt)
    assert prompt.custom and voice.said == [] and abs(prompt.duration_ms - 1000) < 60
    assert prompt.sha256 == hashlib.sha256(prompt.path.read_bytes()).hexdigest()
    assert abs(active_dbfs(heard) + 20) < 0.5 and peak_dbfs(heard) <= -3
    power, frequency = spectrum(heard)
    assert abs(frequency[power.argmax()] - 1000) < 5
    assert power[(frequency > 900) & (frequency < 1100)].sum() / power.sum() > 0.99


async def test_own_audio_can_come_change_and_go(tmp_path: Path) -> None:
    store = PromptStore(tmp_path, speak=Voice())
    text = await store.get("PROMPT_OPTIN", "fr", values("fr"))
    place = custom(tmp_path, tone_wav(8000))
    own = await store.get("PROMPT_OPTIN", "fr", values("fr"))
    custom(tmp_path, tone_wav(8000, seconds=2))
    longer = await store.get("PROMPT_OPTIN", "fr", values("fr"))
    place.unlink()
    assert await store.get("PROMPT_OPTIN", "fr", values("fr")) == text
    assert len({text.sha256, own.sha256, longer.sha256}) == 3
    assert not (await store.get("PROMPT_OPTIN", "en", values("en"))).custom


@pytest.mark.parametrize(
    "content",
    [b"", b"not a wav", tone_wav(8000, level=0), tone_wav(8000, seconds=0), tone_wav(4000), b"RIFF\0\0\0\0WAVE"],
)
async def test_own_audio_that_cannot_be_used_is_an_error_not_passed_over(tmp_path: Path, content: bytes) -> None:
    place = custom(tmp_path, content)
    voice = Voice()
    with pytest.raises(PromptError, match="Replace it") as caught:
        await PromptStore(tmp_path, speak=voice).get("PROMPT_OPTIN", "fr", values("fr"))
    assert str(place) in str(caught.value) and voice.said == []


# --- the workshop ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [11_025, 16_000, 22_050, 44_100, 48_000])
def test_the_filter_passes_speech_and_stops_what_would_fold_back(rate_hz: int) -> None:
    def gain_db(pitch: float) -> float:
        tone = np.sin(2 * np.pi * pitch * np.arange(rate_hz) / rate_hz)
        return 10 * math.log10(float(np.square(resample(tone, rate_hz)[1000:7000]).mean()) / 0.5 + 1e-12)

    for pitch in (100, 300, 1000, 3000, 3500):
        assert abs(gain_db(pitch)) < 0.1
    for pitch in (4100, 4500, 5000, 0.49 * rate_hz):
        assert gain_db(pitch) < -60


def test_resampling_keeps_time() -> None:
    click = np.zeros(16_000)
    click[8000] = 1.0
    assert np.abs(resample(click, 16_000)).argmax() == 4000
    assert len(resample(np.zeros(44_100), 44_100)) == 8000


def test_peaks_are_held_without_clipping() -> None:
    rng = np.random.default_rng(1)
    voice = 0.02 * rng.standard_normal(16_000)
    voice[8000:8010] = 0.9
    level = prompt_audio.normalise(voice)
    assert peak_dbfs(level) <= -3 and abs(active_dbfs(level) + 20) < 0.5


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("Vos droits : https://www.example.org/droits.", "fr", "Vos droits : example point org barre oblique droits."),
        ("Write to dpo@example.org.", "en", "Write to dpo at example dot org."),
        ("Dupont & Fils", "fr", "Dupont et Fils"),
        ('A <volume level="0">B</volume>', "en", "A volume level= 0 B /volume"),
        ("« L’appel »\n\x00", "fr", "L'appel"),
    ],
)
def test_texts_are_made_sayable(text: str, language: str, said: str) -> None:
    assert speech.speakable(text, language) == said


@pytest.mark.parametrize("content", [b"", b"RIFF", tone_wav(16_000), tone_wav(8000, channels=2), tone_wav(8000)[:-2]])
def test_a_prompt_file_is_known_for_what_it_is(content: bytes) -> None:
    with pytest.raises(AudioError):
        read_prompt_wav(content)
