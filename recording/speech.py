"""Text to speech, offline: SVOX Pico (py-nanotts) in a process of its own.

A process for each text, because the engine is C code that keeps state between calls (the same text came out
different the second time in one process) and must neither block nor bring down the daemon.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RATE_HZ = 16_000
VOICES = {"fr": "fr-FR", "en": "en-GB"}
TEXT_MAX = 2000
_VOLUME = 0.5  # at the engine's own volume its loudest samples are clipped
_TIMEOUT_S = 60.0

Samples: TypeAlias = "npt.NDArray[np.float64]"  # full scale is -1.0 to 1.0


class SpeechError(Exception):
    """The engine did not speak: not installed, killed, or nothing came out of it."""


@functools.cache
def engine() -> str:
    """Name and version of the engine, part of what a cached prompt is known by."""
    try:
        return f"py-nanotts {metadata.version('py-nanotts')}"
    except metadata.PackageNotFoundError:
        raise SpeechError("py-nanotts is not installed: pip install py-nanotts") from None


def speak(text: str, voice: str) -> Samples:
    """Mono samples at RATE_HZ. Blocks for about 0.1 s: call it from a thread. Raises SpeechError."""
    import numpy as np  # a daemon that has its prompts does not load it

    if not text.strip() or len(text) > TEXT_MAX:
        raise SpeechError(f"a text of 1 to {TEXT_MAX} characters can be spoken, not {len(text)}")
    order = json.dumps({"text": text, "voice": voice, "volume": _VOLUME}).encode()
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-I", "-m", "recording.speech_engine"],
            input=order, capture_output=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpeechError(f"the speech engine did not run: {type(error).__name__}") from error
    if done.returncode != 0 or len(done.stdout) < 2:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SpeechError(f"the speech engine ended with {done.returncode}: {' '.join(last)}")
    return np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], "<i2").astype(np.float64) / 32768.0


_WORDS = {
    "fr": {".": " point ", "/": " barre oblique ", "-": " tiret ", "_": " tiret bas ", "@": " arobase ", "&": " et "},
    "en": {".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "@": " at ", "&": " and "},
}
_ADDRESS = re.compile(r"https?://(?:www\.)?\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def speakable(text: str, language: str) -> str:
    """The text as the engine should read it: addresses in words, and nothing that it would take for markup."""
    words = _WORDS[language]
    text = _ADDRESS.sub(lambda found: _spelled(found[0], words), text)
    text = text.replace("&", words["&"]).replace("’", "'").replace("*", " ")
    text = re.sub(r"[<>«»\"\\\x00-\x1f]", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def _spelled(address: str, words: dict[str, str]) -> str:
    bare = re.sub(r"^https?://(www\.)?", "", address)
    address, stop = (bare[:-1], bare[-1]) if bare[-1:] in ".,;:!?" else (bare, "")
    return "".join(words.get(char, char) for char in address.rstrip("/")) + stop
