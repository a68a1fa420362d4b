"""Spoken prompts: made once from their text, kept by the hash of what is said, replaced by a company's own audio.

    prompts/<hash of engine, voice, language, text, rate, version>.wav     what is played
    prompts/custom/<PROMPT_ID>.<language>.wav                              replaces the spoken text, any WAV

Between the two stand own words and recordings that were put in force in the portal (`Own`): a file that somebody laid
there by hand goes before them, the shipped text comes after.

The evidence of a consent names the hash of the audio that was played (`Prompt.sha256`), so it can be shown years
later what somebody heard. A custom file that cannot be used is an error, never silently passed over: somebody chose
its words.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import prompt_texts
from config.prompt_texts import PlaceholderError, PromptText
from recording import prompt_wav, speech
from recording.prompt_wav import AudioError

__all__ = ["Own", "OwnOf", "PlaceholderError", "Prompt", "PromptError", "PromptStore"]

_log = logging.getLogger(__name__)
_CUSTOM_MAX_BYTES = 50_000_000
_AT_ONCE = 2


class PromptError(Exception):
    """A prompt cannot be had. The message names the prompt or the file, and the remedy."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it is played. `sha256`: of the file's bytes, hex. `custom`: the company's own audio."""

    prompt_id: str
    version: str
    language: str
    sha256: str
    path: Path
    duration_ms: int
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """What the company says in place of a shipped text. `version`: its number, for the evidence of a consent.

    `audio`: of a recording, the WAV file that is played; where there is none the words are spoken. A recording says the
    same in every call: where a call has other values than `filled` it would be untrue, and the shipped text is spoken.
    """

    version: int
    words: str
    audio: bytes | None = None
    filled: Mapping[str, str] = field(default_factory=dict)

    def fits(self, values: Mapping[str, str]) -> bool:
        return self.audio is None or all(values.get(name) == said for name, said in self.filled.items())


OwnOf = Callable[[str, str], Own | None]
Speak = Callable[[str, str], speech.Samples]


class PromptStore:
    """The prompts of one data directory.

    Several may work on one directory at once: files appear whole or not at all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        texts: Mapping[str, PromptText] | None = None,
        voices: Mapping[str, str] = speech.VOICES,
        speak: Speak = speech.speak,
        own: OwnOf = lambda prompt_id, language: None,
    ) -> None:
        """`own`: the company's own words for a prompt in a language, as they are in force."""
        self._own = own
        self._dir = directory
        self._texts = texts or prompt_texts.load()
        self._voices = dict(voices)
        self._speak = speak
        # Two at once, so that making all of them leaves the machine usable.
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # What a file held when it was last looked at: path -> (size, mtime), prompt facts.
        self._seen: dict[Path, tuple[tuple[int, int], str, int]] = {}

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> Prompt:
        """The prompt with its {placeholders} filled from `values`; made now where it is not there yet.

        Never blocks the loop. Raises PlaceholderError naming what `values` lack, PromptError for the rest.
        """
        async with self._turn:
            return await asyncio.to_thread(self.get_blocking, prompt_id, language, values)

    async def get_all(
        self, wanted: Iterable[tuple[str, str]], values: Mapping[str, Mapping[str, str]]
    ) -> dict[tuple[str, str], Prompt]:
        """Many at once: (prompt id, language) pairs, `values` by language. Raises as `get` does."""
        keys = list(dict.fromkeys(wanted))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(self.get(*key, values[key[1]])) for key in keys}
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return {key: task.result() for key, task in tasks.items()}

    def get_blocking(self, prompt_id: str, language: str, values: Mapping[str, str]) -> Prompt:
        """As `get`, for a caller without a loop (setting up)."""
        text = self._text(prompt_id, language)
        custom = self._custom(prompt_id, language)
        if custom is not None:
            path, sha256, duration_ms = custom
            return Prompt(prompt_id, str(text.version), language, sha256, path, duration_ms, True)
        return self.of(prompt_id, language, values, self._own(prompt_id, language))

    def of(self, prompt_id: str, language: str, values: Mapping[str, str], own: Own | None) -> Prompt:
        """As `get`, in these words (None: the shipped ones), whatever is in force. Blocks. Raises as `get` does."""
        text = self._text(prompt_id, language)
        version = str(text.version)
        if own is not None and own.fits(values):
            version = f"{version}.{own.version}"
            text = replace(text, texts={**text.texts, language: own.words})
            if own.audio is not None:
                path, sha256, duration_ms = self._recorded(prompt_id, language, own.audio)
                return Prompt(prompt_id, version, language, sha256, path, duration_ms, True)
        path, sha256, duration_ms = self._spoken(text, language, values)
        return Prompt(prompt_id, version, language, sha256, path, duration_ms)

    async def speak(self, prompt_id: str, language: str, values: Mapping[str, str], own: Own | None) -> Prompt:
        """As `of`, without blocking the loop."""
        async with self._turn:
            return await asyncio.to_thread(self.of, prompt_id, language, values, own)

    def ready(self, prompt_id: str, language: str, values: Mapping[str, str], own: Own | None) -> Prompt | None:
        """As `of`, where it was made before; None where it would have to be made. Raises PromptError.

        `own` fits these values (`Own.fits`).
        """
        text = self._text(prompt_id, language)
        if own is not None and own.audio is not None:
            return self.of(prompt_id, language, values, own)
        words = own.words if own is not None else text.texts[language]
        try:
            said = replace(text, texts={**text.texts, language: words}).render(language, values)
            found = self._look(self._place_of(speech.speakable(said, language), language))
        except (PlaceholderError, speech.SpeechError, OSError):
            return None
        return Prompt(prompt_id, "", language, found[1], found[0], found[2]) if found is not None else None

    def laid_by_hand(self, prompt_id: str, language: str) -> Path | None:
        """The file that goes before all words, where there is one."""
        path = self._dir / "custom" / f"{prompt_id}.{language}.wav"
        return path if path.is_file() else None

    def _text(self, prompt_id: str, language: str) -> PromptText:
        text = self._texts.get(prompt_id)
        if text is None or text.mode == "written" or language not in text.texts:
            raise PromptError(f"there is no spoken prompt {prompt_id!r} in {language!r}")
        return text

    def _recorded(self, prompt_id: str, language: str, audio: bytes) -> tuple[Path, str, int]:
        """Laid where workers can play it; its hash is that of what was brought and approved."""
        path = self._place("own", hashlib.sha256(audio).hexdigest())
        try:
            found = self._look(path)
            if found is None or found[1] != hashlib.sha256(audio).hexdigest():
                _write(path, audio)
                found = self._look(path)
        except OSError as error:
            raise PromptError(f"{prompt_id} ({language}) cannot be laid down: {error}") from error
        if found is None:
            raise PromptError(f"{prompt_id} ({language}): its recording is damaged. Bring it once more")
        return found

    def _place_of(self, said: str, language: str) -> Path:
        """Raises SpeechError."""
        return self._place(
            *(speech.engine(), self._voices.get(language), language, said, prompt_wav.RATE_HZ, prompt_wav.VERSION)
        )

    def _spoken(self, text: PromptText, language: str, values: Mapping[str, str]) -> tuple[Path, str, int]:
        said = speech.speakable(text.render(language, values), language)
        voice = self._voices.get(language)
        if voice is None:
            raise PromptError(f"no voice for language {language!r}")
        try:
            path = self._place_of(said, language)
            return self._look(path) or self._make(path, lambda: (self._speak(said, voice), speech.RATE_HZ), True)
        except (speech.SpeechError, AudioError, OSError) as error:
            raise PromptError(f"{text.prompt_id} ({language}) cannot be spoken: {error}") from error

    def _custom(self, prompt_id: str, language: str) -> tuple[Path, str, int] | None:
        source = self._dir / "custom" / f"{prompt_id}.{language}.wav"
        try:
            if not source.is_file():
                return None
            if source.stat().st_size > _CUSTOM_MAX_BYTES:
                raise AudioError(f"is larger than {_CUSTOM_MAX_BYTES // 1_000_000} MB")
            content = source.read_bytes()
            path = self._place("custom", hashlib.sha256(content).hexdigest(), prompt_wav.RATE_HZ,
                               prompt_wav.VERSION)  # fmt: skip
            return self._look(path) or self._make(path, lambda: _custom_audio(content), False)
        except (AudioError, OSError) as error:
            raise PromptError(f"{source}: {error}. Replace it by a WAV file, or remove it to use the text") from error

    def _place(self, *facts: object) -> Path:
        """Where the audio made from these facts lies; any change of one is another file."""
        return self._dir / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()}.wav"

    def _look(self, path: Path) -> tuple[Path, str, int] | None:
        """What is there already; None where nothing usable is."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        mark = (status.st_size, status.st_mtime_ns)
        seen = self._seen.get(path)
        if seen is not None and seen[0] == mark:
            return path, seen[1], seen[2]
        try:
            content = path.read_bytes()
            duration_ms = prompt_wav.duration_ms(content)
        except AudioError:
            _log.warning("prompt file %s is damaged and is made again", path.name[:8])
            return None
        facts = (path, hashlib.sha256(content).hexdigest(), duration_ms)
        self._seen[path] = (mark, facts[1], facts[2])
        return facts

    def _make(
        self, path: Path, source: Callable[[], tuple[speech.Samples, int]], synthetic: bool
    ) -> tuple[Path, str, int]:
        from recording import prompt_audio  # with numpy, which a daemon that has its prompts does not load

        _write(path, prompt_audio.for_telephone(*source(), synthetic=synthetic))
        made = self._look(path)
        if made is None:
            raise AudioError("could not be read back")
        return made


def _custom_audio(content: bytes) -> tuple[speech.Samples, int]:
    from recording import prompt_audio

    return prompt_audio.read_any_wav(content)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a power cut."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
