"""The prompt store as call control sees it: a prompt that cannot be had is no prompt, and what hangs on it does not
happen (docs/architecture.md, "Consent")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from recording.prompts import Own, OwnOf, PlaceholderError, PromptError, PromptStore
from sip.calls.plan import PromptFile

log = logging.getLogger(__name__)

KNOWN_MAX = 1000
READY_S = 2.0  # a prompt that has to be made first may take this long while a caller waits


_Asked = tuple[str, str, tuple[tuple[str, str], ...]]
_Mark = tuple[int, int] | None
_Marks = tuple[_Mark, _Mark, Own | None]


def _mark(path: Path) -> _Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class Spoken:
    """Fills ``sip.calls.planning.Prompts``."""

    def __init__(self, store: PromptStore, custom_dir: Path, own: OwnOf = lambda prompt_id, language: None) -> None:
        """``custom_dir``: where a company's own audio lies, which may appear, change or go at any time; ``own``: what
        the store asks for own words."""
        self._store = store
        self._own = own
        self._custom_dir = custom_dir
        self._known: dict[_Asked, tuple[_Marks, PromptFile]] = {}  # what was had, while its files stay as they were
        self.failures = 0  # for the metrics

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        """A caller waits: what was had before is given at once as long as no file has changed."""
        asked = (prompt_id, language, tuple(sorted(values.items())))
        known = self._known.get(asked)
        own = self._own(prompt_id, language)
        if known is not None and known[0] == self._marks(known[1], own):
            return known[1]
        prompt = await self._fetch(prompt_id, language, values, READY_S)
        self._keep(asked, prompt, own)
        return prompt

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None:
        """Nobody waits yet: have it made, however long that takes."""
        asked = (prompt_id, language, tuple(sorted(values.items())))
        own = self._own(prompt_id, language)
        self._keep(asked, await self._fetch(prompt_id, language, values, None), own)

    def _keep(self, asked: _Asked, prompt: PromptFile | None, own: Own | None) -> None:
        """``own``: before it was fetched; if that changes meanwhile, it is fetched once more."""
        if prompt is not None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[asked] = (self._marks(prompt, own), prompt)

    def _marks(self, prompt: PromptFile, own: Own | None) -> _Marks:
        """Size and time of the file that is played, and of the company's own in its place; and its own words."""
        custom = self._custom_dir / f"{prompt.prompt_id}.{prompt.language}.wav"
        return _mark(prompt.path), _mark(custom), own

    async def _fetch(
        self, prompt_id: str, language: str, values: Mapping[str, str], limit_s: float | None
    ) -> PromptFile | None:
        try:
            async with asyncio.timeout(limit_s):
                prompt = await self._store.get(prompt_id, language, values)
        except PlaceholderError:
            return None  # this call's policy has nothing to say there
        except TimeoutError:
            self.failures += 1
            log.error(
                "prompt %s (%s) was not made within %.0f s: the call goes on without it", prompt_id, language, READY_S
            )
            return None
        except PromptError as error:
            self.failures += 1
            log.error("prompt %s (%s) cannot be had: %s", prompt_id, language, error)
            return None
        return PromptFile(
            prompt.prompt_id, prompt.version, prompt.language, prompt.sha256, prompt.path, prompt.duration_ms
        )
