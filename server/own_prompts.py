"""The company's own words for prompts, from memory: for calls, which must not wait for a database.

Read at the start, when told that something has changed, and now and then, because another node may have changed it.
What somebody altered in the database is not said: each version is signed when it is put in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from recording.prompts import Own
from server.unbroken import unbroken
from storage import prompt_versions
from storage.database import Database
from storage.errors import NotFound, StorageError
from storage.prompt_versions import PromptVersion
from storage.tx import Tx

log = logging.getLogger(__name__)

REFRESH_S = 30.0

Key = tuple[str, str]


class OwnPrompts:
    """Fills ``recording.prompts.OwnOf``."""

    def __init__(
        self, database: Database, ledger_public: Ed25519PublicKey, on_change: Callable[[], None] = lambda: None
    ) -> None:
        """``on_change``: something else is said from now on."""
        self._database = database
        self._public = ledger_public
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()  # the part itself and whoever has just changed something read it at once
        self._known: Mapping[Key, Own | None] = {}  # None: a recording that was altered
        self._ids: Mapping[Key, str] = {}

    def __call__(self, prompt_id: str, language: str) -> Own | None:
        return self._known.get((prompt_id, language))

    async def refresh(self) -> None:
        """Read it anew. Raises StorageError; then what was known stays."""
        async with self._turn:
            await self._read()

    async def _read(self) -> None:
        async with self._database.read() as tx:
            holding = await in_force(tx, self._public)
            ids = {key: version.id for key, version in holding.items()}
            if ids == self._ids:
                return
            known = {
                key: self._known[key] if self._ids.get(key) == version.id else await own(tx, version)
                for key, version in holding.items()
            }
        self._known, self._ids = known, ids
        log.info("own prompts: %d in force", sum(one is not None for one in known.values()))
        self._on_change()

    def changed(self) -> None:
        """Do not wait for the next time."""
        self._changed.set()

    async def run(self) -> None:
        """For as long as the daemon lives."""
        while True:
            try:
                await unbroken(self.refresh())
            except StorageError as error:
                log.warning("own prompts stay as they were read: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            self._changed.clear()


async def in_force(tx: Tx, ledger_public: Ed25519PublicKey) -> dict[Key, PromptVersion]:
    """What is said in place of shipped texts; without audio. One that was altered is left out, and told."""
    found = {}
    for version in await prompt_versions.current(tx):
        if version.in_force_at is None or version.kind == "shipped":
            continue
        if genuine(version, ledger_public):
            found[version.prompt_id, version.language] = version
        else:
            log.error("own words of %s were altered: the shipped text is said", version.prompt_id)
    return found


async def own(tx: Tx, version: PromptVersion) -> Own | None:
    """With its audio; None where that is not what was approved."""
    if version.kind == "words":
        return Own(version.number, version.words)
    try:
        audio = await prompt_versions.audio(tx, version.id)
    except NotFound:
        audio = b""
    if hashlib.sha256(audio).hexdigest() != version.sha256:
        log.error("the recording of %s was altered: the shipped text is said", version.prompt_id)
        return None
    return Own(version.number, version.words, audio, version.filled)


def genuine(version: PromptVersion, ledger_public: Ed25519PublicKey) -> bool:
    """Whether it is what was put in force."""
    if version.in_force_at is None or version.approved_by is None or version.signature is None:
        return False
    if version.kind == "words" and hashlib.sha256(version.words.encode()).hexdigest() != version.sha256:
        return False
    said = prompt_versions.statement(version, version.approved_by, version.in_force_at)
    try:
        ledger_public.verify(version.signature, said)
    except InvalidSignature:
        return False
    return True
