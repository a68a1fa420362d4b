"""The pages of prompts, asked for by HTTP: what is told of files that cannot be used, and which draft counts."""

from __future__ import annotations

import io
import wave

import pytest

from server.services import prompts
from server.services.actor import Actor
from tests.web.mine_house import House

BUSY = "/prompts/PROMPT_BUSY/fr"
NAMED = {"prompt": "PROMPT_BUSY", "language": "fr"}
ME = Actor("os:1000", "desk-7")


def wav(seconds: float = 1.0, rate_hz: int = 8000, channels: int = 1, width: int = 2, sample: int = 40) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(bytes([sample]) * (int(seconds * rate_hz) * channels * width))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "english", "french"),
    [
        (b"no sound", "The recording is no WAV file", "L’enregistrement n’est pas un fichier WAV"),
        (b"RIFF\x24\0\0\0WAVE", "The recording cannot be read", "L’enregistrement ne peut pas être lu"),
        (wav()[:-1000], "is shorter than it says", "est plus court qu’il ne le dit"),
        (wav(channels=6), "has 6 channels: one or two", "a 6 canaux : il en faut un ou deux"),
        (wav(width=4), "has 32 bit: 16", "a 32 bits : il en faut 16"),
        (wav(rate_hz=22_050), "has 22,050 Hz: 8000", "est à 22 050 Hz : il faut 8000"),
        (wav(0.25), "lasts 0.2 s: 0.4 to 40 s", "dure 0,2 s : il faut de 0,4 à 40 s"),
        (wav(sample=0), "holds no sound", "ne contient aucun son"),
    ],
)
async def test_why_a_recording_cannot_be_used_is_said_in_each_language(
    house: House, content: bytes, english: str, french: str
) -> None:
    who = house.sign_in("alice", "admin")
    for language, said in (("en", english), ("fr", french)):
        sent = {"audio": io.BytesIO(content), "said": "Occupé."}
        page = await house.post(f"{BUSY}/recording", who, sent, language)
        told = page.text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
        assert page.status == 422 and said in told, told


async def test_the_draft_that_was_heard_counts_and_no_newer_one(house: House) -> None:
    who = house.sign_in("alice", "admin")
    await prompts.write(house.services, ME, **NAMED, text="Occupé.")
    page = await house.get(BUSY, who)
    assert 'name="number" value="1"' in page.html and "the command line" in page.text
    assert "the command line" in (await house.get("/prompts?language=fr", who)).text
    await prompts.write(house.services, ME, **NAMED, text="Tout autre chose.")
    refused = await house.post(f"{BUSY}/use", who, {"number": "1"}, "fr")
    assert refused.status == 409 and "Cette version n’est plus un brouillon" in refused.text
    assert (await house.post(f"{BUSY}/use", who, {"number": "x"})).status == 422
    assert (await house.post(f"{BUSY}/use", who, {"number": "2"})).status == 303
    assert (await prompts.show(house.services, ME, **NAMED)).words == "Tout autre chose."
