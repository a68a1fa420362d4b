"""The prompt store as call control sees it: a prompt that cannot be had is no prompt, and what hangs on it does not
happen (docs/architecture.md, "Consent")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from recording.prompts import PlaceholderError, PromptError, PromptStore
from sip.calls.plan import PromptFile

log = logging.getLogger(__name__)

READY_S = 2.0  # a prompt that has to be made first may take this long while a caller waits


class Spoken:
    """Fills ``sip.calls.planning.Prompts``."""

    def __init__(self, store: PromptStore) -> None:
        self._store = store
        self.failures = 0  # for the metrics

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        try:
            async with asyncio.timeout(READY_S):
                prompt = await self._store.get(prompt_id, language, values)
        except PlaceholderError:
            return None  # this call's policy has nothing to say there
        except (PromptError, TimeoutError) as error:
            self.failures += 1
            log.error("prompt %s (%s) cannot be had: %s", prompt_id, language, error)
            return None
        return PromptFile(
            prompt.prompt_id, prompt.version, prompt.language, prompt.sha256, prompt.path, prompt.duration_ms
        )
